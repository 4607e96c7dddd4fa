"""Sidecars of shards of frames: which frames are whose, as JSON that is checked when read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.errors import StoreError
from segue.store.rows import LATEST_NS, FileFacts, Row

FORMAT = 1
SIDECAR_BYTES = 64 * 2**20  # more than any that segue writes

_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "path", "key"), str),
    **dict.fromkeys(("line", "bytes", "mtime_ns", "begin", "count", "written_ns"), int),
    **dict.fromkeys(("source_rate", "source_channels"), int),
    **dict.fromkeys(("start", "seconds"), (int, float)),
    "duration": (int, float, type(None)),
}


def sidecar(rows: Sequence[Row], times: Sequence[int], kind: str) -> bytes:
    """The sidecar of a shard that holds the frames of these rows, one after the other.

    Parameters
    ----------
    rows : sequence of Row
    times : sequence of int
        When each was appended, in nanoseconds.
    kind : str
        Digest of the frames' kind.
    """
    tracks, begin = [], 0
    for row, written_ns in zip(rows, times, strict=True):
        tracks.append(
            {
                **asdict(row.facts),
                "key": row.key,
                "source_rate": row.source_rate,
                "source_channels": row.source_channels,
                "seconds": row.seconds,
                "decoder": row.decoder,
                "begin": begin,
                "count": len(row.features),
                "written_ns": written_ns,
            }
        )
        begin += len(row.features)
    facts = {"format": FORMAT, "kind": kind, "frames": begin, "tracks": tracks}
    return json.dumps(facts).encode()


def read_sidecar(path: Path, kind: str) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """What is noted of each track, and its first frame and number of frames (tracks, 2).

    Raises
    ------
    StoreError
        It is damaged, of frames of another kind, or its tracks do not fill the shard in order.
    """
    try:
        if path.stat().st_size > SIDECAR_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (facts["format"], facts["kind"]) != (FORMAT, kind):
            raise ValueError("it is of other frames")
        tracks = [_checked(one) for one in facts["tracks"]]
        counts = [one["count"] for one in tracks]
        ends = list(accumulate(counts))  # of Python's integers, which never wrap around
        if min(counts) < 1 or ends[-1] != facts["frames"]:
            raise ValueError("its tracks do not fill it")
        if [one["begin"] for one in tracks] != [0, *ends[:-1]]:
            raise ValueError("its tracks overlap")
        spans = np.array([(one["begin"], one["count"]) for one in tracks], np.int64)
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(IndexError, OverflowError, RecursionError),
    ) as error:
        raise damaged(path, error) from error
    return tracks, spans


def facts_of(cells: Mapping[str, Any]) -> FileFacts:
    """File facts of what is noted of a track."""
    return FileFacts(**{name: cells[name] for name in FileFacts.__dataclass_fields__})


def row_of(cells: Mapping[str, Any], frames: NDArray[np.float32]) -> Row:
    """The row that was written, of what is noted of a track and its frames."""
    return Row(
        facts=facts_of(cells),
        key=cells["key"],
        source_rate=cells["source_rate"],
        source_channels=cells["source_channels"],
        seconds=cells["seconds"],
        features=frames,
        decoder=str(cells.get("decoder", "")),  # sidecars of older versions have none
    )


def damaged(path: Path, error: Exception) -> StoreError:
    """What to tell of a shard's file that cannot be read."""
    reason = (getattr(error, "strerror", None) or str(error)).splitlines() or [""]
    return StoreError(
        wanted="a whole shard of frames",
        got=f"{type(error).__name__}: {reason[0]}",
        fix="Remove this file and extract again: only its tracks are made anew",
        source=path,
    )


def _checked(cells: dict[str, Any]) -> dict[str, Any]:
    for name, kind in _TYPES.items():
        value = cells[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{name} of a track is {value!r:.80}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} of a track is {value!r:.80}")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError(f"{name} of a track is {value!r:.80}")
    if not 0 <= cells["written_ns"] < LATEST_NS:
        raise ValueError(f"a track written at {cells['written_ns']} ns, which no clock shows")
    return cells
