"""What is wrong in a manifest, line by line, and the one error that says all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from segue.errors import ManifestError

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a manifest, with its line (None: the table as a whole).

    Examples
    --------
    >>> str(Problem(3, "empty path"))
    'line 3: empty path'
    """

    line: int | None
    message: str

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


def fail(name: str, problems: Iterable[Problem], fix: str) -> ManifestError:
    """One error for all problems of a manifest, the first twenty spelt out, the others counted.

    Problems may come from a generator: only those shown are kept.

    Examples
    --------
    >>> many = (Problem(line, "empty path") for line in range(2, 1_000))
    >>> str(fail("m.csv", many, "Mend these lines")).endswith("and 978 more. Mend these lines.")
    True
    """
    rest = iter(problems)
    listed = "; ".join(str(problem) for problem in islice(rest, SHOWN))
    more = sum(1 for _ in rest)
    tail = f"; and {more} more" if more else ""
    return ManifestError(wanted="a valid manifest", got=listed + tail, fix=fix, source=name)
