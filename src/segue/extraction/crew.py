"""How work is laid out on a cluster: how many actors, what each is given, how much at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segue.errors import UsageError

TURNS = 32  # batches an actor takes in a run: that many share the work out evenly
LEAST, MOST = 16, 1024  # tracks in a batch: what is done again when its actor is lost
GPU_MOST = 4096  # a GPU is through with a batch sooner


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Who does the work.

    Attributes
    ----------
    actors : int
    cpus, gpus : float
        What Ray sets aside for each of them.
    workers : int
        Processes that decode, of each.
    batch : int
        Tracks that an actor takes at once and writes as one shard.
    together : int
        Actors on one machine, at most; they share its memory.
    """

    actors: int
    cpus: float
    gpus: float
    workers: int
    batch: int
    together: int


def crew(
    machines: Sequence[Mapping[str, float]],
    *,
    tracks: int,
    actors: int | None = None,
    device: str = "cpu",
) -> Crew:
    """Lay the work out: an actor for each processor, or for each GPU.

    As many processors as there are machines are left to Ray Data's own tasks, which cut the lists
    of tracks into batches and need a whole one: actors that had all of them would wait for tracks
    for ever. It is a matter of Ray's counting alone; those tasks take next to nothing.

    Parameters
    ----------
    machines : sequence of mapping
        Resources of each as Ray counts them.
    tracks : int
    actors : int, optional
        Asked for; more than there are places share them.
    device : str
        ``"cpu"`` or a torch device.

    Raises
    ------
    UsageError
        No machine has what the device needs.

    Examples
    --------
    >>> two_cores = crew([{"CPU": 2}], tracks=10_000)
    >>> two_cores.actors, two_cores.cpus, two_cores.batch
    (2, 0.5, 157)
    >>> eight = crew([{"CPU": 16, "GPU": 2}] * 4, tracks=10**7, device="cuda")
    >>> eight.actors, eight.cpus, eight.gpus, eight.workers
    (8, 7.5, 1.0, 7)
    """
    kind = "CPU" if device == "cpu" else "GPU"
    usable = [one for one in machines if one.get("CPU", 0) >= 2 and one.get(kind, 0) >= 1]
    if not usable:
        raise UsageError(
            wanted=f"a Ray cluster whose machines have two CPUs{' and a GPU' * (kind == 'GPU')}",
            got=f"{len(machines)} machines, none of them such",
            fix="Start Ray with --num-cpus (and --num-gpus), or use the local engine",
        )
    places = [int(one[kind]) for one in usable]
    count = actors or max(1, min(sum(places), math.ceil(tracks / LEAST)))
    crowd = max(1.0, count / sum(places))  # actors that share a place
    cpus = min((one["CPU"] - 1) / n for one, n in zip(usable, places, strict=True)) / crowd
    most = MOST if kind == "CPU" else GPU_MOST
    return Crew(
        actors=count,
        cpus=_floor(cpus),
        gpus=0.0 if kind == "CPU" else _floor(1 / crowd),
        workers=max(1, int(cpus)),
        batch=max(LEAST, min(most, math.ceil(tracks / (count * TURNS)))),
        together=min(count, math.ceil(max(places) * crowd)),
    )


def _floor(share: float) -> float:
    """Ray counts in ten-thousandths; rounded up, the last actor of a machine would not fit."""
    return math.floor(share * 10_000) / 10_000
