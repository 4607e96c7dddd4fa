"""The label table of one data set, of which every step reads and writes a few rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


class LabelRows:
    """Rows W_i that are read and moved by number, none other being touched.

    L2 shrinks every row at every step. A row is told so only when it is next read: it keeps the
    step up to which it has been shrunk, and is owed a power of the factor. So the cost of a step
    does not grow with the number of labels; :meth:`settle` pays what is owed to all.

    Parameters
    ----------
    W : (labels, D) float32 array
        Changed in place.
    learn : (labels,) boolean array, optional
        The rows that move; by default all.
    shrink : float
        Factor of every row at every step, 1 without L2.
    norm_ball : float, optional
        No row that moves is longer.

    Examples
    --------
    >>> W = np.ones((3, 2), np.float32)
    >>> rows = LabelRows(W, shrink=0.5)
    >>> rows.move(np.array([1]), np.ones((1, 2), np.float32))
    >>> rows.settle()
    >>> W.tolist()
    [[0.5, 0.5], [-0.5, -0.5], [0.5, 0.5]]
    """

    def __init__(
        self,
        W: Floats,
        *,
        learn: NDArray[np.bool_] | None = None,
        shrink: float = 1.0,
        norm_ball: float | None = None,
    ) -> None:
        self.W = W
        self.learn = None if learn is None or learn.all() else learn
        self.norm_ball = norm_ball
        self.shrink = shrink
        self._now = 0
        self._paid = np.zeros(len(W), np.int64) if shrink != 1.0 else None

    def take(self, labels: Whole) -> Floats:
        """Rows (n, D) of label numbers (n,), a copy."""
        rows: Floats = self.W.take(labels, axis=0)
        if self._paid is not None:
            rows *= self._owed(self._paid, labels)[:, None]
        return rows

    def move(self, labels: Whole, by: Floats) -> None:
        """One step: shrink all rows, then take ``by`` (n, D) off rows (n,), each named once."""
        self._now += 1
        if self.learn is not None:
            moving = self.learn[labels]
            labels, by = labels[moving], by[moving]
        rows = self.take(labels)
        rows -= by
        into_ball(rows, self.norm_ball)
        self.W[labels] = rows
        if self._paid is not None:
            self._paid[labels] = self._now

    def settle(self) -> None:
        """Pay what is owed to every row."""
        if self._paid is not None:
            every = np.arange(len(self.W))
            self.W *= self._owed(self._paid, every)[:, None]
            self._paid[:] = 0
        self._now = 0

    def project(self) -> None:
        """Take every row that may move into the ball."""
        if self.norm_ball is not None:
            labels = np.arange(len(self.W)) if self.learn is None else np.flatnonzero(self.learn)
            rows = self.W[labels]
            into_ball(rows, self.norm_ball)
            self.W[labels] = rows

    def _owed(self, paid: Whole, labels: Whole) -> Floats:
        steps = self._now - paid[labels]
        if self.learn is not None:
            steps *= self.learn[labels]
        return (self.shrink**steps).astype(np.float32)


def into_ball(rows: Floats, radius: float | None) -> None:
    """Shorten rows (n, D) that are longer than the radius, in place.

    Examples
    --------
    >>> rows = np.float32([[3.0, 4.0], [0.3, 0.4]])
    >>> into_ball(rows, 1.0)
    >>> rows.round(2).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.30000001192092896, 0.4000000059604645]]
    """
    if radius is None:
        return
    squares = np.einsum("id,id->i", rows, rows)
    if squares.max(initial=0.0) > radius * radius:
        rows *= (radius / np.sqrt(np.maximum(squares, radius * radius)))[:, None]
