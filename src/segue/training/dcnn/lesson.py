"""Several tasks taught in turn: seconds of tracks, and the shares that each is to be given."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from segue.encoders.dcnn import SEGMENT, begins
from segue.encoders.precision import full_float32
from segue.errors import SegueError, UsageError
from segue.seeds import generator
from segue.training.ahead import ahead
from segue.training.clips import Clips, checked_rows
from segue.training.dcnn.features import AT_ONCE, segment
from segue.training.dcnn.settings import DcnnSettings
from segue.training.parallel import World

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

ROUNDING = 1e-3
"""How far from 1 the shares of a track may add up."""

NOTHING = 1e-9
"""Nats: where the best constant is no worse than the truth, there is nothing to learn."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What one network, or one output layer, is to say of tracks.

    Attributes
    ----------
    name : str
        As in the :class:`~segue.encoders.dcnn.DcnnSpec`.
    shares : (tracks, outputs) float32 array
        Of the outputs in each track: 0 or more, adding up to 1. One of them 1 is a class.
    known : (tracks,) boolean array
        Which tracks have such a target; the rows of the others are not read.

    Raises
    ------
    UsageError
        Shares that are none.

    Examples
    --------
    >>> genres = Task("g", np.eye(3, dtype=np.float32), np.array([True, True, False]))
    >>> genres.outputs, genres.one_hot
    (3, True)
    """

    name: str
    shares: Floats
    known: NDArray[np.bool_]

    def __post_init__(self) -> None:
        fits = self.shares.ndim == 2 and self.shares.shape[:1] == self.known.shape
        shares = self.shares[self.known] if fits else np.empty((0, 0), np.float32)
        sums = shares.sum(axis=1, dtype=np.float64)
        if not fits or not (shares >= 0).all() or np.abs(sums - 1).max(initial=0) > ROUNDING:
            raise UsageError(
                wanted="shares (tracks, outputs), of 0 or more, that add up to 1 in each track",
                got=f"shape {self.shares.shape} for {len(self.known)} tracks"
                + (f", sums from {sums.min():g} to {sums.max():g}" if len(sums) else ""),
                fix="Make the targets again, and leave tracks without one out of `known`",
                source=self.name,
            )

    @property
    def outputs(self) -> int:
        """Number of shares."""
        return int(self.shares.shape[1])

    @property
    def one_hot(self) -> bool:
        """Whether every track is of one class."""
        return bool((self.shares[self.known].max(axis=1, initial=0.0) == 1.0).all())


class Batch(NamedTuple):
    """Segments (batch, 43, bands) and the shares (batch, outputs) of one task."""

    task: int
    frames: Tensor
    shares: Tensor


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What the validation loss of a task can be at best, and without hearing anything.

    Attributes
    ----------
    tracks : int
        Validation tracks that have a target.
    entropy : float
        Mean entropy of their targets, in nats: no loss is lower.
    baseline : float
        Loss of giving every track the mean shares of the training tracks.
    baseline_accuracy : float or None
        Of always saying their commonest class; None for soft targets.
    """

    tracks: int
    entropy: float
    baseline: float
    baseline_accuracy: float | None


class DcnnLesson:
    """Tasks in random turns, each with its own walk through the tracks that it knows.

    A step is taken on one task. Task t walks through its training tracks in a random order, and
    then in another; each of its batches goes on where its last one ended. Of every track it hears
    43 frames from a random place. All is drawn from the seed and the step alone.

    Parameters
    ----------
    clips : Clips
    tasks : sequence of Task
        In the order of the network's; one row per clip each.
    train, valid : integer arrays
        Clips of the two parts; without validation clips that any task knows there are no scores,
        and only ``Settings(stop_on="epoch")``, which keeps the last epoch, can be used.
    settings : DcnnSettings
    seed : int
    world : World, optional
        Processes that share every batch; by default this one alone.
    readers : int
        Threads that read batches ahead.

    Attributes
    ----------
    steps : int
        Of an epoch: as many as all training tracks that any task knows fill with batches.
    waited : float
        Seconds that training has waited for data, of this session: after a restart it begins at
        0, while the seconds of the curve count all sessions.

    Raises
    ------
    UsageError
        No tasks, tasks of other tracks, a task that knows no training track, or a batch that the
        processes cannot share evenly, two segments each at least.

    Notes
    -----
    The released code gives every task an optimiser of its own. Here there is one, whose memory of
    what a step does not use stays as it is; only shared layers see the difference.
    """

    def __init__(
        self,
        clips: Clips,
        tasks: Sequence[Task],
        train: Whole,
        valid: Whole,
        *,
        settings: DcnnSettings,
        seed: int,
        world: World | None = None,
        readers: int = 2,
    ) -> None:
        self.world = world or World()
        _check(clips, tasks, settings.batch, self.world)
        train = checked_rows(clips, train)
        self.clips = clips
        self.tasks = tuple(tasks)
        self.train = [train[task.known[train]] for task in tasks]
        valid = np.asarray(valid, np.int64)
        self.valid = [valid[task.known[valid]] for task in tasks]
        for task, rows in zip(tasks, self.train, strict=True):
            if not len(rows):
                raise UsageError(
                    wanted="training tracks that have a target",
                    got=f"none of {len(train)}",
                    fix="Leave the task out, or give tracks with targets",
                    source=task.name,
                )
        self.settings = settings
        self.seed = seed
        self.readers = readers
        known = np.any([task.known[train] for task in tasks], axis=0)
        self.steps = max(1, int(known.sum()) // settings.batch)
        self.waited = 0.0
        self.yardsticks = {
            task.name: yardstick(task, mine, held)
            for task, mine, held in zip(tasks, self.train, self.valid, strict=True)
            if len(held)
        }
        self._before = [np.zeros(len(tasks), np.int64)]

    def turns(self, epoch: int) -> Whole:
        """The task of every step (steps,) of an epoch, counted from 1."""
        draws = generator(self.seed, "tasks", epoch)
        if self.settings.draw == "epoch":
            return np.full(self.steps, draws.integers(len(self.tasks)))
        return draws.integers(len(self.tasks), size=self.steps)

    def batches(self, epoch: int, skip: int) -> Iterator[Batch]:
        """This process's batches of an epoch from ``skip`` on, read ahead by threads."""
        turns, walks = self.turns(epoch), self._walks(epoch)
        crops = generator(self.seed, "crops", epoch).random((self.steps, self.settings.batch))
        mine = slice(self.world.rank, None, self.world.size)

        def read(step: int) -> Batch:
            task = int(turns[step])
            rows = walks[step, mine]
            spare = np.maximum(self.clips.counts[rows] - SEGMENT, 0)
            starts = (crops[step, mine] * (spare + 1)).astype(np.int64)
            return self._batch(task, rows, starts)

        coming = ahead(read, range(skip, self.steps), self.readers)
        while True:
            began = time.perf_counter()
            batch = next(coming, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Cross entropy between given and due shares, mean over segments, in float32."""
        device = self.world.device
        frames = batch.frames.to(device, non_blocking=True)
        logits = network(frames, batch.task)
        return functional.cross_entropy(logits.float(), batch.shares.to(device))

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores on the validation tracks; none where there are none.

        Returns
        -------
        mapping
            ``valid_loss``: the mean over tasks. For each task ``valid_loss_NAME``;
            ``valid_learned_NAME``, how far that loss has come from the baseline (0) to the lowest
            there can be (1), where the two differ; ``valid_accuracy_NAME`` of one class per
            track.

        Raises
        ------
        SegueError
            The network's weights have grown beyond all bounds.
        """
        scores: dict[str, float] = {}
        losses = []
        for number, task in enumerate(self.tasks):
            if not len(self.valid[number]):
                continue
            rule = self.yardsticks[task.name]
            loss, accuracy = self._judged(network, number)
            losses.append(loss)
            scores[f"valid_loss_{task.name}"] = loss
            if rule.baseline - rule.entropy > NOTHING:
                learned = (rule.baseline - loss) / (rule.baseline - rule.entropy)
                scores[f"valid_learned_{task.name}"] = learned
            if task.one_hot:
                scores[f"valid_accuracy_{task.name}"] = accuracy
        return {"valid_loss": float(np.mean(losses)), **scores} if losses else {}

    def _judged(self, network: nn.Module, number: int) -> tuple[float, float]:
        """Mean loss of a task's validation segments, and share of its tracks that are right."""
        rows, count = self.valid[number], self.settings.valid_segments
        sums = torch.zeros(2, dtype=torch.float64, device=self.world.device)
        mine = rows[self.world.rank :: self.world.size]
        step = max(1, AT_ONCE // count)
        network.eval()
        with torch.inference_mode(), full_float32():
            for first in range(0, len(mine), step):
                part = mine[first : first + step]
                starts = np.concatenate([begins(n, count) for n in self.clips.counts[part]])
                batch = self._batch(number, np.repeat(part, count), starts)
                logits = network(batch.frames.to(self.world.device), number).double()
                logs = logits.log_softmax(dim=1)
                due = batch.shares.to(self.world.device)
                means = logs.exp().view(len(part), count, -1).mean(dim=1)
                right = means.argmax(dim=1) == due[::count].argmax(dim=1)
                sums += torch.stack([-(due * logs).sum() / count, right.sum()])
        loss, right_share = (self.world.sum(sums) / len(rows)).tolist()
        if not np.isfinite(loss):
            raise SegueError(
                wanted="finite scores of the validation tracks",
                got="NaN or infinity",
                fix="Use a lower --learning-rate, or --precision float32, in a new folder",
                source="training",
            )
        return loss, right_share

    def _batch(self, task: int, rows: Whole, starts: Whole) -> Batch:
        spots = zip(rows.tolist(), starts.tolist(), strict=True)
        frames = np.stack([segment(self.clips, clip, begin) for clip, begin in spots])
        shares = self.tasks[task].shares[rows]
        return Batch(task, torch.from_numpy(frames), torch.from_numpy(shares))

    def _walks(self, epoch: int) -> Whole:
        """Clips (steps, batch) of an epoch, of all processes."""
        while len(self._before) < epoch:
            earlier = np.bincount(self.turns(len(self._before)), minlength=len(self.tasks))
            self._before.append(self._before[-1] + earlier)
        turns, batch = self.turns(epoch), self.settings.batch
        rows = np.empty((self.steps, batch), np.int64)
        for task, before in enumerate(self._before[epoch - 1].tolist()):
            steps = np.flatnonzero(turns == task)
            walk = self._walk(task, before * batch, (before + len(steps)) * batch)
            rows[steps] = walk.reshape(len(steps), batch)
        return rows

    def _walk(self, task: int, begin: int, end: int) -> Whole:
        """A stretch of a task's endless walk: its training clips, in one order after another."""
        rows, name = self.train[task], self.tasks[task].name
        laps = range(begin // len(rows), -(-end // len(rows)))
        orders = [generator(self.seed, "walk", name, lap).permutation(len(rows)) for lap in laps]
        places = np.concatenate([np.empty(0, np.int64), *orders])
        first = begin - laps.start * len(rows)
        walk: Whole = rows[places[first : first + end - begin]]
        return walk


def yardstick(task: Task, train: Whole, valid: Whole) -> Yardstick:
    """Bounds of the validation loss of a task.

    Examples
    --------
    >>> task = Task("g", np.float32([[1, 0], [0, 1], [1, 0]]), np.ones(3, bool))
    >>> found = yardstick(task, np.array([0, 1]), np.array([2]))
    >>> found.entropy, round(found.baseline, 3), found.baseline_accuracy
    (0.0, 0.693, 1.0)
    """
    due = task.shares[valid].astype(np.float64)
    # a class that only validation tracks have would cost the baseline infinitely much
    mean = (task.shares[train].sum(axis=0, dtype=np.float64) + 1e-3) / (
        len(train) + 1e-3 * task.outputs
    )
    entropy = -np.sum(due * np.log(np.where(due > 0, due, 1.0)), axis=1).mean()
    baseline = -(due @ np.log(mean)).mean()
    accuracy = float((due.argmax(axis=1) == mean.argmax()).mean()) if task.one_hot else None
    return Yardstick(len(valid), float(abs(entropy)), float(baseline), accuracy)


def _check(clips: Clips, tasks: Sequence[Task], batch: int, world: World) -> None:
    if not tasks or any(len(task.known) != len(clips) for task in tasks):
        raise UsageError(
            wanted=f"tasks with a row for each of {len(clips)} clips",
            got=", ".join(f"{len(task.known)} of {task.name}" for task in tasks) or "no tasks",
            fix="Give one row a clip, in the same order",
        )
    if batch % world.size:
        raise UsageError(
            wanted=f"a batch that {world.size} processes can share",
            got=str(batch),
            fix="Choose another --batch",
        )
    # batch normalisation of a single segment would leave nothing of it
    if batch < 2 * world.size:
        raise UsageError(
            wanted="a batch of two segments at least for each process",
            got=f"{batch} for {world.size}",
            fix="Choose a larger --batch, or fewer processes",
        )
