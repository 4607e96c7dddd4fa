"""Worker processes under supervision: one that crashes, hangs or swells costs one track."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, Self

from segue.errors import SegueError
from segue.extraction import processes
from segue.extraction.limits import Budget, Limits, footprint, megabytes, resident, share
from segue.extraction.serving import BYTES, DONE, READY, SAID, TOOK, Job, serve
from segue.extraction.worker import Built, Task, file_facts
from segue.store import Failure

log = logging.getLogger(__name__)

AHEAD = 2  # batches in a worker's hands: one it works on, one so that it need not wait for more
TICK = 0.25  # seconds between two looks at time and memory
BEAT = 1.0  # seconds between two signs of life, fewer under a short limit
PATIENCE = 2.0  # seconds for workers to end on their own
READ_AT_ONCE = 4  # messages of one worker before the others have their turn
START = 600.0  # seconds for a worker to build what it works with, at least
ROOM = 4096  # bytes that surely fit into a connection whose other end does not read now
STILLBORN = 3  # workers lost in a row, for each that is wanted, before the run is given up


@dataclass(eq=False, slots=True)
class Batch:
    """Tasks that a worker does in one go; `alone` when it is to be the first of a new worker."""

    tasks: list[Task]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """Something that a worker sent ahead of its batch's end."""

    batch: Batch
    what: Any


@dataclass(frozen=True, slots=True)
class Done:
    """A batch is done, with what the job returned."""

    batch: Batch
    result: Any


@dataclass(frozen=True, slots=True)
class Torn:
    """A batch broke off: what was said of it is void. It is lost for good, or tried again."""

    batch: Batch
    failure: Failure | None


Event = Said | Done | Torn


@dataclass(eq=False, slots=True)
class Worker:
    """One process, as the parent sees it."""

    process: BaseProcess
    connection: Connection
    batches: deque[Batch] = field(default_factory=deque)
    told: int = 0  # of these it was sent
    ready: bool = False
    busy: bool = False  # with the first of its batches
    done: int = 0  # batches
    quiet: float = 0.0  # seconds since its last sign of life, as far as anyone listened
    size: int = 0  # bytes, when it was measured last

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    @property
    def fresh(self) -> bool:
        """Whether what it has in hand is the first that it was given."""
        return self.done == 0


class Supervisor(Generic[Built]):
    """Several workers on a stream of tasks.

    A worker that ends on its own is replaced. The track it had in hand is tried once more, as the
    first of a new worker, and lost only if that one ends too: then neither a track before it nor
    a stray signal can be to blame. A worker without a sign of life is ended, and its track lost.
    So is one that takes more than its share of memory, if that was its first track; else the
    track is tried again in a new worker.

    Parameters
    ----------
    job : Job
    tasks : iterable of Task
        Taken from as workers need them.
    workers : int
    limits : Limits
    batch : int
        Tasks a worker is given at once.
    held : int
        Bytes that this process will come to hold, of the limit on memory.

    Raises
    ------
    UsageError
        The limits allow not even one worker.
    SegueError
        Worker processes cannot start at all here, or not within ten minutes (or the limit on
        time, if that is more); no track is blamed for that.
    """

    def __init__(
        self,
        job: Job[Built],
        tasks: Iterable[Task],
        *,
        workers: int,
        limits: Limits,
        batch: int = 1,
        held: int = 0,
    ) -> None:
        self.job = job
        self.limits = limits
        self.batch = batch
        self.held = held
        self.wanted = workers
        self.budget: Budget | None = None
        self.workers: list[Worker] = []
        self.again: deque[Batch] = deque()
        self.stream = self._batches(iter(tasks))
        self.ever_ready = False
        self.lost = 0  # workers in a row that ended without a batch to blame
        self.looked = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(at_once=kind is not None)

    def give(self, tasks: Iterable[Task]) -> None:
        """More to do, when all is done that was to do before."""
        self.stream = self._batches(iter(tasks))

    def busy(self) -> bool:
        """Whether anything is to do still; hands out what there is."""
        self._feed()
        return any(one.batches for one in self.workers)

    def step(
        self, timeout: float = TICK, wake: Sequence[Connection] = (), room: float = math.inf
    ) -> list[Event]:
        """What happened, waiting for it up to ``timeout`` seconds; ``wake`` ends the wait too.

        When there are ``room`` events, no further worker is read from: what it says waits there.
        Time that passes between two calls counts against no worker: nobody listened.
        """
        began = time.monotonic()
        places: list[Any] = [one.connection for one in self.workers]
        places += [one.process.sentinel for one in self.workers]
        ready = wait([*places, *wake], timeout)
        # a process that was stopped (Ctrl-Z) did not listen either
        passed = min(time.monotonic() - began, 4 * TICK)
        events: list[Event] = []
        for one in list(self.workers):
            if one.connection in ready or one.process.sentinel in ready:
                self._read(one, events, room)
            else:
                one.quiet += passed
        self._judge(events)
        return events

    def close(self, *, at_once: bool = True) -> None:
        """End all workers and wait until they have gone."""
        for one in self.workers:
            one.connection.close()
            if at_once or one.batches:
                one.process.kill()
        deadline = time.monotonic() + PATIENCE
        for one in self.workers:
            one.process.join(max(0.0, deadline - time.monotonic()))
            _end(one.process)
            one.process.close()
        self.workers = []

    # -- work to workers -----------------------------------------------------------------------

    def _batches(self, tasks: Iterator[Task]) -> Iterator[Batch]:
        while some := list(itertools.islice(tasks, self.batch)):
            yield Batch(some)

    def _next(self) -> Batch | None:
        return self.again.popleft() if self.again else next(self.stream, None)

    @property
    def _places(self) -> int:
        """How many workers there may be: under a limit on memory one, until it is measured."""
        if self.limits.memory is None:
            return self.wanted
        return self.budget.workers if self.budget else 1

    def _feed(self) -> None:
        """Start the workers that are missing, and give all what they can hold."""
        while len(self.workers) < self._places:
            batch = self._next()
            if batch is None:
                return
            self._start(batch)
        for count in range(AHEAD):  # one each before anyone gets another
            for one in self.workers:
                # what broke a worker once is done before anything stands behind it
                if len(one.batches) <= count and not any(batch.alone for batch in one.batches):
                    batch = self._next()
                    if batch is None:
                        return
                    self._send(one, batch)

    def _start(self, batch: Batch) -> None:
        level = logging.getLogger("segue").getEffectiveLevel()
        beat = min(BEAT, self.limits.seconds / 4)
        arguments = (self.job, level, self.limits.memory is not None, beat)
        process, connection = processes.start(serve, arguments, name="segue-worker")
        self.workers.append(Worker(process, connection, deque([batch])))

    def _send(self, one: Worker, batch: Batch) -> None:
        one.batches.append(batch)
        if one.ready:
            _tell(one)

    # -- messages from workers -----------------------------------------------------------------

    def _read(self, one: Worker, events: list[Event], room: float) -> None:
        for _ in range(READ_AT_ONCE):
            if len(events) >= room:
                return
            try:
                if not one.connection.poll():
                    break
                kind, what = one.connection.recv()
                if kind == BYTES:
                    kind, what = SAID, one.connection.recv_bytes()
            except (EOFError, OSError):  # the end of its connection is its end
                one.process.join(PATIENCE)
                _end(one.process)
                self._ended(one, events)
                return
            one.quiet = 0.0
            self._hear(one, kind, what, events)
        else:
            return  # there is more
        if not one.process.is_alive():
            self._ended(one, events)

    def _hear(self, one: Worker, kind: int, what: Any, events: list[Event]) -> None:
        if kind == READY:
            if what:
                raise _no_workers(what)
            one.ready = self.ever_ready = True
            if self.limits.memory is not None and self.budget is None:
                self._measure(one, self.limits.memory)  # before it has anything to do
            _tell(one)
        elif kind == TOOK:
            one.busy = True
        elif kind == SAID:
            events.append(Said(one.batches[0], what))
        elif kind == DONE:
            one.busy = False
            one.done += 1
            one.told -= 1
            self.lost = 0
            events.append(Done(one.batches.popleft(), what))
            _tell(one)

    def _measure(self, one: Worker, limit: int) -> None:
        self.budget = share(limit, worker=one.pid, wanted=self.wanted, held=self.held)
        if self.budget.workers < self.wanted:
            log.warning(
                "%d of %d workers: each takes %s, and all may take %s",
                self.budget.workers,
                self.wanted,
                megabytes(self.budget.need),
                megabytes(limit),
            )

    # -- workers that end, and that are ended ---------------------------------------------------

    def _judge(self, events: list[Event]) -> None:
        """End workers that give no sign of life or take too much memory."""
        now = time.monotonic()
        look = self.budget is not None and now - self.looked >= TICK
        for one in list(self.workers):
            if not one.ready and one.quiet >= max(START, self.limits.seconds):
                raise _no_workers(f"they do not start within {one.quiet:.0f} s")
            if not one.busy:
                continue
            if one.quiet >= self.limits.seconds:
                self._overdue(one, events)
            elif look and self.budget is not None and _swollen(one, self.budget):
                self._too_large(one, self.budget, events)
        if look:
            self.looked = now

    def _overdue(self, one: Worker, events: list[Event]) -> None:
        reason = (
            f"no sign of life for {self.limits.seconds:g} s: the process that decoded it was "
            "ended; no other track was lost"
        )
        _end(one.process)
        self._lose(one, events, stage="timeout", reason=reason, again=False)

    def _too_large(self, one: Worker, budget: Budget, events: list[Event]) -> None:
        reason = (
            f"{megabytes(one.size)} of memory were taken, and {megabytes(budget.share)} are "
            f"each worker's share of {megabytes(budget.limit)}: the process that decoded it "
            "was ended; no other track was lost"
        )
        _end(one.process)
        self._lose(one, events, stage="memory", reason=reason, again=not one.fresh)

    def _ended(self, one: Worker, events: list[Event]) -> None:
        """A worker ended on its own: by a crash, or by someone else's signal."""
        code = one.process.exitcode or 0
        if not one.busy:
            self._bury(one)
            self.lost += 1
            if not self.ever_ready or self.lost >= STILLBORN * self.wanted:
                raise _no_workers(f"they die as they start ({_ending(code)})")
            self.again.extendleft(reversed(one.batches))
            return
        reason = f"the process that decoded it died ({_ending(code)}); no other track was lost"
        self._lose(one, events, stage="crash", reason=reason, again=not one.batches[0].alone)

    def _lose(
        self, one: Worker, events: list[Event], *, stage: str, reason: str, again: bool
    ) -> None:
        """Settle the batch that an ended worker had in hand, and give back those behind it."""
        self._bury(one)
        batch = one.batches.popleft()
        self.again.extendleft(reversed(one.batches))
        if len(batch.tasks) > 1:  # which of them it was is found out one by one
            self.again.extendleft(Batch([task]) for task in reversed(batch.tasks))
            events.append(Torn(batch, None))
        elif again:
            self._start(Batch(batch.tasks, alone=True))
            events.append(Torn(batch, None))
        else:
            self.lost = 0
            facts = file_facts(batch.tasks[0].track)
            events.append(Torn(batch, Failure(facts=facts, stage=stage, reason=reason)))

    def _bury(self, one: Worker) -> None:
        self.workers.remove(one)
        one.connection.close()
        one.process.close()


def _swollen(one: Worker, budget: Budget) -> bool:
    if resident(one.pid) <= budget.share:  # quick, and never less than its footprint
        return False
    one.size = footprint(one.pid)
    return one.size > budget.share


def _tell(one: Worker) -> None:
    """Send what it has in hand and was not sent.

    A worker that works does not read, and may itself wait until what it says is read here: what
    it is sent meanwhile must fit into the connection, or both would wait for ever.
    """
    for batch in list(one.batches)[one.told :]:
        content = ForkingPickler.dumps(batch.tasks)
        if one.told and len(content) > ROOM:
            return  # when it is done with the one before
        one.told += 1
        with contextlib.suppress(OSError):  # it has just ended, which shows when it is read from
            one.connection.send_bytes(content)


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.kill()
        process.join()


def _no_workers(problem: str) -> SegueError:
    fix = "Work without them: --workers 0, on this machine"
    return SegueError(wanted="worker processes", got=problem, fix=fix)


def _ending(code: int) -> str:
    """An exit code in words.

    Examples
    --------
    >>> _ending(-11), _ending(3)
    ('SIGSEGV', 'exit code 3')
    """
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
