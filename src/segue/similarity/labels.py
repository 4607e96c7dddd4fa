"""How near the labels of all data sets lie to one another in a learned space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.similarity.distance import Floats, Metric
from segue.similarity.index import ExactIndex

MOST_ON_A_MAP = 2000
"""A map compares all pairs, many times."""


@dataclass(frozen=True, slots=True)
class NearLabel:
    """A label near another one; labels of equal name in two sets are two labels."""

    name: str
    set: str
    distance: float


@dataclass(frozen=True, slots=True)
class LabelNeighbours:
    """A label and those nearest to it, nearest first."""

    name: str
    set: str
    nearest: tuple[NearLabel, ...]


class LabelMap(NamedTuple):
    """Labels in the plane.

    ``positions`` (n, 2) has its widest direction first; ``stress`` is Kruskal's stress-1, the
    share by which distances in the plane miss the true ones: 0 is a faithful map, above about 0.2
    single distances should not be read off it.
    """

    positions: Floats
    stress: float


def nearest_labels(
    vectors: ArrayLike,
    names: Sequence[str],
    sets: Sequence[str],
    *,
    k: int = 5,
    others_only: bool = False,
    metric: Metric = "l1",
    threads: int = 1,
) -> list[LabelNeighbours]:
    """The k labels nearest to each label, itself excluded (Hamel et al. 2013, Table 3).

    Parameters
    ----------
    vectors : (n, d) array
        One per label of every data set.
    names, sets : sequence of n str
        What a label is called and which data set it belongs to.
    k : int
        Fewer are given where there are fewer.
    others_only : bool
        Leave out the labels of the label's own data set.
    metric : {"l1", "l2", "cosine"}
        The paper's is L1. Vectors are compared as they are, not standardised.

    Raises
    ------
    UsageError
        Lengths that do not agree, a label twice in one set, vectors that are not finite, k < 1.

    Examples
    --------
    >>> rows = nearest_labels([[0.0], [5.0], [0.2]], ["jazz", "rock", "Jazz"], ["a", "a", "b"], k=1)
    >>> [(row.name, row.nearest[0].name) for row in rows]
    [('jazz', 'Jazz'), ('rock', 'Jazz'), ('Jazz', 'jazz')]
    """
    n = _check_labels(vectors, names, sets)
    index = ExactIndex.build(vectors, [str(i) for i in range(n)], metric=metric, scale=False)
    numbers = {one: i for i, one in enumerate(dict.fromkeys(sets))}
    codes = np.array([numbers[one] for one in sets]) if others_only else np.arange(n)
    found, distances = index.nearest(index.vectors, k, threads=threads, skip=(codes, codes))
    return [
        LabelNeighbours(
            names[i],
            sets[i],
            tuple(
                NearLabel(names[j], sets[j], float(distance))
                for j, distance in zip(found[i], distances[i], strict=True)
                if j >= 0
            ),
        )
        for i in range(n)
    ]


def label_distances(vectors: ArrayLike, *, metric: Metric = "l1") -> Floats:
    """Distances (n, n) of all pairs in float64; zero on the diagonal.

    Raises
    ------
    UsageError
        Vectors that are no finite matrix, or more than `MOST_ON_A_MAP` of them.

    Examples
    --------
    >>> label_distances([[0, 0], [1, 2]]).tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    n = np.shape(np.asarray(vectors))[0] if np.ndim(vectors) == 2 else 0
    if n > MOST_ON_A_MAP:
        raise UsageError(
            wanted=f"at most {MOST_ON_A_MAP} labels to compare all pairs of",
            got=f"{n} labels",
            fix="Choose some of them; nearest_labels takes any number",
        )
    index = ExactIndex.build(vectors, [str(i) for i in range(n)], metric=metric, scale=False)
    found, distances = index.nearest(index.vectors, n)
    result = np.empty((n, n))
    np.put_along_axis(result, found, distances, axis=1)
    np.fill_diagonal(result, 0.0)  # two vectors of zeros are at cosine distance 1, one is not
    return result


def label_map(vectors: ArrayLike, *, metric: Metric = "l1") -> LabelMap:
    """Positions whose Euclidean distances come as close as they can to those of the vectors.

    Metric multidimensional scaling by stress majorisation (SMACOF, de Leeuw 1977) from the
    classical solution, so that nothing is drawn at random: the same vectors give the same map.

    Raises
    ------
    UsageError
        As `label_distances`.

    Examples
    --------
    >>> places = label_map([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], metric="l2")
    >>> round(places.stress, 6)
    0.0
    """
    from sklearn.manifold import smacof

    distances = label_distances(vectors, metric=metric)
    if len(distances) < 3 or not distances.any():
        return LabelMap(_classical(distances), 0.0)
    positions, _ = smacof(
        distances,
        init=_classical(distances),
        n_init=1,
        n_components=2,
        max_iter=2000,
        eps=1e-9,
        normalized_stress=False,
    )
    positions = _upright(positions)
    return LabelMap(positions, _stress(distances, positions))


def label_order(distances: ArrayLike) -> list[int]:
    """Rows in an order that puts near labels side by side, for a heat map.

    The leaves of average-linkage clustering, turned so that neighbouring leaves are nearest.

    Examples
    --------
    >>> label_order([[0, 9, 1], [9, 0, 8], [1, 8, 0]])
    [1, 2, 0]
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    square = np.asarray(distances, dtype=np.float64)
    if len(square) < 3:
        return list(range(len(square)))
    pairs = squareform(square, checks=False)
    tree = optimal_leaf_ordering(linkage(pairs, method="average"), pairs)
    return [int(leaf) for leaf in leaves_list(tree)]


def _check_labels(vectors: ArrayLike, names: Sequence[str], sets: Sequence[str]) -> int:
    n = len(np.asarray(vectors))
    if len(names) != n or len(sets) != n:
        raise UsageError(
            wanted=f"a name and a set for each of {n} label vectors",
            got=f"{len(names)} names, {len(sets)} sets",
            fix="Give one of each per vector",
        )
    seen: set[tuple[str, str]] = set()
    for pair in zip(names, sets, strict=True):
        if pair in seen:
            raise UsageError(
                wanted="every label once in its data set",
                got=f"{pair[0]!r} more than once in {pair[1]!r}",
                fix="Name the labels apart",
            )
        seen.add(pair)
    return n


def _classical(distances: Floats) -> Floats:
    """Classical scaling (Torgerson 1952): the two largest components of the centred squares."""
    n = len(distances)
    squares = np.square(distances)
    means = squares.mean(axis=0)
    gram = -(squares - means - means[:, None] + squares.mean()) / 2
    values, vectors = np.linalg.eigh(gram)
    result = np.zeros((n, 2))
    for column, which in enumerate(range(n - 1, max(n - 3, -1), -1)):
        result[:, column] = vectors[:, which] * np.sqrt(max(values[which], 0.0))
    return _upright(result)


def _upright(positions: NDArray[np.float64]) -> Floats:
    """Centred, widest direction first, the farthest label of each direction on its positive side.

    Stress says nothing about rotation and reflection; this fixes them.
    """
    centred = positions - positions.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    turned = centred @ axes[:, ::-1]
    farthest = turned[np.abs(turned).argmax(axis=0), [0, 1]]
    return np.asarray(turned * np.where(farthest < 0, -1.0, 1.0))


def _stress(distances: Floats, positions: Floats) -> float:
    apart = positions[:, None] - positions[None]
    drawn = np.sqrt(np.square(apart).sum(axis=2))
    total = float(np.square(drawn).sum())
    return float(np.sqrt(np.square(drawn - distances).sum() / total)) if total else 0.0
