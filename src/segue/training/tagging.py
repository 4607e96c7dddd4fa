"""The source task of Choi et al. 2017: a convnet learns to tag music by binary cross-entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segue.audio.frontends import FrontEnd
from segue.card import FrontEndSpec
from segue.encoders.convnet import MAPS, ConvNet
from segue.encoders.precision import full_float32
from segue.errors import SegueError, UsageError
from segue.seeds import generator
from segue.training.ahead import ahead
from segue.training.parallel import World
from segue.training.samples import PEAK, Clip

Scores = NDArray[np.float32]
Measure = Callable[[NDArray[np.float32], Scores], Mapping[str, float]]

SPREAD_DB = 40.0
"""How far above their median a training clip's loudest band may be: quiet and loud music lie well
within it, samples written at the scale of integers (90 dB) do not."""

AT_ONCE = 8
"""Clips of one batch outside training: what fits a processor's memory well."""


class Tagger(nn.Module):
    """The five-layer convnet with one logistic output per tag on its last layer.

    Frames (batch, 1360, 96) go in, logits (batch, tags) come out.

    Examples
    --------
    >>> Tagger(7)(torch.zeros(2, 1360, 96)).shape
    torch.Size([2, 7])
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.body = ConvNet()
        self.tags = nn.Linear(MAPS, tags)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits (batch, tags) of frames (batch, t, bins)."""
        logits: Tensor = self.tags(self.body.top(frames))
        return logits


def new_tagger(shares: NDArray[np.float64], *, seed: int) -> Tagger:
    """A network before training: it gives every clip about the shares of the tags.

    Kernels are drawn as He et al. 2015 do (normal, variance 2 / inputs); the output begins small
    and its bias at the log odds of each tag, so that the first steps need not learn those.

    Parameters
    ----------
    shares : (tags,) array
        Share of the training clips that carry each tag.
    seed : int

    Examples
    --------
    >>> new_tagger(np.array([0.5, 0.1]), seed=0).tags.bias.detach().round(decimals=2)
    tensor([ 0.0000, -2.2000])
    """
    network = Tagger(len(shares))
    draws = generator(seed, "tagger")
    with torch.no_grad():
        for name, values in network.named_parameters():
            if name.endswith("weight") and values.ndim > 1:
                gain = 2.0 if values.ndim == 4 else 0.1
                spread = np.sqrt(gain / values[0].numel())
                values.copy_(torch.from_numpy(draws.normal(0.0, spread, tuple(values.shape))))
            elif name.startswith("body.convolutions"):
                values.zero_()
        network.tags.bias.copy_(torch.from_numpy(np.log(shares / (1.0 - shares))))
    # innermost maps: half the time of a step on a CPU, and what tensor cores want
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


@dataclass(frozen=True, slots=True)
class Level:
    """The front end's 0 dB, and where it comes from.

    Attributes
    ----------
    reference_db : float
        Level of the loudest mel band of the training clips.
    median_db : float
        Of the clips' own loudest bands.
    path : str
    line : int
        The loudest clip's file, and its line in the manifest.
    """

    reference_db: float
    median_db: float
    path: str
    line: int

    def to_json(self) -> dict[str, Any]:
        """As a mapping of JSON's own types."""
        return asdict(self)


def loudest_band(
    clips: Sequence[Clip], spec: FrontEndSpec, size: int, device: torch.device
) -> Level:
    """Level of the loudest mel band of the clips.

    Measured once, on training clips, and frozen: a reference taken per batch would let a clip's
    features depend on its neighbours.

    Parameters
    ----------
    clips : sequence of Clip
    spec : FrontEndSpec
    size : int
        Samples heard from the start of each.
    device : torch.device

    Raises
    ------
    SegueError
        A clip that is not to the scale of the others: all else would lie on the floor below it.
    """
    front_end = FrontEnd(replace(spec, reference_db=0.0, floor_db=None)).to(device)
    found: list[float] = []
    with torch.inference_mode(), full_float32():
        for begin in range(0, len(clips), AT_ONCE):
            samples = _samples(clips[begin : begin + AT_ONCE], size)
            found += front_end(samples.on(device)).amax(dim=(1, 2)).tolist()
    levels = np.asarray(found)
    if not np.isfinite(levels).all():
        raise _no_scale(clips[int(np.isfinite(levels).argmin())])
    loudest = int(levels.argmax())
    track, median = clips[loudest].track, float(np.median(levels))
    if levels[loudest] > median + SPREAD_DB:
        raise _no_scale(
            clips[loudest],
            f" and a loudest band of {levels[loudest]:.0f} dB, which is more than {SPREAD_DB:g} dB "
            f"above the {median:.0f} dB of the training clips' median",
        )
    return Level(float(levels[loudest]), median, str(track.path), track.line)


def _no_scale(clip: Clip, more: str = "") -> SegueError:
    return SegueError(
        wanted="samples from -1 to 1, the scale of the others",
        got=f"a peak of {clip.scale * PEAK:.2g}{more}",
        fix="Write them to that scale, or leave the line out",
        source=f"{clip.track.path} (line {clip.track.line})",
    )


class Batch(NamedTuple):
    """Integers (batch, n) with a scale each, and the tags (batch, tags) they carry."""

    samples: Tensor
    scales: Tensor
    tags: Tensor

    def on(self, device: torch.device) -> Tensor:
        """Samples (batch, n) in float32 on a device."""
        return self.samples.to(device).float() * self.scales.to(device)[:, None]


def _samples(
    clips: Sequence[Clip],
    size: int,
    begins: Sequence[int] | None = None,
    tags: Scores | None = None,
) -> Batch:
    begins = [0] * len(clips) if begins is None else begins
    crops = [clip.crop(begin, size) for clip, begin in zip(clips, begins, strict=True)]
    return Batch(
        torch.from_numpy(np.stack(crops)),
        torch.tensor([clip.scale for clip in clips]),
        torch.from_numpy(np.empty((0, 0), np.float32) if tags is None else tags),
    )


def whole_batches(clips: int, batch: int, world: World) -> int:
    """Batches of an epoch.

    Raises
    ------
    UsageError
        A batch that the processes cannot share evenly, or larger than the training part.

    Examples
    --------
    >>> whole_batches(70, 16, World())
    4
    """
    if not 1 <= batch <= clips or batch % world.size:
        raise UsageError(
            wanted=f"a batch that {world.size} processes can share, of at most the "
            f"{clips} training clips",
            got=str(batch),
            fix="Choose another --batch",
        )
    return clips // batch


class TaggingLesson:
    """Training and validation clips of one tagging task, as the loop wants them.

    Every epoch takes the training clips in a new order and, of clips longer than the excerpt, a
    new random stretch; what is left after the last whole batch sits that epoch out. Validation
    hears what the encoder will hear in use: the first excerpt.

    Parameters
    ----------
    clips : sequence of Clip
    labels : (clips, tags) float32 array of 0/1
    train, valid : integer arrays
        Rows of the two parts.
    front_end : FrontEnd
        On the device of ``world``.
    size : int
        Samples of the excerpt.
    batch : int
        Training clips of a step, over all processes.
    measure : callable
        (truth, scores) -> named scores; the names get ``valid_`` before them.
    seed : int
    world : World
    readers : int
        Threads that read batches ahead.

    Raises
    ------
    UsageError
        A batch that the processes cannot share evenly, or larger than the training part.
    """

    def __init__(
        self,
        *,
        clips: Sequence[Clip],
        labels: NDArray[np.float32],
        train: NDArray[np.int64],
        valid: NDArray[np.int64],
        front_end: FrontEnd,
        size: int,
        batch: int,
        measure: Measure,
        seed: int,
        world: World,
        readers: int = 2,
    ) -> None:
        self.clips = clips
        self.labels = labels
        self.train = train
        self.valid = valid
        self.front_end = front_end
        self.size = size
        self.batch = batch
        self.measure = measure
        self.seed = seed
        self.world = world
        self.readers = readers
        self.steps = whole_batches(len(train), batch, world)

    def batches(self, epoch: int, skip: int) -> Iterator[Batch]:
        """This process's batches of an epoch, read ahead by threads."""
        order = self.train[generator(self.seed, "order", epoch).permutation(len(self.train))]
        places = generator(self.seed, "crops", epoch).random(len(self.train))

        def read(step: int) -> Batch:
            mine = slice(step * self.batch + self.world.rank, (step + 1) * self.batch)
            rows = order[mine][:: self.world.size]
            clips = [self.clips[row] for row in rows]
            spare = np.array([max(0, clip.length - self.size) for clip in clips])
            begins = (places[mine][:: self.world.size] * (spare + 1)).astype(int)
            return _samples(clips, self.size, begins.tolist(), self.labels[rows])

        return ahead(read, range(skip, self.steps), self.readers)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Binary cross-entropy, mean over clips and tags, in float32."""
        device = self.world.device
        # a spectrum in half precision would have no 80 dB of range
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            frames = self.front_end(batch.on(device))
        logits = network(frames).float()
        return functional.binary_cross_entropy_with_logits(logits, batch.tags.to(device))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Loss and scores on the validation part.

        Raises
        ------
        SegueError
            The network's weights have grown beyond all bounds.
        """
        logits = self.logits(network, self.valid)
        if not np.isfinite(logits).all():
            raise SegueError(
                wanted="finite scores of the validation tracks",
                got="NaN or infinity",
                fix="Use a lower --learning-rate, or --precision float32, in a new folder",
                source="training",
            )
        truth = self.labels[self.valid]
        loss = functional.binary_cross_entropy_with_logits(
            torch.from_numpy(logits).double(), torch.from_numpy(truth).double()
        )
        scores = self.measure(truth, logits)
        return {
            "valid_loss": float(loss),
            **{f"valid_{name}": float(value) for name, value in scores.items()},
        }

    def logits(self, network: nn.Module, rows: NDArray[np.int64]) -> Scores:
        """Logits (rows, tags) of the first excerpt of clips, in evaluation mode and float32.

        Processes share the rows; each gets all the logits.
        """
        world = self.world
        found = torch.zeros((len(rows), self.labels.shape[1]), device=world.device)
        begins = range(world.rank * AT_ONCE, len(rows), world.size * AT_ONCE)

        def read(begin: int) -> Batch:
            return _samples([self.clips[row] for row in rows[begin : begin + AT_ONCE]], self.size)

        network.eval()
        with torch.inference_mode(), full_float32():
            batches = ahead(read, begins, self.readers)
            for begin, batch in zip(begins, batches, strict=True):
                frames = self.front_end(batch.on(world.device))
                self._check_heard(frames, rows[begin : begin + AT_ONCE])
                found[begin : begin + AT_ONCE] = network(frames)
            logits: Scores = world.sum(found).cpu().numpy()
        return logits

    def _check_heard(self, frames: Tensor, rows: NDArray[np.int64]) -> None:
        """Refuse samples so large that their spectrum is no number: no setting could mend it."""
        heard = frames.isfinite().all(dim=2).all(dim=1).tolist()
        for row, finite in zip(rows, heard, strict=True):
            if not finite:
                raise _no_scale(self.clips[row])
