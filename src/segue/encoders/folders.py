"""Encoders as folders: what `segue pretrain` writes, `segue models add` keeps, anyone can send.

A folder holds ``encoder.json`` (architecture, card, tags, how it was trained) and
``weights.safetensors``. It is untrusted: sizes are limited, every tensor is checked against the
architecture, and the digest in the card against the tensors.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from segue.card import EncoderCard, canonical_json
from segue.encoders.architectures import ARCHITECTURES, Tensors
from segue.encoders.folder_checks import (
    CURVE,
    FACTS,
    FORMAT,
    WEIGHTS,
    bounded,
    check_contents,
    check_name,
    check_size,
    check_tags,
    check_tensors,
    read_facts,
    read_tensors,
    written,
)
from segue.encoders.joint import JointSpec
from segue.encoders.names import NAME, expanded, split_layers
from segue.encoders.protocol import Encoder
from segue.encoders.weights import tensor_digest, weights_folder
from segue.errors import StoreError, UsageError, WeightsError
from segue.files import write_atomically

__all__ = [
    "CURVE",
    "FACTS",
    "WEIGHTS",
    "EncoderFolder",
    "added",
    "added_folder",
    "all_added",
    "check_base",
    "check_name",
    "check_size",
    "is_packaged",
    "keep",
    "open_folder",
    "packaged",
    "packaged_folder",
    "write_folder",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EncoderFolder:
    """A checked encoder folder.

    Attributes
    ----------
    path : Path
    architecture : str
    card : EncoderCard
        With all layers and one chunk.
    tags : tuple of str
        What the output of the network says, in order.
    training : mapping
        How it was trained: scores, data, settings, versions.
    tensors : mapping of str to float32 array
    """

    path: Path
    architecture: str
    card: EncoderCard
    tags: tuple[str, ...]
    training: Mapping[str, Any]
    tensors: Tensors

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that can be asked for."""
        return ARCHITECTURES[self.architecture].layers

    def same_as(self, other: EncoderFolder) -> bool:
        """Whether another copy says the same of the same tensors."""
        mine, theirs = (
            (one.architecture, one.card, one.tags, one.training, tensor_digest(one.tensors))
            for one in (self, other)
        )
        return mine == theirs

    def build(
        self, *, layers: Sequence[int] = (), chunks: int | None = 1, device: str = "cpu"
    ) -> Encoder:
        """The encoder, with those of its layers."""
        kind = ARCHITECTURES[self.architecture]
        asked = tuple(layers) or kind.layers
        card = replace(
            self.card,
            layers=asked,
            dim=kind.dim(self.card, asked),
            excerpt=replace(self.card.excerpt, chunks=chunks),
        )
        return kind.build(card, self.tensors, self.tags, device)


def open_folder(path: str | Path) -> EncoderFolder:
    """Read and check an encoder folder.

    Raises
    ------
    WeightsError
        No such folder; a file missing, too large or unreadable; an unknown architecture; a card
        that is not the architecture's; a tensor missing, too many, of another shape or not finite;
        tensors, or tags of an embedding, that differ from the digest.
    """
    path = expanded(path)
    facts = read_facts(path)
    tensors = read_tensors(path / WEIGHTS)
    kind = ARCHITECTURES[facts.architecture]
    check_tensors(tensors, kind.shapes(facts.card, len(facts.tags)), path / WEIGHTS)
    deciding = tensor_digest(kind.deciding(tensors))
    _check_digest(deciding, facts.card.weights_sha256, "tensors", path / WEIGHTS)
    if kind.said:
        whole = _whole_sha256(tensors, facts.tags)
        _check_digest(whole, facts.whole_sha256, "tensors and tags", path)
    return EncoderFolder(
        path=path,
        architecture=facts.architecture,
        card=facts.card,
        tags=facts.tags,
        training=facts.training,
        tensors=tensors,
    )


def _whole_sha256(tensors: Tensors, tags: Sequence[str]) -> str:
    """SHA-256 of all tensors, those that only say tags too, and of the tags in their order."""
    whole = {"tensors": tensor_digest(tensors), "tags": list(tags)}
    return hashlib.sha256(canonical_json(whole).encode()).hexdigest()


def _check_digest(got: str, wanted: str | None, what: str, source: Path) -> None:
    if got != wanted:
        raise WeightsError(
            wanted=f"{what} with SHA-256 {wanted!r:.80}",
            got=got,
            fix="The folder was changed or damaged: copy it again from where it was made",
            source=source,
        )


def write_folder(
    path: str | Path,
    *,
    architecture: str,
    card: EncoderCard,
    tags: Sequence[str],
    training: Mapping[str, Any],
    tensors: Tensors,
) -> EncoderFolder:
    """Write an encoder folder and read it back, checked.

    Parameters
    ----------
    path : path
        Made when absent; other files in it stay.
    card : EncoderCard
        Its ``weights_sha256`` is filled in here.

    Raises
    ------
    UsageError
        Tags that are none, or a file larger than one that would be read: nothing is written then.
    StoreError, WeightsError
    """
    from safetensors.numpy import save

    path, kind, tags = Path(path), ARCHITECTURES[architecture], check_tags(tags)
    card = replace(card, weights_sha256=tensor_digest(kind.deciding(tensors)))
    facts: dict[str, Any] = {
        "format": FORMAT,
        "architecture": architecture,
        "card": card.to_json(),
        "tags": list(tags),
        "training": training,
    }
    if kind.said:
        facts["whole_sha256"] = _whole_sha256(tensors, tags)
    # the facts come last: a folder without them is no encoder yet
    contents = {WEIGHTS: save(dict(tensors)), FACTS: written(facts)}
    check_contents(contents, path)
    for name, content in contents.items():
        write_atomically(path / name, content)
    return open_folder(path)


def added_folder() -> Path:
    """Where `segue models add` keeps encoders: ``$SEGUE_HOME/encoders``."""
    return weights_folder().parent / "encoders"


def added(name: str) -> Path | None:
    """Folder of an added encoder; None where there is none of that name."""
    path = added_folder() / name
    return path if NAME.fullmatch(name) and (path / FACTS).is_file() else None


def check_base(name: str) -> None:
    """Refuse to embed the vectors of an embedding that embeds another encoder's.

    One embedding on another is as deep as it goes, or a folder could lead back to itself. Only
    the facts of an added folder are read; nothing is built.

    Parameters
    ----------
    name : str
        Of an encoder, with or without layers.

    Raises
    ------
    WeightsError

    Examples
    --------
    >>> check_base("random-convnet@13")
    """
    own = added(split_layers(name)[0])
    facts = read_facts(own) if own else None
    if facts is None or facts.architecture != "warp":
        return
    if deeper := JointSpec.of(facts.card).base:
        raise WeightsError(
            wanted="an encoder, or an embedding of log-mel frames, to embed the vectors of",
            got=f"{name}, which itself embeds the vectors of {deeper}",
            fix="Learn an embedding of the vectors of another encoder",
            source=own,
        )


def all_added() -> list[Path]:
    """Folders of the added encoders, by name."""
    root = added_folder()
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    return [path for path in map(added, names) if path]


def keep(folder: str | Path) -> EncoderFolder:
    """Copy an encoder folder to where its name alone finds it.

    Added again with other words (a corrected licence, other tags), its words are replaced.

    Raises
    ------
    WeightsError
        It is no encoder folder.
    UsageError
        Another encoder of that name was added before.
    StoreError
        It cannot be written.
    """
    there = open_folder(folder)
    target = added_folder() / there.card.name
    if target.exists():
        kept = open_folder(target)
        if kept.card.digest != there.card.digest:
            raise UsageError(
                wanted=f"a name that is free for {folder}",
                got=f"{there.card.name}, which is another encoder",
                fix="Remove that folder, or train with another --name",
                source=target,
            )
        return kept if kept.same_as(there) else _renewed(target, there.path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".adding-") as work:
            whole = Path(work) / "encoder"
            whole.mkdir()
            for name, content in _contents(there.path).items():
                (whole / name).write_bytes(content)
            open_folder(whole)
            whole.rename(target)
    except OSError as error:
        raise StoreError(
            wanted=f"to keep {there.card.name}",
            got=error.strerror or str(error),
            fix="Free space, make the folder writable, or set SEGUE_HOME to another",
            source=target,
        ) from error
    return open_folder(target)


def _renewed(target: Path, path: Path) -> EncoderFolder:
    """An added encoder with the words, labels and curve of another copy; features are the same."""
    contents = _contents(path)
    for name in (CURVE, WEIGHTS, FACTS):
        if name in contents:
            write_atomically(target / name, contents[name])
    return open_folder(target)


def _contents(path: Path) -> dict[str, bytes]:
    """Files of an encoder folder; a curve that is a link could lead to anything, and stays."""
    names = [WEIGHTS, FACTS]
    if (path / CURVE).is_file() and not (path / CURVE).is_symlink():
        names.append(CURVE)
    return {name: bounded(path / name) for name in names}


def packaged_folder(name: str) -> Path:
    """Folder of an encoder that comes with segue."""
    return Path(str(resources.files("segue.encoders").joinpath("pretrained", name)))


def is_packaged(name: str) -> bool:
    """Whether an encoder comes with segue as a folder."""
    return bool(NAME.fullmatch(name)) and (packaged_folder(name) / FACTS).is_file()


def packaged(name: str) -> Callable[..., Encoder]:
    """Builder, as the registry wants it, of an encoder that comes with segue."""

    def build(
        *, layers: tuple[int, ...] = (), chunks: int | None = 1, device: str = "cpu"
    ) -> Encoder:
        folder = open_folder(packaged_folder(name))
        return folder.build(layers=layers, chunks=chunks, device=device)

    return build
