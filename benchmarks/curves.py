"""Label efficiency on real music: two sets of handcrafted features and two learned ones.

    SEGUE_DATA=../shared/data python benchmarks/curves.py --out /tmp/curves --json

Writes benchmarks/results/curves.csv, curves.md and a picture a data set, curves_NAME.png. The
weights of choi2017-msd and won2020-fcn-msd must have been pulled. Features and finished folds are
kept in --out (features in --out/NAME/features, where those embedded before can be put).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from setting import RESULTS, arguments, where

from segue import __version__
from segue.cli.progress import watching
from segue.files import write_atomically
from segue.workflows import CurveRun, curve
from segue.workflows.curvefiles import CURVE_COLUMNS, write_table

ENCODERS = ("mfcc", "descriptors", "choi2017-msd", "won2020-fcn-msd")


@dataclass(frozen=True)
class Job:
    """One data set: its folder below SEGUE_DATA, target and group column."""

    name: str
    target: str
    group: str | None


JOBS = (
    Job("4q", "quadrant", "artist"),
    Job("emotify", "genre", "artist"),
    Job("gtzan100", "genre", None),  # no artists are known: each clip alone, so too good
)


def main() -> None:
    data, out, as_json = arguments(__doc__ or "")
    found: dict[str, CurveRun] = {}
    with watching(quiet=as_json) as watch:
        for job in JOBS:
            found[job.name] = curve(
                data / job.name / "manifest.csv",
                job.target,
                encoders=ENCODERS,
                group=job.group,
                out=out / job.name,
                title=f"Label efficiency: {job.name}, {job.target}",
                watch=watch,
            )
    rows = [{"data": name, **row} for name, run in found.items() for row in run.rows()]
    write_table(RESULTS / "curves.csv", rows, ("data", *CURVE_COLUMNS))
    for name in found:
        picture = (out / name / "plots/curve.png").read_bytes()
        write_atomically(RESULTS / f"curves_{name}.png", picture)
    text = "\n".join(_markdown(found)) + "\n"
    write_atomically(RESULTS / "curves.md", text.encode())
    print(text)
    if as_json:
        print(json.dumps({"curves": {n: _facts(r) for n, r in found.items()}, **where()}))


def _markdown(found: dict[str, CurveRun]) -> Iterator[str]:
    yield "# Label efficiency"
    yield ""
    yield (
        f"segue {__version__}, {time.strftime('%Y-%m-%d')}, made by `python benchmarks/curves.py "
        "--out DIR`."
    )
    for name, run in found.items():
        curves = run.curves
        yield f"\n## {name}: {curves.target}\n"
        grouped = f"{curves.n_groups} groups of {curves.group}" if curves.group else "no groups"
        yield (
            f"{curves.n} clips, {grouped}; {curves.folds} folds, {curves.repeats} draws, head "
            f"{curves.head}; {curves.main.metric} with 95 % intervals.\n"
        )
        heads = ["all" if size is None else str(size) for size in curves.sizes]
        yield f"| {curves.unit()} | {' | '.join(heads)} |"
        yield "| --- |" + " ---: |" * len(heads)
        main = curves.main
        for at, encoder in enumerate(curves.encoders):
            cells = [
                f"{mean:.3f} [{low:.3f}, {high:.3f}]"
                for mean, low, high in zip(main.mean[at], main.low[at], main.high[at], strict=True)
            ]
            yield f"| {encoder} | {' | '.join(cells)} |"
        for sentence in run.verdict.values():
            yield f"\n{sentence}"
        yield f"\n![Score against labels](curves_{name}.png)"


def _facts(run: CurveRun) -> dict[str, Any]:
    """Means by encoder and size, and labels needed; null where all labels do not suffice."""
    curves = run.curves
    heads = ["all" if size is None else str(size) for size in curves.sizes]
    return {
        "mean": {
            name: dict(zip(heads, mean.round(4).tolist(), strict=True))
            for name, mean in zip(curves.encoders, curves.main.mean, strict=True)
        },
        "labels_needed": [
            {
                "encoder": one.encoder,
                "to_match": one.reference,
                "with": "all" if one.size is None else one.size,
                "labels": round(one.labels, 2) if math.isfinite(one.labels) else None,
            }
            for one in run.equivalences
        ],
        "verdict": dict(run.verdict),
    }


if __name__ == "__main__":
    main()
