"""Sharing work between heads and sets of layers changes no result; kept outcomes are taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from synthetic import MAKERS, blobs

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, all_layer_sets
from segue.evaluation.folds import given_folds, outer_folds
from segue.evaluation.layer_sets import nested_layer_sets
from segue.evaluation.nested import Candidate, FoldOutcome, nested_comparison
from segue.evaluation.protocols import nested_cv
from segue.evaluation.splits import split_digest

HEADS = {
    "classification": ["svm", "logistic", "ridge", "knn", "linear"],
    "tagging": ["logistic", "ridge", "svm"],
    "regression": ["ridge", "svm", "knn"],
}


def gathered(found: list[FoldOutcome], head: int, y: np.ndarray, folds: Any) -> np.ndarray:
    choices = [one.choices[head] for one in found]
    out = np.empty(y.shape, dtype=y.dtype if y.dtype.kind == "U" else float)
    for choice, (_, test) in zip(choices, folds.splits(), strict=True):
        out[test] = choice.predicted
    return out


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("task", list(HEADS))
@pytest.mark.parametrize("wide", [False, True])
def test_every_head_gives_what_it_gives_alone(task: str, scale: bool, wide: bool) -> None:
    X, y, groups = MAKERS[task](90)
    if wide:  # more features than clips: logistic regression is solved in the span of the rows
        X = np.hstack([X, 0.1 * np.random.default_rng(1).normal(size=(90, 120))])
    folds = outer_folds(y, groups, task, n_folds=3)
    candidate = Candidate(Blocks(("x",), (X,)), (("x",),))
    heads = HEADS[task]
    found = nested_comparison(
        {"x": candidate}, heads, y, groups, task, [folds], inner=3, scale=scale
    )["x"]
    for at, head in enumerate(heads):
        alone = nested_cv(X, y, groups, task, head, folds=folds, inner=3, scale=scale)
        predicted = gathered(found, at, y, folds)
        if task == "classification":
            assert (predicted == alone.predictions).mean() > 0.98, head  # solvers stop near
        else:
            np.testing.assert_allclose(predicted, alone.predictions, atol=1e-6)
        if not (wide and head == "logistic"):
            assert [one.choices[at].settings for one in found] == list(alone.settings)
        np.testing.assert_allclose(
            [one.choices[at].inner_score for one in found], alone.inner_scores, atol=0.02
        )


def test_layers_are_chosen_as_when_every_set_is_run() -> None:
    X, y, groups = blobs(90, gap=1.0)
    blocks = Blocks(("1", "2", "3"), (X[:, :1], X[:, 1:3], X[:, 3:]))
    folds, sets = outer_folds(y, groups, "classification", n_folds=3), all_layer_sets("123")
    auto = nested_layer_sets(blocks, sets, y, groups, "classification", folds=folds, inner=3).auto
    found = nested_comparison(
        {"x": Candidate(blocks, tuple(sets))}, ["svm"], y, groups, "classification", [folds],
        inner=3,
    )["x"]  # fmt: skip
    assert [one.choices[0].settings for one in found] == list(auto.settings)
    assert (gathered(found, 0, y, folds) == auto.predictions).all()
    # 32 cells on 3 splits of 7 sets, and the winner once more
    assert [one.fits for one in found] == [32 * 3 * 7 + 1] * 3


class Memory:
    """Kept outcomes, as JSON holds them."""

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}

    def get(self, key: str) -> dict[str, Any] | None:
        return json.loads(self.cells[key]) if key in self.cells else None

    def put(self, key: str, outcome: Mapping[str, Any]) -> None:
        self.cells[key] = json.dumps(outcome)


@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
def test_an_interrupted_search_goes_on(task: str) -> None:
    X, y, groups = MAKERS[task](60)
    folds = outer_folds(y, groups, task, n_folds=3)
    candidate = Candidate(Blocks(("x",), (X,)), (("x",),))
    memory, told = Memory(), []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 2:
            raise KeyboardInterrupt

    def run(**options: Any) -> list[FoldOutcome]:
        return nested_comparison(
            {"x": candidate}, ["ridge", "knn"], y, groups, task, [folds], inner=2,
            kept={"x": memory}, **options,
        )["x"]  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run(progress=stop)
    assert len(memory.cells) == 2
    told.clear()
    resumed = run(progress=lambda *at: told.append(at))
    assert told == [(6, 6)]  # two of three folds were there
    memory.cells.clear()
    for one, other in zip(resumed, run(n_jobs=2), strict=True):
        for a, b in zip(one.choices, other.choices, strict=True):
            assert (a.settings, a.inner_score) == (b.settings, b.inner_score)
            assert a.predicted.dtype == b.predicted.dtype
            np.testing.assert_array_equal(a.predicted, b.predicted)


def test_a_training_part_of_one_class_is_refused() -> None:
    folds = given_folds([0, 0, 1, 1], None, 4)
    candidate = Candidate(Blocks(("x",), (np.eye(4),)), (("x",),))
    y = np.array(["a", "a", "b", "b"])
    with pytest.raises(UsageError, match="two classes or more in every training part"):
        nested_comparison({"x": candidate}, ["knn"], y, np.arange(4), "classification", [folds])


def test_the_digest_of_a_split_is_that_of_its_partition() -> None:
    ids, folds = ["a", "b", "c", "d"], np.array([0, 1, 0, 1])
    one = split_digest(ids, folds)
    assert split_digest(ids[::-1], folds[::-1]) == one
    assert split_digest(ids, 1 - folds) == one
    assert split_digest(ids, np.array([0, -1, 0, -1])) != one
    assert split_digest(["a", "b", "c", "e"], folds) != one
