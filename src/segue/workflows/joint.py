"""From several labelled data sets to one embedding: frames, WARP, an encoder folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segue.card import canonical_json
from segue.encoders import encoder as build_encoder
from segue.encoders.folder_checks import check_size, check_tags, check_words
from segue.encoders.folders import CURVE, FACTS, EncoderFolder, check_base, open_folder
from segue.encoders.joint import LABELS, joint_shapes
from segue.encoders.names import is_path
from segue.errors import SegueError, UsageError
from segue.extraction.frames import FrameRecipe, frame_recipe
from segue.store import FrameTable
from segue.store.rows import Stored
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
from segue.training.clips import Clips, moments
from segue.training.loop import Point, Settings, Watch, train
from segue.training.parallel import World
from segue.training.warp.learner import WarpLearner
from segue.training.warp.lesson import Source as Turn
from segue.training.warp.lesson import WarpLesson
from segue.training.warp.network import JointEmbedding, extended, new_embedding
from segue.training.warp.settings import WarpSettings
from segue.training.warp.stream import Stream
from segue.training.warp.validation import Holdout
from segue.workflows.framing import frame
from segue.workflows.jointfolder import MEL, Embedding, open_embedding
from segue.workflows.jointjob import Job
from segue.workflows.jointpage import write_joint
from segue.workflows.jointsets import Rows, Source, Taught, check_parts, read_sources
from segue.workflows.sourcetask import Origin, named_origin, read_curve, write_curve

FRAMES = "frames"
SHARE = 0.1
SETTINGS = Settings(epochs=30, learning_rate=0.003, patience=5, stop_on="valid_map")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Joint:
    """A finished run.

    Attributes
    ----------
    encoder : EncoderFolder
        Its tags are "SET: label"; its ``training`` holds scores, settings, versions.
    curve : list of mapping
        One point per epoch.
    failures : tuple of mapping
        ``source``, ``path``, ``line``, ``stage``, ``reason`` of files that could not be used.
    """

    encoder: EncoderFolder
    curve: list[Point]
    failures: tuple[Mapping[str, Any], ...]


def pretrain_warp(
    sources: Sequence[Source],
    out: str | Path,
    *,
    hears: str = MEL,
    warp: WarpSettings | None = None,
    settings: Settings = SETTINGS,
    share: float = SHARE,
    min_tracks: int = 1,
    origin: Origin | None = None,
    frames: str | Path | None = None,
    extend: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    watch: Watch | None = None,
) -> Joint:
    """Learn one embedding from several data sets with the WARP loss (Hamel et al. 2013).

    Run again with the same arguments it goes on where it stopped; a finished run is only read
    back.

    Parameters
    ----------
    sources : sequence of Source
        Data sets, each with its own labels; they take turns, batch by batch.
    out : path
        Folder for ``encoder.json``, ``weights.safetensors``, ``curve.csv`` and ``report.html``;
        ``run/`` in it is the work in progress.
    hears : str
        "hamel2013", log-mel frames of the first 30 s; or a registered or added encoder, whose
        vectors (one a chunk, of the whole track) take the place of frames.
    warp : WarpSettings, optional
    settings : Settings
        Epochs, learning rate, patience, seed; ``stop_on`` among "valid_map" and "valid_p1".
    share : float
        Of each data set's tracks, held out to choose the epoch.
    min_tracks : int
        Labels of fewer tracks are not taught.
    origin : Origin, optional
    frames : path, optional
        Store of frames that runs share; by default ``out/run/frames``, removed at the end.
    extend : path, optional
        An embedding's folder: its V stays, labels and data sets are added to it; ``warp`` says
        how, but not what shape, and ``hears`` cannot be another.
    device : str
        Where frames, or the other encoder's vectors, are computed. The training itself is of
        small matrices and runs on the CPU.
    workers : int, optional
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError
        Arguments or data sets that make no sense, a folder of another run.
    ManifestError, WeightsError, StoreError, SegueError
    """
    out = Path(out)
    if settings.precision != "float32" or settings.stop_on not in ("valid_map", "valid_p1"):
        raise UsageError(
            wanted="float32, stopped on valid_map or valid_p1",
            got=f"{settings.precision}, {settings.stop_on}",
            fix="WARP trains in single precision on the CPU and ranks labels",
        )
    warp, before = warp or WarpSettings(), None
    if extend is not None:
        before = open_embedding(extend)
        hears = _same_hears(before, hears)
        warp = replace(warp, dimensions=before.spec.dimensions, hidden=before.spec.hidden)
    recipe = _recipe(hears, device)
    job = Job(
        taught=read_sources(
            sources,
            min_tracks=min_tracks,
            share=share,
            seed=settings.seed,
            known=before.labels if before else None,
        ),
        out=out,
        hears=hears,
        maker=recipe.build(),
        recipe=recipe,
        base=None if hears == MEL else build_encoder(hears).card,
        before=before,
        warp=warp,
        settings=settings,
        share=share,
        min_tracks=min_tracks,
        origin=named_origin(origin, out),
        frames=Path(frames) if frames is not None else out / WORK / FRAMES,
        workers=workers,
    )
    check_tags(job.tags)
    check_size(job.tags, joint_shapes(job.card(), len(job.tags)))
    if before and len(job.tags) == len(before.folder.tags):
        raise UsageError(
            wanted="a label that the embedding has not",
            got=f"only labels of its own: {', '.join(one.source.name for one in job.taught)}",
            fix="Give the data set another name, or columns with other labels",
            source=extend,
        )
    for words in (job.origin.licence, job.origin.training_data):
        check_words(words, "words for the card")
    run = claim(out, job.arguments(), World())
    try:
        if (out / FACTS).is_file():
            check_files(out, run, job.files())
        else:
            _learn(job, run, watch)
    except (SegueError, KeyboardInterrupt):
        release(out)
        raise
    (out / WORK / CHECKPOINT).unlink(missing_ok=True)
    if frames is None:
        shutil.rmtree(job.frames, ignore_errors=True)
    failures = tuple(read_run(out).get("failures", ()))
    return Joint(encoder=open_folder(out), curve=read_curve(out / CURVE), failures=failures)


def _same_hears(before: Embedding, hears: str) -> str:
    if hears not in (MEL, before.hears):
        raise UsageError(
            wanted=f"an extension that hears {before.hears}, as the embedding does",
            got=hears,
            fix="Leave --hears out",
        )
    return before.hears


def _recipe(hears: str, device: str) -> FrameRecipe:
    if is_path(hears):
        raise UsageError(
            wanted="a front end or an encoder by its name",
            got=hears,
            fix="Add the folder first (segue models add): the embedding must find it again",
        )
    check_base(hears)
    return frame_recipe(hears, device=device)


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """A source's tracks that have frames: rows of training and of validation."""

    taught: Taught
    stored: list[Stored]
    rows: Rows

    def clips(self, table: FrameTable, *, valid: bool) -> Clips:
        held = self.taught.valid[self.rows] == valid
        return Clips(table, [one for one, use in zip(self.stored, held, strict=True) if use])

    def of(self, *, valid: bool) -> Rows:
        chosen: Rows = self.rows[self.taught.valid[self.rows] == valid]
        return chosen


def _learn(job: Job, run: dict[str, Any], watch: Watch | None) -> None:
    """Everything between a claimed folder and the finished encoder."""
    table = FrameTable.open_or_create(job.frames, job.maker.kind)
    heard, failures = _extracted(job, table, watch)
    audio = hashlib.sha256(
        canonical_json([[one.key for one in each.stored] for each in heard]).encode()
    ).hexdigest()
    if (job.out / WORK / CHECKPOINT).exists():
        check_audio(job.out, run, audio, failures)
    facts = {"audio": audio, "files": job.files()[0], "failures": failures}
    write_run(job.out, {**run, **facts})
    network = _network(job, table, heard)
    lesson, learner = _lesson(job, network, table, heard)
    trained = train(
        learner,
        lesson,
        job.settings,
        path=job.out / WORK / CHECKPOINT,
        watch=watch,
        tell=lambda curve: write_curve(job.out / CURVE, curve),
    )
    tensors = {
        name: values.detach().contiguous().numpy()
        for name, values in network.state_dict().items()
        if not name.startswith(f"{LABELS}.")
    }
    tensors[LABELS] = np.concatenate([rows.detach().numpy() for rows in network.labels])
    write_joint(
        job.out,
        card=job.card(),
        tags=job.tags,
        tensors=tensors,
        trained=trained,
        taught=job.taught,
        settings=job.arguments(),
        failures=failures,
        extended=str(job.before.folder.card.name) if job.before else None,
    )


def _extracted(
    job: Job, table: FrameTable, watch: Watch | None
) -> tuple[list[_Heard], list[dict[str, Any]]]:
    """Frames of all sources in the table; each source's tracks that have some; the failures."""
    heard, failures = [], []
    for one in job.taught:
        name = one.source.name
        framed = frame(
            one.manifest,
            table,
            job.recipe,
            maker=job.maker,
            name=name,
            workers=job.workers,
            watch=watch,
        )
        failures += [
            {
                "source": name,
                "path": failure.facts.path,
                "line": failure.facts.line,
                "stage": failure.stage,
                "reason": failure.reason,
            }
            for failure in framed.failures
        ]
        rows, each = framed.rows, _Heard(one, framed.stored, framed.rows)
        if not len(each.of(valid=False)) or not len(each.of(valid=True)):
            raise UsageError(
                wanted="usable tracks to learn from and to validate with",
                got=f"{len(rows)} of {len(one.carried)} labelled tracks of {one.source.name}",
                fix="Give more tracks, or see why these could not be used: "
                + "; ".join(str(one["reason"]) for one in failures[:3]),
                source=one.source.manifest.name,
            )
        check_parts(one, rows)
        heard.append(each)
    return heard, failures


def _network(job: Job, table: FrameTable, heard: Sequence[_Heard]) -> JointEmbedding:
    sizes = [len(labels) for labels in job.labels.values()]
    seed = job.settings.seed
    if job.before:
        return extended(job.before.network(), sizes, seed=seed)
    spec = job.spec()
    training = [
        stored
        for each in heard
        for stored, row in zip(each.stored, each.rows.tolist(), strict=True)
        if not each.taught.valid[row]
    ]
    mean, deviation = moments(Clips(table, training))
    shift, scale = mean.astype(np.float32), (1.0 / deviation).astype(np.float32)
    return new_embedding(spec, sizes, shift=shift, scale=scale, seed=seed)


def _lesson(
    job: Job, network: JointEmbedding, table: FrameTable, heard: Sequence[_Heard]
) -> tuple[WarpLesson, WarpLearner]:
    names, count = list(job.labels), len(job.labels)
    turns: list[Turn] = []
    holdouts: list[Holdout | None] = [None] * count
    labels: list[Any] = [None] * count
    learn: list[Any] = [None] * count
    for each in heard:
        name = each.taught.source.name
        number = names.index(name)
        clips = each.clips(table, valid=False)
        stream = Stream(
            clips,
            range(len(clips)),
            batch=job.warp.batch,
            seed=job.settings.seed,
            name=name,
            shift=network.shift.numpy(),
            scale=network.scale.numpy(),
        )
        turns.append(Turn(number, stream, int(clips.counts.sum())))
        labels[number] = each.taught.label_set(each.of(valid=False))
        learn[number] = each.taught.learned()
        held = each.taught.label_set(each.of(valid=True))
        holdouts[number] = Holdout(name, each.clips(table, valid=True), held)
    learner = WarpLearner(
        network,
        labels,
        job.warp,
        learning_rate=job.settings.learning_rate,
        seed=job.settings.seed,
        learn=learn,
        frozen=job.before is not None,
    )
    return WarpLesson(turns, holdouts, batch=job.warp.batch), learner
