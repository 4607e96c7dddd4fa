"""Rows of a feature table, fetched from their shards: each shard is read once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segue.card import EncoderCard
from segue.errors import StoreError
from segue.files import Location
from segue.store.rows import Row, Stored
from segue.store.shards import features_of, read, to_row


def fetch_features(rows: Sequence[Stored], card: EncoderCard) -> NDArray[np.float32]:
    """Features X (len(rows), dim) of stored rows."""
    X = np.empty((len(rows), card.dim), np.float32)
    for path, positions in _by_shard(rows).items():
        shard = read(path, card, ["features"])
        _check_rows(path, max(rows[position].row for position in positions), shard.num_rows)
        values = features_of(shard, card.dim)
        X[positions] = values[[rows[position].row for position in positions]]
    return X


def fetch_rows(rows: Sequence[Stored], card: EncoderCard) -> list[Row]:
    """Stored rows as they were appended.

    Raises
    ------
    StoreError
        What lies there is of another key.
    """
    found: dict[int, Row] = {}
    for path, positions in _by_shard(rows).items():
        shard = read(path, card)
        _check_rows(path, max(rows[position].row for position in positions), shard.num_rows)
        for position in positions:
            stored = rows[position]
            row = to_row(shard.slice(stored.row, 1), card.dim)
            if row.key != stored.key:
                raise _changed(path, f"the row of {stored.key}", f"one of {row.key}")
            found[position] = row
    return [found[position] for position in range(len(rows))]


def _by_shard(rows: Sequence[Stored]) -> dict[Location, list[int]]:
    """Positions of the rows of each shard, so that each is read once."""
    positions: dict[Location, list[int]] = defaultdict(list)
    for position, stored in enumerate(rows):
        positions[stored.shard].append(position)
    return positions


def _check_rows(path: Location, last: int, there: int) -> None:
    if last >= there:
        raise _changed(path, f"a shard of more than {last} rows", f"{there} rows")


def _changed(path: Location, wanted: str, got: str) -> StoreError:
    return StoreError(
        wanted=wanted,
        got=got,
        fix="The shard was changed since it was read: run the same command again",
        source=str(path),
    )
