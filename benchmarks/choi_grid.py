"""The grid of Choi et al. 2017 against scikit-learn's GridSearchCV: same cells, same scores.

    SEGUE_DATA=../shared/data python benchmarks/choi_grid.py --out /tmp/choi-grid

Runs all 31 layer sets of the authors' released features for gtzan_genre and emoMusic (arousal and
valence) through `segue.evaluation.paper_grid` and through GridSearchCV, two processes each, taking
turns set by set so that other work on the machine touches both alike. Writes
benchmarks/results/choi_grid.csv; finished sets are kept in --out, and a second run goes on there.
All sets take about an hour on two idle cores, nearly all of it in GridSearchCV; `--finished` writes
the results of the sets that are there (column `sets` says how many) and runs none.
`--sets N` takes N sets spread over all; `--mfcc` adds MFCC and MFCC with all layers where
GridSearchCV can finish (gtzan_genre: on emoMusic one fit of the linear kernel takes minutes to
hours); `--intelex` adds GridSearchCV with scikit-learn-intelex, where that is installed.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from setting import RESULTS, where
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.svm import SVC, SVR

from segue.cli.progress import watching
from segue.evaluation.blocks import Blocks, LayerSet, all_layer_sets, set_label
from segue.evaluation.heads import CHOI_C, CHOI_GAMMA
from segue.evaluation.paper_grid import SetGrid, paper_grid
from segue.files import write_atomically

JOBS = 2
LAYERS = ("1", "2", "3", "4", "5")
Splits = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True)
class Task:
    """One target with the authors' features and folds."""

    name: str
    kind: str
    blocks: Blocks
    y: NDArray[Any]
    splits: Splits

    @property
    def weights(self) -> list[int]:
        return [len(test) for _, test in self.splits]


@dataclass(frozen=True)
class Turn:
    """What one set took and gave on each side."""

    ours: float
    theirs: float
    chosen_difference: float
    run_difference: float
    screened_difference: float
    intelex: float | None = None
    intelex_difference: float | None = None


def read_task(data: Path, name: str, column: str) -> Task:
    folder = data / "choi2017"
    with (folder / f"data_csv/{name}.csv").open(encoding="utf-8") as file:
        labels = [row[column] for row in csv.DictReader(file)]
    arrays = [np.load(folder / f"data_feats/{name}_layer_{k}.npy") for k in range(5)]
    arrays.append(np.load(folder / f"data_feats/{name}_mfcc.npy"))
    blocks = Blocks((*LAYERS, "mfcc"), tuple(arrays))
    if name == "emoMusic":
        values = np.array(labels, dtype=float)
        title = f"{name} {column.removeprefix('label_')}"
        return Task(title, "regression", blocks, values, list(KFold(10).split(values)))
    classes = np.array(labels)
    splits = list(StratifiedKFold(10).split(classes, classes))
    return Task(name, "classification", blocks, classes, splits)


def chosen_sets(task: Task, count: int | None, mfcc: bool) -> list[LayerSet]:
    sets = all_layer_sets(LAYERS)
    if count is not None:
        sets = [sets[k] for k in np.unique(np.linspace(0, 30, min(count, 31)).round().astype(int))]
    extra = [("mfcc",), ("mfcc", *LAYERS)] if mfcc and task.kind == "classification" else []
    return [*sets, *extra]


def their_search(task: Task, chosen: LayerSet) -> tuple[float, NDArray[np.float64], float]:
    """Best score, scores (splits, cells) and seconds of GridSearchCV."""
    X = task.blocks.matrix(chosen)
    grid = [
        {"kernel": ["rbf"], "C": list(CHOI_C), "gamma": [*CHOI_GAMMA, 1 / X.shape[1]]},
        {"kernel": ["linear"], "C": list(CHOI_C)},
    ]
    machine = SVC() if task.kind == "classification" else SVR()
    began = time.perf_counter()
    search = GridSearchCV(machine, grid, cv=task.splits, n_jobs=JOBS, refit=False)
    search.fit(X, task.y)
    seconds = time.perf_counter() - began
    results = search.cv_results_
    scores = np.stack([results[f"split{k}_test_score"] for k in range(len(task.splits))])
    best = float(np.average(scores, axis=0, weights=task.weights).max())
    return best, scores, seconds


def our_search(task: Task, chosen: LayerSet) -> tuple[SetGrid, float]:
    began = time.perf_counter()
    found = paper_grid(task.blocks, [chosen], task.y, task.kind, task.splits, n_jobs=JOBS)
    return found[chosen], time.perf_counter() - began


def take_turn(task: Task, chosen: LayerSet, *, ours_first: bool, intelex: bool) -> Turn:
    if ours_first:
        ours, our_seconds = our_search(task, chosen)
        best, scores, their_seconds = their_search(task, chosen)
    else:
        best, scores, their_seconds = their_search(task, chosen)
        ours, our_seconds = our_search(task, chosen)
    difference = np.abs(scores - ours.cell_scores)
    means = np.abs(np.average(scores - ours.cell_scores, axis=0, weights=task.weights))
    other, other_difference = None, None
    if intelex:
        other_best, other = with_intelex(task, chosen)
        other_difference = abs(other_best - best)
    return Turn(
        our_seconds,
        their_seconds,
        abs(ours.score - best),
        float(difference[:, ~ours.screened].max()),
        float(means[ours.screened].max(initial=0.0)),
        other,
        other_difference,
    )


def with_intelex(task: Task, chosen: LayerSet) -> tuple[float, float]:
    """GridSearchCV once more, in processes whose SVC and SVR are scikit-learn-intelex's."""
    import sklearnex.svm  # type: ignore[import-not-found]

    own = globals()["SVC"], globals()["SVR"]
    globals()["SVC"], globals()["SVR"] = sklearnex.svm.SVC, sklearnex.svm.SVR
    try:
        best, _, seconds = their_search(task, chosen)
    finally:
        globals()["SVC"], globals()["SVR"] = own
    return best, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="finished sets are kept here")
    parser.add_argument("--sets", type=int, help="this many of the 31 layer sets")
    parser.add_argument("--finished", action="store_true", help="only sets that are in --out")
    parser.add_argument("--mfcc", action="store_true", help="MFCC too, on gtzan_genre")
    parser.add_argument("--intelex", action="store_true", help="a third arm")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    data = os.environ.get("SEGUE_DATA")
    if not data:
        sys.exit("SEGUE_DATA must name the folder of real music")
    if given.intelex and importlib.util.find_spec("sklearnex") is None:
        sys.exit("--intelex needs scikit-learn-intelex, which is not installed")
    tasks = [
        read_task(Path(data), "gtzan_genre", "label"),
        read_task(Path(data), "emoMusic", "label_arousal"),
        read_task(Path(data), "emoMusic", "label_valence"),
    ]
    # processes start before the clock does
    Parallel(n_jobs=JOBS)(delayed(np.sqrt)(number) for number in range(2 * JOBS))
    lines = []
    with watching() as watch:
        for task in tasks:
            sets = chosen_sets(task, given.sets, given.mfcc)
            if given.finished:
                sets = [one for one in sets if place(task, one, given.out, given.intelex).is_file()]
            turns = []
            for number, chosen in enumerate(sets):
                turns.append(kept_turn(task, chosen, given.out, number % 2 == 0, given.intelex))
                watch(task.name, number + 1, len(sets))
            lines.append(line_of(task.name, turns))
    lines.append(total_of(lines))
    complete = given.sets is None
    write_lines(lines, RESULTS / "choi_grid.csv" if complete else given.out / "choi_grid.csv")
    for line in lines:
        print(", ".join(f"{key} {value}" for key, value in line.items() if value != ""))
    if given.json:
        total = lines[-1]
        print(
            json.dumps(
                {
                    "speedup": total["speedup"],
                    "max_score_difference": total["chosen_difference"],
                    "tasks": lines,
                    **where(),
                }
            )
        )


def place(task: Task, chosen: LayerSet, out: Path, intelex: bool) -> Path:
    """Where a finished set is kept."""
    name = f"{task.name} {set_label(chosen)}{' intelex' * intelex}".replace(" ", "_")
    return out / f"{name}.json"


def kept_turn(task: Task, chosen: LayerSet, out: Path, ours_first: bool, intelex: bool) -> Turn:
    path = place(task, chosen, out, intelex)
    if path.is_file():
        return Turn(**json.loads(path.read_text(encoding="utf-8")))
    turn = take_turn(task, chosen, ours_first=ours_first, intelex=intelex)
    write_atomically(
        path, json.dumps({k: getattr(turn, k) for k in turn.__dataclass_fields__}).encode()
    )
    return turn


def line_of(name: str, turns: list[Turn]) -> dict[str, Any]:
    ours, theirs = sum(one.ours for one in turns), sum(one.theirs for one in turns)
    others = [one.intelex for one in turns if one.intelex is not None]
    apart = [one.intelex_difference for one in turns if one.intelex_difference is not None]
    return {
        "task": name,
        "sets": len(turns),
        "ours_s": round(ours, 1),
        "gridsearchcv_s": round(theirs, 1),
        "speedup": round(theirs / ours, 2),
        "chosen_difference": max(one.chosen_difference for one in turns),
        "cell_difference": max(one.run_difference for one in turns),
        "screened_mean_difference": max(one.screened_difference for one in turns),
        "intelex_s": round(sum(others), 1) if others else "",
        "intelex_difference": max(apart) if apart else "",
    }


def total_of(lines: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"task": "all"}
    for key in ("sets", "ours_s", "gridsearchcv_s"):
        total[key] = round(sum(line[key] for line in lines), 1)
    total["speedup"] = round(total["gridsearchcv_s"] / total["ours_s"], 2)
    for key in ("chosen_difference", "cell_difference", "screened_mean_difference"):
        total[key] = max(line[key] for line in lines)
    others = [line["intelex_s"] for line in lines if line["intelex_s"] != ""]
    total["intelex_s"] = round(sum(others), 1) if others else ""
    apart = [line["intelex_difference"] for line in lines if line["intelex_difference"] != ""]
    total["intelex_difference"] = max(apart) if apart else ""
    return total


def write_lines(lines: list[dict[str, Any]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
