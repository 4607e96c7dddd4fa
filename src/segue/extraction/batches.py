"""Batches of tracks, for engines that share no memory: lists of what is to do, what comes of each.

Whoever leads the run writes lists beside the shards of the table; whoever works takes a batch of
their lines, writes the shard of it, and reports nothing but counts and reasons.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segue.datasets import Track
from segue.errors import AudioError
from segue.extraction.apart import run_apart
from segue.extraction.limits import Limits
from segue.extraction.pool import Pool
from segue.extraction.worker import Outcome, Recipe, Task, content_hash, file_facts
from segue.files import Location, entries, remove_quietly, write_atomically
from segue.store import Failure, FeatureTable, FileFacts, Row, Stored, content_key

WAITING = "waiting"  # a table's folder for lists of what is to do
STALE_SECONDS = 30 * 86400.0  # a list that a killed run left is removed after that
LIST_ROWS = 2**18  # tracks in a list

Ask = Callable[[Sequence[str]], list[Stored | None]]  # for the stored rows of content keys

LIST = pa.schema(
    {
        "id": pa.string(),
        "path": pa.string(),
        "start": pa.float64(),
        "duration": pa.float64(),
        "line": pa.int64(),
        "known_size": pa.bool_(),  # a file of that size is stored: this one may be it, moved
    }
)


@contextmanager
def lists_of(
    table: FeatureTable, lines: Iterator[Mapping[str, Any]]
) -> Iterator[tuple[list[Location], int]]:
    """What is to do as Parquet, beside the shards: who can write there can read there.

    Parameters
    ----------
    table : FeatureTable
    lines : iterator of mapping
        Of the columns of ``LIST``.

    Yields
    ------
    files : list of Path or UPath
        Removed when the block ends.
    tracks : int
        How many they list.
    """
    room, run = table.folder / WAITING, uuid.uuid4().hex
    for forgotten in entries(room):
        remove_quietly(forgotten, older=STALE_SECONDS)
    files: list[Location] = []
    tracks = 0
    try:
        while some := list(islice(lines, LIST_ROWS)):
            content = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(some, schema=LIST), content)
            name = f"{run}-{len(files):05d}.parquet"
            files.append(write_atomically(room / name, content.getvalue()))
            tracks += len(some)
        yield files, tracks
    finally:
        for path in files:
            remove_quietly(path)


class Keeper:
    """One for all workers: it knows what content is stored, for files that were moved.

    Parameters
    ----------
    place : str
        Of the table.
    """

    def __init__(self, place: str) -> None:
        self.index = FeatureTable.open(place).index()

    def stored(self, keys: Sequence[str]) -> list[Stored | None]:
        """The stored row of each content key."""
        return [self.index.stored(key) for key in keys]


class Embedder:
    """Batches of tracks in, shards out.

    On a CPU a worker process decodes and encodes, and is replaced when a track crashes or hangs
    it. On a GPU worker processes decode, and the encoder stays here.

    Parameters
    ----------
    place : str
        Of the table.
    recipe : Recipe
    limits : Limits
    workers : int
        Processes.
    ask : callable, optional
        For what is stored under content keys, see :class:`Keeper`; asked for files of a size that
        is stored.
    after_ns : int
        When the latest that the table held was written: what is written now is later than that,
        although the clock of this machine may be behind.
    """

    def __init__(
        self,
        place: str,
        recipe: Recipe,
        limits: Limits,
        workers: int = 1,
        ask: Ask | None = None,
        after_ns: int = 0,
    ) -> None:
        self.table = FeatureTable.open(place, after_ns=after_ns)
        self.ask = ask
        self.outcomes: Callable[[Sequence[Task]], Iterator[list[Outcome]]]
        if recipe.device == "cpu":
            self.outcomes = Pool(recipe, workers=workers, limits=limits).outcomes
        else:
            built = recipe.build()
            self.outcomes = partial(
                run_apart, recipe=recipe, encoder=built, workers=workers, limits=limits
            )

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Embed a batch of tracks and write it.

        Parameters
        ----------
        batch : pyarrow.Table
            Lines of ``LIST``.

        Returns
        -------
        pyarrow.Table
            A line with what there is to count, see :func:`counted`.
        """
        tasks = [_task(line) for line in batch.to_pylist()]
        rows = self._moved([task for task in tasks if task.sha256])
        moved = len(rows)  # of tracks: two may have one place
        known, failures = {row.facts.place for row in rows}, []
        left = [task for task in tasks if file_facts(task.track).place not in known]
        for outcomes in self.outcomes(left):
            for outcome in outcomes:
                if isinstance(outcome, Row):
                    rows.append(outcome)
                else:
                    failures.append(outcome)
        for row in rows:
            self.table.append(row)
        for failure in failures:
            self.table.fail(failure)
        self.table.flush()
        notes = json.dumps([asdict(failure) for failure in failures])
        counts = {"computed": len(rows) - moved, "moved": moved, "failures": notes}
        return pa.Table.from_pylist([counts])

    def _moved(self, tasks: Sequence[Task]) -> list[Row]:
        """Rows of files that are stored under another name, for the places where they are now."""
        if self.ask is None or not tasks:
            return []
        facts = [task.facts or file_facts(task.track) for task in tasks]
        keys = [
            content_key(task.sha256 or "", one.start, one.duration)
            for task, one in zip(tasks, facts, strict=True)
        ]
        found = [
            (one, stored)
            for one, stored in zip(facts, self.ask(keys), strict=True)
            if stored is not None
        ]
        rows = self.table.rows_of([stored for _, stored in found])
        return [replace(row, facts=one) for row, (one, _) in zip(rows, found, strict=True)]


def _task(line: Mapping[str, Any]) -> Task:
    cells = {name: line[name] for name in Track._fields}
    track = Track(**{**cells, "path": Path(line["path"])})
    if not line["known_size"]:
        return Task(track)
    facts = file_facts(track)  # before it is hashed: the hash holds for that file
    try:
        return Task(track, content_hash(track.path), facts)
    except AudioError:
        return Task(track)  # the worker meets the same and says why


def counted(report: pa.Table) -> tuple[int, int, list[Failure]]:
    """Tracks computed, tracks that were moved, and failures, of what an :class:`Embedder` reports.

    Examples
    --------
    >>> counted(pa.Table.from_pylist([{"computed": 2, "moved": 1, "failures": "[]"}]))
    (2, 1, [])
    """
    lines = report.to_pylist()
    failures = [
        Failure(facts=FileFacts(**note["facts"]), stage=note["stage"], reason=note["reason"])
        for line in lines
        for note in json.loads(line["failures"])
    ]
    return sum(line["computed"] for line in lines), sum(line["moved"] for line in lines), failures
