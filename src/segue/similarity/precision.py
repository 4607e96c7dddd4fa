"""Precision at k: do a clip's nearest neighbours carry its label?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.similarity.distance import Codes, Floats, Metric
from segue.similarity.index import ExactIndex

# queries per search: bounds the (queries, k) answer, not the work
_BLOCK = 4096


class PrecisionSummary(NamedTuple):
    """Mean precision over the queries it is defined for, and how many those are."""

    mean: float
    defined: int
    undefined: int


def precision_at_k(
    X: ArrayLike | ExactIndex,
    labels: Sequence[Any] | NDArray[Any],
    *,
    k: int = 10,
    metric: Metric = "l1",
    groups: Sequence[Any] | NDArray[Any] | None = None,
    threads: int = 1,
) -> Floats:
    """Share of each clip's k nearest other clips that carry its label.

    Parameters
    ----------
    X : (n, d) array or ExactIndex
        Features, standardised here as `ExactIndex.build` does by default; an index is used as it
        is, with its own metric.
    labels : sequence of n labels, sequence of n collections of labels, or (n, tags) 0/1 array
        With several labels per clip, a neighbour counts if it shares at least one. A clip
        without any label (None, NaN, "" or an empty collection) is no query and never counts.
    k : int
        Neighbours per query.
    groups : sequence of n, optional
        Artist, album or piece. Clips of the query's own group are removed before its k nearest
        are taken: else neighbours that share the recording's sound pass for musical similarity
        (the artist filter of Pampalk et al. 2005). A clip with no group (None, NaN or "") is
        removed for itself only.
    threads : int
        As in `ExactIndex.query`.

    Returns
    -------
    (n,) float64 array
        Multiples of 1/k; NaN where fewer than k other clips are left or the clip has no label.
        `summarise` gives the mean and counts both kinds.

    Raises
    ------
    UsageError
        Lengths that do not agree, k < 1, or vectors that `ExactIndex.build` refuses.

    Examples
    --------
    >>> X = [[0.0], [0.1], [5.0], [5.1]]
    >>> precision_at_k(X, ["rock", "rock", "jazz", "jazz"], k=1).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    index = X if isinstance(X, ExactIndex) else _index(X, metric)
    n = len(index)
    carries = _indicators(labels, n)
    skip = np.arange(n) if groups is None else _groups(groups, n)
    result = np.full(n, np.nan)
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        found, _ = index.nearest(index.vectors[block], k, threads=threads, skip=(skip[block], skip))
        enough = (found >= 0).sum(axis=1) >= k
        for i in np.flatnonzero(enough) + start:
            if carries[i].any():
                shared = carries[found[i - start]] & carries[i]
                result[i] = shared.any(axis=1).mean()
    return result


def summarise(precisions: NDArray[np.float64]) -> PrecisionSummary:
    """Mean over defined queries; NaN mean where none is.

    Examples
    --------
    >>> summarise(np.array([1.0, 0.5, np.nan]))
    PrecisionSummary(mean=0.75, defined=2, undefined=1)
    """
    defined = precisions[~np.isnan(precisions)]
    mean = float(defined.mean()) if defined.size else float("nan")
    return PrecisionSummary(mean, defined.size, precisions.size - defined.size)


def _index(X: ArrayLike, metric: Metric) -> ExactIndex:
    array = np.asarray(X)
    return ExactIndex.build(array, [str(i) for i in range(len(array))], metric=metric)


def _indicators(labels: Sequence[Any] | NDArray[Any], n: int) -> NDArray[np.bool_]:
    """Which clip carries which label: (n, labels)."""
    array = labels if isinstance(labels, np.ndarray) else None
    _check_length("labels", len(labels), n)
    if array is not None and array.ndim == 2:
        return np.asarray(array != 0)
    sets = [_label_set(label) for label in labels]
    column = {label: j for j, label in enumerate(dict.fromkeys(x for s in sets for x in s))}
    result = np.zeros((n, max(1, len(column))), dtype=np.bool_)
    for i, carried in enumerate(sets):
        result[i, [column[label] for label in carried]] = True
    return result


def _label_set(label: Any) -> Iterable[Any]:
    if isinstance(label, Collection) and not isinstance(label, (str, bytes)):
        return [x for x in label if not _missing(x)]
    return () if _missing(label) else (label,)


def _groups(groups: Sequence[Any] | NDArray[Any], n: int) -> Codes:
    """Integer per clip, equal for equal groups; clips without a group get one each."""
    _check_length("groups", len(groups), n)
    numbers: dict[Any, int] = {}
    return np.array(
        [
            n + i if _missing(g) else numbers.setdefault(g, len(numbers))
            for i, g in enumerate(groups)
        ],
        dtype=np.int64,
    )


def _missing(value: Any) -> bool:
    # NaN is the one value that differs from itself
    return value is None or value == "" or value != value


def _check_length(what: str, got: int, n: int) -> None:
    if got != n:
        raise UsageError(
            wanted=f"{what} for each of {n} clips", got=f"{got} {what}", fix="Give one per clip"
        )
