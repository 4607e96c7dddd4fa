"""From ten thousand tracks to a hundred million: hours, machines, bytes, money, from measurements.

    SEGUE_DATA=../shared/data python benchmarks/scale.py --out /tmp/scale --json

Measures Ray against the local engine on the same files in one run (`choi2017-msd`, two workers
each, in turns; the start of a run is left out of the rates and stated apart), how fast the driver
lists what is to do, and how fast Ray Data hands out batches that take no work; writes that to
benchmarks/results/scale_ray.csv. Then computes the table from it and from embed.csv and
metadata.csv beside it, and writes scale.csv and scale.md; a cell whose measurement is not there
says "not measured yet". `--model` only computes, from what was measured before. The price of a
core-hour, the cores of a machine and the hours that a run may take are assumptions: `--price`,
`--cores`, `--hours`. Five minutes; do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import math
import os
import re
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from embed import copies
from setting import RESULTS, where

from segue.datasets import Manifest, from_paths
from segue.encoders import encoder
from segue.extraction import EmbedReport, Recipe, extract
from segue.extraction.batches import LIST, lists_of
from segue.extraction.crew import MOST
from segue.extraction.ray_backend import RayRun, cluster, extract_with_ray, quietly
from segue.files import write_atomically
from segue.store import FeatureTable

ENCODER = "choi2017-msd"
WORKERS = 2
COPIES = 100  # of each of 14 files
LISTED = 500_000  # tracks in the measurement of lists
HANDED = 4_000  # batches in the measurement of Ray Data
SIZES = tuple(10**power for power in range(4, 9))
FEATURES = 160  # numbers a row, as of choi2017-msd
MEGABYTES = 4.32  # a track: three minutes at 192 kbit/s, the files of embed.py's "catalogue"
MISSING = "not measured yet"
Line = dict[str, Any]


def engines(data: Path, out: Path, rounds: int) -> list[Line]:
    """Tracks a second of both engines, in turns."""
    files = [
        copy
        for path in sorted((data / "mp3_originals").glob("*.mp3"))
        for copy in copies(path, out / "files", COPIES)
    ]
    manifest, recipe = from_paths(files, suffixes=(".mp3",)), Recipe(ENCODER)
    turns: dict[str, list[tuple[float, float, float]]] = {"local": [], "ray": []}
    prints: set[str] = set()
    for _ in range(rounds):
        for name, engine in (("local", extract), ("ray", extract_with_ray)):
            shutil.rmtree(out / "store", ignore_errors=True)
            table = FeatureTable.open_or_create(out / "store", recipe.build().card)
            turns[name].append(timed(engine, manifest, table, recipe))
            prints.add(table.fingerprint())
            print(name, turns[name][-1], flush=True)
    ratio = statistics.median(
        ray[0] / local[0] for ray, local in zip(turns["ray"], turns["local"], strict=True)
    )
    lines: list[Line] = [
        {
            "what": f"{name} engine, {ENCODER}, {WORKERS} workers",
            "tracks": len(files),
            "per_second": round(statistics.median(one[0] for one in marks), 2),
            "start_seconds": round(statistics.median(one[1] for one in marks), 2),
            "processor_ms_a_track": round(1000 * statistics.median(one[2] for one in marks), 1),
        }
        for name, marks in turns.items()
    ]
    lines[1] |= {"ray_to_local": round(ratio, 3), "same_fingerprint": len(prints) == 1}
    return lines


def timed(
    engine: Callable[..., EmbedReport], manifest: Manifest, table: FeatureTable, recipe: Recipe
) -> tuple[float, float, float]:
    """Tracks a second from the first that is done to the end, seconds until the first, and
    processor seconds a track of all processes, which other work on the machine hardly changes."""
    marks: list[tuple[float, int, float]] = []
    worked: dict[int, float] = {}  # of processes, some of which end before the run does

    def mark(done: int, failed: int, total: int) -> None:
        if done and (not marks or marks[-1][1] < total):
            worked.update(processor_seconds())
            marks.append((time.perf_counter(), done, sum(worked.values())))

    began = time.perf_counter()
    done = engine(manifest, table, recipe, workers=WORKERS, progress=mark)
    if done.computed != len(manifest):
        raise SystemExit(f"{done.computed} of {len(manifest)} tracks were embedded")
    (first, count, before), (last, total, after) = marks[0], marks[-1]  # before Ray is stopped
    tracks = total - count
    return tracks / (last - first), first - began, (after - before) / tracks


def processor_seconds() -> dict[int, float]:
    """Of this process and those below it."""
    own = psutil.Process()
    seconds = {}
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds[process.pid] = times.user + times.system
    return seconds


def listing(out: Path) -> Line:
    """How fast the driver looks tracks up and lists what is to do."""
    path = out / "files" / "one.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"any")
    rows = {
        "path": [str(path)] * LISTED,
        "id": [str(number) for number in range(LISTED)],
        "start": [str(number) for number in range(LISTED)],  # each a place of its own
    }
    pq.write_table(pa.table(rows), out / "tracks.parquet")
    manifest = Manifest.read(out / "tracks.parquet")
    shutil.rmtree(out / "store", ignore_errors=True)
    table = FeatureTable.open_or_create(out / "store", encoder("mfcc").card)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    run = RayRun(table, LISTED, retry_failed=False, progress=None)
    with lists_of(table, run.lines(manifest)) as (lists, tracks):
        seconds = time.perf_counter() - began
        size = sum(Path(str(one)).stat().st_size for one in lists)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {
        "what": "driver lists what is to do",
        "tracks": tracks,
        "per_second": round(tracks / seconds),
        "bytes_a_track": round(size / tracks, 1),
        "peak_mib": round(peak / 2**20),
    }


class Idle:
    """An actor that does nothing with a batch."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"computed": [len(batch)]})


def handing_out(out: Path) -> Line:
    """Batches a second that Ray Data hands out and hears of."""
    import ray
    from ray.data import ActorPoolStrategy, read_parquet

    rows = {name: [None] * HANDED * 16 for name in LIST.names}
    pq.write_table(pa.table(rows, schema=LIST), out / "list.parquet")
    with cluster(None), quietly():
        ray.data.DataContext.get_current().enable_progress_bars = False
        batches = read_parquet(str(out / "list.parquet"), num_cpus=0.1).repartition(
            target_num_rows_per_block=16, strict=True
        )
        reports = batches.map_batches(
            Idle,
            batch_size=16,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=WORKERS, max_tasks_in_flight_per_actor=2),
            num_cpus=0.5,
        )
        times = [
            time.perf_counter()
            for _ in reports.iter_batches(batch_size=None, batch_format="pyarrow")
        ]
    seconds = times[-1] - times[0]
    return {
        "what": "Ray Data hands out batches of no work",
        "tracks": HANDED * 16,
        "per_second": round((len(times) - 1) / seconds, 1),
    }


def found(folder: Path, name: str, **wanted: str) -> Line | None:
    """The row of a results file whose cells begin with what is wanted."""
    path = folder / name
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if all((line.get(key) or "").startswith(value) for key, value in wanted.items()):
                return line
    return None


def number(line: Line | None, key: str) -> float | None:
    try:
        return float(line[key]) if line else None
    except (KeyError, ValueError):
        return None


def in_words(line: Line | None, pattern: str) -> float | None:
    """A number that a row tells in words."""
    match = re.search(pattern, line["remark"]) if line else None
    return float(match[1]) if match else None


def measurements(folder: Path) -> dict[str, tuple[float | None, str]]:
    """What the model is made of, and where each number comes from."""
    whole = found(folder, "embed.csv", way="whole way", corpus="catalogue")
    two = found(folder, "embed.csv", way="two workers")
    ray = found(folder, "scale_ray.csv", what="ray engine")
    handed = found(folder, "scale_ray.csv", what="Ray Data")
    listed = found(folder, "scale_ray.csv", what="driver")
    manifest = found(folder, "metadata.csv", step="read manifest")
    index = found(folder, "metadata.csv", step="index of table")
    resume = found(folder, "metadata.csv", step="resume")
    wide = found(folder, "metadata.csv", step=f"write table of {FEATURES}")
    embed = "embed.csv, three-minute MP3s:"
    return {
        "tracks a second of a core": (number(whole, "tracks_per_s"), f"{embed} one worker"),
        "two workers beside one": (number(two, "two_workers"), "embed.csv: two workers"),
        "Ray beside the local engine": (number(ray, "ray_to_local"), "scale_ray.csv"),
        "seconds until Ray has begun": (number(ray, "start_seconds"), "scale_ray.csv"),
        "batches that Ray Data hands out a second": (number(handed, "per_second"), "scale_ray.csv"),
        "tracks a second that the driver lists": (number(listed, "per_second"), "scale_ray.csv"),
        "bytes of a row in the store": (
            in_words(wide, r"([\d.]+) bytes a row on disk"),
            f"metadata.csv: table of {FEATURES}",
        ),
        "bytes of a manifest's row in memory": (
            number(manifest, "peak_bytes_per_row"),
            "metadata.csv: read manifest, at its peak",
        ),
        "bytes of an index's row in memory": (
            number(index, "peak_bytes_per_row"),
            "metadata.csv: index of table, at its peak",
        ),
        "tracks a second of resuming": (
            number(resume, "rows_per_s"),
            "metadata.csv: resume, all done",
        ),
    }


def model(known: Mapping[str, float | None], given: argparse.Namespace) -> list[Line]:
    """A line for each number of tracks."""
    rate, pair = known["tracks a second of a core"], known["two workers beside one"]
    ratio = known["Ray beside the local engine"]
    crowd = None if rate is None or pair is None else rate * pair / 2  # a core among busy ones
    spread = None if crowd is None or ratio is None else crowd * min(1.0, ratio)
    lines = []
    for tracks in SIZES:
        line: Line = {"tracks": tracks}
        core_hours = None if crowd is None else tracks / crowd / 3600
        machines = None
        if core_hours is not None:
            machines = max(1, math.ceil(core_hours / given.cores / given.hours))
            if machines > 1:
                core_hours = None if spread is None else tracks / spread / 3600
                machines = core_hours and math.ceil(core_hours / given.cores / given.hours)
        wall = core_hours / given.cores / machines if core_hours and machines else None
        cost = core_hours * given.price if core_hours else None
        read = tracks * MEGABYTES / 1e6
        line["core hours"] = rounded(core_hours)
        line["machines"] = machines or MISSING
        line["hours"] = rounded(wall)
        line["cost"] = rounded(cost)
        line["cost per 10^6"] = rounded(None if cost is None else cost * 1e6 / tracks)
        line["read, TB"] = rounded(read)
        line["read, MB/s a machine"] = rounded(
            None if not wall or not machines else read * 1e6 / wall / 3600 / machines
        )
        line["store, GB"] = rounded(times(known["bytes of a row in the store"], tracks / 1e9))
        line["manifest in memory, GB"] = rounded(
            times(known["bytes of a manifest's row in memory"], tracks / 1e9)
        )
        line["index in memory, GB"] = rounded(
            times(known["bytes of an index's row in memory"], tracks / 1e9)
        )
        resume = known["tracks a second of resuming"]
        line["resume, minutes"] = rounded(None if not resume else tracks / resume / 60)
        line["shards of Ray"] = math.ceil(tracks / MOST)
        lines.append(line)
    return lines


def times(one: float | None, other: float) -> float | None:
    return None if one is None else one * other


def rounded(value: float | None) -> float | str:
    """Three digits that count."""
    if value is None:
        return MISSING
    short = float(f"{value:.3g}")
    return int(short) if short >= 100 else short


def comma_separated(lines: Sequence[Line]) -> bytes:
    text = io.StringIO()
    columns = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().encode()


def markdown(
    lines: Sequence[Line],
    known: Mapping[str, tuple[float | None, str]],
    given: argparse.Namespace,
    facts: Mapping[str, object],
) -> str:
    """The page of results."""
    columns = list(lines[0])
    head = f"| {' | '.join(columns)} |\n| {' | '.join('---:' for _ in columns)} |\n"
    cells = [
        [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line.values()]
        for line in lines
    ]
    body = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    inputs = "".join(
        f"| {name} | {MISSING if value is None else f'{value:,g}'} | {source} |\n"
        for name, (value, source) in known.items()
    )
    return (
        "# From ten thousand tracks to a hundred million\n\n"
        f"{facts['date']}, {facts['machine']}; made by `python benchmarks/scale.py`. Assumed: "
        f"machines of {given.cores} cores, at most {given.hours:g} hours, {given.price:g} a "
        f"core-hour (in any currency), tracks of {MEGABYTES} MB, each read once and whole.\n\n"
        f"{head}{body}\n"
        "Made of:\n\n| what | measured | where |\n| --- | ---: | --- |\n" + inputs
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="copies of files, stores")
    parser.add_argument("--model", action="store_true", help="compute only")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each engine")
    parser.add_argument("--price", type=float, default=0.05, help="of a core-hour")
    parser.add_argument("--cores", type=int, default=16, help="of a machine")
    parser.add_argument("--hours", type=float, default=24.0, help="that a run may take")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the files are")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    if not given.model:
        data = os.environ.get("SEGUE_DATA")
        if not data or given.out is None:
            sys.exit("SEGUE_DATA must name the folder of real music, and --out a folder")
        given.out.mkdir(parents=True, exist_ok=True)
        rows = [listing(given.out), handing_out(given.out)]
        rows += engines(Path(data), given.out, given.rounds)
        write_atomically(given.results / "scale_ray.csv", comma_separated(rows))
        print(*rows, sep="\n")
    known, facts = measurements(given.results), where()
    lines = model({name: value for name, (value, _) in known.items()}, given)
    write_atomically(given.results / "scale.csv", comma_separated(lines))
    page = markdown(lines, known, given, facts)
    write_atomically(given.results / "scale.md", page.encode())
    print(page)
    if given.json:
        inputs = {name: value for name, (value, _) in known.items()}
        print(json.dumps({"measured": inputs, "rows": lines, **facts}))


if __name__ == "__main__":
    main()
