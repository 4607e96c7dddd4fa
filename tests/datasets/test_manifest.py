"""Manifests: what is read, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.datasets import Manifest, cells
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


def test_numbers_in_rows_become_text_and_what_is_no_value_an_empty_cell() -> None:
    nothing = [None, float("nan"), np.float32("nan"), np.datetime64("NaT"), [], [None]]
    values = [1, 3.0, 0.5, np.int64(7), True, "NaN", "None", ["rock", " live "], ("a",), *nothing]
    rows = [{"path": f"{n}.wav", "x": value} for n, value in enumerate(values)]
    assert Manifest.from_rows(rows).column("x") == [
        *("1", "3.0", "0.5", "7", "True", "NaN", "None", "rock;live", "a"),
        *[""] * len(nothing),
    ]


def test_nan_in_the_columns_of_numbers_is_an_empty_cell() -> None:
    rows = [{"path": "a.wav", "start": float("nan"), "duration": np.nan}]
    track = next(Manifest.from_rows(rows).tracks())
    assert (track.start, track.duration) == (0.0, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"path": "a.wav", "x": {"a": 1}}, r"text in column 'x', got line 1: dict"),
        ({"path": "a.wav", "x": b"rock"}, r"text in column 'x', got line 1: bytes"),
        ({"path": ["a.wav"]}, r"text in column 'path', got line 1: a list"),
        ({"path": "a.wav", "x": [["a"]]}, "a list in a list"),
        ({"path": "a.wav", "x": ["a;b"]}, r"without ';' in the lists of column 'x'.* 'a;b'"),
        ({"path": None}, "line 1: empty path"),
        ({"path": "a.wav", "id": np.nan}, "line 1: empty id"),
        ({"path": "a\udce9.wav"}, "text that is Unicode"),
        ({"path": "a.wav", "__line__": 3}, "twice"),
        ({}, "wanted a column 'path', got no column"),
    ],
)
def test_rows_that_cannot_be_cells_of_text(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Manifest.from_rows([row])


def test_no_rows() -> None:
    with pytest.raises(ManifestError, match="at least one track"):
        Manifest.from_rows([])


def test_ids_given_again_name_the_first_line_across_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "BATCH_ROWS", 3)
    monkeypatch.setattr(cells, "CHUNK_ROWS", 2)
    ids = ["a", "b", "c", "", "d", "e", "a", "f", "", "c", "a"]
    rows = [{"path": f"{n}.wav", "id": one} for n, one in enumerate(ids)]
    with pytest.raises(ManifestError) as caught:
        Manifest.from_rows(rows)
    assert caught.value.got == (
        "line 4: empty id; line 7: id 'a' again (first on line 1); line 9: empty id; "
        "line 10: id 'c' again (first on line 3); line 11: id 'a' again (first on line 1)"
    )
    manifest = Manifest.from_rows([{"path": str(n)} for n in range(20)])
    assert manifest.ids == [str(n) for n in range(20)]
    assert manifest.lines == list(range(1, 21))


def test_only_twenty_problems_are_spelt_out() -> None:
    rows = [{"path": "a.wav"}] * 100
    with pytest.raises(ManifestError, match=r"line 21: id .*; and 79 more"):
        Manifest.from_rows(rows)


def test_files_whose_name_the_system_refuses_are_missing(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "self.csv").symlink_to("self.csv")
    names = {"x" * 300 + ".csv": "name too long", "a\0.csv": "zero byte", "d.csv": "a folder"}
    names["self.csv"] = "levels of symbolic links"
    missing = Manifest.from_rows([{"path": name} for name in names], root=tmp_path).missing_files()
    for line, (problem, (name, words)) in enumerate(zip(missing, names.items(), strict=True), 1):
        assert problem.line == line
        assert words in problem.message
        with pytest.raises(ManifestError, match=words):
            Manifest.read(tmp_path / name)


def test_a_subset_keeps_lines_root_and_lists(tmp_path: Path) -> None:
    table = pa.table({"path": ["a.wav", "b.wav", "c.wav"], "tags": [["x", "y"], [], ["z"]]})
    pq.write_table(table, tmp_path / "m.parquet")
    whole = Manifest.read(tmp_path / "m.parquet")
    some = whole.subset([2, 0])
    assert [track.line for track in some.tracks()] == [whole.lines[2], whole.lines[0]]
    assert [track.path for track in some.tracks()] == [tmp_path / "c.wav", tmp_path / "a.wav"]
    assert some.column("tags") == [whole.column("tags")[2], whole.column("tags")[0]]
    assert (some.name, some.root, some.columns) == (whole.name, whole.root, whole.columns)
    assert len(whole) == 3
    assert whole.subset([0, 1, 2]).ids == whole.ids
    assert len(whole.subset([])) == 0
    assert some.subset([1]).ids == ["a.wav"]
    with pytest.raises((IndexError, pa.ArrowIndexError)):
        whole.subset([3])
