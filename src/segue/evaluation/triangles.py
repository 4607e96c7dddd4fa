"""Least squares of many overlapping sets of rows, from triangular factors that are computed once.

The factors of parts merge into that of the whole as safely as the whole is decomposed at once (a
QR decomposition of stacked triangles). Sums of products would be simpler to add and subtract, but
square the condition number, and statistics of log-mel bands are nearly collinear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd

from segue.evaluation.linear_heads import Floats


@dataclass(frozen=True, slots=True)
class Factor:
    """What least squares needs of some windows: the triangle R of [1, X, Y] = Q R.

    The column of ones makes the rest of R the factor of the centred X and Y.

    Attributes
    ----------
    R : (at most 1 + d + t, 1 + d + t) array
    n : int
        Windows it stands for.
    d : int
        Columns of X.
    """

    R: Floats
    n: int
    d: int

    @classmethod
    def of(cls, X: NDArray[Any], Y: Floats) -> Factor:
        """Factor of windows X (n, d) with targets Y (n, t)."""
        width = 1 + X.shape[1] + Y.shape[1]
        step = 4 * width  # rows at a time: the float64 copy stays small, the triangle is the same
        R = np.empty((0, width))
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            ones = np.ones((len(X[rows]), 1))
            R = _triangle(np.concatenate([R, np.hstack([ones, X[rows], Y[rows]])]))
        return cls(R, len(X), X.shape[1])

    @classmethod
    def merged(cls, factors: Sequence[Factor]) -> Factor:
        """Factor of the windows of several together."""
        if len(factors) == 1:
            return factors[0]
        stacked = np.concatenate([factor.R for factor in factors])
        return cls(_triangle(stacked), sum(factor.n for factor in factors), factors[0].d)

    def ridge(self, alpha: float) -> tuple[Floats, Floats]:
        """Least-squares weights with penalty ``alpha ||w||^2``, the intercept free.

        With ``alpha = 0`` the solution of least norm, as ``CentredSVD.ridge``; the same directions
        are cut off as noise: singular values of the centred X below the largest times
        ``max(n, d)`` times the rounding unit.

        Returns
        -------
        coef : (t, d) array
        intercept : (t,) array

        Examples
        --------
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> coef, intercept = Factor.of(X, 2 * X + 1).ridge(0.0)
        >>> coef.round(6), intercept.round(6)
        (array([[2.]]), array([1.]))
        """
        return self._decomposed().ridge(alpha)

    def ridge_path(self, shares: Sequence[float]) -> list[tuple[Floats, Floats]]:
        """``ridge`` with penalties that are shares of the largest squared singular value.

        Examples
        --------
        >>> X = np.array([[0.0], [1.0], [2.0]])  # centred, its one squared singular value is 2
        >>> factor = Factor.of(X, 2 * X + 1)
        >>> factor.ridge_path([0.5])[0][0].round(3), factor.ridge(1.0)[0].round(3)
        (array([[1.333]]), array([[1.333]]))
        """
        solved = self._decomposed()
        largest = float(solved.s.max(initial=0.0)) ** 2
        return [solved.ridge(share * largest) for share in shares]

    def _decomposed(self) -> _Decomposed:
        R = _qr(self.R) if self.n <= len(self.R[0]) else self.R
        X, Y, top = slice(1, 1 + self.d), slice(1 + self.d, None), slice(1, 1 + self.d)
        means = R[0] / R[0, 0]
        U, s, Vt = svd(R[top, X], full_matrices=False, check_finite=False)
        kept = s > s.max(initial=0.0) * max(self.n, self.d) * np.finfo(np.float64).eps
        return _Decomposed(means[X], means[Y], s[kept], Vt[kept], U[:, kept].T @ R[top, Y])


@dataclass(frozen=True, slots=True)
class _Decomposed:
    """Singular values and vectors of the centred X, and the targets in that basis."""

    mean: Floats
    offset: Floats
    s: Floats
    Vt: Floats
    targets: Floats

    def ridge(self, alpha: float) -> tuple[Floats, Floats]:
        coef = ((self.s / (self.s**2 + alpha))[:, None] * self.targets).T @ self.Vt
        return coef, self.offset - coef @ self.mean


def _triangle(block: Floats) -> Floats:
    """R of a block, or the block itself where it has no more rows than R would."""
    return block if len(block) <= block.shape[1] else _qr(block)


def _qr(block: Floats) -> Floats:
    R: Floats = np.asarray(np.linalg.qr(block, mode="r"))
    return R
