"""Manifests: which tracks there are, where they lie, and what is known of each.

A manifest is a CSV or Parquet table with a column ``path`` (relative to the table's own folder)
and, optionally, ``id``, ``start`` and ``duration`` (seconds); every other column is a label, a
group or a remark. ``;`` separates several labels in one cell. A folder or a list of paths serves
too.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from segue.errors import ManifestError

LINE = "__line__"
RESERVED = ("path", "id", "start", "duration")
BATCH_ROWS = 65536  # rows parsed at once into Arrow, so that 10^7 rows never lie about as objects
SHOWN = 20


class Track(NamedTuple):
    """One row: what to read, and where the manifest says so."""

    id: str
    path: Path
    start: float
    duration: float | None
    line: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a manifest, with its line (None: the table as a whole)."""

    line: int | None
    message: str

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A validated table of tracks.

    Attributes
    ----------
    table : pyarrow.Table
        All columns as given, ``id`` filled from ``path`` where absent, plus the line numbers.
    root : Path
        Folder that relative paths start from.
    name : str
        File or folder name, for messages.
    ignored : mapping
        Files left out of a folder walk, by reason ("suffix .jpg": 3); nothing is lost uncounted.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "m.csv").write_text("path,genre\\na.wav,jazz\\nb.wav,rock\\n")
    >>> manifest = Manifest.read(folder / "m.csv")
    >>> len(manifest), manifest.column("genre")
    (2, ['jazz', 'rock'])
    """

    table: pa.Table
    root: Path
    name: str
    ignored: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def columns(self) -> list[str]:
        """Names of the user's columns."""
        return [name for name in self.table.column_names if name != LINE]

    @property
    def ids(self) -> list[str]:
        """Track ids in manifest order."""
        ids: list[str] = self.table["id"].to_pylist()
        return ids

    @property
    def lines(self) -> list[int]:
        """Line of each track in the file (rows count from 2 in a CSV, from 1 elsewhere)."""
        lines: list[int] = self.table[LINE].to_pylist()
        return lines

    def column(self, name: str) -> list[str]:
        """Cells of a column as text, stripped; empty cells and nulls are ``""``.

        Raises
        ------
        ManifestError
            When there is no such column; the message names those there are.
        """
        if name not in self.columns:
            raise ManifestError(
                wanted=f"a column among {', '.join(self.columns)}",
                got=repr(name),
                fix="Check the spelling of the column",
                source=self.name,
            )
        return ["" if cell is None else str(cell).strip() for cell in self.table[name].to_pylist()]

    def tracks(self) -> Iterator[Track]:
        """Tracks in manifest order, paths made absolute."""
        wanted = [name for name in (*RESERVED, LINE) if name in self.table.column_names]
        for batch in self.table.select(wanted).to_batches(max_chunksize=BATCH_ROWS):
            for row in batch.to_pylist():
                yield Track(
                    id=row["id"],
                    path=self.root / row["path"],
                    start=_seconds(row.get("start")) or 0.0,
                    duration=_seconds(row.get("duration")),
                    line=row[LINE],
                )

    def groups(self, column: str) -> list[str]:
        """Group of each track; a track whose cell is empty is a group of its own.

        Treating all unknown artists as one artist would tie unrelated tracks together; treating
        each alone is the assumption that costs nothing but a possible unseen tie.
        """
        return [
            cell or f"(no {column}, line {line})"
            for cell, line in zip(self.column(column), self.lines, strict=True)
        ]

    def missing_files(self) -> list[Problem]:
        """Tracks whose file is not there, with their lines."""
        return [
            Problem(track.line, f"no file {track.path}")
            for track in self.tracks()
            if not track.path.is_file()
        ]

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a ``.csv``, ``.parquet`` or ``.txt`` (one path a line) manifest and check its form.

        Raises
        ------
        ManifestError
            With every problem and its line: no ``path`` column, empty or duplicate ids, ragged
            rows, seconds that are no numbers. Whether the files exist is asked by
            :meth:`missing_files` and answered per track when embedding.
        """
        path = Path(path)
        if not path.is_file():
            raise ManifestError(
                wanted="a manifest file", got="no such file", fix="Check the path", source=path
            )
        readers = {".csv": _read_csv, ".parquet": _read_parquet, ".txt": _read_list}
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise ManifestError(
                wanted=f"a manifest ending in {', '.join(readers)}",
                got=path.suffix or "no suffix",
                fix="Save the table as CSV or Parquet",
                source=path,
            )
        return _checked(reader(path), path.parent, str(path))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], *, root: str | Path = ".") -> Manifest:
        """Manifest of mappings that have at least ``path``.

        Examples
        --------
        >>> Manifest.from_rows([{"path": "a.wav", "genre": "jazz"}]).ids
        ['a.wav']
        """
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = pa.table(
            {name: pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in names}
        )
        return _checked(_numbered(table, first=1), Path(root), "rows")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _seconds(cell: Any) -> float | None:
    return None if cell is None or cell == "" else float(cell)


def _numbered(table: pa.Table, *, first: int) -> pa.Table:
    return table.append_column(LINE, pa.array(range(first, first + table.num_rows), pa.int64()))


def fail(name: str, problems: Sequence[Problem], fix: str) -> ManifestError:
    """One error for all problems of a manifest, the first twenty spelt out."""
    listed = "; ".join(str(problem) for problem in problems[:SHOWN])
    rest = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return ManifestError(wanted="a valid manifest", got=listed + rest, fix=fix, source=name)


def _read_csv(path: Path) -> pa.Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse_csv(file, str(path))
    except UnicodeDecodeError as error:
        raise ManifestError(
            wanted="UTF-8 text",
            got=f"byte 0x{error.object[error.start]:02x} at position {error.start}",
            fix="Save the table as UTF-8",
            source=path,
        ) from error
    except csv.Error as error:
        raise ManifestError(
            wanted="a CSV table", got=str(error), fix="Check the quotes in it", source=path
        ) from error


def _parse_csv(file: io.TextIOBase, name: str) -> pa.Table:
    reader = csv.reader(file, strict=True)
    header = next(reader, None)
    if not header:
        raise ManifestError(
            wanted="a header line with a column 'path'",
            got="an empty file",
            fix="Write a header such as path,id,genre",
            source=name,
        )
    header = [cell.strip() for cell in header]
    doubled = sorted({cell for cell in header if header.count(cell) > 1})
    if doubled or LINE in header:
        raise fail(name, [Problem(1, f"column {doubled or [LINE]} twice")], "Rename one of them")
    schema = pa.schema([*((cell, pa.string()) for cell in header), (LINE, pa.int64())])
    batches, problems = [], []
    columns: list[list[Any]] = [[] for _ in schema]
    for row in reader:
        if not row:
            continue  # a blank line, as spreadsheets leave at the end
        if len(row) != len(header):
            problems.append(
                Problem(reader.line_num, f"{len(row)} cells where the header has {len(header)}")
            )
            continue
        for cells, cell in zip(columns, [*row, reader.line_num], strict=True):
            cells.append(cell)
        if len(columns[-1]) >= BATCH_ROWS:
            batches.append(pa.record_batch(columns, schema=schema))
            columns = [[] for _ in schema]
    if problems:
        raise fail(name, problems, "Quote cells that contain commas")
    batches.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(batches, schema)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return _numbered(pq.read_table(path), first=1)
    except (OSError, pa.ArrowInvalid) as error:
        raise ManifestError(
            wanted="a Parquet table",
            got=str(error).splitlines()[0],
            fix="Write it again",
            source=path,
        ) from error


def _read_list(path: Path) -> pa.Table:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ManifestError(
            wanted="UTF-8 text", got=str(error), fix="Save the list as UTF-8", source=path
        ) from error
    kept = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    return pa.table(
        {
            "path": pa.array([line for _, line in kept], pa.string()),
            LINE: pa.array([number for number, _ in kept], pa.int64()),
        }
    )


def _checked(table: pa.Table, root: Path, name: str) -> Manifest:
    if "path" not in table.column_names:
        columns = [column for column in table.column_names if column != LINE]
        raise ManifestError(
            wanted="a column 'path'",
            got=f"the columns {', '.join(columns)}",
            fix="Rename the column that holds the file names",
            source=name,
        )
    if table.num_rows == 0:
        raise ManifestError(
            wanted="at least one track", got="no rows", fix="Add rows below the header", source=name
        )
    paths = [_text(cell) for cell in table["path"].to_pylist()]
    lines = table[LINE].to_pylist()
    if "id" not in table.column_names:
        table = table.append_column("id", pa.array(paths, pa.string()))
    ids = [_text(cell) for cell in table["id"].to_pylist()]
    problems = [*_empty("path", paths, lines), *_empty("id", ids, lines), *_twice(ids, lines)]
    for column in ("start", "duration"):
        if column in table.column_names:
            problems += _not_seconds(column, table[column].to_pylist(), lines)
    if problems:
        problems.sort(key=lambda problem: problem.line or 0)
        raise fail(name, problems, "Mend these lines")
    where = table.column_names.index("id")
    return Manifest(table.set_column(where, "id", pa.array(ids, pa.string())), root, name)


def _empty(column: str, cells: Sequence[str | None], lines: Sequence[int]) -> list[Problem]:
    return [
        Problem(line, f"empty {column}")
        for cell, line in zip(cells, lines, strict=True)
        if cell is None or not cell.strip()
    ]


def _twice(ids: Iterable[str | None], lines: Iterable[int]) -> list[Problem]:
    first: dict[str | None, int] = {}
    problems = []
    for identity, line in zip(ids, lines, strict=True):
        if identity in first:
            earlier = first[identity]
            problems.append(Problem(line, f"id {identity!r} again (first on line {earlier})"))
        else:
            first[identity] = line
    return problems


def _not_seconds(column: str, cells: Sequence[Any], lines: Sequence[int]) -> list[Problem]:
    problems = []
    for cell, line in zip(cells, lines, strict=True):
        try:
            value = _seconds(cell)
        except (TypeError, ValueError):
            value = math.nan
        low_enough = value is not None and (value < 0 or (column == "duration" and value == 0))
        if value is not None and (low_enough or not math.isfinite(value)):
            problems.append(Problem(line, f"{column} {cell!r} is no number of seconds"))
    return problems
