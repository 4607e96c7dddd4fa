"""Data sets taking turns, batch by batch, as the loop wants them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from segue.errors import UsageError
from segue.training.warp.learner import Step
from segue.training.warp.network import JointEmbedding
from segue.training.warp.validation import Holdout, validate

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]

STRETCH = 256
"""SGD steps that the loop sees as one: 20 MB of frames of the paper's size, a tenth of a second."""


class Stream(Protocol):
    """Batches of one data set's training frames, pass after pass, for ever."""

    def from_batch(self, b: int) -> Generator[Batch]:
        """Batches b, b + 1, ...: standardised frames (batch, d), and the clip of each (batch,).

        Arrays that were given stay as they are while others are asked for.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """One data set to learn from.

    Attributes
    ----------
    number : int
        Of its label table in the network.
    stream : Stream
    frames : int
        Training frames there are.
    """

    number: int
    stream: Stream
    frames: int


class WarpLesson:
    """Frames of one or more data sets, which take strict turns (Hamel et al. 2013, section 5).

    Step t of a run is taken on data set t modulo K, with that data set's batch t // K. A small
    data set is thus heard more often than a large one. An epoch is as many steps as all the
    frames fill; the loop sees stretches of them.

    Parameters
    ----------
    sources : sequence of Source
    holdouts : sequence of Holdout or None
        One for each label table of the network.
    batch : int
        Frames of a step, as the streams give them.
    stretch : int
        Steps that the loop takes at once: it saves, and can be stopped, between them.

    Attributes
    ----------
    steps : int
        Stretches of an epoch.
    sgd_steps : int
        Steps of an epoch.

    Raises
    ------
    UsageError
        No data set, nothing to judge by, or frames that do not fill a batch.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        holdouts: Sequence[Holdout | None],
        *,
        batch: int = 100,
        stretch: int = STRETCH,
    ) -> None:
        frames = sum(one.frames for one in sources)
        if not sources or not any(holdouts) or frames < batch:
            raise UsageError(
                wanted=f"data sets with {batch} training frames, and validation clips",
                got=f"{len(sources)} data sets with {frames}, "
                f"{sum(one is not None for one in holdouts)} with validation clips",
                fix="Give more, or a smaller --batch",
            )
        self.sources = list(sources)
        self.holdouts = list(holdouts)
        self.stretch = stretch
        self.sgd_steps = frames // batch
        self.steps = -(-self.sgd_steps // stretch)

    def batches(self, epoch: int, skip: int) -> Iterator[list[Step]]:
        """Stretches of an epoch from ``skip`` on."""
        first = (epoch - 1) * self.sgd_steps
        begin, end = first + skip * self.stretch, first + self.sgd_steps
        with ExitStack() as opened:
            streams = []
            for turn, source in enumerate(self.sources):
                batch = -(-(begin - turn) // len(self.sources))
                stream = opened.enter_context(closing(source.stream.from_batch(batch)))
                streams.append((source.number, stream))
            for step in range(begin, end, self.stretch):
                yield [
                    self._step(*streams[one % len(streams)])
                    for one in range(step, min(step + self.stretch, end))
                ]

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """``valid_map`` and more, see :func:`~segue.training.warp.validation.validate`."""
        if not isinstance(network, JointEmbedding):
            raise TypeError(f"a JointEmbedding is judged here, not a {type(network).__name__}")
        return validate(network, self.holdouts)

    @staticmethod
    def _step(number: int, stream: Iterator[Batch]) -> Step:
        X, clips = next(stream)
        return Step(number, X, clips)
