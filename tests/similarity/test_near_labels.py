"""Nearest labels, their map and their order."""

from __future__ import annotations

import numpy as np
import pytest

from segue.errors import UsageError
from segue.seeds import generator
from segue.similarity.labels import (
    MOST_ON_A_MAP,
    label_distances,
    label_map,
    label_order,
    nearest_labels,
)


def some_labels(n=30, d=20):
    vectors = generator(0, "labels").standard_normal((n, d))
    names = [f"label {i}" for i in range(n)]
    sets = [f"set {i % 3}" for i in range(n)]
    return vectors, names, sets


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
@pytest.mark.parametrize("others_only", [False, True])
def test_nearest_labels_are_those_of_a_literal_search(metric, others_only):
    vectors, names, sets = some_labels()
    vectors = vectors.astype(np.float32).astype(np.float64)
    rows = nearest_labels(vectors, names, sets, k=4, others_only=others_only, metric=metric)
    for i, row in enumerate(rows):
        pairs = []
        for j, other in enumerate(vectors):
            if j == i or (others_only and sets[i] == sets[j]):
                continue
            if metric == "l1":
                distance = np.abs(vectors[i] - other).sum()
            elif metric == "l2":
                distance = np.sqrt(((vectors[i] - other) ** 2).sum())
            else:
                lengths = np.linalg.norm(vectors[i]) * np.linalg.norm(other)
                distance = 1 - vectors[i] @ other / lengths
            pairs.append((distance, j))
        expected = sorted(pairs)[:4]
        assert (row.name, row.set) == (names[i], sets[i])
        assert [(near.name, near.set) for near in row.nearest] == [
            (names[j], sets[j]) for _, j in expected
        ]
        np.testing.assert_allclose([n.distance for n in row.nearest], [d for d, _ in expected])


def test_equal_names_in_two_sets_are_two_labels_and_near_when_their_vectors_are():
    rows = nearest_labels(
        [[1.0, 0.0], [0.0, 9.0], [1.0, 0.1]], ["jazz", "rock", "jazz"], ["a", "a", "b"]
    )
    assert [(near.name, near.set) for near in rows[0].nearest] == [("jazz", "b"), ("rock", "a")]
    assert rows[0].nearest[0].distance == pytest.approx(0.1)


def test_fewer_labels_than_k():
    rows = nearest_labels(np.eye(3), list("xyz"), ["a", "a", "b"], k=9, others_only=True)
    assert [len(row.nearest) for row in rows] == [1, 1, 2]
    assert nearest_labels([[1.0]], ["alone"], ["a"])[0].nearest == ()


@pytest.mark.parametrize(
    ("names", "sets", "message"),
    [
        (["a"], ["s", "s"], "got 1 names, 2 sets"),
        (["a", "a"], ["s", "s"], "'a' more than once in 's'"),
    ],
)
def test_labels_that_do_not_fit_are_refused(names, sets, message):
    with pytest.raises(UsageError, match=message):
        nearest_labels(np.eye(2), names, sets)


def test_not_finite_vectors_are_refused():
    for call in (label_map, label_distances):
        with pytest.raises(UsageError, match="NaN or infinity in 1 of 3 rows"):
            call([[0.0], [np.nan], [1.0]])


def test_too_many_labels_for_a_map_are_refused():
    with pytest.raises(UsageError, match=f"at most {MOST_ON_A_MAP} labels"):
        label_map(np.zeros((MOST_ON_A_MAP + 1, 1)))


def test_a_plane_is_mapped_without_stress():
    """Points that lie in a plane come out with their own distances, however it is turned."""
    flat = generator(1, "plane").standard_normal((25, 2))
    turn, _ = np.linalg.qr(generator(2, "turn").standard_normal((10, 10)))
    mapped = label_map(flat @ turn[:2], metric="l2")
    assert mapped.stress < 1e-3
    np.testing.assert_allclose(
        label_distances(mapped.positions, metric="l2"),
        label_distances(flat, metric="l2"),
        atol=0.01,
    )


def test_the_map_fits_better_than_principal_components_and_never_changes():
    vectors, _, _ = some_labels(60, 50)
    mapped = label_map(vectors)
    again = label_map(vectors.copy())
    np.testing.assert_array_equal(mapped.positions, again.positions)
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    flat = left[:, :2] * sizes[:2]
    truth = label_distances(vectors)
    drawn = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    scale = (drawn * truth).sum() / (drawn**2).sum()
    principal = np.sqrt(((scale * drawn - truth) ** 2).sum() / ((scale * drawn) ** 2).sum())
    assert mapped.stress < principal
    assert np.var(mapped.positions[:, 0]) >= np.var(mapped.positions[:, 1])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_and_equal_labels_have_a_map(n):
    for vectors in (np.zeros((n, 4)), np.eye(n, 4)):
        positions, stress = label_map(vectors)
        assert positions.shape == (n, 2)
        assert np.isfinite(positions).all()
        assert 0 <= stress < 1e-3
        assert sorted(label_order(label_distances(vectors))) == list(range(n))


def test_the_order_keeps_clusters_together():
    centres = np.repeat([[0.0], [100.0], [-50.0]], 5, axis=0)
    shuffle = generator(3, "shuffle").permutation(15)
    vectors = (centres + generator(4, "noise").standard_normal((15, 3)))[shuffle]
    order = label_order(label_distances(vectors))
    clusters = (shuffle // 5)[order]
    assert (np.diff(clusters) != 0).sum() == 2
