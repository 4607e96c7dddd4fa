"""Calibrating a fitted head: scores of inner folds, and honest numbers of what they teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.calibration import (
    bins_for,
    brier,
    ece,
    log_loss,
    perfect_ece,
    tag_ece,
    top_label,
)
from segue.evaluation.calibrators import (
    CalibratedClassifier,
    CalibratedTagger,
    ClassCalibrator,
    TagCalibrator,
    head_scores,
)
from segue.evaluation.folds import Folds, check_target, group_codes, inner_folds
from segue.evaluation.metrics import check_task
from segue.evaluation.protocols import check_features
from segue.evaluation.rows import Task
from segue.evaluation.search import counted_convergence

Floats = NDArray[np.float64]

LEAST_CLIPS = 50
"""Fewer are not calibrated: see calibrate_head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """How good probabilities are.

    Attributes
    ----------
    ece : float
        Of the label given; for tags, the mean over tags.
    brier, log_loss : float
    accuracy : float
        Share of right labels; NaN for tags.
    """

    ece: float
    brier: float
    log_loss: float
    accuracy: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """A calibrated head, and what it says of clips it never saw.

    Attributes
    ----------
    estimator : CalibratedClassifier or CalibratedTagger
        Its calibrator learned from all inner folds.
    task : {"classification", "tagging"}
    rows : (m,) array
        The clips that could be judged.
    truth : (m,) codes or (m, tags) 0/1 matrix
    folds : (m,) array
        Inner fold of each.
    before, after : (m, labels) arrays
        Probabilities out of fold: the softmax (for tags the sigmoid) of the head's own scores, and
        those of a calibrator that learned from the other folds only.
    notes : tuple of str
    """

    estimator: CalibratedClassifier | CalibratedTagger
    task: Task
    rows: NDArray[np.int64]
    truth: NDArray[np.int64]
    folds: NDArray[np.int64]
    before: Floats
    after: Floats
    notes: tuple[str, ...]

    def measures(self, probabilities: Floats) -> Measures:
        """Of ``before`` or ``after``."""
        bins = bins_for(len(self.truth))
        if self.task == "tagging":
            error, accuracy = tag_ece(probabilities, self.truth, bins=bins).value, float("nan")
        else:
            confidence, right = top_label(probabilities, self.truth)
            error, accuracy = ece(confidence, right, bins=bins), float(right.mean())
        return Measures(
            ece=error,
            brier=brier(probabilities, self.truth),
            log_loss=log_loss(probabilities, self.truth),
            accuracy=accuracy,
        )

    def perfect_ece(self, *, seed: int = 0) -> tuple[float, float]:
        """ECE that ``after`` would measure if it were exactly right: mean and 95th percentile."""
        if self.task == "tagging":
            defined = (self.truth.min(axis=0) == 0) & (self.truth.max(axis=0) == 1)
            said = self.after[:, defined]
        else:
            said = self.after.max(axis=1)
        return perfect_ece(said, bins=bins_for(len(self.truth)), seed=seed)

    def decisions(self, probabilities: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """How sure each answer is, and whether it is right: per clip, or per clip and tag (flat).

        A tag is answered yes or no, whichever is likelier.
        """
        if self.task == "classification":
            return top_label(probabilities, self.truth)
        sure = np.maximum(probabilities, 1 - probabilities)
        return sure.ravel(), ((probabilities >= 0.5) == (self.truth > 0)).ravel()

    @property
    def decision_folds(self) -> NDArray[np.int64]:
        """Inner fold of each decision."""
        return np.repeat(self.folds, self.truth[0].size)


def calibrate_head(
    fitted: Pipeline,
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None,
    task: str,
    *,
    inner: int = 5,
    seed: int = 0,
) -> Calibration:
    """Give a fitted head probabilities, learned on clips that its fits had not seen.

    The head is fitted again without each inner fold (the very folds of protocols.fit_head with the
    same ``inner`` and ``seed``, which never split a group) and scores it; a calibrator learns from
    these scores. What is measured is cross-fitted once more: the probabilities of a fold come from
    a calibrator that learned from the scores of the others. Two things keep the numbers from being
    those of new music: the head's settings were chosen on the same folds, which makes them slightly
    too good, and the folds come from the same collection, which may make them much too good.

    Parameters
    ----------
    fitted : Pipeline
        From protocols.fit_head, fitted on all of X.
    X, y, groups, task, inner, seed
        As it was fitted with.

    Raises
    ------
    UsageError
        A regression; fewer than 50 clips that can be judged, on which the calibrator would
        itself be a guess; or what fit_head raises.

    Examples
    --------
    >>> import numpy as np
    >>> from segue.evaluation.protocols import fit_head
    >>> y = np.array(["calm", "wild"] * 40)
    >>> X = (y == "wild")[:, None] + np.random.default_rng(0).normal(size=(80, 1))
    >>> fitted = fit_head(X, y, None, "classification", "logistic").estimator
    >>> found = calibrate_head(fitted, X, y, None, "classification")
    >>> found.estimator.predict_proba([[1.5]]).round(1)
    array([[0.2, 0.8]])
    """
    task = check_task(task)
    if task == "regression":
        raise UsageError(
            wanted="a target with classes or tags to calibrate",
            got="a regression target",
            fix="Do not ask for calibration: a number has no probability",
            source="calibration",
        )
    table, target = check_features(X), check_target(y, task)
    codes = group_codes(groups, len(target))
    with threadpool_limits(1):
        folds = inner_folds(target, codes, task, n_folds=inner, seed=seed)
        scores = _out_of_fold(fitted, table, target, folds, task)
    if task == "tagging":
        truth, known = target, np.ones(len(target), dtype=bool)
    else:
        truth = np.searchsorted(fitted.classes_, target)
        known = np.isfinite(scores[np.arange(len(truth)), truth])
    rows = np.flatnonzero(known)
    S, judged, parts = scores[rows], truth[rows], folds.assignment[rows]
    others = [np.unique(judged[parts != fold], axis=0) for fold in np.unique(parts)]
    if len(rows) < LEAST_CLIPS or min(map(len, others)) < 2:
        raise UsageError(
            wanted=f"{LEAST_CLIPS} clips or more to calibrate on, of two classes in several folds",
            got=f"{len(rows)} of {len(target)} whose class was known to the fit that scored them",
            fix="Use more clips or groups, or do not calibrate",
            source="calibration",
        )
    return Calibration(
        estimator=_calibrated(fitted, S, judged, task),
        task=task,
        rows=rows,
        truth=judged,
        folds=parts,
        before=expit(S) if task == "tagging" else softmax(S, axis=1),
        after=_cross_fitted(S, judged, parts, task),
        notes=_left_out(fitted, target[~known]),
    )


def _out_of_fold(
    estimator: Pipeline, X: NDArray[Any], y: NDArray[Any], folds: Folds, task: Task
) -> Floats:
    """Scores (n, labels); minus infinity for classes that a fit's training part lacks."""
    width = y.shape[1] if task == "tagging" else len(estimator.classes_)
    scores = np.full((len(y), width), -np.inf)
    with counted_convergence():  # the search made, and counted, these very runs
        for train, test in folds.splits():
            if task == "classification" and len(np.unique(y[train])) < 2:
                continue
            fitted = clone(estimator).fit(X[train], y[train])
            columns = (
                np.arange(width)
                if task == "tagging"
                else np.searchsorted(estimator.classes_, fitted.classes_)
            )
            scores[np.ix_(test, columns)] = head_scores(fitted, X[test], task)
    return scores


def _calibrated(
    fitted: Pipeline, scores: Floats, truth: NDArray[Any], task: Task
) -> CalibratedClassifier | CalibratedTagger:
    if task == "tagging":
        return CalibratedTagger(head=fitted, calibrator=TagCalibrator().fit(scores, truth))
    return CalibratedClassifier(head=fitted, calibrator=ClassCalibrator().fit(scores, truth))


def _cross_fitted(
    scores: Floats, truth: NDArray[Any], folds: NDArray[np.int64], task: Task
) -> Floats:
    probabilities = np.empty(scores.shape)
    kind = TagCalibrator if task == "tagging" else ClassCalibrator
    for fold in np.unique(folds):
        judged = folds == fold
        calibrator = kind().fit(scores[~judged], truth[~judged])
        probabilities[judged] = calibrator.predict_proba(scores[judged])
    return probabilities


def _left_out(fitted: Pipeline, labels: Sequence[Any] | NDArray[Any]) -> tuple[str, ...]:
    if not len(labels):
        return ()
    names = ", ".join(repr(str(name)) for name in np.unique(labels))
    return (
        f"{len(labels)} clips left out of calibration: their class lies in one inner fold alone "
        f"({names})",
    )
