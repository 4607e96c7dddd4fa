from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as golden

from segue.errors import UsageError
from segue.evaluation.calibration import (
    brier,
    ece,
    log_loss,
    perfect_ece,
    reliability_bins,
    tag_ece,
    top_label,
    wilson_interval,
)


def test_bins_hold_equal_numbers_and_every_clip() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(300) ** 4  # crowded near 0: bins of equal width would be mostly empty
    bins = reliability_bins(p, rng.random(300) < p)
    assert [one.n for one in bins] == [20] * 15
    said = np.sort(p).reshape(15, 20).mean(axis=1)
    np.testing.assert_allclose([one.said for one in bins], said)
    assert all(one.low <= one.found <= one.high for one in bins)
    json.dumps([one.as_dict() for one in bins])


def test_equal_probabilities_are_never_parted() -> None:
    p = np.repeat([0.2, 0.7, 0.9], [10, 80, 10])
    bins = reliability_bins(p, np.ones(100), bins=10)
    assert [(one.n, round(one.said, 9)) for one in bins] == [(10, 0.2), (80, 0.7), (10, 0.9)]


def test_the_error_does_not_depend_on_the_order_of_clips() -> None:
    rng = np.random.default_rng(1)
    p = rng.integers(0, 12, 200) / 12  # ties
    hits = rng.random(200) < 0.5
    shuffled = rng.permutation(200)
    assert ece(p, hits) == pytest.approx(ece(p[shuffled], hits[shuffled]))


@pytest.mark.parametrize(("hits", "n"), [(0, 12), (5, 12), (12, 12), (300, 1000)])
def test_wilson_agrees_with_scipy(hits: int, n: int) -> None:
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson_interval(hits / n, n) == pytest.approx((expected.low, expected.high))


def test_known_miscalibration_is_measured() -> None:
    """Said .9 and right in 6 of 10, said .5 and right in 5 of 10."""
    p = np.repeat([0.5, 0.9], [1000, 1000])
    right = np.concatenate([np.arange(1000) % 2 == 0, np.arange(1000) % 10 < 6])
    assert ece(p, right) == pytest.approx(0.15)


@pytest.mark.parametrize("n", [100, 1000])
def test_exact_probabilities_measure_what_is_expected_of_them_and_not_zero(n: int) -> None:
    rng = np.random.default_rng(2)
    measured, expected, above = [], [], 0
    for run in range(400):
        p = rng.beta(4, 2, n)
        measured.append(ece(p, rng.random(n) < p))
        mean, high = perfect_ece(p, seed=run)
        expected.append(mean)
        above += measured[-1] > high
    assert np.mean(measured) == pytest.approx(np.mean(expected), rel=0.05)
    assert np.mean(measured) > 0.3 / np.sqrt(n / 15)  # the upward bias
    assert above / 400 == pytest.approx(0.05, abs=0.04)


def test_tags_are_averaged_over_those_that_vary() -> None:
    rng = np.random.default_rng(3)
    Y = np.column_stack([rng.random(200) < 0.3, rng.random(200) < 0.6, np.ones(200)]).astype(int)
    P = rng.random((200, 3))
    found = tag_ece(P, Y)
    assert found.undefined == (2,)
    assert found.per_tag[0] == pytest.approx(ece(P[:, 0], Y[:, 0]))
    assert found.value == pytest.approx(found.per_tag[:2].mean())
    assert np.isnan(tag_ece(P[:, 2:], Y[:, 2:]).value)
    mean, high = perfect_ece(P[:, :2], draws=50)
    assert 0 < mean < high


def test_proper_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    P, y = rng.dirichlet([1, 2, 3], 60), rng.integers(0, 3, 60)
    assert log_loss(P, y) == pytest.approx(golden.log_loss(y, P, labels=[0, 1, 2]))
    one_hot = np.eye(3)[y]
    by_class = [golden.brier_score_loss(one_hot[:, c], P[:, c]) for c in range(3)]
    assert brier(P, y) == pytest.approx(sum(by_class))
    T, Y = rng.random((60, 2)), rng.integers(0, 2, (60, 2))
    losses = [golden.log_loss(Y[:, t], T[:, t], labels=[0, 1]) for t in range(2)]
    assert log_loss(T, Y) == pytest.approx(np.mean(losses))
    briers = [golden.brier_score_loss(Y[:, t], T[:, t]) for t in range(2)]
    assert brier(T, Y) == pytest.approx(np.mean(briers))
    assert log_loss([[1.0, 0.0]], [1]) == np.inf
    confidence, right = top_label(P, y)
    np.testing.assert_array_equal(confidence, P.max(axis=1))
    np.testing.assert_array_equal(right, P.argmax(axis=1) == y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ece([], []), "shapes"),
        (lambda: ece([0.5], [1, 0]), "shapes"),
        (lambda: ece([1.5], [1]), "outside 0 to 1"),
        (lambda: ece([np.nan], [1]), "outside 0 to 1"),
        (lambda: ece([0.5], [2]), "not 0/1"),
        (lambda: ece([0.5], [1], bins=0), "one bin"),
        (lambda: tag_ece([[0.5]], [1]), "shapes"),
        (lambda: brier([[0.5, 0.5]], [2]), "shapes"),
        (lambda: top_label([[0.5, 0.5]], [-1]), "shapes"),
        (lambda: log_loss([[0.5, 0.5]], [0.0]), "shapes"),
    ],
)
def test_malformed_raises(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
