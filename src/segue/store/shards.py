"""Shards of a feature table: Parquet files of rows, written once, read by column."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segue.card import EncoderCard
from segue.errors import StoreError
from segue.files import Location, plain_errors
from segue.store.index import Part, hashes, key_hash, place_hash
from segue.store.layout import CARD, FACTS, MERGED, OPTIONAL, check_cells, check_file, schema_of
from segue.store.rows import FileFacts, Row, Stored

_HASHES = ("place_hash", "key_hash")
_REPEATED = ["start", "duration", "source_rate", "source_channels", "decoder"]


class ShardGoneError(StoreError):
    """A shard that was there is not: removed, or merged into another."""


def to_arrow(rows: Sequence[Row], written_ns: Sequence[int]) -> pa.Table:
    """Rows as a table, with the hashes that an index reads in the place of paths and keys."""
    schema = schema_of(len(rows[0].features))
    cells: dict[str, Sequence[object]] = {
        name: [getattr(row.facts, name) for row in rows] for name in FACTS
    }
    for name in ("key", "source_rate", "source_channels", "seconds", "decoder"):
        cells[name] = [getattr(row, name) for row in rows]
    cells["written_ns"] = written_ns
    cells["place_hash"] = [place_hash(row.facts.place) for row in rows]
    cells["key_hash"] = [key_hash(row.key) for row in rows]
    columns = {name: pa.array(values, schema.field(name).type) for name, values in cells.items()}
    flat = pa.array(np.concatenate([row.features for row in rows]).astype(np.float32))
    columns["features"] = pa.FixedSizeListArray.from_arrays(flat, len(rows[0].features))
    return pa.table([columns[name] for name in schema.names], schema=schema)


def to_parquet(rows: pa.Table, card: str, *, merged: Iterable[str] = ()) -> bytes:
    """The file of a shard."""
    metadata = {CARD: card, MERGED: "\n".join(merged)}
    content = io.BytesIO()
    pq.write_table(
        rows.replace_schema_metadata({name: text for name, text in metadata.items() if text}),
        content,
        compression="zstd",
        use_dictionary=[name for name in _REPEATED if name in rows.column_names],
        row_group_size=max(1, rows.num_rows),
        write_page_checksum=True,
    )
    return content.getvalue()


@contextmanager
def opened(path: Location, card: EncoderCard) -> Iterator[pq.ParquetFile]:
    """A shard of a card's table, open for reading; pages that do not match their checksum are told.

    Raises
    ------
    ShardGoneError
        It is not there.
    StoreError
        It cannot be read: damaged, of another card, no permission, no network.
    """
    try:
        if isinstance(path, Path):
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                check_file(file, path, card)
                yield file
        else:
            with (
                plain_errors(),
                path.open("rb") as content,
                pq.ParquetFile(content, page_checksum_verification=True) as file,
            ):
                check_file(file, path, card)
                yield file
    # a damaged file can make the reader of Parquet raise any of these
    except (
        *(OSError, pa.ArrowException, ValueError, KeyError, IndexError),
        *(TypeError, OverflowError, MemoryError, RuntimeError),
    ) as error:
        kind = ShardGoneError if isinstance(error, FileNotFoundError) else StoreError
        raise kind(
            wanted="a whole shard",
            got=(str(error).splitlines() or [type(error).__name__])[0],
            fix="Remove this shard and embed again: only its rows are made anew",
            source=str(path),
        ) from error


def read(path: Location, card: EncoderCard, columns: Sequence[str] | None = None) -> pa.Table:
    """A shard, or columns of it; those that older shards do not have are left out.

    Raises
    ------
    ShardGoneError, StoreError
        As :func:`opened`; a column is not there, or has cells that none of ours has.
    """
    with opened(path, card) as file:
        there = set(file.schema_arrow.names)
        wanted = schema_of(card.dim).names if columns is None else columns
        lacking = set(wanted) - there - OPTIONAL
        if lacking:
            raise ValueError(f"one without {', '.join(sorted(lacking))}")
        rows = file.read(columns=[name for name in wanted if name in there])
        check_cells(rows)
        return rows


def read_whole(path: Location, card: EncoderCard) -> pa.Table:
    """A shard with all columns that a shard has today, in their order, whoever wrote it."""
    rows = read(path, card)
    schema = schema_of(card.dim)
    if "decoder" not in rows.column_names:
        rows = rows.append_column("decoder", pa.array([""] * rows.num_rows, pa.string()))
    for name, values in _missing_hashes(rows).items():
        rows = rows.append_column(name, pa.array(values, schema.field(name).type))
    return rows.select(schema.names).cast(schema)


def read_part(path: Location, card: EncoderCard) -> Part:
    """What an index needs of a shard."""
    rows = read(path, card, [*_HASHES, "bytes", "mtime_ns", "written_ns"])
    if not set(_HASHES) <= set(rows.column_names):  # of an older version
        rows = read(path, card, [*FACTS, "key", "written_ns"])
        found = _missing_hashes(rows)
        places, keys = (b"".join(found[name]) for name in _HASHES)
    else:
        places, keys = (_bytes_of(rows[name]) for name in _HASHES)
    return Part(
        places=hashes(places).reshape(-1, 2),
        keys=hashes(keys),
        bytes=rows["bytes"].to_numpy(),
        mtime_ns=rows["mtime_ns"].to_numpy(),
        written_ns=rows["written_ns"].to_numpy(),
    )


def stored_rows(path: Location, card: EncoderCard) -> list[Stored]:
    """All rows of a shard without their features."""
    return [
        stored_row(cells, path, number)
        for number, cells in enumerate(read(path, card, [*FACTS, "key", "written_ns"]).to_pylist())
    ]


def stored_row(cells: dict[str, object], path: Location, number: int) -> Stored:
    """One row of a shard, of its cells."""
    facts = FileFacts(**{name: cells[name] for name in FACTS})  # type: ignore[arg-type]
    return Stored(facts, str(cells["key"]), int(cells["written_ns"]), path, number)  # type: ignore[call-overload]


def features_of(rows: pa.Table, dim: int) -> NDArray[np.float32]:
    """Features (rows, dim) of rows of a shard."""
    flat = rows["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    features: NDArray[np.float32] = flat.reshape(-1, dim).astype(np.float32, copy=False)
    return features


def to_row(one: pa.Table, dim: int) -> Row:
    """The row that was appended, of one row of a shard."""
    cells = one.drop_columns(["features"]).to_pylist()[0]
    return Row(
        facts=FileFacts(**{name: cells[name] for name in FACTS}),
        key=cells["key"],
        source_rate=cells["source_rate"],
        source_channels=cells["source_channels"],
        seconds=cells["seconds"],
        features=features_of(one, dim)[0],
        decoder=cells.get("decoder") or "",
    )


def _missing_hashes(rows: pa.Table) -> dict[str, list[bytes]]:
    """The hashes that a shard of an older version does not have."""
    found: dict[str, list[bytes]] = {}
    if "place_hash" not in rows.column_names:
        places = zip(
            *(rows[name].to_pylist() for name in ("path", "start", "duration")), strict=True
        )
        found["place_hash"] = [place_hash(place) for place in places]
    if "key_hash" not in rows.column_names:
        found["key_hash"] = [key_hash(key) for key in rows["key"].to_pylist()]
    return found


def _bytes_of(column: pa.ChunkedArray) -> bytes:
    size = column.type.byte_width
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    content = whole.buffers()[1]
    begin = whole.offset * size
    return b"" if content is None else content[begin : begin + len(whole) * size].to_pybytes()
