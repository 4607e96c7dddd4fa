"""What a series of frames is summed up to, and how its numbers are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

FULL = ("mean", "deviation", "low", "median", "high", "change", "change_deviation")
SHORT = ("mean", "deviation", "change", "change_deviation")
LOW, HIGH = 0.1, 0.9  # percentiles: the extremes themselves are single frames, often of a fade


def names_of(series: Sequence[str], statistics: Sequence[str]) -> tuple[str, ...]:
    """Names ``series.statistic``, in the order of `summary`.

    Examples
    --------
    >>> names_of(["centroid"], SHORT)[:2]
    ('centroid.mean', 'centroid.deviation')
    """
    return tuple(f"{one}.{statistic}" for one in series for statistic in statistics)


def summary(frames: Series, statistics: Sequence[str]) -> Series:
    """Statistics (n * len(statistics),) of frames (t, n), those of a series side by side.

    "low" and "high" are the 10th and 90th percentile; "change" is the mean size of the difference
    between subsequent frames, "change_deviation" the deviation of that difference. Fewer than two
    frames have no difference: 0.

    Examples
    --------
    >>> summary(np.array([[1.0], [3.0]]), SHORT).tolist()
    [2.0, 1.0, 2.0, 0.0]
    """
    change = np.diff(frames, axis=0) if len(frames) > 1 else np.zeros_like(frames)
    ascending = np.sort(frames, axis=0) if "median" in statistics else frames
    made = {
        "mean": frames.mean(axis=0),
        "deviation": frames.std(axis=0),
        "change": np.abs(change).mean(axis=0),
        "change_deviation": change.std(axis=0),
        "low": percentile(ascending, LOW),
        "median": percentile(ascending, 0.5),
        "high": percentile(ascending, HIGH),
    }
    return np.stack([made[statistic] for statistic in statistics], axis=1).ravel()


def percentile(ascending: Series, part: float) -> Series:
    """The percentile (0 to 1) of each column of an ascending series; linear between frames.

    Examples
    --------
    >>> float(percentile(np.array([0.0, 1.0, 4.0]), 0.75))
    2.5
    """
    place = part * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    found: Series = ascending[below] + (place - below) * (ascending[above] - ascending[below])
    return found


def ordered(values: Mapping[str, float], names: Sequence[str]) -> Series:
    """Named numbers in the order of their names.

    Examples
    --------
    >>> ordered({"b": 2.0, "a": 1.0}, ["a", "b"]).tolist()
    [1.0, 2.0]
    """
    return np.array([values[name] for name in names], np.float64)


def share(part: Series | float, whole: Series | float) -> Series:
    """``part / whole``, 0 where there is nothing to have a part of.

    Examples
    --------
    >>> share(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)
