"""Vectors of clips cut into windows, and what least squares needs of some of the clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.linear_heads import Floats, one_hot
from segue.evaluation.protocols import check_features
from segue.evaluation.triangles import Factor

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Vectors of clips cut into windows.

    Parameters
    ----------
    table : (n, d) float array
        One row a window; finite.
    clip_of_window : (n,) integer array
        The clip of each window, 0, 1, 2, ... with none left out; in any order.

    Attributes
    ----------
    means : (clips, d) float64 array
        Mean window of each clip. The model is linear, so its output there is the mean output.

    Raises
    ------
    UsageError
        No finite table, not one whole number a window, or a clip without windows.

    Examples
    --------
    >>> windows = Windows(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]))
    >>> len(windows), windows.means.ravel()
    (2, array([2., 5.]))
    """

    table: NDArray[Any]
    clip_of_window: Indices
    means: Floats = field(init=False, repr=False)
    _order: Indices = field(init=False, repr=False)
    _starts: Indices = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = check_features(self.table, "windows")
        clips = _numbers_without_gaps(self.clip_of_window, len(table))
        order = np.argsort(clips, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(clips))])
        runs = [order[start:end] for start, end in pairwise(starts)]
        means = np.stack([table[rows].mean(axis=0, dtype=np.float64) for rows in runs])
        made = {"table": table, "clip_of_window": clips, "means": means}
        for name, value in {**made, "_order": order, "_starts": starts}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def rows(self, clips: Sequence[int] | Indices) -> Indices:
        """Rows of the table that belong to some clips, clip by clip."""
        parts = [self._order[self._starts[clip] : self._starts[clip + 1]] for clip in clips]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def factor_of(cut: Windows, clips: Indices, codes: Indices, n_classes: int) -> Factor:
    """Factor of the windows of some clips, given the class code of every clip."""
    rows = cut.rows(clips)
    return Factor.of(cut.table[rows], one_hot(codes[cut.clip_of_window[rows]], n_classes))


def _numbers_without_gaps(clip_of_window: ArrayLike, n: int) -> Indices:
    clips = np.asarray(clip_of_window)
    problem = ""
    if clips.shape != (n,) or clips.dtype.kind not in "iu":
        problem = f"shape {clips.shape} of {clips.dtype}"
    elif clips.min() < 0 or clips.max() >= n:
        problem = f"clips from {clips.min()} to {clips.max()}"
    elif len(absent := np.flatnonzero(np.bincount(clips) == 0)):
        problem = f"no window of clip {absent[0]}"
    if problem:
        raise UsageError(
            wanted=f"the clip of each of {n} windows: whole numbers from 0 on, none left out",
            got=problem,
            fix="Number the clips without gaps; leave out those too short for a window",
            source="windows",
        )
    return clips.astype(np.int64)
