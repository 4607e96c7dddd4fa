"""Homburg (GarageBand): 1,886 excerpts of ten seconds in nine genres, with artists.

The authors' page offers one archive a genre; other people's file lists and scripts show mp3 files
in a folder of each genre, named ``ARTIST-TITLE.mp3`` with every other character than letters and
digits turned into ``_``, so that the first hyphen ends the artist's name.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from segue.datasets.known.genre_folders import UNLISTED, files_of, genre_folders
from segue.datasets.known.protocol import Counts, Fault, Found, KnownDataset

GENRES = {
    "alternative": 145,
    "blues": 120,
    "electronic": 113,
    "folkcountry": 222,
    "funksoulrnb": 47,
    "jazz": 319,
    "pop": 116,
    "raphiphop": 300,
    "rock": 504,
}
SUFFIXES = (".mp3",)
PLACES = ("", "homburg", "Homburg", "HOMBURG", "homburg-master", "audio", "AUDIO")
COLUMNS = ("path", "id", "genre", "artist", "title")


def read(root: Path) -> Found:
    """Excerpts by genre and name; artist and title are the two halves of the file name.

    They are given as the names have them, with ``_``. A name without a hyphen has no artist.

    Raises
    ------
    LayoutError
        When there is no folder of any genre, or two of one.
    """
    ignored: Counter[str] = Counter()
    folders = genre_folders(root, dict.fromkeys(GENRES, ()), PLACES, ignored)
    files = files_of(root, folders, SUFFIXES, ignored)
    named = [file.stem.partition("-") for file in files]
    unnamed = sum(not artist or not hyphen for artist, hyphen, _ in named)
    note = f"{unnamed} file names are not ARTIST-TITLE: no artist"
    return Found(
        columns=COLUMNS,
        rows=[
            (file.path, file.id, file.genre, *((artist, title) if hyphen else ("", artist)))
            for file, (artist, hyphen, title) in zip(files, named, strict=True)
        ],
        folders=tuple(folders.values()),
        ignored=ignored,
        notes=(note,) if unnamed else (),
    )


DATASET = KnownDataset(
    name="homburg",
    title="Homburg (GarageBand benchmark)",
    citation="Homburg, Mierswa, Möller, Morik and Wurst, A benchmark dataset for audio "
    "classification and clustering, ISMIR, 2005",
    page="www-ai.cs.uni-dortmund.de (audio)",
    licence="not stated",
    terms="Offered by its authors as a freely available benchmark; music of the GarageBand site",
    layout=("GENRE/ARTIST-TITLE.mp3 for each of the nine genres",),
    suffixes=SUFFIXES,
    columns=COLUMNS,
    targets={"genre": "classification"},
    classes=tuple(GENRES),
    group="artist",
    counts=Counts(
        1886,
        {"genre": GENRES},
        "Homburg et al. 2005 (total); genres as widely reported, summing to it",
    ),
    faults=(
        UNLISTED,
        Fault(
            "artists-in-several-genres",
            "Some artists have songs in more than one genre, and one artist may be written in "
            "several ways (JIVE_5_u_s_, Jive_5).",
            "Names are given as they are; artist ties what is written alike.",
        ),
    ),
    reader=read,
)
