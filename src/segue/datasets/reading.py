"""Manifest files to tables of text: CSV, Parquet, and bare lists of paths."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segue.datasets.cells import BATCH_ROWS, LINE, RESERVED, table_of, text
from segue.datasets.problems import Problem, fail
from segue.errors import ManifestError

FILE_COLUMNS = (
    *("path", "paths", "file", "files", "filename", "filenames", "filepath", "filepaths"),
    *("audio", "audiofile", "audiopath"),
)
DELIMITERS = ";\t|"

Records = Iterable[tuple[int, list[str]]]


def read_table(path: Path) -> pa.Table:
    """A ``.csv``, ``.parquet`` or ``.txt`` file as text columns and the line of each row.

    Raises
    ------
    ManifestError
        When the file cannot be read, is of another kind, or is not formed as its kind wants it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "m.csv"
    >>> _ = path.write_text("path,title\\na.wav,'two\\n")
    >>> read_table(path).to_pylist()
    [{'path': 'a.wav', 'title': "'two", '__line__': 2}]
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".txt": _read_list}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ManifestError(
            wanted=f"a manifest ending in {', '.join(readers)}",
            got=path.suffix or "no suffix",
            fix="Save the table as CSV or Parquet",
            source=path,
        )
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise ManifestError(
            wanted="UTF-8 text", got=_bad_byte(path), fix="Save the table as UTF-8", source=path
        ) from error
    except OSError as error:
        raise ManifestError(
            wanted="a manifest that can be read",
            got=error.strerror or str(error),
            fix="Check the file and its permissions",
            source=path,
        ) from error


def require_path(names: list[str], source: str | Path) -> None:
    """Check that there is a column ``path``, and each name once.

    Raises
    ------
    ManifestError
        With what the table seems to need: commas between cells, or another name of a column.

    Examples
    --------
    >>> require_path(["File name", "genre"], "m.csv")
    Traceback (most recent call last):
    segue.errors.ManifestError: ... Rename the column 'File name' to 'path'.
    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled or LINE in names:
        twice = Problem(1, f"column {doubled or [LINE]} twice")
        raise fail(str(source), [twice], "Rename one of them")
    if "path" in names:
        return
    got, fix = f"the columns {', '.join(names)}", "Rename the column that holds the file names"
    if len(names) < 2:
        got = f"one column {names[0]!r}" if names else "no column that has a name"
    likely = [name for name in names if _plain(name) in FILE_COLUMNS]
    if any(delimiter in name for name in names for delimiter in DELIMITERS):
        fix = "Save it with commas between cells"
    elif likely:
        best = min(likely, key=lambda name: FILE_COLUMNS.index(_plain(name)))
        fix = f"Rename the column {best!r} to 'path'"
    raise ManifestError(wanted="a column 'path'", got=got, fix=fix, source=source)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _bad_byte(path: Path) -> str:
    """The first byte that is no UTF-8, with its line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"byte 0x{line[error.start]:02x} on line {number}"
    return "other bytes"


def _read_csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = _records(file, path)
        _, header = next(records, (1, []))
        if not header:
            raise ManifestError(
                wanted="a header line with a column 'path'",
                got="an empty file",
                fix="Write a header such as path,id,genre",
                source=path,
            )
        if header[0].lower().startswith("sep="):
            raise ManifestError(
                wanted="a header line with a column 'path'",
                got=f"the line {','.join(header)!r}",
                fix="Remove this line, and save the table with commas between cells",
                source=path,
            )
        width, names = len(header), [cell.strip() for cell in header]
        while names and not names[-1]:
            names.pop()  # spreadsheets leave empty columns at the right
        require_path(names, path)
        return table_of(names, _fitting(records, names, width, path))


def _records(file: io.TextIOBase, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with its first line."""
    reader = csv.reader(file, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _broken(path, line, str(error)) from error
        if row is None:
            return
        if row:
            yield line, row


def _broken(path: Path, line: int, reason: str) -> ManifestError:
    fix = "Check the quotes there: one may be left open"
    if "field limit" in reason:
        reason = f"a cell of more than {csv.field_size_limit()} characters"
    elif "unexpected end" in reason:
        reason = "a quote that is never closed"
    return ManifestError(wanted="a CSV table", got=f"line {line}: {reason}", fix=fix, source=path)


def _fitting(records: Records, names: list[str], width: int, path: Path) -> Records:
    """Rows cut to the named columns; the first that does not fit ends it with all that do not."""
    trimmed = [names.index(name) for name in ("path", "id") if name in names]
    named, records = len(names), iter(records)
    for line, row in records:
        if len(row) != width or (width > named and _stray(row, named)):
            misfits = _misfits(chain([(line, row)], records), named, width)
            raise fail(str(path), misfits, "Quote cells that contain commas")
        for where in trimmed:
            row[where] = row[where].strip()
        yield line, row[:named]


def _stray(row: list[str], named: int) -> str:
    """What stands below no column name."""
    return next((cell for cell in row[named:] if cell.strip()), "")


def _misfits(records: Records, named: int, width: int) -> Iterator[Problem]:
    for line, row in records:
        if len(row) != width:
            yield Problem(line, f"{len(row)} cells where the header has {width}")
        elif stray := _stray(row, named):
            yield Problem(line, f"{stray!r} stands below no column name")


def _read_list(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig") as file:
        stripped = ((number, [line.strip()]) for number, line in enumerate(file, 1))
        return table_of(["path"], (record for record in stripped if record[1][0]))


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            require_path(schema.names, path)
            for field in schema:
                _require_text(field, path)
            batches = list(_text_batches(file.iter_batches(batch_size=BATCH_ROWS), path))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the system's refusal, not the format's
        raise ManifestError(
            wanted="a Parquet table",
            got=str(error).partition("\n")[0],
            fix="Write it again",
            source=path,
        ) from error
    names = [*((name, pa.string()) for name in schema.names), (LINE, pa.int64())]
    return pa.Table.from_batches(batches, pa.schema(names))


def _require_text(field: Any, path: Path) -> None:
    """Refuse a column whose type cannot be cells of text."""
    kind = field.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if field.name not in RESERVED and _is_list(kind):
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    allowed = _is_string(kind) or pa.types.is_null(kind)
    if field.name != "path":
        allowed |= pa.types.is_primitive(kind) or pa.types.is_decimal(kind)
    if not allowed:
        raise ManifestError(
            wanted=f"text in column {field.name!r}",
            got=str(field.type),
            fix="Write the column as text, or leave it out",
            source=path,
        )


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _is_string(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _text_batches(batches: Iterable[Any], path: Path) -> Iterator[Any]:
    first = 1
    for batch in batches:
        lines = np.arange(first, first + batch.num_rows)
        columns = [
            _as_text(column, name, first, path)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.record_batch([*columns, pa.array(lines)], names=[*batch.schema.names, LINE])
        first += batch.num_rows


def _as_text(column: Any, name: str, first: int, path: Path) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
        return column.cast(pa.string())
    try:
        cells = [
            text(cell, name, line, path) for line, cell in enumerate(column.to_pylist(), first)
        ]
    except (ValueError, OverflowError) as error:  # a date or time that Python cannot hold
        raise ManifestError(
            wanted=f"text in column {name!r}",
            got=f"{kind}: {error}",
            fix="Write the column as text",
            source=path,
        ) from error
    return pa.array(cells, pa.string())
