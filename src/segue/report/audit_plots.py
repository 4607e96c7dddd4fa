"""Pictures of leak tests: jumps along the files, recall across borders, scores with and without."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from segue.evaluation.audit.verdicts import LeakTest
from segue.report.content import Figure
from segue.report.style import FAINT, INK, PALETTE, QUIET, WIDTH, draw, drawable, undrawable

MOST_LINES = 60
"""More borders than this would hide what they border."""


def leak_picture(test: LeakTest) -> Figure | None:
    """The picture that goes with a test; None where words and numbers are all there is.

    Examples
    --------
    >>> numbers = dict(statistic=0.1, low=0.05, high=0.15, control=0.0, p_value=0.01)
    >>> test = LeakTest(name="artist on both sides", question="", meaning="accuracy", words="",
    ...                 curves={"scores": [0.7, 0.6]}, **numbers)
    >>> leak_picture(test).alt
    'Dot plot: 0.700 with, 0.600 without.'
    """
    if "jump" in test.curves:
        return _trace(test)
    if "within" in test.curves:
        return _recalls(test)
    if "facts" in test.curves:
        return _facts(test)
    return _with_and_without(test) if "scores" in test.curves else None


def _trace(test: LeakTest) -> Figure:
    """How far features jump at each row; borders of the batches that were found."""
    jumps = np.exp(np.asarray(test.curves["jump"], dtype=np.float64))
    borders = [int(place) for place in test.curves["borders"]]
    shown = borders if len(borders) <= MOST_LINES else []

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        for edge in test.curves["runs"]:
            ax.axvline(edge, color=FAINT, linewidth=0.8, zorder=0)
        for place in shown:
            ax.axvline(place, color=PALETTE[1], linewidth=1.1, linestyle=(0, (3, 2)), zorder=1)
        ax.plot(jumps, color=PALETTE[0], linewidth=0.9)
        at = [place for place in borders if np.isfinite(jumps[place])]
        ax.plot(at, jumps[at], "o", color=PALETTE[1], markersize=4.5)
        if np.isfinite(jumps).any():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("row, in file order")
        ax.set_ylabel("squared jump (usual: 1)")
        ax.margins(x=0.01)

    found = f"Orange: borders of batches of {borders[0]}." if borders else "No batches were found."
    size = f"borders of batches of {borders[0]} marked" if borders else "no borders found"
    return Figure(
        draw((WIDTH, 2.9), paint),
        caption=(
            "Squared distance of the mean of the rows before a place from the mean of the rows "
            f"after it, without what labels explain. {found} Grey: a new class begins. A gap: no "
            "room to compare within one class."
        ),
        alt=f"Curve of jumps along {len(jumps) - 1} rows, {size}.",
        name="batch order",
    )


def _recalls(test: LeakTest) -> Figure:
    """Recall within and across, one pair of dots for each border."""
    within, across = (
        np.asarray(test.curves[key], dtype=np.float64) for key in ("within", "across")
    )
    named = [f"row {row['border before row']}: {row['label']}" for row in test.rows]
    labels = drawable(named)

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        for y, (right, left) in enumerate(zip(within, across, strict=True)):
            ax.plot([left, right], [y, y], color=FAINT, linewidth=2.5, zorder=1)
        ax.plot(within, range(len(within)), "o", color=PALETTE[0], label="learned within the batch")
        ax.plot(
            across, range(len(across)), "D", color=PALETTE[1], label="learned across the border"
        )
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xlabel("recall")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        _bare(ax)

    return Figure(
        draw((WIDTH, 1.3 + 0.3 * len(labels)), paint),
        caption=(
            "Recall of the clips beside each border, learned from as many clips of their own batch "
            "and of the next." + undrawable(named)
        ),
        alt=(
            f"Dot plot of {len(labels)} borders: mean recall {within.mean():.2f} within, "
            f"{across.mean():.2f} across."
        ),
        name="recall across batches",
    )


def _with_and_without(test: LeakTest) -> Figure:
    with_groups, without = test.curves["scores"]

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        ax.plot([with_groups], [0], "o", color=PALETTE[1])
        ax.plot([without], [1], "o", color=PALETTE[0])
        if math.isfinite(test.low):
            ends = without + np.array([test.low, test.high])
            ax.plot(ends, [0, 0], color=PALETTE[1], linewidth=1.6)
        ax.axvline(without, color=QUIET, linewidth=0.9, linestyle=(0, (3, 2)), zorder=0)
        ax.set_yticks([0, 1], ["in training, too", "not in training"])
        ax.set_ylim(1.6, -0.6)
        ax.set_xlabel("score of the same clips")
        ax.margins(x=0.2)
        _bare(ax)

    return Figure(
        draw((WIDTH, 1.6), paint),
        caption=(
            f"{test.meaning[0].upper()}{test.meaning[1:]}. The training parts are equally large. "
            "Line: 95 % interval of the difference."
        ),
        alt=f"Dot plot: {with_groups:.3f} with, {without:.3f} without.",
        name=test.name,
    )


def _facts(test: LeakTest) -> Figure:
    """Score of each fact alone, of all together, and of shuffled labels."""
    names: Sequence[str] = [*test.curves["facts"], "all together"]
    scores = [*test.curves["scores"], test.statistic]
    labels = drawable(names)

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        ax.barh(range(len(scores)), scores, height=0.55, color=[*_quiet(names), PALETTE[0]])
        ax.plot([test.low, test.high], [len(scores) - 1] * 2, color=INK, linewidth=1.4)
        ax.axvline(test.control, color=PALETTE[1], linewidth=1.2, linestyle=(0, (3, 2)))
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.set_xlabel(test.meaning)
        _bare(ax)

    return Figure(
        draw((WIDTH, 0.9 + 0.3 * len(labels)), paint),
        caption=(
            "Labels predicted from facts of the files, without their music. Dashed: shuffled "
            "labels. Line: 95 % interval." + undrawable(names)
        ),
        alt=f"Bars: {test.statistic:.3f} from all facts, {test.control:.3f} from shuffled labels.",
        name=test.name,
    )


def _quiet(names: Sequence[str]) -> list[str]:
    return [PALETTE[5]] * (len(names) - 1)


def _bare(ax: Axes) -> None:
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
