"""Label efficiency in words, tables and pictures, ready for a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from segue.evaluation.label_classes import ClassGain, Profit
from segue.evaluation.label_curves import LabelCurves
from segue.evaluation.label_equivalence import Equivalence, LabelDifference, ahead
from segue.report.content import Block, Cell, Folded, Section, Table
from segue.report.curve_plots import curve_plot, profit_plot, size_name
from segue.report.marks import set_marks
from segue.report.style import Mark
from segue.report.tables import metric_name, smaller_is_better
from segue.report.words import listed


def curve_sections(
    curves: LabelCurves,
    differences: Sequence[LabelDifference],
    equivalences: Sequence[Equivalence],
    profits: Sequence[Profit],
) -> list[Section]:
    """Everything a page of label curves shows.

    Parameters
    ----------
    curves : LabelCurves
    differences : sequence of LabelDifference
    equivalences : sequence of Equivalence
    profits : sequence of Profit
        One an encoder; none where there are no classes or a single size.
    """
    looks = set_marks(curves.encoders)
    main, *others = curves.curves
    blocks: list[Block] = [
        curve_protocol(curves),
        curve_plot(curves, main, looks, name="curve"),
        _points(curves, main),
    ]
    for metric in others:
        figure = curve_plot(curves, metric, looks, name=f"curve_{metric}")
        blocks.append(Folded(metric_name(metric), [figure, _points(curves, metric)]))
    sections = [Section("Score against labels", blocks)]
    if len(curves.encoders) > 1:
        sections.append(_matching(curves, differences, equivalences))
    if profits:
        sections.append(_classes(curves, profits, looks))
    notes = [*curves.notes] or ["Nothing was left out."]
    return [*sections, Section("Notes", [f"{note[0].upper()}{note[1:]}." for note in notes])]


def curve_verdict(
    curves: LabelCurves,
    differences: Sequence[LabelDifference],
    equivalences: Sequence[Equivalence],
    profits: Sequence[Profit],
) -> dict[str, str]:
    """The findings as sentences: who leads, labels saved, and the class that would profit most."""
    ends = dict.fromkeys([0, len(curves.sizes) - 1])
    found = {"score": " ".join(_leader(curves, differences, at) for at in ends)}
    if equivalences:
        pairs = list(ahead(curves))
        found["labels"] = " ".join(
            matching_words(curves, equivalences, front, behind)
            for front, behind in pairs
            if front == pairs[0][0]  # the one in front of all; the other pairs are on the page
        )
    if profits:
        last = curves.main.mean[:, -1]
        best = curves.encoders[int(last.argmax())]
        found["classes"] = next(
            profit_words(one, curves.unit()) for one in profits if one.encoder == best
        )
    return found


def curve_protocol(curves: LabelCurves) -> str:
    """How the numbers came about, in a paragraph."""
    alone = f"kept apart by {curves.group}" if curves.group else "each clip a group of its own"
    drawn = (
        "k clips of each class are drawn from the other folds"
        if curves.task == "classification"
        else "k clips are drawn from the other folds"
    )
    settings = (
        "chosen on inner folds of the drawn clips where they allow it"
        if curves.tune
        else "the same at every size"
    )
    return (
        f"{curves.n} clips, {curves.n_groups} groups, {alone}. {curves.folds} folds are each "
        f"tested whole; {drawn}, {curves.repeats} times, larger draws holding smaller ones. All "
        f"encoders see the same draws. Head: {curves.head}, its settings {settings}; features are "
        + ("standardised by the drawn clips alone." if curves.scale else "not standardised.")
    )


def matching_words(
    curves: LabelCurves, equivalences: Sequence[Equivalence], front: str, behind: str
) -> str:
    """How many labels the encoder behind needs to match the one in front, as a sentence or two.

    Named are the largest size that is matched, and the smallest that is not.
    """
    pairs = [one for one in equivalences if (one.reference, one.encoder) == (front, behind)]
    matched = [one for one in pairs if math.isfinite(one.labels)]
    unmatched = [one for one in pairs if not math.isfinite(one.labels)]
    words = ""
    if matched:
        one = matched[-1]
        words = (
            f"{behind} needs {labels_text(curves, one.labels)} {curves.unit()}"
            f"{_range(curves, one)} "
            f"to match what {front} reaches with {size_name(one.size)}"
        )
    if unmatched:
        size = size_name(unmatched[0].size)
        words += "; w" if words else "W"
        words += f"ith all its labels {'it' if matched else behind} does not reach "
        words += f"what {front} has with {size}"
    return words + "."


def profit_words(profit: Profit, unit: str) -> str:
    """Which class would profit most from more labels, or that none can be told apart."""
    step = f"from {size_name(profit.before)} to {size_name(profit.after)} {unit}"
    best = profit.gains[0]
    largest = f"the largest gain in F1 {step} is that of {best.label}: {_gain(best)}"
    if not profit.grew:
        n = len(profit.gains)
        return (
            f"With {profit.encoder}, no class can be told to profit from more labels, with room "
            f"for the {n} that were looked at; {largest}."
        )
    if len(profit.apart) == 1:
        return (
            f"With {profit.encoder}, {best.label} would profit most from more labels: its F1 "
            f"gained {_gain(best)} {step}, more than that of every other class."
        )
    tied = listed(profit.apart[1:]) if len(profit.apart) <= 5 else f"{len(profit.apart) - 1} others"
    return (
        f"With {profit.encoder}, {largest}. It cannot be told from that of {tied}, so none is "
        "named as the class that would profit most."
    )


def labels_text(curves: LabelCurves, labels: float) -> str:
    """Labels as a reader says them: "12", "1 or fewer", "more than all 180".

    Two digits are all that the interval allows.
    """
    if math.isnan(labels):
        return ""
    if math.isinf(labels):
        return f"more than all {curves.per[-1]:.0f}"
    if labels <= curves.per[0]:
        return f"{curves.per[0]:g} or fewer"
    return f"{labels:.0f}" if labels >= 10 else f"{labels:.1f}"


def _range(curves: LabelCurves, one: Equivalence) -> str:
    if math.isnan(one.low):
        return ""
    return f" ({labels_text(curves, one.low)} to {labels_text(curves, one.high)})"


def _gain(one: ClassGain) -> str:
    between = "" if math.isnan(one.low) else f" ({one.low:+.3f} to {one.high:+.3f})"
    return f"{one.gain:+.3f}{between}"


def _leader(curves: LabelCurves, differences: Sequence[LabelDifference], at: int) -> str:
    """Who is best at one size, and whether it can be told from the next."""
    size, curve = curves.sizes[at], curves.main
    order = sorted(range(len(curves.encoders)), key=lambda one: -curve.mean[one, at])
    best = order[0]
    start = f"With {size_name(size)} {curves.unit(size)}, {curves.encoders[best]} "
    start += "is best: " if len(order) > 1 else "reaches "
    score = f"{metric_name(curve.metric)} {_point(curves, curve.metric, best, at)}"
    if len(order) == 1:
        return f"{start}{score}."
    names = curves.encoders[best], curves.encoders[order[1]]
    pair = next(
        one for one in differences if {*names} == {one.first, one.second} and one.size == size
    )
    sign = 1 if pair.first == names[0] else -1
    low, high = sorted((sign * pair.low, sign * pair.high))
    if not pair.difference:
        return f"{start}{score}, level with {names[1]}."
    by = f"{sign * pair.difference:.3f} above {names[1]}"
    if math.isnan(pair.low):
        return f"{start}{score}, {by}."
    told = f"({low:+.3f} to {high:+.3f})" + ("" if low > 0 else ", which may be chance")
    return f"{start}{score}, {by} {told}."


def _point(curves: LabelCurves, metric: str, encoder: int, at: int) -> str:
    curve = curves.curves[metric]
    mean, low, high = curve.mean[encoder, at], curve.low[encoder, at], curve.high[encoder, at]
    return f"{mean:.3f}" if math.isnan(low) else f"{mean:.3f} ({low:.3f} to {high:.3f})"


def _points(curves: LabelCurves, metric: str) -> Table:
    """One row an encoder, one column a size; baselines below."""
    curve = curves.curves[metric]
    best = (-curve.mean if smaller_is_better(metric) else curve.mean).argmax(axis=0)
    rows: list[Sequence[str | Cell]] = [
        [
            name,
            *(
                Cell(
                    f"{curve.mean[row, at]:.3f}",
                    detail=_ends(curve.low[row, at], curve.high[row, at]),
                    strong=bool(best[at] == row and len(curve.mean) > 1),
                )
                for at in range(len(curves.sizes))
            ),
        ]
        for row, name in enumerate(curves.encoders)
    ]
    for what, scores in curves.baselines.items():
        if metric in scores:
            rows.append([what, *[f"{scores[metric]:.3f}"] * len(curves.sizes)])
    return Table(
        ["encoder", *(_size_head(curves, at) for at in range(len(curves.sizes)))],
        rows,
        f"{metric_name(metric)} by labelled {curves.unit()}, with 95 % intervals.",
        range(1, len(curves.sizes) + 1),
    )


def _ends(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def _size_head(curves: LabelCurves, at: int) -> str:
    size = curves.sizes[at]
    return f"all ({curves.per[at]:.0f})" if size is None else str(size)


def _matching(
    curves: LabelCurves,
    differences: Sequence[LabelDifference],
    equivalences: Sequence[Equivalence],
) -> Section:
    pairs = list(ahead(curves))
    found = {(one.reference, one.encoder, one.size): one for one in equivalences}
    heads = [_size_head(curves, at) for at in range(len(curves.sizes))]
    rows = [
        [
            Cell(behind, detail=f"to match {front}"),
            *(
                Cell(labels_text(curves, one.labels), detail=_between(curves, one))
                for one in (found[front, behind, size] for size in curves.sizes)
            ),
        ]
        for front, behind in pairs
    ]
    needed = Table(
        [f"{curves.unit()} that this encoder needs", *heads],
        rows,
        "Columns: what the other encoder was taught with. Curves are made monotone and read off on "
        "a logarithmic scale; below, the 95 % interval over test groups and draws.",
        range(1, len(heads) + 1),
    )
    both = {(one.first, one.second, one.size): (1, one) for one in differences}
    both |= {(one.second, one.first, one.size): (-1, one) for one in differences}
    less = [
        [
            Cell(front, detail=f"less {behind}"),
            *(
                Cell(f"{sign * one.difference:+.3f}", detail=_signed(sign, one))
                for sign, one in (both[front, behind, size] for size in curves.sizes)
            ),
        ]
        for front, behind in pairs
    ]
    paired = Table(
        ["difference", *heads],
        less,
        f"Differences in {metric_name(curves.main.metric)} on the same draws and test clips, with "
        "95 % intervals of each alone: of many, one in twenty misses 0 by chance.",
        range(1, len(heads) + 1),
    )
    words = [matching_words(curves, equivalences, front, behind) for front, behind in pairs]
    return Section("Labels that one encoder needs to match another", [*words, needed, paired])


def _between(curves: LabelCurves, one: Equivalence) -> str:
    if math.isnan(one.low):
        return ""
    low, high = labels_text(curves, one.low), labels_text(curves, one.high)
    return low if low == high else f"{low} to {high}"


def _signed(sign: int, one: LabelDifference) -> str:
    if math.isnan(one.low):
        return ""
    low, high = sorted((sign * one.low, sign * one.high))
    return f"{low:+.3f} to {high:+.3f}"


def _classes(curves: LabelCurves, profits: Sequence[Profit], looks: Mapping[str, Mark]) -> Section:
    """Gains of the classes: words, picture, and a table an encoder."""
    words = [profit_words(one, curves.unit()) for one in profits]
    tables: list[Block] = [
        Table(
            [one.encoder, "clips", "F1", "gain", "95 % interval"],
            [
                [
                    gain.label,
                    f"{gain.clips_before:.0f} to {gain.clips_after:.0f}",
                    f"{gain.before:.3f} to {gain.after:.3f}",
                    f"{gain.gain:+.3f}",
                    "" if math.isnan(gain.low) else f"{gain.low:+.3f} to {gain.high:+.3f}",
                ]
                for gain in one.gains
            ],
            f"Clips of the class that were drawn, and its F1, from {size_name(one.before)} to "
            f"{size_name(one.after)} {curves.unit()}.",
            (1, 2, 3, 4),
        )
        for one in profits
    ]
    return Section(
        "Which class would profit from more labels",
        [
            "F1 and not recall, since recall rises for a class that is merely said more often. A "
            "gain at the end of the curve says where more labels help as long as the curve goes on "
            "as it did.",
            *words,
            profit_plot(profits, looks, unit=curves.unit(), name="classes"),
            Folded("Gains in numbers", tables),
        ],
    )
