"""Cells as text: whatever a table holds becomes text or nothing, in batches of Arrow columns."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segue.errors import ManifestError

LINE = "__line__"
RESERVED = ("path", "id", "start", "duration")
SEPARATOR = ";"
BATCH_ROWS = 65536  # rows held at once as Python objects, so that 10^7 rows never are
CHUNK_ROWS = 512  # rows turned into columns at once; with more, the garbage collector wakes


def text(value: Any, column: str, line: int, source: str | Path) -> str | None:
    """A value as the text of a cell; None, NaN and an empty list are an empty cell.

    A list is the several labels of a cell: joined with ``;``. Column, line and source are for
    messages.

    Raises
    ------
    ManifestError
        For a mapping or bytes, a list where one value belongs or in a list, and a label in a list
        that itself contains ``;``.

    Examples
    --------
    >>> [text(value, "tags", 2, "m") for value in (["rock", "live"], 3, 3.0, float("nan"))]
    ['rock;live', '3', '3.0', None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        if column in RESERVED:
            raise _unusable("a list", column, line, source)
        labels = (_label(item, column, line, source) for item in value)
        return SEPARATOR.join(label for label in labels if label) or None
    if isinstance(value, dict | bytes | bytearray | memoryview):
        raise _unusable(type(value).__name__, column, line, source)
    return None if _is_nothing(value) else str(value)


def _label(item: Any, column: str, line: int, source: str | Path) -> str:
    if isinstance(item, list | tuple | set | frozenset | np.ndarray):
        raise _unusable("a list in a list", column, line, source)
    label = (text(item, column, line, source) or "").strip()
    if SEPARATOR in label:
        raise ManifestError(
            wanted=f"labels without {SEPARATOR!r} in the lists of column {column!r}",
            got=f"line {line}: {label!r}",
            fix=f"Write it another way: {SEPARATOR!r} separates labels",
            source=source,
        )
    return label


def _unusable(got: str, column: str, line: int, source: str | Path) -> ManifestError:
    return ManifestError(
        wanted=f"text in column {column!r}",
        got=f"line {line}: {got}",
        fix="Write one text or number in each cell, or leave the column out",
        source=source,
    )


def _is_nothing(value: Any) -> bool:
    """NaN of any float type, NaT, and pandas' NA, which will not even say what it equals."""
    if isinstance(value, numbers.Integral):
        return False
    try:
        return bool(value != value)
    except TypeError:
        return True


def seconds(cell: str | None) -> float | None:
    """The number in a cell of ``start`` or ``duration``; an empty cell is None.

    Examples
    --------
    >>> seconds("2.5"), seconds(" ")
    (2.5, None)
    """
    return None if cell is None or not cell.strip() else float(cell)


def is_seconds(cell: str | None, *, above_zero: bool) -> bool:
    """Whether a cell is empty or a usable number of seconds.

    Examples
    --------
    >>> is_seconds("0", above_zero=False), is_seconds("0", above_zero=True)
    (True, False)
    """
    try:
        value = seconds(cell)
    except ValueError:
        return False
    if value is None:
        return True
    return math.isfinite(value) and value >= 0 and not (above_zero and value == 0)


def table_of(names: Sequence[str], records: Iterable[tuple[int, Sequence[str | None]]]) -> pa.Table:
    """Table of text columns from (line, cells) records, taken up in batches.

    Examples
    --------
    >>> table_of(["path"], [(2, ["a.wav"]), (4, ["b.wav"])]).column_names
    ['path', '__line__']
    """
    schema = pa.schema([*((name, pa.string()) for name in names), (LINE, pa.int64())])
    batches = []
    columns: list[list[Any]] = [[] for _ in schema]
    rest = iter(records)
    while chunk := list(islice(rest, CHUNK_ROWS)):
        lines, rows = zip(*chunk, strict=True)
        for column, cells in zip(columns, [*zip(*rows, strict=True), lines], strict=True):
            column.extend(cells)
        if len(columns[-1]) >= BATCH_ROWS:
            batches.append(pa.record_batch(columns, schema=schema))
            columns = [[] for _ in schema]
    batches.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(batches, schema)
