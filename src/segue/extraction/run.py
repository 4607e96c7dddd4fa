"""Fill a table: skip what is done, quarantine what is bad, keep what is finished."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Protocol

from segue.datasets import Manifest, Track
from segue.encoders import Encoder
from segue.errors import AudioError, UsageError
from segue.extraction.apart import run_apart
from segue.extraction.limits import Limits
from segue.extraction.pool import run_here, run_pool
from segue.extraction.processes import available_cpus
from segue.extraction.worker import (
    Built,
    Outcome,
    Recipe,
    Task,
    Work,
    content_hash,
    file_facts,
)
from segue.store import Failure, FeatureTable, FileFacts, Index, Row, Stored, content_key

log = logging.getLogger(__name__)

FLUSH_SECONDS = 20.0
TRACKS_PER_WORKER = 16  # below this, starting another process costs more than it saves
LOOKED_UP_AT_ONCE = 1024
ADOPTED_AT_ONCE = 64  # they were hashed for it, which an interruption should not cost again

Progress = Callable[[int, int, int], None]
Say = Callable[[str], None]
Engine = Callable[[Iterable[Task]], Iterator[list[Outcome]]]


class Table(Protocol):
    """What is filled: a table of features or of frames."""

    def index(self) -> Index:
        """What is stored and what failed, to look tracks up in."""

    def lock(self, say: Say | None = None) -> AbstractContextManager[None]:
        """Held by the one process that writes."""

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
        """Quarantined tracks by stage, the commonest first."""
        return dict(Counter(failure.stage for failure in self.failures).most_common())

    def first_of(self, stage: str) -> Failure:
        """The first track that was quarantined at a stage."""
        return next(failure for failure in self.failures if failure.stage == stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedReport(FillReport):
    """What an embedding run did, and to which table.

    Attributes
    ----------
    table : FeatureTable
    """

    table: FeatureTable


def extract(
    manifest: Manifest,
    table: FeatureTable,
    recipe: Recipe,
    *,
    encoder: Encoder | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> EmbedReport:
    """Write the features of a manifest's tracks to a table.

    Parameters
    ----------
    manifest : Manifest
    table : FeatureTable
        Of the same encoder card as the recipe builds.
    recipe : Recipe
    encoder : Encoder, optional
        What the recipe builds, when it is built already.
    workers : int, optional
        Processes that decode and encode, so that a decoder that crashes or hangs costs one file;
        by default one a processor, fewer for few tracks. 0 works in this process, unprotected. On
        a device other than the cpu they decode and this process encodes.
    limits : Limits, optional
        How long a worker may show no sign of life, and how much memory all may take.
    retry_failed : bool
        Try quarantined tracks again although their files are unchanged.
    progress : callable, optional
        Called with (done, quarantined, total); first when what was done before is counted.
    say : callable, optional
        Told in a sentence why nothing moves: another process is filling the table.

    Raises
    ------
    StoreError
        The disk is full or the table cannot be written. Finished shards are kept.
    UsageError
        Limits that nothing can be done within.
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
        limits=limits,
        retry_failed=retry_failed,
        progress=progress,
        say=say,
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
    limits: Limits | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> FillReport:
    """What :func:`extract` does, for any table and whatever a recipe makes of a track."""
    if workers is not None and workers < 0:
        raise UsageError(wanted="workers, 0 or more", got=str(workers), fix="Use --workers 1")
    if workers == 0 and limits is not None and limits.memory is not None:
        raise UsageError(
            wanted="worker processes, whose memory can be limited",
            got="--memory-budget with --workers 0",
            fix="Use --workers 1, or drop the budget",
        )
    with table.lock(say):
        run = Run(table, len(manifest), retry_failed=retry_failed, progress=progress)
        try:
            # few tracks do not pay for many processes; none, for not even one
            tasks = run.todo(manifest)
            ahead = list(islice(tasks, TRACKS_PER_WORKER * available_cpus()))
            many = default_workers(len(ahead)) if workers is None else workers
            run.tell()
            with closing(_outcomes(ahead, tasks, recipe, encoder, many, limits)) as batches:
                for batch in batches:
                    run.settle(batch)
        finally:
            table.flush()
    return run.report()


class Run:
    """The state of one run: what is to do, what was written, what is counted."""

    def __init__(
        self, table: Table, total: int, *, retry_failed: bool, progress: Progress | None
    ) -> None:
        self.table = table
        self.total = total
        self.retry_failed = retry_failed
        self.progress = progress
        self.index = table.index()
        self.failures: list[Failure] = []
        self.computed = self.reused = 0
        self.began = self.flushed = time.monotonic()

    def todo(self, manifest: Manifest) -> Iterator[Task]:
        """Tracks that are neither stored nor known to fail; the others are settled on the way.

        A track is stored when the latest written of its place is a row, and the file is unchanged.
        A failure counts as settled under the same condition, unless ``retry_failed``. A file that
        was moved or copied is known by its content. Only files of a size that is stored are hashed
        for that, before a worker is asked: it would else need to know every key there is.
        """
        for tracks in _batched(manifest.tracks(), LOOKED_UP_AT_ONCE):
            facts = [file_facts(track) for track in tracks]
            moved: list[tuple[FileFacts, Stored]] = []
            for track, one, found in zip(tracks, facts, self.index.look(facts), strict=True):
                if found == "done":
                    self.reused += 1
                elif isinstance(found, Failure) and not self.retry_failed:
                    self.failures.append(replace(found, facts=one))
                elif (stored := self._same_content(one, sha256 := self._hash(track, one))) is None:
                    yield Task(track, sha256, one)
                else:
                    moved.append((one, stored))
                    if len(moved) == ADOPTED_AT_ONCE:
                        self._adopt(moved)
                        moved = []
            self._adopt(moved)

    def _hash(self, track: Track, facts: FileFacts) -> str | None:
        if not self.index.holds_size(facts.bytes):
            return None
        try:
            return content_hash(track.path)
        except AudioError:
            return None  # the worker meets the same and says why

    def _same_content(self, facts: FileFacts, sha256: str | None) -> Stored | None:
        if sha256 is None:
            return None
        return self.index.stored(content_key(sha256, facts.start, facts.duration))

    def _adopt(self, moved: Sequence[tuple[FileFacts, Stored]]) -> None:
        """Write stored rows again for the places where their files are now."""
        if not moved:
            return
        rows = self.table.rows_of([stored for _, stored in moved])
        for (facts, _), row in zip(moved, rows, strict=True):
            self.table.append(replace(row, facts=facts))
        self.reused += len(moved)
        self._flush_now_and_then()
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
        self._flush_now_and_then()
        self.tell()

    def _flush_now_and_then(self) -> None:
        if time.monotonic() - self.flushed > FLUSH_SECONDS:
            self.table.flush()
            self.flushed = time.monotonic()

    def tell(self) -> None:
        """How far it is."""
        if self.progress:
            self.progress(self.reused + self.computed, len(self.failures), self.total)

    def report(self) -> FillReport:
        """What was done."""
        return FillReport(
            total=self.total,
            computed=self.computed,
            reused=self.reused,
            quarantined=len(self.failures),
            failures=tuple(self.failures),
            seconds=time.monotonic() - self.began,
        )


def default_workers(tracks: int) -> int:
    """Processes for so many tracks: one a processor, fewer where starting them costs more."""
    return max(1, min(available_cpus(), tracks // TRACKS_PER_WORKER))


def outcomes_of(
    recipe: Work[Built], encoder: Built | None, workers: int, limits: Limits | None
) -> Engine:
    """How the outcomes of tasks are had: here, from workers, or decoded by them and encoded here.

    Parameters
    ----------
    recipe : Work
    encoder : optional
        What the recipe builds, when it is built already.
    workers : int
        0: all in this process.
    limits : Limits, optional
    """
    if recipe.device == "cpu" and workers:
        return partial(run_pool, recipe=recipe, workers=workers, limits=limits)
    built = recipe.build() if encoder is None else encoder
    if workers and isinstance(recipe, Recipe) and isinstance(built, Encoder):
        return partial(run_apart, recipe=recipe, encoder=built, workers=workers, limits=limits)
    # frames on a device: several processes there would only fight for its memory
    return partial(run_here, recipe=recipe, encoder=built)


def _outcomes(
    ahead: Sequence[Task],
    rest: Iterable[Task],
    recipe: Work[Built],
    encoder: Built | None,
    workers: int,
    limits: Limits | None,
) -> Generator[list[Outcome]]:
    """Outcomes of the first tasks and those that follow; for none nothing is built or started."""
    if ahead:
        yield from outcomes_of(recipe, encoder, workers, limits)(chain(ahead, rest))


def _batched(tracks: Iterator[Track], size: int) -> Iterator[list[Track]]:
    while batch := list(islice(tracks, size)):
        yield batch
