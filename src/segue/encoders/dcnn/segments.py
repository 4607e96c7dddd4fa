"""The seconds that a clip is cut into."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from segue.encoders.dcnn.spec import SEGMENT

Frames = TypeVar("Frames", NDArray[np.float32], Tensor)


def whole(frames: Frames) -> Frames:
    """Frames (t, bands), repeated up to one segment where they are fewer.

    Examples
    --------
    >>> whole(np.float32([[1.0], [2.0]]))[:5, 0].tolist()
    [1.0, 2.0, 1.0, 2.0, 1.0]
    """
    return frames if len(frames) >= SEGMENT else frames[np.arange(SEGMENT) % len(frames)]


def begins(length: int, count: int | None = None) -> NDArray[np.int64]:
    """First frames of the segments of a clip of so many frames.

    Parameters
    ----------
    length : int
    count : int, optional
        That many, in the middle of equal parts of the clip; by default all that fit one after the
        other, and always one.

    Examples
    --------
    >>> begins(100).tolist(), begins(100, 3).tolist(), begins(20).tolist()
    ([0, 43], [9, 28, 47], [0])
    """
    if count is None:
        return np.arange(max(1, length // SEGMENT)) * SEGMENT
    spare = max(0, length - SEGMENT)
    return np.floor((np.arange(count) + 0.5) / count * spare).astype(np.int64)
