"""Pictures of what was predicted: confusions, scatter, tags, and a map of a feature matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.rows import EncoderResult, TargetResult
from segue.report.content import Figure
from segue.report.style import (
    FAINT,
    INK,
    QUIET,
    WIDTH,
    Mark,
    draw,
    drawable,
    marks,
    undrawable,
)
from segue.report.tables import number

_COUNTS_UP_TO = 25  # classes: beyond that a count no longer fits its cell at 8 points
_LABELS_UP_TO = 60
_TAGS = 25
_MAP_CLASSES = 10


def confusion_plot(
    result: TargetResult, encoder: EncoderResult, *, name: str = ""
) -> Figure | None:
    """True classes against predicted ones; shade is the share of the row, text the count.

    None where the encoder has no confusion matrix.
    """
    if encoder.confusion is None or not len(encoder.confusion):
        return None
    counts = np.asarray(encoder.confusion)
    n = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    names = list(result.labels)
    drawn = drawable(names, width=20 if n <= 12 else 24, lines=2 if n <= 12 else 1)
    side = min(WIDTH, 2.6 + 0.5 * n) if n <= _COUNTS_UP_TO else WIDTH

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        if n <= _COUNTS_UP_TO:
            _paint_counts(ax, counts, shares)
        if n <= _LABELS_UP_TO:
            # a character at 9 points is about 0.07 inch wide
            longest = max(len(line) for text in drawn for line in text.split("\n"))
            turned = 0.07 * longest > (side - 1.4) / n
            ax.set_xticks(range(n), drawn, rotation=90 if n > 12 else 40 * turned)
            if turned and n <= 12:
                for text in ax.get_xticklabels():
                    text.set(ha="right", rotation_mode="anchor")
            ax.set_yticks(range(n), drawn)
            ax.tick_params(labelsize=9 if n <= 12 else 8, length=0, labelcolor=INK)
        else:
            ax.set_xticks([])
            ax.set_yticks([])
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
        for spine in ax.spines.values():
            spine.set_visible(False)

    right = int(np.trace(counts))
    return Figure(
        draw((side, side * 0.8 + 0.3), paint),
        caption=(
            f"{encoder.label}: rows are true classes, columns predicted ones, all out of fold; "
            "darker means a larger share of the row"
            + (", numbers are clips." if n <= _COUNTS_UP_TO else f" ({n} classes).")
            + undrawable(names)
        ),
        alt=(
            f"Confusion matrix of {encoder.label} for {result.target}: {right} of "
            f"{int(counts.sum())} clips on the diagonal. {_worst_confusion(counts, names)}"
        ),
        name=name,
    )


def scatter_plot(
    result: TargetResult, encoder: EncoderResult, look: Mark, *, name: str = ""
) -> Figure | None:
    """Truth against out-of-fold prediction; None where no pair is finite."""
    truth = np.asarray(result.truth, dtype=np.float64)
    predicted = np.asarray(encoder.predictions, dtype=np.float64)
    finite = np.isfinite(truth) & np.isfinite(predicted)
    if not finite.any():
        return None
    truth, predicted = truth[finite], predicted[finite]
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    pad = 0.05 * (high - low) or 0.5
    limits = (low - pad, high + pad)

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        ax.plot(limits, limits, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
        ax.annotate(
            "prediction = truth", (limits[1], limits[1]), xytext=(-4, -10), ha="right", va="top",
            textcoords="offset points", color=QUIET, fontsize=8.5,
            rotation=45, rotation_mode="anchor",
        )  # fmt: skip
        # many points: fainter, so that density still shows
        alpha = float(np.clip(300 / len(truth), 0.12, 0.75))
        ax.plot(truth, predicted, look.marker, color=look.colour, alpha=alpha, markersize=5, mew=0)
        ax.set(xlim=limits, ylim=limits, aspect="equal")
        ax.set_xlabel(drawable([f"true {result.target}"], width=60)[0])
        ax.set_ylabel("predicted, out of fold")
        ax.grid()

    r = np.corrcoef(truth, predicted)[0, 1] if truth.std() > 0 < predicted.std() else np.nan
    left_out = int((~finite).sum())
    return Figure(
        draw((5.0, 5.0), paint),
        caption=f"{encoder.label}: one dot per clip, predicted while the clip was held out."
        + (f" {left_out} clips without a finite value are not drawn." if left_out else ""),
        alt=(
            f"Scatter plot of predicted against true {result.target} for {encoder.label}, "
            f"{len(truth)} clips, correlation {number(float(r))}."
        ),
        name=name,
    )


def tag_scores(result: TargetResult, encoder: EncoderResult) -> NDArray[np.float64]:
    """ROC-AUC per tag (tags,): mean over the outer folds that hold both answers, else NaN."""
    truth, scores = np.asarray(result.truth), np.asarray(encoder.predictions)
    per_fold = np.full((len(np.unique(result.folds)), truth.shape[1]), np.nan)
    for i, fold in enumerate(np.unique(result.folds)):
        held = result.folds == fold
        for j in range(truth.shape[1]):
            y, s = truth[held, j], scores[held, j]
            known = np.isfinite(s) & np.isfinite(y)
            if 0 < y[known].sum() < known.sum():
                per_fold[i, j] = _roc_auc(y[known] > 0, s[known])
    defined = (~np.isnan(per_fold)).sum(axis=0)
    total = np.nansum(per_fold, axis=0)
    return np.where(defined > 0, total / np.maximum(defined, 1), np.nan)


def _roc_auc(positive: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Chance that a positive scores above a negative, ties half: the Mann-Whitney statistic."""
    negatives = np.sort(scores[~positive])
    below = np.searchsorted(negatives, scores[positive], "left")
    not_above = np.searchsorted(negatives, scores[positive], "right")
    return float((below + not_above).mean() / (2 * len(negatives)))


def tag_plot(
    result: TargetResult, encoder: EncoderResult, look: Mark, *, name: str = ""
) -> Figure | None:
    """ROC-AUC of the best-told tags with how common each is; None where no tag is defined."""
    scores = tag_scores(result, encoder)
    order = [int(j) for j in np.argsort(-scores, kind="stable") if not np.isnan(scores[j])]
    if not order:
        return None
    shown, more = order[:_TAGS], len(order) - len(order[:_TAGS])
    prevalence = np.nanmean(np.asarray(result.truth, dtype=np.float64), axis=0)
    names = [result.labels[j] for j in shown]
    drawn = drawable(names, width=34, lines=1)

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        y = np.arange(len(shown))
        left.axvline(0.5, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
        left.plot(
            scores[shown], y, look.marker, color=look.colour, markersize=6.5, mec="white", mew=0.8
        )
        left.set_yticks(y, drawn)
        left.set_ylim(len(shown) - 0.4, -0.6)
        left.margins(x=0.06)
        left.set_xlabel("ROC-AUC (0.5 = chance)")
        right.barh(y, 100 * prevalence[shown], color=FAINT, height=0.62)
        for at, j in enumerate(shown):
            right.annotate(
                f"{100 * prevalence[j]:.3g} %", (100 * prevalence[j], at), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=8, color=QUIET,
            )  # fmt: skip
        right.margins(x=0.42)
        right.set_xlim(left=0)
        right.set_xlabel("clips with the tag")
        right.set_xticks([])
        right.spines["bottom"].set_visible(False)
        for ax in (left, right):
            ax.grid(axis="both", visible=ax is left)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)

    undefined = len(scores) - len(order)
    return Figure(
        draw((WIDTH, 0.9 + 0.235 * len(shown)), paint),
        caption=(
            f"{encoder.label}: ROC-AUC per tag, mean over outer folds; right, how common it is."
            + (f" The best {len(shown)} are drawn; {more} more tags score lower." if more else "")
            + (f" {undefined} tags are defined in no fold." if undefined else "")
            + undrawable(names)
        ),
        alt=(
            f"Dot plot of ROC-AUC per tag for {result.target}: best {result.labels[order[0]]} "
            f"{number(scores[order[0]])}, lowest {result.labels[order[-1]]} "
            f"{number(scores[order[-1]])}, median {number(float(np.nanmedian(scores)))}."
        ),
        name=name,
    )


def map_plot(
    X: ArrayLike,
    labels: Sequence[str],
    *,
    query: int | None = None,
    neighbours: Sequence[int] = (),
    name: str = "",
) -> Figure:
    """A feature matrix seen from its two widest directions (principal components).

    Parameters
    ----------
    X : (n, d) array
        Standardise it first where its dimensions have different units.
    labels : sequence of n str
        The ten most frequent get a colour, the others are grey.
    query, neighbours : row numbers
        Ringed with a bold and a thin ring.

    Raises
    ------
    UsageError
        Shapes that do not agree, or numbers that are not finite.
    """
    points, shares = _principal(X, len(labels))
    common = [label for label, _ in Counter(labels).most_common(_MAP_CLASSES)]
    common = sorted(common, key=list(dict.fromkeys(labels)).index)
    looks, drawn = marks(common), drawable(common, width=20)
    others = np.array([label not in looks for label in labels])

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        alpha = float(np.clip(600 / len(points), 0.25, 0.85))
        if others.any():
            ax.plot(*points[others].T, "o", color=QUIET, alpha=alpha * 0.5, markersize=4, mew=0,
                    label=f"{len(set(labels)) - len(common)} more")  # fmt: skip
        for label, text in zip(common, drawn, strict=True):
            own = np.array([other == label for other in labels])
            ax.plot(*points[own].T, looks[label].marker, color=looks[label].colour, alpha=alpha,
                    markersize=5, mew=0, label=" " + text)  # fmt: skip
        _paint_rings(ax, points, query, list(neighbours))
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"first component ({100 * shares[0]:.0f} % of variance)")
        ax.set_ylabel(f"second component ({100 * shares[1]:.0f} %)")
        handles, _ = ax.get_legend_handles_labels()
        legend = canvas.legend(
            loc="outside right upper", frameon=False, fontsize=8.5, handlelength=1
        )
        for handle in legend.legend_handles if handles else ():
            if handle is not None:
                handle.set_alpha(1)

    return Figure(
        draw((WIDTH, 4.4), paint),
        caption=(
            f"{len(points)} clips, two of their principal components "
            f"({100 * shares.sum():.0f} % of variance), so what looks near need not be near."
            + (" Bold ring: the query; thin rings: its neighbours." if query is not None else "")
            + undrawable(common)
        ),
        alt=f"Map of {len(points)} clips coloured by {len(set(labels))} labels: "
        + ", ".join(f"{label} {labels.count(label)}" for label in common)
        + ".",
        name=name,
    )


def _principal(X: ArrayLike, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (n, 2) and shares of variance (2,); signs fixed so that the map never flips."""
    array: NDArray[Any] = np.asarray(X, dtype=np.float64)
    if array.ndim != 2 or len(array) != n or not n or not np.isfinite(array).all():
        raise UsageError(
            wanted=f"finite features (n, d) for {n} labels, n at least 1",
            got=f"shape {array.shape}"
            + ("" if np.isfinite(array).all() else " with NaN or infinity"),
            fix="Give one row per label and leave failed clips out",
        )
    centred = array - array.mean(axis=0)
    # the smaller of the two Gram matrices has the same eigenvalues
    wide = array.shape[1] > n
    values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    top = [-1, -2] if len(values) > 1 else [-1, -1]
    values_2 = np.maximum(values[top], 0) * [1, len(values) > 1]
    points = vectors[:, top] * np.sqrt(values_2) if wide else centred @ vectors[:, top]
    points = points * [1, len(values) > 1]
    largest = np.abs(points).argmax(axis=0)
    signs = np.where(points[largest, [0, 1]] < 0, -1.0, 1.0)
    total = float(np.maximum(values, 0).sum()) or 1.0
    return points * signs, values_2 / total


def _paint_rings(
    ax: Axes, points: NDArray[np.float64], query: int | None, neighbours: list[int]
) -> None:
    if neighbours:
        ax.plot(*points[neighbours].T, "o", mfc="none", mec=INK, markersize=10, mew=1)
    if query is not None:
        ax.plot(*points[query], "o", mfc="none", mec=INK, markersize=14, mew=2.4)


def _paint_counts(ax: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (i, j), count in np.ndenumerate(counts):
        if count:
            text = str(count) if count < 1000 or len(counts) <= 12 else f"{count / 1000:.1f}k"
            colour = "white" if shares[i, j] > 0.55 else INK
            ax.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=8 if len(counts) > 12 else 9,
                color=colour,
            )


def _worst_confusion(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    off = counts - np.diag(np.diag(counts))
    if not off.any():
        return "No clip was confused."
    i, j = divmod(int(off.argmax()), len(off))
    return f"Most frequent confusion: {names[i]} taken for {names[j]}, {off[i, j]} clips."
