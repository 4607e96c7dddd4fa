"""How well the labels of held-out clips are ranked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from segue.errors import UsageError
from segue.training.warp.network import JointEmbedding, memory
from segue.training.warp.sampling import LabelSet

Floats = NDArray[np.float32]
Scores = NDArray[np.float64]
Whole = NDArray[np.int64]

AT_ONCE = 2**22
"""Scores held at a time: 32 MB."""


class Clips(Protocol):
    """Frames of one data set's clips, as the front end gave them."""

    @property
    def counts(self) -> Whole:
        """Frames of each clip."""

    def frames(self, clip: int) -> Floats:
        """Frames (t, d) of one clip."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores of the label ranking of one data set's held-out clips.

    Attributes
    ----------
    average_precision : float
        Mean over the clips; ties count against them.
    first : float
        Share of the clips that carry the label ranked first.
    clips : int
        That were scored: those that lack a label at least.
    """

    average_precision: float
    first: float
    clips: int


class Holdout:
    """Held-out clips of one data set.

    The score of a label for a clip is its mean over the clip's frames. Without a hidden layer that
    is its score for the mean frame: frames are then read once, not once an epoch.

    Parameters
    ----------
    name : str
        Of the data set.
    clips : Clips
    labels : LabelSet
        In the same order.
    rows : integer array, optional
        The held-out ones of these clips; by default all. Those that carry every label are left out
        of the scores, as any ranking of theirs is right.

    Raises
    ------
    UsageError
        Clips and labels of different number, a clip without frames, or none that can be scored.
    """

    def __init__(
        self, name: str, clips: Clips, labels: LabelSet, rows: Whole | None = None
    ) -> None:
        self.name = name
        self.clips = clips
        self.labels = labels
        rows = np.arange(len(labels)) if rows is None else rows
        self.scored = np.setdiff1d(rows, labels.full)
        if len(clips.counts) != len(labels) or not (clips.counts[rows] > 0).all():
            raise UsageError(
                wanted=f"frames of each of {len(labels)} clips",
                got=f"{len(clips.counts)} clips, {np.sum(clips.counts <= 0)} without frames",
                fix="Extract the frames again",
                source=name,
            )
        if not len(self.scored):
            raise UsageError(
                wanted="validation clips that lack a label, so that labels can be ranked",
                got=f"{len(rows)} clips that carry all {labels.size}",
                fix="Leave the data set out, or name a column of other labels",
                source=name,
            )
        self._means: Floats | None = None

    def ranking(self, network: JointEmbedding, number: int) -> Ranking:
        """Scores under data set ``number`` of the network; NaN where a label's score is none."""
        places, W = self._places(network), memory(network.labels[number])
        precisions, first = [], []
        step = max(1, AT_ONCE // self.labels.size)
        for begin in range(0, len(self.scored), step):
            part = slice(begin, begin + step)
            scores = places[part].astype(np.float64) @ W.T
            if not np.isfinite(scores).all():
                return Ranking(math.nan, math.nan, len(self.scored))
            for line, clip in zip(scores, self.scored[part].tolist(), strict=True):
                carried = self.labels.carried(clip)
                precisions.append(average_precision(line, carried))
                first.append(line.argmax() in carried)
        return Ranking(float(np.mean(precisions)), float(np.mean(first)), len(self.scored))

    def _places(self, network: JointEmbedding) -> Floats:
        """Mean embeddings (scored, D)."""
        with torch.inference_mode():
            if network.hidden is None:
                if self._means is None:
                    self._means = np.stack([self._mean(clip) for clip in self.scored.tolist()])
                return memory(network(torch.from_numpy(self._means)))
            return np.stack(
                [
                    memory(network(torch.from_numpy(self._frames(clip))).mean(dim=0))
                    for clip in self.scored.tolist()
                ]
            )

    def _mean(self, clip: int) -> Floats:
        mean: Floats = self._frames(clip).mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    def _frames(self, clip: int) -> Floats:
        # torch wants memory it could write to; a map of a file is not
        return np.array(self.clips.frames(clip), dtype=np.float32)


def average_precision(scores: Scores, carried: Whole) -> float:
    """Mean over the carried labels of the share of carried ones among those ranked as high.

    Parameters
    ----------
    scores : (labels,) array
    carried : (n,) integer array

    Examples
    --------
    >>> round(average_precision(np.array([0.9, 0.1, 0.8, 0.2]), np.array([0, 3])), 3)
    0.833
    """
    above = np.sort(scores)
    own = np.sort(scores[carried])
    ranks = len(above) - np.searchsorted(above, own, side="left")
    own_ranks = len(own) - np.searchsorted(own, own, side="left")
    return float(np.mean(own_ranks / ranks))


def validate(network: JointEmbedding, holdouts: Sequence[Holdout | None]) -> dict[str, float]:
    """Scores of all data sets and their means, as the curve has them.

    Parameters
    ----------
    network : JointEmbedding
    holdouts : sequence of Holdout or None
        One for each data set of the network; None for one that is not judged.

    Returns
    -------
    mapping
        ``valid_map``, ``valid_p1``; for several data sets also ``valid_map_NAME`` and
        ``valid_p1_NAME``.
    """
    judged = [(number, one) for number, one in enumerate(holdouts) if one is not None]
    found = [(one.name, one.ranking(network, number)) for number, one in judged]
    scores = {
        "valid_map": float(np.mean([one.average_precision for _, one in found])),
        "valid_p1": float(np.mean([one.first for _, one in found])),
    }
    if len(found) > 1:
        for name, one in found:
            scores[f"valid_map_{name}"] = one.average_precision
            scores[f"valid_p1_{name}"] = one.first
    return scores
