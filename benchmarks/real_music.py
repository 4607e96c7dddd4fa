"""Encoders on real music: 4q, emotify and gtzan100, artist-disjoint where artists are known.

    SEGUE_DATA=../shared/data python benchmarks/real_music.py --out /tmp/real-music

Writes benchmarks/results/real_music.csv and .md, the table the README quotes. The weights of
choi2017-msd must have been pulled. About 15 minutes on two cores; features are kept in --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from segue import __version__
from segue.cli.app import watching
from segue.evaluation.rows import TargetResult
from segue.report import markdown_table, write_rows_csv
from segue.workflows import evaluate

ENCODERS = ("mfcc", "melstats", "random-convnet", "choi2017-msd")
RESULTS = Path(__file__).parent / "results"
EMOTIONS = (
    "amazement,solemnity,tenderness,nostalgia,calmness,power,joyful_activation,tension,sadness"
)


@dataclass(frozen=True)
class Job:
    """One data set: its manifest below SEGUE_DATA, targets and group column."""

    name: str
    manifest: str
    targets: tuple[str, ...]
    group: str | None
    heads: tuple[str, ...] | None = None


JOBS = (
    Job("4q", "4q/manifest.csv", ("quadrant",), "artist"),
    Job("emotify", "emotify/manifest.csv", ("genre", *EMOTIONS.split(",")), "artist"),
    Job("gtzan100", "gtzan100/manifest.csv", ("genre",), None),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="features and reports")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = os.environ.get("SEGUE_DATA")
    if not data:
        sys.exit("SEGUE_DATA must name the folder of real music")
    began = time.time()
    named: list[tuple[str, TargetResult]] = []
    with watching() as watch:
        for job in JOBS:
            done = evaluate(
                Path(data) / job.manifest,
                job.targets,
                encoders=ENCODERS,
                group=job.group,
                heads=job.heads,
                out=arguments.out / job.name,
                title=f"{job.name}: encoders compared",
                watch=watch,
            )
            named += [(job.name, result) for result in done.results]
    write_results(named, began)
    if arguments.json:
        facts = {"rows": len(named), "machine": platform.machine(), "version": __version__}
        print(json.dumps({**facts, "seconds": round(time.time() - began)}))


def write_results(named: list[tuple[str, TargetResult]], began: float) -> None:
    RESULTS.mkdir(exist_ok=True)
    rows = [
        row.__class__(**{**row.as_dict(), "target": f"{name}/{row.target}"})
        for name, result in named
        for row in result.rows
    ]
    write_rows_csv(rows, RESULTS / "real_music.csv")
    parts = [
        f"# Encoders on real music\n\nsegue {__version__}, {time.strftime('%Y-%m-%d')}, made by "
        f"`python benchmarks/real_music.py --out DIR` in {(time.time() - began) / 60:.0f} minutes "
        "on two cores.\n"
    ]
    for name in dict.fromkeys(name for name, _ in named):
        results = [result for one, result in named if one == name]
        parts.append(f"## {name}\n\n{markdown_table(results)}")
    (RESULTS / "real_music.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
