"""The nested search of `segue evaluate` against the same search written with scikit-learn alone.

    SEGUE_DATA=../shared/data python benchmarks/nested_search.py --out /tmp/nested-search

4q's quadrant, artists apart, six encoders and three heads, ten outer folds and five inner ones. All
of it is run by segue on two processes; one outer fold is also run by GridSearchCV over the same
pipelines, cells and splits, two processes too, the two taking turns encoder by encoder. Writes
benchmarks/results/nested_search.csv. The weights of the encoders must have been pulled; features
are kept in --out, or taken from --store.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from setting import RESULTS, where
from sklearn.model_selection import GridSearchCV

from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.evaluation.compare import FeatureSet
from segue.evaluation.folds import UNTESTED, Folds, group_codes, inner_folds, outer_folds
from segue.evaluation.heads import make_head
from segue.evaluation.nested import FoldOutcome, nested_comparison
from segue.seeds import derive
from segue.workflows import aligned_features, embed

JOBS = 2
ENCODERS = ("mfcc", "choi2017-msd", "descriptors", "won2020-fcn-msd", "melstats", "musicnn-msd")
HEADS = ("svm", "logistic", "knn")


@dataclass(frozen=True)
class Turn:
    """One encoder: the whole search by segue, and one outer fold by both."""

    encoder: str
    numbers: int
    fits: int
    seconds: float
    ms_a_fit: float
    one_fold: float
    one_fold_sklearn: float
    speedup: float
    score_difference: float
    same_settings: str
    same_predictions: float


@dataclass(frozen=True)
class Task:
    """4q's quadrants and the folds of all encoders."""

    y: NDArray[Any]
    codes: NDArray[np.int64]
    folds: Folds

    @property
    def first(self) -> Folds:
        """The first outer fold alone: the others are only trained on."""
        return Folds(np.where(self.folds.assignment == 0, 0, UNTESTED))


def ours(task: Task, one: FeatureSet, folds: Folds) -> tuple[list[FoldOutcome], float]:
    began = time.perf_counter()
    found = nested_comparison(
        {one.label: one.candidate}, HEADS, task.y, task.codes, "classification", [folds],
        n_jobs=JOBS,
    )  # fmt: skip
    return found[one.label], time.perf_counter() - began


def theirs(task: Task, X: NDArray[Any]) -> tuple[list[GridSearchCV], float]:
    """The first outer fold by GridSearchCV, a head at a time."""
    train, _ = next(task.folds.splits())
    seed = derive(0, "fold", 0)
    y, codes = task.y[train], task.codes[train]
    splits = list(inner_folds(y, codes, "classification", n_folds=5, seed=seed).splits())
    found = []
    began = time.perf_counter()
    for name in HEADS:
        head = make_head(name, "classification", n_features=X.shape[1], seed=seed)
        grid = [dict(part) for part in head.grid]
        search = GridSearchCV(head.estimator, grid, cv=splits, n_jobs=JOBS)
        found.append(search.fit(X[train], y))
    return found, time.perf_counter() - began


def turn(task: Task, one: FeatureSet) -> Turn:
    whole, seconds = ours(task, one, task.folds)
    (first,), one_fold = ours(task, one, task.first)
    searches, one_fold_sklearn = theirs(task, one.X)
    _, test = next(task.folds.splits())
    differences, same, equal = [], 0, []
    for choice, search in zip(first.choices, searches, strict=True):
        differences.append(abs(choice.inner_score - search.best_score_))
        best = {key.rsplit("__", 1)[-1]: value for key, value in search.best_params_.items()}
        same += dict(choice.settings) == best
        equal.append(np.mean(choice.predicted == search.predict(one.X[test])))
    fits = sum(outcome.fits for outcome in whole)
    return Turn(
        encoder=one.label,
        numbers=one.X.shape[1],
        fits=fits,
        seconds=round(seconds, 1),
        ms_a_fit=round(1000 * sum(outcome.seconds for outcome in whole) / fits, 2),
        one_fold=round(one_fold, 2),
        one_fold_sklearn=round(one_fold_sklearn, 2),
        speedup=round(one_fold_sklearn / one_fold, 2),
        score_difference=float(max(differences)),
        same_settings=f"{same} of {len(HEADS)}",
        same_predictions=round(float(np.mean(equal)), 4),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="features")
    parser.add_argument("--store", type=Path, help="where features of 4q lie already")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    if not (data := os.environ.get("SEGUE_DATA")):
        sys.exit("SEGUE_DATA must name the folder of real music")
    manifest = Manifest.read(Path(data) / "4q" / "manifest.csv")
    store = given.store or given.out / "features"
    with watching() as watch:
        tables = [embed(manifest, store, encoder=name).table for name in ENCODERS]
        features = aligned_features(manifest, tables)
        y = np.array(manifest.column("quadrant"))[features.rows]
        groups = [manifest.groups("artist")[row] for row in features.rows]
        folds = outer_folds(y, groups, "classification")
        task = Task(y, group_codes(groups, len(y)), folds)
        ours(task, features.sets[0], task.first)  # processes and libraries are there before
        turns = []
        for done, one in enumerate(features.sets, 1):
            turns.append(turn(task, one))
            watch("encoders", done, len(features.sets))
    write(turns)
    ours_s, theirs_s = (sum(getattr(t, k) for t in turns) for k in ("one_fold", "one_fold_sklearn"))
    facts = {
        "speedup": round(theirs_s / ours_s, 2),
        "max_score_difference": max(t.score_difference for t in turns),
        "fits": sum(t.fits for t in turns),
        "seconds": round(sum(t.seconds for t in turns), 1),
    }
    print("\n".join(f"{key}: {value}" for key, value in facts.items()))
    if given.json:
        print(json.dumps({**facts, **where()}))


def write(turns: list[Turn]) -> None:
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "nested_search.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(turns[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(one) for one in turns)


if __name__ == "__main__":
    main()
