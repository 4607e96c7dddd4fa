"""The tables and figures of the paper as sections of a page, ours beside theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segue.experiments.choi2017.material import ALL, Material
from segue.experiments.choi2017.runs import AUTO, PAPER, Run
from segue.experiments.choi2017.table import (
    KEY_ROWS,
    agreement_words,
    layer_scores,
    recalls,
    steps,
    table_rows,
    wins,
)
from segue.experiments.choi2017.tasks import MFCC
from segue.experiments.rows import TableRow
from segue.report import Cell, Figure, Section, Table
from segue.report.content import Block
from segue.report.layer_plots import (
    CONCATENATED,
    CONVNET,
    OTHERS,
    Bar,
    layer_set_plot,
    per_label_plot,
    protocols_plot,
    summary_plot,
)
from segue.report.layer_plots import MFCC as MFCC_COLOUR

CONCAT = f"{MFCC}+{ALL}"
BEST, SOTA = "best layer set", "state of the art (2017)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """One target, all its runs by protocol."""

    material: Material
    runs: Mapping[str, Run]

    @property
    def rows(self) -> list[TableRow]:
        """Rows of the main table."""
        return table_rows(self.material, self.runs.values())


def summary(done: Sequence[Done]) -> dict[str, str]:
    """One sentence per target, for the top of the page."""
    return {one.material.title: _finding(one) for one in done}


def _finding(done: Done) -> str:
    words = []
    for protocol in _shown(done):
        run = done.runs[protocol]
        layers = layer_scores(run)
        best = max(layers, key=lambda label: layers[label])
        parts = [f"best layer set {best} {layers[best]:.3f}"]
        for label in (AUTO, MFCC, CONCAT):
            if label in run.scores:
                parts.append(f"{label} {run.scores[label].score:.3f}")
        words.append(f"{protocol}: {', '.join(parts)}")
    found = "; ".join(words) + "."
    if done.material.warning:
        found += f" {done.material.warning}."
    return f"{found} {agreement_words(done.material, done.rows)}" if PAPER in done.runs else found


def sections(done: Sequence[Done]) -> list[Section]:
    """Figure 2 over all targets, then each target by itself."""
    found = []
    papers = [one for one in done if PAPER in one.runs]
    if len(papers) > 1:
        found.append(
            Section("All tasks under the paper's protocol (Figure 2)", [_figure_2(papers)])
        )
    return [
        *found,
        *(_target(one, f"{i:02d}-{one.material.name}") for i, one in enumerate(done, 1)),
    ]


def _figure_2(done: Sequence[Done]) -> Figure:
    rows = {}
    for one in done:
        run = one.runs[PAPER]
        series = {BEST: max(layer_scores(run).values())}
        if CONCAT in run.scores:
            series[f"MFCC+{ALL}"] = run.scores[CONCAT].score
            series["MFCC"] = run.scores[MFCC].score
        if one.material.state_of_the_art is not None:
            series[SOTA] = one.material.state_of_the_art
        rows[one.material.title] = series
    colours = {BEST: CONVNET, f"MFCC+{ALL}": CONCATENATED, "MFCC": MFCC_COLOUR, SOTA: OTHERS}
    there = {
        name: colour for name, colour in colours.items() if any(name in r for r in rows.values())
    }
    return summary_plot(rows, colours=there, name="figure-2")


def _target(done: Done, stem: str) -> Section:
    material = done.material
    main: list[Block] = [f"{len(material.y)} clips; {material.origin}.", *material.notes]
    if material.warning:
        main.append(f"{material.warning}: no protocol can mend that.")
    if PAPER in done.runs:
        main.append(agreement_words(material, done.rows))
        main.append(_layer_plot(done, PAPER, stem))
    shown = _shown(done)
    if len(shown) > 1:
        main.append(_side_by_side_plot(done, shown, stem))
    elif PAPER not in done.runs:
        main.append(_layer_plot(done, shown[0], stem))
    main.append(score_table(done))
    parts = [_steps(done), _auto(done, shown), _per_label(done, stem), _notes(done)]
    return Section(_title(material), main, [part for part in parts if part is not None])


def _title(material: Material) -> str:
    own = material.title != material.name
    return f"{material.title} ({material.name})" if own else material.title


def _shown(done: Done) -> list[str]:
    """Protocols that have all rows; the steps between have a table of their own."""
    return [protocol for protocol in done.runs if not protocol.startswith("step")]


def _layer_plot(done: Done, protocol: str, stem: str) -> Figure:
    material, run = done.material, done.runs[protocol]
    others = [
        Bar(label, run.scores[key].score, colour)
        for key, label, colour in (
            (CONCAT, f"MFCC+{ALL}", CONCATENATED),
            (MFCC, "MFCC", MFCC_COLOUR),
        )
        if key in run.scores
    ]
    if material.state_of_the_art is not None:
        others.append(Bar(SOTA, material.state_of_the_art, OTHERS))
    return layer_set_plot(
        f"{material.title}, protocol: {protocol}",
        layer_scores(run),
        random=layer_scores(run, random=True),
        others=others,
        metric=material.metric,
        name=f"{stem}-{protocol}",
    )


def _side_by_side_plot(done: Done, shown: Sequence[str], stem: str) -> Figure:
    labels = list(layer_scores(done.runs[shown[0]]))
    labels += [
        label for label in (AUTO, CONCAT, MFCC) if any(label in done.runs[p].scores for p in shown)
    ]
    series = {p: {k: s.score for k, s in done.runs[p].scores.items() if k in labels} for p in shown}
    errors = {
        p: {k: s.se for k, s in done.runs[p].scores.items() if math.isfinite(s.se)} for p in shown
    }
    return protocols_plot(
        f"{done.material.title}: the same features under each protocol",
        labels,
        series,
        errors=errors,
        metric=done.material.metric,
        name=f"{stem}-protocols",
    )


def score_table(done: Done) -> Table:
    """Every feature set: ours, theirs, difference, then each corrected number with its error."""
    shown = _shown(done)
    corrected = [p for p in shown if p != PAPER]
    header = ["features"]
    if PAPER in shown:
        header.append("paper: ours")
        header += ["theirs", "difference"] if done.material.theirs else []
    for protocol in corrected:
        header += [f"{protocol.removeprefix('corrected: ')} ± error", "95 % interval"]
    if PAPER in shown and corrected:
        header.append("last minus paper")
    labels = dict.fromkeys(label for p in shown for label in done.runs[p].scores)
    rows = [_row(done, label, corrected, paper=PAPER in shown) for label in labels]
    note = f"{done.material.metric} of every feature set"
    return Table(header, rows, note=note, numeric=range(1, len(header)))


def _row(done: Done, label: str, corrected: Sequence[str], *, paper: bool) -> list[str | Cell]:
    row: list[str | Cell] = [Cell(label, strong=label in KEY_ROWS)]
    published = done.runs[PAPER].scores.get(label) if paper else None
    theirs = done.material.theirs.get(label)
    if paper:
        ours = published.score if published else None
        apart = ours - theirs if ours is not None and theirs is not None else None
        row.append(_number(ours))
        row += [_number(theirs), _number(apart, sign=True)] if done.material.theirs else []
    last = None
    for protocol in corrected:
        last = done.runs[protocol].scores.get(label)
        if last is None:
            row += ["", ""]
        else:
            row += [f"{last.score:.3f} ± {last.se:.3f}", f"{last.low:.3f} to {last.high:.3f}"]
    if paper and corrected:
        change = last.score - published.score if last and published else None
        row.append(_number(change, sign=True))
    return row


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return ""
    return f"{value:+.4f}" if sign else f"{value:.4f}"


def _steps(done: Done) -> Section | None:
    """Why the corrected number is another: one change at a time."""
    one_split = len(done.material.splits) == 1
    chain = steps(done.runs, published_split=one_split or done.material.official is not None)
    if not any(math.isfinite(step.change) for step in chain):
        return None
    rows = [
        [
            step.features,
            step.protocol.removeprefix("step: ").removeprefix("corrected: "),
            f"{step.score:.3f}",
            f"{step.change:+.3f}" if math.isfinite(step.change) else "",
            step.reason,
        ]
        for step in chain
    ]
    table = Table(
        ["features", "protocol", done.material.metric, "change", "what changed"],
        rows,
        numeric=(2, 3),
    )
    words = (
        "Each line changes what it says against the line above it, so every part of the "
        "difference between the published and the corrected number has its reason."
    )
    return Section("From the published number to the corrected one", [words, table])


def _auto(done: Done, shown: Sequence[str]) -> Section | None:
    blocks: list[str | Table] = []
    for protocol in shown:
        scored = done.runs[protocol].scores.get(AUTO)
        if scored is None:
            continue
        best = max(layer_scores(done.runs[protocol]).items(), key=lambda pair: pair[1])
        won = wins(scored)
        blocks.append(
            f"{protocol}: the layer set chosen inside every training part scores "
            f"{scored.score:.3f} ± {scored.se:.3f}. The best single set, known only after looking "
            f"at the test folds, is {best[0]} with {best[1]:.3f}."
        )
        blocks.append(
            Table(["layer set", "folds won"], [[k, str(v)] for k, v in won.items()], numeric=(1,))
        )
    return Section("Layers chosen inside the folds (auto)", blocks) if blocks else None


def _per_label(done: Done, stem: str) -> Section | None:
    run = done.runs.get(PAPER)
    if run is None or not done.material.classes or len(done.material.classes) < 3:
        return None
    first, second = run.scores[ALL], run.scores["5"]
    figure = per_label_plot(
        f"{done.material.title}, paper's protocol",
        done.material.classes,
        recalls(done.material, first),
        recalls(done.material, second),
        names=(ALL, "5"),
        name=f"{stem}-per-label",
    )
    return Section("Per class: all layers against the last (Figure 5)", [figure])


def _notes(done: Done) -> Section | None:
    notes = list(dict.fromkeys(note for run in done.runs.values() for note in run.notes))
    return Section("Notes", notes) if notes else None
