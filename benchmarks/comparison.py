"""All registered encoders on real music, every choice made inside the folds: one page.

    SEGUE_DATA=../shared/data python benchmarks/comparison.py --out /tmp/comparison

4q's quadrant and moods, emotify's genre and emotions, gtzan100's genre; artists apart where they
are known. Writes benchmarks/results/comparison/: comparison.csv, comparison.md and pictures. The
weights of all encoders must have been pulled. Embedding takes about an hour on one core, training
segue's own encoders (own_encoders.py) another, the searches half an hour on two; all of it goes on
where it was stopped. `--stores DIR` takes features of DIR/4q, DIR/emotify, DIR/gtzan100.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from comparison_page import Part, write_page
from own_encoders import TAUGHT_BY, own_encoders
from real_music import EMOTIONS, LEARNED_FROM, as_distributed, realigned
from setting import RESULTS, named_rows, where

from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.encoders.registry import ENCODERS
from segue.training.loop import Watch
from segue.workflows import Evaluation, evaluate

OPTIONAL = ("essentia",)  # needs an extra that is not installed here
LAYERS_CHOSEN = "choi2017-msd@auto"


@dataclass(frozen=True)
class Job:
    """One data set: targets, group column, heads to choose among."""

    name: str
    folder: str
    targets: tuple[str, ...]
    group: str | None
    heads: tuple[str, ...]
    prepare: Callable[[Manifest], Manifest] = as_distributed
    layers: bool = False


CLASSES = ("svm", "logistic")
# one head on 4q, ridge for its 187 moods, layers chosen on the smallest set: all of it would
# take hours
JOBS = (
    Job("4q quadrant", "4q", ("quadrant",), "artist", ("svm",)),
    Job("4q moods", "4q", ("moods",), "artist", ("ridge",)),
    Job("emotify genre", "emotify", ("genre",), "artist", CLASSES),
    Job("emotify emotions", "emotify", EMOTIONS, "artist", ("ridge",), realigned),
    Job("gtzan100 genre", "gtzan100", ("genre",), None, CLASSES, layers=True),
)


def encoders_for(job: Job, own: Mapping[str, Path], left_out: Sequence[str]) -> list[str]:
    """No encoder is judged on clips that it was taught with."""
    names = [
        one.name
        for one in ENCODERS
        if one.name not in (*OPTIONAL, *left_out) and LEARNED_FROM.get(one.name) != job.folder
    ]
    names += [str(path.absolute()) for name, path in own.items() if TAUGHT_BY[name] != job.folder]
    return [*names, LAYERS_CHOSEN] if job.layers else names


def run(
    job: Job,
    data: Path,
    out: Path,
    stores: Path,
    own: Mapping[str, Path],
    left_out: Sequence[str],
    watch: Watch,
) -> Evaluation:
    manifest = Manifest.read(data / job.folder / "manifest.csv")
    return evaluate(
        job.prepare(manifest),
        job.targets,
        encoders=encoders_for(job, own, left_out),
        group=job.group,
        heads=job.heads,
        out=out / job.name.replace(" ", "-"),
        store=stores / job.folder,
        title=job.name,
        watch=watch,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="features and reports")
    parser.add_argument("--stores", type=Path, help="where features lie already")
    parser.add_argument("--without", default="", help="encoders to leave out, which the page says")
    parser.add_argument("--jobs", default="", help="some of the jobs, for a try; writes no results")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    if not (data := os.environ.get("SEGUE_DATA")):
        sys.exit("SEGUE_DATA must name the folder of real music")
    began = time.time()
    left_out = [name for name in given.without.split(",") if name]
    chosen = [job for job in JOBS if not given.jobs or job.name in given.jobs.split(",")]
    with watching() as watch:
        own = own_encoders(
            Path(data), given.out, names=[n for n in TAUGHT_BY if n not in left_out], watch=watch
        )
        stores = given.stores or given.out / "stores"
        parts = [
            Part(job.name, run(job, Path(data), given.out, stores, own, left_out, watch))
            for job in chosen
        ]
    if given.jobs:
        return
    write_page(RESULTS / "comparison", parts, left_out=left_out)
    if given.json:
        rows = [
            row.as_dict()
            for row in named_rows([(p.name, result) for p in parts for result in p.done.results])
        ]
        print(json.dumps({"rows": len(rows), "seconds": round(time.time() - began), **where()}))


if __name__ == "__main__":
    main()
