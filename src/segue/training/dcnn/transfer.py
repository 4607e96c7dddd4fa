"""The classifier of Kim et al. 2018 over features of segments: one hidden layer, much dropout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from segue.encoders.dcnn import dropped
from segue.encoders.precision import full_float32
from segue.encoders.protocol import checked_device
from segue.errors import SegueError, UsageError
from segue.seeds import generator
from segue.training.dcnn.network import OUTPUT_GAIN, draw_normal
from segue.training.gradient import GradientLearner
from segue.training.loop import Settings
from segue.training.parallel import World

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Heard = Literal["one", "all"]

AT_ONCE = 4096
"""Segments that are judged, or looked at, at a time."""


class SegmentMLP:
    """One hidden layer of ELU over segments; a track gets the mean of its segments' probabilities.

    Dropout of the inputs and of the hidden layer, softmax, cross entropy, Adam (section 3.2.3).
    Weights begin as He et al. 2015 draw them, biases at 0.

    Parameters
    ----------
    hidden : int
        Units of the hidden layer.
    dropout : float
        Share of inputs, and of hidden units, that a step leaves out.
    epochs : int
    batch : int
        Segments of a step; fewer where there are fewer tracks.
    learning_rate : float
    segments : {"one", "all"}
        What an epoch hears: one random segment of every track, as the networks do in their own
        training, or every segment there is.
    standardise : bool
        Whether inputs are put in standard units first; the paper does not.
    seed : int
    device : str

    Attributes
    ----------
    classes_ : (classes,) array
        Labels, sorted: what the columns of the probabilities stand for.
    network_ : Module
    mean_, scale_ : (dim,) float32 arrays
        Of the standard units; 0 and 1 where there are none.

    Examples
    --------
    >>> segments = np.float32([[-1], [-2], [1], [2], [-1.5], [1.5]])
    >>> heard = SegmentMLP(hidden=16, epochs=40).fit(segments, [0, 0, 1, 1, 2, 3], ["a", "b"] * 2)
    >>> heard.predict(np.float32([[-2], [-1], [3]]), [0, 0, 1]).tolist()
    ['a', 'b']
    """

    def __init__(
        self,
        *,
        hidden: int = 1024,
        dropout: float = 0.5,
        epochs: int = 50,
        batch: int = 64,
        learning_rate: float = 1e-3,
        segments: Heard = "one",
        standardise: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.hidden = hidden
        self.dropout = dropout
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.segments = segments
        self.standardise = standardise
        self.seed = seed
        self.device = device

    def fit(self, segments: Floats, track_of: ArrayLike, labels: ArrayLike) -> Self:
        """Learn from segments of labelled tracks.

        Parameters
        ----------
        segments : (n, dim) float32 array
        track_of : (n,) integer array
            Whose segment each is: 0 to tracks - 1, each of them at least once.
        labels : (tracks,) array

        Raises
        ------
        UsageError
            A track without segments, one class alone, features that are not finite.
        SegueError
            The weights have grown beyond all bounds.

        Notes
        -----
        All that is random comes from the seed; torch's generators are left as they were.
        """
        world = World(device=checked_device(self.device))
        self._check()
        X, tracks = _checked(segments, track_of)
        named = np.asarray(labels)
        if named.shape != (tracks.max() + 1,):
            raise UsageError(
                wanted=f"a label for each of {tracks.max() + 1} tracks",
                got=f"shape {named.shape}",
                fix="Give one label a track, and segments of every track",
            )
        self.classes_, codes = np.unique(named, return_inverse=True)
        if len(self.classes_) < 2:
            raise UsageError(
                wanted="tracks of two classes at least",
                got=f"all {len(named)} of {self.classes_[0]!r:.80}",
                fix="Give tracks of other classes too",
            )
        self.mean_, self.scale_ = _units(X) if self.standardise else _no_units(X)
        gpus = range(torch.cuda.device_count() if world.device.type == "cuda" else 0)
        with torch.random.fork_rng(gpus), full_float32():
            self._learn(X, tracks, codes.astype(np.int64), world)
        return self

    def predict_proba(self, segments: Floats, track_of: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (tracks, classes), averaged over each track's segments.

        Parameters
        ----------
        segments, track_of
            As :meth:`fit` takes them.

        Raises
        ------
        UsageError
            Segments of another width, features that are not finite, a track without segments.
        SegueError
            The weights that were learned are so large that they say nothing.
        """
        X, tracks = _checked(segments, track_of)
        if X.shape[1] != len(self.mean_):
            raise UsageError(
                wanted=f"segments of {len(self.mean_)} features",
                got=str(X.shape[1]),
                fix="Use the features that it was taught with",
            )
        device = next(self.network_.parameters()).device
        self.network_.eval()
        sums = np.zeros((tracks.max() + 1, len(self.classes_)))
        with torch.inference_mode(), full_float32():
            for begin in range(0, len(X), AT_ONCE):
                part = torch.from_numpy(X[begin : begin + AT_ONCE]).to(device)
                logits = self.network_(self._standard(part))
                likely = logits.double().softmax(dim=1).cpu().numpy()
                np.add.at(sums, tracks[begin : begin + AT_ONCE], likely)
        if not np.isfinite(sums).all():
            raise _diverged("NaN for some segments")
        means: NDArray[np.float64] = sums / np.bincount(tracks)[:, None]
        return means

    def predict(self, segments: Floats, track_of: ArrayLike) -> NDArray[Any]:
        """Likeliest class (tracks,) of each track; as :meth:`predict_proba`."""
        found: NDArray[Any] = self.classes_[self.predict_proba(segments, track_of).argmax(axis=1)]
        return found

    def _learn(self, X: Floats, tracks: Whole, codes: Whole, world: World) -> None:
        settings = Settings(epochs=self.epochs, learning_rate=self.learning_rate, seed=self.seed)
        learner = GradientLearner(self._network(X.shape[1]), _Entropy(), settings, world)
        self.network_ = learner.network
        inputs = torch.from_numpy(X).to(world.device)
        classes = torch.from_numpy(codes[tracks]).to(world.device)
        for epoch in range(1, self.epochs + 1):
            for step, chosen in enumerate(self._batches(tracks, epoch)):
                rows = torch.from_numpy(chosen).to(world.device)
                batch = (self._standard(inputs[rows]), classes[rows])
                if not math.isfinite(learner.step(batch, epoch=epoch, step=step)):
                    raise _diverged(f"a loss that is no number in epoch {epoch}")
        if not all(bool(torch.isfinite(one).all()) for one in self.network_.parameters()):
            raise _diverged("weights that are not, after the last step")

    def _network(self, inputs: int) -> nn.Sequential:
        network = nn.Sequential(
            Dropout(self.dropout),
            nn.Linear(inputs, self.hidden),
            nn.ELU(),
            Dropout(self.dropout),
            nn.Linear(self.hidden, len(self.classes_)),
        )
        with torch.no_grad():
            for name, values in network.named_parameters():
                if values.ndim > 1:
                    gain = OUTPUT_GAIN if name.startswith("4.") else 2.0
                    draw_normal(values, gain, self.seed, "transfer", name)
                else:
                    values.zero_()
        return network

    def _batches(self, tracks: Whole, epoch: int) -> Iterator[Whole]:
        """Segments of every step of an epoch."""
        draws = generator(self.seed, "transfer", epoch)
        if self.segments == "all":
            order = draws.permutation(len(tracks))
        else:
            by_track = np.argsort(tracks, kind="stable")
            counts = np.bincount(tracks)
            firsts = np.cumsum(counts) - counts
            which = np.floor(draws.random(len(counts)) * counts).astype(np.int64)
            order = by_track[firsts + which][draws.permutation(len(counts))]
        for begin in range(0, len(order), self.batch):
            yield order[begin : begin + self.batch]

    def _standard(self, X: Tensor) -> Tensor:
        if not self.standardise:
            return X
        mean, scale = (torch.from_numpy(one).to(X.device) for one in (self.mean_, self.scale_))
        return (X - mean) * scale

    def _check(self) -> None:
        counts = min(self.hidden, self.epochs, self.batch)
        if counts < 1 or not 0.0 <= self.dropout < 1.0 or self.segments not in get_args(Heard):
            raise UsageError(
                wanted="a unit, an epoch and a segment a batch at least, dropout from 0 to below "
                f"1, and segments of {' or '.join(get_args(Heard))}",
                got=f"hidden={self.hidden}, epochs={self.epochs}, batch={self.batch}, "
                f"dropout={self.dropout}, segments={self.segments!r:.80}",
                fix="Choose others",
            )


class Dropout(nn.Module):
    """See :func:`segue.encoders.dcnn.dropped`."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """The values, some of them 0 in training."""
        return dropped(values, self.share) if self.training and self.share else values


class _Entropy:
    """Cross entropy of classes."""

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(network(batch[0]), batch[1])


def _units(X: Floats) -> tuple[Floats, Floats]:
    """Mean and 1 / deviation (dim,) of features, in double precision but a block at a time."""
    blocks = [X[begin : begin + AT_ONCE] for begin in range(0, len(X), AT_ONCE)]
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / len(X)
    squares = sum(((block - mean) ** 2).sum(axis=0) for block in blocks)
    deviation = np.sqrt(squares / len(X))
    scale = 1.0 / np.where(deviation > 0.0, deviation, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _no_units(X: Floats) -> tuple[Floats, Floats]:
    return np.zeros(X.shape[1], np.float32), np.ones(X.shape[1], np.float32)


def _diverged(got: str) -> SegueError:
    return SegueError(
        wanted="finite losses, weights and probabilities",
        got=got,
        fix="Use a lower learning rate",
        source="transfer",
    )


def _checked(segments: Floats, track_of: ArrayLike) -> tuple[Floats, Whole]:
    """Segments (n, dim) and whose they are (n,), as arrays to compute with."""
    X, whose = np.ascontiguousarray(segments, np.float32), np.asarray(track_of)
    fits = X.ndim == 2 and len(X) > 0 and whose.shape == X.shape[:1] and whose.dtype.kind in "iu"
    blocks = range(0, len(X), AT_ONCE)
    odd = sum(int((~np.isfinite(X[begin : begin + AT_ONCE])).sum()) for begin in blocks)
    if not fits or odd or whose.min() < 0:
        raise UsageError(
            wanted="finite features (segments, dim), and the number of a track for each segment",
            got=f"shape {X.shape} with {odd} numbers that are not finite, "
            f"and {whose.shape} of {whose.dtype}",
            fix="Pass what segments_of gives",
        )
    numbers, tracks = np.unique(whose, return_inverse=True)
    gaps = np.flatnonzero(numbers != np.arange(len(numbers)))
    if len(gaps):
        raise UsageError(
            wanted="segments of every track",
            got=f"none of track {int(gaps[0])}",
            fix="Number the tracks from 0 on, leaving out those without segments",
        )
    return X, tracks.astype(np.int64)
