"""A small network and task, so that the loop can be tested in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segue.seeds import generator
from segue.training.gradient import GradientLearner
from segue.training.loop import Point, Settings, Trained, Watch, train
from segue.training.parallel import World


def toy_network(*, dropout: float = 0.0) -> nn.Sequential:
    """With batch-free layers; dropout shows whether random draws are repeated on resuming."""
    network = nn.Sequential(nn.Linear(6, 16), nn.ELU(), nn.Dropout(dropout), nn.Linear(16, 1))
    draws = generator(0, "toy")
    with torch.no_grad():
        for values in network.parameters():
            values.copy_(torch.from_numpy(draws.normal(0.0, 0.3, tuple(values.shape))))
    return network


class ToyLesson:
    """Learn a sign from six numbers; can be told to stop, or to go wrong, at a step."""

    steps = 5
    batch = 8

    def __init__(self, *, world: World | None = None, stop_at: tuple[int, int] = (0, 0)) -> None:
        draws = generator(1, "toy data")
        self.X = torch.from_numpy(draws.normal(size=(60, 6)).astype(np.float32))
        self.y = (self.X[:, :1] + self.X[:, 1:2] > 0).float()
        self.world = world or World()
        self.stop_at = stop_at
        self.spoil_at = (0, 0)

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = generator(2, "order", epoch).permutation(40)
        for step in range(skip, self.steps):
            if (epoch, step) == self.stop_at:
                raise KeyboardInterrupt
            rows = order[step * self.batch : (step + 1) * self.batch]
            rows = rows[self.world.rank :: self.world.size]
            spoilt = torch.nan if (epoch, step) == self.spoil_at else 1.0
            yield self.X[rows] * spoilt, self.y[rows]

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        logits = network(batch[0]).float()
        return nn.functional.binary_cross_entropy_with_logits(logits, batch[1])

    def validate(self, network: nn.Module) -> dict[str, float]:
        logits = network(self.X[40:])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, self.y[40:])
        right = ((logits > 0) == self.y[40:]).float()
        return {"valid_loss": float(loss), "valid_auc": float(right.mean())}


def teach(
    network: nn.Module,
    lesson: ToyLesson,
    settings: Settings,
    *,
    path: Path,
    world: World | None = None,
    watch: Watch | None = None,
    tell: Callable[[list[Point]], None] | None = None,
) -> Trained:
    """Train by gradients."""
    learner = GradientLearner(network, lesson, settings, world)
    return train(learner, lesson, settings, path=path, world=world, watch=watch, tell=tell)
