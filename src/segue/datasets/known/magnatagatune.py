"""MagnaTagATune: 29 s clips with 188 tags from a game."""

from __future__ import annotations

from pathlib import Path

from segue.datasets.known.layout import below, confined, first_there
from segue.datasets.known.metadata import cells, joined, malformed, table
from segue.datasets.known.protocol import Counts, Fault, Found, KnownDataset

ANNOTATIONS = "annotations_final.csv"
INFO = "clip_info_final.csv"
INFO_COLUMNS = ("artist", "album", "title")
SIDES = dict.fromkeys("0123456789ab", "train") | {"c": "valid"} | dict.fromkeys("def", "test")
TOP = 50
COLUMNS = ("path", "id", "tags", "all_tags", "split", *INFO_COLUMNS)
EMPTY = (
    "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre_"
    "couperin-88-117.mp3",
)


def read(root: Path) -> Found:
    """Rows of ``annotations_final.csv`` in its order.

    ``tags`` holds those among the fifty most frequent, counted over the whole table, ``all_tags``
    all of them; a clip with none of the fifty has an empty cell.

    Raises
    ------
    LayoutError
        When the annotations are not there.
    ManifestError
        A malformed line, a tag with ``;``, or a path that leaves the folder.
    """
    folder = first_there(root, (ANNOTATIONS, f"magnatagatune/{ANNOTATIONS}"), ANNOTATIONS)
    base = folder.rpartition("/")[0]
    path = root / folder
    places = [below(base, one) for one in ("mp3", "mp3s", "audio", "")]
    audio = next((one for one in places if (root / below(one, "0")).is_dir()), base)
    annotations = list(_annotations(path))
    counts: dict[str, int] = {}
    for *_, tags in annotations:
        for tag in tags:
            counts[tag] = counts.get(tag, 0) + 1
    frequent = set(sorted(counts, key=lambda tag: (-counts[tag], tag))[:TOP])
    info_file = root / below(base, INFO)
    info = _info(info_file) if info_file.is_file() else {}
    unknown = ("",) * len(INFO_COLUMNS)
    rows = [
        (
            *(below(audio, mp3), clip),
            *(joined([tag for tag in tags if tag in frequent], path, line),),
            *(joined(tags, path, line), SIDES[mp3[0]]),
            *(info.get(clip, unknown) if info else ()),
        )
        for line, clip, mp3, tags in annotations
    ]
    if not info:
        note = f"{INFO} is not there: no artists, so no grouped split is possible"
        return Found(COLUMNS[:5], rows, notes=(note,))
    strangers = sum(row[1] not in info for row in rows)
    note = f"{strangers} clips are not in {INFO}: no artist"
    return Found(COLUMNS, rows, notes=(note,) if strangers else ())


def _annotations(path: Path) -> list[tuple[int, str, str, tuple[str, ...]]]:
    """Line, clip id, path and tags of each row."""
    rows = cells(path, delimiter="\t")
    line, header = next(rows, (1, []))
    names = [name.strip() for name in header]
    if len(names) < 3 or names[0] != "clip_id" or names[-1] != "mp3_path":
        raise malformed(path, line, "tab-separated clip_id, tags, mp3_path", f"{names[:3]}")
    tags = [joined([name], path, line) for name in names[1:-1]]
    found = []
    for line, row in rows:
        if len(row) != len(names):
            raise malformed(path, line, f"{len(names)} cells", f"{len(row)}")
        if strange := [cell for cell in row[1:-1] if cell.strip() not in ("0", "1")]:
            raise malformed(path, line, "0 or 1 for each tag", repr(strange[0]))
        mp3 = confined(row[-1], path, line)
        if mp3[0] not in SIDES or mp3[1:2] != "/":
            raise malformed(path, line, "an mp3_path in a folder 0 to f", repr(mp3))
        carried = tuple(
            tag for tag, cell in zip(tags, row[1:-1], strict=True) if cell.strip() == "1"
        )
        found.append((line, row[0].strip(), mp3, carried))
    return found


def _info(path: Path) -> dict[str, tuple[str, ...]]:
    wanted = ("clip_id", *INFO_COLUMNS)
    return {
        row["clip_id"]: tuple(row[name] for name in INFO_COLUMNS)
        for _, row in table(path, wanted, delimiter="\t")
    }


DATASET = KnownDataset(
    name="magnatagatune",
    title="MagnaTagATune",
    citation="Law, West, Mandel, Bay and Downie, Evaluation of algorithms using games: the case "
    "of music tagging, ISMIR, 2009",
    page="mirg.city.ac.uk (The MagnaTagATune dataset)",
    licence="CC BY-NC-SA",
    terms="Creative Commons Attribution Non-Commercial Share-Alike; music from Magnatune",
    layout=(ANNOTATIONS, INFO, "0 to f/NAME.mp3, or the same in a folder mp3"),
    suffixes=(".mp3",),
    columns=COLUMNS,
    targets={"tags": "tagging", "all_tags": "tagging"},
    group="artist",
    folds="split",
    counts=Counts(
        25863,
        {"split": {"train": 18709, "valid": 1825, "test": 5329}},
        "annotated clips; the usual 12:1:3 split by folder",
    ),
    faults=(
        Fault(
            "empty-clips",
            "Three clips have 0 bytes.",
            "They stay rows and are quarantined when embedding.",
            EMPTY,
            empty=True,
        ),
        Fault(
            "split-shares-songs",
            "The usual split by folder is no split by artist.",
            "Group by artist where that matters.",
        ),
        Fault(
            "synonyms",
            "Tags overlap (female vocal, female voice; no vocals, no vocal).",
            "They are not merged.",
        ),
        Fault(
            "counts-of-other-papers",
            "Some papers count fewer clips and tags: Hamel et al. (2013) 22,787 clips and 160 "
            "tags, without saying which; 188 tags are distributed.",
            "Nothing is left out: column all_tags has all 188, and the numbers differ from theirs.",
        ),
    ),
    reader=read,
)
