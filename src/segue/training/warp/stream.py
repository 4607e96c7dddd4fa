"""Frames on disk to shuffled batches: a data set larger than memory trains.

A pass over a data set cuts every clip in passages of at most 64 frames and puts them in random
order. Of the one sequence of frames that this makes, pool after pool is read from the memory maps
and shuffled whole: a batch holds frames of some hundred clips, and the disk is read by the passage,
not by the frame. Which frames are in batch b follows from the seed, the name and b alone.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.seeds import generator
from segue.training.clips import Clips, Frames, Integers, checked_rows

PASSAGE_FRAMES = 64  # about 1.5 s of hamel2013
POOL_FRAMES = 65536
POOL_BYTES = 64 * 2**20  # of one pool; wide frames make it shorter

Batch = tuple[Frames, Integers]


class Stream:
    """Endless passes over the frames of some clips, batch after batch, from any batch on.

    A pass delivers every frame once, but for those left over from the last whole batch: another
    few in every pass. A set with fewer frames than a batch is repeated up to one. While batches
    are used, a thread reads the next pool; two pools are in memory, of 64 MiB at most each.

    Parameters
    ----------
    clips : Clips
    rows : sequence of int
        Which clips.
    batch : int
        Frames a batch.
    seed, name
        What the order is drawn from.
    shift, scale : (width,)
        Frames x are delivered as (x - shift) * scale.
    pool_batches : int, optional
        Batches shuffled together; by default about 65,000 frames.

    Attributes
    ----------
    total : int
        Frames of these clips.
    per_pass : int
        Batches a pass.

    Raises
    ------
    UsageError
        No clips, or numbers that make no sense.
    """

    def __init__(
        self,
        clips: Clips,
        rows: Sequence[int] | Integers,
        *,
        batch: int,
        seed: int,
        name: str,
        shift: ArrayLike,
        scale: ArrayLike,
        pool_batches: int | None = None,
    ) -> None:
        if batch < 1 or (pool_batches is not None and pool_batches < 1):
            raise UsageError(
                wanted="batches of at least one frame, in pools of at least one batch",
                got=f"batch {batch}, pool_batches {pool_batches}",
                fix="Pass 1 or more",
            )
        self.clips = clips
        self.rows = checked_rows(clips, rows)
        self.batch, self.seed, self.name = batch, seed, name
        self.shift, self.scale = _vector(shift, clips.width), _vector(scale, clips.width)
        counts = clips.counts[self.rows]
        self.total = int(counts.sum())
        self.per_pass = max(1, self.total // batch)
        frames = min(POOL_FRAMES, POOL_BYTES // (4 * clips.width))
        self.pool_batches = min(pool_batches or max(1, frames // batch), self.per_pass)
        # passages are numbered through, clip after clip
        self.ends = np.cumsum(-(-counts // PASSAGE_FRAMES))

    def from_batch(self, b: int) -> Generator[Batch]:
        """Batches ``b``, ``b + 1``, ... without end; close it to end its thread.

        Yields
        ------
        X : (batch, width) float32 array
            The caller's own.
        clip : (batch,) int64 array
            Whose frames they are, as numbers of ``clips``.

        Raises
        ------
        StoreError
            A shard is damaged.
        """
        if b < 0:
            raise UsageError(wanted="a batch from 0 on", got=str(b), fix="Pass 0 or more")
        return self._batches(b)

    def _batches(self, b: int) -> Generator[Batch]:
        lap, batch = divmod(b, self.per_pass)
        pool, skip = divmod(batch, self.pool_batches)
        reader = _Reader(self, lap, pool)
        try:
            while True:
                filled = reader.next_pool()
                for begin in range(skip * self.batch, len(filled.order), self.batch):
                    chosen = filled.order[begin : begin + self.batch]
                    yield filled.frames.take(chosen, axis=0), filled.clip.take(chosen)
                reader.give_back(filled)
                skip = 0
        finally:
            reader.close()

    def lap(self, number: int) -> Lap:
        """The order of passages in pass ``number``."""
        draws = generator(self.seed, "frames", self.name, number)
        count = int(self.ends[-1])
        small = np.int32 if count < 2**31 else np.int64
        repeats = -(-self.batch // self.total) if self.total < self.batch else 1
        order = np.concatenate([draws.permutation(count).astype(small) for _ in range(repeats)])
        _, _, lengths = self.passages(order)
        return Lap(number, order, np.cumsum(lengths))

    def passages(self, numbers: NDArray[np.signedinteger]) -> tuple[Integers, Integers, Integers]:
        """Clip, first frame and length of passages."""
        row = np.searchsorted(self.ends, numbers, side="right")
        counts = self.clips.counts[self.rows[row]]
        firsts = self.ends[row] - -(-counts // PASSAGE_FRAMES)
        begins = (numbers - firsts) * PASSAGE_FRAMES
        return self.rows[row], begins, np.minimum(counts - begins, PASSAGE_FRAMES)

    def fill(self, lap: Lap, pool: int, frames: Frames) -> Pool:
        """Read a pool of a pass into ``frames``, in standard units, and draw its order."""
        size = self.pool_batches * self.batch
        begin, end = pool * size, min((pool + 1) * size, self.per_pass * self.batch)
        first = int(np.searchsorted(lap.ends, begin, side="right"))
        last = int(np.searchsorted(lap.ends, end, side="left"))
        clip, begins, lengths = self.passages(lap.order[first : last + 1])
        cut = begin - (int(lap.ends[first]) - int(lengths[0]))  # what the pool before it has
        begins[0] += cut
        lengths[0] -= cut
        lengths[-1] -= int(lap.ends[last]) - end
        # the pool is shuffled anyhow, so it may be read as it lies on the disk
        near = np.lexsort((self.clips.begins[clip] + begins, self.clips.shard_of[clip]))
        clip, begins, lengths = clip[near], begins[near], lengths[near]
        at = 0
        spots = zip(clip.tolist(), begins.tolist(), lengths.tolist(), strict=True)
        for one, start, length in spots:
            passage = frames[at : at + length]
            np.subtract(self.clips.passage(one, start, length), self.shift, out=passage)
            passage *= self.scale
            at += length
        draws = generator(self.seed, "frames", self.name, lap.number, pool)
        return Pool(frames, np.repeat(clip, lengths), draws.permutation(at))


@dataclass(frozen=True, slots=True, eq=False)
class Lap:
    """One pass: its passages in order, and where in its sequence of frames each of them ends."""

    number: int
    order: NDArray[np.signedinteger]
    ends: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Frames and whose they are, as read; ``order`` is how they are delivered."""

    frames: Frames
    clip: Integers
    order: Integers


class _Reader:
    """A thread that reads one pool ahead, into two buffers that go round."""

    def __init__(self, stream: Stream, lap: int, pool: int) -> None:
        self.stream = stream
        self.free: SimpleQueue[Frames | None] = SimpleQueue()
        self.full: SimpleQueue[Pool | BaseException] = SimpleQueue()
        self.closed = threading.Event()
        size = stream.pool_batches * stream.batch
        for _ in range(2):
            self.free.put(np.empty((size, stream.clips.width), np.float32))
        self.thread = threading.Thread(
            target=self._read, args=(lap, pool), name=f"frames of {stream.name}", daemon=True
        )
        self.thread.start()

    def next_pool(self) -> Pool:
        filled = self.full.get()
        if isinstance(filled, BaseException):
            raise filled
        return filled

    def give_back(self, pool: Pool) -> None:
        self.free.put(pool.frames)

    def close(self) -> None:
        self.closed.set()
        self.free.put(None)  # the thread may be waiting for a buffer
        # whatever thread is running may be the one that collects a forgotten iterator
        if threading.current_thread() is not self.thread:
            self.thread.join()

    def _read(self, lap: int, pool: int) -> None:
        try:
            for passage_order, number in self._pools(lap, pool):
                buffer = self.free.get()
                if buffer is None or self.closed.is_set():
                    return
                self.full.put(self.stream.fill(passage_order, number, buffer))
        except BaseException as error:  # raised again where the batches are asked for
            self.full.put(error)

    def _pools(self, lap: int, pool: int) -> Iterator[tuple[Lap, int]]:
        count = -(-self.stream.per_pass // self.stream.pool_batches)
        while True:
            order = self.stream.lap(lap)
            for number in range(pool, count):
                yield order, number
            lap, pool = lap + 1, 0


def _vector(values: ArrayLike, width: int) -> Frames:
    vector = np.ascontiguousarray(values, np.float32)
    if vector.shape != (width,) or not np.isfinite(vector).all():
        raise UsageError(
            wanted=f"{width} finite numbers to shift or scale by",
            got=f"shape {vector.shape}",
            fix="Pass one a dimension",
        )
    return vector
