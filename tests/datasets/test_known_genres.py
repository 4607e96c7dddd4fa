"""The genre sets of Hamel et al. (2013): names of their Table 2, artists, forms of folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniatures import artists1517, homburg, put, unique

from segue.datasets.known import LayoutError, dataset, validate
from segue.evaluation.folds import outer_folds

TABLE_2 = {
    "1517-artists": "Alternative & Punk|Blues|Childrens's|Classical|Comedy & Spoken Word|Country|"
    "Easy Listening & Vocals|Electronic & Dance|Folk|Hip-Hop|Jazz|Latin|New Age|R&B & Soul|Reggae|"
    "Religious|Rock & Pop|Soundtracks & More|World",
    "gtzan-genre": "blues|classical|country|disco|hiphop|jazz|metal|pop|reggae|rock",
    "homburg": "alternative|blues|electronic|folkcountry|funksoulrnb|jazz|pop|raphiphop|rock",
    "unique": "blues|country|dance|electronica|hip-hop|jazz|klassik|reggae|rock|schlager|soul_rnb|"
    "volksmusik|world|wort",
}
TABLE_1 = {"1517-artists": 3180, "gtzan-genre": 1000, "homburg": 1886, "unique": 3115}


@pytest.mark.parametrize("name", TABLE_2)
def test_names_and_numbers_are_those_of_the_paper(name: str) -> None:
    known = dataset(name)
    assert known.classes == tuple(TABLE_2[name].split("|"))
    assert known.counts.total == TABLE_1[name]


def test_all_four_have_the_52_labels_of_section_6_1() -> None:
    assert sum(len(dataset(name).classes) for name in TABLE_2) == 52


@pytest.mark.parametrize(
    ("name", "build", "folder"),
    [
        ("1517-artists", artists1517, "1517-Artists"),
        ("homburg", homburg, "homburg-master"),
        ("unique", unique, "Unique"),
    ],
)
def test_one_folder_above_is_the_same(name: str, build, folder: str, tmp_path: Path) -> None:
    build(tmp_path / folder)
    above, itself = dataset(name).read(tmp_path), dataset(name).read(tmp_path / folder)
    assert above.ids == itself.ids
    assert above.column("path") == [f"{folder}/{path}" for path in itself.column("path")]


@pytest.mark.parametrize("folder", ["Hip-Hop", "hip_hop", "HipHop", "hip hop"])
def test_folders_spelt_otherwise_are_the_same_genre(folder: str, tmp_path: Path) -> None:
    put(tmp_path, f"{folder}/one.mp3", "Rock and Pop/two.mp3", "Polka/three.mp3")
    manifest = dataset("1517-artists").read(tmp_path)
    assert manifest.ids == ["Hip-Hop/one", "Rock & Pop/two"]
    assert manifest.column("folder") == [folder, "Rock and Pop"]
    assert manifest.ignored == {"folder that is no genre's": 1}


def test_two_folders_of_a_genre_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "hip-hop/one.mp3", "hip_hop/one.mp3")
    with pytest.raises(LayoutError, match="'hip-hop' and 'hip_hop'"):
        dataset("unique").read(tmp_path)


class TestHomburg:
    def test_the_first_hyphen_ends_the_artist(self, tmp_path: Path) -> None:
        homburg(tmp_path)
        put(tmp_path, "jazz/a-b-c.mp3")
        manifest = dataset("homburg").read(tmp_path)
        assert manifest.column("artist") == ["50_Minutes", "H_A_D_", "a", "H_A_D_"]
        assert manifest.column("title") == ["Colours", "Policemen___Planes", "b-c", "Carpool"]

    def test_a_name_without_artist_is_told_and_no_group(self, tmp_path: Path) -> None:
        homburg(tmp_path)
        put(tmp_path, "jazz/untitled.mp3", "jazz/-nobody.mp3")
        manifest = dataset("homburg").read(tmp_path)
        assert manifest.column("artist").count("") == 2
        [note] = [one.what for one in validate(dataset("homburg"), tmp_path) if one.kind == "note"]
        assert note.startswith("2 file names are not ARTIST-TITLE")


class TestArtists1517:
    def test_artists_come_from_names_of_one_form(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        artists1517(tmp_path)
        put(tmp_path, "World/03 - Song.mp3", "World/Song.mp3")
        manifest = dataset("1517-artists").read(tmp_path)
        assert manifest.column("artist") == ["Ann Lee", "Band-Aid", "MC X", "Ann Lee", "", ""]
        assert manifest.column("title")[1] == "A - B"
        assert "2 files are not named ARTIST - TITLE" in caplog.text
        assert "3 artists by the file names, 1517 by the title" in caplog.text

    def test_without_artists_the_column_is_absent(self, tmp_path: Path) -> None:
        put(tmp_path, "Blues/01.mp3", "Folk/02.mp3")
        known = dataset("1517-artists")
        assert known.read(tmp_path).columns == ["path", "id", "genre", "folder"]
        assert any("no grouped split" in one.what for one in validate(known, tmp_path))

    def test_artists_keep_out_of_two_folds(self, tmp_path: Path) -> None:
        names = [f"A{number // 2} - {number}.mp3" for number in range(8)]
        put(tmp_path, *(f"{genre}/{name}" for genre in ("Blues", "Folk") for name in names))
        manifest = dataset("1517-artists").read(tmp_path)
        artists, genres = manifest.column("artist"), manifest.column("genre")
        folds = outer_folds(genres, artists, "classification", n_folds=2)
        pairs = set(zip(artists, folds.assignment.tolist(), strict=True))
        assert len(pairs) == len(set(artists)) == 4
