"""Accuracy against the number of training clips a class: figure 3 of Hamel et al. (2013)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.folds import group_codes
from segue.evaluation.heads import HEADS, make_head
from segue.evaluation.linear_heads import Floats
from segue.evaluation.protocols import Progress, fit_head
from segue.evaluation.search import counted_convergence
from segue.evaluation.statistics import mean_and_error
from segue.evaluation.triangles import Factor
from segue.evaluation.window_penalty import Penalty, check_alpha, choosing_folds, weights
from segue.evaluation.window_sets import Indices, Windows, factor_of
from segue.evaluation.windows import Split, check_splits, clip_labels
from segue.seeds import derive, generator

PAPER_SIZES: tuple[int | None, ...] = (1, 2, 5, 10, 20, 50, 100, 200, None)
"""None is every training clip there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FewLabelRow:
    """Accuracy of one set of features with one draw of training clips.

    Attributes
    ----------
    features : str
    per_class : int or None
        Clips asked of each class; None for all.
    clips : int
        Clips drawn; fewer than asked where a class has fewer.
    fold, repeat : int
    accuracy : float
        Over the fold's test clips.
    """

    features: str
    per_class: int | None
    clips: int
    fold: int
    repeat: int
    accuracy: float

    def as_dict(self) -> dict[str, Any]:
        """The row for CSV and JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FewLabelPoint:
    """One point of a curve, over folds (repeats of a fold are averaged first).

    Attributes
    ----------
    features, per_class
        As in FewLabelRow.
    clips : float
        Mean number of training clips.
    mean, se : float
        Mean accuracy and its standard error over folds.
    difference, difference_se : float
        Mean of the folds' differences to the base features, on the same draws, and its error.
    """

    features: str
    per_class: int | None
    clips: float
    mean: float
    se: float
    difference: float
    difference_se: float

    def as_dict(self) -> dict[str, Any]:
        """The point for CSV and JSON."""
        return asdict(self)


def few_label_curve(
    features: Mapping[str, Windows],
    labels: ArrayLike,
    folds: Iterable[Split],
    *,
    sizes: Sequence[int | None] = PAPER_SIZES,
    repeats: int = 1,
    head: str = "windows",
    alpha: Penalty = 0.0,
    groups: ArrayLike | None = None,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> list[FewLabelRow]:
    """Train on k clips a class, test on the fold, for every k and set of features.

    The clips of a larger k hold those of a smaller one. All features see the same draws, so their
    differences are paired. The result does not depend on ``n_jobs``.

    Parameters
    ----------
    features : mapping of name to Windows
        All of the same clips in the same order; the numbers of windows may differ.
    labels : (clips,) sequence of str
    folds : iterable of (train, test)
        See cross_validate_windows. Clips are drawn from the training part, so folds that keep
        artists apart keep them apart here.
    sizes : sequence of int or None
        Clips a class; None for all. A class that has fewer gives all it has.
    repeats : int, default 1
        Draws a fold; the fold's accuracy is their mean.
    head : str, default "windows"
        "windows" is WindowRegression; else a name of heads.HEADS, fitted on each clip's mean
        window, its settings chosen on inner folds of the drawn clips. With one clip a class, with
        clips of one group alone, or with each class in one group, nothing can be chosen:
        scikit-learn's defaults are taken, and one neighbour for knn.
    alpha : float or "chosen", default 0.0
        Penalty of WindowRegression; "chosen" takes the best of window_penalty.SHARES by inner folds
        of the drawn clips, and the largest where nothing can be chosen. Without one, features of
        different widths are not comparable where windows are about as many as dimensions: see
        window_penalty.
    groups : (clips,) or None
        Inner folds do not split a group.
    seed : int
    n_jobs : int, default 1
        Processes, one thread each, over features and folds.
    progress : callable, optional
        Called as ``progress(completed, total)`` after each fold of each set of features.

    Returns
    -------
    list of FewLabelRow
        By features, per_class, fold and repeat, in the order given.

    Raises
    ------
    UsageError
        As cross_validate_windows; or no features, features of different clips, a size below 1 or
        twice, no repeat, or no such head.

    Examples
    --------
    >>> from segue.evaluation.folds import outer_folds
    >>> labels = ["low", "high"] * 6
    >>> windows = Windows(np.arange(12.0)[:, None] % 2, np.arange(12))
    >>> folds = outer_folds(labels, None, "classification", n_folds=2)
    >>> rows = few_label_curve({"parity": windows}, labels, folds.splits(), sizes=[1, None])
    >>> [(row.per_class, row.clips, row.accuracy) for row in rows]
    [(1, 2, 1.0), (1, 2, 1.0), (None, 6, 1.0), (None, 6, 1.0)]
    """
    n_clips = _check(features, sizes, repeats, head)
    check_alpha(alpha)
    names = clip_labels(labels, n_clips)
    codes = group_codes(groups, n_clips)
    splits = check_splits(folds, names)
    ascending = sorted(sizes, key=lambda size: n_clips if size is None else size)
    jobs = [
        delayed(_one_fold)(
            *(name, fold, features[name], names, train, test, codes),
            *(ascending, repeats, head, alpha, seed),
        )
        for name in features
        for fold, (train, test) in enumerate(splits)
    ]
    rows: list[FewLabelRow] = []
    runs = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
    for done, found in enumerate(runs, 1):
        rows += found
        if progress is not None:
            progress(done, len(jobs))
    order = list(features)
    return sorted(
        rows,
        key=lambda row: (
            *(order.index(row.features), list(sizes).index(row.per_class)),
            *(row.fold, row.repeat),
        ),
    )


def few_label_points(rows: Sequence[FewLabelRow], *, base: str) -> list[FewLabelPoint]:
    """Means, standard errors, and paired differences to the base features.

    Raises
    ------
    UsageError
        No rows, none of the base features, or rows that are not of the same folds and repeats.

    Examples
    --------
    >>> values = {"mel": (0.25, 0.75), "tags": (0.75, 0.75)}
    >>> rows = [
    ...     FewLabelRow(features=name, per_class=1, clips=2, fold=fold, repeat=0, accuracy=value)
    ...     for name, both in values.items() for fold, value in enumerate(both)]
    >>> point = few_label_points(rows, base="mel")[1]
    >>> point.features, point.mean, point.difference, point.difference_se
    ('tags', 0.75, 0.25, 0.25)
    """
    curves: dict[tuple[str, int | None], dict[tuple[int, int], FewLabelRow]] = {}
    for row in rows:
        curves.setdefault((row.features, row.per_class), {})[row.fold, row.repeat] = row
    points = []
    for (name, per_class), drawn in curves.items():
        compared = curves.get((base, per_class))
        if compared is None or compared.keys() != drawn.keys():
            raise UsageError(
                wanted=f"rows of {base!r} for the same sizes, folds and repeats as {name!r}",
                got="none" if compared is None else "others",
                fix="Take all rows of one few_label_curve, and a name of its features as base",
                source="few labels",
            )
        mean, se = mean_and_error(_per_fold(drawn))
        difference, difference_se = mean_and_error(_per_fold(drawn) - _per_fold(compared))
        points.append(
            FewLabelPoint(
                features=name,
                per_class=per_class,
                clips=float(np.mean([row.clips for row in drawn.values()])),
                mean=mean,
                se=se,
                difference=difference,
                difference_se=difference_se,
            )
        )
    return points


def draw_order(names: NDArray[np.str_], train: Indices, seed: int, *purpose: str | int) -> Indices:
    """For each training clip, its place in a random order of the clips of its class.

    The draw of k clips a class is those with a place below k, so draws are nested. It depends on
    the clips of a class alone, not on other classes.

    Examples
    --------
    >>> names = np.array(["a", "b", "a", "b"])
    >>> sorted(draw_order(names, np.array([0, 1, 2]), 0, "example").tolist())
    [0, 0, 1]
    """
    places = np.empty(len(train), dtype=np.int64)
    for name in np.unique(names[train]):
        of_class = np.flatnonzero(names[train] == name)
        rng = generator(seed, "few labels", *purpose, str(name))
        places[of_class] = rng.permutation(len(of_class))
    return places


def _one_fold(
    name: str,
    fold: int,
    windows: Windows,
    names: NDArray[np.str_],
    train: Indices,
    test: Indices,
    groups: Indices,
    sizes: Sequence[int | None],
    repeats: int,
    head: str,
    alpha: Penalty,
    seed: int,
) -> list[FewLabelRow]:
    """All sizes and repeats of one fold; sizes ascend, so that each factor grows from the last."""
    classes, codes = np.unique(names, return_inverse=True)
    rows = []
    # one thread in every process: sums then have one order, whatever n_jobs is
    with threadpool_limits(1):
        for repeat in range(repeats):
            places = draw_order(names, train, seed, fold, repeat)
            used = np.zeros(len(train), dtype=bool)
            factor: Factor | None = None
            accuracy = float("nan")
            for size in sizes:
                chosen = places < (len(train) if size is None else size)
                if (fresh := chosen & ~used).any():
                    drawn = train[chosen]
                    own = derive(seed, "few labels", fold, repeat, size or "all")
                    if head == "windows":
                        added = factor_of(windows, train[fresh], codes, len(classes))
                        factor = added if factor is None else Factor.merged([factor, added])
                        fitted = weights(factor, alpha, windows, drawn, codes, groups, seed=own)
                        guesses = classes[_best(windows.means[test], *fitted)]
                    else:
                        guesses = _guesses(windows.means, names, drawn, test, groups, head, own)
                    accuracy = float(np.mean(guesses == names[test]))
                used = chosen
                rows.append(
                    FewLabelRow(
                        features=name,
                        per_class=size,
                        clips=int(chosen.sum()),
                        fold=fold,
                        repeat=repeat,
                        accuracy=accuracy,
                    )
                )
    return rows


def _best(means: Floats, coef: Floats, intercept: Floats) -> Indices:
    best: Indices = (means @ coef.T + intercept).argmax(axis=1)
    return best


def _guesses(
    X: Floats,
    names: NDArray[np.str_],
    drawn: Indices,
    test: Indices,
    groups: Indices,
    head: str,
    seed: int,
) -> NDArray[np.str_]:
    """Labels of the test clips from a head fitted on the drawn clips."""
    if parts := choosing_folds(names[drawn], groups[drawn], seed=seed):
        args = X[drawn], names[drawn], groups[drawn], "classification", head
        fitted = fit_head(*args, inner=len(parts.names), seed=seed).estimator
    else:
        made = make_head(head, "classification", n_features=X.shape[1], seed=seed)
        settings = {"head__n_neighbors": 1} if head == "knn" else {}
        with counted_convergence():
            fitted = made.with_settings(settings).fit(X[drawn], names[drawn])
    guesses: NDArray[np.str_] = fitted.predict(X[test])
    return guesses


def _per_fold(drawn: Mapping[tuple[int, int], FewLabelRow]) -> Floats:
    """Accuracy (folds,) in order of the folds, repeats averaged."""
    folds = sorted({fold for fold, _ in drawn})
    return np.array(
        [np.mean([row.accuracy for (of, _), row in drawn.items() if of == fold]) for fold in folds]
    )


def _check(
    features: Mapping[str, Windows], sizes: Sequence[int | None], repeats: int, head: str
) -> int:
    """Number of clips."""
    lengths = {name: len(windows) for name, windows in features.items()}
    problem = None
    if len(set(lengths.values())) != 1:
        problem = "features of the same clips", str(lengths or "none"), "Align the features"
    elif not sizes or len(set(sizes)) < len(sizes) or any(k is not None and k < 1 for k in sizes):
        wanted = "different numbers of clips a class, 1 or more, or None for all"
        problem = wanted, str(list(sizes)), "Correct the sizes"
    elif repeats < 1:
        problem = "one repeat or more", str(repeats), "Correct the number of repeats"
    elif head != "windows" and head not in HEADS:
        problem = f"a head among windows, {', '.join(HEADS)}", repr(head), "Choose one of these"
    if problem:
        wanted, got, fix = problem
        raise UsageError(wanted=wanted, got=got, fix=fix, source="few labels")
    return next(iter(lengths.values()))
