"""Runs of `segue pretrain warp`: whose a folder is, stopped ones that go on, bad audio."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from joint_runs import SETTINGS, WARP, learn, named
from typer.testing import CliRunner

from labelled_music import BANDS, RATE, data_set, sound
from segue.cli import app
from segue.errors import SegueError, UsageError, WeightsError
from segue.training import checkpoint
from segue.workflows.joint import pretrain_warp
from segue.workflows.jointsets import Source, read_sources

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("one"), list(BANDS), tracks=4)


def command(one: Path, out: Path, *more: object) -> list[str]:
    return [
        *("pretrain", "warp", "--source", f"kinds={one}:kind:artist"),
        *("--source", f"traits={one}:traits", "-o", str(out), "--name", "mine"),
        *("--dimensions", "6", "--batch", "2", "--epochs", "3", "--learning-rate", "0.01"),
        *("--valid-share", "0.25", "--workers", "1", *map(str, more)),
    ]


def said(arguments: Sequence[str], code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def without_times(curve: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in one.items() if key != "seconds"} for one in curve]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


KILLED = """
import os, signal, sys
from segue.cli import app
from segue.training import checkpoint, loop

real, loop.SAVE_SECONDS = checkpoint.save, 0.0

def save(path, tensors, facts):
    real(path, tensors, facts)
    if (facts["position"]["epoch"], facts["position"]["step"]) == (2, 1):
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save = save
app()
"""
"""The command, which saves at every stretch and is killed after the first of the second epoch."""


def test_a_killed_run_goes_on_bit_for_bit(one: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    mine = said(command(one, whole))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *command(one, parts)],
        **{"capture_output": True, "check": False, "env": ONE_THREAD, "timeout": 120},
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    facts = checkpoint.load(parts / "run" / "checkpoint.safetensors")[1]
    assert (facts["position"]["epoch"], facts["position"]["step"]) == (2, 1)
    assert not (parts / "encoder.json").exists()
    theirs = said(command(one, parts))
    assert without_times(mine["curve"]) == without_times(theirs["curve"])
    assert mine["card"] == theirs["card"]
    assert mine["scores"] == theirs["scores"]
    weights = [(run / "weights.safetensors").read_bytes() for run in (whole, parts)]
    assert weights[0] == weights[1]


def test_a_finished_run_is_read_back_and_nothing_is_touched(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = learn([named("one", one)], tmp_path / "enc")
    there = contents(tmp_path / "enc")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr("segue.workflows.joint.train", never)
    monkeypatch.setattr("segue.workflows.framing.extract_frames", never)
    again = learn([named("one", one)], tmp_path / "enc")
    assert again.curve == first.curve
    assert again.encoder.card == first.encoder.card
    assert contents(tmp_path / "enc") == there


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"settings": replace(SETTINGS, learning_rate=0.1)}, r"learning-rate: 0.05 -> 0.1"),
        ({"settings": replace(SETTINGS, seed=3)}, r"seed: 0 -> 3"),
        ({"warp": replace(WARP, rank="exact")}, r"rank: sampled -> exact"),
        ({"warp": replace(WARP, l2_labels=0.1)}, r"l2-labels: None -> 0.1"),
        ({"share": 0.5}, r"share: 0.25 -> 0.5"),
        ({"min_tracks": 2}, r"min-tracks: 1 -> 2"),
        ({"hears": "mfcc"}, r"hears: hamel2013 -> mfcc"),
    ],
)
def test_other_arguments_are_refused_by_name(
    more: dict[str, Any], told: str, one: Path, tmp_path: Path
) -> None:
    learn([named("one", one)], tmp_path / "enc")
    there = contents(tmp_path / "enc")
    with pytest.raises(UsageError, match=told):
        learn([named("one", one)], tmp_path / "enc", **more)
    assert contents(tmp_path / "enc") == there


def test_other_sources_are_refused(one: Path, tmp_path: Path) -> None:
    learn([named("one", one)], tmp_path / "enc")
    for source, told in (
        (named("two", one), r"source: \['one:kind'\] -> \['two:kind'\]"),
        (named("one", one, "traits"), r"source: .* -> \['one:traits'\]"),
        (named("one", one, group=None), r"group: \['artist'\] -> \[None\]"),
    ):
        with pytest.raises(UsageError, match=told):
            learn([source], tmp_path / "enc")
    text = one.read_text().replace("low0.wav,low0,low", "low0.wav,low0,mid")
    changed = one.with_name("changed.csv")
    changed.write_text(text)
    with pytest.raises(UsageError, match=r"tracks and labels: \w+ -> \w+"):
        learn([named("one", changed)], tmp_path / "enc")


class StoppedError(Exception):
    """In the place of a power cut."""


def stopped_in(epoch: int) -> Any:
    def watch(what: str, done: int, total: int) -> None:
        if what == "training" and done > (epoch - 1) * total / SETTINGS.epochs:
            raise StoppedError

    return watch


def test_changed_audio_is_refused_while_a_run_goes_on(tmp_path: Path) -> None:
    one = data_set(tmp_path / "one", ["low", "high"], tracks=4)
    for frames in (None, tmp_path / "store"):
        out = tmp_path / ("own" if frames is None else "shared")
        with pytest.raises(StoppedError):
            learn([named("one", one)], out, frames=frames, watch=stopped_in(2))
        assert (out / "run" / "checkpoint.safetensors").exists()
        soundfile.write(one.parent / "low1.wav", sound("low", 77, seconds=2.0), RATE)
        with pytest.raises(UsageError, match="the audio that the run in this folder was begun"):
            learn([named("one", one)], out, frames=frames)
        (one.parent / "low2.wav").unlink()
        with pytest.raises(UsageError, match="the audio that the run in this folder was begun"):
            learn([named("one", one)], out, frames=frames)
        data_set(tmp_path / "one", ["low", "high"], tracks=4)


def test_changed_audio_of_a_finished_run_is_refused_and_lost_audio_is_not(tmp_path: Path) -> None:
    one = data_set(tmp_path / "one", ["low", "high"], tracks=4)
    done = learn([named("one", one)], tmp_path / "out")
    (one.parent / "low2.wav").unlink()
    assert learn([named("one", one)], tmp_path / "out").encoder.same_as(done.encoder)
    soundfile.write(one.parent / "low2.wav", sound("low", 77, seconds=2.0), RATE)
    with pytest.raises(UsageError, match="the audio that the finished encoder"):
        learn([named("one", one)], tmp_path / "out")


def test_stopped_in_process_it_goes_on(one: Path, tmp_path: Path) -> None:
    whole = learn([named("one", one)], tmp_path / "whole")
    with pytest.raises(StoppedError):
        learn([named("one", one)], tmp_path / "parts", watch=stopped_in(2))
    assert threads() == []
    parts = learn([named("one", one)], tmp_path / "parts")
    assert without_times(whole.curve) == without_times(parts.curve)
    for name, values in whole.encoder.tensors.items():
        np.testing.assert_array_equal(parts.encoder.tensors[name], values)


def threads() -> list[str]:
    """Threads that read frames and are still there."""
    return [one.name for one in threading.enumerate() if one.name.startswith("frames of")]


def test_no_thread_is_left(one: Path, tmp_path: Path) -> None:
    learn([named("one", one)], tmp_path / "enc")
    assert threads() == []


def test_frames_of_its_own_are_removed_and_shared_ones_kept(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn([named("one", one)], tmp_path / "own")
    assert not (tmp_path / "own" / "run" / "frames").exists()
    store = tmp_path / "store"
    learn([named("one", one)], tmp_path / "first", frames=store)
    there = contents(store)
    assert there
    second = learn([named("one", one)], tmp_path / "second", frames=store)
    assert contents(store) == there, "computed once for both"
    third = learn([named("one", one)], tmp_path / "third")
    for name, values in third.encoder.tensors.items():
        np.testing.assert_array_equal(second.encoder.tensors[name], values)


def test_two_runs_can_fill_a_store_at_once(one: Path, tmp_path: Path) -> None:
    store, problems = tmp_path / "store", []

    def go(name: str) -> None:
        try:
            learn([named("one", one)], tmp_path / name, frames=store)
        except Exception as error:
            problems.append(error)

    both = [threading.Thread(target=go, args=(name,)) for name in ("a", "b")]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert problems == []
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


def bad_audio(folder: Path) -> list[str]:
    """Files that cannot be used, and their lines for the manifest."""
    nan, huge = sound("low", 50), sound("low", 51)
    nan[2000:2100] = np.nan
    huge[:] = 1e30
    soundfile.write(folder / "nan.wav", nan, RATE, subtype="FLOAT")
    soundfile.write(folder / "huge.wav", huge, RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "short.wav", sound("low", 52)[:200], RATE)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no audio at all")
    whole = (folder / "low0.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    names = ("nan", "huge", "silent", "short", "empty", "text", "missing")
    return [f"{name}.wav,{name},low,dark;tonal,artist {name}" for name in names]


def test_bad_audio_is_listed_with_reasons_and_teaches_nothing(tmp_path: Path) -> None:
    good = data_set(tmp_path / "good", ["low", "high"], tracks=4)
    lines = bad_audio(good.parent)
    both = good.with_name("both.csv")
    both.write_text(good.read_text() + "\n".join(lines) + "\n")
    answer = said(command(both, tmp_path / "enc"), code=3)
    bad = {"nan", "silent", "short", "empty", "text", "missing", "huge"}
    for name in ("kinds", "traits"):
        listed = [one for one in answer["failures"] if one["source"] == name]
        assert {Path(one["path"]).stem for one in listed} == bad
        assert all(one["reason"] and one["line"] > 1 for one in listed)
    assert answer["quarantined"] == 2 * len(bad)
    page = (tmp_path / "enc" / "report.html").read_text()
    assert "silent.wav" in page
    assert "14 files could not be used" in page
    again = said(command(both, tmp_path / "enc"), code=3)
    assert again["failures"] == answer["failures"]


def test_failures_are_told_again_after_an_interruption(tmp_path: Path) -> None:
    good = data_set(tmp_path / "good", ["low", "high"], tracks=4)
    (good.parent / "low3.wav").write_bytes(b"")
    with pytest.raises(StoppedError):
        learn([named("one", good)], tmp_path / "enc", watch=stopped_in(1))
    done = learn([named("one", good)], tmp_path / "enc")
    assert [Path(one["path"]).name for one in done.failures] == ["low3.wav"]


def test_a_source_of_which_nothing_can_be_heard(one: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deaf"
    folder.mkdir()
    (folder / "tracks.csv").write_text(
        "path,kind\n" + "".join(f"{n}.wav,{'ab'[n % 2]}\n" for n in range(8))
    )
    deaf = named("deaf", folder / "tracks.csv", group=None)
    with pytest.raises(
        UsageError, match=r"got 0 of 8 labelled tracks of deaf.*no such file|"
    ) as no:
        learn([named("one", one), deaf], tmp_path / "enc")
    assert "0.wav" in str(no.value) or "file" in str(no.value)
    learn([named("one", one)], tmp_path / "enc")  # the folder is nobody's yet


def test_tracks_that_carry_every_label_are_counted_and_a_set_of_them_is_told(
    tmp_path: Path,
) -> None:
    one = data_set(tmp_path / "one", ["low", "high"], tracks=6)
    header, *lines = one.read_text().splitlines()
    lines[3] = lines[3].replace(",low,", ",low;high,")
    one.write_text("\n".join([header, *lines]) + "\n")
    done = learn([named("one", one)], tmp_path / "enc")
    assert any(
        "1 tracks carry every label and teach nothing" in note
        for note in done.encoder.training["notes"]
    )
    full = one.with_name("full.csv")
    full.write_text(one.read_text().replace(",low,", ",low;high,").replace(",high,", ",low;high,"))
    with pytest.raises(UsageError, match="lack a label") as refused:
        learn([named("full", full)], tmp_path / "full")
    assert "full" in str(refused.value)


def test_what_cannot_be_heard_may_leave_nothing_to_learn(tmp_path: Path) -> None:
    """The only training tracks that lack a label are no audio: known once they were opened."""
    one = data_set(tmp_path / "one", ["low", "high"], tracks=6)
    (taught,) = read_sources([named("one", one)], share=0.25, seed=SETTINGS.seed)
    held = {i for i, valid in zip(taught.manifest.ids, taught.valid, strict=True) if valid}
    header, *lines = one.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    lacking = next(cell for cell in cells if cell[1] not in held)
    for cell in cells:
        if cell[1] not in held and cell is not lacking:
            cell[2] = "low;high"
    (one.parent / lacking[0]).write_bytes(b"")
    one.write_text("\n".join([header, *(",".join(cell) for cell in cells)]) + "\n")
    with pytest.raises(UsageError, match="tracks of one to learn from that lack a label"):
        learn([named("one", one)], tmp_path / "enc")


def test_a_rate_that_diverges_is_told_and_the_checkpoint_kept(one: Path, tmp_path: Path) -> None:
    with pytest.raises(SegueError, match=r"finite loss.*lower --learning-rate"):
        learn([named("one", one)], tmp_path / "enc", settings=replace(SETTINGS, learning_rate=1e29))
    assert not (tmp_path / "enc" / "encoder.json").exists()
    done = CliRunner().invoke(app, command(one, tmp_path / "cli", "--learning-rate", "1e25"))
    assert done.exit_code == 1
    assert "lower --learning-rate" in " ".join(done.output.split())
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_settings_that_warp_cannot_follow(one: Path, tmp_path: Path) -> None:
    for settings in (
        replace(SETTINGS, precision="bfloat16"),
        replace(SETTINGS, stop_on="valid_auc"),
    ):
        with pytest.raises(UsageError, match="valid_map or valid_p1"):
            learn([named("one", one)], tmp_path / "enc", settings=settings)
    assert not (tmp_path / "enc").exists()


def test_a_damaged_checkpoint_is_told(one: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        learn([named("one", one)], tmp_path / "enc", watch=stopped_in(2))
    path = tmp_path / "enc" / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: wanted a whole checkpoint"):
        learn([named("one", one)], tmp_path / "enc")


def test_a_folder_with_something_else_is_refused(one: Path, tmp_path: Path) -> None:
    (tmp_path / "enc").mkdir()
    (tmp_path / "enc" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"new folder.*thesis\.txt"):
        learn([named("one", one)], tmp_path / "enc")
    assert [path.name for path in (tmp_path / "enc").iterdir()] == ["thesis.txt"]


def test_ctrl_c_says_so_and_the_run_goes_on(one: Path, tmp_path: Path) -> None:
    """SIGINT while it trains: one sentence, exit code 130, no process left, then resumed."""
    arguments = command(one, tmp_path / "enc", "--workers", "2", "--epochs", "100000")
    arguments += ["--patience", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "segue", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ONE_THREAD,
        start_new_session=True,
        text=True,
    ) as running:
        for _ in range(2400):
            if (tmp_path / "enc" / "run" / "checkpoint.safetensors").exists():
                break
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 130, errors
    assert "interrupted: what was finished is kept" in " ".join(errors.split())
    assert "Traceback" not in errors
    assert not left(running.pid), "no process of the command's own is left"
    before = checkpoint.load(tmp_path / "enc" / "run" / "checkpoint.safetensors")[1]["position"]
    assert before["curve"]


def left(group: int, seconds: float = 10.0) -> bool:
    """Whether a process of a group is there for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(_group(one) == group for one in psutil.process_iter()):
            return False
        time.sleep(0.05)
    return True


def _group(process: psutil.Process) -> int | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None


def test_an_empty_list_of_sources(tmp_path: Path) -> None:
    sources: list[Source] = []
    with pytest.raises(UsageError, match="got none"):
        pretrain_warp(sources, tmp_path / "enc")
    shutil.rmtree(tmp_path)
