"""Outer folds with a name and a digest, so that two numbers can be known to be of one split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.folds import UNTESTED, Folds, given_folds, outer_folds
from segue.evaluation.rows import Split
from segue.seeds import derive


@dataclass(frozen=True, slots=True)
class Dealing:
    """All clips dealt to outer folds, once or several times.

    Attributes
    ----------
    repeats : tuple of Folds
        They test the same clips.
    splits : tuple of Split
        Name and digest of each.
    """

    repeats: tuple[Folds, ...]
    splits: tuple[Split, ...]

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which clips are tested (n,)."""
        return self.repeats[0].tested

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of all repeats, each once."""
        return tuple(dict.fromkeys(note for one in self.repeats for note in one.notes))


def deal(
    y: NDArray[Any],
    groups: ArrayLike | None,
    task: str,
    *,
    group_name: str,
    ids: Sequence[str],
    n_folds: int = 10,
    repeats: int = 1,
    seed: int = 0,
    given: ArrayLike | None = None,
    given_name: str = "given folds",
    shared_groups: bool = False,
) -> Dealing:
    """Outer folds as often as wanted, or the predefined ones.

    Parameters
    ----------
    y, groups, task, n_folds, seed
        As outer_folds takes them; the first repeat is its own.
    group_name : str
        For the name of the split.
    ids : sequence of n str
        What the digest knows clips by.
    given : (n,) or (repeats, n) integers, optional
        Predefined folds; ``n_folds``, ``repeats`` and ``seed`` then have no say.
    shared_groups : bool
        See given_folds.

    Raises
    ------
    UsageError
        As outer_folds and given_folds; no repeat; repeats that test different clips.

    Examples
    --------
    >>> dealt = deal(np.array(["a", "b"] * 6), None, "classification", group_name="",
    ...              ids=[f"{n}" for n in range(12)], n_folds=3, repeats=2)
    >>> [one.name for one in dealt.splits]
    ['3 folds, ungrouped, seed 0', '3 folds, ungrouped, seed 0, repeat 2']
    """
    n = len(y)
    if given is not None:
        rows = np.atleast_2d(np.asarray(given))
        folds = [given_folds(row, groups, n, shared_groups=shared_groups) for row in rows]
        names = [
            given_name + (f", repeat {number}" if len(folds) > 1 else "")
            for number in range(1, len(folds) + 1)
        ]
    elif repeats < 1:
        raise UsageError(
            wanted="one repeat or more", got=str(repeats), fix="Correct --repeats", source="folds"
        )
    else:
        seeds = [seed if not r else derive(seed, "repeat", r) for r in range(repeats)]
        folds = [outer_folds(y, groups, task, n_folds=n_folds, seed=one) for one in seeds]
        kind = f"{group_name or 'group'}-disjoint" if groups is not None else "ungrouped"
        names = [
            f"{n_folds} folds, {kind}, seed {seed}" + (f", repeat {r + 1}" if r else "")
            for r in range(repeats)
        ]
    if any((one.tested != folds[0].tested).any() for one in folds):
        raise UsageError(
            wanted="the same clips tested in every repeat",
            got="others in some",
            fix="Correct the fold columns",
            source="folds",
        )
    splits = tuple(
        Split(
            name=name,
            digest=split_digest(ids, one.assignment),
            folds=len(one.names),
            assignment=one.assignment,
        )
        for name, one in zip(names, folds, strict=True)
    )
    return Dealing(tuple(folds), splits)


def split_digest(ids: Sequence[str], assignment: NDArray[np.int64]) -> str:
    """SHA-256 over which clips are tested together, whatever their order and the folds' numbers.

    Examples
    --------
    >>> one = split_digest(["a", "b", "c"], np.array([0, 0, 1]))
    >>> one == split_digest(["c", "b", "a"], np.array([3, 7, 7]))
    True
    >>> one == split_digest(["a", "b", "c"], np.array([0, 1, 1]))
    False
    """
    order = sorted(range(len(ids)), key=lambda row: ids[row])
    numbers: dict[int, int] = {UNTESTED: UNTESTED}
    state = hashlib.sha256()
    for row in order:
        fold = numbers.setdefault(int(assignment[row]), len(numbers) - 1)
        state.update(f"{ids[row]}\t{fold}\n".encode("utf-8", "surrogatepass"))
    return state.hexdigest()
