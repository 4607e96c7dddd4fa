from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import MAKERS, blobs, line

from segue.errors import UsageError
from segue.evaluation.folds import Folds, given_folds, group_codes, inner_folds, outer_folds


def assert_disjoint(folds: Folds, groups: Any) -> None:
    groups = np.asarray(groups)
    tested = np.zeros(len(groups), dtype=int)
    for train, test in folds.splits():
        assert not set(groups[train]) & set(groups[test])
        assert len(train)
        assert len(test)
        tested[test] += 1
    assert (tested == 1).all()


@st.composite
def targets(draw: st.DrawFn) -> tuple[str, Any, Any]:
    """A target of any task whose groups cut across its classes, of uneven sizes."""
    task = draw(st.sampled_from(["classification", "tagging", "regression"]))
    n = draw(st.integers(30, 80))
    n_groups = draw(st.integers(12, n))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    groups = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n - n_groups)])
    y: Any
    if task == "classification":
        y = np.array(["a", "b", "c"])[np.arange(n) % 3]
    elif task == "tagging":
        y = rng.integers(0, 2, (n, 5))
    else:
        y = rng.normal(size=n).round(1)
    return task, y, np.array([f"artist {g}" for g in groups])


@settings(max_examples=40, deadline=None)
@given(targets(), st.integers(2, 5), st.integers(0, 99))
def test_groups_never_on_both_sides(target: tuple[str, Any, Any], n_folds: int, seed: int) -> None:
    task, y, groups = target
    outer = outer_folds(y, groups, task, n_folds=n_folds, seed=seed)
    assert_disjoint(outer, groups)
    for train, _ in outer.splits():
        assert_disjoint(inner_folds(y[train], groups[train], task, seed=seed), groups[train])


@settings(max_examples=25, deadline=None)
@given(targets(), st.integers(0, 99))
def test_folds_do_not_depend_on_the_order_of_rows(target: tuple[str, Any, Any], seed: int) -> None:
    task, y, groups = target
    if len(set(groups)) == len(groups):
        return  # stated: where every clip is its own group they do
    order = np.random.default_rng(seed).permutation(len(y))
    before = outer_folds(y, groups, task, n_folds=4).assignment
    after = outer_folds(y[order], groups[order], task, n_folds=4).assignment
    np.testing.assert_array_equal(before[order], after)


def test_duplicated_clips_share_a_fold() -> None:
    _, y, groups = blobs(60)
    twice = np.repeat(np.arange(60), 2)
    folds = outer_folds(y[twice], groups[twice], "classification", n_folds=5).assignment
    np.testing.assert_array_equal(folds[::2], folds[1::2])


@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
def test_shuffled_by_the_seed_and_by_nothing_else(task: str) -> None:
    _, y, groups = MAKERS[task]()
    first = outer_folds(y, groups, task, n_folds=4, seed=1).assignment
    again = outer_folds(y, groups, task, n_folds=4, seed=1).assignment
    other = outer_folds(y, groups, task, n_folds=4, seed=2).assignment
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_codes_of_codes_give_the_same_folds() -> None:
    _, y, groups = blobs(120)
    names = np.array([f"artist {g}" for g in groups])
    a = outer_folds(y, names, "classification", n_folds=5).assignment
    b = outer_folds(y, group_codes(names, 120), "classification", n_folds=5).assignment
    np.testing.assert_array_equal(a, b)


def test_classes_are_spread_evenly() -> None:
    _, y, groups = blobs(120)
    for own in (groups, None):
        folds = outer_folds(y, own, "classification", n_folds=5)
        for _, test in folds.splits():
            assert sorted(np.unique(y[test], return_counts=True)[1]) == [8, 8, 8]


def test_regression_folds_span_the_range() -> None:
    _, y, groups = line(200)
    for own in (groups, None):
        for _, test in outer_folds(y, own, "regression", n_folds=5).splits():
            assert len(test) == pytest.approx(40, abs=4)
            assert y[test].min() < np.quantile(y, 0.25)
            assert y[test].max() > np.quantile(y, 0.75)


def test_tagging_folds_have_even_counts_with_uneven_groups() -> None:
    groups = np.repeat(np.arange(40), np.arange(40) % 6 + 1)
    y = np.random.default_rng(0).integers(0, 2, (len(groups), 3))
    sizes = np.bincount(outer_folds(y, groups, "tagging", n_folds=5).assignment)
    assert np.ptp(sizes) <= 2


@pytest.mark.parametrize(
    ("y", "groups", "task", "message"),
    [
        (["a", "b"] * 5, [0] * 5 + [1] * 5, "classification", "2 groups.*got 3 folds"),
        (["a"] * 9 + ["b"], None, "classification", "one example of 'b'"),
        (["a"] * 5 + ["b"] * 5, [0] * 5 + list(range(1, 6)), "classification", "'a' in one group"),
        (["a"] * 10, None, "classification", "same target for every clip"),
        (["a", None] * 5, None, "classification", "5 clips with a missing"),
        (["a", float("nan"), "b"] * 5, None, "classification", "5 clips with a missing"),
        ([1.0] * 10, None, "regression", "same target for every clip"),
        ([1.0, np.nan] * 5, None, "regression", "5 clips with a missing"),
        (["x"] * 10, None, "regression", "10 clips with a missing or malformed"),
        ([[0.5, 1]] * 10, None, "tagging", "10 clips with a missing or malformed"),
        ([1, 0] * 5, None, "tagging", "shape"),
        ([], None, "classification", "shape"),
        (["a", "b"] * 5, list(range(9)), "classification", "one group for each of 10"),
        (["a", "b"] * 5, [*range(9), None], "classification", "1 clips without one"),
        (["a", "b"] * 5, None, "clustering", "a task among"),
    ],
)
def test_what_cannot_be_folded_is_said(y: Any, groups: Any, task: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        outer_folds(y, groups, task, n_folds=3)


def test_a_giant_group_leaves_no_fold_empty() -> None:
    y = ["a", "b"] * 51
    groups = [0] * 98 + [1, 2, 3, 4]
    folds = outer_folds(y, groups, "classification", n_folds=4)
    assert_disjoint(folds, groups)
    with pytest.raises(UsageError, match="no more than the 5 groups, got 6 folds"):
        outer_folds(y, groups, "classification", n_folds=6)


def test_classes_too_small_for_every_fold_are_folded_by_size_alone() -> None:
    y = np.repeat([f"class {code}" for code in range(10)], 2)
    folds = outer_folds(y, None, "classification", n_folds=5)
    assert np.bincount(folds.assignment).tolist() == [4] * 5
    assert "in fewer groups than 5 folds" in folds.notes[0]


def test_an_empty_fold_would_be_said(monkeypatch) -> None:
    """scikit-learn promises no clips in each fold; none of thousands of random trials was empty."""
    monkeypatch.setattr(
        "segue.evaluation.folds._stratified", lambda y, *_: np.zeros(len(y), dtype=np.int64)
    )
    with pytest.raises(UsageError, match="an empty fold"):
        outer_folds(["a", "b"] * 6, None, "classification", n_folds=3)


def test_notes_name_classes_that_cannot_be_learned_or_not_everywhere() -> None:
    y = ["a"] * 20 + ["b"] * 20 + ["c"] * 4 + ["d"] * 4
    groups = [*range(40), 40, 40, 40, 40, 41, 41, 42, 42]
    notes = outer_folds(y, groups, "classification", n_folds=5).notes
    assert "'c' lie in one group" in notes[0]
    assert "'d' in fewer groups than 5 folds" in notes[1]


def test_inner_folds_shrink_and_say_so() -> None:
    y = ["a"] * 20 + ["b"] * 3
    folds = inner_folds(y, None, "classification", n_folds=5)
    assert len(folds.names) == 3
    assert "3 inner folds instead of 5" in folds.notes[0]
    assert "'b'" in folds.notes[0]
    few = inner_folds([1.0, 2, 3, 4, 5, 6], [0, 0, 1, 1, 2, 2], "regression", n_folds=5)
    assert len(few.names) == 3
    with pytest.raises(UsageError, match="one group"):
        inner_folds([1.0, 2.0], ["x", "x"], "regression")


def test_given_folds_are_obeyed_and_checked() -> None:
    assert given_folds([3, 3, 7], ["x", "x", "y"], 3).assignment.tolist() == [3, 3, 7]
    with pytest.raises(UsageError, match=r"1 groups in several \(x\)"):
        given_folds([0, 1, 1], ["x", "x", "y"], 3)
    for bad in ([0, 0, 0], [0, 1], [0.5, 1, 2], ["a", "b", "c"]):
        with pytest.raises(UsageError, match="two or more folds"):
            given_folds(bad, None, 3)
