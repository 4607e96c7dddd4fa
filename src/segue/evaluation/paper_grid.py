"""The grid search of Choi et al. (2017) as their released code runs it, optimism and all.

No scaling; support vector machines over 32 cells; the reported score is the search's own best mean
over the splits that chose it. Kept apart from protocols.py, which is what segue recommends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.model_selection import ParameterGrid
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet
from segue.evaluation.folds import check_target
from segue.evaluation.heads import CHOI_C, CHOI_GAMMA
from segue.evaluation.kernels import Kernel, Products, kernel_matrices
from segue.evaluation.layer_sets import MEMORY_BUDGET, SHARED_FROM, check_sets
from segue.evaluation.linear_svr import linear_svr
from segue.evaluation.metrics import accuracy, check_task, r2
from segue.evaluation.protocols import Progress
from segue.evaluation.rows import Task

Split = tuple[NDArray[np.int64], NDArray[np.int64]]
Cell = Mapping[str, Any]

EPSILON = 0.1
"""Half width of SVR's tube, on the labels as they are."""

MARGIN = 0.015
"""By how much a linear SVR cell's optimum may miss the best score and still be run by libsvm. Where
both were run on emoMusic, the mean scores of libsvm and of the optimum differ by .004 at most."""

SETS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class SetGrid:
    """The grid of one layer set.

    Attributes
    ----------
    score : float
        Best mean score over the splits: accuracy or R2. Biased upwards, as the paper's are.
    settings : mapping
        Its kernel, C and gamma (None for the linear kernel).
    cells : tuple of mapping
        All cells, in scikit-learn's order.
    cell_scores : (splits, cells) array
    screened : (cells,) boolean array
        Linear SVR cells whose scores are those of the problem's optimum: they lie too far below the
        best for libsvm's own, which stops near it, to be worth its time.
    tested : (n,) boolean array
        Which rows some split tests.
    predictions : (n,) array
        Of the best cell, out of fold; rows that are never tested have NaN or the first class.
    """

    score: float
    settings: Cell
    cells: tuple[Cell, ...]
    cell_scores: NDArray[np.float64]
    screened: NDArray[np.bool_]
    tested: NDArray[np.bool_]
    predictions: NDArray[Any]


def paper_cells(n_features: int) -> list[dict[str, Any]]:
    """The 32 cells for d features.

    Examples
    --------
    >>> cells = paper_cells(160)
    >>> len(cells), cells[6], cells[-1]
    (32, {'C': 0.1, 'gamma': 0.00625, 'kernel': 'rbf'}, {'C': 32.0, 'kernel': 'linear'})
    """
    return list(
        ParameterGrid(
            [
                {"kernel": ["rbf"], "C": CHOI_C, "gamma": (*CHOI_GAMMA, 1 / n_features)},
                {"kernel": ["linear"], "C": CHOI_C},
            ]
        )
    )


def paper_grid(
    blocks: Blocks,
    sets: Sequence[LayerSet],
    y: ArrayLike,
    task: str,
    splits: Sequence[Split],
    *,
    fold_weights: bool = True,
    n_jobs: int = 1,
    progress: Progress | None = None,
    done: Mapping[LayerSet, SetGrid] | None = None,
    finished: Callable[[LayerSet, SetGrid], None] | None = None,
    margin: float | None = MARGIN,
    memory_budget: int = MEMORY_BUDGET,
) -> dict[LayerSet, SetGrid]:
    """Choi et al.'s grid search for every layer set.

    The best score and cell are those of scikit-learn's GridSearchCV with SVC or SVR and the same
    splits. Inner products of each layer and split are computed once, and shared by all sets, gammas
    and C.

    Parameters
    ----------
    blocks : Blocks
    sets : sequence of LayerSet
    y : (n,) labels or values
    task : {"classification", "regression"}
    splits : sequence of (training rows, test rows)
    fold_weights : bool, default True
        Weight splits by their test rows, as scikit-learn did until 0.21 (``iid=True``).
    n_jobs : int, default 1
        Processes over pairs of set and split, one thread each.
    progress : callable, optional
        Called as ``progress(completed, total)`` after each pair of set and split.
    done : mapping of LayerSet -> SetGrid, optional
        Sets that an earlier run finished: not computed again.
    finished : callable, optional
        Called as ``finished(set, grid)``, in this process, as each set completes.
    margin : float or None
        A linear SVR cell is solved by linear_svr, and by libsvm only where its score comes this
        close to the best or exceeds it; see SetGrid.screened. On unscaled MFCC libsvm takes minutes
        to hours per fit, the other method hundredths of a second. None: all by libsvm.
    memory_budget : int
        Bytes that the inner products of all clips may take, 16 n^2 per block. Beyond it those of
        each set and split are computed from the concatenated features. Every process also holds two
        matrices of 8 m^2 bytes for m training rows, and libsvm's cache of at most 200 MB.

    Raises
    ------
    UsageError
        Unknown blocks, unusable splits or target, a training part with one class.

    References
    ----------
    K. Choi, G. Fazekas, M. Sandler, K. Cho: Transfer learning for music classification and
    regression tasks. ISMIR 2017, section 3.3; and the code released with it.

    Examples
    --------
    >>> x = np.arange(12.0)[:, None]
    >>> blocks = Blocks(("1", "2"), (x % 5, x))
    >>> rows = np.arange(12)
    >>> splits = [(rows[rows % 3 != fold], rows[rows % 3 == fold]) for fold in range(3)]
    >>> y = np.where(x[:, 0] < 6, "low", "high")
    >>> found = paper_grid(blocks, [("1",), ("1", "2")], y, "classification", splits)
    >>> [round(one.score, 3) for one in found.values()]
    [0.417, 0.917]
    """
    task = check_task(task)
    y = check_target(y, task)
    check_sets(blocks, sets, len(y))
    _check_splits(y, task, splits)
    job = _Job(blocks, _grams(blocks, memory_budget), y, task, tuple(splits))
    weights = np.array([len(test) if fold_weights else 1.0 for _, test in splits])
    found = {chosen: done[chosen] for chosen in sets if done and chosen in done}
    waiting = [chosen for chosen in sets if chosen not in found]
    total, completed = len(sets) * len(splits), len(found) * len(splits)

    def keep(chosen: LayerSet, table: _Table) -> None:
        found[chosen] = table.grid(y, splits)
        if finished is not None:
            finished(chosen, found[chosen])

    with Parallel(
        n_jobs=n_jobs, return_as="generator_unordered", max_nbytes=SHARED_FROM, mmap_mode="r"
    ) as parallel:
        for begin in range(0, len(waiting), SETS_AT_ONCE):
            some = waiting[begin : begin + SETS_AT_ONCE]
            tables = {chosen: _Table.empty(job, chosen, weights, margin) for chosen in some}
            units = [(chosen, split) for chosen in some for split in range(len(splits))]
            jobs = (delayed(_unit)(job, *unit, tables[unit[0]].exactly) for unit in units)
            for chosen, split, found_cells in parallel(jobs):
                tables[chosen].fill(split, found_cells)
                completed += 1
                if progress is not None:
                    progress(completed, total)
                if tables[chosen].complete and not tables[chosen].contenders():
                    keep(chosen, tables.pop(chosen))
            while again := {one: cells for one, t in tables.items() if (cells := t.contenders())}:
                _rerun(parallel, job, tables, again)
            for chosen, table in tables.items():
                keep(chosen, table)
    return {chosen: found[chosen] for chosen in sets}


@dataclass(frozen=True, slots=True)
class _Job:
    """What every unit of work needs; travels to the processes as it is."""

    blocks: Blocks
    grams: tuple[NDArray[np.float64], ...]
    y: NDArray[Any]
    task: Task
    splits: tuple[Split, ...]


Found = list[tuple[int, float, NDArray[Any]]]
"""Cell, its score, its predictions."""


@dataclass(slots=True)
class _Table:
    """Scores and predictions of one set, filled split by split.

    ``exactly`` holds the cells known by their optimum only.
    """

    cells: list[dict[str, Any]]
    exactly: frozenset[int]
    weights: NDArray[np.float64]
    margin: float
    scores: NDArray[np.float64]
    predicted: list[dict[int, NDArray[Any]]]

    @classmethod
    def empty(
        cls, job: _Job, chosen: LayerSet, weights: NDArray[np.float64], margin: float | None
    ) -> _Table:
        cells = paper_cells(job.blocks.width(chosen))
        screen = job.task == "regression" and margin is not None
        linear = [cell for cell, one in enumerate(cells) if one["kernel"] == "linear" and screen]
        scores = np.full((len(job.splits), len(cells)), np.nan)
        predicted: list[dict[int, NDArray[Any]]] = [{} for _ in job.splits]
        return cls(cells, frozenset(linear), weights, margin or 0.0, scores, predicted)

    @property
    def complete(self) -> bool:
        return all(len(there) == len(self.cells) for there in self.predicted)

    def fill(self, split: int, found: Found) -> None:
        for cell, value, predicted in found:
            self.scores[split, cell] = value
            self.predicted[split][cell] = predicted

    def means(self) -> NDArray[np.float64]:
        """Mean score of each cell; R2 is undefined where a split tests one value only."""
        defined = np.flatnonzero(~np.isnan(self.scores).any(axis=1))
        if not len(defined):
            raise UsageError(
                wanted="a split that tests different values",
                got=f"one value in each of {len(self.scores)}",
                fix="Use other folds",
                source="folds",
            )
        return np.average(self.scores[defined], axis=0, weights=self.weights[defined])

    def contenders(self) -> list[int]:
        """Cells known by their optimum only, and too good to leave it at that."""
        means = self.means()
        near = means.max() - self.margin
        return [cell for cell in sorted(self.exactly) if means[cell] >= near]

    def grid(self, y: NDArray[Any], splits: Sequence[Split]) -> SetGrid:
        means = self.means()
        screened = np.isin(np.arange(len(self.cells)), list(self.exactly))
        best = int(np.argmax(np.where(screened, -np.inf, means)))
        empty = np.nan if y.dtype.kind == "f" else np.unique(y)[0]
        predictions, tested = np.full(len(y), empty, dtype=y.dtype), np.zeros(len(y), dtype=bool)
        for (_, test), there in zip(splits, self.predicted, strict=True):
            predictions[test], tested[test] = there[best], True
        return SetGrid(
            score=float(means[best]),
            settings={"gamma": None, **self.cells[best]},
            cells=tuple(self.cells),
            cell_scores=self.scores,
            screened=screened,
            tested=tested,
            predictions=predictions,
        )


def _rerun(
    parallel: Parallel,
    job: _Job,
    tables: Mapping[LayerSet, _Table],
    again: Mapping[LayerSet, Sequence[int]],
) -> None:
    """Run linear cells by libsvm, on all splits."""
    units = [
        (chosen, split, cell)
        for chosen, cells in again.items()
        for cell in cells
        for split in range(len(job.splits))
    ]
    # longest first, so that no process is left alone with one at the end
    units.sort(key=lambda unit: -tables[unit[0]].cells[unit[2]]["C"])
    jobs = (
        delayed(_unit)(job, chosen, split, frozenset(), [cell]) for chosen, split, cell in units
    )
    for chosen, split, found in parallel(jobs):
        tables[chosen].fill(split, found)
    for chosen, cells in again.items():
        tables[chosen].exactly -= frozenset(cells)


def _unit(
    job: _Job,
    chosen: LayerSet,
    split: int,
    exactly: frozenset[int],
    only: Sequence[int] | None = None,
) -> tuple[LayerSet, int, Found]:
    """Cells of one set on one split; those in ``exactly`` by their optimum."""
    cells = paper_cells(job.blocks.width(chosen))
    train, test = job.splits[split]
    truth = job.y[test]
    found: Found = []
    # one thread in every process: sums then have one order, whatever n_jobs is
    with threadpool_limits(1), config_context(assume_finite=True):
        for members, predicted in _predictions(job, chosen, train, test, cells, exactly, only):
            value = (
                accuracy(truth, predicted) if job.task == "classification" else r2(truth, predicted)
            )
            found += [(cell, value, predicted) for cell in members]
    return chosen, split, found


def _predictions(
    job: _Job,
    chosen: LayerSet,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    cells: Sequence[Cell],
    exactly: frozenset[int],
    only: Sequence[int] | None,
) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Predictions of every different cell, with the numbers of the cells that they are of."""
    y = job.y[train]
    if exactly:
        X, Z = (job.blocks.matrix(chosen)[part].astype(np.float64) for part in (train, test))
        for cell in sorted(exactly):
            fit = linear_svr(X, y, cells[cell]["C"], epsilon=EPSILON)
            if fit.converged:
                yield [cell], fit.predict(Z)
            else:
                exactly -= {cell}
    by_kernel: dict[Kernel, dict[float, list[int]]] = {}
    for cell in range(len(cells)) if only is None else only:
        if cell not in exactly:
            kernel = cells[cell]["kernel"], cells[cell].get("gamma", 0.0)
            # 1 / d is one of the other gammas for 32 and 128 features
            by_kernel.setdefault(kernel, {}).setdefault(cells[cell]["C"], []).append(cell)
    products = _products(job, chosen, train, test)
    for kernel, K, K_test in kernel_matrices(products, list(by_kernel)):
        for C, members in by_kernel[kernel].items():
            machine = (
                SVC(C=C, kernel="precomputed")
                if job.task == "classification"
                else SVR(C=C, kernel="precomputed", epsilon=EPSILON)
            )
            yield members, np.asarray(machine.fit(K, y).predict(K_test))


def _grams(blocks: Blocks, budget: int) -> tuple[NDArray[np.float64], ...]:
    """Products of all clips with all, per block, for all splits; none where they do not fit."""
    size = 8 * len(blocks) ** 2 * len(blocks.arrays)
    if 2 * size > budget:  # twice: here, and where the processes read it
        return ()
    with threadpool_limits(1):
        tables = [array.astype(np.float64) for array in blocks.arrays]
        return tuple(table @ table.T for table in tables)


def _products(
    job: _Job, chosen: LayerSet, train: NDArray[np.int64], test: NDArray[np.int64]
) -> Products:
    if job.grams:
        grams = [job.grams[position] for position in job.blocks.positions(chosen)]
        return Products.taken(grams, train, test)
    X = job.blocks.matrix(chosen)
    return Products.of(X[train], X[test])


def _check_splits(y: NDArray[Any], task: Task, splits: Sequence[Split]) -> None:
    if task == "tagging":
        raise UsageError(
            wanted="classification or regression", got="tagging", fix="Use nested_layer_sets"
        )
    if not splits:
        raise UsageError(wanted="one split or more", got="none", fix="Make some folds")
    for number, (train, test) in enumerate(splits):
        problem, fix = None, "Correct the folds"
        rows = np.concatenate([train, test])
        if not len(train) or not len(test):
            problem = f"{len(train)} training and {len(test)} test rows in fold {number}"
        elif rows.min() < 0 or rows.max() >= len(y):
            problem = f"rows up to {rows.max()} of {len(y)} in fold {number}"
        elif len(np.intersect1d(train, test)):
            problem = f"rows on both sides of fold {number}"
        elif task == "classification" and len(np.unique(y[train])) < 2:
            problem = f"one class, {str(y[train][0])!r}, in the training part of fold {number}"
            fix = "Spread the classes over the folds, or use fewer folds"
        if problem:
            raise UsageError(
                wanted="training and test rows of their own, two classes or more to learn from",
                got=problem,
                fix=fix,
                source="folds",
            )
