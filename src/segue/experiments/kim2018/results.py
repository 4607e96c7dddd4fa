"""Numbers by split, features and seed; means, differences, and how sure they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from segue.evaluation.metrics import accuracy, macro_f1
from segue.experiments.kim2018.combinations import combinations_of
from segue.experiments.kim2018.published import ACCURACY, LOG_LOSS, MACRO_F1, STN, WSTN
from segue.experiments.kim2018.splits import SHARE, Kind

LEAST: Final = 1e-8
"""Probability below which a log loss takes none: else one sure error outweighs all other tracks."""

LEVEL: Final = 0.95

UNTRAINED, UNTRAINED_WIDE, PRIOR = "untrained", "untrained, five", "prior"
"""Controls: one network as it began; five of them; how frequent each class is."""

Scores = Mapping[str, float]


def scores_of(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Log loss, macro F1 and accuracy of class probabilities (tracks, classes).

    Examples
    --------
    >>> found = scores_of(np.array([0, 1]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    >>> round(found["log loss"], 4), found["accuracy"]
    (0.3466, 1.0)
    """
    true = np.clip(probabilities[np.arange(len(truth)), truth], LEAST, 1.0)
    return {LOG_LOSS: float(-np.log(true).mean()), **label_scores(truth, probabilities.argmax(1))}


def label_scores(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Macro F1 and accuracy of predicted classes.

    Examples
    --------
    >>> label_scores(np.array([0, 1]), np.array([0, 1]))
    {'macro F1': 1.0, 'accuracy': 1.0}
    """
    return {MACRO_F1: macro_f1(truth, predicted), ACCURACY: accuracy(truth, predicted)}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds, and how sure it is.

    Attributes
    ----------
    mean, se, low, high : float
        Standard error and 95 % interval; NaN for a single seed.
    seeds : int
    """

    mean: float
    se: float
    low: float
    high: float
    seeds: int

    @property
    def shown(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def estimate(values: ArrayLike) -> Estimate:
    """Mean of one number a seed, with Student's interval.

    Every seed splits anew, so training parts overlap; the variance is enlarged for that by the
    share of test to training tracks, as Nadeau and Bengio (2003, equation 10) propose.

    Examples
    --------
    >>> found = estimate([0.1, 0.2, 0.3])
    >>> round(found.mean, 3), round(found.se, 3), round(found.low, 3)
    (0.2, 0.071, -0.107)
    >>> estimate([0.5]).low
    nan
    """
    numbers = np.asarray(values, np.float64)
    mean, n = float(numbers.mean()), len(numbers)
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n)
    se = float(np.std(numbers, ddof=1) * math.sqrt(1 / n + SHARE / (1 - SHARE)))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * se
    return Estimate(mean, se, mean - reach, mean + reach, n)


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """All scores of a data set.

    Attributes
    ----------
    task : str
        The data set's name.
    tasks : str
        Letters that were taught.
    kinds : tuple of str
        Splits, in order.
    seeds : tuple of int
    scores : mapping of (split, seed, features) to scores by metric
    """

    task: str
    tasks: str
    kinds: tuple[Kind, ...]
    seeds: tuple[int, ...]
    scores: Mapping[tuple[Kind, int, str], Scores]

    @property
    def features(self) -> list[str]:
        """All rows, in the order in which they were put in."""
        return list(dict.fromkeys(features for _, _, features in self.scores))

    def by_seed(self, kind: Kind, features: str, metric: str) -> NDArray[np.float64] | None:
        """One number a seed; None where there is no such number."""
        found = [self.scores.get((kind, seed, features), {}).get(metric) for seed in self.seeds]
        numbers = [one for one in found if one is not None]
        return np.array(numbers) if len(numbers) == len(self.seeds) else None

    def mean(self, kind: Kind, features: str, metric: str) -> Estimate | None:
        """Of one row over seeds."""
        numbers = self.by_seed(kind, features, metric)
        return None if numbers is None else estimate(numbers)

    def averaged(self, kind: Kind, rows: Iterable[str], metric: str) -> NDArray[np.float64] | None:
        """Mean of several rows, one number a seed; None where one is missing or there is none."""
        found = [self.by_seed(kind, row, metric) for row in rows]
        there = [one for one in found if one is not None]
        return np.mean(there, axis=0) if there and len(there) == len(found) else None

    def difference(
        self, kind: Kind, rows: Sequence[str], others: Sequence[str], metric: str
    ) -> Estimate | None:
        """Mean of some rows minus mean of others on the same splits."""
        first, second = (self.averaged(kind, one, metric) for one in (rows, others))
        return None if first is None or second is None else estimate(first - second)

    def combinations(self, sharing: str, *, of: int | None = None) -> list[str]:
        """Names of a sharing's combinations, of all or of so many tasks.

        A network of one task shares nothing: there it is the same as the STN.
        """
        every = [one for one in combinations_of(self.tasks) if of in (None, len(one))]
        if sharing == WSTN:
            copies = range(2, len(self.tasks) + 1)
            return [f"{WSTN} {n}" for n in copies if of in (None, n)]
        return [f"{STN if len(one) == 1 else sharing} {one}" for one in every]


def has_genre(features: str) -> bool:
    """Whether a combination was taught the genre, too.

    Examples
    --------
    >>> has_genre("MTN gs"), has_genre("STN med")
    (True, False)
    """
    return "g" in features.split()[1]


def slope(results: Results, kind: Kind, sharing: str, metric: str) -> Estimate | None:
    """Change of a metric with each further task: least squares over all combinations, by seed."""
    rows = results.combinations(sharing)
    numbers = [results.by_seed(kind, row, metric) for row in rows]
    if any(one is None for one in numbers):
        return None
    size = np.array([len(row.split()[1]) for row in rows], np.float64)
    size -= size.mean()
    table = np.stack([one for one in numbers if one is not None])
    return estimate(size @ table / np.square(size).sum())
