"""Small shards into large ones, so that years of short runs do not leave thousands of files.

The merged shard is written first and names those that it replaces; only then are these removed.
Killed in between, the table has rows twice: reading takes the latest of each place, and the next
compaction removes what is named. Only one process at a time may do this: the holder of the lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from segue.card import EncoderCard
from segue.files import Location, entries, settle, write_atomically
from segue.store.index import hashes
from segue.store.layout import MERGED, schema_of
from segue.store.naming import Names
from segue.store.shards import opened, read_whole, to_parquet

log = logging.getLogger(__name__)

MERGED_ROWS = 8  # times those of a full shard, at most
MERGED_BYTES = 64 * 2**20  # of features, at most: a merged shard is made in memory


def shards(folder: Location) -> list[Location]:
    """The shards of a table's folder, in the order of their names."""
    return entries(folder / "shards", "*-*.parquet")


def compact_shards(folder: Location, card: EncoderCard, *, full: int, least: int = 2) -> int:
    """Merge the shards that have fewer rows than a full one; how many were merged.

    Those with columns that only a later version knows are left as they are.

    Parameters
    ----------
    folder : Path or UPath
        Of the table.
    card : EncoderCard
    full : int
        Rows of a full shard.
    least : int
        With fewer small shards than that, they are left.

    Raises
    ------
    StoreError
        A shard cannot be read, or the merged one cannot be written; no row is lost.
    """
    counted = _without_replaced(folder, card)
    small = [(path, rows) for path, rows in counted if rows < full]
    done = 0
    if len(small) < least:
        return done
    most = max(full, min(full * MERGED_ROWS, MERGED_BYTES // (4 * card.dim)))
    names = Names(folder / "shards")
    for group in _groups(small, most):
        whole = _latest(pa.concat_tables([read_whole(path, card) for path in group]))
        content = to_parquet(whole, card.digest, merged=[path.name for path in group])
        write_atomically(folder / "shards" / f"{names.new()}.parquet", content)
        settle(folder / "shards")  # renamed for good, before anything is removed
        for path in group:
            path.unlink(missing_ok=True)
        done += len(group)
    if done:
        log.info("%s: %d small shards were merged", folder.name, done)
    return done


def _without_replaced(folder: Location, card: EncoderCard) -> list[tuple[Location, int]]:
    """Shards and their numbers of rows, after those that others replace have been removed."""
    known = set(schema_of(card.dim).names)
    counted: dict[str, tuple[Location, int]] = {}
    replaced: set[str] = set()
    later: set[str] = set()
    for path in shards(folder):
        with opened(path, card) as file:
            counted[path.name] = path, file.metadata.num_rows
            if not known.issuperset(file.schema_arrow.names):
                later.add(path.name)
            noted = (file.metadata.metadata or {}).get(MERGED.encode(), b"")
        replaced |= set(noted.decode().split("\n"))
    for name in replaced & counted.keys():
        counted.pop(name)[0].unlink(missing_ok=True)
    return [one for name, one in counted.items() if name not in later]


def _groups(small: Sequence[tuple[Location, int]], most: int) -> Iterator[list[Location]]:
    """Shards to merge, together at most so many rows; one alone stays as it is."""
    group: list[Location] = []
    total = 0
    for path, rows in small:
        if group and total + rows > most:
            if len(group) > 1:
                yield group
            group, total = [], 0
        group.append(path)
        total += rows
    if len(group) > 1:
        yield group


def _latest(rows: pa.Table) -> pa.Table:
    """The latest row of each place, in the order in which they were written."""
    written = rows["written_ns"].to_numpy()
    places = hashes(b"".join(rows["place_hash"].to_pylist())).reshape(-1, 2)
    order = np.lexsort((written, places[:, 1], places[:, 0]))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (places[order[1:]] != places[order[:-1]]).any(axis=1)
    kept = order[last]
    return rows.take(pa.array(kept[np.argsort(written[kept], kind="stable")]))
