"""Fill a table: skip what is done, quarantine what is bad, keep what is finished."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from segue.datasets import Manifest
from segue.encoders import Encoder
from segue.errors import AudioError, UsageError
from segue.extraction.pool import available_cpus, run_here, run_pool
from segue.extraction.worker import (
    Built,
    Outcome,
    Recipe,
    Task,
    Work,
    content_hash,
    file_facts,
)
from segue.store import Contents, Failure, FeatureTable, FileFacts, Row, Stored, content_key

log = logging.getLogger(__name__)

FLUSH_SECONDS = 20.0
TRACKS_PER_WORKER = 16  # below this, starting another process costs more than it saves
MOVED_AT_ONCE = 256

Progress = Callable[[int, int, int], None]


class Table(Protocol):
    """What is filled: a table of features or of frames."""

    def contents(self) -> Contents:
        """Latest row and failure of every place."""

    def rows_of(self, rows: Sequence[Stored], /) -> list[Row]:
        """Stored rows as they were appended."""

    def append(self, row: Row, /) -> None:
        """Add a row; it may wait for :meth:`flush`."""

    def flush(self) -> None:
        """Write the rows that wait."""

    def fail(self, failure: Failure, /) -> None:
        """Add a failure to the quarantine list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReport:
    """What a run did; the three counts add up to ``total``.

    Attributes
    ----------
    total : int
        Tracks in the manifest.
    computed, reused, quarantined : int
        Written now; stored already (also under another name); refused, now or before.
    failures : tuple of Failure
        The quarantined tracks and their reasons.
    seconds : float
    """

    total: int
    computed: int
    reused: int
    quarantined: int
    failures: tuple[Failure, ...]
    seconds: float

    def by_stage(self) -> dict[str, int]:
        """Quarantined tracks by stage."""
        return dict(Counter(failure.stage for failure in self.failures).most_common())


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedReport(FillReport):
    """What an embedding run did, and to which table.

    Attributes
    ----------
    table : FeatureTable
    """

    table: FeatureTable


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to do, and what earlier runs have settled.

    Attributes
    ----------
    tasks : list of Task
    finished : int
    failures : list of Failure
    by_key : mapping content key -> Stored
    sizes : set of int
        Of the files whose content is stored; only a file of such a size can be one of them.
    """

    tasks: list[Task]
    finished: int
    failures: list[Failure]
    by_key: dict[str, Stored]
    sizes: set[int]


def plan(manifest: Manifest, table: Table, *, retry_failed: bool = False) -> Plan:
    """Sort a manifest's tracks into finished, known to fail, and to do.

    A track is finished when the latest written of its place is a row, and the file is unchanged. A
    failure counts as settled under the same condition, unless ``retry_failed``.
    """
    contents = table.contents()
    tasks, finished = [], 0
    settled: list[Failure] = []
    for track in manifest.tracks():
        facts = file_facts(track)
        failure = contents.failures.get(facts.place)
        stored = contents.rows.get(facts.place)
        if failure is not None:
            if failure.facts.same_file(facts) and not retry_failed:
                settled.append(replace(failure, facts=facts))
            else:
                tasks.append(Task(track))
        elif stored is not None and stored.facts.same_file(facts):
            finished += 1
        else:
            tasks.append(Task(track))
    by_key = {stored.key: stored for stored in contents.rows.values()}
    return Plan(tasks, finished, settled, by_key, {one.facts.bytes for one in by_key.values()})


def extract(
    manifest: Manifest,
    table: FeatureTable,
    recipe: Recipe,
    *,
    encoder: Encoder | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> EmbedReport:
    """Embed a manifest's tracks into a table; run again, it goes on where it stopped.

    Parameters
    ----------
    manifest : Manifest
    table : FeatureTable
        Of the recipe's card.
    recipe : Recipe
    encoder : Encoder, optional
        The recipe's encoder, when it is built already.
    workers : int, optional
        Processes; by default one a processor, fewer for few tracks. 1 works in this process.
    retry_failed : bool
        Try quarantined tracks again although their files are unchanged.
    progress : callable, optional
        Called with (done, quarantined, total).

    Raises
    ------
    StoreError
        The disk is full or the table cannot be written. Finished shards are kept.
    SegueError
        Worker processes cannot start.
    KeyboardInterrupt
        Passed on after everything finished so far has been written.
    """
    done = fill(
        manifest,
        table,
        recipe,
        encoder=encoder,
        workers=workers,
        retry_failed=retry_failed,
        progress=progress,
    )
    return EmbedReport(
        table=table,
        total=done.total,
        computed=done.computed,
        reused=done.reused,
        quarantined=done.quarantined,
        failures=done.failures,
        seconds=done.seconds,
    )


def fill(
    manifest: Manifest,
    table: Table,
    recipe: Work[Built],
    *,
    encoder: Built | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> FillReport:
    """What :func:`extract` does, for any table and whatever a recipe makes of a track."""
    todo = plan(manifest, table, retry_failed=retry_failed)
    run = _Run(table, todo, len(manifest), progress)
    processes = _workers(workers, len(todo.tasks), recipe)
    batches = _outcomes(run.unknown(todo.tasks), recipe, encoder, processes)
    try:
        for batch in batches:
            run.settle(batch)
    finally:
        batches.close()
        table.flush()
    return run.report()


class _Run:
    """The state of one run: what was written, what is counted."""

    def __init__(self, table: Table, todo: Plan, total: int, progress: Progress | None) -> None:
        self.table = table
        self.todo = todo
        self.total = total
        self.progress = progress
        self.failures = list(todo.failures)
        self.computed = 0
        self.moved = 0
        self.began = self.flushed = time.monotonic()

    def unknown(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Tasks whose content is not stored; the others are settled from the store.

        Only files of a size that is stored are hashed here, before a worker is asked: it would
        else need to know every key there is.
        """
        moved: list[tuple[FileFacts, Stored]] = []
        for task in tasks:
            facts = file_facts(task.track)
            sha256 = _hash(task) if facts.bytes in self.todo.sizes else None
            key = content_key(sha256, facts.start, facts.duration) if sha256 else ""
            if key in self.todo.by_key:
                moved.append((facts, self.todo.by_key[key]))
                if len(moved) >= MOVED_AT_ONCE:
                    self.adopt(moved)
                    moved = []
            else:
                yield Task(task.track, sha256)
        self.adopt(moved)

    def adopt(self, moved: Sequence[tuple[FileFacts, Stored]]) -> None:
        """Write stored rows again for the places where their files are now."""
        rows = self.table.rows_of([stored for _, stored in moved])
        for (facts, _), row in zip(moved, rows, strict=True):
            self.table.append(replace(row, facts=facts))
        self.moved += len(moved)
        self.tell()

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Write rows and failures; flush now and then."""
        for outcome in outcomes:
            if isinstance(outcome, Row):
                self.table.append(outcome)
                self.computed += 1
            else:
                self.table.fail(outcome)
                self.failures.append(outcome)
                log.info("quarantined: %s", outcome.reason)
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.table.flush()
            self.flushed = time.monotonic()
        self.tell()

    def tell(self) -> None:
        if self.progress:
            done = self.todo.finished + self.moved + self.computed
            self.progress(done, len(self.failures), self.total)

    def report(self) -> FillReport:
        return FillReport(
            total=self.total,
            computed=self.computed,
            reused=self.todo.finished + self.moved,
            quarantined=len(self.failures),
            failures=tuple(self.failures),
            seconds=time.monotonic() - self.began,
        )


def _hash(task: Task) -> str | None:
    try:
        return content_hash(task.track.path)
    except AudioError:
        return None  # the worker meets the same and says why


def _workers(asked: int | None, tasks: int, recipe: Work[Any]) -> int:
    if asked is not None and asked < 1:
        raise UsageError(wanted="at least one worker", got=str(asked), fix="Use --workers 1")
    if asked is not None:
        return asked
    if recipe.device != "cpu":
        return 1  # several processes on one device only fight for its memory
    return max(1, min(available_cpus(), tasks // TRACKS_PER_WORKER))


def _outcomes(
    tasks: Iterable[Task], recipe: Work[Built], encoder: Built | None, workers: int
) -> Generator[list[Outcome]]:
    if workers == 1:
        yield from run_here(tasks, recipe, encoder or recipe.build())
    else:
        yield from run_pool(tasks, recipe, workers=workers)
