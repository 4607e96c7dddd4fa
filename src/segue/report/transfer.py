"""Sections about what data sets share: the classes nearest to each class (Hamel 2013, Table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from segue.report.content import Block, Cell, Figure, Folded, Section, Table
from segue.similarity.labels import LabelNeighbours

_OPEN = 30  # a longer table is folded


def nearest_section(
    rows: Sequence[LabelNeighbours],
    figures: Sequence[Figure] = (),
    *,
    distance: str = "L1",
    title: str = "Nearest classes",
) -> Section:
    """The nearest labels of every label as words, pictures and a table.

    Parameters
    ----------
    rows : sequence of LabelNeighbours
        From `segue.similarity.nearest_labels`.
    figures : sequence of Figure
        The map and the heat map, between the words and the table.
    distance : str
        What "nearest" was measured by.

    Examples
    --------
    >>> from segue.similarity import nearest_labels
    >>> rows = nearest_labels([[0.0], [0.1], [5.0]], ["jazz", "Jazz", "rock"], ["a", "b", "a"])
    >>> nearest_section(rows).blocks[0].split(". ")[1]
    'Of 2 labels whose name another data set has, too, 2 have such a label nearest'
    """
    table = nearest_table(rows)
    block: Block = table if len(rows) <= _OPEN else Folded(f"All {len(rows)} labels", [table])
    return Section(title, [_words(rows, distance), *figures, block])


def nearest_table(rows: Sequence[LabelNeighbours]) -> Table:
    """One line per label: its nearest labels in order, their data sets and distances below.

    A bold label has the same name, upper and lower case aside.
    """
    most = max((len(row.nearest) for row in rows), default=0)
    header = ["label", *(str(rank) for rank in range(1, most + 1))]
    lines = []
    for row in rows:
        cells = [
            Cell(
                near.name,
                detail=f"{near.set}, {near.distance:.3g}",
                strong=_same(row.name, near.name),
            )
            for near in row.nearest
        ]
        lines.append(
            [Cell(row.name, detail=row.set), *cells, *[Cell("")] * (most - len(cells))],
        )
    return Table(header, lines, "Nearest first, with data set and distance; bold: the same name.")


def _words(rows: Sequence[LabelNeighbours], distance: str) -> str:
    """What the table says of labels whose names are equal across data sets."""
    sets = {row.set for row in rows}
    folded = {(row.set, row.name.casefold()) for row in rows}
    twins = [
        row for row in rows if any((one, row.name.casefold()) in folded for one in sets - {row.set})
    ]
    start = (
        f"{len(rows)} labels of {len(sets)} data set{'s' * (len(sets) != 1)}, compared by the "
        f"{distance} distance of their learned vectors. "
    )
    if not twins:
        return start + "No name occurs in two data sets."
    ranks = [_rank(row) for row in twins]
    found = sorted(rank for rank in ranks if rank is not None)
    first = sum(rank == 1 for rank in found)
    shown = max(len(row.nearest) for row in rows)
    return (
        f"{start}Of {len(twins)} labels whose name another data set has, too, {first} have such a "
        f"label nearest. {len(found)} have one among the {shown} nearest"
        + (f" (median rank {median(found):g})." if found else ".")
        + " Nothing told the network that equal names mean the same."
    )


def _rank(row: LabelNeighbours) -> int | None:
    """Place of the first label of another data set with the same name, from 1."""
    places = (
        rank
        for rank, near in enumerate(row.nearest, start=1)
        if near.set != row.set and _same(row.name, near.name)
    )
    return next(places, None)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
