"""What groups are described by: frames, vectors or labels of their tracks, ready for factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segue.datasets import Manifest
from segue.errors import UsageError
from segue.extraction.frames import SECONDS
from segue.store import Failure, FrameTable
from segue.targets.source import Floats, LabelSource, Source
from segue.training.clips import Clips
from segue.workflows.evaluating import Watch
from segue.workflows.framing import frame
from segue.workflows.grouping import Groups, Rows, read_groups
from segue.workflows.groupkinds import (
    LABELS,
    Kind,
    kind_recipe,
    kind_terms,
    label_words,
    parse_kind,
)

__all__ = [
    "LABELS",
    "ClipSource",
    "GroupTracks",
    "Kind",
    "group_source",
    "group_tracks",
    "parse_kind",
]


@dataclass(frozen=True, slots=True, eq=False)
class ClipSource:
    """Frames of a table's clips as a `segue.targets.source.Source`.

    Attributes
    ----------
    names, group_of, tracks
        As the protocol has them.
    clips : Clips
        One a track.
    difference : bool
        Deliver frame t + 1 less frame t.
    """

    names: Sequence[str]
    group_of: Rows
    tracks: Sequence[str]
    clips: Clips
    difference: bool = False

    @property
    def bare(self) -> int:
        """Tracks that are too short for a difference."""
        return int((self.clips.counts < 2).sum()) if self.difference else 0

    def vectors(self, track: int) -> Floats:
        """Vectors (t, width) of a track; of differences one fewer than frames, and so maybe none.

        Raises
        ------
        StoreError
            A shard is damaged.
        """
        frames = self.clips.frames(track)
        return np.diff(frames, axis=0) if self.difference else frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GroupTracks:
    """The tracks of groups, and what describes them.

    Attributes
    ----------
    source : Source or LabelSource
        For `segue.targets.factors`: tracks that can be used, those of a group together. A group
        whose tracks are all unusable stays among its names.
    rows : (n,) int64 array
        The manifest row of each of its tracks.
    groups : Groups
        All tracks that have a group, also those that cannot be used.
    kind : Kind
    failures : tuple of Failure
        Files that cannot be used.
    bare : int
        Usable tracks that contribute nothing: without a label, or too short for a difference.
    facts : mapping
        What was heard: digest of the frames or the encoder's card; empty for labels.
    """

    source: Source | LabelSource
    rows: Rows
    groups: Groups
    kind: Kind
    failures: tuple[Failure, ...] = ()
    bare: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """What was taken and what was left out, in words."""
        words = [f"Words from {self.kind.asked}: {self.kind.said}", *self.groups.notes()]
        if self.failures:
            words.append(f"Files that could not be used, left out: {len(self.failures)}.")
        if self.bare:
            why = "without a label" if self.kind.columns else "too short for a difference of frames"
            words.append(f"Tracks {why}, which contribute nothing: {self.bare}.")
        return words


def group_source(
    manifest: Manifest,
    group: str,
    kind: str | Kind,
    *,
    frames: str | Path | None = None,
    rows: Sequence[int] | None = None,
    seconds: float | None = SECONDS,
    chunks: int | None = 1,
    device: str = "cpu",
    workers: int | None = None,
    watch: Watch | None = None,
) -> Source | LabelSource:
    """The source alone of :func:`group_tracks`, for `segue.targets.factors`.

    Parameters and errors are those of :func:`group_tracks`.

    Examples
    --------
    >>> some = [("a", "Nina", "jazz;soul"), ("b", "Bach", "baroque"), ("c", "Nina", "")]
    >>> rows = [{"path": path, "artist": who, "genre": what} for path, who, what in some]
    >>> source = group_source(Manifest.from_rows(rows), "artist", "labels:genre")
    >>> source.names, source.group_of.tolist(), source.tracks
    (('Bach', 'Nina'), [0, 1, 1], ('b', 'a', 'c'))
    """
    return group_tracks(
        manifest,
        group,
        kind,
        frames=frames,
        rows=rows,
        seconds=seconds,
        chunks=chunks,
        device=device,
        workers=workers,
        watch=watch,
    ).source


def group_tracks(
    manifest: Manifest,
    group: str,
    kind: str | Kind,
    *,
    frames: str | Path | None = None,
    rows: Sequence[int] | None = None,
    seconds: float | None = SECONDS,
    chunks: int | None = 1,
    device: str = "cpu",
    workers: int | None = None,
    watch: Watch | None = None,
) -> GroupTracks:
    """Tracks by group with what describes them; frames that the store has are not computed again.

    Of a data set in several parts, ask for each part with its ``rows`` and one store: "mfcc" and
    "dmfcc" share its frames, and so do all parts.

    Parameters
    ----------
    manifest : Manifest
    group : str
        Column, or "folder"; see :func:`segue.workflows.grouping.read_groups`.
    kind : str or Kind
        As :func:`parse_kind` takes it.
    frames : path, optional
        Store of frames; not needed for labels.
    rows : sequence of int, optional
        Manifest rows that take part; all by default.
    seconds : float or None
        Heard of a file for "mfcc" and "dmfcc"; None: all of it.
    chunks : int or None
        Excerpts heard by an encoder; None: all.
    device : str
    workers : int, optional
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError
        An unknown kind, no store, no usable track.
    ManifestError
        No such column, nothing in it, several groups in a cell.
    WeightsError, StoreError, SegueError
    """
    kind = parse_kind(kind) if isinstance(kind, str) else kind
    groups = read_groups(manifest, group, rows)
    if kind.columns:
        return _labelled(manifest, groups, kind)
    if frames is None:
        raise UsageError(
            wanted="a store for the frames that groups are described by",
            got="none",
            fix="Pass frames=, a folder",
        )
    recipe = kind_recipe(kind, seconds=seconds, chunks=chunks, device=device)
    maker = recipe.build()
    table = FrameTable.open_or_create(frames, maker.kind)
    # in the order of groups, so that a group's frames lie together on the disk
    framed = frame(
        manifest.subset(groups.rows.tolist()),
        table,
        recipe,
        maker=maker,
        name=manifest.name,
        workers=workers,
        watch=watch,
    )
    if not framed.stored:
        raise UsageError(
            wanted="tracks that can be heard",
            got=f"none of {len(groups.rows)}",
            fix="See why: " + "; ".join(one.reason for one in framed.failures[:3]),
            source=manifest.name,
        )
    clips = Clips(table, framed.stored)
    used = groups.rows[framed.rows]
    source = ClipSource(
        groups.names,
        groups.group_of[framed.rows],
        _ids(manifest, used),
        clips,
        kind.difference,
    )
    return GroupTracks(
        source=source,
        rows=used,
        groups=groups,
        kind=kind,
        failures=framed.failures,
        bare=source.bare,
        facts={"frames": maker.kind.label, "digest": maker.kind.digest, **kind_terms(kind)},
    )


def _labelled(manifest: Manifest, groups: Groups, kind: Kind) -> GroupTracks:
    words = label_words(manifest, kind)
    chosen = [words[row] for row in groups.rows.tolist()]
    if not any(chosen):
        raise UsageError(
            wanted=f"a label in {' or '.join(map(repr, kind.columns))} of the tracks with a group",
            got=f"none for {len(chosen)} tracks",
            fix="Choose another column",
            source=manifest.name,
        )
    source = LabelSource(groups.names, groups.group_of, _ids(manifest, groups.rows), chosen)
    return GroupTracks(
        source=source,
        rows=groups.rows,
        groups=groups,
        kind=kind,
        bare=sum(not one for one in chosen),
    )


def _ids(manifest: Manifest, rows: Rows) -> tuple[str, ...]:
    ids = manifest.ids
    return tuple(ids[row] for row in rows.tolist())
