"""A head taught by a few drawn clips: which clips, with which settings, and what it then says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.few_labels import draw_order
from segue.evaluation.folds import inner_folds
from segue.evaluation.heads import Head, make_head, predictions
from segue.evaluation.linear_heads import Floats
from segue.evaluation.rows import Task
from segue.evaluation.search import counted_convergence, search
from segue.evaluation.window_penalty import choosing_folds
from segue.evaluation.window_sets import Indices
from segue.seeds import derive

Size = int | None
"""Clips drawn of each class (of all clips where there are no classes); None is all there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """What decides which clips teach a head, and how.

    Attributes
    ----------
    task : {"classification", "tagging", "regression"}
    head : str
        A name of heads.HEADS.
    sizes : tuple of int or None
        Ascending.
    repeats : int
        Draws of each size in each fold.
    tune : bool
        Choose the head's settings on inner folds of the drawn clips where that can be done; else
        those of fixed_settings at every size.
    scale : bool
        Standardise features with mean and deviation of the drawn clips.
    seed : int
    """

    task: Task
    head: str
    sizes: tuple[Size, ...]
    repeats: int
    tune: bool = False
    scale: bool = True
    seed: int = 0

    def chosen(self, y: NDArray[Any], train: Indices, fold: int, repeat: int) -> NDArray[np.bool_]:
        """Which training clips are drawn (sizes, train); every size holds the ones before it.

        Examples
        --------
        >>> draws = Draws(task="classification", head="svm", sizes=(1, 2, None), repeats=1)
        >>> draws.chosen(np.array(list("aaabbb")), np.arange(6), 0, 0).sum(axis=1)
        array([2, 4, 6])
        """
        strata = y if self.task == "classification" else np.full(len(y), "clip")
        places = draw_order(strata, train, self.seed, fold, repeat)
        most = [len(train) if size is None else size for size in self.sizes]
        picked: NDArray[np.bool_] = places < np.array(most)[:, None]
        return picked


def fold_predictions(
    X: NDArray[Any],
    y: NDArray[Any],
    groups: Indices,
    train: Indices,
    test: Indices,
    *,
    fold: int,
    draws: Draws,
) -> tuple[NDArray[Any], int]:
    """Predictions of one test fold by heads of every size and draw.

    Parameters
    ----------
    X : (n, d) array
    y : (n,) class codes or values, or (n, tags) 0/1 matrix
    groups : (n,) integer array
        Inner folds do not split a group.
    train, test : integer arrays
    fold : int
        Its number, which the draws depend on.
    draws : Draws

    Returns
    -------
    predictions : (sizes, repeats, test) or (sizes, repeats, test, tags) array
        Codes, values or scores.
    unconverged : int
        Solver runs that stopped at their cap.

    Raises
    ------
    UsageError
        The training part holds a single class.

    Examples
    --------
    >>> X, y = np.arange(8.0)[:, None] % 2, np.arange(8) % 2
    >>> draws = Draws(task="classification", head="svm", sizes=(1, None), repeats=2)
    >>> found, _ = fold_predictions(X, y, y, np.arange(4), np.arange(4, 8), fold=0, draws=draws)
    >>> found.shape, bool((found == y[4:]).all())
    ((2, 2, 4), True)
    """
    if draws.task == "classification" and len(np.unique(y[train])) < 2:
        raise UsageError(
            wanted="two classes or more in every training part",
            got=f"one, when fold {fold} is tested",
            fix="Use other folds",
            source="outer folds",
        )
    out = np.empty((len(draws.sizes), draws.repeats, *y[test].shape), dtype=_kept_type(draws, y))
    # a draw that takes all clips is the same in every repeat, and so is one that adds none
    known: dict[bytes, NDArray[Any]] = {}
    unconverged = 0
    # one thread in every process: sums then have one order, whatever the number of processes
    with threadpool_limits(1):
        for repeat in range(draws.repeats):
            for size, picked in enumerate(draws.chosen(y, train, fold, repeat)):
                key = np.packbits(picked).tobytes()
                if key not in known:
                    seed = derive(draws.seed, "label curve", fold, int(picked.sum()))
                    known[key], capped = _taught(X, y, groups, train[picked], test, draws, seed)
                    unconverged += capped
                out[size, repeat] = known[key]
    return out, unconverged


def _kept_type(draws: Draws, y: NDArray[Any]) -> Any:
    return y.dtype if draws.task == "classification" else np.float64


def _taught(
    X: NDArray[Any],
    y: NDArray[Any],
    groups: Indices,
    drawn: Indices,
    test: Indices,
    draws: Draws,
    seed: int,
) -> tuple[NDArray[Any], int]:
    """Predictions of the test clips by a head fitted on the drawn ones; runs at their cap."""
    d = X.shape[1]
    taught, asked = drawn_space(X[drawn], X[test], scale=draws.scale)
    # d is that of the features, not of their row space: gamma = 1 / d is among the settings
    head = make_head(draws.head, draws.task, n_features=d, scale=False, seed=draws.seed)
    settings = _prefixed(head, fixed_settings(draws.head, draws.task, d, len(drawn)))
    capped = 0
    with counted_convergence() as stopped:
        if draws.tune and (parts := _choosing(y[drawn], groups[drawn], head, seed)):
            try:
                found = search(head, taught, y[drawn], parts)
                settings, capped = found.settings, found.unconverged
            except UsageError:  # no inner fold has a defined score: nothing can be chosen
                pass
        fitted = head.with_settings(settings).fit(taught, y[drawn])
    return predictions(fitted, asked, draws.task), capped + len(stopped)


def drawn_space(drawn: NDArray[Any], test: NDArray[Any], *, scale: bool) -> tuple[Floats, Floats]:
    """Drawn and test clips in coordinates of the drawn clips' row space, standardised by them.

    One more coordinate holds how far a clip lies outside that space, which is 0 for drawn clips. So
    all inner products and distances between drawn clips, and of test to drawn clips, stay, and they
    are all that a head here sees. With n clips of d > n features, solvers run d / n times as fast.

    Parameters
    ----------
    drawn : (n, d) array
    test : (m, d) array
    scale : bool
        Mean 0 and deviation 1 over the drawn clips; a feature that is constant there is centred.

    Returns
    -------
    drawn, test : (n, w) and (m, w) arrays
        w is n + 1 or d, whichever is less.

    Examples
    --------
    >>> drawn, test = np.array([[1.0, 2, 9, 0], [3, 2, 5, 0]]), np.array([[2.0, 2, 7, 1]])
    >>> turned, asked = drawn_space(drawn, test, scale=False)
    >>> turned.shape, bool(np.allclose(asked @ turned.T, test @ drawn.T))
    ((2, 3), True)
    """
    first, second = drawn.astype(np.float64), test.astype(np.float64)
    if scale:
        scaler = StandardScaler().fit(first)
        first, second = scaler.transform(first), scaler.transform(second)
    if len(first) + 1 >= first.shape[1]:
        return first, second
    basis, rows = qr(first.T, mode="economic")
    inside = second @ basis
    outside = np.sqrt(np.maximum((second**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0))
    return np.column_stack([rows.T, np.zeros(len(first))]), np.column_stack([inside, outside])


def fixed_settings(head: str, task: Task, d: int, n: int) -> dict[str, Any]:
    """Settings for every size, where none are chosen.

    svm: rbf, C = 8, gamma = 1 / (4 d), wider than the usual 1 / d, which does worse with few clips.
    logistic: C = 10 / d for classes, 0.01 for tags. ridge: a penalty of d, the squared length that
    a standardised clip has on average. knn: one neighbour for classes and numbers, five (or all n
    clips) for tags, which must be ranked. mlp: 64 hidden units, alpha = 1. linear has none.

    They were compared on 4q's quadrants with four sets of features, one to all clips a class. With
    two clips a class of won2020-fcn-msd: svm .476 (gamma = 1 / d, C = 2: .443), logistic .486,
    ridge .484; with all: .762 (.760), .757, .747. Logistic regressions whose C was chosen on inner
    folds did no better than those of a fixed C, and a curve of fixed settings has no kink where
    choosing sets in.

    Examples
    --------
    >>> fixed_settings("svm", "classification", d=160, n=8)
    {'kernel': 'rbf', 'C': 8.0, 'gamma': 0.0015625}
    """
    match head:
        case "svm":
            return {"kernel": "rbf", "C": 8.0, "gamma": 0.25 / d}
        case "logistic":
            return {"C": 0.01 if task == "tagging" else 10 / d}
        case "ridge":
            return {"alpha": float(d)}
        case "knn":
            return {"n_neighbors": min(n, 5) if task == "tagging" else 1}
        case "mlp" if task == "tagging":
            return {"hidden": 64, "alpha": 1.0}
        case "mlp":
            return {"hidden_layer_sizes": (64,), "alpha": 1.0}
    return {}


def _prefixed(head: Head, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings under the names that the head's pipeline has for them."""
    deeper = any("regressor__" in name for name in head.cells[0])
    prefix = "head__regressor__" if deeper else "head__"
    return {prefix + name: value for name, value in settings.items()}


def _choosing(
    y: NDArray[Any], groups: Indices, head: Head, seed: int
) -> Sequence[tuple[Indices, Indices]] | None:
    """Inner folds of the drawn clips; None where nothing can be chosen."""
    if head.task == "classification":
        parts = choosing_folds(y, groups, seed=seed)
    else:
        try:
            parts = inner_folds(y, groups, head.task, seed=seed)
        except UsageError:  # one group alone, or a fold that stays empty
            parts = None
    if parts is None:
        return None
    splits = list(parts.splits())
    fewest = min(len(train) for train, _ in splits)
    neighbours = [cell.get("head__n_neighbors", 0) for cell in head.cells]
    return splits if min(neighbours) <= fewest else None
