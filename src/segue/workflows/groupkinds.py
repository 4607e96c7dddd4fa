"""What words of groups are made of: MFCC frames, their differences, vectors, or labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segue.datasets import Manifest, read_target
from segue.encoders import encoder as build_encoder
from segue.encoders.names import is_path
from segue.encoders.registry import is_registered
from segue.errors import UsageError
from segue.extraction.frames import FrameRecipe, frame_recipe
from segue.targets.settings import Normalise

MFCC = "kim2018-mfcc"
DESCRIPTORS, ESSENTIA = "descriptors", "essentia"
LABELS, ENCODER = "labels:", "encoder:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What words are made of.

    Attributes
    ----------
    asked : str
        As the user wrote it.
    heard : str
        Front end or encoder; empty for labels.
    difference : bool
        Differences of subsequent frames, not the frames.
    columns : tuple of str
        Label columns; empty where audio is heard.
    normalise : {"none", "standard", "quantile"}
        What is done to vectors before words are learned, unless something else is asked for.
    said : str
        In words.
    """

    asked: str
    heard: str = ""
    difference: bool = False
    columns: tuple[str, ...] = ()
    normalise: Normalise = "none"
    said: str = ""


def parse_kind(text: str) -> Kind:
    """``mfcc``, ``dmfcc``, ``descriptors``, ``labels:COLUMN``, or the name of an encoder.

    "descriptors" is Essentia's music extractor where it is installed, else segue's own descriptor
    vector. ``encoder:NAME`` always means that encoder (``encoder:mfcc``, ``encoder:descriptors``).

    Raises
    ------
    UsageError
        Nothing of these, or label columns that are named twice.

    Examples
    --------
    >>> parse_kind("dmfcc").heard, parse_kind("labels:moods,genres").columns
    ('kim2018-mfcc', ('moods', 'genres'))
    """
    if text in ("mfcc", "dmfcc"):
        difference = text == "dmfcc"
        what = "Differences of subsequent frames of 25 MFCC" if difference else "Frames of 25 MFCC"
        return Kind(asked=text, heard=MFCC, difference=difference, said=f"{what}.")
    if text.startswith(LABELS):
        columns = tuple(part.strip() for part in text.removeprefix(LABELS).split(","))
        if not all(columns) or len(set(columns)) < len(columns):
            raise UsageError(
                wanted="labels:COLUMN or labels:COLUMN,COLUMN, each named once",
                got=repr(text),
                fix="For example --from labels:genres",
            )
        return Kind(
            asked=text,
            columns=columns,
            said=f"Labels of {' and '.join(map(repr, columns))}; no audio is opened.",
        )
    if text == DESCRIPTORS:
        name = ESSENTIA if _has_essentia() else DESCRIPTORS
        said = (
            "Essentia's music extractor, which is installed; --from encoder:descriptors takes "
            "segue's own descriptors."
            if name == ESSENTIA
            else "segue's own descriptors, since Essentia is not installed (pip install "
            "'segue[essentia]')."
        )
        return Kind(asked=text, heard=name, normalise="quantile", said=said)
    name = text.removeprefix(ENCODER)
    if name == MFCC:
        raise UsageError(
            wanted="mfcc, dmfcc, descriptors, labels:COLUMN or an encoder",
            got=f"{text!r}, a front end",
            fix="Use --from mfcc, which hears it",
        )
    said = f"Vectors of the encoder {name}, one an excerpt."
    return Kind(asked=text, heard=name, normalise="quantile", said=said)


def _has_essentia() -> bool:
    """Whether the registered encoder of that name can be built here."""
    if not is_registered(ESSENTIA):
        return False
    try:
        build_encoder(ESSENTIA)
    except UsageError:
        return False
    return True


def kind_recipe(
    kind: Kind, *, seconds: float | None, chunks: int | None, device: str
) -> FrameRecipe:
    """The recipe of frames that a kind means.

    Raises
    ------
    UsageError, WeightsError
        There is no such encoder.
    """
    if kind.heard != MFCC and not is_path(kind.heard):
        build_encoder(kind.heard)  # its error names all encoders
    return frame_recipe(kind.heard, chunks=chunks, seconds=seconds, device=device)


def kind_terms(kind: Kind) -> dict[str, Any]:
    """Name, card and terms of the encoder, which bind what is learned from it."""
    if kind.heard == MFCC:
        return {}
    card = build_encoder(kind.heard).card
    return {
        "encoder": card.label,
        "card": card.digest,
        "licence": card.licence,
        "commercial": card.commercial,
    }


def label_words(manifest: Manifest, kind: Kind) -> list[tuple[str, ...]]:
    """Labels of every row of a manifest; those of several columns have the column before them.

    Raises
    ------
    ManifestError
        No such column, or nothing in it.
    """
    words: list[tuple[str, ...]] = [()] * len(manifest)
    for column in kind.columns:
        lead = f"{column}: " if len(kind.columns) > 1 else ""
        target = read_target(manifest, column, task="tagging")
        for row, names in zip(target.rows.tolist(), target.values, strict=True):
            words[row] += tuple(lead + name for name in names)
    return words
