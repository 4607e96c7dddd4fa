"""The processes of one training run: one alone, or several that `torchrun` started.

Every process holds the same network and takes its share of each batch; gradients are averaged, so
the batch as a whole is what one process alone would have taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from segue.encoders.protocol import checked_device

CPU = torch.device("cpu")
PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: one may have long files to decode."""


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is, and where its tensors live.

    Examples
    --------
    >>> World().main
    True
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network on the device; on GPUs its batch statistics are those of the whole batch.

        Torch synchronises batch normalisation on GPUs only. On CPUs each process normalises with
        the statistics of its own share of the batch, and the first one's running averages count.
        """
        if self.size > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return network.to(self.device)

    def spread(self, network: nn.Module, *, partly: bool = False) -> nn.Module:
        """The network, wrapped so that gradients are averaged over the processes.

        ``partly`` says that a step may use a part of the network alone, the same in all processes.
        """
        if self.size == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=partly)

    def agree(self, network: nn.Module) -> None:
        """Give every process the first one's running averages."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor over the processes, on each of them."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def mean(self, value: float) -> float:
        """Mean of a number over the processes."""
        if self.size == 1:
            return value
        return float(self.sum(torch.tensor(value, dtype=torch.float64, device=self.device))) / (
            self.size
        )

    def wait(self) -> None:
        """Go on when every process has come here."""
        self.mean(0.0)


@contextmanager
def join(device: str = "cpu") -> Iterator[World]:
    """The processes that `torchrun` started; this one alone where it did not.

    Parameters
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``; with several processes each takes the GPU of its local rank.

    Raises
    ------
    UsageError
        The device is not there.

    Examples
    --------
    >>> with join("cpu") as world:
    ...     world.size
    1
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=checked_device(device))
        return
    kind = device.split(":")[0]
    here = checked_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if kind == "cuda" else device)
    if here.type == "cuda":
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(distributed.get_rank(), size, here)
        # one that leaves while another still works takes the connection away under it (SIGABRT)
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
