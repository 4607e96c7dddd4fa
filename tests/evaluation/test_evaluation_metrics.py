from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as golden

from segue.errors import UsageError
from segue.evaluation.metrics import (
    METRICS,
    accuracy,
    average_precision_macro,
    ccc,
    check_task,
    confusion_matrix,
    macro_f1,
    r2,
    rmse,
    roc_auc_macro,
    score,
)

LABELS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1)


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_label_metrics_agree_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = map(np.array, zip(*pairs, strict=True))
    names = ["d", "b", "a", "c"]
    assert accuracy(truth, predicted) == pytest.approx(golden.accuracy_score(truth, predicted))
    expected = golden.f1_score(truth, predicted, average="macro", zero_division=0)
    assert macro_f1(truth, predicted) == pytest.approx(expected)
    np.testing.assert_array_equal(
        confusion_matrix(truth, predicted, names),
        golden.confusion_matrix(truth, predicted, labels=names),
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000))
def test_tag_metrics_agree_with_scikit_learn_ties_included(
    n: int, n_tags: int, levels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, 2, (n, n_tags))
    S = rng.integers(0, levels, (n, n_tags)) / 3
    auc, precision = roc_auc_macro(Y, S), average_precision_macro(Y, S)
    for tag in range(n_tags):
        if 0 < Y[:, tag].sum() < n:
            assert auc.per_tag[tag] == pytest.approx(golden.roc_auc_score(Y[:, tag], S[:, tag]))
            expected = golden.average_precision_score(Y[:, tag], S[:, tag])
            assert precision.per_tag[tag] == pytest.approx(expected)
        else:
            assert tag in auc.undefined
            assert tag in precision.undefined
    if np.isfinite(auc.per_tag).any():
        assert auc.value == pytest.approx(np.nanmean(auc.per_tag))
        assert precision.value == pytest.approx(np.nanmean(precision.per_tag))


def test_r2_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(size=(2, 40))
    assert r2(truth, predicted) == pytest.approx(golden.r2_score(truth, predicted))


def test_rmse_agrees_with_scikit_learn() -> None:
    truth, predicted = np.random.default_rng(0).normal(size=(2, 40))
    expected = golden.root_mean_squared_error(truth, predicted)
    assert rmse(truth, predicted) == pytest.approx(expected)


def test_concordance_is_one_less_the_distance_from_the_identity_line() -> None:
    """Lin 1989, equation 1: against the mean squared distance of unrelated values."""
    rng = np.random.default_rng(0)
    truth = 40 + 3 * rng.normal(size=25)
    predicted = 38 + 0.5 * (truth - 40) + rng.normal(size=25)
    unrelated = np.mean((truth[:, None] - predicted[None, :]) ** 2)
    expected = 1 - np.mean((truth - predicted) ** 2) / unrelated
    assert ccc(truth, predicted) == pytest.approx(expected)
    assert ccc(predicted, truth) == pytest.approx(expected)


def test_concordance_knows_sign_scale_and_offset() -> None:
    truth = np.array([1.0, 2.0, 4.0])
    assert ccc(truth, 2 * truth.mean() - truth) == pytest.approx(-1)
    assert ccc(truth, np.full(3, 2.0)) == 0
    assert ccc(truth, truth + 1) < 1
    assert ccc(truth, 2 * truth) < 1
    assert np.isnan(ccc([0.1, 0.1, 0.1], [0.1, 0.2, 0.3]))


def test_constant_truth_that_its_mean_misses_by_rounding_is_undefined() -> None:
    truth = np.full(3, 0.1)
    assert truth.mean() != 0.1
    assert np.isnan(r2(truth, [0.1, 0.2, 0.3]))


def test_perfect() -> None:
    assert accuracy(["a"], ["a"]) == 1
    assert macro_f1(["a", "b"], ["a", "b"]) == 1
    assert roc_auc_macro([[0], [1]], [[0.1], [0.2]]).value == 1
    assert average_precision_macro([[0], [1]], [[0.1], [0.2]]).value == 1
    assert r2([1, 2], [1, 2]) == ccc([1, 2], [1, 2]) == 1
    assert rmse([1, 2], [1, 2]) == 0


def test_constant_scores_are_chance() -> None:
    Y = np.array([[1], [0], [0], [0]])
    assert roc_auc_macro(Y, np.zeros((4, 1))).value == 0.5
    assert average_precision_macro(Y, np.zeros((4, 1))).value == 0.25


def test_undefined_is_nan_and_listed_not_a_number() -> None:
    all_or_none = roc_auc_macro([[1, 0], [1, 0]], [[0.1, 0.2], [0.3, 0.4]])
    assert np.isnan(all_or_none.value)
    assert all_or_none.undefined == (0, 1)
    assert np.isnan(r2([1.0, 1.0], [1.0, 2.0]))


@pytest.mark.parametrize("metric", [accuracy, macro_f1, r2, rmse, ccc])
@pytest.mark.parametrize(
    ("truth", "predicted"), [([], []), ([1, 2], [1]), ([[1], [2]], [[1], [2]])]
)
def test_malformed_lists_raise(metric, truth, predicted) -> None:
    with pytest.raises(UsageError, match="same length"):
        metric(truth, predicted)


@pytest.mark.parametrize("metric", [roc_auc_macro, average_precision_macro])
@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        (np.empty((0, 2)), np.empty((0, 2)), "shapes"),
        ([1, 0], [0.1, 0.2], "shapes"),
        ([[1], [0]], [[0.1]], "shapes"),
        ([[2], [0]], [[0.1], [0.2]], "not 0/1"),
        ([[1], [0]], [[np.nan], [0.2]], "NaN"),
    ],
)
def test_malformed_tables_raise(metric, truth, scores, message) -> None:
    with pytest.raises(UsageError, match=message):
        metric(truth, scores)


@pytest.mark.parametrize("metric", [r2, rmse, ccc])
def test_regression_metrics_of_nan_raise(metric) -> None:
    with pytest.raises(UsageError, match="NaN"):
        metric([1.0, np.nan], [1.0, 2.0])


def test_confusion_of_an_unlisted_label_raises() -> None:
    with pytest.raises(UsageError, match="zebra"):
        confusion_matrix(["a"], ["zebra"], ["a", "b"])


def test_names_lead_to_the_functions_and_others_raise() -> None:
    Y, S = np.array([[1], [0]]), np.array([[0.2], [0.4]])
    assert score("macro_f1", np.array(["a"]), np.array(["a"])) == 1
    assert score("roc_auc", Y, S) == 0
    assert score("average_precision", Y, S) == 0.5
    assert score("r2", np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 1
    assert score("rmse", np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 1
    assert score("ccc", np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 1
    with pytest.raises(UsageError, match="macro_f1"):
        score("f1", Y, S)
    with pytest.raises(UsageError, match="classification, tagging, regression"):
        check_task("clustering")
    assert METRICS["classification"] == ("accuracy", "macro_f1")
    assert METRICS["regression"] == ("r2", "rmse", "ccc")
