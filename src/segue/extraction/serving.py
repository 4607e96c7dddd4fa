"""A worker's side: build once, then batch after batch until the parent closes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

from segue.extraction import processes
from segue.extraction.worker import Built, Task, on_beat

Say = Callable[[Any], None]

READY, TOOK, BEATS, SAID, BYTES, DONE = range(6)  # kinds of messages from a worker


class Job(Protocol[Built]):
    """What a worker is sent: how to build what it works with, and what to do with a batch."""

    def build(self) -> Built:
        """What stays in the worker, built once."""

    def warm(self, built: Built, /) -> None:
        """What an ordinary track takes in memory, taken once."""

    def perform(self, tasks: Sequence[Task], built: Built, say: Say, /) -> Any:
        """Do a batch; ``say`` sends something of it ahead to the parent."""


def serve(connection: Connection, job: Job[Any], log_level: int, warm: bool, beat: float) -> None:
    """The life of a worker: build, then batch after batch until the parent closes.

    Parameters
    ----------
    connection : Connection
    job : Job
    log_level : int
    warm : bool
        Take the memory of an ordinary track before the first, so that it can be measured.
    beat : float
        Seconds between two signs of life, at least.
    """
    processes.settle(log_level)
    try:
        problem, built = "", job.build()
        processes.limit_threads()
        if warm:
            job.warm(built)
    except Exception as error:  # told to the parent, whatever it is
        problem, built = f"{type(error).__name__}: {error}", None
    on_beat(_pulse(connection, beat))
    try:
        connection.send((READY, problem))
        while not problem:
            tasks = connection.recv()
            connection.send((TOOK, None))
            connection.send((DONE, job.perform(tasks, built, _sayer(connection))))
    except (EOFError, OSError):
        return  # the parent has closed, or gone


def _sayer(connection: Connection) -> Say:
    """What sends something ahead; bytes as they are, since pickling would copy them again."""

    def say(what: Any) -> None:
        if isinstance(what, bytes):
            connection.send((BYTES, None))
            connection.send_bytes(what)
        else:
            connection.send((SAID, what))

    return say


def _pulse(connection: Connection, beat: float) -> Callable[[], None]:
    """What tells the parent that work goes on, now and then."""
    last = time.monotonic()

    def pulse() -> None:
        nonlocal last
        if time.monotonic() - last >= beat:
            last = time.monotonic()
            connection.send((BEATS, None))

    return pulse
