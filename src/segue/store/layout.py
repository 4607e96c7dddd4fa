"""What a shard must be: its card, columns, types and size, before anything of it is believed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segue.card import EncoderCard
from segue.errors import StoreError
from segue.files import Location
from segue.store.index import KEY_BYTES, PLACE_BYTES
from segue.store.rows import LATEST_NS, FileFacts

FACTS = tuple(FileFacts.__dataclass_fields__)
CARD = "segue.card"  # metadata: digest of the card
MERGED = "segue.merged"  # metadata: names of the shards that this one replaces
OPTIONAL = {"place_hash", "key_hash", "decoder"}  # which older shards do not have
MOST_ROWS = 2**18  # four times those of the largest that segue writes
MOST_BYTES = 2**30
_NULLS = {"duration", "decoder"}


@lru_cache(maxsize=16)
def schema_of(dim: int) -> pa.Schema:
    """Columns of a shard, in their order."""
    return pa.schema(
        {
            "id": pa.string(),
            "path": pa.string(),
            "line": pa.int64(),
            "bytes": pa.int64(),
            "mtime_ns": pa.int64(),
            "start": pa.float64(),
            "duration": pa.float64(),
            "key": pa.string(),
            "written_ns": pa.int64(),
            "source_rate": pa.int32(),
            "source_channels": pa.int32(),
            "seconds": pa.float64(),
            "decoder": pa.string(),
            "place_hash": pa.binary(PLACE_BYTES),
            "key_hash": pa.binary(KEY_BYTES),
            "features": pa.list_(pa.float32(), dim),
        }
    )


def check_file(file: pq.ParquetFile, path: Location, card: EncoderCard) -> None:
    """Refuse a shard of another card, of other columns, or of an absurd size; reads no cells.

    Raises
    ------
    StoreError
        It is of another card.
    ValueError
        It is no shard.
    """
    digest = (file.metadata.metadata or {}).get(CARD.encode(), b"").decode()
    if digest != card.digest:
        raise StoreError(
            wanted=f"a shard of {card.label} (card {card.digest[:12]})",
            got=f"one of card {digest[:12]}" if digest else "one that names no card",
            fix="Move it back to the table that it is of, or remove it",
            source=str(path),
        )
    there = {field.name: field.type for field in file.schema_arrow}
    for field in schema_of(card.dim):
        kind = there.get(field.name, field.type)
        if kind != field.type:
            raise ValueError(f"{field.name} of type {kind}, not {field.type}")
    rows = file.metadata.num_rows
    groups = range(min(file.metadata.num_row_groups, MOST_ROWS))
    size = sum(file.metadata.row_group(number).total_byte_size for number in groups)
    size = max(size, 4 * rows * card.dim)
    if not 0 <= rows <= MOST_ROWS or size > MOST_BYTES:
        raise ValueError(f"{rows} rows of {size} bytes, more than a shard has")


def check_cells(rows: pa.Table) -> None:
    """Refuse cells that no shard has.

    Raises
    ------
    ValueError
        Text that is none, nulls, numbers that are not finite, times that no clock shows.
    """
    rows.validate(full=True)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if column.null_count and name not in _NULLS:
            raise ValueError(f"{column.null_count} rows without {name}")
        if name == "features":
            flat = column.combine_chunks().flatten()
            if flat.null_count or not np.isfinite(flat.to_numpy()).all():
                raise ValueError("features that are not finite")
        elif pa.types.is_floating(column.type) and pc.all(pc.is_finite(column)).as_py() is False:
            raise ValueError(f"a {name} that is not finite")
    if "written_ns" in rows.column_names and rows.num_rows:
        times = pc.min_max(rows["written_ns"])
        if times["min"].as_py() < 0 or times["max"].as_py() >= LATEST_NS:
            raise ValueError(f"a row written at {times['max']} ns, which no clock shows")
