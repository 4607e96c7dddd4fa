"""Fill a feature table: skip what is done, quarantine what is bad, keep what is finished."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from segue.datasets import Manifest
from segue.encoders import Encoder
from segue.errors import UsageError
from segue.extraction.pool import available_cpus, run_here, run_pool
from segue.extraction.worker import Moved, Outcome, Recipe, Task, file_facts
from segue.store import Failure, FeatureTable, Row

log = logging.getLogger(__name__)

FLUSH_SECONDS = 20.0
TRACKS_PER_WORKER = 16  # below this, starting another process costs more than it saves

Progress = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedReport:
    """What an embedding run did; the three counts add up to ``total``.

    Attributes
    ----------
    table : FeatureTable
    total : int
        Tracks in the manifest.
    computed, reused, quarantined : int
        Embedded now; stored already (also under another name); refused, now or before.
    failures : tuple of Failure
        The quarantined tracks and their reasons.
    seconds : float
    """

    table: FeatureTable
    total: int
    computed: int
    reused: int
    quarantined: int
    failures: tuple[Failure, ...]
    seconds: float

    def by_stage(self) -> dict[str, int]:
        """Quarantined tracks by stage."""
        return dict(Counter(failure.stage for failure in self.failures).most_common())


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to do: tasks, and what earlier runs have settled."""

    tasks: list[Task]
    finished: int
    failures: dict[str, Failure]


def plan(manifest: Manifest, table: FeatureTable, *, retry_failed: bool = False) -> Plan:
    """Sort a manifest's tracks into finished, known to fail, and to do.

    A track is finished when its id is stored for the same path, size, time and stretch. A failure
    counts as settled under the same condition, unless ``retry_failed``.
    """
    done, failed = table.finished(), table.failures()
    keys_by_size: dict[int, set[str]] = defaultdict(set)
    for facts, key in done.values():
        keys_by_size[facts.bytes].add(key)
    tasks, finished, settled = [], 0, {}
    for track in manifest.tracks():
        facts = file_facts(track)
        if track.id in done and done[track.id][0].same_as(facts):
            finished += 1
        elif track.id in failed and failed[track.id].facts.same_as(facts) and not retry_failed:
            settled[track.id] = failed[track.id]
        else:
            tasks.append(Task(track, frozenset(keys_by_size.get(facts.bytes, ()))))
    return Plan(tasks, finished, settled)


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
    KeyboardInterrupt
        Passed on after everything finished so far has been written.
    """
    began = time.monotonic()
    todo = plan(manifest, table, retry_failed=retry_failed)
    failures, known_bad = dict(todo.failures), set(table.failures())
    computed = moved = 0
    batches = _outcomes(todo.tasks, recipe, encoder, _workers(workers, len(todo.tasks), recipe))
    flushed = time.monotonic()
    try:
        for batch in batches:
            for outcome in _resolve(batch, table):
                if isinstance(outcome, Failure):
                    table.fail(outcome)
                    failures[outcome.facts.id] = outcome
                    log.info("quarantined: %s", outcome.reason)
                else:
                    table.append(outcome)
                    computed += 1
                    if outcome.facts.id in known_bad:
                        table.absolve(outcome.facts.id)
            moved += sum(isinstance(outcome, Moved) for outcome in batch)
            if time.monotonic() - flushed > FLUSH_SECONDS:
                table.flush()
                flushed = time.monotonic()
            if progress:
                progress(todo.finished + computed, len(failures), len(manifest))
    finally:
        batches.close()
        table.flush()
    return EmbedReport(
        table=table,
        total=len(manifest),
        computed=computed - moved,
        reused=todo.finished + moved,
        quarantined=len(failures),
        failures=tuple(failures.values()),
        seconds=time.monotonic() - began,
    )


def _workers(asked: int | None, tasks: int, recipe: Recipe) -> int:
    if asked is not None and asked < 1:
        raise UsageError(wanted="at least one worker", got=str(asked), fix="Use --workers 1")
    if asked is not None:
        return asked
    if recipe.device != "cpu":
        return 1  # several processes on one device only fight for its memory
    return max(1, min(available_cpus(), tasks // TRACKS_PER_WORKER))


def _outcomes(
    tasks: Iterable[Task], recipe: Recipe, encoder: Encoder | None, workers: int
) -> Generator[list[Outcome]]:
    if workers == 1:
        yield from run_here(tasks, encoder or recipe.build())
    else:
        yield from run_pool(tasks, recipe, workers=workers)


def _resolve(batch: Iterable[Outcome], table: FeatureTable) -> Iterator[Row | Failure]:
    """Outcomes with moved files turned into rows of their new names."""
    batch = list(batch)
    stored = table.rows_with_keys(o.key for o in batch if isinstance(o, Moved))
    for outcome in batch:
        if isinstance(outcome, Moved):
            yield replace(stored[outcome.key], facts=outcome.facts)
        else:
            yield outcome
