"""Colours and shapes of named sets, and the legend that tells them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from segue.report.style import INK, MARKERS, PALETTE, Mark, drawable


def set_marks(sets: Iterable[str]) -> dict[str, Mark]:
    """Colour and shape of each data set, both different while there are eight or fewer.

    Examples
    --------
    >>> set_marks(["a", "b"])["b"]
    Mark(colour='#D55E00', marker='s')
    """
    order = dict.fromkeys(sets)
    return {
        one: Mark(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)])
        for i, one in enumerate(order)
    }


def legend_above(
    canvas: Canvas, looks: Mapping[str, Mark], *, squares: bool = False, laid_out: bool = True
) -> None:
    """Names and marks of all sets above the panels, of which each may lack some.

    Parameters
    ----------
    canvas : Figure
    looks : mapping of name -> Mark
    squares : bool
        Colours only, where no marks are drawn.
    laid_out : bool
        Whether the canvas has a layout engine, which makes room outside the panels.
    """
    texts = drawable(list(looks), width=28, lines=1)
    handles = [
        Line2D([], [], marker="s" if squares else look.marker, color=look.colour, markersize=6,
               mec="white", mew=0.5, linestyle="none", label=text)
        for look, text in zip(looks.values(), texts, strict=True)
    ]  # fmt: skip
    where: Literal["outside upper left", "upper left"] = (
        "outside upper left" if laid_out else "upper left"
    )
    canvas.legend(handles=handles, loc=where, ncols=min(4, len(looks)), frameon=False,
                  fontsize=8.5, handletextpad=0.2, columnspacing=1.4, labelcolor=INK)  # fmt: skip
