"""Small data sets of frames, and models, for the tests of the joint embedding."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from segue.encoders.joint import JointSpec
from segue.seeds import generator
from segue.training.warp.network import JointEmbedding, new_embedding
from segue.training.warp.sampling import LabelSet

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


def network(
    inputs: int = 6, sizes: Sequence[int] = (5,), *, dimensions: int = 4, hidden: int = 0
) -> JointEmbedding:
    spec = JointSpec(inputs=inputs, dimensions=dimensions, hidden=hidden)
    shift, scale = np.zeros(inputs, np.float32), np.ones(inputs, np.float32)
    return new_embedding(spec, sizes, shift=shift, scale=scale, seed=3)


class MemoryClips:
    """Frames of clips, as the store gives them."""

    def __init__(self, frames: Sequence[Floats]) -> None:
        self.all = list(frames)
        self.counts = np.array([len(one) for one in frames], dtype=np.int64)

    @property
    def width(self) -> int:
        return self.all[0].shape[1]

    def frames(self, clip: int) -> Floats:
        return self.all[clip]


class MemoryStream:
    """Shuffled batches of the frames of clips, pass after pass."""

    def __init__(self, clips: MemoryClips, batch: int, seed: int) -> None:
        self.X = np.concatenate(clips.all)
        self.of = np.repeat(np.arange(len(clips.counts)), clips.counts)
        self.batch = batch
        self.seed = seed
        self.open = 0

    def from_batch(self, b: int) -> Generator[tuple[Floats, Whole]]:
        per_pass = len(self.X) // self.batch
        self.open += 1
        try:
            while True:
                order = generator(self.seed, "pass", b // per_pass).permutation(len(self.X))
                begin = b % per_pass * self.batch
                rows = order[begin : begin + self.batch]
                yield self.X[rows], self.of[rows]
                b += 1
        finally:
            self.open -= 1


def music(
    size: int, *, clips: int = 40, width: int = 6, most: int = 1, seed: int = 0
) -> tuple[MemoryClips, LabelSet]:
    """Clips whose frames lie around the sum of the places of the labels they carry."""
    draws = generator(seed, "music", size)
    places = 2.0 * draws.standard_normal((size, width))
    carried = [
        draws.choice(size, draws.integers(1, most + 1), replace=False).tolist()
        for _ in range(clips)
    ]
    frames = [
        (places[one].sum(axis=0) + draws.standard_normal((draws.integers(5, 12), width))).astype(
            np.float32
        )
        for one in carried
    ]
    return MemoryClips(frames), LabelSet.of(carried, size=size)
