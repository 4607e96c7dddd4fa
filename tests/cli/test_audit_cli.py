"""``segue audit`` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from segue.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments])


@pytest.fixture
def leaky(tmp_path: Path) -> tuple[str, str]:
    """A matrix whose batches of 64 differ, in files sorted by label, and the labels."""
    rng = np.random.default_rng(0)
    shifts = np.repeat(rng.normal(size=(5, 12)), 64, axis=0)[:300]
    np.save(tmp_path / "X.npy", rng.normal(size=(300, 12)) + shifts)
    (tmp_path / "labels.csv").write_text("genre\n" + "a\n" * 100 + "b\n" * 100 + "c\n" * 100)
    return str(tmp_path / "X.npy"), str(tmp_path / "labels.csv")


def test_json_is_the_contract(leaky: tuple[str, str]) -> None:
    done = run(*leaky, "--target", "genre", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["verdict"] == "leak"
    for test in said["tests"]:
        wanted = {"name", "verdict", "statistic", "low", "high", "control", "p_value", "words"}
        assert wanted <= set(test)
        assert test["verdict"] in ("clear", "suspect", "leak")
    assert {one["name"] for one in said["not_run"]} >= {"file format", "groups on both sides"}
    assert said["report"] is None


def test_people_read_verdicts_and_sentences(leaky: tuple[str, str], tmp_path: Path) -> None:
    done = run(*leaky, "--target", "genre", "-o", str(tmp_path / "report"))
    assert done.exit_code == 0, done.output
    sentence = " ".join(done.output.split())
    assert "batch order: Every 64 rows" in sentence
    assert "file format: not run" in sentence
    assert (tmp_path / "report" / "report.html").is_file()


def test_several_matrices_stand_side_by_side(leaky: tuple[str, str]) -> None:
    done = run(leaky[0], *leaky, "--target", "genre", "--batch-size", "64,32", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["features"] == "X.npy + X.npy"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "mood"], "'mood'"),
        (["--target", "genre", "--batch-size", "many"], "--batch-size as whole numbers"),
        (["--target", "genre", "--task", "ranking"], "classification, tagging or regression"),
        (["--target", "genre", "--group", "artist"], "'artist'"),
        (["--target", "genre", "--split", "part"], "'part'"),
        (["--target", "genre", "--encoder", "mfcc"], "--encoder with a store only"),
    ],
)
def test_what_cannot_be_is_refused(leaky: tuple[str, str], options: list[str], said: str) -> None:
    done = run(*leaky, *options)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.split())


def test_released_gtzan_is_a_leak_and_its_mfcc_is_not(segue_data: Path) -> None:
    folder = segue_data / "choi2017"
    labels = str(folder / "data_csv" / "gtzan_genre.csv")
    said = {}
    for features in ("layer_4", "mfcc"):
        matrix = str(folder / "data_feats" / f"gtzan_genre_{features}.npy")
        done = run(matrix, labels, "--target", "label", "--json")
        assert done.exit_code == 0, done.output
        said[features] = json.loads(done.stdout)
    assert said["layer_4"]["verdict"] != "clear"
    assert said["mfcc"]["verdict"] == "clear"
    by_name = {test["name"]: test for test in said["mfcc"]["tests"]}
    assert len(by_name["duplicates"]["rows"]) > 20  # GTZAN holds recordings twice
