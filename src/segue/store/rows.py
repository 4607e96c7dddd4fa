"""What a feature table holds: tracks by their place, their features, their failures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.files import Location

Place = tuple[str, float, float | None]
LATEST_NS = 2**62  # in the year 2116: no row or failure was written then or later


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Where a track lies, what identifies its file without reading it, what a manifest calls it.

    Attributes
    ----------
    id : str
        The manifest's name for it; two data sets in one store may use the same.
    path : str
        Absolute.
    line : int
    bytes, mtime_ns : int
        Size and time of the file; -1 where there is none.
    start, duration : float, float or None
        The stretch in seconds; None: to the end.
    """

    id: str
    path: str
    line: int
    bytes: int
    mtime_ns: int
    start: float = 0.0
    duration: float | None = None

    @property
    def place(self) -> Place:
        """What tells tracks apart: the file and the stretch of it."""
        return self.path, self.start, self.duration

    @property
    def exists(self) -> bool:
        """Whether there was a file."""
        return self.bytes >= 0

    def same_file(self, other: FileFacts) -> bool:
        """Whether the same place holds an unchanged file."""
        mine, theirs = (self.bytes, self.mtime_ns), (other.bytes, other.mtime_ns)
        return self.place == other.place and mine == theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One embedded track.

    Attributes
    ----------
    facts : FileFacts
    key : str
        Content key, see :func:`content_key`.
    source_rate, source_channels : int
        Of the file, before resampling and mixing.
    seconds : float
        Length that was heard.
    features : (dim,) float32 array
    decoder : str
        What turned the file into samples, with its version ("soundfile 0.13.1/libsndfile 1.2.2");
        empty in rows of tables that did not say so yet.
    """

    facts: FileFacts
    key: str
    source_rate: int
    source_channels: int
    seconds: float
    features: NDArray[np.float32]
    decoder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One file that could not be embedded, and why; its row in the quarantine."""

    facts: FileFacts
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the features of a place are: the latest row of it."""

    facts: FileFacts
    key: str
    written_ns: int
    shard: Location
    row: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table holds, without its features.

    Attributes
    ----------
    rows : mapping place -> Stored
    failures : mapping place -> Failure
        Only those that nothing was embedded after; a place may be in both, its older row kept
        for the day when the file is mended.
    """

    rows: dict[Place, Stored]
    failures: dict[Place, Failure]

    def usable(self) -> list[Stored]:
        """Rows of places that are not quarantined, in the order they were written."""
        return [row for place, row in self.rows.items() if place not in self.failures]


def content_key(sha256: str, start: float, duration: float | None) -> str:
    """Key of a stretch of a file's content.

    Examples
    --------
    >>> content_key("ab", 0.0, None)
    'ab:0.0:None'
    """
    return f"{sha256}:{start!r}:{duration!r}"
