from __future__ import annotations

import numpy as np
import pytest

from segue.errors import UsageError
from segue.evaluation.selective import (
    acceptance_curve,
    accepted,
    check_threshold,
    cross_fitted_thresholds,
    threshold_for,
)


def answers(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    sure = rng.beta(3, 2, n)
    return sure, rng.random(n) < sure


def test_accepted_counts_what_passes() -> None:
    found = accepted([0.9, 0.5, 0.5, 0.1], [True, True, False, False], 0.5)
    assert (found.n, found.accepted, found.coverage) == (4, 3, 0.75)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.low < 2 / 3 < found.high
    nothing = accepted([0.9], [True], 0.95)
    assert (nothing.accepted, nothing.coverage) == (0, 0)
    assert np.isnan([nothing.accuracy, nothing.low, nothing.high]).all()


def test_the_threshold_is_the_lowest_that_keeps_the_share() -> None:
    sure, right = answers(500)
    threshold = threshold_for(sure, right, 0.8)
    assert accepted(sure, right, threshold).accuracy >= 0.8
    for lower in sure[sure < threshold]:
        assert accepted(sure, right, lower).accuracy < 0.8


def test_all_pass_where_all_are_good_enough_and_none_where_too_few_are() -> None:
    sure, right = answers(100)
    assert threshold_for(sure, np.ones(100), 0.9) == 0
    assert threshold_for(sure, np.zeros(100), 0.5) == np.inf
    # the best nineteen are right, and are too few to choose by
    right = np.argsort(np.argsort(-sure)) < 19
    assert threshold_for(sure, right, 1.0) == np.inf


def test_equal_answers_pass_together() -> None:
    sure = np.repeat([0.9, 0.6], [30, 30])
    right = np.concatenate([np.ones(30), np.ones(15), np.zeros(15)])
    assert threshold_for(sure, right, 0.9) == pytest.approx(0.75)
    coverage, accuracy = acceptance_curve(sure, right)
    assert coverage.tolist() == [0.5, 1.0]
    assert accuracy.tolist() == [1.0, 0.75]


def test_a_chosen_threshold_keeps_its_promise_on_other_answers() -> None:
    """Judged on the answers it was chosen on it would always keep it."""
    shares, own = [], []
    for seed in range(200):
        sure, right = answers(200, seed)
        each = cross_fitted_thresholds(sure, right, np.arange(200) % 5, 0.8)
        assert len(np.unique(each)) <= 5
        shares.append(accepted(sure, right, each).accuracy)
        own.append(accepted(sure, right, threshold_for(sure, right, 0.8)).accuracy)
    assert np.nanmin(own) >= 0.8
    assert 0.77 < np.nanmean(shares) < 0.8 < np.nanmean(own)


def test_no_confidence_is_refused() -> None:
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="a confidence from 0 to 1"):
            check_threshold(value)
    with pytest.raises(UsageError, match=r"from 0\.5 to 1"):
        check_threshold(0.4, least=0.5)
