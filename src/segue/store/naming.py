"""Names of the files and folders of a store."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable

LONGEST = 100  # characters of a label in a name; file systems take 255 bytes


def next_name(there: Iterable[str]) -> str:
    """A name for a new file beside others: their highest number and one, and a unique part.

    The number orders files for people; two writers may take the same one. What keeps their files
    apart, on any file system, are 128 random bits.

    Examples
    --------
    >>> next_name(["000000-ab.parquet", "000006-cd.parquet"])[:7]
    '000007-'
    """
    # after the highest there is, not the count: a file may have been removed by hand
    numbers = (name.split("-")[0] for name in there)
    number = max((int(one) for one in numbers if one.isdigit()), default=-1) + 1
    return f"{number:06d}-{uuid.uuid4().hex}"


def folder_name(label: str, digest: str) -> str:
    """Name of the folder of a card's table: its label, and the digest that tells it apart.

    Of a label that no name can hold, such as that of an encoder behind a path, the last part
    stays.

    Examples
    --------
    >>> folder_name("choi2017-msd@135", "0123456789abcdef")
    'choi2017-msd@135-0123456789ab'
    >>> folder_name("hf:org/name@1,12", "0123456789abcdef")
    'name@1_12-0123456789ab'
    """
    if re.search(r"[:/\\,*?\"<>|\x00-\x1f]", label):
        last = re.split(r"[/\\]", label)[-1]
        label = re.sub(r"[^\w@.+-]", "_", last).lstrip(".")[:LONGEST]
    return f"{label}-{digest[:12]}"
