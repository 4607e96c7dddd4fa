"""Bytes and seconds as people write and read them."""

from __future__ import annotations

import re

from segue.errors import UsageError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_bytes(text: str | None) -> int | None:
    """Bytes of ``4GB``, ``500 M`` or ``2GiB``; None stays None.

    Raises
    ------
    UsageError
        It is no amount.

    Examples
    --------
    >>> parse_bytes("1.5GB"), parse_bytes("2 KiB"), parse_bytes("100"), parse_bytes(None)
    (1500000000, 2048, 100, None)
    """
    if text is None:
        return None
    found = AMOUNT.fullmatch(text.strip())
    if not found or (found[3] and not found[2]):
        raise UsageError(
            wanted="an amount of memory such as 4GB or 500MB",
            got=repr(text),
            fix="Write a number and a unit",
        )
    power = "kmgt".find(found[2].lower()) + 1 if found[2] else 0
    unit = 1024**power if found[3] else UNITS[found[2].lower()]
    return round(float(found[1]) * unit)


def bytes_in_words(size: float) -> str:
    """An amount in the unit that suits it.

    Examples
    --------
    >>> bytes_in_words(312), bytes_in_words(45_600), bytes_in_words(7.25e9)
    ('312 bytes', '45.6 kB', '7.2 GB')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} bytes"


def seconds_in_words(seconds: float) -> str:
    """A time in the units that suit it.

    Examples
    --------
    >>> seconds_in_words(4.2), seconds_in_words(190), seconds_in_words(7300), seconds_in_words(3e5)
    ('4 s', '3 min 10 s', '2 h 1 min', '3 d 11 h')
    """
    whole = round(seconds)
    for larger, smaller, size, step in (
        ("d", "h", 86400, 3600),
        ("h", "min", 3600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size:
            return f"{whole // size} {larger} {whole % size // step} {smaller}"
    return f"{whole} s"
