"""Mean ranks and runs of encoders that cannot be told apart."""

from __future__ import annotations

import numpy as np
import pytest

from segue.errors import UsageError
from segue.evaluation.ranks import critical_difference, friedman, mean_ranks, ranked

# Demsar 2006, table 6: AUC of four classifiers on 14 data sets; ranks 3.143, 2.000, 2.893, 1.964
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_ranks_of_the_published_example() -> None:
    np.testing.assert_allclose(mean_ranks(DEMSAR), [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    # the paper prints 9.28 of chi-square for rounded ranks without correction for ties: p < .05
    assert 0.01 < friedman(DEMSAR) < 0.05
    # its q table at .05: 1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164
    for m, q in zip(range(2, 11), (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
                    strict=True):  # fmt: skip
        assert critical_difference(m, 1) == pytest.approx(q * np.sqrt(m * (m + 1) / 6), abs=3e-3)


def test_smaller_can_be_better() -> None:
    assert mean_ranks([[1.0, 2.0]], larger_is_better=False).tolist() == [1.0, 2.0]


def test_bars_join_only_what_no_test_tells_apart() -> None:
    scores = np.arange(5.0)[None, ::-1]
    found = ranked("abcde", scores, {("a", "c"): True, ("d", "b"): True, ("b", "e"): True})
    assert found.names == tuple("abcde")
    # a to b; b to c (d differs from b); c to e
    assert found.cliques == ((0, 1), (1, 2), (2, 4))
    assert ranked("abcde", scores, {}).cliques == ((0, 4),)
    everything = {(a, b): True for a in "abcde" for b in "abcde" if a < b}
    assert ranked("abcde", scores, everything).cliques == ()


def test_undefined_places_are_left_out() -> None:
    found = ranked("ab", [[1.0, 2.0], [np.nan, 1.0]], {})
    assert (found.names, found.places) == (("b", "a"), 1)
    with pytest.raises(UsageError, match="every encoder has a score"):
        mean_ranks([[np.nan, 1.0]])


def test_friedman_of_what_cannot_be_tested() -> None:
    assert np.isnan(friedman([[1.0, 2.0], [2.0, 1.0]]))
    assert np.isnan(friedman([[1.0, 2.0, 3.0]]))
    assert friedman(np.ones((4, 3))) == 1.0
