"""Workers: in this process, or in several that a crashing decoder cannot take the run down with."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from segue.errors import SegueError
from segue.extraction.worker import Built, Outcome, Task, Work, file_facts
from segue.store import Failure

BATCH = 8  # tracks a worker takes at once: what a GPU batch needs, little to lose in a crash

_recipe: Work[Any] | None = None  # one per worker process
_encoder: Any = None  # what it builds, once
_problem = ""  # why it could not be built

P = ParamSpec("P")
T = TypeVar("T")


def available_cpus() -> int:
    """Processors this process may use (a container's share, not the machine's)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_here(tasks: Iterable[Task], recipe: Work[Built], encoder: Built) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks, computed in this process."""
    stream = iter(tasks)
    while batch := list(islice(stream, BATCH)):
        yield recipe.process(batch, encoder)


def run_pool(tasks: Iterable[Task], recipe: Work[Any], *, workers: int) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks from worker processes, in order of completion.

    When a worker dies, as a decoder can make it, the batches in flight are run again track by
    track in a process of their own, so that only the track that kills it is lost.

    Raises
    ------
    SegueError
        Worker processes cannot start at all here; no track is blamed for that.
    """
    stream = iter(tasks)
    pool = _start(recipe, workers)
    flying: dict[Future[list[Outcome]], list[Task]] = {}
    lost: list[Task] = []
    try:
        while True:
            while not lost and len(flying) < 2 * workers and (batch := list(islice(stream, BATCH))):
                try:
                    flying[_submit(pool, _work, batch)] = batch
                except BrokenProcessPool:
                    lost += batch
            if not flying and not lost:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED) if flying else (set(), None)
            for future in done:
                batch = flying.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    lost += batch
            if lost:
                lost += [task for batch in flying.values() for task in batch]
                flying.clear()
                pool.shutdown(wait=False, cancel_futures=True)
                yield from _one_by_one(lost, recipe)
                lost = []
                pool = _start(recipe, workers)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one_by_one(tasks: Sequence[Task], recipe: Work[Any]) -> Iterator[list[Outcome]]:
    pool = _start(recipe, 1)
    try:
        for task in tasks:
            try:
                yield _submit(pool, _work, [task]).result()
            except BrokenProcessPool:
                reason = "the process that decoded it died; no other track was lost"
                yield [Failure(facts=file_facts(task.track), stage="crash", reason=reason)]
                pool = _start(recipe, 1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _context() -> BaseContext:
    """Forking a process that holds torch's threads can hang: fork from a clean server."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["segue.extraction.worker", "segue.encoders"])
    return context


def _start(recipe: Work[Any], workers: int) -> ProcessPoolExecutor:
    """A pool whose workers are known to start."""
    level = logging.getLogger("segue").getEffectiveLevel()
    pool = ProcessPoolExecutor(
        workers, mp_context=_context(), initializer=_prepare, initargs=(recipe, level)
    )
    try:
        problem = _submit(pool, _probe).result()
    except BrokenProcessPool:
        problem = "they die as they start"
    if problem:
        pool.shutdown(wait=False, cancel_futures=True)
        raise SegueError(wanted="worker processes", got=problem, fix="Use one worker (--workers 1)")
    return pool


def _submit(
    pool: ProcessPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Future[T]:
    """Submit with the caller's main module out of sight.

    A process that starts imports the parent's main module again. Workers need nothing of it, and
    a script without a main guard would be run once more by each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        return pool.submit(work, *args, **kwargs)
    finally:
        sys.modules["__main__"] = main


def _prepare(recipe: Work[Any], log_level: int) -> None:
    global _recipe, _encoder, _problem
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_follow_parent, daemon=True).start()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("segue").setLevel(log_level)
    torch.set_num_threads(1)  # one worker a processor: more threads would only fight
    try:
        _recipe, _encoder = recipe, recipe.build()
    except Exception as error:  # told to the parent by _probe, whatever it is
        _problem = f"{type(error).__name__}: {error}"


def _follow_parent() -> None:
    """End this process when the one that asked for it has gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _probe() -> str:
    return _problem


def _work(tasks: list[Task]) -> list[Outcome]:
    if _recipe is None:
        raise RuntimeError("worker was not prepared")
    return _recipe.process(tasks, _encoder)
