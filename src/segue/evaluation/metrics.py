"""Metrics as pure functions; each agrees with scikit-learn, ties included."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from segue.errors import UsageError
from segue.evaluation.rows import TASKS, Task

METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "tagging": ("roc_auc", "average_precision"),
    "regression": ("r2", "rmse", "ccc"),
}
"""Names of the rows of each task; the first is what the inner folds choose settings by."""

BOUNDS: dict[str, tuple[float, float]] = {
    "r2": (-math.inf, 1.0),
    "rmse": (0.0, math.inf),
    "ccc": (-1.0, 1.0),
}
"""Smallest and largest value a metric can take, for those that do not lie in 0 to 1."""


@dataclass(frozen=True, slots=True)
class MacroScore:
    """Mean over the tags for which a metric is defined.

    Attributes
    ----------
    value : float
        NaN where no tag is defined.
    per_tag : (tags,) array
        NaN where undefined: no positive or no negative among the scored clips.
    """

    value: float
    per_tag: NDArray[np.float64]

    @property
    def undefined(self) -> tuple[int, ...]:
        """Columns left out of the mean."""
        return tuple(int(tag) for tag in np.flatnonzero(np.isnan(self.per_tag)))


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of labels that are right.

    Raises
    ------
    UsageError
        The arrays are empty, not one-dimensional or of different lengths.

    Examples
    --------
    >>> accuracy(["a", "b"], ["a", "a"])
    0.5
    """
    truth, predicted = _pair(truth, predicted)
    return float(np.mean(truth == predicted))


def confusion_matrix(
    truth: ArrayLike, predicted: ArrayLike, labels: ArrayLike
) -> NDArray[np.int64]:
    """Counts (classes, classes): rows true, columns predicted, in the order of ``labels``.

    Raises
    ------
    UsageError
        As accuracy; or a label is not among ``labels``.

    Examples
    --------
    >>> confusion_matrix(["a", "b"], ["a", "a"], ["a", "b"])
    array([[1, 0],
           [1, 0]])
    """
    truth, predicted = _pair(truth, predicted)
    names = np.asarray(labels)
    if unknown := (set(truth.tolist()) | set(predicted.tolist())) - set(names.tolist()):
        raise UsageError(
            wanted=f"labels among {names.tolist()}",
            got=f"{sorted(unknown)}",
            fix="List every label that occurs",
            source="confusion matrix",
        )
    order = np.argsort(names)
    rows = order[np.searchsorted(names, truth, sorter=order)]
    columns = order[np.searchsorted(names, predicted, sorter=order)]
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Unweighted mean of F1 over the classes that occur in the truth or among the predictions.

    Raises
    ------
    UsageError
        As accuracy.

    Examples
    --------
    >>> round(macro_f1(["a", "b", "b"], ["a", "b", "a"]), 4)
    0.6667
    """
    truth, predicted = _pair(truth, predicted)
    counts = confusion_matrix(truth, predicted, np.union1d(truth, predicted))
    hits = np.diag(counts)
    return float(np.mean(2 * hits / (counts.sum(axis=0) + counts.sum(axis=1))))


def roc_auc_macro(truth: ArrayLike, scores: ArrayLike) -> MacroScore:
    """Area under the ROC curve of every tag, and its mean.

    Parameters
    ----------
    truth : (n, tags) array of 0/1
    scores : (n, tags) array
        Higher where the tag is likelier. Ties count one half.

    Raises
    ------
    UsageError
        Shapes differ, nothing to score, truth is not 0/1 or a score is not finite.

    Examples
    --------
    >>> roc_auc_macro([[1, 0], [0, 0]], [[0.9, 0.1], [0.2, 0.3]])
    MacroScore(value=1.0, per_tag=array([ 1., nan]))
    """
    Y, S = _tables(truth, scores)
    n_positive = Y.sum(axis=0)
    n_negative = len(Y) - n_positive
    ranks = np.asarray(rankdata(S, axis=0))  # mean ranks on ties: the Mann-Whitney count
    wins = (ranks * Y).sum(axis=0) - n_positive * (n_positive + 1) / 2
    return _mean_where(n_positive * n_negative > 0, wins, n_positive * n_negative)


def average_precision_macro(truth: ArrayLike, scores: ArrayLike) -> MacroScore:
    """Average precision of every tag, and its mean: sum of precision times the gain in recall.

    Parameters
    ----------
    truth : (n, tags) array of 0/1
    scores : (n, tags) array
        Clips of equal score enter together, as one threshold.

    Raises
    ------
    UsageError
        As roc_auc_macro.

    Examples
    --------
    >>> average_precision_macro([[1], [0], [1]], [[0.9], [0.5], [0.1]]).value.__round__(4)
    0.8333
    """
    Y, S = _tables(truth, scores)
    n_positive = Y.sum(axis=0)
    order = np.argsort(-S, axis=0, kind="stable")
    sorted_scores = np.take_along_axis(S, order, axis=0)
    sorted_truth = np.take_along_axis(Y, order, axis=0)
    # a threshold admits its whole run of ties, so each clip takes the counts at the end of its run
    ends = np.ones(S.shape, dtype=bool)
    ends[:-1] = sorted_scores[1:] != sorted_scores[:-1]
    place = np.where(ends, np.arange(len(S))[:, None], len(S))
    run_end = np.minimum.accumulate(place[::-1], axis=0)[::-1]
    hits = np.take_along_axis(np.cumsum(sorted_truth, axis=0), run_end, axis=0)
    total = (sorted_truth * hits / (run_end + 1)).sum(axis=0)
    return _mean_where((n_positive > 0) & (n_positive < len(Y)), total, n_positive)


def r2(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Coefficient of determination; NaN where the truth is constant, which leaves it undefined.

    Raises
    ------
    UsageError
        The arrays are empty, not one-dimensional, of different lengths, or not finite.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    truth, predicted = _numbers(truth, predicted)
    if not np.ptp(truth):  # not the sum of squares: a mean of equal numbers may miss them
        return float("nan")
    return float(1 - np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2))


def rmse(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the truth.

    Raises
    ------
    UsageError
        As r2.

    Examples
    --------
    >>> rmse([1.0, 2.0], [4.0, 5.0])
    3.0
    """
    truth, predicted = _numbers(truth, predicted)
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def ccc(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Concordance correlation coefficient: correlation, less what scale and offset are wrong.

    Twice the covariance over the sum of both variances and the squared difference of the means;
    variances divide by n, as in the paper. A constant prediction has 0. NaN where the truth is
    constant: every prediction but the truth itself would then have 0.

    Raises
    ------
    UsageError
        As r2.

    References
    ----------
    L. I-K. Lin: A concordance correlation coefficient to evaluate reproducibility. Biometrics 45,
    1989.

    Examples
    --------
    >>> ccc([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), round(ccc([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]), 4)
    (1.0, 0.5714)
    """
    truth, predicted = _numbers(truth, predicted)
    if not np.ptp(truth):
        return float("nan")
    shift = truth.mean() - predicted.mean()
    shared = np.mean((truth - truth.mean()) * (predicted - predicted.mean()))
    return float(2 * shared / (truth.var() + predicted.var() + shift**2))


def score(metric: str, truth: NDArray[Any], predictions: NDArray[Any]) -> float:
    """Any metric of METRICS by its row name; macro metrics give their mean.

    Raises
    ------
    UsageError
        No metric has that name, or what the metric itself raises.

    Examples
    --------
    >>> import numpy as np
    >>> score("accuracy", np.array(["a", "b"]), np.array(["a", "b"]))
    1.0
    """
    match metric:
        case "accuracy":
            return accuracy(truth, predictions)
        case "macro_f1":
            return macro_f1(truth, predictions)
        case "roc_auc":
            return roc_auc_macro(truth, predictions).value
        case "average_precision":
            return average_precision_macro(truth, predictions).value
        case "r2":
            return r2(truth, predictions)
        case "rmse":
            return rmse(truth, predictions)
        case "ccc":
            return ccc(truth, predictions)
    known = ", ".join(name for names in METRICS.values() for name in names)
    raise UsageError(wanted=f"a metric among {known}", got=repr(metric), fix="Choose one of these")


def check_task(task: str) -> Task:
    """``task`` itself if it is one.

    Raises
    ------
    UsageError
        It is not; the message lists them.

    Examples
    --------
    >>> check_task("tagging")
    'tagging'
    """
    for known in TASKS:
        if task == known:
            return known
    raise UsageError(
        wanted=f"a task among {', '.join(TASKS)}", got=repr(task), fix="Choose one of these"
    )


def _mean_where(
    defined: NDArray[np.bool_], total: NDArray[np.float64], count: NDArray[np.float64]
) -> MacroScore:
    per_tag = np.full(len(total), np.nan)
    per_tag[defined] = total[defined] / count[defined]
    return MacroScore(float(per_tag[defined].mean()) if defined.any() else float("nan"), per_tag)


def _pair(truth: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != predicted.shape or not truth.size:
        raise UsageError(
            wanted="two lists of the same length, one entry or more",
            got=f"shapes {truth.shape} and {predicted.shape}",
            fix="Give one true and one predicted value per clip",
            source="metric",
        )
    return truth, predicted


def _numbers(
    truth: ArrayLike, predicted: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, predicted = _pair(truth, predicted)
    truth, predicted = truth.astype(np.float64), predicted.astype(np.float64)
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise UsageError(
            wanted="finite values", got="NaN or infinity", fix="Remove those clips", source="metric"
        )
    return truth, predicted


def _tables(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    Y, S = np.asarray(truth, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    problem = None
    if Y.ndim != 2 or Y.shape != S.shape or not Y.size:
        problem = f"shapes {Y.shape} and {S.shape}"
    elif not np.isin(Y, (0, 1)).all():
        problem = "a truth that is not 0/1"
    elif not np.isfinite(S).all():
        problem = "scores with NaN or infinity"
    if problem:
        raise UsageError(
            wanted="a 0/1 matrix (clips, tags) and finite scores of the same shape",
            got=problem,
            fix="Give one column per tag and one row per clip",
            source="metric",
        )
    return Y, S
