"""How many labels one encoder needs to match another, and differences at equal labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from segue.evaluation.label_curves import LabelCurves
from segue.evaluation.label_draws import Size
from segue.evaluation.label_replicates import LEVEL, interval
from segue.evaluation.statistics import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelDifference:
    """Score of one encoder less that of another at the same size, on the same draws.

    Attributes
    ----------
    first, second : str
    size : int or None
    difference : float
        Of the task's first metric.
    low, high : float
        95 % interval; NaN where there is none.
    """

    first: str
    second: str
    size: Size
    difference: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """The difference for CSV and JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Equivalence:
    """Labels that ``encoder`` needs to match what ``reference`` reaches with ``size``.

    Attributes
    ----------
    reference, encoder : str
    size : int or None
    score : float
        What the reference reaches with it, on its monotone curve.
    labels : float
        In clips a class, or clips where there are no classes. Infinite where all labels do not
        suffice; the smallest size where it, or less, does.
    low, high : float
        95 % percentile interval over groups and draws; NaN where there is none.
    """

    reference: str
    encoder: str
    size: Size
    score: float
    labels: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """The equivalence for CSV and JSON."""
        return asdict(self)


def label_differences(curves: LabelCurves) -> list[LabelDifference]:
    """Differences of all pairs at all sizes, paired: both see the same draws and test groups.

    Examples
    --------
    >>> from segue.evaluation.label_curves import label_curves
    >>> features = {"parity": np.arange(24.0)[:, None] % 2, "nothing": np.ones((24, 1))}
    >>> curves = label_curves(features, [0, 1] * 12, None, sizes=[2], repeats=2, n_folds=3)
    >>> [(one.first, one.second, one.difference) for one in label_differences(curves)]
    [('parity', 'nothing', 0.5)]
    """
    curve = curves.main
    found = []
    for first, second in combinations(range(len(curves.encoders)), 2):
        difference = curve.mean[first] - curve.mean[second]
        moved = curve.deviations[first] - curve.deviations[second]
        low, high = interval(difference, moved, curves.n_groups, low=-np.inf, high=np.inf)
        if curves.why_no_interval:
            low = high = np.full(len(difference), np.nan)
        found += [
            LabelDifference(
                first=curves.encoders[first],
                second=curves.encoders[second],
                size=size,
                difference=float(difference[at]),
                low=float(low[at]),
                high=float(high[at]),
            )
            for at, size in enumerate(curves.sizes)
        ]
    return found


def label_equivalences(curves: LabelCurves) -> list[Equivalence]:
    """For each ordered pair of encoders and each size: labels that the other needs to match it.

    Both mean curves are made monotone (isotonic regression), and the second is interpolated
    linearly in the logarithm of the labels. The interval comes from doing the same with the curves
    of other groups and draws.

    Examples
    --------
    >>> from segue.evaluation.label_curves import label_curves
    >>> features = {"parity": np.arange(24.0)[:, None] % 2, "nothing": np.ones((24, 1))}
    >>> curves = label_curves(features, [0, 1] * 12, None, sizes=[2, None], repeats=2, n_folds=3)
    >>> [(one.encoder, one.size, one.labels) for one in label_equivalences(curves)]
    [('nothing', 2, inf), ('nothing', None, inf), ('parity', 2, 2.0), ('parity', None, 2.0)]
    """
    curve, per = curves.main, curves.per
    rising = [monotone(one) for one in curve.mean]
    drawn = [
        np.apply_along_axis(monotone, 1, mean + moved)
        for mean, moved in zip(curve.mean, curve.deviations, strict=True)
    ]
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = []
    for reference, encoder in permutations(range(len(curves.encoders)), 2):
        labels = labels_needed(rising[encoder][None], per, rising[reference][None])[0]
        # inverted: a percentile that is one of the draws, since infinity cannot be averaged
        low, high = np.quantile(
            labels_needed(drawn[encoder], per, drawn[reference]), tails, axis=0,
            method="inverted_cdf",
        )  # fmt: skip
        if curves.why_no_interval:
            low = high = np.full(len(labels), np.nan)
        found += [
            Equivalence(
                reference=curves.encoders[reference],
                encoder=curves.encoders[encoder],
                size=size,
                score=float(rising[reference][at]),
                labels=float(labels[at]),
                low=float(low[at]),
                high=float(high[at]),
            )
            for at, size in enumerate(curves.sizes)
        ]
    return found


def labels_needed(curve: Floats, labels: Floats, wanted: Floats) -> Floats:
    """Where rising curves first reach given scores.

    Parameters
    ----------
    curve : (b, sizes) array
        Each row rises or stays.
    labels : (sizes,) array
        Ascending, above 0.
    wanted : (b, m) array

    Returns
    -------
    (b, m) array
        Linear in the logarithm between sizes; the first size where the curve starts at the score
        or above; infinite where it never reaches it.

    Examples
    --------
    >>> labels_needed(np.array([[0.2, 0.4]]), np.array([1.0, 100.0]), np.array([[0.3, 0.1, 0.5]]))
    array([[10.,  1., inf]])
    """
    reached = curve[:, :, None] >= wanted[:, None, :]
    after = reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(curve))[:, None]
    step = curve[rows, after] - curve[rows, before]
    share = np.where(step > 0, (wanted - curve[rows, before]) / np.where(step > 0, step, 1.0), 1.0)
    logs = np.log(labels)
    between = np.exp(logs[before] + np.clip(share, 0.0, 1.0) * (logs[after] - logs[before]))
    found: Floats = np.where(reached.any(axis=1), between, np.inf)
    return found


def monotone(curve: Floats) -> Floats:
    """The nearest curve that never falls.

    Examples
    --------
    >>> monotone(np.array([0.1, 0.4, 0.2, 0.5])).tolist()
    [0.1, 0.30000000000000004, 0.30000000000000004, 0.5]
    """
    return np.asarray(isotonic_regression(curve).x, dtype=np.float64)


def ahead(curves: LabelCurves) -> Iterator[tuple[str, str]]:
    """Each pair of encoders, the one that is ahead on average over the sizes first.

    Examples
    --------
    >>> from segue.evaluation.label_curves import label_curves
    >>> features = {"nothing": np.ones((24, 1)), "parity": np.arange(24.0)[:, None] % 2}
    >>> curves = label_curves(features, [0, 1] * 12, None, sizes=[2], repeats=2, n_folds=3)
    >>> list(ahead(curves))
    [('parity', 'nothing')]
    """
    level = curves.main.mean.mean(axis=1)
    order = sorted(range(len(level)), key=lambda at: -level[at])
    for first, second in combinations(order, 2):
        yield curves.encoders[first], curves.encoders[second]
