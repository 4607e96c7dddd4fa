"""Workers: in this process, or in several that a crashing decoder cannot take the run down with."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.context import BaseContext

from segue.encoders import Encoder
from segue.extraction.worker import Outcome, Recipe, Task, file_facts, process
from segue.store import Failure

BATCH = 8  # tracks a worker takes at once: what a GPU batch needs, little to lose in a crash

_encoder: Encoder | None = None  # one per worker process, built once


def available_cpus() -> int:
    """Processors this process may use (a container's share, not the machine's)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_here(tasks: Iterable[Task], encoder: Encoder) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks, computed in this process."""
    stream = iter(tasks)
    while batch := list(islice(stream, BATCH)):
        yield process(batch, encoder)


def run_pool(tasks: Iterable[Task], recipe: Recipe, *, workers: int) -> Iterator[list[Outcome]]:
    """Outcomes of all tasks from worker processes, in order of completion.

    When a worker dies, as a decoder can make it, the batches in flight are run again track by
    track in a process of their own, so that only the track that kills it is lost.
    """
    stream = iter(tasks)
    pool = _start(recipe, workers)
    flying: dict[Future[list[Outcome]], list[Task]] = {}
    try:
        while True:
            while len(flying) < 2 * workers and (batch := list(islice(stream, BATCH))):
                flying[pool.submit(_work, batch)] = batch
            if not flying:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            lost: list[Task] = []
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
                pool = _start(recipe, workers)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one_by_one(tasks: Sequence[Task], recipe: Recipe) -> Iterator[list[Outcome]]:
    pool = _start(recipe, 1)
    for task in tasks:
        try:
            yield pool.submit(_work, [task]).result()
        except BrokenProcessPool:
            reason = "the process that decoded it died; no other track was lost"
            yield [Failure(facts=file_facts(task.track), stage="crash", reason=reason)]
            pool = _start(recipe, 1)
    pool.shutdown(wait=False)


def _context() -> BaseContext:
    """Forking a process that holds torch's threads can hang: fork from a clean server."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["segue.extraction.worker", "segue.encoders"])
    return context


def _start(recipe: Recipe, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers,
        mp_context=_context(),
        initializer=_prepare,
        initargs=(recipe, logging.getLogger("segue").getEffectiveLevel()),
    )


def _prepare(recipe: Recipe, log_level: int) -> None:
    global _encoder
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.basicConfig(format="%(message)s")
    logging.getLogger("segue").setLevel(log_level)
    torch.set_num_threads(1)  # one worker a processor: more threads would only fight
    _encoder = recipe.build()


def _work(tasks: list[Task]) -> list[Outcome]:
    if _encoder is None:
        raise RuntimeError("worker was not prepared")
    return process(tasks, _encoder)
