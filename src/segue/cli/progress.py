"""Progress on standard error: bars on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from segue.cli.amounts import seconds_in_words
from segue.cli.app import messages

if TYPE_CHECKING:
    from segue.workflows.evaluating import Watch

SECONDS_A_LINE = 15.0

Counted = Callable[[int, int, int], None]


@contextmanager
def watching(quiet: bool = False) -> Iterator[Watch]:
    """Progress on standard error: call the result with (what, done, total).

    Bars with an ETA on a terminal; elsewhere (a log file, a batch system) a line now and then.
    """
    if quiet or not messages.is_terminal:
        yield _Lines(quiet)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=messages,
    ) as bars:
        tasks: dict[str, Any] = {}

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, completed=done)
            bars.update(tasks[what], completed=done, total=total)

        yield watch


class _Lines:
    """Progress as lines, at most one every ``SECONDS_A_LINE`` for each job."""

    def __init__(self, quiet: bool, *, rates: bool = False) -> None:
        self.quiet = quiet
        self.rates = rates
        self.began: dict[str, tuple[float, int]] = {}
        self.told: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        start, first = self.began.setdefault(what, (now, done))
        if self.quiet or now - self.told.setdefault(what, now) < SECONDS_A_LINE:
            return
        self.told[what] = now
        rate = (done - first) / (now - start)
        left = f", {seconds_in_words((total - done) / rate)} left" if rate > 0 else ""
        rated = f", {rate:.1f} a second" if self.rates else ""
        messages.print(
            f"{what}: {done} of {total}{rated}{left}{note}", markup=False, soft_wrap=True
        )


class _Rate(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


@contextmanager
def counting(what: str, *, quiet: bool = False) -> Iterator[Counted]:
    """Progress of work on many files: call the result with (done, quarantined, total).

    Shows the rate and how many were quarantined, too. The first call tells what was there before.
    """
    if quiet or not messages.is_terminal:
        lines = _Lines(quiet, rates=True)
        yield lambda done, failed, total: lines(what, done + failed, total, _quarantined(failed))
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[note]}"),
        console=messages,
        speed_estimate_period=60.0,
    ) as bars:
        tasks: list[Any] = []

        def count(done: int, failed: int, total: int) -> None:
            note = _quarantined(failed).lstrip(", ")
            if not tasks:
                tasks.append(bars.add_task(what, total=total, completed=done + failed, note=note))
            bars.update(tasks[0], completed=done + failed, total=total, note=note)

        yield count


def _quarantined(failed: int) -> str:
    return f", {failed} quarantined" if failed else ""
