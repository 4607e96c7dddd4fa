"""What is believed of a folder of factors: its three files, read within limits and checked."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import ModelError, SegueError
from segue.files import read_bounded
from segue.targets.factors import FactorModel, GroupShares
from segue.targets.settings import MOST_BYTES, MOST_TOPICS, MOST_WORDS, FactorSettings
from segue.targets.texts import check_text
from segue.targets.words import QUANTILES, Dictionary

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
FACTS, MODEL, GROUPS = "targets.json", "model.safetensors", "groups.parquet"
MAX_BYTES = {FACTS: 16 * 2**20, MODEL: MOST_BYTES, GROUPS: 512 * 2**20}
MAX_GROUPS = 10**7
MAX_UNPACKED = 4 * 2**30  # bytes of the groups' table, by its own account and as it is read
MAX_WIDTH = 2**16
SUM_TOLERANCE = 1e-3  # of float32 shares
# learned ones are never below a step towards 1 / topics, nor above all words counted; of numbers
# far outside, shares would be NaN
COMPONENTS = (1e-9, 1e18)
KEYS = {
    "format",
    "settings",
    "vocabulary",
    "learned_from",
    "notes",
    "groups",
    "topics",
    "unknown",
    "facts",
    "sha256",
}

Tensor = NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A checked ``targets.json``."""

    settings: FactorSettings
    vocabulary: tuple[str, ...]
    learned_from: Mapping[str, int]
    notes: tuple[str, ...]
    groups: int
    topics: int
    unknown: int
    facts: Mapping[str, Any]
    sha256: Mapping[str, str]


def read_facts(path: Path) -> Head:
    """The checked facts of a folder.

    Raises
    ------
    ModelError
        There are none, or they are damaged.
    """
    content = bounded(path)
    try:
        head = json.loads(content)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            version = head.get("format") if isinstance(head, dict) else "other JSON"
            raise ValueError(f"format {version!r:.80} instead of {FORMAT}")
        if head.keys() != KEYS:
            raise ValueError(f"other entries: {sorted(head.keys() ^ KEYS)!r:.200}")
        for name in ("settings", "learned_from", "facts", "sha256"):
            if not isinstance(head[name], dict):
                raise ValueError(f"{name} that are no mapping")
        for name in ("vocabulary", "notes"):
            if not isinstance(head[name], list) or len(head[name]) > MOST_WORDS:
                raise ValueError(f"{name} that are no list, or too long a one")
        vocabulary = tuple(check_text(label, "a label") for label in head["vocabulary"])
        if len(set(vocabulary)) < len(vocabulary):
            raise ValueError("a label twice")
        return Head(
            settings=FactorSettings.from_json(head["settings"]),
            vocabulary=vocabulary,
            learned_from={
                check_text(name, "a fact"): _whole(count, 2**62, name)
                for name, count in head["learned_from"].items()
            },
            notes=tuple(check_text(note, "a note") for note in head["notes"]),
            groups=_whole(head["groups"], MAX_GROUPS, "groups"),
            topics=_whole(head["topics"], MOST_TOPICS, "topics"),
            unknown=_whole(head["unknown"], 2**62, "unknown"),
            facts=head["facts"],
            sha256={name: str(head["sha256"].get(name)) for name in (MODEL, GROUPS)},
        )
    except SegueError as error:
        raise damaged(path, f"{error.got} for {error.wanted}") from error
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error


def read_model(path: Path, head: Head) -> FactorModel:
    """The checked model of a folder.

    Raises
    ------
    ModelError
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = bounded(path, sha256=head.sha256[MODEL])
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
    try:
        components = _checked(tensors, "components", np.float64, (head.topics, None))
        if not 2 <= components.shape[1] <= MOST_WORDS:
            raise ValueError(f"topics over {components.shape[1]} words")
        if components.min() < COMPONENTS[0] or components.max() > COMPONENTS[1]:
            raise ValueError(f"components that are not all between {COMPONENTS}")
        words = components.shape[1]
        dictionary = None
        if not head.vocabulary:
            dictionary = _dictionary(tensors, words)
        elif len(head.vocabulary) != words or tensors.keys() != {"components"}:
            raise ValueError(f"{len(head.vocabulary)} labels for {words} words, or more tensors")
    except ValueError as error:
        raise damaged(path, str(error)) from error
    return FactorModel(
        settings=head.settings,
        components=components,
        dictionary=dictionary,
        vocabulary=head.vocabulary,
        facts=head.learned_from,
        notes=head.notes,
    )


def read_groups(path: Path, head: Head) -> GroupShares:
    """The checked distributions of a folder.

    Raises
    ------
    ModelError
    """
    import pyarrow as pa

    content = bounded(path, sha256=head.sha256[GROUPS])
    try:
        names: list[str] = []
        shares = np.empty((head.groups, head.topics), np.float32)
        tracks, words = np.empty(head.groups, np.int64), np.empty(head.groups, np.int64)
        for batch in _batches(content, head):
            part = slice(len(names), len(names) + len(batch))
            if part.stop > head.groups:
                raise ValueError(f"more than {head.groups} groups")
            names += [check_text(name, "a group's name") for name in batch["group"].to_pylist()]
            tracks[part] = batch["tracks"].to_numpy(zero_copy_only=False)
            words[part] = batch["words"].to_numpy(zero_copy_only=False)
            shares[part] = _shares(batch["shares"], words[part], head.topics)
        if len(names) != head.groups or len(set(names)) < len(names):
            raise ValueError(f"{len(set(names))} different groups instead of {head.groups}")
        if tracks.min(initial=0) < 0 or words.min(initial=0) < 0:
            raise ValueError("counts below 0")
    except SegueError as error:
        raise damaged(path, f"{error.got} for {error.wanted}") from error
    except (pa.ArrowException, ValueError, TypeError, OSError, MemoryError) as error:
        raise damaged(path, str(error)) from error
    empty = tuple(names[number] for number in np.flatnonzero(words == 0).tolist())
    return GroupShares(
        names=tuple(names),
        tracks=tracks,
        words=words,
        shares=shares,
        empty=empty,
        unknown=head.unknown,
    )


def schema_of(topics: int) -> pa.Schema:
    """Columns of ``groups.parquet``."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("group", pa.string(), nullable=False),
            pa.field("tracks", pa.int64(), nullable=False),
            pa.field("words", pa.int64(), nullable=False),
            pa.field("shares", pa.list_(pa.float32(), topics)),
        ]
    )


def bounded(path: Path, *, sha256: str | None = None) -> bytes:
    """A file's bytes, never more than it may have, and only those of the digest.

    Raises
    ------
    ModelError
    """
    try:
        content = read_bounded(path, MAX_BYTES[path.name])
    except (OSError, ValueError) as error:
        raise damaged(path, getattr(error, "strerror", None) or str(error)) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise damaged(path, f"another SHA-256 than {FACTS} says")
    return content


def damaged(path: Path, got: str) -> ModelError:
    """That a folder cannot be used, and why; what it made us say is shown escaped."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in got[:500])
    return ModelError(
        wanted=f"a folder of targets ({FACTS}, {MODEL}, {GROUPS})",
        got=shown,
        fix="Name a folder that `segue targets` wrote, or make it again",
        source=path,
    )


def _whole(value: object, most: int, name: str) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r:.80} for {name:.80}")
    return value


def _checked(
    tensors: Mapping[str, Tensor],
    name: str,
    kind: type[np.generic],
    shape: tuple[int | None, ...],
) -> NDArray[Any]:
    if name not in tensors:
        raise ValueError(f"no tensor {name}")
    tensor = tensors[name]
    fits = len(tensor.shape) == len(shape) and all(
        wanted is None or size == wanted for size, wanted in zip(tensor.shape, shape, strict=True)
    )
    if tensor.dtype != kind or not fits or not np.isfinite(tensor).all():
        raise ValueError(f"{name} {tensor.dtype} {tensor.shape}, or not finite")
    return tensor


def _dictionary(tensors: Mapping[str, Tensor], words: int) -> Dictionary:
    centres = _checked(tensors, "centres", np.float32, (words, None))
    width = centres.shape[1]
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"vectors of {width} numbers")
    quantiles = None
    if "quantiles" in tensors:
        quantiles = _checked(tensors, "quantiles", np.float32, (None, width))
        if not 1 <= len(quantiles) <= QUANTILES or (np.diff(quantiles, axis=0) < 0.0).any():
            raise ValueError("quantiles that are none, too many or not sorted")
    extra = tensors.keys() - {"components", "centres", "shift", "scale", "quantiles"}
    if extra:
        raise ValueError(f"unknown tensors {sorted(extra)!r:.200}")
    scale = _checked(tensors, "scale", np.float32, (width,))
    if (scale <= 0.0).any():
        raise ValueError("a scale that is not above 0")
    shift = _checked(tensors, "shift", np.float32, (width,))
    return Dictionary(centres=centres, shift=shift, scale=scale, quantiles=quantiles)


def _batches(content: bytes, head: Head) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file that is not trusted, some at a time."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(content))
    facts = file.metadata
    unpacked = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
    if not file.schema_arrow.equals(schema_of(head.topics)):
        raise ValueError("other columns")
    if facts.num_rows != head.groups or unpacked > MAX_UNPACKED:
        raise ValueError(f"{facts.num_rows} rows of {unpacked} bytes for {head.groups} groups")
    read = 0
    for batch in file.iter_batches(batch_size=4096):
        read += batch.nbytes
        if read > MAX_UNPACKED:  # a repeated long name takes no room in the file
            raise ValueError(f"more than {MAX_UNPACKED} bytes of groups")
        yield batch


def _shares(column: pa.Array, words: NDArray[np.int64], topics: int) -> NDArray[np.float32]:
    """Shares (n, topics) of some groups, NaN for those of no words."""
    shares = np.full((len(column), topics), np.nan, np.float32)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    if (there != (words > 0)).any():
        raise ValueError("groups without words that have shares, or the other way about")
    values = column.drop_null().flatten()
    if values.null_count:
        raise ValueError("shares that are missing")
    found = values.to_numpy(zero_copy_only=False).reshape(-1, topics)
    good = np.isfinite(found).all() and (found >= 0.0).all()
    if not good or (np.abs(found.sum(axis=1, dtype=np.float64) - 1.0) > SUM_TOLERANCE).any():
        raise ValueError("shares that do not sum to 1, or are below 0")
    shares[there] = found
    return shares
