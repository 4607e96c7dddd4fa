"""Kinds of frames, and the file that makes a folder a table of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.card import canonical_json, flatten
from segue.errors import StoreError, UsageError
from segue.files import read_bounded, write_atomically

FORMAT = 1
KIND = "frames.json"
KIND_BYTES = 2**20  # more than any that segue writes


@dataclass(frozen=True, slots=True)
class FrameKind:
    """What the frames of a table are, and the hash that binds them to it.

    Attributes
    ----------
    label : str
        What people call it ("hamel2013", or an encoder's label).
    width : int
        Numbers per frame.
    facts : mapping
        All that can change a number in a frame, as plain values that survive JSON.

    Examples
    --------
    >>> FrameKind("hamel2013", 200, {"hop": 512}).folder
    'frames-hamel2013-656f2a7c3c59'
    """

    label: str
    width: int
    facts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 over width and facts."""
        facts = {"width": self.width, "facts": self.facts}
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    @property
    def folder(self) -> str:
        """Name of its table's folder.

        Raises
        ------
        UsageError
            When the label cannot be part of a file name.
        """
        if not re.fullmatch(r"\w[\w@.+-]*", self.label):
            raise UsageError(
                wanted="a label of letters, digits and @ . + - _",
                got=repr(self.label),
                fix="Choose another label",
            )
        return f"frames-{self.label}-{self.digest[:12]}"

    def differences(self, other: FrameKind) -> list[str]:
        """Facts that would give other numbers, as ``"hop: 512 -> 256"``."""
        mine = flatten({"width": self.width, **self.facts})
        theirs = flatten({"width": other.width, **other.facts})
        return [
            f"{key}: {mine.get(key)} -> {theirs.get(key)}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def write_kind(folder: Path, kind: FrameKind) -> None:
    """Make a folder a table of frames of a kind."""
    facts = {"format": FORMAT, "digest": kind.digest, "label": kind.label}
    facts |= {"width": kind.width, "facts": kind.facts}
    write_atomically(folder / KIND, json.dumps(facts, indent=1).encode())


def read_kind(folder: Path) -> FrameKind:
    """The kind of a table's frames.

    Raises
    ------
    StoreError
        The folder is no frame table, or its facts do not match its digest.
    """
    try:
        facts = json.loads(read_bounded(folder / KIND, KIND_BYTES))
        kind = FrameKind(str(facts["label"]), int(facts["width"]), dict(facts["facts"]))
        version, digest, mine = facts["format"], facts["digest"], kind.digest
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(OverflowError, RecursionError),
    ) as error:
        raise StoreError(
            wanted=f"a frame table (a folder with {KIND})",
            got=f"{type(error).__name__}: {error}",
            fix="Name a folder that frames were written to",
            source=folder,
        ) from error
    if version != FORMAT or digest != mine or kind.width < 1:
        raise StoreError(
            wanted=f"format {FORMAT} and facts of digest {digest}",
            got=f"format {version} and facts of digest {mine}",
            fix="It was changed by hand or by another version: write frames to a new folder",
            source=folder,
        )
    return kind
