"""Runs to rows: ours, theirs, the difference, and what each change of protocol is worth."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.experiments.choi2017.material import ALL, RANDOM, Material
from segue.experiments.choi2017.runs import (
    GROUPED,
    NESTED,
    OFFICIAL,
    ORDER,
    PAPER,
    SHUFFLED,
    Run,
    Scored,
)
from segue.experiments.choi2017.tasks import MFCC
from segue.experiments.rows import TableRow

TOLERANCE = 0.0005  # the third decimal
PUBLISHED = (
    "the best of 32 settings, scored on the clips it was chosen on; features as they are; the "
    "split that comes with the data set"
)
REDRAWN = (
    "the same on ten shuffled folds instead of the published split: other clips are tested, and "
    "another share is learned from"
)
KEY_ROWS = (ALL, "5", MFCC, f"{MFCC}+{ALL}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one change of protocol does to one feature set."""

    features: str
    protocol: str
    score: float
    change: float
    reason: str


REASONS = {
    PAPER: "the best of 32 settings, scored on the folds it was chosen on; features as they are; "
    "folds in file order",
    ORDER: "the same on shuffled folds: clips that stand together in the files (same batch, same "
    "record) now fall on both sides",
    NESTED: "settings chosen on inner folds only: what choosing on the test folds was worth. For "
    "numbers also: labels standardised, as SVR's tolerance is absolute, and long solver runs ended",
    SHUFFLED: "features standardised inside each training part",
    GROUPED: "nothing of one group on both sides of a split",
    OFFICIAL: "the folds that come with the data set, which keep recordings together",
}


def table_rows(material: Material, runs: Iterable[Run]) -> list[TableRow]:
    """Rows of all runs, steps between left out.

    Examples
    --------
    >>> table_rows(None, [])
    []
    """
    return [
        TableRow(
            task=material.name,
            features=features,
            metric=material.metric,
            ours=scored.score,
            theirs=material.theirs.get(features),
            difference=_difference(scored.score, material.theirs.get(features)),
            protocol=run.protocol,
        )
        for run in runs
        if not run.protocol.startswith("step")
        for features, scored in run.scores.items()
    ]


def _difference(ours: float, theirs: float | None) -> float | None:
    return None if theirs is None else ours - theirs


def to_csv(rows: Sequence[TableRow]) -> bytes:
    """``choi2017.csv``: empty cells where nothing was published."""
    text = io.StringIO()
    names = list(TableRow.__dataclass_fields__)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        facts = row.as_dict()
        writer.writerow({name: _plain(facts[name]) for name in names})
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else value


def agreement(rows: Sequence[TableRow]) -> dict[str, Any]:
    """How many cells of the paper's protocol agree with the published ones to the third decimal.

    Examples
    --------
    >>> agreement([])["compared"]
    0
    """
    compared = [row for row in rows if row.protocol == PAPER and row.difference is not None]
    apart = [row for row in compared if abs(row.difference or 0.0) > TOLERANCE]
    largest = max((abs(row.difference or 0.0) for row in compared), default=math.nan)
    return {
        "compared": len(compared),
        "equal": len(compared) - len(apart),
        "apart": {row.features: row.difference for row in apart},
        "largest": largest,
    }


def agreement_words(material: Material, rows: Sequence[TableRow]) -> str:
    """The same in a sentence or two, with the reason where they differ."""
    found = agreement([row for row in rows if row.task == material.name])
    if not found["compared"]:
        return "The authors published nothing to compare this with."
    words = (
        f"{found['equal']} of {found['compared']} published scores are met to the third decimal; "
        f"the largest difference is {found['largest']:.4f}."
    )
    if not material.determined:
        return (
            words + " These features do not determine the published scores: the authors' were "
            "computed from others, or in another file order."
        )
    layer5 = [name for name in found["apart"] if "5" in name]
    if layer5 and len(layer5) == len(found["apart"]):
        words += (
            " All that differ contain layer 5: the authors' script took it from a file of another "
            "name, which was not released."
        )
    elif found["apart"]:
        words += f" Apart: {', '.join(found['apart'])}."
    return words


def steps(runs: Mapping[str, Run], *, published_split: bool = False) -> list[Step]:
    """From the published number to the corrected one, one change at a time, for a few rows.

    Parameters
    ----------
    runs : mapping of protocol -> Run
        Steps that were not run are left out.
    published_split : bool
        The paper's protocol uses a split or folds that come with the data set.
    """
    reasons = {**REASONS, **({ORDER: REDRAWN, PAPER: PUBLISHED} if published_split else {})}
    chain = [one for one in (PAPER, ORDER, NESTED, SHUFFLED, GROUPED, OFFICIAL) if one in runs]
    found = []
    for features in KEY_ROWS:
        previous = math.nan
        for protocol in chain:
            scored = runs[protocol].scores.get(features)
            if scored is None:
                continue
            found.append(
                Step(
                    features=features,
                    protocol=protocol,
                    score=scored.score,
                    change=scored.score - previous,
                    reason=reasons[protocol],
                )
            )
            previous = scored.score
    return found


def wins(scored: Scored) -> dict[str, int]:
    """How often each layer set was chosen, over the outer folds.

    Examples
    --------
    >>> auto = Scored(score=1.0, settings=({"layers": "5"}, {"layers": "5"}), predictions=[])
    >>> wins(auto)
    {'5': 2}
    """
    counts = Counter(str(chosen["layers"]) for chosen in scored.settings)
    return dict(counts.most_common())


def recalls(material: Material, scored: Scored) -> list[float]:
    """Share of each class that is recognised, over the clips that were tested."""
    tested = np.zeros(len(material.y), dtype=bool)
    for _, test in material.splits:
        tested[test] = True
    found = []
    for number in range(len(material.classes)):
        own = tested & (material.y == number)
        found.append(float((scored.predictions[own] == number).mean()) if own.any() else math.nan)
    return found


def layer_scores(run: Run, *, random: bool = False) -> dict[str, float]:
    """Scores of the 31 layer sets, in the paper's order: all five layers first."""
    lead = RANDOM if random else ""
    labels = [
        label.removeprefix(lead)
        for label in run.scores
        if label.startswith(lead) and label.removeprefix(lead).isdigit()
    ]
    ordered = sorted(labels, key=lambda label: (-len(label), label))
    return {label: run.scores[lead + label].score for label in ordered}
