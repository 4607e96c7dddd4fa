"""The same recording twice: exact and near duplicates, and what they are worth across folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.covariance import ledoit_wolf

from segue.evaluation.audit.groups import MATERIAL, on_both_sides
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.spaces import components, normal_scores
from segue.evaluation.audit.verdicts import LeakTest, Verdict
from segue.evaluation.audit.worth import random_folds, worth

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NAME = "duplicates"
QUESTION = (
    "Does the same recording stand in the data twice, in training and in test? A model then need "
    "only remember it."
)

NEAR = 0.5
"""Distance of two clips, over the usual distance of their next neighbours, below which they are
taken for one recording where nothing can be heard of them; less where that comes by chance."""

BY_CHANCE = 0.01
"""Pairs that may come as near by chance, in all."""

ASK = 0.75
"""The same below which the audio is asked, where it is there."""

SAME = 0.35
"""Share of fingerprint bits that differ, at most, in one recording (Haitsma & Kalker 2002)."""

NEIGHBOURS = 11
MOST_ASKED = 100
BLOCK = 512
LISTED = 200

Hear = Callable[[Sequence[tuple[int, int]]], Sequence[float | None]]
"""Share of differing fingerprint bits of each pair of rows; None where nothing can be heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two rows of one recording.

    Attributes
    ----------
    first, second : int
    kind : {"same file", "same features", "near"}
    distance : float
        Over the usual distance of their next neighbours.
    bits : float or None
        Share of fingerprint bits that differ; None where nothing was heard.
    """

    first: int
    second: int
    kind: str
    distance: float
    bits: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the audio itself says so."""
        return self.kind == "same file" or (self.bits is not None and self.bits < SAME)


def find_pairs(data: AuditSet, *, hear: Hear | None = None) -> list[Pair]:
    """Pairs of one content, of the same features, or far nearer to each other than is usual.

    Near pairs are confirmed, or refused, by ``hear`` where it can.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> len(find_pairs(simulate(Recipe(duplicates=0.02), 0)))
    8
    """
    pairs: dict[tuple[int, int], Pair] = {}
    distance, neighbour, near = nearest(data)
    for kind, names in (("same file", data.content), ("same features", _fingers(data.X))):
        for first, second in _repeated(names or ()):
            pairs.setdefault(
                (first, second), Pair(first=first, second=second, kind=kind, distance=0.0)
            )
    close = {
        (min(row, other), max(row, other)): float(distance[row])
        for row, other in enumerate(neighbour.tolist())
        if distance[row] < ASK
    }
    order = sorted((key for key in close if key not in pairs), key=lambda key: close[key])
    asked = order[:MOST_ASKED]
    heard = hear(asked) if hear is not None and asked else [None] * len(asked)
    for key, bits in zip(asked, heard, strict=True):
        taken = close[key] < near if bits is None else bits < SAME
        if taken:
            pairs[key] = Pair(
                first=key[0], second=key[1], kind="near", distance=close[key], bits=bits
            )
    return sorted(pairs.values(), key=lambda pair: (pair.first, pair.second))


def nearest(data: AuditSet) -> tuple[Floats, Integers, float]:
    """The nearest other row of each, how near it is, and how near is too near for chance.

    Nearness is the distance over the median of the next ten, of both rows the smaller, in
    principal components of equal spread. In m dimensions about 6 r^m other rows lie within r of
    that median; m is estimated from the next ten themselves (Levina & Bickel 2005, equation 8).

    References
    ----------
    E. Levina, P. Bickel: Maximum likelihood estimation of intrinsic dimension. NIPS 17, 2005.
    """
    Z = components(normal_scores(data.X))
    spread, axes = np.linalg.eigh(ledoit_wolf(Z)[0])
    W = Z @ (axes / np.sqrt(np.maximum(spread, spread[-1] * 1e-6)))
    n, most = len(W), min(NEIGHBOURS, len(W) - 1)
    squares = (W**2).sum(axis=1)
    gap, at, usual = np.zeros(n), np.zeros(n, dtype=np.int64), np.zeros(n)
    logs = 0.0
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        far = np.maximum(squares[rows, None] + squares - 2 * (W[rows] @ W.T), 0.0)
        far[np.arange(len(rows)), rows] = np.inf
        at[rows] = far.argmin(axis=1)
        gap[rows] = far.min(axis=1)
        next_ten = np.sort(np.partition(far, most - 1, axis=1)[:, :most], axis=1)[:, 1:]
        usual[rows] = np.median(next_ten, axis=1)
        ratios = next_ten[:, -1:] / np.maximum(next_ten[:, :-1], 1e-12)
        logs += float(np.log(np.maximum(ratios, 1.0)).mean(axis=1).sum()) / 2  # of squares
    dimensions = n / max(logs, 1e-9)
    chance = (BY_CHANCE / (most / 2 * n)) ** (1 / dimensions)
    both = np.sqrt(np.minimum(usual, usual[at]))
    return np.sqrt(gap) / np.maximum(both, 1e-12), at, min(NEAR, float(chance))


def duplicate_groups(pairs: Sequence[Pair], n: int) -> list[str]:
    """A name for each row, the same for all copies of a recording; "" for rows without one.

    Examples
    --------
    >>> pair = Pair(first=0, second=2, kind="near", distance=0.1)
    >>> duplicate_groups([pair], 4)
    ['recording 0', '', 'recording 0', '']
    """
    ends = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    codes = connected_components(graph, directed=False)[1]
    sizes = np.bincount(codes)
    return [f"recording {code}" if sizes[code] > 1 else "" for code in codes]


def duplicate_test(data: AuditSet, pairs: Sequence[Pair], *, seed: int = 0) -> LeakTest:
    """What copies on both sides of a split are worth.

    Copies that the audio itself confirms on both sides of a given split are at least suspect,
    whatever they are worth.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> data = simulate(Recipe(duplicates=0.2, split="clips", class_spread=0.2), 0)
    >>> test = duplicate_test(data, find_pairs(data))
    >>> test.limit, test.low > 0
    ('leak', True)
    """
    given = data.split is not None
    parts = data.split if data.split is not None else random_folds(data, seed)
    groups = duplicate_groups(pairs, len(data))
    both = on_both_sides(groups, parts)
    found = worth(data, groups, parts, seed=seed) if both else None
    split = "the given split" if given else "random folds"
    test = LeakTest(
        name=NAME,
        question=QUESTION,
        meaning="score with the copies in training, less without them",
        statistic=0.0,
        low=0.0,
        high=0.0,
        control=0.0,
        p_value=float("nan"),
        words=_counted(pairs, len(both), split),
        rows=_rows(data, pairs, parts),
    )
    if found is None:
        return test
    crossing = [pair for pair in pairs if groups[pair.first] in both and pair.certain]
    limit: Verdict = "leak" if given else "suspect"
    return replace(
        test,
        meaning=f"{found.score} with the copies in training, less without them",
        statistic=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        limit=limit if found.difference >= MATERIAL else "suspect" if crossing else "clear",
        least="suspect" if given and crossing else "clear",
        words=(
            f"{test.words} With the copies in the training part the {found.score} is "
            f"{found.with_groups:.3f}; with as many other clips of the same labels instead, "
            f"{found.without:.3f}: they are worth {found.difference:+.3f}."
        ),
        curves={"scores": [found.with_groups, found.without]},
    )


def _counted(pairs: Sequence[Pair], crossing: int, split: str) -> str:
    if not pairs:
        return "No recording stands in the data twice, as far as content and features tell."
    kinds: dict[str, int] = defaultdict(int)
    for pair in pairs:
        kinds[pair.kind] += 1
    heard = sum(pair.bits is not None for pair in pairs)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    words = f"{len(pairs)} pairs of clips are one recording ({counts}"
    words += f"; {heard} confirmed by listening)" if heard else ")"
    return f"{words}. {crossing} recordings stand on both sides of {split}."


def _rows(data: AuditSet, pairs: Sequence[Pair], parts: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            "first": data.ids[pair.first],
            "second": data.ids[pair.second],
            "kind": pair.kind,
            "distance": pair.distance,
            "bits that differ": pair.bits,
            "labels": f"{shown(data.y[pair.first])} / {shown(data.y[pair.second])}",
            "parts": f"{parts[pair.first]} / {parts[pair.second]}" if data.split else "",
        }
        for pair in pairs[:LISTED]
    ]


def shown(label: object) -> str:
    """A label as text.

    Examples
    --------
    >>> shown(("a", "b")), shown(None), shown(0.25)
    ('a; b', '', '0.25')
    """
    if label is None:
        return ""
    return "; ".join(map(str, label)) if isinstance(label, tuple | list | set) else str(label)


def _fingers(X: Floats) -> list[str]:
    return [row.tobytes().hex() if row.any() else "" for row in X]


def _repeated(names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of rows of one name that follow each other; "" is no name."""
    where: dict[str, int] = {}
    pairs = []
    for row, name in enumerate(names):
        if name and name in where:
            pairs.append((where[name], row))
        if name:
            where[name] = row
    return pairs
