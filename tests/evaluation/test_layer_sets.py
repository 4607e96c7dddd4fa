from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from synthetic import MAKERS, blobs

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, all_layer_sets, set_label
from segue.evaluation.folds import Folds, given_folds, outer_folds
from segue.evaluation.layer_sets import nested_layer_sets
from segue.evaluation.protocols import NestedResult, nested_cv

SETS: list[LayerSet] = [("1",), ("1", "3"), ("1", "2", "3")]


def three_blocks(X: np.ndarray) -> Blocks:
    return Blocks(("1", "2", "3"), (X[:, :2], X[:, 2:3], X[:, 3:]))


def same(one: NestedResult, other: NestedResult) -> None:
    assert one.settings == other.settings
    np.testing.assert_array_equal(one.predictions, other.predictions)
    np.testing.assert_allclose(one.inner_scores, other.inner_scores, atol=1e-10)
    assert one.notes == other.notes


@pytest.mark.parametrize("budget", [0, 10**9])
@pytest.mark.parametrize(
    ("head", "task"),
    [("svm", "classification"), ("svm", "regression"), ("svm", "tagging"), ("ridge", "tagging")],
)
def test_every_set_is_nested_cross_validation_of_its_columns(
    head: str, task: str, budget: int
) -> None:
    X, y, groups = MAKERS[task](60)
    X = (X * np.logspace(-1, 1, 6) + 5).astype(np.float32)
    blocks, folds = three_blocks(X), outer_folds(y, groups, task, n_folds=2, seed=2)
    found = nested_layer_sets(
        blocks, SETS, y, groups, task, folds=folds, head=head, inner=2, seed=2,
        memory_budget=budget,
    )  # fmt: skip
    assert list(found.sets) == SETS
    for chosen, result in found.sets.items():
        plain = nested_cv(
            blocks.matrix(chosen), y, groups, task, head, folds=folds, inner=2, seed=2
        )
        same(result, plain)


def test_processes_and_scaling() -> None:
    X, y, groups = blobs(60)
    blocks, folds = three_blocks(X), outer_folds(y, groups, "classification", n_folds=2)
    for scale in (True, False):
        one, two = (
            nested_layer_sets(
                blocks, SETS, y, groups, "classification", folds=folds, inner=2, scale=scale,
                n_jobs=jobs,
            )
            for jobs in (1, 2)
        )  # fmt: skip
        for chosen in SETS:
            same(one.sets[chosen], two.sets[chosen])
        same(one.auto, two.auto)


def test_auto_takes_the_best_inner_score_of_each_fold() -> None:
    X, y, groups = blobs(90, gap=1.0)
    blocks, folds = three_blocks(X), outer_folds(y, groups, "classification", n_folds=3)
    sets = all_layer_sets(blocks.names)
    found = nested_layer_sets(
        blocks, sets, y, groups, "classification", folds=folds, head="knn", inner=3
    )
    for number, (_, test) in enumerate(folds.splits()):
        best = max(found.sets[chosen].inner_scores[number] for chosen in sets)
        assert found.auto.inner_scores[number] == best
        label = found.auto.settings[number]["layers"]
        winner = next(one for one in sets if set_label(one) == label)
        assert found.sets[winner].inner_scores[number] == best
        np.testing.assert_array_equal(
            found.auto.predictions[test], found.sets[winner].predictions[test]
        )
        assert {k: v for k, v in found.auto.settings[number].items() if k != "layers"} == (
            found.sets[winner].settings[number]
        )
    assert sum(found.wins.values()) == 3


def test_among_equals_the_fewest_features_win() -> None:
    """Blocks 1 and 2 hold the same column; block 3 a wide copy of it."""
    x = np.arange(24.0)[:, None]
    blocks = Blocks(("wide", "a", "b"), (np.hstack([x, x]), x, x))
    y = np.where(x[:, 0] < 12, "low", "high")
    found = nested_layer_sets(
        blocks, [("wide",), ("b",), ("a",)], y, None, "classification", head="linear", inner=2,
        folds=given_folds(np.arange(24) % 3, None, 24),
    )  # fmt: skip
    assert found.wins == {"b": 3}


def test_the_choice_does_not_see_the_tested_fold() -> None:
    X, y, groups = blobs(90, gap=1.0)
    blocks, folds = three_blocks(X), outer_folds(y, groups, "classification", n_folds=3)
    tested = folds.assignment == 0
    spoiled = y.copy()
    spoiled[tested] = np.roll(y[tested], 7)
    a, b = (
        nested_layer_sets(
            blocks, SETS, labels, groups, "classification", folds=folds, head="ridge", inner=3
        ).auto
        for labels in (y, spoiled)
    )
    assert a.settings[0] == b.settings[0]
    np.testing.assert_array_equal(a.predictions[tested], b.predictions[tested])


def test_choosing_among_noise_stays_at_chance() -> None:
    """Fifteen sets of noise: the best inner score is far above what the choice is worth."""
    outer, inner = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        blocks = Blocks(tuple("1234"), tuple(rng.normal(size=(90, 4)) for _ in range(4)))
        y = np.array(["a", "b", "c"] * 30)
        found = nested_layer_sets(
            blocks, all_layer_sets(blocks.names), y, None, "classification", head="linear",
            folds=outer_folds(y, None, "classification", n_folds=3), inner=3,
        )  # fmt: skip
        outer.append(np.mean(found.auto.predictions == y))
        inner.append(found.auto.inner_scores.mean())
    assert np.mean(outer) < 1 / 3 + 0.05
    assert np.mean(inner) > np.mean(outer) + 0.05


def test_progress_and_going_on() -> None:
    X, y, groups = blobs(60)
    blocks, folds = three_blocks(X), outer_folds(y, groups, "classification", n_folds=3)
    kept: dict[LayerSet, NestedResult] = {}
    told: list[tuple[int, int]] = []

    def run(done: dict[LayerSet, NestedResult] | None = None) -> NestedResult:
        return nested_layer_sets(
            blocks, SETS, y, groups, "classification", folds=folds, head="linear", inner=3,
            progress=lambda *at: told.append(at), done=done, finished=kept.__setitem__,
        ).auto  # fmt: skip

    first = run()
    assert told == [(at, 9) for at in range(1, 10)]
    assert list(kept) == SETS
    half = {chosen: kept[chosen] for chosen in SETS[:2]}
    kept.clear()
    told.clear()
    same(run(half), first)
    assert told == [(at, 9) for at in range(7, 10)]
    assert list(kept) == SETS[2:]


def test_sets_of_the_paper() -> None:
    sets = all_layer_sets("12345")
    assert len(sets) == len(set(sets)) == 31
    assert [set_label(one) for one in sets[:7]] == ["1", "2", "3", "4", "5", "12", "13"]
    assert sets[-1] == tuple("12345")


def bad_rows() -> np.ndarray:
    table = np.ones((6, 2))
    table[[1, 4], 0] = np.nan, np.inf
    return table


@pytest.mark.parametrize(
    ("names", "arrays", "message"),
    [
        ((), (), "each with a name of its own"),
        (("1", "1"), (np.ones((6, 1)),) * 2, "each with a name of its own"),
        (("1",), (np.ones((6, 1)),) * 2, "each with a name of its own"),
        (("1", "2"), (np.ones((6, 1)), np.ones((5, 1))), "6, as in '1', got 5 in '2'"),
        (("1", "mfcc"), (np.ones((6, 1)), bad_rows()), "block 'mfcc': .*2 of 6 rows: 1, 4"),
        (("1",), (np.array([["a"]] * 6),), "block '1': wanted a finite table"),
    ],
)
def test_blocks_that_do_not_fit(names, arrays, message) -> None:
    with pytest.raises(UsageError, match=message):
        Blocks(names, arrays)


@pytest.mark.parametrize(
    ("sets", "y", "message"),
    [
        ([("1", "9")], None, "a set of the blocks 1, 2, 3.*got .*'9'"),
        ([()], None, "a set of the blocks"),
        ([("1", "1")], None, "each at most once"),
        ([("1",), ("1",)], None, "2, of which 1 differ"),
        ([], None, "different layer sets"),
        ([("1",)], np.array(["a", "b"] * 25), "features of 50 clips, got 60 rows"),
    ],
)
def test_sets_that_are_not_there(sets, y, message) -> None:
    X, labels, _ = blobs(60)
    labels = labels if y is None else y
    folds = given_folds(np.arange(len(labels)) % 3, None, len(labels))
    with pytest.raises(UsageError, match=message):
        nested_layer_sets(three_blocks(X), sets, labels, None, "classification", folds=folds)


def test_one_class_in_a_training_part_names_the_fold() -> None:
    X, y, _ = blobs(40, classes=2)
    folds = given_folds((y == "class 0").astype(int), None, 40)
    with pytest.raises(UsageError, match="got one, when fold 0 is tested"):
        nested_layer_sets(three_blocks(X), SETS, y, None, "classification", folds=folds)


def test_widths_that_do_not_add_up() -> None:
    with pytest.raises(UsageError, match="blocks that make up all columns"):
        Blocks.of_columns(np.ones((3, 4)), [("1", 2), ("2", 1)])


@pytest.mark.long
def test_real_features_give_what_nested_cv_gives(segue_data: Path) -> None:
    """emoMusic as released, both targets of the task classes: svm shares kernels, exactly."""
    folder = segue_data / "choi2017"
    arrays = tuple(np.load(folder / f"data_feats/emoMusic_layer_{k}.npy")[:400] for k in range(5))
    with (folder / "data_csv/emoMusic.csv").open() as file:
        arousal = np.array([float(row["label_arousal"]) for row in csv.DictReader(file)])[:400]
    blocks = Blocks(tuple("12345"), arrays)
    loud = np.where(arousal > np.median(arousal), "high", "low")
    for task, y in (("regression", arousal), ("classification", loud)):
        folds: Folds = outer_folds(y, None, task, n_folds=3)
        found = nested_layer_sets(
            blocks, [("5",), ("1", "3")], y, None, task, folds=folds, inner=3, n_jobs=2
        )
        for chosen, result in found.sets.items():
            same(
                result,
                nested_cv(blocks.matrix(chosen), y, None, task, "svm", folds=folds, inner=3),
            )
