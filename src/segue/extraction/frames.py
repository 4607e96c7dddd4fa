"""Frames of tracks: what the embedding of Hamel et al. 2013 learns from, before any pooling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from segue.card import ExcerptSpec, FrontEndSpec
from segue.datasets import Manifest, Track
from segue.encoders import Encoder, encoder
from segue.encoders.protocol import Samples, Vectors, checked_device
from segue.encoders.registry import is_registered
from segue.errors import InvalidSamplesError, UsageError
from segue.extraction.run import FillReport, Progress, fill
from segue.extraction.worker import (
    Heard,
    Outcome,
    Task,
    check_unchanged,
    chunk_size,
    chunk_vectors,
    failure_of,
    file_facts,
    key_of,
    noise,
    opening,
    row_of,
)
from segue.store import FileFacts, FrameKind, FrameTable

VERSION = 1  # raised whenever the same inputs would give other frames
SECONDS = 30.0  # heard of a clip (Hamel et al. 2013, section 4)
MIN_SECONDS = ExcerptSpec(seconds=SECONDS).min_seconds  # as for the encoders


class FrameMaker(ABC):
    """A track to frames (t, width), bound to a kind; the frames depend on that track alone."""

    kind: FrameKind

    @abstractmethod
    def hear(self, track: Track, facts: FileFacts, key: str) -> tuple[Heard, Vectors]:
        """What was heard of a track, and its frames (t, width).

        Raises
        ------
        AudioError
            It cannot be decoded, is silent or too short.
        """

    @abstractmethod
    def warm(self) -> None:
        """Take once the memory that an ordinary track takes."""


class FrontEndFrames(FrameMaker):
    """Frames of a front end over the start of a track.

    Parameters
    ----------
    name : str
        Of ``segue.audio.frontends.PRESETS``.
    seconds : float or None
        How much is heard from the start; None: the whole track, decoded at once.
    device : str
    """

    def __init__(self, name: str, *, seconds: float | None = SECONDS, device: str = "cpu") -> None:
        from segue.audio.frontends import FrontEnd, preset

        spec = preset(name)
        self.seconds = seconds
        self.device = device
        self.front_end = FrontEnd(spec).to(checked_device(device)).eval()
        facts = {"version": VERSION, "seconds": seconds, "front_end": _changed(spec)}
        self.kind = FrameKind(name, spec.bins, facts)

    def hear(self, track: Track, facts: FileFacts, key: str) -> tuple[Heard, Vectors]:
        rate = self.front_end.spec.rate
        audio = opening(track, rate=rate, seconds=self.seconds, min_seconds=MIN_SECONDS)
        return Heard.of(facts, key, audio), self._frames(audio.samples)

    def warm(self) -> None:
        size = round((self.seconds or SECONDS) * self.front_end.spec.rate)
        self._frames(noise(size))

    def _frames(self, samples: Samples) -> Vectors:
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(samples))[None].to(self.device)
            frames = self.front_end(batch)[0].float().cpu().numpy()
        return np.ascontiguousarray(frames)


class EncoderFrames(FrameMaker):
    """The vectors of an encoder, one a chunk, in the place of frames.

    Parameters
    ----------
    encoder : Encoder
        Its card says how many chunks are heard.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        card = encoder.card
        facts = {"version": VERSION, "encoder": card.label, "card": card.digest}
        self.kind = FrameKind(card.label, card.dim, facts)

    def hear(self, track: Track, facts: FileFacts, key: str) -> tuple[Heard, Vectors]:
        return chunk_vectors(track, facts, key, self.encoder)

    def warm(self) -> None:
        self.encoder.encode_chunks([noise(chunk_size(self.encoder.card))])


def _changed(spec: FrontEndSpec) -> dict[str, str | int | float | None]:
    """Fields that differ from their default: one added later leaves the digest as it was."""
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    defaults = {field.name: field.default for field in fields(spec)}
    return {name: value for name, value in values.items() if value != defaults[name]}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEndRecipe:
    """What a worker needs to build :class:`FrontEndFrames`."""

    name: str
    seconds: float | None = SECONDS
    device: str = "cpu"

    def build(self) -> FrameMaker:
        """The maker of frames."""
        return FrontEndFrames(self.name, seconds=self.seconds, device=self.device)

    def process(self, tasks: Sequence[Task], maker: FrameMaker) -> list[Outcome]:
        """Frames of some tracks; a bad one becomes a failure."""
        return process_frames(tasks, maker)

    def warm(self, maker: FrameMaker) -> None:
        """Take once the memory that an ordinary track takes."""
        maker.warm()


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRecipe:
    """What a worker needs to build :class:`EncoderFrames`."""

    name: str
    layers: tuple[int, ...] | None = None
    chunks: int | None = None
    device: str = "cpu"

    def build(self) -> FrameMaker:
        """The maker of frames."""
        return EncoderFrames(
            encoder(self.name, layers=self.layers, chunks=self.chunks, device=self.device)
        )

    def process(self, tasks: Sequence[Task], maker: FrameMaker) -> list[Outcome]:
        """Frames of some tracks; a bad one becomes a failure."""
        return process_frames(tasks, maker)

    def warm(self, maker: FrameMaker) -> None:
        """Take once the memory that an ordinary track takes."""
        maker.warm()


FrameRecipe = FrontEndRecipe | VectorRecipe


def frame_recipe(
    name: str,
    *,
    layers: Sequence[int] | None = None,
    chunks: int | None = None,
    seconds: float | None = SECONDS,
    device: str = "cpu",
) -> FrameRecipe:
    """The recipe that a name means: a front end, or any encoder.

    Parameters
    ----------
    name : str
        ``"hamel2013"`` or another front end of ``segue.audio.frontends.PRESETS``; else an encoder
        as :func:`segue.encoders.encoder` takes it. Where one name is both ("mfcc"), the encoder.
    layers : sequence of int, optional
        Of an encoder.
    chunks : int or None
        Of an encoder: chunks heard from the start; None: the whole track.
    seconds : float or None
        Of a front end: what is heard from the start; None: the whole track.
    device : str

    Examples
    --------
    >>> frame_recipe("hamel2013").build().kind.width
    200
    >>> frame_recipe("random-convnet", layers=[2]).build().kind.label
    'random-convnet@2'
    """
    from segue.audio.frontends import PRESETS

    if seconds is not None and not seconds >= MIN_SECONDS:
        raise UsageError(
            wanted=f"at least {MIN_SECONDS:g} seconds to hear",
            got=str(seconds),
            fix="Ask for more, or for the whole track",
        )
    if name not in PRESETS or is_registered(name):
        asked = None if layers is None else tuple(layers)
        return VectorRecipe(name=name, layers=asked, chunks=chunks, device=device)
    if layers is not None:
        raise UsageError(
            wanted=f"no layers for the front end {name}",
            got=str(list(layers)),
            fix="Drop the layers",
        )
    return FrontEndRecipe(name=name, seconds=seconds, device=device)


def process_frames(tasks: Sequence[Task], maker: FrameMaker) -> list[Outcome]:
    """Frames of some tracks; a bad one becomes a failure, never an exception."""
    outcomes: list[Outcome] = []
    for task in tasks:
        facts = file_facts(task.track)
        try:
            made = row_of(*maker.hear(task.track, facts, key_of(task, facts)))
            check_unchanged(task.track, facts)
            outcomes.append(made)
        except Exception as error:
            outcomes.append(failure_of(facts, error))
    return outcomes


def frames_of(path: Path, maker: FrameMaker) -> Vectors:
    """Frames (t, width) of one file, for a query rather than a store.

    Raises
    ------
    AudioError
        The file cannot be used.
    """
    track = Track(str(path), path, 0.0, None, 0)
    frames = maker.hear(track, file_facts(track), "")[1]
    if not np.isfinite(frames).all():
        raise InvalidSamplesError(
            wanted="finite frames",
            got=f"{int((~np.isfinite(frames)).sum())} numbers that are not",
            fix="Check the file: it may be far beyond full scale",
            source=path,
        )
    return frames


def extract_frames(
    manifest: Manifest,
    table: FrameTable,
    recipe: FrameRecipe,
    *,
    maker: FrameMaker | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> FillReport:
    """Write the frames of a manifest's tracks to a table; run again, it goes on where it stopped.

    Parameters
    ----------
    manifest : Manifest
    table : FrameTable
        Of the recipe's kind: ``FrameTable.open_or_create(store, recipe.build().kind)``.
    recipe : FrameRecipe
    maker : FrameMaker, optional
        What the recipe builds, when it is built already.
    workers, retry_failed, progress
        As in :func:`segue.extraction.extract`.

    Raises
    ------
    UsageError
        The table is of other frames than the recipe's.
    StoreError, SegueError, KeyboardInterrupt
        As :func:`segue.extraction.extract`.

    Examples
    --------
    >>> import tempfile, soundfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(0, 0.1, 22050), 22050)
    >>> recipe = frame_recipe("hamel2013")
    >>> table = FrameTable.open_or_create(folder / "store", recipe.build().kind)
    >>> manifest = Manifest.from_rows([{"path": str(folder / "a.wav")}])
    >>> extract_frames(manifest, table, recipe, workers=1).computed
    1
    >>> table.frames(table.contents().usable()[0]).shape
    (44, 200)
    """
    maker = maker or recipe.build()
    if maker.kind.digest != table.kind.digest:
        raise UsageError(
            wanted=f"the table of {maker.kind.folder}",
            got=table.kind.folder,
            fix="Open or create the table with the kind of this recipe",
            source=table.folder,
        )
    return fill(
        manifest,
        table,
        recipe,
        encoder=maker,
        workers=workers,
        retry_failed=retry_failed,
        progress=progress,
    )
