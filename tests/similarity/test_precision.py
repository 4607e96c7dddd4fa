import numpy as np
import pytest

from segue.errors import UsageError
from segue.similarity import ExactIndex, precision_at_k, summarise


def slow(X, sets, k, groups=None):
    """Precision at k by the letter: sort all others, drop the own group, count."""
    X = (X - X.mean(0)) / X.std(0)
    result = []
    for i in range(len(X)):
        others = [
            (np.abs(X[i] - X[j]).sum(), j)
            for j in range(len(X))
            if j != i and (groups is None or groups[j] != groups[i])
        ]
        nearest = sorted(others)[:k]
        hits = sum(bool(sets[i] & sets[j]) for _, j in nearest)
        result.append(hits / k if len(nearest) == k and sets[i] else np.nan)
    return np.array(result)


@pytest.fixture(name="X")
def features():
    return np.random.default_rng(0).standard_normal((120, 5)).astype("f")


@pytest.mark.parametrize("k", [1, 7, 100])
@pytest.mark.parametrize("grouped", [False, True])
def test_agrees_with_the_slow_loop(X, k, grouped):
    rng = np.random.default_rng(1)
    labels = rng.choice(["a", "b", "c"], 120)
    groups = rng.integers(0, 6, 120) if grouped else None
    got = precision_at_k(X, labels, k=k, groups=groups)
    np.testing.assert_allclose(got, slow(X.astype("d"), [{x} for x in labels], k, groups))


def test_several_labels_agree_with_the_slow_loop_as_sets_and_as_a_matrix(X):
    indicator = np.random.default_rng(2).random((120, 4)) < 0.3
    sets = [set(np.flatnonzero(row)) for row in indicator]
    truth = slow(X.astype("d"), sets, 5)
    assert np.isnan(truth).any()
    np.testing.assert_allclose(precision_at_k(X, sets, k=5), truth)
    np.testing.assert_allclose(precision_at_k(X, indicator.astype(int), k=5), truth)


def test_separate_clusters_are_perfect():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 20)
    X = labels[:, None] * 100 + rng.standard_normal((60, 4))
    assert (precision_at_k(X, labels) == 1).all()


def test_random_labels_give_the_class_frequency():
    rng = np.random.default_rng(4)
    labels = rng.permutation(np.repeat(["a", "b"], [700, 300]))
    precision = precision_at_k(rng.standard_normal((1000, 10)), labels)
    assert precision[labels == "a"].mean() == pytest.approx(0.7, abs=0.03)
    assert precision[labels == "b"].mean() == pytest.approx(0.3, abs=0.03)


def test_the_artist_filter_removes_a_planted_artist_effect():
    rng = np.random.default_rng(5)
    artist = np.repeat(np.arange(40), 15)
    genre = (artist % 4).astype(str)
    X = rng.standard_normal((40, 8))[artist] * 10 + rng.standard_normal((600, 8))
    assert summarise(precision_at_k(X, genre)).mean > 0.95
    assert summarise(precision_at_k(X, genre, groups=artist)).mean == pytest.approx(0.25, abs=0.1)


def test_clips_without_a_group_only_lose_themselves(X):
    labels = np.random.default_rng(6).integers(0, 2, 120)
    plain = precision_at_k(X, labels)
    for nothing in (None, "", float("nan")):
        np.testing.assert_array_equal(precision_at_k(X, labels, groups=[nothing] * 120), plain)


def test_unlabelled_clips_are_no_queries_and_no_hits():
    X = [[0.0], [0.1], [0.2], [9.0]]
    got = precision_at_k(X, ["a", None, "a", ""], k=2)
    assert got[[0, 2]].tolist() == [0.5, 0.5]
    assert np.isnan(got[[1, 3]]).all()


def test_too_few_candidates_are_undefined_and_counted():
    precision = precision_at_k(
        [[0.0], [1.0], [2.0], [3.0]], "aaab", k=3, groups=["x", "x", "y", "z"]
    )
    assert np.isnan(precision[:2]).all()
    assert not np.isnan(precision[2:]).any()
    assert summarise(precision)[1:] == (2, 2)
    assert np.isnan(precision_at_k([[0.0]], ["a"], k=1)).all()


def test_an_index_is_used_with_its_own_metric(X):
    labels = np.random.default_rng(7).integers(0, 3, 120)
    index = ExactIndex.build(X, [str(i) for i in range(120)], metric="cosine")
    np.testing.assert_array_equal(
        precision_at_k(index, labels), precision_at_k(X, labels, metric="cosine")
    )
    assert (precision_at_k(index, labels) != precision_at_k(X, labels)).any()


def test_lengths_must_agree(X):
    with pytest.raises(UsageError, match="labels for each of 120 clips, got 2 labels"):
        precision_at_k(X, ["a", "b"])
    with pytest.raises(UsageError, match="groups for each of 120 clips, got 1 groups"):
        precision_at_k(X, ["a"] * 120, groups=["g"])
