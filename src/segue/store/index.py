"""What a table holds, in columns: to resume over ten million tracks in a gigabyte of memory."""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.store.quarantine import Noted
from segue.store.rows import Contents, Failure, FileFacts, Place, Stored

PLACE_BYTES = 16
KEY_BYTES = 8
BLOCK_ROWS = 2**20

Seen = Literal["done"] | Failure | None
Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def place_hash(place: Place) -> bytes:
    """What a place is known by in an index, 16 bytes.

    Examples
    --------
    >>> place_hash(("/m/a.wav", 0.0, None)).hex()
    '7fea820fc30b33b0f10c4ebdecd5f1ed'
    """
    path, start, duration = place
    # adding 0.0 makes one number of 0.0 and -0.0; a place without end is no place of 0 seconds
    stretch = struct.pack("<d?d", start + 0.0, duration is None, (duration or 0.0) + 0.0)
    name = path.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(stretch + name, digest_size=PLACE_BYTES).digest()


def key_hash(key: str) -> bytes:
    """What a content key is known by in an index, 8 bytes; the key itself is read to make sure."""
    return hashlib.blake2b(key.encode(), digest_size=KEY_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one shard: their hashes (n, 2) and (n,), files and times, each (n,)."""

    places: Hashes
    keys: Hashes
    bytes: Integers
    mtime_ns: Integers
    written_ns: Integers


class Index:
    """The latest of every place, in columns of about 70 bytes a row.

    Built by the ``index`` method of a table, or of its contents by :meth:`of`. Standing failures
    are kept whole: they are few, or something else is wrong.

    Parameters
    ----------
    parts : iterable of Part
        One a shard, in the order of the shards; they are read one after the other.
    noted : mapping place -> (Failure, int)
        The latest failure of each place, and when it was written.
    fetch : callable
        What is stored in row ``j`` of part ``i``.

    Attributes
    ----------
    latest_ns : int
        When the latest of all was written; 0 where there is nothing.

    Examples
    --------
    >>> from pathlib import Path
    >>> facts = FileFacts(id="a", path="/a.wav", line=1, bytes=9, mtime_ns=1)
    >>> stored = Stored(facts, "ab:0.0:None", 1, Path("shard"), 0)
    >>> index = Index.of(Contents({facts.place: stored}, {}))
    >>> index.look([facts]), index.holds_size(9), index.stored("cd:0.0:None")
    (['done'], True, None)
    """

    def __init__(
        self, parts: Iterable[Part], noted: Noted, fetch: Callable[[int, int], Stored]
    ) -> None:
        self._fetch = fetch
        places, columns = _joined(parts)
        first, second = places[::2], places[1::2]
        order = _ordered(first, columns["written_ns"], second)
        superseded = _as_next(first, order) & _as_next(second, order)
        if superseded.any():
            order = order[~superseded]
        del superseded
        self._first, self._second = first[order], second[order]
        del places, first, second
        latest: dict[str, NDArray[Any]] = {}
        for name in list(columns):  # one by one, so that there is never a second copy of all
            latest[name] = columns.pop(name)[order]
        del order
        self._bytes: Integers = latest["bytes"]
        self._mtime_ns: Integers = latest["mtime_ns"]
        self._part, self._row = latest["part"], latest["row"]
        self._by_key = _ordered(latest["keys"], latest["written_ns"]).astype(np.uint32)
        self._keys: Hashes = latest["keys"][self._by_key]
        sizes = np.sort(self._bytes)  # numpy's unique takes three times the memory
        self._sizes: Integers = sizes[np.append(sizes[1:] != sizes[:-1], True)[: len(sizes)]]
        times = latest["written_ns"]
        self._failures = self._standing(noted, times)
        met = max((written_ns for _, written_ns in noted.values()), default=0)
        self.latest_ns = max(int(times.max()) if len(times) else 0, met)

    @classmethod
    def of(cls, contents: Contents, *, after_ns: int = 0) -> Index:
        """The index of contents that are in memory already, and were written until some time."""
        rows = list(contents.rows.values())
        numbers = {
            "keys": [int.from_bytes(key_hash(one.key), "little") for one in rows],
            "bytes": [one.facts.bytes for one in rows],
            "mtime_ns": [one.facts.mtime_ns for one in rows],
            "written_ns": [one.written_ns for one in rows],
        }
        part = Part(
            places=hashes(b"".join(place_hash(one.facts.place) for one in rows)).reshape(-1, 2),
            keys=np.array(numbers.pop("keys"), np.uint64),
            **{name: np.array(cells, np.int64) for name, cells in numbers.items()},
        )
        # they stand already: later than anything
        noted = {place: (one, 2**63 - 1) for place, one in contents.failures.items()}
        index = cls([part], noted, lambda _, row: rows[row])
        index.latest_ns = max((after_ns, *(one.written_ns for one in rows)))
        return index

    def __len__(self) -> int:
        return len(self._first)

    @property
    def nbytes(self) -> int:
        """Memory of the columns, in bytes."""
        return sum(one.nbytes for one in vars(self).values() if isinstance(one, np.ndarray))

    @property
    def failures(self) -> Mapping[Place, Failure]:
        """The failures that no row was written of afterwards."""
        return self._failures

    def rows_by_part(self, parts: int) -> Iterator[NDArray[np.int32]]:
        """Of each part in turn, which of its rows are the latest of their place, ascending."""
        order = np.lexsort((self._row, self._part))
        ends = np.searchsorted(self._part[order], np.arange(parts + 1))
        yield from (self._row[order[begin:end]] for begin, end in pairwise(ends.tolist()))

    def look(self, tracks: Sequence[FileFacts]) -> list[Seen]:
        """What is known of tracks.

        Parameters
        ----------
        tracks : sequence of FileFacts
            Some thousands at once are looked up faster than one by one.

        Returns
        -------
        list of "done", Failure or None
            "done": the latest written of the place is a row, and size and time of the file are
            unchanged. A failure: that is the latest, and the file is unchanged. None: to do.
        """
        at = self._find(hashes(b"".join(place_hash(one.place) for one in tracks)))
        sizes = np.fromiter((one.bytes for one in tracks), np.int64, len(tracks))
        times = np.fromiter((one.mtime_ns for one in tracks), np.int64, len(tracks))
        done = at >= 0
        done[done] = self._bytes[at[done]] == sizes[done]
        done[done] = self._mtime_ns[at[done]] == times[done]
        seen: list[Seen] = ["done" if one else None for one in done.tolist()]
        if self._failures:
            for position, facts in enumerate(tracks):
                failure = self._failures.get(facts.place)
                if failure is not None:
                    seen[position] = failure if failure.facts.same_file(facts) else None
        return seen

    def holds_size(self, size: int) -> bool:
        """Whether some stored row has a file of that many bytes: only then can it be the same."""
        at = int(np.searchsorted(self._sizes, size))
        return at < len(self._sizes) and int(self._sizes[at]) == size

    def stored(self, key: str) -> Stored | None:
        """The latest row of a content key, wherever its file lay; None where there is none.

        Raises
        ------
        StoreError
            The shard that has it cannot be read.
        """
        wanted = hashes(key_hash(key))[0]
        low, high = (int(np.searchsorted(self._keys, wanted, side)) for side in ("left", "right"))
        for at in self._by_key[low:high][::-1].tolist():
            stored = self._fetch(int(self._part[at]), int(self._row[at]))
            if stored.key == key:  # 8 bytes of a hash may be those of another key
                return stored
        return None

    def _find(self, places: Hashes) -> Integers:
        """Where places are, (n,); -1 where they are not."""
        first, second = places[::2], places[1::2]
        found = np.full(len(first), -1, np.int64)
        if not len(self):
            return found
        at = np.searchsorted(self._first, first)
        for position in range(2):  # two places of one first half: rare, never looked for further
            inside = np.flatnonzero(at + position < len(self))
            near = at[inside] + position
            same = (self._first[near] == first[inside]) & (self._second[near] == second[inside])
            found[inside[same]] = near[same]
        return found

    def _standing(self, noted: Noted, times: Integers) -> Mapping[Place, Failure]:
        at = self._find(hashes(b"".join(map(place_hash, noted))))
        return {
            place: failure
            for (place, (failure, written_ns)), row in zip(noted.items(), at.tolist(), strict=True)
            if row < 0 or int(times[row]) < written_ns
        }


def hashes(content: bytes) -> Hashes:
    """Hashes that stand one after the other, as integers of 8 bytes."""
    return np.frombuffer(content, "<u8").astype(np.uint64, copy=False)


def _joined(parts: Iterable[Part]) -> tuple[Hashes, dict[str, NDArray[Any]]]:
    """The columns of all parts; they grow in place, so that no row is in memory twice."""
    places, grown = array("Q"), {name: array("q") for name in ("bytes", "mtime_ns", "written_ns")}
    keys, numbers = array("Q"), {"part": array("i"), "row": array("i")}
    for number, part in enumerate(parts):
        places.frombytes(np.ascontiguousarray(part.places).tobytes())
        keys.frombytes(part.keys.tobytes())
        for name, column in grown.items():
            column.frombytes(getattr(part, name).tobytes())
        numbers["part"].frombytes(np.full(len(part.keys), number, np.intc).tobytes())
        numbers["row"].frombytes(np.arange(len(part.keys), dtype=np.intc).tobytes())
    columns: dict[str, NDArray[Any]] = {"keys": np.frombuffer(keys, np.uint64)}
    columns |= {name: np.frombuffer(column, np.int64) for name, column in grown.items()}
    columns |= {name: np.frombuffer(column, np.intc) for name, column in numbers.items()}
    return np.frombuffer(places, np.uint64), columns


def _ordered(first: Hashes, written_ns: Integers, second: Hashes | None = None) -> Integers:
    """The order by a first half of a hash, then by its second, then by time.

    Sorting by all three is slow, and few rows share the first.
    """
    order: Integers = np.argsort(first)
    again = np.flatnonzero(_as_next(first, order))
    if len(again):
        shared = np.union1d(again, again + 1)
        rows = order[shared]
        halves = (first[rows],) if second is None else (second[rows], first[rows])
        order[shared] = rows[np.lexsort((rows, written_ns[rows], *halves))]
    return order


def _as_next(values: Hashes, order: Integers) -> NDArray[np.bool_]:
    """Which values, in an order, are as the one after them; block by block, to save memory."""
    same = np.zeros(len(order), dtype=bool)
    for begin in range(0, len(order), BLOCK_ROWS):
        block = values[order[begin : begin + BLOCK_ROWS + 1]]
        same[begin : begin + len(block) - 1] = block[1:] == block[:-1]
    return same
