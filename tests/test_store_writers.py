"""Several runs on one table: who may write, what killed ones leave, small shards into large."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from segue import files
from segue.errors import StoreError
from segue.store import FeatureTable, FrameKind, FrameTable, fetching, locking, quarantine
from segue.store import compaction as merging
from segue.store import table as subject
from store_toys import CARD, facts, failure, row


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    return FeatureTable.open_or_create(tmp_path / "store", CARD)


def fill(table: FeatureTable, *numbers: int) -> None:
    """One shard a row."""
    for number in numbers:
        table.append(row(number))
        table.fail(failure(100 + number))
        table.flush()


def shards(table: FeatureTable) -> list[Path]:
    return sorted(Path(table.folder).glob("shards/*.parquet"))


def counts(table: FeatureTable) -> list[int]:
    """Rows of each shard."""
    return [pq.read_metadata(path).num_rows for path in shards(table)]


def test_small_shards_become_one(table: FeatureTable) -> None:
    fill(table, 1, 2, 3, 2)
    before, read = table.fingerprint(), table.read()[0]
    assert table.compact() == 4
    again = FeatureTable.open(table.folder)
    assert (again.fingerprint(), again.read()[0]) == (before, read)
    assert counts(table) == [3]  # what was written over is gone
    assert len(list(Path(table.folder).glob("failures/*"))) == 1
    assert again.compact() == 0


def test_full_shards_are_left_and_merged_ones_are_bounded(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "SHARD_ROWS", 4)
    for number in range(4):
        table.append(row(number))  # one full shard
    (full,) = shards(table)
    fill(table, *range(4, 70))
    before = table.fingerprint()
    table.compact()
    assert full.exists()
    assert sorted(counts(table)) == [2, 4, 32, 32]
    assert table.fingerprint() == before


def test_merging_never_takes_much_memory(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "SHARD_ROWS", 4)
    monkeypatch.setattr(merging, "MERGED_BYTES", 6 * 4 * CARD.dim)
    fill(table, *range(20))
    table.compact()
    assert max(counts(table)) == 6


def test_taking_the_lock_merges_where_there_are_many(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MANY_SHARDS", 4)
    fill(table, 1, 2, 3)
    with table.lock():
        assert len(shards(table)) == 3
    fill(table, 4)
    with table.lock():
        assert len(shards(table)) == 1


@pytest.mark.parametrize("call", range(1, 8))
def test_a_stop_at_any_step_of_merging_loses_and_doubles_nothing(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    fill(table, 1, 2, 3, 2)
    before, calls = table.fingerprint(), 0

    def stopping(real: object) -> object:
        def step(*args: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == call:
                raise KeyboardInterrupt
            return real(*args, **more)  # type: ignore[operator]

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stopping(Path.unlink))
        patch.setattr(Path, "replace", stopping(Path.replace))
        with pytest.raises(KeyboardInterrupt):
            table.compact()
    stopped = FeatureTable.open(table.folder)
    assert stopped.fingerprint() == before
    assert [one.id for one in stopped.read()[0]] == ["t1", "t3", "t2"]
    stopped.compact()
    assert stopped.fingerprint() == before
    assert counts(stopped) == [3]


def test_a_full_disk_while_merging_loses_nothing(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(table, 1, 2)
    before = table.fingerprint()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreError, match="Free space"):
            table.compact()
    assert table.fingerprint() == before
    assert not list(Path(table.folder).rglob("*.partial"))


def test_who_reads_while_another_merges_finds_everything(table: FeatureTable) -> None:
    fill(table, 1, 2, 3)
    reader = FeatureTable.open(table.folder)
    stored = reader.contents().usable()
    table.compact()
    assert reader.features(stored)[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert [one.facts for one in reader.rows_of(stored)] == [facts(1), facts(2), facts(3)]
    shards(table)[0].unlink()  # by hand: this is no merging
    with pytest.raises(StoreError, match="wanted a whole shard"):
        reader.features(stored)


def test_contents_are_read_again_when_a_shard_goes_meanwhile(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(table, 1, 2, 3)
    listed, real = [shards(table)], subject.shards
    table.compact()
    monkeypatch.setattr(subject, "shards", lambda folder: listed.pop() if listed else real(folder))
    assert [one.id for one in table.read()[0]] == ["t1", "t2", "t3"]


@pytest.mark.parametrize("module", ["table", "fetching"])
def test_reading_begins_anew_when_shards_are_merged_meanwhile(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """A writer merges and writes again and again: what was looked up is nowhere any more."""
    fill(table, 1, 2, 3)
    writer, left = FeatureTable.open(table.folder), [1]
    where, name = (subject, "shards") if module == "table" else (fetching, "read")
    real = getattr(where, name)

    def meddling(*args: object) -> object:
        listed = real(*args) if name == "shards" else None
        if left:
            left.pop()
            fill(writer, 1, 2, 3)  # newer: those that were found are gone
            writer.compact()
        return listed or real(*args)

    monkeypatch.setattr(where, name, meddling)
    asks = [
        lambda: table.read()[1][:, 0].tolist(),
        lambda: table.matrix([facts(1), facts(2), facts(3)])[0][:, 0].tolist(),
    ]
    for ask in asks:
        left[:] = [1]
        assert ask() == [1.0, 2.0, 3.0]
        assert not left


def test_failures_are_merged_where_shards_are(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MANY_SHARDS", 4)
    for number in range(4):
        table.fail(failure(1, f"reason {number}"))
        table.fail(failure(10 + number))
        table.flush()
    before = table.fingerprint()
    with table.lock():
        assert len(list(Path(table.folder).glob("failures/*"))) == 1
    assert table.fingerprint() == before
    assert table.contents().failures[facts(1).place].reason == "reason 3"
    assert len(table.contents().failures) == 5


@pytest.mark.parametrize("call", range(1, 7))
def test_a_stop_at_any_step_of_merging_failures_loses_nothing(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    for number in (1, 2, 1):
        table.fail(failure(number))
        table.flush()
    before, calls = table.fingerprint(), [0]

    def stopping(real: object) -> object:
        def step(*args: object, **more: object) -> object:
            calls[0] += 1
            if calls[0] == call:
                raise KeyboardInterrupt
            return real(*args, **more)  # type: ignore[operator]

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stopping(Path.unlink))
        patch.setattr(Path, "replace", stopping(Path.replace))
        patch.setattr(quarantine, "settle", stopping(quarantine.settle))
        with pytest.raises(KeyboardInterrupt):
            quarantine.merge_failures(table.folder)
    assert table.fingerprint() == before
    quarantine.merge_failures(table.folder)
    assert table.fingerprint() == before
    assert len(list(Path(table.folder).glob("failures/*"))) == 1


def test_failures_are_merged_in_groups_of_bounded_size(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        table.fail(failure(number))
        table.flush()
    size = max(path.stat().st_size for path in Path(table.folder).glob("failures/*"))
    monkeypatch.setattr(quarantine, "GROUP_BYTES", 4 * size)
    quarantine.merge_failures(table.folder)
    assert len(list(Path(table.folder).glob("failures/*"))) == 3
    assert len(table.contents().failures) == 10


@pytest.mark.parametrize("kind", ["features", "frames"])
def test_two_first_runs_at_once_make_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One takes the lock, and cleans up, while the other is writing the card."""
    made: list[object] = []
    threads: list[threading.Thread] = []
    sync = os.fsync

    def first_run() -> None:
        table: FeatureTable | FrameTable = (
            FeatureTable.open_or_create(tmp_path, CARD)
            if kind == "features"
            else FrameTable.open_or_create(tmp_path, FrameKind("toy", 3, {}))
        )
        with table.lock():
            made.append(table.folder)

    def sync_while_another_begins(handle: int) -> None:
        half = [*tmp_path.glob("*/.card.json.*"), *tmp_path.glob("*/.frames.json.*")]
        if half and not threads:
            threads.append(threading.Thread(target=first_run))
            threads[0].start()
            threads[0].join(0.5)
        sync(handle)

    monkeypatch.setattr(os, "fsync", sync_while_another_begins)
    first_run()
    threads[0].join(30)
    assert len(made) == 2
    assert made[0] == made[1]


def test_who_makes_a_table_waits_for_nobody_who_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(FeatureTable.open_or_create(tmp_path, CARD).folder)
    seen = iter([False])  # another makes it between a look and the lock
    real = subject.exists
    monkeypatch.setattr(subject, "exists", lambda path: next(seen, None) or real(path))
    monkeypatch.setattr(locking, "MAKING_SECONDS", 0.1)
    said: list[Path] = []

    def make() -> None:
        said.append(Path(FeatureTable.open_or_create(tmp_path, CARD).folder))

    with FeatureTable.open(folder).lock():
        thread = threading.Thread(target=make)
        thread.start()
        thread.join(10)
        assert said == [folder]


HOLD = """
import sys, time
from segue.store import FeatureTable
with FeatureTable.open(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_and_a_killed_one_lets_go(table: FeatureTable) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(table.folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []
        with (
            pytest.raises(StoreError, match=rf"within 0.2 seconds, got process {holder.pid} on "),
            table.lock(said.append, wait=0.2),
        ):
            pytest.fail("two processes hold the lock")
        assert len(said) == 1
        assert f"waiting for process {holder.pid} on " in said[0]
        kill = threading.Timer(0.5, holder.kill)
        kill.start()
        began = time.monotonic()
        with table.lock(said.append):
            assert 0.2 < time.monotonic() - began < 20
        assert len(said) == 2
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]


def test_a_free_lock_is_taken_without_a_word_and_twice_by_one_thread(table: FeatureTable) -> None:
    said: list[str] = []
    with table.lock(said.append), FeatureTable.open(table.folder).lock(said.append):
        fill(table, 1, 2)
        assert table.compact() == 2
    assert not said
    assert not (Path(table.folder) / ".writer.json").exists()


def test_threads_wait_for_each_other(table: FeatureTable) -> None:
    inside: list[int] = []
    most: list[int] = []

    def write(number: int) -> None:
        mine = FeatureTable.open(table.folder)
        with mine.lock():
            inside.append(number)
            most.append(len(inside))
            fill(mine, number)
            inside.remove(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 4
    assert {one.id for one in table.read()[0]} == {"t0", "t1", "t2", "t3"}


def test_what_killed_writers_left_is_removed(table: FeatureTable) -> None:
    fill(table, 1)
    fresh, stale = (Path(table.folder) / "shards" / f".{name}.partial" for name in ("new", "old"))
    for path in (fresh, stale):
        path.write_bytes(b"PAR1 half")
    long_ago = time.time() - 2 * 86400
    os.utime(stale, (long_ago, long_ago))
    again = FeatureTable.open_or_create(Path(table.folder).parent, CARD)
    assert (fresh.exists(), stale.exists()) == (True, False)  # another may be writing the new one
    assert [one.id for one in again.read()[0]] == ["t1"]
    with again.lock():
        assert not fresh.exists()


def test_a_folder_without_rights_has_no_lock(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    import filelock

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with (
        pytest.raises(StoreError, match=r"got Permission denied. Make the folder writable"),
        table.lock(),
    ):
        pytest.fail("there is no lock")


def test_large_features_do_not_wait_in_memory(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "SHARD_BYTES", 3 * 4 * 10)
    for number in range(25):
        table.append(row(number))
    assert (len(shards(table)), len(table.pending)) == (2, 5)
