"""Features of the segments of stored clips: what the transfer of Kim et al. 2018 learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from segue.encoders.dcnn import SEGMENT, Dcnn, begins, in_use, whole
from segue.encoders.precision import full_float32
from segue.training.clips import Clips, checked_rows

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Watch = Callable[[str, int, int], None]

AT_ONCE = 64
"""Segments of one batch outside training, at the most: what fits a processor's memory well."""

AT_ONCE_ON_GPU = 1024


def segment(clips: Clips, clip: int, begin: int) -> Floats:
    """Frames (43, bands) of a clip from ``begin`` on; a shorter clip is repeated."""
    return whole(clips.passage(clip, begin, min(SEGMENT, int(clips.counts[clip]))))


def segments_of(
    network: Dcnn,
    clips: Clips,
    rows: Sequence[int] | Whole,
    count: int | None = None,
    *,
    watch: Watch | None = None,
) -> tuple[Floats, Whole]:
    """Features of the segments of some clips.

    No batch has segments of two clips: which others are in a batch changes the last digits of a
    segment's features, so those of a clip would depend on the clips beside it.

    Parameters
    ----------
    network : Dcnn
        On its device; put in evaluation mode.
    clips : Clips
    rows : sequence of int
        Which clips.
    count : int, optional
        Segments of each, in the middle of equal parts of it; by default all that fit one after
        the other. A clip shorter than one is repeated up to one.
    watch : callable, optional
        Called with (what, done, total).

    Returns
    -------
    features : (n, dim) float32 array
    track_of : (n,) int64 array
        Whose segment each is: its place in ``rows``.

    Raises
    ------
    UsageError
        No clips, or numbers that are not there.
    StoreError
        A shard is damaged.
    """
    chosen = checked_rows(clips, rows)
    starts = [begins(int(clips.counts[clip]), count) for clip in chosen.tolist()]
    track_of = np.repeat(np.arange(len(chosen)), [len(one) for one in starts])
    features = np.empty((len(track_of), network.spec.dim), np.float32)
    device = network.shift.device
    step = AT_ONCE if device.type == "cpu" else AT_ONCE_ON_GPU
    in_use(network)
    with torch.inference_mode(), full_float32():
        done = 0
        for clip, begin_of in zip(chosen.tolist(), starts, strict=True):
            for first in range(0, len(begin_of), step):
                part = begin_of[first : first + step].tolist()
                frames = np.stack([segment(clips, clip, begin) for begin in part])
                found = network.features(torch.from_numpy(frames).to(device))
                features[done : done + len(part)] = found.cpu().numpy()
                done += len(part)
            if watch:
                watch("segments", done, len(track_of))
    return features, track_of
