"""What `segue fit` can say of how sure its head is: probabilities, "unknown", and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from segue.errors import UsageError
from segue.evaluation.calibrating import Calibration, Measures, calibrate_head
from segue.evaluation.calibration import BINS, Bin, bins_for, reliability_bins
from segue.evaluation.rows import Task
from segue.evaluation.selective import (
    LEAST_ACCEPTED,
    Accepted,
    acceptance_curve,
    accepted,
    check_threshold,
    cross_fitted_thresholds,
    threshold_for,
)
from segue.files import write_atomically
from segue.report import Figure, Folded, Section, Table, provenance_section, write_page, write_plots
from segue.report.content import Block
from segue.report.reliability_plot import reliability_plot
from segue.report.tables import number
from segue.workflows.modelfile import ModelFacts

UNKNOWN = "unknown"
"""What a clip is called whose label is not sure enough."""

AUTO = "auto:"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Confidence:
    """A calibrated head with what was measured of it, all out of fold.

    Attributes
    ----------
    calibration : Calibration
    before, after : Measures
    perfect : (float, float)
        ECE that probabilities without error would measure: mean and 95th percentile.
    unknown : float or None
        Confidence below which an answer is "unknown".
    accepted : Accepted or None
        What is left with it. Of a threshold that was chosen, each fold is judged by the one that
        the others would have chosen.
    """

    calibration: Calibration
    before: Measures
    after: Measures
    perfect: tuple[float, float]
    unknown: float | None = None
    accepted: Accepted | None = None

    def facts(self) -> dict[str, Any]:
        """The fields of modelfile.ModelFacts that tell of it."""
        return {
            "calibrated": True,
            "ece_before": self.before.ece,
            "ece": self.after.ece,
            "ece_if_perfect": self.perfect[0],
            "unknown": self.unknown,
            "coverage": None if self.accepted is None else self.accepted.coverage,
            "accepted_accuracy": None if self.accepted is None else self.accepted.accuracy,
        }


def learn_confidence(
    fitted: Pipeline,
    X: ArrayLike,
    y: NDArray[Any],
    groups: ArrayLike | None,
    task: Task,
    *,
    asked: bool | None,
    unknown: float | str | None,
    inner: int,
    seed: int,
) -> tuple[Confidence | None, tuple[str, ...]]:
    """Calibrate a fitted head and settle its threshold; None and the reason where it is not done.

    Parameters
    ----------
    asked : bool or None
        None calibrates where that can be done.
    unknown : float, "auto:SHARE" or None
        See check_request.

    Raises
    ------
    UsageError
        As check_request; too few clips, where calibration or a threshold was asked for; no
        threshold reaches the share.
    """
    if not check_request(task, asked=asked, unknown=unknown):
        return None, ()
    try:
        found = calibrate_head(fitted, X, y, groups, task, inner=inner, seed=seed)
    except UsageError as error:
        if asked or unknown is not None:
            raise
        # the head was fitted on these very clips, so it is their number that does not suffice
        return None, (f"not calibrated: wanted {error.wanted}, got {error.got}",)
    confidence = Confidence(
        calibration=found,
        before=found.measures(found.before),
        after=found.measures(found.after),
        perfect=found.perfect_ece(seed=seed),
    )
    return _with_threshold(confidence, unknown), found.notes


def check_request(task: Task, *, asked: bool | None, unknown: float | str | None) -> bool:
    """Whether to calibrate, before the first hour of work.

    ``unknown`` is a confidence: of classes from 0 to 1, of tags from one half, as yes and no share
    the confidence between them; or "auto:0.9" for the lowest one at which 90 % of the labels that
    are given are right, out of fold.

    Raises
    ------
    UsageError
        A regression, a threshold without calibration, one that is no confidence, or "auto" for
        tags, of which most are absent and nearly every "no" is right.

    Examples
    --------
    >>> check_request("classification", asked=None, unknown=None)
    True
    >>> check_request("regression", asked=None, unknown=None)
    False
    """
    if task == "regression":
        if asked or unknown is not None:
            raise UsageError(
                wanted="a target with classes or tags for calibration and unknown answers",
                got="a regression target",
                fix="Drop --calibrate and --unknown: a number has no probability",
            )
        return False
    if asked is False and unknown is not None:
        raise UsageError(
            wanted="calibrated probabilities for a threshold of confidence",
            got="--unknown with --no-calibrate",
            fix="Drop one of them",
        )
    if unknown is not None:
        _threshold(unknown, task)
    return asked is not False


def picture_path(model: str | Path | None, report: str | Path | None) -> Path | None:
    """Where the reliability goes: a page in the report's folder, or a picture beside the model.

    Examples
    --------
    >>> str(picture_path("genre.segue", None)), str(picture_path("genre.segue", "about"))
    ('genre.reliability.png', 'about/reliability.html')
    """
    if report is not None:
        return Path(report) / "reliability.html"
    return None if model is None else Path(model).with_suffix(".reliability.png")


def write_confidence(
    confidence: Confidence, facts: ModelFacts, path: Path, *, provenance: Mapping[str, object]
) -> Path:
    """Write what picture_path names.

    Raises
    ------
    StoreError
        A file cannot be written.
    """
    before, after = _bins(confidence)
    found = confidence.calibration
    classes = found.task == "classification"
    picture = reliability_plot(
        before,
        after,
        target=facts.target,
        said_of="the label given" if classes else "a tag",
        curve=acceptance_curve(*found.decisions(found.after)) if classes else None,
        chosen=confidence.accepted if classes else None,
        name="reliability",
    )
    if path.suffix == ".png":
        return write_atomically(path, picture.png)
    sections = [
        Section("How far to believe it", _blocks(confidence, facts, picture, after)),
        provenance_section(provenance),
    ]
    write_plots(path.parent / "plots", sections)
    return write_page(
        path,
        title=f"Reliability of a model of {facts.target}",
        summary={facts.target: "; ".join(facts_in_words(facts))},
        sections=sections,
    )


def facts_in_words(facts: ModelFacts) -> list[str]:
    """What the facts of a calibrated model say, a sentence each; [] of others."""
    if facts.ece is None or facts.ece_before is None or facts.ece_if_perfect is None:
        return []
    lines = [
        f"expected calibration error, out of fold: {number(facts.ece_before)} before and "
        f"{number(facts.ece)} after calibration; exact probabilities would measure "
        f"{number(facts.ece_if_perfect)}"
    ]
    if facts.unknown is None or facts.coverage is None or facts.accepted_accuracy is None:
        return lines
    of = "clips" if facts.task == "classification" else "decisions on a tag"
    given = f"{facts.coverage:.0%} of {of} are answered, out of fold"
    if facts.coverage > 0:
        given += f", and {facts.accepted_accuracy:.0%} of the answers are right"
    return [*lines, f"unknown below a confidence of {facts.unknown:.3g}: {given}"]


def _threshold(unknown: float | str, task: Task) -> tuple[bool, float]:
    """Whether to choose one, and the share of right answers or the confidence itself."""
    text = str(unknown).strip()
    chosen = text.startswith(AUTO)
    try:
        value = float(text.removeprefix(AUTO))
    except ValueError as error:
        raise UsageError(
            wanted="a confidence such as 0.8, or auto:0.9",
            got=repr(text),
            fix="Give one of these",
            source=UNKNOWN,
        ) from error
    if chosen and task == "tagging":
        raise UsageError(
            wanted="a confidence from 0.5 to 1 for tags",
            got=text,
            fix="Choose one: nearly every 'no' is right, so that a share of right answers says "
            "little of tags",
            source=UNKNOWN,
        )
    return chosen, check_threshold(value, least=0.5 if task == "tagging" else 0.0)


def _with_threshold(confidence: Confidence, unknown: float | str | None) -> Confidence:
    if unknown is None:
        return confidence
    found = confidence.calibration
    chosen, value = _threshold(unknown, found.task)
    sure, right = found.decisions(found.after)
    if not chosen:
        return replace(confidence, unknown=value, accepted=accepted(sure, right, value))
    threshold = threshold_for(sure, right, value)
    if threshold == float("inf"):
        coverage, accuracy = acceptance_curve(sure, right)
        enough = coverage * len(sure) >= LEAST_ACCEPTED
        raise UsageError(
            wanted=f"{value:.0%} of the labels given to be right",
            got=f"at most {accuracy[enough].max():.0%}, however few of the {len(sure)} clips",
            fix="Lower the share, use a better encoder or more clips, or give a confidence",
            source=UNKNOWN,
        )
    each = cross_fitted_thresholds(sure, right, found.decision_folds, value)
    return replace(confidence, unknown=threshold, accepted=accepted(sure, right, each))


def _bins(confidence: Confidence) -> tuple[tuple[Bin, ...], tuple[Bin, ...]]:
    """Of the label given; of tags, all of them together, which are many and mostly absent."""
    found = confidence.calibration
    if found.task == "classification":
        bins = bins_for(len(found.truth))
        before, after = (
            reliability_bins(*found.decisions(one), bins=bins)
            for one in (found.before, found.after)
        )
    else:
        before, after = (
            reliability_bins(one.ravel(), found.truth.ravel(), bins=3 * BINS)
            for one in (found.before, found.after)
        )
    return before, after


def _blocks(
    confidence: Confidence, facts: ModelFacts, picture: Figure, after: Sequence[Bin]
) -> list[Block]:
    before, measured, found = confidence.before, confidence.after, confidence.calibration
    rows = [
        ["expected calibration error", number(before.ece), number(measured.ece)],
        ["Brier score", number(before.brier), number(measured.brier)],
        ["log loss", number(before.log_loss), number(measured.log_loss)],
    ]
    note = "Out of fold, mean over tags; smaller is better."
    if found.task == "classification":
        rows.append(["accuracy", number(before.accuracy), number(measured.accuracy)])
        note = "Out of fold; all but accuracy are better when small."
    dots = [
        [str(one.n), number(one.said), number(one.found), f"{number(one.low)}, {number(one.high)}"]
        for one in after
    ]
    mean, high = confidence.perfect
    return [
        picture,
        Table(["measure", "before", "after"], rows, note, (1, 2)),
        f"The calibration error is biased upwards: exact probabilities would measure "
        f"{number(mean)} on average here, and in one sample of twenty more than {number(high)}.",
        *_threshold_words(confidence.accepted, facts),
        "All clips are of one collection. Of music of another kind the head may be surer than it "
        "should be.",
        Folded(
            "The dots after calibration",
            [Table(["answers", "said", "found", "95 % interval"], dots, "", (0, 1, 2, 3))],
        ),
    ]


def _threshold_words(one: Accepted | None, facts: ModelFacts) -> list[str]:
    if one is None:
        return []
    between = f" (95 % interval {number(one.low)} to {number(one.high)})" if one.accepted else ""
    sentence = facts_in_words(facts)[-1]
    return [f"{sentence[0].upper()}{sentence[1:]}{between}."]
