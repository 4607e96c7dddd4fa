from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as golden

from segue.errors import UsageError
from segue.evaluation.metrics import METRICS, score
from segue.evaluation.resampled import resampled_scores
from segue.evaluation.statistics import (
    bootstrap_interval,
    corrected_t_test,
    group_weights,
    holm,
    mean_and_error,
)


def example(metric: str, n: int = 40, seed: int = 0):
    rng = np.random.default_rng(seed)
    if metric in METRICS["classification"]:
        truth = np.array(list("abc"))[rng.integers(0, 3, n)]
        wrong = np.array(list("abc"))[rng.integers(0, 3, n)]
        return truth, np.where(rng.random(n) < 0.6, truth, wrong)
    if metric in METRICS["tagging"]:
        Y = (rng.random((n, 5)) < [0.1, 0.3, 0.5, 0.9, 0.0]).astype(int)
        return Y, (Y + rng.normal(size=Y.shape)).round(1)  # rounded: ties
    truth = 7 + 0.1 * rng.normal(size=n)
    return truth, truth + 0.05 * rng.normal(size=n)


NAMES = [name for names in METRICS.values() for name in names]


@pytest.mark.parametrize("metric", NAMES)
def test_weights_of_one_give_the_metric(metric: str) -> None:
    truth, predicted = example(metric)
    value = resampled_scores(metric, truth, predicted, np.ones((1, 40)))[0]
    assert value == pytest.approx(score(metric, truth, predicted))


@pytest.mark.parametrize("metric", NAMES)
def test_a_draw_is_the_metric_of_the_repeated_clips(metric: str) -> None:
    truth, predicted = example(metric)
    weights = group_weights(np.arange(40) // 2, 20, np.random.default_rng(1))
    values = resampled_scores(metric, truth, predicted, weights)
    for value, row in zip(values, weights, strict=True):
        again = np.repeat(np.arange(40), row.astype(int))
        assert value == pytest.approx(score(metric, truth[again], predicted[again]))


def test_weighted_tag_metrics_agree_with_scikit_learn() -> None:
    Y, S = example("roc_auc")
    weights = np.random.default_rng(2).integers(1, 4, (1, 40)).astype(float)
    for name, expected in (
        ("roc_auc", golden.roc_auc_score),
        ("average_precision", golden.average_precision_score),
    ):
        for tag in range(4):
            ours = resampled_scores(name, Y[:, [tag]], S[:, [tag]], weights)[0]
            theirs = expected(Y[:, tag], S[:, tag], sample_weight=weights[0])
            assert ours == pytest.approx(theirs)


def test_undefined_draws_are_nan() -> None:
    Y, S = np.array([[1], [0]]), np.array([[0.1], [0.2]])
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    for metric in METRICS["tagging"]:
        assert np.isnan(resampled_scores(metric, Y, S, weights)).tolist() == [True, True, False]
    values = resampled_scores("r2", np.array([0.1, 0.3]), np.array([0.1, 0.2]), weights)
    assert np.isnan(values).tolist() == [True, True, False]


def test_unknown_metric_raises() -> None:
    with pytest.raises(UsageError, match="known metric"):
        resampled_scores("f2", np.array([1]), np.array([1]), np.ones((1, 1)))


def test_mean_and_error() -> None:
    mean, error = mean_and_error([0.2, 0.4, np.nan, 0.6])
    assert (mean, error) == pytest.approx((0.4, 0.2 / np.sqrt(3)))
    assert np.isnan(mean_and_error([0.5])[1])
    with pytest.raises(UsageError, match="defined score"):
        mean_and_error([np.nan])


def test_t_test_golden() -> None:
    # by hand: differences .1 .15 .05, mean .1, deviation .05, t = .1 / (.05 sqrt(1/3 + 1/2))
    p = corrected_t_test([0.8, 0.9, 0.85], [0.7, 0.75, 0.8], test_share=0.5)
    assert p == pytest.approx(0.1597, abs=1e-3)


def test_t_test_degenerate() -> None:
    assert corrected_t_test([0.5, 0.6], [0.5, 0.6], test_share=0.1) == 1
    assert corrected_t_test([0.5, 0.6], [0.4, 0.5], test_share=0.1) == 0
    assert corrected_t_test([0.5, np.nan], [0.4, 0.5], test_share=0.1) == 1
    with pytest.raises(UsageError, match="one length"):
        corrected_t_test([0.5], [0.5, 0.6], test_share=0.1)
    with pytest.raises(UsageError, match="share 0"):
        corrected_t_test([0.5, 0.6], [0.5, 0.6], test_share=0)


def test_t_test_holds_its_level_where_the_plain_one_does_not() -> None:
    """Fold differences of mean 0, correlated by 1/k as overlapping training parts make them."""
    k, runs = 10, 4000
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(runs, 1)), rng.normal(size=(runs, k))
    differences = np.sqrt(1 / k) * shared + np.sqrt(1 - 1 / k) * own
    zero = np.zeros(k)
    corrected = [corrected_t_test(d, zero, test_share=1 / (k - 1)) < 0.05 for d in differences]
    plain = [corrected_t_test(d, zero, test_share=1e-12) < 0.05 for d in differences]
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.012)
    assert np.mean(plain) > 0.1


def test_holm() -> None:
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def clustered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong for 80 groups of 5 clips; groups differ in how hard they are; mean .7."""
    hardness = rng.beta(1.4, 0.6, size=80)
    groups = np.repeat(np.arange(80), 5)
    return (rng.random(400) < hardness[groups]).astype(int), groups


def test_bootstrap_covers_the_truth_and_clips_alone_do_not() -> None:
    covered, naive = [], []
    for run in range(150):
        right, groups = clustered(np.random.default_rng(run))
        ones, folds = np.ones(400, dtype=int), groups % 10
        for own, hits in ((groups, covered), (np.arange(400), naive)):
            low, high = bootstrap_interval("accuracy", ones, right, own, folds, draws=200, seed=run)
            hits.append(low <= 0.7 <= high)
    assert 0.85 <= np.mean(covered) <= 0.99
    assert np.mean(naive) < np.mean(covered) - 0.1


@pytest.mark.parametrize("metric", NAMES)
def test_bootstrap_surrounds_the_mean_in_small_folds(metric: str) -> None:
    truth, predicted = example(metric, n=100)
    folds = np.arange(100) % 10
    scores = [score(metric, truth[folds == fold], predicted[folds == fold]) for fold in range(10)]
    low, high = bootstrap_interval(metric, truth, predicted, np.arange(100), folds, draws=300)
    assert low < np.nanmean(scores) < high <= 1


def test_bootstrap_is_fixed_by_its_seed_and_checks_lengths() -> None:
    right, groups = clustered(np.random.default_rng(0))
    ones, folds = np.ones(400, dtype=int), groups % 10
    first = bootstrap_interval("accuracy", ones, right, groups, folds, draws=50, seed=3)
    assert first == bootstrap_interval("accuracy", ones, right, groups, folds, draws=50, seed=3)
    assert first[0] < right.mean() < first[1]
    with pytest.raises(UsageError, match="of one length"):
        bootstrap_interval("accuracy", ones, right[:-1], groups, folds)
    with pytest.raises(UsageError, match="in none"):
        bootstrap_interval("r2", ones, right, groups, folds)
