"""Sizes of label curves: what can be drawn, how many clips that is, and what no feature gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.evaluation.folds import Folds
from segue.evaluation.label_draws import Draws, Size
from segue.evaluation.metrics import METRICS, score
from segue.evaluation.statistics import Floats
from segue.evaluation.targets import EncodedTarget

CLASS_SIZES: tuple[Size, ...] = (1, 2, 5, 10, 20, 50, 100, None)
CLIP_SIZES: tuple[Size, ...] = (5, 10, 20, 50, 100, 200, 500, None)
"""Of tagging and regression, where a size counts all clips."""


def usable_sizes(
    encoded: EncodedTarget, folds: Folds, sizes: Sequence[Size] | None
) -> tuple[tuple[Size, ...], list[str]]:
    """Sizes in ascending order that some class can fill in some fold, and notes on the others.

    Raises
    ------
    UsageError
        None can be filled, one is below 1 (2 where there are no classes) or given twice.

    Examples
    --------
    >>> from segue.evaluation.targets import encode_target
    >>> encoded = encode_target(list("aaaaaabb"), None, "classification")
    >>> usable_sizes(encoded, Folds(np.array([0, 0, 0, 1, 1, 1, 0, 1])), [None, 2, 50])[0]
    (2, None)
    """
    classes = encoded.task == "classification"
    asked = list((CLASS_SIZES if classes else CLIP_SIZES) if sizes is None else sizes)
    least = 1 if classes else 2
    if not asked or len(set(asked)) < len(asked) or any(k is not None and k < least for k in asked):
        raise UsageError(
            wanted=f"different sizes, each {least} or more, or all",
            got=", ".join("all" if size is None else str(size) for size in asked) or "none",
            fix="Correct the sizes" + ("" if classes else "; without classes they count all clips"),
            source="sizes",
        )
    trains = [train for train, _ in folds.splits()]
    if classes:
        names = np.array(encoded.labels)
        there = np.array([(encoded.y[train][:, None] == names).sum(axis=0) for train in trains])
    else:
        names, there = np.array(["clips"]), np.array([[len(train)] for train in trains])
    numbers = sorted(size for size in asked if size is not None)
    kept: list[Size] = [size for size in numbers if size <= there.max()]
    notes = []
    if lost := [str(size) for size in numbers if size > there.max()]:
        of = "no class has" if classes else "no training part has"
        notes.append(f"sizes {', '.join(lost)} left out: {of} so many clips to train on")
    short = [
        f"{name} ({there[:, at].min()})"
        for at, name in enumerate(names)
        if kept and there[:, at].min() < max(size for size in kept if size is not None)
    ]
    if short and classes:
        notes.append(
            "classes that give all they have where a size asks for more (clips to train on in the "
            f"smallest fold): {', '.join(short)}"
        )
    if None in asked:
        kept.append(None)
    if not kept:
        raise UsageError(
            wanted=f"a size of {there.max()} or fewer",
            got=", ".join(lost),
            fix="Ask for smaller sizes, or add all",
            source="sizes",
        )
    return tuple(kept), notes


def drawn_clips(encoded: EncodedTarget, folds: Folds, draws: Draws) -> tuple[Floats, Floats]:
    """Drawn clips (sizes,) and those of each class (sizes, classes), means over folds.

    Examples
    --------
    >>> from segue.evaluation.targets import encode_target
    >>> encoded = encode_target(list("aaab"), None, "classification")
    >>> draws = Draws(task="classification", head="svm", sizes=(1, None), repeats=1)
    >>> drawn_clips(encoded, Folds(np.array([0, 1, 1, 0])), draws)[0].tolist()
    [1.5, 2.0]
    """
    classification = encoded.task == "classification"
    names = np.array(encoded.labels if classification else [])
    totals, by_class = [], []
    for fold, (train, _) in enumerate(folds.splits()):
        picked = draws.chosen(encoded.y, train, fold, 0)  # every repeat draws as many
        totals.append(picked.sum(axis=1))
        if classification:
            by_class.append(picked.astype(np.int64) @ (encoded.y[train][:, None] == names))
        else:
            by_class.append(np.empty((len(picked), 0)))
    return np.mean(totals, axis=0), np.mean(by_class, axis=0)


def featureless(encoded: EncodedTarget, folds: Folds) -> dict[str, dict[str, float]]:
    """What predictors reach that see no features, by name and metric.

    Classification: "chance" guesses each class alike, as a head does that learned nothing from as
    many clips of each; "majority" says the class most frequent over all clips. Tagging: one score
    for all clips. Regression: the training part's mean.

    Examples
    --------
    >>> from segue.evaluation.targets import encode_target
    >>> encoded = encode_target(list("aaab"), None, "classification")
    >>> found = featureless(encoded, Folds(np.array([0, 1, 0, 1])))
    >>> found["chance"]["accuracy"], found["majority"]["accuracy"]
    (0.5, 0.75)
    """
    y, splits = encoded.y, list(folds.splits())

    def mean_scores(of: NDArray[Any]) -> dict[str, float]:
        return {
            metric: float(np.nanmean([score(metric, y[test], of[test]) for _, test in splits]))
            for metric in METRICS[encoded.task]
        }

    if encoded.task == "classification":
        names, counts = np.unique(y, return_counts=True)
        shares, guess = counts / len(y), 1 / len(names)
        # of a class that is a share p of clips: precision p, recall that of the guess
        f1 = float(np.mean(2 * shares * guess / (shares + guess)))
        return {
            "chance": {"accuracy": guess, "macro_f1": f1},
            "majority": mean_scores(np.full(len(y), names[counts.argmax()])),
        }
    constant = np.empty(y.shape)
    for train, test in splits:
        constant[test] = y[train].mean(axis=0)
    return {"chance": mean_scores(constant)}
