"""Predefined splits: the column of a manifest, or the file that an evaluation wrote."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest
from segue.errors import ManifestError, UsageError
from segue.evaluation.folds import UNTESTED
from segue.evaluation.rows import Split
from segue.files import read_bounded

COLUMNS = ("fold", "split")
"""Columns of a manifest that are obeyed without being asked for, the first that is there."""

NONE = "none"
TESTED = ("test",)
TRAINED = ("train", "training", "valid", "validation", "val", "dev")
MOST_FOLDS = 100
MAX_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class GivenSplit:
    """Predefined folds of all tracks of a manifest.

    Attributes
    ----------
    name : str
        For the report.
    folds : (repeats, tracks) integer array
        UNTESTED for tracks that are only trained on.
    notes : tuple of str
    """

    name: str
    folds: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def read_split(
    manifest: Manifest, asked: str | None, *, new_folds: bool = False
) -> GivenSplit | None:
    """The split that an evaluation shall obey; None where it is to make its own folds.

    Parameters
    ----------
    manifest : Manifest
    asked : str or None
        A column; a ``.csv`` with ``id`` and one column of folds a repeat, as evaluations write it;
        "none"; or None, for a column of COLUMNS if there is one.
    new_folds : bool
        Whether a number of folds or repeats was asked for, which a given split has no use for.

    Raises
    ------
    ManifestError
        No such column or file; tracks without a fold; names that are no folds.
    UsageError
        Both a split and new folds were asked for.

    Examples
    --------
    >>> rows = [{"path": f"{n}.wav", "split": part} for n, part in enumerate(("train", "test"))]
    >>> read_split(Manifest.from_rows(rows), None).folds.tolist()
    [[-1, 0]]
    """
    if asked == NONE:
        return None
    there = [name for name in COLUMNS if name in manifest.columns and any(manifest.column(name))]
    chosen = asked or (there[0] if there else None)
    if chosen is None:
        return None
    if new_folds:
        raise UsageError(
            wanted="either predefined folds or new ones",
            got=f"the split {chosen!r} and a number of folds or repeats",
            fix="Drop --folds and --repeats, or ask for new folds with --split none",
            source="split",
        )
    notes = () if asked else (f"folds are those of the column {chosen!r}; --split none makes new",)
    if chosen not in manifest.columns and Path(chosen).suffix == ".csv":
        name, columns = _from_file(Path(chosen), manifest)
    else:
        name, columns = f"column {chosen!r}", [manifest.column(chosen)]
    folds = np.stack([_numbered(cells, manifest, name) for cells in columns])
    return GivenSplit(name, folds, notes)


def _numbered(cells: Sequence[str], manifest: Manifest, name: str) -> NDArray[np.int64]:
    """Names of folds as numbers, numbers as they are, train and test as UNTESTED and 0."""
    missing = [line for cell, line in zip(cells, manifest.lines, strict=True) if not cell]
    if missing:
        raise _problem(
            f"{len(missing)} tracks without one, first in line {missing[0]}", manifest, name
        )
    values = sorted(set(cells), key=lambda cell: (len(cell), cell))
    lower = {value.casefold() for value in values}
    if lower & set(TESTED):
        if strange := sorted(lower - {*TESTED, *TRAINED}):
            raise _problem(f"{', '.join(map(repr, strange[:5]))} beside 'test'", manifest, name)
        return np.array([0 if cell.casefold() in TESTED else UNTESTED for cell in cells])
    if not 2 <= len(values) <= MOST_FOLDS:
        raise _problem(f"{len(values)} different values", manifest, name)
    if all(re.fullmatch(r"-?[0-9]{1,9}", value) for value in values):
        return np.array([int(cell) for cell in cells])
    number = {value: place for place, value in enumerate(values)}
    return np.array([number[cell] for cell in cells])


def _problem(got: str, manifest: Manifest, name: str) -> ManifestError:
    return ManifestError(
        wanted=f"a fold for every track in {name}: two to {MOST_FOLDS} names or numbers, or "
        f"{', '.join(TRAINED[:3])} and test",
        got=got,
        fix="Fill it in, or ask for new folds with --split none",
        source=manifest.name,
    )


def _from_file(path: Path, manifest: Manifest) -> tuple[str, list[list[str]]]:
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            wanted="a split that `segue evaluate` wrote, or a column of the manifest",
            got=str(error),
            fix="Check the path",
            source=path,
        ) from error
    rows = list(csv.DictReader(io.StringIO(text)))
    names = [name for name in (rows[0] if rows else {}) if name and name != "id"]
    ids = {row.get("id"): row for row in rows}
    lost = [name for name in manifest.ids if name not in ids]
    problem = ""
    if not names or "id" not in rows[0]:
        problem = "no columns id and folds"
    elif len(ids) < len(rows):
        problem = "an id twice"
    elif len(lost) == len(manifest.ids):
        problem = "none of the manifest's ids"
    if problem:
        raise ManifestError(
            wanted="columns id and one of folds a repeat",
            got=problem,
            fix="Take the file that `segue evaluate` wrote for this manifest",
            source=path,
        )
    columns = [[(ids.get(one, {}).get(name) or "") for one in manifest.ids] for name in names]
    return f"split {path.name}", columns


def split_csv(ids: Sequence[str], splits: Sequence[Split]) -> bytes:
    """A split as a file: ids, and a column of folds a repeat.

    Examples
    --------
    >>> one = Split(name="a", digest="", folds=2, assignment=np.array([0, 1]))
    >>> split_csv(["x", "y"], [one])
    b'id,repeat 1\\nx,0\\ny,1\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *(f"repeat {number}" for number in range(1, len(splits) + 1))])
    for row, name in enumerate(ids):
        writer.writerow([name, *(int(one.assignment[row]) for one in splits)])
    return text.getvalue().encode("utf-8", "surrogatepass")
