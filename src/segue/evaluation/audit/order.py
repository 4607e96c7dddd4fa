"""Whether the order of the rows shows in the features beyond what labels explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_score

from segue.evaluation.audit.borders import BorderScan, SizeResult, batch_sizes
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.spaces import components, normal_scores
from segue.evaluation.audit.verdicts import SUSPECT, LeakTest, NotRun
from segue.seeds import derive, generator

NAME = "batch order"
QUESTION = (
    "Do the features change where one batch of files ends and the next begins? Then they hold the "
    "batch, and in files sorted by label the batch gives the label away."
)
MEANING = "jump of the features at borders of batches over that at other places (ratio)"
LOT = 32
"""Batches as small as this may be lots of clips, such as the songs of an album."""

LARGEST_JUMPS = 10
FOLDS = 5
ALIKE = 4.0
"""Sizes whose p-values differ less than this are told apart by their jumps."""

NORMALISED = 0.7
"""Batch means closer to each other than this, of the usual, suggest normalisation by batch."""


@dataclass(frozen=True, slots=True, eq=False)
class OrderFinding:
    """The test, and the batch size it found.

    Attributes
    ----------
    test : LeakTest or NotRun
    size : int or None
        Of the batches whose borders show; None where none do.
    p_value : float
        Over all sizes looked at.
    """

    test: LeakTest | NotRun
    size: int | None = None
    p_value: float = 1.0


def order_test(data: AuditSet, *, sizes: Sequence[int] = (), seed: int = 0) -> OrderFinding:
    """Look for borders of batches of all usual sizes.

    Parameters
    ----------
    data : AuditSet
        All rows in the order in which they were embedded.
    sizes : sequence of int
        Batch sizes to look for; by default powers of two and round numbers.
    seed : int

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> leaky = simulate(Recipe(batch_size=64, batch_shift=1.0), 0)
    >>> order_test(leaky).size
    64
    """
    scan = BorderScan(data)
    shares = batch_sizes(len(data), sizes)
    tried = {size: scan.test(size, generator(seed, NAME, size)) for size in shares}
    found = {size: result for size, result in tried.items() if result is not None}
    if not found:
        why = "no batch size has two borders inside a class: too few rows, or too many classes"
        return OrderFinding(NotRun(NAME, why))
    p_values = {size: min(1.0, found[size].p_value / shares[size]) for size in found}
    p_value = min(p_values.values())
    # halves and doubles of the true size show too, but jump less: half their borders are none
    alike = [size for size in found if p_values[size] <= ALIKE * p_value]
    best = max(alike, key=lambda size: (np.nan_to_num(found[size].ratio), -p_values[size]))
    seen = p_value <= SUSPECT
    small = best <= LOT and not data.groups
    jumps = scan.jumps(best)
    told = control = float("nan")
    words = (
        f"No borders of batches show in the features ({len(found)} batch sizes looked at, "
        f"{min(found)} to {max(found)} rows)."
    )
    if seen:
        told = batch_accuracy(data, best, seed=seed)
        control = batch_accuracy(data, best, shift=best // 2, seed=seed)
        words = _words(found[best], small, told=told, control=control)
    test = LeakTest(
        name=NAME,
        question=QUESTION,
        meaning=MEANING,
        statistic=found[best].ratio,
        low=found[best].low,
        high=found[best].high,
        control=1.0,
        p_value=p_value,
        limit="suspect" if small else "leak",
        words=words,
        rows=[*_sizes(found), *_named(best, told, control), *_largest(data, jumps, best)],
        curves={
            "jump": np.where(np.isnan(jumps), np.nan, jumps).tolist(),
            "borders": list(range(best, len(data), best)) if seen else [],
            "runs": scan.runs.tolist() if len(scan.runs) < len(data) // 4 else [],
        },
    )
    return OrderFinding(test, best if seen else None, p_value)


def batch_accuracy(data: AuditSet, size: int, *, shift: int = 0, seed: int = 0) -> float:
    """How well a linear classifier tells the number of the batch from the features.

    Parameters
    ----------
    size : int
    shift : int
        Rows by which the borders are moved: the control.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> leaky = simulate(Recipe(batch_size=100, batch_shift=1.0, order="shuffled"), 0)
    >>> batch_accuracy(leaky, 100) > batch_accuracy(leaky, 100, shift=50)
    True
    """
    Z = components(normal_scores(data.X))
    batches = (np.arange(len(Z)) + shift) // size
    sizes = np.bincount(batches)
    keep = sizes[batches] >= FOLDS
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=derive(seed, NAME, "accuracy"))
    head = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return float(cross_val_score(head, Z[keep], batches[keep], cv=folds).mean())


def _words(result: SizeResult, small: bool, *, told: float, control: float) -> str:
    parts = [f"Every {result.size} rows something happens to the features that the labels do not"]
    parts[0] += " explain."
    if result.low > 1:
        parts.append(
            f"They jump {result.ratio:.1f} times as far there as at other places of the same label."
        )
    if result.level < NORMALISED:
        parts.append(
            f"The means of batches of {result.size} differ {result.level:.2f} times as much as "
            "those of other stretches: each batch seems normalised by itself."
        )
    if told > control:
        parts.append(
            f"A linear classifier names the batch of a clip in {told:.1%} of cases, and in "
            f"{control:.1%} where the borders are moved by half a batch."
        )
    if small:
        parts.append(
            f"If the files come in lots of {result.size}, such as the songs of an album, that is "
            "the reason: name the column with --group to have it taken into account."
        )
    else:
        parts.append(
            "Embed again with an encoder whose statistics are frozen, or one file at a time."
        )
    return " ".join(parts)


def _sizes(found: dict[int, SizeResult]) -> list[dict[str, object]]:
    return [
        {
            "batch size": size,
            "borders compared": result.borders,
            "jump over placebo": result.ratio,
            "low": result.low,
            "high": result.high,
            "level over placebo": result.level,
            "p for this size": result.p_value,
        }
        for size, result in sorted(found.items())
    ]


def _named(size: int, told: float, control: float) -> list[dict[str, object]]:
    if np.isnan(told):
        return []
    return [{"batches named, of": size, "right": told, "borders moved by half": control}]


def _largest(data: AuditSet, jumps: NDArray[np.float64], size: int) -> list[dict[str, object]]:
    """The largest jumps of all, each the largest of its surroundings."""
    left = np.where(np.isnan(jumps), -np.inf, jumps)
    rows: list[dict[str, object]] = []
    while len(rows) < LARGEST_JUMPS and np.isfinite(left.max()):
        place = int(np.argmax(left))
        left[max(place - LOT // 2, 0) : place + LOT // 2] = -np.inf
        if 0 < place < len(data):
            rows.append(
                {
                    "largest jump before row": place,
                    "from": data.ids[place - 1],
                    "to": data.ids[place],
                    "times the usual": float(np.exp(jumps[place])),
                    "rows from a border": int(min(place % size, -place % size)),
                }
            )
    return rows
