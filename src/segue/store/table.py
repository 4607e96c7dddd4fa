"""Feature tables on disk: append-only Parquet shards, addressed by what was heard and how.

A store is a folder with one table per encoder card; a table is a folder with its card, shards and
a list of failures. A row's key is the SHA-256 of the file's bytes plus the stretch heard; together
with the digest of the card it fixes the features, whatever the file is called or wherever it lies.
What a track is now, embedded or quarantined, is what was written of its place last.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segue.card import EncoderCard
from segue.errors import ModelError, StoreError
from segue.files import write_atomically
from segue.store.quarantine import note_failure, standing_failures
from segue.store.rows import Contents, Failure, FileFacts, Place, Row, Stored

log = logging.getLogger(__name__)

FORMAT = 1
SHARD_ROWS = 256
CARD = "card.json"


@dataclass(slots=True)
class FeatureTable:
    """Features of one encoder card: ids and X (tracks, dim), growing by whole shards.

    Build one with :meth:`open_or_create` or :meth:`open`.

    Attributes
    ----------
    folder : Path
    card : EncoderCard

    Examples
    --------
    >>> import tempfile
    >>> from segue.encoders import encoder
    >>> table = FeatureTable.open_or_create(Path(tempfile.mkdtemp()), encoder("mfcc").card)
    >>> table.read()[1].shape
    (0, 120)
    """

    folder: Path
    card: EncoderCard
    pending: list[Row] = field(default_factory=list, repr=False)

    @classmethod
    def open_or_create(cls, store: str | Path, card: EncoderCard) -> FeatureTable:
        """The table of a card in a store, made when absent.

        A table of the same encoder with other settings stays as it is: the new one goes beside it,
        and the fields that differ are logged.
        """
        store = Path(store)
        folder = store / f"{card.label}-{card.digest[:12]}"
        if (folder / CARD).is_file():
            return cls.open(folder)
        for there in sorted(store.glob(f"*/{CARD}")):
            try:
                other = cls.open(there.parent)
            except StoreError as error:  # another's damage is no reason not to begin this one
                log.warning("a table beside the new one cannot be read: %s", error)
                continue
            if other.card.label == card.label:
                changes = "; ".join(other.card.differences(card))
                log.info("%s is kept; a new table is made: %s", other.folder.name, changes)
        try:
            (folder / "shards").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                wanted="a folder to write features to",
                got=error.strerror or str(error),
                fix="Choose another folder with -o",
                source=folder,
            ) from error
        facts = {"format": FORMAT, "card": card.to_json(), "digest": card.digest}
        write_atomically(folder / CARD, json.dumps(facts, indent=1).encode())
        return cls(folder, card)

    @classmethod
    def open(cls, folder: str | Path) -> FeatureTable:
        """An existing table.

        Raises
        ------
        StoreError
            When it is no table, or its card does not match its digest.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / CARD).read_text(encoding="utf-8"))
            card = EncoderCard.from_json(facts["card"])
            version, digest = facts["format"], facts["digest"]
        except (OSError, ValueError, KeyError, TypeError, ModelError) as error:
            raise StoreError(
                wanted="a feature table (a folder with card.json)",
                got=f"{type(error).__name__}: {error}",
                fix="Name a folder that `segue embed -o` wrote",
                source=folder,
            ) from error
        if version != FORMAT or digest != card.digest:
            raise StoreError(
                wanted=f"format {FORMAT} and a card of digest {digest}",
                got=f"format {version} and a card of digest {card.digest}",
                fix="The card was changed by hand or by another version: embed into a new folder",
                source=folder,
            )
        return cls(folder, card)

    def append(self, row: Row) -> None:
        """Add a row; every ``SHARD_ROWS`` rows are written as one shard."""
        if row.features.shape != (self.card.dim,) or not np.isfinite(row.features).all():
            raise StoreError(
                wanted=f"{self.card.dim} finite features",
                got=f"shape {row.features.shape}, {int((~np.isfinite(row.features)).sum())} not "
                "finite",
                fix="Report this as a bug of the encoder",
                source=row.facts.path,
            )
        self.pending.append(row)
        if len(self.pending) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write pending rows as one shard. On failure they stay pending."""
        if not self.pending:
            return
        content = io.BytesIO()
        pq.write_table(_to_arrow(self.pending, self.card), content)
        body = content.getvalue()
        # after the highest there is, not the count: a shard may have been removed by hand
        number = max((int(path.name.split("-")[0]) for path in self._shards()), default=-1) + 1
        name = f"{number:06d}-{hashlib.sha256(body).hexdigest()[:12]}.parquet"
        write_atomically(self.folder / "shards" / name, body)
        self.pending.clear()

    def fail(self, failure: Failure) -> None:
        """Add a failure to the quarantine list, at once."""
        note_failure(self.folder, failure)

    def _shards(self) -> list[Path]:
        return sorted((self.folder / "shards").glob("*-*.parquet"))

    def _read(self, path: Path, columns: Sequence[str] | None = None) -> pa.Table:
        try:
            return pq.read_table(path, columns=columns, partitioning=None)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                wanted="a whole shard",
                got=str(error).splitlines()[0],
                fix="Remove this shard and embed again: only its rows are made anew",
                source=path,
            ) from error

    def contents(self) -> Contents:
        """Every place's latest row and failure, without reading features."""
        names = list(FileFacts.__dataclass_fields__)
        rows: dict[Place, Stored] = {}
        for path in self._shards():
            for number, cells in enumerate(
                self._read(path, [*names, "key", "written_ns"]).to_pylist()
            ):
                facts = FileFacts(**{name: cells[name] for name in names})
                stored = Stored(facts, cells["key"], cells["written_ns"], path, number)
                earlier = rows.pop(facts.place, stored)
                rows[facts.place] = max(earlier, stored, key=lambda one: one.written_ns)
        return Contents(rows, standing_failures(self.folder, rows))

    def features(self, rows: Sequence[Stored]) -> NDArray[np.float32]:
        """X (len(rows), dim) of stored rows, each shard read once."""
        X = np.empty((len(rows), self.card.dim), np.float32)
        by_shard: dict[Path, list[int]] = defaultdict(list)
        for position, stored in enumerate(rows):
            by_shard[stored.shard].append(position)
        for path, positions in by_shard.items():
            values = _features(self._read(path, ["features"]), self.card.dim)
            X[positions] = values[[rows[position].row for position in positions]]
        return X

    def rows_of(self, rows: Sequence[Stored]) -> list[Row]:
        """Stored rows as they were appended, for files that were moved or copied."""
        shards = {path: self._read(path) for path in {stored.shard for stored in rows}}
        return [_to_row(shards[one.shard].slice(one.row, 1), self.card.dim) for one in rows]

    def read(self) -> tuple[list[FileFacts], NDArray[np.float32]]:
        """Facts and features X (tracks, dim) of all places that are not quarantined."""
        usable = self.contents().usable()
        return [stored.facts for stored in usable], self.features(usable)

    def matrix(self, tracks: Sequence[FileFacts]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features of tracks, X (n, dim), and which of them are there; rows absent are NaN.

        A track is found by its place, if the file there is unchanged or gone since. A store that
        was carried to a machine without the audio is searched by id, where that is unmistakable.
        """
        chosen = find_rows(self.contents(), tracks)
        found = np.array([stored is not None for stored in chosen], dtype=bool)
        X = np.full((len(tracks), self.card.dim), np.nan, np.float32)
        X[found] = self.features([stored for stored in chosen if stored is not None])
        return X, found


def find_rows(contents: Contents, tracks: Sequence[FileFacts]) -> list[Stored | None]:
    """The stored row of each track, by its place; by its id where there is no file."""
    by_id: dict[str, list[Stored]] = defaultdict(list)
    for stored in contents.usable():
        by_id[stored.facts.id].append(stored)
    return [_choose(facts, contents, by_id) for facts in tracks]


def _choose(
    facts: FileFacts, contents: Contents, by_id: Mapping[str, Sequence[Stored]]
) -> Stored | None:
    if facts.place in contents.failures:
        return None
    stored = contents.rows.get(facts.place)
    if stored is not None:
        unchanged = not facts.exists or stored.facts.same_file(facts)
        return stored if unchanged else None
    named = by_id.get(facts.id, ())
    return named[0] if len(named) == 1 and not facts.exists else None


def _to_arrow(rows: Sequence[Row], card: EncoderCard) -> pa.Table:
    columns = {
        name: pa.array([getattr(row.facts, name) for row in rows], kind)
        for name, kind in (
            ("id", pa.string()),
            ("path", pa.string()),
            ("line", pa.int64()),
            ("bytes", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("start", pa.float64()),
            ("duration", pa.float64()),
        )
    }
    columns["key"] = pa.array([row.key for row in rows], pa.string())
    now = time.time_ns()
    columns["written_ns"] = pa.array(range(now, now + len(rows)), pa.int64())
    columns["source_rate"] = pa.array([row.source_rate for row in rows], pa.int32())
    columns["source_channels"] = pa.array([row.source_channels for row in rows], pa.int32())
    columns["seconds"] = pa.array([row.seconds for row in rows], pa.float64())
    values = pa.array(np.concatenate([row.features for row in rows]).astype(np.float32))
    columns["features"] = pa.FixedSizeListArray.from_arrays(values, card.dim)
    return pa.table(columns).replace_schema_metadata({"segue.card": card.digest})


def _features(shard: pa.Table, dim: int) -> NDArray[np.float32]:
    flat = shard["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    features: NDArray[np.float32] = flat.reshape(-1, dim).astype(np.float32, copy=False)
    return features


def _to_row(one: pa.Table, dim: int) -> Row:
    cells = one.drop_columns(["features"]).to_pylist()[0]
    names = FileFacts.__dataclass_fields__
    return Row(
        facts=FileFacts(**{name: cells[name] for name in names}),
        key=cells["key"],
        source_rate=cells["source_rate"],
        source_channels=cells["source_channels"],
        seconds=cells["seconds"],
        features=_features(one, dim)[0],
    )
