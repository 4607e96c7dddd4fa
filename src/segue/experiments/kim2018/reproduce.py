"""``segue reproduce kim2018``: music, splits, jobs, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.encoders.dcnn import DcnnSpec
from segue.encoders.protocol import checked_device
from segue.errors import UsageError
from segue.evaluation.heads import make_head
from segue.experiments.kim2018 import page
from segue.experiments.kim2018.claims import findings, findings_csv
from segue.experiments.kim2018.music import Music
from segue.experiments.kim2018.networks import GENRE, several_of
from segue.experiments.kim2018.part import Part, parts_of
from segue.experiments.kim2018.published import TITLE
from segue.experiments.kim2018.results import Results
from segue.experiments.kim2018.runs import Runner
from segue.experiments.kim2018.scale import SMALL, Scale
from segue.experiments.kim2018.splits import Kind, kinds_of, make_split
from segue.experiments.kim2018.table import (
    ScoreRow,
    differences,
    differences_csv,
    score_rows,
    to_csv,
)
from segue.extraction import available_cpus
from segue.extraction.frames import frame_recipe
from segue.files import write_atomically
from segue.report import markdown_sections, write_page, write_plots
from segue.store import FrameTable
from segue.store.rows import Stored
from segue.training.dcnn.network import width_for
from segue.training.loop import Watch
from segue.workflows import aligned_features, embed
from segue.workflows.dcnntargets import AUDIO
from segue.workflows.evaluating import embedding_watch
from segue.workflows.framing import frame
from segue.workflows.groupsource import LABELS, group_tracks

FRONT_END: Final = "kim2018"
BASELINES: Final = ("mfcc", "random-convnet")
SEEDS: Final = (0, 1, 2)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reproduction:
    """What was reproduced and where it was written.

    Attributes
    ----------
    music : Music
        Tracks that could be heard.
    parts : tuple of Part
    results : Results
    failures : mapping of path to reason
        Files that could not be used.
    page : Path
        kim2018.csv, differences.csv, findings.csv, kim2018.md and plots lie beside it.
    """

    music: Music
    parts: tuple[Part, ...]
    results: Results
    failures: dict[str, str] = field(default_factory=dict)
    page: Path

    @property
    def rows(self) -> list[ScoreRow]:
        """All rows of ``kim2018.csv``."""
        return score_rows(self.results, paper=self.music.paper)


def reproduce(
    music: Music,
    out: str | Path,
    *,
    scale: Scale = SMALL,
    splits: Sequence[Kind] | None = None,
    seeds: Sequence[int] = SEEDS,
    heads: Sequence[str] = (),
    encoders: Sequence[str] = BASELINES,
    device: str = "cpu",
    jobs: int | None = None,
    watch: Watch | None = None,
) -> Reproduction:
    """Tables 3, 4, 5 and Figure 3 on this music, under every split that it allows.

    Parameters
    ----------
    music : Music
        :func:`~segue.experiments.kim2018.music.distributed_music` or ``named_music``.
    out : path
        Folder for kim2018.csv, differences.csv, findings.csv, kim2018.md, plots, report.html; and
        for frames, artist groups, networks and finished numbers, so that the same call goes on
        where it stopped.
    scale : Scale
    splits : sequence of str, optional
        Of "random", "album", "artist"; by default all for which there is a column.
    seeds : sequence of int
        Each fixes splits, artist groups, networks and classifiers anew.
    heads : sequence of str
        Classifiers besides the paper's, on each track's mean features.
    encoders : sequence of str
        Baselines, with an SVM.
    device : str
    jobs : int, optional
        Processes of one thread each; on the CPU numbers do not depend on it. Each holds the
        segments of one system: 25,000 tracks of 30 with all tasks are 4 GB. On a GPU one by
        default.

    Raises
    ------
    UsageError, ManifestError, StoreError, WeightsError, SegueError
    """
    out, jobs = Path(out), jobs or (available_cpus() if device == "cpu" else 1)
    kinds = _checked(music, splits, seeds, heads, device)
    _check_learnable(music, scale)
    for kind in kinds:  # before hours of hearing
        for seed in seeds:
            make_split(music, kind, seed)
    heard = hear(music, encoders, out=out, device=device, jobs=jobs, watch=watch)
    music = heard.music
    parts = parts_of(
        music,
        [make_split(music, kind, seed) for kind in kinds for seed in seeds],
        scale,
        heard.stored,
        frames=out / "frames",
        root=out,
        device=device,
    )
    runner = Runner(
        parts=parts,
        jobs=jobs,
        heads=tuple(dict.fromkeys(heads)),
        encoders=heard.features,
        watch=watch,
    )
    results = runner.run()
    written = write(music, parts, results, heard.failures, out)
    return Reproduction(
        music=music, parts=tuple(parts), results=results, failures=heard.failures, page=written
    )


def _checked(
    music: Music,
    splits: Sequence[Kind] | None,
    seeds: Sequence[int],
    heads: Sequence[str],
    device: str,
) -> list[Kind]:
    """The splits, if everything that is asked for can be had."""
    possible = kinds_of(music)
    asked = list(dict.fromkeys(possible if splits is None else splits))
    if unknown := [one for one in asked if one not in possible]:
        raise UsageError(
            wanted=f"splits among {', '.join(possible)}, those that {music.name} has a column for",
            got=", ".join(unknown),
            fix="Leave them out, or name an album column with --album",
        )
    if not asked or not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(
            wanted="a split, and one seed or more, each once",
            got=f"splits {', '.join(asked)}; seeds {', '.join(map(str, seeds))}",
            fix="Name some",
        )
    for head in heads:
        make_head(head, "classification", n_features=1)
    checked_device(device)
    return asked


def _check_learnable(music: Music, scale: Scale) -> None:
    """Refuse before hours of hearing what networks and artist groups would refuse after."""
    spec = DcnnSpec(tasks=((GENRE, len(music.classes)),), width=scale.width)
    for copies in range(2, len(music.tasks) + 1):
        width_for(several_of(spec, copies, scale), spec)
    group_tracks(music.manifest, music.group, f"{LABELS}{music.target}")
    if music.labels:
        group_tracks(music.manifest, music.group, LABELS + ",".join(music.labels))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Heard:
    """The tracks that can be heard, and what was made of their audio.

    ``features`` are those of the baseline encoders, (tracks, dim); ``failures`` path and reason.
    """

    music: Music
    stored: list[Stored]
    features: dict[str, NDArray[np.float32]]
    failures: dict[str, str]


def hear(
    music: Music,
    encoders: Sequence[str],
    *,
    out: Path,
    device: str,
    jobs: int,
    watch: Watch | None = None,
) -> Heard:
    """Open all audio, once for each of networks, baselines and artist groups.

    Tracks that the networks or a baseline cannot hear are left out and counted.
    """
    recipe = frame_recipe(FRONT_END)
    maker = recipe.build()
    table = FrameTable.open_or_create(out / "frames", maker.kind)
    framed = frame(
        music.manifest, table, recipe, maker=maker, name=music.name, workers=jobs, watch=watch
    )
    failures = [*framed.failures]
    tables = []
    for name in encoders:
        progress = embedding_watch(watch, name)
        done = embed(
            music.manifest,
            out / "features",
            encoder=name,
            device=device,
            workers=jobs,
            progress=progress,
        )
        tables.append(done.table)
        failures += done.failures
    aligned = aligned_features(music.manifest, tables)
    rows = framed.rows[aligned.there[framed.rows]]
    usable = music.usable(rows.tolist())
    for kind in ("m", "e"):  # d is made of m's frames
        tracks = group_tracks(
            usable.manifest,
            usable.group,
            AUDIO[kind],
            frames=out / "frames",
            workers=jobs,
            watch=watch,
        )
        failures += tracks.failures
    by_row = dict(zip(framed.rows.tolist(), framed.stored, strict=True))
    places = np.searchsorted(aligned.rows, rows)
    return Heard(
        music=usable,
        stored=[by_row[row] for row in rows.tolist()],
        features={name: one.X[places] for name, one in zip(encoders, aligned.sets, strict=True)},
        failures={one.facts.path: one.reason for one in failures},
    )


def write(
    music: Music, parts: Sequence[Part], results: Results, failures: dict[str, str], out: Path
) -> Path:
    """Write the tables, kim2018.md, plots/ and report.html; returns the page."""
    claims = findings(results)
    found = page.sections(music, parts, results, claims, failures)
    write_atomically(out / "kim2018.csv", to_csv(score_rows(results, paper=music.paper)))
    write_atomically(out / "differences.csv", differences_csv(differences(results)))
    write_atomically(out / "findings.csv", findings_csv(claims))
    write_atomically(out / "kim2018.md", markdown_sections(TITLE, found))
    write_plots(out / "plots", found)
    return write_page(
        out / "report.html", title=TITLE, summary=page.summary(results), sections=found
    )
