from __future__ import annotations

import numpy as np
import pytest

from segue.errors import UsageError
from segue.evaluation.calibrating import calibrate_head
from segue.evaluation.calibration import ece, log_loss, top_label
from segue.evaluation.folds import inner_folds
from segue.evaluation.protocols import fit_head


def music(n_groups: int = 60, per: int = 5, n_classes: int = 4, seed: int = 0, signal: float = 1):
    """Clips of artists that keep to a class and have a sound of their own."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), per)
    label = (np.arange(n_groups) % n_classes)[group]
    centres = signal * np.random.default_rng(1).normal(size=(n_classes, 10))
    X = (
        centres[label]
        + rng.normal(size=(n_groups, 10))[group]
        + 0.3 * rng.normal(size=(len(group), 10))
    )
    return X, np.array(list("abcdef"))[label], group


def calibrated(head: str, *, signal: float = 1):
    X, y, group = music(signal=signal)
    fitted = fit_head(X, y, group, "classification", head, inner=4)
    return calibrate_head(fitted.estimator, X, y, group, "classification", inner=4), X, y


@pytest.mark.parametrize("head", ["linear", "ridge", "knn"])
def test_heads_that_are_off_become_believable_on_artists_never_heard(head: str) -> None:
    found, _, _ = calibrated(head)
    before, after = found.measures(found.before), found.measures(found.after)
    assert after.ece < before.ece - 0.03
    assert after.log_loss < before.log_loss
    assert after.accuracy == before.accuracy  # the label stays the head's
    X, y, _ = music(n_groups=400, seed=7)  # other artists of the same kind
    P = found.estimator.predict_proba(X)
    truth = np.searchsorted(found.estimator.classes_, y)
    assert ece(*top_label(P, truth)) < 0.1
    # what was measured out of fold foretells it
    assert log_loss(P, truth) == pytest.approx(after.log_loss, abs=0.15)


@pytest.mark.parametrize(("signal", "gain"), [(1.0, -0.02), (0.5, 0.05)])
def test_the_svm_keeps_its_labels_and_is_sure_only_where_it_can_be(
    signal: float, gain: float
) -> None:
    found, X, _ = calibrated("svm", signal=signal)
    before, after = found.measures(found.before), found.measures(found.after)
    assert after.accuracy == before.accuracy
    assert before.log_loss - after.log_loss > gain
    assert (found.estimator.predict(X) == found.estimator.head.predict(X)).mean() > 0.98


def test_every_clip_is_scored_by_fits_without_its_group() -> None:
    """Clips of one artist are all but equal: a fit that saw it would be sure."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 5)
    label = rng.integers(0, 2, 40)[group]
    X = 5 * rng.normal(size=(40, 30))[group] + 0.01 * rng.normal(size=(200, 30))
    fitted = fit_head(X, label.astype(str), group, "classification", "knn").estimator
    apart = calibrate_head(fitted, X, label.astype(str), group, "classification")
    mixed = calibrate_head(fitted, X, label.astype(str), None, "classification")
    assert apart.measures(apart.after).accuracy < 0.7
    assert mixed.measures(mixed.after).accuracy > 0.95
    assert mixed.estimator.predict_proba(X).max(axis=1).mean() > 0.95
    folds = inner_folds(label.astype(str), group, "classification", n_folds=5)
    np.testing.assert_array_equal(apart.folds, folds.assignment[apart.rows])


def test_probabilities_of_a_fold_come_from_a_calibrator_of_the_other_folds() -> None:
    found, _, _ = calibrated("linear")
    np.testing.assert_allclose(found.after.sum(axis=1), 1)
    # log p is the slope times the scores: its ratio to the scores tells the fold's calibrator
    gaps = [np.log(P[:, 0] / P[:, 1]) for P in (found.before, found.after)]
    slopes = gaps[1] / gaps[0]
    by_fold = [slopes[found.folds == fold] for fold in range(4)]
    assert all(np.ptp(one) < 1e-6 * one.mean() for one in by_fold)
    assert len(np.unique(np.round([one[0] for one in by_fold], 6))) == 4
    assert found.estimator.calibrator.slope_ not in [one[0] for one in by_fold]


def test_tags_are_calibrated_one_by_one() -> None:
    X, y, group = music()
    Y = (y[:, None] == np.array(list("abcd"))).astype(int)
    fitted = fit_head(X, Y, group, "tagging", "svm").estimator
    found = calibrate_head(fitted, X, Y, group, "tagging")
    before, after = found.measures(found.before), found.measures(found.after)
    assert after.ece < 0.5 * before.ece
    assert after.brier < before.brier
    assert np.isnan(after.accuracy)
    mean, high = found.perfect_ece()
    assert 0 < mean < high
    sure, right = found.decisions(found.after)
    assert sure.shape == right.shape == found.decision_folds.shape == (1200,)
    assert sure.min() >= 0.5
    # which tags are given does not change
    np.testing.assert_array_equal(found.estimator.predict(X), fitted.predict(X))


def test_a_class_in_one_group_is_left_out_named_and_can_still_be_predicted() -> None:
    X, y, group = music()
    y, X = y.astype("<U5"), X.copy()
    y[group == 0] = "polka"
    X[group == 0] += 30
    fitted = fit_head(X, y, group, "classification", "linear").estimator
    found = calibrate_head(fitted, X, y, group, "classification")
    assert len(found.rows) == 295
    assert found.notes == (
        "5 clips left out of calibration: their class lies in one inner fold alone ('polka')",
    )
    assert (found.estimator.predict(X[group == 0]) == "polka").all()
    assert np.isfinite(found.measures(found.after).log_loss)


def test_what_cannot_be_calibrated_says_why() -> None:
    X, y, group = music()
    with pytest.raises(UsageError, match="a number has no probability"):
        calibrate_head(None, X, X[:, 0], group, "regression")  # type: ignore[arg-type]
    few = np.flatnonzero(group < 9)
    fitted = fit_head(X[few], y[few], group[few], "classification", "linear").estimator
    with pytest.raises(UsageError, match="50 clips or more to calibrate on"):
        calibrate_head(fitted, X[few], y[few], group[few], "classification")
