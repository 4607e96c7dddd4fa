"""Audio files to frame tables: what a training run or an experiment reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.datasets import Manifest, Track
from segue.extraction.frames import FrameMaker, FrameRecipe, extract_frames
from segue.extraction.worker import file_facts
from segue.store import Failure, FrameTable
from segue.store.rows import Stored
from segue.training.claim import GONE, digests
from segue.workflows.evaluating import Watch, counted


@dataclass(frozen=True, slots=True, eq=False)
class Framed:
    """The tracks of a manifest that have frames.

    Attributes
    ----------
    stored : list of Stored
    rows : (n,) integer array
        Their rows of the manifest.
    failures : tuple of Failure
        Tracks that have none, and why.
    """

    stored: list[Stored]
    rows: NDArray[np.int64]
    failures: tuple[Failure, ...]


def frame(
    manifest: Manifest,
    table: FrameTable,
    recipe: FrameRecipe,
    *,
    maker: FrameMaker,
    name: str,
    workers: int | None = None,
    watch: Watch | None = None,
) -> Framed:
    """Fill a table with the frames of a manifest, as far as it lacks them, and find them there.

    Parameters
    ----------
    table : FrameTable
        Of the kind of ``maker``, which is what ``recipe`` builds.
    name : str
        Of the data set, for the watch.

    Raises
    ------
    StoreError, SegueError
    """
    report = extract_frames(
        manifest,
        table,
        recipe,
        maker=maker,
        workers=workers,
        progress=counted(watch, f"frames of {name}"),
    )
    found = table.find([file_facts(track) for track in manifest.tracks()])
    rows = np.array([row for row, there in enumerate(found) if there is not None], np.int64)
    return Framed([one for one in found if one is not None], rows, report.failures)


def files_digest(tracks: Iterable[Track]) -> tuple[str, bool]:
    """Digests of place, size and time of each file, and whether any of them is there.

    The digests of files that are gone since are known, see
    :func:`segue.training.claim.check_files`.
    """
    files = map(file_facts, tracks)
    found = digests([*one.place, one.bytes, one.mtime_ns] if one.exists else None for one in files)
    return found, bool(found.strip(GONE))
