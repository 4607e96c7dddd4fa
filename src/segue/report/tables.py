"""Rows as CSV for machines and as tables for people."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from segue.evaluation.rows import AUTO, BASELINES, EncoderResult, Row, TargetResult
from segue.files import write_atomically
from segue.report.content import Cell, Table

COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))
"""The columns of results.csv, in this order, for good."""

# errors are better when small; every other metric segue knows is better when large
_SMALLER = ("mae", "mse", "rmse", "error", "loss")

_NAMES = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "average_precision": "average precision",
    "r2": "R²",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "rmse": "RMSE",
    "ccc": "CCC",
    "f1": "F1",
    "macro_f1": "macro F1",
    "map": "MAP",
}


def write_rows_csv(rows: Iterable[Row], path: str | Path) -> Path:
    """Write rows as CSV with the ten columns of `Row` in their order.

    Numbers are written with all their digits; NaN is an empty cell.

    Raises
    ------
    SegueError
        The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = row.as_dict()
        writer.writerow([_csv_value(values[column]) for column in COLUMNS])
    return write_atomically(Path(path), text.getvalue().encode())


def markdown_table(results: Sequence[TargetResult]) -> str:
    """One Markdown table per target: mean ± se [low, high] per metric, the best in bold.

    Encoders come best first by the target's main metric, the chance row last.
    """
    return "\n\n".join(_markdown(result) for result in results) + "\n"


def score_table(result: TargetResult) -> Table:
    """The same table for the page."""
    board = leaderboard(result)
    heads = list(dict.fromkeys(entry.head for entry in board if not entry.is_baseline))
    several_heads = len(heads) > 1
    header = ["encoder", *(["head"] if several_heads else [])]
    rows: list[list[str | Cell]] = []
    for entry in board:
        lead = [entry_label(entry), *([head_text(entry)] if several_heads else [])]
        scores = [_score_cell(entry, m, board) for m in metrics(result)]
        rows.append([*lead, *scores, *cost_cells(result, entry)])
    note = (
        "Mean over outer folds ± standard error, and below it the 95 % interval "
        "(groups resampled). The best of each column is bold."
        + (f" Head: {heads[0]}." if len(heads) == 1 and heads[0] else "")
        + (f" {COSTS_NOTE}" if result.facts else "")
    )
    lead_columns = len(header)
    header += [metric_name(m) + (" ↓" if smaller_is_better(m) else "") for m in metrics(result)]
    header += COST_HEADER if result.facts else []
    last = len(header) - (1 if result.facts else 0)  # the licence is text
    return Table(header, rows, note, tuple(range(lead_columns, last)))


COST_HEADER = ["numbers", "ms a track", "licence"]
COSTS_NOTE = (
    "Numbers: features a clip. Ms a track: from file to features on one processor of the machine "
    "that made this page."
)


def cost_cells(result: TargetResult, entry: Entry) -> list[str | Cell]:
    """What an entry's encoder costs, as cells below COST_HEADER; none where nobody knows."""
    if not result.facts:
        return []
    facts = result.facts.get(entry.label)
    if facts is None:
        return ["", "", ""]
    ms = f"{facts.ms:.0f}" if math.isfinite(facts.ms) else "n/a"
    licence = Cell(
        facts.licence.split(" (")[0], detail="" if facts.commercial else "no commercial use"
    )
    return [str(facts.numbers), ms, licence]


def entry_label(entry: Entry) -> str:
    """An entry as a table names it.

    Examples
    --------
    >>> entry_label(Entry("auto", "", "svm", {})), entry_label(Entry("net", "13", "svm", {}))
    ('chosen inside', 'net@13')
    """
    return "chosen inside" if entry.encoder == AUTO else entry.label


def head_text(entry: Entry) -> str:
    """An entry's head as a table names it; "" for baselines."""
    if entry.is_baseline:
        return ""
    return "chosen" if entry.head == AUTO else entry.head


def compared(board: Sequence[Entry]) -> list[Entry]:
    """The encoders that pictures compare, one entry each.

    Where several heads were tried, each encoder stands with the head that the inner folds chose:
    the best of its rows would be chosen by the very scores that are drawn.
    """
    encoders = [entry for entry in board if entry.is_encoder]
    chosen = [entry for entry in encoders if entry.head == AUTO]
    return chosen or encoders


def baseline(board: Sequence[Entry], metric: str) -> Entry | None:
    """The better of the baselines by a metric; None where there is none."""
    found = [e for e in board if e.is_baseline and math.isfinite(e.mean(metric))]
    sign = -1 if smaller_is_better(metric) else 1
    return max(found, key=lambda entry: sign * entry.mean(metric), default=None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a target's table: an encoder with one head and its row per metric."""

    encoder: str
    layers: str
    head: str
    rows: dict[str, Row]

    @property
    def label(self) -> str:
        """Name with layers: ``choi2017-msd@12345``."""
        return f"{self.encoder}@{self.layers}" if self.layers else self.encoder

    @property
    def is_baseline(self) -> bool:
        """Whether it sees no features."""
        return self.encoder in BASELINES

    @property
    def is_encoder(self) -> bool:
        """Whether it competes: no baseline, nor the choice among all encoders."""
        return not self.is_baseline and self.encoder != AUTO

    def mean(self, metric: str) -> float:
        """Mean of that metric; NaN where it was not measured."""
        return self.rows[metric].mean if metric in self.rows else math.nan


def leaderboard(result: TargetResult) -> list[Entry]:
    """Entries of a target, best first by its main metric, undefined ones after.

    The choice among all encoders follows, then the baselines.
    """
    entries: dict[tuple[str, str, str], Entry] = {}
    for row in result.rows:
        key = (row.encoder, row.layers, "" if row.encoder in BASELINES else row.head)
        entry = entries.setdefault(key, Entry(row.encoder, row.layers, row.head, {}))
        entry.rows.setdefault(row.metric, row)
    metric = main_metric(result)

    def rank(entry: Entry) -> tuple[bool, bool, bool, float]:
        mean = entry.mean(metric)
        goodness = mean if smaller_is_better(metric) else -mean
        undefined = math.isnan(mean)
        return entry.is_baseline, not entry.is_encoder, undefined, 0.0 if undefined else goodness

    return sorted(entries.values(), key=rank)


def metrics(result: TargetResult) -> tuple[str, ...]:
    """Metrics of a target, the main one first."""
    main = main_metric(result)
    return tuple(dict.fromkeys([main, *(row.metric for row in result.rows)])) if main else ()


def main_metric(result: TargetResult) -> str:
    """The metric that ranks encoders: that of the first row; "" where there are no rows."""
    return result.rows[0].metric if result.rows else ""


def fold_scores(result: TargetResult, entry: Entry, metric: str) -> list[float]:
    """Finite score per outer fold of an entry, [] where none were kept."""
    encoder = find_encoder(result, entry)
    if encoder is None or metric not in encoder.fold_scores:
        return []
    return [float(score) for score in encoder.fold_scores[metric] if math.isfinite(score)]


def find_encoder(result: TargetResult, entry: Entry) -> EncoderResult | None:
    """What was kept of the encoder behind a line of the table."""
    for encoder in result.encoders:
        same = (encoder.name, encoder.layers) == (entry.encoder, entry.layers)
        if same and (entry.is_baseline or encoder.head == entry.head):
            return encoder
    return None


def smaller_is_better(metric: str) -> bool:
    """Whether a metric counts errors.

    Examples
    --------
    >>> smaller_is_better("rmse"), smaller_is_better("r2")
    (True, False)
    """
    return any(metric == name or metric.endswith(("_" + name,)) for name in _SMALLER)


def metric_name(metric: str) -> str:
    """A metric's name as people write it.

    Examples
    --------
    >>> metric_name("roc_auc"), metric_name("balanced_accuracy")
    ('ROC-AUC', 'balanced accuracy')
    """
    return _NAMES.get(metric, metric.replace("_", " "))


def number(value: float) -> str:
    """Three decimals below ten, fewer above; "n/a" for NaN.

    Examples
    --------
    >>> number(0.69012), number(123.456), number(float("nan"))
    ('0.690', '123.5', 'n/a')
    """
    if not math.isfinite(value):
        return "n/a"
    size = abs(value)
    text = f"{size:.3f}" if size < 10 else f"{size:.1f}" if size < 10_000 else f"{size:.4g}"
    return ("\N{MINUS SIGN}" if value < 0 and float(text) != 0 else "") + text


def interval(row: Row, *, to: str = ", ") -> str:
    """The 95 % interval; "" where none was computed."""
    if not (math.isfinite(row.low) and math.isfinite(row.high)):
        return ""
    return f"{number(row.low)}{to}{number(row.high)}"


def is_best(entry: Entry, metric: str, board: Sequence[Entry]) -> bool:
    """Whether no other encoder has a better mean; baselines and choices compete with nobody."""
    means = [e.mean(metric) for e in board if e.is_encoder]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not entry.is_encoder or not finite or len(means) < 2:
        return False
    return entry.mean(metric) == (min if smaller_is_better(metric) else max)(finite)


def _score_cell(entry: Entry, metric: str, board: Sequence[Entry]) -> Cell:
    row = entry.rows.get(metric)
    if row is None:
        return Cell("")
    spread = f" ± {number(row.se)}" if math.isfinite(row.se) else ""
    between = interval(row)
    return Cell(
        number(row.mean) + spread,
        detail=f"[{between}]" if between else "",
        strong=is_best(entry, metric, board),
    )


def _markdown(result: TargetResult) -> str:
    board, columns = leaderboard(result), metrics(result)
    names = [
        metric_name(m) + (" (smaller is better)" if smaller_is_better(m) else "") for m in columns
    ]
    costs = COST_HEADER if result.facts else []
    costs_rule = ["---:", "---:", "---"] if result.facts else []
    lines = [
        f"### {escape(result.target)} ({result.task})",
        "",
        line(["encoder", "layers", "head", *names, "n", *costs]),
        line(["---", "---", "---", *["---:"] * (len(columns) + 1), *costs_rule]),
    ]
    for entry in board:
        cells = [
            escape("chosen inside" if entry.encoder == AUTO else entry.encoder),
            escape(entry.layers),
            escape(head_text(entry)),
        ]
        for metric in columns:
            cell = _score_cell(entry, metric, board)
            text = f"{cell.text} {cell.detail}".strip()
            cells.append(f"**{text}**" if cell.strong else text)
        counts = {row.n for row in entry.rows.values()}
        cells.append(" / ".join(str(n) for n in sorted(counts)))
        lines.append(line([*cells, *map(_cost_text, cost_cells(result, entry))]))
    if not board:
        lines = [lines[0], "", "No encoder was scored."]
    return "\n".join(lines)


def _cost_text(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return cell
    return escape(f"{cell.text}, {cell.detail}" if cell.detail else cell.text)


def line(cells: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def escape(text: str) -> str:
    """Untrusted text inside a Markdown table cell."""
    flat = " ".join(text.split())
    for mark in "\\`*_{}[]<>#|~$":
        flat = flat.replace(mark, "\\" + mark)
    return flat


def _csv_value(value: str | float | int) -> str | int:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return value
