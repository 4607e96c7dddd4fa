"""FMA: clips and whole tracks of the Free Music Archive, in four subsets.

One data set a subset, since each is distributed on its own and has its own genres and counts:
``fma-small``, ``fma-medium`` (that of the challenge Kim et al. took part in, 2018), ``fma-large``
and ``fma-full``. They share ``fma_metadata``; a folder that holds several is no ambiguity.

What was verified, and where: the files, the numbers of tracks and genres, the licences and the
SHA-1 sums of the archives in the README of the authors' repository (mdeff/fma); the 163 genres in
somebody else's copy of ``genres.csv``; the clips that are too short in their wiki (small: 6, and 19
of medium's 21) and issues 4, 8 (all 21), 41 and 44; the eight genres of the small subset in issue
22. The form of header and cells comes from memory and others' code: no file was at hand. What could
not be: the wiki's list for the large subset, so that only the 21 are left out there and others stay
rows; the numbers of rows a genre and a side of the split once the short clips are gone, so that
none are compared.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from segue.datasets.known.layout import below, first_there
from segue.datasets.known.metadata import joined, malformed, one_of, table
from segue.datasets.known.protocol import Counts, Fault, Found, KnownDataset

TRACKS, GENRES = "fma_metadata/tracks.csv", "fma_metadata/genres.csv"
PLACES = ("", "data", "fma")
SIDES = {"training": "train", "validation": "valid", "test": "test"}
SUBSETS = ("small", "medium", "large")  # each holds those before it
SPLIT, SUBSET = ("set", "split"), ("set", "subset")
TOP_GENRE, ALL_GENRES, TITLE = ("track", "genre_top"), ("track", "genres_all"), ("track", "title")
ARTIST, ARTIST_NAME = ("artist", "id"), ("artist", "name")
ALBUM, ALBUM_TITLE = ("album", "id"), ("album", "title")
NEEDED = (
    *(SPLIT, SUBSET, TOP_GENRE, ALL_GENRES, TITLE),
    *(ARTIST, ARTIST_NAME, ALBUM, ALBUM_TITLE),
)
COLUMNS = ("path", "id", "genre", "genres", "artist", "album", "title", "split", "subset")
ROOTS = (
    *("International", "Blues", "Jazz", "Classical", "Old-Time / Historic", "Country", "Pop"),
    *("Rock", "Easy Listening", "Soul-RnB", "Electronic", "Folk", "Spoken", "Hip-Hop"),
    *("Experimental", "Instrumental"),
)
OF_SMALL = {
    *("Rock", "Electronic", "Experimental", "Hip-Hop"),
    *("Folk", "Instrumental", "Pop", "International"),
}
PUBLISHED = {"small": 8000, "medium": 25000, "large": 106574, "full": 106574}
# cut outside the track, because its length was recorded wrongly: no audio, or a few seconds
SHORT_IN_SMALL = (98565, 98567, 98569, 99134, 108925, 133297)
SHORT = (
    *SHORT_IN_SMALL,
    *(1486, 5574, 65753, 80391, 98558, 98559, 98560, 98566, 98568, 98571),
    *(105247, 108924, 126981, 127336, 143992),
)
CUT_WRONGLY = "clip cut outside its track: no audio or less than 30 s"

Cells = dict[tuple[str, str], str]


def read(root: Path, *, subset: str) -> Found:
    """Rows of ``tracks.csv`` that belong to a subset, in its order.

    ``genre`` is the top genre, empty where a track has several or none (large and full only).
    ``genres`` holds the names of ``genres_all``: what the artist chose, with all genres above.
    ``artist`` and ``album`` are ``NAME (ID)``: names alone are not unique. Clips known to have
    been cut outside their track are left out, and counted; the whole tracks are not.

    Raises
    ------
    LayoutError
        When the metadata or the subset's folder is not there.
    ManifestError
        A malformed line.
    """
    wanted = f"{TRACKS} beside fma_{subset}"
    place = first_there(root, [below(base, TRACKS) for base in PLACES], wanted)
    base = place.removesuffix(TRACKS).rstrip("/")
    audio = first_there(root, [below(base, f"fma_{subset}")], wanted)
    first_there(root, [below(base, GENRES)], GENRES)
    names = _genres(root / base / GENRES)
    sizes = SUBSETS[: SUBSETS.index(subset) + 1] if subset in SUBSETS else SUBSETS
    short = set(_short(subset))
    path, rows, left_out = root / place, [], []
    for line, track, row in _tracks(path):
        if one_of(row[SUBSET], SUBSETS, "set.subset", path, line) not in sizes:
            continue
        mp3 = below(audio, _mp3(track))
        if track in short:
            left_out.append(mp3)
            continue
        side = SIDES[one_of(row[SPLIT], tuple(SIDES), "set.split", path, line)]
        labels = (row[TOP_GENRE], joined(_named(row[ALL_GENRES], names, path, line), path, line))
        artist = _unique(row[ARTIST_NAME], row[ARTIST])
        album = _unique(row[ALBUM_TITLE], row[ALBUM])
        rows.append((mp3, str(track), *labels, artist, album, row[TITLE], side, row[SUBSET]))
    ignored = {CUT_WRONGLY: len(left_out)} if left_out else {}
    folders = tuple(dict.fromkeys(mp3.rpartition("/")[0] for mp3 in left_out))
    return Found(COLUMNS, rows, folders, ignored, known_extra=frozenset(left_out))


def _short(subset: str) -> tuple[int, ...]:
    return {"small": SHORT_IN_SMALL, "full": ()}.get(subset, SHORT)


def _mp3(track: int) -> str:
    return f"{track // 1000:03d}/{track:06d}.mp3"


def _unique(name: str, number: str) -> str:
    """A name with its number; empty where the archive knows neither (its number then is -1)."""
    return "" if number in ("", "-1") else f"{name} ({number})".strip()


def _genres(path: Path) -> dict[int, str]:
    """Names of genres by number; each name once, or a label would mean two genres."""
    found: dict[int, str] = {}
    for line, row in table(path, ("genre_id", "title")):
        if row["title"] in found.values() or not row["genre_id"].isdecimal():
            got = f"{row['genre_id']!r}, {row['title']!r}"
            raise malformed(path, line, "a genre_id and a title that no other genre has", got)
        found[int(row["genre_id"])] = row["title"]
    return found


def _named(cell: str, names: dict[int, str], path: Path, line: int) -> list[str]:
    """Names of a cell such as ``[21, 10]``."""
    try:
        return [names[int(number)] for number in json.loads(cell)]
    except (ValueError, TypeError, KeyError, RecursionError):
        wanted = f"track.genres_all such as [21, 10], of {path.with_name('genres.csv').name}"
        raise malformed(path, line, wanted, repr(cell[:80])) from None


def _tracks(path: Path) -> Iterator[tuple[int, int, Cells]]:
    """Line, track and the needed cells of each row below the three header rows."""
    rows = _lines(path)
    first, second, third = (next(rows, (1, []))[1] for _ in range(3))
    places = {pair: n for n, pair in enumerate(zip(first, second, strict=False))}
    absent = [".".join(pair) for pair in NEEDED if pair not in places]
    if absent or third[:1] != ["track_id"]:
        wanted = f"three header rows with the columns {', '.join(map('.'.join, NEEDED))}"
        raise malformed(path, 1, wanted, f"none called {', '.join(absent) or 'track_id'}")
    for line, row in rows:
        if len(row) != len(first):
            raise malformed(path, line, f"{len(first)} cells", f"{len(row)}")
        if not (row[0].isascii() and row[0].isdecimal() and len(row[0]) <= 6):
            raise malformed(path, line, "a track_id of up to six digits", repr(row[0]))
        yield line, int(row[0]), {pair: row[places[pair]].strip() for pair in NEEDED}


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with their lines, read as they are needed: the table has about 250 MB."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                row = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                raise malformed(path, line, "a table in UTF-8", str(error)) from error
            if row is None:
                return
            yield line, row


def _faults(subset: str) -> Iterator[Fault]:
    if paths := tuple(_mp3(track) for track in _short(subset)):
        yield Fault(
            "short-clips",
            f"{len(paths)} clips have no audio or less than 30 s, because the length of their "
            "track was recorded wrongly (the authors' wiki and issue 8).",
            "They are left out of the manifest, and counted.",
            paths,
        )
    if subset == "large":
        yield Fault(
            "short-clips-not-listed",
            "Tracks shorter than 30 s are clips of their own length, and the authors' list of "
            "faulty clips of this subset was not at hand.",
            "They stay rows; what cannot be decoded is quarantined when embedding.",
        )
    if subset == "full":
        yield Fault(
            "wrong-lengths",
            "track.duration is wrong for some tracks (the authors' issue 4); duplicates were "
            "reported (issue 23).",
            "The column is not read; `segue audit` looks for duplicates.",
        )
    if subset in ("large", "full"):
        yield Fault(
            "no-top-genre",
            "About half of the tracks have no top genre: they belong to several, or to none.",
            "Their cell is empty; genres has all of them.",
        )
    yield Fault(
        "genres-of-albums",
        "Artists chose the genres, mostly for whole albums: 5,028 of the medium subset's 5,152 "
        "albums (Kim et al., 2018).",
        "Compare splits by artist and by album; the official split keeps artists apart.",
    )


def _dataset(subset: str, what: str, genres: str) -> KnownDataset:
    return KnownDataset(
        name=f"fma-{subset}",
        title=f"Free Music Archive, {subset}: {what}",
        citation="Defferrard, Benzi, Vandergheynst and Bresson, FMA: A dataset for music "
        "analysis, ISMIR, 2017",
        page="github.com/mdeff/fma",
        licence="CC BY 4.0 (metadata); audio: each track's own",
        terms="For research; the authors do not hold the copyright on the audio, which is under "
        "the licence each artist chose, many of them non-commercial",
        layout=(TRACKS, GENRES, f"fma_{subset}/000/000002.mp3 and so on, beside fma_metadata"),
        suffixes=(".mp3",),
        columns=COLUMNS,
        targets={"genre": "classification", "genres": "tagging"},
        classes=tuple(root for root in ROOTS if subset != "small" or root in OF_SMALL),
        group="artist",
        folds="split",
        counts=Counts(
            PUBLISHED[subset] - len(_short(subset)),
            source=f"the authors' README: {PUBLISHED[subset]:,} tracks, {genres}"
            + (f"; without {len(_short(subset))} faulty clips" if _short(subset) else ""),
        ),
        faults=tuple(_faults(subset)),
        reader=partial(read, subset=subset),
    )


DATASETS = (
    _dataset("small", "8,000 clips of 30 s", "8 genres"),
    _dataset("medium", "25,000 clips of 30 s", "16 genres"),
    _dataset("large", "106,574 clips of 30 s", "161 genres"),
    _dataset("full", "106,574 whole tracks", "161 genres"),
)
