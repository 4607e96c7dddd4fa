"""The quarantine of a table: what could not be used, why, and when that was found.

Failures are written as whole files of JSON lines, as the rows beside them are written as whole
shards. A list ``failures.jsonl``, to which older versions added line by line, is read too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from segue.errors import StoreError
from segue.files import Location, entries, plain_errors, write_atomically
from segue.store.naming import next_name
from segue.store.rows import Failure, FileFacts, Place, Stored

FAILURES = "failures"
OLDER = "failures.jsonl"
MERGED_BYTES = 2**20  # files of failures beyond this size are left as they are

TRIES = 5  # of reading while another process merges

Noted = dict[Place, tuple[Failure, int]]  # a place's latest failure and when it was written


def write_failures(folder: Location, failures: Iterable[tuple[Failure, int]]) -> None:
    """Write failures, each with the time it was met at (ns), to the quarantine of a table's folder.

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
    name = next_name(path.name for path in entries(folder / FAILURES, "*.jsonl"))
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
    older = folder / OLDER
    with plain_errors():
        text = older.read_text(encoding="utf-8") if older.is_file() else ""
    for line in text.splitlines():
        try:
            _note(noted, *_parsed(line))
        except ValueError:
            continue  # a line torn by a crash: its file is simply tried again
    _read(entries(folder / FAILURES, "*.jsonl"), noted)
    return noted


def standing_failures(noted: Noted, rows: Mapping[Place, Stored]) -> dict[Place, Failure]:
    """The failures that no row was written of afterwards."""
    return {
        place: failure
        for place, (failure, written_ns) in noted.items()
        if place not in rows or rows[place].written_ns < written_ns
    }


def merge_failures(folder: Location) -> None:
    """Join small files of failures into one; killed half-way, it leaves what reads the same."""
    small = [
        path for path in entries(folder / FAILURES, "*.jsonl") if path.stat().st_size < MERGED_BYTES
    ]
    if len(small) < 2:
        return
    noted: Noted = {}
    _read(small, noted)
    write_failures(folder, sorted(noted.values(), key=lambda one: one[1]))
    for path in small:
        path.unlink(missing_ok=True)


def _read(paths: Iterable[Location], noted: Noted) -> None:
    for path in paths:
        try:
            with plain_errors():
                lines = path.read_text(encoding="utf-8").splitlines()
            for line in lines:
                _note(noted, *_parsed(line))
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise StoreError(
                wanted="a whole file of failures",
                got=f"{type(error).__name__}: {error}",
                fix="Remove this file: its tracks are tried again",
                source=str(path),
            ) from error


def _parsed(line: str) -> tuple[Failure, int]:
    try:
        note = json.loads(line)
        stage, reason = str(note.pop("stage")), str(note.pop("reason"))
        written_ns = int(note.pop("written_ns"))
        return Failure(facts=FileFacts(**note), stage=stage, reason=reason), written_ns
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no failure: {line:.80}") from error


def _note(noted: Noted, failure: Failure, written_ns: int) -> None:
    place = failure.facts.place
    if place not in noted or noted[place][1] <= written_ns:
        noted[place] = failure, written_ns
