"""How a network learned: the curve, and what it can tell apart on tracks it never heard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from segue.report.content import Cell, Figure, Section, Table
from segue.report.style import PALETTE, QUIET, WIDTH, draw, drawable, undrawable
from segue.report.tables import metric_name, number

Point = Mapping[str, float]

# columns of a curve have short names
_METRICS = {"auc": "roc_auc", "ap": "average_precision"}
_RANKING = {
    "map": "mean average precision",
    "p1": "precision at 1",
    "learned": "share learned",
}


def learning_plot(
    curve: Sequence[Point],
    *,
    best_epoch: int,
    baseline: Mapping[str, float] | None = None,
    loss: str = "binary cross-entropy",
    name: str = "learning_curve",
) -> Figure:
    """Losses and validation scores by epoch, with a baseline's level.

    Parameters
    ----------
    curve : sequence of mapping
        One per epoch: ``epoch``, ``train_loss``, ``valid_`` scores, ``valid_loss`` among them
        where there is one.
    best_epoch : int
        Whose weights were kept.
    baseline : mapping, optional
        Level of the tag-frequency baseline by the name of a column.
    loss : str
        What the loss is called.
    name : str
        File name stem under ``plots/``.
    """
    scores = [key for key in curve[0] if key.startswith("valid_") and key != "valid_loss"]
    losses = [key for key in ("train_loss", "valid_loss") if key in curve[0]]
    levels = baseline or {}

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        _paint(left, curve, losses, best_epoch, levels)
        left.set_ylabel(loss)
        _paint(right, curve, scores, best_epoch, levels)
        right.set_ylabel("score on validation tracks")

    best = curve[best_epoch - 1]
    judged = [key for key in losses if key.startswith("valid")] + scores
    reached = ", ".join(f"{_words(key)} {number(best[key])}" for key in judged)
    return Figure(
        draw((WIDTH, 3.2), paint),
        caption=(
            f"Left: loss of the training{' and validation' * (len(losses) > 1)} tracks. Right: "
            f"scores on the validation tracks. Grey line: the weights of epoch {best_epoch} were "
            "kept."
            + " Dotted: giving every track the tags' training shares." * bool(levels)
            + undrawable([_words(key) for key in scores])
        ),
        alt=f"Learning curve of {len(curve)} epochs; at epoch {best_epoch}: {reached}.",
        name=name,
    )


def _paint(
    ax: Axes,
    curve: Sequence[Point],
    keys: Sequence[str],
    best_epoch: int,
    baseline: Mapping[str, float],
) -> None:
    epochs = [point["epoch"] for point in curve]
    ax.axvline(best_epoch, color=QUIET, linewidth=1.0, zorder=0)
    texts = drawable([_words(key) for key in keys], width=40, lines=1)
    for place, (key, text) in enumerate(zip(keys, texts, strict=True)):
        colour, line = PALETTE[place % len(PALETTE)], ("-", "--", ":")[place // len(PALETTE) % 3]
        values = [point[key] for point in curve]
        marker = "o" if len(curve) == 1 else ""
        ax.plot(epochs, values, line, color=colour, marker=marker, linewidth=1.8, label=text)
        if math.isfinite(baseline.get(key, math.nan)):
            ax.axhline(baseline[key], color=colour, linestyle=(0, (1, 2)), linewidth=1.2)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    ax.legend(frameon=False, fontsize=8.5)


def _words(key: str) -> str:
    """A column of the curve as people write it.

    Examples
    --------
    >>> _words("valid_auc"), _words("train_loss")
    ('validation ROC-AUC', 'training loss')
    """
    part, _, metric = key.partition("_")
    lead = {"train": "training", "valid": "validation"}.get(part, part)
    kind, _, of_set = metric.partition("_")
    if kind in _RANKING:
        return f"{_RANKING[kind]}{f', {of_set}' if of_set else ''}"
    return f"{lead} {metric_name(_METRICS.get(metric, metric))}"


def learning_section(figure: Figure, notes: Sequence[str]) -> Section:
    """The curve and what was left out of the training."""
    return Section("How it learned", [figure, *notes])


def tags_section(
    tags: Sequence[Mapping[str, object]],
    macro: Mapping[str, float | None],
    baseline: Mapping[str, float | None],
) -> Section:
    """Scores of every tag on the test tracks beside the tag-frequency baseline.

    Parameters
    ----------
    tags : sequence of mapping
        ``tag``, ``train`` and ``test`` (tracks that carry it), ``roc_auc``,
        ``average_precision``, ``baseline_average_precision``; None where undefined.
    macro, baseline : mapping
        Means over the tags where a score is defined.
    """
    header = ["tag", "in training", "in test", "ROC-AUC", "average precision", "its baseline"]
    ranked = sorted(tags, key=lambda one: -_sortable(one["roc_auc"]))
    rows: list[list[str | Cell]] = [
        [
            Cell("mean over tags", strong=True),
            "",
            "",
            Cell(_number(macro["roc_auc"]), detail=f"baseline {_number(baseline['roc_auc'])}"),
            _number(macro["average_precision"]),
            _number(baseline["average_precision"]),
        ]
    ]
    keys = ("roc_auc", "average_precision", "baseline_average_precision")
    for one in ranked:
        values = [_number(one[key]) for key in keys]
        rows.append([str(one["tag"]), str(one["train"]), str(one["test"]), *values])
    undefined = [str(one["tag"]) for one in tags if one["roc_auc"] is None]
    words = (
        "The test tracks were used once, after training. Baseline: every track gets the share of "
        "training tracks that carry the tag; its ROC-AUC is .5 and its average precision the "
        "share of test tracks that carry the tag. "
        + (
            f"Undefined for {len(undefined)} tags, which no or every test track carries: "
            f"{', '.join(undefined)}."
            if undefined
            else "Every tag could be scored."
        )
    )
    return Section("What it can tell", [words, Table(header, rows, "", (1, 2, 3, 4, 5))])


def _number(score: object) -> str:
    return number(score) if isinstance(score, float) else "n/a"


def _sortable(score: object) -> float:
    return score if isinstance(score, float) else -1.0
