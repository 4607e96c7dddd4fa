"""Which clips are held out together: folds that never split a group."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from segue.errors import UsageError
from segue.evaluation.metrics import check_task
from segue.evaluation.rows import Task
from segue.seeds import derive, generator

Indices = NDArray[np.int64]

UNTESTED = -1
"""Fold of a clip that is trained on and never tested: the training part of a single given split."""


@dataclass(frozen=True, slots=True)
class Folds:
    """The fold of each clip, and what a reader must know about them.

    Attributes
    ----------
    assignment : (n,) integer array
        The fold in which a clip is tested; it trains in all others. UNTESTED where it only trains.
    notes : tuple of str
    """

    assignment: Indices
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> Indices:
        """Fold numbers in order."""
        return np.unique(self.assignment[self.tested])

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which clips are tested in some fold (n,)."""
        mask: NDArray[np.bool_] = self.assignment != UNTESTED
        return mask

    def splits(self) -> Iterator[tuple[Indices, Indices]]:
        """Training and test rows of each fold."""
        for fold in self.names:
            tested = self.assignment == fold
            yield np.flatnonzero(~tested), np.flatnonzero(tested)


def group_codes(groups: ArrayLike | None, n: int) -> Indices:
    """Groups as 0, 1, 2, ...; every clip its own group where there are none.

    Raises
    ------
    UsageError
        Not one group per clip, or a missing group.

    Examples
    --------
    >>> group_codes(["b", "a", "b"], 3)
    array([1, 0, 1])
    """
    if groups is None:
        return np.arange(n)
    given = np.asarray(groups)
    whole = given.dtype.kind in "iu"  # numbers keep their order, so codes of codes are the same
    names = given if whole else np.array([_text(g) for g in np.asarray(groups, object).tolist()])
    if names.shape != (n,):
        raise UsageError(
            wanted=f"one group for each of {n} clips",
            got=f"{len(names)} groups",
            fix="Give groups in the same order as the clips",
            source="groups",
        )
    if missing := 0 if whole else int((names == "").sum()):
        raise UsageError(
            wanted="a group for every clip",
            got=f"{missing} clips without one",
            fix="Fill the column in, or drop these clips",
            source="groups",
        )
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def outer_folds(
    y: ArrayLike, groups: ArrayLike | None, task: str, *, n_folds: int = 10, seed: int = 0
) -> Folds:
    """Shuffled folds, disjoint by group, on which the reported number is measured.

    Classification: each class spread evenly (StratifiedGroupKFold). Regression: likewise over
    quantile bins of y, so that every fold has the range. Tagging: even clip counts. The folds
    depend on the names of the groups and not on the order of the rows, except where every clip is
    its own group.

    Parameters
    ----------
    y : (n,) labels, (n, tags) 0/1 matrix, or (n,) values
    groups : (n,) or None
    task : {"classification", "tagging", "regression"}

    Raises
    ------
    UsageError
        Fewer groups than folds; a class with one example; fewer than two classes that lie in two
        groups or more; a constant target; NaN labels; a group so large that a fold stays empty.

    Examples
    --------
    >>> y = ["a", "b"] * 6
    >>> folds = outer_folds(y, [i // 2 for i in range(12)], "classification", n_folds=3)
    >>> sorted(folds.assignment.tolist())
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    task = check_task(task)
    y = check_target(y, task)
    codes = group_codes(groups, len(y))
    notes: tuple[str, ...] = ()
    if task == "classification":
        notes = _check_classes(y, codes, n_folds)
    return Folds(_assign(y, codes, task, n_folds, seed, "outer folds"), notes)


def inner_folds(
    y: ArrayLike, groups: ArrayLike | None, task: str, *, n_folds: int = 5, seed: int = 0
) -> Folds:
    """Folds of one training part, on which settings are chosen; fewer where it is too small.

    The number falls to that of the groups, and for classification to that of the groups in which
    the smallest class lies, but not below two; the notes say so.

    Raises
    ------
    UsageError
        The training part holds a single group.

    Examples
    --------
    >>> folds = inner_folds(["a", "a", "b", "b"], None, "classification", n_folds=5)
    >>> len(folds.names), folds.notes
    (2, ("2 inner folds instead of 5: a training part has class 'a' in only 2 groups",))
    """
    task = check_task(task)
    y = check_target(y, task, whole=False)
    codes = group_codes(groups, len(y))
    limit, why = len(np.unique(codes)), "a training part has only {} groups"
    if limit < 2:
        raise UsageError(
            wanted="two groups or more to choose settings on",
            got="a training part with one group",
            fix="Use more groups or fewer outer folds",
            source="inner folds",
        )
    if task == "classification":
        classes, spread = _groups_per_class(y, codes)
        rarest = int(np.argmin(np.where(spread > 1, spread, len(y) + 1)))
        if 1 < spread[rarest] < limit:
            limit = int(spread[rarest])
            why = f"a training part has class {str(classes[rarest])!r} in only {{}} groups"
    used = min(n_folds, limit)
    notes: tuple[str, ...] = ()
    if used < n_folds:
        notes = (f"{used} inner folds instead of {n_folds}: {why.format(limit)}",)
    return Folds(_assign(y, codes, task, used, seed, "inner folds"), notes)


def given_folds(
    folds: ArrayLike, groups: ArrayLike | None, n: int, *, shared_groups: bool = False
) -> Folds:
    """Predefined folds, obeyed as they are.

    Parameters
    ----------
    folds : (n,) integers
        UNTESTED for clips that are only trained on.
    groups : (n,) or None
    shared_groups : bool, default False
        Let a group stand on both sides, which a note then says; scores are too high for music of
        groups that were never heard.

    Raises
    ------
    UsageError
        Not one whole number per clip, nothing to train on or to test, or a group in two folds.

    Examples
    --------
    >>> given_folds([1, 1, 2], ["x", "x", "y"], 3).names
    array([1, 2])
    """
    given = np.asarray(folds)
    whole = given.dtype.kind in "iu"
    values = np.unique(given)
    if given.shape != (n,) or not whole or len(values) < 2 or values[0] < UNTESTED:
        raise UsageError(
            wanted=f"two or more folds, one whole number for each of {n} clips",
            got=f"shape {given.shape} of {given.dtype}, {len(values)} different values",
            fix="Correct the fold column",
            source="folds",
        )
    assignment = given.astype(np.int64)
    codes = group_codes(groups, n)
    torn = torn_groups(codes, assignment)
    if not len(torn):
        return Folds(assignment)
    names = [str(np.asarray(groups, dtype=object)[codes == code][0]) for code in torn[:3]]
    listed = f"{', '.join(names)}{', ...' * (len(torn) > 3)}"
    if not shared_groups:
        raise UsageError(
            wanted="every group within one fold",
            got=f"{len(torn)} groups in several ({listed})",
            fix="Correct the fold column, let segue make the folds, or ask for it by "
            "--shared-groups (scores are then too high for unheard groups)",
            source="folds",
        )
    clips = int(np.isin(codes, torn).sum())
    note = (
        f"{len(torn)} groups with {clips} clips stand on both sides of the given folds, as asked "
        f"for: {listed}"
    )
    return Folds(assignment, (note,))


def torn_groups(codes: Indices, assignment: Indices) -> Indices:
    """Codes of groups whose clips lie in several folds.

    Examples
    --------
    >>> torn_groups(np.array([0, 0, 1]), np.array([0, 1, 1]))
    array([0])
    """
    pairs = np.unique(np.stack([codes, assignment], axis=1), axis=0)[:, 0]
    return np.flatnonzero(np.bincount(pairs) > 1)


def check_target(y: ArrayLike, task: Task, *, whole: bool = True) -> NDArray[Any]:
    """Target as an array: labels (n,), a 0/1 matrix (n, tags) or float64 values (n,).

    Parameters
    ----------
    whole : bool
        Also demand that it is not constant: required of a target, not of a part of it.

    Raises
    ------
    UsageError
        Empty, of the wrong shape, with NaN or missing labels, or constant.

    Examples
    --------
    >>> check_target([1, 2], "regression")
    array([1., 2.])
    """
    # as objects, or NumPy would turn a missing label among strings into the class "nan"
    target = np.asarray(y, dtype=object if task == "classification" else None)
    n_axes = 2 if task == "tagging" else 1
    problem, fix = None, "Drop or label these clips"
    if target.ndim != n_axes or not target.size:
        problem, fix = f"shape {target.shape}", "Give one target per clip"
    elif missing := _missing(target, task):
        problem = f"{missing} clips with a missing or malformed label"
    elif whole and len(np.unique(target.astype(str), axis=0)) < 2:
        problem, fix = "the same target for every clip", "Choose a target that varies"
    if problem:
        wanted = {
            "classification": "two or more classes, one label per clip",
            "tagging": "a 0/1 matrix (clips, tags)",
            "regression": "one finite number per clip, not all equal",
        }[task]
        raise UsageError(wanted=wanted, got=problem, fix=fix, source="target")
    if task == "regression":
        return target.astype(np.float64)
    return target.astype(np.int64) if task == "tagging" else np.array(target.tolist())


def _assign(
    y: NDArray[Any], codes: Indices, task: Task, n_folds: int, seed: int, purpose: str
) -> Indices:
    n_groups = len(np.unique(codes))
    if not 2 <= n_folds <= n_groups:
        raise UsageError(
            wanted=f"two folds or more, and no more than the {n_groups} groups",
            got=f"{n_folds} folds",
            fix=f"Ask for {n_groups} folds or fewer, or group by a finer column",
            source=purpose,
        )
    if task == "tagging":
        assignment = _even(codes, n_folds, generator(seed, purpose))
    else:
        strata = y if task == "classification" else _quantile_bins(y, n_folds)
        assignment = _stratified(strata, codes, n_folds, derive(seed, purpose))
    if len(np.unique(assignment)) < n_folds:
        raise UsageError(
            wanted=f"clips in each of {n_folds} folds",
            got="an empty fold, because a few groups hold most clips",
            fix="Ask for fewer folds or group by a finer column",
            source=purpose,
        )
    return assignment


def _stratified(strata: NDArray[Any], codes: Indices, n_folds: int, seed: int) -> Indices:
    strata = np.unique(strata, return_inverse=True)[1]
    alone = len(np.unique(codes)) == len(codes)
    # both spread classes alike, but the grouped one weighs every group against every fold in Python
    maker = StratifiedKFold if alone else StratifiedGroupKFold
    if np.bincount(strata).max() < n_folds:
        strata = np.zeros_like(strata)  # no class reaches every fold: nothing to stratify
    assignment = np.full(len(strata), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # "the least populated class has too few members": said in our own notes, with its name
        warnings.simplefilter("ignore", UserWarning)
        splits = maker(n_folds, shuffle=True, random_state=seed).split(strata, strata, codes)
        for fold, (_, tested) in enumerate(splits):
            assignment[tested] = fold
    return assignment


def _even(codes: Indices, n_folds: int, rng: np.random.Generator) -> Indices:
    """Largest group first into the emptiest fold; equal ones in random order."""
    names, inverse, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of = np.empty(len(names), dtype=np.int64)
    load = np.zeros(n_folds, dtype=np.int64)
    for group in order:
        fold_of[group] = np.argmin(load)
        load[fold_of[group]] += sizes[group]
    assigned: Indices = fold_of[inverse]
    return assigned


def _quantile_bins(y: NDArray[np.float64], n_folds: int) -> Indices:
    n_bins = max(1, min(10, len(y) // (2 * n_folds)))
    inner_edges = np.quantile(y, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(inner_edges, y, side="right").astype(np.int64)


def _groups_per_class(y: NDArray[Any], codes: Indices) -> tuple[NDArray[Any], Indices]:
    classes, label = np.unique(y, return_inverse=True)
    pairs = np.unique(np.stack([label, codes], axis=1), axis=0)
    return classes, np.bincount(pairs[:, 0], minlength=len(classes))


def _check_classes(y: NDArray[Any], codes: Indices, n_folds: int) -> tuple[str, ...]:
    classes, counts = np.unique(y, return_counts=True)
    _, spread = _groups_per_class(y, codes)
    if (counts < 2).any():
        raise UsageError(
            wanted="two examples or more of each class",
            got=f"one example of {_listed(classes[counts < 2])}",
            fix="Drop or merge these classes",
            source="target",
        )
    if (spread > 1).sum() < 2:
        raise UsageError(
            wanted="two or more classes that lie in several groups",
            got=f"all clips of {_listed(classes[spread < 2])} in one group",
            fix="Group by a finer column",
            source="target",
        )
    notes = []
    if (spread < 2).any():
        notes.append(
            f"all clips of {_listed(classes[spread < 2])} lie in one group: never in training and "
            "test at once, so never predicted right"
        )
    few = (spread > 1) & (spread < n_folds)
    if few.any():
        notes.append(
            f"{_listed(classes[few])} in fewer groups than {n_folds} folds: absent from some test "
            "folds"
        )
    return tuple(notes)


def _missing(target: NDArray[Any], task: Task) -> int:
    if task == "classification":
        return sum(_text(label) == "" for label in target.tolist())
    if target.dtype.kind not in "fiub":
        return len(target)
    if task == "tagging":
        return int((~np.isin(target, (0, 1))).any(axis=1).sum())
    return int((~np.isfinite(target)).sum())


def _text(value: object) -> str:
    """Text of a label or group; empty where it is missing (None, NaN, blank)."""
    absent = value is None or value != value  # only NaN differs from itself
    return "" if absent else str(value).strip()


def _listed(names: Sequence[Any] | NDArray[Any]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
