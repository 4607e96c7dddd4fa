"""Worker processes: where they come from, and what each settles before its work.

Only the standard library is imported here at first, so that :func:`prepare` may be called before
anything heavy is loaded.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

# what every worker needs, loaded once: a worker is then forked in milliseconds
PRELOAD = (
    "torch",
    "segue.audio.pyav_reader",
    "segue.audio.soundfile_reader",
    "soxr",
    "segue.encoders",
    "segue.extraction.pool",
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def available_cpus() -> int:
    """Processors this process may use (a container's share, not the machine's)."""
    cpus = processors()
    return (os.cpu_count() or 1) if cpus is None else len(cpus)


def processors() -> set[int] | None:
    """Which ones; None where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def prepare() -> None:
    """Begin to load what workers need, in the server that they are forked from.

    Called before torch is imported here, both processes load it at the same time, and the first
    worker starts a second or two earlier. Called later, or where processes are not forked from a
    server (Windows), it changes nothing.

    Examples
    --------
    >>> prepare()
    """
    if context().get_start_method() != "forkserver":
        return
    from multiprocessing import forkserver

    # Ctrl-C while the server still loads would print its traceback; it inherits this mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def context() -> BaseContext:
    """Forking a process that holds torch's threads can hang: fork from a clean server."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(list(PRELOAD))
    return chosen


def start(
    work: Callable[..., None], arguments: tuple[Any, ...], *, name: str
) -> tuple[BaseProcess, Connection]:
    """Start ``work(connection, *arguments)`` in a process; the other end of its connection.

    The caller's main module is kept out of sight: a process that starts imports it again. Workers
    need nothing of it, and a script without a main guard would be run once more by each of them.
    """
    prepare()
    chosen = context()
    ours, theirs = chosen.Pipe(duplex=True)
    # BaseContext knows Process only as an attribute of its kinds
    process: BaseProcess = chosen.Process(  # type: ignore[attr-defined]
        target=_begin,
        args=(work, dict(os.environ), processors(), theirs, *arguments),
        name=name,
        daemon=True,
    )
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
        theirs.close()  # the worker's alone: its end is then seen as the end of the connection
    return process, ours


def _begin(
    work: Callable[..., None], variables: dict[str, str], cpus: set[int] | None, *arguments: Any
) -> None:
    """Work where the parent may work now, not where it might when the fork server was started."""
    os.environ.clear()
    os.environ.update(variables)
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    work(*arguments)


def settle(log_level: int) -> None:
    """What a worker does first: follow its parent, leave Ctrl-C to it, use one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    _end_with_parent()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("segue").setLevel(log_level)
    os.environ.update(dict.fromkeys(THREADS, "1"))  # for libraries that are loaded from here on
    import torch

    torch.set_num_threads(1)  # one worker a processor: more threads would only fight


def limit_threads() -> None:
    """One thread in the libraries of linear algebra that are loaded by now, too."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _end_with_parent() -> None:
    """End this process when the one that asked for it has gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if hasattr(os, "O_ASYNC"):
        import fcntl

        # The thread never runs while a decoder hangs and holds the interpreter's lock. The kernel
        # then ends this process: by SIGIO, when the pipe that the parent holds is closed.
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)
