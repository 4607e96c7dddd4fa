"""What artist group factors teach that genres do not: encoders that were never shown a genre.

    SEGUE_DATA=../shared/data python benchmarks/agf_encoder.py --out /tmp/agf

Networks of Kim et al. 2018 learn the factors of artists (MFCC, their differences, descriptors) of
one data set and are judged on another, artists apart, beside MFCC, the untrained convnet of Choi et
al. and the same networks untrained. Writes benchmarks/results/agf_encoder.csv and .md. Half an
hour on two cores; stopped, it goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from setting import RESULTS, arguments, named_rows, where

from segue import __version__
from segue.card import EncoderCard
from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.encoders.dcnn import DcnnSpec, dcnn_tensors
from segue.encoders.folders import EncoderFolder, write_folder
from segue.evaluation.rows import TargetResult
from segue.report import markdown_table, write_rows_csv
from segue.training.dcnn.network import new_dcnn
from segue.training.dcnn.settings import DcnnSettings
from segue.training.loop import Settings, Watch
from segue.workflows import evaluate
from segue.workflows.dcnn import pretrain_dcnn
from segue.workflows.dcnntargets import Asked
from segue.workflows.sourcetask import Origin

SETTINGS = Settings(
    epochs=60, learning_rate=1e-3, patience=15, stop_on="valid_loss", precision="bfloat16"
)
NETWORKS = DcnnSettings(sharing="first")
BASELINES = ("mfcc", "descriptors", "random-convnet")


@dataclass(frozen=True)
class Job:
    """One data set that teaches, and what is told on another."""

    name: str
    source: str
    target: str
    column: str


JOBS = (
    Job("agf-4q", "4q", "emotify", "genre"),
    Job("agf-emotify", "emotify", "4q", "quadrant"),
)


def learned(job: Job, data: Path, out: Path, watch: Watch | None) -> EncoderFolder:
    """Networks taught the factors of a data set's artists; no genre, mood or tag is read."""
    return pretrain_dcnn(
        data / job.source / "manifest.csv",
        Asked(targets=("m", "d", "e"), group="artist"),
        out / job.name,
        dcnn=NETWORKS,
        settings=SETTINGS,
        origin=Origin(name=job.name, commercial=False, training_data=f"artists of {job.source}"),
        frames=out / "frames",
        watch=watch,
    ).encoder


def untrained(folder: EncoderFolder, out: Path) -> Path:
    """The same networks before training: as wide, the bands made standard alike."""
    shift, scale = folder.tensors["shift"], folder.tensors["scale"]
    card: EncoderCard = replace(
        folder.card, name=f"{folder.card.name}-untrained", description="Networks before training"
    )
    network = new_dcnn(DcnnSpec.of(card), shift=shift, scale=scale, seed=SETTINGS.seed)
    path = out / card.name
    write_folder(
        path,
        architecture="dcnn",
        card=card,
        tags=folder.tags,
        training={},
        tensors=dcnn_tensors(network),
    )
    return path


def main() -> None:
    data, out, as_json = arguments(__doc__)
    began = time.time()
    named: list[tuple[str, TargetResult]] = []
    facts = {}
    with watching() as watch:
        for job in JOBS:
            encoder = learned(job, data, out, watch)
            facts[job.name] = encoder.training
            folders = [encoder.path, untrained(encoder, out)]
            done = evaluate(
                Manifest.read(data / job.target / "manifest.csv"),
                (job.column,),
                encoders=[*(str(path.absolute()) for path in folders), *BASELINES],
                group="artist",
                out=out / f"{job.name}-on-{job.target}",
                store=out / job.target / "features",
                title=f"{job.target}: what the artists of {job.source} teach",
                watch=watch,
            )
            named += [(f"{job.source} to {job.target}", result) for result in done.results]
    write_results(named, facts, began)
    if as_json:
        rows = [
            {"target": row.target, "encoder": row.encoder, "mean": row.mean, "se": row.se}
            for row in named_rows(named)
        ]
        print(json.dumps({"rows": rows, "seconds": round(time.time() - began), **where()}))


def write_results(
    named: list[tuple[str, TargetResult]], facts: Mapping[str, Mapping[str, Any]], began: float
) -> None:
    RESULTS.mkdir(exist_ok=True)
    write_rows_csv(named_rows(named), RESULTS / "agf_encoder.csv")
    parts = [
        f"# Taught by artists alone\n\nsegue {__version__}, {time.strftime('%Y-%m-%d')}, made by "
        f"`python benchmarks/agf_encoder.py --out DIR` in {(time.time() - began) / 60:.0f} minutes "
        "on two cores. Networks of Kim et al. 2018 (first block shared) taught the factors of "
        "artists from MFCC, their differences and descriptors; no genre, mood or tag was read.\n"
    ]
    for name, run in facts.items():
        lines = [
            f"| {task} | {one['loss']:.3f} | {one['baseline']:.3f} | {one['lowest']:.3f} | "
            f"{one['learned']:.0%} |"
            for task, one in run["tasks"].items()
        ]
        head = "| task | loss | without hearing | lowest possible | learned |\n"
        parts.append(
            f"## {name}: epoch {run['best_epoch']} of {run['epochs']}, validation tracks\n\n"
            f"{head}| --- | ---: | ---: | ---: | ---: |\n" + "\n".join(lines) + "\n"
        )
    parts += [f"## {name}\n\n{markdown_table([result])}" for name, result in named]
    (RESULTS / "agf_encoder.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
