"""Choosing a head's settings on inner folds: plain grid search, with the costly parts shared.

The scores are those of ``GridSearchCV`` over the same cells. What differs is what is computed once
per split instead of once per cell (see parts): the scaler, inner products for the svm, which may
also come ready, and one singular value decomposition for the linear heads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from segue.errors import UsageError
from segue.evaluation.heads import Head
from segue.evaluation.kernels import Products
from segue.evaluation.linear_heads import Floats
from segue.evaluation.metrics import METRICS, score
from segue.evaluation.parts import Part, ScaledBlock, predict_cells, ready_models, uses_kernel

Splits = Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True, slots=True)
class Search:
    """What the inner folds say.

    Attributes
    ----------
    settings : dict
        The best cell (the first of equals), as ``set_params`` takes it.
    score : float
        Its mean inner score: for choosing only, it is biased upwards.
    cell_scores : (splits, cells) array
    unconverged : int
        Solver runs that stopped at their cap.
    """

    settings: dict[str, Any]
    score: float
    cell_scores: Floats
    unconverged: int


def search(
    head: Head,
    X: NDArray[Any],
    y: NDArray[Any],
    splits: Splits,
    *,
    products: Callable[[int], Products] | None = None,
) -> Search:
    """Best cell of a head's grid by mean score over the splits.

    The score is accuracy, macro ROC-AUC or R2. Splits whose training part holds a single class are
    left out, and so are cells that want more neighbours than the smallest training part has.

    Parameters
    ----------
    head : Head
    X : (n, d) array
    y : (n,) or (n, tags) array
    splits : sequence of (training rows, test rows)
    products : callable, optional
        Gives the inner products of a split's rows, scaled as the head wants them, by its number.
        The svm then computes none itself; other heads have no use for it.

    Raises
    ------
    UsageError
        No split has a defined score.

    Examples
    --------
    >>> import numpy as np
    >>> from segue.evaluation.heads import make_head
    >>> X = np.array([[0.0], [1], [2], [3], [9], [10], [11], [12]])
    >>> y = np.array(["low"] * 4 + ["high"] * 4)
    >>> even, odd = np.arange(0, 8, 2), np.arange(1, 8, 2)
    >>> head = make_head("knn", "classification", n_features=1)
    >>> search(head, X, y, [(even, odd), (odd, even)]).score
    1.0
    """
    tally = Tally(head, y, splits)
    for number, (train, test) in enumerate(splits):
        if products is not None and uses_kernel(head):
            tally.add(number, Part((), y[train]), products(number))
        else:
            block = ScaledBlock(X[train], X[test], head.estimator.named_steps["scale"])
            tally.add(number, Part([block], y[train]))
    return tally.result()


class Tally:
    """Scores of all cells of one head, split by split.

    Parameters
    ----------
    head : Head
    y : (n,) or (n, tags) array
    splits : sequence of (training rows, test rows)
        Of which those are used whose training part holds more than one class.
    """

    def __init__(self, head: Head, y: NDArray[Any], splits: Splits) -> None:
        self.head, self.y, self.splits = head, y, splits
        several = head.task != "classification"
        self.used = [
            number
            for number, (train, _) in enumerate(splits)
            if several or len(np.unique(y[train])) > 1
        ]
        smallest = min((len(splits[number][0]) for number in self.used), default=0)
        # a cell that wants more neighbours than the smallest part has cannot be tried
        self.cells = [cell for cell in head.cells if cell.get("head__n_neighbors", 0) <= smallest]
        if self.used and not self.cells:
            raise UsageError(
                wanted=f"more clips in each part than the fewest neighbours of {head.name}",
                got=f"{smallest} in the smallest",
                fix="Use more clips, fewer folds, or another head",
                source=f"choosing settings of {head.name}",
            )
        self.models = ready_models(head, self.cells)
        self.scores = np.full((len(self.used), len(self.cells)), np.nan)
        self.unconverged = 0

    @property
    def fits(self) -> int:
        """Estimators fitted, or solved for in a closed form."""
        return len(self.used) * len(self.cells)

    def add(self, number: int, part: Part, products: Products | None = None) -> None:
        """Score every cell on one split, from its part or, for the svm, from inner products."""
        if number not in self.used:
            return
        test = self.splits[number][1]
        metric, row = METRICS[self.head.task][0], self.used.index(number)
        with counted_convergence() as capped:
            for cell, predicted in predict_cells(self.models, part, products):
                self.scores[row, cell] = score(metric, self.y[test], predicted)
        self.unconverged += len(capped)

    def result(self) -> Search:
        """The best cell.

        Raises
        ------
        UsageError
            No split has a defined score.
        """
        # whether a score is defined depends on the split alone, so no cell profits from a gap
        defined = ~np.isnan(self.scores).any(axis=1)
        if not defined.any():
            raise UsageError(
                wanted="inner folds with something to learn and to score in each part",
                got="none such",
                fix="Use more groups, fewer outer folds, or drop the rarest classes or tags",
                source=f"choosing settings of {self.head.name}",
            )
        means = self.scores[defined].mean(axis=0)
        best = int(np.argmax(means))
        return Search(self.cells[best], float(means[best]), self.scores, self.unconverged)


@contextmanager
def counted_convergence() -> Iterator[list[Warning]]:
    """Collect ConvergenceWarnings instead of showing them; all other warnings pass.

    Examples
    --------
    >>> with counted_convergence() as capped:
    ...     warnings.warn("stopped early", ConvergenceWarning)
    >>> len(capped)
    1
    """
    capped: list[Warning] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        yield capped
    for one in caught:
        if issubclass(one.category, ConvergenceWarning):
            capped.append(one.category(str(one.message)))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
