"""Feature tables on disk: append-only Parquet shards, addressed by what was heard and how.

A store is a folder with one table per encoder card; a table is a folder with its card, shards and
quarantine. A row's key is the SHA-256 of the file's bytes plus the stretch heard; together with
the digest of the card it fixes the features, whatever the file is called or wherever it lies.
What a track is now, embedded or quarantined, is what was written of its place last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segue.card import EncoderCard
from segue.errors import StoreError
from segue.files import Location, exists, remove_partial, write_atomically
from segue.files import folder as location
from segue.store.cards import CARD, read_card, table_folders, write_card
from segue.store.compaction import compact_shards, shards
from segue.store.fetching import fetch_features, fetch_rows
from segue.store.finding import find_rows
from segue.store.fingerprint import failure_digests, row_digests, together
from segue.store.index import Index
from segue.store.layout import FACTS
from segue.store.locking import Say, make_once, writer_lock
from segue.store.naming import Names, folder_name
from segue.store.quarantine import (
    FAILURES,
    merge_failures,
    noted_failures,
    standing_failures,
    write_failures,
)
from segue.store.rows import Contents, Failure, FileFacts, Place, Row, Stored
from segue.store.shards import (
    ShardGoneError,
    read,
    read_part,
    read_whole,
    stored_row,
    stored_rows,
    to_arrow,
    to_parquet,
)

log = logging.getLogger(__name__)

SHARD_ROWS = 8192
SHARD_BYTES = 16 * 2**20  # of features, which wait in memory until a shard is full
MANY_SHARDS = 32  # small ones, which are merged then; so many files of failures, too
STALE_SECONDS = 86400.0  # nobody writes a file for a day
TRIES = 20  # of reading while another process merges shards

T = TypeVar("T")


@dataclass(slots=True)
class FeatureTable:
    """Features of one encoder card: ids and X (tracks, dim), growing by whole shards.

    Build one with :meth:`open_or_create` or :meth:`open`.

    Attributes
    ----------
    folder : Path or UPath
    card : EncoderCard

    Examples
    --------
    >>> import tempfile
    >>> from segue.encoders import encoder
    >>> table = FeatureTable.open_or_create(Path(tempfile.mkdtemp()), encoder("mfcc").card)
    >>> table.read()[1].shape
    (0, 120)
    """

    folder: Location
    card: EncoderCard
    pending: dict[int, Row] = field(default_factory=dict, repr=False)
    failing: dict[int, Failure] = field(default_factory=dict, repr=False)
    _latest_ns: int = field(default=0, repr=False)
    _names: dict[str, Names] = field(default_factory=dict, repr=False)

    @classmethod
    def open_or_create(cls, store: str | Location, card: EncoderCard) -> FeatureTable:
        """The table of a card in a store, made when absent.

        A table of the same encoder with other settings stays as it is: the new one goes beside it,
        and the fields that differ are logged.

        Parameters
        ----------
        store : str, Path or UPath
            A folder, or an address such as ``"s3://bucket/store"``, see
            :func:`segue.files.folder`.
        card : EncoderCard

        Raises
        ------
        StoreError
            It cannot be made, or what is there is not it.
        UsageError
            The address is none, or its driver is not installed.

        Examples
        --------
        >>> from segue.encoders import encoder
        >>> table = FeatureTable.open_or_create("memory://bucket/store", encoder("mfcc").card)
        >>> str(table.folder.parent)
        'memory://bucket/store'
        """
        store = location(store)
        folder = store / folder_name(card.label, card.digest)
        if exists(folder / CARD):
            table = cls.open(folder)
            table._clean(STALE_SECONDS)
            if table.card != card:  # words alone, such as the licence, or where its file lies
                write_card(folder, card)
                table.card = card
            return table
        for there in table_folders(store):
            try:
                other = cls.open(there)
            except StoreError as error:  # another's damage is no reason not to begin this one
                log.warning("a table beside the new one cannot be read: %s", error)
                continue
            if other.card.label == card.label:
                changes = "; ".join(other.card.differences(card))
                log.warning("%s is kept; a new table is made: %s", other.folder.name, changes)
        try:
            if isinstance(folder, Path):
                (folder / "shards").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                wanted="a folder to write features to",
                got=error.strerror or str(error),
                fix="Choose another folder with -o",
                source=str(folder),
            ) from error
        make_once(folder / CARD, lambda: write_card(folder, card))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Location, *, after_ns: int = 0) -> FeatureTable:
        """An existing table.

        Parameters
        ----------
        folder : str, Path or UPath
        after_ns : int
            What is written to it is later than that, whatever the clock here says: to be told by
            the process that has read the :meth:`index`, to those on other machines that have not.

        Raises
        ------
        StoreError
            When it is no table, or its card does not match its digest.
        """
        folder = location(folder)
        return cls(folder, read_card(folder), _latest_ns=after_ns)

    @contextmanager
    def lock(self, say: Say | None = None, *, wait: float | None = None) -> Iterator[None]:
        """Be the only process that writes to this table, until the block ends.

        The system lets go of the lock when the process ends, also by ``kill -9``. What killed
        writers left half-written is removed, and many small shards are merged. A table behind a
        URL has no lock, and needs none: each flush writes files of unique names there, and
        nothing is merged or removed but by :meth:`compact`, when asked to.

        Parameters
        ----------
        say : callable, optional
            Told once, in a sentence, when another process has it.
        wait : float, optional
            Seconds to wait for it; by default as long as it takes.

        Raises
        ------
        StoreError
            Another process still had it after ``wait`` seconds, or there can be no lock here.
        """
        if not isinstance(self.folder, Path):
            yield
            return
        with writer_lock(self.folder, say, wait=wait):
            self._clean(0.0)
            self._names.clear()
            merge_failures(self.folder, least=MANY_SHARDS)
            compact_shards(self.folder, self.card, full=self._full, least=MANY_SHARDS)
            yield

    def append(self, row: Row) -> None:
        """Add a row; whole shards are written, what is left waits for :meth:`flush`.

        Raises
        ------
        StoreError
            The features are not finite or of another size; the disk is full.
        """
        if row.features.shape != (self.card.dim,) or not np.isfinite(row.features).all():
            raise StoreError(
                wanted=f"{self.card.dim} finite features",
                got=f"shape {row.features.shape}, {int((~np.isfinite(row.features)).sum())} not "
                "finite",
                fix="Report this as a bug of the encoder",
                source=row.facts.path,
            )
        self.pending[self._now()] = row
        if len(self.pending) >= self._full:
            self.flush()

    def fail(self, failure: Failure) -> None:
        """Add a failure to the quarantine; it waits for :meth:`flush`, as rows do."""
        self.failing[self._now()] = failure
        if len(self.failing) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write pending rows as one shard, and pending failures beside it, each whole or not.

        Raises
        ------
        StoreError
            The disk is full, or the like. What was not written stays pending.
        """
        if self.pending:
            rows = to_arrow(list(self.pending.values()), list(self.pending))
            path = self.folder / "shards" / f"{self._name('shards')}.parquet"
            write_atomically(path, to_parquet(rows, self.card.digest))
            self.pending.clear()
        if self.failing:
            noted = [(failure, written_ns) for written_ns, failure in self.failing.items()]
            write_failures(self.folder, noted, name=self._name(FAILURES))
            self.failing.clear()

    def compact(self, *, alone: bool = False) -> int:
        """Merge small shards into large ones; how many were merged.

        It takes the lock, and taking the lock merges too where there are many.

        Parameters
        ----------
        alone : bool
            Of a table behind a URL, which has no lock: no other process merges it now. Without
            that word it is left as it is.

        Raises
        ------
        StoreError
            A shard cannot be read, or the merged one cannot be written; no row is lost.
        """
        if not isinstance(self.folder, Path) and not alone:
            return 0
        with writer_lock(self.folder) if isinstance(self.folder, Path) else nullcontext():
            merge_failures(self.folder)
            return self._steadily(lambda: compact_shards(self.folder, self.card, full=self._full))

    def contents(self) -> Contents:
        """Every place's latest row and failure, without reading features."""
        return self._steadily(self._contents)

    def index(self) -> Index:
        """What :meth:`contents` tells, in columns: to resume over millions of tracks."""
        index = self._steadily(self._index)
        self._latest_ns = max(self._latest_ns, index.latest_ns)
        return index

    def fingerprint(self) -> str:
        """SHA-256 over all that the table holds, but for times of writing and the cut of shards.

        Two tables of equal rows and failures have one fingerprint, whichever engine wrote them,
        in whichever order, interrupted or not.
        """
        return self._steadily(self._fingerprint)

    def features(self, rows: Sequence[Stored]) -> NDArray[np.float32]:
        """X (len(rows), dim) of stored rows, each shard read once."""
        return self._fetch(fetch_features, rows)

    def rows_of(self, rows: Sequence[Stored]) -> list[Row]:
        """Stored rows as they were appended, for files that were moved or copied.

        Raises
        ------
        StoreError
            What lies there is of another key.
        """
        return self._fetch(fetch_rows, rows)

    def read(self) -> tuple[list[FileFacts], NDArray[np.float32]]:
        """Facts and features X (tracks, dim) of all places that are not quarantined."""
        return self._steadily(self._read)

    def matrix(self, tracks: Sequence[FileFacts]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features of tracks, X (n, dim), and which of them are there; rows absent are NaN.

        A track is found by its place, if the file there is unchanged or gone since. A store that
        was carried to a machine without the audio is searched by id, where that is unmistakable.
        """
        return self._steadily(lambda: self._matrix(tracks))

    @property
    def _full(self) -> int:
        """Rows of a full shard."""
        return max(1, min(SHARD_ROWS, SHARD_BYTES // (4 * self.card.dim)))

    def _now(self) -> int:
        """The time in nanoseconds, later than anything known to be written to this table.

        A clock that was put back must not make what is written now older than what is there.
        """
        self._latest_ns = max(time.time_ns(), self._latest_ns + 1)
        return self._latest_ns

    def _name(self, kind: str) -> str:
        """Of a new file of that folder."""
        return self._names.setdefault(kind, Names(self.folder / kind)).new()

    def _clean(self, older: float) -> None:
        for folder in (self.folder, self.folder / "shards", self.folder / FAILURES):
            remove_partial(folder, older=older)

    def _steadily(self, reading: Callable[[], T]) -> T:
        """Read, once more where a shard that was listed has been merged into another since."""
        for _ in range(TRIES - 1):
            try:
                return reading()
            except ShardGoneError:
                continue
        return reading()

    def _read(self) -> tuple[list[FileFacts], NDArray[np.float32]]:
        usable = self._contents().usable()
        return [stored.facts for stored in usable], fetch_features(usable, self.card)

    def _matrix(self, tracks: Sequence[FileFacts]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        chosen = find_rows(self._contents(), tracks)
        found = np.array([stored is not None for stored in chosen], dtype=bool)
        X = np.full((len(tracks), self.card.dim), np.nan, np.float32)
        there = [stored for stored in chosen if stored is not None]
        X[found] = fetch_features(there, self.card)
        return X, found

    def _contents(self) -> Contents:
        noted = noted_failures(self.folder)
        rows: dict[Place, Stored] = {}
        for path in shards(self.folder):
            for stored in stored_rows(path, self.card):
                earlier = rows.get(stored.facts.place)
                if earlier is None or earlier.written_ns <= stored.written_ns:  # as Index does
                    rows[stored.facts.place] = stored
        ordered = dict(sorted(rows.items(), key=lambda item: item[1].written_ns))
        return Contents(ordered, standing_failures(noted, ordered))

    def _index(self) -> Index:
        noted, paths = noted_failures(self.folder), shards(self.folder)

        @lru_cache(maxsize=16)  # files that were moved together were often written together
        def cells(part: int) -> pa.Table:
            return read(paths[part], self.card, [*FACTS, "key", "written_ns"])

        def fetch(part: int, row: int) -> Stored:
            return stored_row(cells(part).slice(row, 1).to_pylist()[0], paths[part], row)

        return Index((read_part(path, self.card) for path in paths), noted, fetch)

    def _fingerprint(self) -> str:
        paths, index = shards(self.folder), self._index()
        digests = (
            row_digests(read_whole(path, self.card).take(pa.array(rows)), self.card.dim)
            for path, rows in zip(paths, index.rows_by_part(len(paths)), strict=True)
        )
        return together(self.card.digest, digests, failure_digests(index.failures))

    def _fetch(
        self, fetch: Callable[[Sequence[Stored], EncoderCard], T], rows: Sequence[Stored]
    ) -> T:
        """Fetch rows, from where they are now if their shards were merged meanwhile."""
        for _ in range(TRIES - 1):
            try:
                return fetch(rows, self.card)
            except ShardGoneError as gone:
                rows = self._again(rows, gone)
        return fetch(rows, self.card)

    def _again(self, rows: Sequence[Stored], gone: ShardGoneError) -> list[Stored]:
        """Where rows are now whose shard was merged into another since they were found."""
        there = self._steadily(self._contents).rows
        moved = [there.get(stored.facts.place) for stored in rows]
        found = [
            new
            for new, old in zip(moved, rows, strict=True)
            if new is not None and new.written_ns == old.written_ns
        ]
        if len(found) < len(rows):
            raise gone
        return found
