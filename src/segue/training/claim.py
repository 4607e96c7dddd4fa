"""Whose a run's folder is: the arguments and the audio it was begun with, and no others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.card import canonical_json
from segue.errors import UsageError
from segue.files import write_atomically
from segue.training.parallel import World
from segue.training.samples import Clip, Rejected

WORK, RUN, CHECKPOINT, SAMPLES = "run", "run.json", "checkpoint.safetensors", "samples"
LISTED = 3
DIGEST = 10  # characters: whether a file changed, by 40 bits; a million tracks take 10 MB
GONE = "-" * DIGEST


def claim(out: Path, arguments: Mapping[str, Any], world: World) -> dict[str, Any]:
    """What is known of the run in this folder; the folder is this run's, or refused.

    Parameters
    ----------
    out : Path
    arguments : mapping of str to JSON
        All that fixes the curve but the audio itself.
    world : World

    Raises
    ------
    UsageError
        It holds another run, naming the arguments that differ, or something else.
    """
    path = out / WORK / RUN
    if not path.is_file():
        there = _names(out)
        if there and there != [WORK]:
            raise UsageError(
                wanted="a new folder, or one of a run with the same arguments",
                got=f"a folder with {', '.join(there[:5])}",
                fix="Choose another with -o",
                source=out,
            )
        world.wait()
        if world.main:
            write_run(out, {"arguments": arguments})
        return {"arguments": arguments}
    run = read_run(out)
    known = run["arguments"]
    differing = [
        f"{name}: {known.get(name)} -> {arguments.get(name)}"
        for name in sorted(known.keys() | arguments.keys())
        if known.get(name) != arguments.get(name)
    ]
    if differing:
        raise UsageError(
            wanted="the arguments that the run in this folder was begun with",
            got="; ".join(differing),
            fix="Use the same arguments to go on, or another folder with -o",
            source=out,
        )
    world.wait()
    return run


def read_run(out: Path) -> dict[str, Any]:
    """What is known of the run in a folder.

    Raises
    ------
    UsageError
        Its file is damaged.
    """
    path = out / WORK / RUN
    try:
        run = _checked(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            wanted="the arguments of the run in this folder",
            got=f"{type(error).__name__}: {error}",
            fix="Choose another folder with -o",
            source=path,
        ) from error
    return run


def _checked(run: Any) -> dict[str, Any]:
    """What a run's file may hold, whoever wrote it; other entries are left alone."""
    if not isinstance(run, dict) or not isinstance(run.get("arguments"), dict):
        raise ValueError("no arguments by name")
    failures = run.get("failures", [])
    if not isinstance(failures, list) or not all(map(_is_failure, failures)):
        raise ValueError("failures that are none")
    for name in ("audio", "files"):
        if not isinstance(run.get(name, ""), str):
            raise ValueError(f"{name} that are no digest")
    return run


def _is_failure(one: object) -> bool:
    return (
        isinstance(one, dict)
        and type(one.get("line")) is int
        and all(isinstance(one.get(name), str) for name in ("path", "stage", "reason"))
    )


def write_run(out: Path, run: Mapping[str, Any]) -> None:
    """Write down what is known of a run."""
    write_atomically(out / WORK / RUN, json.dumps(run, indent=1).encode())


def release(out: Path) -> None:
    """Let go of a folder in which nothing was learned yet, so that other arguments may have it."""
    if _names(out) == [WORK] and not (out / WORK / CHECKPOINT).exists():
        (out / WORK / RUN).unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []


def audio_digest(outcomes: Sequence[Clip | Rejected]) -> str:
    """SHA-256 over the names of the usable clips' samples, which say file, stretch, size, time."""
    names = [one.path.stem for one in outcomes if isinstance(one, Clip)]
    return hashlib.sha256(canonical_json(names).encode()).hexdigest()


def check_audio(
    out: Path, run: Mapping[str, Any], audio: str, failures: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse to go on with other audio than the run's steps so far heard.

    Parameters
    ----------
    out : Path
    run : mapping
        With the ``audio`` and ``failures`` of before.
    audio : str
        :func:`audio_digest` of now.
    failures : sequence of mapping
        ``path`` and ``line`` of the files that cannot be used now.

    Raises
    ------
    UsageError
        Naming files that can, or cannot, be used now.
    """
    if run.get("audio") == audio:
        return
    old, new = (
        {f"{one['path']} (line {one['line']})" for one in some}
        for some in (run.get("failures", ()), failures)
    )
    changes = [_listed("can be used now", old - new), _listed("cannot be used any more", new - old)]
    raise UsageError(
        wanted="the audio that the run in this folder was begun with",
        got="; ".join(filter(None, changes)) or "files of another size or time of change",
        fix="Restore these files as they were to go on, or begin anew in another folder with -o",
        source=out,
    )


def check_files(
    out: Path, run: Mapping[str, Any], files: tuple[str, bool], *, made: str = "encoder"
) -> None:
    """Refuse to give back what was learned from other audio than is there now.

    Files that are gone cannot be compared, and what is finished needs none: those that are there
    are, each with itself. A folder all of whose audio is gone (on another machine) is given back.

    Parameters
    ----------
    out : Path
    run : mapping
        With the ``files`` of before.
    files : (str, bool)
        Digests of the files now, see :func:`digests`, and whether any of them is there.
    made : str
        What the folder holds.

    Raises
    ------
    UsageError
    """
    now, there = files
    if not there:
        return
    before = run.get("files", "")
    changed = len(before) != len(now) or any(
        now[at : at + DIGEST] not in (GONE, before[at : at + DIGEST])
        for at in range(0, len(now), DIGEST)
    )
    if changed:
        raise UsageError(
            wanted=f"the audio that the finished {made} in this folder was learned from",
            got="files of another size or time of change",
            fix="Restore these files, or learn anew in another folder with -o",
            source=out,
        )


def digests(files: Iterable[Sequence[object] | None]) -> str:
    """One short digest a file, of what tells whether it changed; None for one that is gone.

    Examples
    --------
    >>> some = digests([["a.wav", 9], None])
    >>> len(some) == 2 * DIGEST, some.endswith(GONE)
    (True, True)
    """
    return "".join(GONE if facts is None else _digest(facts) for facts in files)


def _digest(facts: Sequence[object]) -> str:
    return hashlib.sha256(canonical_json(list(facts)).encode()).hexdigest()[:DIGEST]


def _listed(what: str, places: set[str]) -> str:
    more = ", ..." if len(places) > LISTED else ""
    return f"{len(places)} that {what}: {', '.join(sorted(places)[:LISTED])}{more}" * bool(places)
