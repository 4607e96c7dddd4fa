"""Decoding in worker processes, encoding here: for a device that many processes would fight for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait

import numpy as np

from segue.card import EncoderCard
from segue.encoders import Encoder
from segue.encoders.protocol import Samples, mean_vector
from segue.extraction.limits import MEGABYTE, Limits
from segue.extraction.serving import Say
from segue.extraction.supervisor import TICK, Batch, Done, Event, Said, Supervisor
from segue.extraction.worker import (
    Heard,
    Outcome,
    Task,
    Work,
    check_unchanged,
    chunk_size,
    failure_of,
    file_facts,
    key_of,
    noise,
    pieces,
    row_of,
)
from segue.store import Failure

CHUNKS = 32  # encoded together
HELD = 64 * MEGABYTE  # of decoded audio here, collected and submitted: few chunks of a high rate
SUBMITTED = 2  # batches: one is being encoded, one waits so that the device need not


@dataclass(slots=True)
class Gauge:
    """How the encoding side of :func:`run_apart` spent its time, filled while it runs.

    Attributes
    ----------
    busy, waited : float
        Seconds it encoded; seconds it had no decoded audio. Start-up is neither: it is counted
        from the first chunk that arrived.
    chunks, batches : int

    Examples
    --------
    >>> Gauge(busy=3.0, waited=1.0).idle_share
    0.25
    """

    busy: float = 0.0
    waited: float = 0.0
    chunks: int = 0
    batches: int = 0

    @property
    def idle_share(self) -> float:
        """Share of the time that encoding waited for audio; 0 before anything was encoded."""
        total = self.busy + self.waited
        return self.waited / total if total else 0.0


def run_apart(
    tasks: Iterable[Task],
    recipe: Work[Encoder],
    encoder: Encoder,
    *,
    workers: int,
    limits: Limits | None = None,
    chunks: int = CHUNKS,
    gauge: Gauge | None = None,
) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks: decoded in worker processes, encoded here in batches meanwhile.

    Features and failures are those of :func:`segue.extraction.pool.run_here`; a track that
    crashes, stops or swells the process that decodes it costs itself alone, as in
    :func:`segue.extraction.pool.run_pool`. A long file arrives chunk by chunk and is never in
    memory as a whole.

    Parameters
    ----------
    tasks : iterable of Task
        Taken from as workers need them.
    recipe : Work
        Of which ``encoder`` is built.
    encoder : Encoder
        On the device; workers know its card alone.
    workers : int
        Processes that hash, decode, check and cut, of one thread each.
    limits : Limits, optional
        As for :func:`segue.extraction.pool.run_pool`.
    chunks : int
        Encoded together at most, of whatever tracks they are; fewer where three times as many
        take more than 64 MB of samples.
    gauge : Gauge, optional
        Filled with how long encoding was busy and how long it waited.

    Raises
    ------
    UsageError, SegueError
        As :func:`segue.extraction.pool.run_pool`.

    Examples
    --------
    >>> from segue.extraction.worker import Recipe
    >>> list(run_apart([], Recipe("mfcc"), Recipe("mfcc").build(), workers=2))
    []
    """
    limits = limits or Limits()
    limits.check()
    card = encoder.card
    bytes_of_one = chunk_size(card) * np.dtype(np.float32).itemsize
    chunks = max(1, min(chunks, HELD // ((SUBMITTED + 1) * bytes_of_one)))
    held = 0
    if limits.memory is not None:  # what this process takes is measured after it has encoded
        recipe.warm(encoder)
        held = (SUBMITTED + 2) * chunks * bytes_of_one  # once more, as the encoder stacks them
    desk = _Desk(encoder, chunks, gauge or Gauge())
    crew = Supervisor(_Decoding(card), tasks, workers=workers, limits=limits, held=held)
    with desk, crew:
        while (decoding := crew.busy()) or not desk.idle():
            events: list[Event] = []
            if decoding and desk.room():
                events = crew.step(wake=[desk.bell], room=desk.room())
            else:
                wait([desk.bell], TICK)  # those who decode wait until there is room
            desk.take(events)
            if outcomes := desk.finished():
                yield outcomes
            desk.submit(pressing=not decoding)


@dataclass(frozen=True, slots=True)
class _Decoding:
    """The way from file to chunks, done in a worker that knows no more than the card."""

    card: EncoderCard

    def build(self) -> EncoderCard:
        return self.card

    def warm(self, card: EncoderCard) -> None:
        noise(chunk_size(card))

    def perform(self, tasks: Sequence[Task], card: EncoderCard, say: Say) -> Heard | Failure:
        (task,) = tasks
        facts = file_facts(task.track)
        try:
            stream = pieces(task.track, facts, key_of(task, facts), card)
            while True:
                try:
                    samples = next(stream)
                except StopIteration as end:
                    check_unchanged(task.track, facts)
                    heard: Heard = end.value
                    return heard
                say(samples.tobytes())
        except Exception as error:
            return failure_of(facts, error)


@dataclass(eq=False, slots=True)
class _Clip:
    """A track on its way: chunks that came, vectors that are made of them."""

    came: int = 0
    void: bool = False  # it failed: what is still to be encoded of it need not be
    vectors: list[Samples] = field(default_factory=list)
    problem: Exception | None = None
    heard: Heard | None = None  # known when the last chunk has come

    def outcome(self) -> Outcome | None:
        """Its row or failure, once it is complete."""
        if self.heard is None:
            return None
        if self.problem is not None:
            return failure_of(self.heard.facts, self.problem)
        if len(self.vectors) < self.came:
            return None
        return row_of(self.heard, mean_vector(np.stack(self.vectors)))


Chunk = tuple[_Clip, Samples]


class _Desk:
    """Where chunks are collected into batches, and their vectors put together again."""

    def __init__(self, encoder: Encoder, size: int, gauge: Gauge) -> None:
        self.encoder = encoder
        self.size = size
        self.gauge = gauge
        self.clips: dict[Batch, _Clip] = {}
        self.waiting: deque[Chunk] = deque()
        self.flying: deque[tuple[list[_Clip], Future[list[Samples | Exception]]]] = deque()
        self.outcomes: list[Outcome] = []
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="segue-encoding")
        self.bell, self.rope = Pipe(duplex=False)
        self.since = 0.0  # when encoding was last done with what it had

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.thread.shutdown(wait=True, cancel_futures=True)
        self.bell.close()
        self.rope.close()

    def idle(self) -> bool:
        return not self.waiting and not self.flying

    def room(self) -> int:
        """Chunks that may come before some have been submitted."""
        return max(0, self.size - len(self.waiting))

    def take(self, events: Sequence[Event]) -> None:
        """What workers sent: chunks, the ends of tracks, and tracks that broke off."""
        for event in events:
            if isinstance(event, Said):
                clip = self.clips.setdefault(event.batch, _Clip())
                clip.came += 1
                self.since = self.since or time.monotonic()
                # a copy, since torch wants arrays that could be written to
                self.waiting.append((clip, np.frombuffer(event.what, np.float32).copy()))
            else:
                clip = self.clips.pop(event.batch, _Clip())
                end = event.result if isinstance(event, Done) else event.failure
                if isinstance(end, Heard):
                    clip.heard = end
                    self._settle(clip)
                else:
                    clip.void = True
                    self.outcomes += [] if end is None else [end]

    def submit(self, *, pressing: bool) -> None:
        """Hand chunks to the encoder: full batches; fewer when no more come or it has none."""
        while len(self.flying) < SUBMITTED and self.waiting:
            if len(self.waiting) < self.size and self.flying and not pressing:
                return
            some = [self.waiting.popleft() for _ in range(min(self.size, len(self.waiting)))]
            some = [(clip, samples) for clip, samples in some if not clip.void]
            if some:
                clips = [clip for clip, _ in some]
                future = self.thread.submit(self._encode, [samples for _, samples in some])
                future.add_done_callback(lambda _: self.rope.send_bytes(b"."))
                self.flying.append((clips, future))

    def finished(self) -> list[Outcome]:
        """Outcomes since the last call."""
        while self.bell.poll():
            self.bell.recv_bytes()
        while self.flying and self.flying[0][1].done():
            clips, future = self.flying.popleft()
            for clip, vector in zip(clips, future.result(), strict=True):
                if isinstance(vector, Exception):
                    clip.problem = clip.problem or vector
                else:
                    clip.vectors.append(vector)
                self._settle(clip)
        outcomes, self.outcomes = self.outcomes, []
        return outcomes

    def _settle(self, clip: _Clip) -> None:
        if clip.void:
            return
        outcome = clip.outcome()
        if outcome is not None:
            clip.void = True
            self.outcomes.append(outcome)

    def _encode(self, chunks: list[Samples]) -> list[Samples | Exception]:
        """Vectors of chunks; in the place of one that the encoder cannot take, its error."""
        began = time.monotonic()
        vectors = _vectors(chunks, self.encoder)
        ended = time.monotonic()
        self.gauge.waited += max(0.0, began - self.since)
        self.gauge.busy += ended - began
        self.gauge.chunks += len(chunks)
        self.gauge.batches += 1
        self.since = ended
        return vectors


def _vectors(chunks: list[Samples], encoder: Encoder) -> list[Samples | Exception]:
    try:
        return list(encoder.encode_chunks(chunks))
    except Exception as error:
        if len(chunks) == 1:
            return [error]
        return [one for chunk in chunks for one in _vectors([chunk], encoder)]
