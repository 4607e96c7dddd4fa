"""Frame tables: what is written is what is mapped, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.encoders import encoder
from segue.errors import StoreError, UsageError
from segue.store import (
    Failure,
    FeatureTable,
    FileFacts,
    FrameKind,
    FrameTable,
    Row,
    Stored,
    tables,
)
from segue.store import frames as subject

KIND = FrameKind("toy", 3, {"hop": 512, "seconds": 30.0})


def row(number: int, length: int = 4, value: float = 0.0) -> Row:
    facts = FileFacts(
        id=f"t{number}", path=f"/m/{number}.wav", line=number, bytes=number, mtime_ns=1
    )
    frames = np.full((length, 3), value, np.float32)
    frames[:, 0], frames[:, 1] = number, np.arange(length)
    return Row(
        facts=facts,
        key=f"k{number}",
        source_rate=44100,
        source_channels=2,
        seconds=1.5,
        features=frames,
    )


def written(table: FrameTable, *rows: Row) -> list[Stored]:
    for one in rows:
        table.append(one)
    table.flush()
    return table.contents().usable()


@pytest.fixture
def table(tmp_path: Path) -> FrameTable:
    return FrameTable.open_or_create(tmp_path / "store", KIND)


def test_frames_come_back_as_views_of_the_file(
    table: FrameTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "SHARD_BYTES", 300)
    rows = [row(number, 1 + number % 7) for number in range(40)]
    written(table, *rows)
    assert len(list((table.folder / "shards").glob("*.npy"))) > 3
    again = FrameTable.open(table.folder)
    stored = again.contents().usable()
    assert [one.facts for one in stored] == [one.facts for one in rows]
    assert again.spans(stored)[:, 1].tolist() == [1 + number % 7 for number in range(40)]
    for one, there in zip(rows, stored, strict=True):
        frames = again.frames(there)
        np.testing.assert_array_equal(frames, one.features)
        assert not frames.flags.writeable
        assert not frames.flags.owndata


def test_maps_stay_few_however_many_shards(
    table: FrameTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "OPEN_SHARDS", 5)
    for number in range(30):
        stored = written(table, row(number))
    views = [table.frames(one) for one in stored]
    assert len(table._maps) == 5
    assert [view[0, 0] for view in views] == list(range(30))  # a view outlives its turn


def test_what_was_written_of_a_place_last_is_what_it_is(table: FrameTable) -> None:
    written(table, row(1, value=1.0), row(2))
    (second, first) = written(table, row(1, 9, value=2.0))
    assert (first.facts.id, second.facts.id) == ("t1", "t2")
    assert table.frames(first)[:, 2].tolist() == [2.0] * 9
    table.fail(Failure(facts=replace(first.facts, bytes=-1), stage="open", reason="gone"))
    table.flush()
    assert [one.facts.id for one in table.contents().usable()] == ["t2"]
    assert table.find([row(1).facts, row(2).facts]) == [None, second]
    written(table, row(1))
    assert not table.contents().failures


def test_an_index_of_frames_knows_what_is_done(table: FrameTable) -> None:
    stored = written(table, row(1), row(2))
    failure = Failure(facts=row(3).facts, stage="open", reason="gone")
    table.fail(failure)
    table.flush()
    with table.lock():
        index = FrameTable.open(table.folder).index()
    changed = replace(row(2).facts, mtime_ns=9)
    assert index.look([row(1).facts, changed, row(3).facts, row(4).facts]) == (
        ["done", None, failure, None]
    )
    assert (index.stored("k2"), index.stored("k3"), index.holds_size(2)) == (stored[1], None, True)


def test_a_clock_that_was_put_back_makes_nothing_older_than_a_failure(
    table: FrameTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.fail(Failure(facts=row(1).facts, stage="open", reason="away"))
    table.flush()
    later = FrameTable.open(table.folder)
    later.index()  # as every run does first
    monkeypatch.setattr(subject.time, "time_ns", lambda: 5)
    assert [one.facts.id for one in written(later, row(1))] == ["t1"]
    assert not later.contents().failures


def test_many_files_of_failures_are_merged_when_the_lock_is_taken(
    table: FrameTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MANY_FAILURES", 3)
    for number in range(3):
        table.fail(Failure(facts=row(number).facts, stage="open", reason="away"))
        table.flush()
    with table.lock():
        assert len(list((table.folder / "failures").iterdir())) == 1
    assert len(table.contents().failures) == 3


def test_the_decoder_of_a_track_is_kept(table: FrameTable) -> None:
    stored = written(table, replace(row(1), decoder="pyav 18.1.0"))
    assert table.rows_of(stored)[0].decoder == "pyav 18.1.0"
    sidecar = stored[0].shard.with_suffix(".json")
    sidecar.write_text(sidecar.read_text().replace('"decoder": "pyav 18.1.0", ', ""))
    assert table.rows_of(FrameTable.open(table.folder).contents().usable())[0].decoder == ""


def test_frames_behind_an_address_are_refused() -> None:
    with pytest.raises(UsageError, match=r"memory maps.*memory://bucket/store"):
        FrameTable.open_or_create("memory://bucket/store", KIND)


def test_tracks_are_found_by_place_and_where_the_audio_is_not_by_id(table: FrameTable) -> None:
    (stored,) = written(table, row(1))
    facts = row(1).facts
    gone = replace(facts, path="/mnt/1.wav", bytes=-1, mtime_ns=-1)
    changed = replace(facts, mtime_ns=99)
    assert table.find([facts, gone, changed, row(2).facts]) == [stored, stored, None, None]


def test_rows_come_back_as_they_were_appended(table: FrameTable) -> None:
    one = replace(row(5), facts=replace(row(5).facts, start=0.1, duration=2.25))
    stored = written(table, row(4), one)
    (back,) = table.rows_of(stored[1:])
    np.testing.assert_array_equal(back.features, one.features)
    assert (back.facts, back.key, back.seconds) == (one.facts, one.key, one.seconds)
    assert (back.source_rate, back.source_channels) == (44100, 2)


def test_another_kind_gets_a_table_of_its_own(
    table: FrameTable, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="segue"):
        other = FrameTable.open_or_create(
            table.folder.parent, replace(KIND, facts={"hop": 512, "seconds": None})
        )
    assert other.folder != table.folder
    assert "seconds: 30.0 -> None" in caplog.text
    assert FrameTable.open_or_create(table.folder.parent, KIND).folder == table.folder
    assert tables(table.folder.parent) == []  # feature tables are others


@pytest.mark.parametrize("content", ["{", "[]", "", '{"label": "toy"}'])
def test_a_damaged_table_beside_is_no_reason_to_stop(
    table: FrameTable, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    store = table.folder.parent
    (table.folder / "frames.json").write_text(content)
    other = FrameTable.open_or_create(store, replace(KIND, label="other"))
    assert len(written(other, row(1))) == 1
    assert f"{table.folder.name}: wanted a frame table" in caplog.text
    with pytest.raises(StoreError, match="wanted a frame table"):
        FrameTable.open_or_create(store, KIND)


def test_a_damaged_feature_table_beside_is_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cards = [encoder(f"random-convnet@{layers}").card for layers in ("1", "2")]
    first = FeatureTable.open_or_create(tmp_path, cards[0])
    (first.folder / "card.json").write_text("{")
    second = FeatureTable.open_or_create(tmp_path, cards[1])
    assert second.folder.is_dir()
    assert f"{first.folder.name}: wanted a feature table" in caplog.text
    with pytest.raises(StoreError, match="wanted a feature table"):
        FeatureTable.open_or_create(tmp_path, cards[0])


@pytest.mark.parametrize("label", ["../up", "a/b", "", ".hidden", "a\n"])
def test_a_label_cannot_leave_the_store(tmp_path: Path, label: str) -> None:
    with pytest.raises(UsageError, match="a label of letters"):
        FrameTable.open_or_create(tmp_path, replace(KIND, label=label))
    assert not list(tmp_path.iterdir())


def test_an_edited_kind_is_refused(table: FrameTable) -> None:
    path = table.folder / "frames.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "width": 4}))
    with pytest.raises(StoreError, match="changed by hand"):
        FrameTable.open(table.folder)
    for broken in ("[]", "{", json.dumps({**facts, "facts": 3})):
        path.write_text(broken)
        with pytest.raises(StoreError, match="wanted a frame table"):
            FrameTable.open(table.folder)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.full((2, 3), np.nan, np.float32), "6 not finite"),
        (np.zeros((2, 4), np.float32), r"shape \(2, 4\)"),
        (np.zeros((0, 3), np.float32), r"shape \(0, 3\)"),
        (np.zeros(3, np.float32), r"shape \(3,\)"),
        (np.zeros((2, 3)), "float64"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    table: FrameTable, frames: np.ndarray, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        table.append(replace(row(1), features=frames))
    assert not table.pending


def test_an_array_without_sidecar_counts_for_nothing(
    table: FrameTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = subject.write_atomically

    def stopped(path: Path, content: bytes) -> Path:
        if path.suffix == ".json":
            raise StoreError(wanted="to write", got="No space left", fix="Free space", source=path)
        return write(path, content)

    table.append(row(1))
    with monkeypatch.context() as patch:
        patch.setattr(subject, "write_atomically", stopped)
        with pytest.raises(StoreError, match="No space left"):
            table.flush()
    (left,) = (table.folder / "shards").iterdir()
    assert not FrameTable.open(table.folder).contents().rows
    assert [one.facts.id for one in written(table)] == ["t1"]  # it stayed pending
    FrameTable.open_or_create(table.folder.parent, KIND)
    assert left.exists()  # another process may be about to write its sidecar
    partial = table.folder / "shards" / ".x.npy.abc.partial"
    partial.write_bytes(b"half")
    long_ago = time.time() - 7200
    for path in (left, partial):
        os.utime(path, (long_ago, long_ago))
    again = FrameTable.open_or_create(table.folder.parent, KIND)
    assert not left.exists()
    assert not partial.exists()
    assert table.frames(again.contents().usable()[0])[0, 0] == 1.0


def _shard(table: FrameTable) -> Path:
    (stored,) = written(table, row(1, 50))
    return stored.shard


def test_a_shard_cut_short_is_named_with_what_to_do(table: FrameTable) -> None:
    shard = _shard(table)
    shard.write_bytes(shard.read_bytes()[:-20])
    again = FrameTable.open(table.folder)
    with pytest.raises(StoreError, match=rf"{shard.name}: wanted a whole shard.*Remove this file"):
        again.frames(again.contents().usable()[0])
    shard.unlink()
    assert not FrameTable.open(table.folder).contents().rows  # to be made anew


def test_hostile_shards_are_refused(table: FrameTable) -> None:
    shard = _shard(table)
    whole = np.load(shard)

    def refused(message: str) -> None:
        again = FrameTable.open(table.folder)
        with pytest.raises(StoreError, match=message):
            again.frames(again.contents().usable()[0])

    for other in (whole[:-1], whole.astype(np.float64), np.asfortranarray(whole), whole.ravel()):
        np.save(shard, other)
        refused(r"not \(50, 3\) of float32|ends elsewhere")
    shard.write_bytes(pickle.dumps(whole))
    refused("allow_pickle=False|pickle")
    np.save(shard, np.array([object()] * 50), allow_pickle=True)
    refused("wanted a whole shard")
    with shard.open("wb") as file:
        np.savez(file, whole)
    refused("not a .npy array")
    np.save(shard, whole)
    with shard.open("ab") as file:
        file.write(b"more")
    refused("ends elsewhere")
    shard.write_bytes(b"")
    refused("wanted a whole shard")


def test_hostile_sidecars_are_refused(table: FrameTable) -> None:
    sidecar = _shard(table).with_suffix(".json")
    facts = json.loads(sidecar.read_text())
    track = facts["tracks"][0]

    def changed(**cells: object) -> dict[str, object]:
        return {**facts, "tracks": [{**track, **cells}]}

    for wrong in (
        [],
        {**facts, "tracks": []},
        {**facts, "frames": 51},
        {**facts, "kind": "other"},
        {**facts, "tracks": [track, track]},
        changed(begin=1),
        changed(count=10**30),
        changed(count=-1),
        changed(begin=False),
        changed(start=float("nan")),
        changed(seconds=float("inf")),
        changed(duration=float("-inf")),
        changed(seconds=10**400),
        changed(path=["/etc"]),
        changed(mtime_ns="1"),
        {**facts, "tracks": [{"begin": 0, "count": 50}]},
    ):
        sidecar.write_text(json.dumps(wrong))
        with pytest.raises(StoreError, match=rf"{sidecar.name}: wanted a whole shard"):
            FrameTable.open(table.folder).contents()
    most = 2**63 - 1  # twice it and two more are none, in 64 bits
    ends = [0, most, -2, 50]
    wrapped = [
        {**track, "path": f"/m/{n}", "begin": ends[n], "count": count}
        for n, count in enumerate((most, most, 52))
    ]
    sidecar.write_text(json.dumps({**facts, "tracks": wrapped}))
    with pytest.raises(StoreError, match="do not fill it"):
        FrameTable.open(table.folder).contents()
    for broken in ("{", "[" * 100_000):
        sidecar.write_text(broken)
        with pytest.raises(StoreError, match="Remove this file"):
            FrameTable.open(table.folder).contents()
