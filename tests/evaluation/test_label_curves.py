"""Label curves: fits are those from scratch, draws leak nothing, intervals cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from synthetic import MAKERS, blobs

from segue.errors import UsageError
from segue.evaluation.folds import outer_folds
from segue.evaluation.label_curves import LabelCurves, label_curves
from segue.evaluation.label_draws import Draws, fold_predictions
from segue.evaluation.label_sizes import usable_sizes
from segue.evaluation.targets import encode_target

SIZES = (1, 3, None)


def wide(n: int = 60, d: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes in more dimensions than clips, four clips to a group."""
    X, names, groups = blobs(n, d, gap=0.5)
    return X, np.unique(names, return_inverse=True)[1], groups


def predicted(X: np.ndarray, y: np.ndarray, groups: np.ndarray, **more: Any) -> np.ndarray:
    folds = outer_folds(y, groups, "classification", n_folds=3)
    train, test = next(iter(folds.splits()))
    settings: dict[str, Any] = {"task": "classification", "head": "svm", "sizes": SIZES}
    draws = Draws(**{**settings, "repeats": 2, **more})
    return fold_predictions(X, y, groups, train, test, fold=0, draws=draws)[0]


@pytest.mark.parametrize(
    ("head", "model"),
    [
        ("svm", lambda d: SVC(C=8.0, gamma=0.25 / d, break_ties=True)),
        ("logistic", lambda d: LogisticRegression(C=10 / d, max_iter=1000)),
        ("knn", lambda d: KNeighborsClassifier(1)),
    ],
)
@pytest.mark.parametrize("d", [5, 90])
def test_predictions_are_those_of_fits_on_the_features_themselves(d: int, head: str, model) -> None:
    """Heads are fitted in the row space of the drawn clips, scikit-learn here in all d."""
    X, y, groups = wide(d=d)
    found = predicted(X, y, groups, head=head)
    folds = outer_folds(y, groups, "classification", n_folds=3)
    train, test = next(iter(folds.splits()))
    draws = Draws(task="classification", head=head, sizes=SIZES, repeats=2)
    for repeat in range(2):
        for size, picked in enumerate(draws.chosen(y, train, 0, repeat)):
            taught = make_pipeline(StandardScaler(), model(d)).fit(
                X[train[picked]], y[train[picked]]
            )
            assert (found[size, repeat] == taught.predict(X[test])).all()


def test_clips_that_were_not_drawn_change_nothing() -> None:
    """Neither features nor labels of the others reach the head, its scaling or its settings."""
    X, y, groups = wide()
    folds = outer_folds(y, groups, "classification", n_folds=3)
    train, test = next(iter(folds.splits()))
    for tune in (False, True):
        draws = Draws(task="classification", head="svm", sizes=(3,), repeats=1, tune=tune)
        picked = draws.chosen(y, train, 0, 0)[0]
        assert picked.sum() == 9
        other = X.copy()
        other[train[~picked]] = 1e6
        first, _ = fold_predictions(X, y, groups, train, test, fold=0, draws=draws)
        second, _ = fold_predictions(other, y, groups, train, test, fold=0, draws=draws)
        assert (first == second).all()


def test_draws_are_nested_and_the_same_for_all_encoders() -> None:
    _, y, groups = wide()
    train = np.arange(40)
    draws = Draws(task="classification", head="svm", sizes=(1, 3, 10, None), repeats=2)
    first, again, other = (draws.chosen(y, train, *which) for which in ((0, 0), (0, 0), (0, 1)))
    assert (first == again).all()
    assert (first != other).any()
    assert (first[:-1] <= first[1:]).all()
    assert np.bincount(y[train[first[1]]]).tolist() == [3, 3, 3]
    assert first[-1].all()
    twins = label_curves({"a": np.eye(60)[:, :9], "b": np.eye(60)[:, :9]}, y, groups, sizes=[2])
    assert (twins.main.mean[0] == twins.main.mean[1]).all()


def test_settings_are_chosen_where_they_can_be_and_fixed_elsewhere() -> None:
    X, y, groups = wide(d=5)
    fixed = predicted(X, y, groups, head="knn", sizes=(1, None))
    tuned = predicted(X, y, groups, head="knn", sizes=(1, None), tune=True)
    assert (fixed[0] == tuned[0]).all()  # one clip a class: no inner folds
    assert (fixed[1] != tuned[1]).any()


@pytest.mark.parametrize("head", ["svm", "linear", "logistic", "ridge", "knn", "mlp"])
@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
@pytest.mark.parametrize("tune", [False, True])
def test_every_head_teaches_every_task(task: str, head: str, tune: bool) -> None:
    if (head, task) == ("logistic", "regression") or (head == "mlp" and tune):
        pytest.skip("no such head for numbers" if head == "logistic" else "slow, and as the others")
    X, y, groups = MAKERS[task](n=60)
    values = [tuple(np.flatnonzero(row)) for row in y] if task == "tagging" else y
    found = label_curves(
        *({"x": X}, values, groups), task=task, head=head, sizes=[2, None], repeats=1, n_folds=3,
        tune=tune,
    )  # fmt: skip
    mean = found.main.mean[0]
    assert np.isfinite(mean).all()
    assert mean[1] >= mean[0]
    assert mean[1] > found.baselines["chance"][found.main.metric] + 0.1
    assert ((found.main.low <= mean) & (mean <= found.main.high)).all()
    assert found.clips.tolist() == ([6, 40] if task == "classification" else [2, 40])


def test_the_number_of_processes_and_kept_folds_change_nothing() -> None:
    X, y, groups = blobs(60)
    kept: dict[tuple[str, int], Any] = {}

    class Parts:
        def get(self, encoder: str, fold: int) -> Any:
            return kept.get((encoder, fold))

        def put(self, encoder: str, fold: int, found: Any) -> None:
            kept[encoder, fold] = found

    def run(**more: Any) -> LabelCurves:
        both = {"a": X, "b": X[:, :2]}
        return label_curves(both, y, groups, sizes=SIZES, repeats=3, n_folds=3, **more)

    calls: list[tuple[int, int]] = []
    plain = run()
    parallel = run(n_jobs=2, parts=Parts())
    del kept["b", 1]
    resumed = run(parts=Parts(), progress=lambda *call: calls.append(call))
    assert calls == [(3, 6), (5, 6), (6, 6)]
    for other in (parallel, resumed):
        for metric, curve in plain.curves.items():
            for name in ("mean", "low", "high", "deviations"):
                assert np.array_equal(getattr(curve, name), getattr(other.curves[metric], name))
        assert np.array_equal(plain.classes["a"].f1_low, other.classes["a"].f1_low)


def test_a_class_with_fewer_clips_gives_all_and_sizes_without_clips_are_named() -> None:
    X, y, groups = blobs(96)
    scarce = np.flatnonzero(y == "class 0")[8:]
    keep = np.setdiff1d(np.arange(96), scarce)
    args = ({"x": X[keep]}, y[keep], groups[keep])
    found = label_curves(*args, sizes=[2, 10, 90], repeats=2, n_folds=2)
    assert found.sizes == (2, 10)
    assert found.class_clips[1].tolist() == [4, 10, 10]
    assert found.clips.tolist() == [6, 24]
    assert found.per.tolist() == [2, 8]
    assert "sizes 90 left out: no class has so many clips to train on" in found.notes
    assert any("give all they have" in note and "class 0 (4)" in note for note in found.notes)


def test_sizes_of_tags_and_numbers_count_all_clips() -> None:
    X, y, groups = MAKERS["regression"]()
    found = label_curves({"x": X}, y, groups, task="regression", sizes=[10, None], n_folds=4)
    assert (found.unit(), found.head) == ("clips", "ridge")
    assert found.per.tolist() == found.clips.tolist() == [10, 90]
    assert not found.classes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sizes": [0, 5]}, "each 1 or more"),
        ({"sizes": [5, 5]}, "different sizes"),
        ({"sizes": []}, "none"),
        ({"sizes": [1000]}, "a size of"),
        ({"repeats": 0}, "0 repeats"),
        ({"features": {}}, "0 encoders"),
        ({"features": {"x": np.ones((3, 2))}}, "60 rows"),
        ({"features": {"x": np.full((60, 2), np.nan)}}, "NaN"),
        ({"head": "tree"}, "'tree'"),
        ({"task": "regression", "y": np.arange(60.0), "sizes": [1]}, "each 2 or more"),
    ],
)
def test_what_cannot_be_done_is_said(change: dict[str, Any], words: str) -> None:
    X, y, groups = blobs(60)
    arguments: dict[str, Any] = {"features": {"x": X}, "y": y, "n_folds": 3, **change}
    features, target = arguments.pop("features"), arguments.pop("y")
    with pytest.raises(UsageError, match=words):
        label_curves(features, target, groups, **arguments)


def test_default_sizes_are_those_that_can_be_filled() -> None:
    y = np.array(["a", "b"] * 20)
    folds = outer_folds(y, None, "classification", n_folds=5)
    kept, notes = usable_sizes(encode_target(y, None, "classification"), folds, None)
    assert kept == (1, 2, 5, 10, None)
    assert notes == ["sizes 20, 50, 100 left out: no class has so many clips to train on"]


def test_few_groups_and_a_single_draw_are_noted() -> None:
    X, y, _ = blobs(40, classes=2)
    few = label_curves({"x": X}, y, np.arange(40) // 8, sizes=[2], repeats=2, n_folds=2)
    assert np.isnan(few.main.low).all()
    assert np.isnan(few.classes["x"].f1_high).all()
    assert any("5 groups are too few" in note for note in few.notes)
    one = label_curves({"x": X}, y, None, sizes=[2], repeats=1, n_folds=2)
    assert any("one draw" in note for note in one.notes)
    many = label_curves({"x": X}, y, None, sizes=[2], repeats=8, n_folds=2)
    assert np.isfinite(one.main.low).all()
    assert np.isfinite(many.main.low).all()


def test_baselines_see_no_features() -> None:
    X, y, groups = blobs(60, classes=2)
    y = np.where(np.arange(60) < 20, "class 1", y)
    found = label_curves({"x": np.zeros_like(X)}, y, groups, sizes=[3], repeats=6, n_folds=3)
    share = float(np.mean(y == "class 1"))
    assert found.baselines["majority"]["accuracy"] == pytest.approx(share, abs=0.02)
    assert found.baselines["chance"]["accuracy"] == 0.5
    assert found.main.mean[0, 0] in (1 - share, share) or 0.2 < found.main.mean[0, 0] < 0.8


@pytest.mark.long
def test_intervals_cover_the_expected_score() -> None:
    """Over new collections, of each size; what label_curves claims of its intervals."""
    rng = np.random.default_rng(0)
    centres = 0.54 * rng.standard_normal((3, 8))
    means, lows, highs = [], [], []
    for number in range(60):
        groups = np.repeat(np.arange(60), rng.integers(1, 6, 60))
        y = (np.arange(60) % 3)[groups]
        X = centres[y] + 0.7 * rng.standard_normal((60, 8))[groups]
        X += 0.8 * rng.standard_normal(X.shape)
        found = label_curves(
            *({"x": X}, y.astype(str), groups), sizes=[1, 5, 20, None], repeats=5, seed=number
        )
        means.append(found.main.mean[0])
        lows.append(found.main.low[0])
        highs.append(found.main.high[0])
    expected = np.mean(means, axis=0)
    covered = np.mean((np.array(lows) <= expected) & (expected <= np.array(highs)), axis=0)
    assert (covered >= 0.88).all(), covered  # two errors of 60 runs below .95
    widths, spread = np.mean(np.array(highs) - lows, axis=0), np.std(means, axis=0)
    assert (widths < 2 * 3.2 * spread).all()  # and are not merely wide
