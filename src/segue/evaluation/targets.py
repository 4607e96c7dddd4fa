"""Labels as they come in a manifest -> the arrays that heads learn from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.folds import check_target, group_codes
from segue.evaluation.metrics import check_task
from segue.evaluation.rows import Task

MIN_POSITIVES = 5
"""Groups in which a tag must be carried to be learned and scored."""


@dataclass(frozen=True, slots=True)
class EncodedTarget:
    """A target ready for folds and heads.

    Attributes
    ----------
    y : ndarray
        Labels (n,) as str, a 0/1 matrix (n, tags), or values (n,).
    labels : tuple of str
        Classes, or tags in column order; empty for regression.
    notes : tuple of str
        Which tags were dropped.
    """

    task: Task
    y: NDArray[Any]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def encode_target(
    y: Sequence[Any] | NDArray[Any],
    groups: ArrayLike | None,
    task: str,
    *,
    min_positives: int = MIN_POSITIVES,
) -> EncodedTarget:
    """Encode labels, dropping tags too rare to be learned and scored.

    Parameters
    ----------
    y : sequence
        One label per clip; for tagging one collection of tags per clip (empty: none applies); for
        regression one number.
    groups : (n,) or None
    min_positives : int, default 5
        A tag stays if the clips that carry it lie in at least this many groups, and some clip does
        not carry it.

    Raises
    ------
    UsageError
        A label is missing; a clip's tags are not a collection; no tag is frequent enough; the
        target is constant.

    Examples
    --------
    >>> encoded = encode_target([("rock",), ("rock", "live"), ()], None, "tagging", min_positives=2)
    >>> encoded.labels, encoded.y.ravel().tolist()
    (('rock',), [1, 1, 0])
    >>> encoded.notes
    ("1 of 2 tags dropped (carried in fewer than 2 groups, or by all): 'live'",)
    """
    task = check_task(task)
    if task == "tagging":
        return _encode_tags(y, groups, min_positives)
    values = check_target(y, task)
    if task == "regression":
        return EncodedTarget(task, values, ())
    names = values.astype(str)
    return EncodedTarget(task, names, tuple(np.unique(names).tolist()))


def _encode_tags(
    y: Sequence[Any] | NDArray[Any], groups: ArrayLike | None, min_positives: int
) -> EncodedTarget:
    malformed = [
        clip
        for clip, tags in enumerate(y)
        if isinstance(tags, str) or not isinstance(tags, Collection)
    ]
    if malformed or not len(y):
        first = f", first in row {malformed[0]}: {y[malformed[0]]!r}" if malformed else ""
        raise UsageError(
            wanted="a collection of tags for every clip",
            got=f"{len(malformed)} of {len(y)} clips with something else{first}",
            fix="Split the tags of each clip; drop clips that were never tagged",
            source="target",
        )
    names = sorted({str(tag) for tags in y for tag in tags})
    column = {name: index for index, name in enumerate(names)}
    matrix = np.zeros((len(y), len(names)), dtype=np.int64)
    for clip, tags in enumerate(y):
        matrix[clip, [column[str(tag)] for tag in tags]] = 1
    codes = group_codes(groups, len(y))
    in_groups = np.zeros((codes.max() + 1, len(names)), dtype=bool)
    np.logical_or.at(in_groups, codes, matrix > 0)
    kept = (in_groups.sum(axis=0) >= min_positives) & (matrix.sum(axis=0) < len(y))
    rule = f"carried in fewer than {min_positives} groups, or by all"
    if not kept.any():
        raise UsageError(
            wanted=f"a tag carried by clips of {min_positives} groups or more, and not by all",
            got=f"none of {len(names)} tags",
            fix="Lower the minimum (--min-examples) or choose another column",
            source="target",
        )
    notes: tuple[str, ...] = ()
    if dropped := [name for name, keep in zip(names, kept, strict=True) if not keep]:
        shown = ", ".join(map(repr, dropped[:10])) + (", ..." if len(dropped) > 10 else "")
        notes = (f"{len(dropped)} of {len(names)} tags dropped ({rule}): {shown}",)
    labels = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
    return EncodedTarget("tagging", matrix[:, kept], labels, notes)
