"""The paper's tables and its figure as sections of a page, both protocols side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segue.encoders.folders import EncoderFolder
from segue.evaluation.few_labels import FewLabelPoint
from segue.experiments.hamel2013.published import BASE, NEAREST, PUBLISHED, RANDOM, SPACES
from segue.experiments.hamel2013.scores import DISTANCES, Precision, Protocol, Scored
from segue.experiments.hamel2013.table import Done, findings
from segue.report import Cell, Figure, Section, Table
from segue.report.content import Block
from segue.report.transfer_plots import (
    CurvePoint,
    PrecisionPoint,
    few_label_plot,
    precision_plot,
)
from segue.workflows.jointsets import listed
from segue.workflows.labels import class_section

WORDS: Mapping[Protocol, str] = {
    "paper": "as published: ten shuffled stratified folds; every other track is a neighbour",
    "corrected": "no artist on both sides of a fold; no neighbours of the query's own artist",
}

NOTHING = {BASE: "nothing: log-mel frames", RANDOM: "nothing: the map before any training"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Classes:
    """The embedding of all genre sets together, whose labels are compared."""

    folder: EncoderFolder
    learned_from: tuple[str, ...]


def summary(done: Sequence[Done]) -> dict[str, str]:
    """One sentence per target, for the top of the page."""
    return {one.name: _finding(one) for one in done}


def _finding(done: Done) -> str:
    words = []
    for protocol, scored in done.scored.items():
        cells = [point for point in scored.curve if point.per_class is None]
        parts = [f"{one.features} {one.mean:.3f}" for one in cells]
        near = [
            f"{one.features} {one.mean:.3f}" for one in scored.precision if one.distance == "l1"
        ]
        words.append(f"{protocol}: accuracy {', '.join(parts)}; precision at 10 {', '.join(near)}")
    return ". ".join(words) + "."


def sections(done: Sequence[Done], classes: Classes, notes: Sequence[str]) -> list[Section]:
    """Findings, Tables 3, 4 and 5, Figure 3, and what was learned from what."""
    protocols = [one for one in WORDS if any(one in each.scored for each in done)]
    found = [_findings(done)]
    found.append(_learned(done, classes, notes))
    found += [_accuracies(done, one) for one in protocols]
    found += [_curves(done, one) for one in protocols]
    found += [_precisions(done, one) for one in protocols]
    found.append(_classes(classes))
    return found


def _findings(done: Sequence[Done]) -> Section:
    claims = findings(done)
    rows: list[list[str | Cell]] = [
        [one.claim, one.target, one.protocol, Cell(one.verdict, strong=True), one.numbers]
        for one in claims
    ]
    counts = Counter(one.verdict for one in claims)
    words = (
        "Every claim of the paper, tried on every data set: differences to the base features (or, "
        "where it says so, to the embedding's map before any training) on the same folds, draws or "
        "queries, with their standard errors. One is shown where it is above two of them. Those of "
        "accuracies are those of Nadeau and Bengio (2003), 1.45 times the folds' own, as folds "
        f"share training tracks. Of {len(claims)} differences about {0.05 * len(claims):.0f} would "
        "be shown by chance alone. "
        + ", ".join(f"{verdict}: {n}" for verdict, n in counts.most_common())
        + "."
    )
    header = ["claim", "data set", "protocol", "here", "difference"]
    return Section("What of the paper holds here", [words, Table(header, rows, "")])


def _learned(done: Sequence[Done], classes: Classes, notes: Sequence[str]) -> Section:
    rows = [
        [one.name, space.name, ", ".join(space.learned_from) or NOTHING[space.name]]
        for one in done
        for space in one.material.spaces
    ]
    rows.append(["(Table 3)", "genre embedding", ", ".join(classes.learned_from)])
    words = [*notes, *(note for one in done for note in one.material.target.notes)]
    words += [
        f"{one.name}: {one.material.lost} tracks could not be used."
        for one in done
        if one.material.lost
    ]
    words += [
        f"{one.name}: no column names its artists, so that nothing can be corrected; its numbers "
        "are those of the paper's protocol."
        for one in done
        if one.material.groups is None
    ]
    words += [
        f"{one.name}: {len(space.shared)} of its artists also teach its {space.name}, whatever the "
        f"protocol: {listed(space.shared)}."
        for one in done
        for space in one.material.spaces
        if space.shared
    ]
    for one in done:
        missing = [name for name in PUBLISHED if name not in one.material.windows]
        if missing:
            words.append(
                f"{one.name}: no {' and no '.join(missing)}, since there is no data set to learn "
                "it from, or none that shares no file with it."
            )
    table = Table(
        ["data set", "space", "learned from"],
        rows,
        "No embedding heard a file of its target; files are compared by content.",
    )
    return Section("What was learned from what", [table, *words])


def _protocol_words(protocol: Protocol) -> str:
    return f"Protocol {protocol}: {WORDS[protocol]}."


def _accuracies(done: Sequence[Done], protocol: Protocol) -> Section:
    """Table 4, with further classifiers below each other."""
    rows: list[list[str | Cell]] = []
    for one in _with(done, protocol):
        scored = one.scored[protocol]
        cells = {point.features: point for point in scored.curve if point.per_class is None}
        rows.append(_accuracy_row(one, "linear regression on windows (paper)", cells))
        for head in dict.fromkeys(point.features.split(", ", 1)[1] for point in scored.heads):
            cells = {
                point.features.split(", ", 1)[0]: point
                for point in scored.heads
                if point.features.split(", ", 1)[1] == head
            }
            rows.append(_accuracy_row(one, head, cells, published=False))
    header = ["data set", "classifier", *SPACES]
    words = (
        f"{_protocol_words(protocol)} Accuracy, mean and standard error over ten folds; below it "
        "the paper's number, where the data set is the paper's."
    )
    if any(one.scored[protocol].heads for one in done if protocol in one.scored):
        words += (
            " SVM and MLP see each track's mean window, block-level features its blocks; settings "
            "are chosen on inner folds. They are tried under the strictest protocol only."
        )
    notes = [
        f"{one.name}: {note}."
        for one in _with(done, protocol)
        for note in one.scored[protocol].notes
    ]
    table = Table(header, rows, "")
    return Section(f"Table 4: all labels ({protocol})", [words, table, *notes])


def _accuracy_row(
    done: Done, head: str, cells: Mapping[str, FewLabelPoint], *, published: bool = True
) -> list[str | Cell]:
    paper = done.material.target.paper if published else None
    row: list[str | Cell] = [done.name, head]
    best = max((point.mean for point in cells.values()), default=0.0)
    for name in SPACES:
        point = cells.get(name)
        if point is None:
            row.append("")
            continue
        theirs = paper.accuracy.get(name) if paper else None
        detail = "" if theirs is None else f"paper {theirs[0]:.3f} ± {theirs[1]:.3f}"
        text = f"{point.mean:.3f} ± {point.se:.3f}"
        row.append(Cell(text, detail=detail, strong=point.mean == best))
    return row


def _curves(done: Sequence[Done], protocol: Protocol) -> Section:
    """Figure 3 and its numbers, with the paper's classifier and with a ridge."""
    shown = _with(done, protocol)
    plain = {one.name: one.scored[protocol].curve for one in shown}
    ridge = {one.name: one.scored[protocol].ridge for one in shown}
    chance = {one.name: one.scored[protocol].chance for one in shown}
    rows: list[list[str | Cell]] = []
    for one in shown:
        for point, other in zip(plain[one.name], ridge[one.name], strict=True):
            size = "all" if point.per_class is None else str(point.per_class)
            cells = [cell for each in (point, other) for cell in _point_cells(each)]
            rows.append([one.name, point.features, size, f"{point.clips:.0f}", *cells])
    header = [
        *("data set", "features", "a class", "tracks", "accuracy", "difference to base"),
        *("with a ridge", "difference to base"),
    ]
    words = (
        f"{_protocol_words(protocol)} Every fold draws so many training tracks of each class, "
        "fewer where a class has fewer; all features see the same draws. Bars: standard error over "
        "ten folds. Dashed: always the most frequent class. Least squares without a penalty, the "
        "paper's classifier, fails where there are about as many windows as dimensions (800 of the "
        "base, 400 of an embedding): the dip says so, not what the features are worth. The second "
        "picture has a penalty, chosen on inner folds."
    )
    figures = [
        _curve_plot(plain, chance, f"figure3_{protocol}"),
        _curve_plot(ridge, chance, f"figure3_ridge_{protocol}"),
    ]
    table = Table(header, rows, "", (2, 3))
    return Section(f"Figure 3: few labels ({protocol})", [words, *figures, table])


def _curve_plot(
    curves: Mapping[str, Sequence[FewLabelPoint]], chance: Mapping[str, float], name: str
) -> Figure:
    points = [
        CurvePoint(
            dataset=dataset,
            features=point.features,
            per_class=point.per_class,
            mean=point.mean,
            se=point.se,
        )
        for dataset, curve in curves.items()
        for point in curve
    ]
    return few_label_plot(points, chance=chance, name=name)


def _point_cells(point: FewLabelPoint) -> list[str]:
    gain = "" if point.features == BASE else _signed(point.difference, point.difference_se)
    return [f"{point.mean:.3f} ± {point.se:.3f}", gain]


def _precisions(done: Sequence[Done], protocol: Protocol) -> Section:
    """Table 5, its picture, and the other distances."""
    points, rows = [], []
    for one in _with(done, protocol):
        scored, paper = one.scored[protocol], one.material.target.paper
        for near in scored.precision:
            theirs = paper.precision.get(near.features) if paper and near.distance == "l1" else None
            if near.distance == "l1":
                points.append(
                    PrecisionPoint(
                        dataset=one.name,
                        features=near.features,
                        mean=near.mean,
                        low=near.mean - 2 * near.se,
                        high=near.mean + 2 * near.se,
                        paper=theirs,
                    )
                )
        rows += [_precision_row(one, scored, distance) for distance in DISTANCES]
    chance = {one.name: one.scored[protocol].chance_precision for one in _with(done, protocol)}
    header = ["data set", "distance", *SPACES, "queries"]
    words = (
        f"{_protocol_words(protocol)} Share of a track's ten nearest tracks that are of its class; "
        "mean window of each track, distances on the numbers as they are but where it says "
        "standardised. ±: standard error, over artists where they are known. Bars: two of them. "
        "Dashed: random neighbours."
    )
    figure = precision_plot(points, chance=chance, name=f"table5_{protocol}")
    blocks: list[Block] = [words, figure, Table(header, rows, "", (5,))]
    return Section(f"Table 5: precision at 10 ({protocol})", blocks)


def _precision_row(done: Done, scored: Scored, distance: str) -> list[str | Cell]:
    paper = done.material.target.paper
    near: dict[str, Precision] = {
        one.features: one for one in scored.precision if one.distance == distance
    }
    row: list[str | Cell] = [done.name, distance]
    best = max(one.mean for one in near.values())
    for name in SPACES:
        one = near.get(name)
        if one is None:
            row.append("")
            continue
        theirs = paper.precision.get(name) if paper and distance == "l1" else None
        detail = "" if theirs is None else f"paper {theirs:.2f}"
        row.append(Cell(f"{one.mean:.3f} ± {one.se:.3f}", detail=detail, strong=one.mean == best))
    asked = next(iter(near.values()))
    left = f" ({asked.undefined} without ten others)" if asked.undefined else ""
    return [*row, f"{asked.queries}{left}"]


def _classes(classes: Classes) -> Section:
    """Table 3, and the paper's beside it where its classes are there."""
    tags = classes.folder.tags
    section, rows, _ = class_section(
        classes.folder.tensors["labels"], tags, title="Table 3: nearest classes"
    )
    known = {f"{row.name} ({row.set})" for row in rows}
    theirs: list[list[str | Cell]] = [
        [seed, ", ".join(nearest)] for seed, nearest in NEAREST.items() if seed in known
    ]
    if not theirs:
        return section
    table = Table(["class", "the paper's five nearest"], theirs, "As printed in the paper.")
    return Section(section.title, [*section.blocks, table])


def _with(done: Sequence[Done], protocol: Protocol) -> list[Done]:
    return [one for one in done if protocol in one.scored]


def _signed(difference: float, error: float) -> str:
    return f"{difference:+.3f} ± {error:.3f}"
