"""The page of benchmarks/comparison.py: all encoders in a table, and what does not help.

Every sentence is computed from the rows; nothing is written by hand but what the columns mean.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from setting import named_rows, where

from segue import __version__
from segue.evaluation.rows import AUTO, BASELINES, EncoderResult, PairedTest, TargetResult
from segue.report import markdown_table, write_rows_csv
from segue.report.page import write_plots
from segue.report.plots import SIGNIFICANT
from segue.report.rank_plots import overall_section
from segue.report.sections import looks_of
from segue.report.tables import leaderboard, main_metric, metric_name, number
from segue.workflows import Evaluation

CONTROL = "mfcc"


@dataclass(frozen=True)
class Part:
    """One data set's targets, evaluated."""

    name: str
    done: Evaluation

    @property
    def results(self) -> tuple[TargetResult, ...]:
        return self.done.results


def write_page(folder: Path, parts: Sequence[Part], *, left_out: Sequence[str]) -> None:
    """comparison.csv, comparison.md, and the pictures of each part."""
    folder.mkdir(parents=True, exist_ok=True)
    every = [(part.name, result) for part in parts for result in part.results]
    rows = named_rows(every) + named_rows(
        [(name, _retrieval_as_rows(result)) for name, result in every if result.retrieval]
    )
    write_rows_csv(rows, folder / "comparison.csv")
    results = [result for _, result in every]
    overall = overall_section(results, looks_of(results))
    if overall is not None:
        write_plots(folder, [overall])
    text = [
        "# All encoders on real music",
        "",
        f"segue {__version__}, {time.strftime('%Y-%m-%d')}, {where()['machine']}, made by "
        "`python benchmarks/comparison.py --out DIR`. Heads, layers and settings are chosen on "
        "inner folds alone; artists are kept apart on 4q and emotify, and are unknown for "
        "gtzan100 (100 clips), whose numbers flatter every encoder. No encoder is judged on clips "
        "that it was taught with. Mean over ten outer folds ± standard error.",
        "",
        *_main_table(parts),
        "",
        "Bold: the best of a column. †: a paired test (corrected resampled t, Holm over all pairs) "
        "tells it apart from the best. Empty: the encoder was taught by these clips, or (layers "
        "chosen, @auto) not asked. Ms a track: from file to features on one processor of a "
        "machine that did other work, so relative at best.",
        *([f"Left out: {', '.join(left_out)}."] if left_out else []),
        "",
        *(
            ["## Ranks", "", str(overall.blocks[0]), "", "![Mean ranks](ranks.png)", ""]
            if overall is not None
            else []
        ),
        "## What helps, and what does not",
        "",
        *chain.from_iterable(_findings(part) for part in parts),
        "",
        "## Everything",
        "",
    ]
    for part in parts:
        text += [f"### {part.name}", "", markdown_table(part.results)]
        text += [_splits(part), _notes(part)]
    (folder / "comparison.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def _retrieval_as_rows(result: TargetResult) -> TargetResult:
    return replace(result, rows=result.retrieval)


def _main_table(parts: Sequence[Part]) -> list[str]:
    """Encoders down, parts across; of several targets of one part the mean."""
    columns = {part.name: _column(part) for part in parts}
    labels = list(dict.fromkeys(chain.from_iterable(columns.values())))
    # by how far an encoder lies above the others, where it was judged at all
    middle = {
        name: np.mean([one[0] for one in column.values()]) for name, column in columns.items()
    }
    mean_of = {
        label: np.mean([c[label][0] - middle[name] for name, c in columns.items() if label in c])
        for label in labels
    }
    facts = {label: fact for part in parts for r in part.results for label, fact in r.facts.items()}
    training = {
        str(card["encoder"]).split("@")[0]: str(card["training data"])
        for part in parts
        for card in part.done.provenance["encoders"]  # type: ignore[attr-defined]
    }
    names = [f"{part.name} ({metric_name(main_metric(part.results[0]))})" for part in parts]
    lines = [
        f"| encoder | {' | '.join(names)} | numbers | ms a track | commercial use | taught by |",
        f"| --- | {' | '.join(['---:'] * len(names))} | ---: | ---: | --- | --- |",
    ]
    encoders = [one for one in labels if one not in (*BASELINES, AUTO)]
    order = sorted(encoders, key=lambda label: -float(mean_of[label]))
    for label in [*order, AUTO, *(one for one in BASELINES if one in labels)]:
        cells = [_cell(columns[part.name], label) for part in parts]
        fact = facts.get(label)
        more = ["", "", "", ""]
        if fact is not None:
            taught = training.get(label.split("@")[0], "")
            more = [str(fact.numbers), f"{fact.ms:.0f}", "yes" if fact.commercial else "no", taught]
        name = "chosen inside" if label == AUTO else label
        lines.append(f"| {name} | {' | '.join(cells)} | {' | '.join(more)} |")
    return lines


Scores = dict[str, tuple[float, float, bool, bool]]


def _column(part: Part) -> Scores:
    """Mean, standard error, whether best, whether told apart from the best; by encoder."""
    found: dict[str, list[tuple[float, float]]] = {}
    apart: dict[str, bool] = {}
    for result in part.results:
        metric = main_metric(result)
        best_of: dict[str, tuple[float, float]] = {}
        for entry in leaderboard(result):
            row = entry.rows[metric]
            label = AUTO if row.encoder == AUTO else entry.label
            several = any(e.head == AUTO for e in leaderboard(result))
            if entry.is_encoder and several and entry.head != AUTO:
                continue
            best_of.setdefault(label, (row.mean, row.se))
        for label, pair in best_of.items():
            found.setdefault(label, []).append(pair)
        if len(part.results) == 1:
            apart = _apart_from_best(result)
    means = {label: float(np.mean([mean for mean, _ in pairs])) for label, pairs in found.items()}
    errors = {label: pairs[0][1] if len(pairs) == 1 else np.nan for label, pairs in found.items()}
    competing = [label for label in means if label not in (*BASELINES, AUTO)]
    best = max(competing, key=lambda label: means[label])
    return {
        label: (mean, errors[label], label == best, apart.get(label, False))
        for label, mean in means.items()
    }


def _cell(column: Scores, label: str) -> str:
    if label not in column:
        return ""
    mean, error, best, apart = column[label]
    text = number(mean) + (f" ± {number(error)}" if np.isfinite(error) else "")
    return f"**{text}**" if best else f"{text} †" if apart else text


def _apart_from_best(result: TargetResult) -> dict[str, bool]:
    tests = _tests(result)
    entries = [e for e in leaderboard(result) if e.is_encoder and e.head == _head(result)]
    if not entries:
        return {}
    best = entries[0].label
    return {
        (test.second if test.first == best else test.first): test.p_holm < SIGNIFICANT
        for test in tests
        if best in (test.first, test.second)
    }


def _head(result: TargetResult) -> str:
    heads = {one.head for one in result.encoders if one.name not in (AUTO, *BASELINES)}
    return AUTO if AUTO in heads else next(iter(heads))


def _tests(result: TargetResult) -> list[PairedTest]:
    metric, head = main_metric(result), _head(result)
    return [test for test in result.tests if test.metric == metric and test.head == head]


def _findings(part: Part) -> list[str]:
    """Sentences, each from the numbers of one part."""
    lines = [f"**{part.name}.**"]
    for result in part.results[:1] if len(part.results) == 1 else ():
        lines += [*_against_control(result), *_about_choices(result)]
    if len(part.results) > 1:
        lines += _over_targets(part)
    return [" ".join(lines), ""]


def _against_control(result: TargetResult) -> list[str]:
    better: list[str] = []
    worse: list[str] = []
    alike: list[str] = []
    for test in _tests(result):
        if CONTROL not in (test.first, test.second):
            continue
        other = test.second if test.first == CONTROL else test.first
        ahead = test.difference if test.first == other else -test.difference
        (alike if not test.p_holm < SIGNIFICANT else better if ahead > 0 else worse).append(other)
    sentences = [f"Shown to be better than {CONTROL}: {', '.join(better) or 'none'}."]
    if worse:
        sentences.append(f"Shown to be worse: {', '.join(worse)}.")
    if alike:
        sentences.append(f"Not told apart from it: {', '.join(alike)}.")
    return sentences


def _about_choices(result: TargetResult) -> list[str]:
    """What choosing heads, layers and encoders on inner folds gives, and promises."""
    metric = main_metric(result)
    by = {(one.label, one.head): one for one in result.encoders}

    def outer(one: EncoderResult) -> float:
        return float(np.nanmean(one.fold_scores[metric]))

    def bias(one: EncoderResult) -> float:
        return float(one.inner_scores.mean()) - outer(one)

    sentences = []
    heads = [h for h in dict.fromkeys(h for _, h in by) if h not in (AUTO, "prior", "constant")]
    if len(heads) > 1:
        labels = [label for label, head in by if head == AUTO and label != AUTO]
        gain = [
            outer(by[label, AUTO]) - np.mean([outer(by[label, head]) for head in heads])
            for label in labels
        ]
        won = [str(fold["head"]) for label in labels for fold in by[label, AUTO].settings]
        sentences.append(
            f"Choosing the head inside gives {np.mean(gain):+.3f} over the mean of "
            f"{' and '.join(heads)} (chosen: "
            + ", ".join(f"{head} {won.count(head)}" for head in heads)
            + " times)."
        )
    for (label, head), one in by.items():
        plain = [x for x in by if x[0].split("@")[0] == one.name and x[1] == head and x[0] != label]
        if one.layers == AUTO and head == _head(result) and plain:
            whole = by[plain[0]]
            sentences.append(
                f"Layers of {one.name} chosen inside: {outer(one):.3f}, all layers: "
                f"{outer(whole):.3f}; inner minus outer {bias(one):+.3f} and {bias(whole):+.3f}."
            )
    chosen = next((one for one in result.encoders if one.name == AUTO), None)
    if chosen is not None:
        best = max(outer(one) for one in result.encoders if one.name not in (AUTO, *BASELINES))
        sentences.append(
            f"Encoder and all else chosen inside: {outer(chosen):.3f}; its inner scores promised "
            f"{chosen.inner_scores.mean():.3f}; the best row, picked afterwards, says {best:.3f}."
        )
    return sentences


def _over_targets(part: Part) -> list[str]:
    """How many targets each encoder is shown to be better or worse than the control on."""
    better: dict[str, int] = {}
    worse: dict[str, int] = {}
    for result in part.results:
        for test in _tests(result):
            if CONTROL in (test.first, test.second) and test.p_holm < SIGNIFICANT:
                other = test.second if test.first == CONTROL else test.first
                ahead = test.difference if test.first == other else -test.difference
                counts = better if ahead > 0 else worse
                counts[other] = counts.get(other, 0) + 1
    names = sorted(better, key=lambda name: -better[name])
    listed = ", ".join(f"{name} {better[name]}" for name in names) or "none"
    sentences = [f"Of {len(part.results)} targets, shown to be better than {CONTROL} on: {listed}."]
    if worse:
        sentences.append("Worse on: " + ", ".join(f"{n} {c}" for n, c in worse.items()) + ".")
    return sentences


def _splits(part: Part) -> str:
    lines = [
        f"{result.target}: {one.name}, digest {one.digest[:16]}; "
        f"{sum(c.fits for c in result.costs.values())} fits, "
        f"{sum(c.seconds for c in result.costs.values()):.0f} s of one processor."
        for result in part.results
        for one in result.splits
    ]
    return "\n\n".join(lines) + "\n"


def _notes(part: Part) -> str:
    notes = dict.fromkeys(
        note if len(note) < 400 else note[:400] + " ..." for r in part.results for note in r.notes
    )
    return "".join(f"- {note}\n" for note in notes)
