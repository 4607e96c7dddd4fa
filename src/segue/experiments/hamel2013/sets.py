"""The data sets of an experiment: those that are classified, those whose tags teach."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.datasets import Manifest, Track, read_target
from segue.datasets.known import dataset
from segue.errors import AudioError, UsageError
from segue.experiments.hamel2013.published import FOLDS, GENRE_SETS, TAG_SET, PaperSet
from segue.extraction.worker import content_hash, file_facts
from segue.training.split import track_groups
from segue.workflows.jointsets import Source, parse_source

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GenreSet:
    """A data set whose genres are to be told apart, and teach the others' embeddings.

    Attributes
    ----------
    source : Source
        All its labelled tracks: what it teaches.
    manifest : Manifest
        The tracks that are classified: one label each, of a class that fills the folds.
    labels : list of str
        Of those tracks.
    groups : list of str or None
        Their artists, where a column names them.
    paper : PaperSet or None
        Where it is one of the paper's.
    notes : tuple of str
        What was left out.
    """

    source: Source
    manifest: Manifest
    labels: list[str]
    groups: list[str] | None
    paper: PaperSet | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its labels are called by."""
        return self.source.name


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sets:
    """What an experiment is made on.

    Attributes
    ----------
    genres : list of GenreSet
    tags : list of Source
        Data sets whose tags teach; for each target the first that shares no file with it.
    notes : tuple of str
    """

    genres: list[GenreSet]
    tags: list[Source]
    notes: tuple[str, ...] = ()


def genre_set(source: Source, *, paper: PaperSet | None = None) -> GenreSet:
    """The tracks of a source that can be classified in ten folds.

    A track with several labels has no one class; a class needs a track for every fold.

    Raises
    ------
    UsageError
        Fewer than two classes are left.
    """
    target = read_target(source.manifest, source.column, task="tagging")
    single = [len(names) == 1 for names in target.values]
    counts = Counter(names[0] for names, one in zip(target.values, single, strict=True) if one)
    artists: dict[str, set[str]] = {label: set() for label in counts}
    groups = track_groups(source.manifest, target.rows, source.group)
    for names, one, group in zip(target.values, single, groups, strict=True):
        if one:
            artists[names[0]].add(group)
    # of one artist alone, a class cannot be both learned and tested with artists apart
    rare = sorted(label for label, n in counts.items() if n < FOLDS or len(artists[label]) < 2)
    keep = np.array(
        [one and names[0] not in rare for names, one in zip(target.values, single, strict=True)]
    )
    labels = [names[0] for names, use in zip(target.values, keep, strict=True) if use]
    if len(set(labels)) < 2:
        raise UsageError(
            wanted=f"two classes of {FOLDS} tracks or more with one label, of two artists or more",
            got=f"{len(set(labels))} in column {source.column!r} of {source.name}",
            fix="Name another column, or add tracks",
            source=source.manifest.name,
        )
    rows = target.rows[keep]
    notes = [f"{source.name}: {len(labels)} tracks of {len(set(labels))} classes are classified"]
    if several := len(single) - sum(single):
        notes.append(f"{several} with several labels only teach")
    if rare:
        few = ", ".join(f"{label} ({counts[label]})" for label in rare)
        notes.append(
            f"classes with fewer than {FOLDS} single-label tracks, or of one artist, only teach: "
            f"{few}"
        )
    return GenreSet(
        source=source,
        manifest=source.manifest.subset(rows.tolist()),
        labels=labels,
        groups=None if source.group is None else track_groups(source.manifest, rows, source.group),
        paper=paper,
        notes=("; ".join(notes) + ".",),
    )


def named_sets(genres: Sequence[str], tags: Sequence[str]) -> Sets:
    """Data sets given as ``NAME=MANIFEST:COLUMN`` or ``NAME=MANIFEST:COLUMN:ARTIST``.

    Raises
    ------
    UsageError, ManifestError
    """
    return checked(
        Sets(
            genres=[genre_set(parse_source(text)) for text in genres],
            tags=[parse_source(text) for text in tags],
        )
    )


def distributed_sets(root: Path) -> Sets:
    """The paper's five data sets as distributed, each in a folder below ``root``.

    Those that are not there are left out, and named.

    Raises
    ------
    UsageError
        Fewer than two genre sets.
    LayoutError, ManifestError
    """
    there = [one for one in (*GENRE_SETS, TAG_SET) if (root / one.registered).is_dir()]
    absent = [one for one in (*GENRE_SETS, TAG_SET) if one not in there]
    if sum(one is not TAG_SET for one in there) < 2:
        folders = ", ".join(one.registered for one in (*GENRE_SETS, TAG_SET))
        raise UsageError(
            wanted=f"data sets in folders named {folders}, two with genres at least",
            got=", ".join(one.registered for one in there) or "none of them",
            fix="Unpack or link them there, or name manifests with --genres and --tags",
            source=root,
        )
    sources = {one.name: _distributed(root, one) for one in there}
    notes = [
        f"{one.name} is not below {root.name}: what the paper learned from it is missing here."
        for one in absent
    ]
    return checked(
        Sets(
            genres=[genre_set(sources[one.name], paper=one) for one in there if one is not TAG_SET],
            tags=[sources[TAG_SET.name]] if TAG_SET in there else [],
            notes=tuple(notes),
        )
    )


def _distributed(root: Path, one: PaperSet) -> Source:
    known = dataset(one.registered)
    manifest = known.read(root / one.registered)
    group = known.group if known.group in manifest.columns else None
    return Source(name=one.name, manifest=manifest, column=one.column, group=group)


def checked(sets: Sets) -> Sets:
    """The same, refused where an experiment makes no sense on it.

    Raises
    ------
    UsageError
        No two genre sets, or a name twice.
    """
    names = [one.name for one in sets.genres] + [one.name for one in sets.tags]
    if len(sets.genres) < 2 or len(set(names)) < len(names):
        raise UsageError(
            wanted="two genre sets or more, and tag sets, each with a name of its own",
            got=", ".join(names) or "none",
            fix="Name them with --genres NAME=MANIFEST:COLUMN and --tags NAME=MANIFEST:COLUMN",
        )
    return sets


def shares_files(one: Manifest, other: Manifest) -> bool:
    """Whether a file is in both: by its path once links are followed, or by its content."""
    first, second = ({track.path.resolve() for track in each.tracks()} for each in (one, other))
    if not first.isdisjoint(second):
        return True
    near = _of_sizes(second, {size for _, size in _sizes(first)})
    same = _of_sizes(first, {size for _, size in _sizes(near)})
    return not _contents(same).isdisjoint(_contents(near))


def _sizes(paths: Iterable[Path]) -> list[tuple[Path, int]]:
    facts = [(path, file_facts(Track("", path, 0.0, None, 0)).bytes) for path in paths]
    return [(path, size) for path, size in facts if size > 0]


def _of_sizes(paths: Iterable[Path], sizes: set[int]) -> set[Path]:
    return {path for path, size in _sizes(paths) if size in sizes}


def _contents(paths: Iterable[Path]) -> set[str]:
    """Hashes of the files that can be read; the others are met, and told, where they are heard."""
    found = set()
    for path in paths:
        try:
            found.add(content_hash(path))
        except AudioError as error:
            log.info("not compared: %s", error)
    return found


def shared_artists(target: GenreSet, sources: Sequence[Source]) -> list[str]:
    """Artists of the target that also teach, by name; none where a side names no artists."""
    if target.source.group is None:
        return []
    column = target.source.group
    mine = {cell.casefold(): cell for cell in target.manifest.column(column) if cell}
    theirs = {
        cell.casefold()
        for one in sources
        if one.group is not None
        for cell in one.manifest.column(one.group)
        if cell
    }
    return sorted(mine[name] for name in mine.keys() & theirs)
