"""From results to sections of a page: per target its words, table and pictures."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from segue.evaluation.rows import AUTO, BASELINES, EncoderResult, TargetResult
from segue.report.choices import (
    choices_section,
    labels_section,
    retrieval_section,
    splits_section,
)
from segue.report.content import Block, Figure, Folded, Section, Table, plain
from segue.report.plots import entry_names, paired_plot, score_plot
from segue.report.prediction_plots import confusion_plot, scatter_plot, tag_plot
from segue.report.rank_plots import ranks_section
from segue.report.style import Mark, marks
from segue.report.tables import (
    Entry,
    entry_label,
    find_encoder,
    leaderboard,
    main_metric,
    metric_name,
    number,
    score_table,
)
from segue.report.words import listed, protocol, verdict

OPEN = 20
"""Rows above which a table of settings is folded."""


def evaluation_sections(results: Sequence[TargetResult]) -> list[Section]:
    """One section per target, in the order given; one colour per encoder through all of them.

    Parameters
    ----------
    results : sequence of TargetResult
        As `segue.evaluation` returns them.

    Returns
    -------
    list of Section
        Words, score table and plot; then sub-sections: differences, predictions, settings, notes.
    """
    looks = looks_of(results)
    return [
        _target(result, looks, f"{i:02d}-{slug(result.target)}")
        for i, result in enumerate(results, start=1)
    ]


def looks_of(results: Sequence[TargetResult]) -> dict[str, Mark]:
    """The mark of each encoder label, the same in every picture of one report."""
    entries = [entry for result in results for entry in leaderboard(result)]
    order = [e.label for result in results for e in result.encoders]
    named = set(order) | {entry.label for entry in entries}
    reserved = (AUTO, *BASELINES)
    return marks(label for label in [*order, *sorted(named)] if label not in reserved)


def slug(text: str) -> str:
    """A file name stem or anchor out of untrusted text: lower-case ASCII letters, digits, "-".

    Examples
    --------
    >>> slug("../Genre & Straße"), slug("日本語")
    ('genre-strasse', 'unnamed')
    """
    ascii_only = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:60] or "unnamed"


def _target(result: TargetResult, looks: Mapping[str, Mark], stem: str) -> Section:
    board = leaderboard(result)
    blocks: list[Block] = [protocol(result), " ".join(verdict(result))]
    if any(entry.is_encoder for entry in board):
        blocks += [score_table(result), score_plot(result, looks, name=f"{stem}-scores")]
    best = best_entries(board)
    parts = [
        _differences(result, stem),
        ranks_section(result, looks, stem),
        _predictions(result, best, looks, stem),
        labels_section(result, best),
        retrieval_section(result),
        choices_section(result, board),
        _selection(result, board),
        splits_section(result),
        Section("Notes", result.notes) if result.notes else None,
    ]
    return Section(
        f"{result.target} ({result.task})", blocks, [part for part in parts if part is not None]
    )


def best_entries(board: Sequence[Entry]) -> list[Entry]:
    """The best entry of each encoder, best first: one head is enough to see what is confused."""
    best: dict[str, Entry] = {}
    for entry in board:
        if entry.is_encoder:
            best.setdefault(entry.label, entry)
    return list(best.values())


def _differences(result: TargetResult, stem: str) -> Section | None:
    figure = paired_plot(result, name=f"{stem}-differences")
    if figure is None:
        return None
    explanation = (
        "Every pair of encoders is compared on the same outer folds with the corrected resampled "
        "t-test (Nadeau & Bengio 2003); p is corrected for the number of pairs after Holm. A large "
        "p does not show that two encoders are equal, only that these clips cannot tell them apart."
    )
    return Section("Differences between encoders", [explanation, figure])


def _predictions(
    result: TargetResult, entries: Sequence[Entry], looks: Mapping[str, Mark], stem: str
) -> Section | None:
    """The picture of the best encoder in sight, those of the others folded."""
    figures: list[Figure] = []
    shown: list[str] = []
    for entry, label in zip(entries, entry_names(entries), strict=True):
        encoder = find_encoder(result, entry)
        if encoder is not None:
            figure = _prediction_figure(
                result,
                encoder,
                looks[entry.label],
                f"{stem}-{slug(entry.label)}-{slug(entry.head)}",
            )
            if figure is not None:
                figures.append(figure)
                shown.append(label)
    if not figures:
        return None
    rest = [Folded(f"The same for {listed(shown[1:])}", figures[1:])] if figures[1:] else []
    return Section("What was predicted", [figures[0], *rest])


def _prediction_figure(
    result: TargetResult, encoder: EncoderResult, look: Mark, stem: str
) -> Figure | None:
    if result.task == "classification":
        return confusion_plot(result, encoder, name=f"{stem}-confusion")
    if result.task == "tagging":
        return tag_plot(result, encoder, look, name=f"{stem}-tags")
    return scatter_plot(result, encoder, look, name=f"{stem}-scatter")


def _selection(result: TargetResult, board: Sequence[Entry]) -> Section | None:
    """Which settings inner folds chose, and how much their own best score flatters."""
    metric = main_metric(result)
    chosen: list[list[str]] = []
    bias: list[list[str]] = []
    for entry in board:
        encoder = find_encoder(result, entry)
        if entry.is_baseline or encoder is None:
            continue
        folds = len(encoder.settings)
        for setting, count in Counter(map(plain, encoder.settings)).most_common():
            chosen.append(
                [entry_label(entry), entry.head, setting or "nothing", f"{count} of {folds}"]
            )
        inner = np.asarray(encoder.inner_scores, dtype=np.float64)
        if np.isfinite(inner).any():
            mean, outer = float(np.nanmean(inner)), entry.mean(metric)
            bias.append(
                [entry_label(entry), entry.head, number(mean), number(outer), number(mean - outer)]
            )
    blocks: list[Block] = []
    if chosen:
        note = "Settings of the head that inner folds chose, and in how many outer folds."
        header = ["encoder", "head", "setting", "outer folds"]
        table = Table(header, chosen, note, (3,))
        many = len(chosen) > OPEN
        blocks.append(Folded(f"{len(chosen)} settings", [table]) if many else table)
    if bias:
        note = (
            f"Best inner {metric_name(metric)} against the outer score: the difference is the "
            "selection bias that reporting the inner score would have hidden."
        )
        header = ["encoder", "head", "best inner", "outer", "inner − outer"]  # noqa: RUF001
        blocks.insert(0, Table(header, bias, note, (2, 3, 4)))
    return Section("Settings and selection bias", blocks) if blocks else None
