"""What workers may take: how long without a sign of life, and how much memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from segue.errors import UsageError

MEGABYTE = 2**20
# What decoding takes on top of encoding: buffers of a decoder, a chunk before and after resampling
DECODING = 64 * MEGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a track may cost before it is given up, so that the others are done.

    Attributes
    ----------
    seconds : float
        Without a sign of life from the worker that has the track in hand. Every decoded chunk is
        one: a long file may take its time.
    memory : int or None
        Bytes of this process and all workers together; None: nothing is watched.

    Examples
    --------
    >>> Limits().seconds
    120.0
    """

    seconds: float = 120.0
    memory: int | None = None

    def check(self) -> None:
        """Refuse limits that nothing could keep.

        Raises
        ------
        UsageError
        """
        if not self.seconds > 0:
            raise UsageError(
                wanted="a time limit of more than 0 seconds",
                got=f"{self.seconds:g}",
                fix="Allow more time",
            )


def footprint(pid: int) -> int:
    """Bytes that a process takes; 0 when it has ended.

    On Linux pages that several processes share count in equal parts for each (PSS), so that a sum
    over workers is what they take together; elsewhere they count in full (RSS).

    Examples
    --------
    >>> footprint(os.getpid()) > 2**20
    True
    """
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:  # not Linux, not permitted, or ended
        pass
    return resident(pid)


def resident(pid: int) -> int:
    """Bytes of a process's resident set, shared pages in full: quick, and never too little."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def peak_above_now(pid: int) -> int:
    """Bytes by which a process's resident set was once larger than it is; 0 where not known."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    if not {"VmHWM", "VmRSS"} <= sizes.keys():
        return 0
    return max(0, int(sizes["VmHWM"]) - int(sizes["VmRSS"])) * 1024


@dataclass(frozen=True, slots=True)
class Budget:
    """What workers may take of a limit.

    Attributes
    ----------
    limit : int
        Bytes of this process and all workers together.
    workers : int
        How many fit.
    share : int
        Bytes for each.
    need : int
        Bytes that the first took for an ordinary track, and some for decoding.
    """

    limit: int
    workers: int
    share: int
    need: int


def share(limit: int, *, worker: int, wanted: int, held: int = 0) -> Budget:
    """As many of the wanted workers as fit, measured on the first.

    Parameters
    ----------
    limit : int
        Bytes.
    worker : int
        Process id of one that has encoded as much as an ordinary track brings.
    wanted : int
    held : int
        Bytes that this process will take on top of what it takes now.

    Raises
    ------
    UsageError
        Not even one fits.
    """
    need = footprint(worker) + peak_above_now(worker) + DECODING
    own = footprint(os.getpid()) + held
    parent = _parent(worker)
    if parent not in (0, os.getpid()):
        own += footprint(parent)  # the server that workers are forked from
    fitting = min(wanted, (limit - own) // need)
    if fitting < 1:
        raise UsageError(
            wanted=f"at least {megabytes(own + need)} of memory: {megabytes(own)} for this "
            f"process and {megabytes(need)} for one worker",
            got=f"a limit of {megabytes(limit)}",
            fix="Raise --memory-budget, or choose a smaller encoder",
        )
    return Budget(limit, fitting, (limit - own) // fitting, need)


def _parent(pid: int) -> int:
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return 0


def megabytes(size: float) -> str:
    """Bytes in words.

    Examples
    --------
    >>> megabytes(300 * 2**20)
    '300 MB'
    """
    return f"{size / MEGABYTE:.0f} MB"
