"""The page, the tables and the files of a reproduction, from numbers made up for the purpose."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.evaluation.blocks import Blocks
from segue.experiments.choi2017 import page
from segue.experiments.choi2017.material import Material, feature_sets, paper_splits
from segue.experiments.choi2017.page import Done
from segue.experiments.choi2017.reproduce import write
from segue.experiments.choi2017.runs import (
    AUTO,
    GROUPED,
    NESTED,
    ORDER,
    PAPER,
    SHUFFLED,
    Run,
    Scored,
)
from segue.experiments.choi2017.table import KEY_ROWS, agreement_words, steps, table_rows
from segue.report import Section, markdown_sections
from segue.workflows.cells import folder_name

COLUMNS = ["task", "features", "metric", "ours", "theirs", "difference", "protocol"]


def done(*, classes: int = 3, protocols: tuple[str, ...] = (PAPER, SHUFFLED, GROUPED)) -> Done:
    n = 20 * max(classes, 2)
    y = np.arange(n) % classes if classes else np.linspace(0, 1, n)
    X = np.zeros((n, 2))
    layers = tuple("12345")
    one = Material(
        name="toy",
        title="Toy <b>task</b>",
        kind="classification" if classes else "regression",
        y=y,
        classes=tuple(f"class {i}" for i in range(classes)),
        convnet=Blocks((*layers, "mfcc"), (X,) * 6),
        random=Blocks(layers, (X,) * 5),
        splits=paper_splits("classification" if classes else "regression", y, "toy"),
        groups=np.arange(n) // 4,
        group_name="artist",
        theirs={"1": 0.9, "5": 0.8, "mfcc": 0.5},
        state_of_the_art=0.95,
        origin="made up",
        notes=("a note | with a bar",),
    )
    runs = {}
    for place, protocol in enumerate(protocols):
        rows = KEY_ROWS if protocol.startswith("step") else [*feature_sets(one)]
        scores = {
            label: Scored(
                score=0.9 - 0.05 * place - 0.01 * i,
                se=float("nan") if protocol == PAPER else 0.02,
                low=0.4,
                high=0.9,
                settings=({"kernel": "rbf", "C": 2.0},),
                predictions=y,
            )
            for i, label in enumerate(rows)
            if label in feature_sets(one)
        }
        if protocol in (SHUFFLED, GROUPED):
            chosen = ({"layers": "135"}, {"layers": "135"}, {"layers": "5"})
            scores[AUTO] = Scored(score=0.7, se=0.01, settings=chosen, predictions=y)
        runs[protocol] = Run(protocol=protocol, scores=scores, notes=("inner folds: 4",))
    return Done(material=one, runs=runs)


def test_files_have_every_cell_once_and_the_stable_columns(tmp_path: Path) -> None:
    one = done(protocols=(PAPER, ORDER, NESTED, SHUFFLED, GROUPED))
    path = write([one], tmp_path, title="Choi <2017>")
    with (tmp_path / "choi2017.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert {row["protocol"] for row in rows} == {PAPER, SHUFFLED, GROUPED}
    # 31 layer sets, MFCC, MFCC+12345, 31 of the untrained network; auto where nested
    assert len(rows) == 64 + 65 + 65
    assert len({(row["features"], row["protocol"]) for row in rows}) == len(rows)
    by_features = {row["features"]: row for row in rows if row["protocol"] == PAPER}
    assert by_features["135"]["theirs"] == by_features["135"]["difference"] == ""
    ours, theirs = float(by_features["5"]["ours"]), float(by_features["5"]["theirs"])
    assert float(by_features["5"]["difference"]) == pytest.approx(ours - theirs)
    with (tmp_path / "details.csv").open() as file:
        assert {row["protocol"] for row in csv.DictReader(file)} == set(one.runs)
    html = path.read_text()
    assert "<b>task" not in html
    assert "Toy &lt;b&gt;task" in html
    assert len(list((tmp_path / "plots").glob("*.png"))) == 3
    markdown = (tmp_path / "choi2017.md").read_text()
    for picture in re.findall(r"\(plots/([^)]*)\)", markdown):
        assert (tmp_path / "plots" / picture).is_file()


def test_several_targets_have_an_overview(tmp_path: Path) -> None:
    path = write([done(), done(classes=0)], tmp_path, title="T")
    assert "Figure 2" in path.read_text()
    assert (tmp_path / "plots" / "figure-2.png").is_file()


@pytest.mark.parametrize("protocols", [(PAPER,), (SHUFFLED,), (SHUFFLED, GROUPED)])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_any_choice_of_protocols_makes_a_page(
    tmp_path: Path, protocols: tuple[str, ...], classes: int
) -> None:
    path = write([done(classes=classes, protocols=protocols)], tmp_path, title="T")
    text = path.read_text()
    assert "Figure 2" not in text  # one target is no overview
    assert ("Figure 5" in text) == (PAPER in protocols and classes == 3)
    assert ("chosen inside" in text) == (PAPER not in protocols)


def test_the_way_from_paper_to_corrected_adds_up() -> None:
    one = done(protocols=(PAPER, ORDER, NESTED, SHUFFLED, GROUPED))
    chain = [step for step in steps(one.runs) if step.features == "12345"]
    assert [step.protocol for step in chain] == [PAPER, ORDER, NESTED, SHUFFLED, GROUPED]
    whole = one.runs[GROUPED].scores["12345"].score - one.runs[PAPER].scores["12345"].score
    assert sum(step.change for step in chain[1:]) == pytest.approx(whole)


def test_words_say_where_and_why_cells_differ() -> None:
    one = done(protocols=(PAPER,))
    words = agreement_words(one.material, table_rows(one.material, one.runs.values()))
    assert words.startswith("1 of 3 published scores")
    assert "mfcc" in words
    layers = [row for row in one.rows if row.features in ("1", "5")]
    assert "All that differ contain layer 5" in agreement_words(one.material, layers)
    assert "nothing" in agreement_words(one.material, [])
    assert page.summary([one])["Toy <b>task</b>"].count("best layer set") == 1


def test_markdown_escapes_what_would_break_a_table() -> None:
    text = markdown_sections("T", [Section("a|b", ["c | d *e*"])]).decode()
    assert "a\\|b" in text
    assert "c \\| d \\*e\\*" in text


def test_names_in_any_script_have_pictures_of_their_own(tmp_path: Path) -> None:
    first, second = done(protocols=(PAPER,)), done(protocols=(PAPER,))
    names = [
        replace(one, material=replace(one.material, name=name))
        for one, name in ((first, "ジャンル"), (second, "気分"))
    ]
    write(names, tmp_path, title="T")
    assert len(list((tmp_path / "plots").glob("*.png"))) == 5


def test_reasons_do_not_speak_of_file_order_where_a_split_was_published() -> None:
    runs = done(protocols=(PAPER, ORDER, NESTED, SHUFFLED)).runs
    words = " ".join(step.reason for step in steps(runs, published_split=True))
    assert "file order" not in words
    assert "published split" in words
    assert "file order" in " ".join(step.reason for step in steps(runs))


@pytest.mark.parametrize("name", ["../../up", "/root/x", "a b", "ジャンル", "", "x" * 300])
def test_cells_of_any_column_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    made = tmp_path / "cells" / folder_name(name)
    assert made.parent == tmp_path / "cells"
    assert made.name not in ("", ".", "..")
    assert folder_name(name) != folder_name(name + "y")
