"""The page of an audit: one section for each leak test, verdict first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segue.evaluation.audit.run import AuditResult
from segue.evaluation.audit.verdicts import LEAK, SUSPECT, LeakTest
from segue.report.audit_plots import leak_picture
from segue.report.content import Block, Folded, Section, Table

SAID = {
    "clear": "clear: no sign of a leak",
    "suspect": "suspect: look at this before you trust a score",
    "leak": "leak: scores on these features and folds cannot be trusted",
}


def audit_summary(result: AuditResult) -> dict[str, str]:
    """The findings in a sentence each, for the top of the page.

    Examples
    --------
    >>> audit_summary(AuditResult(tests=[]))
    {'verdict': 'clear: no sign of a leak'}
    """
    found = {test.name: f"{test.verdict}. {test.words}" for test in result.tests}
    return {"verdict": SAID[result.verdict], **found}


def audit_sections(result: AuditResult, notes: Sequence[str] = ()) -> list[Section]:
    """One section per test, one for what was not run, one for how verdicts are made.

    Examples
    --------
    >>> [section.title for section in audit_sections(AuditResult(tests=[]))]
    ['How verdicts are made']
    """
    sections = [_section(test) for test in result.tests]
    if result.not_run or notes:
        blocks: list[Block] = []
        if result.not_run:
            blocks.append(Table(("test", "why"), [(one.name, one.why) for one in result.not_run]))
        sections.append(Section("Not run", [*blocks, *notes]))
    return [*sections, Section("How verdicts are made", [RULES])]


RULES = (
    "Each test measures one number and holds it against a control: the same number where there can "
    "be no leak. Its p-value is the chance of a number as large without one, corrected for the "
    f"number of tests (Holm). Leak: {LEAK:g} or less. Suspect: {SUSPECT:g} or less; or less than "
    "that, where it is a property of the music as much as of the file, or a danger that no given "
    "split has let in yet. A difference too small to matter is clear, however sure it is. Clear "
    "means that no sign was found, not that there is none: a small set shows little."
)


def _section(test: LeakTest) -> Section:
    picture = leak_picture(test)
    numbers = Table(
        ("measured", "95 % interval", "control", "p", "p, corrected"),
        [
            (
                _number(test.statistic),
                f"{_number(test.low)} to {_number(test.high)}",
                _number(test.control),
                _number(test.p_value),
                _number(test.p_holm),
            )
        ],
        note=test.meaning,
        numeric=(0, 1, 2, 3, 4),
    )
    blocks: list[Block] = [test.question, f"{SAID[test.verdict]}. {test.words}", numbers]
    if picture is not None:
        blocks.append(picture)
    for rows in _alike(test.rows):
        table = Table.of([{k: _rounded(v) for k, v in row.items()} for row in rows])
        blocks.append(Folded(f"{next(iter(rows[0]))}: {len(rows)} rows", [table]))
    return Section(f"{test.name}: {test.verdict}", blocks)


def _alike(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows with the same columns together, in order of first appearance."""
    tables: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        tables.setdefault(tuple(row), []).append(row)
    return list(tables.values())


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.3g}")
    return value
