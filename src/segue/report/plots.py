"""Pictures that compare encoders: scores with intervals, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from segue.evaluation.rows import PairedTest, TargetResult
from segue.report.content import Figure
from segue.report.style import FAINT, INK, PALETTE, QUIET, WIDTH, Mark, draw, drawable, undrawable
from segue.report.tables import (
    Entry,
    baseline,
    compared,
    fold_scores,
    interval,
    leaderboard,
    main_metric,
    metric_name,
    number,
    smaller_is_better,
)

SIGNIFICANT = 0.05
"""Holm-corrected p below which a difference is called shown, everywhere in the report."""


def score_plot(result: TargetResult, looks: Mapping[str, Mark], *, name: str = "") -> Figure:
    """Encoders of one target, best on top: mean, 95 % interval, fold scores, chance.

    Parameters
    ----------
    looks : mapping encoder label -> Mark
        From `segue.report.style.marks`, so that colours agree between pictures.
    name : str
        File name stem under ``plots/``.
    """
    metric = main_metric(result)
    board = leaderboard(result)
    encoders = compared(board)
    chance = baseline(board, metric)
    labels = entry_names(encoders)
    drawn = drawable(labels)
    rows = [max(1, text.count("\n") + 1) for text in drawn]
    height = 1.0 + sum(0.24 + 0.17 * lines for lines in rows)

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        if chance is not None:
            _paint_chance(ax, chance, metric)
        for y, entry in enumerate(encoders):
            _paint_scores(ax, y, entry, fold_scores(result, entry, metric), looks, metric)
        ax.set_yticks(range(len(encoders)), drawn)
        ax.set_ylim(len(encoders) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x")
        ax.margins(x=0.06)
        if not any(math.isfinite(entry.mean(metric)) for entry in board):
            ax.set_xticks([])  # an empty scale would invent numbers
        better = "smaller is better" if smaller_is_better(metric) else "larger is better"
        ax.set_xlabel(f"{metric_name(metric)} ({better})")

    means = "; ".join(
        f"{label} {number(e.mean(metric))}" for label, e in zip(labels, encoders, strict=True)
    )
    return Figure(
        draw((WIDTH, height), paint),
        caption=(
            "Large dot: mean over outer folds. Line: 95 % interval. Faint dots: single folds. "
            "Dashed: the best that sees no features, shaded: its interval." + undrawable(labels)
        ),
        alt=(
            f"Dot plot of {metric_name(metric)} for {result.target}: {means}"
            + (f"; {chance.encoder} {number(chance.mean(metric))}." if chance else ".")
        ),
        name=name,
    )


def paired_plot(result: TargetResult, *, name: str = "") -> Figure | None:
    """Table of differences between encoders, coloured only where Holm's p is below 0.05.

    None where the target has no paired tests.
    """
    entries = compared(leaderboard(result))
    pairs = paired_cells(result, entries)
    if not pairs:
        return None
    labels = entry_names(entries)
    drawn = drawable(labels, width=16 if len(entries) > 5 else 22)
    metric = main_metric(result)
    n = len(entries)
    cell = max(0.62, min(0.95, 5.4 / n))
    size = (max(WIDTH, 2.1 + n * 0.62) if n > 8 else WIDTH, 1.3 + n * max(0.5, 0.7 * cell))

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        largest = max(
            (abs(t.difference) for t in pairs.values() if math.isfinite(t.difference)), default=0
        )
        for (i, j), test in pairs.items():
            _paint_pair(ax, i, j, test, largest or 1.0)
        ax.set_xticks(
            range(n), drawn, rotation=35 if n > 5 else 0, ha="right" if n > 5 else "center"
        )
        ax.set_yticks(range(n), drawn)
        ax.set_xlim(-0.5, n - 0.5)
        ax.set_ylim(n - 0.5, -0.5)
        ax.tick_params(length=0)
        ax.tick_params(axis="x", labelsize=9, labelcolor=INK)
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.set_xlabel("… minus this encoder")
        ax.set_ylabel("this encoder …")

    shown = sum(test.p_holm < SIGNIFICANT for (i, j), test in pairs.items() if i < j)
    return Figure(
        draw(size, paint),
        caption=(
            f"Difference in {metric_name(metric)}, row minus column, with p after Holm's "
            f"correction. Blue: the row is better; orange: worse; white: no difference could be "
            f"shown (p ≥ {SIGNIFICANT}), or the pair could not be tested (p n/a)."
            + undrawable(labels)
        ),
        alt=(
            f"Table of paired differences in {metric_name(metric)} for {result.target}: "
            f"{shown} of {sum(i < j for i, j in pairs)} pairs differ after Holm's correction."
        ),
        name=name,
    )


def entry_names(entries: Sequence[Entry]) -> list[str]:
    """Labels of encoders, with the head where the same encoder comes with several."""
    labels = [entry.label for entry in entries]
    return [
        f"{entry.label}, {entry.head}" if labels.count(entry.label) > 1 else entry.label
        for entry in entries
    ]


def paired_cells(
    result: TargetResult, entries: Sequence[Entry]
) -> dict[tuple[int, int], PairedTest]:
    """The test for each ordered pair of entries; the reverse has the opposite difference."""
    position = {(entry.label, entry.head): i for i, entry in enumerate(entries)}
    cells = {}
    for test in result.tests:
        i = position.get((test.first, test.head))
        j = position.get((test.second, test.head))
        if test.metric == main_metric(result) and i is not None and j is not None:
            cells[i, j] = test
            cells[j, i] = replace(
                test, first=test.second, second=test.first, difference=-test.difference
            )
    return cells


def p_text(p: float) -> str:
    """A p value as papers print it.

    Examples
    --------
    >>> p_text(0.0312), p_text(0.0001), p_text(1.0), p_text(float("nan"))
    ('p = .031', 'p < .001', 'p = 1', 'p n/a')
    """
    if math.isnan(p):
        return "p n/a"
    if p < 0.001:
        return "p < .001"
    return "p = 1" if p > 0.9995 else f"p = {p:.3f}".replace("0.", ".", 1)


def _paint_chance(ax: Axes, chance: Entry, metric: str) -> None:
    row = chance.rows.get(metric)
    if row is None or not math.isfinite(row.mean):
        return
    if interval(row):
        ax.axvspan(row.low, row.high, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
    ax.axvline(row.mean, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1)
    ax.annotate(
        f"{chance.encoder} {number(row.mean)}",
        (row.mean, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=QUIET,
        fontsize=8.5,
    )


def _paint_scores(
    ax: Axes, y: int, entry: Entry, folds: Sequence[float], looks: Mapping[str, Mark], metric: str
) -> None:
    row, look = entry.rows.get(metric), looks[entry.label]
    if row is not None and interval(row):
        ax.plot(
            [row.low, row.high], [y, y], color=look.colour, linewidth=2.6, solid_capstyle="round"
        )
    # below the line, or they would hide in it
    ax.plot(
        folds, [y + 0.22] * len(folds), "o", color=look.colour, alpha=0.35, markersize=4.5, mew=0
    )
    if row is not None and math.isfinite(row.mean):
        ax.plot(row.mean, y, look.marker, color=look.colour, markersize=9, mec="white", mew=1.2)
    spread = f" ± {number(row.se)}" if row is not None and math.isfinite(row.se) else ""
    mean = number(entry.mean(metric))
    ax.annotate(
        mean + spread if mean != "n/a" else "not defined",
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        annotation_clip=False,
    )


def _paint_pair(ax: Axes, i: int, j: int, test: PairedTest, largest: float) -> None:
    shown = test.p_holm < SIGNIFICANT and math.isfinite(test.difference)
    better = -test.difference if smaller_is_better(test.metric) else test.difference
    face = (1.0, 1.0, 1.0)
    if shown:
        # even the smallest shown difference must be seen as coloured
        strength = 0.25 + 0.55 * abs(better) / largest
        face = _tint(PALETTE[0] if better > 0 else PALETTE[4], strength)
    ax.add_patch(
        Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=face, edgecolor=FAINT, linewidth=0.8)
    )
    sign = "+" if test.difference > 0 else ""
    ax.text(
        j,
        i,
        f"{sign}{number(test.difference)}\n{p_text(test.p_holm)}",
        ha="center",
        va="center",
        fontsize=8,
        color=INK if shown else QUIET,
        fontweight="bold" if shown else "normal",
    )


def _tint(colour: str, strength: float) -> tuple[float, float, float]:
    """The colour mixed with white; text stays readable on it up to strength 0.8."""
    red, green, blue = (1 - strength * (1 - part) * 0.8 for part in to_rgb(colour))
    return red, green, blue
