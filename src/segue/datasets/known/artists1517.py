"""1517-Artists: 3,180 whole songs of 1,517 artists in nineteen genres.

That there is a folder of each genre with mp3 files directly inside, and how the folders are
called, is taken from other people's scripts. How the files are called could not be established.
Hamel et al. (2013) hear the first 30 s of each song; here the songs are whole.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from segue.datasets.known.genre_folders import UNLISTED, files_of, genre_folders
from segue.datasets.known.protocol import Counts, Fault, Found, KnownDataset

GENRES = (
    *("Alternative & Punk", "Blues", "Childrens's", "Classical", "Comedy & Spoken Word"),
    *("Country", "Easy Listening & Vocals", "Electronic & Dance", "Folk", "Hip-Hop", "Jazz"),
    *("Latin", "New Age", "R&B & Soul", "Reggae", "Religious", "Rock & Pop"),
    *("Soundtracks & More", "World"),
)
OTHER_NAMES = {"Childrens's": ("Childrens", "Children"), "R&B & Soul": ("RnB & Soul",)}
ARTISTS = 1517
SEPARATOR = " - "
SUFFIXES = (".mp3",)
PLACES = ("", "1517-Artists", "1517Artists", "1517-artists", "audio")
COLUMNS = ("path", "id", "genre", "folder", "artist", "title")


def read(root: Path) -> Found:
    """Songs by genre and name.

    ``genre`` is the name in Hamel et al. (2013), Table 2; ``folder`` the name as distributed, which
    differs for Childrens. ``artist`` is what stands before `` - `` in the file name; without that,
    or with a number there, it is empty, and where no file has an artist the column is absent.

    Raises
    ------
    LayoutError
        When there is no folder of any genre, or two of one.
    """
    ignored: Counter[str] = Counter()
    spelt = {genre: OTHER_NAMES.get(genre, ()) for genre in GENRES}
    folders = genre_folders(root, spelt, PLACES, ignored)
    files = files_of(root, folders, SUFFIXES, ignored)
    named = [_artist_and_title(file.stem) for file in files]
    artists = {artist for artist, _ in named if artist}
    rows: list[tuple[str, ...]] = [
        (file.path, file.id, file.genre, file.folder, *name)
        for file, name in zip(files, named, strict=True)
    ]
    columns: tuple[str, ...] = COLUMNS
    if not artists:
        columns, rows = COLUMNS[:4], [row[:4] for row in rows]
        notes = ["no file is named ARTIST - TITLE: no artists, so no grouped split is possible"]
    else:
        unnamed = sum(not artist for artist, _ in named)
        notes = [f"{unnamed} files are not named ARTIST - TITLE: no artist"] if unnamed else []
        if len(artists) != ARTISTS:
            notes.append(f"{len(artists)} artists by the file names, {ARTISTS} by the title")
    return Found(columns, rows, tuple(folders.values()), ignored, notes=tuple(notes))


def _artist_and_title(stem: str) -> tuple[str, str]:
    artist, separator, title = stem.partition(SEPARATOR)
    if not separator or artist.strip().isdecimal():
        return "", stem
    return artist.strip(), title.strip()


DATASET = KnownDataset(
    name="1517-artists",
    title="1517-Artists",
    citation="Seyerlehner, Widmer and Knees, Frame-level audio similarity: a codebook approach, "
    "DAFx, 2008",
    page="seyerlehner.info (download)",
    licence="not stated",
    terms="No licence was found; for research",
    layout=("GENRE/NAME.mp3 for each of the nineteen genres", "names ARTIST - TITLE give artists"),
    suffixes=SUFFIXES,
    columns=COLUMNS,
    targets={"genre": "classification"},
    classes=GENRES,
    group="artist",
    counts=Counts(3180, source="Hamel et al. 2013, Table 1; numbers a genre were not found"),
    faults=(
        UNLISTED,
        Fault(
            "artists-from-names",
            "No list of artists was found, and how the files are named could not be checked.",
            "artist is read from names of the form ARTIST - TITLE; see how many that gives before "
            "trusting a grouped split, and add the column yourself where it gives none.",
        ),
        Fault(
            "spelling",
            "Hamel et al. (2013) print Childrens's where the folder is called Childrens.",
            "genre has the printed name, folder the other.",
        ),
    ),
    reader=read,
)
