"""Learning by gradients of a loss, by Adam: any network, in any of torch's precisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from segue.seeds import derive
from segue.training import checkpoint
from segue.training.loop import Settings
from segue.training.parallel import World

B = TypeVar("B")
C = TypeVar("C", contravariant=True)


class Loss(Protocol[C]):
    """Something that judges a network on a batch."""

    def loss(self, network: nn.Module, batch: C) -> Tensor:
        """Mean loss of a batch, of which every process has equally much."""


class GradientLearner(Generic[B]):
    """A network that follows the gradient of a lesson's loss with Adam (Kingma and Ba 2015).

    Parameters
    ----------
    network : Module
        Changed in place.
    lesson : object with ``loss(network, batch)``
    settings : Settings
        Learning rate, precision and seed are used.
    world : World, optional
        The processes that share a batch; by default this one alone.
    partly : bool
        Whether a step may use a part of the network alone; the rest stays as it is, Adam's memory
        of it too.
    l2 : float
        Weight of the squared norm of all weight matrices and kernels that a step uses, which is
        added to what is followed, not to the loss that is told.

    Examples
    --------
    >>> class Nine:
    ...     def loss(self, network, batch):
    ...         return (network(batch) - 9).square().mean()
    >>> learner = GradientLearner(nn.Linear(1, 1), Nine(), Settings(learning_rate=0.1))
    >>> batch = torch.ones(4, 1)
    >>> losses = [learner.step(batch, epoch=1, step=number) for number in range(9)]
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(
        self,
        network: nn.Module,
        lesson: Loss[B],
        settings: Settings,
        world: World | None = None,
        *,
        partly: bool = False,
        l2: float = 0.0,
    ) -> None:
        self.world = world or World()
        self.network = self.world.prepare(network)
        self.spread = self.world.spread(self.network, partly=partly)
        self.lesson = lesson
        self.settings = settings
        # fused: one pass over the parameters, a tenth of the time of torch's default on a CPU
        groups = _groups(self.network, l2)
        self.optimiser = torch.optim.Adam(groups, lr=settings.learning_rate, fused=True)
        # float16 has so little range that small gradients vanish unless the loss is scaled up
        self.scaler = torch.amp.GradScaler(
            self.world.device.type, enabled=settings.precision == "float16"
        )

    def step(self, batch: B, *, epoch: int, step: int) -> float:
        """One step of the optimiser; the loss before it."""
        seed = derive(self.settings.seed, "step", epoch, step, self.world.rank)
        # torch.manual_seed would note it for all GPUs there might be: half a millisecond
        on_cpu = self.world.device.type == "cpu"
        (torch.default_generator.manual_seed if on_cpu else torch.manual_seed)(seed)
        self.spread.train()
        self.optimiser.zero_grad(set_to_none=True)
        precision, device = self.settings.precision, self.world.device
        with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
            loss = self.lesson.loss(self.spread, batch)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return self.world.mean(float(loss.detach()))

    def tensors(self) -> checkpoint.Tensors:
        """Adam's moments and counts of steps."""
        return checkpoint.optimiser_tensors(self.optimiser)

    def facts(self) -> dict[str, Any]:
        """The loss scale of float16."""
        return {"scaler": self.scaler.state_dict()}

    def restore(self, tensors: checkpoint.Tensors, facts: Mapping[str, Any]) -> None:
        """Go back to a checkpoint."""
        checkpoint.restore_optimiser(self.optimiser, tensors)
        self.scaler.load_state_dict(dict(facts["scaler"]))


def _groups(network: nn.Module, l2: float) -> list[dict[str, Any]]:
    """Parameters for the optimiser: the penalised apart, where there is a penalty."""
    parameters = list(network.parameters())
    if not l2:
        return [{"params": parameters}]
    # torch adds this times the weights to their gradient, which is that of half the squared norm
    weights = [values for values in parameters if values.ndim > 1]
    others = [values for values in parameters if values.ndim <= 1]
    return [{"params": weights, "weight_decay": 2.0 * l2}, {"params": others}]
