"""What a part's networks are taught, their training, and the features that are kept of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segue.encoders.dcnn import Dcnn, DcnnSpec, begins
from segue.encoders.dcnn import Sharing as Body
from segue.encoders.protocol import checked_device
from segue.errors import StoreError
from segue.experiments.kim2018.combinations import System
from segue.experiments.kim2018.part import Part, Side
from segue.experiments.kim2018.published import MTN, STN, WSTN
from segue.experiments.kim2018.scale import Scale
from segue.files import write_atomically
from segue.seeds import derive
from segue.training import checkpoint
from segue.training.clips import Clips
from segue.training.dcnn.features import segments_of
from segue.training.dcnn.lesson import DcnnLesson, Task
from segue.training.dcnn.network import band_units, new_dcnn, width_for
from segue.training.dcnn.settings import DcnnSettings
from segue.training.gradient import GradientLearner
from segue.training.loop import Settings, Watch, train
from segue.training.parallel import World
from segue.workflows.dcnntargets import Hearing, factor_target

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Segments = tuple[Floats, Whole]
"""Features (n, dim) of segments, and whose each is (n,): the place of its track."""

LEARNING_RATE = 1e-3
L2 = 1e-5
GENRE = "g"
SETTLING = 50
"""Batches from which an untrained network has its statistics."""


def learn_targets(part: Part, letter: str, watch: Watch | None = None) -> None:
    """Artist group factors of one kind, of the training tracks alone; kept in the part's folder."""
    if part.has_target(letter):
        return
    found = factor_target(
        part.music.manifest,
        part.asked(),
        letter,
        (part.split.train, np.empty(0, np.int64)),
        hearing=Hearing(frames=part.frames, workers=1),
        work=part.folder / "bags" / letter,
        watch=watch,
    )
    from safetensors.numpy import save

    facts = {"notes": list(found.notes)}
    content = save({"shares": found.shares}, metadata={"facts": json.dumps(facts)})
    write_atomically(part.target_path(letter), content)


def target_notes(part: Part, letter: str) -> list[str]:
    """What is to be known of a kind of artist groups."""
    from safetensors import safe_open

    with safe_open(part.target_path(letter), framework="np") as file:
        notes: list[str] = json.loads(file.metadata()["facts"])["notes"]
    return notes


def task_of(part: Part, letter: str) -> Task:
    """What a task gives every track to learn; test tracks are never known."""
    trains = np.zeros(len(part.music.genre), dtype=bool)
    trains[part.split.train] = True
    if letter == GENRE:
        known = trains & (part.music.genre >= 0)
        shares = np.zeros((len(known), len(part.music.classes)), np.float32)
        shares[known, part.music.genre[known]] = 1.0
        return Task(letter, shares, known)
    shares = _read_shares(part, letter)
    return Task(letter, shares, trains & ~np.isnan(shares[:, 0]))


def _read_shares(part: Part, letter: str) -> Floats:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = part.target_path(letter)
    try:
        shares: Floats = load_file(path)["shares"]
    except (OSError, SafetensorError, KeyError) as error:
        raise StoreError(
            wanted="targets of a task",
            got=f"{type(error).__name__}: {error}",
            fix="Remove this file: it is made again",
            source=path,
        ) from error
    return shares


def spec_of(part: Part, system: System, tasks: list[Task]) -> DcnnSpec:
    """Shape of a system's network; a wide one has as many parameters as several."""
    outputs = tuple((task.name, task.outputs) for task in tasks)
    sharing: Body = "first" if system.sharing == MTN else "none"
    spec = DcnnSpec(tasks=outputs, sharing=sharing, width=part.scale.width)
    if system.sharing == WSTN:
        return replace(spec, width=width_for(several_of(spec, system.copies, part.scale), spec))
    return spec


def several_of(spec: DcnnSpec, copies: int, scale: Scale) -> int:
    """Parameters of the genre's network and of those of artist groups, so many in all."""
    groups = tuple((str(number), scale.topics) for number in range(1, copies))
    return replace(spec, tasks=(*spec.tasks, *groups)).parameters


def fresh(part: Part, system: System, clips: Clips, tasks: list[Task], *, draw: int = 0) -> Dcnn:
    """A system's network as it begins; bands are standardised by training tracks alone.

    Another ``draw``, other weights.
    """
    shift, scale = _bands(part, clips)
    seed = derive(part.split.seed, "kim2018", system.name, draw)
    return new_dcnn(spec_of(part, system, tasks), shift=shift, scale=scale, seed=seed)


def _bands(part: Part, clips: Clips) -> tuple[Floats, Floats]:
    """Standard units of the bands, kept for all networks of a part: a pass over all frames."""
    path = part.folder / "bands.npy"
    if not path.is_file():
        _write_array(path, np.stack(band_units(clips, part.split.train)))
    units = np.array(_read_array(path))  # torch wants what it could write to
    return units[0], units[1]


def untrained(part: Part, clips: Clips, draw: int) -> Dcnn:
    """The genre's network before any step, its batch statistics those of training segments.

    As they begin, the statistics are of no data at all, and what follows them is squashed or blown
    up: a control that fails for that alone says nothing of what training is worth.
    """
    system, tasks = System(STN, GENRE, 1), [task_of(part, GENRE)]
    network = fresh(part, system, clips, tasks, draw=draw)
    seed = derive(part.split.seed, "kim2018", "untrained", draw)
    lesson = _lesson(part, clips, tasks, seed, World(device=checked_device(part.device)))
    norms = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches
    network.to(lesson.world.device).train()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)  # of dropout
        for epoch in range(1, 1 + -(-SETTLING // lesson.steps)):
            for batch in lesson.batches(epoch, 0):
                lesson.loss(network, batch)
    return network


def _lesson(part: Part, clips: Clips, tasks: list[Task], seed: int, world: World) -> DcnnLesson:
    return DcnnLesson(
        clips,
        tasks,
        part.split.train,
        np.empty(0, np.int64),
        settings=DcnnSettings(batch=part.scale.batch, draw=part.scale.draw, l2=L2),
        seed=seed,
        world=world,
        readers=1,
    )


def trained(part: Part, system: System, watch: Watch | None = None) -> tuple[Dcnn, Clips]:
    """A system's network after a fixed number of epochs, read back where it was finished before.

    No track is held out to stop on: the last weights count, as in the paper.
    """
    clips = part.clips()
    tasks = [task_of(part, letter) for letter in system.tasks]
    network = fresh(part, system, clips, tasks)
    name = system.name.replace(" ", "-")
    path = part.folder / "networks" / f"{name}.safetensors"
    if path.is_file():
        tensors, _ = checkpoint.load(path)
        checkpoint.restore_network(network, tensors, source=path)
        return network, clips
    world = World(device=checked_device(part.device))
    seed = derive(part.split.seed, "kim2018", "training", system.name)
    epochs = part.scale.epochs_of(len(tasks))
    settings = Settings(
        epochs=epochs,
        patience=epochs,
        learning_rate=LEARNING_RATE,
        stop_on="epoch",
        precision=part.scale.precision,
        seed=seed,
    )
    lesson = _lesson(part, clips, tasks, seed, world)
    learner = GradientLearner(network, lesson, settings, world, partly=len(tasks) > 1, l2=L2)
    running = part.folder / "running" / f"{name}.safetensors"
    running.parent.mkdir(parents=True, exist_ok=True)
    done = train(learner, lesson, settings, path=running, world=world, watch=watch)
    losses = [point["train_loss"] for point in done.curve]
    checkpoint.save(path, network.state_dict(), {"losses": losses})
    running.unlink(missing_ok=True)
    return network, clips


def features_of(network: Dcnn, clips: Clips, part: Part) -> tuple[Segments, Segments]:
    """Features of segments, and whose they are, of the taught and of the tested tracks."""
    network.to(checked_device(part.device))
    count = part.scale.segments
    taught = segments_of(network, clips, part.taught, count)
    return taught, segments_of(network, clips, part.split.test, count)


def keep_features(part: Part, letter: str, watch: Watch | None = None) -> None:
    """Train a task's own network, and keep its features, which many combinations share."""
    if part.has_features(letter):
        return
    taught, tested = features_of(*trained(part, System(STN, letter, 1), watch), part)
    _write_array(part.features_path(letter, "train"), taught[0])
    _write_array(part.features_path(letter, "test"), tested[0])


def _write_array(path: Path, values: Floats) -> None:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    write_atomically(path, content.getvalue())


def _read_array(path: Path) -> Floats:
    try:
        values: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            wanted="numbers that were kept",
            got=f"{type(error).__name__}: {error}",
            fix="Remove this file: it is made again",
            source=path,
        ) from error
    return np.asarray(values)


def kept_features(part: Part, tasks: str) -> tuple[Segments, Segments]:
    """Features of single-task networks side by side, of taught and of tested segments.

    Raises
    ------
    StoreError
        A file is damaged.
    """
    counts, segments = part.clips().counts, part.scale.segments
    taught = _joined(part, tasks, "train"), _whose(counts[part.taught], segments)
    return taught, (_joined(part, tasks, "test"), _whose(counts[part.split.test], segments))


def _joined(part: Part, tasks: str, side: Side) -> Floats:
    arrays = [_read_array(part.features_path(letter, side)) for letter in tasks]
    return np.concatenate(arrays, axis=1)


def _whose(frames: Whole, segments: int | None) -> Whole:
    """Whose segment each is, as :func:`segue.training.dcnn.features.segments_of` numbers them."""
    return np.repeat(np.arange(len(frames)), [len(begins(n, segments)) for n in frames.tolist()])
