"""Label efficiency as pictures: scores against labels, and what each class gained from more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter, NullLocator
from numpy.typing import NDArray

from segue.evaluation.label_classes import Profit
from segue.evaluation.label_curves import Curve, LabelCurves
from segue.evaluation.label_draws import Size
from segue.report.content import Figure
from segue.report.marks import legend_above
from segue.report.style import QUIET, WIDTH, Mark, draw, drawable, undrawable
from segue.report.tables import metric_name

MOST_CLASSES = 24
"""Classes that a picture of gains shows: those that gained most."""


def size_name(size: Size) -> str:
    """A size as a reader says it.

    Examples
    --------
    >>> size_name(5), size_name(None)
    ('5', 'all')
    """
    return "all" if size is None else str(size)


def curve_plot(
    curves: LabelCurves, metric: str, looks: Mapping[str, Mark], *, name: str = ""
) -> Figure:
    """Scores of all encoders against the labels they were taught with, labels on a log scale.

    Parameters
    ----------
    curves : LabelCurves
    metric : str
        One of its curves.
    looks : mapping of encoder to Mark
    name : str
        File name stem under ``plots/``.
    """
    curve, per = curves.curves[metric], curves.per
    baselines = {
        what: scores[metric] for what, scores in curves.baselines.items() if metric in scores
    }

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        _paint_baselines(ax, baselines)
        for at, encoder in enumerate(curves.encoders):
            look = looks[encoder]
            # side by side, so that intervals at one size do not cover each other
            shift = 1.03 ** (2 * at - len(curves.encoders) + 1)
            _paint_curve(ax, per * shift, curve, at, look)
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xticks(per, _tick_names(curves.sizes, per))
        ax.set_xlim(per[0] / 1.25, per[-1] * 1.25)
        ax.set_xlabel(f"labelled {curves.unit()} (logarithmic)", color=QUIET)
        ax.set_ylabel(metric_name(metric))
        ax.grid(axis="y")
        legend_above(canvas, {one: looks[one] for one in curves.encoders})

    shown = (
        "no intervals" if curves.why_no_interval else "lines are 95 % intervals of each point alone"
    )
    return Figure(
        draw((WIDTH, 4.2), paint),
        caption=f"Mean over {curves.folds} test folds and {curves.repeats} draws of each size; "
        f"{shown}. All encoders were taught with the same clips."
        + (" A class that has fewer clips gives all it has." if curves.class_clips.size else "")
        + undrawable(curves.encoders),
        alt=f"Curves of {metric_name(metric)} against labelled {curves.unit()}. "
        + " ".join(_curve_words(curves, curve, at) for at in range(len(curves.encoders))),
        name=name,
    )


def _paint_curve(ax: Axes, x: NDArray[np.float64], curve: Curve, at: int, look: Mark) -> None:
    mean = curve.mean[at]
    ax.plot(x, mean, color=look.colour, linewidth=1.6, marker=look.marker, markersize=5.5,
            mec="white", mew=0.5, zorder=4)  # fmt: skip
    if not np.isnan(curve.low[at]).any():
        ax.vlines(x, curve.low[at], curve.high[at], color=look.colour, linewidth=1.2, zorder=3)


def _paint_baselines(ax: Axes, baselines: Mapping[str, float]) -> None:
    """A dotted line a predictor that sees no features; equal ones share their words."""
    together: dict[float, list[str]] = {}
    for what, value in baselines.items():
        if math.isfinite(value):
            together.setdefault(round(value, 3), []).append(what)
    for place, (value, names) in enumerate(sorted(together.items())):
        ax.axhline(value, color=QUIET, linewidth=1.0, linestyle=(0, (2, 2)), zorder=2)
        # lines may lie close together: one is named below, the other above
        below = place == 0 and len(together) > 1
        ax.annotate(" and ".join(names), (0.995, value), xycoords=("axes fraction", "data"),
                    xytext=(0, -3 if below else 3), textcoords="offset points", ha="right",
                    va="top" if below else "bottom", fontsize=8, color=QUIET)  # fmt: skip


def _tick_names(sizes: Sequence[Size], per: NDArray[np.float64]) -> list[str]:
    """Names of the sizes; that of all labels stands lower where the one before it is near."""
    names = [size_name(size) for size in sizes]
    if sizes[-1] is None:
        near = len(per) > 1 and per[-1] < 1.35 * per[-2]
        names[-1] = ("\n" if near else "") + f"all\n({per[-1]:.0f})"
    return names


def _curve_words(curves: LabelCurves, curve: Curve, at: int) -> str:
    ends = [0, len(curves.sizes) - 1] if len(curves.sizes) > 1 else [0]
    words = [f"{curve.mean[at, one]:.3f} with {size_name(curves.sizes[one])}" for one in ends]
    return f"{curves.encoders[at]}: {', '.join(words)}."


def profit_plot(
    profits: Sequence[Profit], looks: Mapping[str, Mark], *, unit: str, name: str = ""
) -> Figure:
    """What each class's F1 gained at the end of every encoder's curve.

    Parameters
    ----------
    profits : sequence of Profit
        At least one; classes in the order of the first.
    looks : mapping of encoder to Mark
    unit : str
        What a size counts.
    name : str
        File name stem under ``plots/``.
    """
    first = profits[0]
    order = [one.label for one in first.gains][:MOST_CLASSES]
    texts = drawable(order, width=26, lines=2)
    step = 0.8 / len(profits)
    height = 1.1 + 0.34 * len(order) * max(1.0, 0.55 * len(profits))

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        for number, profit in enumerate(profits):
            look, of = looks[profit.encoder], {one.label: one for one in profit.gains}
            gains = [of[label] for label in order]
            y = np.arange(len(order)) + step * (number - (len(profits) - 1) / 2)
            ax.plot([one.gain for one in gains], y, look.marker, color=look.colour, markersize=5.5,
                    mec="white", mew=0.5, zorder=4)  # fmt: skip
            low, high = [one.low for one in gains], [one.high for one in gains]
            if not any(math.isnan(value) for value in low):
                ax.hlines(y, low, high, color=look.colour, linewidth=1.2, zorder=3)
        ax.axvline(0, color=QUIET, linewidth=0.8, zorder=2)
        ax.set_yticks(range(len(order)), texts)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(order) - 0.4, -0.6)
        before, after = size_name(first.before), size_name(first.after)
        ax.set_xlabel(f"gain in F1 from {before} to {after} {unit}", color=QUIET)
        ax.grid(axis="x")
        legend_above(canvas, {one.encoder: looks[one.encoder] for one in profits})

    left = len(first.gains) - len(order)
    return Figure(
        draw((WIDTH, min(height, 9.0)), paint),
        caption="How much the F1 of each class grew with the last labels, with 95 % intervals. "
        f"Classes in the order of {first.encoder}."
        + (f" {left} classes with smaller gains are not drawn." if left else "")
        + undrawable(order),
        alt="Gains in F1 by class. "
        + " ".join(
            f"{one.encoder}: most for {one.gains[0].label} ({one.gains[0].gain:+.3f}), least for "
            f"{one.gains[-1].label} ({one.gains[-1].gain:+.3f})."
            for one in profits
        ),
        name=name,
    )
