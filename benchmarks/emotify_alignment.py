"""Which block of emotify's emotions belongs to which genre's audio: the evidence.

    SEGUE_DATA=../shared/data python benchmarks/emotify_alignment.py --out /tmp/real-music

Predicts the emotions of every block of 100 rows from the audio of every genre (MFCC, ridge, ten
folds) and writes the mean R2 of the sixteen pairings to benchmarks/results/emotify_alignment.csv.
Were the manifest right, the diagonal would stand out.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from real_music import EMOTIONS
from setting import RESULTS, arguments, where

from segue.datasets import Manifest
from segue.evaluation.metrics import r2
from segue.evaluation.protocols import nested_cv
from segue.workflows import aligned_features, embed


def main() -> None:
    data, out, as_json = arguments(__doc__)
    manifest = Manifest.read(data / "emotify/manifest.csv")
    table = embed(manifest, out / "emotify/features", encoder="mfcc").table
    X = aligned_features(manifest, [table]).sets[0].X
    stems = [Path(path).stem.rsplit("_", 1) for path in manifest.column("path")]
    rows: dict[str, list[int]] = {}
    for row in sorted(range(len(stems)), key=lambda row: (stems[row][0], int(stems[row][1]))):
        rows.setdefault(stems[row][0], []).append(row)
    emotions = {name: np.array(manifest.column(name), dtype=float) for name in EMOTIONS}
    found = []
    for labels, label_rows in rows.items():
        for audio, audio_rows in rows.items():
            scores = []
            for values in emotions.values():
                y = values[label_rows]
                nested = nested_cv(X[audio_rows], y, None, "regression", "ridge")
                scores.append(r2(y, nested.predictions))
            found.append({"labels": labels, "audio": audio, "mean_r2": round(np.mean(scores), 3)})
            print(f"labels of {labels:10} audio of {audio:10} mean R2 {np.mean(scores):6.3f}")
    with (RESULTS / "emotify_alignment.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["labels", "audio", "mean_r2"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    if as_json:
        print(json.dumps({"pairings": found, **where()}))


if __name__ == "__main__":
    main()
