"""The picture of a calibration: what was said against what was found, and what "unknown" costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from segue.evaluation.calibration import Bin
from segue.evaluation.selective import Accepted
from segue.report.content import Figure
from segue.report.style import INK, PALETTE, QUIET, WIDTH, draw, drawable
from segue.report.tables import number

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]

_FEWEST = 20  # accepted clips: the left end of the curve would show luck


def reliability_plot(
    before: Sequence[Bin],
    after: Sequence[Bin],
    *,
    target: str,
    said_of: str = "the label given",
    curve: Curve | None = None,
    chosen: Accepted | None = None,
    name: str = "",
) -> Figure:
    """Reliability before and after calibration; beside it accuracy against coverage.

    Parameters
    ----------
    before, after : sequence of Bin
        From calibration.reliability_bins, out of fold.
    said_of : str
        What the probabilities are of, for the axis.
    curve : (coverage, accuracy), optional
        From selective.acceptance_curve; without it there is one panel.
    chosen : Accepted, optional
        What the threshold in use leaves, marked on the curve.
    name : str
        File name stem under ``plots/``.
    """

    def paint(canvas: Canvas) -> None:
        if curve is None:
            _paint_bins(canvas.add_subplot(), before, after, said_of)
            return
        left, right = canvas.subplots(1, 2)
        _paint_bins(left, before, after, said_of)
        _paint_curve(right, curve, chosen, sum(one.n for one in after))

    size = (4.6, 4.2) if curve is None else (WIDTH, 3.9)
    caption = (
        f"Left: share found against probability said, of {said_of}; on the dashed line both agree. "
        if curve is not None
        else f"Share found against probability said, of {said_of}; on the dashed line both agree. "
    )
    caption += (
        "Each dot stands for equally many answers; bars are 95 % intervals that take clips as "
        "independent. All probabilities are out of fold, those after calibration by calibrators of "
        "the other folds."
    )
    if curve is not None:
        caption += (
            " Right: share of right labels among the surest clips, against how many these are"
            + (
                ", and what the threshold in use leaves; one that was chosen is judged by those "
                "that the other folds would have chosen."
                if chosen is not None
                else "."
            )
        )
    return Figure(
        draw(size, paint),
        caption=caption,
        alt=(
            f"Reliability of {drawable([target], width=60)[0]}: mean distance from the dashed line "
            f"{number(_distance(before))} before and {number(_distance(after))} after calibration."
            + (_chosen_words(chosen) if chosen is not None else "")
        ),
        name=name,
    )


def _paint_bins(ax: Axes, before: Sequence[Bin], after: Sequence[Bin], said_of: str) -> None:
    ax.plot([0, 1], [0, 1], color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
    ax.plot(
        [one.said for one in before], [one.found for one in before], "o", markersize=6,
        markerfacecolor="none", color=PALETTE[1], label="before calibration",
    )  # fmt: skip
    said = np.array([one.said for one in after])
    found = np.array([one.found for one in after])
    below = found - np.array([one.low for one in after])
    above = np.array([one.high for one in after]) - found
    ax.errorbar(
        said, found, yerr=np.maximum([below, above], 0), fmt="o", color=PALETTE[0], markersize=6,
        mec="white", mew=0.8, elinewidth=1.4, label="after",
    )  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xlabel(f"probability said of {said_of}")
    ax.set_ylabel("share found true")
    ax.grid()
    ax.legend(loc="upper left", frameon=False, fontsize=8.5)


def _paint_curve(ax: Axes, curve: Curve, chosen: Accepted | None, n: int) -> None:
    coverage, accuracy = curve
    shown = coverage * n >= min(_FEWEST, n)
    ax.plot(coverage[shown], accuracy[shown], color=PALETTE[0], linewidth=1.8)
    ax.annotate(
        f"all: {number(float(accuracy[-1]))}", (1.0, float(accuracy[-1])), xytext=(0, -6),
        textcoords="offset points", ha="right", va="top", fontsize=8.5, color=QUIET,
    )  # fmt: skip
    if chosen is not None and chosen.accepted:
        ax.errorbar(
            chosen.coverage, chosen.accuracy,
            yerr=[[chosen.accuracy - chosen.low], [chosen.high - chosen.accuracy]],
            fmt="D", color=PALETTE[1], markersize=7, mec="white", mew=0.8, elinewidth=1.4,
        )  # fmt: skip
        ax.annotate(
            f"in use: {number(chosen.accuracy)}\nof {chosen.coverage:.0%} answered",
            (chosen.coverage, chosen.accuracy), xytext=(9, 2), textcoords="offset points",
            fontsize=8.5, color=INK,
        )  # fmt: skip
    lowest = float(accuracy[shown].min())
    ax.set(xlim=(-0.02, 1.02), ylim=(max(-0.02, min(lowest - 0.12, 0.85)), 1.02))
    ax.set_xlabel("share of clips with a label (the surest)")
    ax.set_ylabel("share of these that are right")
    ax.grid()


def _distance(bins: Sequence[Bin]) -> float:
    return sum(one.n * abs(one.said - one.found) for one in bins) / sum(one.n for one in bins)


def _chosen_words(chosen: Accepted) -> str:
    if not chosen.accepted:
        return " With the threshold in use no clip gets a label."
    return (
        f" With the threshold in use {number(chosen.coverage)} of the clips get a label, and "
        f"{number(chosen.accuracy)} of these labels are right."
    )
