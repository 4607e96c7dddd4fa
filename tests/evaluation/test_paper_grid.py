from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.svm import SVC, SVR
from synthetic import MAKERS, blobs, line

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, all_layer_sets
from segue.evaluation.heads import CHOI_C, CHOI_GAMMA
from segue.evaluation.paper_grid import SetGrid, paper_grid

SETS = all_layer_sets(("1", "2"))


def grid_search(machine: Any, X: np.ndarray, y: np.ndarray, splits: Any) -> GridSearchCV:
    grid = [
        {"kernel": ["rbf"], "C": CHOI_C, "gamma": [*CHOI_GAMMA, 1 / X.shape[1]]},
        {"kernel": ["linear"], "C": CHOI_C},
    ]
    return GridSearchCV(machine, grid, cv=splits, refit=False).fit(X, y)


def two_blocks(X: np.ndarray) -> Blocks:
    return Blocks(("1", "2"), (X[:, :2], X[:, 2:]))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("budget", [0, 10**9])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_scores_are_grid_searchs(task: str, budget: int, weighted: bool) -> None:
    X, y, _ = MAKERS[task](64, gap=1.0) if task == "classification" else line(64, noise=1.0)
    y = y if task == "classification" else 5 * y
    splits = [(np.arange(24, 64), np.arange(24)), (np.arange(40), np.arange(40, 64))]
    splits.append((np.arange(16, 64), np.arange(16)))
    blocks = two_blocks(X)
    found = paper_grid(
        blocks, SETS, y, task, splits, fold_weights=weighted, memory_budget=budget, margin=None
    )
    weights = [24, 24, 16] if weighted else None
    for chosen, ours in found.items():
        machine = SVC() if task == "classification" else SVR()
        plain = grid_search(machine, blocks.matrix(chosen), y, splits)
        scores = np.stack([plain.cv_results_[f"split{k}_test_score"] for k in range(3)])
        np.testing.assert_allclose(ours.cell_scores, scores, atol=1e-9)
        means = np.average(scores, axis=0, weights=weights)
        assert ours.score == pytest.approx(means.max(), abs=1e-12)
        # equal settings in another cell (1 / d) may come first by a rounding error
        cells = plain.cv_results_["params"]
        same = [k for k, one in enumerate(cells) if {"gamma": None, **one} == ours.settings]
        assert means[same[0]] == pytest.approx(means.max(), abs=1e-12)
        assert not ours.screened.any()


def test_screening_leaves_the_chosen_cell_alone() -> None:
    """Cells whose optimum is far from the best are not run, and say so."""
    X, _, _ = line(120)
    y = 3 * np.abs(X[:, 0])  # bent, so that the linear kernel is behind
    splits = list(KFold(5).split(y))
    blocks = two_blocks(X)
    quick = paper_grid(blocks, SETS, y, "regression", splits)
    whole = paper_grid(blocks, SETS, y, "regression", splits, margin=None)
    assert any(one.screened.any() for one in quick.values())
    for chosen in SETS:
        a, b = quick[chosen], whole[chosen]
        assert (a.score, a.settings) == (b.score, b.settings)
        np.testing.assert_array_equal(a.predictions, b.predictions)
        run = ~a.screened
        np.testing.assert_array_equal(a.cell_scores[:, run], b.cell_scores[:, run])
        np.testing.assert_allclose(a.cell_scores, b.cell_scores, atol=0.02)
        assert not a.screened[[k for k, c in enumerate(a.cells) if c["kernel"] == "rbf"]].any()


def test_a_linear_winner_is_run_by_libsvm() -> None:
    X, y, _ = line(120, noise=0.2)
    splits = list(KFold(5).split(y))
    found = paper_grid(Blocks(("1",), (X,)), [("1",)], 20 * y, "regression", splits)[("1",)]
    assert found.settings["kernel"] == "linear"
    assert found.settings["gamma"] is None
    best = grid_search(SVR(), X, 20 * y, splits).best_score_
    assert found.score == pytest.approx(best, abs=1e-9)


def test_predictions_are_those_of_the_best_cell() -> None:
    X, y, _ = blobs(90, gap=1.0)
    splits = list(StratifiedKFold(5).split(X, y))
    found = paper_grid(two_blocks(X), SETS, y, "classification", splits)
    for ours in found.values():
        assert ours.tested.all()
        assert np.mean(ours.predictions == y) == pytest.approx(ours.score, abs=1e-12)
        assert ours.predictions.dtype == y.dtype


def test_one_split_and_rows_that_are_never_tested() -> None:
    for task in ("classification", "regression"):
        X, y, _ = MAKERS[task](60)
        found = paper_grid(
            two_blocks(X), [("1", "2")], y, task, [(np.arange(40), np.arange(40, 60))]
        )[("1", "2")]
        assert found.tested.sum() == 20
        assert found.cell_scores.shape == (1, 32)
        if task == "regression":
            assert np.isnan(found.predictions[:40]).all()
            assert np.isfinite(found.predictions[40:]).all()


def test_a_fold_of_one_value_is_left_out() -> None:
    X, y, _ = line(60)
    y[40:] = 0.5
    splits = [(np.arange(40, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    splits.append((np.r_[20:60], np.arange(20)))
    found = paper_grid(two_blocks(X), [("1",)], y, "regression", splits)[("1",)]
    assert np.isnan(found.cell_scores[1]).all()
    best = found.cells.index({k: v for k, v in found.settings.items() if v is not None})
    assert found.score == pytest.approx(found.cell_scores[[0, 2], best].mean())
    with pytest.raises(UsageError, match="one value in each of 1"):
        paper_grid(two_blocks(X), [("1",)], y, "regression", splits[1:2])


def test_what_the_optimiser_cannot_solve_is_left_to_libsvm(monkeypatch) -> None:
    X, y, _ = line(60)
    splits = list(KFold(3).split(y))
    whole = paper_grid(two_blocks(X), [("1",)], y, "regression", splits, margin=None)[("1",)]
    monkeypatch.setattr("segue.evaluation.linear_svr.MOST_STEPS", 1)
    found = paper_grid(two_blocks(X), [("1",)], y, "regression", splits)[("1",)]
    np.testing.assert_array_equal(found.cell_scores, whole.cell_scores)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_processes_change_nothing(task: str) -> None:
    X, y, _ = MAKERS[task](90)
    splits = list(KFold(3, shuffle=True, random_state=0).split(y))
    one, two = (paper_grid(two_blocks(X), SETS, y, task, splits, n_jobs=jobs) for jobs in (1, 2))
    for chosen in SETS:
        np.testing.assert_array_equal(one[chosen].cell_scores, two[chosen].cell_scores)
        np.testing.assert_array_equal(one[chosen].predictions, two[chosen].predictions)
        assert one[chosen].settings == two[chosen].settings


def test_progress_and_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, _ = line(40)
    splits = list(KFold(3).split(y))
    kept: dict[LayerSet, SetGrid] = {}
    told: list[tuple[int, int]] = []
    splits = splits[:2]
    monkeypatch.setattr("segue.evaluation.paper_grid.SETS_AT_ONCE", 4)
    sets = all_layer_sets(("1", "2", "3"))
    blocks = Blocks(("1", "2", "3"), tuple(X[:, [k]] for k in range(3)))

    def stop(chosen: LayerSet, grid: SetGrid) -> None:
        kept[chosen] = grid
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paper_grid(blocks, sets, y, "regression", splits, finished=stop)
    later: dict[LayerSet, SetGrid] = {}
    resumed = paper_grid(
        blocks, sets, y, "regression", splits, done=kept, finished=later.__setitem__,
        progress=lambda *at: told.append(at),
    )  # fmt: skip
    assert told == [(at, 14) for at in range(5, 15)]
    assert set(later) == set(sets) - set(kept)
    fresh = paper_grid(blocks, sets, y, "regression", splits)
    assert list(resumed) == list(fresh) == sets
    for chosen in sets:
        np.testing.assert_array_equal(resumed[chosen].cell_scores, fresh[chosen].cell_scores)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([], "one split or more"),
        ([(np.arange(30), np.arange(0))], "30 training and 0 test rows in fold 0"),
        ([(np.arange(30), np.arange(20, 60))], "rows on both sides of fold 0"),
        ([(np.arange(30), np.arange(50, 90))], "rows up to 89 of 60 in fold 0"),
    ],
)
def test_splits_that_cannot_be_used(splits, message) -> None:
    X, y, _ = blobs(60)
    with pytest.raises(UsageError, match=message):
        paper_grid(two_blocks(X), SETS, y, "classification", splits)


def test_one_class_to_learn_from_names_the_fold() -> None:
    X, y, _ = blobs(60, classes=2)
    a, b = np.flatnonzero(y == "class 0"), np.flatnonzero(y == "class 1")
    fine = (np.arange(0, 60, 2), np.arange(1, 60, 2))
    with pytest.raises(UsageError, match="one class, 'class 0', in the training part of fold 1"):
        paper_grid(two_blocks(X), SETS, y, "classification", [fine, (a, b)])


def test_tags_are_not_the_papers() -> None:
    X, Y, _ = MAKERS["tagging"](60)
    with pytest.raises(UsageError, match="classification or regression"):
        paper_grid(two_blocks(X), SETS, Y, "tagging", [(np.arange(30), np.arange(30, 60))])


def released(data: Path, task: str, column: str) -> tuple[Blocks, list[str]]:
    folder = data / "choi2017"
    arrays = [np.load(folder / f"data_feats/{task}_layer_{k}.npy") for k in range(5)]
    with (folder / f"data_csv/{task}.csv").open() as file:
        labels = [row[column] for row in csv.DictReader(file)]
    return Blocks(tuple("12345"), tuple(arrays)), labels


def test_released_features_of_speech_and_music(segue_data: Path) -> None:
    """The authors' own number: 1.0 with all layers."""
    blocks, labels = released(segue_data, "gtzan_speechmusic", "label")
    splits = list(StratifiedKFold(10).split(labels, labels))
    chosen = tuple("12345")
    found = paper_grid(blocks, [chosen], labels, "classification", splits)[chosen]
    assert found.score == 1.0


@pytest.mark.long
@pytest.mark.parametrize(
    ("task", "column", "chosen", "theirs"),
    [
        ("gtzan_genre", "label", "12345", 0.898),
        ("gtzan_genre", "label", "135", 0.865),
        ("gtzan_genre", "label", "5", 0.788),
        ("emoMusic", "label_arousal", "12345", 0.650),
        ("emoMusic", "label_valence", "235", 0.462),
    ],
)
def test_released_features_give_the_papers_numbers(
    segue_data: Path, task: str, column: str, chosen: str, theirs: float
) -> None:
    """The authors' scores, and GridSearchCV's with the best cell."""
    blocks, labels = released(segue_data, task, column)
    one = tuple(chosen)
    if task == "emoMusic":
        y, kind, machine = np.array(labels, float), "regression", SVR()
        splits = list(KFold(10).split(y))
    else:
        y, kind, machine = np.array(labels), "classification", SVC()
        splits = list(StratifiedKFold(10).split(y, y))
    found = paper_grid(blocks, [one], y, kind, splits, n_jobs=2)[one]
    assert found.score == pytest.approx(theirs, abs=5e-4)
    cell = {key: [value] for key, value in found.settings.items() if value is not None}
    plain = GridSearchCV(machine, cell, cv=splits, refit=False).fit(blocks.matrix(one), y)
    scores = [plain.cv_results_[f"split{k}_test_score"][0] for k in range(10)]
    weights = [len(test) for _, test in splits]
    assert found.score == pytest.approx(np.average(scores, weights=weights), abs=1e-9)


@pytest.mark.long
def test_memory_stays_bounded() -> None:
    """8,732 clips: two matrices of (7,859, 7,859) and little more, for any number of layers."""
    code = """
import resource
import numpy as np
from segue.evaluation import paper_grid as module
from segue.evaluation.blocks import Blocks
rng = np.random.default_rng(0)
n = 8732
y = rng.integers(0, 10, n)
centres = rng.normal(size=(10, 5, 32))
blocks = Blocks(tuple("12345"), tuple(
    (centres[y, k] + rng.normal(size=(n, 32))).astype(np.float32) for k in range(5)))
cells = module.paper_cells
module.paper_cells = lambda d: cells(d)[14:16] + cells(d)[-3:-2]
fold = np.arange(n) % 10
splits = [(np.flatnonzero(fold != 0), np.flatnonzero(fold == 0))]
found = module.paper_grid(blocks, [tuple("12345")], y, "classification", splits)
assert found[tuple("12345")].score > 0.5
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2.0  # GiB
