"""What a page is made of: plain values that a command composes and `write_page` lays out."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from segue.errors import UsageError

_PNG = b"\x89PNG\r\n\x1a\n"

AUDIO_TYPES = ("audio/ogg", "audio/mpeg", "audio/wav", "audio/flac", "audio/mp4", "audio/webm")
"""What `Audio.mime` may be; it ends in a data: URI, so it is never free text."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A short clip that the page carries inside itself.

    Attributes
    ----------
    data : bytes
        The encoded file; base64 makes it a third larger in the page.
    label : str
        What is heard, for readers who cannot see the table around it.
    mime : str
        One of `AUDIO_TYPES`.
    """

    data: bytes
    label: str
    mime: str = "audio/ogg"

    def __post_init__(self) -> None:
        if self.mime not in AUDIO_TYPES:
            raise UsageError(
                wanted=f"a type out of {', '.join(AUDIO_TYPES)}",
                got=repr(self.mime),
                fix="Encode the clip as one of them",
                source=self.label,
            )


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell that is more than text: a smaller second line, emphasis, a clip to hear."""

    text: str
    detail: str = ""
    strong: bool = False
    audio: Audio | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Header and rows of equal length.

    Attributes
    ----------
    header : sequence of str
    rows : sequence of rows of str or Cell
        The first cell of a row is its heading.
    note : str
        One line above the table: what is in it.
    numeric : sequence of int
        Columns set flush right.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    note: str = ""
    numeric: Sequence[int] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise UsageError(
                    wanted=f"{len(self.header)} cells in each row, as in the header",
                    got=f"{len(row)} in row {number}",
                    fix="Give one cell per column; an empty one is ''",
                    source=self.note or None,
                )

    @classmethod
    def of(cls, records: Sequence[Mapping[str, object]], *, note: str = "") -> Table:
        """One row per mapping; columns in order of first appearance, None as "".

        Examples
        --------
        >>> Table.of([{"name": "mfcc", "dim": 240}, {"name": "choi", "licence": "MIT"}]).rows
        (('mfcc', '240', ''), ('choi', '', 'MIT'))
        """
        header = tuple(dict.fromkeys(key for record in records for key in record))
        numeric = tuple(
            j
            for j, key in enumerate(header)
            if all(isinstance(record.get(key, 0), (int, float)) for record in records)
        )
        rows = tuple(tuple(plain(record.get(key)) for key in header) for record in records)
        return cls(header, rows, note, numeric)


@dataclass(frozen=True, slots=True)
class Figure:
    """A PNG picture with the words that go with it.

    Attributes
    ----------
    png : bytes
    caption : str
        What to see in it.
    alt : str
        The same for readers who cannot: what kind of picture, of what, and its main numbers.
    name : str
        File name stem under ``plots/``; "" keeps the picture in the page only.
    """

    png: bytes
    caption: str
    alt: str
    name: str = ""

    def __post_init__(self) -> None:
        if self.png[:8] != _PNG or len(self.png) < 24:
            raise UsageError(
                wanted="a PNG picture",
                got=f"{len(self.png)} bytes of something else",
                fix="Save the picture as PNG",
                source=self.name or self.caption[:60] or None,
            )
        if not self.alt.strip():
            raise UsageError(
                wanted="alternative text for every picture",
                got="none",
                fix="Say what the picture shows",
                source=self.name or self.caption[:60] or None,
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the file says."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks behind a line that opens them (no script needed; printed open)."""

    summary: str
    blocks: Sequence[Block]


Block = str | Table | Figure | Audio | Folded
"""A paragraph of plain text, a table, a picture, a clip, or a fold of these."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it.

    Attributes
    ----------
    title : str
    blocks : sequence of Block
    sections : sequence of Section
        Sub-sections, one level deep.
    """

    title: str
    blocks: Sequence[Block] = field(default=())
    sections: Sequence[Section] = field(default=())


def plain(value: object) -> str:
    """A value as a table shows it.

    Examples
    --------
    >>> plain([1, 2]), plain(None), plain(True), plain(0.12345678), plain({"C": 1})
    ('1, 2', '', 'yes', '0.1235', 'C = 1')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return ", ".join(plain(item) for item in items)
    return str(value)
