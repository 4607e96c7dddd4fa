"""Every registered head, for every task it serves, passes one suite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from segue.errors import UsageError
from segue.evaluation.calibrating import calibrate_head
from segue.evaluation.heads import (
    DEFAULT_HEADS,
    HEADS,
    TRUSTED_TYPES,
    Head,
    make_head,
    predictions,
)
from segue.evaluation.metrics import METRICS, score
from segue.evaluation.protocols import fit_head
from segue.evaluation.rows import TASKS

PAIRS = [(h, t) for t in TASKS for h in HEADS if (h, t) != ("logistic", "regression")]
every_head = pytest.mark.parametrize(("name", "task"), PAIRS)


def separable(task: str, n: int = 90, d: int = 5) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    label = np.arange(n) % 3
    X = 0.4 * rng.normal(size=(n, d))
    if task == "classification":
        # one direction each: of three classes in a row a least-squares argmax never says the middle
        return X + 3 * np.eye(3, max(d, 3))[label, :d], np.array(["blues", "jazz", "rock"])[label]
    X += 3 * label[:, None]
    if task == "tagging":
        return X, np.column_stack([label > 0, label > 1]).astype(int)
    return X, X[:, 0] / 9


def some_cell(head: Head, n: int) -> Pipeline:
    """The head with the settings in the middle of its grid that n clips allow."""
    cells = [cell for cell in head.cells if cell.get("head__n_neighbors", 1) <= n]
    return head.with_settings(cells[len(cells) // 2])


def fitted(name: str, task: str, **options: Any) -> tuple[Pipeline, Any, Any]:
    X, y = separable(task, **options)
    head = make_head(name, task, n_features=X.shape[1])
    return some_cell(head, len(X)).fit(X, y), X, y


@every_head
def test_predicts_one_row_per_clip(name: str, task: str) -> None:
    model, X, y = fitted(name, task)
    out = predictions(model, X[:7], task)
    assert out.shape == y[:7].shape
    if task == "classification":
        assert set(out) <= set(y)
    else:
        assert out.dtype.kind == "f"


@every_head
def test_learns_what_is_separable(name: str, task: str) -> None:
    X, y = separable(task)
    train, test = np.arange(0, 90, 2), np.arange(1, 90, 2)
    model = fit_head(X[train], y[train], None, task, name, inner=3).estimator
    assert score(METRICS[task][0], y[test], predictions(model, X[test], task)) > 0.9


@every_head
def test_can_be_cloned_and_constructors_only_store(name: str, task: str) -> None:
    head = make_head(name, task, n_features=5)
    before = head.estimator.get_params()
    again = clone(head.estimator).get_params()
    assert list(before) == list(again)
    assert not [key for key in vars(head.estimator.named_steps["head"]) if key.endswith("_")]


@every_head
def test_unknown_parameter_raises(name: str, task: str) -> None:
    head = make_head(name, task, n_features=5)
    with pytest.raises(ValueError, match="Invalid parameter"):
        head.with_settings({"head__depth": 3})
    with pytest.raises(TypeError):
        type(head.estimator.named_steps["head"])(depth=3)


@every_head
def test_every_cell_can_be_set(name: str, task: str) -> None:
    head = make_head(name, task, n_features=5)
    assert head.cells
    for cell in head.cells:
        model = head.with_settings(cell)
        assert {key: model.get_params()[key] for key in cell} == cell


@every_head
@pytest.mark.parametrize("scale", [True, False])
def test_survives_skops_without_pickle(name: str, task: str, scale: bool) -> None:
    X, y = separable(task)
    model = some_cell(make_head(name, task, n_features=5, scale=scale), 90).fit(X, y)
    data = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    loaded = skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(predictions(loaded, X, task), predictions(model, X, task))


@pytest.mark.parametrize("name", HEADS)
def test_thresholds_of_tags_survive_skops(name: str) -> None:
    X, y = separable("tagging")
    y = np.random.default_rng(0).permuted(y, axis=0)  # cleanly separated, the cut would be at 0
    model = fit_head(X, y, None, "tagging", name, inner=3).estimator
    assert model.named_steps["head"].thresholds_.all()
    loaded = skops.io.loads(skops.io.dumps(model), trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    thresholds = loaded.named_steps["head"].thresholds_
    np.testing.assert_array_equal(thresholds, model.named_steps["head"].thresholds_)


@pytest.mark.parametrize(("name", "task"), [pair for pair in PAIRS if pair[1] != "regression"])
def test_calibrated_heads_give_probabilities_and_survive_skops(name: str, task: str) -> None:
    X, y = separable(task)
    model = fit_head(X, y, None, task, name, inner=3).estimator
    found = calibrate_head(model, X, y, None, task, inner=3)
    for P in (found.before, found.after, found.estimator.predict_proba(X)):
        assert P.shape == (90, 2 if task == "tagging" else 3)
        assert ((P >= 0) & (P <= 1)).all()
        if task == "classification":
            np.testing.assert_allclose(P.sum(axis=1), 1)
    if task == "classification":
        best = found.estimator.classes_[found.estimator.predict_proba(X).argmax(axis=1)]
        np.testing.assert_array_equal(found.estimator.predict(X), best)
    np.testing.assert_array_equal(found.estimator.predict(X), model.predict(X))
    data = skops.io.dumps(found.estimator)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    loaded = skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    np.testing.assert_array_equal(loaded.predict_proba(X), found.estimator.predict_proba(X))


@every_head
def test_same_seed_same_predictions(name: str, task: str) -> None:
    X, y = separable(task)
    a, b = (some_cell(make_head(name, task, n_features=5, seed=3), 90).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(predictions(a, X, task), predictions(b, X, task))


@every_head
@pytest.mark.parametrize(("n", "d"), [(90, 1), (12, 40)])
def test_one_feature_and_more_features_than_clips(name: str, task: str, n: int, d: int) -> None:
    model, X, y = fitted(name, task, n=n, d=d)
    out = predictions(model, X, task)
    assert out.shape == y.shape
    assert task == "classification" or np.isfinite(out).all()


@every_head
def test_single_precision_is_taken(name: str, task: str) -> None:
    X, y = separable(task)
    head = make_head(name, task, n_features=5)
    model = some_cell(head, 90).fit(X.astype(np.float32), y)
    assert predictions(model, X.astype(np.float32), task).shape == y.shape


@every_head
def test_nan_in_x_is_said(name: str, task: str) -> None:
    model, X, y = fitted(name, task)
    bad = X.copy()
    bad[4, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        predictions(model, bad, task)
    with pytest.raises(ValueError, match="NaN"):
        clone(model).fit(bad, y)
    with pytest.raises(UsageError, match="NaN or infinity in 1 of 90 rows"):
        fit_head(bad, y, None, task, name)


@every_head
def test_the_scaler_is_there_or_not(name: str, task: str) -> None:
    on = make_head(name, task, n_features=5).estimator.named_steps["scale"]
    off = make_head(name, task, n_features=5, scale=False).estimator.named_steps["scale"]
    assert isinstance(on, StandardScaler)
    assert off == "passthrough"


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UsageError, match="svm, linear, logistic, ridge, knn"):
        make_head("forest", "classification", n_features=5)
    with pytest.raises(UsageError, match="classification, tagging, regression"):
        make_head("svm", "clustering", n_features=5)
    with pytest.raises(UsageError, match="svm, linear, ridge, knn"):
        make_head("logistic", "regression", n_features=5)
    with pytest.raises(UsageError, match="one feature or more"):
        make_head("svm", "classification", n_features=0)


def test_the_svm_grid_is_choi_et_al() -> None:
    cells = make_head("svm", "classification", n_features=160).cells
    rbf = {(c["head__C"], c["head__gamma"]) for c in cells if c["head__kernel"] == "rbf"}
    assert {C for C, _ in rbf} == {0.1, 2, 8, 32}
    assert {gamma for _, gamma in rbf} == {1 / 160, *(2.0**-k for k in (3, 5, 7, 9, 11, 13))}
    assert (len(cells), len(rbf)) == (32, 28)


def test_the_label_of_the_svm_is_that_of_the_highest_score() -> None:
    """The vote between pairs of classes disagrees with the scores that a reader sees."""
    rng = np.random.default_rng(0)
    y = np.array(list("abcd"))[rng.integers(0, 4, 300)]
    model = make_head("svm", "classification", n_features=5).estimator
    X = rng.normal(size=(300, 5))
    scores = model.fit(X, y).decision_function(X)
    np.testing.assert_array_equal(model.classes_[scores.argmax(axis=1)], model.predict(X))
    voting = model.set_params(head__break_ties=False)
    assert (voting.predict(X) != model.classes_[scores.argmax(axis=1)]).any()


def test_every_task_has_a_default_head() -> None:
    assert set(DEFAULT_HEADS) == set(TASKS)
    for task, name in DEFAULT_HEADS.items():
        make_head(name, task, n_features=5)


def test_svr_does_not_depend_on_the_unit_of_its_target() -> None:
    X, y = separable("regression")
    small = fit_head(X, y / 1000, None, "regression", "svm", inner=3).estimator.predict(X)
    usual = fit_head(X, y, None, "regression", "svm", inner=3).estimator.predict(X)
    np.testing.assert_allclose(small * 1000, usual, rtol=1e-3, atol=1e-3)
