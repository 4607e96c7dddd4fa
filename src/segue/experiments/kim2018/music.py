"""The music of an experiment: which tracks are classified, which only teach, and whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest
from segue.datasets.cells import SEPARATOR
from segue.datasets.known import dataset
from segue.datasets.known.layout import LayoutError
from segue.errors import UsageError
from segue.training.split import track_groups

PAPERS = "fma-medium"
PAPERS_CLASSES = 16
SUBSETS = (PAPERS, "fma-small", "fma-large", "fma-full")

FEWEST_ARTISTS = 10
"""Of a class that is classified: with fewer, an artist-disjoint split leaves one or two to test."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Music:
    """Tracks with genre, artist and album.

    Attributes
    ----------
    name : str
    manifest : Manifest
        All tracks that teach; some of them are classified.
    target, group : str
        Columns of the genre and of the artist.
    labels : tuple of str
        Columns of sub-genre labels, which s is made of; none: no s.
    classes : tuple of str
        Those that are classified.
    genre : (tracks,) int64 array
        Number of the class; -1: the track only teaches.
    artists : (tracks,) array of str
    albums : (tracks,) array of str or None
        None where no column names them.
    paper : bool
        Whether it is the paper's data set, so that its numbers may stand beside ours.
    notes : tuple of str
    """

    name: str
    manifest: Manifest
    target: str
    group: str
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    genre: NDArray[np.int64]
    artists: NDArray[np.str_]
    albums: NDArray[np.str_] | None
    paper: bool = False
    notes: tuple[str, ...] = ()
    fewest: int = field(default=FEWEST_ARTISTS)
    album: str | None = None

    @property
    def tasks(self) -> str:
        """Letters of the tasks that can be taught."""
        return "gmdes" if self.labels else "gmde"

    @property
    def classified(self) -> NDArray[np.int64]:
        """Rows that are classified."""
        return np.flatnonzero(self.genre >= 0)

    def usable(self, rows: Sequence[int]) -> Music:
        """The same with the tracks of these rows alone, the classes counted anew.

        Raises
        ------
        UsageError
            Fewer than two classes are left.
        """
        if len(rows) == len(self.manifest):
            return self
        return read_music(
            self.manifest.subset(list(rows)),
            name=self.name,
            target=self.target,
            group=self.group,
            album=self.album,
            labels=self.labels,
            fewest=self.fewest,
            paper=self.paper,
        )


def read_music(
    manifest: Manifest,
    *,
    name: str,
    target: str,
    group: str,
    album: str | None = None,
    labels: Sequence[str] = (),
    fewest: int = FEWEST_ARTISTS,
    paper: bool = False,
) -> Music:
    """A manifest as music to classify.

    A track with several genres has the most frequent of them in the data set as its main genre. A
    class of fewer than ``fewest`` artists is not classified; its tracks teach artist groups.

    Raises
    ------
    UsageError
        Fewer than two classes.
    ManifestError
        No such column, or a file in two groups.

    Examples
    --------
    >>> rows = [{"path": f"{i}.wav", "genre": "rock;pop" if i % 2 else "pop", "artist": str(i // 2)}
    ...         for i in range(8)]
    >>> read_music(Manifest.from_rows([*rows, {"path": "x", "genre": "jazz", "artist": "y"},
    ...                                {"path": "z", "genre": "jazz", "artist": "z"}]),
    ...            name="toy", target="genre", group="artist", fewest=2).classes
    ('jazz', 'pop')
    """
    rows = np.arange(len(manifest))
    mains, several = main_labels(manifest.column(target))
    artists = np.array(track_groups(manifest, rows, group), dtype=np.str_)
    # one title is one album, whoever plays: a compilation is never torn, and albums that share a
    # title ("Greatest Hits") only stay together
    albums = None
    if album is not None:
        albums = np.array(track_groups(manifest, rows, album), dtype=np.str_)
    for column in labels:
        manifest.column(column)
    of_class: dict[str, set[str]] = {}
    for main, artist in zip(mains, artists.tolist(), strict=True):
        if main:
            of_class.setdefault(main, set()).add(artist)
    classes = tuple(sorted(one for one, who in of_class.items() if len(who) >= max(2, fewest)))
    if len(classes) < 2:
        raise UsageError(
            wanted=f"two classes of {max(2, fewest)} artists or more in column {target!r}",
            got=", ".join(f"{one} ({len(who)})" for one, who in sorted(of_class.items())) or "none",
            fix="Name another column, add tracks, or ask for fewer with --min-artists",
            source=manifest.name,
        )
    number = {one: place for place, one in enumerate(classes)}
    genre = np.array([number.get(main, -1) for main in mains], np.int64)
    return Music(
        name=name,
        manifest=manifest,
        target=target,
        group=group,
        labels=tuple(labels),
        classes=classes,
        genre=genre,
        artists=artists,
        albums=albums,
        paper=paper and len(classes) == PAPERS_CLASSES,
        notes=_notes(name, mains, genre, classes, fewest, several),
        fewest=fewest,
        album=album,
    )


def main_labels(cells: Sequence[str]) -> tuple[list[str], int]:
    """Main label of each cell, "" where there is none, and how many cells hold several.

    Of several labels, whose order may mean nothing (4q sorts them), the one that is the most
    frequent in all cells; of equally frequent ones the first by name.

    Examples
    --------
    >>> main_labels(["blues;rock", "rock", "", "blues; jazz"])
    (['blues', 'rock', '', 'blues'], 2)
    """
    split = [[one.strip() for one in cell.split(SEPARATOR) if one.strip()] for cell in cells]
    counts = Counter(label for labels in split for label in set(labels))
    mains = [min(labels, key=lambda one: (-counts[one], one), default="") for labels in split]
    return mains, sum(len(set(labels)) > 1 for labels in split)


def _notes(
    name: str,
    mains: Sequence[str],
    genre: NDArray[np.int64],
    classes: Sequence[str],
    fewest: int,
    several: int,
) -> tuple[str, ...]:
    counts = Counter(main for main in mains if main)
    notes = [
        f"{name}: {int((genre >= 0).sum())} of {len(mains)} tracks are classified, in "
        f"{len(classes)} classes: " + ", ".join(f"{one} ({counts[one]})" for one in classes) + "."
    ]
    if several:
        notes.append(
            f"{several} tracks have several genres: their main genre is that of them which most "
            "tracks have."
        )
    if rare := sorted(set(counts) - set(classes)):
        notes.append(
            f"Classes of fewer than {fewest} artists are not classified; their tracks teach artist "
            "groups: " + ", ".join(f"{one} ({counts[one]})" for one in rare) + "."
        )
    if without := sum(not main for main in mains):
        notes.append(f"{without} tracks without a genre teach artist groups only.")
    return tuple(notes)


def named_music(
    manifest: Manifest,
    *,
    target: str,
    group: str,
    album: str | None = None,
    labels: Sequence[str] = (),
    fewest: int | None = None,
    name: str | None = None,
) -> Music:
    """Any manifest in the place of the paper's data set.

    Raises
    ------
    UsageError, ManifestError
    """
    path = Path(manifest.name)
    called = name or (path.parent.name if path.stem == "manifest" else path.stem) or path.name
    return read_music(
        manifest,
        name=called,
        target=target,
        group=group,
        album=album,
        labels=labels,
        fewest=FEWEST_ARTISTS if fewest is None else fewest,
    )


def distributed_music(root: Path) -> Music:
    """FMA as distributed: the medium subset, which is the paper's, or another that is there.

    Raises
    ------
    LayoutError, ManifestError
        None is there; or a metadata file is malformed.
    """
    refused: LayoutError | None = None
    for one in SUBSETS:
        try:
            manifest = dataset(one).read(root)
        except LayoutError as error:
            refused = refused or error
            continue
        return read_music(
            manifest,
            name=one,
            target="genre",
            group="artist",
            album="album",
            labels=("genres",),
            fewest=2,  # the paper classifies all 16
            paper=one == PAPERS,
        )
    raise refused or AssertionError("no subsets")
