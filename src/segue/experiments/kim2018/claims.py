"""What the paper found, and whether it is found here: every claim with an interval of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from segue.experiments.kim2018.combinations import combinations_of
from segue.experiments.kim2018.published import LOG_LOSS, MTN, STN, WSTN
from segue.experiments.kim2018.results import (
    PRIOR,
    UNTRAINED,
    Estimate,
    Results,
    estimate,
    has_genre,
    slope,
)
from segue.experiments.kim2018.splits import Kind
from segue.experiments.kim2018.table import PAPER, SHARINGS, in_table3, table5

HOLDS, AGAINST, OPEN = "holds", "does not hold", "not shown"

BEST: Final = "all tasks better than every other combination"
CHOSEN: Final = "best of N tasks better than a network as wide (chosen on the test tracks)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One claim, and what it came to under one split by one metric.

    ``verdict`` is "holds" or "does not hold" (the opposite is shown) where the 95 % interval of the
    difference leaves out 0, else "not shown"; where one side was chosen on the test tracks, never
    the verdict that choosing brings about.
    """

    claim: str
    target: str
    protocol: str
    metric: str
    verdict: str
    numbers: str


CHANCE: Final = {BEST: AGAINST, CHOSEN: HOLDS}
"""Verdicts that choosing on the test tracks brings about by itself: they are never given."""

Measured = tuple[str, Estimate | None]


def findings(results: Results) -> list[Finding]:
    """All claims under every split by the paper's two metrics, claim by claim."""
    found = [
        _finding(results, kind, metric, claim, one)
        for kind in results.kinds
        for metric in PAPER
        for part in (_of_tasks, _of_genre, _of_sharing, _of_width, _of_controls)
        for claim, one in part(results, kind, metric)
        if one is not None
    ]
    order = list(dict.fromkeys(one.claim for one in found))
    return sorted(found, key=lambda one: order.index(one.claim))


def _finding(results: Results, kind: Kind, metric: str, claim: str, found: Estimate) -> Finding:
    """The difference is ours minus the other's: of a log loss, below 0 is better."""
    better = found.shown * (-1 if metric == LOG_LOSS else 1)
    verdict = {1: HOLDS, -1: AGAINST, 0: OPEN}[better]
    if any(claim.endswith(chosen) and verdict == never for chosen, never in CHANCE.items()):
        verdict = OPEN
    return Finding(
        claim=claim,
        target=results.task,
        protocol=kind,
        metric=metric,
        verdict=verdict,
        numbers=numbers_of(found),
    )


def numbers_of(found: Estimate, digits: int = 3) -> str:
    """A difference with its interval.

    Examples
    --------
    >>> numbers_of(estimate([0.1, 0.2, 0.3]))
    '+0.200 (-0.107 to +0.507)'
    >>> numbers_of(estimate([0.1]))
    '+0.100 (one seed: no interval)'
    """
    mean = f"{found.mean:+.{digits}f}"
    if found.seeds < 2:
        return f"{mean} (one seed: no interval)"
    return f"{mean} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"


def _of_tasks(results: Results, kind: Kind, metric: str) -> Iterator[Measured]:
    for sharing in SHARINGS:
        yield (
            f"{sharing}: better with every further task (slope over all combinations)",
            slope(results, kind, sharing, metric),
        )
    for sharing in SHARINGS:
        every = results.combinations(sharing)
        beside = [one for one in every if has_genre(one) and len(one.split()[1]) > 1]
        yield (
            f"{sharing}: artist groups beside the genre better than the genre alone (mean)",
            results.difference(kind, beside, [f"{STN} g"], metric),
        )
        yield (
            f"{sharing}: all tasks better than the genre alone",
            results.difference(kind, every[-1:], [f"{STN} g"], metric),
        )
        yield (
            f"{sharing}: {BEST}",
            _best_of_all(results, kind, every, metric),
        )


def _best_of_all(
    results: Results, kind: Kind, every: Sequence[str], metric: str
) -> Estimate | None:
    """All tasks minus the best of the others, which are chosen in their favour."""
    sign = -1 if metric == LOG_LOSS else 1
    means = {row: one.mean for row in every[:-1] if (one := results.mean(kind, row, metric))}
    if not means:
        return None
    best = max(means, key=lambda row: sign * means[row])
    return results.difference(kind, every[-1:], [best], metric)


def _of_genre(results: Results, kind: Kind, metric: str) -> Iterator[Measured]:
    for sharing in SHARINGS:
        every = in_table3(results, sharing)
        yield (
            f"{sharing}: better with g than without (Table 3)",
            results.difference(
                kind,
                [one for one in every if has_genre(one)],
                [one for one in every if not has_genre(one)],
                metric,
            ),
        )
    for sharing in SHARINGS:
        without = [one for one in combinations_of(results.tasks) if "g" not in one]
        pairs = [(_named(results, sharing, f"g{one}"), _named(results, sharing, one))
                 for one in without]  # fmt: skip
        yield (
            f"{sharing}: better with g, the other tasks the same",
            results.difference(kind, [a for a, _ in pairs], [b for _, b in pairs], metric),
        )


def _named(results: Results, sharing: str, letters: str) -> str:
    """The row of these letters, in whatever order Table 4 spells them."""
    for row in results.combinations(sharing):
        if set(row.split()[1]) == set(letters):
            return row
    raise KeyError(letters)


def _of_sharing(results: Results, kind: Kind, metric: str) -> Iterator[Measured]:
    shared = [one for one in combinations_of(results.tasks) if len(one) > 1]
    yield (
        "MTN better than STN (the paper: not significant)",
        results.difference(
            kind, [f"{MTN} {one}" for one in shared], [f"{STN} {one}" for one in shared], metric
        ),
    )


def _of_width(results: Results, kind: Kind, metric: str) -> Iterator[Measured]:
    sizes = range(2, len(results.tasks) + 1)
    wide = [f"{WSTN} {n}" for n in sizes]
    for sharing in SHARINGS:
        best = [table5(results, kind, sharing, n, metric) for n in sizes]
        rows = [one.features for one in best if one is not None]
        yield f"{sharing}: {CHOSEN}", results.difference(kind, rows, wide, metric)
        beside = [
            [one for one in results.combinations(sharing, of=n) if has_genre(one)] for n in sizes
        ]
        yield (
            f"{sharing}: g with N - 1 others better than a network as wide (mean, none chosen)",
            _by_size(results, kind, beside, wide, metric),
        )


def _by_size(
    results: Results, kind: Kind, rows: Sequence[Sequence[str]], wide: Sequence[str], metric: str
) -> Estimate | None:
    """Mean over sizes of (mean of some rows minus the wide network of that size)."""
    parts = []
    for some, one in zip(rows, wide, strict=True):
        first, second = (results.averaged(kind, each, metric) for each in (some, [one]))
        if first is None or second is None:
            return None
        parts.append(first - second)
    return estimate(sum(parts) / len(parts)) if parts else None


def _of_controls(results: Results, kind: Kind, metric: str) -> Iterator[Measured]:
    alone = [f"{STN} g"]
    groups = [
        f"{STN} {one}" for one in combinations_of(results.tasks) if one != "g" and len(one) == 1
    ]
    for control, words in ((PRIOR, "class frequencies"), (UNTRAINED, "an untrained network")):
        yield (
            f"control: the genre's network better than {words}",
            results.difference(kind, alone, [control], metric),
        )
    yield (
        "control: networks of one artist group better than an untrained network (mean)",
        results.difference(kind, groups, [UNTRAINED], metric),
    )


def findings_csv(found: Sequence[Finding]) -> bytes:
    """``findings.csv``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("claim", "data set", "protocol", "metric", "verdict", "difference"))
    for one in found:
        writer.writerow((one.claim, one.target, one.protocol, one.metric, one.verdict, one.numbers))
    return text.getvalue().encode()
