"""Stores behind addresses: the same tables, through fsspec."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import fsspec
import pyarrow as pa
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

from segue.datasets import Manifest
from segue.errors import StoreError, UsageError
from segue.extraction import Limits, Recipe, ray_backend
from segue.extraction.batches import Embedder
from segue.extraction.crew import Crew
from segue.files import entries, exists, folder, write_atomically
from segue.store import FeatureTable, choose_table, tables
from segue.store import table as table_module
from store_toys import CARD, facts, failure, row


@pytest.fixture(params=["memory", "file", "path"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        name = uuid.uuid4().hex
        yield f"memory://{name}/store"
        fsspec.filesystem("memory").rm(f"/{name}", recursive=True)
    else:
        yield f"file://{tmp_path}/store" if request.param == "file" else f"{tmp_path}/store"


def test_a_table_behind_an_address_is_a_table(store: str) -> None:
    table = FeatureTable.open_or_create(store, CARD)
    assert tables(store)[0].folder == table.folder
    with table.lock():
        for number in range(5):
            table.append(row(number))
            table.flush()
        table.fail(failure(9))
        table.flush()
    again = FeatureTable.open_or_create(store, CARD)
    assert again.folder == table.folder
    assert [one.id for one in again.read()[0]] == [f"t{number}" for number in range(5)]
    X, there = again.matrix([facts(3), facts(9)])
    assert (X[0, 0], there.tolist()) == (3.0, [True, False])
    index = again.index()
    assert index.look([facts(3), facts(9), facts(10)]) == ["done", failure(9), None]
    stored = index.stored("k3")
    assert stored is not None
    assert again.rows_of([stored])[0].facts == facts(3)
    assert choose_table(store).card == CARD
    assert choose_table(table.folder).card == CARD


def test_a_table_has_one_fingerprint_wherever_it_lies(store: str, tmp_path: Path) -> None:
    prints = []
    for place in (store, tmp_path / "beside"):
        table = FeatureTable.open_or_create(place, CARD)
        table.append(row(1))
        table.fail(failure(2))
        table.flush()
        prints.append(table.fingerprint())
    assert prints[0] == prints[1]


def test_nothing_is_merged_behind_an_address_unless_asked_to() -> None:
    store = f"memory://{uuid.uuid4().hex}/store"
    table = FeatureTable.open_or_create(store, CARD)
    for number in (1, 2):
        table.append(row(number))
        table.flush()
        table.fail(failure(number + 10))
    table.flush()
    before = table.fingerprint()
    assert table.compact() == 0
    with table.lock():
        assert len(entries(table.folder / "shards")) == 2
    assert table.compact(alone=True) == 2
    assert len(entries(table.folder / "shards")) == len(entries(table.folder / "failures")) == 1
    assert FeatureTable.open(table.folder).fingerprint() == before


def test_two_writers_behind_an_address_both_keep_their_rows() -> None:
    store = f"memory://{uuid.uuid4().hex}/store"
    first, second = (FeatureTable.open_or_create(store, CARD) for _ in range(2))
    with first.lock(), second.lock(wait=0):
        for number in range(20):
            (first, second)[number % 2].append(row(number))
            first.flush()
            second.flush()
    assert len(first.read()[0]) == len(second.read()[0]) == 20


def test_a_damaged_shard_behind_an_address_is_named() -> None:
    table = FeatureTable.open_or_create(f"memory://{uuid.uuid4().hex}/store", CARD)
    table.append(row(1))
    table.flush()
    (shard,) = entries(table.folder / "shards")
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(StoreError, match=rf"{shard.name}: wanted a whole shard"):
        table.read()


def test_nothing_is_found_where_nothing_is() -> None:
    store = f"memory://{uuid.uuid4().hex}/absent"
    assert tables(store) == []
    with pytest.raises(StoreError, match=rf"{store}.*got no tables"):
        choose_table(store)
    with pytest.raises(StoreError, match="wanted a feature table"):
        FeatureTable.open(store)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://bucket/store", "Install s3fs.*pip install 's3fs'"),
        ("gs://bucket/store", "gcsfs.*pip install 'gcsfs'"),
        ("nosuch://bucket/store", "nosuch://, which is no file system.*Check the spelling"),
        (Path("s3://bucket/store"), "a slash is lost.*Give it as a str"),
    ],
)
def test_addresses_that_cannot_be_used_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, address: str | Path, message: str
) -> None:
    for driver in ("s3fs", "gcsfs"):  # whether they are installed here or not
        monkeypatch.setitem(__import__("sys").modules, driver, None)
    for ask in (folder, tables, lambda place: FeatureTable.open_or_create(place, CARD)):
        with pytest.raises(UsageError, match=message):
            ask(address)  # type: ignore[operator]


class Shelf(LocalFileSystem):
    """A file system of files and renames behind an address, as sftp or hdfs are."""

    protocol = "shelf"
    full = False

    def mv(self, path1: str, path2: str, **more: object) -> None:
        if Shelf.full:
            raise RuntimeError("quota")  # drivers have errors of their own
        super().mv(path1, path2, **more)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(str(path).removeprefix("shelf://")))


@pytest.mark.filterwarnings("ignore:UPath 'shelf'")
def test_elsewhere_files_are_written_beside_and_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    there = folder(f"shelf://{tmp_path}")
    assert isinstance(there, UPath)
    assert write_atomically(there / "new" / "a.txt", b"first").read_bytes() == b"first"
    monkeypatch.setattr(Shelf, "full", True)
    with pytest.raises(StoreError, match=r"RuntimeError: quota. Free space"):
        write_atomically(there / "new" / "a.txt", b"second")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"first"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


class Shared(MemoryFileSystem):
    """Memory that is taken for a place of several processes; its server may refuse to answer."""

    protocol = "shared"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    refusing = False
    isfile = AbstractFileSystem.isfile  # which takes a refusal for absence, as of most drivers

    def info(self, path: str, **more: object) -> dict[str, object]:
        if Shared.refusing:
            raise PermissionError("token expired")
        found: dict[str, object] = super().info(path, **more)
        return found


@pytest.fixture
def shared() -> str:
    fsspec.register_implementation("shared", Shared, clobber=True)
    return f"shared://{uuid.uuid4().hex}/store"


@pytest.mark.filterwarnings("ignore:UPath 'shared'")
def test_a_refusal_is_not_taken_for_absence(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = FeatureTable.open_or_create(shared, CARD)
    monkeypatch.setattr(Shared, "refusing", True)
    for ask in (
        lambda: exists(table.folder / "card.json"),
        lambda: tables(shared),
        lambda: choose_table(shared),
        lambda: FeatureTable.open_or_create(shared, CARD),
    ):
        with pytest.raises(StoreError, match="token expired"):
            ask()
    monkeypatch.setattr(Shared, "refusing", False)
    assert exists(table.folder / "card.json")
    assert not exists(table.folder / "none.json")
    assert not exists(table.folder)


@pytest.mark.filterwarnings("ignore:UPath 'shared'")
def test_a_cluster_is_told_the_time_and_what_it_wrote_is_merged(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors whose clocks are behind write behind an address; here they are no processes."""
    table = FeatureTable.open_or_create(shared, CARD)
    table.fail(failure(1))
    table.flush()

    def work(lists: object, table: FeatureTable, *rest: object) -> Iterator[pa.Table]:
        after_ns = rest[-1]
        assert isinstance(after_ns, int)
        for number in (1, 2):
            actor = Embedder(str(table.folder), Recipe("mfcc"), Limits(), after_ns=after_ns)
            actor.table.append(row(number))
            actor.table.flush()
            yield pa.Table.from_pylist([{"computed": 1, "moved": 0, "failures": "[]"}])

    hands = Crew(actors=2, cpus=1, gpus=0, workers=1, batch=1, together=2)
    monkeypatch.setattr(ray_backend, "_work", work)
    monkeypatch.setattr(ray_backend, "cluster", nullcontext)
    monkeypatch.setattr(ray_backend, "_machines", list)
    monkeypatch.setattr(ray_backend, "crew", lambda *_, **__: hands)
    monkeypatch.setattr(table_module.time, "time_ns", lambda: 5)
    music = Manifest.from_rows([{"path": str(tmp_path / f"{number}.wav")} for number in (1, 2)])
    report = ray_backend.extract_with_ray(music, table, Recipe("mfcc"))
    assert (report.computed, report.quarantined) == (2, 0)
    assert {one.id for one in table.read()[0]} == {"t1", "t2"}
    assert not table.contents().failures
    assert len(entries(table.folder / "shards")) == 1


def test_errors_of_a_driver_become_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = type(fsspec.filesystem("memory"))

    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("no credentials")

    table = FeatureTable.open_or_create(f"memory://{uuid.uuid4().hex}/store", CARD)
    table.append(row(1))
    for method, ask in (
        ("ls", table.flush),
        ("pipe_file", table.flush),
        ("info", lambda: tables(table.folder.parent)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(memory, method, refused)
            with pytest.raises(StoreError, match="no credentials"):
                ask()
    table.flush()
    assert len(table.read()[0]) == 1
