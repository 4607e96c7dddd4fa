"""The training loop: epochs, early stopping, checkpoints. Any learner, any task.

Whatever is random is drawn from (seed, epoch, step, process) and nothing else, so there is no
generator's state to keep: a run that was killed and goes on makes the same steps, bit for bit on a
CPU with the same number of threads.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

import torch
from torch import nn

from segue.encoders.precision import full_float32
from segue.errors import SegueError, UsageError
from segue.training import checkpoint
from segue.training.parallel import World

log = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "float16"]
Point = dict[str, float]
Watch = Callable[[str, int, int], None]
B = TypeVar("B")
Given = TypeVar("Given", covariant=True)
Taken = TypeVar("Taken", contravariant=True)

MAX_RATE = 1e30
"""Steps of more are no numbers in single precision."""

SAVE_SECONDS = 300.0
"""Within an epoch, too, no more work than this is lost."""


class Lesson(Protocol[Given]):
    """What the loop must know of a task.

    Attributes
    ----------
    steps : int
        Batches of an epoch.
    """

    steps: int

    def batches(self, epoch: int, skip: int) -> Iterator[Given]:
        """This process's batches of an epoch from ``skip`` on: a function of the epoch alone."""

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Scores of the network on held-out data, the same on every process."""


class Learner(Protocol[Taken]):
    """A network and the way it learns from a batch."""

    @property
    def network(self) -> nn.Module:
        """Its state is kept, and that of the best epoch restored in place at the end."""

    def step(self, batch: Taken, *, epoch: int, step: int) -> float:
        """Learn from one batch; the mean loss before, over all processes.

        Whatever is random is drawn from the seed, ``epoch`` and ``step`` alone.
        """

    def tensors(self) -> checkpoint.Tensors:
        """What learning goes on with beyond the network: the optimiser's state."""

    def facts(self) -> dict[str, Any]:
        """The same, as far as it is JSON."""

    def restore(self, tensors: checkpoint.Tensors, facts: Mapping[str, Any]) -> None:
        """Go back to what these two said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to train; together with the data this fixes the curve.

    Attributes
    ----------
    epochs : int
        The most there will be.
    learning_rate : float
        Of the learner's steps, constant.
    patience : int
        Epochs without a better score after which training stops.
    stop_on : str
        The score that decides, among those of the lesson; smaller is better for a loss.
    precision : {"float32", "bfloat16", "float16"}
        Of the network's arithmetic in training; weights and validation stay in float32.
    seed : int

    Raises
    ------
    UsageError
        Numbers that make no sense, or an unknown precision.
    """

    epochs: int = 60
    learning_rate: float = 1e-3
    patience: int = 12
    stop_on: str = "valid_auc"
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience) < 1:
            raise UsageError(
                wanted="one epoch at least",
                got=f"--epochs {self.epochs}, --patience {self.patience}",
                fix="Raise them",
            )
        if not 0.0 < self.learning_rate <= MAX_RATE:
            raise UsageError(
                wanted=f"a learning rate above 0, of at most {MAX_RATE:g}",
                got=str(self.learning_rate),
                fix="Choose another --learning-rate",
            )
        if self.precision not in get_args(Precision):
            raise UsageError(
                wanted=f"one of {', '.join(get_args(Precision))}",
                got=repr(self.precision),
                fix="Choose another --precision",
            )

    def better(self, new: float, old: float) -> bool:
        """Whether one value of ``stop_on`` is better than another.

        Examples
        --------
        >>> Settings(stop_on="valid_loss").better(0.1, 0.2)
        True
        """
        return new < old if self.stop_on.endswith("loss") else new > old


@dataclass(slots=True)
class Position:
    """How far a run has come.

    Attributes
    ----------
    epoch : int
        Being worked on, from 1.
    step : int
        Batches of it that are done.
    loss_sum : float
        Of those batches.
    seconds : float
        Spent on it.
    best_epoch : int
        0 before the first validation.
    curve : list of mapping
        One point per finished epoch.
    """

    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    curve: list[Point] = field(default_factory=list)

    def finished(self, settings: Settings) -> bool:
        """Whether nothing is left to do."""
        done = len(self.curve)
        return done >= settings.epochs or done - self.best_epoch >= settings.patience


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The end of a run.

    Attributes
    ----------
    curve : list of mapping
        One point per epoch: ``epoch``, ``train_loss``, the lesson's scores, ``seconds``.
    best_epoch : int
        Whose weights the network now has.
    """

    curve: list[Point]
    best_epoch: int


def train(
    learner: Learner[B],
    lesson: Lesson[B],
    settings: Settings,
    *,
    path: Path,
    world: World | None = None,
    watch: Watch | None = None,
    tell: Callable[[list[Point]], None] | None = None,
) -> Trained:
    """Train; run again with the same arguments, it goes on where it stopped.

    Parameters
    ----------
    learner : Learner
        Its network is changed in place; at the end it has the weights of the best epoch.
    lesson : Lesson
    settings : Settings
    path : Path
        The checkpoint, read if it is there.
    world : World, optional
        The processes that train together; by default this one alone.
    watch : callable, optional
        Called with (what, done, total) at every step; the total is that of all epochs there may
        be.
    tell : callable, optional
        Called by the main process with the curve after every epoch.

    Raises
    ------
    SegueError
        The loss is no finite number any more; the last checkpoint is kept.
    WeightsError
        The checkpoint is damaged or another network's.

    Examples
    --------
    >>> import tempfile
    >>> class Double:
    ...     steps = 1
    ...     def batches(self, epoch, skip):
    ...         return iter([torch.ones(4, 1)] * (1 - skip))
    ...     def loss(self, network, batch):
    ...         return (network(batch) - 2 * batch).square().mean()
    ...     def validate(self, network):
    ...         return {"valid_loss": float(self.loss(network, torch.ones(1, 1)))}
    >>> from segue.training.gradient import GradientLearner
    >>> settings = Settings(epochs=50, learning_rate=0.1, stop_on="valid_loss")
    >>> learner = GradientLearner(nn.Linear(1, 1), Double(), settings)
    >>> path = Path(tempfile.mkdtemp()) / "checkpoint.safetensors"
    >>> done = train(learner, Double(), settings, path=path)
    >>> done.curve[done.best_epoch - 1]["valid_loss"] < 0.01
    True
    """
    world = world or World()
    run = _Run(learner, settings, world, path)
    run.restore()
    with full_float32():
        while not run.position.finished(settings):
            point = run.epoch(lesson, watch)
            run.close_epoch(point)
            if tell and world.main:
                tell(run.position.curve)
    checkpoint.restore_network(run.network, run.best, source=path)
    return Trained(run.position.curve, run.position.best_epoch)


class _Run(Generic[B]):
    """A learner with its position and its best weights so far."""

    def __init__(self, learner: Learner[B], settings: Settings, world: World, path: Path) -> None:
        self.learner = learner
        self.network = learner.network
        self.settings = settings
        self.world = world
        self.path = path
        self.position = Position()
        self.best: checkpoint.Tensors = {}
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Go back to the checkpoint, where there is one."""
        if not self.path.exists():
            return
        tensors, facts = checkpoint.load(self.path)
        network = checkpoint.below("network", tensors)
        checkpoint.restore_network(self.network, network, source=self.path)
        self.learner.restore(checkpoint.below("learner", tensors), facts["learner"])
        self.best = checkpoint.below("best", tensors)
        self.position = Position(**facts["position"])

    def save(self) -> None:
        """Write the checkpoint (the main process does)."""
        self.saved = time.monotonic()
        if self.world.main:
            tensors = {
                **checkpoint.prefixed("network", self.network.state_dict()),
                **checkpoint.prefixed("best", self.best),
                **checkpoint.prefixed("learner", self.learner.tensors()),
            }
            facts = {"position": asdict(self.position), "learner": self.learner.facts()}
            checkpoint.save(self.path, tensors, facts)

    def epoch(self, lesson: Lesson[B], watch: Watch | None) -> Point:
        """The rest of the current epoch, and its point of the curve."""
        here, began = self.position, time.monotonic() - self.position.seconds
        for batch in lesson.batches(here.epoch, here.step):
            loss = self.learner.step(batch, epoch=here.epoch, step=here.step)
            if not math.isfinite(loss):
                raise self.diverged(loss)
            here.loss_sum += loss
            here.step += 1
            if watch:
                done = (here.epoch - 1) * lesson.steps + here.step
                watch("training", done, self.settings.epochs * lesson.steps)
            if here.step < lesson.steps and time.monotonic() - self.saved >= SAVE_SECONDS:
                here.seconds = time.monotonic() - began
                self.check_weights()
                self.save()
        self.world.agree(self.network)
        self.network.eval()
        with torch.inference_mode():
            scores = lesson.validate(self.network)
        seconds = round(time.monotonic() - began, 2)
        train_loss = here.loss_sum / lesson.steps
        return {"epoch": here.epoch, "train_loss": train_loss, **scores, "seconds": seconds}

    def check_weights(self) -> None:
        """Refuse to keep weights that the last step has spoilt; its loss was that of before."""
        if not all(bool(torch.isfinite(one).all()) for one in self.network.state_dict().values()):
            raise self.diverged(math.nan)

    def close_epoch(self, point: Point) -> None:
        """Add a point to the curve, keep the weights if they are the best, and save."""
        here, name = self.position, self.settings.stop_on
        if name not in point:
            raise UsageError(
                wanted=f"{name}, by which the best epoch is chosen",
                got=f"only {', '.join(point)} after an epoch",
                fix="Give validation data that it can be computed of, or stop on another score",
                source="training",
            )
        if not math.isfinite(point[name]):
            raise self.diverged(point[name])
        best = here.curve[here.best_epoch - 1][name] if here.best_epoch else None
        here.curve.append(point)
        if best is None or self.settings.better(point[name], best):
            here.best_epoch = here.epoch
            self.best = {
                key: values.detach().clone() for key, values in self.network.state_dict().items()
            }
        best_now = " (best so far)" if here.best_epoch == here.epoch else ""
        log.info("epoch %d: %s %.4f%s", here.epoch, name, point[name], best_now)
        here.epoch, here.step, here.loss_sum, here.seconds = here.epoch + 1, 0, 0.0, 0.0
        self.save()

    def diverged(self, value: float) -> SegueError:
        """What to say of a loss, a score or weights that are no numbers any more."""
        here = self.position
        kept = "the last checkpoint is kept" if self.path.exists() else "nothing was saved yet"
        exact = self.settings.precision == "float32"
        return SegueError(
            wanted="a finite loss",
            got=f"{value} in epoch {here.epoch}, step {here.step + 1} ({kept})",
            fix=f"Use a lower --learning-rate{'' if exact else ', or --precision float32'}, in a "
            "new folder",
            source="training",
        )
