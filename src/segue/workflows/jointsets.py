"""Sources of a joint embedding: manifests with a label column, each a data set of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest, read_target
from segue.encoders.folder_checks import check_words
from segue.encoders.joint import tags_of
from segue.errors import UsageError
from segue.training.split import held_out, track_groups
from segue.training.warp.sampling import LabelSet

NAMED = re.compile(r"[^\s:=,;][^:=,;]{0,62}")
ASKED = re.compile(
    r"(?P<name>[^=]+)=(?P<path>.+\.(?:csv|parquet)):(?P<column>[^:]+)(?::(?P<group>[^:]+))?",
    re.IGNORECASE,
)

Rows = NDArray[np.int64]
SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Source:
    """One data set that teaches.

    Attributes
    ----------
    name : str
        Its labels are called "NAME: label".
    manifest : Manifest
    column : str
        One or several labels a cell.
    group : str or None
        Column whose values never stand on both sides of the validation split (artist); by default
        the file.
    """

    name: str
    manifest: Manifest
    column: str
    group: str | None = None


def parse_source(text: str) -> Source:
    """``NAME=MANIFEST:COLUMN`` or ``NAME=MANIFEST:COLUMN:GROUP``.

    Raises
    ------
    UsageError
        Another form.
    ManifestError
        The manifest cannot be read.

    Examples
    --------
    >>> parse_source("4q") # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    segue.errors.UsageError: wanted NAME=MANIFEST:COLUMN
    """
    found = ASKED.fullmatch(text)
    if found is None:
        raise UsageError(
            wanted="NAME=MANIFEST:COLUMN, or NAME=MANIFEST:COLUMN:GROUP, with a .csv or .parquet",
            got=repr(text),
            fix="For example --source 4q=4q/manifest.csv:moods:artist",
        )
    return Source(
        name=found["name"].strip(),
        manifest=Manifest.read(Path(found["path"])),
        column=found["column"],
        group=found["group"],
    )


def listed(names: Sequence[str]) -> str:
    """Names for a sentence, the first twenty of them.

    Examples
    --------
    >>> listed(["a", "b"]), listed(["x"] * 22)[-12:]
    ('a, b', 'x and 2 more')
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Taught:
    """A source's labels, and the tracks that carry them.

    Attributes
    ----------
    source : Source
    labels : tuple of str
        Those of ``known`` first, in their order, then the others by name.
    known : int
        How many an embedding had before.
    manifest : Manifest
        The labelled tracks alone.
    carried : list of tuple of int
        Labels of each track.
    groups : list of str
    valid : (n,) boolean array
        Tracks held out for validation.
    unlabelled : int
        Tracks without a label, or with none that is taught: left out.
    rare : mapping of label to tracks
        Labels of too few tracks: not taught.
    """

    source: Source
    labels: tuple[str, ...]
    known: int
    manifest: Manifest
    carried: list[tuple[int, ...]]
    groups: list[str]
    valid: NDArray[np.bool_]
    unlabelled: int
    rare: Mapping[str, int]

    @property
    def tags(self) -> list[str]:
        """Labels with the data set's name before them."""
        return tags_of({self.source.name: self.labels})

    def label_set(self, rows: Rows) -> LabelSet:
        """What these tracks carry."""
        return LabelSet.of([self.carried[row] for row in rows.tolist()], size=len(self.labels))

    def learned(self) -> NDArray[np.bool_] | None:
        """Which labels' rows move; None for all."""
        return np.arange(len(self.labels)) >= self.known if self.known else None

    def notes(self) -> list[str]:
        """What teaches and what was left out, in words."""
        name = self.source.name
        several = sum(len(one) > 1 for one in self.carried)
        kind = f", {several} with several" if several else ""
        words = [
            f"{name}: {len(self.labels)} labels of column {self.source.column!r}, "
            f"{len(self.carried)} tracks{kind}, {int(self.valid.sum())} of them for validation"
            + (f" (no {self.source.group} on both sides)." if self.source.group else ".")
        ]
        if self.unlabelled:
            words.append(f"{name}: {self.unlabelled} tracks have no label: left out.")
        if self.rare:
            few = listed([f"{label} ({n})" for label, n in self.rare.items()])
            words.append(f"{name}: labels of too few tracks are not taught: {few}.")
        full = sum(len(one) == len(self.labels) for one in self.carried)
        if full:
            words.append(f"{name}: {full} tracks carry every label and teach nothing.")
        unheard = set(range(self.known, len(self.labels))) - {
            code
            for codes, held in zip(self.carried, self.valid.tolist(), strict=True)
            if not held
            for code in codes
        }
        if unheard:
            never = listed([self.labels[code] for code in sorted(unheard)])
            words.append(f"{name}: no training track carries {never}: pushed away, never pulled.")
        return words


def read_sources(
    sources: Sequence[Source],
    *,
    min_tracks: int = 1,
    share: float,
    seed: int,
    known: Mapping[str, Sequence[str]] | None = None,
) -> list[Taught]:
    """Labels and parts of all sources.

    Parameters
    ----------
    sources : sequence of Source
    min_tracks : int
        Labels of fewer tracks are not taught.
    share : float
        Of each source's tracks, held out for validation, no group on both sides. A group or file
        that one source holds out is held out of all, so that none learns from what another is
        judged by.
    seed : int
    known : mapping of data set to labels, optional
        Of the embedding that is extended.

    Raises
    ------
    UsageError
        No source, a name twice or malformed; fewer than two labels; one group, or none left to
        learn from; tracks that all carry every label.
    ManifestError
        No such column, or nothing in it.
    """
    names = [one.name for one in sources]
    if not sources or len(set(names)) < len(names):
        raise UsageError(
            wanted="data sets, each with a name of its own",
            got=", ".join(names) or "none",
            fix="Name them with --source NAME=MANIFEST:COLUMN",
        )
    for name in names:
        if not NAMED.fullmatch(name):
            raise UsageError(
                wanted="a name without ':', '=', ',' and ';', 63 characters at most",
                got=repr(name[:80]),
                fix="Choose another NAME in --source NAME=MANIFEST:COLUMN",
            )
        check_words(name, "the name of a data set")
    if min_tracks < 1:
        raise UsageError(
            wanted="one track at least", got=f"--min-tracks {min_tracks}", fix="Raise it"
        )
    return _together(
        [_read(one, min_tracks, share, seed, (known or {}).get(one.name, ())) for one in sources]
    )


def _together(taught: Sequence[Taught]) -> list[Taught]:
    """The same, each holding out the groups, and the files, that any of them holds out."""
    paths = [
        np.array([str(track.path.absolute()) for track in one.manifest.tracks()], object)
        for one in taught
    ]
    groups = [np.array(one.groups, object) for one in taught]
    valid = [one.valid for one in taught]
    while True:
        held = {cell for own, use in zip(groups, valid, strict=True) for cell in own[use]}
        files = {path for own, use in zip(paths, valid, strict=True) for path in own[use]}
        # a file that is held out takes its whole group with it, in every source
        held |= {
            group
            for own, names in zip(paths, groups, strict=True)
            for path, group in zip(own, names, strict=True)
            if path in files
        }
        grown = [np.array([cell in held for cell in own], dtype=bool) for own in groups]
        if all((new == old).all() for new, old in zip(grown, valid, strict=True)):
            break
        valid = grown
    found = [replace(one, valid=use) for one, use in zip(taught, valid, strict=True)]
    for one in found:
        check_parts(one, np.arange(len(one.carried)))
    return found


def check_parts(one: Taught, rows: Rows) -> None:
    """Refuse tracks of which nothing can be learned, or by which nothing can be judged.

    Raises
    ------
    UsageError
        None to learn from or to validate with, or all of them carry every label.
    """
    for valid, what in ((False, "learn from"), (True, "validate with")):
        part = rows[one.valid[rows] == valid].tolist()
        if any(len(one.carried[row]) < len(one.labels) for row in part):
            continue
        raise UsageError(
            wanted=f"tracks of {one.source.name} to {what} that lack a label: labels are ranked "
            "above those that a track lacks",
            got=f"{len(part)} that all carry all {len(one.labels)} labels"
            if part
            else f"none of {len(rows)}: their groups are all in the other part",
            fix="Name another column" if part else "Use more tracks, or another --valid-share",
            source=one.source.manifest.name,
        )


def _read(source: Source, min_tracks: int, share: float, seed: int, known: Sequence[str]) -> Taught:
    target = read_target(source.manifest, source.column, task="tagging")
    # a track that names a label twice carries it once
    named = [tuple(dict.fromkeys(names)) for names in target.values]
    counts = Counter(name for names in named for name in names)
    fresh = [name for name in counts if counts[name] >= min_tracks and name not in known]
    labels = (*known, *sorted(fresh))
    if len(labels) < 2:
        raise UsageError(
            wanted="two labels or more: the loss ranks one above another",
            got=f"{len(labels)} in column {source.column!r} of {source.name}"
            + (f" with {min_tracks} tracks or more" if min_tracks > 1 else ""),
            fix="Name a column with more labels, or leave this data set out",
            source=source.manifest.name,
        )
    for label in labels:
        check_words(label, "a label")
    place = {label: code for code, label in enumerate(labels)}
    carried = [tuple(sorted(place[name] for name in names if name in place)) for names in named]
    kept = np.array([bool(codes) for codes in carried])
    rows = target.rows[kept]
    groups = track_groups(source.manifest, rows, source.group)
    return Taught(
        source=source,
        labels=labels,
        known=len(known),
        manifest=source.manifest.subset(rows.tolist()),
        carried=[codes for codes in carried if codes],
        groups=groups,
        valid=held_out(groups, share, seed=seed),
        unlabelled=len(source.manifest) - len(rows),
        rare={name: counts[name] for name in sorted(counts) if name not in place},
    )
