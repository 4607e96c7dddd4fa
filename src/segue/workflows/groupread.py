"""A finished run of ``artist_groups`` read back: what its folder says is checked first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segue.errors import SegueError, UsageError
from segue.targets.folder import TargetFolder, write_targets
from segue.targets.folder_checks import GROUPS, damaged
from segue.targets.texts import check_text
from segue.workflows.groupfacts import file_digest, write_tracks
from segue.workflows.grouping import read_groups
from segue.workflows.groupjob import Job

TRACKS, DIGEST = "tracks.parquet", "tracks_sha256"
MOST_TEXT = 2**16  # characters of a note, which may name some groups

Check = Callable[[object], bool]

logger = logging.getLogger(__name__)


def _text(value: object) -> bool:
    check_text(value, "a text", most=MOST_TEXT)
    return True


def _whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _number(value: object) -> bool:
    return type(value) in (int, float)


def _list(each: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(each, value))


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _entries(**checks: Check) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and all(name in value and check(value[name]) for name, check in checks.items())
    )


_FACTORS = _entries(
    number=_whole,
    size=_number,
    similarity=_maybe(_number),
    idle=lambda value: isinstance(value, bool),
    words=_list(_entries(name=_text, probability=_number, ratio=_number)),
    groups=_list(_entries(name=_text, share=_number, tracks=_whole)),
    tracks=_list(_entries(name=_text, share=_number)),
)
_CHECKS: dict[str, Check] = {
    "group": _text,
    "taken": _text,
    "from": _text,
    "words": _whole,
    "topics": _whole,
    "groups": _whole,
    "empty_groups": _whole,
    "empty": _list(_text),
    "tracks": _whole,
    "notes": _list(_text),
    "factors": _list(_FACTORS),
    "stability": _maybe(lambda value: isinstance(value, dict)),
    DIGEST: _text,
}


def checked_facts(facts: Mapping[str, Any], path: Path) -> None:
    """Refuse facts that are not those of ``artist_groups``, before anything is made of them.

    Raises
    ------
    ModelError
        Naming the entry.
    """
    for name, check in _CHECKS.items():
        if name not in facts:
            raise damaged(path, f"no {name} among its facts")
        try:
            good = check(facts[name])
        except SegueError as error:
            raise damaged(path, f"facts: {name}: {error.got}") from error
        if not good:
            raise damaged(path, f"facts: {name}: {facts[name]!r:.200}")


def restored_tracks(there: TargetFolder, job: Job) -> None:
    """See that ``tracks.parquet`` is the one that was written; make it again where it is gone.

    Raises
    ------
    UsageError
        It is another.
    ModelError
        The folder has other groups than the run.
    StoreError
        It cannot be written.
    """
    path = job.out / TRACKS
    if path.is_file():
        if file_digest(path) != there.facts[DIGEST]:
            raise UsageError(
                wanted=f"the {TRACKS} that this run wrote",
                got="another SHA-256",
                fix="Remove or rename it, and run again: it is made anew",
                source=path,
            )
        return
    groups = read_groups(job.manifest, job.group)
    if groups.names != there.shares.names:
        raise damaged(job.out / GROUPS, "other groups than those of this run")
    logger.warning("%s was gone: made again.", path)
    digest = write_tracks(path, job.manifest, groups, there.shares)
    if digest != there.facts[DIGEST]:  # another version of pyarrow writes other bytes
        write_targets(job.out, there.model, there.shares, {**there.facts, DIGEST: digest})
