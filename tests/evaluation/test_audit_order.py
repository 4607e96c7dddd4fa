"""Borders of batches: found where they are, not where files are merely sorted."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from segue.errors import UsageError
from segue.evaluation.audit.borders import BorderScan, batch_sizes
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.order import batch_accuracy, order_test
from segue.evaluation.audit.recall import recall_test
from segue.evaluation.audit.simulated import Recipe, clean_recipes, simulate, with_leak
from segue.evaluation.audit.verdicts import LeakTest, NotRun, decide
from segue.seeds import generator

LAYERS = [f"layer_{number}" for number in range(5)]


def released(data: Path, name: str, *features: str) -> AuditSet:
    """Features that the authors of Choi et al. 2017 released, with their labels."""
    folder = data / "choi2017"
    with (folder / "data_csv" / f"{name}.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    blocks = [np.load(folder / "data_feats" / f"{name}_{one}.npy") for one in features]
    return AuditSet(X=np.hstack(blocks), y=labels, task="classification")


@pytest.mark.parametrize("features", [*([layer] for layer in LAYERS), LAYERS], ids=str)
def test_released_gtzan_features_show_their_batches(segue_data: Path, features: list[str]) -> None:
    found = order_test(released(segue_data, "gtzan_genre", *features))
    assert found.size == 256
    assert found.p_value < 0.01


@pytest.mark.parametrize("features", [LAYERS[:1], LAYERS[4:], LAYERS], ids=str)
def test_released_ballroom_features_show_their_batches(
    segue_data: Path, features: list[str]
) -> None:
    found = order_test(released(segue_data, "ballroom_extended", *features))
    assert found.size == 256
    assert found.p_value < 0.005


@pytest.mark.parametrize("name", ["gtzan_genre", "ballroom_extended", "gtzan_speechmusic"])
def test_mfcc_of_the_same_files_show_none(segue_data: Path, name: str) -> None:
    assert order_test(released(segue_data, name, "mfcc")).p_value > 0.3


def test_country_is_lost_across_the_border(segue_data: Path) -> None:
    """Measured apart from this code: recall falls from .95 and .84 to .02."""
    data = released(segue_data, "gtzan_genre", *LAYERS)
    found = recall_test(data, order_test(data))
    assert isinstance(found, LeakTest)
    row = next(row for row in found.rows if row["border before row"] == 256)
    assert row["recall within"] > 0.8
    assert row["recall across"] < 0.05
    assert found.low > 0.3
    assert found.p_value < 0.01


def test_the_batch_is_named_by_the_features(segue_data: Path) -> None:
    """99.0 % with a classifier of its own; 70.3 % from MFCC, as files are sorted."""
    data = released(segue_data, "gtzan_genre", *LAYERS)
    assert batch_accuracy(data, 256) > 0.98
    assert batch_accuracy(released(segue_data, "gtzan_genre", "mfcc"), 256) < 0.75


@pytest.mark.parametrize("order", ["sorted", "artists", "shuffled"])
def test_planted_batches_are_found(order: str) -> None:
    recipe = Recipe(order=order, batch_size=64, batch_shift=0.8)  # type: ignore[arg-type]
    data = simulate(recipe, 1)
    found = order_test(data)
    assert found.size == 64
    assert found.p_value < 0.01
    across = recall_test(data, found)
    assert isinstance(across, LeakTest)
    if order == "sorted":  # where artists change within a window, they cost as much as a batch
        assert across.low > 0.05


def test_levelled_batches_are_found_without_a_jump() -> None:
    recipe = Recipe(clips=1200, classes=10, class_spread=0.8, batch_size=256, batch_level=1.0)
    found = order_test(simulate(recipe, 1))
    assert found.size == 256
    assert isinstance(found.test, LeakTest)
    assert "normalised by itself" in found.test.words


def test_clean_sets_are_clear() -> None:
    recipes = clean_recipes(25, 5)
    alarms = sum(
        order_test(simulate(one, seed)).p_value <= 0.05 for seed, one in enumerate(recipes)
    )
    assert alarms <= 4  # more than 4 of 25 come with a chance of 0.7 % where each has 5 %


def test_lots_of_one_artist_are_no_batches() -> None:
    """Ten clips of each artist in a row look like batches of ten until the artists are told."""
    recipe = Recipe(clips=1000, per_artist=10, equal_lots=True, artist_spread=1.0)
    assert order_test(simulate(recipe, 0)).p_value > 0.05
    untold = order_test(simulate(with_leak(recipe, known_artists=False), 0))
    assert isinstance(untold.test, LeakTest)
    assert untold.test.limit == "suspect"
    assert "--group" in untold.test.words


def test_smaller_lots_are_no_batches_although_nobody_tells() -> None:
    recipe = Recipe(
        clips=1024, per_artist=4, equal_lots=True, artist_spread=1.5, known_artists=False
    )
    assert order_test(simulate(recipe, 0)).p_value > 0.05


def test_sizes_share_the_error() -> None:
    for n in (20, 128, 1000, 5000):
        assert sum(batch_sizes(n).values()) == pytest.approx(1.0) or n == 20
    assert batch_sizes(1000, [256]) == {256: 1.0}


def test_a_size_without_two_borders_is_not_tested() -> None:
    scan = BorderScan(simulate(Recipe(clips=100), 0))
    assert scan.test(90, generator(0)) is None
    few = order_test(simulate(Recipe(clips=24, classes=2), 0), sizes=[20])
    assert isinstance(few.test, NotRun)


def test_recall_needs_classes_and_borders() -> None:
    data = simulate(Recipe(), 0)
    assert isinstance(recall_test(data, order_test(data)), NotRun)
    numbers = AuditSet(X=data.X, y=[float(row) for row in range(400)], task="regression")
    found = recall_test(numbers, order_test(numbers))
    assert isinstance(found, NotRun)
    assert "classes" in found.why


def test_numbers_and_tags_are_audited_too() -> None:
    data = simulate(Recipe(batch_size=64, batch_shift=1.0, order="shuffled"), 0)
    values = generator(0).normal(size=400).tolist()
    tags = [("x",) if row % 3 else ("x", "y") for row in range(400)]
    assert order_test(AuditSet(X=data.X, y=values, task="regression")).size == 64
    assert order_test(AuditSet(X=data.X, y=tags, task="tagging")).size == 64


def test_rows_without_a_label_keep_their_place() -> None:
    data = simulate(Recipe(batch_size=64, batch_shift=1.0), 0)
    labels = [None if row % 7 == 0 else label for row, label in enumerate(data.y)]
    assert order_test(AuditSet(X=data.X, y=labels, task="classification")).size == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros(400)}, "features"),
        ({"X": np.full((400, 2), np.nan)}, "not finite"),
        ({"X": np.ones((400, 2))}, "all rows alike"),
        ({"y": ["a"] * 399}, "one entry of labels"),
        ({"y": ["a"] * 400}, "labelled rows"),
        ({"y": [None] * 385 + ["a", "b", "c"] * 5}, "15 labelled rows"),
        ({"groups": {"artist": ["x"]}}, "one entry of artist"),
        ({"task": "ranking"}, "ranking"),
    ],
)
def test_bad_material_is_refused(change: dict[str, object], message: str) -> None:
    given = {"X": np.eye(400), "y": ["a", "b"] * 200, "task": "classification"}
    with pytest.raises(UsageError, match=message):
        AuditSet(**{**given, **change})  # type: ignore[arg-type]


def test_verdicts_are_corrected_together() -> None:
    def said(name: str, p: float, **more: object) -> LeakTest:
        numbers = dict.fromkeys(("statistic", "low", "high", "control"), 0.0)
        words = {"question": "", "meaning": "", "words": ""}
        return LeakTest(name=name, p_value=p, **numbers, **words, **more)  # type: ignore[arg-type]

    tests = decide(
        [
            said("a", 0.004),
            said("b", 0.02),
            said("c", 0.5),
            said("d", float("nan")),
            said("e", 0.001, follows="a"),
            said("f", 0.0001, limit="suspect"),
        ]
    )
    assert [test.verdict for test in tests] == [
        *("suspect", "suspect", "clear", "clear", "suspect", "suspect")
    ]
    assert tests[4].p_holm == tests[0].p_holm
