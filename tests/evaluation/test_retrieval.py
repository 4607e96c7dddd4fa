from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import pairwise_distances

from segue.errors import UsageError
from segue.evaluation import retrieval
from segue.evaluation.retrieval import retrieve
from segue.similarity import precision_at_k


def collection(seed: int = 0, n_groups: int = 30, per: int = 5, signal: float = 0.6):
    """Clips of groups that differ, in classes that differ by ``signal``."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), per)
    label = rng.integers(0, 4, n_groups)[group]
    centres = signal * np.random.default_rng(5).normal(size=(4, 8))
    X = (
        centres[label]
        + rng.normal(size=(n_groups, 8))[group]
        + 0.6 * rng.normal(size=(len(group), 8))
    )
    return X.astype(np.float32), np.array(list("abcd"))[label], group


@pytest.mark.parametrize("distance", ["cosine", "l2", "l1"])
@pytest.mark.parametrize("tagged", [False, True])
def test_agrees_with_the_similarity_room_and_scikit_learn(distance, tagged: bool) -> None:
    X, y, group = collection()
    if tagged:
        y = (np.random.default_rng(1).random((len(X), 4)) < 0.2).astype(int)
    task = "tagging" if tagged else "classification"
    found = retrieve(X, y, group, task, k=7, distance=distance)
    np.testing.assert_allclose(
        found.precision, precision_at_k(X, y, k=7, metric=distance, groups=group)
    )
    scaled = (X - X.mean(0)) / X.std(0)
    name = {"l1": "manhattan", "l2": "euclidean"}.get(distance, distance)
    D = pairwise_distances(scaled.astype(float), metric=name)
    for clip in range(len(X)):
        other = group != group[clip]
        relevant = (y[other] & y[clip]).any(axis=1) if tagged else y[other] == y[clip]
        assert (found.candidates[clip], found.relevant[clip]) == (other.sum(), relevant.sum())
        if relevant.any():
            expected = average_precision_score(relevant, -D[clip, other])
            assert found.average_precision[clip] == pytest.approx(expected)
        else:
            assert np.isnan(found.average_precision[clip])


def test_blocks_do_not_change_the_answer(monkeypatch) -> None:
    X, y, group = collection()
    whole = retrieve(X, y, group, "classification")
    monkeypatch.setattr(retrieval, "_PAIRS", 7 * len(X))
    blocks = retrieve(X, y, group, "classification")
    np.testing.assert_array_equal(blocks.precision, whole.precision)
    np.testing.assert_array_equal(blocks.average_precision, whole.average_precision)
    np.testing.assert_allclose(blocks.left_out, whole.left_out)


def test_what_is_left_out_is_the_collection_without_it() -> None:
    """Standardised alike: only queries and candidates leave."""
    X, y, group = collection(n_groups=8)
    X = np.concatenate([X, -X])  # so that every part has mean 0 ...
    X = np.where(X > 0, 1, -1) * np.arange(1, 9)  # ... and one deviation per dimension, and ties
    y, group = np.tile(y, 2), np.tile(group, 2)
    found = retrieve(X, y, group, "classification", k=5, distance="l2")
    assert found.left_out.shape == (8, 4)
    without = []
    for one in range(8):
        kept = group != one
        again = retrieve(X[kept], y[kept], group[kept], "classification", k=5, distance="l2")
        without.append([row.mean for row in again.rows(encoder="x", layers="", target="y")])
    order = np.lexsort(np.round(found.left_out, 9).T)
    expected = np.array(without)
    np.testing.assert_allclose(found.left_out[order], expected[np.lexsort(np.round(expected, 9).T)])


def test_rows_are_the_stable_rows_and_chance_is_one_of_them() -> None:
    X, y, group = collection(signal=1.5)
    rows = retrieve(X, y, group, "classification").rows(encoder="mfcc", layers="", target="genre")
    assert [(row.encoder, row.head, row.metric) for row in rows] == [
        ("mfcc", "nearest", "precision_at_10"),
        ("mfcc", "nearest", "map"),
        ("chance", "random order", "precision_at_10"),
        ("chance", "random order", "map"),
    ]
    json.dumps([row.as_dict() for row in rows])
    for row in rows:
        assert 0 <= row.low < row.mean < row.high <= 1
        assert (row.n, row.target) == (150, "genre")
    assert rows[0].mean > rows[2].mean + 0.1
    assert rows[1].mean > rows[3].mean + 0.05


def test_chance_is_what_noise_measures() -> None:
    _, y, group = collection()
    means = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(size=(len(y), 6))
        means.append(
            [row.mean for row in retrieve(noise, y, group, "classification").rows(
                encoder="noise", layers="", target="y")]
        )  # fmt: skip
    precision, mean_ap, by_chance, ap_by_chance = np.mean(means, axis=0)
    assert precision == pytest.approx(by_chance, abs=0.01)
    assert mean_ap == pytest.approx(ap_by_chance, abs=0.005)


def test_a_constant_feature_is_chance_whatever_the_order_of_rows() -> None:
    _, y, group = collection()
    by_class = np.argsort(y)
    rows = retrieve(np.ones((150, 2)), y[by_class], group[by_class], "classification").rows(
        encoder="x", layers="", target="y"
    )
    assert rows[0].mean == pytest.approx(rows[2].mean)


def test_the_interval_covers_other_collections() -> None:
    """Resampling queries alone covered .67 to .83; groups are candidates, too."""
    means, bounds = [], []
    for seed in range(300):
        rows = retrieve(*collection(seed, n_groups=16), "classification", k=5).rows(
            encoder="x", layers="", target="y"
        )
        means.append([row.mean for row in rows[:2]])
        bounds.append([(row.low, row.high) for row in rows[:2]])
    expected, (low, high) = np.mean(means, axis=0), np.moveaxis(np.array(bounds), 2, 0)
    covered = ((low <= expected) & (expected <= high)).mean(axis=0)
    assert (covered >= 0.93).all()
    # not sure of itself, and no wider than twice what it needs to be
    assert ((high - low).mean(axis=0) / 2 / 2.1 < 2 * np.std(means, axis=0)).all()


def test_clips_that_cannot_be_asked_are_counted() -> None:
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    found = retrieve([[0.0], [0.1], [0.2], [0.3]], y, None, "tagging", k=1)
    assert np.isnan(found.precision).tolist() == [False, False, False, True]
    assert np.isnan(found.average_precision).tolist() == [False, False, True, True]
    assert "1 of 4 clips are no queries" in found.notes[0]
    assert "1 queries have nothing to find" in found.notes[1]
    assert "4 groups are too few" in found.notes[2]
    rows = found.rows(encoder="x", layers="", target="y")
    assert [row.n for row in rows] == [3, 2, 3, 2]
    assert all(np.isnan([row.se, row.low, row.high]).all() for row in rows)


def test_requests_that_make_no_sense_raise() -> None:
    X, y, group = collection()
    with pytest.raises(UsageError, match="regression"):
        retrieve(X, np.arange(150.0), group, "regression")
    with pytest.raises(UsageError, match="k 0"):
        retrieve(X, y, group, "classification", k=0)
    with pytest.raises(UsageError, match="'l3'"):
        retrieve(X, y, group, "classification", distance="l3")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="149 rows"):
        retrieve(X[1:], y, group, "classification")
    with pytest.raises(UsageError, match="200 others outside its group"):
        retrieve(X, y, group, "classification", k=200)
