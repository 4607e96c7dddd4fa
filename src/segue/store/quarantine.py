"""The quarantine of a table: what could not be used, why, and when that was found.

Failures are written as whole files of JSON lines, as the rows beside them are written as whole
shards. A list ``failures.jsonl``, to which older versions added line by line, is read too.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from segue.errors import StoreError
from segue.files import (
    Location,
    entries,
    exists,
    plain_errors,
    read_bounded,
    settle,
    write_atomically,
)
from segue.store.naming import Names
from segue.store.rows import LATEST_NS, Failure, FileFacts, Place, Stored

log = logging.getLogger(__name__)

FAILURES = "failures"
OLDER = "failures.jsonl"
MERGED_BYTES = 2**20  # files of failures beyond this size are left as they are
GROUP_BYTES = 16 * MERGED_BYTES  # merged at once, in memory
MOST_BYTES = 2**27  # more than any that segue writes

TRIES = 20  # of reading while another process merges

Noted = dict[Place, tuple[Failure, int]]  # a place's latest failure and when it was written


def write_failures(folder: Location, failures: Iterable[tuple[Failure, int]], *, name: str) -> None:
    """Write failures, each with the time it was met at (ns), to the quarantine of a table's folder.

    Parameters
    ----------
    folder : Path or UPath
    failures : iterable of (Failure, int)
    name : str
        Of the new file.

    Raises
    ------
    StoreError
        Full disk, no permission; nothing was written.
    """
    lines = [
        json.dumps(
            {
                **asdict(failure.facts),
                "stage": failure.stage,
                "reason": failure.reason,
                "written_ns": written_ns,
            }
        )
        for failure, written_ns in failures
    ]
    content = "".join(f"{line}\n" for line in lines).encode()
    write_atomically(folder / FAILURES / f"{name}.jsonl", content)


def noted_failures(folder: Location) -> Noted:
    """The latest failure of every place, and when it was written.

    Raises
    ------
    StoreError
        A file of failures is damaged.
    """
    for _ in range(TRIES):
        try:
            return _noted_now(folder)
        except FileNotFoundError:  # merged into another since it was listed
            continue
    raise StoreError(
        wanted="to read the quarantine",
        got="files that vanish as they are read",
        fix="Wait for what writes to this table to end",
        source=str(folder),
    )


def _noted_now(folder: Location) -> Noted:
    noted: Noted = {}
    if exists(folder / OLDER):
        _read([folder / OLDER], noted)
    _read(entries(folder / FAILURES, "*.jsonl"), noted)
    return noted


def standing_failures(noted: Noted, rows: Mapping[Place, Stored]) -> dict[Place, Failure]:
    """The failures that no row was written of afterwards."""
    return {
        place: failure
        for place, (failure, written_ns) in noted.items()
        if place not in rows or rows[place].written_ns < written_ns
    }


def merge_failures(folder: Location, *, least: int = 2) -> None:
    """Join small files of failures into large ones, where there are at least so many.

    The joined file is there for good before those that it replaces are removed: killed half-way,
    it leaves what reads the same.

    Raises
    ------
    StoreError
        A file cannot be read, or the new one cannot be written; no failure is lost.
    """
    small = [(path, size) for path, size in _sizes(folder / FAILURES) if size < MERGED_BYTES]
    if len(small) < least:
        return
    names = Names(folder / FAILURES)
    for group in _groups(small):
        noted: Noted = {}
        _read(group, noted)
        ordered = sorted(noted.values(), key=lambda one: one[1])
        write_failures(folder, ordered, name=names.new())
        settle(folder / FAILURES)  # renamed for good, before anything is removed
        for path in group:
            path.unlink(missing_ok=True)


def _sizes(there: Location) -> Iterator[tuple[Location, int]]:
    for path in entries(there, "*.jsonl"):
        try:
            with plain_errors():
                yield path, int(path.stat().st_size)
        except FileNotFoundError:
            continue  # merged by another
        except OSError as error:
            raise _damaged(path, error) from error


def _groups(small: Iterable[tuple[Location, int]]) -> Iterator[list[Location]]:
    """Files to join, together at most so many bytes; one alone stays as it is."""
    group: list[Location] = []
    total = 0
    for path, size in small:
        if total + size > GROUP_BYTES:
            yield group
            group, total = [], 0
        group.append(path)
        total += size
    if len(group) > 1:
        yield group


def _read(paths: Iterable[Location], noted: Noted) -> None:
    """Note what files say; a line that a crash has torn is left out, where lines were appended."""
    for path in paths:
        try:
            for number, line in enumerate(read_bounded(path, MOST_BYTES).splitlines(), start=1):
                try:
                    cells = json.loads(line or b"null")
                except ValueError as error:
                    if path.name != OLDER:
                        raise
                    log.warning("%s: line %d is torn, its track is tried again", path, number)
                    log.debug("%s", error)
                    continue
                if cells is not None or path.name != OLDER:
                    _note(noted, *_parsed(cells))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, OverflowError, RecursionError) as error:
            raise _damaged(path, error) from error


def _damaged(path: Location, error: Exception) -> StoreError:
    return StoreError(
        wanted="a whole file of failures",
        got=f"{type(error).__name__}: {error}",
        fix="Remove this file: its tracks are tried again",
        source=str(path),
    )


def _parsed(cells: Any) -> tuple[Failure, int]:
    """A failure and when it was written, of the cells of its line."""
    try:
        note = dict(cells)
        stage, reason, written_ns = note.pop("stage"), note.pop("reason"), note.pop("written_ns")
        facts = FileFacts(**note)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"no failure: {cells!r:.80}") from error
    texts = (facts.id, facts.path, stage, reason)
    whole = (facts.line, facts.bytes, facts.mtime_ns, written_ns)
    times = (facts.start, 0.0 if facts.duration is None else facts.duration)
    if (
        not all(isinstance(one, str) for one in texts)
        or not all(type(one) is int and abs(one) < 2**63 for one in whole)
        or not all(type(one) in (int, float) and math.isfinite(one) for one in times)
        or not 0 <= written_ns < LATEST_NS
    ):
        raise ValueError(f"no failure: {cells!r:.80}")
    return Failure(facts=facts, stage=stage, reason=reason), written_ns


def _note(noted: Noted, failure: Failure, written_ns: int) -> None:
    place = failure.facts.place
    if place not in noted or noted[place][1] <= written_ns:
        noted[place] = failure, written_ns
