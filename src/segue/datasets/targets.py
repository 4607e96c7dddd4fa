"""Label columns: what is to be predicted, of which tracks, as which task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.datasets.cells import SEPARATOR
from segue.datasets.manifest import Manifest
from segue.datasets.problems import Problem, fail
from segue.errors import ManifestError

Task = Literal["classification", "tagging", "regression"]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One label column, ready for a head.

    Attributes
    ----------
    rows : (n,) integer array
        Manifest rows that have a label; the others are counted in ``notes``.
    values : sequence
        One per row: a class name, a tuple of tags, or a number.
    notes : tuple of str
        What was left out and why.
    """

    name: str
    task: Task
    rows: NDArray[np.int64]
    values: Sequence[Any]
    notes: tuple[str, ...] = ()


def infer_task(cells: Sequence[str]) -> Task:
    """The task a column looks like.

    Several labels in a cell: tagging. Numbers with more than ten values, or any fraction:
    regression. Else classification.

    Examples
    --------
    >>> infer_task(["a;b", "c"]), infer_task(["0.5", "1"]), infer_task(["1", "2"])
    ('tagging', 'regression', 'classification')
    """
    filled = [cell for cell in cells if cell]
    if any(SEPARATOR in cell for cell in filled):
        return "tagging"
    numbers = [_number(cell) for cell in filled]
    if not filled or any(math.isnan(value) for value in numbers):
        return "classification"
    fractions = any(value != int(value) for value in numbers if math.isfinite(value))
    return "regression" if fractions or len(set(numbers)) > 10 else "classification"


def read_target(
    manifest: Manifest, column: str, *, task: Task | None = None, min_examples: int | None = None
) -> Target:
    """A column of a manifest as a target.

    Parameters
    ----------
    manifest : Manifest
    column : str
    task : {"classification", "tagging", "regression"}, optional
        By default what :func:`infer_task` says.
    min_examples : int, optional
        Leave out classes with fewer examples, and their tracks; counted in ``notes``. Without it
        a class with one example is an error. Rare tags are the evaluation's to leave out.

    Raises
    ------
    ManifestError
        Unknown column; no label at all; a class with one example; a cell with several labels where
        one is wanted; a cell that is no number where one is wanted. Lines are named.
    """
    cells = manifest.column(column)
    if not any(cells):
        raise ManifestError(
            wanted=f"labels in column {column!r}",
            got="only empty cells",
            fix="Fill the column or choose another",
            source=manifest.name,
        )
    chosen = task or infer_task(cells)
    if chosen == "regression":
        return _regression(manifest, column, cells)
    if chosen == "tagging":
        return _tagging(column, cells)
    return _classification(manifest, column, cells, min_examples)


def _labelled(cells: Sequence[str]) -> tuple[list[int], list[str]]:
    rows = [row for row, cell in enumerate(cells) if cell]
    left = len(cells) - len(rows)
    return rows, [f"{left} tracks without this label left out"] if left else []


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _regression(manifest: Manifest, column: str, cells: Sequence[str]) -> Target:
    rows, notes = _labelled(cells)
    values = np.array([_number(cells[row]) for row in rows])
    lines = manifest.lines
    bad = [
        Problem(lines[row], f"{column} {cells[row]!r} is no finite number")
        for row, value in zip(rows, values, strict=True)
        if not math.isfinite(value)
    ]
    if bad:
        raise fail(manifest.name, bad, "Mend these cells, leave them empty, or choose another task")
    return Target(column, "regression", np.array(rows), values.tolist(), tuple(notes))


def _tagging(column: str, cells: Sequence[str]) -> Target:
    rows, notes = _labelled(cells)
    sets = [
        tuple(sorted({tag.strip() for tag in cells[row].split(SEPARATOR) if tag.strip()}))
        for row in rows
    ]
    return Target(column, "tagging", np.array(rows), sets, tuple(notes))


def _classification(
    manifest: Manifest, column: str, cells: Sequence[str], min_examples: int | None
) -> Target:
    rows, notes = _labelled(cells)
    lines = manifest.lines
    several = [
        Problem(lines[row], f"{column} {cells[row]!r} holds several labels")
        for row in rows
        if SEPARATOR in cells[row]
    ]
    if several:
        raise fail(manifest.name, several, "Use --task tagging for this column")
    counts = Counter(cells[row] for row in rows)
    if min_examples is not None:
        rare = {label for label, count in counts.items() if count < min_examples}
        dropped = sum(counts[label] for label in rare)
        rows = [row for row in rows if cells[row] not in rare]
        if rare:
            notes.append(f"classes {sorted(rare)} ({dropped} tracks) left out: too few examples")
    single = [
        Problem(lines[row], f"class {cells[row]!r} of {column!r} has one example")
        for row in rows
        if counts[cells[row]] == 1
    ]
    if single:
        raise fail(
            manifest.name,
            single,
            "Add examples, mend the spelling, or leave such classes out with --min-examples 2",
        )
    values = [cells[row] for row in rows]
    if len(set(values)) < 2:
        raise ManifestError(
            wanted=f"at least two classes in column {column!r}",
            got=f"{sorted(set(values))}",
            fix="Choose a column that tells tracks apart",
            source=manifest.name,
        )
    return Target(column, "classification", np.array(rows), values, tuple(notes))
