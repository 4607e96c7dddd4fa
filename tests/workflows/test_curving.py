"""``curve`` from audio files to tables and a page; interrupted, it goes on; real music."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from segue.cli import app
from segue.cli.curving import parse_sizes
from segue.datasets import Manifest
from segue.errors import ManifestError, UsageError
from segue.evaluation import label_curves as module
from segue.workflows import curve, embed
from segue.workflows.curvefiles import CURVE_COLUMNS, FoldParts

SETTINGS: dict[str, Any] = {
    "encoders": ["mfcc", "random-convnet@1"],
    "sizes": [1, None],
    "repeats": 2,
    "folds": 2,
    "workers": 1,
}


def test_curve_writes_tables_and_a_page(music: Path, tmp_path: Path) -> None:
    done = curve(music / "tracks.csv", "style", group="artist", out=tmp_path / "out", **SETTINGS)
    with (tmp_path / "out/curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CURVE_COLUMNS
    assert len(rows) == len(done.rows())
    main = [row for row in rows if row["metric"] == "accuracy"]
    assert [(row["encoder"], row["layers"], row["size"], row["clips"]) for row in main] == [
        ("mfcc", "", "1", "2.0"),
        ("mfcc", "", "all", "4.0"),
        ("random-convnet", "1", "1", "2.0"),
        ("random-convnet", "1", "all", "4.0"),
        ("chance", "", "", ""),
        ("majority", "", "", ""),
    ]
    assert {row["metric"] for row in rows if ":" in row["metric"]} == {
        f"{kind}:{label}" for kind in ("recall", "f1") for label in ("calm", "wild")
    }
    assert any("4 groups are too few" in note for note in done.curves.notes)
    for name in ("differences.csv", "equivalence.csv", "classes.csv", "plots/curve.png"):
        assert (tmp_path / "out" / name).is_file()
    assert done.page is not None
    assert "random-convnet@1" in done.page.read_text()


def test_interrupted_it_goes_on_where_it_stopped(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, out = music / "tracks.csv", tmp_path / "out"
    whole = curve(inputs, "style", store=tmp_path / "store", **SETTINGS)
    taught: list[int] = []
    honest = module.fold_predictions

    def stopping(*args: Any, fold: int, **more: Any) -> Any:
        if len(taught) == 3:
            raise KeyboardInterrupt
        taught.append(fold)
        return honest(*args, fold=fold, **more)

    monkeypatch.setattr(module, "fold_predictions", stopping)
    run = {**SETTINGS, "store": tmp_path / "store", "out": out}
    with pytest.raises(KeyboardInterrupt):
        curve(inputs, "style", **run)
    monkeypatch.setattr(
        module, "fold_predictions", lambda *a, **k: (taught.append(9), honest(*a, **k))[1]
    )
    resumed = curve(inputs, "style", **run)
    assert taught == [0, 1, 0, 9]
    assert resumed.rows()[:8] == whole.rows()[:8]
    curve(inputs, "style", **{**run, "seed": 1})
    assert len(taught) == 4 + 4  # another seed: nothing kept is used


def test_damaged_parts_are_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = FoldParts(tmp_path, {"x@1": "a" * 64})
    parts.put("x@1", 0, (np.arange(6).reshape(1, 2, 3), 2))
    kept = next(tmp_path.iterdir())
    found = parts.get("x@1", 0)
    assert found is not None
    assert (found[0].tolist(), found[1]) == ([[[0, 1, 2], [3, 4, 5]]], 2)
    other = FoldParts(tmp_path, {"x@1": "a" * 16 + "b" * 48})  # the same name, another digest
    assert other.get("x@1", 0) is None
    whole = kept.read_bytes()
    for content in (b"", whole[:50], whole[: len(whole) // 2]):
        kept.write_bytes(content)
        assert parts.get("x@1", 0) is None
    assert "computed again" in caplog.text


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"target": "nothing"}, ManifestError, "nothing"),
        ({"group": "nothing"}, ManifestError, "nothing"),
        ({"encoders": []}, UsageError, "one encoder or more"),
        ({"encoders": ["mfcc", "mfcc"]}, UsageError, "each once"),
        ({"encoders": ["no-such"]}, UsageError, "no-such"),
        ({"sizes": [0]}, UsageError, "each 1 or more"),
        ({"sizes": [50]}, UsageError, "a size of"),
        ({"repeats": 0}, UsageError, "one repeat"),
        ({"folds": 9}, UsageError, "9 folds"),
        ({"head": "tree"}, UsageError, "'tree'"),
        ({"out": None}, UsageError, "neither out nor store"),
    ],
)
def test_what_cannot_be_done_is_said_before_embedding(
    music: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    given: dict[str, Any] = {"target": "style", "out": tmp_path / "out", **SETTINGS, **change}
    with pytest.raises(error, match=words):
        curve(music / "tracks.csv", **given)
    assert not (tmp_path / "out").exists()


def test_quarantined_files_are_left_out_and_listed(music: Path, tmp_path: Path) -> None:
    (music / "calm/0.wav").write_bytes(b"")
    done = curve(music / "tracks.csv", "style", out=tmp_path / "out", **SETTINGS)
    assert len(done.failures) == 1
    assert done.curves.n == 7
    assert done.page is not None
    assert "0.wav" in done.page.read_text()


def test_the_command_for_people_and_machines(music: Path, tmp_path: Path) -> None:
    arguments = [
        *("curve", str(music / "tracks.csv"), "--target", "loudness", "--encoders", "mfcc"),
        *("--folds", "2", "--repeats", "2", "--sizes", "2,all", "--workers", "1"),
        *("-o", str(tmp_path / "out")),
    ]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "labelled clips" in told.stdout
    machine = CliRunner().invoke(app, [*arguments, "--json"])
    answer = json.loads(machine.stdout)
    r2 = [row for row in answer["rows"] if row["metric"] == "r2"]
    assert [(row["encoder"], row["size"]) for row in r2] == [
        ("mfcc", "2"), ("mfcc", "all"), ("chance", "")
    ]  # fmt: skip
    assert answer["classes"] == answer["equivalences"] == []
    assert answer["quarantined"] == 0
    (music / "calm/0.wav").write_bytes(b"")
    assert CliRunner().invoke(app, arguments).exit_code == 3
    wrong = CliRunner().invoke(app, [*arguments, "--sizes", "2,many"])
    assert (wrong.exit_code, "many" in wrong.stderr) == (2, True)


def test_a_predefined_split_is_not_passed_over_in_silence(music: Path, tmp_path: Path) -> None:
    lines = (music / "tracks.csv").read_text().splitlines()
    folds = [f"{line},{'fold' if not n else n % 2}" for n, line in enumerate(lines)]
    (music / "folded.csv").write_text("\n".join(folds) + "\n")
    settings = {**SETTINGS, "encoders": ["mfcc"], "store": tmp_path / "store"}
    done = curve(music / "folded.csv", "style", **settings)
    assert any("'fold' is not obeyed" in note for note in done.curves.notes)


def test_sizes_are_numbers_and_all() -> None:
    assert parse_sizes("all,3") == [None, 3]
    for text in ("-1", "2.5", "a"):
        with pytest.raises(UsageError, match="whole numbers"):
            parse_sizes(text)


def test_mfcc_learn_more_of_real_genres_from_more_labels(segue_data: Path, tmp_path: Path) -> None:
    """gtzan100, ten clips of ten genres: above chance with one clip a class, and rising."""
    manifest = Manifest.read(segue_data / "gtzan100/manifest.csv")
    embed(manifest, tmp_path / "store", encoder="mfcc", workers=2)
    done = curve(
        manifest, "genre", encoders=["mfcc"], store=tmp_path / "store", sizes=[1, None], workers=1
    )
    mean, low = done.curves.main.mean[0], done.curves.main.low[0]
    assert mean[0] > 0.2
    assert mean[1] > mean[0] + 0.1
    assert low[0] > 0.1  # chance
    assert done.curves.per.tolist() == [1, 8]
