"""Factors of a million tracks: memory against ten thousand, and how fast vectors become words.

Measured are `learn_factors` and `group_shares` alone; a manifest, its frames and the page of
`segue targets artist-groups` are not part of it.

    python benchmarks/artist_groups.py --work DIR

Tracks are simulated: each has one vector of 16 numbers, drawn again from (seed, track) whenever it
is read, so that no table of them is ever in memory; some seven tracks make a group. A dictionary of
1,000 words from 10,000 vectors (as many as the small collection has), bags, 40 topics in one pass,
and a distribution for every group. Memory is what this adds at its peak to the loaded libraries, in
a process of its own for each size (Linux only). Then frames of 25 numbers are assigned to 2,048
words, one thread, beside scikit-learn's MiniBatchKMeans.predict on the same frames, in turns.
Writes benchmarks/results/artist_groups.csv; `--json` prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray
from setting import RESULTS, where
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from segue.files import write_atomically
from segue.seeds import generator
from segue.targets.factors import FactorSettings, group_shares, learn_factors
from segue.targets.words import Dictionary

SIZES = {10_000: 1_500, 1_000_000: 150_000}  # tracks and groups
WIDTH, KINDS = 16, 64
SETTINGS = FactorSettings(words=1_000, topics=40, passes=1, vectors=10_000)
FRAMES, FRAME_WIDTH, WORDS, TURNS = 200_000, 25, 2_048, 3
PER_TRACK = "8 bytes a track: the group's number, as the source holds it; 2 while it is checked"
PER_GROUP = (
    "160 bytes a group: the distribution that is asked for; 40 of counts and orders; and, while "
    "names are compared, the names"
)


class Names(Sequence[str]):
    """Names that are made when they are asked for."""

    def __init__(self, kind: str, size: int) -> None:
        self.kind = kind
        self.size = size

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, number: int) -> str: ...

    @overload
    def __getitem__(self, number: slice) -> list[str]: ...

    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(self.size))]
        if not 0 <= number < self.size:
            raise IndexError(number)
        return f"{self.kind} {number}"


class Simulated:
    """Tracks whose vectors are drawn when they are asked for."""

    def __init__(self, tracks: int, groups: int) -> None:
        self.names = Names("artist", groups)
        self.tracks = Names("track", tracks)
        self.group_of = np.arange(tracks, dtype=np.int64) * groups // tracks
        self.kinds = generator(0, "kinds").normal(0.0, 3.0, (KINDS, WIDTH)).astype(np.float32)

    def vectors(self, track: int) -> NDArray[np.float32]:
        """One vector (1, 16), near that of the group's kind."""
        noise = generator(0, track).standard_normal((1, WIDTH), dtype=np.float32)
        noise += self.kinds[self.group_of[track] % KINDS]
        return noise


@dataclass(frozen=True)
class Size:
    """One size of collection."""

    tracks: int
    groups: int
    seconds: float
    peak_mib: float | None


@dataclass(frozen=True)
class Speed:
    """Frames to words, one thread."""

    vectors_per_s: int
    sklearn_vectors_per_s: int
    vs_sklearn: float
    other_words: int


def measure(tracks: int, work: Path) -> Size:
    """One size, in a new process."""
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        return pool.submit(_measure, tracks, work).result()


def _measure(tracks: int, work: Path) -> Size:
    source = Simulated(100, 20)  # libraries load before anything is measured
    group_shares(learn_factors(source, SETTINGS, work=work), source, work=work)
    linux = sys.platform == "linux"
    if linux:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the former peak
    before = _memory("VmRSS") if linux else 0
    began = time.perf_counter()
    source = Simulated(tracks, SIZES[tracks])
    group_shares(learn_factors(source, SETTINGS, work=work), source, work=work)
    seconds = round(time.perf_counter() - began, 1)
    peak = round((_memory("VmHWM") - before) / 1024, 1) if linux else None
    return Size(tracks, SIZES[tracks], seconds, peak)


def _memory(field: str) -> int:
    """KiB that /proc/self/status tells."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def assign() -> Speed:
    """Frames to the nearest of 2,048 words, and scikit-learn's answer; the best of three turns."""
    draws = generator(0, "frames")
    frames = draws.standard_normal((FRAMES, FRAME_WIDTH), dtype=np.float32)
    centres = draws.standard_normal((WORDS, FRAME_WIDTH), dtype=np.float32)
    plain = np.zeros(FRAME_WIDTH, np.float32)
    ours = Dictionary(centres=centres, shift=plain, scale=plain + 1)
    theirs = MiniBatchKMeans(WORDS, init=centres, n_init=1, batch_size=WORDS)
    theirs.partial_fit(centres)  # as many vectors as centres: each stays where it is
    seconds: dict[str, list[float]] = {"ours": [], "sklearn": []}
    with threadpool_limits(1):
        for _ in range(TURNS):
            began = time.perf_counter()
            found = ours.words(frames)
            middle = time.perf_counter()
            expected = theirs.predict(frames)
            seconds["ours"].append(middle - began)
            seconds["sklearn"].append(time.perf_counter() - middle)
    best = {name: min(times) for name, times in seconds.items()}
    return Speed(
        vectors_per_s=round(FRAMES / best["ours"]),
        sklearn_vectors_per_s=round(FRAMES / best["sklearn"]),
        vs_sklearn=round(best["sklearn"] / best["ours"], 2),
        other_words=int((found != expected).sum()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for bags of words")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    speed = assign()
    small, large = (measure(tracks, given.work) for tracks in SIZES)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["what", "value"])
    for size in (small, large):
        for name, value in asdict(size).items():
            writer.writerow([f"{size.tracks} tracks: {name}", value])
    for name, value in asdict(speed).items():
        writer.writerow([f"assigning: {name}", value])
    write_atomically(RESULTS / "artist_groups.csv", text.getvalue().encode())
    print(text.getvalue(), end="")
    if given.json:
        grown = None
        if small.peak_mib is not None and large.peak_mib is not None:
            grown = round(large.peak_mib - small.peak_mib, 1)
        facts = {
            "measured": "learn_factors and group_shares on simulated vectors; no manifest",
            "peak_mib_10k": small.peak_mib,
            "peak_mib_1m": large.peak_mib,
            "grown_mib": grown,
            "grows_with": [PER_TRACK, PER_GROUP],
            "seconds_1m": large.seconds,
            "tracks_per_s": round(large.tracks / large.seconds),
            **asdict(speed),
            **where(),
        }
        print(json.dumps(facts))


if __name__ == "__main__":
    main()
