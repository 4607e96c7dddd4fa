"""Filling a store on a Ray cluster: the same bits as the local engine, whatever is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from fsspec.implementations.local import LocalFileSystem

from segue.datasets import Manifest, from_folder
from segue.encoders import Encoder, encoder
from segue.errors import StoreError, UsageError
from segue.extraction import Limits, Recipe, extract
from segue.extraction import ray_backend as backend
from segue.extraction.batches import LIST, Embedder, Keeper, counted, lists_of
from segue.extraction.crew import crew
from segue.extraction.ray_backend import extract_with_ray
from segue.extraction.worker import Outcome, Task
from segue.files import entries
from segue.store import FeatureTable

MFCC = Recipe("mfcc")
SUFFIXES = {".wav", ".mp3"}


@dataclass(frozen=True, slots=True)
class Awkward(Recipe):
    """As the recipe of MFCC, but for names that end the process, hang it, or take their time."""

    name: str = "mfcc"

    def process(self, tasks: Sequence[Task], encoder: Encoder) -> list[Outcome]:
        for task in tasks:
            if "killer" in task.track.path.name:
                os.kill(os.getpid(), signal.SIGKILL)
            if "sleeper" in task.track.path.name:
                time.sleep(600)
            if "slow" in task.track.path.name:
                time.sleep(0.1)
        done = Recipe.process(self, tasks, encoder)
        if "SEGUE_TEST_SHARED" in os.environ:
            with Path(os.environ["SEGUE_TEST_SHARED"], f"{os.getpid()}.done").open("a") as file:
                file.write("." * len(tasks))
        return done


class Shared(LocalFileSystem):
    """A file system behind a URL that several processes reach, as s3:// would be."""

    protocol = "shared"

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        root, name = os.environ["SEGUE_TEST_SHARED"], str(path).removeprefix("shared://")
        return name if name.startswith(root) else f"{root}/{name.lstrip('/')}"


fsspec.register_implementation("shared", Shared, clobber=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray with two processors; its processes can import this module."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv("SEGUE_TEST_SHARED", folder)
        for name, value in backend.environment(alone=True).items():
            patch.setenv(name, value)
        import ray

        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        try:
            yield
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory, clip: Callable[..., Any]) -> Path:
    """Sixty short clips and three files that are none."""
    folder = tmp_path_factory.mktemp("tracks")
    for number in range(60):
        suffix = ("wav", "mp3")[number % 2]
        soundfile.write(folder / f"{number:02}.{suffix}", clip(number, 2.0, 16000), 16000)
    (folder / "empty.wav").touch()
    (folder / "text.mp3").write_text("no music")
    soundfile.write(folder / "silent.wav", np.zeros(32000), 16000)
    return folder


def table_at(place: str | Path, recipe: Recipe = MFCC) -> FeatureTable:
    card = encoder(recipe.name, layers=recipe.layers, chunks=recipe.chunks).card
    return FeatureTable.open_or_create(place, card)


def found_in(folder: Path) -> Manifest:
    return from_folder(folder, suffixes=SUFFIXES)


def counts(done: Any) -> tuple[int, int, int]:
    return done.computed, done.reused, done.quarantined


def same_tables(manifest: Manifest, there: FeatureTable, here: FeatureTable, recipe: Recipe) -> Any:
    """Fill one table on the cluster and the other here; what was done, which must be the same."""
    limits = Limits(seconds=3.0)
    done = extract_with_ray(manifest, there, recipe, limits=limits)
    expected = extract(manifest, here, recipe, workers=1, limits=limits)
    assert counts(done) == counts(expected)
    assert done.by_stage() == expected.by_stage()
    assert there.fingerprint() == here.fingerprint()
    assert entries(there.folder / "waiting") == []
    return done


def test_the_table_is_that_of_the_local_engine(cluster: None, tracks: Path, tmp_path: Path) -> None:
    recipe = Recipe("random-convnet")
    here, there = table_at(tmp_path / "here", recipe), table_at(tmp_path / "there", recipe)
    done = same_tables(found_in(tracks), there, here, recipe)
    assert counts(done) == (60, 0, 3)
    assert len(entries(there.folder / "shards")) == 4  # of a batch each
    X = there.read()[1]
    assert len(np.unique(X, axis=0)) == 60


@pytest.mark.filterwarnings("ignore:UPath 'shared' filesystem")
def test_behind_a_url_too_a_file_that_kills_or_hangs_a_process_costs_itself_alone(
    cluster: None, tracks: Path, tmp_path: Path
) -> None:
    music = shutil.copytree(tracks, tmp_path / "music")
    shutil.copy(music / "02.wav", music / "17-killer.wav")
    shutil.copy(music / "02.wav", music / "33-sleeper.wav")
    there = table_at("shared://bucket/store")
    done = same_tables(found_in(music), there, table_at(tmp_path / "here"), Awkward())
    assert counts(done) == (60, 0, 5)
    stages = {failure.facts.id: failure.stage for failure in done.failures}
    assert (stages["17-killer.wav"], stages["33-sleeper.wav"]) == ("crash", "timeout")


def test_a_second_run_only_does_what_is_new(cluster: None, tracks: Path, tmp_path: Path) -> None:
    music = shutil.copytree(tracks, tmp_path / "music")
    extract(found_in(music), table_at(tmp_path / "here"), MFCC)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = table_at(tmp_path / "here"), table_at(tmp_path / "there")
    shutil.move(music / "04.wav", music / "moved.wav")
    shutil.copy(music / "05.mp3", music / "copied.mp3")
    shutil.copy(tracks / "06.wav", music / "empty.wav")  # mended
    shutil.copy(tracks / "08.wav", music / "10.wav")  # replaced
    samples, rate = soundfile.read(tracks / "12.wav")
    soundfile.write(music / "new.wav", samples[::-1], rate)  # of a size that is stored
    expected = extract(found_in(music), here, MFCC, retry_failed=True)
    done = extract_with_ray(found_in(music), there, MFCC, retry_failed=True)
    assert counts(done) == counts(expected) == (1, 62, 2)
    assert there.fingerprint() == here.fingerprint()
    began = time.monotonic()
    assert counts(extract_with_ray(found_in(music), there, MFCC)) == (0, 63, 2)
    assert time.monotonic() - began < 2  # without a single actor


def test_a_folder_named_like_a_column_is_no_column(
    cluster: None, tracks: Path, tmp_path: Path
) -> None:
    there = table_at(tmp_path / "start=1" / "line=2" / "_store")
    done = same_tables(found_in(tracks), there, table_at(tmp_path / "here"), MFCC)
    assert counts(done) == (60, 0, 3)


def actors(name: str = "MapWorker") -> list[psutil.Process]:
    """The actors of this process's cluster."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # some come and go
            if name in "".join(one.cmdline()):
                found.append(one)
    return found


def test_killing_whoever_knows_what_is_stored_loses_nothing(cluster: None, tmp_path: Path) -> None:
    music, stored = tmp_path / "music", tmp_path / "stored"
    music.mkdir()
    stored.mkdir()
    for number in range(145):  # all of a size that is stored, so that each batch asks
        samples = np.random.default_rng(number).normal(0, 0.1, 12000)
        soundfile.write((music if number else stored) / f"{number}.wav", samples, 12000)
    table, expected = table_at(tmp_path / "store"), table_at(tmp_path / "expected")
    extract(found_in(stored), table, MFCC, workers=1)
    killed: list[int] = []

    def kill(done: int, quarantined: int, total: int) -> None:
        for one in actors("Keeper"):
            one.kill()
            killed.append(one.pid)

    done = extract_with_ray(found_in(music), table, MFCC, workers=2, progress=kill)
    assert len(killed) > 1
    assert counts(done) == (144, 0, 0)
    extract(found_in(stored), expected, MFCC, workers=1)
    extract(found_in(music), expected, MFCC, workers=1)
    assert table.fingerprint() == expected.fingerprint()


def at_work() -> psutil.Process:
    """A worker process below some actor that is past its first tracks."""
    folder, deadline = Path(os.environ["SEGUE_TEST_SHARED"]), time.monotonic() + 30
    while time.monotonic() < deadline:
        for actor in actors():
            with contextlib.suppress(psutil.NoSuchProcess):
                for worker in actor.children(recursive=True):
                    done = folder / f"{worker.pid}.done"
                    if done.exists() and done.stat().st_size % 16 in range(3, 8):
                        return worker
        time.sleep(0.02)
    raise AssertionError("no worker process came to work")


def test_killing_an_actor_and_a_worker_process_loses_and_doubles_nothing(
    cluster: None, tracks: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int, int]] = []
    music = tmp_path / "music"
    music.mkdir()
    for path in tracks.iterdir():
        shutil.copy(path, music / f"slow-{path.name}")
    killed: list[int] = []

    def kill(done: int, quarantined: int, total: int) -> None:
        seen.append((done, quarantined, total))
        if not killed and done >= 16:
            victim = at_work()
            victim.kill()
            killed.append(victim.pid)
        elif len(killed) == 1 and done >= 32:
            victim = actors()[0]
            victim.kill()
            killed.append(victim.pid)

    table, expected = table_at(tmp_path / "store"), table_at(tmp_path / "expected")
    done = extract_with_ray(found_in(music), table, Awkward(), workers=2, progress=kill)
    assert len(killed) == 2
    assert counts(done) == (60, 0, 3)
    extract(found_in(music), expected, MFCC, workers=1)
    assert table.fingerprint() == expected.fingerprint()
    facts, X = table.read()
    assert len(X) == len({one.path for one in facts}) == 60
    assert (seen[0], seen[-1]) == ((0, 0, 63), (60, 3, 63))
    assert len(set(seen)) > 3


def test_an_error_of_an_actor_is_raised_as_what_it_was(
    cluster: None, tracks: Path, tmp_path: Path
) -> None:
    table = table_at(tmp_path / "store")
    shutil.rmtree(table.folder / "shards")
    (table.folder / "shards").write_text("in the way")
    with pytest.raises(StoreError, match="wanted to write"):
        extract_with_ray(found_in(tracks), table, MFCC)
    assert not list((table.folder / "waiting").iterdir())


def test_an_embedder_writes_to_memory_too(tracks: Path, tmp_path: Path) -> None:
    """What an actor does, in this process: files in memory are no other's."""
    table = table_at(f"memory://{tmp_path.name}/store")
    lines = [
        {**track._asdict(), "path": str(track.path), "known_size": False}
        for track in found_in(tracks).tracks()
    ]
    with lists_of(table, iter(lines)) as (files, count):
        assert count == 63
        with files[0].open("rb") as file:
            batch = pq.read_table(file)
    work = Embedder(str(table.folder), MFCC, Limits())
    computed, moved, failures = counted(work(batch))
    assert (computed, moved, len(failures)) == (60, 0, 3)
    expected = table_at(tmp_path / "expected")
    extract(found_in(tracks), expected, MFCC, workers=1)
    assert table.fingerprint() == expected.fingerprint()
    keeper = Keeper(str(table.folder))
    known = table.contents().usable()[0]
    assert keeper.stored([known.key, "nothing"]) == [known, None]


OWN_CLUSTER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
from pathlib import Path
from segue.datasets import from_folder
from segue.encoders import encoder
from segue.extraction.ray_backend import extract_with_ray
from segue.files import entries
from segue.store import FeatureTable
from test_ray_backend import Awkward
table = FeatureTable.open_or_create(Path(sys.argv[2]), encoder("mfcc").card)
extract_with_ray(from_folder(sys.argv[1], suffixes={".wav"}), table, Awkward(), workers=2,
                 progress=lambda done, failed, total: print(done, flush=True))
"""


def test_ctrl_c_stops_the_cluster_it_started_and_keeps_what_was_written(
    tracks: Path, tmp_path: Path
) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for number in range(200):
        shutil.copy(tracks / f"{2 * (number % 30):02}.wav", music / f"slow-{number}.wav")
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_CLUSTER, str(music), str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    while line := process.stdout.readline():
        if int(line) > 0:
            break
    family = psutil.Process(process.pid).children(recursive=True)
    addresses = set()
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):  # some come and go
            places = [one for one in member.net_connections("tcp") if one.status == "LISTEN"]
            addresses |= {one.laddr.ip.removeprefix("::ffff:") for one in places}
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.startswith("Traceback"), errors  # of Ray not a word
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    assert errors.count("Traceback") == 1, errors
    assert addresses == {"127.0.0.1"}
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    table, expected = table_at(tmp_path / "store"), table_at(tmp_path / "expected")
    kept = len(table.read()[0])
    assert 16 <= kept < 200
    resumed = extract(found_in(music), table, MFCC)
    assert resumed.reused >= kept
    extract(found_in(music), expected, MFCC)
    assert table.fingerprint() == expected.fingerprint()


def test_what_cannot_be_done_is_told_before_it_is_begun(
    tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, table = found_in(tracks), table_at(tmp_path / "store")
    with pytest.raises(UsageError, match="at least one worker"):
        extract_with_ray(manifest, table, MFCC, workers=0)
    with pytest.raises(UsageError, match="time limit"):
        extract_with_ray(manifest, table, MFCC, limits=Limits(seconds=0.0))
    with pytest.raises(UsageError, match="a place that several processes reach"):
        extract_with_ray(manifest, table_at("memory://bucket/other"), MFCC)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'segue\[ray\]'"):
        extract_with_ray(manifest, table, MFCC)


def test_a_cluster_that_cannot_be_joined_is_told_at_once(
    cluster: None, tracks: Path, tmp_path: Path
) -> None:
    table, address = table_at(tmp_path / "store"), "127.0.0.1:1"
    with pytest.raises(UsageError, match=r"cluster 127\.0\.0\.1:1, got a process that has joined"):
        extract_with_ray(found_in(tracks), table, MFCC, address=address)
    with (
        pytest.raises(UsageError, match=r"^127\.0\.0\.1:1: wanted a Ray cluster .* refused"),
        backend._joined(address),
    ):
        pass


def test_the_cluster_must_have_what_the_device_needs() -> None:
    with pytest.raises(UsageError, match="two CPUs and a GPU, got 1 machines, none"):
        crew([{"CPU": 8}], tracks=100, device="cuda")
    with pytest.raises(UsageError, match="two CPUs, got 2 machines, none"):
        crew([{"CPU": 1}, {"CPU": 1}], tracks=100)


@pytest.mark.parametrize("cpus", [2, 3, 4, 8, 64, 96])
@pytest.mark.parametrize("machines", [1, 7])
@pytest.mark.parametrize("asked", [None, 1, 50, 1000])
def test_as_many_processors_are_left_as_there_are_machines(
    cpus: int, machines: int, asked: int | None
) -> None:
    found = crew([{"CPU": cpus}] * machines, tracks=10**6, actors=asked)
    assert found.actors == (asked or cpus * machines)
    assert round(found.actors * found.cpus, 3) <= machines * (cpus - 1)
    assert 16 <= found.batch <= 1024


def test_memory_is_shared_by_the_actors_there_are() -> None:
    assert crew([{"CPU": 16}], tracks=10**6).together == 16
    assert crew([{"CPU": 16}], tracks=10**6, actors=2).together == 2
    assert crew([{"CPU": 64}], tracks=40).together == 3
    assert crew([{"CPU": 4}] * 2, tracks=10**6, actors=20).together == 10


def test_of_a_batch_each_track_that_was_moved_is_counted(tracks: Path, tmp_path: Path) -> None:
    """Two tracks of one file are two."""
    table = table_at(tmp_path / "store")
    extract(found_in(tracks), table, MFCC, workers=1)
    moved = shutil.copy(tracks / "00.wav", tmp_path / "moved.wav")
    rows = [{"path": str(moved), "id": name} for name in ("a", "b")]
    lines = [
        {**track._asdict(), "path": str(track.path), "known_size": True}
        for track in Manifest.from_rows(rows).tracks()
    ]
    ask = Keeper(str(table.folder)).stored
    work = Embedder(str(table.folder), MFCC, Limits(), ask=ask)
    assert counted(work(pa.Table.from_pylist(lines, schema=LIST))) == (0, 2, [])
