"""What an embedding run will take, from a sample of it that is really run."""

from __future__ import annotations

import math
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from segue.card import EncoderCard
from segue.datasets import Manifest, Track
from segue.encoders import encoder as build_encoder
from segue.encoders.names import anywhere
from segue.errors import UsageError
from segue.extraction import Limits, Recipe, file_facts
from segue.extraction.limits import footprint
from segue.extraction.run import Engine, default_workers, outcomes_of
from segue.extraction.worker import Outcome, Task
from segue.seeds import generator
from segue.store import Failure, FeatureTable, Row, tables
from segue.store.table import SHARD_ROWS
from segue.workflows.embedding import Inputs, open_manifest

SAMPLE = 32  # files; with half their mean as deviation the mean is known to 9 %
LEAST_SECONDS = 4.0  # a shorter sample says little about a rate: more files are tried
MOST_ROUNDS = 16
LOOK_SECONDS = 0.1

Tried = list[tuple[float, Outcome]]  # seconds since the beginning, and what came of a track


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingPlan:
    """What a run will take.

    Attributes
    ----------
    tracks, done : int
        In the manifest; of them in the store already.
    sampled, refused : int
        Tracks tried; of them such as will be quarantined.
    reasons : mapping
        Refused tracks by stage.
    encoder : str
    dim : int
    workers : int
    start_seconds : float
        Until the first worker works.
    tracks_per_second : float
    seconds : float
        For the tracks that are left.
    output_bytes : int
    memory_bytes : int
        Peak of this process and all workers together, shared pages counted once (Linux).
    """

    tracks: int
    done: int
    sampled: int
    refused: int
    reasons: dict[str, int]
    encoder: str
    dim: int
    workers: int
    start_seconds: float
    tracks_per_second: float
    seconds: float
    output_bytes: int
    memory_bytes: int

    @property
    def left(self) -> int:
        """Tracks to do."""
        return self.tracks - self.done

    def facts(self) -> dict[str, object]:
        """All of it, for JSON."""
        return {**asdict(self), "left": self.left}


def plan_embedding(
    inputs: Inputs,
    *,
    encoder: str = "mfcc",
    layers: Sequence[int] | None = None,
    chunks: int | None = 1,
    device: str = "cpu",
    workers: int | None = None,
    limits: Limits | None = None,
    store: str | Path | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
) -> EmbeddingPlan:
    """Embed a random sample of tracks as the run would, keep nothing, and scale up.

    Parameters
    ----------
    inputs : Manifest, path, or sequence of paths
    encoder, layers, chunks, device, workers, limits
        As in :func:`segue.workflows.embed`; the same, for the plan to hold.
    store : path, optional
        Where the run will write: what is there already is not counted again.
    sample : int
        Tracks to try; more where these take less than a few seconds.
    seed : int
        Draws the sample.

    Raises
    ------
    UsageError, ManifestError, WeightsError, StoreError

    Examples
    --------
    >>> import numpy as np, soundfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in "abcd":
    ...     soundfile.write(folder / f"{name}.wav", np.sin(np.arange(22050) / 9), 22050)
    >>> plan = plan_embedding(folder, workers=0)
    >>> plan.tracks, plan.sampled, plan.dim
    (4, 4, 120)
    """
    if sample < 1:
        raise UsageError(wanted="a sample of 1 or more", got=str(sample), fix="Raise --sample")
    manifest = open_manifest(inputs)
    asked = None if layers is None else tuple(layers)
    recipe = Recipe(anywhere(encoder), asked, chunks, device)
    built = build_encoder(encoder, layers=asked, chunks=chunks, device=device)
    left = _left(manifest, store, built.card)
    number = default_workers(len(left)) if workers is None else workers
    drawn = generator(seed, "plan").permutation(len(left))
    tasks = [Task(left[place]) for place in drawn[: sample * MOST_ROUNDS]]
    with Memory() as memory:
        tried = _try(tasks, sample, outcomes_of(recipe, built, number, limits))
    rate, start = _rate(tried, max(1, number))
    rows = [outcome for _, outcome in tried if isinstance(outcome, Row)]
    return EmbeddingPlan(
        tracks=len(manifest),
        done=len(manifest) - len(left),
        sampled=len(tried),
        refused=len(tried) - len(rows),
        reasons=dict(Counter(one.stage for _, one in tried if isinstance(one, Failure))),
        encoder=built.card.label,
        dim=built.card.dim,
        workers=number,
        start_seconds=start,
        tracks_per_second=rate,
        seconds=start + len(left) / rate if left else 0.0,
        output_bytes=_bytes_of(rows, round(len(left) * len(rows) / max(1, len(tried))), built.card),
        memory_bytes=memory.peak,
    )


def _left(manifest: Manifest, store: str | Path | None, card: EncoderCard) -> list[Track]:
    """Tracks that a store does not settle already."""
    tracks = list(manifest.tracks())
    there = [] if store is None else tables(store)
    found = next((table for table in there if table.card.digest == card.digest), None)
    if found is None:
        return tracks
    settled = found.index().look([file_facts(track) for track in tracks])
    return [track for track, one in zip(tracks, settled, strict=True) if one is None]


def _try(tasks: Sequence[Task], least: int, engine: Engine) -> Tried:
    """Embed tracks until there are enough of them and they took long enough."""
    began, tried = time.monotonic(), Tried()

    def wanted() -> Iterator[Task]:
        for number, task in enumerate(tasks):
            lasted = time.monotonic() - began - (tried[0][0] if tried else 0.0)
            if number >= least and lasted > LEAST_SECONDS:
                return
            yield task

    for batch in engine(wanted()):
        tried += [(time.monotonic() - began, outcome) for outcome in batch]
    return tried


def _rate(tried: Tried, workers: int) -> tuple[float, float]:
    """Tracks a second once all work, and seconds until then."""
    if not tried:
        return math.inf, 0.0
    moments = [moment for moment, _ in tried]
    # by then every worker has given about one; outcomes that come together count together
    settled = moments[min(workers, len(moments)) - 1]
    first = sum(moment <= settled for moment in moments)
    if first == len(moments):
        return len(moments) / max(moments[-1], 1e-9), 0.0
    rate = (len(moments) - first) / (moments[-1] - settled)
    return rate, max(0.0, settled - first / rate)


def _bytes_of(rows: Sequence[Row], expected: int, card: EncoderCard) -> int:
    """Bytes on disk of so many rows, from the shards that the sample's rows make."""
    if not rows or not expected:
        return 0
    whole, half = _shard_bytes(rows, card), _shard_bytes(rows[: (len(rows) + 1) // 2], card)
    each = (whole - half) / max(1, len(rows) - (len(rows) + 1) // 2)
    shards = math.ceil(expected / SHARD_ROWS)
    return round(each * expected + max(0.0, half - each * ((len(rows) + 1) // 2)) * shards)


def _shard_bytes(rows: Sequence[Row], card: EncoderCard) -> int:
    with tempfile.TemporaryDirectory() as folder:
        table = FeatureTable.open_or_create(folder, card)
        for row in rows:
            table.append(row)
        table.flush()
        return sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))


class Memory:
    """Peak memory of this process and its children within a ``with`` block, looked at often.

    Attributes
    ----------
    peak : int
        Bytes; pages shared between processes counted once (Linux).

    Examples
    --------
    >>> with Memory() as memory:
    ...     pass
    >>> memory.peak > 2**20
    True
    """

    def __init__(self) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        here = psutil.Process(os.getpid())
        while True:
            total = footprint(here.pid)
            with suppress(psutil.Error):  # one may end while it is asked for its children
                total += sum(footprint(child.pid) for child in here.children(recursive=True))
            self.peak = max(self.peak, total)
            if self._ended.wait(LOOK_SECONDS):
                return
