"""The penalty of the window classifier: given, or chosen on inner folds.

Plain least squares, the paper's, is at its worst where training windows are about as many as
dimensions: on 4q with ten clips a class, 800 base features reach an accuracy of .30, and .48 with a
penalty chosen here; 400 of them have the same dip at five clips a class. Curves of features of
different widths cross for that reason alone, so a comparison at few labels needs the penalised one
beside it.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.evaluation.folds import Folds, inner_folds
from segue.evaluation.linear_heads import Floats
from segue.evaluation.triangles import Factor
from segue.evaluation.window_sets import Indices, Windows, factor_of

CHOSEN = Literal["chosen"]
Penalty = float | CHOSEN

SHARES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Candidates, as shares of the largest squared singular value of the centred training windows: the
same grid for features of any scale and any number of windows."""


def weights(
    factor: Factor,
    alpha: Penalty,
    windows: Windows,
    clips: Indices,
    codes: Indices,
    groups: Indices,
    *,
    seed: int,
) -> tuple[Floats, Floats]:
    """Coefficients (classes, d) and intercepts (classes,) of some clips with their penalty.

    Parameters
    ----------
    factor : Factor
        Of the windows of ``clips``, one target column a class.
    alpha : float or "chosen"
    windows : Windows
    clips : (m,) integer array
    codes, groups : (all clips,) integer arrays
        Class and group of each clip.
    seed : int
        Of the inner folds.

    Examples
    --------
    >>> windows = Windows(np.array([[0.0], [1.0], [0.1], [0.9]]), np.arange(4))
    >>> clips, codes = np.arange(4), np.array([0, 1, 0, 1])
    >>> factor = factor_of(windows, clips, codes, 2)
    >>> coef, intercept = weights(factor, "chosen", windows, clips, codes, clips, seed=0)
    >>> (windows.means @ coef.T + intercept).argmax(axis=1)
    array([0, 1, 0, 1])
    """
    if not isinstance(alpha, str):
        return factor.ridge(alpha)
    share = chosen_share(windows, clips, codes, groups, seed=seed)
    return factor.ridge_path((share,))[0]


def chosen_share(
    windows: Windows, clips: Indices, codes: Indices, groups: Indices, *, seed: int, folds: int = 5
) -> float:
    """The share of SHARES with most clips right on inner folds; the largest of equals.

    The largest share too where nothing can be chosen: see :func:`choosing_folds`.
    """
    parts = choosing_folds(codes[clips], groups[clips], seed=seed, folds=folds)
    if parts is None:
        return SHARES[-1]
    n_classes = int(codes.max()) + 1
    held = [clips[test] for _, test in parts.splits()]
    factors = [factor_of(windows, test, codes, n_classes) for test in held]
    right = np.zeros(len(SHARES), dtype=np.int64)
    for number, test in enumerate(held):
        others = Factor.merged(factors[:number] + factors[number + 1 :])
        for index, (coef, intercept) in enumerate(others.ridge_path(SHARES)):
            best = (windows.means[test] @ coef.T + intercept).argmax(axis=1)
            right[index] += int(np.sum(best == codes[test]))
    return SHARES[int(np.flatnonzero(right == right.max())[-1])]


def choosing_folds(
    y: NDArray[np.str_] | Indices, groups: Indices, *, seed: int, folds: int = 5
) -> Folds | None:
    """Inner folds of a few clips to choose settings on; None where nothing can be chosen.

    That is so where no class has two clips, where all clips are of one group, and where the
    groups leave every fold a single class to train on. Fewer folds where some would be empty.

    Examples
    --------
    >>> classes = np.array(["a", "a", "b", "b"])
    >>> len(choosing_folds(classes, np.array([0, 1, 0, 1]), seed=0).names)
    2
    >>> choosing_folds(classes, np.zeros(4, int), seed=0) is None
    True
    >>> choosing_folds(classes, np.array([0, 0, 1, 1]), seed=0) is None
    True
    """
    if np.unique(y, return_counts=True)[1].max() < 2 or len(np.unique(groups)) < 2:
        return None
    for number in range(folds, 1, -1):
        try:
            parts = inner_folds(y, groups, "classification", n_folds=number, seed=seed)
        except UsageError:  # one fold would be empty: a few groups hold most clips
            continue
        teach = any(len(np.unique(y[train])) > 1 for train, _ in parts.splits())
        return parts if teach else None
    return None


def check_alpha(alpha: Penalty) -> None:
    """Refuse a penalty that is none.

    Raises
    ------
    UsageError
        Another word than "chosen", or a number below 0, infinite or NaN.

    Examples
    --------
    >>> check_alpha(0.0)
    """
    if alpha in get_args(CHOSEN) if isinstance(alpha, str) else 0 <= alpha < np.inf:
        return
    raise UsageError(
        wanted="a penalty of 0 or more, or 'chosen'",
        got=repr(alpha),
        fix="Use 0 for plain least squares",
        source="alpha",
    )
