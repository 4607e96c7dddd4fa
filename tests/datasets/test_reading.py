"""Manifest files as people and programs leave them."""

from __future__ import annotations

import csv
import datetime
import decimal
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.datasets import Manifest, infer_task, read_target
from segue.errors import ManifestError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    count = len(next(iter(columns.values())))
    given = {"path": [f"{n}.wav" for n in range(count)], **columns}
    pq.write_table(pa.table(given), folder / "m.parquet")
    return folder / "m.parquet"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["bare", "byte order mark"])
def test_line_ends_and_byte_order_marks(tmp_path: Path, end: str, mark: str) -> None:
    lines = ["path, genre", "a.wav, jazz ", "", 'b.wav,"two', 'lines"', "c.wav,x", ""]
    manifest = Manifest.read(write(tmp_path, mark + end.join(lines)))
    assert manifest.columns == ["path", "genre", "id"]
    assert manifest.column("genre") == ["jazz", f"two{end}lines", "x"]
    assert manifest.lines == [2, 4, 6]


def test_a_record_is_named_by_its_first_line(tmp_path: Path) -> None:
    text = 'path,title\na.wav,"two\nlines"\n\n"b.wav","three\nmore\nlines"\nc.wav,x\n'
    assert Manifest.read(write(tmp_path, text)).lines == [2, 5, 8]
    with pytest.raises(ManifestError, match=r"line 2: 3 cells .*; line 4: 1 cells"):
        Manifest.read(write(tmp_path, 'path,title\na.wav,"two\nlines",x\nb.wav\n'))


def test_spaces_around_paths_and_ids_are_none_of_theirs(tmp_path: Path) -> None:
    manifest = Manifest.read(write(tmp_path, "path, id ,start\n a b.wav , 1 , \n"))
    (track,) = manifest.tracks()
    assert (track.id, track.path, track.start) == ("1", tmp_path / "a b.wav", 0.0)
    with pytest.raises(ManifestError, match="line 3: id '1' again"):
        Manifest.read(write(tmp_path, "path,id\na.wav,1\nb.wav, 1\n"))


def test_words_for_nothing_stay_words_in_a_csv(tmp_path: Path) -> None:
    words = ["nan", "NaN", "None", "null", "N/A"]
    text = "path,artist\n" + "".join(f"{n}.wav,{word}\n" for n, word in enumerate(words))
    manifest = Manifest.read(write(tmp_path, text))
    assert manifest.column("artist") == manifest.groups("artist") == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path;genre\na.wav;x\n", r"got one column 'path;genre'\. Save it with commas"),
        ("path;genre\na.wav;x, y\n", r"got one column 'path;genre'\. Save it with commas"),
        ("path\tgenre\na.wav\tx\n", r"got one column 'path\\tgenre'\. Save it with commas"),
        ("path;a,b\na.wav;x,1\n", r"got the columns path;a, b\. Save it with commas"),
        ("sep=,\npath,genre\na.wav,x\n", r"got the line 'sep=,'\. Remove this line"),
        ("sep=;\npath;genre\na.wav;x\n", r"got the line 'sep=;'\. Remove this line"),
        ("Path,genre\na.wav,x\n", r"Rename the column 'Path' to 'path'\."),
        ("id,PATH\n1,a.wav\n", r"Rename the column 'PATH' to 'path'\."),
        ("file\na.wav\n", r"got one column 'file'\. Rename the column 'file' to 'path'\."),
        ("audio,filename\n1,a.wav\n", r"Rename the column 'filename' to 'path'\."),
        ("File Name,x\na.wav,1\n", r"Rename the column 'File Name' to 'path'\."),
        ("track,x\na.wav,1\n", r"Rename the column that holds the file names\."),
        (",,\na.wav,1,\n", "got no column that has a name"),
        ("\n\n", "an empty file"),
        ('path,x\na.wav,1\nb.wav,"2\nc.wav,3\n', "line 3: a quote that is never closed"),
        ('path,x\na.wav,1\nb.wav,"2\nc.wav,"3"\n', r"line 3: .*\. Check the quotes there"),
    ],
)
def test_tables_of_another_form_are_refused_with_what_to_do(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        Manifest.read(write(tmp_path, text))


def test_a_quote_left_open_in_a_long_table(tmp_path: Path) -> None:
    long = "".join(f"{n}.wav,x\n" for n in range(csv.field_size_limit() // 4))
    with pytest.raises(ManifestError, match=r"line 3: a cell of more than .*one may be left open"):
        Manifest.read(write(tmp_path, 'path,x\na.wav,1\nb.wav,"2\n' + long))


def test_empty_columns_at_the_right_are_dropped(tmp_path: Path) -> None:
    manifest = Manifest.read(write(tmp_path, "path,genre,,\na.wav,x,,\nb.wav,y, ,\n"))
    assert manifest.columns == ["path", "genre", "id"]
    assert manifest.column("genre") == ["x", "y"]
    with pytest.raises(ManifestError, match="line 3: 'z' stands below no column name; line 4: 2 c"):
        Manifest.read(write(tmp_path, "path,genre,,\na.wav,x,,\nb.wav,y,,z\nc.wav,x\n"))
    with pytest.raises(ManifestError, match="line 2: 3 cells where the header has 2"):
        Manifest.read(write(tmp_path, "path,genre\na.wav,x,\n"))


def test_bytes_that_are_no_unicode_are_named_with_their_line(tmp_path: Path) -> None:
    text = b"path\n" + b"".join(b"%d.wav\n" % n for n in range(10_000)) + b"caf\xe9.wav\n"
    with pytest.raises(ManifestError, match="byte 0xe9 on line 10002"):
        Manifest.read(write(tmp_path, text))
    (tmp_path / "m.txt").write_bytes(b"a.wav\n\xff.wav\n")
    with pytest.raises(ManifestError, match="byte 0xff on line 2"):
        Manifest.read(tmp_path / "m.txt")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
@pytest.mark.parametrize("suffix", [".csv", ".txt", ".parquet"])
def test_a_file_that_may_not_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.touch(0o000)
    with pytest.raises(ManifestError, match="manifest that can be read, got Permission denied"):
        Manifest.read(path)


def test_a_list_is_the_several_labels_of_a_cell(tmp_path: Path) -> None:
    cells = [["rock", "live"], ["jazz"], [], None, ["rock", None, " "], ["live"]]
    kinds = [pa.list_(pa.string()), pa.large_list(pa.large_string())]
    for kind in [*kinds, pa.list_(pa.dictionary(pa.int8(), pa.string()))]:
        manifest = Manifest.read(parquet(tmp_path, tags=pa.array(cells, kind)))
        assert manifest.column("tags") == ["rock;live", "jazz", "", "", "rock", "live"]
    assert read_target(manifest, "tags").values == [
        ("live", "rock"),
        ("jazz",),
        ("rock",),
        ("live",),
    ]
    manifest = Manifest.read(parquet(tmp_path, x=pa.array([[1, 2]], pa.list_(pa.int8(), 2))))
    assert manifest.column("x") == ["1;2"]
    with pytest.raises(
        ManifestError, match=r"m\.parquet: wanted labels without ';' .* line 2: 'a;b'"
    ):
        Manifest.read(parquet(tmp_path, tags=[["a"], ["a;b"]]))


def test_nan_and_null_are_empty_cells(tmp_path: Path) -> None:
    nan = float("nan")
    path = parquet(
        tmp_path,
        year=pa.array([1.5, nan, None, nan], from_pandas=False),
        half=pa.array([1.5, nan, None, nan], pa.float16()),
        start=[nan, None, 1.5, 0.0],
        duration=[2.0, nan, None, 3.0],
    )
    manifest = Manifest.read(path)
    assert manifest.column("year") == manifest.column("half") == ["1.5", "", "", ""]
    assert len(set(manifest.groups("year"))) == 4
    assert read_target(manifest, "year").rows.tolist() == [0]
    stretches = [(track.start, track.duration) for track in manifest.tracks()]
    assert stretches == [(0.0, 2.0), (0.0, None), (1.5, None), (0.0, 3.0)]


def test_numbers_print_as_python_prints_them(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        whole=pa.array([1, None], pa.uint8()),
        real=[0.5, 3.0],
        huge=[1e22, 0.1 + 0.2],
        truth=[True, None],
        day=[datetime.date(2020, 1, 2), None],
        exact=[decimal.Decimal("1.50"), None],
        nothing=pa.nulls(2),
    )
    manifest = Manifest.read(path)
    texts = {name: manifest.column(name) for name in manifest.columns[1:-1]}
    assert texts == {
        "whole": ["1", ""],
        "real": ["0.5", "3.0"],
        "huge": ["1e+22", "0.30000000000000004"],
        "truth": ["True", ""],
        "day": ["2020-01-02", ""],
        "exact": ["1.50", ""],
        "nothing": ["", ""],
    }


def test_categories_and_large_strings(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        path=pa.array(["a.wav", "b.wav", "a.wav"]).dictionary_encode(),
        id=pa.array(["x", "y", "z"], pa.large_string()),
        genre=pa.array(["rock", None, "rock"]).dictionary_encode(),
        code=pa.array([7, 8, 7]).dictionary_encode(),
    )
    manifest = Manifest.read(path)
    assert [track.path.name for track in manifest.tracks()] == ["a.wav", "b.wav", "a.wav"]
    assert manifest.ids == ["x", "y", "z"]
    assert manifest.column("genre") == ["rock", "", "rock"]
    assert manifest.column("code") == ["7", "8", "7"]
    assert infer_task(manifest.column("genre")) == "classification"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": [1, 2]}, r"wanted text in column 'path', got int64\."),
        ({"path": [b"a.wav"]}, r"wanted text in column 'path', got binary\."),
        ({"path": [["a.wav"]]}, r"wanted text in column 'path', got list<"),
        ({"path": [1.5]}, r"wanted text in column 'path', got double\."),
        ({"id": [["a"]]}, r"wanted text in column 'id', got list<"),
        ({"x": [{"bytes": b"", "n": 1}]}, r"wanted text in column 'x', got struct<"),
        ({"x": [[["a"]]]}, r"wanted text in column 'x', got list<.*list<"),
        ({"x": [b"rock"]}, r"wanted text in column 'x', got binary\."),
        ({"path": ["a.wav", None]}, "line 2: empty path"),
        ({"id": ["1", ""]}, "line 2: empty id"),
        ({"start": ["soon"]}, "line 1: start 'soon' is no number"),
        ({"start": [float("inf")]}, "line 1: start 'inf' is no number"),
    ],
)
def test_parquet_columns_that_cannot_serve(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        Manifest.read(parquet(tmp_path, **columns))


def test_parquet_headers(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"Path": ["a.wav"], "x": [1]}), path)
    with pytest.raises(ManifestError, match="Rename the column 'Path' to 'path'"):
        Manifest.read(path)
    pq.write_table(pa.table([["a"], ["b"], ["c"]], names=["path", "x", "x"]), path)
    with pytest.raises(ManifestError, match=r"column \['x'\] twice"):
        Manifest.read(path)


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "genre=rock"
    folder.mkdir()
    assert Manifest.read(parquet(folder, x=[1])).columns == ["path", "x", "id"]
