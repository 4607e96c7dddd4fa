"""Label efficiency: what encoders reach with 1, 2, 5, ... labelled clips a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from segue.errors import UsageError
from segue.evaluation.folds import Folds, group_codes, outer_folds
from segue.evaluation.heads import DEFAULT_HEADS, make_head
from segue.evaluation.label_classes import ClassScores, class_scores
from segue.evaluation.label_draws import Draws, Size, fold_predictions
from segue.evaluation.label_replicates import Resampling, fold_score_replicates, interval
from segue.evaluation.label_sizes import drawn_clips, featureless, usable_sizes
from segue.evaluation.metrics import BOUNDS, METRICS, check_task, score
from segue.evaluation.protocols import Progress, check_features
from segue.evaluation.rows import Task
from segue.evaluation.statistics import Floats, why_no_interval
from segue.evaluation.targets import EncodedTarget, encode_target
from segue.evaluation.window_sets import Indices

REPLICATES = 500


class Parts(Protocol):
    """Where finished folds are kept, so that a long run goes on where it stopped."""

    def get(self, encoder: str, fold: int) -> tuple[NDArray[Any], int] | None:
        """What fold_predictions gave; None where it is not there."""

    def put(self, encoder: str, fold: int, found: tuple[NDArray[Any], int]) -> None:
        """Keep it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """The curve of one metric, of every encoder.

    Attributes
    ----------
    metric : str
    mean : (encoders, sizes) array
        Over folds and draws.
    low, high : (encoders, sizes) arrays
        95 % interval of each point by itself; NaN where LabelCurves.why_no_interval says why.
    deviations : (encoders, replicates, sizes) array
        How the curves would have come out otherwise, together; see label_replicates.
    """

    metric: str
    mean: Floats
    low: Floats
    high: Floats
    deviations: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelCurves:
    """Label efficiency of several encoders on the same draws of the same folds.

    Attributes
    ----------
    target, group : str
    task : {"classification", "tagging", "regression"}
    head : str
    tune, scale : bool
    encoders : tuple of str
        In the order given.
    labels : tuple of str
        Classes, tags, or none.
    sizes : tuple of int or None
        Ascending, without those that no class could fill.
    clips : (sizes,) array
        Drawn clips, mean over folds.
    class_clips : (sizes, classes) array
        The same by class; no column where there are no classes.
    curves : mapping of metric to Curve
        The main metric first.
    classes : mapping of encoder to ClassScores
        Of classification; else empty.
    baselines : mapping of str to mapping of metric to float
        What a predictor reaches that sees no features.
    n, n_groups, folds, repeats : int
    why_no_interval : str
        "" where there are intervals.
    notes : tuple of str
    """

    target: str
    group: str
    task: Task
    head: str
    tune: bool
    scale: bool
    encoders: tuple[str, ...]
    labels: tuple[str, ...]
    sizes: tuple[Size, ...]
    clips: Floats
    class_clips: Floats
    curves: Mapping[str, Curve]
    classes: Mapping[str, ClassScores]
    baselines: Mapping[str, Mapping[str, float]]
    n: int
    n_groups: int
    folds: int
    repeats: int
    why_no_interval: str
    notes: tuple[str, ...]

    @property
    def main(self) -> Curve:
        """The curve of the task's first metric."""
        return self.curves[METRICS[self.task][0]]

    @property
    def per(self) -> Floats:
        """Labels (sizes,) on the horizontal axis: drawn clips a class, or all where none."""
        per: Floats = self.clips / max(1, self.class_clips.shape[1])
        return per

    def unit(self, size: Size = None) -> str:
        """What a size counts, as its own noun: "1 clip a class"."""
        clips = "clip" if size == 1 else "clips"
        return f"{clips} a class" if self.task == "classification" else clips


def label_curves(
    features: Mapping[str, ArrayLike],
    y: Sequence[Any] | NDArray[Any],
    groups: ArrayLike | None,
    *,
    target: str = "target",
    group: str = "",
    task: str = "classification",
    head: str | None = None,
    sizes: Sequence[Size] | None = None,
    repeats: int = 10,
    n_folds: int = 5,
    tune: bool = False,
    scale: bool = True,
    min_positives: int = 5,
    seed: int = 0,
    n_jobs: int = 1,
    parts: Parts | None = None,
    progress: Progress | None = None,
) -> LabelCurves:
    """Teach a head with k clips of each class, test it on a whole fold; for every k and encoder.

    Outer folds are disjoint by group, and each is tested whole. From the others k clips of each
    class are drawn at random, ``repeats`` times; a larger draw holds the smaller one, and all
    encoders see the same draws. The head sees nothing of the clips that were not drawn: features
    are standardised by the drawn clips alone. (Unlabelled clips of the training part could
    standardise better, but then a curve would tell of more than k clips.)

    The interval of a point holds the choice of test groups, of draws and, by a simulated factor, of
    the collection that is drawn from; see label_replicates. Simulated (100 collections of 60 groups
    of one to five clips, five repeats), it covers the expected score in 90 to 100 % of runs and
    differences of two encoders in 92 to 100 %, most where one clip a class is drawn.

    Parameters
    ----------
    features : mapping of str to (n, d) array
    y : sequence
        As in encode_target. Without classes (tagging, regression) k clips are drawn of all.
    groups : (n,) or None
    head : str, optional
        By default DEFAULT_HEADS of the task.
    sizes : sequence of int or None, optional
        None is all clips of the training part. By default those of label_sizes. A class with
        fewer clips gives all it has, which the notes count; a size that no class can fill is left
        out.
    repeats : int, default 10
        Draws of each size in each fold.
    n_folds : int, default 5
    tune : bool, default False
        Choose the head's settings on inner folds of the drawn clips where that can be done. By
        default they are those of label_draws.fixed_settings at every size.
    min_positives : int
        As in encode_target.
    n_jobs : int, default 1
        Processes over folds, one thread each. The result does not depend on it.
    parts : Parts, optional
    progress : callable, optional
        Called as ``progress(completed, total)`` after each fold of each encoder.

    Raises
    ------
    UsageError
        As encode_target, outer_folds and make_head; no encoders; features of other clips; a size
        below 1 (2 without classes) or twice; no size that can be filled; no repeat.

    Examples
    --------
    >>> y = np.array(["low", "high"] * 12)
    >>> features = {"parity": np.arange(24.0)[:, None] % 2}
    >>> found = label_curves(features, y, None, sizes=[1, 2, None], repeats=2, n_folds=3)
    >>> found.sizes, found.main.mean.tolist(), found.per.tolist()
    ((1, 2, None), [[1.0, 1.0, 1.0]], [1.0, 2.0, 8.0])
    """
    task = check_task(task)
    encoded = encode_target(y, groups, task, min_positives=min_positives)
    codes = group_codes(groups, len(encoded.y))
    head = head or DEFAULT_HEADS[task]
    tables = _checked(features, head, task, len(encoded.y), repeats)
    folds = outer_folds(encoded.y, codes, task, n_folds=n_folds, seed=seed)
    kept, notes = usable_sizes(encoded, folds, sizes)
    draws = Draws(
        task=task, head=head, sizes=kept, repeats=repeats, tune=tune, scale=scale, seed=seed
    )
    clips, class_clips = drawn_clips(encoded, folds, draws)
    resampling = Resampling.of(codes, n_folds, repeats, replicates=REPLICATES, seed=seed)
    truth = _truth(encoded)
    why_not = why_no_interval(METRICS[task][0], codes, folds.assignment)
    scored: dict[str, _Scored] = {}
    for number, (name, X) in enumerate(tables.items()):
        count = _count_on(progress, number * n_folds, len(tables) * n_folds)
        found = _predicted(
            name, X, truth, codes, folds, draws, parts=parts, n_jobs=n_jobs, count=count
        )
        scored[name] = _scored(found, truth, encoded, folds, resampling, intervals=not why_not)
    if repeats == 1:
        notes.append("one draw of each size: intervals hold the choice of test groups alone")
    if capped := sum(one.capped for one in scored.values()):
        notes.append(f"{head}: {capped} solver runs stopped at their cap before they converged")
    return LabelCurves(
        target=target,
        group=group,
        task=task,
        head=head,
        tune=tune,
        scale=scale,
        encoders=tuple(tables),
        labels=encoded.labels,
        sizes=kept,
        clips=clips,
        class_clips=class_clips,
        curves={
            metric: _curve(metric, list(scored.values()), resampling, intervals=not why_not)
            for metric in METRICS[task]
        },
        classes={name: one.classes for name, one in scored.items() if one.classes},
        baselines=featureless(encoded, folds),
        n=len(truth),
        n_groups=resampling.n_groups,
        folds=n_folds,
        repeats=repeats,
        why_no_interval=why_not,
        notes=(*encoded.notes, *folds.notes, *notes, *([why_not] if why_not else [])),
    )


def _truth(encoded: EncodedTarget) -> NDArray[Any]:
    """Class codes, which take a byte or two, or y itself."""
    if encoded.task != "classification":
        return encoded.y
    return np.searchsorted(np.array(encoded.labels), encoded.y).astype(np.int16)


def _predicted(
    name: str,
    X: NDArray[Any],
    truth: NDArray[Any],
    codes: Indices,
    folds: Folds,
    draws: Draws,
    *,
    parts: Parts | None,
    n_jobs: int,
    count: Progress | None,
) -> tuple[NDArray[Any], int]:
    """Predictions (sizes, repeats, n) or (..., tags) of one encoder; solver runs at their cap."""
    splits = list(folds.splits())
    done: dict[int, tuple[NDArray[Any], int]] = {}
    for fold in range(len(splits)):
        if parts is not None and (found := parts.get(name, fold)) is not None:
            done[fold] = found
    if done and count is not None:
        count(len(done), len(splits))
    jobs = [
        delayed(_numbered)(fold, X, truth, codes, *splits[fold], draws)
        for fold in range(len(splits))
        if fold not in done
    ]
    for fold, found in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
        if parts is not None:
            parts.put(name, fold, found)
        done[fold] = found
        if count is not None:
            count(len(done), len(splits))
    first = done[0][0]
    out = np.empty((*first.shape[:2], *truth.shape), dtype=first.dtype)
    for fold, (_, test) in enumerate(splits):
        out[:, :, test] = done[fold][0]
    return out, sum(capped for _, capped in done.values())


def _numbered(
    fold: int,
    X: NDArray[Any],
    truth: NDArray[Any],
    codes: Indices,
    train: Indices,
    test: Indices,
    draws: Draws,
) -> tuple[int, tuple[NDArray[Any], int]]:
    return fold, fold_predictions(X, truth, codes, train, test, fold=fold, draws=draws)


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """One encoder: mean (sizes,) and deviations (replicates, sizes) by metric; classes, if any."""

    metrics: Mapping[str, tuple[Floats, Floats]]
    classes: ClassScores | None
    capped: int


def _scored(
    found: tuple[NDArray[Any], int],
    truth: NDArray[Any],
    encoded: EncodedTarget,
    folds: Folds,
    resampling: Resampling,
    *,
    intervals: bool,
) -> _Scored:
    predicted, capped = found
    splits = list(folds.splits())
    comparable = predicted
    if encoded.task == "tagging":
        # heads of two folds score on different scales, and only order counts: ranks are on one
        comparable = np.empty_like(predicted)
        for _, test in splits:
            comparable[:, :, test] = rankdata(predicted[:, :, test], axis=2) / len(test)
    metrics = {}
    for metric in METRICS[encoded.task]:
        fold_scores = np.array(
            [
                [[score(metric, truth[test], one[test]) for one in drawn] for _, test in splits]
                for drawn in predicted
            ]
        )
        moved = fold_score_replicates(metric, truth, comparable, fold_scores, folds, resampling)
        metrics[metric] = np.nanmean(fold_scores, axis=(1, 2)), moved
    classes = None
    if encoded.task == "classification":
        n_classes = len(encoded.labels)
        classes = class_scores(truth, predicted, folds, resampling, n_classes, intervals=intervals)
    return _Scored(metrics, classes, capped)


def _curve(
    metric: str, scored: Sequence[_Scored], resampling: Resampling, *, intervals: bool
) -> Curve:
    mean = np.array([one.metrics[metric][0] for one in scored])
    deviations = np.array([one.metrics[metric][1] for one in scored])
    low = high = np.full(mean.shape, np.nan)
    if intervals:
        least, most = BOUNDS.get(metric, (0.0, 1.0))
        by_replicate = np.moveaxis(deviations, 1, 0)
        low, high = interval(mean, by_replicate, resampling.n_groups, low=least, high=most)
    return Curve(metric=metric, mean=mean, low=low, high=high, deviations=deviations)


def _count_on(progress: Progress | None, before: int, total: int) -> Progress | None:
    """The callback of one encoder, counting on from the encoders before it."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def _checked(
    features: Mapping[str, ArrayLike], head: str, task: Task, n: int, repeats: int
) -> dict[str, NDArray[Any]]:
    """Features as tables; a head or a table that will not do fails before the first hour."""
    if not features or repeats < 1:
        raise UsageError(
            wanted="one encoder or more, and one repeat or more",
            got=f"{len(features)} encoders, {repeats} repeats",
            fix="Name some",
            source="label curve",
        )
    tables = {name: check_features(X, f"features of {name}") for name, X in features.items()}
    for name, X in tables.items():
        if len(X) != n:
            raise UsageError(
                wanted=f"{n} rows, one per labelled clip",
                got=f"{len(X)}",
                fix="Give features and labels in the same order",
                source=f"features of {name}",
            )
        make_head(head, task, n_features=X.shape[1])
    return tables
