"""Multi-label heads: fit on an indicator matrix, score every tag, share the work between tags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted, validate_data

from segue.evaluation.linear_heads import CentredSVD, Floats
from segue.evaluation.logistic import LogisticPath


class Tagger(ABC, MultiOutputMixin, BaseEstimator):  # type: ignore[misc]
    """What every tagging head is: scores (n, tags), and a threshold per tag above which it applies.

    Attributes
    ----------
    thresholds_ : (tags,) array
        0 after ``fit``, which suits balanced tags only: what a score of 0 stands for, even odds,
        most clips of a rare tag never reach. See ``set_thresholds``.
    """

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Tagger:
        """Learn from X (n, d) and a 0/1 indicator matrix Y (n, tags).

        Raises
        ------
        ValueError
            X holds NaN or infinity, the lengths differ, or Y is not a 0/1 matrix.
        """
        checked: tuple[Floats, NDArray[Any]] = validate_data(
            self, X, Y, dtype=np.float64, multi_output=True, ensure_min_samples=2
        )
        table, indicators = checked
        numeric = np.asarray(indicators).dtype.kind in "biuf"
        if not numeric or indicators.ndim != 2 or not np.isin(indicators, (0, 1)).all():
            raise ValueError(
                "Unknown label type: Y must be a 0/1 matrix (n, tags), got "
                f"{np.asarray(indicators).dtype} of shape {np.shape(indicators)}"
            )
        self._learn(table, np.asarray(indicators, dtype=np.float64))
        self.thresholds_ = np.zeros(indicators.shape[1])
        return self

    def set_thresholds(self, thresholds: ArrayLike) -> Tagger:
        """Let ``predict`` cut each tag's scores at its own value; the scores stay as they are.

        Choose them on scores of clips that the tagger was not fitted on (see matching_thresholds).

        Parameters
        ----------
        thresholds : (tags,) array

        Raises
        ------
        ValueError
            Not one finite number per tag.

        Examples
        --------
        >>> tagger = LinearTagger().fit([[0.0], [1.0]], [[0], [1]])
        >>> tagger.predict([[0.4]]), tagger.set_thresholds([-0.2]).predict([[0.4]])
        (array([[0]]), array([[1]]))
        """
        check_is_fitted(self)
        values = np.array(thresholds, dtype=np.float64)
        if values.shape != self.thresholds_.shape or not np.isfinite(values).all():
            raise ValueError(
                f"wanted {len(self.thresholds_)} finite thresholds, got {values.tolist()}"
            )
        self.thresholds_ = values
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Scores (n, tags) of X (n, d)."""
        check_is_fitted(self)
        return self._scores(validate_data(self, X, dtype=np.float64, reset=False))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Indicator matrix (n, tags) of the scores above their tag's threshold."""
        return (self.decision_function(X) > self.thresholds_).astype(np.int64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.single_output = False
        return tags

    @abstractmethod
    def _learn(self, X: Floats, Y: Floats) -> None:
        """Set what is learned from validated arrays."""

    @abstractmethod
    def _scores(self, X: Floats) -> Floats:
        """Scores of a validated X."""


def matching_thresholds(Y: ArrayLike, scores: ArrayLike) -> Floats:
    """Threshold per tag that as many clips pass as carry the tag, or as near as ties allow.

    The threshold of best F1 would name far more: where scores tell little, naming every clip is
    what F1 likes best (900 clips, 21 genres: 6.3 genres a clip instead of 1.8).

    Parameters
    ----------
    Y : (n, tags) array of 0/1
    scores : (n, tags) array
        Of clips that the tagger was not fitted on; on its own training clips it is too sure.

    Returns
    -------
    (tags,) array
        Half-way between the last score that passes and the first that does not; 0 for a tag that
        every clip or none carries.

    Examples
    --------
    >>> matching_thresholds([[1], [0], [0], [0]], [[-1.0], [-2.0], [-3.0], [-4.0]])
    array([-1.5])
    """
    Y, scores = np.asarray(Y), np.asarray(scores, dtype=np.float64)
    thresholds = np.zeros(Y.shape[1])
    for tag, carried in enumerate(Y.sum(axis=0)):
        if not 0 < carried < len(Y):
            continue
        values, counts = np.unique(-scores[:, tag], return_counts=True)  # best score first
        passing = np.cumsum(counts)
        # nobody, or the clips down to one score; a threshold that all pass would tell nothing
        last = int(np.argmin(np.abs(np.append(0, passing[:-1]) - carried))) - 1
        thresholds[tag] = -values[max(last, 0) : last + 2].mean()
    return thresholds


class LinearTagger(Tagger):
    """Least squares onto the indicator matrix: the tagging twin of LinearOneHotClassifier.

    Parameters
    ----------
    alpha : float, default 0.0
        Ridge penalty.

    Attributes
    ----------
    coef_ : (tags, d) array
    intercept_ : (tags,) array
        Half below the regression's own, so that 0 decides.

    Examples
    --------
    >>> X = [[-2.0], [-1.0], [1.0], [2.0]]
    >>> LinearTagger().fit(X, [[0, 1], [0, 1], [1, 1], [1, 0]]).predict([[3.0]])
    array([[1, 0]])
    """

    def __init__(self, *, alpha: float = 0.0) -> None:
        self.alpha = alpha

    def _learn(self, X: Floats, Y: Floats) -> None:
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")
        self.coef_, self.intercept_ = CentredSVD.of(X).ridge(Y - 0.5, self.alpha)

    def _scores(self, X: Floats) -> Floats:
        return X @ self.coef_.T + self.intercept_


class LogisticTagger(Tagger):
    """One-vs-rest logistic regression, all tags solved together (see LogisticPath).

    Parameters
    ----------
    C : float, default 0.1
        Inverse penalty, as in scikit-learn's LogisticRegression.
    max_iter : int, default 500

    Attributes
    ----------
    coef_ : (tags, d) array
    intercept_ : (tags,) array

    Examples
    --------
    >>> X = [[-2.0], [-1.0], [1.0], [2.0]]
    >>> LogisticTagger(C=1.0).fit(X, [[0, 1], [0, 1], [1, 0], [1, 0]]).predict([[3.0]])
    array([[1, 0]])
    """

    def __init__(self, *, C: float = 0.1, max_iter: int = 500) -> None:
        self.C = C
        self.max_iter = max_iter

    def _learn(self, X: Floats, Y: Floats) -> None:
        if self.C <= 0:
            raise ValueError(f"C must be above 0, got {self.C}")
        path = LogisticPath(X, Y, max_iter=self.max_iter)
        self.coef_, self.intercept_ = path.solve(self.C)

    def _scores(self, X: Floats) -> Floats:
        return X @ self.coef_.T + self.intercept_


class SVMTagger(Tagger):
    """One-vs-rest support vector machines that share one kernel matrix.

    Parameters
    ----------
    C : float, default 1.0
    kernel : {"rbf", "linear"}, default "rbf"
    gamma : float or None, default None
        Width of the rbf kernel; None is 1 / d.
    max_iter : int, default 50000
        Steps of the solver per tag.

    Attributes
    ----------
    gamma_ : float
    support_ : (s, d) array
        The rows that any tag leans on.
    dual_ : (tags, s) array
    intercept_ : (tags,) array

    Examples
    --------
    >>> X = [[-2.0], [-1.0], [1.0], [2.0]]
    >>> SVMTagger().fit(X, [[0, 1], [0, 1], [1, 0], [1, 0]]).predict([[1.5]])
    array([[1, 0]])
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        kernel: Literal["rbf", "linear"] = "rbf",
        gamma: float | None = None,
        max_iter: int = 50_000,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.max_iter = max_iter

    def _learn(self, X: Floats, Y: Floats) -> None:
        if self.kernel not in ("rbf", "linear"):
            raise ValueError(f"kernel must be rbf or linear, got {self.kernel!r}")
        self.gamma_ = 1 / X.shape[1] if self.gamma is None else self.gamma
        dual, self.intercept_ = self.solve(self._kernel(X, X), Y)
        used = dual.any(axis=0)
        self.support_, self.dual_ = X[used], dual[:, used]

    def solve(self, K: Floats, Y: Floats) -> tuple[Floats, Floats]:
        """Dual weights (tags, n) and intercepts (tags,) for a ready kernel matrix K (n, n)."""
        dual = np.zeros((Y.shape[1], len(K)))
        intercept = np.zeros(Y.shape[1])
        for tag, y in enumerate(Y.T):
            if y.min() == y.max():  # nothing to separate: every clip gets the same sure score
                intercept[tag] = 1.0 if y[0] else -1.0
                continue
            machine = SVC(C=self.C, kernel="precomputed", max_iter=self.max_iter).fit(K, y)
            dual[tag, machine.support_] = machine.dual_coef_[0]
            intercept[tag] = machine.intercept_[0]
        return dual, intercept

    def _scores(self, X: Floats) -> Floats:
        if not len(self.support_):
            return np.broadcast_to(self.intercept_, (len(X), len(self.intercept_))).copy()
        scores: Floats = self._kernel(X, self.support_) @ self.dual_.T + self.intercept_
        return scores

    def _kernel(self, X: Floats, Z: Floats) -> Floats:
        matrix: Floats = (
            linear_kernel(X, Z) if self.kernel == "linear" else rbf_kernel(X, Z, gamma=self.gamma_)
        )
        return matrix


class KNNTagger(Tagger):
    """Share of the k nearest clips that carry a tag, less one half.

    Parameters
    ----------
    n_neighbors : int, default 9
    weights : {"uniform", "distance"}, default "uniform"

    Attributes
    ----------
    neighbours_ : KNeighborsRegressor

    Examples
    --------
    >>> X = [[-2.0], [-1.0], [1.0], [2.0]]
    >>> Y = [[0, 1], [0, 1], [1, 0], [1, 0]]
    >>> KNNTagger(n_neighbors=1).fit(X, Y).decision_function([[1.5]])
    array([[ 0.5, -0.5]])
    """

    def __init__(
        self, *, n_neighbors: int = 9, weights: Literal["uniform", "distance"] = "uniform"
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights

    def _learn(self, X: Floats, Y: Floats) -> None:
        # brute force: in a hundred dimensions a tree visits everything anyway
        self.neighbours_ = KNeighborsRegressor(
            self.n_neighbors, weights=self.weights, algorithm="brute"
        ).fit(X, Y)

    def _scores(self, X: Floats) -> Floats:
        return np.asarray(self.neighbours_.predict(X), dtype=np.float64) - 0.5
