"""What is to be told of learned factors: their words, groups and tracks, and a file of tracks."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segue.audio.frontends import preset
from segue.datasets import Manifest
from segue.encoders.descriptors import descriptor_names
from segue.errors import StoreError
from segue.report.groups import Factor, Heard
from segue.targets.factors import FactorModel, GroupShares
from segue.targets.listing import top_groups, top_words
from segue.targets.source import Floats, LabelSource, Source, Whole
from segue.targets.texts import shown
from segue.workflows.grouping import Groups
from segue.workflows.groupkinds import DESCRIPTORS, MFCC, Kind
from segue.workflows.groupsource import GroupTracks

TOP = 5
SAMPLE = 2000
"""Tracks whose own shares are looked at for the table of factors; of more, every so many-th."""

BATCH = 65536  # tracks written at once
TITLE = "title"
NUMBERS = 30  # that a picture of profiles has room for

Table = NDArray[np.float64]


class Alone:
    """Some tracks of a source, each a group of its own: what a factor is in single tracks."""

    def __init__(self, source: Source, chosen: Whole) -> None:
        self.source = source
        self.chosen = chosen
        # ids may have characters that no group's name may have
        self.names = [str(number) for number in range(len(chosen))]
        self.tracks = [source.tracks[track] for track in chosen.tolist()]
        self.group_of = np.arange(len(chosen))

    def vectors(self, track: int) -> Floats:
        """Vectors (t, width) of a track."""
        return self.source.vectors(int(self.chosen[track]))


def single_tracks(source: Source | LabelSource) -> tuple[Source | LabelSource, Whole]:
    """At most ``SAMPLE`` tracks, evenly spaced, each a group of its own; which they are."""
    count = len(source.tracks)
    chosen = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).round().astype(np.int64))
    if not isinstance(source, LabelSource):
        return Alone(source, chosen), chosen
    names = [str(number) for number in range(len(chosen))]
    tracks = [source.tracks[track] for track in chosen.tolist()]
    labels = [source.labels[track] for track in chosen.tolist()]
    return LabelSource(names, np.arange(len(chosen)), tracks, labels), chosen


def describe(
    model: FactorModel,
    shares: GroupShares,
    found: GroupTracks,
    manifest: Manifest,
    *,
    alone: GroupShares,
    chosen: Whole,
    similarity: NDArray[np.float64] | None = None,
) -> list[Factor]:
    """What each factor is made of and who has most of it.

    Parameters
    ----------
    model : FactorModel
    shares : GroupShares
        Of the groups.
    found : GroupTracks
    manifest : Manifest
        Names tracks by their ``title``, where it has one.
    alone : GroupShares
        Of single tracks, see :func:`single_tracks`.
    chosen : (n,) int64 array
        Which tracks of the source they are.
    similarity : (factors,) array, optional
        To the same factor learned with other seeds.
    """
    table = shares.shares[shares.known].astype(np.float64)
    main = np.bincount(table.argmax(axis=1), minlength=model.topics)
    words = top_words(model, k=TOP) if model.vocabulary else [()] * model.topics
    groups = top_groups(shares, k=TOP)
    called = _titles(manifest, found, chosen)
    factors = []
    for number, own in enumerate(model.topic_words()):
        column = alone.shares[:, number]
        factors.append(
            Factor(
                number=number + 1,
                size=float(table[:, number].mean()),
                mainly=int(main[number]),
                half=int(np.searchsorted(np.cumsum(np.sort(own)[::-1]), 0.5) + 1),
                words=words[number],
                groups=groups[number],
                tracks=[Heard(called[i], float(column[i])) for i in _largest(column, alone.words)],
                similarity=None if similarity is None else float(similarity[number]),
                idle=bool(table[:, number].max() < 1 / model.topics),
            )
        )
    return factors


def profiles(model: FactorModel, kind: Kind) -> tuple[Table, list[str], str] | None:
    """What factors sound like (factors, numbers) in standard units, names of these, and a note.

    For MFCC the mean of a factor's words; for their differences how far they move, whatever the
    way. Of many numbers those that differ most between factors. None where they have no name.
    """
    names = _names(kind)
    if model.dictionary is None or names is None:
        return None
    centres = model.dictionary.centres.astype(np.float64)
    centres = np.abs(centres) if kind.difference else centres
    usual = model.components.sum(axis=0) / model.components.sum()
    mean = usual @ centres
    spread = np.sqrt(usual @ (centres - mean) ** 2)
    spread[spread == 0] = 1.0
    table: Table = (model.topic_words() @ centres - mean) / spread
    if len(names) <= NUMBERS:
        return table, names, "how far they move, whatever the way" * kind.difference
    most = np.sort(np.argsort(-table.std(axis=0), kind="stable")[:NUMBERS])
    note = f"the {NUMBERS} of {len(names)} numbers that differ most between factors"
    return table[:, most], [names[number] for number in most.tolist()], note


def _names(kind: Kind) -> list[str] | None:
    if kind.heard == MFCC:
        names = [f"MFCC {number}" for number in range(preset(MFCC).bins)]
        return [f"{names[0]} (level)", f"{names[1]} (low over high)", *names[2:]]
    return list(descriptor_names()) if kind.heard == DESCRIPTORS else None


def _largest(column: NDArray[np.floating], words: Whole) -> list[int]:
    """Rows with most of a factor, of equal ones that with more words first; none without words."""
    order = np.lexsort((-words, -column))
    return [row for row in order.tolist() if words[row]][:TOP]


def _titles(manifest: Manifest, found: GroupTracks, chosen: Whole) -> list[str]:
    """Title, or else id, and group of some tracks, as they can be shown."""
    column = manifest.column(TITLE) if TITLE in manifest.columns else manifest.ids
    ids, groups = manifest.ids, found.source.group_of[chosen].tolist()
    rows = found.rows[chosen].tolist()
    return [
        f"{shown(column[row] or ids[row])} ({found.source.names[group]})"
        for row, group in zip(rows, groups, strict=True)
    ]


def write_tracks(path: Path, manifest: Manifest, groups: Groups, shares: GroupShares) -> str:
    """One row a track that has a group: ``id``, ``group``, ``factor_1``, ...; joined by ``id``.

    Factors are null for tracks whose group has no distribution.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    ids = manifest.ids
    topics = shares.shares.shape[1]
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("group", pa.string()),
            *((f"factor_{number + 1}", pa.float32()) for number in range(topics)),
        ]
    )
    # segue.files.write_atomically takes all bytes at once: those of a million tracks are too many
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for begin in range(0, len(groups.rows), BATCH):
                rows = groups.rows[begin : begin + BATCH].tolist()
                of = groups.group_of[begin : begin + BATCH]
                table = shares.shares[of]
                columns = [
                    pa.array([ids[row] for row in rows], pa.string()),
                    pa.array([groups.names[group] for group in of.tolist()], pa.string()),
                    *(pa.array(column, from_pandas=True) for column in table.T),
                ]
                writer.write_table(pa.table(columns, schema=schema))
        digest = file_digest(partial)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            wanted="to write the shares of all tracks",
            got=error.strerror or str(error),
            fix="Free space, or choose another folder with -o; then run the same command again",
            source=path,
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return digest


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_facts(factors: Sequence[Factor]) -> list[dict[str, object]]:
    """The table of factors as plain values for JSON."""
    return [
        {
            "number": one.number,
            "size": one.size,
            "mainly": one.mainly,
            "half": one.half,
            "words": [asdict(word) for word in one.words],
            "groups": [asdict(group) for group in one.groups],
            "tracks": [asdict(track) for track in one.tracks],
            "similarity": one.similarity,
            "idle": one.idle,
        }
        for one in factors
    ]
