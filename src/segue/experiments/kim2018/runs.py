"""All jobs of all parts, several at a time; what is finished is on disk and never done twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from segue.experiments.kim2018.combinations import System, singles_of, systems_of
from segue.experiments.kim2018.networks import GENRE, keep_features, learn_targets
from segue.experiments.kim2018.part import Part
from segue.experiments.kim2018.published import STN
from segue.experiments.kim2018.results import (
    PRIOR,
    UNTRAINED,
    UNTRAINED_WIDE,
    Results,
)
from segue.experiments.kim2018.transfer import (
    ENCODER_HEAD,
    encoder_lacking,
    lacking,
    score_controls,
    score_encoder,
    score_system,
    with_head,
)
from segue.training.loop import Watch


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done once.

    Attributes
    ----------
    run : callable
        Takes a watch or None; can be handed to another process.
    cost : int
        About how long it takes, in epochs of a single-task network.
    """

    run: Callable[[Watch | None], None]
    cost: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runner:
    """Does all jobs of some parts.

    Attributes
    ----------
    parts : sequence of Part
    jobs : int
        Processes of one thread each; numbers do not depend on it.
    heads : tuple of str
        Classifiers besides the paper's, on each track's mean features.
    encoders : mapping of name to (tracks, dim) array
        Features of baselines, of every track.
    """

    parts: Sequence[Part]
    jobs: int
    heads: tuple[str, ...]
    encoders: dict[str, NDArray[np.float32]]
    watch: Watch | None = None

    def run(self) -> Results:
        """Targets, networks of one task, all systems and baselines; then all scores."""
        self._do("artist groups", self._targets())
        self._do("single-task networks", self._singles())
        self._do("combinations", self._systems())
        return self.results()

    def results(self) -> Results:
        """The scores that are on disk, of all parts."""
        music = self.parts[0].music
        scores = {}
        for part in self.parts:
            cells = part.cells()
            for name in self._names():
                found = cells.get(name)
                if found is not None:
                    scores[part.split.kind, part.split.seed, name] = found["scores"]
        return Results(
            task=music.name,
            tasks=music.tasks,
            kinds=tuple(dict.fromkeys(part.split.kind for part in self.parts)),
            seeds=tuple(dict.fromkeys(part.split.seed for part in self.parts)),
            scores=scores,
        )

    def _names(self) -> list[str]:
        systems = [one.name for one in systems_of(self.parts[0].music.tasks)]
        learned = [*systems, UNTRAINED, UNTRAINED_WIDE]
        further = [with_head(name, head) for head in self.heads for name in learned]
        encoders = [with_head(name, ENCODER_HEAD) for name in self.encoders]
        return [*learned, PRIOR, *encoders, *further]

    def _targets(self) -> list[Job]:
        return [
            Job(partial(learn_targets, part, letter), 1)
            for part in self.parts
            for letter in part.music.tasks
            if letter != GENRE and not part.has_target(letter)
        ]

    def _singles(self) -> list[Job]:
        return [
            Job(partial(keep_features, part, one.tasks), part.scale.epochs)
            for part in self.parts
            for one in singles_of(part.music.tasks)
            if not part.has_features(one.tasks)
        ]

    def _systems(self) -> list[Job]:
        jobs = [
            Job(partial(score_system, part, one, self.heads), _cost(part, one))
            for part in self.parts
            for one in systems_of(part.music.tasks)
            if lacking(part, one.name, self.heads)
        ]
        jobs += [
            Job(partial(score_controls, part, self.heads), 5)
            for part in self.parts
            if any(lacking(part, one, self.heads) for one in (UNTRAINED, UNTRAINED_WIDE))
            or lacking(part, PRIOR)
        ]
        jobs += [
            Job(partial(score_encoder, part, name, X), 2)
            for part in self.parts
            for name, X in self.encoders.items()
            if encoder_lacking(part, name, X)
        ]
        # the longest first, so that no process waits for another's at the end
        return sorted(jobs, key=lambda job: -job.cost)

    def _do(self, what: str, jobs: Sequence[Job]) -> None:
        done, total = 0, sum(job.cost for job in jobs)
        with parallel_config(backend="loky", inner_max_num_threads=1):
            # a watch cannot be handed to another process
            watch = self.watch if self.jobs == 1 else None
            runs = Parallel(n_jobs=self.jobs, return_as="generator_unordered")(
                delayed(_alone)(job, watch) for job in jobs
            )
            try:
                for cost in runs:
                    done += cost
                    if self.watch:
                        self.watch(what, done, total)
            except BaseException:
                # who is told to end alone (SIGTERM) would leave them at work for nobody
                if self.jobs > 1:
                    get_reusable_executor().shutdown(wait=False, kill_workers=True)
                raise


def _cost(part: Part, system: System) -> int:
    if system.sharing == STN:
        return 1
    return part.scale.epochs * system.copies + 1


def _alone(job: Job, watch: Watch | None) -> int:
    """Do a job in one thread, whatever the machine has: sums in one order give the same numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            job.run(watch)
    finally:
        torch.set_num_threads(before)
    return job.cost
