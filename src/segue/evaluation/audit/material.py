"""What an audit looks at: features, labels, and what is known of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.metrics import check_task
from segue.evaluation.rows import Task

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MIN_ROWS = 20
"""Fewer labelled rows than this are not audited: nothing could be shown of them."""


@dataclass(frozen=True, kw_only=True)
class AuditSet:
    """Features of a data set in file order, with all that is known of its rows.

    Attributes
    ----------
    X : (n, d) array
        One row per clip, in the order in which they were embedded.
    y : sequence
        Label of each row: a class name, a number, or a set of tags, by ``task``; None where there
        is none. Rows without a label keep their place in the order.
    task : {"classification", "tagging", "regression"}
    ids : sequence of str
        Names of the rows, for lists; by default their numbers.
    groups : mapping name -> sequence of str
        Artist, album, recording of each row; "" where unknown.
    split : sequence of str or None
        Fold or part of each row, where the data set gives one.
    content : sequence of str or None
        Digest of the audio of each row; "" where unknown.
    facts : mapping name -> sequence
        What the files themselves say, without their music: text or numbers, None where unknown.
    loudness : mapping name -> sequence
        The same of their level, which is a property of the music too.

    Raises
    ------
    UsageError
        Lengths that differ, features that are not finite numbers, fewer than 20 labelled rows, or
        one label for all.

    Examples
    --------
    >>> import numpy as np
    >>> made = AuditSet(X=np.eye(20), y=["a", "b"] * 10, task="classification")
    >>> len(made), made.codes[:3].tolist(), made.classes
    (20, [0, 1, 0], ('a', 'b'))
    """

    X: Floats
    y: Sequence[Any]
    task: Task
    ids: Sequence[str] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    split: Sequence[str] | None = None
    content: Sequence[str] | None = None
    facts: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    loudness: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_task(self.task)
        X = np.asarray(self.X)
        numbers = X.ndim == 2 and X.dtype.kind in "fiu"
        finite = numbers and bool(np.isfinite(X).all())
        if not finite or not len(X) or not np.ptp(X, axis=0).any():
            what = ", some not finite" if numbers and not finite else ", all rows alike" * finite
            raise UsageError(
                wanted="features (clips, numbers), all finite, not all alike",
                got=f"an array of {X.dtype} and shape {X.shape}{what}",
                fix="Give one row of numbers per clip",
                source="audit",
            )
        object.__setattr__(self, "X", X.astype(np.float64))
        if not self.ids:
            object.__setattr__(self, "ids", [str(row) for row in range(len(X))])
        columns = {"labels": self.y, "ids": self.ids, "split": self.split, "content": self.content}
        columns |= {**self.groups, **self.facts, **self.loudness}
        for name, column in columns.items():
            if column is not None and len(column) != len(X):
                raise UsageError(
                    wanted=f"one entry of {name} for each of {len(X)} rows of features",
                    got=str(len(column)),
                    fix="Give features and manifest in the same order, a row per clip",
                    source="audit",
                )
        if len(self.labelled) < MIN_ROWS or self.label_matrix[self.labelled].std(axis=0).max() == 0:
            raise UsageError(
                wanted=f"{MIN_ROWS} labelled rows or more, of two labels or more",
                got=f"{len(self.labelled)} labelled rows of {len(X)}",
                fix="Choose another label column",
                source="audit",
            )

    def __len__(self) -> int:
        return len(self.X)

    @cached_property
    def labelled(self) -> Integers:
        """Rows that have a label."""
        return np.flatnonzero([label is not None for label in self.y]).astype(np.int64)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names, or tags; empty for numbers."""
        known = [self.y[row] for row in self.labelled]
        if self.task == "tagging":
            return tuple(sorted({tag for tags in known for tag in tags}))
        return tuple(sorted({str(label) for label in known})) if self.task != "regression" else ()

    @cached_property
    def codes(self) -> Integers:
        """Class of each row as a number, -1 without a label; one class where there are none."""
        if self.task != "classification":
            return np.zeros(len(self), dtype=np.int64)
        number = {name: code for code, name in enumerate(self.classes)}
        return np.array(
            [-1 if label is None else number[str(label)] for label in self.y], dtype=np.int64
        )

    @cached_property
    def label_matrix(self) -> Floats:
        """Labels as numbers (n, k): a column per class or tag, or the value and its square.

        Without a label: zeros, or the mean value.
        """
        if self.task == "regression":
            known = np.array([float(self.y[row]) for row in self.labelled])
            spread = known.std() or 1.0
            values = np.zeros(len(self))
            values[self.labelled] = (known - known.mean()) / spread
            return np.column_stack([values, values**2])
        number = {name: column for column, name in enumerate(self.classes)}
        matrix = np.zeros((len(self), len(self.classes)))
        for row in self.labelled:
            label = self.y[row]
            for name in label if self.task == "tagging" else [str(label)]:
                matrix[row, number[name]] = 1.0
        return matrix

    def unexplained(self, values: ArrayLike) -> Floats:
        """Columns of values (n, d) without what the labels explain of them, linearly."""
        columns = np.asarray(values, dtype=np.float64)
        design = np.column_stack([np.ones(len(self)), self.label_matrix])
        fitted: Floats = design @ np.linalg.lstsq(design, columns, rcond=None)[0]
        return columns - fitted
