import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.spatial.distance import cdist

from segue.errors import StoreError, UsageError
from segue.similarity import ExactIndex
from segue.similarity import distance as distance_module

SCIPY = {"l1": "cityblock", "l2": "euclidean", "cosine": "cosine"}


def names(n):
    return [str(i) for i in range(n)]


@pytest.mark.parametrize("metric", SCIPY)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (500, 160)])
def test_agrees_with_brute_force(metric, shape):
    rng = np.random.default_rng(shape[0])
    X, queries = rng.standard_normal(shape) + 1, rng.standard_normal((30, shape[1])) + 1
    index = ExactIndex.build(X, names(len(X)), metric=metric, scale=False)
    k = min(10, len(X))
    found, distances = index.query(queries, k)
    truth = cdist(queries.astype("f").astype("d"), X.astype("f").astype("d"), SCIPY[metric])
    order = np.argsort(truth, axis=1, kind="stable")[:, :k]
    np.testing.assert_allclose(distances, np.take_along_axis(truth, order, 1), rtol=1e-6, atol=1e-9)
    if shape[0] == 500:  # no near-ties in this draw
        np.testing.assert_array_equal(found.astype(int), order)


@pytest.mark.parametrize("metric", SCIPY)
def test_the_order_is_right_where_float32_cannot_tell_distances_apart(metric):
    rng = np.random.default_rng(6)
    X = (1000 + rng.standard_normal((400, 64)) * 0.01).astype("f")
    index = ExactIndex.build(X, names(400), metric=metric, scale=False)
    found, _ = index.query(X[:30], 5)
    wide, queries = X.astype("d"), X[:30].astype("d")
    if metric == "cosine":  # half the squared distance of unit vectors, without cancellation
        wide, queries = (a / np.linalg.norm(a, axis=1)[:, None] for a in (wide, queries))
    truth = cdist(queries, wide, "cityblock" if metric == "l1" else "euclidean")
    order = np.argsort(truth, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found.astype(int), order)


def test_faiss_l1_agrees_with_brute_force():
    import faiss

    rng = np.random.default_rng(0)
    X, queries = rng.standard_normal((800, 320), "f"), rng.standard_normal((25, 320), "f")
    table = faiss.pairwise_distances(queries, X, faiss.METRIC_L1)
    np.testing.assert_allclose(table, cdist(queries, X, "cityblock"), rtol=1e-4)


def test_scaling_standardises_on_the_indexed_set_and_drops_constant_dimensions():
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.normal(5, 1000, 60), rng.normal(0, 0.001, 60), np.full(60, 0.1)])
    index = ExactIndex.build(X, names(60))
    queries = np.array([[5.0, 0.0, 99.0]])
    kept = X[:, :2].astype("f").astype("d")
    z = (kept - kept.mean(0)) / kept.std(0)
    zq = (queries[:, :2] - kept.mean(0)) / kept.std(0)
    found, distances = index.query(queries, 60)
    truth = np.abs(z - zq).sum(1)
    np.testing.assert_allclose(distances[0], np.sort(truth), rtol=1e-5)
    assert found[0, 0] == str(truth.argmin())


def test_rounding_noise_is_not_blown_up_to_a_dimension():
    rng = np.random.default_rng(2)
    noise = np.float32(1) + rng.integers(0, 2, 50).astype("f") * np.finfo("f").eps
    index = ExactIndex.build(np.column_stack([np.arange(50), noise]), names(50))
    assert (index.vectors[:, 1] == 0).all()


@pytest.mark.parametrize("metric", SCIPY)
def test_ties_go_to_the_row_indexed_first(metric):
    rng = np.random.default_rng(4)
    X = np.repeat(rng.standard_normal((3, 40)), 70, axis=0)
    index = ExactIndex.build(X, names(210), metric=metric, scale=False)
    found, distances = index.query(X[[100]], 5)
    assert found[0].tolist() == ["70", "71", "72", "73", "74"]
    assert (distances == 0).all()


def test_cosine_of_zero_vectors_is_one():
    index = ExactIndex.build(
        [[0, 0], [1, 0], [-1, 0]], ["z", "p", "m"], metric="cosine", scale=False
    )
    found, distances = index.query([[2, 0], [0, 0]], 3)
    assert found.tolist() == [["p", "z", "m"], ["z", "p", "m"]]
    assert distances.tolist() == [[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]


@pytest.mark.parametrize("metric", SCIPY)
def test_huge_numbers_do_not_break_the_order(metric):
    X = np.array([[3e38, 1], [-3e38, 1], [1, 3e38], [2, 2]])
    index = ExactIndex.build(X, names(4), metric=metric, scale=False)
    found, distances = index.query(X, 4)
    assert found[:, 0].tolist() == names(4)
    assert np.isfinite(distances).all()


def test_blocks_do_not_change_the_answer(monkeypatch):
    X = np.random.default_rng(5).standard_normal((90, 6))
    index = ExactIndex.build(X, names(90))
    whole = index.query(X, 8)
    monkeypatch.setattr(distance_module, "_PAIRS", 100)  # one query a block, 16 rows at a time
    blocks = index.query(X, 8)
    np.testing.assert_array_equal(whole[0], blocks[0])
    np.testing.assert_array_equal(whole[1], blocks[1])


def test_tiles_of_rows_do_not_change_the_answer(monkeypatch):
    X, queries = np.split(np.random.default_rng(5).standard_normal((150, 6)), [130])
    index = ExactIndex.build(X, names(130))
    whole = index.query(queries, 7)
    for tile in (1, 60, 6 * 64):
        monkeypatch.setattr(distance_module, "_TILE", tile)
        again = index.query(queries, 7)
        np.testing.assert_array_equal(again[0], whole[0])
        np.testing.assert_array_equal(again[1], whole[1])


def test_the_process_wide_thread_setting_is_put_back():
    import faiss

    index = ExactIndex.build(np.eye(3), names(3))
    before = faiss.omp_get_max_threads()
    index.query(np.eye(3), 1, threads=before + 1)
    assert faiss.omp_get_max_threads() == before


def test_import_is_light():
    code = (
        "import sys, segue.similarity;"
        "print(sorted({'faiss', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_facts_that_json_cannot_hold_are_refused():
    for facts in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises(UsageError, match="JSON"):
            ExactIndex.build(np.eye(2), names(2), facts=facts)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        ExactIndex.build(np.eye(4), ["é", "b", "c", "d"]).save(tmp_path / "i")
        return tmp_path / "i"

    def head(self, folder, **changes):
        path = folder / "index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def test_saving_again_leaves_one_index(self, folder):
        ExactIndex.build(np.eye(3), ["x", "y", "z"]).save(folder)
        assert ExactIndex.load(folder).ids == ("x", "y", "z")
        assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]

    def test_a_crash_before_the_head_keeps_the_former_index(self, folder, monkeypatch):
        from segue.similarity import folder as module

        real = module.write_atomically

        def crash(path, data):
            if path.name == "index.json":
                raise StoreError(wanted="to write", got="No space left on device", fix="Free space")
            return real(path, data)

        monkeypatch.setattr(module, "write_atomically", crash)
        with pytest.raises(StoreError, match="No space left"):
            ExactIndex.build(np.eye(3), ["x", "y", "z"]).save(folder)
        assert ExactIndex.load(folder).ids == ("é", "b", "c", "d")

    def test_no_folder(self, tmp_path):
        with pytest.raises(StoreError, match=r"wanted an index folder with index\.json"):
            ExactIndex.load(tmp_path / "nothing")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kind": "other"}, "kind 'other'"),
            ({"version": 2}, "version 2"),
            ({"ids": ["a"]}, "1 ids for 4 vectors"),
            ({"ids": None}, "ids"),
            ({"metric": "hamming"}, "hamming"),
            ({"vectors": {"file": "../x", "sha256": "0"}}, "file name"),
            ({"vectors": None}, "SHA-256"),
        ],
    )
    def test_a_head_that_does_not_fit(self, folder, changes, message):
        self.head(folder, **changes)
        with pytest.raises(StoreError, match=message):
            ExactIndex.load(folder)

    @pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
    def test_a_foreign_head(self, folder, text):
        (folder / "index.json").write_bytes(text.encode("latin1"))
        with pytest.raises(StoreError):
            ExactIndex.load(folder)

    def test_a_flipped_bit_in_the_vectors(self, folder):
        (path,) = folder.glob("*.safetensors")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreError, match="SHA-256"):
            ExactIndex.load(folder)

    def test_vectors_gone(self, folder):
        next(folder.glob("*.safetensors")).unlink()
        with pytest.raises(StoreError, match="No such file"):
            ExactIndex.load(folder)

    def test_other_arrays_with_the_right_digest(self, folder, tmp_path):
        import hashlib

        save_file({"vectors": np.eye(4)}, tmp_path / "x")
        data = (tmp_path / "x").read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        name = f"vectors-{digest[:12]}.safetensors"
        (folder / name).write_bytes(data)
        self.head(folder, vectors={"file": name, "sha256": digest})
        with pytest.raises(StoreError, match="arrays"):
            ExactIndex.load(folder)

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="writable"):
            ExactIndex.build(np.eye(2), names(2)).save(tmp_path / "file" / "i")
