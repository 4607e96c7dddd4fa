"""Which tracks a network learns from, which stop it in time, which judge it once at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest
from segue.errors import ManifestError, UsageError
from segue.seeds import derive, generator

PARTS: Final = ("train", "valid", "test")
SHARES: Final = (0.7, 0.15, 0.15)

Rows = NDArray[np.int64]
Split = dict[str, Rows]
"""Rows of each part, in ascending order; a row in no part takes no part."""


def track_groups(manifest: Manifest, rows: Rows, column: str | None) -> list[str]:
    """Group of each of these rows, the stretches of one file always in one.

    Without a column each file is a group, named by the first of its ids, so that parts do not
    depend on where the files lie. Files whose cell is empty are groups of their own, too.

    Raises
    ------
    ManifestError
        No such column, or one that puts a file in two groups.

    Examples
    --------
    >>> rows = [{"id": i, "path": p} for i, p in [("1", "a"), ("2", "b"), ("3", "a")]]
    >>> track_groups(Manifest.from_rows(rows), np.arange(3), None)
    ['1', '2', '1']
    """
    tracks = list(manifest.tracks())
    paths = [str(tracks[row].path.absolute()) for row in rows]
    if column is None:
        first: dict[str, str] = {}
        for row, path in zip(rows, paths, strict=True):
            first[path] = min(first.get(path, tracks[row].id), tracks[row].id)
        return [first[path] for path in paths]
    cells, named = manifest.column(column), manifest.groups(column)
    of_file: dict[str, int] = {}
    for row, path in zip(rows.tolist(), paths, strict=True):
        begun = of_file.setdefault(path, row)
        if cells[begun] != cells[row]:
            raise ManifestError(
                wanted=f"each file in one group of column {column!r}",
                got=f"{path} in {cells[begun]!r} (line {tracks[begun].line}) and "
                f"{cells[row]!r} (line {tracks[row].line})",
                fix="Mend one of the lines",
            )
    return [named[of_file[path]] for path in paths]


def drawn_split(groups: Sequence[str], *, shares: Sequence[float] = SHARES, seed: int = 0) -> Split:
    """Random parts of about these shares of the tracks, none of which splits a group.

    Largest group first, equal ones in random order, each into the part that is furthest below its
    share. The parts depend on the names of the groups, not on the order of the rows.

    Parameters
    ----------
    groups : (n,) sequence of str
    shares : three numbers
        Of train, valid and test; they add up to 1.
    seed : int

    Raises
    ------
    UsageError
        Fewer groups than parts.

    Examples
    --------
    >>> parts = drawn_split([f"artist {n // 2}" for n in range(20)])
    >>> [len(parts[part]) for part in PARTS]
    [12, 4, 4]
    """
    names, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < len(PARTS):
        raise UsageError(
            wanted=f"a group for each of {', '.join(PARTS)}",
            got=f"{len(names)} groups",
            fix="Use more tracks, or a finer --group column",
            source="split",
        )
    order = generator(seed, "split").permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    aims, filled = np.asarray(shares) * len(groups), np.zeros(len(PARTS))
    part_of = np.empty(len(names), np.int64)
    for group in order.tolist():
        part_of[group] = np.argmax((aims - filled) / aims)
        filled[part_of[group]] += sizes[group]
    return {part: np.flatnonzero(part_of[codes] == code) for code, part in enumerate(PARTS)}


def held_out(groups: Sequence[str], share: float, *, seed: int = 0) -> NDArray[np.bool_]:
    """Which tracks (n,) to hold out: whole groups, until they are about this share of all.

    Groups are taken in an order that their names and the seed decide, so that the same tracks are
    held out from two data sets that share them.

    Parameters
    ----------
    groups : (n,) sequence of str
    share : float
        Above 0, below 1.
    seed : int

    Raises
    ------
    UsageError
        No such share, or a single group.

    Examples
    --------
    >>> int(held_out([f"artist {n // 2}" for n in range(20)], 0.1).sum())
    2
    """
    if not 0.0 < share < 1.0:
        raise UsageError(
            wanted="a share of the tracks above 0 and below 1", got=str(share), fix="Try 0.1"
        )
    names, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise UsageError(
            wanted="two groups at least, one of them for validation",
            got=f"{len(names)}",
            fix="Use more tracks, or a finer group column",
            source="validation",
        )
    order = np.argsort([derive(seed, "held out", name) for name in names.tolist()], kind="stable")
    before = np.cumsum(sizes[order]) - sizes[order]
    taken = order[:-1][before[:-1] < share * len(groups)]
    return np.isin(codes, taken)


def given_split(cells: Sequence[str], groups: Sequence[str], *, name: str) -> Split:
    """The parts that a manifest column names, obeyed as they are.

    Parameters
    ----------
    cells : (n,) sequence of str
        ``train``, ``valid``, ``test``, or empty for a track that takes no part.
    groups : (n,) sequence of str
    name : str
        The column, for messages.

    Raises
    ------
    ManifestError
        Other values, or a group in two parts.

    Examples
    --------
    >>> given_split(["train", "test", "valid", ""], ["a", "b", "c", "a"], name="split")["test"]
    array([1])
    """
    unknown = sorted(set(cells) - {*PARTS, ""})
    if unknown:
        raise ManifestError(
            wanted=f"{', '.join(PARTS)} or empty cells in column {name!r}",
            got=", ".join(map(repr, unknown[:5])),
            fix="Mend these cells, or leave --split out and let segue draw the parts",
        )
    sides: dict[str, set[str]] = {}
    for cell, group in zip(cells, groups, strict=True):
        if cell:
            sides.setdefault(group, set()).add(cell)
    torn = sorted(group for group, parts in sides.items() if len(parts) > 1)
    if torn:
        raise ManifestError(
            wanted=f"every group within one part of column {name!r}",
            got=f"{len(torn)} groups in several ({', '.join(torn[:3])}{', ...' * (len(torn) > 3)})",
            fix="Move these tracks, or leave --split out and let segue draw the parts",
        )
    table = np.asarray(cells)
    return {part: np.flatnonzero(table == part) for part in PARTS}


def check_filled(split: Split) -> None:
    """Refuse a split with a part that nothing is left of.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_filled({part: np.array([0]) for part in PARTS})
    """
    empty = [part for part in PARTS if not len(split[part])]
    if empty:
        raise UsageError(
            wanted=f"usable, labelled tracks in each of {', '.join(PARTS)}",
            got=f"none in {', '.join(empty)}",
            fix="Give more tracks, or check why those were left out",
            source="split",
        )
