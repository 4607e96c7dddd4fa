"""FMA: three header rows, four subsets beside each other, clips that were cut wrongly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from miniatures import FMA_GENRES, FMA_HEADER, FMA_TRACKS, fma, put, write

from segue.datasets.known import LayoutError, dataset, validate
from segue.datasets.known.fma import SHORT, SHORT_IN_SMALL
from segue.errors import ManifestError

SUBSETS = ("small", "medium", "large", "full")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fma(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("subset", "ids"),
    [
        ("small", ["2", "140"]),
        ("medium", ["2", "134", "140"]),
        ("large", ["2", "134", "139", "140"]),
        ("full", ["2", "134", "139", "98565", "140"]),
    ],
)
def test_each_subset_holds_the_smaller_ones_and_has_its_own_folder(
    subset: str, ids: list[str], root: Path
) -> None:
    manifest = dataset(f"fma-{subset}").read(root)
    assert manifest.ids == ids
    assert manifest.column("path")[0] == f"fma_{subset}/000/000002.mp3"
    assert manifest.column("subset")[0] == "small"


def test_cells(root: Path) -> None:
    manifest = dataset("fma-large").read(root)
    assert manifest.column("genre") == ["Hip-Hop", "Rock", "", "International"]
    assert manifest.column("genres") == [
        *("Hip-Hop;International", "Rock", "Rock;Experimental", "International"),
    ]
    assert manifest.column("split") == ["train", "valid", "test", "test"]
    assert manifest.column("title") == ["Food", "Street Music", "A Way", "Queen"]


def test_artists_and_albums_of_one_name_are_two(root: Path) -> None:
    manifest = dataset("fma-medium").read(root)
    assert manifest.column("artist") == ["AWOL (1)", "AWOL (9)", "Ann (53)"]
    assert manifest.column("album") == ["AWOL (1)", "AWOL (1)", ""]  # the archive has none: -1


def test_clips_without_their_content_are_left_out_counted_and_named(root: Path) -> None:
    known = dataset("fma-small")
    manifest = known.read(root)
    assert sum(manifest.ignored.values()) == 1
    told = validate(known, root)
    [fault] = [one for one in told if one.what.startswith("short-clips")]
    assert fault.paths == ("fma_small/098/098565.mp3",)
    assert any("left out: 1 x clip cut outside its track" in one.what for one in told)
    assert not [one for one in told if one.kind in ("missing", "extra")]


def test_whole_tracks_are_sound(root: Path) -> None:
    known = dataset("fma-full")
    assert "fma_full/098/098565.mp3" in known.read(root).column("path")
    assert not any(one.what.startswith("short") for one in validate(known, root))


def test_the_lists_are_those_of_the_wiki() -> None:
    """Six and twenty-one clips; those of the small subset are among those of the medium one."""
    assert len(set(SHORT_IN_SMALL)) == 6
    assert len(set(SHORT)) == 21
    assert set(SHORT_IN_SMALL) < set(SHORT)
    counts = [dataset(f"fma-{subset}").counts.total for subset in SUBSETS]
    assert counts == [8000 - 6, 25000 - 21, 106574 - 21, 106574]
    assert [len(dataset(f"fma-{subset}").classes) for subset in SUBSETS] == [8, 16, 16, 16]


def test_a_subset_that_is_not_there_is_named(root: Path) -> None:
    (root / "fma_medium").rename(root / "elsewhere")
    with pytest.raises(LayoutError, match="fma_medium"):
        dataset("fma-medium").read(root)
    (root / "fma_metadata" / "genres.csv").unlink()
    with pytest.raises(LayoutError, match=re.escape("genres.csv")):
        dataset("fma-small").read(root)


@pytest.mark.parametrize("place", ["data", "fma"])
def test_a_folder_above_is_the_same(place: str, tmp_path: Path) -> None:
    fma(tmp_path / place)
    manifest = dataset("fma-small").read(tmp_path)
    assert manifest.column("path")[0] == f"{place}/fma_small/000/000002.mp3"
    assert not manifest.missing_files()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"[12, 38]"', '"[12, 39]"', r"line 7.*\[12, 39\]"),
        ('"[12, 38]"', "__import__('os')", r"wanted track.genres_all.*line 7"),
        (",large,", ",huge,", r"set.subset among small, medium, large.*line 7: 'huge'"),
        (",validation,", ",holdout,", "set.split among training.*line 6: 'holdout'"),
        (",Street Music", "", "12 cells, got line 6: 11"),
        ("134,1,AWOL", "0x86,1,AWOL", "track_id of up to six digits.*line 6"),
        ("set,set", "set,sets", "set.subset"),
        ("A Way", 'A "Way', "line 7"),
    ],
)
def test_malformed_rows_are_refused_with_their_line(
    old: str, new: str, says: str, root: Path
) -> None:
    path = root / "fma_metadata" / "tracks.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old == '"[12, 38]"' else text.replace(old, new, 1))
    if new == 'A "Way':  # within an unquoted cell a quote is a character like any other
        assert 'A "Way' in dataset("fma-large").read(root).column("title")
        return
    with pytest.raises(ManifestError, match=rf"(?s)tracks\.csv.*{says}"):
        dataset("fma-large").read(root)


def test_two_genres_of_one_name_are_refused(root: Path) -> None:
    write(root, "fma_metadata/genres.csv", FMA_GENRES.replace("Experimental", "Rock"))
    with pytest.raises(ManifestError, match="line 5: '38', 'Rock'"):
        dataset("fma-small").read(root)


def test_a_track_that_is_listed_and_not_there_stays_a_row(tmp_path: Path) -> None:
    rows = "".join(f"{track},{row}\n" for track, row in FMA_TRACKS.items())
    write(tmp_path, "fma_metadata/tracks.csv", FMA_HEADER + rows)
    write(tmp_path, "fma_metadata/genres.csv", FMA_GENRES)
    put(tmp_path, "fma_small/000/000002.mp3", "fma_small/000/000009.mp3")
    found = {one.kind: one.paths for one in validate(dataset("fma-small"), tmp_path)}
    assert found["missing"] == ("fma_small/000/000140.mp3",)
    assert found["extra"] == ("fma_small/000/000009.mp3",)
