"""Indexes of tables: what contents tell, in columns; fingerprints: what is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.errors import StoreError
from segue.store import Contents, Failure, FeatureTable, FileFacts, Index, Stored
from segue.store import index as subject
from segue.store import table as tables
from segue.store.index import Seen
from store_toys import CARD, facts, failure, row


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    return FeatureTable.open_or_create(tmp_path / "store", CARD)


def expected(contents: Contents, tracks: Sequence[FileFacts]) -> list[Seen]:
    """What an index should say, track by track."""
    seen: list[Seen] = []
    for one in tracks:
        failed, stored = contents.failures.get(one.place), contents.rows.get(one.place)
        if failed is not None:
            seen.append(failed if failed.facts.same_file(one) else None)
        else:
            seen.append("done" if stored is not None and stored.facts.same_file(one) else None)
    return seen


def scramble(table: FeatureTable, seed: int) -> list[FileFacts]:
    """Write rows and failures of a few places again and again; tracks to ask for."""
    draws = np.random.default_rng(seed)
    tracks: list[FileFacts] = []
    for _ in range(300):
        number = int(draws.integers(20))
        one = replace(
            facts(number),
            mtime_ns=int(draws.integers(2)),
            start=float(draws.integers(2)),
            duration=None if draws.random() < 0.5 else float(draws.integers(2)),
        )
        tracks.append(one)
        if draws.random() < 0.25:
            table.fail(replace(failure(number), facts=one))
        elif draws.random() < 0.8:
            key = f"k{int(draws.integers(30))}"
            table.append(replace(row(number), facts=one, key=key))
        if draws.random() < 0.1:
            table.flush()
    table.flush()
    return tracks


@pytest.mark.parametrize("seed", range(3))
def test_an_index_says_what_contents_say(table: FeatureTable, seed: int) -> None:
    tracks = [*scramble(table, seed), facts(99), replace(facts(1), bytes=-1, mtime_ns=-1)]
    contents = table.contents()
    for index in (table.index(), Index.of(contents)):
        assert index.look(tracks) == expected(contents, tracks)
        assert len(index) == len(contents.rows)
        assert index.failures == contents.failures
        for number in range(31):
            latest: Stored | None = max(
                (one for one in contents.rows.values() if one.key == f"k{number}"),
                key=lambda one: one.written_ns,
                default=None,
            )
            assert index.stored(f"k{number}") == latest
        held = {one.facts.bytes for one in contents.rows.values()}
        assert [index.holds_size(size) for size in range(-1, 30)] == (
            [size in held for size in range(-1, 30)]
        )


def test_an_empty_index(table: FeatureTable) -> None:
    index = table.index()
    assert index.look([]) == []
    assert index.look([facts(1)]) == [None]
    assert (len(index), index.stored("k1"), index.holds_size(0)) == (0, None, False)
    table.fail(failure(1))
    table.flush()
    assert table.index().look([facts(1)]) == [failure(1)]


def test_keys_of_one_hash_are_told_apart(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (subject, tables, __import__("segue.store.shards", fromlist=["key_hash"])):
        monkeypatch.setattr(module, "key_hash", lambda key: b"the same", raising=False)
    for number in (1, 2, 3):
        table.append(row(number))
        table.flush()
    index = table.index()
    assert [index.stored(f"k{number}").facts for number in (1, 2, 3)] == (  # type: ignore[union-attr]
        [facts(1), facts(2), facts(3)]
    )
    assert index.stored("k4") is None


def test_places_whose_hashes_begin_alike_are_told_apart(
    table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subject.place_hash

    def alike(place: subject.Place) -> bytes:
        return b"the same" + real(place)[8:]

    for module in (subject, __import__("segue.store.shards", fromlist=["place_hash"])):
        monkeypatch.setattr(module, "place_hash", alike)
    for number in (1, 2):
        table.append(row(number, 1.0))
        table.append(row(number, 2.0))
    table.flush()
    index = table.index()
    assert len(index) == 2
    assert index.look([facts(1), facts(2), facts(3)]) == ["done", "done", None]
    assert table.rows_of([index.stored("k1")])[0].features[1] == 2.0  # type: ignore[list-item]


def test_an_index_takes_less_than_a_hundred_bytes_a_row(table: FeatureTable) -> None:
    for number in range(3000):
        table.append(row(number))
    table.flush()
    assert table.index().nbytes < 100 * 3000


def test_a_row_is_not_taken_for_another_one(table: FeatureTable) -> None:
    table.append(row(1))
    table.flush()
    stored = table.index().stored("k1")
    assert stored is not None
    with pytest.raises(StoreError, match="wanted the row of other, got one of k1"):
        table.rows_of([replace(stored, key="other")])


def test_equal_tables_have_equal_fingerprints(tmp_path: Path) -> None:
    first = FeatureTable.open_or_create(tmp_path / "first", CARD)
    for number in range(20):
        first.append(row(number))
    first.fail(failure(30))
    first.flush()
    second = FeatureTable.open_or_create(tmp_path / "second", CARD)
    second.append(row(3, 9.0))  # written again below
    second.fail(failure(4))  # mended below
    second.fail(failure(30, "another reason, said earlier"))
    for number in reversed(range(20)):
        second.append(row(number))
        if number % 7 == 0:
            second.flush()
    second.fail(failure(30))
    second.flush()
    assert first.fingerprint() == second.fingerprint()
    assert len(first.fingerprint()) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"facts": replace(facts(1), id="other")},
        {"facts": replace(facts(1), line=7)},
        {"facts": replace(facts(1), bytes=7)},
        {"facts": replace(facts(1), mtime_ns=7)},
        {"facts": replace(facts(1), start=0.5)},
        {"facts": replace(facts(1), duration=0.5)},
        {"facts": replace(facts(1), path="/elsewhere.wav")},
        {"key": "other"},
        {"source_rate": 7},
        {"source_channels": 7},
        {"seconds": 7.0},
        {"decoder": "other"},
        {"features": np.array([1, 0, np.nextafter(np.float32(-1), np.float32(0))], np.float32)},
        None,
    ],
)
def test_any_difference_changes_the_fingerprint(
    tmp_path: Path, change: dict[str, object] | None
) -> None:
    prints = []
    for name, changes in (("first", {}), ("second", change)):
        table = FeatureTable.open_or_create(tmp_path / name, CARD)
        if changes is not None:
            table.append(replace(row(1), **changes))
        table.append(row(2))
        table.fail(failure(3))
        table.flush()
        prints.append(table.fingerprint())
    assert prints[0] != prints[1]


@pytest.mark.parametrize("other", [None, failure(1, "other"), replace(failure(1), stage="open")])
def test_failures_are_part_of_the_fingerprint(table: FeatureTable, other: Failure | None) -> None:
    table.fail(failure(1))
    table.flush()
    before = table.fingerprint()
    if other is None:
        table.append(row(1))
    else:
        table.fail(other)
    table.flush()
    assert table.fingerprint() != before
