"""What it is worth to a score that clips of one group stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.probe import MOST_ROWS, Probe
from segue.evaluation.folds import outer_folds
from segue.seeds import generator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RANDOM_FOLDS = 5
CONTROLS = 4
"""Random parts taken out of the training part, for each fold, to compare with."""

FEWEST_GROUPS = 5
TRAIN = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What groups on both sides are worth.

    Attributes
    ----------
    groups, clips : int
        Groups on both sides, and the tested clips that belong to them.
    tested : int
        All clips tested.
    score : str
    with_groups, without : float
        Score of all tested clips, with the group in the training part and without; the training
        parts are of one size and one mixture of classes.
    difference, low, high : float
        Their difference, with a 95 % interval over groups.
    p_value : float
        One-sided: that the difference is not above 0. NaN with fewer than five such groups.
    """

    groups: int
    clips: int
    tested: int
    score: str
    with_groups: float
    without: float
    difference: float
    low: float
    high: float
    p_value: float


def random_folds(data: AuditSet, seed: int) -> list[str]:
    """Folds as somebody makes them who knows of no groups; "" without a label."""
    rows = data.labelled
    known = [data.y[row] for row in rows]
    task, y = data.task, np.array(known if data.task == "regression" else range(len(rows)))
    if data.task == "classification":
        y = np.array([str(label) for label in known])
    elif data.task == "tagging":
        task, y = "regression", data.label_matrix[rows].sum(axis=1) + np.arange(len(rows)) / 1e6
    assigned = outer_folds(y, None, task, n_folds=RANDOM_FOLDS, seed=seed).assignment
    folds = [""] * len(data)
    for row, fold in zip(rows.tolist(), assigned.tolist(), strict=True):
        folds[row] = str(fold)
    return folds


def sides(parts: Sequence[str]) -> Iterator[tuple[Integers, Integers]]:
    """Training and test rows of each fold; of ``train``, ``valid`` and ``test`` those two.

    Examples
    --------
    >>> [test.tolist() for _, test in sides(["train", "test", "train"])]
    [[1]]
    >>> [train.tolist() for train, _ in sides(["1", "2", "1", ""])]
    [[1], [0, 2]]
    """
    names = np.asarray(parts, dtype=object)
    for part in sorted(set(parts) - {""}):
        if TRAIN in parts and part == TRAIN:
            continue
        trained = names == TRAIN if TRAIN in parts else (names != part) & (names != "")
        yield np.flatnonzero(trained), np.flatnonzero(names == part)


def worth(
    data: AuditSet, groups: Sequence[str], parts: Sequence[str], *, seed: int = 0
) -> Worth | None:
    """What groups on both sides of a split are worth; None where there are none.

    For each fold, one model learns from the training part without the clips of the fold's own
    groups, and others from the training part without as many other clips of the same classes,
    drawn at random. Both are scored on the same clips; the difference is the worth.

    Parameters
    ----------
    groups : sequence of str
        Of each row; "" is a group of its own.
    parts : sequence of str
        Fold or part of each row; "" takes no part.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> data = simulate(Recipe(artist_spread=1.5, split="clips"), 0)
    >>> found = worth(data, data.groups["artist"], data.split)
    >>> found.difference > 0.1, found.low > 0
    (True, True)
    """
    rows = _drawn(data, groups, seed)
    probe = Probe(data, rows)
    names = np.array([groups[row] or f"(row {row})" for row in rows], dtype=object)
    own = np.unique(names.astype(str), return_inverse=True)[1]
    own_parts = [parts[row] for row in rows]
    rng = generator(seed, "worth")
    gains: list[tuple[Integers, Floats]] = []
    common = 0.0
    totals = np.zeros(3)
    for train, test in sides(own_parts):
        both = np.isin(own[train], own[test])
        if not len(test) or not len(train):
            continue
        shared = np.isin(own[test], own[train])
        if not shared.any():
            score = probe.scores(train, test).sum()
            totals += (score, score, len(test))
            continue
        kept = train[~both]
        if not _learnable(probe, kept):
            continue
        without = probe.scores(kept, test)
        among = [_fewer(probe, train, both, rng) for _ in range(CONTROLS)]
        controls = np.array([probe.scores(one, test) for one in among])
        with_groups = controls.mean(axis=0)
        common += _common(controls[:, shared])
        gains.append((own[test][shared], (with_groups - without)[shared]))
        totals += (
            with_groups[shared].sum() + without[~shared].sum(),
            without.sum(),
            len(test),
        )
    if not gains:
        return None
    return _summed(gains, common, totals, probe.score_name)


def _common(controls: Floats) -> float:
    """Variance of a sum of scores that all clips of a fold share, for they are of one model.

    What remains of the variance between models that learned from other random parts, once each
    clip's own is taken off; for the difference of one model and the mean of the others.
    """
    between = float(controls.sum(axis=1).var(ddof=1))
    own = float(controls.var(axis=0, ddof=1).sum())
    return max(0.0, between - own) * (1 + 1 / len(controls))


def _summed(
    gains: list[tuple[Integers, Floats]], common: float, totals: Floats, score: str
) -> Worth:
    codes = np.concatenate([names for names, _ in gains])
    values = np.concatenate([gain for _, gain in gains])
    found, inverse = np.unique(codes, return_inverse=True)
    per_group = np.bincount(inverse, weights=values)
    n, count = totals[2], len(found)
    difference = float(per_group.sum() / n)
    low = high = p_value = float("nan")
    spread = np.sqrt(per_group.var(ddof=1) * count + common) / n if count > 1 else 0.0
    if count >= FEWEST_GROUPS and spread > 0:
        reach = stats.t.ppf(0.975, count - 1) * spread
        low, high = difference - reach, difference + reach
        p_value = float(stats.t.sf(difference / spread, count - 1))
    elif count >= FEWEST_GROUPS:
        low = high = difference
        p_value = 1.0
    return Worth(
        groups=count,
        clips=len(codes),
        tested=int(n),
        score=score,
        with_groups=float(totals[0] / n),
        without=float(totals[1] / n),
        difference=difference,
        low=float(low),
        high=float(high),
        p_value=p_value,
    )


def _drawn(data: AuditSet, groups: Sequence[str], seed: int) -> Integers:
    """Labelled rows, of whole groups; as many as one kernel holds."""
    rows = data.labelled
    if len(rows) <= MOST_ROWS:
        return rows
    names = np.array([groups[row] or f"(row {row})" for row in rows])
    codes = np.unique(names, return_inverse=True)[1]
    order = generator(seed, "worth", "rows").permutation(int(codes.max()) + 1)
    sizes = np.bincount(codes)
    taken = order[np.cumsum(sizes[order]) <= MOST_ROWS]
    return rows[np.isin(codes, taken)]


def _learnable(probe: Probe, rows: Integers) -> bool:
    """Whether there is anything to learn from."""
    return len(rows) > 1 and bool(np.ptp(probe.labels[rows], axis=0).max() > 0)


def _fewer(
    probe: Probe, train: Integers, both: NDArray[np.bool_], rng: np.random.Generator
) -> Integers:
    """The training part less as many clips as the shared ones, of the same classes.

    Where the others of a class do not suffice, shared ones go too.
    """
    classes = probe.data.codes[probe.rows[train]]
    out = np.zeros(len(train), dtype=bool)
    for label in np.unique(classes[both]):
        of_class = np.flatnonzero(classes == label)
        count = int((classes[both] == label).sum())
        free = rng.permutation(of_class[~both[of_class]])
        shared = rng.permutation(of_class[both[of_class]])
        out[np.concatenate([free, shared])[:count]] = True
    return train[~out]
