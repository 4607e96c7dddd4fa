"""Ours beside theirs: the stable columns of every reproduced table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One cell of a reproduced table.

    ``theirs`` and ``difference`` are None where the authors published nothing.
    """

    task: str
    features: str
    metric: str
    ours: float
    theirs: float | None
    difference: float | None
    protocol: str

    def as_dict(self) -> dict[str, Any]:
        """For CSV and JSON."""
        return asdict(self)
