"""The page of an audit: every test with its verdict, its control and its rows."""

from __future__ import annotations

import math

import pytest

from segue.evaluation.audit.run import AuditResult, audit_features
from segue.evaluation.audit.simulated import Recipe, simulate
from segue.evaluation.audit.verdicts import LeakTest, NotRun
from segue.report.audit import audit_sections, audit_summary
from segue.report.audit_plots import leak_picture
from segue.report.content import Folded, Section, Table


@pytest.fixture(scope="module")
def result() -> AuditResult:
    recipe = Recipe(
        clips=800,
        batch_size=64,
        batch_shift=1.0,
        split="clips",
        artist_spread=1.0,
        format_shift=0.5,
    )
    return audit_features(simulate(recipe, 0))


def words(section: Section) -> str:
    return " ".join(block for block in section.blocks if isinstance(block, str))


def test_each_test_has_a_section_with_its_verdict_first(result: AuditResult) -> None:
    sections = audit_sections(result)
    titles = [section.title for section in sections]
    assert titles[: len(result.tests)] == [f"{one.name}: {one.verdict}" for one in result.tests]
    assert titles[-1] == "How verdicts are made"
    for test, section in zip(result.tests, sections, strict=False):
        assert test.words in words(section)
        assert test.question in words(section)


def test_rows_are_folded_away_but_there(result: AuditResult) -> None:
    [order] = [one for one in audit_sections(result) if one.title.startswith("batch order")]
    folds = [block for block in order.blocks if isinstance(block, Folded)]
    assert len(folds) == 3  # sizes, batches named, largest jumps
    tables = [block for fold in folds for block in fold.blocks if isinstance(block, Table)]
    [sizes] = [table for table in tables if table.header[0] == "batch size"]
    assert "64" in [row[0] for row in sizes.rows]


def test_pictures_say_in_words_what_they_show(result: AuditResult) -> None:
    pictures = {test.name: leak_picture(test) for test in result.tests}
    shown = {name: picture.alt for name, picture in pictures.items() if picture is not None}
    assert "borders of batches of 64" in shown["batch order"]
    assert "mean recall" in shown["recall across batches"]
    assert "with" in shown["artist on both sides"]
    assert "shuffled" in shown["file format"]
    names = [picture.name for picture in pictures.values() if picture is not None]
    assert len(set(names)) == len(names)


def test_what_was_not_run_is_told() -> None:
    empty = AuditResult(tests=[], not_run=[NotRun("label noise", "it needs classes")])
    sections = audit_sections(empty, ["one note"])
    [left] = [section for section in sections if section.title == "Not run"]
    assert "one note" in left.blocks
    assert audit_summary(empty)["verdict"].startswith("clear")


def test_nothing_known_is_drawn_as_nothing() -> None:
    nothing = math.nan
    numbers = {"statistic": 0.0, "low": nothing, "high": nothing, "control": 0.0}
    said = {"name": "duplicates", "question": "", "meaning": "accuracy", "words": ""}
    test = LeakTest(
        **said,
        **numbers,
        p_value=nothing,
        curves={"scores": [0.5, 0.5]},  # type: ignore[arg-type]
    )
    assert leak_picture(test) is not None
    bare = LeakTest(**said, **numbers, p_value=nothing)  # type: ignore[arg-type]
    assert leak_picture(bare) is None
    assert len(audit_sections(AuditResult(tests=[bare]))) == 2


def test_the_summary_has_the_finding_of_every_test(result: AuditResult) -> None:
    summary = audit_summary(result)
    assert summary["verdict"].startswith("leak")
    assert all(summary[test.name].startswith(test.verdict) for test in result.tests)
