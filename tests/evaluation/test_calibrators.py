from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.svm import SVC

from segue.evaluation.calibration import ece, tag_ece, top_label
from segue.evaluation.calibrators import ClassCalibrator, TagCalibrator, head_scores
from segue.evaluation.heads import make_head


def scores_of(slope: float, n_classes: int = 3, n: int = 4000, seed: int = 0):
    """Scores, and classes drawn from softmax(slope * scores)."""
    rng = np.random.default_rng(seed)
    S = 3 * rng.normal(size=(n, n_classes))
    return S, np.array([rng.choice(n_classes, p=row) for row in softmax(slope * S, axis=1)])


@pytest.mark.parametrize("slope", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_recovered(slope: float) -> None:
    S, y = scores_of(slope)
    found = ClassCalibrator().fit(S, y)
    assert found.slope_ == pytest.approx(slope, rel=0.08)
    fresh, truth = scores_of(slope, seed=1)
    after = ece(*top_label(found.predict_proba(fresh), truth))
    assert after < 0.03
    if slope != 1:
        assert ece(*top_label(softmax(fresh, axis=1), truth)) > after + 0.02


def test_scores_that_tell_nothing_or_the_contrary_tell_nothing_after() -> None:
    S, y = scores_of(1.0)
    found = ClassCalibrator().fit(-S, y)
    assert found.slope_ == 0
    np.testing.assert_allclose(found.predict_proba(S), 1 / 3)


def test_the_order_of_classes_stays() -> None:
    S, y = scores_of(0.3)
    P = ClassCalibrator().fit(S, y).predict_proba(S)
    np.testing.assert_array_equal(P.argsort(axis=1), S.argsort(axis=1))


def test_all_right_is_sure_but_not_without_doubt() -> None:
    y = np.arange(60) % 3
    P = ClassCalibrator().fit(10.0 * np.eye(3)[y], y).predict_proba(10.0 * np.eye(3))
    np.testing.assert_allclose(np.diag(P), 61 / 62 - 1 / 62 / 3, atol=0.02)
    assert P.max() < 1


def test_classes_that_a_fit_did_not_know_have_no_probability() -> None:
    S, y = scores_of(1.0)
    unknown = (np.arange(len(y)) % 3 == 0) & (y != 2)
    S[unknown, 2] = -np.inf
    found = ClassCalibrator().fit(S, y)
    P = found.predict_proba(S)
    assert (P[unknown, 2] == 0).all()
    np.testing.assert_allclose(P.sum(axis=1), 1)
    assert found.slope_ == pytest.approx(1, abs=0.1)
    flat = ClassCalibrator().fit(np.where(np.isfinite(S), -S, -np.inf), y)
    assert np.isfinite(flat.predict_proba(S)).all()


def test_a_true_class_that_the_head_did_not_know_raises() -> None:
    with pytest.raises(ValueError, match="known the true class"):
        ClassCalibrator().fit([[-np.inf, 0.0], [0.0, 0.0]], [0, 1])


def test_tags_agree_with_a_plain_minimiser() -> None:
    rng = np.random.default_rng(0)
    S = rng.normal(size=(300, 6)) * [0.01, 0.1, 1, 3, 10, 100] + [0, 5, -3, 0, 1, 0]
    slopes = np.array([200, 8, 1.5, 0.3, 0.2, 0.01])
    Y = (rng.random(S.shape) < expit(slopes * (S - S.mean(axis=0)) - 1)).astype(int)
    found = TagCalibrator().fit(S, Y)
    for tag in range(6):
        positives = Y[:, tag].sum()
        target = np.where(Y[:, tag] > 0, (positives + 1) / (positives + 2), 1 / (302 - positives))
        z = (S[:, tag] - S[:, tag].mean()) / S[:, tag].std()

        def loss(w, z=z, target=target):
            return np.mean(np.logaddexp(0, w[0] * z + w[1]) - target * (w[0] * z + w[1]))

        plain = minimize(
            loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14}
        ).x
        np.testing.assert_allclose(
            found.predict_proba(S)[:, tag], expit(plain[0] * z + plain[1]), atol=1e-5
        )


def test_tags_recover_known_miscalibration() -> None:
    rng = np.random.default_rng(1)
    S = rng.normal(size=(5000, 3))
    Y = (rng.random(S.shape) < expit(2 * S + [-3, 0, 1])).astype(int)
    found = TagCalibrator().fit(S[:4000], Y[:4000])
    np.testing.assert_allclose(found.slope_, 2, atol=0.25)
    np.testing.assert_allclose(found.bias_, [-3, 0, 1], atol=0.25)
    assert tag_ece(expit(S[4000:]), Y[4000:]).value > 0.1
    assert tag_ece(found.predict_proba(S[4000:]), Y[4000:]).value < 0.04


def test_tags_without_anything_to_learn_have_one_probability() -> None:
    rng = np.random.default_rng(2)
    S = rng.normal(size=(98, 4))
    S[:, 3] = 7.0
    Y = np.column_stack([np.zeros(98), np.ones(98), S[:, 2] < 0, np.arange(98) % 2]).astype(int)
    found = TagCalibrator().fit(S, Y)
    np.testing.assert_allclose(
        found.predict_proba(S[:1])[0, [0, 1, 3]], [0.01, 0.99, 0.5], atol=1e-3
    )
    assert found.slope_.tolist() == [0] * 4  # the third falls with its score
    separable = TagCalibrator().fit(S[:, :1], (S[:, :1] > 2).astype(int)).predict_proba(S[:, :1])
    assert (np.isfinite(separable) & (separable > 0) & (separable < 1)).all()


def blobs(n_classes: int, n: int = 120):
    rng = np.random.default_rng(0)
    label = np.arange(n) % n_classes
    X = 1.5 * np.random.default_rng(1).normal(size=(n_classes, 6))[label] + rng.normal(size=(n, 6))
    return X, np.array(list("abcdef"))[label]


def test_svm_scores_are_sums_of_pairs_and_keep_the_label() -> None:
    X, y = blobs(4)
    head = make_head("svm", "classification", n_features=6).estimator.fit(X, y)
    scores = head_scores(head, X, "classification")
    machine, ready = head[-1], head[:-1].transform(X)
    pairs = SVC(**machine.get_params()).set_params(break_ties=False, decision_function_shape="ovo")
    margins = pairs.fit(ready, y).decision_function(ready)
    sums = np.zeros((len(X), 4))
    for column, (i, j) in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
        sums[:, i] += margins[:, column]
        sums[:, j] -= margins[:, column]
    own = head.predict(X)[:, None] == head.classes_
    np.testing.assert_allclose(scores, sums + own)
    assert machine.decision_function_shape == "ovr"  # the head itself is as it was


@pytest.mark.parametrize("name", ["svm", "linear", "logistic", "ridge", "knn", "mlp"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_highest_for_the_label(name: str, n_classes: int) -> None:
    X, y = blobs(n_classes)
    head = make_head(name, "classification", n_features=6).estimator.fit(X, y)
    scores = head_scores(head, X, "classification")
    assert scores.shape == (120, n_classes)
    assert np.isfinite(scores).all()
    agree = head.classes_[scores.argmax(axis=1)] == head.predict(X)
    assert agree.mean() > 0.97  # sums and votes of the svm differ now and then


def test_uncalibrated_scores_of_logistic_are_its_own_probabilities() -> None:
    for n_classes in (2, 3):
        X, y = blobs(n_classes)
        head = make_head("logistic", "classification", n_features=6).estimator.fit(X, y)
        own = softmax(head_scores(head, X, "classification"), axis=1)
        np.testing.assert_allclose(own, head.predict_proba(X), atol=1e-12)
