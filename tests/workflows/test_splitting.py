"""Predefined splits are obeyed, checked, written and taken again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from segue.cli import app
from segue.datasets import Manifest
from segue.errors import ManifestError, UsageError
from segue.workflows import evaluate
from segue.workflows.splitting import read_split


def manifest_of(**columns: list[str]) -> Manifest:
    n = len(next(iter(columns.values())))
    rows = [
        {"path": f"{k}.wav", **{name: cells[k] for name, cells in columns.items()}}
        for k in range(n)
    ]
    return Manifest.from_rows(rows)


def test_numbers_names_and_parts() -> None:
    folds = read_split(manifest_of(fold=["3", "1", "3"]), None)
    assert folds is not None
    assert folds.folds.tolist() == [[3, 1, 3]]
    assert "--split none" in folds.notes[0]
    named = read_split(manifest_of(part=["b", "a", "b"]), "part")
    assert named is not None
    assert (named.folds.tolist(), named.notes) == ([[1, 0, 1]], ())
    parts = read_split(manifest_of(split=["train", "Test", "valid"]), None)
    assert parts is not None
    assert parts.folds.tolist() == [[-1, 0, -1]]
    assert read_split(manifest_of(fold=["1", "2"]), "none") is None
    assert read_split(manifest_of(fold=["", ""]), None) is None
    assert read_split(manifest_of(genre=["a", "b"]), None) is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "", "2"], "1 tracks without one, first in line 2"),
        (["train", "test", "other"], "'other' beside 'test'"),
        (["1", "1", "1"], "1 different values"),
        ([str(k) + "x" for k in range(101)], "101 different values"),
    ],
)
def test_columns_that_are_no_split(cells: list[str], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_split(manifest_of(fold=cells), None)


def test_either_given_or_new() -> None:
    with pytest.raises(UsageError, match="Drop --folds"):
        read_split(manifest_of(fold=["1", "2"]), None, new_folds=True)
    assert read_split(manifest_of(fold=["1", "2"]), "none", new_folds=True) is None
    with pytest.raises(ManifestError, match="column among"):
        read_split(manifest_of(fold=["1", "2"]), "folds")


def run(music: Path, out: Path, **options: object):
    settings = {"encoders": ["mfcc"], "heads": ["linear"], "inner": 2, "workers": 1}
    return evaluate(music / "tracks.csv", ["style"], out=out, **{**settings, **options})


def test_a_written_split_is_taken_again(music: Path, tmp_path: Path) -> None:
    first = run(music, tmp_path / "a", folds=2, repeats=2, seed=3)
    written = tmp_path / "a/splits/style.csv"
    again = run(music, tmp_path / "b", split=str(written))
    digests = [[one.digest for one in done.results[0].splits] for done in (first, again)]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 2
    assert again.results[0].splits[1].name == "split style.csv, repeat 2"
    assert (tmp_path / "b/splits/style.csv").read_bytes() == written.read_bytes()
    np.testing.assert_array_equal(first.results[0].folds, again.results[0].folds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\nnobody,1\n", "none of the manifest's ids"),
        ("name,x\n0,1\n", "no columns id and folds"),
        ("id,x\n0,1\n0,2\n", "an id twice"),
        ("id,x\n0,1\n1,0\n", "6 tracks without one"),
    ],
)
def test_files_that_are_no_split(text: str, message: str, music: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        run(music, tmp_path / "r", split=str(tmp_path / "s.csv"))
    with pytest.raises(ManifestError, match="a split that"):
        run(music, tmp_path / "r", split=str(tmp_path / "absent.csv"))
    assert not (tmp_path / "r").exists()


def test_torn_artists_are_refused_before_any_work(music: Path, tmp_path: Path) -> None:
    table = (music / "tracks.csv").read_text().splitlines()
    lines = [f"{line},{'fold' if k == 0 else k % 2}" for k, line in enumerate(table)]
    (music / "folds.csv").write_text("\n".join(lines) + "\n")
    args = ["evaluate", str(music / "folds.csv"), "--target", "style", "--group", "artist",
            "--encoders", "mfcc", "--heads", "linear", "--workers", "1", "--inner", "2",
            "-o", str(tmp_path / "r")]  # fmt: skip
    answer = CliRunner().invoke(app, args)
    assert answer.exit_code == 2
    assert "--shared-groups" in answer.output
    assert not (tmp_path / "r").exists()
    answer = CliRunner().invoke(
        app, [*args, "-o", str(tmp_path / "r"), "--shared-groups", "--json"]
    )
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert any("stand on both sides" in note for note in found["notes"]["style"])
    assert found["splits"]["style"][0]["name"] == "column 'fold'"
    assert found["search"]["style"]["mfcc"]["fits"] == 2 * (2 + 1)
    assert found["encoders"]["mfcc"]["numbers"] == 120
    assert found["encoders"]["mfcc"]["ms"] > 0


def test_unused_artists_are_told(music: Path, tmp_path: Path) -> None:
    notes = run(music, tmp_path / "r", folds=4, costs=False).results[0].notes
    assert any("artists with" in note and "--group artist" in note for note in notes)


def test_a_stopped_search_goes_on(music: Path, tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("evaluating") and done == 2:
            raise KeyboardInterrupt

    options = {"folds": 4, "costs": False}
    with pytest.raises(KeyboardInterrupt):
        run(music, tmp_path / "r", watch=stop, **options)
    kept = list((tmp_path / "r/search/style/mfcc").iterdir())
    assert len(kept) == 2
    told: list[tuple[str, int, int]] = []
    resumed = run(music, tmp_path / "r", watch=lambda *at: told.append(at), **options)
    assert [at for at in told if at[0] == "evaluating style"] == [
        ("evaluating style", 3, 4), ("evaluating style", 4, 4)
    ]  # fmt: skip
    fresh = run(music, tmp_path / "other", **options)
    assert resumed.rows() == fresh.rows()
    # other settings are other outcomes
    other = run(music, tmp_path / "r", **{**options, "scale": False})
    assert other.provenance["settings"]["scale"] is False  # type: ignore[index]
    assert len(list((tmp_path / "r/search/style/mfcc").iterdir())) == 8
