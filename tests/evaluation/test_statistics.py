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
    why_no_interval,
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
    for metric in ("r2", "ccc"):
        values = resampled_scores(metric, np.array([0.1, 0.3]), np.array([0.1, 0.2]), weights)
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
    with pytest.raises(UsageError, match="one length"):
        corrected_t_test([0.5], [0.5, 0.6], test_share=0.1)
    with pytest.raises(UsageError, match="share 0"):
        corrected_t_test([0.5, 0.6], [0.5, 0.6], test_share=0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([0.625, 0.75, 0.5], [0.5, 0.625, 0.375]),
        ([0.5, 0.6], [0.4, 0.5]),  # equal but for rounding
        ([0.5, np.nan], [0.4, 0.5]),
        ([0.5, np.nan], [0.5, 0.5]),
        ([np.nan, np.nan], [0.4, 0.5]),
    ],
)
def test_t_test_without_a_spread_is_not_estimable(first, second) -> None:
    """A difference that is the same in three folds is no proof: p was 0."""
    assert np.isnan(corrected_t_test(first, second, test_share=0.5))


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


def test_holm_does_not_count_what_was_not_tested() -> None:
    assert holm([np.nan, 0.02, 0.03, np.nan]) == pytest.approx(
        [np.nan, 0.04, 0.04, np.nan], nan_ok=True
    )
    assert np.isnan(holm([np.nan])).all()


def clustered(
    metric: str, n_folds: int, per_fold: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, predictions, groups, folds of 2 to 8 clips a group; groups differ in difficulty."""
    rng = np.random.default_rng(seed)
    n = n_folds * per_fold
    groups = np.repeat(np.arange(n), rng.integers(2, 9, n))
    clips = len(groups)
    if metric == "accuracy":
        truth = np.ones(clips, dtype=int)
        predicted = (rng.random(clips) < rng.beta(1.4, 0.6, n)[groups]).astype(int)
    elif metric == "macro_f1":
        truth = rng.integers(0, 4, n)[groups]
        wrong = (truth + rng.integers(1, 4, n)[groups]) % 4
        predicted = np.where(rng.random(clips) < rng.beta(2, 1, n)[groups], truth, wrong)
    elif metric in METRICS["regression"]:
        truth = rng.normal(size=n)[groups] + 0.6 * rng.normal(size=clips)
        error = 0.5 * rng.normal(size=n)[groups] + 0.4 * rng.normal(size=clips)
        predicted = 0.7 * truth + error
    else:
        odds = np.linspace(-2, 0.5, 5) + rng.normal(size=(n, 5))
        truth = (rng.random((clips, 5)) < 1 / (1 + np.exp(-odds[groups]))).astype(int)
        noise = 0.7 * rng.normal(size=(n, 5))[groups] + 0.6 * rng.normal(size=(clips, 5))
        predicted = 0.8 * truth + noise
    return truth, predicted, groups, groups % n_folds


def coverage(metric: str, n_folds: int, per_fold: int, runs: int, draws: int = 200) -> float:
    """Share of runs whose interval holds the mean of the measured means."""
    bounds, means = [], []
    for run in range(10 * runs):
        truth, predicted, groups, folds = clustered(metric, n_folds, per_fold, run)
        means.append(
            np.nanmean(
                [score(metric, truth[folds == f], predicted[folds == f]) for f in set(folds)]
            )
        )
        if run < runs:
            bounds.append(bootstrap_interval(metric, truth, predicted, groups, folds, draws=draws))
    low, high = np.transpose(bounds)
    return float(np.mean((low <= np.mean(means)) & (np.mean(means) <= high)))


@pytest.mark.parametrize(
    ("metric", "n_folds", "per_fold"),
    [
        ("accuracy", 10, 1),
        ("accuracy", 10, 2),
        ("accuracy", 5, 3),
        ("macro_f1", 10, 2),
        ("roc_auc", 5, 3),
        ("r2", 10, 3),
        ("ccc", 10, 1),
    ],
)
def test_interval_covers_the_truth_in_folds_of_few_groups(metric, n_folds, per_fold) -> None:
    """Drawn within folds, 2 groups a fold covered .70 to .82 instead of .95, and 1 nothing."""
    assert 0.89 <= coverage(metric, n_folds, per_fold, runs=100) <= 1


@pytest.mark.long
@pytest.mark.parametrize("per_fold", [2, 5])
@pytest.mark.parametrize("n_folds", [5, 10])
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "roc_auc", "r2"])
def test_interval_covers_the_truth(metric: str, n_folds: int, per_fold: int) -> None:
    assert 0.9 <= coverage(metric, n_folds, per_fold, runs=200, draws=400) <= 0.995


def test_clips_drawn_alone_cover_too_little() -> None:
    covered = []
    for run in range(100):
        truth, right, groups, folds = clustered("accuracy", 10, 8, run)
        low, high = bootstrap_interval(
            "accuracy", truth, right, np.arange(len(groups)), folds, draws=200
        )
        covered.append(low <= 0.7 <= high)
    assert np.mean(covered) < 0.85


def test_interval_of_r2_is_not_too_wide() -> None:
    """5 groups a fold: drawn within folds, it was a third to a half wider than it should be."""
    means, widths = [], []
    for run in range(400):
        truth, predicted, groups, folds = clustered("r2", 10, 5, run)
        scores = [score("r2", truth[folds == f], predicted[folds == f]) for f in range(10)]
        means.append(np.mean(scores))
        if run < 60:
            low, high = bootstrap_interval("r2", truth, predicted, groups, folds, draws=500)
            widths.append(high - low)
    assert np.median(widths) / 2 / 1.96 / np.std(means) == pytest.approx(1, abs=0.2)


def test_no_interval_of_few_groups() -> None:
    truth, right = np.ones(20, dtype=int), np.array([1, 1, 0, 1] * 5)
    groups = np.arange(20) // 4
    low, high = bootstrap_interval("accuracy", truth, right, groups, groups)
    assert np.isnan([low, high]).all()
    assert "5 groups are too few" in why_no_interval("accuracy", groups, groups)


def test_no_interval_of_r2_in_folds_of_one_group() -> None:
    truth, predicted, groups, folds = clustered("r2", 8, 1, 0)
    assert np.isnan(bootstrap_interval("r2", truth, predicted, groups, folds)).all()
    assert "R2" in why_no_interval("r2", groups, folds)
    for metric in ("accuracy", "rmse", "ccc"):
        assert not why_no_interval(metric, groups, folds)


def test_intervals_stay_within_what_the_metric_can_be() -> None:
    """An error can be above 1, a concordance below 0, and neither leaves its range."""
    truth, predicted, groups, folds = clustered("rmse", 10, 2, 0)
    low, high = bootstrap_interval("rmse", 100 * truth, 100 * predicted, groups, folds, draws=50)
    assert 1 < low < high
    low, high = bootstrap_interval("ccc", truth, -predicted, groups, folds, draws=50)
    assert -1 <= low < high < 0
    low, high = bootstrap_interval("rmse", truth, truth, groups, folds, draws=50)
    assert (low, high) == (0, 0)


def test_interval_of_tag_scores_ignores_the_scale_of_each_fold() -> None:
    """The head of every fold is another; only the order within a fold was measured."""
    truth, scores, groups, folds = clustered("roc_auc", 5, 6, 0)
    scaled = scores * 10.0 ** np.arange(-2, 3)[folds][:, None] + folds[:, None]
    for metric in METRICS["tagging"]:
        one = bootstrap_interval(metric, truth, scores, groups, folds, draws=100)
        assert bootstrap_interval(metric, truth, scaled, groups, folds, draws=100) == pytest.approx(
            one
        )


@pytest.mark.parametrize("metric", NAMES)
def test_bootstrap_surrounds_the_mean_in_small_folds(metric: str) -> None:
    truth, predicted = example(metric, n=100)
    folds = np.arange(100) % 10
    scores = [score(metric, truth[folds == fold], predicted[folds == fold]) for fold in range(10)]
    low, high = bootstrap_interval(metric, truth, predicted, np.arange(100), folds, draws=300)
    assert low < np.nanmean(scores) < high <= 1


def test_bootstrap_is_fixed_by_its_seed_and_checks_lengths() -> None:
    ones, right, groups, folds = clustered("accuracy", 10, 8, 0)
    first = bootstrap_interval("accuracy", ones, right, groups, folds, draws=50, seed=3)
    assert first == bootstrap_interval("accuracy", ones, right, groups, folds, draws=50, seed=3)
    assert first[0] < right.mean() < first[1]
    with pytest.raises(UsageError, match="of one length"):
        bootstrap_interval("accuracy", ones, right[:-1], groups, folds)
    with pytest.raises(UsageError, match="defined score"):
        bootstrap_interval("r2", ones, right, groups, folds)
