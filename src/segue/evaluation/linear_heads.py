"""Least squares in closed form: one decomposition of X serves every penalty and target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import svd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CentredSVD:
    """X - mean = U diag(s) Vt with the null directions removed.

    Attributes
    ----------
    mean : (d,) array
    U : (n, r) array
    s : (r,) array
    Vt : (r, d) array
    """

    mean: Floats
    U: Floats
    s: Floats
    Vt: Floats

    @classmethod
    def of(cls, X: Floats) -> CentredSVD:
        """Decompose X (n, d).

        Examples
        --------
        >>> import numpy as np
        >>> CentredSVD.of(np.array([[1.0, 1.0], [3.0, 3.0]])).s.round(3)
        array([2.])
        """
        mean = X.mean(axis=0)
        U, s, Vt = svd(X - mean, full_matrices=False)
        # the cut of numpy.linalg.matrix_rank: below it a direction is rounding noise, and dividing
        # by it would turn that noise into enormous weights
        kept = s > s.max(initial=0.0) * max(X.shape) * np.finfo(np.float64).eps
        return cls(mean, U[:, kept], s[kept], Vt[kept])

    def ridge(self, Y: Floats, alpha: float) -> tuple[Floats, Floats]:
        """Least-squares weights of every column of Y, with penalty ``alpha ||w||^2``.

        The intercept is not penalised. With ``alpha = 0`` this is the solution of least norm.

        Returns
        -------
        coef : (t, d) array
        intercept : (t,) array

        Examples
        --------
        >>> import numpy as np
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> coef, intercept = CentredSVD.of(X).ridge(2 * X + 1, 0.0)
        >>> coef.round(6), intercept.round(6)
        (array([[2.]]), array([1.]))
        """
        offset = Y.mean(axis=0)
        shrunk = (self.s / (self.s**2 + alpha))[:, None] * (self.U.T @ (Y - offset))
        coef = shrunk.T @ self.Vt
        return coef, offset - coef @ self.mean


def one_hot(codes: NDArray[np.integer], n_classes: int) -> Floats:
    """Rows of the identity.

    Examples
    --------
    >>> import numpy as np
    >>> one_hot(np.array([1, 0]), 2)
    array([[0., 1.],
           [1., 0.]])
    """
    rows: Floats = np.eye(n_classes, dtype=np.float64)[codes]
    return rows


class LinearOneHotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Linear regression onto one-hot rows, then argmax (Hamel et al. 2013, section 4.2).

    Parameters
    ----------
    alpha : float, default 0.0
        Ridge penalty; 0 is the plain least squares of the paper.

    Attributes
    ----------
    classes_ : (classes,) array
    coef_ : (classes, d) array
    intercept_ : (classes,) array

    References
    ----------
    P. Hamel, M. E. P. Davies, K. Yoshii, M. Goto: Transfer learning in MIR: sharing learned latent
    representations for music audio classification and similarity. ISMIR 2013.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> LinearOneHotClassifier().fit(X, ["sad", "sad", "glad", "glad"]).predict([[1.5], [-1.5]])
    array(['glad', 'sad'], dtype='<U4')
    """

    def __init__(self, *, alpha: float = 0.0) -> None:
        self.alpha = alpha

    def fit(self, X: ArrayLike, y: ArrayLike) -> LinearOneHotClassifier:
        """Learn from X (n, d) and labels y (n,).

        Raises
        ------
        ValueError
            X holds NaN or infinity, the lengths differ, y is not a set of classes, or alpha < 0.
        """
        checked: tuple[Floats, NDArray[Any]] = validate_data(
            self, X, y, dtype=np.float64, ensure_min_samples=2
        )
        table, labels = checked
        check_classification_targets(labels)
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        targets = one_hot(codes, len(self.classes_))
        self.coef_, self.intercept_ = CentredSVD.of(table).ridge(targets, self.alpha)
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Regression onto each class (n, classes); with two, of the second less the first (n,)."""
        check_is_fitted(self)
        table: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        values: Floats = table @ self.coef_.T + self.intercept_
        return values[:, 1] - values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, X: ArrayLike) -> NDArray[np.generic]:
        """Labels (n,) of X (n, d)."""
        values = self.decision_function(X)
        best = (values > 0).astype(np.int64) if values.ndim == 1 else np.argmax(values, axis=1)
        labels: NDArray[np.generic] = self.classes_[best]
        return labels
