"""Numbers to rows: ours, theirs, and whether what the paper found is found here."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from segue.evaluation.few_labels import FewLabelPoint
from segue.experiments.hamel2013.published import BASE, FOLDS, GENRE, TAG
from segue.experiments.hamel2013.scores import Material, Protocol, Scored
from segue.experiments.rows import TableRow

SHARED = math.sqrt(1 + FOLDS / (FOLDS - 1))
"""What the error over folds is multiplied with, since their training parts overlap (Nadeau and
Bengio, Inference for the generalization error, 2003: 1/k + test/train in the place of 1/k)."""

FEW = 20
"""Examples of each class up to which the paper's Figure 3 shows its gain."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Done:
    """A target and its numbers by protocol."""

    material: Material
    scored: Mapping[Protocol, Scored]

    @property
    def name(self) -> str:
        """Of the target."""
        return self.material.target.name


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow(TableRow):
    """One number of ``hamel2013.csv``, with its standard error."""

    se: float


def table_rows(done: Done) -> list[ScoreRow]:
    """Tables 4 and 5, further heads and Figure 3 of one target."""
    paper = done.material.target.paper
    rows: list[ScoreRow] = []
    for protocol, scored in done.scored.items():
        for points, head in ((scored.curve, ""), (scored.ridge, ", RIDGE"), (scored.heads, "")):
            for point in points:
                few = "" if point.per_class is None else f" at {point.per_class} a class"
                features = f"{point.features}{head}"
                known = paper is not None and not few and features in paper.accuracy
                theirs = paper.accuracy[features][0] if paper and known else None
                metric = f"accuracy{few}"
                rows.append(_row(done, protocol, features, metric, point.mean, point.se, theirs))
        for one in scored.precision:
            known = paper is not None and one.distance == "l1"
            theirs = paper.precision.get(one.features) if paper and known else None
            metric = f"precision at 10, {one.distance}"
            rows.append(_row(done, protocol, one.features, metric, one.mean, one.se, theirs))
    return rows


def _row(
    done: Done,
    protocol: str,
    features: str,
    metric: str,
    ours: float,
    se: float,
    theirs: float | None,
) -> ScoreRow:
    difference = None if theirs is None else ours - theirs
    return ScoreRow(
        task=done.name,
        features=features,
        metric=metric,
        ours=ours,
        theirs=theirs,
        difference=difference,
        protocol=protocol,
        se=se,
    )


def to_csv(rows: Iterable[ScoreRow]) -> bytes:
    """``hamel2013.csv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ScoreRow.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        facts = row.as_dict()
        for name in ("ours", "theirs", "difference", "se"):
            value = facts[name]
            facts[name] = "" if value is None or value != value else f"{value:.4f}"
        writer.writerow(facts)
    return text.getvalue().encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One claim of the paper, and what it came to on one target.

    ``verdict`` is "holds", "does not hold" (the opposite is shown) or "not shown": a difference
    counts where it is above two of its standard errors.
    """

    claim: str
    target: str
    protocol: str
    verdict: str
    numbers: str


def findings(done: Sequence[Done]) -> list[Finding]:
    """The paper's claims on every target under every protocol, and what a control makes of them."""
    found: list[Finding] = []
    for one in done:
        for protocol, scored in one.scored.items():
            few, full = _few(scored), [None]
            for curve, space, claim, sizes, sign in (
                (scored.curve, TAG, "few labels: tag embedding better than base", few, 1),
                (scored.ridge, TAG, "few labels, with a ridge: the same", few, 1),
                (scored.controlled, TAG, "few labels: better than an untrained map", few, 1),
                (scored.curve, TAG, "all labels: tag embedding better than base", full, 1),
                (scored.controlled, TAG, "all labels: better than an untrained map", full, 1),
                (scored.curve, GENRE, "all labels: genre embedding worse than base", full, -1),
            ):
                points = [p for p in curve if p.features == space and p.per_class in sizes]
                if points:
                    found.append(_accuracy(claim, one.name, protocol, points, sign))
            found += _near(one.name, protocol, scored)
    order = list(dict.fromkeys(one.claim for one in found))
    return sorted(found, key=lambda one: order.index(one.claim))


def _near(target: str, protocol: str, scored: Scored) -> list[Finding]:
    """The claims about similarity."""
    found = []
    for one in scored.precision:
        if one.features not in (GENRE, TAG) or one.distance != "l1":
            continue
        for other, difference, error in (
            ("base", one.difference, one.difference_se),
            ("an untrained map", one.above_control, one.above_control_se),
        ):
            found.append(
                Finding(
                    claim=f"similarity (precision at 10, L1): {one.features} better than {other}",
                    target=target,
                    protocol=protocol,
                    verdict=_verdict(difference, error),
                    numbers=f"{difference:+.3f} ± {error:.3f}",
                )
            )
    return found


def _few(scored: Scored) -> list[int | None]:
    sizes = {point.per_class for point in scored.curve if point.features == BASE}
    return [size for size in sizes if size is not None and size <= FEW]


def _accuracy(
    claim: str, target: str, protocol: str, points: Sequence[FewLabelPoint], sign: int
) -> Finding:
    """Over several sizes, the claim holds where most do and none says the opposite."""
    errors = [one.difference_se * SHARED for one in points]
    verdicts = [
        _verdict(sign * one.difference, error) for one, error in zip(points, errors, strict=True)
    ]
    numbers = "; ".join(
        ("all" if one.per_class is None else f"{one.per_class} a class")
        + f" {one.difference:+.3f} ± {error:.3f}"
        for one, error in zip(points, errors, strict=True)
    )
    holds = sum(one == "holds" for one in verdicts)
    against = sum(one == "does not hold" for one in verdicts)
    verdict = "not shown"
    if against == 0 and 2 * holds > len(verdicts):
        verdict = "holds"
    elif holds == 0 and 2 * against > len(verdicts):
        verdict = "does not hold"
    return Finding(claim=claim, target=target, protocol=protocol, verdict=verdict, numbers=numbers)


def _verdict(difference: float, error: float) -> str:
    """Whether a difference is shown, and which way.

    Examples
    --------
    >>> _verdict(0.05, 0.01), _verdict(0.01, 0.01), _verdict(-0.05, 0.01)
    ('holds', 'not shown', 'does not hold')
    """
    if not abs(difference) > 2 * error:
        return "not shown"
    return "holds" if difference > 0 else "does not hold"
