"""Feature tables on disk: append-only Parquet shards, addressed by what was heard and how.

A store is a folder with one table per encoder card; a table is a folder with its card, shards and
a list of failures. A row's key is the SHA-256 of the file's bytes plus the stretch heard; together
with the digest of the card it fixes the features, whatever the file is called or wherever it lies.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segue.card import EncoderCard
from segue.errors import ModelError, StoreError, UsageError
from segue.files import write_atomically

log = logging.getLogger(__name__)

FORMAT = 1
SHARD_ROWS = 256
CARD = "card.json"
FAILURES = "failures.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What identifies a file without reading it, and where the manifest named it."""

    id: str
    path: str
    line: int
    bytes: int
    mtime_ns: int
    start: float = 0.0
    duration: float | None = None

    def same_as(self, other: FileFacts) -> bool:
        """Whether the file and the stretch are unchanged; the manifest line may differ."""
        return (
            self.path == other.path
            and (self.bytes, self.mtime_ns) == (other.bytes, other.mtime_ns)
            and (self.start, self.duration) == (other.start, other.duration)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One embedded track.

    Attributes
    ----------
    facts : FileFacts
    key : str
        Content key, see :func:`content_key`.
    source_rate, source_channels : int
        Of the file, before resampling and mixing.
    seconds : float
        Length that was heard.
    features : (dim,) float32 array
    """

    facts: FileFacts
    key: str
    source_rate: int
    source_channels: int
    seconds: float
    features: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One file that could not be embedded, and why; its row in the quarantine."""

    facts: FileFacts
    stage: str
    reason: str


def content_key(sha256: str, start: float, duration: float | None) -> str:
    """Key of a stretch of a file's content.

    Examples
    --------
    >>> content_key("ab", 0.0, None)
    'ab:0.0:None'
    """
    return f"{sha256}:{start!r}:{duration!r}"


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
        for other in tables(store):
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
        name = f"{len(self._shards()):06d}-{hashlib.sha256(body).hexdigest()[:12]}.parquet"
        write_atomically(self.folder / "shards" / name, body)
        self.pending.clear()

    def fail(self, failure: Failure) -> None:
        """Add a failure to the quarantine list, at once."""
        self._note({**asdict(failure.facts), "stage": failure.stage, "reason": failure.reason})

    def absolve(self, name: str) -> None:
        """Take an id off the quarantine list: it was embedded after all."""
        self._note({"id": name, "absolved": True})

    def _note(self, note: dict[str, object]) -> None:
        path = self.folder / FAILURES
        try:
            with path.open("a", encoding="utf-8") as file:
                # a leading line break too, should a crash have torn the line before
                file.write(f"\n{json.dumps(note)}\n")
        except OSError as error:
            raise StoreError(
                wanted="to note a failure",
                got=error.strerror or str(error),
                fix="Free space, then run the same command again",
                source=path,
            ) from error

    def _shards(self) -> list[Path]:
        return sorted((self.folder / "shards").glob("*.parquet"))

    def _read_shards(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        for path in self._shards():
            try:
                yield pq.read_table(path, columns=columns, partitioning=None)
            except (OSError, pa.ArrowInvalid) as error:
                raise StoreError(
                    wanted="a whole shard",
                    got=str(error).splitlines()[0],
                    fix="Remove this shard and embed again: only its rows are made anew",
                    source=path,
                ) from error

    def finished(self) -> dict[str, tuple[FileFacts, str]]:
        """Facts and content key of every embedded id, without reading features."""
        columns = [*FileFacts.__dataclass_fields__, "key"]
        found = {}
        for shard in self._read_shards(columns):
            for row in shard.to_pylist():
                key = row.pop("key")
                found[row["id"]] = (FileFacts(**row), key)
        return found

    def failures(self) -> dict[str, Failure]:
        """Quarantined ids: failures that no later success has made good."""
        path = self.folder / FAILURES
        found: dict[str, Failure] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in filter(None, lines):
            try:
                note = json.loads(line)
                if note.get("absolved"):
                    found.pop(note["id"], None)
                    continue
                stage, reason = note.pop("stage"), note.pop("reason")
                failure = Failure(facts=FileFacts(**note), stage=stage, reason=reason)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # a line torn by a crash: its file is simply tried again
            found[failure.facts.id] = failure
        return found

    def read(self) -> tuple[list[str], NDArray[np.float32]]:
        """All ids and X (tracks, dim), in the order they were embedded.

        An id that is quarantined now is left out, though an earlier content of its file may have
        been embedded.
        """
        latest: dict[str, NDArray[np.float32]] = {}
        for shard in self._read_shards(["id", "features"]):
            vectors = _features(shard, self.card.dim)
            latest.update(zip(shard["id"].to_pylist(), vectors, strict=True))
        for name in self.failures():
            latest.pop(name, None)
        X = np.empty((len(latest), self.card.dim), np.float32)
        for row, values in enumerate(latest.values()):
            X[row] = values
        return list(latest), X

    def matrix(self, ids: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """X (n, dim) in the order of ``ids``, and which of them are there; rows absent are NaN."""
        names, X = self.read()
        where = {name: row for row, name in enumerate(names)}
        out = np.full((len(ids), self.card.dim), np.nan, np.float32)
        found = np.array([name in where for name in ids], dtype=bool)
        rows = [where[name] for name in ids if name in where]
        if rows:
            out[found] = X[rows]
        return out, found

    def rows_with_keys(self, keys: Iterable[str]) -> dict[str, Row]:
        """Stored rows of some content keys, for files that were moved or copied."""
        wanted = set(keys)
        found = {}
        for shard in self._read_shards() if wanted else ():
            for position, key in enumerate(shard["key"].to_pylist()):
                if key in wanted:
                    found[key] = _to_row(shard.slice(position, 1), self.card.dim)
        return found


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


def tables(store: str | Path) -> list[FeatureTable]:
    """All tables of a store (or the one table, when its own folder is named), sorted by name."""
    store = Path(store)
    if (store / CARD).is_file():
        return [FeatureTable.open(store)]
    if not store.is_dir():
        return []
    return [FeatureTable.open(card.parent) for card in sorted(store.glob(f"*/{CARD}"))]


def choose_table(store: str | Path, encoder: str | None = None) -> FeatureTable:
    """The one table of a store that a request means.

    Parameters
    ----------
    store : str or Path
    encoder : str, optional
        Name or label ("choi2017-msd@12345"); needed when the store has several tables.

    Raises
    ------
    StoreError
        When there is none.
    UsageError
        When several fit.
    """
    there = tables(store)
    fitting = [t for t in there if encoder is None or encoder in (t.card.name, t.card.label)]
    names = ", ".join(table.folder.name for table in there) or "no tables"
    if not fitting:
        raise StoreError(
            wanted=f"features of {encoder}" if encoder else "a feature store",
            got=names,
            fix="Run `segue embed` into this folder first",
            source=store,
        )
    if len(fitting) > 1:
        raise UsageError(
            wanted="one table",
            got=names,
            fix="Choose with --encoder, or name the table's own folder",
            source=store,
        )
    return fitting[0]
