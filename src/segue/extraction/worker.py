"""One file to one row: hash, decode, check, encode. The same function for every engine."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from segue.audio import Audio, check_samples, stream
from segue.audio.codecs import decoder_of
from segue.card import EncoderCard
from segue.datasets import Track
from segue.encoders import Encoder, encoder
from segue.encoders.protocol import Samples, Vectors, counts, fit_length, mean_vector, split
from segue.errors import AudioError, ChangedAudioError, UnreadableAudioError
from segue.seeds import generator
from segue.store import Failure, FileFacts, Row, content_key

log = logging.getLogger(__name__)

HASH_BLOCK = 2**20
BLOCK_SECONDS = 60.0  # decoded between two signs of life

Built = TypeVar("Built")


@dataclass(frozen=True, slots=True)
class Task:
    """A track to embed.

    Attributes
    ----------
    track : Track
    sha256 : str or None
        Of its content, where that is known already.
    facts : FileFacts or None
        Of the file before it was hashed: the hash holds for that file only.
    """

    track: Track
    sha256: str | None = None
    facts: FileFacts | None = None


Outcome = Row | Failure


class Work(Protocol[Built]):
    """What a worker process is sent: how to build what it works with, and what to do with it."""

    @property
    def device(self) -> str:
        """``"cpu"`` or a torch device."""

    def build(self) -> Built:
        """What stays in the process, built once."""

    def process(self, tasks: Sequence[Task], encoder: Built, /) -> list[Outcome]:
        """One outcome a task; a bad track becomes a failure, never an exception."""

    def warm(self, encoder: Built, /) -> None:
        """Take once the memory that an ordinary track takes, so that it can be measured."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a worker needs to build its encoder."""

    name: str
    layers: tuple[int, ...] | None = None
    chunks: int | None = 1
    device: str = "cpu"

    def build(self) -> Encoder:
        """The encoder, as :func:`segue.encoders.encoder` makes it."""
        return encoder(self.name, layers=self.layers, chunks=self.chunks, device=self.device)

    def process(self, tasks: Sequence[Task], encoder: Encoder) -> list[Outcome]:
        """Features of some tracks, as :func:`process` makes them."""
        return process(tasks, encoder)

    def warm(self, encoder: Encoder) -> None:
        """Encode a chunk of noise."""
        encoder.encode_chunks([noise(chunk_size(encoder.card))])


_alive: Callable[[], None] | None = None


def on_beat(tell: Callable[[], None] | None) -> None:
    """Have every :func:`beat` of this process told."""
    global _alive
    _alive = tell


def beat() -> None:
    """Say that work goes on, to whoever supervises this process; else nothing.

    Called for every block that is read and every chunk that is decoded: a long file may take its
    time, but a process that does not come back from a decoder is ended.
    """
    if _alive is not None:
        _alive()


def chunk_size(card: EncoderCard) -> int:
    """Samples of a full chunk."""
    return round(card.excerpt.seconds * card.rate)


def noise(size: int) -> Samples:
    """So many samples (n,) of noise: what stands for a track where only its cost matters."""
    return generator(0, "warm").normal(0.0, 0.1, size).astype(np.float32)


def file_facts(track: Track) -> FileFacts:
    """Place of a track, size and time of its file; -1 where it cannot even be looked at."""
    try:
        status = track.path.stat()
        size, mtime_ns = status.st_size, status.st_mtime_ns
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        size = mtime_ns = -1
    return FileFacts(
        id=track.id,
        path=_absolute(track.path),
        line=track.line,
        bytes=size,
        mtime_ns=mtime_ns,
        start=track.start,
        duration=track.duration,
    )


def _absolute(path: Path) -> str:
    """As os.path.abspath (resolve() would follow links), which takes most of a look at a track."""
    text = os.fspath(path)
    plain = text.startswith("/") and ".." not in text and not text.startswith("//")
    return text if plain else os.path.abspath(text)  # noqa: PTH100


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks; of those it had when it was opened.

    Raises
    ------
    UnreadableAudioError
        When the file cannot be opened or read, or is a pipe or device, which may never end.
    """
    state = hashlib.sha256()
    try:
        # not blocking: opening a pipe nobody writes to would wait for ever
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableAudioError(
                    wanted="a readable audio file",
                    got="a pipe, socket or device, not a regular file",
                    fix="Save the audio to a file",
                    source=path,
                )
            left = status.st_size  # one that grows faster than it is read would have no end
            while block := file.read(min(left, HASH_BLOCK)):
                state.update(block)
                left -= len(block)
                beat()
    except (OSError, ValueError) as error:
        raise UnreadableAudioError(
            wanted="a readable audio file",
            got=getattr(error, "strerror", None) or str(error),
            fix="Check that the file is there, is no folder or circular link, and may be read",
            source=path,
        ) from error
    return state.hexdigest()


def key_of(task: Task, facts: FileFacts) -> str:
    """Content key of a track whose file is as ``facts`` say; hashed here unless that was done.

    Raises
    ------
    UnreadableAudioError
        As :func:`content_hash`.
    """
    hashed = task.facts is not None and task.facts.same_file(facts)
    sha256 = task.sha256 if hashed and task.sha256 else content_hash(task.track.path)
    return content_key(sha256, facts.start, facts.duration)


def check_unchanged(track: Track, facts: FileFacts) -> None:
    """Refuse a file that was written to since: its hash may be of other bytes than its samples.

    Raises
    ------
    ChangedAudioError
        The next run tries it again by itself.
    """
    if not file_facts(track).same_file(facts):
        raise ChangedAudioError(
            wanted="a file that stays as it is while it is read",
            got="one that was changed meanwhile",
            fix="Run the same command again when it is whole",
            source=track.path,
        )


def process(tasks: Sequence[Task], encoder: Encoder) -> list[Outcome]:
    """Embed some tracks; a bad one becomes a :class:`Failure`, never an exception.

    Single-chunk clips are encoded together, which a GPU needs; each one's features depend on it
    alone, whatever it shares the batch with.
    """
    outcomes: dict[int, Outcome] = {}
    batch: list[tuple[int, Heard, Samples]] = []
    for position, task in enumerate(tasks):
        facts = file_facts(task.track)
        try:
            key = key_of(task, facts)
            if encoder.card.excerpt.chunks == 1:
                audio, samples = _first_chunk(task.track, encoder.card)
                check_unchanged(task.track, facts)
                batch.append((position, Heard.of(facts, key, audio), samples))
            else:
                heard, vectors = chunk_vectors(task.track, facts, key, encoder)
                check_unchanged(task.track, facts)
                outcomes[position] = row_of(heard, mean_vector(vectors))
        except Exception as error:
            outcomes[position] = failure_of(facts, error)
    outcomes.update(_encode_batch(batch, encoder))
    return [outcomes[position] for position in range(len(tasks))]


def features_of(path: Path, encoder: Encoder) -> Samples:
    """Features (dim,) of one file, for a query rather than a store.

    Raises
    ------
    AudioError
        The file cannot be used.
    """
    track = Track(str(path), path, 0.0, None, 0)
    if encoder.card.excerpt.chunks == 1:
        return mean_vector(encoder.encode_chunks([_first_chunk(track, encoder.card)[1]]))
    return mean_vector(chunk_vectors(track, file_facts(track), "", encoder)[1])


@dataclass(frozen=True, slots=True)
class Heard:
    """A decoded track: its facts, key, what its file was and what decoded it, the length heard."""

    facts: FileFacts
    key: str
    source_rate: int
    source_channels: int
    seconds: float
    decoder: str = ""

    @classmethod
    def of(cls, facts: FileFacts, key: str, audio: Audio, seconds: float | None = None) -> Heard:
        """What audio says of its file; it is all that was heard, or its beginning."""
        heard = audio.seconds if seconds is None else seconds
        if audio.info is None:
            return cls(facts, key, audio.rate, 1, heard)
        info = audio.info
        return cls(facts, key, info.rate, info.channels, heard, decoder_of(info))


def opening(track: Track, *, rate: int, seconds: float | None, min_seconds: float) -> Audio:
    """The first ``seconds`` of a track (None: all of it), refused when silent or too short."""
    lengths = [length for length in (seconds, track.duration) if length is not None]
    duration = min(lengths) if lengths else None
    blocks = []
    for block in stream(
        track.path,
        rate=rate,
        start=track.start,
        duration=duration,
        block_seconds=min(duration or BLOCK_SECONDS, BLOCK_SECONDS),
    ):
        beat()
        blocks.append(block)
    samples = blocks[0].samples  # there is one, or it would have been refused
    if len(blocks) > 1:
        samples = np.concatenate([block.samples for block in blocks])
    audio = replace(blocks[0], samples=samples)
    check_samples(audio, min_seconds=min_seconds)
    return audio


def _first_chunk(track: Track, card: EncoderCard) -> tuple[Audio, Samples]:
    excerpt = card.excerpt
    audio = opening(track, rate=card.rate, seconds=excerpt.seconds, min_seconds=excerpt.min_seconds)
    return audio, split(audio.samples, audio.rate, excerpt)[0]


def _encode_batch(
    batch: Sequence[tuple[int, Heard, Samples]], encoder: Encoder
) -> dict[int, Outcome]:
    try:
        if not batch:
            return {}
        vectors = encoder.encode_chunks([samples for _, _, samples in batch])
        return {
            position: row_of(heard, vector)
            for (position, heard, _), vector in zip(batch, vectors, strict=True)
        }
    except Exception as error:
        if len(batch) == 1:
            position, heard, _ = batch[0]
            return {position: failure_of(heard.facts, error)}
        # find the one that the encoder cannot take; the others keep their features
        alone = [_encode_batch([item], encoder) for item in batch]
        return {position: outcome for one in alone for position, outcome in one.items()}


def chunk_vectors(
    track: Track, facts: FileFacts, key: str, encoder: Encoder
) -> tuple[Heard, Vectors]:
    """Vectors (chunks, dim) of consecutive chunks, decoded and encoded block by block."""
    vectors: list[Samples] = []
    stream = pieces(track, facts, key, encoder.card)
    while True:
        try:
            samples = next(stream)
        except StopIteration as end:
            return end.value, np.stack(vectors)
        vectors.append(encoder.encode_chunks([samples])[0])


def pieces(
    track: Track, facts: FileFacts, key: str, card: EncoderCard
) -> Generator[Samples, None, Heard]:
    """The chunks of a track as an encoder takes them, one after the other; then what was heard.

    The rule (``docs/explanation/chunking.md``): chunks follow each other without a gap from the
    start of the track; a last one shorter than half is left out, unless it is the only one.

    Raises
    ------
    AudioError
        It cannot be decoded to its end, is silent or too short: chunks before that are void.
    """
    excerpt, rate = card.excerpt, card.rate
    if excerpt.chunks == 1:
        audio, samples = _first_chunk(track, card)
        yield samples
        return Heard.of(facts, key, audio)
    size = chunk_size(card)
    limit = None if excerpt.chunks is None else excerpt.seconds * excerpt.chunks
    lengths = [length for length in (limit, track.duration) if length is not None]
    blocks = stream(
        track.path,
        rate=rate,
        start=track.start,
        duration=min(lengths) if lengths else None,
        block_seconds=excerpt.seconds,
    )
    first = next(blocks)  # there is one: a file without samples is refused when it is opened
    if len(first.samples) < excerpt.min_seconds * rate:
        check_samples(first, min_seconds=excerpt.min_seconds)
    heard, silent = 0, True
    for block in chain([first], blocks):
        beat()
        silent = silent and not block.samples.any()
        if heard and not counts(len(block.samples), size):
            break
        heard += len(block.samples)
        yield fit_length(block.samples, size, excerpt)
    if silent:
        check_samples(first, min_seconds=excerpt.min_seconds)
    return Heard.of(facts, key, first, heard / rate)


def row_of(heard: Heard, features: Samples) -> Outcome:
    """The row of what was heard; a failure where its features are not finite."""
    if not np.isfinite(features).all():
        reason = f"{int((~np.isfinite(features)).sum())} features are not finite"
        return Failure(facts=heard.facts, stage="features", reason=reason)
    return Row(
        facts=heard.facts,
        key=heard.key,
        source_rate=heard.source_rate,
        source_channels=heard.source_channels,
        seconds=heard.seconds,
        features=features,
        decoder=heard.decoder,
    )


def failure_of(facts: FileFacts, error: Exception) -> Failure:
    """What an error means for the file it happened with."""
    if isinstance(error, AudioError):
        return Failure(facts=facts, stage=error.stage, reason=str(error))
    # not foreseen: still only this file's loss, but with its traceback for whoever mends it
    log.error("unexpected error with %s", facts.path, exc_info=error)
    return Failure(facts=facts, stage="unexpected", reason=f"{type(error).__name__}: {error}")
