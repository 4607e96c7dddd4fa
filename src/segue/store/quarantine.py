"""The quarantine list of a table: what could not be used, why, and when that was found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from segue.errors import StoreError
from segue.store.rows import Failure, FileFacts, Place, Stored

FAILURES = "failures.jsonl"


def note_failure(folder: Path, failure: Failure) -> None:
    """Add a failure to the list of the table in a folder, at once."""
    note = {**asdict(failure.facts), "stage": failure.stage, "reason": failure.reason}
    note["written_ns"] = time.time_ns()
    path = folder / FAILURES
    try:
        with path.open("a", encoding="utf-8") as file:
            # a leading line break too, should a crash have torn the line before
            file.write(f"\n{json.dumps(note)}\n")
    except OSError as error:
        raise StoreError(
            wanted="to note a failure",
            got=error.strerror or str(error),
            fix="Free space, then run the same command again",
            source=path,
        ) from error


def standing_failures(folder: Path, rows: Mapping[Place, Stored]) -> dict[Place, Failure]:
    """The latest failure of every place that no row was written of afterwards."""
    return {
        place: failure
        for place, (failure, written_ns) in _noted(folder / FAILURES).items()
        if place not in rows or rows[place].written_ns < written_ns
    }


def _noted(path: Path) -> dict[Place, tuple[Failure, int]]:
    found: dict[Place, tuple[Failure, int]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in filter(None, lines):
        try:
            note = json.loads(line)
            stage, reason = note.pop("stage"), note.pop("reason")
            written_ns = int(note.pop("written_ns"))
            failure = Failure(facts=FileFacts(**note), stage=stage, reason=reason)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # a line torn by a crash: its file is simply tried again
        found[failure.facts.place] = (failure, written_ns)
    return found
