"""Feature tables: what is written is what is read, whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue import files
from segue.card import ExcerptSpec
from segue.errors import StoreError, UsageError
from segue.store import Failure, FeatureTable, FileFacts, Row, choose_table, naming, tables
from segue.store import table as subject
from segue.store.shards import to_arrow, to_parquet
from store_toys import CARD, facts, row


def ids(table: FeatureTable) -> list[str]:
    return [one.id for one in table.read()[0]]


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    return FeatureTable.open_or_create(tmp_path / "store", CARD)


def test_rows_come_back_in_any_order_asked(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "SHARD_ROWS", 256)
    for number in range(600):  # three shards
        table.append(row(number))
    table.flush()
    again = FeatureTable.open(table.folder)
    X, there = again.matrix([facts(599), facts(1000), facts(0), facts(300)])
    assert there.tolist() == [True, False, True, True]
    assert X[[0, 2, 3], 0].tolist() == [599.0, 0.0, 300.0]
    assert np.isnan(X[1]).all()
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    assert len(list((table.folder / "shards").glob("*.parquet"))) == 3


def test_the_latest_row_of_a_place_wins(table: FeatureTable) -> None:
    table.append(row(1, 1.0))
    table.flush()
    table.append(row(1, 2.0))
    table.flush()
    found, X = table.read()
    assert found == [facts(1)]
    assert X[0, 1] == 2.0


def test_the_latest_row_wins_although_a_shard_was_removed_by_hand(table: FeatureTable) -> None:
    for number, value in ((1, 0.0), (2, 0.0), (3, 1.0)):
        table.append(row(number, value))
        table.flush()
    shards = sorted((table.folder / "shards").iterdir())
    shards[0].unlink()
    table.append(row(3, 2.0))
    table.flush()
    X, _ = table.matrix([facts(3)])
    assert X[0, 1] == 2.0
    assert len({path.name.split("-")[0] for path in (table.folder / "shards").iterdir()}) == 3


def test_two_data_sets_with_the_same_ids_do_not_mix(table: FeatureTable) -> None:
    """Folder ids are relative paths: every second data set has a ``0.wav``."""
    first = row(1, 1.0)
    second = replace(row(1, 2.0), facts=replace(first.facts, path="/other/1.wav"))
    table.append(first)
    table.append(second)
    table.flush()
    X, there = table.matrix([first.facts, second.facts])
    assert there.all()
    assert X[:, 1].tolist() == [1.0, 2.0]
    # elsewhere, without the audio, the id alone does not say which of them is meant
    elsewhere = replace(first.facts, path="/mnt/1.wav", bytes=-1, mtime_ns=-1)
    assert not table.matrix([elsewhere])[1].any()


def test_a_store_is_found_by_id_where_the_audio_is_not(table: FeatureTable) -> None:
    table.append(row(1, 1.0))
    table.flush()
    elsewhere = replace(facts(1), path="/mnt/1.wav", bytes=-1, mtime_ns=-1)
    X, there = table.matrix([elsewhere])
    assert there.all()
    assert X[0, 1] == 1.0
    another_file = replace(elsewhere, bytes=5, mtime_ns=5)
    assert not table.matrix([another_file])[1].any()


def test_features_of_a_file_that_has_changed_are_not_passed_off_as_its(
    table: FeatureTable,
) -> None:
    table.append(row(1))
    table.flush()
    assert not table.matrix([replace(facts(1), mtime_ns=99)])[1].any()
    assert table.matrix([replace(facts(1), bytes=-1, mtime_ns=-1)])[1].all()  # gone: still known


def test_facts_and_keys_survive(table: FeatureTable) -> None:
    one = row(5)
    one = replace(one, facts=replace(one.facts, start=0.1, duration=2.25))
    table.append(one)
    table.flush()
    stored = table.contents().rows[one.facts.place]
    assert (stored.facts, stored.key) == (one.facts, one.key)
    back = table.rows_of([stored])[0]
    assert back.facts == one.facts
    np.testing.assert_array_equal(back.features, one.features)
    assert (back.source_rate, back.source_channels, back.seconds) == (44100, 2, 1.5)


def test_another_card_gets_a_table_of_its_own(
    table: FeatureTable, caplog: pytest.LogCaptureFixture
) -> None:
    changed = replace(CARD, excerpt=ExcerptSpec(seconds=2.0), description="words do not count")
    with caplog.at_level(logging.INFO, logger="segue"):
        other = FeatureTable.open_or_create(table.folder.parent, changed)
    assert other.folder != table.folder
    assert "excerpt.seconds: 1.0 -> 2.0" in caplog.text
    assert "description" not in caplog.text
    assert [t.folder for t in tables(table.folder.parent)] == sorted([table.folder, other.folder])
    with pytest.raises(UsageError, match="wanted one table"):
        choose_table(table.folder.parent)
    assert choose_table(table.folder).card == CARD


def test_choosing_from_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="got no tables"):
        choose_table(tmp_path / "absent")


def test_an_edited_card_is_refused(table: FeatureTable) -> None:
    path = table.folder / "card.json"
    facts = json.loads(path.read_text())
    facts["card"]["dim"] = 4
    path.write_text(json.dumps(facts))
    with pytest.raises(StoreError, match="changed by hand"):
        FeatureTable.open(table.folder)
    facts["card"]["colour"] = "red"
    path.write_text(json.dumps(facts))
    with pytest.raises(StoreError, match="colour"):
        FeatureTable.open(table.folder)


def test_features_that_are_not_finite_or_of_another_size_are_refused(table: FeatureTable) -> None:
    bad = replace(row(1), features=np.array([1, np.nan, 2], np.float32))
    with pytest.raises(StoreError, match="1 not finite"):
        table.append(bad)
    with pytest.raises(StoreError, match="wanted 3 finite features"):
        table.append(replace(row(1), features=np.zeros(2, np.float32)))


def test_a_full_disk_loses_nothing_that_was_finished(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append(row(1))
    table.flush()
    table.append(row(2))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreError, match=r"got No space left on device. Free space"):
            table.flush()
    assert ids(FeatureTable.open(table.folder)) == ["t1"]
    assert not list(table.folder.rglob("*.partial"))
    table.flush()  # space was made: the pending row is still there
    assert ids(FeatureTable.open(table.folder)) == ["t1", "t2"]


def test_a_damaged_shard_is_named(table: FeatureTable) -> None:
    table.append(row(1))
    table.flush()
    shard = next((table.folder / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(StoreError, match=rf"{shard.name}: wanted a whole shard"):
        table.read()


def test_a_shard_without_a_column_is_named(table: FeatureTable) -> None:
    table.append(row(1))
    table.flush()
    shard = next((table.folder / "shards").iterdir())
    whole = pq.read_table(shard, partitioning=None)
    for column in ("path", "key", "bytes", "written_ns"):
        pq.write_table(whole.drop_columns([column]), shard)
        for ask in (table.contents, table.fingerprint):
            with pytest.raises(StoreError, match=f"{shard.name}: .* one without .*{column}"):
                ask()
    stored = FeatureTable.open(table.folder)
    pq.write_table(whole.drop_columns(["features"]), shard)
    with pytest.raises(StoreError, match="one without features"):
        stored.read()


def test_what_was_written_of_a_place_last_is_what_it_is(table: FeatureTable) -> None:
    def failing() -> set[str]:
        return {failure.facts.id for failure in table.contents().failures.values()}

    for number in (1, 2):
        table.fail(Failure(facts=facts(number), stage="decode", reason="no"))
    assert failing() == set()  # it waits, as rows do
    table.flush()
    assert failing() == {"t1", "t2"}
    table.append(row(1))
    table.flush()
    assert (failing(), ids(table)) == ({"t2"}, ["t1"])
    table.fail(Failure(facts=replace(facts(1), bytes=-1), stage="open", reason="gone"))
    table.flush()
    assert (failing(), ids(table)) == ({"t1", "t2"}, [])
    assert not table.matrix([facts(1)])[1].any()
    table.append(row(1))
    table.flush()
    assert (failing(), ids(table)) == ({"t2"}, ["t1"])


def test_what_waits_together_keeps_its_order(table: FeatureTable) -> None:
    """A place may fail and be mended, or the other way round, between two flushes."""
    for number in (1, 2):
        failure = Failure(facts=facts(number), stage="decode", reason="no")
        for write in (table.append, table.fail) if number == 1 else (table.fail, table.append):
            write(row(number) if write == table.append else failure)  # type: ignore[arg-type]
    table.flush()
    contents = table.contents()
    assert [one.facts.id for one in contents.failures.values()] == ["t1"]
    assert [one.facts.id for one in contents.usable()] == ["t2"]


def test_a_clock_that_was_put_back_makes_nothing_older(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append(row(1, 1.0))
    table.flush()
    later = FeatureTable.open(table.folder)
    later.index()  # as every run does first
    monkeypatch.setattr(subject.time, "time_ns", lambda: 5)
    later.append(row(1, 2.0))
    later.flush()
    assert later.read()[1][0, 1] == 2.0


def test_who_is_told_the_time_writes_later_whatever_its_clock_says(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster one process reads the index, and others write."""
    table.fail(Failure(facts=facts(1), stage="open", reason="away"))
    table.flush()
    latest = table.index().latest_ns
    monkeypatch.setattr(subject.time, "time_ns", lambda: 5)
    there = FeatureTable.open(table.folder, after_ns=latest)
    there.append(row(1))
    there.flush()
    assert (ids(table), table.contents().failures) == (["t1"], {})


def test_of_rows_of_one_time_all_agree_which_counts(table: FeatureTable) -> None:
    for number, changed in ((0, 5), (1, 6)):
        one = row(1, float(changed))
        one = replace(one, facts=replace(one.facts, mtime_ns=changed))
        content = to_parquet(to_arrow([one], [7]), CARD.digest)
        (table.folder / "shards" / f"{number:06d}-ab.parquet").write_bytes(content)
    for _ in range(2):
        (stored,) = table.contents().usable()
        assert stored.facts.mtime_ns == 6
        assert table.index().look([stored.facts]) == ["done"]
        assert table.read()[1][0, 1] == 6.0
        table.compact()


def test_a_folder_is_listed_once_not_at_each_flush(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Path] = []
    real = naming.entries
    monkeypatch.setattr(naming, "entries", lambda there: listed.append(there) or real(there))
    for number in range(5):
        table.append(row(number))
        table.fail(Failure(facts=facts(10 + number), stage="decode", reason="no"))
        table.flush()
    assert [there.name for there in listed] == ["shards", "failures"]
    names = sorted(path.name[:7] for path in (table.folder / "shards").iterdir())
    assert names == [f"{number:06d}-" for number in range(5)]


def test_a_full_disk_keeps_failures_that_wait(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append(row(1))
    table.fail(Failure(facts=facts(2), stage="decode", reason="no"))
    real, calls = files.os.fsync, []

    def full_at_the_second(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full_at_the_second)
        with pytest.raises(StoreError, match="Free space"):
            table.flush()
    assert ids(FeatureTable.open(table.folder)) == ["t1"]
    table.flush()
    again = FeatureTable.open(table.folder)
    assert (ids(again), len(again.contents().failures)) == (["t1"], 1)
    assert len(list((table.folder / "shards").iterdir())) == 1  # rows were not written twice


def test_damaged_failures_are_named(table: FeatureTable) -> None:
    table.fail(Failure(facts=facts(1), stage="decode", reason="no"))
    table.flush()
    (path,) = (table.folder / "failures").iterdir()
    for broken in ('{"id": "t3", "pa', "[]", '{"stage": 1}', path.read_text()[:-5]):
        path.write_text(broken)
        with pytest.raises(StoreError, match=rf"{path.name}: wanted a whole file of failures"):
            table.contents()


@pytest.mark.parametrize(
    ("name", "layers", "folder"),
    [
        ("choi2017-msd", (1, 2), "choi2017-msd@12-"),
        ("hf:org/name@1,12", (), "name@1_12-"),
        ("onnx:/abs/path/net.onnx", (), "net.onnx-"),
        ("onnx:/abs/../..", (), "-"),
        ("hf:C:\\models\\mine", (), "mine-"),
        ("hf:org/" + "x" * 300, (), "x" * 100 + "-"),
    ],
)
def test_any_label_has_a_folder_of_its_own(
    tmp_path: Path, name: str, layers: tuple[int, ...], folder: str
) -> None:
    card = replace(CARD, name=name, layers=layers)
    table = FeatureTable.open_or_create(tmp_path, card)
    assert table.folder == tmp_path / (folder + card.digest[:12])
    table.append(row(1))
    table.flush()
    assert choose_table(tmp_path, card.label).read()[0] == [facts(1)]


def test_the_decoder_of_a_row_is_kept(table: FeatureTable) -> None:
    one = replace(row(1), decoder="soundfile 0.13.1/libsndfile 1.2.2")
    table.append(one)
    table.append(row(2))
    table.flush()
    back = table.rows_of(table.contents().usable())
    assert [row.decoder for row in back] == [one.decoder, ""]


def write_as_before(table: FeatureTable, rows: list[Row], failures: list[Failure]) -> None:
    """What segue wrote before shards had hashes and decoders, and failures files of their own."""
    names = FileFacts.__dataclass_fields__
    cells = {name: [getattr(one.facts, name) for one in rows] for name in names}
    cells["duration"] = pa.array(cells["duration"], pa.float64())
    table_of = pa.table(
        {
            **cells,
            "key": [one.key for one in rows],
            "written_ns": [10**18 + number for number in range(len(rows))],
            "source_rate": pa.array([one.source_rate for one in rows], pa.int32()),
            "source_channels": pa.array([one.source_channels for one in rows], pa.int32()),
            "seconds": [one.seconds for one in rows],
            "features": pa.FixedSizeListArray.from_arrays(
                pa.array(np.concatenate([one.features for one in rows])), table.card.dim
            ),
        }
    )
    table_of = table_of.replace_schema_metadata({"segue.card": table.card.digest})
    pq.write_table(table_of, table.folder / "shards" / "000000-0123456789ab.parquet")
    with (table.folder / "failures.jsonl").open("a") as file:
        for number, failure in enumerate(failures):
            note = {**asdict(failure.facts), "stage": failure.stage, "reason": failure.reason}
            note["written_ns"] = 10**18 + 100 + number
            file.write(f"\n{json.dumps(note)}\n")
        file.write('\n{"id": "t3", "pa')  # torn by a crash


def test_tables_of_older_versions_are_read_and_continued(table: FeatureTable) -> None:
    failures = [Failure(facts=facts(number), stage="decode", reason="no") for number in (2, 3)]
    write_as_before(table, [row(1), row(2), row(4)], failures)
    old = FeatureTable.open(table.folder)
    assert ids(old) == ["t1", "t4"]
    assert set(old.contents().failures) == {facts(2).place, facts(3).place}
    seen = old.index().look([facts(number) for number in range(1, 6)])
    assert seen == ["done", *failures, "done", None]
    assert old.rows_of([old.index().stored("k4") or pytest.fail("not found")])[0].decoder == ""
    again = FeatureTable.open_or_create(table.folder.parent, CARD)
    again.append(row(2))
    again.flush()
    assert (ids(again), len(again.contents().failures)) == (["t1", "t4", "t2"], 1)
    before = again.fingerprint()
    assert again.compact() == 2
    assert (ids(again), again.fingerprint()) == (["t1", "t4", "t2"], before)
