"""Runs that are killed, run out of disk, or meet each other; what is left of them, as JSON.

    python kill_driver.py MUSIC FOLDER

Loads the libraries once, and forks a process for each run. All draws come from fixed seeds.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from segue.encoders import encoder
from segue.errors import StoreError
from segue.extraction import run
from segue.seeds import generator
from segue.store import FeatureTable, table
from segue.workflows import embed

WAYS = ("step", "step", "inside", "inside", "moment")
KILLS, POOL_KILLS, FULL = 50, 2, 10
SECONDS = 0.15  # about what a whole run takes
STEPS = 42  # syncs, renames and removals of a run: about so many
MERGING = (4, 14)  # of a run that finds small shards, about those that merge them
STORE_STEPS = ("os.rename", "os.remove")
WRITING = os.O_WRONLY | os.O_RDWR
CUT = -signal.SIGXFSZ  # the system ends a process in the middle of a write


def frequent_writing() -> None:
    """Many small shards, and merging them often: what takes days elsewhere."""
    run.FLUSH_SECONDS = 0.0  # a shard every eight rows
    table.SHARD_ROWS = 40
    table.MANY_SHARDS = 2


def forked(work: Callable[[], Any]) -> int:
    """A process that does some work and says what came of it in its exit code."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        torch.set_num_threads(1)
        frequent_writing()
        work()
        code = 0
    except StoreError as error:
        code = 3 if "Free space" in str(error) else 4
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(process: int) -> int:
    """Exit code of a process; the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_at(step: int) -> None:
    """End this process as kill -9 does before its n-th sync, rename or removal of a file."""
    left, sync = [step], os.fsync

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_sync(handle: int) -> None:
        count()
        sync(handle)

    os.fsync = counted_sync
    sys.addaudithook(lambda event, _: count() if event in STORE_STEPS else None)


def kill_inside(opening: int, size: int, store: Path) -> None:
    """End this process in the middle of a write: from the n-th file on, none takes so many bytes.

    The system does it, whichever way the file is written.
    """
    left, inside = [max(1, opening)], f"{store}{os.sep}"
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def count(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or not str(args[0]).startswith(inside) or not args[2] & WRITING:
            return
        left[0] -= 1
        if left[0] == 0:
            limited(size)

    sys.addaudithook(count)


def count_merged(told: Path) -> None:
    """Note each time that shards were merged, even if the process is killed then."""
    merge = table.compact_shards

    def counted(*args: Any, **more: Any) -> int:
        with told.open("ab", buffering=0) as file:
            file.write(b"began\n")
        merged = merge(*args, **more)
        with told.open("ab", buffering=0) as file:
            file.write(b"merged\n" if merged else b"left\n")
        return merged

    table.compact_shards = counted


def state(store: Path) -> dict[str, Any]:
    """What a store holds: its fingerprint, rows in shards, rows that count, failures."""
    there = FeatureTable.open_or_create(store, encoder("mfcc").card)
    shards = sorted(Path(there.folder).glob("shards/*.parquet"))
    contents = there.contents()
    return {
        "fingerprint": there.fingerprint(),
        "rows_in_shards": sum(pq.read_metadata(path).num_rows for path in shards),
        "rows": len(contents.usable()),
        "failures": sorted(failure.reason for failure in contents.failures.values()),
        "partial": len(list(Path(there.folder).rglob("*.partial"))),
    }


def state_apart(store: Path) -> dict[str, Any]:
    """The same, found by a process of its own: threads here would not survive forks."""
    read, write = os.pipe()
    process = forked(lambda: os.write(write, json.dumps(state(store)).encode()))
    os.close(write)
    with os.fdopen(read) as told:
        text = told.read()
    assert ended(process) == 0, f"{store} cannot be read"
    found: dict[str, Any] = json.loads(text)
    return found


class Runs:
    """Runs on stores of their own in a folder."""

    def __init__(self, music: Path, folder: Path) -> None:
        self.music = music
        self.folder = folder

    def start(
        self, store: Path, *, workers: int = 0, first: Callable[[], None] | None = None
    ) -> int:
        def work() -> None:
            if first is not None:
                first()
            embed(self.music, store, encoder="mfcc", workers=workers)

        return forked(work)

    def whole(self, name: str) -> dict[str, Any]:
        """State of a store after a run to the end."""
        store = self.folder / name
        assert ended(self.start(store)) == 0
        return state_apart(store)

    def killed(self) -> dict[str, Any]:
        """Kills at random moments and steps, until there were enough; each store then resumed."""
        draws = generator(20261120)
        told = self.folder / "merged.txt"
        ends: list[dict[str, Any]] = []
        how: Counter[str] = Counter()
        kept: list[int] = []  # how many more rows there were after each kill
        while sum(how.values()) < KILLS:
            name, before, rows = f"killed{len(ends)}", sum(how.values()), 0
            while sum(how.values()) < KILLS:
                way = WAYS[int(draws.integers(len(WAYS)))]
                # small shards are merged first thing: where there are some, most die early
                early = rows > 0 and draws.random() < 0.7
                code = ended(self.to_kill(self.folder / name, way, draws, told, early=early))
                if code == 0:
                    break
                assert code == (CUT if way == "inside" else -signal.SIGKILL), code
                how[way] += 1
                found = state_apart(self.folder / name)["rows"]
                kept.append(found - rows)
                rows = found
            ends.append({**self.whole(name), "kills": sum(how.values()) - before})
        merged = Counter(told.read_text().split())
        return {"ends": ends, "how": how, "kept": kept, "merged": merged}

    def to_kill(
        self, store: Path, way: str, draws: np.random.Generator, told: Path, *, early: bool
    ) -> int:
        """A process that is killed in some way, unless it ends before."""
        step = int(draws.integers(*MERGING) if early else draws.integers(1, STEPS))
        size = int(draws.integers(1, 8000))

        def first() -> None:
            count_merged(told)
            if way == "step":
                kill_at(step)
            elif way == "inside":
                kill_inside(step // 3, size, store)

        process = self.start(store, first=first)
        if way == "moment":
            time.sleep(float(draws.uniform(0, SECONDS)))
            os.kill(process, signal.SIGKILL)
        return process

    def killed_with_workers(self) -> list[dict[str, Any]]:
        """As above, but the run has worker processes."""
        draws = generator(20261121)
        ends = []
        for number in range(POOL_KILLS):
            store, steps = self.folder / f"pool{number}", int(draws.integers(8, 20))
            process = self.start(store, workers=2, first=lambda n=steps: kill_at(n))
            code = ended(process)
            rows = state_apart(store)["rows"]
            ends.append({**self.whole(store.name), "code": code, "rows_at_kill": rows})
        return ends

    def full(self) -> list[dict[str, Any]]:
        """Disks that are full from some sync on, or take files up to some size only."""
        draws = generator(20261122)
        ends = []
        for number in range(FULL):
            amount = int(draws.integers(2, 25)) if number % 2 else int(draws.integers(500, 6000))
            first = partial(full_from if number % 2 else refused_from, amount)
            store = self.folder / f"full{number}"
            code = ended(self.start(store, first=first))
            left = state_apart(store)["partial"]
            ends.append({**self.whole(store.name), "code": code, "partial_at_stop": left})
        return ends

    def together(self) -> dict[str, Any]:
        """Two runs on one store at once."""
        store = self.folder / "together"
        codes = [ended(process) for process in [self.start(store), self.start(store)]]
        return {**state_apart(store), "codes": codes}


def full_from(call: int) -> None:
    """No space is left from the n-th sync of a file on."""
    left, sync = [call], os.fsync

    def refuse(handle: int) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    os.fsync = refuse


def refused_from(size: int) -> None:
    """Files end at so many bytes: the system refuses the rest of a write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limited(size)


def limited(size: int) -> None:
    """No file of this process may have more bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def main(music: Path, folder: Path) -> None:
    runs = Runs(music, folder)
    found = {
        "whole": runs.whole("whole"),
        "killed": runs.killed(),
        "full": runs.full(),
        "together": runs.together(),
        "pool": runs.killed_with_workers(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
