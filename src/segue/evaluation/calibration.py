"""How far probabilities can be believed: reliability, expected calibration error, proper scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy
from scipy.stats import norm

from segue.errors import UsageError
from segue.evaluation.metrics import MacroScore
from segue.seeds import generator

Floats = NDArray[np.float64]

BINS = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Clips of similar probability, and how often what was said of them is true.

    Attributes
    ----------
    n : int
    said : float
        Their mean probability.
    found : float
        Share for which it is true.
    low, high : float
        95 % Wilson interval of ``found``. It takes clips as independent: clips of one artist are
        not quite, and it is then somewhat too narrow.
    """

    n: int
    said: float
    found: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def bins_for(n: int) -> int:
    """15 bins, or fewer so that each holds 20 of n clips.

    Examples
    --------
    >>> bins_for(1000), bins_for(100), bins_for(10)
    (15, 5, 1)
    """
    return max(1, min(BINS, n // 20))


def reliability_bins(
    probabilities: ArrayLike, true: ArrayLike, *, bins: int = BINS
) -> tuple[Bin, ...]:
    """Probabilities sorted into bins of equal numbers of clips, with what was found in each.

    Bins of equal width leave most clips of a confident head in one of them and next to none in
    others, whose error is then mostly chance (Nixon et al. 2019). Equal probabilities are never
    parted, so bins may differ in size and be fewer than asked for.

    Parameters
    ----------
    probabilities : (n,) array
        Of what was said: of the label that was given, or of one tag.
    true : (n,) array of 0/1
        Whether it holds.
    bins : int, default 15
        As in Guo et al. 2017.

    Raises
    ------
    UsageError
        The arrays are empty or of different lengths; probabilities outside 0 to 1; ``true`` is not
        0/1; ``bins`` below 1.

    References
    ----------
    J. Nixon, M. Dusenberry, L. Zhang, G. Jerfel, D. Tran: Measuring calibration in deep learning.
    CVPR workshops 2019.

    E. B. Wilson: Probable inference, the law of succession, and statistical inference. JASA 22,
    1927.

    Examples
    --------
    >>> [(one.n, one.said, one.found) for one in
    ...  reliability_bins([0.5, 0.5, 1.0, 1.0], [1, 0, 1, 1], bins=2)]
    [(2, 0.5, 0.5), (2, 1.0, 1.0)]
    """
    p, hits = _checked(probabilities, true)
    found = []
    for rows in _parts(p, bins):
        n, share = len(rows), float(hits[rows].mean())
        low, high = wilson_interval(share, n)
        found.append(Bin(n=n, said=float(p[rows].mean()), found=share, low=low, high=high))
    return tuple(found)


def ece(probabilities: ArrayLike, true: ArrayLike, *, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of said and found over bins, weighted by clips.

    It is biased upwards: ``found`` misses by chance what it would be over more clips, and every
    miss counts as error. See perfect_ece for what a head without any error would measure.

    Parameters
    ----------
    probabilities, true, bins
        As in reliability_bins. For classes: the probability of the label given, and whether it is
        right (see top_label).

    Raises
    ------
    UsageError
        As reliability_bins.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On calibration of modern neural networks. ICML
    2017, equation 3; here with bins of equal numbers.

    Examples
    --------
    >>> ece([0.75, 0.75, 0.75, 0.75], [1, 1, 0, 0])
    0.25
    """
    p, hits = _checked(probabilities, true)
    gaps = [len(rows) * abs(p[rows].mean() - hits[rows].mean()) for rows in _parts(p, bins)]
    return float(sum(gaps) / len(p))


def perfect_ece(
    probabilities: ArrayLike, *, bins: int = BINS, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """ECE that these probabilities would have if they were exactly right: mean and 95th percentile.

    What is true is drawn from the probabilities themselves. A measured ECE near the mean is no
    sign of any error; one above the percentile is. Clips are drawn one by one, so with several
    clips an artist both are somewhat too small.

    Parameters
    ----------
    probabilities : (n,) or (n, tags) array
        With tags, the mean over them.
    draws : int, default 200

    Raises
    ------
    UsageError
        As reliability_bins.

    References
    ----------
    J. Bröcker, L. A. Smith: Increasing the reliability of reliability diagrams. Weather and
    Forecasting 22, 2007 (consistency resampling).

    Examples
    --------
    >>> mean, high = perfect_ece([0.5] * 100)
    >>> 0.03 < mean < 0.05, high < 0.12
    (True, True)
    """
    table = np.asarray(probabilities, dtype=np.float64)
    columns = table[:, None] if table.ndim == 1 else table
    rng = generator(seed, "perfect ece")
    values = np.zeros(draws)
    for p in columns.T:
        p, _ = _checked(p, np.zeros(len(p)))
        drawn = rng.random((draws, len(p))) < p
        for rows in _parts(p, bins):
            gap = np.abs(p[rows].mean() - drawn[:, rows].mean(axis=1))
            values += gap * len(rows) / len(p) / columns.shape[1]
    return float(values.mean()), float(np.quantile(values, 0.95))


def tag_ece(probabilities: ArrayLike, truth: ArrayLike, *, bins: int = BINS) -> MacroScore:
    """ECE of each tag, and its mean over the tags that some clips carry and others do not.

    Parameters
    ----------
    probabilities : (n, tags) array
        Of carrying the tag; all of them count, not only those of tags that were given.
    truth : (n, tags) array of 0/1

    Raises
    ------
    UsageError
        As reliability_bins; or shapes differ.

    Examples
    --------
    >>> tag_ece([[0.5, 0.1], [0.5, 0.1]], [[1, 0], [0, 0]])
    MacroScore(value=0.0, per_tag=array([ 0., nan]))
    """
    table, Y = _tables(probabilities, truth)
    defined = (Y.min(axis=0) == 0) & (Y.max(axis=0) == 1)
    per_tag = np.full(Y.shape[1], np.nan)
    for tag in np.flatnonzero(defined):
        per_tag[tag] = ece(table[:, tag], Y[:, tag], bins=bins)
    return MacroScore(float(per_tag[defined].mean()) if defined.any() else float("nan"), per_tag)


def top_label(probabilities: ArrayLike, codes: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Highest probability of each clip, and whether that class (the first of equals) is right.

    Parameters
    ----------
    probabilities : (n, classes) array
    codes : (n,) integers
        Columns of the true classes.

    Raises
    ------
    UsageError
        Shapes that do not fit.

    Examples
    --------
    >>> top_label([[0.75, 0.25], [0.5, 0.5]], [0, 1])
    (array([0.75, 0.5 ]), array([ True, False]))
    """
    table, truth = _classes(probabilities, codes)
    return table.max(axis=1), table.argmax(axis=1) == truth


def brier(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean squared distance of probabilities from what is true, summed over classes.

    Parameters
    ----------
    probabilities : (n, classes) or (n, tags) array
    truth : (n,) integers or (n, tags) array of 0/1
        Columns of the true classes; or tags, for which the mean over tags is given.

    Raises
    ------
    UsageError
        Shapes that do not fit.

    References
    ----------
    G. W. Brier: Verification of forecasts expressed in terms of probability. Monthly Weather
    Review 78, 1950.

    Examples
    --------
    >>> brier([[0.5, 0.5]], [0]), brier([[0.5]], [[1]])
    (0.5, 0.25)
    """
    if np.ndim(truth) == 2:
        table, Y = _tables(probabilities, truth)
        return float(np.mean((table - Y) ** 2))
    table, codes = _classes(probabilities, truth)
    return float(np.mean(np.sum((table - np.eye(table.shape[1])[codes]) ** 2, axis=1)))


def log_loss(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean of minus the natural logarithm of the probability of what is true; infinite at 0.

    Parameters
    ----------
    probabilities, truth
        As in brier; over tags, the mean.

    Raises
    ------
    UsageError
        Shapes that do not fit.

    Examples
    --------
    >>> round(log_loss([[0.5, 0.5]], [0]), 4)
    0.6931
    """
    if np.ndim(truth) == 2:
        table, Y = _tables(probabilities, truth)
        return float(-np.mean(xlogy(Y, table) + xlogy(1 - Y, 1 - table)))
    table, codes = _classes(probabilities, truth)
    return float(-np.mean(xlogy(1.0, table[np.arange(len(table)), codes])))


def _parts(p: Floats, bins: int) -> list[NDArray[np.int64]]:
    """Rows of each bin: equal numbers in rising order, equal probabilities together."""
    if bins < 1:
        raise UsageError(wanted="one bin or more", got=str(bins), fix="Raise bins")
    _, inverse, counts = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2  # a run of equals goes where its middle lies
    bin_of = np.minimum((middle * bins / len(p)).astype(np.int64), bins - 1)[inverse]
    order = np.argsort(bin_of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(bin_of[order])) + 1)


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share found among n independent clips (Wilson 1927).

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson_interval(1.0, 10)]
    [0.722, 1.0]
    """
    z = float(norm.ppf(0.975))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def _checked(probabilities: ArrayLike, true: ArrayLike) -> tuple[Floats, Floats]:
    p, hits = np.asarray(probabilities, dtype=np.float64), np.asarray(true, dtype=np.float64)
    problem = None
    if p.ndim != 1 or p.shape != hits.shape or not p.size:
        problem = f"shapes {p.shape} and {hits.shape}"
    elif not ((p >= 0) & (p <= 1)).all():
        problem = "probabilities outside 0 to 1"
    elif not np.isin(hits, (0, 1)).all():
        problem = "a truth that is not 0/1"
    if problem:
        raise _malformed(problem)
    return p, hits


def _tables(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Floats, Floats]:
    table, Y = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if table.ndim != 2 or table.shape != Y.shape or not table.size:
        raise _malformed(f"shapes {table.shape} and {Y.shape}")
    _checked(table.ravel(), Y.ravel())
    return table, Y


def _classes(probabilities: ArrayLike, codes: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    table, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(codes)
    fits = table.ndim == 2 and truth.shape == table.shape[:1] and table.size > 0
    if not (fits and truth.dtype.kind in "iu" and np.isin(truth, np.arange(table.shape[1])).all()):
        raise _malformed(f"shapes {table.shape} and {truth.shape} of {truth.dtype}")
    _checked(table.ravel(), np.zeros(table.size))
    return table, truth.astype(np.int64)


def _malformed(got: str) -> UsageError:
    return UsageError(
        wanted="probabilities in 0 to 1, and what is true of each",
        got=got,
        fix="Give one probability per clip and class or tag, and codes or 0/1 for the truth",
        source="calibration",
    )
