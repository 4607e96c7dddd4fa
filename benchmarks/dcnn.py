"""The convnets of Kim et al. 2018: segments per second in training and use, and waits for data.

    SEGUE_DATA=../shared/data python benchmarks/dcnn.py --work /tmp/dcnn --json

Full width, batches of 64 segments. Training reads random seconds of the clips of 4q from a frame
table in --work (made there the first time), and of a table of --tracks simulated clips of 30 s,
whose pages are dropped from memory first, so that every segment is read from the disk. The share of
the time that training waits for data is counted by the lesson itself. In use: samples to features
by the encoder, front end and all, and stored frames to features. On a GPU too, where there is one.
Writes benchmarks/results/dcnn.csv. Three minutes without making the tables; do nothing else
meanwhile.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from setting import RESULTS, where

from segue.audio import Audio
from segue.card import EncoderCard
from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.encoders.dcnn import EXCERPT, FRONT_END, DcnnEncoder, DcnnSpec, Sharing
from segue.encoders.precision import full_float32
from segue.extraction.frames import extract_frames, frame_recipe
from segue.extraction.worker import file_facts
from segue.seeds import generator
from segue.store import FileFacts, FrameKind, FrameTable, Row
from segue.training.clips import Clips
from segue.training.dcnn.features import segments_of
from segue.training.dcnn.lesson import DcnnLesson, Task
from segue.training.dcnn.network import new_dcnn
from segue.training.dcnn.settings import DcnnSettings
from segue.training.gradient import GradientLearner
from segue.training.loop import Precision, Settings
from segue.training.parallel import World
from segue.workflows.evaluating import counted

BATCH = 64
FRAMES = 1292  # of 30 s
WARM = 4
TASKS = (("g", 16), ("m", 40), ("d", 40), ("e", 40), ("s", 40))
SHIFT, SCALE = np.full(128, -40.0, np.float32), np.full(128, 1 / 15, np.float32)
Line = dict[str, Any]


def frames_of_4q(data: Path, work: Path) -> Clips:
    """Its clips in a frame table, which is filled as far as it is not."""
    recipe = frame_recipe("kim2018")
    maker = recipe.build()
    table = FrameTable.open_or_create(work / "4q", maker.kind)
    manifest = Manifest.read(data / "4q" / "manifest.csv")
    with watching() as watch:
        extract_frames(
            manifest,
            table,
            recipe,
            maker=maker,
            progress=counted(watch, "frames of 4q"),
        )
    found = table.find([file_facts(track) for track in manifest.tracks()])
    return Clips(table, [one for one in found if one is not None])


def simulated(tracks: int, work: Path) -> Clips:
    """Clips of 30 s of noise: what is read is as large as music."""
    folder = work / f"simulated-{tracks}"
    table = FrameTable.open_or_create(folder, FrameKind("simulated", FRONT_END.bins, {}))
    done = len(table.contents().usable())
    drawn = generator(0, "noise").normal(-40.0, 15.0, (2 * FRAMES, FRONT_END.bins))
    noise = drawn.astype(np.float32)
    with watching() as watch:
        for number in range(done, tracks):
            begin = number % FRAMES
            facts = FileFacts(
                id=f"s{number}", path=f"/s/{number}.wav", line=number, bytes=9, mtime_ns=1
            )
            table.append(
                Row(
                    facts=facts,
                    key=f"s{number}",
                    source_rate=22050,
                    source_channels=1,
                    seconds=30.0,
                    features=noise[begin : begin + FRAMES],
                )
            )
            watch("simulated frames", number + 1, tracks)
    table.flush()
    return Clips(table, table.contents().usable())


def drop_pages(clips: Clips) -> Clips:
    """The same clips, none of whose pages is in memory any more."""
    gc.collect()  # pages that some forgotten map still shows would stay
    for path in clips.shards:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return Clips(FrameTable.open(clips.table.folder), clips.rows)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def lesson_of(clips: Clips, settings: DcnnSettings, tasks: int, world: World) -> DcnnLesson:
    """Tasks of random shares: what they are is no matter for the time it takes."""
    draws = generator(0, "shares")
    every = np.ones(len(clips), bool)
    taught = [
        Task(one, draws.dirichlet(np.ones(n), len(clips)).astype(np.float32), every)
        for one, n in TASKS[:tasks]
    ]
    train, none = np.arange(len(clips)), np.array([], np.int64)
    return DcnnLesson(clips, taught, train, none, settings=settings, seed=0, world=world)


def read(clips: Clips, name: str) -> Line:
    """An epoch of batches that nothing is learned from: what the data alone can do."""
    lesson = lesson_of(clips, DcnnSettings(batch=BATCH), 1, World())
    began = time.perf_counter()
    count = sum(len(batch.frames) for batch in lesson.batches(1, 0))
    rate = count / (time.perf_counter() - began)
    return {"way": f"data alone, {name}", "device": "CPU", "segments_per_s": round(rate, 1)}


def trained(
    clips: Clips,
    name: str,
    *,
    steps: int,
    precision: Precision = "float32",
    sharing: Sharing = "none",
    tasks: int = 1,
    device: str = "cpu",
) -> Line:
    """Steps of training, from the table to the new weights."""
    world = World(device=torch.device(device))
    lesson = lesson_of(clips, DcnnSettings(sharing=sharing, batch=BATCH), tasks, world)
    spec = DcnnSpec(tasks=TASKS[:tasks], sharing=sharing)
    learner = GradientLearner(
        new_dcnn(spec, shift=SHIFT, scale=SCALE, seed=0),
        lesson,
        Settings(precision=precision),
        world,
        partly=tasks > 1,
        l2=lesson.settings.l2,
    )
    began = waited = 0.0
    done = -WARM
    epoch = 0
    with full_float32():
        while done < steps:
            epoch += 1
            for step, batch in enumerate(lesson.batches(epoch, 0)):
                learner.step(batch, epoch=epoch, step=step)
                done += 1
                if done == 0:
                    began, waited = time.perf_counter(), lesson.waited
                if done == steps:
                    break
    seconds = time.perf_counter() - began
    return {
        "way": f"training, {name}" + (f", {tasks} tasks, sharing {sharing}" if tasks > 1 else ""),
        **setting_of(device, precision),
        "segments_per_s": round(steps * BATCH / seconds, 1),
        "data_wait_share": round((lesson.waited - waited) / seconds, 4),
    }


def setting_of(device: str, precision: Precision = "float32") -> Line:
    kind = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"device": kind, "threads": torch.get_num_threads(), "precision": precision}


def heard(clips: Clips, seconds: float, device: str = "cpu") -> list[Line]:
    """Segments per second of one network in use: from frames, and from samples."""
    spec = DcnnSpec(tasks=TASKS[:1])
    network = new_dcnn(spec, shift=SHIFT, scale=SCALE, seed=0).to(device)
    card = EncoderCard(
        name="benchmark",
        version=1,
        dim=spec.dim,
        front_end=FRONT_END,
        excerpt=EXCERPT,
        settings=spec.settings(),
    )
    encoder = DcnnEncoder(card, network, tag_names=(), device=device)
    samples = generator(0, "samples").normal(0.0, 0.1, 30 * FRONT_END.rate).astype(np.float32)
    audio = Audio(samples, FRONT_END.rate)

    def frames(turn: int) -> int:
        rows = [(10 * turn + n) % len(clips) for n in range(10)]
        return len(segments_of(network, clips, rows)[0])

    def whole(turn: int) -> int:
        return len(encoder.segments(audio))

    found = []
    for name, listen in (("use, from frames", frames), ("use, from samples", whole)):
        listen(0)
        began, count, turn = time.perf_counter(), 0, 0
        while time.perf_counter() - began < seconds:
            turn += 1
            count += listen(turn)
        rate = count / (time.perf_counter() - began)
        found.append({"way": name, **setting_of(device), "segments_per_s": round(rate, 1)})
    return found


def on_cpu(real: Clips | None, many: Clips, steps: int) -> list[Line]:
    """Rates on one and two threads."""
    warm, name = (real, "4q") if real else (many, "simulated clips")
    cold = f"{len(many)} simulated clips, not in memory"
    lines = [read(warm, name), read(drop_pages(many), cold)]
    cells: list[tuple[Precision, int]] = [
        (precision, count) for precision in ("float32", "bfloat16") for count in (1, 2)
    ]
    with watching() as watch:
        for number, (precision, count) in enumerate(cells):
            with threads(count):
                lines.append(trained(warm, name, steps=steps, precision=precision))
                lines.append(trained(drop_pages(many), cold, steps=steps, precision=precision))
            watch("training", number + 1, len(cells))
        with threads(2):
            for sharing in ("none", "first", "all"):
                lines.append(
                    trained(warm, name, steps=steps, precision="bfloat16", sharing=sharing, tasks=5)
                )
        for count in (1, 2):
            with threads(count):
                lines += heard(warm, steps / 20)
    return lines


def on_gpu(real: Clips | None, many: Clips, steps: int) -> list[Line]:
    """The same on a GPU, where there is one."""
    if not torch.cuda.is_available():
        print("GPUs are left out: torch can use none here")
        return []
    lines: list[Line] = []
    precisions: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
    for precision in precisions:
        for name, clips in (("4q", real), (f"{len(many)} simulated clips", many)):
            if clips is not None:
                cell = trained(clips, name, steps=20 * steps, precision=precision, device="cuda")
                lines.append(cell)
    return [*lines, *heard(real or many, steps / 20, "cuda")]


def write_lines(lines: list[Line], path: Path) -> None:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="frame tables")
    parser.add_argument("--tracks", type=int, default=5000, help="simulated clips (0.66 MB each)")
    parser.add_argument("--steps", type=int, default=60, help="timed steps a line")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where dcnn.csv goes")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    data = os.environ.get("SEGUE_DATA")
    real = frames_of_4q(Path(data), given.work) if data else None
    if real is None:
        print("4q is left out: SEGUE_DATA does not name the folder of real music", file=sys.stderr)
    many = simulated(given.tracks, given.work)
    lines = [*on_cpu(real, many, given.steps), *on_gpu(real, many, given.steps)]
    write_lines(lines, given.results / "dcnn.csv")
    for line in lines:
        print(", ".join(f"{key} {value}" for key, value in line.items()))
    if given.json:
        training = [line for line in lines if line["way"].startswith("training")]
        best = max(training, key=lambda line: line["segments_per_s"])
        use = [line["segments_per_s"] for line in lines if line["way"].startswith("use")]
        result = {
            "segments_per_s": best["segments_per_s"],
            "segments_per_s_in_use": max(use),
            "data_wait_share": max(line["data_wait_share"] for line in training),
        }
        print(json.dumps({**result, "rows": lines, **where()}))


if __name__ == "__main__":
    main()
