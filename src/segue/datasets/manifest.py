"""Manifests: which tracks there are, where they lie, and what is known of each.

A manifest is a CSV or Parquet table with a column ``path`` (relative to the table's own folder)
and, optionally, ``id``, ``start`` and ``duration`` (seconds); every other column is a label, a
group or a remark. ``;`` separates several labels in one cell; in Parquet a list may hold them. A
folder or a list of paths serves too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from segue.datasets.cells import BATCH_ROWS, LINE, seconds, table_of, text
from segue.datasets.checks import checked
from segue.datasets.problems import Problem
from segue.datasets.reading import read_table, require_path
from segue.errors import ManifestError


class Track(NamedTuple):
    """One row: what to read, and where the manifest says so."""

    id: str
    path: Path
    start: float
    duration: float | None
    line: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A validated table of tracks.

    Attributes
    ----------
    table : pyarrow.Table
        All columns as text, ``id`` filled from ``path`` where absent, plus the line numbers.
        Empty cells are null or ``""``.
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
        """Line each track begins on (rows count from 2 in a CSV, from 1 elsewhere)."""
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
        return [(cell or "").strip() for cell in self.table[name].to_pylist()]

    def tracks(self) -> Iterator[Track]:
        """Tracks in manifest order, paths made absolute."""
        root = os.path.abspath(self.root)  # noqa: PTH100 (resolve() would follow links)
        for batch in self.table.to_batches(max_chunksize=BATCH_ROWS):
            ids, paths, lines = (batch[name].to_pylist() for name in ("id", "path", LINE))
            starts, durations = (self._seconds(batch, name) for name in ("start", "duration"))
            for name, path, start, duration, line in zip(
                ids, paths, starts, durations, lines, strict=True
            ):
                yield Track(name, Path(os.path.join(root, path)), start or 0.0, duration, line)  # noqa: PTH118

    @staticmethod
    def _seconds(batch: pa.RecordBatch, name: str) -> Iterable[float | None]:
        if name not in batch.schema.names:
            return repeat(None, batch.num_rows)
        return [seconds(cell) for cell in batch[name].to_pylist()]

    def subset(self, rows: Sequence[int]) -> Manifest:
        """These rows alone, in this order; they keep their lines.

        Examples
        --------
        >>> Manifest.from_rows([{"path": "a.wav"}, {"path": "b.wav"}]).subset([1]).ids
        ['b.wav']
        """
        table = self.table.take(pa.array(rows, pa.int64()))
        return Manifest(table, self.root, self.name, self.ignored)

    def with_column(self, name: str, cells: Sequence[str]) -> Manifest:
        """The same with a further column, one cell a track; one of that name is replaced.

        Examples
        --------
        >>> Manifest.from_rows([{"path": "a.wav"}]).with_column("year", ["1969"]).column("year")
        ['1969']
        """
        others = self.table.drop_columns([name]) if name in self.columns else self.table
        table = others.append_column(name, pa.array(cells, pa.string()))
        return Manifest(table, self.root, self.name, self.ignored)

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
        """Tracks whose file is not there or cannot be looked at, with their lines."""
        problems = []
        for track in self.tracks():
            if why := _why_no_file(track.path):
                more = "" if why == "no such file" else f" ({why})"
                problems.append(Problem(track.line, f"no file {track.path}{more}"))
        return problems

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a ``.csv``, ``.parquet`` or ``.txt`` (one path a line) manifest and check its form.

        Raises
        ------
        ManifestError
            With every problem and its line: no ``path`` column, columns that are no text, empty or
            duplicate ids, ragged rows, seconds that are no numbers. Whether the files exist is
            asked by :meth:`missing_files` and answered per track when embedding.
        """
        path = Path(path)
        if why := _why_no_file(path):
            raise ManifestError(
                wanted="a manifest file", got=why, fix="Check the path", source=path
            )
        return cls(checked(read_table(path), str(path)), path.parent, str(path))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], *, root: str | Path = ".") -> Manifest:
        """Manifest of mappings that have at least ``path``.

        Numbers become text; None and NaN are empty cells; a list is several labels in one cell.

        Raises
        ------
        ManifestError
            As in :meth:`read`, rows counting from 1; also for values that are no text, such as
            mappings and bytes.

        Examples
        --------
        >>> Manifest.from_rows([{"path": "a.wav", "genre": "jazz"}]).ids
        ['a.wav']
        """
        names = list(dict.fromkeys(name for row in rows for name in row))
        if names:
            require_path(names, "rows")
        records = (
            (line, [text(row.get(name), name, line, "rows") for name in names])
            for line, row in enumerate(rows, 1)
        )
        try:
            table = table_of(names, records)
        except UnicodeEncodeError as error:
            raise ManifestError(
                wanted="text that is Unicode",
                got=ascii(error.object),
                fix="Rename the file, or mend the cell",
                source="rows",
            ) from error
        return cls(checked(table, "rows"), Path(root), "rows")


def _why_no_file(path: Path) -> str:
    """Why there is no file to read at a path; empty when there is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:  # a name too long, a folder we may not enter, a link onto itself
        return (error.strerror or str(error)).lower()
    except ValueError:
        return "a name with a zero byte"
    return "" if stat.S_ISREG(mode) else "a folder" if stat.S_ISDIR(mode) else "no regular file"
