"""The critical-difference picture: encoders by mean rank, joined where nothing tells them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from segue.evaluation.ranks import (
    Ranking,
    critical_difference,
    friedman,
    mean_ranks,
    ranked,
)
from segue.evaluation.rows import TargetResult
from segue.report.content import Block, Figure, Section
from segue.report.plots import SIGNIFICANT, entry_names, p_text
from segue.report.style import INK, QUIET, WIDTH, Mark, draw, drawable, undrawable
from segue.report.tables import (
    Entry,
    compared,
    find_encoder,
    leaderboard,
    main_metric,
    metric_name,
    number,
    smaller_is_better,
)

LEAST = 3
"""Encoders for which a picture of ranks says more than the table."""


def ranks_section(result: TargetResult, looks: Mapping[str, Mark], stem: str) -> Section | None:
    """Encoders of one target by their mean rank over outer folds; None for fewer than three."""
    metric = main_metric(result)
    entries = [
        entry
        for entry in compared(leaderboard(result))
        if math.isfinite(entry.mean(metric)) and find_encoder(result, entry) is not None
    ]
    if len(entries) < LEAST:
        return None
    names = entry_names(entries)
    found = [find_encoder(result, entry) for entry in entries]
    scores = np.stack([one.fold_scores[metric] for one in found if one is not None], axis=1)
    if np.isnan(scores).any(axis=1).all():
        return None
    by_test = {(entry.label, entry.head): name for entry, name in zip(entries, names, strict=True)}
    different = {
        (by_test[test.first, test.head], by_test[test.second, test.head]): test.p_holm < SIGNIFICANT
        for test in result.tests
        if test.metric == metric
        and {(test.first, test.head), (test.second, test.head)} <= by_test.keys()
    }
    ranking = ranked(names, scores, different, larger_is_better=not smaller_is_better(metric))
    colours = {name: looks[entry.label] for name, entry in zip(names, entries, strict=True)}
    words = (
        f"Mean rank of each encoder over {ranking.places} outer folds, 1 being best. A bar joins "
        "encoders of which no two are told apart by the paired tests above."
    )
    return Section(
        "Ranks",
        [
            words,
            rank_plot(
                ranking,
                colours,
                name=f"{stem}-ranks",
                caption=f"{metric_name(metric)}: mean ranks over outer folds.",
            ),
        ],
    )


def overall_section(results: Sequence[TargetResult], looks: Mapping[str, Mark]) -> Section | None:
    """Encoders over several targets: mean rank, Friedman's test, Nemenyi's critical difference.

    None for fewer than three targets, or fewer than three encoders that all of them have.
    """
    table: dict[str, list[float]] = {}
    labels: dict[str, str] = {}
    for result in results:
        metric = main_metric(result)
        sign = -1.0 if smaller_is_better(metric) else 1.0
        board: list[Entry] = compared(leaderboard(result))
        heads = {entry.label: entry for entry in reversed(board)}  # the best of each stays
        for label, entry in heads.items():
            table.setdefault(label, []).append(sign * entry.mean(metric))
            labels[label] = entry.label
    whole = {name: scores for name, scores in table.items() if len(scores) == len(results)}
    scores = np.array(list(whole.values())).T
    if len(results) < LEAST or len(whole) < LEAST or np.isnan(scores).any(axis=1).all():
        return None
    p = friedman(scores)
    names = list(whole)
    needed = critical_difference(len(names), len(results))
    ranks = dict(zip(names, mean_ranks(scores), strict=True))
    different = {
        (a, b): p < SIGNIFICANT and abs(ranks[a] - ranks[b]) >= needed
        for place, a in enumerate(names)
        for b in names[place + 1 :]
    }
    ranking = ranked(names, scores, different)
    left = len(table) - len(whole)
    words: list[Block] = [
        f"Mean rank of {len(names)} encoders over {len(results)} targets. Friedman's test: "
        f"{p_text(p)}. Mean ranks that differ by less than {number(needed)} (Nemenyi, 5 %) are "
        "joined. The test takes targets for independent data sets; targets of one collection are "
        "not, so it claims too much here."
        + (f" {left} encoders lack some target and are left out." if left else "")
    ]
    colours = {name: looks[labels[name]] for name in names}
    figure = rank_plot(ranking, colours, name="ranks", caption="Mean ranks over targets.")
    return Section("All targets", [*words, figure])


def rank_plot(ranking: Ranking, looks: Mapping[str, Mark], *, name: str, caption: str) -> Figure:
    """Mean ranks on a line, names at both sides, bars below that join what is not told apart.

    Parameters
    ----------
    ranking : Ranking
    looks : mapping of name -> Mark
    name : str
        File name stem under ``plots/``.
    """
    drawn = dict(zip(ranking.names, drawable(list(ranking.names), width=30, lines=1), strict=True))
    m = len(ranking.names)
    left = ranking.names[: (m + 1) // 2]
    height = 0.9 + 0.12 * len(ranking.cliques) + 0.27 * len(left)

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        _paint_axis(ax, m)
        deep = 0.35 + 0.3 * len(ranking.cliques)
        for row, (first, last) in enumerate(ranking.cliques):
            y = -0.3 - 0.3 * row
            ends = ranking.ranks[first] - 0.06, ranking.ranks[last] + 0.06
            ax.plot(ends, [y, y], color=INK, linewidth=3.2, solid_capstyle="round")
        for place, (one, rank) in enumerate(zip(ranking.names, ranking.ranks, strict=True)):
            on_left = place < len(left)
            row = place if on_left else m - 1 - place
            y, end = -deep - 0.55 * (row + 0.5), 0.7 if on_left else m + 0.3
            look = looks[one]
            ax.plot([rank, rank, end], [0, y, y], color=QUIET, linewidth=0.8, zorder=1)
            ax.plot(rank, 0, look.marker, color=look.colour, markersize=7, mec="white", mew=0.8)
            ax.annotate(
                f"{drawn[one]}  {rank:.2f}" if on_left else f"{rank:.2f}  {drawn[one]}",
                (end, y),
                xytext=(-4 if on_left else 4, 0),
                textcoords="offset points",
                ha="right" if on_left else "left",
                va="center",
                fontsize=9,
                color=INK,
                annotation_clip=False,
            )
        ax.set_ylim(-deep - 0.55 * (len(left) + 0.2), 0.75)

    listed = ", ".join(
        f"{one} {rank:.2f}" for one, rank in zip(ranking.names, ranking.ranks, strict=True)
    )
    joined = "; ".join(
        " to ".join((ranking.names[first], ranking.names[last])) for first, last in ranking.cliques
    )
    return Figure(
        draw((WIDTH, max(1.6, height)), paint),
        caption=caption + undrawable(list(ranking.names)),
        alt=f"Mean ranks: {listed}. Not told apart: {joined or 'no run'}.",
        name=name,
    )


def _paint_axis(ax: Axes, m: int) -> None:
    ax.plot([1, m], [0, 0], color=INK, linewidth=1.0, zorder=0)
    for rank in range(1, m + 1):
        ax.plot([rank, rank], [0, 0.12], color=INK, linewidth=0.8)
        if m <= 12 or rank % 2 == 1:
            ax.annotate(
                str(rank), (rank, 0.18), ha="center", va="bottom", fontsize=8.5, color=QUIET
            )
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    # a third at each side for the names
    ax.set_xlim(1 - 0.55 * max(m - 1, 2), m + 0.55 * max(m - 1, 2))
