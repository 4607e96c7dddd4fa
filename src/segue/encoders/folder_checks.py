"""What is believed of an encoder folder: its two files, read within limits and checked.

Nothing here trusts the folder. Words are shown on terminals, so they hold no control characters;
whatever of the card decides a feature must be the architecture's own.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segue.card import EncoderCard, canonical_json
from segue.encoders.architectures import ARCHITECTURES, Architecture, Shapes, Tensors
from segue.encoders.names import NAME
from segue.errors import ModelError, UsageError, WeightsError
from segue.files import read_bounded

FORMAT = 1
FACTS, WEIGHTS, CURVE = "encoder.json", "weights.safetensors", "curve.csv"
MAX_BYTES = {FACTS: 4 * 2**20, WEIGHTS: 256 * 2**20, CURVE: 4 * 2**20}
# before the tensors of a safetensors file: a line a tensor, beside its name
HEADER_BYTES, LINE_BYTES = 4096, 200
MAX_WORDS = 4096  # characters of one text of a card, and of a tag
MAX_LEVEL_DB = 1000.0  # of a reference either way: float32 samples reach 770 dB
WORDS = ("description", "licence", "training_data", "citation")
# halves of characters, control characters, line breaks; and marks that reorder what follows them
UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Facts:
    """A checked ``encoder.json``."""

    architecture: str
    card: EncoderCard
    tags: tuple[str, ...]
    training: Mapping[str, Any]
    whole_sha256: str | None


def check_name(name: str, *, source: str | Path | None = None) -> str:
    """A name that can stand in a path, a table and on the command line.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_name("choi2017-4q")
    'choi2017-4q'
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise UsageError(
            wanted="a name of lower-case letters, digits, '.', '_' and '-', 64 at most",
            got=repr(name[:80]),
            fix="Choose one with --name",
            source=source,
        )
    return name


def check_words(value: object, what: str) -> str:
    """A text that can be shown on a terminal and written to a file.

    Raises
    ------
    UsageError
        It is no text, longer than ``MAX_WORDS``, or has control characters.

    Examples
    --------
    >>> check_words("CC BY 4.0", "a licence")
    'CC BY 4.0'
    """
    if isinstance(value, str) and len(value) <= MAX_WORDS:
        if not any(unicodedata.category(one) in UNSEEN or one in REORDERING for one in value):
            return value
        got = f"control characters: {value[:80]!a}"
    else:
        got = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
    raise UsageError(
        wanted=f"{what}: a text of one line, {MAX_WORDS} characters at most",
        got=got,
        fix="Write it as plain text",
    )


def check_tags(tags: object) -> tuple[str, ...]:
    """Tags, each a text of one line, none of them twice.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_tags(["calm", "wild"])
    ('calm', 'wild')
    """
    if not isinstance(tags, list | tuple):
        raise UsageError(
            wanted="a list of tags", got=type(tags).__name__, fix="List them, one text a tag"
        )
    seen = tuple(check_words(tag, "a tag") for tag in tags)
    if len(set(seen)) < len(seen):
        again = next(tag for at, tag in enumerate(seen) if tag in seen[:at])
        raise UsageError(wanted="different tags", got=f"{again!r} twice", fix="Drop one of them")
    return seen


def written(facts: Mapping[str, Any]) -> bytes:
    """Facts as they stand in ``encoder.json``."""
    content = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return content.encode()


def check_size(tags: Sequence[str], shapes: Shapes | None = None) -> None:
    """Refuse labels and tensors that no folder could hold: to be asked before training.

    Raises
    ------
    UsageError
        The tags alone would fill more than half of ``encoder.json``, or the tensors are larger
        than a folder's file of them may be.

    Examples
    --------
    >>> check_size(["calm", "wild"], {"labels": (2, 100)})
    """
    limit = MAX_BYTES[FACTS]
    if (size := len(written({"tags": list(tags)}))) > limit // 2:
        raise UsageError(
            wanted=f"labels of {limit // 2} bytes at most, half of the limit of {FACTS}",
            got=f"{len(tags)} labels of {size} bytes",
            fix="Teach fewer labels (--min-tracks), or give them shorter names",
        )
    if shapes:
        size = sum(4 * math.prod(shape) for shape in shapes.values())
        lines = sum(len(name) + LINE_BYTES for name in shapes)
        _check_bytes(WEIGHTS, size + HEADER_BYTES + lines)


def check_contents(contents: Mapping[str, bytes], folder: Path) -> None:
    """Refuse files of a folder that could not be read again.

    Raises
    ------
    UsageError
    """
    for name, content in contents.items():
        _check_bytes(name, len(content), source=folder / name)


def _check_bytes(name: str, size: int, *, source: Path | None = None) -> None:
    if size <= MAX_BYTES[name]:
        return
    fixes = {
        FACTS: "Teach fewer labels (--min-tracks), or write shorter notes on the training",
        WEIGHTS: "Ask for fewer dimensions or hidden units, or teach fewer labels (--min-tracks)",
    }
    raise UsageError(
        wanted=f"a {name} within its limit of {MAX_BYTES[name]} bytes",
        got=f"{size} bytes",
        fix=fixes[name],
        source=source,
    )


def read_facts(folder: Path) -> Facts:
    """The checked facts of a folder.

    Raises
    ------
    WeightsError
        No such file, too large, malformed; an unknown architecture; a card that is not its.
    """
    path = folder / FACTS
    try:
        facts = json.loads(bounded(path))
        if not isinstance(facts, dict):
            raise ValueError(f"a {type(facts).__name__}")
        version, training = facts["format"], facts.get("training", {})
        if type(version) is not int or version != FORMAT:
            raise ValueError(f"format {version!r}")
        if not isinstance(training, dict):
            raise ValueError(f"a training record that is a {type(training).__name__}")
        architecture = check_words(facts["architecture"], "an architecture")
        tags = check_tags(facts["tags"])
        if architecture in ARCHITECTURES:
            card = _card(facts["card"], ARCHITECTURES[architecture])
    except (LookupError, TypeError, ValueError, RecursionError, ModelError, UsageError) as error:
        raise not_one(path, f"{type(error).__name__}: {error}") from error
    if architecture not in ARCHITECTURES:
        raise WeightsError(
            wanted=f"an architecture among {', '.join(ARCHITECTURES)}",
            got=repr(architecture[:80]),
            fix="Use the version of segue that wrote this folder",
            source=path,
        )
    return Facts(
        architecture=architecture,
        card=card,
        tags=tags,
        training=training,
        whole_sha256=facts.get("whole_sha256"),
    )


def _card(facts: Any, kind: Architecture) -> EncoderCard:
    """The card, which must be the architecture's own but for its words, digest and level."""
    card = EncoderCard.from_json(facts)
    for word in WORDS:
        check_words(getattr(card, word), word)
    check_name(check_words(card.name, "a name"))
    if not isinstance(card.commercial, bool):
        raise ValueError(f"commercial {card.commercial!r:.80}, which is not true or false")
    level = card.front_end.reference_db
    # compared, not converted: an integer may be too large for any float
    if type(level) not in (int, float) or not -MAX_LEVEL_DB <= level <= MAX_LEVEL_DB:
        raise ValueError(f"a reference level of {level!r:.80}")
    expected = replace(kind.expected(card), version=1, calibration_sha256=None)
    # as text, in which 1, 1.0 and true differ, as they do in the digest
    if canonical_json(card.to_json()) != canonical_json(expected.to_json()):
        differences = "; ".join(expected.differences(card)) or "a number written as another kind"
        raise ValueError(f"a card that does not fit the architecture: {differences[:500]}")
    return card


def bounded(path: Path) -> bytes:
    """A file's bytes, never more than it may have.

    Raises
    ------
    WeightsError
    """
    try:
        return read_bounded(path, MAX_BYTES[path.name])
    except (OSError, ValueError) as error:
        raise not_one(path, getattr(error, "strerror", None) or str(error)) from error


def read_tensors(path: Path) -> Tensors:
    """Tensors of a safetensors file that is not trusted.

    Raises
    ------
    WeightsError
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = bounded(path)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise not_one(path, f"a damaged file ({error})") from error
    return tensors


def check_tensors(tensors: Tensors, shapes: Shapes, source: Path) -> None:
    """Refuse tensors that are not those of the architecture, or that no training leaves.

    Raises
    ------
    WeightsError
    """
    problems = [f"no {name}" for name in sorted(shapes.keys() - tensors.keys())]
    problems += [f"an unknown {name[:80]!r}" for name in sorted(tensors.keys() - shapes.keys())]
    for name in sorted(shapes.keys() & tensors.keys()):
        values = tensors[name]
        if values.shape != shapes[name] or values.dtype != np.float32:
            problems.append(f"{name} {values.dtype} {values.shape} for {shapes[name]}")
        elif not np.isfinite(values).all():
            problems.append(f"{name} with NaN or infinity")
        elif name.endswith("running_var") and (values < 0).any():
            problems.append(f"{name} with negative variances")
    if problems:
        raise WeightsError(
            wanted="the tensors of the architecture in float32",
            got="; ".join(problems[:5]) + ("; ..." if len(problems) > 5 else ""),
            fix="Train it again, or copy the folder again from where it was made",
            source=source,
        )


def not_one(path: Path, got: str) -> WeightsError:
    """That a path is no encoder folder, and why; what the folder made us say is shown escaped."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in got)
    return WeightsError(
        wanted="an encoder folder (encoder.json and weights.safetensors)",
        got=shown,
        fix="Name a folder that `segue pretrain` wrote",
        source=path,
    )
