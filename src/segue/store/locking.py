"""One writer at a time: a lock of the system, which a process that is killed lets go."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segue.errors import StoreError
from segue.files import Location, exists, read_bounded, write_atomically

LOCK = ".lock"
WRITER = ".writer.json"  # who has the lock: for messages, never trusted
WRITER_BYTES = 4096
MAKING_SECONDS = 20.0  # for another process that is making the same table

Say = Callable[[str], None]


@contextmanager
def writer_lock(
    folder: Path, say: Say | None = None, *, wait: float | None = None
) -> Iterator[None]:
    """Hold the lock of a table's folder; held by this thread already, it is held once more.

    Parameters
    ----------
    folder : Path
    say : callable, optional
        Told once, in a sentence, when there is something to wait for.
    wait : float, optional
        Seconds; None waits for as long as it takes.

    Raises
    ------
    StoreError
        Another process still had it after ``wait`` seconds (the message says which one, as far
        as that is known), or there can be no lock here.

    Examples
    --------
    >>> import tempfile
    >>> with writer_lock(Path(tempfile.mkdtemp())):
    ...     pass
    """
    from filelock import FileLock, Timeout

    try:
        # one instance a path: two tables opened on one folder do not wait for each other
        lock = FileLock(folder / LOCK, is_singleton=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if say is not None:
                say(f"{folder.name}: waiting for {_writer(folder)}, which writes to it")
            lock.acquire(timeout=-1 if wait is None else wait)
    except Timeout as error:
        raise StoreError(
            wanted=f"to write to this table within {wait:g} seconds",
            got=f"{_writer(folder)}, which writes to it",
            fix="Wait for it to end, or choose another folder",
            source=folder,
        ) from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            wanted="a lock, so that one process at a time writes to this table",
            got=getattr(error, "strerror", None) or str(error),
            fix="Make the folder writable, or choose one on a file system that has locks",
            source=folder,
        ) from error
    try:
        if lock.lock_counter == 1:
            write_atomically(folder / WRITER, json.dumps(_here()).encode())
        yield
    finally:
        if lock.lock_counter == 1:
            (folder / WRITER).unlink(missing_ok=True)
        lock.release()


def make_once(there: Location, make: Callable[[], object]) -> None:
    """Make a file that makes a folder a table, unless it is there or another process makes it.

    It is made under the lock: who takes that removes what others left half-written. Behind a URL
    there is no lock, and nothing is removed either.

    Parameters
    ----------
    there : Path or UPath
        Of the file.
    make : callable
        Writes it.

    Raises
    ------
    StoreError
        It cannot be made.
    """
    if not isinstance(there, Path):
        make()
        return
    try:
        with writer_lock(there.parent, wait=MAKING_SECONDS):
            if not exists(there):
                make()
    except StoreError:
        if not exists(there):  # else another has made it, and goes on to fill the table
            raise


def _here() -> dict[str, str | int]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"process": os.getpid(), "machine": platform.node(), "since": since}


def _writer(folder: Path) -> str:
    try:
        note = json.loads(read_bounded(folder / WRITER, WRITER_BYTES))
        return f"process {note['process']} on {note['machine']} (since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
