"""Recipes that do to their process what a decoder at its worst does, for files of certain names."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_info

from segue.card import EncoderCard
from segue.datasets import Manifest, from_folder
from segue.encoders import Encoder
from segue.extraction import Recipe, apart, frames, worker
from segue.extraction.serving import Say
from segue.store import Failure

FOREVER = 3600


def hog() -> None:
    held = [np.ones(2**20, np.uint8) for _ in range(1500)]  # touched, so that it counts
    time.sleep(FOREVER)
    del held


TROUBLES = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: os._exit(3),
    "system-exit": lambda: sys.exit("a library that ends the process"),
    "sleeps": lambda: time.sleep(FOREVER),
    "holds-lock": lambda: ctypes.PyDLL(None).sleep(FOREVER),  # no other thread can run either
    "hog": hog,
    "slow": lambda: time.sleep(0.7),
}


def trouble(path: Path) -> None:
    """What the name of a file asks for: ``segfault-2.wav``."""
    name = path.stem.rstrip("-0123456789")
    if name in TROUBLES:
        TROUBLES[name]()


class Troubled(Recipe):
    """Features as ever, but for files of certain names."""

    def process(self, tasks: Sequence[worker.Task], encoder: Encoder) -> list[worker.Outcome]:
        for task in tasks:
            trouble(task.track.path)
        return worker.process(tasks, encoder)


class OnDevice(Troubled):
    """As for a device: several tracks at once."""

    def build(self) -> Encoder:
        return Recipe(self.name).build()


class TroubledFrames(frames.FrontEndRecipe):
    """Frames as ever, but for files of certain names."""

    def process(
        self, tasks: Sequence[worker.Task], maker: frames.FrameMaker
    ) -> list[worker.Outcome]:
        for task in tasks:
            trouble(task.track.path)
        return frames.process_frames(tasks, maker)


class TroubledDecoding(apart._Decoding):
    """Decoding as ever, but for files of certain names; some only after their first chunk."""

    def perform(self, tasks: Sequence[worker.Task], card: EncoderCard, say: Say) -> object:
        (task,) = tasks
        if not task.track.path.stem.startswith("late-"):
            trouble(task.track.path)
            return super().perform(tasks, card, say)

        def say_and_break(what: object) -> None:
            say(what)
            trouble(task.track.path.with_stem(task.track.path.stem.removeprefix("late-")))

        return super().perform(tasks, card, say_and_break)


class SlowChunks(Encoder):
    """A quarter of a second for every chunk."""

    def __init__(self, inner: Encoder) -> None:
        self.inner = inner
        self.card = inner.card

    def encode_chunks(self, chunks: Sequence[np.ndarray]) -> np.ndarray:
        time.sleep(0.25 * len(chunks))
        return self.inner.encode_chunks(chunks)


class SlowRecipe(Recipe):
    def build(self) -> Encoder:
        return SlowChunks(Recipe(self.name, chunks=self.chunks).build())


class SlowAt44100(Encoder):
    """Mean and deviation of samples at a high rate, which takes it a while."""

    def __init__(self) -> None:
        card = Recipe("mfcc", chunks=None).build().card
        self.card = replace(card, front_end=replace(card.front_end, rate=44100))

    def encode_chunks(self, chunks: Sequence[np.ndarray]) -> np.ndarray:
        time.sleep(0.02 * len(chunks))
        samples = np.stack(chunks)
        return np.stack([samples.mean(axis=1), samples.std(axis=1)], axis=1)


class Unstartable(Recipe):
    def build(self) -> Encoder:
        time.sleep(FOREVER)
        return Recipe(self.name).build()


class Sluggish(Recipe):
    """Longer about its encoder than a track may be silent."""

    def build(self) -> Encoder:
        time.sleep(1.5)
        return Recipe(self.name).build()


class Peak(Recipe):
    """Says how much memory its process has taken at most, in the reason of a failure."""

    def process(self, tasks: Sequence[worker.Task], encoder: Encoder) -> list[worker.Outcome]:
        (outcome,) = worker.process(tasks, encoder)
        assert not isinstance(outcome, Failure), outcome
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return [Failure(facts=outcome.facts, stage="told", reason=str(peak))]


class Telling(Recipe):
    """Says of its process what no outcome says, in the reason of a failure."""

    def process(self, tasks: Sequence[worker.Task], encoder: Encoder) -> list[worker.Outcome]:
        worker.process(tasks, encoder)
        square = np.random.default_rng(0).normal(size=(1500, 1500))
        before, began = psutil.Process().cpu_times(), time.monotonic()
        for _ in range(3):
            square @ square
            torch.from_numpy(square) @ torch.from_numpy(square)
        after = psutil.Process().cpu_times()
        parallel = (after.user - before.user) / (time.monotonic() - began)
        level = logging.getLogger("segue").getEffectiveLevel()
        pools = max(one["num_threads"] for one in threadpool_info())
        said = f"{pools} {torch.get_num_threads()} {parallel:.2f} {level}"
        return [
            Failure(facts=worker.file_facts(task.track), stage="told", reason=said)
            for task in tasks
        ]


def tasks_of(music: Path | Manifest) -> list[worker.Task]:
    manifest = music if isinstance(music, Manifest) else from_folder(music, suffixes={".wav"})
    return [worker.Task(track) for track in manifest.tracks()]


def tell_affinity(connection: Connection) -> None:
    """The processors that this process may use."""
    connection.send(os.sched_getaffinity(0))
