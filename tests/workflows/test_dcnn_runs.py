"""Runs of `segue pretrain dcnn`: learned, stopped and gone on, refused, with bad audio."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from labelled_music import RATE, data_set, sound
from segue.cli import app
from segue.datasets import Manifest
from segue.encoders import encoder
from segue.errors import UsageError
from segue.targets.factors import FactorSettings
from segue.targets.folder import open_targets
from segue.training import checkpoint
from segue.training.dcnn.settings import DcnnSettings
from segue.training.loop import Settings
from segue.workflows.dcnn import Networks, pretrain_dcnn
from segue.workflows.dcnntargets import Asked, read_parts

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
SMALL = DcnnSettings(width=0.125, batch=8, sharing="first")
SETTINGS = Settings(epochs=3, learning_rate=3e-3, patience=9, stop_on="valid_loss")
ASKED = Asked(
    targets=("g", "m", "s"),
    genre="kind",
    labels=("traits",),
    group="artist",
    factors=FactorSettings(words=20, topics=3),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As in the processes that tests start: bits are the same for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("music"), ["low", "high"], tracks=8)


def learn(music: Path, out: Path, **more: Any) -> Networks:
    options: dict[str, Any] = {"dcnn": SMALL, "settings": SETTINGS, "share": 0.25, "workers": 1}
    return pretrain_dcnn(music, more.pop("asked", ASKED), out, **{**options, **more})


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, music: Path) -> Networks:
    settings = Settings(epochs=12, learning_rate=3e-3, patience=12, stop_on="valid_loss")
    return learn(music, tmp_path_factory.mktemp("learned") / "mine", settings=settings)


def command(music: Path, out: Path, *more: object) -> list[str]:
    return [
        *("pretrain", "dcnn", str(music), "--targets", "g,m,s", "--genre", "kind"),
        *("--labels", "traits", "--group", "artist", "--sharing", "first", "--width", "0.125"),
        *("--batch", "4", "--epochs", "2", "--topics", "3", "--words", "20", "-o", str(out)),
        *("--name", "mine", "--valid-share", "0.25", "--workers", "1", *map(str, more)),
    ]


def run(arguments: Sequence[str], code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, (done.output, done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def said(arguments: Sequence[str], code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class TestWhatIsLearned:
    def test_genres_are_told_apart_and_the_encoder_says_them(
        self, learned: Networks, music: Path
    ) -> None:
        tasks = learned.encoder.training["tasks"]
        assert tasks["g"]["accuracy"] == 1.0 > tasks["g"]["baseline_accuracy"]
        assert tasks["g"]["loss"] < 0.75 * tasks["g"]["baseline"]
        built = encoder(str(learned.encoder.path))
        from segue.audio import load

        says = dict(built.tags(load(music.parent / "high1.wav", rate=built.card.rate)))
        assert says["g: high"] > 0.5 > says["g: low"]
        assert sum(says[f"m: {number}"] for number in (1, 2, 3)) == pytest.approx(1.0)

    def test_the_features_are_those_of_all_networks(self, learned: Networks) -> None:
        assert learned.encoder.card.dim == 3 * 32
        assert learned.encoder.tags[:2] == ("g: high", "g: low")
        assert len(learned.encoder.tags) == 2 + 3 + 3

    def test_the_factors_lie_beside_the_encoder(self, learned: Networks) -> None:
        there = open_targets(learned.encoder.path / "targets" / "s")
        assert there.model.vocabulary == ("bright", "dark", "tonal")
        assert not (learned.encoder.path / "run" / "targets").exists()

    def test_the_page_says_what_each_task_learned(self, learned: Networks) -> None:
        page = (learned.encoder.path / "report.html").read_text(encoding="utf-8")
        assert "What each task learned" in page
        assert "Groups by column" in page

    @pytest.mark.parametrize("sharing", ["none", "all"])
    def test_other_sharings(self, music: Path, tmp_path: Path, sharing: Any) -> None:
        asked = Asked(targets=("g", "s"), genre="kind", labels=("traits",), group="artist")
        done = learn(
            music,
            tmp_path / "out",
            asked=asked,
            dcnn=DcnnSettings(width=0.125, batch=8, sharing=sharing, draw="epoch"),
        )
        assert done.encoder.card.dim == (64 if sharing == "none" else 32)


KILLED = """
import os, signal, sys
from segue.cli import app
from segue.datasets import Manifest
from segue.training import checkpoint, loop

real, loop.SAVE_SECONDS = checkpoint.save, 0.0

def save(path, tensors, facts):
    real(path, tensors, facts)
    if (facts["position"]["epoch"], facts["position"]["step"]) == (2, 1):
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save
app()
"""
"""The command, which saves at every step and is killed after the first of the second epoch."""


class TestRuns:
    def test_a_killed_run_goes_on_bit_for_bit(self, music: Path, tmp_path: Path) -> None:
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        mine = said(command(music, whole))
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, *command(music, parts)],
            **{"capture_output": True, "check": False, "env": ONE_THREAD, "timeout": 120},
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        facts = checkpoint.load(parts / "run" / "checkpoint.safetensors")[1]
        assert (facts["position"]["epoch"], facts["position"]["step"]) == (2, 1)
        theirs = said(command(music, parts))
        for one in (mine, theirs):
            one["curve"] = [
                {name: value for name, value in point.items() if name != "seconds"}
                for point in one["curve"]
            ]
        assert mine["curve"] == theirs["curve"]
        weights = [(run / "weights.safetensors").read_bytes() for run in (whole, parts)]
        assert weights[0] == weights[1]

    def test_factors_of_an_interrupted_run_are_not_learned_again(
        self, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("segue.workflows.dcnn.train", stop)
            with pytest.raises(KeyboardInterrupt):
                learn(music, tmp_path / "out")

        def never(*_: object, **__: object) -> None:
            raise AssertionError("they are there")

        monkeypatch.setattr("segue.workflows.dcnntargets.learn_factors", never)
        assert learn(music, tmp_path / "out").encoder.card.dim == 96

    def test_factors_of_other_arguments_are_learned_again(
        self, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a run would be taught the factors of another's training part."""

        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("segue.workflows.dcnn.train", stop)
            with pytest.raises(KeyboardInterrupt):
                learn(music, tmp_path / "out")
        asked = replace(ASKED, factors=FactorSettings(words=10, topics=4, seed=7))
        settings = replace(SETTINGS, seed=1)
        done = learn(music, tmp_path / "out", asked=asked, settings=settings)
        clean = learn(music, tmp_path / "new" / "out", asked=asked, settings=settings)
        for folder in (done, clean):
            there = open_targets(folder.encoder.path / "targets" / "m")
            assert (there.model.topics, there.model.words) == (4, 10)
        assert done.curve[-1]["train_loss"] == clean.curve[-1]["train_loss"]

    def test_a_finished_run_is_read_back(
        self, music: Path, learned: Networks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object, **__: object) -> None:
            raise AssertionError("nothing is left to do")

        monkeypatch.setattr("segue.workflows.dcnn.frame", never)
        settings = Settings(epochs=12, learning_rate=3e-3, patience=12, stop_on="valid_loss")
        again = learn(music, learned.encoder.path, settings=settings)
        assert again.curve == learned.curve
        assert again.encoder.card == learned.encoder.card

    def test_other_arguments_are_refused(self, music: Path, learned: Networks) -> None:
        settings = Settings(epochs=12, learning_rate=3e-3, patience=12, stop_on="valid_loss")
        other = DcnnSettings(width=0.25, batch=8, sharing="first")
        with pytest.raises(UsageError, match=r"width: 0\.125 -> 0\.25"):
            learn(music, learned.encoder.path, dcnn=other, settings=settings)


class TestBadInput:
    def test_files_that_cannot_be_used_are_listed_and_short_ones_are_heard(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "music"
        rows = ["bad.wav,bad,low,tonal,who", "short.wav,short,low,tonal,artist low 0"]
        path = data_set(folder, ["low", "high"], tracks=4, rows=rows)
        (folder / "bad.wav").write_bytes(b"RIFF and nothing")
        soundfile.write(folder / "short.wav", sound("low", 77, seconds=0.3), RATE)
        answer = said(command(path, tmp_path / "out"), code=3)
        (failure,) = answer["failures"]
        assert failure["path"].endswith("bad.wav")
        assert answer["tasks"]["g"]["tracks"] + answer["tasks"]["g"]["validation"] == 9

    def test_one_artist_cannot_be_split(self, tmp_path: Path) -> None:
        path = data_set(tmp_path / "music", ["low", "high"], tracks=2)
        lines = path.read_text().splitlines()
        alone = [lines[0], *(",".join([*line.split(",")[:-1], "me"]) for line in lines[1:])]
        path.write_text("\n".join(alone) + "\n")
        text = run(command(path, tmp_path / "out"), code=2)
        assert "two groups at least" in " ".join(text.split())
        assert not (tmp_path / "out").exists()

    def test_fewer_frames_than_words_is_said(self, music: Path, tmp_path: Path) -> None:
        answer = said([*command(music, tmp_path / "out"), "--words", "2048"])
        assert any(note.startswith("m:") and "2048" in note for note in answer["notes"])

    def test_a_word_that_is_no_sharing(self, music: Path, tmp_path: Path) -> None:
        text = run([*command(music, tmp_path / "out"), "--sharing", "some"], code=2)
        assert "none, first, all" in " ".join(text.split())

    def test_groups_that_are_the_classes_cannot_be_judged(self, tmp_path: Path) -> None:
        path = data_set(tmp_path / "music", ["low", "mid", "high"], tracks=4)
        arguments = ["pretrain", "dcnn", str(path), "--targets", "g", "--genre", "kind"]
        arguments += ["--group", "kind", "-o", str(tmp_path / "out"), "--workers", "1"]
        text = " ".join(run([*arguments, "--batch", "4"], code=2).split())
        assert "another --group" in text
        assert not (tmp_path / "out" / "run" / "run.json").exists()

    def test_held_out_artists_without_labels_are_no_reason_to_stop(self, tmp_path: Path) -> None:
        path = data_set(tmp_path / "music", ["low", "high"], tracks=8)
        parts = read_parts(Manifest.read(path), ASKED, share=0.25, seed=0)
        held = set(parts.rows[parts.valid].tolist())
        lines = path.read_text().splitlines()
        for row in held:
            cells = lines[row + 1].split(",")
            lines[row + 1] = ",".join([*cells[:3], "", cells[4]])
        path.write_text("\n".join(lines) + "\n")
        asked = replace(ASKED, targets=("g", "s"))
        tasks = learn(path, tmp_path / "out", asked=asked).encoder.training["tasks"]
        assert tasks["s"]["validation"] == 0 < tasks["g"]["validation"]

    def test_networks_that_no_folder_could_hold_are_refused_before_training(
        self, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object, **__: object) -> None:
            raise AssertionError("too late")

        monkeypatch.setattr("segue.workflows.dcnn.train", never)
        with pytest.raises(UsageError, match="within its limit"):
            learn(music, tmp_path / "out", dcnn=DcnnSettings(width=12.0, batch=4))

    def test_what_labels_cannot_teach_is_said_before_audio_is_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object, **__: object) -> None:
            raise AssertionError("too late")

        monkeypatch.setattr("segue.workflows.dcnn.frame", never)
        path = data_set(tmp_path / "music", ["low"], tracks=8)
        with pytest.raises(UsageError, match="two classes or more"):
            learn(path, tmp_path / "out")

    def test_folders_are_groups_where_there_is_no_such_column(self, tmp_path: Path) -> None:
        for name in ("one", "two", "three", "four"):
            data_set(tmp_path / "music" / name, ["low", "high"], tracks=2)
        rows = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.wav"))
        path = tmp_path / "tracks.csv"
        path.write_text("path\n" + "\n".join(map(str, rows)) + "\n")
        asked = Asked(targets=("m",), group="folder", factors=FactorSettings(words=20, topics=2))
        done = learn(path, tmp_path / "out", asked=asked)
        there = open_targets(done.encoder.path / "targets" / "m")
        assert len(there.shares.names) == 3  # and one is held out
        assert set(there.shares.names) < {f"music/{n}" for n in ("one", "two", "three", "four")}

    def test_audio_that_changed_since_is_refused(self, tmp_path: Path) -> None:
        path = data_set(tmp_path / "music", ["low", "high"], tracks=4)
        said(command(path, tmp_path / "out"))
        soundfile.write(tmp_path / "music" / "low0.wav", sound("low", 99), RATE)
        text = run(command(path, tmp_path / "out"), code=2)
        assert "files of another size or time" in " ".join(text.split())


def test_features_do_not_depend_on_what_else_is_encoded(learned: Networks, music: Path) -> None:
    from segue.audio import load

    built = encoder(str(learned.encoder.path))
    clips = [load(music.parent / f"{name}.wav", rate=built.card.rate) for name in ("low0", "high3")]
    alone = np.stack([built.features(one) for one in clips])
    together = built.encode_chunks([chunk for one in clips for chunk in built.chunks_of(one)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
