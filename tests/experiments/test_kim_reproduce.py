"""The whole reproduction of Kim et al. 2018 on tiny data sets of tones and noise, made once."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from labelled_music import RATE, TRAITS, sound
from segue.cli import app
from segue.datasets import Manifest
from segue.errors import UsageError
from segue.experiments.kim2018 import (
    Music,
    Reproduction,
    Scale,
    named_music,
    networks,
    reproduce,
    transfer,
)

TINY = Scale(
    name="tiny",
    width=0.0625,
    batch=8,
    epochs=1,
    draw="batch",
    segments=2,
    mlp_epochs=3,
    mlp_batch=8,
    words=8,
    topics=2,
    passes=1,
)
COLUMNS = [
    *("task", "features", "metric", "ours", "theirs", "difference", "protocol"),
    *("se", "low", "high", "seeds"),
]
KINDS = ("low", "noise")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips of 12 artists with two albums each, and one file that is none."""
    folder = tmp_path_factory.mktemp("music")
    lines = ["path,kind,traits,artist,album"]
    for kind in KINDS:
        for number in range(12):
            name = f"{kind}{number}.wav"
            soundfile.write(folder / name, sound(kind, number), RATE)
            lines.append(f"{name},{kind},{TRAITS[kind]},{kind} {number // 2},album {number}")
    (folder / "broken.wav").write_bytes(b"")
    lines.append("broken.wav,low,dark,low 0,album 0")
    (folder / "tracks.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "tracks.csv"


def music(manifest: Path, **options: Any) -> Music:
    given: dict[str, Any] = {"target": "kind", "group": "artist", "fewest": 4, **options}
    return named_music(Manifest.read(manifest), **given)


@pytest.fixture(scope="module")
def done(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Reproduction, Path]:
    """All five tasks, one seed."""
    out = tmp_path_factory.mktemp("kim") / "out"
    with_labels = music(manifest, labels=("traits",))
    options: dict[str, Any] = {"scale": TINY, "seeds": (0,), "jobs": 1, "encoders": ("mfcc",)}
    return reproduce(with_labels, out, splits=("artist",), **options), out


QUICK: dict[str, Any] = {"scale": TINY, "seeds": (0, 1), "jobs": 1, "encoders": ()}


@pytest.fixture(scope="module")
def seeded(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Reproduction, Path]:
    """Two seeds of the album split, no sub-genres."""
    out = tmp_path_factory.mktemp("seeds") / "out"
    return reproduce(music(manifest, album="album"), out, splits=("album",), **QUICK), out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_is_written(done: tuple[Reproduction, Path]) -> None:
    made, out = done
    for name in ("kim2018.csv", "differences.csv", "findings.csv", "kim2018.md", "report.html"):
        assert (out / name).stat().st_size > 0
    plots = {path.stem for path in (out / "plots").glob("*.png")}
    assert len(plots) == 2
    rows = rows_of(out / "kim2018.csv")
    assert list(rows[0]) == COLUMNS
    assert len(rows) == len(made.rows)
    assert {row["theirs"] for row in rows} == {""}, "this is not the paper's data set"


def test_every_system_of_every_table_is_there(done: tuple[Reproduction, Path]) -> None:
    made, out = done
    keys = [(row["features"], row["metric"]) for row in rows_of(out / "kim2018.csv")]
    assert len(set(keys)) == len(keys)
    features = {name for name, _ in keys}
    assert sum(name.startswith("STN") and "mean" not in name for name in features) == 31
    assert sum(name.startswith("MTN") and "mean" not in name for name in features) == 26
    assert {f"wSTN {n}" for n in range(2, 6)} <= features
    assert {"prior", "untrained", "untrained, five", "mfcc, SVM"} <= features
    assert {"STN with g, mean", "MTN without g, mean", "STN of 1, mean"} <= features
    for name in features - {"mfcc, SVM"}:
        assert {(name, "log loss"), (name, "macro F1"), (name, "accuracy")} <= set(keys)
    assert ("mfcc, SVM", "log loss") not in keys, "an SVM has no probabilities"
    assert {row.seeds for row in made.rows} == {1}


def test_noise_is_told_from_tones(done: tuple[Reproduction, Path]) -> None:
    scores = {(row.features, row.metric): row.ours for row in done[0].rows}
    assert scores["mfcc, SVM", "accuracy"] == 1.0
    assert scores["prior", "accuracy"] == 0.5


def test_one_seed_shows_nothing(done: tuple[Reproduction, Path]) -> None:
    """No interval, and so no claim."""
    found = rows_of(done[1] / "findings.csv")
    assert {row["verdict"] for row in found} == {"not shown"}
    assert all("one seed: no interval" in row["difference"] for row in found)


def test_what_could_not_be_heard_is_told(done: tuple[Reproduction, Path]) -> None:
    made, out = done
    assert [Path(path).name for path in made.failures] == ["broken.wav"]
    assert "1 tracks could not be used" in (out / "kim2018.md").read_text()
    assert len(made.music.manifest) == 24


def test_nothing_of_tested_artists_is_taught(done: tuple[Reproduction, Path]) -> None:
    made, _ = done
    (part,) = made.parts
    tested = part.split.test
    assert not set(made.music.artists[tested]) & set(made.music.artists[part.split.train])
    for letter in made.music.tasks:
        task = networks.task_of(part, letter)
        assert not task.known[tested].any()
        assert task.known[part.taught].all()


def test_seeds_give_intervals_and_the_page_says_what_is_missing(
    seeded: tuple[Reproduction, Path],
) -> None:
    made, out = seeded
    rows = rows_of(out / "kim2018.csv")
    singles = {row["features"] for row in rows if "STN" in row["features"]}
    assert sum(name.startswith("STN") and "mean" not in name for name in singles) == 15
    for row in rows:
        assert float(row["low"]) <= float(row["ours"]) <= float(row["high"])
    page = (out / "kim2018.md").read_text()
    assert "No column of sub-genre labels was named" in page
    assert "No random and no artist-disjoint split here" in page
    assert "Scale tiny: channels as a share of the paper's 0.0625 (paper 1)" in page
    beside = rows_of(out / "differences.csv")
    losses = {row.features: row.ours for row in made.rows if row.metric == "log loss"}
    for minus in ("STN g", "STN gedm"):
        (found,) = (
            float(row["mean"])
            for row in beside
            if (row["features"], row["minus"], row["metric"]) == ("MTN gedm", minus, "log loss")
        )
        assert found == pytest.approx(losses["MTN gedm"] - losses[minus], abs=1e-4)


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(
    seeded: tuple[Reproduction, Path], manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells, networks, features, targets removed at random; another number of processes."""
    _, out = seeded
    before = (out / "kim2018.csv").read_bytes()
    parts = sorted((out / "parts").iterdir())
    for path in (
        list((out / "cells").glob("*/STN*"))[::2] + list((out / "cells").glob("*/MTN*"))[::3]
    ):
        path.unlink()
    for path in list((parts[0] / "networks").glob("MTN*"))[::2]:
        path.unlink()
    shutil.rmtree(parts[1] / "features")
    (parts[0] / "targets" / "m.safetensors").unlink()
    options = {**QUICK, "jobs": 2}
    reproduce(music(manifest, album="album"), out, splits=("album",), **options)
    assert (out / "kim2018.csv").read_bytes() == before

    def never(*_: object, **__: object) -> None:
        raise AssertionError("this is there")

    for name in ("trained", "SegmentMLP"):
        monkeypatch.setattr(transfer, name, never)
    monkeypatch.setattr(networks, "factor_target", never)
    reproduce(music(manifest, album="album"), out, splits=("album",), **QUICK)
    assert (out / "kim2018.csv").read_bytes() == before


def test_a_training_that_was_killed_goes_on(
    seeded: tuple[Reproduction, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = seeded[0].parts[0]
    system = transfer.System("MTN", "gd", 2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes of a run: sums in one order
    path = part.folder / "networks" / "MTN-gd.safetensors"
    network, _ = networks.trained(part, system)
    path.unlink()

    class KilledError(Exception):
        pass

    def kill(_: str, step: int, total: int) -> None:
        if step > total // 2:
            raise KilledError

    with pytest.raises(KilledError):
        networks.trained(part, system, kill)
    assert not path.exists()
    again, _ = networks.trained(part, system)
    torch.set_num_threads(threads)
    for name, values in again.state_dict().items():
        assert values.equal(network.state_dict()[name]), name


def test_the_control_depends_on_nothing_that_ran_before(
    seeded: tuple[Reproduction, Path],
) -> None:
    part = seeded[0].parts[0]
    found = []
    for before in (1, 2):
        torch.manual_seed(before)
        found.append(networks.untrained(part, part.clips(), 0).state_dict())
    assert all(values.equal(found[1][name]) for name, values in found[0].items())


def test_a_feature_file_that_was_removed_is_made_again(
    seeded: tuple[Reproduction, Path],
) -> None:
    part = seeded[0].parts[0]
    path = part.features_path("g", "train")
    before = path.read_bytes()
    path.unlink()
    assert not part.has_features("g")
    networks.keep_features(part, "g")
    assert len(path.read_bytes()) == len(before)


def test_other_features_under_the_same_name_are_scored_anew(
    seeded: tuple[Reproduction, Path],
) -> None:
    part = seeded[0].parts[0]
    X = np.random.default_rng(0).normal(size=(len(part.music.genre), 4)).astype(np.float32)
    transfer.score_encoder(part, "some", X)
    assert not transfer.encoder_lacking(part, "some", X)
    assert transfer.encoder_lacking(part, "some", X + 1)


def test_other_sizes_use_no_old_number(
    seeded: tuple[Reproduction, Path], manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def never(*_: object, **__: object) -> None:
        raise AskedError

    monkeypatch.setattr(networks, "factor_target", never)
    options = {**QUICK, "scale": replace(TINY, epochs=2)}
    with pytest.raises(AskedError):
        reproduce(music(manifest, album="album"), seeded[1], splits=("album",), **options)


def test_wrong_wishes_are_refused_before_anything_is_heard(manifest: Path, tmp_path: Path) -> None:
    plain = music(manifest)
    for options, told in (
        ({"splits": ("album",)}, "random, artist"),
        ({"splits": ()}, "a split"),
        ({"seeds": ()}, "one seed"),
        ({"heads": ("forest",)}, "forest"),
        ({"device": "abacus"}, "abacus"),
    ):
        with pytest.raises(UsageError, match=told):
            reproduce(plain, tmp_path / "out", **{**QUICK, **options})
    with pytest.raises(UsageError, match="two classes of 7 artists"):
        music(manifest, fewest=7)
    assert not (tmp_path / "out").exists()


def run(arguments: Sequence[object], code: int) -> Any:
    found = CliRunner().invoke(app, ["reproduce", "kim2018", *map(str, arguments)])
    assert found.exit_code == code, (found.output, found.exception)
    return found


def test_wrong_arguments_end_with_a_sentence(manifest: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out")
    given = ("--manifest", manifest, "--target", "kind")
    for arguments, told in (
        ((), "--data FOLDER, or --manifest"),
        (given, "--group COLUMN"),
        ((*given, "--group", "artist", "--seeds", 0), "--seeds 0"),
        ((*given, "--group", "artist", "--scale", "huge"), "full, small"),
        ((*given, "--group", "artist"), "two classes of 10 artists"),
        ((*given, "--group", "singer"), "singer"),
        ((*given, "--group", "artist", "--labels", "moods"), "moods"),
        ((*given, "--group", "artist", "--album", "record"), "record"),
        (("--data", tmp_path, "--group", "artist"), "--group"),
        (("--data", tmp_path), "fma"),
    ):
        stderr = run([*arguments, *out], 2).stderr
        assert told in " ".join(stderr.split()), arguments
    assert not (tmp_path / "out").exists()


def test_from_the_command_line(
    seeded: tuple[Reproduction, Path], manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished run again, as a user asks for it."""
    from segue.experiments.kim2018 import scale

    monkeypatch.setitem(scale.SCALES, "tiny", TINY)  # type: ignore[index]
    given = ["--manifest", manifest, "--target", "kind", "--group", "artist", "--album", "album"]
    given += ["--min-artists", 4, "--scale", "tiny", "--splits", "album", "--seeds", 2]
    out = seeded[1]
    said = json.loads(run([*given, "-o", out, "--workers", 1, "--json"], 3).stdout)
    assert set(said) == {"rows", "failures", "report"}
    assert list(said["rows"][0]) == COLUMNS
    text = " ".join(run([*given, "-o", out, "--workers", 1], 3).stdout.split())
    assert "STN gedm" in text
    assert "broken.wav" in text
