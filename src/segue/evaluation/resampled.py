"""Every metric on many weightings of the same clips at once: what makes the bootstrap quick.

A resampled metric is the metric with whole-number weights, so a draw is a row of weights and a
thousand draws are a matrix product. Ties are treated as in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError

Floats = NDArray[np.float64]


def resampled_scores(
    metric: str, truth: NDArray[Any], predictions: NDArray[Any], weights: Floats
) -> Floats:
    """Score (draws,) of each row of weights; NaN where the metric is undefined.

    Parameters
    ----------
    metric : str
        A name of metrics.METRICS.
    truth, predictions : (n,) or (n, tags) arrays
    weights : (draws, n) array, 0 or more

    Raises
    ------
    UsageError
        No metric has that name.

    Examples
    --------
    >>> import numpy as np
    >>> resampled_scores("accuracy", np.array([0, 1]), np.array([0, 0]), np.array([[3.0, 1.0]]))
    array([0.75])
    """
    match metric:
        case "accuracy":
            return _ratio(weights @ (truth == predictions), weights.sum(axis=1))
        case "macro_f1":
            return _macro_f1(truth, predictions, weights)
        case "roc_auc":
            return _over_tags(_roc_auc, truth, predictions, weights)
        case "average_precision":
            return _over_tags(_average_precision, truth, predictions, weights)
        case "r2":
            return _r2(truth, predictions, weights)
        case "rmse":
            return _rmse(truth, predictions, weights)
        case "ccc":
            return _ccc(truth, predictions, weights)
    raise UsageError(wanted="a known metric", got=repr(metric), fix="See metrics.METRICS")


def _macro_f1(truth: NDArray[Any], predictions: NDArray[Any], weights: Floats) -> Floats:
    labels = np.union1d(truth, predictions)
    is_true = truth[:, None] == labels
    is_predicted = predictions[:, None] == labels
    hits = weights @ (is_true & is_predicted)
    present = weights @ is_true + weights @ is_predicted
    f1 = _ratio(2 * hits, present)
    return _mean_of_defined(f1)


def _r2(truth: NDArray[Any], predictions: NDArray[Any], weights: Floats) -> Floats:
    spread = _spread(truth - truth.mean(), weights)
    return 1 - _ratio(weights @ (truth - predictions) ** 2, spread)


def _rmse(truth: NDArray[Any], predictions: NDArray[Any], weights: Floats) -> Floats:
    return np.sqrt(_ratio(weights @ (truth - predictions) ** 2, weights.sum(axis=1)))


def _ccc(truth: NDArray[Any], predictions: NDArray[Any], weights: Floats) -> Floats:
    """Each sum is ``total`` times the moment of metrics.ccc; the factor cancels in the ratio."""
    total = weights.sum(axis=1)
    t, p = truth - truth.mean(), predictions - truth.mean()
    sum_t, sum_p = weights @ t, weights @ p
    shared = weights @ (t * p) - _ratio(sum_t * sum_p, total)
    spread = _spread(t, weights)
    apart = _ratio((sum_t - sum_p) ** 2, total)
    value = _ratio(2 * shared, spread + _spread(p, weights) + apart)
    value[spread == 0] = np.nan
    return value


def _spread(centred: Floats, weights: Floats) -> Floats:
    """Weighted sum of squares about the weighted mean.

    ``centred`` is near zero in the mean: this one-pass sum cancels badly far from it.
    """
    squares = weights @ centred**2
    spread = squares - _ratio((weights @ centred) ** 2, weights.sum(axis=1))
    # a draw of one clip many times has no spread but rounding
    spread[spread <= 1e-12 * squares] = 0.0
    return spread


def _over_tags(
    one_tag: Callable[[Floats, Floats, Floats, Floats], Floats],
    truth: NDArray[Any],
    scores: NDArray[Any],
    weights: Floats,
) -> Floats:
    """Mean over tags: each is scored on its positives against its negatives."""
    total = np.zeros(len(weights))
    defined = np.zeros(len(weights))
    for column in range(truth.shape[1]):
        positive = truth[:, column] > 0
        if positive.all() or not positive.any():
            continue
        value = one_tag(
            scores[positive, column],
            scores[~positive, column],
            np.ascontiguousarray(weights[:, positive]),
            np.ascontiguousarray(weights[:, ~positive]),
        )
        known = ~np.isnan(value)
        total[known] += value[known]
        defined += known
    return _ratio(total, defined)


def _roc_auc(high: Floats, low: Floats, w_high: Floats, w_low: Floats) -> Floats:
    """Weighted share of (positive, negative) pairs in the right order; a tie is half a pair."""
    wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    won = np.einsum("dn,dn->d", w_high @ wins, w_low)
    return _ratio(won, w_high.sum(axis=1) * w_low.sum(axis=1))


def _average_precision(high: Floats, low: Floats, w_high: Floats, w_low: Floats) -> Floats:
    """Weighted mean, over positives, of the precision among all clips that score as high."""
    hits = w_high @ (high[:, None] >= high).astype(np.float64)
    admitted = hits + w_low @ (low[:, None] >= high).astype(np.float64)
    precision = np.where(admitted > 0, hits / np.maximum(admitted, 1e-300), 0.0)
    value = _ratio(np.einsum("dn,dn->d", precision, w_high), w_high.sum(axis=1))
    value[w_low.sum(axis=1) == 0] = np.nan
    return value


def _ratio(top: Floats, bottom: Floats) -> Floats:
    result = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _mean_of_defined(table: Floats) -> Floats:
    defined = ~np.isnan(table)
    return _ratio(np.where(defined, table, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
