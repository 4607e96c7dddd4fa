"""From labelled music to an encoder: the source task, learned, judged once, written as a folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.audio.frontends import FrontEnd
from segue.card import canonical_json
from segue.datasets import Manifest
from segue.encoders.convnet import EXCERPT, FRONT_END
from segue.encoders.folder_checks import check_tags, check_words
from segue.encoders.folders import CURVE, FACTS, EncoderFolder, open_folder
from segue.errors import SegueError, UsageError
from segue.extraction import available_cpus
from segue.training.claim import (
    CHECKPOINT,
    SAMPLES,
    WORK,
    audio_digest,
    check_audio,
    claim,
    read_run,
    release,
    write_run,
)
from segue.training.gradient import GradientLearner
from segue.training.labels import Labels, most_frequent, read_labels, teachable
from segue.training.loop import Point, Settings, Watch, train
from segue.training.parallel import World, join
from segue.training.samples import Clip, Rejected, decode
from segue.training.split import (
    PARTS,
    Split,
    check_filled,
    drawn_split,
    given_split,
    track_groups,
)
from segue.training.tagging import (
    Level,
    TaggingLesson,
    loudest_band,
    new_tagger,
    whole_batches,
)
from segue.workflows.embedding import Inputs, open_manifest
from segue.workflows.sourcetask import (
    Origin,
    SourceTask,
    measure,
    named_origin,
    new_card,
    read_curve,
    write_curve,
    write_encoder,
)

MIN_TRACKS, BATCH = 20, 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pretrained:
    """A finished training run.

    Attributes
    ----------
    encoder : EncoderFolder
        Its ``training`` holds scores per tag and macro, the baseline's, settings and versions.
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


def pretrain_convnet(
    inputs: Inputs,
    targets: Sequence[str],
    out: str | Path,
    *,
    group: str | None = None,
    split: str | None = None,
    min_tracks: int = MIN_TRACKS,
    top: int | None = None,
    batch: int = BATCH,
    settings: Settings | None = None,
    origin: Origin | None = None,
    samples: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    remake: bool = False,
    watch: Watch | None = None,
) -> Pretrained:
    """Teach the convnet of Choi et al. 2017 to tag music, and write it as an encoder folder.

    Run again with the same arguments it goes on where it stopped; a finished run is only read
    back. Under `torchrun` several processes share each batch.

    Parameters
    ----------
    inputs : Manifest, path or paths
    targets : sequence of str
        Label columns; several are one task of all their tags.
    out : path
        Folder for ``encoder.json``, ``weights.safetensors``, ``curve.csv``, ``scores.csv`` and
        ``report.html``; ``run/`` in it is the work in progress.
    group : str, optional
        Column whose values never stand in two parts (artist); by default the file.
    split : str, optional
        Column that says train, valid or test; by default parts are drawn with the seed.
    min_tracks : int
        Leave out tags that fewer training files (groups, where there are any) carry.
    top : int, optional
        Teach only this many tags, the most frequent.
    batch : int
        Tracks of a step, over all processes.
    settings : Settings, optional
    origin : Origin, optional
    samples : path, optional
        Folder of decoded samples that runs share; by default ``out/run/samples``, removed at the
        end.
    device : str
    workers : int, optional
        Threads that decode and read.
    remake : bool
        Allow the name of an encoder that comes with segue, to make that one again.
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError, ManifestError
        A request that cannot be carried out, or a folder of another run; nothing was trained.
    WeightsError
        A damaged checkpoint or curve.
    SegueError
        The loss is not finite any more, or a training clip is not to the scale of the others.
    """
    if workers is not None and workers < 1:
        raise UsageError(wanted="one worker at least", got=str(workers), fix="Raise --workers")
    manifest = open_manifest(inputs)
    labels = read_labels(manifest, targets)
    job = _Job(
        manifest=manifest,
        labels=labels,
        groups=track_groups(manifest, labels.rows, group),
        targets=tuple(targets),
        out=Path(out),
        group=group,
        split=split,
        min_tracks=min_tracks,
        top=top,
        batch=batch,
        settings=settings or Settings(),
        origin=named_origin(origin, Path(out), remake=remake),
        samples=None if samples is None else Path(samples),
        workers=workers or available_cpus(),
    )
    parts = job.parts()
    with join(device) as world:
        # what arguments and labels decide is refused before anything is written
        check_tags(job.task(parts, np.arange(len(labels.rows)), world).tags)
        for words in (job.origin.licence, job.origin.training_data, *targets):
            check_words(words, "words for the card")
        run = claim(job.out, job.arguments(world), world)
        try:
            if not (job.out / FACTS).is_file():
                _learn(job, parts, run, world, watch if world.main else None)
        except SegueError:
            if world.main:
                release(job.out)
            raise
        if world.main:
            job.tidy()
        world.wait()
        return Pretrained(
            encoder=open_folder(job.out),
            curve=read_curve(job.out / CURVE),
            failures=tuple(read_run(job.out).get("failures", ())),
            main=world.main,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Job:
    """The arguments of a run, checked."""

    manifest: Manifest
    labels: Labels
    groups: Sequence[str]
    targets: tuple[str, ...]
    out: Path
    group: str | None
    split: str | None
    min_tracks: int
    top: int | None
    batch: int
    settings: Settings
    origin: Origin
    samples: Path | None
    workers: int

    def parts(self) -> Split:
        """Rows of the labels in each part."""
        if self.split is None:
            return drawn_split(self.groups, seed=self.settings.seed)
        cells = self.manifest.column(self.split)
        return given_split([cells[row] for row in self.labels.rows], self.groups, name=self.split)

    def task(
        self, parts: Split, keep: NDArray[np.int64], world: World, *, failed: int = 0
    ) -> SourceTask:
        """What is taught to these rows of the labels, of which ``parts`` are rows.

        Raises
        ------
        UsageError
            It cannot be taught, or not be judged.
        """
        check_filled(parts)
        table, train = self.labels.table[keep], parts["train"]
        whole_batches(len(train), self.batch, world)
        groups = [self.groups[row] for row in keep[train]]
        usable = teachable(table[train], groups, min_tracks=self.min_tracks)
        taught = most_frequent(table[train], usable, self.top)
        tags, carried = self.labels.tags, table.sum(axis=0)
        rest = {column: (tags[column], int(n)) for column, n in enumerate(carried)}
        task = SourceTask(
            tags=tuple(tags[column] for column in taught),
            table=table[:, taught],
            parts=parts,
            rare=dict(rest[column] for column in rest if column not in usable),
            beyond=dict(rest[column] for column in usable if column not in taught),
            unlabelled=self.labels.left_out,
            failed=failed,
        )
        task.check_valid()
        return task

    def arguments(self, world: World) -> dict[str, Any]:
        """All that fixes the curve but the audio; a run goes on only where they are the same."""
        return {
            "tracks and labels": self.digest(),
            "target": list(self.targets),
            "group": self.group,
            "split": self.split,
            "min-tracks": self.min_tracks,
            "top": self.top,
            "batch": self.batch,
            **{name.replace("_", "-"): value for name, value in asdict(self.settings).items()},
            "device": world.device.type,
            "processes": world.size,
            **{name.replace("_", "-"): value for name, value in asdict(self.origin).items()},
        }

    def digest(self) -> str:
        """SHA-256 over tracks, stretches, labels, groups and parts, row by row: text is large."""
        tracks = list(self.manifest.tracks())
        cells = [] if self.split is None else self.manifest.column(self.split)
        state = hashlib.sha256()
        for row, label, group in zip(self.labels.rows, self.labels.table, self.groups, strict=True):
            one = tracks[row]
            place = [one.id, str(one.path.absolute()), one.start, one.duration]
            facts = [*place, label.astype(int).tolist(), group, cells[row] if cells else None]
            state.update(f"{canonical_json(facts)}\n".encode())
        return state.hexdigest()

    def tidy(self) -> None:
        """Remove what a finished run needs no more."""
        (self.out / WORK / CHECKPOINT).unlink(missing_ok=True)
        if self.samples is None:
            shutil.rmtree(self.out / WORK / SAMPLES, ignore_errors=True)


def _learn(job: _Job, parts: Split, run: dict[str, Any], world: World, watch: Watch | None) -> None:
    """Everything between a claimed folder and the finished encoder."""
    clips, keep, failures, audio = _decoded(job, parts, world, watch)
    parts = {part: np.flatnonzero(np.isin(keep, rows)) for part, rows in parts.items()}
    if (job.out / WORK / CHECKPOINT).exists():
        check_audio(job.out, run, audio, failures)
    task = job.task(parts, keep, world, failed=len(failures))
    size = round(EXCERPT.seconds * FRONT_END.rate)
    if run.get("audio") != audio or "level" not in run:
        heard = [clips[row] for row in parts["train"]]
        run["level"] = loudest_band(heard, FRONT_END, size, world.device).to_json()
    level = Level(**run["level"])
    if world.main:
        write_run(job.out, {**run, "audio": audio, "failures": failures})
    front_end = replace(FRONT_END, reference_db=level.reference_db)
    lesson = TaggingLesson(
        clips=clips,
        labels=task.table,
        train=parts["train"],
        valid=parts["valid"],
        front_end=FrontEnd(front_end).to(world.device).eval(),
        size=size,
        batch=job.batch,
        measure=measure,
        seed=job.settings.seed,
        world=world,
        readers=job.workers,
    )
    network = new_tagger(task.shares, seed=job.settings.seed)
    trained = train(
        GradientLearner(network, lesson, job.settings, world),
        lesson,
        job.settings,
        path=job.out / WORK / CHECKPOINT,
        world=world,
        watch=watch,
        tell=lambda curve: write_curve(job.out / CURVE, curve),
    )
    scores = lesson.logits(network, parts["test"])
    if world.main:
        write_encoder(
            job.out,
            network=network,
            card=new_card(job.origin, job.targets, task, front_end),
            task=task,
            scores=scores,
            trained=trained,
            level=level,
            settings=job.arguments(world),
            failures=failures,
        )


def _decoded(
    job: _Job, parts: Split, world: World, watch: Watch | None
) -> tuple[list[Clip], NDArray[np.int64], list[dict[str, Any]], str]:
    """Usable clips, their rows of the labels, the files that failed, and the clips' digest."""
    tracks = list(job.manifest.tracks())
    used = np.sort(np.concatenate([parts[part] for part in PARTS]))
    outcomes = decode(
        [tracks[job.labels.rows[row]] for row in used],
        job.samples or job.out / WORK / SAMPLES,
        rate=FRONT_END.rate,
        excerpt=EXCERPT,
        workers=job.workers,
        world=world,
        progress=None if watch is None else (lambda d, r, n: watch("decoding", d + r, n)),
    )
    clips = [one for one in outcomes if isinstance(one, Clip)]
    usable = np.array([isinstance(one, Clip) for one in outcomes])
    failures = [
        {
            "path": str(one.track.path),
            "line": one.track.line,
            "stage": one.stage,
            "reason": one.reason,
        }
        for one in outcomes
        if isinstance(one, Rejected)
    ]
    return clips, used[usable], failures, audio_digest(outcomes)
