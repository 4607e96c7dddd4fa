from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from synthetic import MAKERS, blobs

from segue.errors import UsageError
from segue.evaluation.folds import inner_folds
from segue.evaluation.heads import HEADS, make_head
from segue.evaluation.search import counted_convergence, search

PAIRS = [(h, t) for t in MAKERS for h in HEADS if (h, t) != ("logistic", "regression")]


def macro_auc(estimator, X, Y) -> float:
    return roc_auc_score(Y, estimator.decision_function(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_search_is_grid_search(name: str, task: str, scale: bool, monkeypatch) -> None:
    """Every shared computation gives what scikit-learn gives cell by cell."""
    monkeypatch.setattr("segue.evaluation.heads.MOST_EPOCHS", 20)  # equal, if not good
    X, y, groups = MAKERS[task](90)
    X = X * np.logspace(-0.5, 0.5, X.shape[1])
    head = make_head(name, task, n_features=X.shape[1], scale=scale)
    splits = list(inner_folds(y, groups, task, n_folds=3).splits())
    scoring = {"classification": "accuracy", "tagging": macro_auc, "regression": "r2"}[task]
    grid = [dict(part) for part in head.grid]
    plain = GridSearchCV(head.estimator, grid, cv=splits, scoring=scoring).fit(X, y)
    ours = search(head, X, y, splits)
    np.testing.assert_allclose(
        ours.cell_scores.mean(axis=0), plain.cv_results_["mean_test_score"], atol=1e-6
    )
    assert ours.score == pytest.approx(plain.best_score_, abs=1e-6)
    assert ours.settings == plain.best_params_
    refitted = head.with_settings(ours.settings).fit(X, y)
    np.testing.assert_array_equal(refitted.predict(X), plain.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_search_scores_what_the_svm_will_predict() -> None:
    """Many classes and no signal: here the vote and the highest score often differ."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 6)), np.array(list("abcdef"))[rng.integers(0, 6, 120)]
    head = make_head("svm", "classification", n_features=6)
    splits = list(inner_folds(y, None, "classification", n_folds=3).splits())
    grid = [dict(part) for part in head.grid]

    def inner_scores(break_ties: bool) -> np.ndarray:
        model = head.with_settings({"head__break_ties": break_ties})
        return (
            GridSearchCV(model, grid, cv=splits, refit=False)
            .fit(X, y)
            .cv_results_["mean_test_score"]
        )

    ours = search(head, X, y, splits).cell_scores.mean(axis=0)
    np.testing.assert_allclose(ours, inner_scores(True), atol=1e-12)
    assert np.abs(ours - inner_scores(False)).max() > 0


def test_splits_with_one_class_to_learn_from_are_left_out() -> None:
    X, y, _ = blobs(40, classes=2)
    a, b = np.flatnonzero(y == "class 0"), np.flatnonzero(y == "class 1")
    useless = (a, b)
    fine = (np.arange(0, 40, 2), np.arange(1, 40, 2))
    head = make_head("svm", "classification", n_features=6)
    assert search(head, X, y, [useless, fine]).cell_scores.shape == (1, 32)
    with pytest.raises(UsageError, match="choosing settings of svm"):
        search(head, X, y, [useless])


def test_more_neighbours_than_clips_are_not_tried() -> None:
    X, y, _ = blobs(16, classes=2)
    head = make_head("knn", "classification", n_features=6)
    even, odd = np.arange(0, 16, 2), np.arange(1, 16, 2)
    found = search(head, X, y, [(even, odd)])
    assert found.cell_scores.shape == (1, 6)  # 1, 3, 5 of at most 8, two weightings each


def test_convergence_is_counted_and_other_warnings_pass() -> None:
    def noisy() -> int:
        with counted_convergence() as capped:
            warnings.warn("early", ConvergenceWarning, stacklevel=1)
            warnings.warn("early", ConvergenceWarning, stacklevel=1)
            warnings.warn("something else", UserWarning, stacklevel=1)
        return len(capped)

    with pytest.warns(UserWarning, match="something else") as seen:
        assert noisy() == 2
    assert len(seen) == 1


def test_a_capped_solver_is_counted(monkeypatch) -> None:
    monkeypatch.setattr("segue.evaluation.heads.SVM_STEPS", 1)
    X, y, groups = blobs(60, gap=0.3)
    head = make_head("svm", "classification", n_features=6)
    splits = list(inner_folds(y, groups, "classification", n_folds=2).splits())
    assert search(head, X, y, splits).unconverged > 0


def test_fewer_clips_than_any_number_of_neighbours_is_said() -> None:
    X, Y, _ = MAKERS["tagging"](8)
    head = make_head("knn", "tagging", n_features=6)
    with pytest.raises(UsageError, match="fewest neighbours of knn, got 4 in the smallest"):
        search(head, X, Y, [(np.arange(4), np.arange(4, 8))])
