from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from segue.errors import UsageError
from segue.evaluation.metrics import average_precision_macro
from segue.evaluation.ranking import average_precision, mean_average_precision, precision_at_k


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 10_000))
def test_average_precision_agrees_with_scikit_learn_ties_included(
    n: int, levels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    relevant = rng.random((4, n)) < 0.4
    scores = rng.integers(0, levels, (4, n)) / 3
    got = average_precision(relevant, scores)
    for query in range(4):
        if relevant[query].any():
            expected = average_precision_score(relevant[query], scores[query])
            assert got[query] == pytest.approx(expected)
        else:
            assert np.isnan(got[query])
    defined = got[~np.isnan(got)]
    if len(defined):
        assert mean_average_precision(relevant, scores) == pytest.approx(defined.mean())
    # the same number by the other road, where both are defined
    by_tag = average_precision_macro(relevant.T.astype(int), scores.T).per_tag
    both = ~np.isnan(by_tag)
    np.testing.assert_allclose(got[both], by_tag[both])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_precision_is_the_mean_over_all_orders_of_the_tied(k: int) -> None:
    rng = np.random.default_rng(k)
    for _ in range(20):
        relevant, scores = rng.random(5) < 0.5, rng.integers(0, 3, 5).astype(float)
        orders = [order for order in permutations(range(5)) if falls(scores[list(order)])]
        expected = np.mean([relevant[list(order[:k])].mean() for order in orders])
        assert precision_at_k(relevant[None], scores[None], k=k)[0] == pytest.approx(expected)


def falls(values: np.ndarray) -> bool:
    return bool((np.diff(values) <= 0).all())


def test_what_is_no_candidate_takes_no_place() -> None:
    relevant, scores = [[True, True, False]], [[0.9, -np.inf, 0.5]]
    assert precision_at_k(relevant, scores, k=2) == [0.5]
    assert average_precision(relevant, scores) == [1.0]
    assert np.isnan(precision_at_k(relevant, scores, k=3))
    assert np.isnan(mean_average_precision([[True]], [[-np.inf]]))


def test_perfect_worst_and_all_tied() -> None:
    relevant = np.array([[True, True, False, False]])
    assert average_precision(relevant, [[4, 3, 2, 1]]) == [1.0]
    assert average_precision(relevant, [[1, 2, 3, 4]]) == pytest.approx([(1 / 3 + 2 / 4) / 2])
    assert precision_at_k(relevant, [[1, 1, 1, 1]], k=1) == [0.5]
    assert average_precision(relevant, [[1, 1, 1, 1]]) == [0.5]


def test_malformed_rankings_raise() -> None:
    with pytest.raises(UsageError, match=r"shapes \(1, 2\) and \(1, 1\)"):
        average_precision([[True, False]], [[1.0]])
    with pytest.raises(UsageError, match="NaN"):
        average_precision([[True]], [[np.nan]])
    with pytest.raises(UsageError, match="k of at least 1"):
        precision_at_k([[True]], [[1.0]], k=0)
