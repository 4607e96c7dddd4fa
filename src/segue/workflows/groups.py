"""From a manifest with a group column to factors of its groups: frames, words, topics, a folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.errors import SegueError
from segue.extraction.frames import SECONDS
from segue.report.groups import Factor
from segue.store import Failure
from segue.targets.bags import remove_bags
from segue.targets.factors import (
    FactorModel,
    FactorSettings,
    GroupShares,
    learn_counted,
    shares_of_bags,
)
from segue.targets.factors import group_shares as infer
from segue.targets.folder import TargetFolder, open_targets, write_targets
from segue.targets.folder_checks import FACTS
from segue.training.claim import WORK, check_files, claim, read_run, release, write_run
from segue.training.parallel import World
from segue.workflows.embedding import Inputs, open_manifest
from segue.workflows.evaluating import Watch
from segue.workflows.groupfacts import as_facts, describe, single_tracks, write_tracks
from segue.workflows.groupjob import Job
from segue.workflows.groupkinds import Kind, parse_kind
from segue.workflows.grouppage import write_groups
from segue.workflows.groupread import DIGEST, TRACKS, checked_facts, restored_tracks
from segue.workflows.groupsource import GroupTracks, group_source, group_tracks
from segue.workflows.groupstability import LEAST_GROUPS, Compared, compare, compared_facts

FRAMES, BAGS = "frames", "counted-bags"
SEEDS = 3
LISTED = 100  # groups without a distribution that facts name; groups.parquet has all

__all__ = ["ArtistGroups", "artist_groups", "group_source", "group_tracks", "parse_kind"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ArtistGroups:
    """Factors of groups, learned.

    Attributes
    ----------
    folder : TargetFolder
        Model, shares of the groups, facts.
    failures : tuple of mapping
        ``path``, ``line``, ``stage``, ``reason`` of files that could not be used.
    """

    folder: TargetFolder
    failures: tuple[Mapping[str, Any], ...]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What ``targets.json`` says of groups, words, factors, stability, as plain values."""
        return self.folder.facts


def artist_groups(
    inputs: Inputs,
    group: str,
    kind: str | Kind,
    out: str | Path,
    *,
    settings: FactorSettings | None = None,
    seconds: float | None = SECONDS,
    chunks: int | None = 1,
    seeds: int = SEEDS,
    frames: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    watch: Watch | None = None,
) -> ArtistGroups:
    """Learn factors of groups of tracks and write them down (Kim et al. 2018, section 3.1).

    Run again with the same arguments, frames that were made are not made again; words and factors
    are learned anew. A finished run is only read back, and its ``tracks.parquet`` made again
    where that is gone.

    Parameters
    ----------
    inputs : Manifest, path, or sequence of paths
    group : str
        Column of the manifest; or "folder", see :func:`segue.workflows.grouping.read_groups`.
    kind : str or Kind
        What words are made of, see :func:`segue.workflows.groupkinds.parse_kind`.
    out : path
        Folder for ``targets.json``, ``model.safetensors``, ``groups.parquet``,
        ``tracks.parquet``, plots and ``report.html``; ``run/`` in it is the work in progress.
    settings : FactorSettings, optional
        By default the paper's, with the normalisation that belongs to ``kind``.
    seconds : float or None
        Heard of a file for "mfcc" and "dmfcc"; None: all of it.
    chunks : int or None
        Excerpts heard by an encoder; None: all.
    seeds : int
        Learnings, with the same words, that are compared, to see which factors return; 1: none
        are.
    frames : path, optional
        Store of frames that runs share; by default ``out/run/frames``, removed at the end.
    device : str
    workers : int, optional
    watch : callable, optional
        Called with (what, done, total).

    Raises
    ------
    UsageError
        Arguments that make no sense, a folder of another run, too few groups or words.
    ManifestError, WeightsError, StoreError, ModelError, SegueError
    """
    out = Path(out)
    kind = parse_kind(kind) if isinstance(kind, str) else kind
    job = Job(
        manifest=open_manifest(inputs),
        group=group,
        kind=kind,
        out=out,
        settings=settings or FactorSettings(normalise=kind.normalise),
        seconds=seconds,
        chunks=chunks,
        seeds=seeds,
        frames=Path(frames) if frames is not None else out / WORK / FRAMES,
        device=device,
        workers=workers,
    )
    run = claim(out, job.arguments(), World())
    try:
        if (out / FACTS).is_file():
            check_files(out, run, job.files(), made="factors")
            there = open_targets(out)
            checked_facts(there.facts, out / FACTS)
            restored_tracks(there, job)
        else:
            _learn(job, run, watch)
    except (SegueError, KeyboardInterrupt):
        release(out)
        raise
    if frames is None:
        shutil.rmtree(job.frames, ignore_errors=True)
    return ArtistGroups(folder=open_targets(out), failures=tuple(read_run(out).get("failures", ())))


def _learn(job: Job, run: dict[str, Any], watch: Watch | None) -> None:
    """Everything between a claimed folder and the finished one; ``targets.json`` comes last."""
    begun = time.monotonic()
    found = group_tracks(
        job.manifest,
        job.group,
        job.kind,
        frames=job.frames,
        seconds=job.seconds,
        chunks=job.chunks,
        device=job.device,
        workers=job.workers,
        watch=watch,
    )
    failures = [_failure(one) for one in found.failures]
    write_run(job.out, {**run, "files": job.files()[0], "failures": failures})
    work = job.out / WORK
    try:
        # counted once: to make words of all vectors takes longest
        model, bags = learn_counted(found.source, job.settings, folder=work / BAGS, watch=watch)
        shares = shares_of_bags(model, found.source, bags, watch=watch)
        compared = compare(model, found.source, bags, seeds=job.seeds, work=work, watch=watch)
    finally:
        remove_bags(work / BAGS)
    single, chosen = single_tracks(found.source)
    alone = infer(model, single, work=work, watch=watch)
    factors = describe(
        model,
        shares,
        found,
        job.manifest,
        alone=alone,
        chosen=chosen,
        similarity=None if compared is None else compared.similarity.mean(axis=0),
    )
    facts = {
        "group": job.group,
        "taken": found.groups.taken,
        "from": job.kind.asked,
        **found.facts,
        "words": model.words,
        "words_asked": None if model.vocabulary else job.settings.words,
        "topics": model.topics,
        "groups": len(shares.names),
        "empty_groups": len(shares.empty),
        "empty": list(shares.empty[:LISTED]),
        "tracks": len(found.source.tracks),
        "nameless": len(found.groups.nameless),
        "bare": found.bare,
        "unusable_files": len(failures),
        "notes": notes(found, model, shares, factors, compared),
        "factors": as_facts(factors),
        "stability": compared_facts(compared),
        "seconds": round(time.monotonic() - begun, 1),
    }
    facts[DIGEST] = write_tracks(job.out / TRACKS, job.manifest, found.groups, shares)
    write_groups(job, model, shares, factors, compared, facts, failures)
    write_targets(job.out, model, shares, facts)


def notes(
    found: GroupTracks,
    model: FactorModel,
    shares: GroupShares,
    factors: Sequence[Factor],
    compared: Compared | None,
) -> list[str]:
    """What was taken, made and left out, in words."""
    what = "labels" if model.vocabulary else "words"
    counted = int(shares.words.sum())
    words = [
        *found.notes(),
        f"{model.words} {what}, {counted} of them counted in {len(shares.names)} groups.",
        *model.notes,
    ]
    alone = int((shares.tracks == 1).sum())
    if alone:
        words.append(f"Groups of a single track, which is described by itself: {alone}.")
    idle = sum(one.idle for one in factors)
    if idle:
        words.append(
            f"Idle factors, of which no group has even an equal share: {idle} of {len(factors)}."
        )
    if shares.empty:
        some = ", ".join(shares.empty[:3]) + ", ..." * (len(shares.empty) > 3)
        words.append(
            f"Groups without words, and so without a distribution: {len(shares.empty)} ({some})."
        )
    if compared is not None:
        words += compared.words(model.topics)
    elif int(shares.known.sum()) < LEAST_GROUPS:
        words.append("Not compared over seeds: fewer than ten groups with words.")
    return words


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "path": failure.facts.path,
        "line": failure.facts.line,
        "stage": failure.stage,
        "reason": failure.reason,
    }
