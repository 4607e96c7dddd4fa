"""Ten million tracks without their audio: manifest, store and resuming, in time and memory.

    python benchmarks/metadata.py --out DIR

Makes ten million real files (hard links to 200 short ones), a Parquet manifest of them and a table
with a row for each, as if they had been embedded; then resumes over it as a run does: it reads the
manifest, builds the index of the table, asks the file system for each file and looks it up. The
features of that table are 8 numbers wide to spare the disk; a smaller one shows what a row takes
at 160. Then the whole of `segue.workflows.embed` over 100,000 files that are done. Each step runs
in a process of its own; memory is what it adds at its peak to the loaded libraries (Linux only).
Writes benchmarks/results/metadata.csv and metadata.md. What was made in DIR (about 3 GB) is
removed at the end. `--rows N` asks for another number of tracks and writes no results, `--json`
prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from setting import RESULTS, where

from segue.card import EncoderCard, ExcerptSpec, FrontEndSpec
from segue.files import entries, write_atomically
from segue.seeds import generator
from segue.store import FeatureTable, FileFacts, Row

ROWS, DONE = 10_000_000, 100_000
LINKS = 50_000  # of one file: ext4 allows 65,000
FOLDER = 5_000  # files in a folder
BATCH = 1024  # tracks looked up at once, as a run does
NARROW, WIDE = 8, 160

Step = Callable[[Path, int], str]


@dataclass(frozen=True)
class Line:
    """One step."""

    step: str
    rows: int
    seconds: float
    rows_per_s: int
    peak_mib: int | None
    peak_bytes_per_row: int | None
    remark: str


def card(dim: int) -> EncoderCard:
    """The card of a table of so many features."""
    spec = FrontEndSpec(rate=8000, n_fft=256, hop=128, n_mels=20)
    excerpt = ExcerptSpec(seconds=1.0)
    return EncoderCard(name=f"simulated{dim}", version=1, dim=dim, front_end=spec, excerpt=excerpt)


def name(number: int) -> str:
    return f"{number // FOLDER:05}/{number % FOLDER:04}.wav"


def make_files(out: Path, rows: int) -> str:
    """Short files, and links to them until there are enough."""
    sources = []
    for number in range(-(-rows // LINKS)):
        path = out / "sources" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generator(number).normal(0, 0.1, 800 + number), 8000)
        sources.append(path)
    for number in range(rows):
        if number % FOLDER == 0:
            (out / "music" / f"{number // FOLDER:05}").mkdir(parents=True)
        os.link(sources[number // LINKS], out / "music" / name(number))
    return f"{len(sources)} files, the others are hard links"


def make_manifest(out: Path, rows: int) -> str:
    """A Parquet manifest of paths and artists."""
    schema = pa.schema([("path", pa.string()), ("artist", pa.string())])
    path = out / "music" / "tracks.parquet"
    with pq.ParquetWriter(path, schema) as writer:
        for begin in range(0, rows, 100_000):
            numbers = range(begin, min(begin + 100_000, rows))
            cells = [[name(n) for n in numbers], [f"artist {n // 12}" for n in numbers]]
            writer.write_table(pa.table([pa.array(one) for one in cells], schema=schema))
    return f"{path.stat().st_size / rows:.1f} bytes a row on disk"


def make_table(out: Path, rows: int, dim: int) -> str:
    """A table with a row for each file, in the way a run writes it."""
    began = time.perf_counter()
    table = FeatureTable.open_or_create(out / "store", card(dim))
    fill(table, out, rows)
    seconds = time.perf_counter() - began
    shards = [path.stat().st_size for path in entries(table.folder / "shards")]
    return (
        f"{sum(shards) / rows:.0f} bytes a row on disk at {dim} features, {len(shards)} shards, "
        f"{1e6 * seconds / rows:.0f} microseconds a row"
    )


def fill(table: FeatureTable, out: Path, rows: int) -> None:
    draws, root = generator(1), os.path.abspath(out / "music")  # noqa: PTH100
    with table.lock():
        for number in range(rows):
            if number % LINKS == 0:
                status = (out / "music" / name(number)).stat()
            facts = FileFacts(
                id=name(number),
                path=f"{root}/{name(number)}",
                line=number + 1,
                bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
            )
            key = f"{hashlib.sha256(b'%d' % number).hexdigest()}:0.0:None"
            features = draws.standard_normal(table.card.dim, dtype=np.float32)
            table.append(
                Row(
                    facts=facts,
                    key=key,
                    source_rate=8000,
                    source_channels=1,
                    seconds=0.1,
                    features=features,
                    decoder="soundfile 0.13.1/libsndfile 1.2.2",
                )
            )
        table.flush()


def make_narrow(out: Path, rows: int) -> str:
    return make_table(out, rows, NARROW)


def make_wide(out: Path, rows: int) -> str:
    return make_table(out, rows, WIDE)


def read_manifest(out: Path, rows: int) -> str:
    """What `segue embed MANIFEST` begins with."""
    from segue.datasets import Manifest

    manifest = Manifest.read(out / "music" / "tracks.parquet")
    assert len(manifest) == rows
    return f"{manifest.table.nbytes / rows:.0f} bytes a row are kept"


def build_index(out: Path, rows: int) -> str:
    """What every run reads of a table."""
    index = FeatureTable.open_or_create(out / "store", card(NARROW)).index()
    assert len(index) == rows
    return f"{index.nbytes / rows:.0f} bytes a row are kept"


def resume(out: Path, rows: int) -> str:
    """All that a run does before it finds that there is nothing to do."""
    from segue.datasets import Manifest
    from segue.extraction import file_facts

    times = dict.fromkeys(("manifest", "index", "rows of it", "file system", "look"), 0.0)
    began = time.perf_counter()

    def took(part: str) -> None:
        nonlocal began
        now = time.perf_counter()
        times[part] += now - began
        began = now

    manifest = Manifest.read(out / "music" / "tracks.parquet")
    took("manifest")
    index = FeatureTable.open_or_create(out / "store", card(NARROW)).index()
    took("index")
    tracks, done = manifest.tracks(), 0
    while batch := list(islice(tracks, BATCH)):
        took("rows of it")
        facts = [file_facts(track) for track in batch]
        took("file system")
        done += index.look(facts).count("done")
        took("look")
    assert done == rows
    return "seconds: " + ", ".join(f"{part} {spent:.1f}" for part, spent in times.items())


def make_done(out: Path, rows: int) -> str:
    """A table of a real encoder that has all files."""
    from segue.encoders import encoder

    fill(FeatureTable.open_or_create(out / "done", encoder("mfcc").card), out, rows)
    return ""


def embed_done(out: Path, rows: int) -> str:
    """The whole workflow over files that are done."""
    from segue.workflows import embed

    report = embed(out / "music" / "tracks.parquet", out / "done", encoder="mfcc")
    assert (report.reused, report.computed, report.quarantined) == (rows, 0, 0)
    return "segue.workflows.embed, as loaded: everything is done"


def measured(step: str, work: Step, out: Path, rows: int) -> Line:
    """A step in a new process."""
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        seconds, peak, remark = pool.submit(_measure, work, out, rows).result()
    print(f"{step}, {rows} rows: {seconds:.1f} s, {peak} MiB; {remark}", flush=True)
    return Line(
        step=step,
        rows=rows,
        seconds=round(seconds, 1),
        rows_per_s=round(rows / seconds),
        peak_mib=peak,
        peak_bytes_per_row=None if peak is None else round(peak * 2**20 / rows),
        remark=remark,
    )


def _measure(work: Step, out: Path, rows: int) -> tuple[float, int | None, str]:
    from segue import datasets, extraction, workflows  # noqa: F401 (loaded before the clock starts)

    pa.set_cpu_count(1)
    linux = sys.platform == "linux"
    if linux:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the former peak
        before = _memory("VmRSS")
    began = time.perf_counter()
    remark = work(out, rows)
    seconds = time.perf_counter() - began
    return seconds, round((_memory("VmHWM") - before) / 1024) if linux else None, remark


def _memory(field: str) -> int:
    """KiB that /proc/self/status tells."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def markdown(lines: list[Line], facts: dict[str, object]) -> str:
    """The page of results."""
    rows = [
        f"| {one.step} | {one.rows:,} | {one.seconds} | {one.rows_per_s:,} | {one.peak_mib} "
        f"| {one.peak_bytes_per_row} | {one.remark} |"
        for one in lines
    ]
    head = (
        "# Ten million tracks without their audio\n\n"
        f"Made by `python benchmarks/metadata.py --out DIR` on {facts['machine']}, "
        f"{facts['date']}. Each step in a process of its own; memory is what it adds at its peak "
        "to the loaded libraries.\n\n"
        "| step | rows | seconds | rows/s | peak MiB | peak bytes a row | |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="what is made meanwhile")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    if given.rows < 1:
        parser.error("--rows of at least 1")
    out: Path = given.out / "metadata"
    done = min(DONE, given.rows)
    try:
        lines = [
            measured("make files", make_files, out, given.rows),
            measured("write manifest", make_manifest, out, given.rows),
            measured(f"write table of {NARROW}", make_narrow, out, given.rows),
            measured("read manifest", read_manifest, out, given.rows),
            measured("index of table", build_index, out, given.rows),
            measured("resume, all done", resume, out, given.rows),
            measured(f"write table of {WIDE}", make_wide, out, done),
        ]
        shutil.rmtree(out)
        lines += [
            measured("make files", make_files, out, done),
            measured("write manifest", make_manifest, out, done),
            measured("write table of mfcc", make_done, out, done),
            measured("embed, all done", embed_done, out, done),
        ]
    finally:
        shutil.rmtree(out, ignore_errors=True)
    facts = where()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(lines[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in lines)
    if given.rows == ROWS:  # a quick run leaves the results of a whole one
        write_atomically(RESULTS / "metadata.csv", text.getvalue().encode())
        write_atomically(RESULTS / "metadata.md", markdown(lines, facts).encode())
    if given.json:
        by_step = {line.step: line for line in lines}
        print(
            json.dumps(
                {
                    "resume_s": by_step["resume, all done"].seconds,
                    "resume_peak_mib": by_step["resume, all done"].peak_mib,
                    "done_files_s": by_step["embed, all done"].seconds,
                    "steps": [asdict(line) for line in lines],
                    **facts,
                }
            )
        )


if __name__ == "__main__":
    main()
