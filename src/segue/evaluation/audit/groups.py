"""Artists, albums, recordings on both sides of a split, and what that is worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.verdicts import LeakTest, NotRun
from segue.evaluation.audit.worth import Worth, random_folds, sides, worth

NAME = "groups on both sides"
MATERIAL = 0.01
"""A smaller difference of scores is no finding, however sure it is."""

LISTED = 100


def group_tests(data: AuditSet, *, seed: int = 0) -> list[LeakTest | NotRun]:
    """One test for each group column.

    Of a split that is given, groups on both sides are a leak where they are worth something. Where
    none is given, random folds stand for the folds of somebody who knows of no groups: at most
    suspect, for nothing has leaked yet.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> [test] = group_tests(simulate(Recipe(artist_spread=1.5, split="clips"), 0))
    >>> test.limit, test.low > 0
    ('leak', True)
    """
    if not data.groups:
        why = "no column of artists, albums or recordings: name one with --group"
        return [NotRun(NAME, why)]
    parts = data.split if data.split is not None else random_folds(data, seed)
    return [_group_test(data, name, parts, seed) for name in data.groups]


def _group_test(data: AuditSet, name: str, parts: Sequence[str], seed: int) -> LeakTest | NotRun:
    title, groups = f"{name} on both sides", data.groups[name]
    if len(set(groups)) < 2:
        return NotRun(title, f"all clips are of one {name}")
    both = on_both_sides(groups, parts)
    found = worth(data, groups, parts, seed=seed) if both else None
    given = data.split is not None
    split = "the given split" if given else "random folds"
    if found is None:
        words = f"No {name} stands on both sides of {split}."
        if both:
            words = f"{len(both)} of {name} stand on both sides of {split}, with no clip to score."
        nothing = Worth(
            groups=0, clips=0, tested=0, score="", with_groups=0.0, without=0.0,
            difference=0.0, low=0.0, high=0.0, p_value=float("nan"),
        )  # fmt: skip
        return _test(title, name, nothing, words, "leak" if given else "suspect", [])
    words = (
        f"{len(both)} of {len(set(groups) - {''})} {name} values stand on both sides of {split}. "
        f"With them in the training part the {found.score} is {found.with_groups:.3f}; with as "
        f"many other clips of the same labels instead, {found.without:.3f}: they are worth "
        f"{found.difference:+.3f}."
    )
    if not given:
        words += f" Keep them together with --group {name} when you evaluate."
    limit = "leak" if given else "suspect"
    if found.difference < MATERIAL:
        limit = "clear"
    rows = [{name: group, "parts": ", ".join(where)} for group, where in both.items()]
    return _test(title, name, found, words, limit, rows[:LISTED])


def _test(
    title: str, name: str, found: Worth, words: str, limit: str, rows: list[dict[str, str]]
) -> LeakTest:
    return LeakTest(
        name=title,
        question=(
            f"Does a {name} stand in training and test at once? A model then recognises the "
            f"{name}, and its score says little of music by others."
        ),
        meaning=f"{found.score or 'score'} with the {name} in training, less without it",
        statistic=found.difference,
        low=found.low,
        high=found.high,
        control=0.0,
        p_value=found.p_value,
        limit=limit,  # type: ignore[arg-type]
        words=words,
        rows=rows,
        curves={"scores": [found.with_groups, found.without]} if found.groups else {},
    )


def on_both_sides(groups: Sequence[str], parts: Sequence[str]) -> dict[str, list[str]]:
    """Groups that stand in training and test of one fold, with the parts they are in.

    Examples
    --------
    >>> on_both_sides(["x", "x", "y", ""], ["1", "2", "1", "2"])
    {'x': ['1', '2']}
    """
    torn: set[str] = set()
    for train, test in sides(parts):
        torn |= {groups[row] for row in train} & {groups[row] for row in test}
    where: dict[str, set[str]] = defaultdict(set)
    for group, part in zip(groups, parts, strict=True):
        if group in torn and group and part:
            where[group].add(part)
    return {group: sorted(found) for group, found in sorted(where.items())}
