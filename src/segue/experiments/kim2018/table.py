"""Results to rows: ours beside theirs, Tables 3 and 5, differences, and the paper's claims."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segue.experiments.kim2018.combinations import combinations_of
from segue.experiments.kim2018.published import (
    LOG_LOSS,
    MACRO_F1,
    METRICS,
    MTN,
    STN,
    TABLE3,
    TABLE4,
    TABLE5,
    WSTN,
    Pair,
    Sharing,
)
from segue.experiments.kim2018.results import Estimate, Results, estimate, has_genre
from segue.experiments.kim2018.splits import Kind
from segue.experiments.rows import TableRow

PAPER: tuple[str, ...] = (LOG_LOSS, MACRO_F1)
SHARINGS: tuple[Sharing, ...] = (STN, MTN)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow(TableRow):
    """One number of ``kim2018.csv``: a mean over seeds with its error and 95 % interval."""

    se: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One row minus another on the same splits: a line of ``differences.csv``."""

    task: str
    features: str
    minus: str
    metric: str
    protocol: str
    found: Estimate


@dataclass(frozen=True, slots=True)
class Best:
    """A cell of Table 5: the best combination of so many tasks, and what choosing it was worth.

    Attributes
    ----------
    features : str
        Chosen on the test tracks, as in the paper.
    best : Estimate
        Its mean: too good, since it was chosen by it.
    average, with_genre : Estimate or None
        Over all combinations of so many tasks, and over those with the genre: nothing was chosen.
    """

    features: str
    best: Estimate
    average: Estimate
    with_genre: Estimate | None


def score_rows(results: Results, *, paper: bool) -> list[ScoreRow]:
    """Every combination and baseline, then the averages of Table 3 and Figure 3."""
    rows = []
    for kind in results.kinds:
        known = published() if paper and kind == "random" else {}
        for features in results.features:
            for metric in METRICS:
                found = results.mean(kind, features, metric)
                if found is not None:
                    rows.append(_row(results, kind, features, metric, found, known))
        for features, members in averages(results).items():
            for metric in METRICS:
                numbers = results.averaged(kind, members, metric)
                if numbers is not None:
                    found = estimate(numbers)
                    rows.append(_row(results, kind, features, metric, found, known))
    return rows


def averages(results: Results) -> dict[str, list[str]]:
    """Rows that are means of combinations, and of which: Table 3, and Figure 3's points."""
    found: dict[str, list[str]] = {}
    for sharing in SHARINGS:
        every = in_table3(results, sharing)
        for genre in (False, True):
            words = "with g" if genre else "without g"
            found[f"{sharing} {words}, mean"] = [one for one in every if has_genre(one) == genre]
        for n in range(1, len(results.tasks) + 1):
            found[f"{sharing} of {n}, mean"] = results.combinations(sharing, of=n)
    return {name: members for name, members in found.items() if members}


def in_table3(results: Results, sharing: Sharing) -> list[str]:
    """The combinations that Table 3 averages: its MTN have two tasks or more."""
    every = results.combinations(sharing)
    return [one for one in every if one.split()[0] == sharing]


def published() -> dict[tuple[str, str], float]:
    """The paper's number of each of our rows."""
    known: dict[str, Pair] = {f"{way} {tasks}": pair for (way, tasks), pair in TABLE4.items()}
    for (way, genre), pair in TABLE3.items():
        known[f"{way} {'with' if genre else 'without'} g, mean"] = pair
    known |= {f"{WSTN} {n}": pair for (way, n), pair in TABLE5.items() if way == WSTN}
    return {
        (features, metric): value
        for features, pair in known.items()
        for metric, value in zip(PAPER, pair, strict=True)
    }


def _row(
    results: Results,
    kind: Kind,
    features: str,
    metric: str,
    found: Estimate,
    known: Mapping[tuple[str, str], float],
) -> ScoreRow:
    theirs = known.get((features, metric))
    return ScoreRow(
        task=results.task,
        features=features,
        metric=metric,
        ours=found.mean,
        theirs=theirs,
        difference=None if theirs is None else found.mean - theirs,
        protocol=kind,
        se=found.se,
        low=found.low,
        high=found.high,
        seeds=found.seeds,
    )


def differences(results: Results) -> list[Difference]:
    """Every row minus the genre's network alone, and every MTN minus its STN."""
    alone = f"{STN} g"
    pairs = [(one, alone) for one in results.features if one != alone]
    shared = [one for one in combinations_of(results.tasks) if len(one) > 1]
    pairs += [(f"{MTN} {one}", f"{STN} {one}") for one in shared]
    return [
        Difference(
            task=results.task,
            features=features,
            minus=minus,
            metric=metric,
            protocol=kind,
            found=found,
        )
        for kind in results.kinds
        for features, minus in pairs
        for metric in METRICS
        if (found := results.difference(kind, [features], [minus], metric)) is not None
    ]


def table5(results: Results, kind: Kind, sharing: Sharing, n: int, metric: str) -> Best | None:
    """The best of the combinations of ``n`` tasks."""
    rows = results.combinations(sharing, of=n)
    means = {row: results.mean(kind, row, metric) for row in rows}
    there = {row: one for row, one in means.items() if one is not None}
    every = results.averaged(kind, rows, metric)
    if not there or every is None:
        return None
    sign = -1 if metric == LOG_LOSS else 1
    best = max(there, key=lambda row: sign * there[row].mean)
    genre = results.averaged(kind, [row for row in rows if has_genre(row)], metric)
    return Best(best, there[best], estimate(every), None if genre is None else estimate(genre))


def to_csv(rows: Iterable[ScoreRow]) -> bytes:
    """``kim2018.csv``."""
    return _csv(list(ScoreRow.__dataclass_fields__), (row.as_dict() for row in rows))


def differences_csv(rows: Sequence[Difference]) -> bytes:
    """``differences.csv``."""
    names = ["task", "features", "minus", "metric", "protocol"]
    numbers = ["mean", "se", "low", "high", "seeds"]
    return _csv(
        [*names, *numbers],
        (
            {name: getattr(row, name) for name in names}
            | {name: getattr(row.found, name) for name in numbers}
            for row in rows
        ),
    )


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _plain(value) for name, value in row.items()})
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if value is None or value != value:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value
