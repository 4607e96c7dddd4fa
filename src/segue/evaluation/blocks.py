"""Feature blocks of the same clips, such as the layers of a network, and sets of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.evaluation.protocols import check_features

LayerSet = tuple[str, ...]
"""Names of blocks in their order: ("1", "3", "5")."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Feature blocks of the same clips, one per layer for instance.

    Attributes
    ----------
    names : tuple of str
        ("1", "2", "3", "4", "5", "mfcc").
    arrays : tuple of (n, d_k) arrays
        Brought to one floating-point type, so that a set's numbers never depend on what else there
        is.

    Raises
    ------
    UsageError
        No block, names repeated or not one per array, another number of rows, NaN or infinity.

    Examples
    --------
    >>> blocks = Blocks(("1", "2"), (np.ones((3, 2)), np.zeros((3, 1))))
    >>> blocks.matrix(("2", "1"))[0], blocks.width(("1", "2"))
    (array([0., 1., 1.]), 3)
    """

    names: tuple[str, ...]
    arrays: tuple[NDArray[Any], ...]

    def __post_init__(self) -> None:
        names = tuple(self.names)
        if not names or len(set(names)) < len(names) or len(names) != len(self.arrays):
            raise UsageError(
                wanted="one or more blocks, each with a name of its own",
                got=f"names {list(names)} for {len(self.arrays)} blocks",
                fix="Give every block one name",
                source="feature blocks",
            )
        tables = [
            check_features(array, f"block {name!r}")
            for name, array in zip(names, self.arrays, strict=True)
        ]
        for name, table in zip(names, tables, strict=True):
            if len(table) != len(tables[0]):
                raise UsageError(
                    wanted=f"as many rows in every block: {len(tables[0])}, as in {names[0]!r}",
                    got=f"{len(table)} in {name!r}",
                    fix="Align the blocks clip by clip",
                    source="feature blocks",
                )
        kind = np.result_type(*tables)
        object.__setattr__(self, "names", names)
        object.__setattr__(
            self, "arrays", tuple(np.ascontiguousarray(table, dtype=kind) for table in tables)
        )

    @classmethod
    def of_columns(cls, X: NDArray[Any], widths: Sequence[tuple[str, int]]) -> Blocks:
        """Blocks that stand side by side in one matrix.

        Parameters
        ----------
        X : (n, d) array
        widths : sequence of (name, columns)

        Examples
        --------
        >>> Blocks.of_columns(np.eye(3), [("a", 1), ("b", 2)]).arrays[1].shape
        (3, 2)
        """
        edges = np.cumsum([0, *(width for _, width in widths)])
        if X.ndim != 2 or edges[-1] != X.shape[1] or min(np.diff(edges), default=0) < 1:
            raise UsageError(
                wanted="blocks that make up all columns of X",
                got=f"{dict(widths)} for a matrix of shape {X.shape}",
                fix="Give the width of every block",
                source="feature blocks",
            )
        arrays = tuple(X[:, a:b] for a, b in pairwise(edges))
        return cls(tuple(name for name, _ in widths), arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    @property
    def total_width(self) -> int:
        """Features of all blocks."""
        return sum(array.shape[1] for array in self.arrays)

    def positions(self, chosen: Sequence[str]) -> list[int]:
        """Which arrays a set consists of.

        Raises
        ------
        UsageError
            An empty set, a name twice or a name that no block has.
        """
        unknown = [name for name in chosen if name not in self.names]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            raise UsageError(
                wanted=f"a set of the blocks {', '.join(self.names)}, each at most once",
                got=f"{list(chosen)}",
                fix="Name blocks that are there",
                source="layer sets",
            )
        return [self.names.index(name) for name in chosen]

    def matrix(self, chosen: Sequence[str]) -> NDArray[Any]:
        """The blocks of a set side by side, in the order given: (n, d)."""
        return np.hstack([self.arrays[position] for position in self.positions(chosen)])

    def width(self, chosen: Sequence[str]) -> int:
        """Features of a set."""
        return sum(self.arrays[position].shape[1] for position in self.positions(chosen))


def all_layer_sets(names: Sequence[str]) -> list[LayerSet]:
    """Every set that is not empty, small ones first: 31 of five names.

    Examples
    --------
    >>> all_layer_sets("123")
    [('1',), ('2',), ('3',), ('1', '2'), ('1', '3'), ('2', '3'), ('1', '2', '3')]
    """
    sizes = range(1, len(names) + 1)
    return list(chain.from_iterable(combinations(tuple(names), size) for size in sizes))


def set_label(chosen: Sequence[str]) -> str:
    """A set in the paper's notation.

    Examples
    --------
    >>> set_label(("1", "3", "5")), set_label(("mfcc", "1", "2")), set_label(("9", "10"))
    ('135', 'mfcc+12', '9+10')
    """
    if all(len(name) == 1 or not name.isdigit() for name in chosen):
        words = [name for name in chosen if len(name) > 1]
        return "+".join([*words, *filter(None, ["".join(n for n in chosen if len(n) == 1)])])
    return "+".join(chosen)
