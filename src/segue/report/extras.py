"""Sections that a command adds to a report: predictions, similarity, how it was made, failures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segue.report.content import Audio, Block, Cell, Figure, Section, Table, plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """One clip near the query, as a line of the neighbours' table."""

    id: str
    distance: float
    label: str = ""
    group: str = ""
    audio: Audio | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Mean precision at k for the sentence under the neighbours.

    ``chance`` is what random neighbours would give (the mean class frequency), ``groups`` what
    was kept out of the neighbours ("artist"), or "".
    """

    k: int
    mean: float
    defined: int
    undefined: int
    chance: float
    groups: str = ""


def similarity_section(
    query: Neighbour,
    neighbours: Sequence[Neighbour],
    *,
    metric: str,
    precision: Precision | None = None,
    figure: Figure | None = None,
    title: str = "Similar clips",
) -> Section:
    """The query and its nearest clips as a table, P@k in words, and a map.

    Parameters
    ----------
    query : Neighbour
        The clip asked about; its distance is not shown.
    metric : str
        Name of the distance ("l1").
    figure : Figure, optional
        As `segue.report.prediction_plots.map_plot` draws it.
    """
    with_groups = any(n.group for n in (query, *neighbours))
    with_audio = any(n.audio for n in (query, *neighbours))
    header = [
        "clip",
        "label",
        *(["group"] if with_groups else []),
        f"{metric.capitalize()} distance",
    ]
    rows = []
    for i, clip in enumerate((query, *neighbours)):
        row = [
            Cell(clip.id, detail="the query" if i == 0 else "", strong=i == 0),
            Cell(clip.label, strong=i > 0 and bool(clip.label) and clip.label == query.label),
            *([Cell(clip.group)] if with_groups else []),
            Cell("" if i == 0 else f"{clip.distance:.4g}"),
            *([Cell("", audio=clip.audio)] if with_audio else []),
        ]
        rows.append(row)
    note = "Nearest first. A bold label is the query's own."
    distance_column = len(header) - 1
    header += ["listen"] if with_audio else []
    blocks: list[Block] = [Table(header, rows, note, (distance_column,))]
    if precision is not None:
        blocks.append(precision_words(precision))
    if figure is not None:
        blocks.append(figure)
    return Section(title, blocks)


def precision_words(precision: Precision) -> str:
    """P@k as a sentence.

    Examples
    --------
    >>> precision_words(Precision(k=5, mean=0.46, defined=98, undefined=0, chance=0.2))[:40]
    'Of the 5 nearest clips, 46.0 % carry the'
    """
    apart = f", clips of the same {precision.groups} left out" if precision.groups else ""
    if not math.isfinite(precision.mean):
        return f"Precision at {precision.k} is defined for none of {precision.undefined} queries."
    missing = (
        f" For {precision.undefined} more it is undefined: no label, or fewer than {precision.k} "
        "clips left to compare with."
        if precision.undefined
        else ""
    )
    return (
        f"Of the {precision.k} nearest clips{apart}, {100 * precision.mean:.1f} % carry the "
        f"query's label on average over {precision.defined} queries; random neighbours would "
        f"give {100 * precision.chance:.1f} %.{missing}"
    )


def predictions_section(
    words: Sequence[str], predictions: Sequence[Mapping[str, object]], *, title: str = "Predictions"
) -> Section:
    """A fitted model in words and what it says about new clips, one mapping per clip."""
    return Section(title, [*words, Table.of(predictions, note="One line per clip.")])


def quarantine_section(failures: Sequence[Mapping[str, object]]) -> Section:
    """Files that could not be used, with reasons; says so where there are none."""
    title = "Files left out"
    if not failures:
        return Section(title, ["Every file could be used."])
    count = f"{len(failures)} file{'s' * (len(failures) != 1)} could not be used and took no part."
    return Section(title, [Table.of(failures, note=count)])


def provenance_section(
    provenance: Mapping[str, object], *, title: str = "How it was made"
) -> Section:
    """Everything needed to make the numbers again.

    Parameters
    ----------
    provenance : mapping
        A `Table`, or a sequence of mappings (encoder cards), becomes a sub-section under its key;
        any other value a line of one table: versions, command, seeds, times.
    """
    lines: list[list[str]] = []
    parts: list[Section] = []
    for key, value in provenance.items():
        if isinstance(value, Table):
            parts.append(Section(key, [value]))
        elif _is_records(value):
            parts.append(Section(key, [Table.of(list(value))]))  # type: ignore[call-overload]
        else:
            lines.append([key, plain(value)])
    return Section(title, [Table(["what", "value"], lines)] if lines else [], parts)


def _is_records(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(item, Mapping) for item in value)
    )
