"""The same work on a Ray cluster: Ray Data hands out batches of tracks, actors write the shards.

Features never travel to the driver. It sorts out what is settled, writes what is left to do as
Parquet, and hears only counts and reasons. Each actor decodes, encodes and writes a batch at a
time to the table's place, which every machine must reach under the same name, as it must the
audio files.

An actor does not decode in its own process: a worker process below it does, that of the local
engine, and is replaced when a decoder crashes or hangs it. So one bad file costs one file here
too. Ray would start an actor again that dies, but it cannot know which of its tracks did that.
When an actor is lost all the same, or its machine, another does its batch again.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from segue.datasets import Manifest, Track
from segue.errors import SegueError, UsageError
from segue.extraction.batches import Embedder, Keeper, counted, lists_of
from segue.extraction.crew import Crew, crew
from segue.extraction.limits import Limits
from segue.extraction.processes import available_cpus
from segue.extraction.run import EmbedReport, Progress, Run, Say
from segue.extraction.worker import Recipe, file_facts
from segue.files import Location
from segue.store import Failure, FeatureTable, FileFacts, Stored

log = logging.getLogger(__name__)

LOOK_ROWS = 8192  # tracks looked up at once
LOOKERS = 16  # threads that ask for size and time of files: over a network most of it is waiting
READ_CPUS = 0.1  # for tasks that read lists
OBJECT_STORE = 256 * 2**20  # bytes; nothing but lists goes through it
REACH_SECONDS = 10.0  # for a cluster that is to be joined
SOCKET_ROOM = 40  # characters of a folder that leave enough of a socket's 107 for Ray's names


def extract_with_ray(
    manifest: Manifest,
    table: FeatureTable,
    recipe: Recipe,
    *,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    limits: Limits | None = None,
    say: Say | None = None,
    address: str | None = None,
) -> EmbedReport:
    """What :func:`segue.extraction.extract` does, on a Ray cluster: the same features, bit by bit.

    Parameters
    ----------
    manifest : Manifest
        Its files must lie under the same paths on every machine.
    table : FeatureTable
        Of the recipe's card, at a place that every machine reaches: a shared folder or a URL.
    recipe : Recipe
        With ``device="cuda"`` each actor has a GPU, and processors decode for it.
    workers : int, optional
        Actors; by default one a processor of the cluster, or one a GPU.
    retry_failed : bool
        Try quarantined tracks again although their files are unchanged.
    progress : callable, optional
        Called with (done, quarantined, total) as often as a batch is written.
    limits : Limits, optional
        Time for each track, and memory of each machine.
    say : callable, optional
        Told in a sentence why nothing moves: another process is filling the table.
    address : str, optional
        Of a cluster that runs: ``"auto"``, ``"10.0.0.1:6379"``. Without it the one that this
        process has joined already, or that ``RAY_ADDRESS`` names; else one is started that ends
        with the run. It listens on the loopback interface alone, unless this process had imported
        Ray before.

    Raises
    ------
    UsageError
        Ray is not installed or cannot be reached; the cluster has not what the device needs; the
        table is in the memory of one process.
    StoreError
        The table cannot be read or written. Finished shards are kept.
    SegueError
        Worker processes cannot start, or the cluster fails. Finished shards are kept.
    KeyboardInterrupt
        Passed on. Finished shards are kept, the same call goes on from there.

    Examples
    --------
    >>> extract_with_ray(Manifest.from_rows([{"path": "a.wav"}]), None, Recipe("mfcc"), workers=0)
    Traceback (most recent call last):
    segue.errors.UsageError: wanted at least one worker, got 0. Use --workers 1.
    """
    if workers is not None and workers < 1:
        raise UsageError(wanted="at least one worker", got=str(workers), fix="Use --workers 1")
    (limits or Limits()).check()
    if str(table.folder).startswith("memory:"):
        raise UsageError(
            wanted="a place that several processes reach",
            got=str(table.folder),
            fix="Choose a folder or URL that all machines share, or the local engine",
        )
    with table.lock(say):
        run = RayRun(table, len(manifest), retry_failed=retry_failed, progress=progress)
        with lists_of(table, run.lines(manifest)) as (lists, tracks):
            run.tell()
            if tracks:
                with cluster(address):
                    hands = crew(_machines(), tracks=tracks, actors=workers, device=recipe.device)
                    log.info("%d actors, batches of %d tracks", hands.actors, hands.batch)
                    ask = _Ask.of(table) if len(run.index) else None
                    after_ns = run.index.latest_ns
                    reports = _work(lists, table, recipe, hands, limits or Limits(), ask, after_ns)
                    with closing(reports):  # before Ray ends: its tidying up would start it again
                        run.count(reports)
                if not isinstance(table.folder, Path):  # here, who takes the lock next merges
                    table.compact(alone=True)  # the actors are done
    done = run.report()
    return EmbedReport(**{one.name: getattr(done, one.name) for one in fields(done)}, table=table)


class RayRun(Run):
    """The state of one run, on the driver."""

    def lines(self, manifest: Manifest) -> Iterator[dict[str, Any]]:
        """What is to do, as lines of a list; what is settled is counted.

        Files are asked for size and time by many threads, and hashed by the actors: where a
        million rows are stored, most new files have a size that some of them has.
        """
        for tracks, looked in _looked_at(manifest.tracks()):
            for track, facts, found in zip(tracks, looked, self.index.look(looked), strict=True):
                if found == "done":
                    self.reused += 1
                elif isinstance(found, Failure) and not self.retry_failed:
                    self.failures.append(replace(found, facts=facts))
                else:
                    known = facts.exists and self.index.holds_size(facts.bytes)
                    yield {**track._asdict(), "path": facts.path, "known_size": known}
            self.tell()

    def count(self, reports: Iterable[pa.Table]) -> None:
        """Count what actors have written."""
        for report in reports:
            computed, moved, failures = counted(report)
            self.computed += computed
            self.reused += moved
            self.failures += failures
            self.tell()


def _looked_at(tracks: Iterator[Track]) -> Iterator[tuple[list[Track], list[FileFacts]]]:
    """Tracks by the thousand, with size and time of their files."""
    size = LOOK_ROWS // LOOKERS
    with ThreadPoolExecutor(LOOKERS) as threads:
        while some := list(islice(tracks, LOOK_ROWS)):
            parts = [some[begin : begin + size] for begin in range(0, len(some), size)]
            looked = threads.map(lambda part: [file_facts(track) for track in part], parts)
            yield some, [facts for part in looked for facts in part]


def _work(
    lists: Sequence[Location],
    table: FeatureTable,
    recipe: Recipe,
    hands: Crew,
    limits: Limits,
    ask: _Ask | None,
    after_ns: int,
) -> Generator[pa.Table]:
    """Reports of the batches, as actors finish them."""
    from ray.data import ActorPoolStrategy, DataContext, read_parquet

    if limits.memory is not None:
        limits = replace(limits, memory=limits.memory // hands.together)
    if recipe.device != "cpu":
        recipe = replace(recipe, device="cuda")  # whichever Ray lets the actor see
    paths, files = _for_ray(lists)
    with quietly(), _told_plainly(), DataContext.current(_settings()):
        # a table's place may hold a folder start=1, which is no column of the lists
        tracks = read_parquet(paths, filesystem=files, num_cpus=READ_CPUS, partitioning=None)
        batches = tracks.repartition(target_num_rows_per_block=hands.batch, strict=True)
        reports = batches.map_batches(
            Embedder,
            fn_constructor_args=(str(table.folder), recipe, limits, hands.workers, ask, after_ns),
            batch_size=hands.batch,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=hands.actors, max_tasks_in_flight_per_actor=2),
            num_cpus=hands.cpus,
            num_gpus=hands.gpus or None,
        )
        yield from reports.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _settings() -> Any:
    from ray.data import DataContext

    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = 0
    context.raise_original_map_exception = True  # ours say what to do
    return context


def _for_ray(lists: Sequence[Location]) -> tuple[list[str], Any]:
    """Paths and file system as Ray Data takes them."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    there = [one for one in lists if not isinstance(one, Path)]
    if not there:
        return [str(path) for path in lists], None
    return [path.path for path in there], PyFileSystem(FSSpecHandler(there[0].fs))


def _machines() -> list[dict[str, float]]:
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [one["Resources"] for one in nodes if one["Alive"]]


@dataclass(frozen=True, slots=True)
class _Ask:
    """How an actor asks the one that knows what content is stored."""

    keeper: Any

    @classmethod
    def of(cls, table: FeatureTable) -> _Ask:
        import ray

        # it only reads: when it is lost, it is started again and asked again
        keeper = ray.remote(Keeper).options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
        return cls(keeper.remote(str(table.folder)))

    def __call__(self, keys: Sequence[str]) -> list[Stored | None]:
        import ray

        found: list[Stored | None] = ray.get(self.keeper.stored.remote(keys))
        return found


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Ray, running: that of this process, that of an address, or one that ends with the run."""
    before = dict(os.environ)
    os.environ.update(environment(alone=not (address or "RAY_ADDRESS" in os.environ)))
    try:
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                wanted="Ray", got="it is not installed", fix="pip install 'segue[ray]'"
            ) from error
        if ray.is_initialized():
            _check_joined(address)
            yield
            return
        address = address or os.environ.get("RAY_ADDRESS")
        with _joined(address) if address else _started():
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def environment(*, alone: bool) -> dict[str, str]:
    """What Ray reads when it is imported and started."""
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal"),
    }
    if alone:
        wanted["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # listen on the loopback interface alone
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            wanted["RAY_AUTH_TOKEN"] = _token()  # without one, Ray leaves one in the home folder
    return wanted


@cache
def _token() -> str:
    return secrets.token_hex(32)  # one a process: Ray reads it once


def _check_joined(address: str | None) -> None:
    import ray

    joined = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", joined):
        raise UsageError(
            wanted=f"the Ray cluster {address}",
            got=f"a process that has joined {joined}",
            fix="Call ray.shutdown() first, or leave the address out",
        )


@contextmanager
def _joined(address: str) -> Iterator[None]:
    import ray

    try:
        _reach(address)
        with _hushed():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise UsageError(
            wanted="a Ray cluster that can be joined",
            got=_last_line(error),
            fix="Check the address, and that `ray start` has run there",
            source=address,
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Fail where nobody listens: Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


@contextmanager
def _started() -> Iterator[None]:
    import ray

    base = tempfile.gettempdir()
    if os.name == "posix" and len(base) > SOCKET_ROOM:
        base = "/tmp"  # noqa: S108
    folder = tempfile.mkdtemp(prefix="segue-ray-", dir=base)
    try:
        try:
            with _hushed():
                ray.init(
                    address="local",
                    num_cpus=max(2, available_cpus()),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _temp_dir=folder,
                )
        except RuntimeError as error:
            raise SegueError(
                wanted="a Ray cluster on this machine",
                got=_last_line(error),
                fix="Free memory and disk space, or use the local engine",
            ) from error
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _hushed() -> Iterator[None]:
    """Standard error closed for a moment: Ray's own libraries write there past Python."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def quietly() -> Iterator[None]:
    """What Ray Data has to say goes to its own files."""
    before = {name: logging.getLogger(name).level for name in ("ray", "ray.data")}
    try:
        for name in before:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are raised, too
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"ray\.")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _told_plainly() -> Iterator[None]:
    """An error of an actor is raised as what it was; one of Ray as one of ours."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, SegueError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            raise cause from None
        raise SegueError(
            wanted="a Ray cluster that does the work",
            got=_last_line(error),
            fix="Run the same command again: what was written is kept",
        ) from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
