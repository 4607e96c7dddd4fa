"""Precision at k and average precision of rankings, as pure functions; ties are treated fairly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Rankings (queries, n), best first.

    Attributes
    ----------
    relevant, counted : (queries, n) boolean arrays
        By place: whether the clip there is to be found, and whether it is a candidate at all.
    ends : (queries, n) integer array or None
        Last place of the run of ties that a place lies in; None where there are no ties.
    """

    relevant: Mask
    counted: Mask
    ends: NDArray[np.int64] | None

    def without(self, gone: Mask) -> Ranks:
        """The same rankings with the clips of some places taken out."""
        kept = self.counted & ~gone
        return replace(self, relevant=self.relevant & kept, counted=kept)


def ranked(relevant: Mask, scores: Floats) -> tuple[NDArray[np.int64], Ranks]:
    """Order (queries, n) of clips by falling score, and what is known of each place.

    Examples
    --------
    >>> import numpy as np
    >>> order, ranks = ranked(np.array([[True, False]]), np.array([[0.1, 0.2]]))
    >>> order, ranks.relevant
    (array([[1, 0]]), array([[False,  True]]))
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    by_place = np.take_along_axis(scores, order, axis=1)
    counted = by_place > -np.inf
    last = np.ones(scores.shape, dtype=bool)
    last[:, :-1] = by_place[:, 1:] != by_place[:, :-1]
    ends = None
    if not last[counted].all():
        places = np.where(last, np.arange(scores.shape[1]), scores.shape[1])
        ends = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]
    return order, Ranks(np.take_along_axis(relevant, order, axis=1) & counted, counted, ends)


def scored(ranks: Ranks, k: int) -> tuple[Floats, Floats]:
    """Precision at k and average precision (queries,) of rankings; see the functions below.

    Examples
    --------
    >>> import numpy as np
    >>> scored(ranked(np.array([[True, False]]), np.array([[0.1, 0.2]]))[1], k=1)
    (array([0.]), array([0.5]))
    """
    seen = np.cumsum(ranks.counted, axis=1, dtype=np.int32)
    hits = np.cumsum(ranks.relevant, axis=1, dtype=np.int32)
    return _at_k(ranks, seen, hits, k), _average(ranks, seen, hits)


def precision_at_k(relevant: ArrayLike, scores: ArrayLike, *, k: int) -> Floats:
    """Share of the k best-scored clips that are relevant, for each query.

    Parameters
    ----------
    relevant : (queries, n) boolean array
    scores : (queries, n) array
        Higher comes first; minus infinity is no candidate. Of clips that tie for the last places,
        as many count as there are places, each with the share of relevant ones among them: what a
        random order of the tied would give in the mean. (The order of rows, which is that of the
        manifest, often by class, then decides nothing.)
    k : int

    Returns
    -------
    (queries,) array
        NaN with fewer than k candidates.

    Raises
    ------
    UsageError
        Shapes differ, a score is NaN, or k is below 1.

    References
    ----------
    F. McSherry, M. Najork: Computing information retrieval performance measures efficiently in the
    presence of tied scores. ECIR 2008.

    Examples
    --------
    >>> precision_at_k([[True, False, True]], [[0.9, 0.5, 0.5]], k=2)
    array([0.75])
    """
    mask, table = _checked(relevant, scores)
    if k < 1:
        raise UsageError(wanted="k of at least 1", got=str(k), fix="Raise k", source="ranking")
    return scored(ranked(mask, table)[1], k)[0]


def average_precision(relevant: ArrayLike, scores: ArrayLike) -> Floats:
    """Mean, over a query's relevant clips, of the precision down to each, for each query.

    Clips of equal score enter together, as in metrics.average_precision_macro and scikit-learn.

    Parameters
    ----------
    relevant, scores : (queries, n) arrays
        As in precision_at_k.

    Returns
    -------
    (queries,) array
        NaN where no candidate is relevant.

    Raises
    ------
    UsageError
        As precision_at_k.

    Examples
    --------
    >>> average_precision([[True, False, True]], [[0.9, 0.5, 0.1]]).round(4)
    array([0.8333])
    """
    return scored(ranked(*_checked(relevant, scores))[1], 1)[1]


def mean_average_precision(relevant: ArrayLike, scores: ArrayLike) -> float:
    """Mean average precision (MAP) over the queries that have something to find; NaN without any.

    Raises
    ------
    UsageError
        As precision_at_k.

    Examples
    --------
    >>> mean_average_precision([[True, False], [False, False]], [[0.1, 0.2], [0.1, 0.2]])
    0.5
    """
    values = average_precision(relevant, scores)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _at_k(ranks: Ranks, seen: NDArray[np.int32], hits: NDArray[np.int32], k: int) -> Floats:
    queries = np.arange(len(seen))
    enough = seen[:, -1] >= k
    end = np.argmax(seen >= k, axis=1)  # the place of the k-th candidate
    start = end
    if ranks.ends is not None:
        end = ranks.ends[queries, end]
        start = np.argmax(ranks.ends == end[:, None], axis=1)
    first = start == 0
    before = np.where(first, 0, seen[queries, start - 1])
    hits_before = np.where(first, 0, hits[queries, start - 1])
    tied = np.maximum(seen[queries, end] - before, 1)
    share = (hits[queries, end] - hits_before) / tied
    return np.where(enough, (hits_before + share * (k - before)) / k, np.nan)


def _average(ranks: Ranks, seen: NDArray[np.int32], hits: NDArray[np.int32]) -> Floats:
    query, place = np.nonzero(ranks.relevant)
    end = place if ranks.ends is None else ranks.ends[query, place]
    total = np.bincount(query, hits[query, end] / seen[query, end], minlength=len(seen))
    found = hits[:, -1]
    result = np.full(len(seen), np.nan)
    np.divide(total, found, out=result, where=found > 0)
    return result


def _checked(relevant: ArrayLike, scores: ArrayLike) -> tuple[Mask, Floats]:
    mask, table = np.asarray(relevant).astype(bool), np.asarray(scores, dtype=np.float64)
    problem = None
    if mask.ndim != 2 or mask.shape != table.shape or not mask.size:
        problem = f"shapes {mask.shape} and {table.shape}"
    elif np.isnan(table).any() or np.isposinf(table).any():
        problem = "scores with NaN or infinity"
    if problem:
        raise UsageError(
            wanted="relevance and finite scores, one row a query, of one shape",
            got=problem,
            fix="Give one column per candidate; minus infinity for what is none",
            source="ranking",
        )
    return mask, table
