"""Exact nearest rows: a fast float32 pass that bounds, a float64 pass that decides.

The fast pass (faiss) gives each pair a distance with a known worst-case rounding error. A row can
only be among the k nearest if its lower bound does not exceed the k-th smallest upper bound; those
few rows are measured again in float64 and sorted by (distance, row number). So the answer does not
depend on how queries are batched, on the number of threads or on the matrix library, and ties go
to the row that was indexed first. faiss alone promises neither: its L2 and cosine distances come
from a matrix product whose last bits change with the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Metric = Literal["l1", "l2", "cosine"]
METRICS: tuple[Metric, ...] = get_args(Metric)

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

# one block of queries against all rows holds at most this many pairs (16 MiB of float32)
_PAIRS = 2**22
# rows that one L1 pass reads again for each query stay in the cache (4 MiB of float32)
_TILE = 2**20
_EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Space:
    """Rows made ready for one metric.

    Attributes
    ----------
    rows : (n, d) float32 array
        What the float64 pass measures.
    coarse : (n, d) float32 array
        What faiss sees: unit rows for cosine (a zero row stays zero), else the rows themselves.
    norms : (n,) float64 array
        Euclidean lengths of ``rows``.
    """

    rows: Floats32
    metric: Metric
    coarse: Floats32
    norms: Floats

    @classmethod
    def of(cls, rows: Floats32, metric: Metric) -> Space:
        """Prepare rows (n, d) once for many queries."""
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        coarse = _unit(rows, norms) if metric == "cosine" else rows
        return cls(rows, metric, coarse, norms)

    def nearest(
        self, queries: Floats32, k: int, *, threads: int, skip: tuple[Codes, Codes] | None = None
    ) -> tuple[NDArray[np.int64], Floats]:
        """Row numbers (m, w) and distances (m, w) of the k nearest rows, w = min(k, n).

        Parameters
        ----------
        queries : (m, d) float32 array
        skip : (m,) array, (n,) array, optional
            A row whose code equals the query's code is passed over. Where fewer than w rows are
            left the answer ends in row number -1 and distance infinity.
        """
        width = min(k, len(self.rows))
        found = np.full((len(queries), width), -1, dtype=np.int64)
        distances = np.full((len(queries), width), np.inf)
        step = max(1, _PAIRS // len(self.rows))
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            space = Space.of(block, self.metric)
            approximate = self._approximate(space, threads)
            for i, query in enumerate(block):
                allowed = None if skip is None else skip[1] != skip[0][start + i]
                margin = self._margin(approximate[i], float(space.norms[i]))
                candidates = _candidates(approximate[i], margin, width, allowed)
                exact = self._exact(query, candidates)
                # candidates ascend, so a stable sort settles ties by row number
                order = np.argsort(exact, kind="stable")[:width]
                found[start + i, : len(order)] = candidates[order]
                distances[start + i, : len(order)] = exact[order]
        return found, distances

    def _approximate(self, queries: Space, threads: int) -> Floats32:
        """Distances (m, n) in float32; squared for L2, which keeps their order."""
        import faiss

        kind = {
            "l1": faiss.METRIC_L1,
            "l2": faiss.METRIC_L2,
            "cosine": faiss.METRIC_INNER_PRODUCT,
        }[self.metric]
        n, d = self.coarse.shape
        table = np.empty((len(queries.coarse), n), dtype=np.float32)
        # L2 and cosine are matrix products, which divide their work themselves
        step = max(1, _TILE // d) if self.metric == "l1" else n
        with _faiss_threads(threads):
            for start in range(0, n, step):
                tile = slice(start, start + step)
                table[:, tile] = faiss.pairwise_distances(queries.coarse, self.coarse[tile], kind)
        return np.float32(1) - table if self.metric == "cosine" else table

    def _margin(self, approximate: Floats32, norm: float) -> Floats:
        """Worst-case rounding error (n,) of ``_approximate`` for one query of length ``norm``."""
        # summing d float32 terms errs by at most d eps times the sum of their sizes; 2x for safety
        relative = 2.0 * (self.rows.shape[1] + 8) * _EPSILON
        if self.metric == "l1":
            return np.asarray(approximate * relative, dtype=np.float64)
        if self.metric == "l2":
            return np.asarray(relative * np.square(self.norms + norm))
        return np.full(len(approximate), relative)

    def _exact(self, query: Floats32, candidates: NDArray[np.int64]) -> Floats:
        """Distances in float64 from one query (d,) to the candidate rows."""
        result = np.empty(len(candidates))
        step = max(1, _PAIRS // len(query))
        for start in range(0, len(candidates), step):
            rows = self.rows[candidates[start : start + step]].astype(np.float64)
            result[start : start + len(rows)] = _distance(
                query.astype(np.float64), rows, self.metric
            )
        return result


def _candidates(
    approximate: Floats32, margin: Floats, width: int, allowed: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Ascending numbers of all rows that can be among the ``width`` nearest."""
    with np.errstate(invalid="ignore"):  # inf - inf where float32 overflowed
        upper: Floats = approximate + margin
        lower: Floats = approximate - margin
    if allowed is not None:
        upper = np.where(allowed, upper, np.inf)
    bound = np.partition(upper, width - 1)[width - 1]
    # not (lower > bound): where float32 overflowed to NaN, float64 decides
    possible = ~(lower > bound)
    if allowed is not None:
        possible &= allowed
    return np.flatnonzero(possible)


def _distance(query: Floats, rows: Floats, metric: Metric) -> Floats:
    """Distances from one query (d,) to rows (c, d)."""
    if metric == "l1":
        return np.asarray(np.abs(rows - query).sum(axis=1))
    if metric == "l2":
        return np.asarray(np.sqrt(np.square(rows - query).sum(axis=1)))
    lengths = np.sqrt(np.square(rows).sum(axis=1))
    length = np.sqrt(np.square(query).sum())
    if length == 0:
        return np.ones(len(rows))
    unit = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    # |u - v|^2 / 2 is 1 - cos without losing digits near zero: a vector is exactly 0 from itself
    return np.where(lengths > 0, np.square(unit - query / length).sum(axis=1) / 2, 1.0)


def _unit(rows: Floats32, norms: Floats) -> Floats32:
    return (rows / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)


@contextmanager
def _faiss_threads(threads: int) -> Iterator[Any]:
    """Run faiss with this many OpenMP threads and put the process-wide setting back after."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
