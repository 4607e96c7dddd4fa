"""Nearest clips by features, exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.similarity import folder as folders
from segue.similarity.distance import METRICS, Codes, Floats, Floats32, Metric, Space

_KIND = "segue-exact-index"
_VERSION = 1


class ExactIndex:
    """Compare a query with every indexed vector. Made by `build` or `load`.

    Hamel et al. (2013) rank by the L1 distance between features, the default here. With
    ``scale`` each dimension is first standardised on the indexed set, so that none counts more
    for its unit alone; a dimension that is constant there says nothing about it and is ignored.

    Attributes
    ----------
    ids : tuple of str
        In the order they were given.
    vectors : (n, d) float32 array
        As compared, that is after standardisation.
    metric : {"l1", "l2", "cosine"}
    facts : dict
        What the caller wants to travel with the index (the encoder card).

    Examples
    --------
    >>> index = ExactIndex.build([[0, 0], [1, 0], [5, 5]], ["a", "b", "c"], scale=False)
    >>> ids, distances = index.query([[1, 1]], 2)
    >>> ids.tolist(), distances.tolist()
    ([['b', 'a']], [[1.0, 2.0]])
    """

    def __init__(
        self,
        vectors: Floats32,
        ids: Sequence[str],
        *,
        metric: Metric,
        mean: Floats,
        inverse: Floats,
        facts: Mapping[str, Any],
    ) -> None:
        self.vectors = vectors
        self.ids = tuple(ids)
        self.metric = metric
        self.facts = dict(facts)
        self._mean = mean
        self._inverse = inverse
        self._space = Space.of(vectors, metric)
        self._names = np.array(self.ids, dtype=np.str_)

    @classmethod
    def build(
        cls,
        X: ArrayLike,
        ids: Sequence[str],
        *,
        metric: Metric = "l1",
        scale: bool = True,
        facts: Mapping[str, Any] | None = None,
    ) -> ExactIndex:
        """Index vectors.

        Parameters
        ----------
        X : (n, d) array
            One finite vector per clip; n and d at least 1.
        ids : sequence of n distinct str
        metric : {"l1", "l2", "cosine"}
            Cosine is 1 - cos; a vector of zeros is at distance 1 from every vector.
        scale : bool
            Standardise each dimension on X; queries go through the same means and deviations.
        facts : mapping, optional
            JSON-able; saved with the index.

        Raises
        ------
        UsageError
            Shapes that do not fit, numbers that are not finite, repeated ids, an unknown metric,
            facts that JSON cannot hold.
        """
        if metric not in METRICS:
            raise UsageError(
                wanted=f"a metric out of {', '.join(METRICS)}",
                got=repr(metric),
                fix="Name one of them",
            )
        vectors = _matrix(X, "the vectors to index")
        _check_ids(ids, len(vectors))
        mean, inverse = _standard(vectors) if scale else _identity(vectors.shape[1])
        return cls(
            _apply(vectors, mean, inverse),
            ids,
            metric=metric,
            mean=mean,
            inverse=inverse,
            facts=_jsonable(facts or {}),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Numbers per vector."""
        return int(self.vectors.shape[1])

    def query(
        self, x: ArrayLike, k: int, *, threads: int = 1
    ) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
        """The k nearest indexed vectors of each query.

        Parameters
        ----------
        x : (m, d) array
            On the scale of what was indexed, before standardisation.
        k : int
            At least 1; more than the index holds gives all it holds.
        threads : int
            OpenMP threads for the fast pass. One by default, so that a caller who already runs
            several workers is not slowed by threads fighting for cores. The answer never depends
            on it.

        Returns
        -------
        ids : (m, min(k, n)) array of str
            Nearest first; equal distances in the order they were indexed. A query that is itself
            indexed finds itself.
        distances : (m, min(k, n)) float64 array

        Raises
        ------
        UsageError
            A vector of another length than the index's, numbers that are not finite, k < 1.
        """
        positions, distances = self.nearest(self.transform(x), k, threads=threads)
        return self._names[positions], distances

    def transform(self, x: ArrayLike) -> Floats32:
        """Queries (m, d) on the index's own scale, that of ``vectors``.

        Raises
        ------
        UsageError
            As `query`.
        """
        queries = _matrix(x, "the query vectors", dim=self.dim)
        return _apply(queries, self._mean, self._inverse)

    def nearest(
        self,
        vectors: Floats32,
        k: int,
        *,
        threads: int = 1,
        skip: tuple[Codes, Codes] | None = None,
    ) -> tuple[NDArray[np.int64], Floats]:
        """Positions and distances (m, min(k, n)) for vectors that went through `transform`.

        Parameters
        ----------
        skip : (m,) integer array, (n,) integer array, optional
            Pass over indexed rows whose code equals the query's. Where too few are left, the
            answer ends in position -1 and distance infinity.
        """
        if k < 1 or threads < 1:
            name, value = ("k", k) if k < 1 else ("threads", threads)
            raise UsageError(wanted=f"{name} of at least 1", got=str(value), fix=f"Raise {name}")
        return self._space.nearest(vectors, k, threads=threads, skip=skip)

    def save(self, folder: str | Path) -> None:
        """Write ``index.json`` and one safetensors file; replaces a former index in one step.

        Raises
        ------
        StoreError
            The folder cannot be written.
        """
        head = {
            "version": _VERSION,
            "metric": self.metric,
            "facts": self.facts,
            "ids": self.ids,
        }
        arrays: dict[str, NDArray[Any]] = {
            "vectors": self.vectors,
            "mean": self._mean,
            "inverse": self._inverse,
        }
        folders.write(Path(folder), arrays, head, kind=_KIND)

    @classmethod
    def load(cls, folder: str | Path) -> ExactIndex:
        """Read what `save` wrote; it answers every query as the saved one did.

        Raises
        ------
        StoreError
            No index there, one of another kind or version, or a damaged one.
        """
        arrays, head = folders.read(Path(folder), kind=_KIND, version=_VERSION)
        if problem := _misfit(arrays, head):
            raise folders.damaged(Path(folder), problem)
        return cls(
            arrays["vectors"],
            head["ids"],
            metric=head["metric"],
            mean=arrays["mean"],
            inverse=arrays["inverse"],
            facts=head["facts"],
        )


_KINDS: dict[str, type[ExactIndex]] = {"exact": ExactIndex}

INDEXES: tuple[str, ...] = tuple(_KINDS)
"""Names that `make_index` knows."""


def make_index(name: str) -> type[ExactIndex]:
    """The index class of that name; call its ``build`` or ``load``.

    Raises
    ------
    UsageError
        No index has that name.

    Examples
    --------
    >>> make_index("exact").__name__
    'ExactIndex'
    """
    if name not in _KINDS:
        raise UsageError(
            wanted=f"an index out of {', '.join(INDEXES)}", got=repr(name), fix="Name one of them"
        )
    return _KINDS[name]


def _matrix(x: ArrayLike, what: str, *, dim: int | None = None) -> NDArray[Any]:
    """Check (m, d) finite numbers; the message says both shapes."""
    array = np.asarray(x)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise UsageError(
            wanted=f"{what} as an array (rows, dimensions) of real numbers",
            got=f"shape {array.shape} of {array.dtype}",
            fix="Give one row per clip; x[None] makes one vector a row",
        )
    if dim is not None and array.shape[1] != dim:
        raise UsageError(
            wanted=f"{what} with {dim} dimensions, as the index has",
            got=f"{array.shape[1]} dimensions",
            fix="Embed the query with the encoder and layers the index was built with",
        )
    if dim is None and 0 in array.shape:
        raise UsageError(
            wanted=f"{what} with at least one row and one dimension",
            got=f"shape {array.shape}",
            fix="Index at least one clip",
        )
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes inf, refused below
        array = array.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise UsageError(
            wanted=f"{what} to be finite float32 numbers",
            got=f"NaN or infinity in {bad.size} of {len(array)} rows, first row {bad[0]}",
            fix="Leave those clips out, or embed them again",
        )
    return array


def _check_ids(ids: Sequence[str], n: int) -> None:
    if isinstance(ids, str) or not all(isinstance(i, str) for i in ids):
        raise UsageError(
            wanted="ids as a sequence of str",
            got=f"{type(ids).__name__}",
            fix="Give one str per row",
        )
    if len(ids) != n:
        raise UsageError(
            wanted=f"one id for each of {n} vectors", got=f"{len(ids)} ids", fix="Give one per row"
        )
    if len(set(ids)) != n:
        seen: set[str] = set()
        twice = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise UsageError(
            wanted="every id once", got=f"{twice!r} more than once", fix="Make the ids distinct"
        )


def _standard(vectors: Floats32) -> tuple[Floats, Floats]:
    """Means and inverse deviations (d,) over the indexed set; 0 for a constant dimension."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    deviation = vectors.std(axis=0, dtype=np.float64)
    # below float32 resolution the "spread" is rounding noise, which must not be blown up to 1
    floor = np.finfo(np.float32).eps * np.abs(vectors).max(axis=0)
    inverse = np.zeros_like(deviation)
    np.divide(1.0, deviation, out=inverse, where=deviation > floor)
    return mean, inverse


def _identity(d: int) -> tuple[Floats, Floats]:
    return np.zeros(d), np.ones(d)


def _apply(vectors: NDArray[Any], mean: Floats, inverse: Floats) -> Floats32:
    return np.ascontiguousarray((vectors - mean) * inverse, dtype=np.float32)


def _jsonable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as JSON gives them back, so that a loaded index equals the built one."""
    try:
        result: dict[str, Any] = json.loads(json.dumps(dict(facts), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(
            wanted="facts that JSON can hold",
            got=str(error),
            fix="Give str, numbers, booleans, lists and mappings only",
        ) from error
    return result


def _misfit(arrays: Mapping[str, NDArray[Any]], head: Mapping[str, Any]) -> str | None:
    """What does not fit together in a folder read back, or None."""
    if set(arrays) != {"vectors", "mean", "inverse"}:
        return f"arrays {sorted(arrays)}"
    vectors, mean, inverse = arrays["vectors"], arrays["mean"], arrays["inverse"]
    if vectors.ndim != 2 or vectors.dtype != np.float32 or 0 in vectors.shape:
        return f"vectors of shape {vectors.shape} and type {vectors.dtype}"
    if not (mean.shape == inverse.shape == vectors.shape[1:]):
        return f"scaling for {mean.shape} dimensions, vectors with {vectors.shape[1]}"
    if not all(np.isfinite(a).all() for a in arrays.values()):
        return "numbers that are not finite"
    ids, facts = head.get("ids"), head.get("facts")
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        return "ids that are not a list of text"
    if len(ids) != len(vectors):
        return f"{len(ids)} ids for {len(vectors)} vectors"
    if head.get("metric") not in METRICS or not isinstance(facts, dict):
        return f"metric {head.get('metric')!r} and facts of type {type(facts).__name__}"
    return None
