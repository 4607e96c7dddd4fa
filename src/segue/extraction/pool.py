"""Outcomes of many tracks: made in this process, or in several that no track can take down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Self

from segue.extraction.apart import Gauge, run_apart
from segue.extraction.limits import Limits
from segue.extraction.processes import available_cpus, prepare
from segue.extraction.serving import Say
from segue.extraction.supervisor import Done, Supervisor, Torn
from segue.extraction.worker import Built, Outcome, Task, Work

__all__ = [
    "BATCH",
    "Gauge",
    "Limits",
    "Pool",
    "available_cpus",
    "prepare",
    "run_apart",
    "run_here",
    "run_pool",
]

BATCH = 8  # tracks encoded together, which a GPU needs


def run_here(tasks: Iterable[Task], recipe: Work[Built], encoder: Built) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks, computed in this process."""
    stream = iter(tasks)
    while batch := list(islice(stream, BATCH)):
        yield recipe.process(batch, encoder)


def run_pool(
    tasks: Iterable[Task], recipe: Work[Built], *, workers: int, limits: Limits | None = None
) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks from worker processes, in order of completion.

    Whatever a track does to the process that works on it, only that track is lost: it becomes a
    failure of stage ``"crash"`` (the process died), ``"timeout"`` (no sign of life) or
    ``"memory"`` (more than its share). Closing the iterator ends all workers at once.

    Parameters
    ----------
    tasks : iterable of Task
        Taken from as workers need them.
    recipe : Work
        How a worker builds what it works with; sent to each.
    workers : int
        Processes, of one thread each.
    limits : Limits, optional
        Time without a sign of life, and memory of this process and all workers together: with a
        limit on it as many workers are started as fit.

    Raises
    ------
    UsageError
        Not even one worker fits the limit on memory, or a limit makes no sense.
    SegueError
        Worker processes cannot start at all here; no track is blamed for that.

    Examples
    --------
    >>> from segue.extraction.worker import Recipe
    >>> list(run_pool([], Recipe("mfcc"), workers=2))
    []
    """
    with Pool(recipe, workers=workers, limits=limits) as pool:
        yield from pool.outcomes(tasks)


class Pool(Generic[Built]):
    """Worker processes that stay, with what they have built, for one lot of tasks after another.

    Parameters
    ----------
    recipe, workers, limits
        As for :func:`run_pool`, which is one lot.

    Examples
    --------
    >>> from segue.extraction.worker import Recipe
    >>> with Pool(Recipe("mfcc"), workers=2) as pool:
    ...     list(pool.outcomes([])), list(pool.outcomes([]))
    ([], [])
    """

    def __init__(self, recipe: Work[Built], *, workers: int, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        limits.check()
        # a track at a time is known exactly when it breaks; a device wants several
        batch = 1 if recipe.device == "cpu" else BATCH
        job = _Embedding(recipe)
        self.crew = Supervisor(job, (), workers=workers, limits=limits, batch=batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.crew.close(at_once=kind is not None)

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[list[Outcome]]:
        """Outcomes of some tasks, as :func:`run_pool` gives them; then the next may come."""
        self.crew.give(tasks)
        while self.crew.busy():
            for event in self.crew.step():
                if isinstance(event, Done):
                    yield event.result
                elif isinstance(event, Torn) and event.failure is not None:
                    yield [event.failure]


@dataclass(frozen=True, slots=True)
class _Embedding(Generic[Built]):
    """The whole way from file to outcome, done in a worker."""

    recipe: Work[Built]

    def build(self) -> Built:
        return self.recipe.build()

    def warm(self, built: Built) -> None:
        self.recipe.warm(built)

    def perform(self, tasks: Sequence[Task], built: Built, say: Say) -> list[Outcome]:
        return self.recipe.process(tasks, built)
