"""``segue reproduce hamel2013``: data sets, embeddings, numbers, files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.errors import UsageError
from segue.evaluation.heads import make_head
from segue.experiments.hamel2013 import page
from segue.experiments.hamel2013.page import Classes
from segue.experiments.hamel2013.published import FOLDS, TITLE
from segue.experiments.hamel2013.scores import HEADS, Material, Protocol, Scored, Scorer
from segue.experiments.hamel2013.sets import GenreSet, Sets
from segue.experiments.hamel2013.spaces import Teacher, blocks_of, spaces_for, windows_of
from segue.experiments.hamel2013.table import Done, ScoreRow, findings, table_rows, to_csv
from segue.experiments.protocols import Asked, check_protocol
from segue.extraction import available_cpus
from segue.files import write_atomically
from segue.report import markdown_sections, write_page, write_plots
from segue.training.loop import Settings, Watch
from segue.training.warp.settings import WarpSettings
from segue.workflows.joint import SETTINGS, SHARE
from segue.workflows.jointsets import read_sources

PROTOCOLS: tuple[Protocol, ...] = ("paper", "corrected")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reproduction:
    """What was reproduced and where it was written.

    Attributes
    ----------
    targets : tuple of Done
    failures : mapping of path to reason
        Files that could not be used.
    page : Path
        hamel2013.csv, findings.csv, hamel2013.md and plots lie beside it.
    """

    targets: tuple[Done, ...]
    failures: dict[str, str]
    page: Path

    @property
    def rows(self) -> list[ScoreRow]:
        """All rows of ``hamel2013.csv``."""
        return [row for one in self.targets for row in table_rows(one)]


def reproduce(
    sets: Sets,
    out: str | Path,
    *,
    protocol: Asked = "both",
    warp: WarpSettings | None = None,
    settings: Settings = SETTINGS,
    heads: tuple[str, ...] = HEADS,
    blocks: bool = True,
    jobs: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Reproduction:
    """Tables 3, 4, 5 and Figure 3 on these data sets.

    Parameters
    ----------
    sets : Sets
        :func:`~segue.experiments.hamel2013.sets.distributed_sets` or ``named_sets``.
    out : path
        Folder for hamel2013.csv, hamel2013.md, plots, report.html; frames, embeddings and finished
        numbers, so that the same call goes on where it stopped.
    protocol : {"paper", "corrected", "both"}
        Corrected only where artists are known.
    warp, settings
        Of the embeddings.
    heads : tuple of str
        Classifiers besides the paper's.
    blocks : bool
        Whether block-level features are tried, too.
    jobs : int, optional
        Processes; numbers do not depend on it.

    Raises
    ------
    UsageError, ManifestError, StoreError, SegueError
    """
    _check(sets, protocol, heads, settings)
    out, jobs = Path(out), jobs or available_cpus()
    teacher = Teacher(
        out, warp=warp or WarpSettings(), settings=settings, workers=jobs, watch=watch
    )
    scorer = Scorer(
        out=out / "cells", jobs=jobs, seed=seed, heads=tuple(dict.fromkeys(heads)), watch=watch
    )
    done = []
    for target in sets.genres:
        material = read_material(target, sets, teacher, blocks=blocks)
        run = [
            one
            for one in PROTOCOLS
            if protocol in (one, "both") and (one == "paper" or material.groups is not None)
        ]
        # what the paper has not is worth its time under the stricter protocol only
        scored: dict[Protocol, Scored] = {
            one: scorer.score(material, one, further=one == run[-1]) for one in run
        }
        done.append(Done(material=material, scored=scored))
    sources = [one.source for one in sets.genres]
    classes = Classes(
        folder=teacher.learn(sources), learned_from=tuple(one.name for one in sources)
    )
    notes = [*sets.notes, *_settings_notes(teacher)]
    written = write(done, classes, notes, out)
    return Reproduction(targets=tuple(done), failures=teacher.failures, page=written)


def _check(sets: Sets, protocol: str, heads: tuple[str, ...], settings: Settings) -> None:
    """Refuse now what would else be found out after the hours of the embeddings."""
    check_protocol(protocol)
    for head in heads:
        make_head(head, "classification", n_features=1)
    if protocol == "corrected" and all(one.groups is None for one in sets.genres):
        raise UsageError(
            wanted="a genre set whose artists are known, to keep them apart",
            got=", ".join(one.name for one in sets.genres),
            fix="Name an artist column (NAME=MANIFEST:COLUMN:ARTIST), or ask for --protocol paper",
        )
    for source in [*(one.source for one in sets.genres), *sets.tags]:
        read_sources([source], share=SHARE, seed=settings.seed)
    for one in sets.genres:
        artists = len(set(one.groups or ()))
        if protocol != "paper" and one.groups is not None and artists < FOLDS:
            raise UsageError(
                wanted=f"{FOLDS} artists or more of {one.name}, for {FOLDS} folds of others each",
                got=str(artists),
                fix="Ask for --protocol paper, or name no artist column",
                source=one.source.manifest.name,
            )


def read_material(target: GenreSet, sets: Sets, teacher: Teacher, *, blocks: bool) -> Material:
    """Features of a target in every space that can be learned for it."""
    clips, there = teacher.clips(target)
    heard = Counter(np.array(target.labels)[there].tolist())
    if lost := sorted(label for label in set(target.labels) if heard[label] < 2):
        raise UsageError(
            wanted=f"two usable tracks or more of every class of {target.name}",
            got=", ".join(f"{label} ({heard[label]})" for label in lost),
            fix="See why the others could not be used: "
            + "; ".join(list(teacher.failures.values())[:3]),
            source=target.source.manifest.name,
        )
    spaces = spaces_for(target, sets, teacher)
    return Material(
        target=target,
        labels=np.array(target.labels)[there],
        groups=None if target.groups is None else np.array(target.groups)[there],
        spaces=tuple(spaces),
        windows={one.name: windows_of(one, clips) for one in spaces},
        blocks={one.name: blocks_of(one, clips) for one in spaces} if blocks else {},
        lost=len(target.labels) - len(there),
    )


def _settings_notes(teacher: Teacher) -> list[str]:
    warp, settings = teacher.warp, teacher.settings
    extras = [f"{warp.hidden} hidden units"] if warp.hidden else []
    extras += [f"norm ball {warp.norm_ball:g}"] if warp.norm_ball else []
    extras += [f"L2 {warp.l2:g} and {warp.label_decay:g}"] if warp.l2 or warp.label_decay else []
    return [
        f"Embeddings: {warp.dimensions} dimensions, batch {warp.batch}, {warp.rank} rank, learning "
        f"rate {settings.learning_rate:g}, at most {settings.epochs} epochs, the best kept by the "
        "label ranking of held-out tracks of the data sets that teach"
        + "".join(f", {one}" for one in extras)
        + "."
    ]


def write(done: list[Done], classes: Classes, notes: list[str], out: Path) -> Path:
    """Write hamel2013.csv, findings.csv, hamel2013.md, plots/ and report.html; returns the page."""
    found = page.sections(done, classes, notes)
    write_atomically(out / "hamel2013.csv", to_csv(row for one in done for row in table_rows(one)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("claim", "data set", "protocol", "verdict", "difference"))
    for one in findings(done):
        writer.writerow((one.claim, one.target, one.protocol, one.verdict, one.numbers))
    write_atomically(out / "findings.csv", text.getvalue().encode())
    write_atomically(out / "hamel2013.md", markdown_sections(TITLE, found))
    write_plots(out / "plots", found)
    return write_page(out / "report.html", title=TITLE, summary=page.summary(done), sections=found)
