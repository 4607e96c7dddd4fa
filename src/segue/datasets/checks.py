"""What every manifest must satisfy, whatever it was read from."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segue.datasets.cells import LINE, is_seconds
from segue.datasets.problems import Problem, fail
from segue.datasets.reading import require_path
from segue.errors import ManifestError


def checked(table: pa.Table, name: str) -> pa.Table:
    """The table, ``id`` filled from ``path`` where that column is absent.

    Raises
    ------
    ManifestError
        No rows, no column ``path``; else every empty path or id, id given twice, and cell of
        ``start`` or ``duration`` that is no number of seconds, in the order of their lines.

    Examples
    --------
    >>> checked(pa.table({"path": ["a.wav"], LINE: [1]}), "rows")["id"].to_pylist()
    ['a.wav']
    """
    columns = [column for column in table.column_names if column != LINE]
    if columns or table.num_rows:
        require_path(columns, name)
    if table.num_rows == 0:
        raise ManifestError(
            wanted="at least one track", got="no rows", fix="Add rows below the header", source=name
        )
    kinds = [_empty(table, "path")]
    if "id" in columns:
        kinds.append(_empty(table, "id"))
    else:
        table = table.append_column("id", table["path"])
    kinds.append(_repeated(table))
    kinds += [_not_seconds(table, one) for one in ("start", "duration") if one in columns]
    problems = merge(*kinds, key=lambda problem: problem.line or 0)
    if first := next(problems, None):
        raise fail(name, chain([first], problems), "Mend these lines")
    return table


def _is_empty(column: Any) -> Any:
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
    return pc.fill_null(blank, True)


def _empty(table: pa.Table, column: str) -> Iterator[Problem]:
    for line in table[LINE].filter(_is_empty(table[column])):
        yield Problem(line.as_py(), f"empty {column}")


def _repeated(table: pa.Table) -> Iterator[Problem]:
    """Ids that an earlier row has; empty ones are another problem's."""
    if pc.count_distinct(table["id"], mode="all").as_py() == table.num_rows:
        return
    filled = table.select(["id", LINE]).filter(pc.invert(_is_empty(table["id"])))
    codes = np.concatenate(
        [
            chunk.indices.to_numpy(zero_copy_only=False)
            for chunk in filled["id"].dictionary_encode().unify_dictionaries().chunks
        ]
        or [np.zeros(0, int)]
    )
    rows = np.arange(len(codes))
    first = np.zeros(len(codes), int)
    first[codes[::-1]] = rows[::-1]  # the last to be written is the first in the table
    lines = filled[LINE].to_numpy()
    for row in np.flatnonzero(first[codes] != rows):
        identity = filled["id"][int(row)].as_py()
        earlier = lines[first[codes[row]]]
        yield Problem(int(lines[row]), f"id {identity!r} again (first on line {earlier})")


def _not_seconds(table: pa.Table, column: str) -> Iterator[Problem]:
    for batch in table.select([column, LINE]).to_batches():
        lines = batch.column(1)
        for row, cell in enumerate(batch.column(0).to_pylist()):
            if not is_seconds(cell, above_zero=column == "duration"):
                yield Problem(lines[row].as_py(), f"{column} {cell!r} is no number of seconds")
