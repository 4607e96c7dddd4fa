"""What the inner folds chose, how each class or tag fares, and which split it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from segue.evaluation.per_label import label_scores
from segue.evaluation.rows import BASELINES, EncoderResult, Row, TargetResult
from segue.report.content import Block, Cell, Folded, Section, Table
from segue.report.tables import Entry, entry_label, find_encoder, interval, metric_name, number
from segue.report.words import LAYERS_CHOSEN

CHOSEN = ("encoder", "head", "layers")
CHOICES = (
    "In every outer fold the inner folds, which hold none of its clips, compared all that could be "
    "chosen, and the best of them was tested on that fold."
)


def choices_section(result: TargetResult, board: Sequence[Entry]) -> Section | None:
    """How often the inner folds chose each encoder, head and set of layers."""
    rows: list[list[str]] = []
    for entry in board:
        encoder = find_encoder(result, entry)
        if encoder is None:
            continue
        folds = len(encoder.settings)
        for what in CHOSEN:
            won = Counter(str(one[what]) for one in encoder.settings if what in one)
            rows += [
                [entry_label(entry), entry.head, what, name, f"{count} of {folds}"]
                for name, count in won.most_common()
            ]
    if not rows:
        return None
    words = [CHOICES, *([LAYERS_CHOSEN] if any(row[2] == "layers" for row in rows) else [])]
    header = ["encoder", "head", "choice of", "chosen", "outer folds"]
    return Section("What was chosen", [*words, Table(header, rows, "", (4,))])


def labels_section(result: TargetResult, entries: Sequence[Entry]) -> Section | None:
    """Scores of each class or tag, of the best encoder in sight, those of the others folded."""
    if result.task == "regression":
        return None
    tables = [
        (entry, _label_table(result, encoder))
        for entry in entries
        if (encoder := find_encoder(result, entry)) is not None
    ]
    if not tables:
        return None
    (first, table), *others = tables
    what = "class" if result.task == "classification" else "tag"
    blocks: list[Block] = [f"{first.label} with {first.head}, each clip predicted out of fold."]
    undefined = [str(row[0]) for row in table.rows if "n/a" in row[-2:]]
    if undefined:
        blocks.append(f"Without a score, and in no mean: {', '.join(undefined)}.")
    long = len(table.rows) > 30
    blocks.append(Folded(f"All {len(table.rows)} {what} scores", [table]) if long else table)
    blocks += [Folded(f"The same for {entry.label}, {entry.head}", [one]) for entry, one in others]
    return Section(f"Each {what}", blocks)


def _label_table(result: TargetResult, encoder: EncoderResult) -> Table:
    """One row a class or tag, the best first."""
    scores = label_scores(
        result.truth, encoder.predictions, result.folds, result.labels, result.task
    )
    facts = [asdict(one) for one in scores]
    main = "f1" if result.task == "classification" else "roc_auc"
    facts.sort(key=lambda one: -one[main] if one[main] == one[main] else 2.0)
    header = list(facts[0])
    rows = [[number(v) if isinstance(v, float) else str(v) for v in one.values()] for one in facts]
    names = {"f1": "F1", "roc_auc": "ROC-AUC", "average_precision": "average precision"}
    return Table([names.get(name, name) for name in header], rows, "", tuple(range(1, len(header))))


def retrieval_section(result: TargetResult) -> Section | None:
    """How well clips find their like by distance alone."""
    if not result.retrieval:
        return None
    by_label: dict[str, list[Row]] = {}
    for row in result.retrieval:
        label = f"{row.encoder}@{row.layers}" if row.layers else row.encoder
        by_label.setdefault("random order" if row.encoder in BASELINES else label, []).append(row)
    ordered = sorted(by_label.items(), key=lambda item: -item[1][0].mean)
    cells: list[list[str | Cell]] = []
    for label, rows in ordered:
        texts = [(f"{number(row.mean)} ± {number(row.se)}", interval(row)) for row in rows]
        cells.append(
            [label, *(Cell(text, f"[{between}]" * bool(between)) for text, between in texts)]
        )
    names = [metric_name(row.metric) for row in ordered[0][1]]
    what = "its class" if result.task == "classification" else "one of its tags"
    words = (
        f"Nothing is fitted: every clip asks for its nearest among the clips of other groups, and "
        f"one that has {what} counts as found. Cosine distance on standardised features."
    )
    columns = tuple(range(1, 1 + len(names)))
    return Section("Nearest clips", [words, Table(["encoder", *names], cells, "", columns)])


def splits_section(result: TargetResult) -> Section | None:
    """Name and digest of each split, and what the search took."""
    if not result.splits:
        return None
    splits = [[one.name, str(one.folds), one.digest[:16]] for one in result.splits]
    note = (
        "Equal digests mean that the same clips were tested together. The folds lie in splits/; "
        "--split takes them again."
    )
    blocks: list[Block] = [Table(["split", "folds", "digest"], splits, note, (1,))]
    if result.costs:
        rows = [
            [label, str(cost.fits), f"{cost.seconds:.0f}", f"{1000 * cost.seconds / cost.fits:.1f}"]
            for label, cost in result.costs.items()
        ]
        fits = sum(cost.fits for cost in result.costs.values())
        seconds = sum(cost.seconds for cost in result.costs.values())
        rows.append(["all", str(fits), f"{seconds:.0f}", f"{1000 * seconds / fits:.1f}"])
        header = ["encoder", "fits", "seconds", "ms a fit"]
        took = "The search: estimators fitted, and seconds of one processor."
        blocks.append(Table(header, rows, took, (1, 2, 3)))
    return Section("Splits and search", blocks)
