"""What a reader of results must know: undefined scores, missing intervals, pairs without a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.folds import Folds
from segue.evaluation.metrics import METRICS
from segue.evaluation.nested import Candidate, FoldOutcome
from segue.evaluation.rows import PairedTest, Task
from segue.evaluation.statistics import why_no_interval
from segue.evaluation.targets import EncodedTarget


def search_notes(
    candidates: Mapping[str, Candidate],
    heads: Sequence[str],
    outcomes: Mapping[str, Sequence[FoldOutcome]],
) -> list[str]:
    """What the searches have to say, with the encoders concerned unless all of them are."""
    said_of: dict[str, list[str]] = {}
    for label, found in outcomes.items():
        own = [note for one in found for note in one.notes]
        for at, head in enumerate(heads):
            choices = [one.choices[at] for one in found]
            if (capped := sum(choice.unconverged for choice in choices)) > 0:
                why = " (large C on a linear kernel; scaled features converge sooner)"
                own.append(
                    f"{head}: {capped} solver runs of the whole search stopped at their cap before "
                    f"they converged{why if head == 'svm' else ''}"
                )
            if (tried := len(candidates[label].sets)) > 1:
                won = Counter(str(choice.settings["layers"]) for choice in choices).most_common()
                listed = ", ".join(f"{layers} in {count}" for layers, count in won)
                own.append(
                    f"{head}: layers chosen among {tried} sets inside the nested loop: {listed} "
                    "outer folds"
                )
        for note in dict.fromkeys(own):
            said_of.setdefault(note, []).append(label)
    return [
        note if len(labels) == len(outcomes) else f"{', '.join(labels)}: {note}"
        for note, labels in said_of.items()
    ]


def undefined_notes(encoded: EncodedTarget, folds: Folds) -> list[str]:
    """Which numbers are means over fewer tags or folds than a reader would think."""
    if encoded.task == "classification":
        return []
    tested = [encoded.y[test] for _, test in folds.splits()]
    if encoded.task == "regression":
        constant = sum(len(np.unique(part)) < 2 for part in tested)
        what = f"R2 and CCC undefined in {constant} folds (constant truth); left out, RMSE is not"
        return [what] if constant else []
    undefined = np.array([(part == part[0]).all(axis=0) for part in tested])
    if not undefined.any():
        return []
    notes = [
        f"tags without a positive or a negative among a fold's clips are left out of its mean: "
        f"{undefined.sum(axis=1).mean():.1f} of {len(encoded.labels)} per fold"
    ]
    if never := [repr(encoded.labels[tag]) for tag in np.flatnonzero(undefined.all(axis=0))]:
        notes.append(
            f"{len(never)} of {len(encoded.labels)} tags undefined in every fold, and in no mean: "
            + ", ".join(never)
        )
    return notes


def interval_notes(
    codes: NDArray[np.int64], assignment: NDArray[np.int64], task: Task
) -> list[str]:
    """Why some intervals are missing."""
    reasons = [why_no_interval(metric, codes, assignment) for metric in METRICS[task]]
    return list(dict.fromkeys(filter(None, reasons)))


def untested_notes(tests: Sequence[PairedTest]) -> list[str]:
    """Which pairs have no p value: NaN, because folds that all differ alike leave no spread."""
    return [
        f"no test of {one.first} against {one.second} ({one.head}, {one.metric}): they differ by "
        "the same amount in every fold, or fewer than two folds are defined"
        for one in tests
        if np.isnan(one.p_value)
    ]
