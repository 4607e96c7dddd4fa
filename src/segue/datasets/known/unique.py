"""Unique: 3,115 excerpts of thirty seconds in fourteen genres.

The names of the genres are known from the papers, and other people's loaders have the same ones
(soul_rnb, volksmusik, wort among them). How the audio is laid out could not be established: a
folder of each genre is expected.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from segue.datasets.known.genre_folders import UNLISTED, files_of, genre_folders
from segue.datasets.known.protocol import Counts, Fault, Found, KnownDataset

GENRES = (
    *("blues", "country", "dance", "electronica", "hip-hop", "jazz", "klassik", "reggae", "rock"),
    *("schlager", "soul_rnb", "volksmusik", "world", "wort"),
)
SUFFIXES = (".mp3", ".wav")
PLACES = ("", "Unique", "unique", "UNIQUE", "audio")


def read(root: Path) -> Found:
    """Excerpts by genre and name; ``folder`` is the genre's name as it is on this disk.

    Raises
    ------
    LayoutError
        When there is no folder of any genre, or two of one.
    """
    ignored: Counter[str] = Counter()
    folders = genre_folders(root, dict.fromkeys(GENRES, ()), PLACES, ignored)
    files = files_of(root, folders, SUFFIXES, ignored)
    return Found(
        columns=("path", "id", "genre", "folder"),
        rows=[(file.path, file.id, file.genre, file.folder) for file in files],
        folders=tuple(folders.values()),
        ignored=ignored,
    )


DATASET = KnownDataset(
    name="unique",
    title="Unique",
    citation="Seyerlehner, Widmer and Pohle, Fusing block-level features for music similarity "
    "estimation, DAFx, 2010",
    page="seyerlehner.info (download)",
    licence="not stated",
    terms="No licence was found; for research",
    layout=("GENRE/NAME.mp3 (or .wav) for each of the fourteen genres",),
    suffixes=SUFFIXES,
    columns=("path", "id", "genre", "folder"),
    targets={"genre": "classification"},
    classes=GENRES,
    counts=Counts(3115, source="Hamel et al. 2013, Table 1; numbers a genre were not found"),
    faults=(
        UNLISTED,
        Fault(
            "layout-not-established",
            "No description of the folders was found.",
            "A folder of each genre is read; anything else is refused, never guessed.",
        ),
        Fault(
            "no-artists",
            "No artists are known to be distributed, so no fold can be checked for artists on both "
            "sides.",
            "Add a column of artists to the manifest where you have them.",
        ),
    ),
    reader=read,
)
