from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from synthetic import MAKERS, blobs

from segue.errors import UsageError
from segue.evaluation.folds import Folds, given_folds, inner_folds, outer_folds
from segue.evaluation.heads import make_head
from segue.evaluation.protocols import check_features, fit_head, nested_cv
from segue.seeds import derive


def test_noise_stays_at_chance_although_the_inner_best_is_above() -> None:
    """The selection bias that tuning on the test folds would report as a result."""
    outer, inner = [], []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(90, 200)), np.array(["a", "b", "c"] * 30)
        result = nested_cv(X, y, None, "classification", "svm", n_folds=5, inner=3, seed=seed)
        outer.append(np.mean(result.predictions == y))
        inner.append(result.inner_scores.mean())
    assert np.mean(outer) < 1 / 3 + 0.05
    assert np.mean(inner) > 1 / 3 + 0.05
    assert np.mean(inner) > np.mean(outer) + 0.03


def test_the_scaler_switch_acts() -> None:
    X, y, groups = blobs(120, d=4, gap=2.0)
    noise = 1e4 * np.random.default_rng(1).normal(size=(120, 2))
    X = np.hstack([X, noise])

    def accuracy(scale: bool) -> float:
        result = nested_cv(X, y, groups, "classification", "knn", n_folds=3, inner=3, scale=scale)
        return float(np.mean(result.predictions == y))

    assert accuracy(True) > accuracy(False) + 0.3
    on = fit_head(X, y, groups, "classification", "svm", inner=2).estimator
    off = fit_head(X, y, groups, "classification", "svm", inner=2, scale=False).estimator
    assert on.named_steps["scale"].mean_.shape == (6,)
    assert off.named_steps["scale"] == "passthrough"
    assert np.mean(on.predict(X) == y) > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_nested_is_plain_scikit_learn(task: str) -> None:
    X, y, groups = MAKERS[task](72, d=10)
    ours = nested_cv(X, y, groups, task, "svm", n_folds=3, inner=3, seed=5)
    head = make_head("svm", task, n_features=10)
    for number, (train, test) in enumerate(ours.folds.splits()):
        inner = inner_folds(
            y[train], groups[train], task, n_folds=3, seed=derive(5, "fold", number)
        )
        plain = GridSearchCV(
            head.estimator, [dict(part) for part in head.grid], cv=list(inner.splits())
        )
        plain.fit(X[train], y[train])
        assert ours.inner_scores[number] == pytest.approx(plain.best_score_, abs=1e-6)
        chosen = {key.rsplit("__", 1)[-1]: value for key, value in plain.best_params_.items()}
        assert ours.settings[number] == chosen
        np.testing.assert_array_equal(ours.predictions[test], plain.predict(X[test]))


@pytest.mark.parametrize("task", ["classification", "tagging", "regression"])
def test_the_number_of_processes_changes_nothing(task: str) -> None:
    X, y, groups = MAKERS[task](90)
    one, two = (
        nested_cv(X, y, groups, task, "ridge", n_folds=3, inner=3, n_jobs=jobs) for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.predictions, two.predictions)
    np.testing.assert_array_equal(one.inner_scores, two.inner_scores)
    assert one.settings == two.settings


def test_the_order_of_rows_changes_nothing_where_there_are_groups() -> None:
    X, y, groups = blobs(90, gap=1.0)
    order = np.random.default_rng(0).permutation(90)
    before = nested_cv(X, y, groups, "classification", "svm", n_folds=3, inner=3)
    after = nested_cv(
        X[order], y[order], groups[order], "classification", "svm", n_folds=3, inner=3
    )
    np.testing.assert_array_equal(before.folds.assignment[order], after.folds.assignment)
    np.testing.assert_array_equal(before.predictions[order], after.predictions)


def test_tested_clips_influence_neither_settings_nor_fit() -> None:
    """Spoil the labels of one fold: the predictions for that fold stay what they were."""
    X, y, groups = blobs(90, gap=1.0)
    folds = outer_folds(y, groups, "classification", n_folds=3)
    tested = folds.assignment == 0
    spoiled = y.copy()
    spoiled[tested] = np.roll(y[tested], 7)
    a = nested_cv(X, y, groups, "classification", "svm", folds=folds, inner=3)
    b = nested_cv(X, spoiled, groups, "classification", "svm", folds=folds, inner=3)
    np.testing.assert_array_equal(a.predictions[tested], b.predictions[tested])
    assert (a.predictions[~tested] != b.predictions[~tested]).any()


@pytest.mark.parametrize("head", ["svm", "linear", "logistic", "ridge", "knn"])
def test_rare_tags_are_named_about_as_often_as_they_are_carried(head: str) -> None:
    """Cut at even odds, nearly all clips of such tags had none."""
    rng = np.random.default_rng(0)
    groups = np.arange(1800) // 3
    X = rng.normal(size=(1800, 8)) + rng.normal(size=(600, 8))[groups]
    odds = 1.5 * X @ rng.normal(size=(8, 6)) / np.sqrt(8) - 3
    Y = (rng.random((1800, 6)) < 1 / (1 + np.exp(-odds))).astype(int)
    train, test = groups < 200, groups >= 200
    model = fit_head(X[train], Y[train], groups[train], "tagging", head).estimator
    named = model.predict(X[test]).sum(axis=1).mean()
    assert named == pytest.approx(Y[test].sum(axis=1).mean(), rel=0.25)
    plain = clone(model).fit(X[train], Y[train])
    np.testing.assert_array_equal(
        plain.decision_function(X[test]), model.decision_function(X[test])
    )
    assert plain.predict(X[test]).sum() < 0.5 * model.predict(X[test]).sum()


def test_progress_counts_up() -> None:
    X, y, groups = blobs(60)
    seen: list[tuple[int, int]] = []
    nested_cv(
        X, y, groups, "classification", "linear", n_folds=3, progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_notes_say_what_was_cut_short(monkeypatch) -> None:
    monkeypatch.setattr("segue.evaluation.heads.SVM_STEPS", 1)
    X, y, groups = blobs(40, classes=2, gap=0.3)
    result = nested_cv(X, y, groups, "classification", "svm", n_folds=2, inner=4)
    assert any("solver runs of the whole search stopped" in note for note in result.notes)
    assert any("inner folds instead of 4" in note for note in result.notes)


def test_a_training_part_of_one_class_is_said() -> None:
    X, y, _ = blobs(40, classes=2)
    folds = given_folds((y == "class 0").astype(int), None, 40)
    with pytest.raises(UsageError, match="got one, when fold 0 is tested"):
        nested_cv(X, y, None, "classification", "linear", folds=folds)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1.0, 2.0], "shape"),
        (np.empty((3, 0)), "shape"),
        ([["a"]], "shape"),
        ([[1.0], [np.nan], [np.inf]], "NaN or infinity in 2 of 3 rows"),
    ],
)
def test_features_are_checked(X, message) -> None:
    with pytest.raises(UsageError, match=message):
        check_features(X)


def test_lengths_are_checked() -> None:
    X, y, groups = blobs(60)
    with pytest.raises(UsageError, match="59 rows"):
        nested_cv(X[:-1], y, groups, "classification", "linear", n_folds=3)
    assert isinstance(nested_cv(X, y, groups, "classification", "linear", n_folds=3).folds, Folds)
