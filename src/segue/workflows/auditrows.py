"""What is to be audited: features in file order, and what manifest and store say of each row."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest, Task, read_target
from segue.datasets.cells import SEPARATOR
from segue.datasets.reading import FILE_COLUMNS
from segue.errors import ManifestError, StoreError, UsageError
from segue.extraction import file_facts
from segue.store import Row
from segue.store.finding import find_rows
from segue.workflows.embedding import open_manifest
from segue.workflows.tables import asked_table

MATRIX = ".npy"
GROUPS = ("artist", "album", "recording", "source", "song", "work")
"""Columns that are taken as groups where none is named."""

FEW_NUMBERS = 30
"""Whole numbers of no more kinds than this, and ten rows of each, are taken as names of classes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Features of a manifest's tracks, those that have none left out.

    Attributes
    ----------
    manifest : Manifest
        Of the rows kept, in file order.
    X : (n, d) array
    stored : sequence of Row
        What the store says of each; empty where features come from a matrix.
    name : str
        Of the features.
    notes : tuple of str
    """

    manifest: Manifest
    X: NDArray[np.float64]
    name: str
    stored: Sequence[Row] = ()
    notes: tuple[str, ...] = field(default=())


def read_rows(
    features: Sequence[str | Path], manifest: str | Path | Manifest, encoder: str | None
) -> Rows:
    """Rows of matrices (``.npy``), side by side, or of one store.

    Raises
    ------
    UsageError
        Matrices and stores at once, several stores, or other numbers of rows than the manifest.
    ManifestError, StoreError
    """
    if not features:
        raise UsageError(wanted="a store or a .npy file", got="none", fix="Name the features first")
    matrices = [Path(one) for one in features if Path(one).suffix == MATRIX]
    if len(matrices) == len(features):
        return _of_matrices(matrices, manifest, encoder)
    if len(features) > 1:
        raise UsageError(
            wanted=f"one store, or {MATRIX} files alone",
            got=", ".join(str(one) for one in features),
            fix="Audit each store on its own",
        )
    return _of_store(features[0], open_manifest(manifest), encoder)


def _of_matrices(
    paths: Sequence[Path], manifest: str | Path | Manifest, encoder: str | None
) -> Rows:
    if encoder is not None:
        raise UsageError(
            wanted="--encoder with a store only", got=f"a {MATRIX} file", fix="Drop --encoder"
        )
    tracks = manifest if isinstance(manifest, Manifest) else read_labels(manifest)
    X = np.hstack([_matrix(path, len(tracks)) for path in paths])
    return Rows(manifest=tracks, X=X, name=" + ".join(path.name for path in paths))


def _matrix(path: Path, rows: int) -> NDArray[np.float64]:
    wanted = f"a NumPy array ({rows} rows, numbers), one row per line of the manifest"
    fix = "Give features in the order of the manifest, a row for each of its lines"
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StoreError(
            wanted=wanted, got=why.partition("\n")[0], fix="Check the file", source=path
        ) from error
    if values.ndim != 2 or values.dtype.kind not in "fiu" or len(values) != rows:
        got = f"an array of {values.dtype} and shape {values.shape}"
        raise UsageError(wanted=wanted, got=got, fix=fix, source=path)
    if bad := int((~np.isfinite(values)).any(axis=1).sum()):
        raise UsageError(wanted=wanted, got=f"{bad} rows that are not finite", fix=fix, source=path)
    return np.asarray(values, dtype=np.float64)


def _of_store(store: str | Path, manifest: Manifest, encoder: str | None) -> Rows:
    table = asked_table(store, encoder)
    found = find_rows(table.contents(), [file_facts(track) for track in manifest.tracks()])
    there = [row for row, stored in enumerate(found) if stored is not None]
    if not there:
        raise UsageError(
            wanted=f"features of the tracks of {manifest.name}",
            got="none",
            fix="Embed this manifest into the store first",
            source=table.folder,
        )
    rows = table.rows_of([stored for stored in found if stored is not None])
    left = len(found) - len(there)
    notes = (f"{left} of {len(found)} tracks have no features: left out",) if left else ()
    return Rows(
        manifest=manifest.subset(there),
        X=np.array([row.features for row in rows], dtype=np.float64),
        name=table.card.label,
        stored=rows,
        notes=notes,
    )


def read_labels(path: str | Path) -> Manifest:
    """A manifest, or a table of labels in row order that names files in another column, or none.

    Raises
    ------
    ManifestError
        It is no table with a header.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = path.write_text(",id,filepath,label\\n0,blues,a.au,3\\n1,blues,b.au,4\\n")
    >>> labels = read_labels(path)
    >>> labels.ids, labels.column("label")
    (['a.au', 'b.au'], ['3', '4'])
    """
    path = Path(path)
    if path.suffix.lower() != ".csv" or not path.is_file():
        return open_manifest(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        records = list(csv.DictReader(file))
    header = [name for name in (records[0] if records else {}) if name]
    if not header or "path" in header:
        return open_manifest(path)
    likely = [name for name in FILE_COLUMNS if name in header]
    rows: list[Mapping[str, Any]] = []
    for number, record in enumerate(records, 1):
        cells = {name: record[name] for name in header if name not in ("id", "start", "duration")}
        rows.append({"path": (record[likely[0]] if likely else "") or f"row {number}", **cells})
    try:
        return Manifest.from_rows(rows, root=path.parent)
    except ManifestError:
        for number, row in enumerate(rows, 1):
            rows[number - 1] = {**row, "id": f"row {number}"}
        return Manifest.from_rows(rows, root=path.parent)


def labels_of(
    manifest: Manifest, target: str, task: Task | None
) -> tuple[Task, list[Any], tuple[str, ...]]:
    """Task, label of each row (None without), and notes.

    Raises
    ------
    ManifestError
        As :func:`segue.datasets.read_target`.
    """
    cells = manifest.column(target)
    notes: tuple[str, ...] = ()
    if task is None and _few_numbers(cells):
        task = "classification"
        notes = (f"the numbers in {target!r} are taken as names of classes; else give --task",)
    found = read_target(manifest, target, task=task, min_examples=2)
    labels: list[Any] = [None] * len(manifest)
    for row, value in zip(found.rows.tolist(), found.values, strict=True):
        labels[row] = value
    return found.task, labels, (*notes, *found.notes)


def _few_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    kinds = set(filled)
    return (
        all(cell.isdecimal() for cell in kinds)
        and 10 < len(kinds) <= FEW_NUMBERS
        and len(filled) >= 10 * len(kinds)
    )


def groups_of(manifest: Manifest, names: Sequence[str], target: str) -> dict[str, list[str]]:
    """Group columns: those named, or those of the usual names; "" where unknown.

    Raises
    ------
    ManifestError
        There is no column of a name.
    """
    usual = [name for name in manifest.columns if name.lower() in GROUPS and name != target]
    columns = {name: manifest.column(name) for name in (names or usual)}
    return {name: cells for name, cells in columns.items() if any(cells)}


def split_of(manifest: Manifest, name: str | None) -> list[str] | None:
    """The column of the given split, the usual ``fold`` or ``split`` where none is named.

    Raises
    ------
    UsageError
        Fewer than two parts, or one label of several.
    """
    usual = [column for column in ("fold", "split") if column in manifest.columns]
    chosen = name or (usual[0] if usual else None)
    if chosen is None:
        return None
    cells = manifest.column(chosen)
    parts = {cell for cell in cells if cell}
    if len(parts) < 2 or any(SEPARATOR in cell for cell in parts):
        if name is None:
            return None
        raise UsageError(
            wanted="a column that names the fold or the part of each track",
            got=f"{len(parts)} different cells in {chosen!r}",
            fix="Name another column with --split",
            source=manifest.name,
        )
    return cells
