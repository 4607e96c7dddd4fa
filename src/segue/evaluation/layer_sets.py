"""Sets of feature blocks, such as the layers of a network, compared and chosen between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, set_label
from segue.evaluation.folds import Folds, check_target, group_codes, inner_folds
from segue.evaluation.heads import make_head
from segue.evaluation.kernels import Products
from segue.evaluation.metrics import check_task
from segue.evaluation.parts import uses_kernel
from segue.evaluation.protocols import (
    FittedHead,
    NestedResult,
    Progress,
    gathered,
    one_fold,
)
from segue.evaluation.rows import Task
from segue.seeds import derive

MEMORY_BUDGET = 2 * 2**30
"""Bytes that inner products shared between processes may take, the copy in shared memory included.
What does not fit is computed anew wherever it is needed."""

SHARED_FROM = 50_000
"""Arrays of this many bytes reach worker processes through shared memory."""


@dataclass(frozen=True, slots=True)
class LayerSetResults:
    """Nested cross-validation of every set on the same folds, and of choosing between them.

    Attributes
    ----------
    sets : mapping of LayerSet -> NestedResult
        As nested_cv gives them for each set alone.
    auto : NestedResult
        In every outer fold the set of the best inner score; its settings begin with "layers".
    """

    sets: Mapping[LayerSet, NestedResult]
    auto: NestedResult

    @property
    def wins(self) -> dict[str, int]:
        """In how many outer folds each set was chosen, most often first."""
        return dict(Counter(str(one["layers"]) for one in self.auto.settings).most_common())


def nested_layer_sets(
    blocks: Blocks,
    sets: Sequence[LayerSet],
    y: ArrayLike,
    groups: ArrayLike | None,
    task: str,
    *,
    folds: Folds,
    head: str = "svm",
    inner: int = 5,
    scale: bool = True,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
    done: Mapping[LayerSet, NestedResult] | None = None,
    finished: Callable[[LayerSet, NestedResult], None] | None = None,
    memory_budget: int = MEMORY_BUDGET,
) -> LayerSetResults:
    """Nested cross-validation of layer sets, and of the set that the inner folds would choose.

    Every set has the outer folds, inner folds and seeds that ``nested_cv(blocks.matrix(set), ...)``
    has, and the same settings and predictions. For the svm the inner products of each layer and
    split are computed once and shared by all sets.

    Parameters
    ----------
    blocks : Blocks
    sets : sequence of LayerSet
        For instance all_layer_sets(blocks.names).
    y, groups, task, head, inner, scale, seed
        As in nested_cv.
    folds : Folds
        Outer folds.
    n_jobs : int, default 1
        Processes over pairs of set and outer fold, one thread each.
    progress : callable, optional
        Called as ``progress(completed, total)`` after each pair of set and outer fold.
    done : mapping of LayerSet -> NestedResult, optional
        Sets that an earlier run finished on the same folds: not computed again.
    finished : callable, optional
        Called as ``finished(set, result)``, in this process, when all folds of a set are there.
    memory_budget : int
        See MEMORY_BUDGET.

    Raises
    ------
    UsageError
        As nested_cv; or a set of unknown blocks, a set twice, no set.

    Notes
    -----
    ``auto`` takes the set of the best inner score; among equals the one with fewer features, then
    the first. The choice is part of what the outer folds test: its score is not biased by it.

    Examples
    --------
    >>> from segue.evaluation.blocks import all_layer_sets
    >>> from segue.evaluation.folds import given_folds
    >>> x = np.arange(24.0)[:, None]
    >>> blocks = Blocks(("1", "2"), (x % 5, x))
    >>> y, folds = np.where(x[:, 0] < 12, "low", "high"), given_folds(np.arange(24) % 3, None, 24)
    >>> found = nested_layer_sets(blocks, all_layer_sets(blocks.names), y, None, "classification",
    ...                           folds=folds, head="knn", inner=2)
    >>> found.wins, float(np.mean(found.auto.predictions == y)) > 0.8
    ({'2': 2, '12': 1}, True)
    """
    task = check_task(task)
    y = check_target(y, task)
    codes = group_codes(groups, len(y))
    check_sets(blocks, sets, len(y))
    make_head(head, task, n_features=1)
    results = {chosen: done[chosen] for chosen in sets if done and chosen in done}
    splits = list(folds.splits())
    total = len(sets) * len(splits)
    completed = len(results) * len(splits)
    waiting = [chosen for chosen in sets if chosen not in results]
    shared = _shared(blocks, y, codes, splits, task, head, inner, scale, seed, memory_budget)
    jobs = (
        delayed(_one_set_fold)(
            chosen, number, blocks.matrix(chosen), y, codes, train, test, task, head, inner, scale,
            seed, parts, [[one[k] for k in blocks.positions(chosen)] for one in products],
        )
        for chosen in waiting
        for number, (train, test) in enumerate(splits)
        for parts, products in [shared[number]]
    )  # fmt: skip
    partial_results: dict[LayerSet, dict[int, tuple[NDArray[Any], FittedHead]]] = {}
    runs = Parallel(
        n_jobs=n_jobs, return_as="generator_unordered", max_nbytes=SHARED_FROM, mmap_mode="r"
    )
    for chosen, (number, predicted, fitted) in runs(jobs):
        there = partial_results.setdefault(chosen, {})
        there[number] = predicted, fitted
        completed += 1
        if progress is not None:
            progress(completed, total)
        if len(there) == len(splits):
            results[chosen] = gathered(there, y, folds, task, head, len(y))
            del partial_results[chosen]
            if finished is not None:
                finished(chosen, results[chosen])
    ordered = {chosen: results[chosen] for chosen in sets}
    return LayerSetResults(ordered, choose_sets(ordered, blocks, folds))


def choose_sets(
    results: Mapping[LayerSet, NestedResult], blocks: Blocks, folds: Folds
) -> NestedResult:
    """What one has who takes, in every outer fold, the set of the best inner score.

    Parameters
    ----------
    results : mapping of LayerSet -> NestedResult
        Of all sets, on the same folds.
    """
    # stable: among equal scores fewer features first, then the order given
    sets = sorted(results, key=blocks.width)
    inner = np.stack([results[chosen].inner_scores for chosen in sets])
    winners = inner.argmax(axis=0)
    out = np.empty_like(results[sets[0]].predictions)
    settings = []
    for number, (winner, (_, test)) in enumerate(zip(winners, folds.splits(), strict=True)):
        one = results[sets[winner]]
        out[test] = one.predictions[test]
        settings.append({"layers": set_label(sets[winner]), **one.settings[number]})
    notes = dict.fromkeys(chain.from_iterable(results[chosen].notes for chosen in sets))
    return NestedResult(out, folds, tuple(settings), inner.max(axis=0), tuple(notes))


def check_sets(blocks: Blocks, sets: Sequence[LayerSet], n: int) -> None:
    """Raise UsageError unless the sets are there, differ, and have a row for each of n targets."""
    for chosen in sets:
        blocks.positions(chosen)
    if not sets or len(set(sets)) < len(sets):
        raise UsageError(
            wanted="one or more different layer sets",
            got=f"{len(sets)}, of which {len(set(sets))} differ",
            fix="Name each set once",
            source="layer sets",
        )
    if len(blocks) != n:
        raise UsageError(
            wanted=f"features of {n} clips",
            got=f"{len(blocks)} rows",
            fix="Align the blocks with y",
            source="feature blocks",
        )


def _shared(
    blocks: Blocks,
    y: NDArray[Any],
    codes: NDArray[np.int64],
    splits: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    task: Task,
    head: str,
    inner: int,
    scale: bool,
    seed: int,
    budget: int,
) -> list[tuple[Folds | None, list[list[Products]]]]:
    """Inner folds of every outer fold and, for the svm, products per inner split and block."""
    kernel = uses_kernel(make_head(head, task, n_features=1))
    shared: list[tuple[Folds | None, list[list[Products]]]] = []
    left = budget
    for number, (train, _) in enumerate(splits):
        if task == "classification" and len(np.unique(y[train])) < 2:
            shared.append((None, []))  # one_fold will say so
            continue
        parts = inner_folds(
            y[train], codes[train], task, n_folds=inner, seed=derive(seed, "fold", number)
        )
        rows = [(train[learnt], train[tested]) for learnt, tested in parts.splits()]
        # twice: here, and where the processes read it
        size = 2 * 8 * len(blocks.arrays) * sum(len(a) * (len(a) + len(b)) for a, b in rows)
        kept = kernel and size <= left
        left -= size if kept else 0
        with threadpool_limits(1):  # one thread, one order of sums: as in one_fold
            products = [
                [_products(array, *pair, scale) for array in blocks.arrays]
                for pair in (rows if kept else [])
            ]
        shared.append((parts, products))
    return shared


def _products(
    array: NDArray[Any], train: NDArray[np.int64], test: NDArray[np.int64], scale: bool
) -> Products:
    """Products of one block; scaling acts on each feature alone, so block by block is the same."""
    X, Z = array[train], array[test]
    if scale:
        scaler = StandardScaler().fit(X)
        X, Z = scaler.transform(X), scaler.transform(Z)
    return Products.of(X, Z)


def _one_set_fold(
    chosen: LayerSet,
    number: int,
    X: NDArray[Any],
    y: NDArray[Any],
    codes: NDArray[np.int64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    task: Task,
    head: str,
    inner: int,
    scale: bool,
    seed: int,
    parts: Folds | None,
    products: Sequence[Sequence[Products]],
) -> tuple[LayerSet, tuple[int, NDArray[Any], FittedHead]]:
    def of_split(split: int) -> Products:
        return Products.total(products[split])

    return chosen, one_fold(
        number, X, y, codes, train, test, task, head, inner, scale,
        derive(seed, "fold", number), parts, of_split if products else None,
    )  # fmt: skip
