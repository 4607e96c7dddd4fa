"""Frames that a class can be heard in at once: it is a band louder than the others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from segue.encoders.dcnn import Dcnn, DcnnSpec
from segue.seeds import generator
from segue.store import FileFacts, FrameKind, FrameTable, Row
from segue.training.clips import Clips
from segue.training.dcnn.lesson import Batch, DcnnLesson, Task
from segue.training.dcnn.network import band_units, new_dcnn
from segue.training.dcnn.settings import DcnnSettings
from segue.training.gradient import GradientLearner
from segue.training.loop import Settings, Trained, train
from segue.training.parallel import World

BANDS = 128
CLASSES = 3
TRACKS = 40
TRAIN, VALID = np.arange(28), np.arange(28, TRACKS)
LENGTHS = [20 + 9 * number for number in range(TRACKS)]  # the first ones shorter than a segment


def toy_clips(folder: Path, lengths: list[int] | None = None) -> Clips:
    """Clips of noise; in number n, bands 40 k to 40 k + 20 are louder, for k = n modulo 3.

    The first number of every frame is that of its clip, the second its own.
    """
    table = FrameTable.open_or_create(folder, FrameKind("toy", BANDS, {}))
    if not table.contents().usable():
        for number, length in enumerate(lengths or LENGTHS):
            frames = generator(0, "toy frames", number).normal(-40.0, 8.0, (length, BANDS))
            band = 40 * (number % CLASSES)
            frames[:, band + 2 : band + 20] += 15.0
            frames[:, 0], frames[:, 1] = number, np.arange(length)
            facts = FileFacts(
                id=f"t{number}", path=f"/m/{number}.wav", line=number, bytes=9, mtime_ns=1
            )
            table.append(
                Row(
                    **{"facts": facts, "key": f"k{number}", "source_rate": 8000, "seconds": 1.0},
                    **{"source_channels": 1, "features": frames.astype(np.float32)},
                )
            )
        table.flush()
    rows = sorted(table.contents().usable(), key=lambda row: row.facts.line)
    return Clips(table, rows)


def toy_tasks(tracks: int = TRACKS) -> list[Task]:
    """The class; and soft shares that follow it, of which every fourth track has none."""
    codes = np.arange(tracks) % CLASSES
    hard = np.eye(CLASSES, dtype=np.float32)[codes]
    soft = np.float32([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.0, 0.0, 0.4, 0.6]])[codes]
    every = np.ones(tracks, bool)
    return [Task("g", hard, every), Task("m", soft, np.arange(tracks) % 4 != 3)]


def toy_network(clips: Clips, tasks: list[Task], settings: DcnnSettings) -> Dcnn:
    spec = DcnnSpec(
        tasks=tuple((task.name, task.outputs) for task in tasks),
        sharing=settings.sharing,
        width=settings.width,
    )
    shift, scale = band_units(clips, TRAIN)
    return new_dcnn(spec, shift=shift, scale=scale, seed=0)


def narrow(**changes: object) -> DcnnSettings:
    return DcnnSettings(**{"width": 0.125, "batch": 8, "valid_segments": 2, **changes})  # type: ignore[arg-type]


class Still(Dcnn):
    """Learns as it is in use: no dropout, and statistics that stay as they are.

    The loss of a segment does not depend on the rest of its batch, so that shares of a batch add up
    to the whole.
    """

    def train(self, mode: bool = True) -> Still:
        return super().train(False)


class Stopped(DcnnLesson):
    """Is interrupted before a step."""

    stop_at = (0, 0)

    def loss(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        self.done = getattr(self, "done", 0) + 1
        if self.done == self.stop_at[0] * self.steps + self.stop_at[1]:
            raise KeyboardInterrupt
        return super().loss(network, batch)


def teach(
    clips: Clips,
    path: Path,
    settings: DcnnSettings,
    loop: Settings,
    *,
    tasks: list[Task] | None = None,
    stop_at: tuple[int, int] = (0, 0),
    world: World | None = None,
    valid: np.ndarray = VALID,
    still: bool = False,
) -> tuple[Trained, Dcnn]:
    """Train on the toy clips."""
    tasks = tasks or toy_tasks()
    network = toy_network(clips, tasks, settings)
    if still:
        drawn, network = network, Still(network.spec)
        network.load_state_dict(drawn.state_dict())
    lesson = Stopped(clips, tasks, TRAIN, valid, settings=settings, seed=loop.seed, world=world)
    lesson.stop_at = stop_at
    learner = GradientLearner(network, lesson, loop, world, partly=len(tasks) > 1, l2=settings.l2)
    return train(learner, lesson, loop, path=path, world=world), network


RUNS = {
    "still": Settings(epochs=3, stop_on="epoch"),
    "usual": Settings(epochs=40, learning_rate=3e-3, stop_on="valid_loss", patience=40),
}
"""What several processes are asked to train, by name."""


def whole_state(network: Dcnn) -> dict[str, torch.Tensor]:
    return {name: values.contiguous() for name, values in network.state_dict().items()}


if __name__ == "__main__":  # one of several processes
    from segue.training.parallel import join

    with join("cpu") as joined:
        folder, sharing = Path(sys.argv[1]), sys.argv[2]
        for name, loop in RUNS.items():
            found, learned = teach(
                toy_clips(folder / "frames"),
                folder / f"{name}.checkpoint",
                narrow(sharing=sharing),
                loop,
                world=joined,
                still=name == "still",
            )
            answer = folder / f"{name}-{joined.rank}"
            save_file(whole_state(learned), answer.with_suffix(".safetensors"))
            answer.with_suffix(".json").write_text(json.dumps([joined.size, found.curve]))
