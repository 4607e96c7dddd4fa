"""Hamel et al. 2013 on the music at hand: 4q, emotify and gtzan100 stand in for its five data sets.

    SEGUE_DATA=../shared/data python benchmarks/hamel2013.py --out /tmp/hamel2013

Writes benchmarks/results/hamel2013, the tables and figures the README quotes. Genre sets: 4q's
genres, emotify's genres, gtzan100. Tags: 4q's moods play Magnatagatune's part; they never teach a
space in which 4q itself is the target: there the nine emotions of emotify do, each taken as a tag
of the half of the clips it was felt in most. It goes on where it stopped.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import time
from pathlib import Path

from real_music import EMOTIONS, realigned
from setting import RESULTS, arguments, where

from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.experiments.hamel2013 import named_sets, reproduce

KEPT = ("hamel2013.csv", "findings.csv", "hamel2013.md")


def main() -> None:
    data, out, as_json = arguments(__doc__)
    began = time.time()
    emotions = write_emotions(data / "emotify" / "manifest.csv", out / "emotions.csv")
    sets = named_sets(
        genres=[
            f"4q={data}/4q/manifest.csv:genres:artist",
            f"emotify={data}/emotify/manifest.csv:genre:artist",
            f"gtzan100={data}/gtzan100/manifest.csv:genre",
        ],
        tags=[
            f"4q moods={data}/4q/manifest.csv:moods:artist",
            f"emotify emotions={emotions}:emotions:artist",
        ],
    )
    with watching() as watch:
        done = reproduce(sets, out, watch=watch)
    keep(out)
    if as_json:
        seconds = round(time.time() - began)
        facts = {"rows": len(done.rows), "failures": len(done.failures), "seconds": seconds}
        print(json.dumps({**facts, **where()}))


def write_emotions(manifest: Path, path: Path) -> Path:
    """Emotify's emotions as tags: each of the clips where it was felt more than in half of them."""
    aligned = realigned(Manifest.read(manifest))
    rows = aligned.table.select(aligned.columns).to_pylist()
    middle = {name: statistics.median(float(row[name]) for row in rows) for name in EMOTIONS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "id", "artist", "emotions"))
        for row in rows:
            felt = [name for name in EMOTIONS if float(row[name]) > middle[name]]
            audio = (manifest.parent / row["path"]).absolute()
            writer.writerow((audio, row["id"], row["artist"], ";".join(felt)))
    return path


def keep(out: Path) -> None:
    """Copy tables and plots to the results."""
    folder = RESULTS / "hamel2013"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(out / "plots", folder / "plots")
    for name in KEPT:
        shutil.copyfile(out / name, folder / name)


if __name__ == "__main__":
    main()
