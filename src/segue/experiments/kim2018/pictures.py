"""Table 4 and Figure 3 as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.experiments.kim2018.combinations import combinations_of
from segue.experiments.kim2018.published import STN, WSTN
from segue.experiments.kim2018.results import Results, estimate
from segue.experiments.kim2018.splits import Kind
from segue.experiments.kim2018.table import PAPER, SHARINGS
from segue.report import Figure
from segue.report.combination_plots import (
    CombinationPoint,
    SizePoint,
    combinations_plot,
    sizes_plot,
)

Known = Mapping[tuple[str, str], float]
"""The published numbers by row and metric; none where the data set is not the paper's."""


def combinations_figure(results: Results, kind: Kind, known: Known) -> Figure:
    """Table 4 as a picture."""
    points = []
    for metric in PAPER:
        for tasks in combinations_of(results.tasks):
            for sharing in SHARINGS:
                name = f"{sharing} {tasks}"
                found = results.mean(kind, name, metric)
                if found is not None:
                    points.append(
                        CombinationPoint(
                            metric=metric,
                            system=sharing,
                            tasks=tasks,
                            mean=found.mean,
                            low=found.mean - found.se,
                            high=found.mean + found.se,
                            paper=known.get((name, metric)),
                        )
                    )
    return combinations_plot(
        points,
        levels=_levels(results, kind),
        level_name="the genre's network alone",
        bars="standard error over seeds",
        name=f"table4_{results.task}_{kind}",
    )


def sizes_figure(results: Results, kind: Kind, known: Known) -> Figure:
    """Figure 3: mean over the combinations of so many tasks."""
    points = []
    for metric in PAPER:
        for sharing in (*SHARINGS, WSTN):
            for n in range(1, len(results.tasks) + 1):
                rows = results.combinations(sharing, of=n)
                found = results.averaged(kind, rows, metric) if rows else None
                if found is not None:
                    points.append(_point(found, metric, sharing, n, rows, known))
    return sizes_plot(
        points,
        levels=_levels(results, kind),
        level_name="the genre's network alone",
        bars="standard error over seeds",
        name=f"figure3_{results.task}_{kind}",
    )


def _point(
    numbers: NDArray[np.float64],
    metric: str,
    sharing: str,
    n: int,
    rows: Sequence[str],
    known: Known,
) -> SizePoint:
    found = estimate(numbers)
    theirs = [known[row, metric] for row in rows if (row, metric) in known]
    return SizePoint(
        metric=metric,
        system=sharing,
        tasks=n,
        mean=found.mean,
        low=found.mean - found.se,
        high=found.mean + found.se,
        paper=float(np.mean(theirs)) if theirs and len(theirs) == len(rows) else None,
    )


def _levels(results: Results, kind: Kind) -> dict[str, float]:
    means = {metric: results.mean(kind, f"{STN} g", metric) for metric in PAPER}
    return {metric: one.mean for metric, one in means.items() if one is not None}
