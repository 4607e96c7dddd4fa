"""Feature tables: what is written is what is read, whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue import files
from segue.card import EncoderCard, ExcerptSpec, FrontEndSpec
from segue.errors import StoreError, UsageError
from segue.store import Failure, FeatureTable, FileFacts, Row, choose_table, tables

SPEC = FrontEndSpec(rate=8000, n_fft=256, hop=128, n_mels=20)
CARD = EncoderCard(name="x", version=1, dim=3, front_end=SPEC, excerpt=ExcerptSpec(seconds=1.0))


def row(number: int, value: float = 0.0) -> Row:
    facts = FileFacts(
        id=f"t{number}", path=f"/m/{number}.wav", line=number, bytes=number, mtime_ns=1
    )
    features = np.array([number, value, -1], np.float32)
    return Row(
        facts=facts,
        key=f"k{number}",
        source_rate=44100,
        source_channels=2,
        seconds=1.5,
        features=features,
    )


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    return FeatureTable.open_or_create(tmp_path / "store", CARD)


def test_rows_come_back_in_any_order_asked(table: FeatureTable) -> None:
    for number in range(600):  # three shards
        table.append(row(number))
    table.flush()
    again = FeatureTable.open(table.folder)
    X, there = again.matrix(["t599", "absent", "t0", "t300"])
    assert there.tolist() == [True, False, True, True]
    assert X[[0, 2, 3], 0].tolist() == [599.0, 0.0, 300.0]
    assert np.isnan(X[1]).all()
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    assert len(list((table.folder / "shards").glob("*.parquet"))) == 3


def test_a_later_row_of_an_id_wins(table: FeatureTable) -> None:
    table.append(row(1, 1.0))
    table.flush()
    table.append(row(1, 2.0))
    table.flush()
    ids, X = table.read()
    assert ids == ["t1"]
    assert X[0, 1] == 2.0


def test_facts_and_keys_survive(table: FeatureTable) -> None:
    one = row(5)
    one = replace(one, facts=replace(one.facts, start=0.1, duration=2.25))
    table.append(one)
    table.flush()
    facts, key = table.finished()["t5"]
    assert (facts, key) == (one.facts, one.key)
    back = table.rows_with_keys(["k5", "other"])["k5"]
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
    assert FeatureTable.open(table.folder).read()[0] == ["t1"]
    assert not list(table.folder.rglob("*.partial"))
    table.flush()  # space was made: the pending row is still there
    assert FeatureTable.open(table.folder).read()[0] == ["t1", "t2"]


def test_a_damaged_shard_is_named(table: FeatureTable) -> None:
    table.append(row(1))
    table.flush()
    shard = next((table.folder / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(StoreError, match=rf"{shard.name}: wanted a whole shard"):
        table.read()


def test_failures_last_until_a_success_and_survive_a_torn_line(table: FeatureTable) -> None:
    for number in (1, 2):
        table.fail(Failure(facts=row(number).facts, stage="decode", reason="no"))
    with (table.folder / "failures.jsonl").open("a") as file:
        file.write('{"id": "t3", "pa')
    assert set(table.failures()) == {"t1", "t2"}
    for number in (1, 2):
        table.append(row(number))
    table.flush()
    table.absolve("t1")
    assert set(table.failures()) == {"t2"}
    assert table.read()[0] == ["t1"]  # what t2 was before it went bad is not passed off as it
