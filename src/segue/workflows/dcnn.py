"""From genres and groups of tracks to an encoder: factors, networks, an encoder folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.card import canonical_json
from segue.encoders.dcnn import MARK, Dcnn, dcnn_shapes, dcnn_tensors
from segue.encoders.folder_checks import check_size, check_tags, check_words
from segue.encoders.folders import CURVE, FACTS, EncoderFolder, open_folder
from segue.errors import SegueError, UsageError
from segue.extraction.frames import FrameRecipe, frame_recipe
from segue.store import FrameTable
from segue.targets.factors import FactorModel
from segue.targets.folder import open_targets, write_targets
from segue.training.claim import (
    CHECKPOINT,
    WORK,
    check_audio,
    check_files,
    claim,
    read_run,
    release,
    write_run,
)
from segue.training.clips import Clips
from segue.training.dcnn.lesson import DcnnLesson, Task
from segue.training.dcnn.network import band_units, new_dcnn
from segue.training.dcnn.settings import DcnnSettings
from segue.training.gradient import GradientLearner
from segue.training.loop import Point, Settings, Trained, Watch, train
from segue.training.parallel import World, join
from segue.workflows.dcnnjob import Job
from segue.workflows.dcnnpage import write_dcnn
from segue.workflows.dcnntargets import (
    GENRE,
    Asked,
    Hearing,
    Rows,
    Target,
    factor_target,
    genre_target,
    read_parts,
)
from segue.workflows.embedding import Inputs, open_manifest
from segue.workflows.framing import Framed, frame
from segue.workflows.grouping import with_groups
from segue.workflows.sourcetask import Origin, named_origin, read_curve, write_curve

FRAMES, TARGETS = "frames", "targets"
FRONT_END_NAME = "kim2018"
SHARE = 0.1
SETTINGS = Settings(epochs=200, patience=20, stop_on="valid_loss")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Networks:
    """A finished run.

    Attributes
    ----------
    encoder : EncoderFolder
        Its tags are "TARGET: output"; its ``training`` holds scores, settings, versions.
    curve : list of mapping
        One point per epoch.
    failures : tuple of mapping
        ``path``, ``line``, ``stage``, ``reason`` of files that could not be used.
    main : bool
        Whether this process is the one that wrote and should speak.
    """

    encoder: EncoderFolder
    curve: list[Point]
    failures: tuple[Mapping[str, Any], ...]
    main: bool


def pretrain_dcnn(
    inputs: Inputs,
    asked: Asked,
    out: str | Path,
    *,
    dcnn: DcnnSettings | None = None,
    settings: Settings = SETTINGS,
    share: float = SHARE,
    origin: Origin | None = None,
    frames: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    watch: Watch | None = None,
) -> Networks:
    """Teach the convnets of Kim et al. 2018 genres and factors of groups.

    Run again with the same arguments it goes on where it stopped; a finished run is only read
    back. Under `torchrun` several processes share each batch.

    Parameters
    ----------
    inputs : Manifest, path or paths
    asked : Asked
        What is taught, and which columns say it. Factors are learned from the training tracks.
    out : path
        Folder for ``encoder.json``, ``weights.safetensors``, ``curve.csv``, ``report.html`` and
        ``targets/`` (the factors); ``run/`` in it is the work in progress.
    dcnn : DcnnSettings, optional
        Sharing, width, batch, how tasks are drawn.
    settings : Settings
        ``epochs`` and ``patience`` are those of each task: there are so many times the number of
        tasks (Kim et al. 2018, section 3.2.4). ``stop_on``: "valid_loss", the mean over tasks.
    share : float
        Of the tracks, held out to choose the epoch; no group on both sides.
    origin : Origin, optional
    frames : path, optional
        Store of frames that runs share; by default ``out/run/frames``, removed at the end.
    device : str
    workers : int, optional
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError, ManifestError
        A request that cannot be carried out, or a folder of another run.
    WeightsError, StoreError, SegueError
    """
    out, dcnn = Path(out), dcnn or DcnnSettings()
    manifest = with_groups(open_manifest(inputs), asked.group)
    if settings.stop_on != "valid_loss":
        raise UsageError(wanted="valid_loss", got=settings.stop_on, fix="Stop on the loss")
    tasks = len(asked.targets)
    recipe = frame_recipe(FRONT_END_NAME, device=device)
    job = Job(
        manifest=manifest,
        asked=asked,
        parts=read_parts(manifest, asked, share=share, seed=settings.seed),
        out=out,
        dcnn=dcnn,
        settings=replace(
            settings, epochs=settings.epochs * tasks, patience=settings.patience * tasks
        ),
        share=share,
        origin=named_origin(origin, out),
        maker=recipe.build(),
        frames=Path(frames) if frames is not None else out / WORK / FRAMES,
        device=device,
        workers=workers,
    )
    for words in (job.origin.licence, job.origin.training_data):
        check_words(words, "words for the card")
    with join(device) as world:
        run = claim(out, job.arguments(world), world)
        try:
            if (out / FACTS).is_file():
                check_files(out, run, job.files())
            else:
                _learn(job, recipe, run, world, watch if world.main else None)
        except (SegueError, KeyboardInterrupt):
            if world.main:
                release(out)
            raise
        if world.main:
            (out / WORK / CHECKPOINT).unlink(missing_ok=True)
            if frames is None:
                shutil.rmtree(job.frames, ignore_errors=True)
        world.wait()
        return Networks(
            encoder=open_folder(out),
            curve=read_curve(out / CURVE),
            failures=tuple(read_run(out).get("failures", ())),
            main=world.main,
        )


def _learn(
    job: Job, recipe: FrameRecipe, run: dict[str, Any], world: World, watch: Watch | None
) -> None:
    """Everything between a claimed folder and the finished encoder."""
    table, framed = _framed(job, recipe, world, watch)
    rows = job.parts.rows[framed.rows]
    valid = job.parts.valid[framed.rows]
    _check_parts(job, valid, framed)
    audio = hashlib.sha256(canonical_json([one.key for one in framed.stored]).encode()).hexdigest()
    targets = _targets(job, (rows[~valid], rows[valid]), audio, world, watch)
    failures = _failures(framed, targets)
    if (job.out / WORK / CHECKPOINT).exists():
        check_audio(job.out, run, audio, failures)
    if world.main:
        facts = {"audio": audio, "files": job.files()[0], "failures": failures}
        write_run(job.out, {**run, **facts})
    clips = Clips(table, framed.stored)
    tags = [f"{one.name}{MARK}{output}" for one in targets for output in one.outputs]
    check_tags(tags)
    check_size(tags, dcnn_shapes(job.card(targets, 0), len(tags)))
    lesson = DcnnLesson(
        clips,
        [Task(one.name, one.shares[rows], one.known[rows]) for one in targets],
        np.flatnonzero(~valid),
        np.flatnonzero(valid),
        settings=job.dcnn,
        seed=job.settings.seed,
        world=world,
    )
    _check_judged(job, lesson)
    shift, scale = band_units(clips, np.flatnonzero(~valid))
    network = new_dcnn(job.spec(targets), shift=shift, scale=scale, seed=job.settings.seed)
    trained = train(
        GradientLearner(network, lesson, job.settings, world, partly=True, l2=job.dcnn.l2),
        lesson,
        job.settings,
        path=job.out / WORK / CHECKPOINT,
        world=world,
        watch=watch,
        tell=lambda curve: write_curve(job.out / CURVE, curve),
    )
    if world.main:
        _write(job, network, targets, lesson, trained, tags, failures, world)


def _framed(
    job: Job, recipe: FrameRecipe, world: World, watch: Watch | None
) -> tuple[FrameTable, Framed]:
    """Frames of all tracks that take part; of several processes the main one computes them."""
    manifest = job.manifest.subset(job.parts.rows.tolist())
    if not world.main:
        world.wait()
    table = FrameTable.open_or_create(job.frames, job.maker.kind)
    framed = frame(
        manifest,
        table,
        recipe,
        maker=job.maker,
        name=manifest.name,
        workers=job.workers,
        watch=watch,
    )
    if world.main:
        world.wait()
    return table, framed


def _check_parts(job: Job, valid: NDArray[np.bool_], framed: Framed) -> None:
    """Refuse a part of which nothing can be heard."""
    for use, what in ((~valid, "learn from"), (valid, "validate with")):
        if not use.any():
            raise UsageError(
                wanted=f"usable tracks to {what}",
                got=f"{len(framed.stored)} of {len(valid) + len(framed.failures)} can be heard",
                fix="Give more tracks, or see why these could not be used: "
                + "; ".join(one.reason for one in framed.failures[:3]),
                source=job.manifest.name,
            )


def _check_judged(job: Job, lesson: DcnnLesson) -> None:
    """Refuse validation tracks of which none has a target: no epoch could be chosen by them."""
    if not lesson.yardsticks:
        raise UsageError(
            wanted="validation tracks with a class, or groups with words, that training has, too",
            got=f"none for {', '.join(job.asked.targets)}",
            fix="Use more tracks, another --valid-share or --seed, or another --group: where "
            "groups are the classes themselves, those held out are never learned",
            source=job.manifest.name,
        )


def _targets(
    job: Job, parts: tuple[Rows, Rows], audio: str, world: World, watch: Watch | None
) -> list[Target]:
    """What is taught, in the order asked for."""
    hearing = Hearing(frames=job.frames, device=job.device, workers=job.workers)
    targets = []
    begun_with = canonical_json([audio, job.arguments(world)])
    run = hashlib.sha256(begun_with.encode()).hexdigest()
    for name in job.asked.targets:
        if name == GENRE:
            targets.append(genre_target(job.manifest, str(job.asked.genre), parts[0]))
            continue
        folder = job.out / WORK / TARGETS / name
        if not world.main:
            world.wait()
        # what other audio or arguments gave is no target of this run
        known = _kept(folder, run)
        target = factor_target(
            job.manifest,
            job.asked,
            name,
            parts,
            hearing=hearing,
            work=job.out / WORK / f"bags-{world.rank}",
            known=known,
            watch=watch,
        )
        if world.main:
            if known is None and target.model and target.learned:
                facts = {"run": run, "target": name, "notes": list(target.notes)}
                write_targets(folder, target.model, target.learned, facts)
            world.wait()
        targets.append(target)
    return targets


def _kept(folder: Path, run: str) -> FactorModel | None:
    """The factors that this very run learned before it was interrupted."""
    if not (folder / "targets.json").is_file():
        return None
    there = open_targets(folder)
    return there.model if there.facts.get("run") == run else None


def _failures(framed: Framed, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Every file that could not be heard, once for each reason."""
    found = [*framed.failures, *(one for target in targets for one in target.failures)]
    return list(
        {
            (one.facts.place, one.reason): {
                "path": one.facts.path,
                "line": one.facts.line,
                "stage": one.stage,
                "reason": one.reason,
            }
            for one in found
        }.values()
    )


def _write(
    job: Job,
    network: Dcnn,
    targets: Sequence[Target],
    lesson: DcnnLesson,
    trained: Trained,
    tags: Sequence[str],
    failures: Sequence[Mapping[str, Any]],
    world: World,
) -> None:
    """The factors beside the encoder, the page, and last of all the encoder."""
    there = job.out / TARGETS
    if (job.out / WORK / TARGETS).is_dir():
        shutil.rmtree(there, ignore_errors=True)
        shutil.move(job.out / WORK / TARGETS, there)
    learned = len(np.unique(np.concatenate(lesson.train)))
    write_dcnn(
        job.out,
        card=job.card(targets, learned),
        tags=tags,
        tensors=dcnn_tensors(network),
        trained=trained,
        lesson=lesson,
        targets=targets,
        left_out=job.parts.left_out,
        settings=job.arguments(world),
        failures=failures,
    )
