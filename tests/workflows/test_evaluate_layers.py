"""`segue evaluate` with layers chosen inside the nested loop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segue.cli import app
from segue.errors import UsageError
from segue.workflows import evaluate


def test_auto_beside_fixed_layers(music: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    done = evaluate(
        music / "tracks.csv",
        ["style"],
        encoders=["random-convnet@auto", "random-convnet", "random-convnet@13", "mfcc"],
        out=tmp_path / "report",
        heads=["linear", "knn"],
        folds=2,
        inner=2,
        workers=1,
        watch=lambda *at: told.append(at),
    )
    labels = [(one.label, one.head) for one in done.results[0].encoders]
    expected = ["random-convnet@auto", "random-convnet@12345", "random-convnet@13", "mfcc"]
    assert labels == [
        *((e, h) for h in ("linear", "knn", "auto") for e in expected),
        *(("auto", "auto"), ("chance", "prior"), ("majority", "constant")),
    ]
    rows = {(row["encoder"], row["layers"]) for row in done.rows()}
    assert ("random-convnet", "auto") in rows
    chosen = done.results[0].encoders[0].settings
    assert len(chosen) == 2
    assert all(set(one["layers"]) <= set("12345") for one in chosen)
    pairs = {(test.first, test.second) for test in done.results[0].tests}
    assert ("random-convnet@auto", "random-convnet@12345") in pairs
    assert any("layers chosen among 31 sets" in note for note in done.results[0].notes)
    steps = [at for at in told if at[0] == "evaluating style"]
    assert steps[-1][1:] == (136, 136)  # two heads, two folds, 31 + 3 sets
    assert done.page is not None
    page = done.page.read_text()
    assert "What was chosen" in page
    assert "inside the nested loop" in page
    encoders = done.provenance["encoders"]
    assert isinstance(encoders, list)
    assert len(encoders) == 3  # auto and 12345 have one card


def test_layers_for_all_that_have_some(music: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app,
        [
            "evaluate", str(music / "tracks.csv"), "--target", "loudness", "--encoders",
            "mfcc,random-convnet,random-convnet@2", "--layers", "auto", "--heads", "ridge",
            "-o", str(tmp_path / "r"), "--folds", "2", "--inner", "2", "--workers", "1", "--json",
        ],
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)["rows"]
    found = [(row["encoder"], row["layers"]) for row in rows if row["metric"] == "r2"]
    assert found == [("mfcc", ""), ("random-convnet", "auto"), ("random-convnet", "2"),
                     ("auto", ""), ("chance", "")]  # fmt: skip
    done = evaluate(
        music / "tracks.csv",
        ["style"],
        encoders=["mfcc", "random-convnet"],
        layers="24",
        store=tmp_path / "r/features",
        heads=["linear"],
        folds=2,
        inner=2,
        workers=1,
    )
    assert [one.label for one in done.results[0].encoders][:2] == ["mfcc", "random-convnet@24"]


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        (["mfcc@auto"], "encoder with layers to choose among, got 'mfcc'"),
        (["random-convnet@auto", "random-convnet@auto"], "different encoders"),
        (["random-convnet@automatic"], "layers such as"),
    ],
)
def test_wrong_requests(encoders: list[str], message: str, music: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(music / "tracks.csv", ["style"], encoders=encoders, out=tmp_path / "r", folds=2)
    assert not (tmp_path / "r").exists()
