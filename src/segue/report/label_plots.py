"""Labels of several data sets in one space: their map, and their distances as a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Canvas
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.report.content import Figure
from segue.report.marks import legend_above, set_marks
from segue.report.style import (
    QUIET,
    WIDTH,
    draw,
    drawable,
    undrawable,
)

NAMED = 80
"""Up to so many labels a map names all; of more, those that have room."""

HEAT_LABELS = 64
"""Labels whose names a heat map has room for."""

_HEIGHT = 6.6  # inches of a map
_TEXT = 7.0
# sixteenths of a circle, from where a name reads best
_TURNS = np.array([0, 8, 1, 15, 7, 9, 2, 14, 6, 10, 4, 12, 3, 13, 5, 11])


def class_map(
    names: Sequence[str],
    sets: Sequence[str],
    positions: ArrayLike,
    *,
    stress: float | None = None,
    name: str = "classes",
) -> Figure:
    """Labels of all data sets in the plane, near ones near each other; shape and colour by set.

    Parameters
    ----------
    names, sets : sequence of n str
    positions : (n, 2) array
        As `segue.similarity.label_map` gives them; one unit is as long in both directions.
    stress : float, optional
        Of the map, for the caption.
    name : str
        File name stem under ``plots/``.

    Raises
    ------
    UsageError
        Shapes that do not agree, or positions that are not finite.

    Examples
    --------
    >>> class_map(["jazz", "rock"], ["a", "b"], [[0.0, 0.0], [1.0, 0.0]]).alt
    'Map of 2 labels of 2 data sets: a 1, b 1. Nearest in the picture: jazz (a) and rock (b).'
    """
    points = _checked_positions(positions, names, sets)
    looks = set_marks(sets)
    all_named = len(names) <= NAMED
    named: list[int] = []

    def paint(canvas: Canvas) -> None:
        # no layout engine, so that the place of every name is known while drawing
        canvas.set_layout_engine("none")
        ax = canvas.add_axes((0.01, 0.01, 0.98, 0.93))
        ax.set(xticks=[], yticks=[])
        for side in ("left", "bottom", "top", "right"):
            ax.spines[side].set_visible(False)
        _equal_scales(ax, points)
        for one, look in looks.items():
            own = np.array([other == one for other in sets])
            ax.plot(*points[own].T, look.marker, color=look.colour,
                    markersize=5.5 if all_named else 4, mec="white", mew=0.5,
                    linestyle="none", zorder=3)  # fmt: skip
        inks = [_dark(looks[one].colour) for one in sets]
        named[:] = _write_names(canvas, ax, points, _short(names), inks, force=all_named)
        legend_above(canvas, looks, laid_out=False)

    png = draw((WIDTH, _HEIGHT), paint)
    counts = ", ".join(f"{one} {list(sets).count(one)}" for one in looks)
    chosen = "" if all_named else f" {len(named)} of {len(names)} labels had room for their name."
    faith = f" Stress {stress:.2f}: the share by which drawn distances miss the true ones." if (
        stress is not None
    ) else ""  # fmt: skip
    return Figure(
        png,
        caption=f"What is near in the picture is near in the learned space, as far as a plane "
        f"can show it.{faith}{chosen}" + undrawable(list(dict.fromkeys(names))),
        alt=f"Map of {len(names)} labels of {len(looks)} data sets: {counts}."
        + _nearest_words(points, names, sets),
        name=name,
    )


def label_heatmap(
    distances: ArrayLike,
    names: Sequence[str],
    sets: Sequence[str],
    *,
    order: Sequence[int] | None = None,
    name: str = "class_distances",
) -> Figure:
    """Distances of all pairs of labels, dark where near, in an order that shows clusters.

    Parameters
    ----------
    distances : (n, n) array
        `segue.similarity.label_distances`.
    names, sets : sequence of n str
    order : sequence of n int, optional
        Rows from top to bottom (`segue.similarity.label_order`); by default as they come.

    Raises
    ------
    UsageError
        Shapes that do not agree.

    Examples
    --------
    >>> label_heatmap([[0, 2], [2, 0]], ["a", "b"], ["x", "y"]).alt
    'Heat map of the distances of 2 labels of 2 data sets, from 2 to 2.'
    """
    square = np.asarray(distances, dtype=np.float64)
    n = len(names)
    places = list(range(n)) if order is None else list(order)
    if square.shape != (n, n) or len(sets) != n or sorted(places) != list(range(n)) or not n:
        raise UsageError(
            wanted=f"distances ({n}, {n}), a set for each of {n} labels, every row once",
            got=f"shape {square.shape}, {len(sets)} sets, {len(places)} rows",
            fix="Give one name and one set per row",
        )
    looks = set_marks(sets)
    shown = square[np.ix_(places, places)]
    apart = shown[~np.eye(n, dtype=bool)]
    low, high = (float(apart.min()), float(apart.max())) if apart.size else (0.0, 0.0)
    texts = _short(names)
    size = (
        (WIDTH, 5.3) if n > 12 else (5.4, 3.2)
    )  # higher than the square has room for beside names

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        hidden = np.ma.masked_where(np.eye(n, dtype=bool), shown)
        image = ax.imshow(hidden, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
        ax.set_facecolor("white")
        if n <= HEAT_LABELS:
            ax.set_yticks(range(n), [texts[i] for i in places])
            for tick, i in zip(ax.get_yticklabels(), places, strict=True):
                tick.set(color=_dark(looks[sets[i]].colour), fontsize=min(8.0, 330 / n))
        else:
            ax.set_yticks([])
        ax.set_xticks([])
        ax.tick_params(length=0)
        for edge in ("left", "bottom"):
            ax.spines[edge].set_visible(False)
        bar = canvas.colorbar(image, ax=ax, shrink=0.6, pad=0.02)
        bar.set_label("distance")
        bar.outline.set_visible(False)
        legend_above(canvas, looks, squares=True)

    return Figure(
        draw(size, paint),
        caption="Distance of every label (row) to every other, rows and columns in the same order; "
        "dark is near."
        + ("" if n <= HEAT_LABELS else f" {n} names are too many to be written.")
        + undrawable(list(dict.fromkeys(names))),
        alt=f"Heat map of the distances of {n} labels of {len(looks)} data sets, from {low:.3g} "
        f"to {high:.3g}.",
        name=name,
    )


def _checked_positions(
    positions: ArrayLike, names: Sequence[str], sets: Sequence[str]
) -> NDArray[np.float64]:
    points = np.asarray(positions, dtype=np.float64)
    if points.shape != (len(names), 2) or len(sets) != len(names) or not len(names):
        raise UsageError(
            wanted=f"positions ({len(names)}, 2) and a set for each label, at least one",
            got=f"shape {points.shape}, {len(sets)} sets",
            fix="Give one position and one set per name",
        )
    if not np.isfinite(points).all():
        raise UsageError(
            wanted="finite positions", got="NaN or infinity", fix="Leave those labels out"
        )
    return points


def _short(names: Sequence[str]) -> list[str]:
    """Names as they are written; one that two sets share stays itself, the colour tells them."""
    unique = list(dict.fromkeys(names))
    texts = dict(zip(unique, drawable(unique, width=24, lines=1), strict=True))
    return [texts[name] for name in names]


def _dark(colour: str) -> tuple[float, float, float]:
    """The colour dark enough to be read as text on white."""
    red, green, blue = (0.62 * part for part in to_rgb(colour))
    return red, green, blue


def _equal_scales(ax: Axes, points: NDArray[np.float64]) -> None:
    """Limits that hold all points, with room for names, and as many units per inch both ways."""
    box = ax.get_position()
    width, height = WIDTH * box.width, _HEIGHT * box.height
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    spans = points.max(axis=0) - points.min(axis=0)
    unit = max(spans[0] / (width - 1.5), spans[1] / (height - 0.6), 1e-12)
    ax.set_xlim(middle[0] - unit * width / 2, middle[0] + unit * width / 2)
    ax.set_ylim(middle[1] - unit * height / 2, middle[1] + unit * height / 2)


def _write_names(
    canvas: Canvas,
    ax: Axes,
    points: NDArray[np.float64],
    texts: Sequence[str],
    inks: Sequence[tuple[float, float, float]],
    *,
    force: bool,
) -> list[int]:
    """Names at the nearest free place around their points; which were written.

    With ``force`` all of them, with a thin line where a name is not beside its point, and crowded
    points first, which have the fewest places; else lonely points first, and what has no room
    stays a point.
    """
    renderer = canvas.canvas.get_renderer()  # type: ignore[attr-defined]  # always Agg
    dots = ax.transData.transform(points)
    pixel = canvas.dpi / 72  # pixels of one typographic point
    taken = _around(dots, (7 * pixel, 7 * pixel))
    frame = ax.get_window_extent()
    edges = np.array(frame.extents)
    crowding = (np.linalg.norm(dots[:, None] - dots[None], axis=2) < 60 * pixel).sum(axis=1)
    order = sorted(range(len(texts)), key=lambda i: (-crowding[i] if force else crowding[i], i))
    written = []
    for i in order:
        text = ax.text(0, 0, texts[i], fontsize=_TEXT, color=inks[i], zorder=4)
        extent = text.get_window_extent(renderer)
        size = (float(extent.width), float(extent.height))
        place, gap, free = _free_place(dots[i], size, taken, pixel, edges, 40 if force else 2)
        if not (free or force):
            text.remove()
            continue
        written.append(i)
        taken = np.concatenate([taken, _around(place[None], size)])
        x, y = ax.transData.inverted().transform(place)
        text.set(x=x, y=y, ha="center", va="center_baseline")
        if gap > 10 * pixel:
            ax.plot([points[i, 0], x], [points[i, 1], y], color=QUIET, linewidth=0.4, zorder=1)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    return written


def _free_place(
    dot: NDArray[np.float64],
    size: tuple[float, float],
    taken: NDArray[np.float64],
    pixel: float,
    frame: NDArray[np.float64],
    rings: int,
) -> tuple[NDArray[np.float64], float, bool]:
    """Middle of the first box that covers nothing, its gap to the dot, and whether it is free.

    Gaps grow ring by ring; on a ring, right and left come before above and below. In a crowd
    without any free place (many equal points) it is the place that covers least.
    """
    gaps = np.repeat((5 + 3 * np.arange(rings)) * pixel, len(_TURNS))
    angles = np.tile(_TURNS, rings) * math.pi / 8
    middles = dot + np.stack(
        [np.cos(angles) * (gaps + size[0] / 2), np.sin(angles) * (gaps + size[1] / 2)], axis=1
    )
    boxes = _around(middles, size)
    inside = (boxes[:, :2] >= frame[:2]).all(axis=1) & (boxes[:, 2:] <= frame[2:]).all(axis=1)
    covered = np.where(inside, _overlaps(boxes, taken).sum(axis=1), np.inf)
    best = int(covered.argmin())  # the first of equals
    return middles[best], float(gaps[best]), bool(covered[best] == 0)


def _around(middles: NDArray[np.float64], size: tuple[float, float]) -> NDArray[np.float64]:
    """Boxes (n, left bottom right top) of one size."""
    half = np.array(size) / 2
    return np.concatenate([middles - half, middles + half], axis=1)


def _overlaps(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas (n, m) that boxes and others share."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2))


def _nearest_words(points: NDArray[np.float64], names: Sequence[str], sets: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    i, j = divmod(int(gaps.argmin()), len(names))
    return f" Nearest in the picture: {names[i]} ({sets[i]}) and {names[j]} ({sets[j]})."
