"""From MP3 files to stored features: rates beside decoding alone and beside librosa, and memory.

    SEGUE_DATA=../shared/data python benchmarks/embed.py --out /tmp/embed --json

One run, one core, the sides in turns: decoding and resampling the first 29 s to 12 kHz; the whole
way to stored features of `choi2017-msd` with one worker process (`segue.workflows.embed`, a fresh
store, hash, checks and writing included; the start of a run is left out and stated apart); and
librosa.load with librosa.feature.mfcc. Then two workers against one on two cores, and every encoder
in a process of its own. Two kinds of music: the 14 originals of 4q as distributed, and three-minute
stereo MP3s at 44.1 kHz and 192 kbit/s made here of 4q. Copies differ in their tag, or the store
would know their content. --engines adds other ways to run the front end and the network. Writes
benchmarks/results/embed.csv and embed.md. The weights of choi2017-msd must have been pulled. Seven
minutes; do nothing else meanwhile: `undisturbed` is the share of the time that decoding had its
core for itself.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from setting import RESULTS, where

from segue.audio import load
from segue.datasets import Manifest
from segue.encoders import ENCODERS, encoder
from segue.errors import SegueError
from segue.workflows import embed

ENCODER = "choi2017-msd"
RATE, SECONDS = 12000, 29.0
COPIES = {"originals": 10, "catalogue": 14}
CATALOGUE = 8  # different files
CLIPS = 6  # of 30 s in each
BITS, HERTZ = 192_000, 44100
Line = dict[str, Any]


def originals(data: Path, folder: Path) -> list[Path]:
    """Copies of the MP3s as distributed: 16 to 44.1 kHz, some mono."""
    return [
        copy
        for path in sorted((data / "mp3_originals").glob("*.mp3"))
        for copy in copies(path, folder, COPIES["originals"])
    ]


def catalogue(data: Path, folder: Path) -> list[Path]:
    """Copies of three-minute stereo MP3s, as a catalogue has them, of clips of 4q."""
    tracks = list(Manifest.read(data / "4q" / "manifest.csv").tracks())
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for number in range(CATALOGUE):
        path = folder / f"made-{number}.mp3"
        if not path.is_file():
            clips = tracks[number * CLIPS * 9 : (number + 1) * CLIPS * 9 : 9]
            samples = [load(track.path, rate=HERTZ).samples for track in clips]
            encode(np.concatenate(samples), path)
        files += copies(path, folder, COPIES["catalogue"])
    return files


def encode(samples: NDArray[np.float32], path: Path) -> None:
    """Write samples as stereo: on the right with some of what sounded 10 ms before."""
    late = np.concatenate([np.zeros(HERTZ // 100, np.float32), samples])[: len(samples)]
    both = np.stack([samples, 0.7 * samples + 0.3 * late])
    whole = path.with_suffix(".part")
    with av.open(str(whole), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=HERTZ, layout="stereo", bit_rate=BITS)
        for begin in range(0, both.shape[1], 1152):
            block = np.ascontiguousarray(both[:, begin : begin + 1152].clip(-1.0, 1.0))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate = HERTZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    whole.rename(path)


def copies(path: Path, folder: Path, count: int) -> list[Path]:
    """Files that differ in the ID3 tag at their end."""
    folder.mkdir(parents=True, exist_ok=True)
    content = path.read_bytes()
    found = []
    for number in range(count):
        copy = folder / f"{path.stem}-{number:02d}.mp3"
        if not copy.is_file():
            copy.write_bytes(content + b"TAG" + f"copy {number}".encode().ljust(125, b"\0"))
        found.append(copy)
    return found


class Cost(NamedTuple):
    """Of a track, in seconds: by the clock, of processors, and before the first was done."""

    clock: float
    processor: float
    start: float = 0.0


def decoded(files: Sequence[Path]) -> Cost:
    """Decoding and resampling alone."""
    began, worked = time.perf_counter(), time.process_time()
    for path in files:
        load(path, rate=RATE, duration=SECONDS)
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    return Cost(seconds / len(files), busy / len(files))


def stored(files: Sequence[Path], store: Path, workers: int) -> Cost:
    """The whole way, counted from the first track that was done to the last thing written."""
    shutil.rmtree(store, ignore_errors=True)
    marks: list[tuple[int, float, float]] = []

    def mark(done: int, failed: int, total: int) -> None:
        if done and (not marks or done == total):
            marks.append((done, time.perf_counter(), spent()))

    began = time.perf_counter()
    done = embed(files, store, encoder=ENCODER, workers=workers, progress=mark)
    ended = time.perf_counter()
    if done.computed != len(files):
        raise SystemExit(f"{done.computed} of {len(files)} tracks were embedded")
    (count, first, before), (_, _, after) = marks[0], marks[-1]
    tracks = len(files) - count
    return Cost((ended - first) / tracks, (after - before) / tracks, first - began)


def spent() -> float:
    """Seconds that this process and its workers have had of processors."""
    here = psutil.Process()
    times = [one.cpu_times() for one in (here, *here.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def peak_megabytes() -> int:
    """The most memory this process ever had; getrusage would count its parent's before exec."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024)


def librosa_mfcc(files: Sequence[Path], *, whole: bool = False) -> float:
    """Seconds a track of the field's habit: of the stretch and at the rate of the other sides, or
    with librosa's own defaults (the whole file at 22,050 Hz).
    """
    import librosa

    began = time.perf_counter()
    for path in files:
        rate, seconds = (22050, None) if whole else (RATE, SECONDS)
        samples, _ = librosa.load(path, sr=rate, duration=seconds)
        librosa.feature.mfcc(y=samples, sr=rate)
    return (time.perf_counter() - began) / len(files)


def one_core(files: Sequence[Path], corpus: str, out: Path, rounds: int) -> list[Line]:
    """The sides in turns on one core; medians of the rounds, and the ratio of each round."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    sample = files[:: max(1, len(files) // 28)]
    decoded(sample)
    librosa_mfcc(sample[:2])
    alone, whole, habit, defaults = [], [], [], []
    for _ in range(rounds):
        alone.append(decoded(files))
        whole.append(stored(files, out / "store", 1))
        habit.append(librosa_mfcc(sample))
        defaults.append(librosa_mfcc(sample[:8], whole=True))
    pairs = list(zip(alone, whole, strict=True))
    ratios = sorted(before.clock / after.clock for before, after in pairs)
    processor = statistics.median(before.processor / after.processor for before, after in pairs)
    clock = statistics.median(cost.clock for cost in whole)
    facts = {
        "corpus": corpus,
        "undisturbed": round(statistics.median(one.processor / one.clock for one in alone), 3),
    }
    return [
        {
            "way": "decode and resample alone",
            **rate(statistics.median(cost.clock for cost in alone)),
            **facts,
        },
        {
            "way": f"whole way, {ENCODER}, one worker",
            **rate(clock),
            **facts,
            "ratio_to_decode": round(statistics.median(ratios), 3),
            "lowest_ratio": round(ratios[0], 3),
            "highest_ratio": round(ratios[-1], 3),
            "ratio_of_processor_time": round(processor, 3),
            "start_seconds": round(statistics.median(cost.start for cost in whole), 2),
            "vs_librosa_mfcc": round(statistics.median(habit) / clock, 2),
            "vs_librosa_defaults": round(statistics.median(defaults) / clock, 2),
        },
        {
            "way": "librosa.load and librosa.feature.mfcc, the same stretch and rate",
            **rate(statistics.median(habit)),
            **facts,
        },
        {
            "way": "librosa.load and librosa.feature.mfcc, its defaults: whole file, 22,050 Hz",
            **rate(statistics.median(defaults)),
            **facts,
        },
    ]


def two_workers(
    files: Sequence[Path], corpus: str, out: Path, rounds: int, cores: set[int]
) -> list[Line]:
    """Two workers and one, in turns, both with two cores."""
    if len(cores) < 2:
        print("two workers are left out: there is one core", file=sys.stderr)
        return []
    os.sched_setaffinity(0, sorted(cores)[:2])
    turns = [
        tuple(stored(files, out / "store", workers).clock for workers in (1, 2))
        for _ in range(rounds)
    ]
    one, two = (statistics.median(side) for side in zip(*turns, strict=True))
    times = statistics.median(turn[0] / turn[1] for turn in turns)
    return [
        {"way": "one worker, two cores", **rate(one), "corpus": corpus},
        {
            "way": "two workers, two cores",
            **rate(two),
            "corpus": corpus,
            "two_workers": round(times, 2),
        },
    ]


def rate(seconds: float) -> Line:
    return {"tracks_per_s": round(1 / seconds, 2), "ms_per_track": round(1000 * seconds, 2)}


def alone(name: str, folder: Path, out: Path) -> Line:
    """One encoder in this process, on one core: its rate, and the most memory it ever had."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    torch.set_num_threads(1)
    files = sorted(folder.glob("*-00.mp3"))
    shutil.rmtree(out / name, ignore_errors=True)
    embed(files[:1], out / name / "first", encoder=name, workers=0)
    began = time.perf_counter()
    done = embed(files, out / name / "all", encoder=name, workers=0)
    seconds = time.perf_counter() - began
    if done.computed != len(files):
        raise SystemExit(f"{name}: {[failure.reason for failure in done.failures]}")
    return {
        **rate(seconds / len(files)),
        "peak_mb": peak_megabytes(),
        "corpus": "originals",
    }


def every_encoder(out: Path) -> list[Line]:
    """A process each; an encoder whose weights or library are missing says so."""
    lines = []
    for known in ENCODERS:
        try:
            encoder(known.name)
        except SegueError as error:
            lines.append({"way": known.name, "left_out": error.got})
            continue
        command = [sys.executable, __file__, "--out", str(out), "--one", known.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        lines.append({"way": known.name, **json.loads(done.stdout.splitlines()[-1])})
        print(lines[-1])
    return lines


def on_gpu(files: Sequence[Path]) -> list[Line]:
    """Front end and network on the device, decoding in processes beside."""
    if not torch.cuda.is_available():
        return [{"way": "GPU", "left_out": "torch can use none here"}]
    from segue.datasets import from_paths
    from segue.extraction import Recipe
    from segue.extraction.pool import Gauge, available_cpus, run_apart
    from segue.extraction.worker import Task

    recipe = Recipe(ENCODER, device="cuda")
    tasks = [Task(track) for track in from_paths(list(files), suffixes=(".mp3",)).tracks()]
    gauge, built, workers = Gauge(), recipe.build(), available_cpus()
    for _ in run_apart(tasks[:64], recipe, built, workers=workers):
        pass
    began = time.perf_counter()
    for _ in run_apart(tasks, recipe, built, workers=workers, gauge=gauge):
        pass
    seconds = (time.perf_counter() - began) / len(tasks)
    name = f"{torch.cuda.get_device_name()}, decoding in {workers} processes"
    return [{"way": name, **rate(seconds), "gpu_idle_share": round(gauge.idle_share, 3)}]


def write(lines: Sequence[Line], folder: Path, facts: Line) -> None:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "embed.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    head = f"| {' | '.join(columns)} |\n| {' | '.join('---' for _ in columns)} |\n"
    body = "".join(f"| {' | '.join(str(line.get(c, '')) for c in columns)} |\n" for line in lines)
    words = (
        "# From MP3 files to stored features\n\n"
        f"{facts['date']}, {facts['machine']}; made by `python benchmarks/embed.py --out DIR "
        "--engines`, which says what each row is. Rates are of one core unless a row says "
        "otherwise; 29 s of each track are heard (taggers and others: their own excerpt).\n\n"
    )
    (folder / "embed.md").write_text(words + head + body, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="copies of files, stores")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--engines", action="store_true", help="other ways to run the network")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where embed.csv goes")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.one:
        print(json.dumps(alone(given.one, given.out / "originals", given.out / "alone")))
        return
    data = os.environ.get("SEGUE_DATA")
    if not data:
        sys.exit("SEGUE_DATA must name the folder of real music")
    torch.set_num_threads(1)
    cores = os.sched_getaffinity(0)
    lines = measured(Path(data), given.out, given.rounds, cores)
    if given.engines:
        from engines import every_engine

        lines += every_engine(ENCODER, sorted((given.out / "originals").glob("*-00.mp3")))
    facts = where()
    write(lines, given.results, facts)
    for line in lines:
        print(", ".join(f"{key} {value}" for key, value in line.items()))
    if given.json:
        whole = next(line for line in lines if "ratio_to_decode" in line)
        keys = (
            "ratio_to_decode",
            "ratio_of_processor_time",
            "vs_librosa_mfcc",
            "vs_librosa_defaults",
            "tracks_per_s",
            "undisturbed",
        )
        headline = {key: whole[key] for key in keys}
        found = [line["two_workers"] for line in lines if "two_workers" in line]
        headline["two_workers"] = found[0] if found else None
        print(json.dumps({**headline, "corpus": whole["corpus"], "rows": lines, **facts}))


def measured(data: Path, out: Path, rounds: int, cores: set[int]) -> list[Line]:
    """All rows but those of engines."""
    lines: list[Line] = []
    corpora: dict[str, Callable[[Path, Path], list[Path]]] = {
        "originals": originals,
        "catalogue": catalogue,
    }
    made = {name: make(data, out / name) for name, make in corpora.items()}
    for name, files in made.items():
        lines += one_core(files, name, out, rounds)
        print(*lines[-3:], sep="\n")
    lines += two_workers(made["originals"], "originals", out, rounds, cores)
    os.sched_setaffinity(0, cores)
    lines += on_gpu(made["originals"])
    return [*lines, *every_encoder(out)]


if __name__ == "__main__":
    main()
