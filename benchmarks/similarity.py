"""Exact nearest neighbours against scikit-learn's brute force: same neighbours, time and memory.

    python benchmarks/similarity.py

25,000 random vectors of 800 numbers (as many clips as Magnatagatune has, as many numbers as
melstats gives), float32, each asked for its 10 nearest with two threads on either side, the two
taking turns so that other work on the machine touches both alike. L1 is what Hamel et al. 2013
rank by and what the speed is promised for; L2 and cosine are there for information. Memory is what
the search alone adds at its peak to the vectors and loaded libraries, in a process of its own
(Linux only). Writes benchmarks/results/similarity.csv. `--queries N` asks for the first N vectors
only, `--threads N` runs with another number, `--json` prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from setting import RESULTS, where
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from segue.cli.progress import watching
from segue.files import write_atomically
from segue.seeds import generator
from segue.similarity import ExactIndex
from segue.similarity.distance import Metric

ROWS, DIMENSIONS, K = 25_000, 800, 10
TURN = 5_000  # queries a turn: enough for scikit-learn to divide them between threads
THEIR_NAMES: dict[Metric, str] = {"l1": "manhattan", "l2": "euclidean", "cosine": "cosine"}
Found = tuple[NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True)
class Line:
    """One metric."""

    metric: str
    queries: int
    threads: int
    ours_s: float
    sklearn_s: float
    speedup: float
    ours_ms_per_query: float
    other_neighbours: int
    largest_relative_difference: float
    ours_peak_mib: float | None
    sklearn_peak_mib: float | None


def vectors() -> NDArray[np.float32]:
    return generator(0).standard_normal((ROWS, DIMENSIONS), dtype=np.float32)


class Ours:
    """segue's exact index."""

    def __init__(self, X: NDArray[np.float32], metric: Metric, threads: int) -> None:
        self.index = ExactIndex.build(X, [str(n) for n in range(len(X))], metric=metric)
        self.queries = self.index.vectors
        self.threads = threads

    def search(self, queries: NDArray[np.float32]) -> Found:
        return self.index.nearest(queries, K, threads=self.threads)


class Theirs:
    """scikit-learn's brute force over the same standardised vectors."""

    def __init__(self, X: NDArray[np.float32], metric: Metric, threads: int) -> None:
        self.brute = NearestNeighbors(
            n_neighbors=K, algorithm="brute", metric=THEIR_NAMES[metric], n_jobs=threads
        ).fit(X)
        self.threads = threads

    def search(self, queries: NDArray[np.float32]) -> Found:
        with threadpool_limits(limits=self.threads):
            distances, found = self.brute.kneighbors(queries)
        return found, np.asarray(distances, dtype=np.float64)


def compare(metric: Metric, queries: int, threads: int) -> Line:
    ours = Ours(vectors(), metric, threads)
    theirs = Theirs(ours.queries, metric, threads)
    seconds = {"ours": 0.0, "sklearn": 0.0}
    found: dict[str, list[Found]] = {"ours": [], "sklearn": []}
    ours.search(ours.queries[:2])  # libraries load before the clock starts
    theirs.search(ours.queries[:2])
    with watching() as watch:
        for turn, start in enumerate(range(0, queries, TURN)):
            block = ours.queries[start : min(start + TURN, queries)]
            order = [("ours", ours.search), ("sklearn", theirs.search)]
            for name, search in order if turn % 2 == 0 else order[::-1]:
                began = time.perf_counter()
                found[name].append(search(block))
                seconds[name] += time.perf_counter() - began
            watch(metric, min(start + TURN, queries), queries)
    others, apart = differences(found["ours"], found["sklearn"])
    return Line(
        metric=metric,
        queries=queries,
        threads=threads,
        ours_s=round(seconds["ours"], 2),
        sklearn_s=round(seconds["sklearn"], 2),
        speedup=round(seconds["sklearn"] / seconds["ours"], 2),
        ours_ms_per_query=round(1000 * seconds["ours"] / queries, 3),
        other_neighbours=others,
        largest_relative_difference=apart,
        ours_peak_mib=peak_of("ours", metric, threads, queries),
        sklearn_peak_mib=peak_of("sklearn", metric, threads, queries),
    )


def differences(ours: list[Found], theirs: list[Found]) -> tuple[int, float]:
    """Queries whose ten neighbours are others, and how far apart the distances are at most.

    A query's distance to itself is left out: scikit-learn's L2 and cosine, from matrix products,
    do not give exactly 0 there.
    """
    a, x = (np.concatenate(part) for part in zip(*ours, strict=True))
    b, y = (np.concatenate(part) for part in zip(*theirs, strict=True))
    others = int((np.sort(a, axis=1) != np.sort(b, axis=1)).any(axis=1).sum())
    relative = np.abs(x - y)[:, 1:] / x[:, 1:]
    return others, float(f"{relative.max():.2g}")


def peak_of(name: str, metric: Metric, threads: int, queries: int) -> float | None:
    """MiB that one search adds at its peak, measured in a new process; None beside Linux."""
    if sys.platform != "linux":
        return None
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        return pool.submit(_peak, name, metric, threads, min(queries, TURN)).result()


def _peak(name: str, metric: Metric, threads: int, queries: int) -> float:
    searcher: Ours | Theirs = (Ours if name == "ours" else Theirs)(vectors(), metric, threads)
    asked = vectors()[:queries]
    searcher.search(asked[:2])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the former peak
    before = _memory("VmRSS")
    searcher.search(asked)
    return round((_memory("VmHWM") - before) / 1024, 1)


def _memory(field: str) -> int:
    """KiB that /proc/self/status tells."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queries", type=int, default=ROWS, help="the first N vectors only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    if not 1 <= given.queries <= ROWS or given.threads < 1:
        parser.error(f"--queries from 1 to {ROWS}, --threads of at least 1")
    metrics: tuple[Metric, ...] = ("l1", "l2", "cosine")
    lines = [compare(metric, given.queries, given.threads) for metric in metrics]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(lines[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in lines)
    write_atomically(RESULTS / "similarity.csv", text.getvalue().encode())
    print(text.getvalue(), end="")
    if given.json:
        print(
            json.dumps(
                {
                    "speedup": lines[0].speedup,
                    "same_neighbours": lines[0].other_neighbours == 0,
                    "metrics": [asdict(line) for line in lines],
                    **where(),
                }
            )
        )


if __name__ == "__main__":
    main()
