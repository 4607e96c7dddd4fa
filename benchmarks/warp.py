"""Training of the joint embedding: frames per second, beside three other ways to do it.

    SEGUE_DATA=../shared/data python benchmarks/warp.py --out /tmp/warp \\
        --lightfm-python /tmp/lightfm/bin/python --json

At batch 100, D = 100, d = 200, Y = 160 (Hamel et al. 2013), on frames in memory: segue, the literal
procedure of tests/training/warp/literal.py, PyTorch with autograd and SGD scoring all labels, and
the WARP of lightfm-next. They take turns three times, so that other work on the machine touches all
alike; medians count. segue's steps use one processor, beside which the frames are read; the others
are given one and two threads, and the faster of both counts. lightfm-next is no dependency of
segue: without --lightfm-python it is looked for in this interpreter, and left out, saying so, where
it is not.

Then the cost of a step for 50 to 50,000 labels: at the start of training, after 100,000 frames, and
at its worst, where no negative violates any margin and each example must meet them all. With
SEGUE_DATA, one epoch over all frames of 4q with its 160 most frequent mood tags, streamed from a
frame table in --out (made there the first time). Writes benchmarks/results/warp.csv. Two minutes
without making the table.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from setting import RESULTS, where
from threadpoolctl import threadpool_limits

from segue.cli.progress import watching
from segue.datasets import Manifest, read_target
from segue.encoders.joint import JointSpec
from segue.extraction.frames import extract_frames, frame_recipe
from segue.extraction.worker import file_facts
from segue.seeds import generator
from segue.store import FrameTable
from segue.training.clips import Clips, moments
from segue.training.warp.learner import Step, WarpLearner
from segue.training.warp.lesson import STRETCH, Source, WarpLesson
from segue.training.warp.network import JointEmbedding, new_embedding
from segue.training.warp.sampling import LabelSet
from segue.training.warp.settings import WarpSettings
from segue.training.warp.stream import Stream
from segue.training.warp.validation import Holdout

BATCH, DIMENSIONS, WIDTH, LABELS = 100, 100, 200, 160
RATE = 0.003
ROUNDS = 3
LIGHTFM = {"segue's rate": RATE, "default rate": 0.05}
"""A positive that meets no violator within lightfm's ten tries costs it next to nothing, so its
positives per second rise as it learns. At segue's rate it is, as segue, still learning from most of
them. Both are reported, with the share of negatives that violated at the end."""
SIZES = (50, 160, 500, 5_000, 50_000)
LATER = "after 100,000 frames"
DENSE = 5_000
"""The PyTorch loop keeps a table of clips by labels: no more than this many fit in memory."""
LITERAL = Path(__file__).parent.parent / "tests" / "training" / "warp" / "literal.py"
Floats = NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True)
class Toy:
    """Frames X (n, d) of clips (n,), around the sum of what stands for the labels they carry."""

    X: Floats
    clips: NDArray[np.int64]
    labels: LabelSet

    def steps(self) -> list[Step]:
        begins = range(0, len(self.X) - BATCH + 1, BATCH)
        return [Step(0, self.X[b : b + BATCH], self.clips[b : b + BATCH]) for b in begins]


def toy(size: int, frames: int) -> Toy:
    """Every clip carries one to five labels, and about as many clips as labels carry each."""
    draws = generator(0, "benchmark", size)
    places = draws.standard_normal((size, WIDTH), dtype=np.float32)
    count = max(1000, size)
    carried = [
        draws.choice(size, draws.integers(1, 6), replace=False).tolist() for _ in range(count)
    ]
    centers = np.stack([places[one].sum(axis=0) for one in carried])
    clips = draws.integers(count, size=frames)
    X = 0.3 * centers[clips] + draws.standard_normal((frames, WIDTH), dtype=np.float32)
    return Toy((X / X.std()).astype(np.float32), clips, LabelSet.of(carried, size=size))


def fresh(size: int) -> JointEmbedding:
    shift, scale = np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32)
    spec = JointSpec(inputs=WIDTH, dimensions=DIMENSIONS)
    return new_embedding(spec, [size], shift=shift, scale=scale, seed=0)


def learner(network: JointEmbedding, labels: LabelSet) -> WarpLearner:
    return WarpLearner(network, [labels], WarpSettings(), learning_rate=RATE, seed=0)


def segue_seconds(one: WarpLearner, steps: list[Step], epoch: int) -> float:
    began = time.perf_counter()
    for number, begin in enumerate(range(0, len(steps), STRETCH)):
        one.step(steps[begin : begin + STRETCH], epoch=epoch, step=number)
    return time.perf_counter() - began


def torch_seconds(data: Toy, steps: list[Step], threads: int) -> float:
    """WARP as one writes it with autograd: scores of all labels, the rank counted."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    size = data.labels.size
    V = torch.nn.Parameter(torch.randn(DIMENSIONS, WIDTH) / WIDTH**0.5)
    W = torch.nn.Parameter(torch.randn(size, DIMENSIONS) / WIDTH**0.5)
    optimiser = torch.optim.SGD([V, W], lr=RATE)
    harmonic = torch.cat([torch.zeros(1), (1.0 / torch.arange(1, size + 1)).cumsum(0)])
    table = torch.zeros(len(data.labels), size, dtype=torch.bool)
    for clip in range(len(data.labels)):
        table[clip, torch.from_numpy(data.labels.carried(clip))] = True
    began = time.perf_counter()
    for step in steps:
        carried = table[torch.from_numpy(step.clips)]
        scores = torch.from_numpy(step.X) @ V.T @ W.T
        positive = torch.multinomial(carried.float(), 1)
        f_positive = scores.gather(1, positive)
        with torch.no_grad():
            violates = (scores > f_positive - 1) & ~carried
            rank = violates.sum(dim=1)
            chances = violates.float() + (rank == 0).float()[:, None]
            negative = torch.multinomial(chances, 1)
        gap = (1 - f_positive + scores.gather(1, negative)).squeeze(1)
        loss = (harmonic[rank] * gap).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    seconds = time.perf_counter() - began
    torch.set_num_threads(1)
    return seconds


def literal_seconds(data: Toy, examples: int) -> float:
    """One step of the paper's procedure in plain Python."""
    spec = importlib.util.spec_from_file_location("literal", LITERAL)
    assert spec is not None
    assert spec.loader is not None
    literal = importlib.util.module_from_spec(spec)
    sys.modules["literal"] = literal
    spec.loader.exec_module(literal)
    network = fresh(data.labels.size)
    model = literal.Model(network.V.tolist(), network.labels[0].tolist())
    batch = [
        (x, data.labels.carried(clip).tolist())
        for x, clip in zip(data.X[:examples].tolist(), data.clips.tolist(), strict=False)
    ]
    began = time.perf_counter()
    literal.train_batch(model, batch, RATE, generator(0, "literal"))
    return time.perf_counter() - began


def lightfm_rate(
    data: Toy, frames: int, threads: int, python: str, out: Path, *, rate: float
) -> Row:
    """What warp_lightfm.py says, run by an interpreter that has lightfm."""
    clips = data.clips[:frames]
    picked = data.labels.pick(clips, generator(0, "lightfm"))
    path = out / "lightfm.npz"
    np.savez(path, X=data.X[:frames], rows=picked.rows, codes=picked.codes, labels=data.labels.size)
    script = Path(__file__).with_name("warp_lightfm.py")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [python, str(script), str(path), "--threads", str(threads), "--learning-rate", str(rate)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(out: Path, python: str | None) -> list[Row]:
    """Rates of all ways at the paper's size, each in turn, three times."""
    data = toy(LABELS, 60_000)
    steps = data.steps()
    rates: dict[tuple[str, int], list[float]] = {}
    left: dict[str, float] = {}

    def add(name: str, threads: int, rate: float) -> None:
        rates.setdefault((name, threads), []).append(rate)

    with watching() as watch:
        for turn in range(ROUNDS):
            one = learner(fresh(LABELS), data.labels)
            seconds = sum(segue_seconds(one, steps, epoch) for epoch in (1, 2))
            add("segue", 1, 2 * len(data.X) / seconds)
            left["segue"] = violating(one.network, data)
            for threads in (1, 2):
                few = steps[:200]
                add("pytorch", threads, len(few) * BATCH / torch_seconds(data, few, threads))
                for words, rate in LIGHTFM.items() if python else ():
                    found = lightfm_rate(data, 8_000, threads, python or "", out, rate=rate)
                    name = f"lightfm-next {found['version']}, {words}"
                    add(name, threads, found["positives_per_s"])
                    left[name] = found["violating"]
            add("literal", 1, BATCH / literal_seconds(data, BATCH))
            watch("comparing", turn + 1, ROUNDS)
    return [
        row_of(
            *(name, LABELS, median(found)),
            threads=threads,
            turns=len(found),
            violating=round(left[name], 3) if name in left else "",
        )
        for (name, threads), found in rates.items()
    ]


def violating(network: JointEmbedding, data: Toy) -> float:
    """Share of the first frames' negatives that score above the positive's score less 1."""
    clips = data.clips[:1000]
    picked = data.labels.pick(clips, generator(0, "violating"))
    with torch.inference_mode():
        places = network(torch.from_numpy(data.X[:1000])).numpy()
    scores = places @ network.labels[0].numpy().T
    above = scores > (scores[np.arange(len(clips)), picked.positives] - 1.0)[:, None]
    carried = np.zeros(scores.shape, dtype=bool)
    carried[picked.rows, picked.codes] = True
    return float(above[~carried].mean())


def growing() -> list[Row]:
    """Cost of a step against the number of labels, beside PyTorch's."""
    rows = []
    with watching() as watch:
        for number, size in enumerate(SIZES):
            data = toy(size, 120_000)
            steps = data.steps()
            one = learner(fresh(size), data.labels)
            segue_seconds(learner(fresh(size), data.labels), steps[:50], 0)
            parts = {"at the start": steps[:100], "": steps[100:1000], LATER: steps[1000:]}
            for epoch, (when, part) in enumerate(parts.items()):
                met = one.met
                rate = len(part) * BATCH / segue_seconds(one, part, epoch)
                if when:
                    met = round((one.met - met) / len(part))
                    rows.append(row_of(f"segue, {when}", size, rate, labels_met=met))
            rows.append(worst(data, steps[: 50 if size <= DENSE else 10]))
            if size <= DENSE:
                few = steps[:100]
                rows.append(row_of("pytorch", size, len(few) * BATCH / torch_seconds(data, few, 1)))
            watch("vocabularies", number + 1, len(SIZES))
    return rows


def worst(data: Toy, steps: list[Step]) -> Row:
    """Steps of which every example tries every negative in vain."""
    size = data.labels.size
    network = fresh(size)
    network.labels[0].zero_()
    network.labels[0][0] = 1000.0 * network.V @ torch.from_numpy(data.X[0])
    same = [Step(0, np.repeat(data.X[:1], BATCH, axis=0), one.clips * 0) for one in steps]
    one = learner(network, LabelSet.of([[0]], size=size))
    rate = len(same) * BATCH / segue_seconds(one, same, 1)
    return row_of("segue, no violators", size, rate, labels_met=round(one.met / len(same)))


def row_of(name: str, size: int, rate: float, **more: Any) -> Row:
    return {
        "way": name,
        "labels": size,
        "threads": 1,
        "frames_per_s": round(rate, 1),
        "ms_per_step": round(1000 * BATCH / rate, 4),
        **more,
    }


def streamed(data: Path, out: Path) -> Row:
    """One epoch over all frames of 4q, read from the table while steps are made."""
    manifest = Manifest.read(data / "4q" / "manifest.csv")
    target = read_target(manifest, "moods", task="tagging")
    counts = Counter(name for names in target.values for name in names)
    place = {name: code for code, (name, _) in enumerate(counts.most_common(LABELS))}
    codes = [sorted(place[name] for name in names if name in place) for names in target.values]
    carried = {row: own for row, own in zip(target.rows.tolist(), codes, strict=True) if own}
    table = frame_table(manifest, out)
    stored = table.find([file_facts(track) for track in manifest.tracks()])
    rows = [row for row in carried if stored[row] is not None]
    clips = Clips(table, [one for one in (stored[row] for row in rows) if one is not None])
    labels = LabelSet.of([carried[row] for row in rows], size=LABELS)
    mean, deviation = moments(clips)
    shift, scale = mean.astype(np.float32), (1.0 / deviation).astype(np.float32)
    every = np.arange(len(labels))
    stream = Stream(clips, every, batch=BATCH, seed=0, name="4q", shift=shift, scale=scale)
    lesson = WarpLesson(
        [Source(0, stream, stream.total)], [Holdout("4q", clips, labels, every[::7])], batch=BATCH
    )
    spec = JointSpec(inputs=WIDTH, dimensions=DIMENSIONS)
    one = learner(new_embedding(spec, [LABELS], shift=shift, scale=scale, seed=0), labels)
    began = time.perf_counter()
    with watching() as watch:
        for number, stretch in enumerate(lesson.batches(1, 0)):
            one.step(stretch, epoch=1, step=number)
            watch("one epoch of 4q", number + 1, lesson.steps)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    lesson.validate(one.network)
    judging = time.perf_counter() - began
    print(f"{len(labels)} clips of 4q; judging by {len(every[::7])} of them: {judging:.2f} s")
    frames = lesson.sgd_steps * BATCH
    return row_of(
        "segue, streaming 4q",
        LABELS,
        frames / seconds,
        threads=2,  # one learns, one reads
        epoch_s=round(seconds, 2),
        frames=frames,
    )


def frame_table(manifest: Manifest, out: Path) -> FrameTable:
    recipe = frame_recipe("hamel2013")
    maker = recipe.build()
    table = FrameTable.open_or_create(out / "frames", maker.kind)
    with watching() as watch:

        def progress(done: int, refused: int, total: int) -> None:
            watch("frames of 4q", done, total)

        report = extract_frames(manifest, table, recipe, maker=maker, workers=2, progress=progress)
    print(
        f"{report.computed} clips read, {report.reused} read before, {report.quarantined} refused"
    )
    return table


def lightfm_python(given: str | None) -> str | None:
    """The interpreter to run lightfm in, if there is one."""
    if given:
        return given
    if importlib.util.find_spec("lightfm") is not None:
        return sys.executable
    print("lightfm-next is left out: not installed here, and no --lightfm-python was given")
    return None


def write_rows(rows: list[Row], path: Path) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def fastest(rows: list[Row], way: str) -> float | None:
    """Frames per second of the faster of one and two threads."""
    found = [row["frames_per_s"] for row in rows if way in row["way"]]
    return max(found, default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the frame table of 4q")
    parser.add_argument("--lightfm-python", help="an interpreter that has lightfm-next")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    python = lightfm_python(given.lightfm_python)
    with threadpool_limits(1):
        same = compared(given.out, python)
        rows = [*same, *growing()]
    data = os.environ.get("SEGUE_DATA")
    if data:
        rows.append(streamed(Path(data), given.out))
    else:
        print("4q is left out: SEGUE_DATA does not name the folder of real music")
    write_rows(rows, RESULTS / "warp.csv")
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    if given.json:
        ours = fastest(same, "segue")
        ratios = {}
        ways = {"lightfm": "segue's rate", "lightfm_default": "default rate"}
        for name, way in {**ways, "pytorch": "pytorch", "literal": "literal"}.items():
            theirs = fastest(same, way)
            ratios[f"vs_{name}"] = round(ours / theirs, 2) if ours and theirs else None
        epoch = rows[-1].get("epoch_s")
        result = {"frames_per_s": ours, **ratios, "epoch_s": epoch, "rows": rows, **where()}
        print(json.dumps(result))


if __name__ == "__main__":
    main()
