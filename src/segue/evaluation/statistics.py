"""How sure a number is: standard error, cluster bootstrap, paired test, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from segue.errors import UsageError
from segue.evaluation.metrics import BOUNDS, score
from segue.evaluation.resampled import resampled_scores
from segue.seeds import derive, generator

Floats = NDArray[np.float64]

MIN_GROUPS = 6
"""Fewer groups than this in all have no interval; see why_no_interval."""


def mean_and_error(fold_scores: ArrayLike, *, repeats: int = 1) -> tuple[float, float]:
    """Mean over folds and its standard error (deviation with ddof 1, over sqrt k).

    Folds where the metric is undefined (NaN) are left out. The error treats folds as independent,
    which they are not quite: training parts overlap. It is a spread, and the bootstrap interval is
    the statement.

    Parameters
    ----------
    fold_scores : (k * repeats,) array
    repeats : int, default 1
        How often all clips were dealt to folds. Dealing again brings no new clips, so the error is
        that of the k folds of one repeat.

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
    error = np.std(scores, ddof=1) / np.sqrt(scores.size / repeats)
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
    """Interval of the mean fold score over other test groups: Student's t on a bootstrap error.

    A draw of a fold takes as many groups as the fold holds, with replacement and from the groups of
    all folds (all clips of a group come along, as often as it is drawn). Drawn from the fold's own
    groups alone, a fold of two would seem half as uncertain as it is and a fold of one not at all.
    The variances of the drawn scores, averaged over folds, give that of their mean; it is enlarged
    by G / (G - 1) for G groups in all, since groups drawn from a sample vary less than groups drawn
    from where the sample came from. The half-width is the t quantile with G - 1 degrees of freedom
    times its root, cut at the metric's bounds.

    The heads are not refitted: the interval holds the sampling of test groups, not of training
    parts, and is too narrow for a claim about heads taught with other groups (label_curves, which
    asks for that, widens its own by half). Simulated with 10 folds of 2 to 10 groups and 5 folds of
    2 to 14, it covers the expected score in 93 to 99 % of runs, for accuracy, macro F1, ROC-AUC, R2
    and CCC; for RMSE, which is skewed, in 87 to 93 %.

    Parameters
    ----------
    metric : str
        A name of metrics.METRICS.
    truth, predictions : (n,) or (n, tags) arrays
        Scores of tags are standardised within each fold and tag, as the heads of two folds may
        score on different scales; the mean itself, which ranks within folds, does not change.
    groups, folds : (n,) integer arrays
        As from folds.group_codes and Folds.assignment.
    draws : int, default 1000
        Of all folds together; a fold gets 20 or more.

    Returns
    -------
    low, high : float
        NaN where why_no_interval has a reason.

    Raises
    ------
    UsageError
        Unknown metric, lengths that differ, or no fold has a defined score.

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
    return repeated_interval(
        metric, truth, [(predictions, folds)], groups, draws=draws, level=level, seed=seed
    )


def repeated_interval(
    metric: str,
    truth: ArrayLike,
    repeats: Sequence[tuple[ArrayLike, ArrayLike]],
    groups: ArrayLike,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """``bootstrap_interval`` of the mean over several dealings of the same clips to folds.

    Its variance is the mean of the repeats' own: dealing again evens out the luck of the deal, but
    brings no new groups, so an interval that shrank with the repeats would promise too much.

    Parameters
    ----------
    repeats : sequence of (predictions, folds)
        As bootstrap_interval takes them.

    Raises
    ------
    UsageError
        As bootstrap_interval.

    Examples
    --------
    >>> import numpy as np
    >>> truth, guess = np.array(["a", "b"] * 20), np.array(["a", "a", "b", "b"] * 10)
    >>> deals = [(guess, np.arange(40) // 20), (guess, np.arange(40) % 2)]
    >>> low, high = repeated_interval("accuracy", truth, deals, np.arange(40))
    >>> 0.2 < low < 0.5 < high < 0.8
    True
    """
    found = [
        _mean_and_variance(metric, truth, guesses, groups, folds, max(1, draws // len(repeats)),
                           derive(seed, "repeat", number) if number else seed)
        for number, (guesses, folds) in enumerate(repeats)
    ]  # fmt: skip
    mean, variance = (float(np.mean(values)) for values in zip(*found, strict=True))
    n_groups = len(np.unique(groups))
    if np.isnan(variance) or n_groups < 2:
        return float("nan"), float("nan")
    reach = stats.t.ppf((1 + level) / 2, df=n_groups - 1) * np.sqrt(variance)
    low, high = np.clip([mean - reach, mean + reach], *BOUNDS.get(metric, (0.0, 1.0)))
    return float(low), float(high)


def _mean_and_variance(
    metric: str,
    truth: ArrayLike,
    predictions: ArrayLike,
    groups: ArrayLike,
    folds: ArrayLike,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """Mean fold score and its bootstrap variance; NaN where why_no_interval has a reason."""
    truth, predictions = np.asarray(truth), np.asarray(predictions)
    groups, folds = np.asarray(groups), np.asarray(folds)
    if not len(truth) == len(predictions) == len(groups) == len(folds):
        raise UsageError(
            wanted="truth, predictions, groups and folds of one length",
            got=f"{len(truth)}, {len(predictions)}, {len(groups)} and {len(folds)}",
            fix="Give one of each per clip",
            source="bootstrap",
        )
    tested = {int(fold): folds == fold for fold in np.unique(folds)}
    scores = {at: score(metric, truth[rows], predictions[rows]) for at, rows in tested.items()}
    mean, _ = mean_and_error(list(scores.values()))
    if why_no_interval(metric, groups, folds):
        return mean, float("nan")
    comparable = _standardised(predictions, folds) if predictions.ndim == 2 else predictions
    per_fold = max(20, -(-draws // len(tested)))
    variances = []
    for fold, rows in tested.items():
        if np.isnan(scores[fold]):
            continue
        size = len(np.unique(groups[rows]))
        weights = group_weights(groups, per_fold, generator(seed, "bootstrap", fold), size=size)
        drawn = resampled_scores(metric, truth, comparable, weights)
        drawn = drawn[~np.isnan(drawn)]
        variances.append(float(np.var(drawn)) if drawn.size > 1 else float("nan"))
    n_groups = len(np.unique(groups))
    # of the mean of k scores: the mean variance over k
    variance = np.mean(variances) / len(variances) * n_groups / (n_groups - 1)
    return mean, float(variance)


def why_no_interval(metric: str, groups: ArrayLike, folds: ArrayLike) -> str:
    """Reason why bootstrap_interval gives NaN; "" where it gives numbers.

    With fewer than six groups their spread is a guess (simulated in folds of one group: five cover
    85 to 95 %, six 87 to 94, ten 91 to 96). And R2 of a single group divides by the spread inside
    it, which may be next to nothing: its fold scores have no useful variance.

    Examples
    --------
    >>> why_no_interval("accuracy", [0, 0, 1, 1], [0, 0, 1, 1])
    'no interval: 2 groups are too few to tell how groups differ (6 are needed)'
    """
    groups, folds = np.asarray(groups), np.asarray(folds)
    n_groups = len(np.unique(groups))
    if n_groups < MIN_GROUPS:
        return (
            f"no interval: {n_groups} groups are too few to tell how groups differ "
            f"({MIN_GROUPS} are needed)"
        )
    smallest = min(len(np.unique(groups[folds == fold])) for fold in np.unique(folds))
    if metric == "r2" and smallest < 2:
        return "no interval of R2: a fold holds a single group; use fewer folds"
    return ""


def group_weights(
    groups: ArrayLike, draws: int, rng: np.random.Generator, *, size: int | None = None
) -> Floats:
    """How often each clip enters each draw (draws, n): as often as its group is drawn.

    A draw takes ``size`` groups with replacement, by default as many as there are.

    Examples
    --------
    >>> import numpy as np
    >>> weights = group_weights([0, 0, 1], 50, np.random.default_rng(0))
    >>> bool((weights[:, 0] == weights[:, 1]).all()), float((weights[:, 0] + weights[:, 2]).max())
    (True, 2.0)
    """
    names, inverse = np.unique(groups, return_inverse=True)
    chances = np.full(len(names), 1 / len(names))
    times = rng.multinomial(len(names) if size is None else size, chances, size=draws)
    weights: Floats = times[:, inverse].astype(np.float64)
    return weights


def _standardised(scores: NDArray[np.float64], folds: NDArray[np.int64]) -> Floats:
    """Each column to mean 0 and deviation 1 within each fold; 0 where it is constant."""
    result = np.zeros(scores.shape)
    for fold in np.unique(folds):
        rows = folds == fold
        centred = scores[rows] - scores[rows].mean(axis=0)
        spread = scores[rows].std(axis=0)
        varies = np.ptp(scores[rows], axis=0) > 0
        result[np.ix_(rows, varies)] = centred[:, varies] / spread[varies]
    return result


def corrected_t_test(first: ArrayLike, second: ArrayLike, *, test_share: float) -> float:
    """Two-sided p-value of the corrected resampled t-test over paired fold scores.

    The variance of the mean difference over k folds is taken as ``(1/k + test_share) * var``:
    folds share training clips, and the plain t-test rejects far too often. Folds of several repeats
    (Bouckaert & Frank 2004) enter as one list: the first term falls with them, the second does not.

    Parameters
    ----------
    first, second : (k,) arrays
        Scores on the same folds; a fold undefined in either is left out.
    test_share : float
        Test clips per training clip, 1 / (k - 1) for k equal folds.

    Returns
    -------
    float
        1 where all differences are 0. NaN where nothing can be estimated: fewer than two folds are
        defined, or the difference is the same in all of them (few clips a fold make that common),
        so that there is no spread to hold the mean against.

    Raises
    ------
    UsageError
        Lengths differ, or ``test_share`` is not above 0.

    References
    ----------
    C. Nadeau, Y. Bengio: Inference for the generalization error. Machine Learning 52, 2003,
    equation 10. R. R. Bouckaert, E. Frank: Evaluating the replicability of significance tests for
    comparing learning algorithms. PAKDD 2004.

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
    if k < 2:
        return float("nan")
    if not difference.any():
        return 1.0
    # equal but for rounding: a deviation of 1e-17 would make t as large as one likes
    spread = float(np.std(difference, ddof=1))
    if spread <= 1e-12 * np.abs(difference).max():
        return float("nan")
    t = difference.mean() / (spread * np.sqrt(1 / k + test_share))
    return float(2 * stats.t.sf(abs(t), df=k - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule, in the order given.

    NaN stays NaN and does not count: what could not be tested is no test.

    References
    ----------
    S. Holm: A simple sequentially rejective multiple test procedure. Scand. J. Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]  # NaN sorts last
    stepped = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]
