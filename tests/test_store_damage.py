"""What others wrote, or time has spoilt: it is told, by the file's name, and never believed."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.errors import StoreError
from segue.store import FeatureTable, FrameKind, FrameTable, layout, quarantine, tables
from store_toys import CARD, facts, failure, row


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    table = FeatureTable.open_or_create(tmp_path / "store", CARD)
    table.append(row(1))
    table.append(row(2))
    table.flush()
    return table


def shard_of(table: FeatureTable) -> Path:
    return next((Path(table.folder) / "shards").glob("*.parquet"))


def changed(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: rows.set_column(rows.column_names.index(name), name, values)


@pytest.mark.parametrize("change", [{"version": 2}, {"dim": 6}])
def test_a_shard_of_another_card_is_refused(
    table: FeatureTable, tmp_path: Path, change: dict[str, int]
) -> None:
    other = FeatureTable.open_or_create(tmp_path / "other", replace(CARD, **change))  # type: ignore[arg-type]
    other.append(replace(row(3), features=np.arange(other.card.dim, dtype=np.float32)))
    other.flush()
    shutil.copy(shard_of(other), Path(table.folder) / "shards" / "000001-ab.parquet")
    message = rf"000001-ab.parquet: wanted a shard of x .*got one of card {other.card.digest[:12]}"
    for ask in (table.read, table.index, table.contents, table.fingerprint, table.compact):
        with pytest.raises(StoreError, match=message):
            ask()


def test_a_shard_that_says_another_width_is_refused(table: FeatureTable) -> None:
    wide = pa.list_(pa.float32(), 6)
    rows = changed("features", pa.array([[0.0] * 6] * 2, wide))(pq.read_table(shard_of(table)))
    pq.write_table(rows, shard_of(table))
    with pytest.raises(StoreError, match=r"features of type fixed_size_list.*\[6\], not"):
        table.index()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("bytes", pa.array(["a", "b"])),
        ("bytes", pa.array([1, None], pa.int64())),
        ("written_ns", pa.array([1, 2**63 - 1])),
        ("written_ns", pa.array([1, -1])),
        ("place_hash", pa.array([None, None], pa.binary(16))),
        ("place_hash", pa.array([b"a" * 16] * 2, pa.binary())),
        ("path", pa.array([None, "a"], pa.string())),
        ("path", pa.array([b"\xff", b"a"], pa.binary()).view(pa.string())),
        ("start", pa.array([None, 0.0], pa.float64())),
        ("start", pa.array([float("nan"), 0.0])),
        ("features", pa.array([None, [1.0, 2.0, 3.0]], pa.list_(pa.float32(), 3))),
        ("features", pa.array([[1.0, None, 3.0]] * 2, pa.list_(pa.float32(), 3))),
        ("features", pa.array([[1.0, float("nan"), 3.0]] * 2, pa.list_(pa.float32(), 3))),
    ],
)
def test_cells_that_no_shard_has_are_refused(
    table: FeatureTable, name: str, values: pa.Array
) -> None:
    path = shard_of(table)
    pq.write_table(changed(name, values)(pq.read_table(path)), path)
    with pytest.raises(StoreError, match=rf"{path.name}: wanted a whole shard"):
        table.fingerprint()


def test_absurd_sizes_are_refused_before_reading(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("it is read"))
    for limit, value in (("MOST_ROWS", 1), ("MOST_BYTES", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(layout, limit, value)
            with pytest.raises(StoreError, match=r"got 2 rows of \d+ bytes, more than a shard has"):
                table.index()


def test_columns_of_a_later_version_are_read_over_and_kept(table: FeatureTable) -> None:
    path = shard_of(table)
    later = pq.read_table(path).append_column("mood", pa.array(["sad", "glad"]))
    pq.write_table(later, path)
    table.append(row(3))
    table.flush()
    table.append(row(4))
    table.flush()
    assert table.compact() == 2
    assert [one.id for one in table.read()[0]] == ["t1", "t2", "t3", "t4"]
    assert "mood" in pq.read_table(path).column_names


def test_bits_that_turned_over_are_told(table: FeatureTable) -> None:
    """Never other values, and never an error that does not name the file."""
    for number in range(3, 40):
        table.append(row(number, number * 1.5))
    table.flush()
    path = max((Path(table.folder) / "shards").iterdir())
    good, content = table.read(), path.read_bytes()
    draws, told = np.random.default_rng(0), Counter[str]()
    for _ in range(300):
        bad = bytearray(content)
        for _ in range(int(draws.integers(1, 4))):
            bad[draws.integers(len(bad))] ^= 1 << int(draws.integers(8))
        path.write_bytes(bad if draws.random() < 0.9 else bad[: draws.integers(1, len(bad))])
        said = ""
        try:
            found, X = table.read()
        except StoreError as error:
            said = str(error)
        if said:
            assert path.name in said
        else:
            assert found == good[0]
            np.testing.assert_array_equal(X, good[1])
        told["refused" if said else "same"] += 1
    assert told["refused"] > 200


@pytest.mark.parametrize(
    "content",
    ['{"card": {"name": 5}}', "[" * 100_000, "[]", "{}", " " * 2**21, b"\xff\xfe"],
)
def test_a_card_that_is_none_is_refused(table: FeatureTable, content: str | bytes) -> None:
    path = Path(table.folder) / "card.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match=r"wanted a feature table"):
        tables(table.folder)


@pytest.mark.parametrize("change", [{"name": 5}, {"dim": 0}, {"dim": "3"}, {"dim": 2**40}])
def test_a_card_of_other_types_is_refused(
    table: FeatureTable, change: dict[str, int | str]
) -> None:
    path = Path(table.folder) / "card.json"
    note = json.loads(path.read_text())
    note["card"] |= change
    if "dim" in change:
        note["digest"] = replace(CARD, dim=change["dim"]).digest  # type: ignore[arg-type]
    path.write_text(json.dumps(note))
    with pytest.raises(StoreError, match="wanted a feature table"):
        FeatureTable.open(table.folder)


BAD_NOTES: list[dict[str, object]] = [
    {"path": 5},
    {"start": "x"},
    {"start": 10**400},
    {"duration": [1]},
    {"bytes": [1]},
    {"line": True},
    {"mtime_ns": 2**70},
    {"reason": None},
    {"written_ns": 1e400},
    {"written_ns": 2**70},
    {"written_ns": -1},
    {"mood": "sad"},
]


@pytest.mark.parametrize("change", BAD_NOTES)
@pytest.mark.parametrize("older", [False, True])
def test_a_failure_of_other_types_is_refused(
    table: FeatureTable, change: dict[str, object], older: bool
) -> None:
    table.fail(failure(9))
    table.flush()
    (path,) = (Path(table.folder) / "failures").iterdir()
    note = json.loads(path.read_text())
    if older:
        path.unlink()
        path = Path(table.folder) / "failures.jsonl"
    path.write_text(json.dumps(note | change) + "\n")
    for ask in (table.contents, table.index):
        with pytest.raises(StoreError, match=rf"{path.name}: wanted a whole file of failures"):
            ask()


def test_a_file_of_failures_of_absurd_size_is_refused(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.fail(failure(9))
    table.flush()
    monkeypatch.setattr(quarantine, "MOST_BYTES", 20)
    with pytest.raises(StoreError, match="more than 20 bytes"):
        table.index()


def test_a_torn_line_is_said_and_only_where_lines_were_appended(
    table: FeatureTable, caplog: pytest.LogCaptureFixture
) -> None:
    table.fail(failure(9))
    table.flush()
    (path,) = (Path(table.folder) / "failures").iterdir()
    line = path.read_text()
    path.unlink()
    (Path(table.folder) / "failures.jsonl").write_text(f'\n{line}\n{{"id": "t3", "pa')
    with caplog.at_level(logging.WARNING, logger="segue"):
        assert list(table.contents().failures.values()) == [failure(9)]
    assert "failures.jsonl: line 4 is torn" in caplog.text
    path.write_text(f'{line}{{"id": "t3", "pa')
    with pytest.raises(StoreError, match=path.name):
        table.contents()


def test_frames_with_absurd_numbers_are_refused(tmp_path: Path) -> None:
    frames = FrameTable.open_or_create(tmp_path, FrameKind("toy", 3, {}))
    frames.append(replace(row(1), features=np.ones((3, 3), np.float32)))
    frames.flush()
    (path,) = (frames.folder / "shards").glob("*.json")
    note = json.loads(path.read_text())
    for change in ({"mtime_ns": 2**70}, {"written_ns": 2**63}, {"written_ns": -1}):
        path.write_text(json.dumps({**note, "tracks": [note["tracks"][0] | change]}))
        with pytest.raises(StoreError, match=path.name):
            frames.index()
    (frames.folder / "frames.json").write_text('{"label": "toy", "width": 1e999}')
    with pytest.raises(StoreError, match="wanted a frame table"):
        FrameTable.open(frames.folder)


def test_a_row_that_moved_in_its_shard_is_told(table: FeatureTable) -> None:
    stored = table.contents().rows[facts(2).place]
    for ask in (table.features, table.rows_of):
        with pytest.raises(StoreError, match="changed since it was read"):
            ask([replace(stored, row=7)])
