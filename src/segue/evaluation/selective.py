"""Answers given only when they are sure enough: how many remain, and how many are right."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.calibration import wilson_interval

Floats = NDArray[np.float64]

LEAST_ACCEPTED = 20
"""A threshold is never chosen on fewer answers: their share of right ones would be luck."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What is left when unsure answers are "unknown".

    Attributes
    ----------
    n, accepted : int
        Answers in all, and those given.
    coverage : float
        accepted / n.
    accuracy : float
        Share of right ones among those given; NaN with none.
    low, high : float
        95 % Wilson interval of the accuracy, which takes answers as independent.
    """

    n: int
    accepted: int
    coverage: float
    accuracy: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def accepted(confidence: ArrayLike, right: ArrayLike, threshold: ArrayLike) -> Accepted:
    """Coverage and accuracy of the answers with a confidence of at least ``threshold``.

    Parameters
    ----------
    confidence : (n,) array
    right : (n,) boolean array
    threshold : float or (n,) array
        One for all, or the one that each answer had to pass.

    Examples
    --------
    >>> found = accepted([0.9, 0.8, 0.4], [True, False, True], 0.5)
    >>> found.accepted, round(found.coverage, 2), found.accuracy
    (2, 0.67, 0.5)
    """
    hits = np.asarray(right, dtype=bool)
    given = np.asarray(confidence) >= np.asarray(threshold)
    count = int(given.sum())
    accuracy = float(hits[given].mean()) if count else float("nan")
    low, high = wilson_interval(accuracy, count) if count else (float("nan"), float("nan"))
    return Accepted(
        n=len(hits),
        accepted=count,
        coverage=count / len(hits),
        accuracy=accuracy,
        low=low,
        high=high,
    )


def threshold_for(confidence: ArrayLike, right: ArrayLike, accuracy: float) -> float:
    """Lowest threshold whose accepted answers are right in at least that share, or infinity.

    It lies half-way between the last answer that passes and the next. Infinity: no threshold that
    20 answers or more pass reaches the share.

    Examples
    --------
    >>> import numpy as np
    >>> confidence = np.linspace(0, 0.99, 100)
    >>> round(threshold_for(confidence, confidence > 0.5, 0.9), 3)
    0.455
    """
    sure, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    order = np.argsort(-sure, kind="stable")
    sure, hits = sure[order], hits[order]
    counts = np.arange(1, len(sure) + 1)
    passes = (np.cumsum(hits) / counts >= accuracy) & (counts >= LEAST_ACCEPTED)
    passes[:-1] &= sure[1:] < sure[:-1]  # equal answers pass together
    if not passes.any():
        return float("inf")
    last = int(np.flatnonzero(passes)[-1])
    return float((sure[last] + sure[last + 1]) / 2) if last + 1 < len(sure) else 0.0


def cross_fitted_thresholds(
    confidence: ArrayLike, right: ArrayLike, folds: ArrayLike, accuracy: float
) -> Floats:
    """Threshold (n,) for each answer, chosen on the answers of the other folds.

    Examples
    --------
    >>> import numpy as np
    >>> sure = np.tile(np.linspace(0, 0.99, 100), 2)
    >>> np.unique(cross_fitted_thresholds(sure, sure > 0.5, np.arange(200) // 100, 0.9)).round(3)
    array([0.455])
    """
    sure, hits, parts = np.asarray(confidence), np.asarray(right), np.asarray(folds)
    thresholds = np.empty(len(sure))
    for fold in np.unique(parts):
        judged = parts == fold
        thresholds[judged] = threshold_for(sure[~judged], hits[~judged], accuracy)
    return thresholds


def acceptance_curve(confidence: ArrayLike, right: ArrayLike) -> tuple[Floats, Floats]:
    """Coverage and accuracy as the threshold falls, one point for each value of the confidence.

    Examples
    --------
    >>> acceptance_curve([0.9, 0.8, 0.4], [True, False, True])[1].round(2)
    array([1.  , 0.5 , 0.67])
    """
    sure, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    order = np.argsort(-sure, kind="stable")
    counts = np.arange(1, len(sure) + 1)
    shares = np.cumsum(hits[order]) / counts
    last = np.append(sure[order][1:] < sure[order][:-1], True)
    return counts[last] / len(sure), shares[last]


def check_threshold(value: float, *, least: float = 0.0) -> float:
    """``value`` if it can be a threshold of confidence.

    Raises
    ------
    UsageError
        It is not in ``least`` to 1.

    Examples
    --------
    >>> check_threshold(0.8)
    0.8
    """
    if not least <= value <= 1:
        raise UsageError(
            wanted=f"a confidence from {least:g} to 1",
            got=f"{value:g}",
            fix="Choose one in between",
            source="unknown",
        )
    return value
