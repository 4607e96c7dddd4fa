"""Pictures of Hamel et al. 2013: few labels, precision at k, and what tags a clip gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from segue.report.content import Figure
from segue.report.marks import legend_above, set_marks
from segue.report.style import FAINT, INK, QUIET, WIDTH, Mark, draw, drawable, undrawable
from segue.report.tables import metric_name, number


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Score of one feature set with few labels, over the folds of one data set.

    ``per_class`` is the number of training examples of each class, None all of them.
    """

    dataset: str
    features: str
    per_class: int | None
    mean: float
    se: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionPoint:
    """Precision at k of one feature set on one data set.

    ``low`` and ``high`` bound its interval (NaN: none); ``paper`` is the published value.
    """

    dataset: str
    features: str
    mean: float
    low: float = math.nan
    high: float = math.nan
    paper: float | None = None


def few_label_plot(
    points: Sequence[CurvePoint],
    *,
    metric: str = "accuracy",
    chance: Mapping[str, float] | None = None,
    name: str = "few_labels",
) -> Figure:
    """Score against training examples of each class, a panel per data set (Figure 3).

    Parameters
    ----------
    points : sequence of CurvePoint
        In any order; data sets and feature sets are drawn in order of first appearance.
    chance : mapping of data set -> score, optional
        Drawn dashed.
    name : str
        File name stem under ``plots/``.

    Examples
    --------
    >>> one = CurvePoint(dataset="GTZAN", features="base", per_class=None, mean=0.748, se=0.01)
    >>> few_label_plot([one]).alt
    'Curves of accuracy against examples of each class. GTZAN: base all 0.748.'
    """
    datasets = list(dict.fromkeys(point.dataset for point in points))
    looks = set_marks(point.features for point in points)
    columns = min(2, len(datasets))
    rows = math.ceil(len(datasets) / columns)

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots(rows, columns, squeeze=False)
        for number_, ax in enumerate(axes.flat):
            if number_ >= len(datasets):
                ax.set_axis_off()
                continue
            dataset = datasets[number_]
            own = [point for point in points if point.dataset == dataset]
            _paint_curves(ax, own, looks)
            if chance and dataset in chance:
                ax.axhline(chance[dataset], color=QUIET, linestyle=(0, (4, 3)), linewidth=1.0)
            ax.set_title(drawable([dataset], width=40, lines=1)[0])
            if number_ % columns == 0:
                ax.set_ylabel(metric_name(metric))
            if number_ + columns >= len(datasets):
                ax.set_xlabel("training examples of each class")
        legend_above(canvas, looks)

    return Figure(
        draw((WIDTH if columns > 1 else 4.6, 0.5 + 2.45 * rows), paint),
        caption="Mean over folds, bars: its standard error."
        + (" Dashed: chance." if chance else "")
        + undrawable([*datasets, *looks]),
        alt=f"Curves of {metric_name(metric)} against examples of each class. "
        + " ".join(_curve_words(dataset, points) for dataset in datasets),
        name=name,
    )


def _paint_curves(ax: Axes, points: Sequence[CurvePoint], looks: Mapping[str, Mark]) -> None:
    counts = sorted({point.per_class for point in points if point.per_class is not None})
    everything = any(point.per_class is None for point in points)
    # "all" is no number: it stands one more step to the right
    place: dict[int | None, float] = {count: math.log2(count) for count in counts}
    place[None] = math.log2(counts[-1]) + 1.2 if counts else 0.0
    present = [look for look in looks if any(point.features == look for point in points)]
    for order, features in enumerate(present):
        shift = 0.07 * (order - (len(present) - 1) / 2)  # so that error bars do not hide others
        own = sorted(
            (point for point in points if point.features == features),
            key=lambda point: place[point.per_class],
        )
        look = looks[features]
        x = [place[point.per_class] + shift for point in own]
        y = [point.mean for point in own]
        numbered = [i for i, point in enumerate(own) if point.per_class is not None]
        ax.plot(
            [x[i] for i in numbered], [y[i] for i in numbered], color=look.colour, linewidth=1.4
        )
        if len(numbered) < len(own) and numbered:
            ax.plot(x[-2:], y[-2:], color=look.colour, linewidth=1.0, linestyle=(0, (2, 2)))
        ax.errorbar(x, y, yerr=[point.se for point in own], fmt=look.marker, color=look.colour,
                    markersize=4.5, mec="white", mew=0.5, elinewidth=1.1, linestyle="none",
                    label=features)  # fmt: skip
    ticks = [*counts, *([None] if everything else [])]
    ax.set_xticks(
        [place[tick] for tick in ticks], ["all" if tick is None else str(tick) for tick in ticks]
    )
    ax.tick_params(axis="x", labelcolor=INK)
    ax.margins(x=0.06, y=0.12)
    ax.grid(axis="y")


def _curve_words(dataset: str, points: Sequence[CurvePoint]) -> str:
    lines: dict[str, list[str]] = {}
    for point in points:
        if point.dataset == dataset:
            count = "all" if point.per_class is None else str(point.per_class)
            lines.setdefault(point.features, []).append(f"{count} {number(point.mean)}")
    return f"{dataset}: " + "; ".join(f"{key} {', '.join(v)}" for key, v in lines.items()) + "."


def precision_plot(
    points: Sequence[PrecisionPoint],
    *,
    k: int = 10,
    distance: str = "L1",
    chance: Mapping[str, float] | None = None,
    name: str = "precision",
) -> Figure:
    """Precision at k by data set and feature set, the paper's as hollow marks (Table 5).

    Parameters
    ----------
    points : sequence of PrecisionPoint
        In any order; drawn in order of first appearance, from the top.
    distance : str
        Which neighbours were taken by, for the axis.
    chance : mapping of data set -> precision, optional
        Of random neighbours; a short dashed line.
    name : str
        File name stem under ``plots/``.

    Examples
    --------
    >>> one = PrecisionPoint(dataset="GTZAN", features="base", mean=0.47, paper=0.48)
    >>> precision_plot([one]).alt
    'Dot plot of precision at 10 by L1. GTZAN: base 0.470 (paper 0.480).'
    """
    datasets = list(dict.fromkeys(point.dataset for point in points))
    looks = set_marks(point.features for point in points)
    step = 0.72 / max(1, len(looks))
    at = {features: (i - (len(looks) - 1) / 2) * step for i, features in enumerate(looks)}

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        for row in range(1, len(datasets)):
            ax.axhline(row - 0.5, color=FAINT, linewidth=0.8)
        for point in points:
            row, look = datasets.index(point.dataset), looks[point.features]
            y = row + at[point.features]
            if math.isfinite(point.low) and math.isfinite(point.high):
                ax.plot([point.low, point.high], [y, y], color=look.colour, linewidth=2.0,
                        solid_capstyle="round", zorder=2)  # fmt: skip
            if point.paper is not None:
                ax.plot(point.paper, y, look.marker, mfc="white", mec=look.colour, mew=1.3,
                        markersize=6.5, zorder=3)  # fmt: skip
            ax.plot(point.mean, y, look.marker, color=look.colour, markersize=6.5, mec="white",
                    mew=0.7, linestyle="none", label=point.features, zorder=4)  # fmt: skip
        for dataset, level in (chance or {}).items():
            row = datasets.index(dataset)
            ax.plot([level, level], [row - 0.44, row + 0.44], color=QUIET, linewidth=1.2,
                    linestyle=(0, (3, 2)), zorder=1)  # fmt: skip
        ax.set_yticks(range(len(datasets)), drawable(datasets, width=22))
        ax.set_ylim(len(datasets) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x")
        ax.margins(x=0.06)
        ax.set_xlabel(f"precision at {k}, {distance} (larger is better)")
        legend_above(canvas, looks)

    hollow = any(point.paper is not None for point in points)
    barred = any(math.isfinite(point.low) for point in points)
    return Figure(
        draw((WIDTH, 0.9 + len(datasets) * (0.3 + 0.17 * len(looks))), paint),
        caption=f"Share of the {k} nearest other clips with the clip's label, mean over clips."
        + (" Lines: 95 % interval." if barred else "")
        + (" Hollow: the paper's." if hollow else "")
        + (" Dashed: random neighbours." if chance else "")
        + undrawable([*datasets, *looks]),
        alt=f"Dot plot of precision at {k} by {distance}. "
        + " ".join(_precision_words(dataset, points) for dataset in datasets),
        name=name,
    )


def _precision_words(dataset: str, points: Sequence[PrecisionPoint]) -> str:
    parts = [
        f"{point.features} {number(point.mean)}"
        + (f" (paper {number(point.paper)})" if point.paper is not None else "")
        for point in points
        if point.dataset == dataset
    ]
    return f"{dataset}: {', '.join(parts)}."


def tags_bars(
    ranked: Mapping[str, Sequence[tuple[str, float]]], *, clip: str = "", name: str = ""
) -> Figure:
    """The best labels of a clip, one group of bars per data set.

    Scores of different data sets are not on one scale, so each group has its own.

    Parameters
    ----------
    ranked : mapping of data set -> (label, score), best first
        Show five to ten labels each.
    clip : str
        Whose tags they are, for the words.

    Examples
    --------
    >>> tags_bars({"GTZAN": [("jazz", 2.1), ("blues", 1.4)]}, clip="song.mp3").alt
    'Labels of song.mp3. GTZAN: jazz 2.1, blues 1.4.'
    """
    looks = set_marks(ranked)
    heights = [max(1, len(pairs)) for pairs in ranked.values()]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots(len(ranked), 1, squeeze=False, height_ratios=heights)
        for ax, (dataset, pairs) in zip(axes[:, 0], ranked.items(), strict=True):
            y = range(len(pairs))
            ax.barh(y, [score for _, score in pairs], 0.72, color=looks[dataset].colour)
            ax.set_yticks(y, drawable([label for label, _ in pairs], width=32, lines=1))
            ax.set_ylim(len(pairs) - 0.4, -0.6)
            ax.tick_params(axis="y", length=0)
            ax.set_title(drawable([dataset], width=60, lines=1)[0])
            ax.axvline(0, color=QUIET, linewidth=0.6)
            ax.spines["left"].set_visible(False)
            ax.grid(axis="x")
        axes[-1, 0].set_xlabel("score of the label (own scale for each data set)")

    words = " ".join(
        f"{dataset}: " + ", ".join(f"{label} {score:.3g}" for label, score in pairs) + "."
        for dataset, pairs in ranked.items()
    )
    of = f" of {clip}" if clip else ""
    return Figure(
        draw((WIDTH, 0.6 + sum(0.42 + 0.22 * height for height in heights)), paint),
        caption=f"Best labels{of} by score; scores of different data sets cannot be compared."
        + undrawable([label for pairs in ranked.values() for label, _ in pairs]),
        alt=f"Labels{of}. {words}",
        name=name,
    )
