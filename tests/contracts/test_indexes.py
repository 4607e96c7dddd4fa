"""Every registered index answers one suite: what a caller may rely on, whichever it names."""

import numpy as np
import pytest

from segue.errors import UsageError
from segue.similarity import INDEXES, make_index

METRICS = ("l1", "l2", "cosine")
N, D = 300, 24


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(3).standard_normal((N, D)).astype(np.float32) * 7 + 2


@pytest.fixture(scope="module")
def ids():
    return [f"clip-{i}" for i in range(N)]


@pytest.fixture(params=[(name, metric) for name in INDEXES for metric in METRICS], ids=str)
def index(request, features, ids):
    name, metric = request.param
    return make_index(name).build(features, ids, metric=metric, facts={"encoder": "mfcc"})


def test_an_indexed_vector_finds_itself_first_at_distance_zero(index, features, ids):
    found, distances = index.query(features, 1)
    assert found[:, 0].tolist() == ids
    assert (distances == 0).all()


def test_distances_ascend_and_every_id_comes_once(index, features):
    found, distances = index.query(features[:20], N)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == N for row in found.tolist())


def test_k_beyond_the_index_gives_all_it_holds(index, features):
    found, distances = index.query(features[:3], N + 50)
    assert found.shape == distances.shape == (3, N)
    assert np.isfinite(distances).all()


def test_batches_of_queries_answer_as_single_queries_do(index, features):
    whole = index.query(features[:70], 12)
    for size in (1, 19, 20, 33):  # faiss changes its method at 20 queries
        parts = [index.query(features[i : min(i + size, 70)], 12) for i in range(0, 70, size)]
        for j in (0, 1):
            np.testing.assert_array_equal(np.concatenate([p[j] for p in parts]), whole[j])


def test_threads_do_not_change_the_answer(index, features):
    one, two = index.query(features, 9, threads=1), index.query(features, 9, threads=2)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_save_and_load_give_the_same_index(index, features, ids, tmp_path):
    index.save(tmp_path / "index")
    again = type(index).load(tmp_path / "index")
    assert (again.ids, again.metric, again.facts) == (tuple(ids), index.metric, {"encoder": "mfcc"})
    queries = features[:40] + 0.5
    for left, right in zip(index.query(queries, 10), again.query(queries, 10), strict=True):
        np.testing.assert_array_equal(left, right)


def test_no_queries_no_neighbours(index):
    found, distances = index.query(np.empty((0, D)), 5)
    assert found.shape == distances.shape == (0, 5)


def test_a_query_of_another_length_is_refused_with_both_lengths(index):
    with pytest.raises(UsageError, match=rf"{D} dimensions.*got {D + 1} dimensions"):
        index.query(np.zeros((1, D + 1)), 5)


def test_a_single_vector_without_its_row_is_refused(index):
    with pytest.raises(UsageError, match=r"x\[None\]"):
        index.query(np.zeros(D), 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(index, features, ids, bad):
    broken = features.astype(np.float64)
    broken[7, 3] = bad
    with pytest.raises(UsageError, match="first row 7"):
        index.query(broken, 5)
    with pytest.raises(UsageError, match="first row 7"):
        type(index).build(broken, ids)


def test_k_below_one_is_refused(index, features):
    with pytest.raises(UsageError, match="k of at least 1"):
        index.query(features[:1], 0)


@pytest.mark.parametrize("bad", [["a"], ["a"] * N, list(range(N))])
def test_ids_must_be_one_distinct_str_each(index, features, bad):
    with pytest.raises(UsageError, match="id"):
        type(index).build(features, bad)


def test_an_unknown_metric_is_refused_with_the_known_ones(index, features, ids):
    with pytest.raises(UsageError, match="l1, l2, cosine"):
        type(index).build(features, ids, metric="hamming")


def test_an_empty_set_is_refused(index):
    with pytest.raises(UsageError, match="at least one"):
        type(index).build(np.empty((0, D)), [])


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="exact"):
        make_index("approximate")
