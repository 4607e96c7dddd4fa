"""``segue reproduce choi2017``: material, runs, files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.datasets import Manifest
from segue.errors import UsageError
from segue.evaluation.folds import outer_folds
from segue.experiments.choi2017 import page
from segue.experiments.choi2017.audio import (
    TRAINED,
    check_column,
    check_trained,
    read_distributed,
    read_manifest,
)
from segue.experiments.choi2017.material import Material, Splits
from segue.experiments.choi2017.page import Done
from segue.experiments.choi2017.released import check_there, has_released, read_released
from segue.experiments.choi2017.runs import (
    NESTED,
    ORDER,
    PAPER,
    Run,
    Runner,
    corrected_protocols,
)
from segue.experiments.choi2017.table import KEY_ROWS, agreement, table_rows, to_csv
from segue.experiments.choi2017.tasks import TASKS, paper_task
from segue.experiments.protocols import Asked, check_protocol
from segue.experiments.rows import TableRow
from segue.extraction import available_cpus
from segue.files import write_atomically
from segue.report import markdown_sections, write_page, write_plots
from segue.workflows.cells import folder_name
from segue.workflows.evaluating import Watch


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """What was reproduced and where it was written.

    Attributes
    ----------
    targets : tuple of Done
        Material and runs of each target.
    page : Path
        The HTML page; choi2017.csv, choi2017.md and plots lie beside it.
    """

    targets: tuple[Done, ...]
    page: Path

    @property
    def rows(self) -> list[TableRow]:
        """All rows of ``choi2017.csv``."""
        return [row for one in self.targets for row in table_rows(one.material, one.runs.values())]

    def agreement(self) -> dict[str, Any]:
        """Per target: published cells compared, equal to the third decimal, and those apart."""
        return {one.material.name: agreement(one.rows) for one in self.targets}


def reproduce(
    tasks: Sequence[str],
    data: str | Path,
    *,
    out: str | Path,
    protocol: Asked = "both",
    device: str = "cpu",
    jobs: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Reproduction:
    """The paper's tables and figures for some of its six tasks.

    Parameters
    ----------
    tasks : sequence of str
        Names as in the authors' files ("gtzan_genre"), or "all".
    data : path
        The authors' released files (data_csv, data_feats, result_transfer), or the folder of the
        data set as distributed, from which features are then computed.
    out : path
        Folder for choi2017.csv, choi2017.md, plots, report.html, and finished cells, so that the
        same call goes on where it stopped.
    protocol : {"paper", "corrected", "both"}
    jobs : int, optional
        Processes; by default one per processor. Results do not depend on it.

    Raises
    ------
    UsageError, ManifestError, StoreError, WeightsError
    """
    names = [task.name for task in TASKS] if list(tasks) == ["all"] else list(tasks)
    out, root = Path(out), Path(data)
    check_protocol(protocol)
    chosen = [paper_task(name) for name in dict.fromkeys(names)]
    if not chosen:
        raise UsageError(wanted="a task", got="none", fix="Name one, or all")
    check_there(root, chosen)
    materials: list[Material] = []
    for task in chosen:
        if has_released(root, task):
            materials += read_released(root, task)
        else:
            materials += read_distributed(
                root, task, store=out / "features", device=device, workers=jobs, watch=watch
            )
    title = "Choi et al. 2017: transfer learning for music classification and regression tasks"
    return _run(materials, out, protocol, jobs, seed, title, watch)


def reproduce_on(
    manifest: Manifest,
    columns: Sequence[str],
    *,
    out: str | Path,
    group: str | None = None,
    trained: str = TRAINED,
    protocol: Asked = "both",
    min_examples: int | None = None,
    device: str = "cpu",
    jobs: int | None = None,
    seed: int = 0,
    watch: Watch | None = None,
) -> Reproduction:
    """The paper's experiment on any manifest: every layer set, MFCC, and the untrained network.

    Parameters
    ----------
    columns : sequence of str
        Label columns with classes or numbers.
    group : str, optional
        Column of what must not stand on both sides of a corrected split (artist).
    trained : str
        The trained convnet: a registered name or an encoder folder with five layers.
    """
    out, columns = Path(out), list(dict.fromkeys(columns))
    check_protocol(protocol)
    if not columns:
        raise UsageError(wanted="a label column", got="none", fix="Name one with --target")
    if group is not None:
        manifest.groups(group)
    check_trained(trained, device)
    for column in columns:  # before hours of embedding
        check_column(manifest, column, min_examples, paper=protocol != "corrected")
    materials = read_manifest(
        manifest,
        columns,
        group=group,
        store=out / "features",
        trained=trained,
        device=device,
        workers=jobs,
        min_examples=min_examples,
        watch=watch,
    )
    title = f"The experiment of Choi et al. 2017 on {'/'.join(Path(manifest.name).parts[-2:])}"
    return _run(materials, out, protocol, jobs, seed, title, watch)


def _run(
    materials: Sequence[Material],
    out: Path,
    protocol: Asked,
    jobs: int | None,
    seed: int,
    title: str,
    watch: Watch | None,
) -> Reproduction:
    done = []
    for material in materials:
        runner = Runner(
            material=material,
            out=out / "cells" / folder_name(material.name),
            jobs=jobs or available_cpus(),
            seed=seed,
            watch=watch,
        )
        done.append(Done(material=material, runs=_runs(runner, protocol)))
    return Reproduction(targets=tuple(done), page=write(done, out, title=title))


def _runs(runner: Runner, protocol: Asked) -> dict[str, Run]:
    """All runs of one target, in the order in which the page explains them."""
    runs: dict[str, Run] = {}
    if protocol in ("paper", "both"):
        runs[PAPER] = runner.by_paper()
    if protocol == "both":
        # two steps between, for the few rows whose whole way is shown
        runs[ORDER] = runner.by_paper(
            rows=KEY_ROWS, splits=_shuffled(runner.material, runner.seed), protocol=ORDER
        )
        runs[NESTED] = runner.corrected(protocol=NESTED, rows=KEY_ROWS, scale=False)
    if protocol in ("corrected", "both"):
        for one in corrected_protocols(runner.material):
            runs[one] = runner.corrected(protocol=one)
    return runs


def _shuffled(material: Material, seed: int) -> Splits:
    return list(outer_folds(material.y, None, material.kind, seed=seed).splits())


def write(done: Sequence[Done], out: Path, *, title: str) -> Path:
    """Write choi2017.csv, details.csv, choi2017.md, plots/ and report.html; returns the page."""
    rows = [row for one in done for row in one.rows]
    found = page.sections(done)
    write_atomically(out / "choi2017.csv", to_csv(rows))
    write_atomically(out / "details.csv", _details(done))
    write_atomically(out / "choi2017.md", markdown_sections(title, found))
    write_plots(out / "plots", found)
    return write_page(out / "report.html", title=title, summary=page.summary(done), sections=found)


def _details(done: Sequence[Done]) -> bytes:
    """Uncertainty of every number, the steps between, and the settings that were chosen."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("task", "protocol", "features", "score", "se", "low", "high", "inner", "settings")
    )
    for one in done:
        for run in one.runs.values():
            for features, scored in run.scores.items():
                numbers = (scored.score, scored.se, scored.low, scored.high, scored.inner)
                cells = ["" if math.isnan(x) else f"{x:.6f}" for x in numbers]
                chosen = "; ".join(
                    " ".join(f"{key}={value}" for key, value in settings.items())
                    for settings in scored.settings
                )
                writer.writerow((one.material.name, run.protocol, features, *cells, chosen))
    return text.getvalue().encode()
