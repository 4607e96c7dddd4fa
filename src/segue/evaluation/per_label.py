"""How well each class or tag is found: the rows behind a macro mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.evaluation.metrics import (
    average_precision_macro,
    check_task,
    confusion_matrix,
    roc_auc_macro,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScores:
    """One class, over all clips: each was predicted by a head that did not train on it.

    Attributes
    ----------
    label : str
    support, predicted : int
        Clips that are of the class, and that were said to be.
    folds : int
        Test folds in which it occurs.
    precision, recall, f1 : float
        NaN where undefined: precision of a class that was never predicted, recall of one without
        clips, F1 of one with neither.
    """

    label: str
    support: int
    predicted: int
    folds: int
    precision: float
    recall: float
    f1: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TagScores:
    """One tag: mean over the folds in which it is defined.

    Scores are ranked within folds, since those of two folds come from different heads.

    Attributes
    ----------
    label : str
    positives : int
        Clips that carry it.
    share : float
        Of all clips; the average precision that random scores reach, nearly.
    folds : int
        Test folds with a clip that carries it and one that does not.
    roc_auc, average_precision : float
        NaN where that is no fold.
    """

    label: str
    positives: int
    share: float
    folds: int
    roc_auc: float
    average_precision: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def label_scores(
    truth: ArrayLike, predictions: ArrayLike, folds: ArrayLike, labels: Sequence[str], task: str
) -> tuple[ClassScores, ...] | tuple[TagScores, ...]:
    """A row for each label, in the order of ``labels``; undefined scores are NaN, never left out.

    Parameters
    ----------
    truth, predictions : (n,) labels, or (n, tags) 0/1 matrix and scores
        As in rows.TargetResult and rows.EncoderResult: out of fold.
    folds : (n,) integers
        Outer fold of each clip.
    labels : sequence of str
        Classes, or tags in column order.
    task : {"classification", "tagging"}

    Raises
    ------
    UsageError
        A regression has no labels; lengths differ; or what the metrics raise.

    Examples
    --------
    >>> rows = label_scores([[1, 0], [0, 0]], [[0.9, 0.1], [0.2, 0.3]], [0, 0],
    ...                     ["live", "rock"], "tagging")
    >>> [(row.label, row.positives, row.folds, row.roc_auc) for row in rows]
    [('live', 1, 1, 1.0), ('rock', 0, 0, nan)]
    >>> label_scores(["a", "b"], ["a", "a"], [0, 1], ["a", "b"], "classification")[0].precision
    0.5
    """
    task = check_task(task)
    truth, predictions, parts = np.asarray(truth), np.asarray(predictions), np.asarray(folds)
    if task == "regression" or len(truth) != len(parts):
        raise UsageError(
            wanted="a target with classes or tags, and the fold of each clip",
            got=f"{task}, {len(truth)} clips and {len(parts)} folds",
            fix="Give the out-of-fold predictions of one target",
            source="scores per label",
        )
    if task == "classification":
        return _classes(truth, predictions, parts, labels)
    return _tags(truth, predictions, parts, labels)


def _classes(
    truth: NDArray[Any], predicted: NDArray[Any], folds: NDArray[Any], labels: Sequence[str]
) -> tuple[ClassScores, ...]:
    counts = confusion_matrix(truth, predicted, labels)
    hits, support, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = _ratio(hits, said), _ratio(hits, support)
    f1 = _ratio(2 * hits, said + support)
    return tuple(
        ClassScores(
            label=str(label),
            support=int(support[row]),
            predicted=int(said[row]),
            folds=len(np.unique(folds[truth == label])),
            precision=float(precision[row]),
            recall=float(recall[row]),
            f1=float(f1[row]),
        )
        for row, label in enumerate(labels)
    )


def _tags(
    truth: NDArray[Any], scores: NDArray[Any], folds: NDArray[Any], labels: Sequence[str]
) -> tuple[TagScores, ...]:
    tested = [folds == fold for fold in np.unique(folds)]
    auc = np.array([roc_auc_macro(truth[rows], scores[rows]).per_tag for rows in tested])
    precision = np.array(
        [average_precision_macro(truth[rows], scores[rows]).per_tag for rows in tested]
    )
    defined = (~np.isnan(auc)).sum(axis=0)  # both are defined in the same folds
    mean_auc = _ratio(np.nansum(auc, axis=0), defined)
    mean_precision = _ratio(np.nansum(precision, axis=0), defined)
    positives = truth.sum(axis=0)
    return tuple(
        TagScores(
            label=str(label),
            positives=int(positives[tag]),
            share=float(positives[tag] / len(truth)),
            folds=int(defined[tag]),
            roc_auc=float(mean_auc[tag]),
            average_precision=float(mean_precision[tag]),
        )
        for tag, label in enumerate(labels)
    )


def _ratio(top: NDArray[Any], bottom: NDArray[Any]) -> Floats:
    result = np.full(len(top), np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
