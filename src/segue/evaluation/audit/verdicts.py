"""What a leak test says, in words and in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from segue.evaluation.statistics import holm

Verdict = Literal["clear", "suspect", "leak"]
ORDER: tuple[Verdict, ...] = ("clear", "suspect", "leak")

SUSPECT = 0.05
LEAK = 0.01
"""Largest p-value, corrected over all tests of an audit by Holm's rule, for each verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakTest:
    """One test: a number, its control, and what follows from them.

    Attributes
    ----------
    name : str
        Short and stable: "batch order".
    question : str
        What it asks, for a reader who has never heard of it.
    statistic : float
        What was measured; ``meaning`` says in which unit.
    low, high : float
        95 % interval of the statistic; NaN where there is none.
    control : float
        The same number where there is no leak by construction.
    p_value : float
        Chance of a statistic as large without a leak; NaN where the verdict does not rest on one.
    limit : {"clear", "suspect", "leak"}
        The worst that this test may say, whatever its p-value: what is a property of the music as
        much as of the file cannot be called a leak.
    least : {"clear", "suspect", "leak"}
        The mildest that it may say: what is certain needs no p-value.
    words : str
        The finding in words.
    rows : sequence of mappings
        What it is about: pairs of clips, borders, groups.
    curves : mapping name -> sequence of numbers
        What a picture shows.
    follows : str
        Name of the test whose finding this one looks into. It is not made where that found
        nothing, so that it does not add to the number of tests; its p-value is not below that of
        the other.
    p_holm : float
        After correction over all tests of the audit; set by :func:`decide`.
    verdict : {"clear", "suspect", "leak"}
        Set by :func:`decide`.
    """

    name: str
    question: str
    meaning: str
    statistic: float
    low: float
    high: float
    control: float
    p_value: float
    words: str
    limit: Verdict = "leak"
    rows: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    least: Verdict = "clear"
    follows: str = ""
    p_holm: float = math.nan
    verdict: Verdict = "clear"

    def as_dict(self) -> dict[str, Any]:
        """The stable object of ``segue audit --json``."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "statistic": self.statistic,
            "low": self.low,
            "high": self.high,
            "control": self.control,
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "meaning": self.meaning,
            "words": self.words,
            "rows": [dict(row) for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class NotRun:
    """A test that could not be made of this material, and what it would need."""

    name: str
    why: str


def decide(tests: Sequence[LeakTest]) -> list[LeakTest]:
    """The tests with their verdicts, p-values corrected over all of them together.

    The chance that an audit of clean material says anything but "clear" is then 5 % at most, if
    each p-value is right.

    Examples
    --------
    >>> numbers = dict(question="", meaning="", statistic=1.0, low=0.5, high=1.5, control=0.0)
    >>> said = decide([LeakTest(name="a", p_value=0.001, words="", **numbers),
    ...                LeakTest(name="b", p_value=0.03, words="", **numbers),
    ...                LeakTest(name="c", p_value=0.2, words="", **numbers)])
    >>> [(test.name, test.verdict) for test in said]
    [('a', 'leak'), ('b', 'clear'), ('c', 'clear')]
    """
    first = [test for test in tests if not test.follows]
    corrected = dict(
        zip([test.name for test in first], holm([test.p_value for test in first]), strict=True)
    )
    for test in tests:
        if test.follows:
            corrected[test.name] = max(test.p_value, corrected.get(test.follows, math.nan))
    return [
        replace(
            test,
            p_holm=corrected[test.name],
            verdict=worst(
                [test.least, min(_verdict(corrected[test.name]), test.limit, key=ORDER.index)]
            ),
        )
        for test in tests
    ]


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of several verdicts; "clear" of none.

    Examples
    --------
    >>> worst(["clear", "leak", "suspect"])
    'leak'
    """
    return max(verdicts, key=ORDER.index, default="clear")


def _verdict(p_value: float) -> Verdict:
    if p_value <= LEAK:
        return "leak"
    return "suspect" if p_value <= SUSPECT else "clear"
