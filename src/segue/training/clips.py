"""Frames of clips where they lie on disk: what networks learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.errors import SegueError, UsageError
from segue.store import FrameTable, Stored

MOMENT_FRAMES = 256  # in double precision these stay in a processor's cache

Frames = NDArray[np.float32]
Integers = NDArray[np.int64]


class Clips:
    """The frames of one data set's clips, where they lie in a table.

    Parameters
    ----------
    table : FrameTable
    rows : sequence of Stored
        One a clip, as ``table.contents()`` and ``table.find`` give them.

    Attributes
    ----------
    counts : (clips,) int64 array
        Frames of each clip.
    width : int
        Numbers per frame.
    """

    def __init__(self, table: FrameTable, rows: Sequence[Stored]) -> None:
        self.table = table
        self.rows = tuple(rows)
        self.width = table.kind.width
        spans = table.spans(self.rows)
        self.begins, self.counts = spans[:, 0], spans[:, 1]
        self.shards = sorted({row.shard for row in self.rows})
        places = {path: place for place, path in enumerate(self.shards)}
        self.shard_of = np.array([places[row.shard] for row in self.rows], np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def frames(self, clip: int) -> Frames:
        """Frames (t, width) of a clip: a read-only view of the file.

        Raises
        ------
        StoreError
            Its shard is damaged.
        """
        return self.passage(clip, 0, int(self.counts[clip]))

    def passage(self, clip: int, begin: int, length: int) -> Frames:
        """``length`` frames of a clip from ``begin`` on: a read-only view of the file."""
        begin += int(self.begins[clip])
        return self.table.shard(self.shards[self.shard_of[clip]])[begin : begin + length]


def moments(
    clips: Clips, rows: Sequence[int] | Integers | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (width,) and standard deviation (width,) over all frames of some clips.

    One pass; means and sums of squares of short blocks are joined by the formula of Chan et al., so
    that nothing is lost to cancellation. A dimension that never changes has deviation 1: standard
    units leave it at 0.

    Parameters
    ----------
    clips : Clips
    rows : sequence of int, optional
        Which clips; all by default.

    Raises
    ------
    SegueError
        A frame is not finite; names the clip.
    UsageError
        No clips.

    References
    ----------
    Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983, equation 2.1.
    """
    chosen = checked_rows(clips, range(len(clips)) if rows is None else rows)
    count, mean, squares = 0, np.zeros(clips.width), np.zeros(clips.width)
    for clip in chosen.tolist():
        frames = clips.frames(clip)
        for begin in range(0, len(frames), MOMENT_FRAMES):
            block = frames[begin : begin + MOMENT_FRAMES].astype(np.float64)
            with np.errstate(invalid="ignore"):  # infinity less infinity; told below
                middle = block.mean(axis=0)
                block -= middle
                spread = np.einsum("ij,ij->j", block, block)
            if not np.isfinite(spread).all():
                raise _not_finite(clips, clip)
            step = middle - mean
            total = count + len(block)
            mean += step * (len(block) / total)
            squares += spread + step**2 * (count * len(block) / total)
            count = total
    deviation = np.sqrt(squares / count)
    return mean, np.where(deviation > 0.0, deviation, 1.0)


def checked_rows(clips: Clips, rows: Sequence[int] | Integers) -> Integers:
    """Numbers of clips as an array.

    Raises
    ------
    UsageError
        None, or numbers of clips that are not there.
    """
    chosen = np.asarray(rows, np.int64)
    if chosen.ndim != 1 or not len(chosen) or chosen.min() < 0 or chosen.max() >= len(clips):
        raise UsageError(
            wanted=f"numbers of clips, at least one, from 0 to {len(clips) - 1}",
            got=f"{len(chosen)} from {chosen.min()} to {chosen.max()}" if chosen.size else "none",
            fix="Choose clips that are there",
        )
    return chosen


def _not_finite(clips: Clips, clip: int) -> SegueError:
    frames = clips.frames(clip)
    row = clips.rows[clip]
    return SegueError(
        wanted="finite frames",
        got=f"{int((~np.isfinite(frames)).sum())} numbers that are not, of {row.facts.path}",
        fix="The shard was changed after it was written: remove it and extract again",
        source=row.shard,
    )
