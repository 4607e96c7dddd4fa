"""How sure a number is: standard error, cluster bootstrap, paired test, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from segue.errors import UsageError
from segue.evaluation.metrics import score
from segue.evaluation.resampled import resampled_scores
from segue.seeds import generator

Floats = NDArray[np.float64]


def mean_and_error(fold_scores: ArrayLike) -> tuple[float, float]:
    """Mean over folds and its standard error (deviation with ddof 1, over sqrt k).

    Folds where the metric is undefined (NaN) are left out. The error treats folds as independent,
    which they are not quite: training parts overlap. It is a spread, and the bootstrap interval is
    the statement.

    Raises
    ------
    UsageError
        No fold has a defined score.

    Examples
    --------
    >>> mean_and_error([0.25, 0.75])
    (0.5, 0.25)
    """
    scores = np.asarray(fold_scores, dtype=np.float64)
    scores = scores[~np.isnan(scores)]
    if not scores.size:
        raise UsageError(
            wanted="one fold or more with a defined score",
            got="none",
            fix="Use fewer folds or more groups",
            source="evaluation",
        )
    if scores.size == 1:
        return float(scores[0]), float("nan")
    error = np.std(scores, ddof=1) / np.sqrt(scores.size)
    return float(scores.mean()), float(error)


def bootstrap_interval(
    metric: str,
    truth: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean fold score when groups are drawn anew, centred on the mean itself.

    In every draw each outer fold resamples its own groups with replacement (all clips of a group
    come along, as often as it is drawn); the metric is computed per fold and averaged over folds.
    The heads are not refitted: the interval holds the sampling of test groups, not of training
    parts. Draws in which no fold has a defined score are left out. A draw holds fewer different
    clips than its fold, which lowers macro F1 and raises average precision; so the quantiles
    are shifted by the difference of the measured mean from the mean of the draws.

    Parameters
    ----------
    metric : str
        A name of metrics.METRICS.
    truth, predictions : (n,) or (n, tags) arrays
    groups, folds : (n,) integer arrays
        As from folds.group_codes and Folds.assignment.

    Raises
    ------
    UsageError
        Unknown metric, lengths that differ, or no draw has a defined score.

    References
    ----------
    A. C. Davison, D. V. Hinkley: Bootstrap methods and their application, 1997, section 3.8.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array(["a", "b"] * 20)
    >>> low, high = bootstrap_interval(
    ...     "accuracy", truth, np.roll(truth, 20), np.arange(40), np.arange(40) // 20)
    >>> low, high
    (1.0, 1.0)
    """
    truth, predictions = np.asarray(truth), np.asarray(predictions)
    groups, folds = np.asarray(groups), np.asarray(folds)
    if not len(truth) == len(predictions) == len(groups) == len(folds):
        raise UsageError(
            wanted="truth, predictions, groups and folds of one length",
            got=f"{len(truth)}, {len(predictions)}, {len(groups)} and {len(folds)}",
            fix="Give one of each per clip",
            source="bootstrap",
        )
    table = np.full((len(np.unique(folds)), draws), np.nan)
    for row, fold in enumerate(np.unique(folds)):
        tested = folds == fold
        weights = group_weights(groups[tested], draws, generator(seed, "bootstrap", int(fold)))
        table[row] = resampled_scores(metric, truth[tested], predictions[tested], weights)
    defined = ~np.isnan(table)
    kept = defined.any(axis=0)
    if not kept.any():
        raise UsageError(
            wanted="a metric defined in some fold", got=f"{metric} in none", fix="Use fewer folds"
        )
    means = np.where(defined, table, 0.0)[:, kept].sum(axis=0) / defined[:, kept].sum(axis=0)
    measured = mean_and_error(
        [
            score(metric, truth[folds == fold], predictions[folds == fold])
            for fold in np.unique(folds)
        ]
    )[0]
    quantiles = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    least = -np.inf if metric == "r2" else 0.0
    low, high = np.clip(quantiles + measured - means.mean(), least, 1.0)
    return float(low), float(high)


def group_weights(groups: ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
    """How often each clip enters each draw (draws, n): as often as its group is drawn.

    Examples
    --------
    >>> import numpy as np
    >>> weights = group_weights([0, 0, 1], 50, np.random.default_rng(0))
    >>> bool((weights[:, 0] == weights[:, 1]).all()), float((weights[:, 0] + weights[:, 2]).max())
    (True, 2.0)
    """
    names, inverse = np.unique(groups, return_inverse=True)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    weights: Floats = times[:, inverse].astype(np.float64)
    return weights


def corrected_t_test(first: ArrayLike, second: ArrayLike, *, test_share: float) -> float:
    """Two-sided p-value of the corrected resampled t-test over paired fold scores.

    The variance of the mean difference over k folds is taken as ``(1/k + test_share) * var``:
    folds share training clips, and the plain t-test rejects far too often.

    Parameters
    ----------
    first, second : (k,) arrays
        Scores on the same folds; a fold undefined in either is left out.
    test_share : float
        Test clips per training clip, 1 / (k - 1) for k equal folds.

    Returns
    -------
    float
        1 where all differences are 0, or where fewer than two folds are defined.

    Raises
    ------
    UsageError
        Lengths differ, or ``test_share`` is not above 0.

    References
    ----------
    C. Nadeau, Y. Bengio: Inference for the generalization error. Machine Learning 52, 2003,
    equation 10.

    Examples
    --------
    >>> round(corrected_t_test([0.8, 0.9, 0.85], [0.7, 0.75, 0.8], test_share=0.5), 3)
    0.16
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not test_share > 0:
        raise UsageError(
            wanted="two score lists of one length and a test share above 0",
            got=f"shapes {a.shape} and {b.shape}, share {test_share}",
            fix="Compare scores on the same folds",
            source="paired test",
        )
    difference = (a - b)[~np.isnan(a - b)]
    k = len(difference)
    if k < 2 or not difference.any():
        return 1.0
    # equal but for rounding: a deviation of 1e-17 would make t as large as one likes
    spread = float(np.std(difference, ddof=1))
    if spread <= 1e-12 * np.abs(difference).max():
        return 0.0
    t = difference.mean() / (spread * np.sqrt(1 / k + test_share))
    return float(2 * stats.t.sf(abs(t), df=k - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule, in the order given.

    References
    ----------
    S. Holm: A simple sequentially rejective multiple test procedure. Scand. J. Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
