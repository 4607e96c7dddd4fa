"""Frame tables on disk: every frame of a track, many tracks a shard, read through memory maps.

A frame table is a folder of a store beside the feature tables, with its kind, shards and
quarantine. A shard is a plain ``.npy`` file (frames, width) of float32 with a sidecar that says
which of its frames are whose. The sidecar is written last: an array without one is what an
interrupted run left, and counts for nothing. What a track is now, stored or quarantined, is what
was written of its place last.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import StoreError, UsageError
from segue.files import Location, remove_partial, remove_quietly, write_atomically
from segue.files import folder as location
from segue.store.finding import find_rows
from segue.store.index import Index
from segue.store.kinds import KIND, FrameKind, read_kind, write_kind
from segue.store.locking import Say, make_once, writer_lock
from segue.store.naming import Names
from segue.store.quarantine import (
    FAILURES,
    Noted,
    merge_failures,
    noted_failures,
    standing_failures,
    write_failures,
)
from segue.store.rows import Contents, Failure, FileFacts, Place, Row, Stored
from segue.store.sidecar import damaged, facts_of, read_sidecar, row_of, sidecar

log = logging.getLogger(__name__)

SHARD_BYTES = 64 * 2**20
SHARD_TRACKS = 4096  # a sidecar is read whole
MANY_FAILURES = 32  # files of failures, which are merged then
OPEN_SHARDS = 256  # each open map holds a file handle, of which a process has about a thousand
STALE_SECONDS = 3600.0  # nobody is an hour between an array and its sidecar

Frames = NDArray[np.float32]


@dataclass(slots=True)
class FrameTable:
    """Frames (t, width) of tracks, growing by whole shards.

    Build one with :meth:`open_or_create` or :meth:`open`. Reading is safe from several threads.

    Attributes
    ----------
    folder : Path
    kind : FrameKind

    Examples
    --------
    >>> import tempfile
    >>> table = FrameTable.open_or_create(tempfile.mkdtemp(), FrameKind("toy", 2, {}))
    >>> facts = FileFacts(id="a", path="/a.wav", line=1, bytes=9, mtime_ns=1)
    >>> table.append(Row(facts=facts, key="k", source_rate=8000, source_channels=1, seconds=1.0,
    ...                  features=np.ones((3, 2), np.float32)))
    >>> table.flush()
    >>> [table.frames(stored).shape for stored in table.contents().usable()]
    [(3, 2)]
    """

    folder: Path
    kind: FrameKind
    pending: dict[int, Row] = field(default_factory=dict, repr=False)
    failing: dict[int, Failure] = field(default_factory=dict, repr=False)
    _latest_ns: int = field(default=0, repr=False)
    _names: dict[str, Names] = field(default_factory=dict, repr=False)
    _spans: dict[Path, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    _maps: OrderedDict[Path, Frames] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open_or_create(cls, store: str | Location, kind: FrameKind) -> FrameTable:
        """The table of a kind in a store, made when absent.

        A table of the same label with other settings stays as it is: the new one goes beside it,
        and the facts that differ are logged.

        Raises
        ------
        StoreError
            When it cannot be made, or what is there is not it.
        UsageError
            The store is behind a URL: frames are read through memory maps.
        """
        store = _here(location(store))
        folder = store / kind.folder
        if (folder / KIND).is_file():
            table = cls.open(folder)
            table._clean(STALE_SECONDS)
            return table
        for there in sorted(store.glob(f"frames-*/{KIND}")):
            try:
                other = cls.open(there.parent)
            except StoreError as error:  # another's damage is no reason not to begin this one
                log.warning("a table beside the new one cannot be read: %s", error)
                continue
            if other.kind.label == kind.label:
                changes = "; ".join(other.kind.differences(kind))
                log.warning("%s is kept; a new table is made: %s", other.folder.name, changes)
        try:
            (folder / "shards").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                wanted="a folder to write frames to",
                got=error.strerror or str(error),
                fix="Choose another folder",
                source=folder,
            ) from error
        make_once(folder / KIND, lambda: write_kind(folder, kind))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Location) -> FrameTable:
        """An existing table.

        Raises
        ------
        StoreError
            When it is no frame table, or its facts do not match its digest.
        """
        folder = _here(location(folder))
        return cls(folder, read_kind(folder))

    def append(self, row: Row) -> None:
        """Add a track, its ``features`` being frames (t, width); whole shards are written.

        Raises
        ------
        StoreError
            The frames are of another width or not finite; the disk is full.
        """
        frames = row.features
        fits = frames.ndim == 2 and frames.shape[1] == self.kind.width and len(frames) > 0
        if not fits or frames.dtype != np.float32 or not np.isfinite(frames).all():
            raise StoreError(
                wanted=f"finite frames (t, {self.kind.width}) of float32",
                got=f"shape {frames.shape} of {frames.dtype}, "
                f"{int((~np.isfinite(frames)).sum())} not finite",
                fix="Report this as a bug of the front end or encoder",
                source=row.facts.path,
            )
        self.pending[self._now()] = row
        size = sum(one.features.nbytes for one in self.pending.values())
        if size >= SHARD_BYTES or len(self.pending) >= SHARD_TRACKS:
            self.flush()

    def flush(self) -> None:
        """Write pending tracks as one shard, and failures beside it; what fails stays pending."""
        if self.pending:
            self._write()
            self.pending.clear()
        if self.failing:
            noted = [(failure, written_ns) for written_ns, failure in self.failing.items()]
            write_failures(self.folder, noted, name=self._name(FAILURES))
            self.failing.clear()

    def _write(self) -> None:
        rows = list(self.pending.values())
        content = io.BytesIO()
        joined = np.concatenate([row.features for row in rows])
        np.save(content, joined.astype("<f4", copy=False), allow_pickle=False)
        name = self._name("shards")
        write_atomically(self.folder / "shards" / f"{name}.npy", content.getvalue())
        note = sidecar(rows, list(self.pending), self.kind.digest)
        write_atomically(self.folder / "shards" / f"{name}.json", note)

    def fail(self, failure: Failure) -> None:
        """Add a failure to the quarantine; it waits for :meth:`flush`, as tracks do."""
        self.failing[self._now()] = failure
        if len(self.failing) >= SHARD_TRACKS:
            self.flush()

    @contextmanager
    def lock(self, say: Say | None = None, *, wait: float | None = None) -> Iterator[None]:
        """Be the only process that writes to this table, as :meth:`FeatureTable.lock`.

        Raises
        ------
        StoreError
            Another process still had it after ``wait`` seconds, or there can be no lock here.
        """
        with writer_lock(self.folder, say, wait=wait):
            self._clean(0.0)
            self._names.clear()
            merge_failures(self.folder, least=MANY_FAILURES)
            yield

    def index(self) -> Index:
        """What :meth:`contents` tells, in columns: to look many tracks up."""
        noted = noted_failures(self.folder)
        met = max((written_ns for _, written_ns in noted.values()), default=0)
        index = Index.of(self._contents(noted), after_ns=met)
        self._latest_ns = max(self._latest_ns, index.latest_ns)
        return index

    def contents(self) -> Contents:
        """Every place's latest row and failure, without reading frames.

        Raises
        ------
        StoreError
            A sidecar is damaged.
        """
        return self._contents(noted_failures(self.folder))

    def _contents(self, noted: Noted) -> Contents:
        rows: dict[Place, Stored] = {}
        for path in self._shards():
            for number, cells in enumerate(self._sidecar(path)):
                stored = Stored(facts_of(cells), cells["key"], cells["written_ns"], path, number)
                earlier = rows.pop(stored.facts.place, stored)
                rows[stored.facts.place] = max(stored, earlier, key=lambda one: one.written_ns)
        return Contents(rows, standing_failures(noted, rows))

    def find(self, tracks: Sequence[FileFacts]) -> list[Stored | None]:
        """The stored row of each track, None where there is none to use.

        A track is found by its place, if the file there is unchanged or gone since. A store that
        was carried to a machine without the audio is searched by id, where that is unmistakable.
        """
        return find_rows(self.contents(), tracks)

    def frames(self, stored: Stored) -> Frames:
        """Frames (t, width) of a stored track: a read-only view of the file, nothing is copied.

        Raises
        ------
        StoreError
            The shard is damaged.
        """
        begin, count = self.spans([stored])[0].tolist()
        return self.shard(stored.shard)[begin : begin + count]

    def spans(self, rows: Sequence[Stored]) -> NDArray[np.int64]:
        """First frame in its shard and number of frames, (len(rows), 2), of stored tracks."""
        found = np.empty((len(rows), 2), np.int64)
        for position, stored in enumerate(rows):
            path = _here(stored.shard)
            if path not in self._spans:
                self._sidecar(path)
            found[position] = self._spans[path][stored.row]
        return found

    def shard(self, path: Location) -> Frames:
        """All frames of a shard, memory-mapped; the maps asked for last stay open.

        Raises
        ------
        StoreError
            It is damaged: not an array, of another size than its sidecar says.
        """
        path = _here(path)
        with self._lock:
            if path in self._maps:
                self._maps.move_to_end(path)
                return self._maps[path]
            frames = self._open(path)
            self._maps[path] = frames
            if len(self._maps) > OPEN_SHARDS:
                self._maps.popitem(last=False)  # unmapped once nobody has a view of it
            return frames

    def rows_of(self, rows: Sequence[Stored]) -> list[Row]:
        """Stored rows as they were appended, for files that were moved or copied."""
        described = {path: self._sidecar(path) for path in {_here(one.shard) for one in rows}}
        return [row_of(described[_here(one.shard)][one.row], self.frames(one)) for one in rows]

    def _shards(self) -> list[Path]:
        folder = self.folder / "shards"
        described = {path.stem for path in folder.glob("*-*.json")}
        return [path for path in sorted(folder.glob("*-*.npy")) if path.stem in described]

    def _sidecar(self, path: Path) -> list[dict[str, Any]]:
        """What is noted of a shard's tracks; which frames are theirs is remembered."""
        tracks, self._spans[path] = read_sidecar(path.with_suffix(".json"), self.kind.digest)
        return tracks

    def _open(self, path: Path) -> Frames:
        if path not in self._spans:
            self._sidecar(path)
        shape = (int(self._spans[path][-1].sum()), self.kind.width)
        try:
            opened = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(opened, np.memmap):
                raise ValueError("not a .npy array")
            if opened.shape != shape or opened.dtype != np.dtype("<f4"):
                raise ValueError(f"shape {opened.shape} of {opened.dtype}, not {shape} of float32")
            if not opened.flags.c_contiguous or opened.offset + opened.nbytes != (
                path.stat().st_size
            ):
                raise ValueError("it ends elsewhere than its header says")
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            raise damaged(path, error) from error
        return np.asarray(opened)

    def _name(self, kind: str) -> str:
        """Of a new file of that folder."""
        return self._names.setdefault(kind, Names(self.folder / kind)).new()

    def _now(self) -> int:
        """The time in nanoseconds, later than anything known to be written to this table."""
        self._latest_ns = max(time.time_ns(), self._latest_ns + 1)
        return self._latest_ns

    def _clean(self, older: float) -> None:
        """Remove what runs that were killed left: arrays without sidecar, half-written files."""
        folder = self.folder / "shards"
        described = {path.stem for path in folder.glob("*-*.json")}
        for path in folder.glob("*-*.npy"):
            if path.stem not in described:
                remove_quietly(path, older=older)
        for there in (self.folder, folder, self.folder / FAILURES):
            remove_partial(there, older=older)


def _here(there: Location) -> Path:
    if not isinstance(there, Path):
        raise UsageError(
            wanted="a folder of this machine: frames are read through memory maps",
            got=str(there),
            fix="Write frames to a local folder",
        )
    return there
