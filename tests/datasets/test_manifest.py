"""Manifests: what is read, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.audio import AUDIO_SUFFIXES
from segue.datasets import Manifest, from_folder, from_paths
from segue.errors import ManifestError


def write(folder: Path, text: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_gives_tracks_with_paths_relative_to_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "path,id,start,duration,genre\nx/a b.wav,1,2.5,,jazz\ný.mp3,2,,4,rock\n")
    first, second = Manifest.read(path).tracks()
    assert first == ("1", tmp_path / "x/a b.wav", 2.5, None, 2)
    assert second == ("2", tmp_path / "ý.mp3", 0.0, 4.0, 3)


def test_line_numbers_survive_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, 'path,title\na.wav,"two\nlines"\n\nb.wav,x\n')
    assert Manifest.read(path).lines == [3, 5]


def test_byte_order_mark_and_spaces_in_the_header_are_tolerated(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffpath, genre\na.wav, jazz \n")
    assert Manifest.read(path).column("genre") == ["jazz"]


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.wav", "b.wav"], "id": [7, 8], "x": [0.5, None], "start": [1, 0]})
    pq.write_table(table, tmp_path / "m.parquet")
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert manifest.ids == ["7", "8"]
    assert manifest.column("x") == ["0.5", ""]
    assert [track.start for track in manifest.tracks()] == [1.0, 0.0]


def test_text_file_is_a_bare_list_of_paths(tmp_path: Path) -> None:
    path = write(tmp_path, "a.wav\n\nsub/b.mp3\n", "list.txt")
    tracks = list(Manifest.read(path).tracks())
    assert [(track.path, track.line) for track in tracks] == [
        (tmp_path / "a.wav", 1),
        (tmp_path / "sub/b.mp3", 3),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,genre\na.wav,x\n", r"wanted a column 'path', got the columns file, genre"),
        ("", "an empty file"),
        ("path,genre\n", "at least one track"),
        ("path,id\na.wav,1\nb.wav,1\n", r"line 3: id '1' again \(first on line 2\)"),
        ("path,id\n,1\n", "line 2: empty path"),
        ("path,id\na.wav,\n", "line 2: empty id"),
        ("path,start\na.wav,soon\n", "line 2: start 'soon' is no number of seconds"),
        ("path,start\na.wav,-1\n", "line 2: start '-1'"),
        ("path,duration\na.wav,0\n", "line 2: duration '0'"),
        ("path,duration\na.wav,nan\n", "line 2: duration 'nan'"),
        ("path,genre\na.wav,x,y\nb.wav\n", "line 2: 3 cells .*; line 3: 1 cells"),
        ("path,x,x\na.wav,1,2\n", r"line 1: column \['x'\] twice"),
        ('path\n"a.wav\n', "a CSV table"),
    ],
)
def test_malformed_tables_are_refused_with_line_numbers(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        Manifest.read(write(tmp_path, text))


def test_other_encodings_other_suffixes_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("path\né.wav\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="UTF-8 text, got byte 0xe9"):
        Manifest.read(tmp_path / "latin.csv")
    with pytest.raises(ManifestError, match=r"ending in \.csv"):
        Manifest.read(write(tmp_path, "x", "m.xlsx"))
    with pytest.raises(ManifestError, match="no such file"):
        Manifest.read(tmp_path / "absent.csv")
    with pytest.raises(ManifestError, match="a Parquet table"):
        Manifest.read(write(tmp_path, "no parquet", "m.parquet"))


def test_unknown_column_names_those_there_are() -> None:
    manifest = Manifest.from_rows([{"path": "a.wav", "genre": "x"}])
    with pytest.raises(ManifestError, match=r"path, genre, id, got 'gnre'"):
        manifest.column("gnre")


def test_an_empty_group_cell_is_a_group_of_its_own() -> None:
    rows = [{"path": f"{i}.wav", "artist": artist} for i, artist in enumerate(["x", "", "", "x"])]
    groups = Manifest.from_rows(rows).groups("artist")
    assert groups[0] == groups[3]
    assert len(set(groups)) == 3


def test_missing_files_are_named_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    path = write(tmp_path, "path\na.wav\nb.wav\n")
    assert [str(one) for one in Manifest.read(path).missing_files()] == [
        f"line 3: no file {tmp_path / 'b.wav'}"
    ]


def test_folder_per_class_counts_what_it_ignores(tmp_path: Path) -> None:
    for name in ("rock/a.MP3", "rock/b.wav", "jazz/c.flac", "jazz/cover.jpg", "notes"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    manifest = from_folder(tmp_path, suffixes=AUDIO_SUFFIXES)
    assert manifest.ids == ["jazz/c.flac", "rock/a.MP3", "rock/b.wav"]
    assert manifest.column("label") == ["jazz", "rock", "rock"]
    assert manifest.ignored == {"suffix .jpg": 1, "suffix (none)": 1}


def test_flat_folder_has_no_label_and_an_empty_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    assert from_folder(tmp_path, suffixes=AUDIO_SUFFIXES).columns == ["path", "id"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="wanted audio files in a folder, got nothing"):
        from_folder(tmp_path / "empty", suffixes=AUDIO_SUFFIXES)


def test_links_that_circle_are_counted_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.wav").symlink_to("self.wav")
    manifest = from_folder(tmp_path, suffixes=AUDIO_SUFFIXES)
    assert manifest.ids == ["a.wav", "self.wav"]  # the circular file is refused when it is read
    assert manifest.ignored == {"link to a folder above it": 1}


def test_command_line_paths(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a.wav", "d/b.mp3", "strange.xyz"):
        (tmp_path / name).write_bytes(b"x")
    paths = [tmp_path / "a.wav", tmp_path / "d", tmp_path / "strange.xyz", tmp_path / "a.wav"]
    manifest = from_paths(paths, suffixes=AUDIO_SUFFIXES)
    assert [track.path.name for track in manifest.tracks()] == ["a.wav", "b.mp3", "strange.xyz"]
    with pytest.raises(ManifestError, match="got nothing"):
        from_paths([], suffixes=AUDIO_SUFFIXES)
