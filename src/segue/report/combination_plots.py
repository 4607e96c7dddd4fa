"""Pictures of Kim et al. 2018: scores by number of tasks, and of every combination of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from segue.report.content import Figure
from segue.report.marks import legend_above, set_marks
from segue.report.style import FAINT, INK, QUIET, WIDTH, Mark, draw, drawable, undrawable
from segue.report.tables import metric_name, number


@dataclass(frozen=True, kw_only=True, slots=True)
class SizePoint:
    """Mean score of the systems of one kind that learned so many tasks.

    ``low`` and ``high`` are the ends of its line (NaN: none); ``paper`` is the published value.
    """

    metric: str
    system: str
    tasks: int
    mean: float
    low: float = math.nan
    high: float = math.nan
    paper: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CombinationPoint:
    """Score of one combination of tasks in one kind of system, with its interval."""

    metric: str
    system: str
    tasks: str
    mean: float
    low: float = math.nan
    high: float = math.nan
    paper: float | None = None


def sizes_plot(
    points: Sequence[SizePoint],
    *,
    levels: Mapping[str, float] | None = None,
    level_name: str = "",
    bars: str = "95 % interval",
    name: str = "sizes",
) -> Figure:
    """Mean score against the number of tasks, a panel per metric (Figure 3).

    Parameters
    ----------
    points : sequence of SizePoint
        In any order; metrics and systems are drawn in order of first appearance.
    levels : mapping of metric -> score, optional
        Drawn dashed, and called ``level_name``.
    bars : str
        What ``low`` and ``high`` are, for the caption.
    name : str
        File name stem under ``plots/``.

    Examples
    --------
    >>> one = SizePoint(metric="log loss", system="STN", tasks=2, mean=0.95)
    >>> sizes_plot([one]).alt
    'Curves of score against number of tasks. log loss: STN 2 0.950.'
    """
    metrics = list(dict.fromkeys(point.metric for point in points))
    looks = set_marks(point.system for point in points)
    least = min(point.tasks for point in points)
    most = max(point.tasks for point in points)

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(metrics), squeeze=False)[0]
        for ax, metric in zip(panels, metrics, strict=True):
            _paint_sizes(ax, [one for one in points if one.metric == metric], looks)
            if levels and metric in levels:
                ax.axhline(levels[metric], color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0)
            ax.set_title(_title(metric))
            ax.set_xlabel("number of tasks")
            ax.set_xticks(range(least, most + 1))
            ax.set_xlim(least - 0.35, most + 0.35)
            ax.grid(axis="y")
        legend_above(canvas, looks)

    return Figure(
        draw((WIDTH, 3.1), paint),
        caption="Mean over all combinations of so many tasks."
        + _lines(points, bars)
        + (f" Dashed: {level_name}." if levels else "")
        + _hollow(points)
        + undrawable(list(looks)),
        alt="Curves of score against number of tasks. "
        + " ".join(_size_words(metric, points) for metric in metrics),
        name=name,
    )


def _title(metric: str) -> str:
    return f"{metric_name(metric)} ({'smaller' if metric.endswith('loss') else 'larger'} is better)"


def _lines(points: Sequence[SizePoint] | Sequence[CombinationPoint], bars: str) -> str:
    return f" Lines: {bars}." if any(math.isfinite(one.low) for one in points) else ""


def _hollow(points: Sequence[SizePoint] | Sequence[CombinationPoint]) -> str:
    return " Hollow: the paper's." if any(one.paper is not None for one in points) else ""


def _paint_sizes(ax: Axes, points: Sequence[SizePoint], looks: Mapping[str, Mark]) -> None:
    for order, (system, look) in enumerate(looks.items()):
        own = sorted((one for one in points if one.system == system), key=lambda one: one.tasks)
        shift = 0.09 * (order - (len(looks) - 1) / 2)  # so that no interval hides another
        x = [one.tasks + shift for one in own]
        for at, one in zip(x, own, strict=True):
            ax.plot([at, at], [one.low, one.high], color=look.colour, linewidth=1.3, alpha=0.75)
            if one.paper is not None:
                ax.plot(at, one.paper, look.marker, mfc="white", mec=look.colour, mew=1.2,
                        markersize=6)  # fmt: skip
        ax.plot(x, [one.mean for one in own], color=look.colour, marker=look.marker,
                markersize=5.5, mec="white", mew=0.6, linewidth=1.4)  # fmt: skip
    ax.margins(y=0.08)
    ax.tick_params(axis="x", labelcolor=INK)


def _size_words(metric: str, points: Sequence[SizePoint]) -> str:
    lines: dict[str, list[str]] = {}
    for point in points:
        if point.metric == metric:
            lines.setdefault(point.system, []).append(f"{point.tasks} {number(point.mean)}")
    words = "; ".join(f"{system} {', '.join(parts)}" for system, parts in lines.items())
    return f"{metric_name(metric)}: {words}."


def combinations_plot(
    points: Sequence[CombinationPoint],
    *,
    levels: Mapping[str, float] | None = None,
    level_name: str = "",
    bars: str = "95 % interval",
    name: str = "combinations",
) -> Figure:
    """Score of every combination of tasks, a panel per metric, combinations below each other.

    Parameters
    ----------
    points : sequence of CombinationPoint
        Metrics, systems and combinations are drawn in order of first appearance, from the top; a
        line parts combinations of different size.
    levels : mapping of metric -> score, optional
        Drawn dashed, and called ``level_name``.
    bars : str
        What ``low`` and ``high`` are, for the caption.
    name : str
        File name stem under ``plots/``.

    Examples
    --------
    >>> one = CombinationPoint(metric="macro F1", system="MTN", tasks="gs", mean=0.619)
    >>> combinations_plot([one]).alt
    'Dot plot of every combination of tasks. macro F1: best MTN gs 0.619.'
    """
    metrics = list(dict.fromkeys(point.metric for point in points))
    looks = set_marks(point.system for point in points)
    order = list(dict.fromkeys(point.tasks for point in points))

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
        for ax, metric in zip(panels, metrics, strict=True):
            own = [point for point in points if point.metric == metric]
            _paint_combinations(ax, own, looks, order)
            if levels and metric in levels:
                ax.axvline(levels[metric], color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0)
            ax.set_title(_title(metric))
        panels[0].set_yticks(range(len(order)), drawable(order, width=12, lines=1))
        panels[0].set_ylim(len(order) - 0.4, -0.6)
        legend_above(canvas, looks)

    return Figure(
        draw((WIDTH, 1.0 + 0.235 * max(4, len(order))), paint),
        caption="Every combination of tasks, by their letters."
        + _lines(points, bars)
        + (f" Dashed: {level_name}." if levels else "")
        + _hollow(points)
        + undrawable([*order, *looks]),
        alt="Dot plot of every combination of tasks. "
        + " ".join(_best_words(metric, points) for metric in metrics),
        name=name,
    )


def _paint_combinations(
    ax: Axes, points: Sequence[CombinationPoint], looks: Mapping[str, Mark], order: Sequence[str]
) -> None:
    sizes = np.array([len(tasks) for tasks in order])
    for edge in np.flatnonzero(np.diff(sizes)):
        ax.axhline(edge + 0.5, color=FAINT, linewidth=0.8)
    step = 0.44 / max(1, len(looks))
    at = {system: (i - (len(looks) - 1) / 2) * step for i, system in enumerate(looks)}
    for point in points:
        look, y = looks[point.system], order.index(point.tasks) + at[point.system]
        ax.plot([point.low, point.high], [y, y], color=look.colour, linewidth=1.2, alpha=0.75,
                solid_capstyle="round", zorder=2)  # fmt: skip
        if point.paper is not None:
            ax.plot(point.paper, y, look.marker, mfc="white", mec=look.colour, mew=1.1,
                    markersize=5, zorder=3)  # fmt: skip
        ax.plot(point.mean, y, look.marker, color=look.colour, markersize=4.8, mec="white",
                mew=0.5, zorder=4)  # fmt: skip
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.margins(x=0.05)


def _best_words(metric: str, points: Sequence[CombinationPoint]) -> str:
    own = [point for point in points if point.metric == metric]
    sign = -1 if metric.endswith("loss") else 1
    best = max(own, key=lambda point: sign * point.mean)
    return f"{metric_name(metric)}: best {best.system} {best.tasks} {number(best.mean)}."
