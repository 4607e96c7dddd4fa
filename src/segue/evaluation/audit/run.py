"""All leak tests of a data set, and one verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from threadpoolctl import threadpool_limits

from segue.evaluation.audit.duplicates import Hear, duplicate_test, find_pairs
from segue.evaluation.audit.groups import group_tests
from segue.evaluation.audit.labelnoise import noise_test
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.order import order_test
from segue.evaluation.audit.recall import recall_test
from segue.evaluation.audit.shortcut import shortcut_tests
from segue.evaluation.audit.verdicts import LeakTest, NotRun, Verdict, decide, worst

Watch = Callable[[str, int, int], None]

TESTING, STEPS = "testing for leaks", 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """What all tests say.

    Attributes
    ----------
    tests : list of LeakTest
        With their verdicts, p-values corrected over all of them.
    not_run : list of NotRun
        What could not be tested, and why.
    rows : int
        Clips looked at.
    """

    tests: list[LeakTest]
    not_run: list[NotRun] = field(default_factory=list)
    rows: int = 0

    @property
    def verdict(self) -> Verdict:
        """The worst of all tests."""
        return worst([test.verdict for test in self.tests])

    def as_dict(self) -> dict[str, Any]:
        """The stable object of ``segue audit --json``."""
        return {
            "verdict": self.verdict,
            "clips": self.rows,
            "tests": [test.as_dict() for test in self.tests],
            "not_run": [{"name": one.name, "why": one.why} for one in self.not_run],
        }


def audit_features(
    data: AuditSet,
    *,
    batch_sizes: Sequence[int] = (),
    hear: Hear | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> AuditResult:
    """Test a data set for leaks.

    Parameters
    ----------
    data : AuditSet
    batch_sizes : sequence of int
        To look for; by default powers of two and round numbers.
    hear : callable, optional
        Compares the audio of pairs of rows; without it, near duplicates go by features alone.
    seed : int
    watch : callable, optional
        Called with (what, done, total).

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> audit_features(simulate(Recipe(batch_size=64, batch_shift=1.0), 0)).verdict
    'leak'
    """
    with threadpool_limits(1):  # sums in one order; and matrices as small as these gain nothing
        said = _said(data, batch_sizes, hear, seed, watch)
    return AuditResult(
        tests=decide([one for one in said if isinstance(one, LeakTest)]),
        not_run=[one for one in said if isinstance(one, NotRun)],
        rows=len(data),
    )


def _said(
    data: AuditSet,
    batch_sizes: Sequence[int],
    hear: Hear | None,
    seed: int,
    watch: Watch | None,
) -> list[LeakTest | NotRun]:
    told = watch or (lambda what, done, total: None)
    told(TESTING, 0, STEPS)
    order = order_test(data, sizes=batch_sizes, seed=seed)
    said: list[LeakTest | NotRun] = [order.test, recall_test(data, order, seed=seed)]
    told(TESTING, 1, STEPS)
    said += group_tests(data, seed=seed)
    told(TESTING, 2, STEPS)
    pairs = find_pairs(data, hear=hear)
    said.append(duplicate_test(data, pairs, seed=seed))
    told(TESTING, 3, STEPS)
    said.append(noise_test(data, pairs, seed=seed))
    told(TESTING, 4, STEPS)
    said += shortcut_tests(data, seed=seed)
    told(TESTING, STEPS, STEPS)
    return said
