"""Words of vectors and bags of words, against counts made by other means."""

from __future__ import annotations

import numpy as np
import pytest
from planted import blobs, vector_source
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer

from segue.errors import SegueError, StoreError, UsageError
from segue.seeds import generator
from segue.targets.bags import BagWriter, regrouped
from segue.targets.counting import count_labels, count_vectors
from segue.targets.settings import FactorSettings
from segue.targets.source import ArraySource, LabelSource, check_grouped
from segue.targets.words import Dictionary, draw_vectors, learn_dictionary


def one_track(vectors):
    return ArraySource(["all"], [0], [vectors])


def random_dictionary(words=30, width=5):
    centres = generator(1).normal(0, 10, (words, width)).astype(np.float32)
    return Dictionary(
        centres=centres, shift=np.zeros(width, np.float32), scale=np.ones(width, np.float32)
    )


def test_separated_blobs_become_one_word_each_and_are_counted_exactly(tmp_path):
    vectors, label = blobs(count=8, each=50)
    source = ArraySource(["a", "b"], [0, 1], [vectors[:170], vectors[170:]])
    learned = learn_dictionary(source, FactorSettings(words=8))
    bags = count_vectors(learned.dictionary, source, tmp_path)
    counts = bags.rows([0, 1]).toarray()
    expected = np.array([np.bincount(label[:170], minlength=8), np.bincount(label[170:])])
    word_of = [learned.dictionary.words(vectors[label == n])[0] for n in range(8)]
    assert sorted(word_of) == list(range(8))
    np.testing.assert_array_equal(counts[:, word_of], expected)
    assert learned.notes == ()
    assert (learned.drawn, learned.unused) == (400, 0)


def test_a_word_is_the_nearest_centre_of_a_literal_search():
    dictionary = random_dictionary()
    vectors = generator(2).normal(0, 10, (1000, 5)).astype(np.float32)
    distances = ((vectors[:, None, :].astype(float) - dictionary.centres) ** 2).sum(axis=2)
    np.testing.assert_array_equal(dictionary.words(vectors), distances.argmin(axis=1))


@pytest.mark.parametrize("width", [1, 25, 700])
def test_the_word_of_a_vector_depends_on_that_vector_alone(width):
    centres = generator(1).normal(0, 1, (90, width)).astype(np.float32)
    dictionary = Dictionary(
        centres=centres, shift=np.zeros(width, np.float32), scale=np.ones(width, np.float32)
    )
    # half way between two centres: the least change of rounding would show
    pairs = generator(2).integers(0, 90, (600, 2))
    vectors = ((centres[pairs[:, 0]] + centres[pairs[:, 1]]) / 2).astype(np.float32)
    together = dictionary.words(vectors)
    order = generator(3).permutation(600)
    np.testing.assert_array_equal(dictionary.words(vectors[order]), together[order])
    alone = [dictionary.words(vectors[n : n + 1])[0] for n in range(600)]
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(("rows", "count"), [(1, 40), (7, 40), (64, 200), (32768, 200)])
def test_bags_are_a_naive_count_however_tracks_are_cut_in_blocks(
    tmp_path, monkeypatch, rows, count
):
    monkeypatch.setattr("segue.targets.counting.BLOCK_VECTORS", rows)
    source = vector_source(tracks=count, groups=30)
    source.arrays[3] = source.arrays[3][:0]
    dictionary = random_dictionary()
    expected = np.zeros((30, 30))
    for group, vectors in zip(source.group_of, source.arrays, strict=True):
        for vector in vectors:
            nearest = ((dictionary.centres - vector) ** 2).sum(axis=1).argmin()
            expected[group, nearest] += 1
    told = []
    bags = count_vectors(
        dictionary, source, tmp_path / "bags", watch=lambda *words: told.append(words)
    )
    np.testing.assert_array_equal(bags.rows(range(30)).toarray(), expected)
    np.testing.assert_array_equal(bags.totals, expected.sum(axis=1))
    assert told[-1] == ("words of tracks", count, count)
    shuffled = generator(0).permutation(30)
    np.testing.assert_array_equal(bags.rows(shuffled).toarray(), expected[shuffled])


def test_a_writer_joins_what_comes_of_a_group_in_parts(tmp_path):
    writer = BagWriter(tmp_path, groups=5, vocabulary=3)
    for groups, words in [
        ([1, 1], [2, 0]),
        ([1], [2]),
        ([1, 2, 4], [1, 1, 0]),
        ([], []),
        ([4], [0]),
    ]:
        writer.add(np.array(groups, np.int64), np.array(words, np.int64))
    expected = [[0, 0, 0], [1, 1, 2], [0, 1, 0], [0, 0, 0], [2, 0, 0]]
    bags = writer.close()
    assert bags.rows(range(5)).toarray().tolist() == expected
    assert bags.filled.tolist() == [1, 2, 4]


def test_tracks_dealt_to_groups_are_counted_as_if_they_stood_there(tmp_path, monkeypatch):
    monkeypatch.setattr("segue.targets.bags.AT_ONCE", 3)
    dictionary, source = random_dictionary(), vector_source(tracks=40, groups=9)
    source.arrays[3] = source.arrays[3][:0]
    order = generator(1).permutation(40)
    alone = ArraySource([str(n) for n in range(40)], np.arange(40), source.arrays)
    tracks = count_vectors(dictionary, alone, tmp_path / "tracks")
    found = regrouped(tracks, source.group_of, order, tmp_path / "groups")
    dealt = ArraySource(source.names, source.group_of, [source.arrays[n] for n in order])
    expected = count_vectors(dictionary, dealt, tmp_path / "dealt")
    np.testing.assert_array_equal(found.totals, expected.totals)
    np.testing.assert_array_equal(found.rows(range(9)).toarray(), expected.rows(range(9)).toarray())


def test_bags_that_were_cut_short_are_not_read(tmp_path):
    bags = count_vectors(random_dictionary(), vector_source(), tmp_path)
    file = tmp_path / "counts.u32"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(StoreError, match="shorter files"):
        bags.rows(range(len(bags)))


def test_labels_are_counted_and_unknown_ones_told(tmp_path):
    source = LabelSource(["a", "b"], [0, 0, 1], "xyz", [("pop", "rock"), ("pop",), ("polka",)])
    bags, unknown = count_labels({"rock": 0, "pop": 1}, source, tmp_path)
    assert bags.rows([0, 1]).toarray().tolist() == [[1, 2], [0, 0]]
    assert unknown == 1


@pytest.mark.parametrize(
    ("vectors", "asked", "words", "why"),
    [
        (900, 2048, 90, "900 vectors were drawn, and a word takes 10"),
        (15, 2048, 2, "15 vectors were drawn, and a word takes 10"),
        (1000, 100, 100, None),
    ],
)
def test_fewer_vectors_than_words_make_fewer_words_and_say_so(vectors, asked, words, why, caplog):
    source = one_track(generator(0).standard_normal((vectors, 3)))
    learned = learn_dictionary(source, FactorSettings(words=asked))
    assert len(learned.dictionary) == words
    if why is None:
        assert not learned.notes
        assert not caplog.records
    else:
        assert learned.notes == (f"{words} words instead of {asked}: {why}.",)
        assert learned.notes[0] in caplog.text


def test_no_more_words_than_different_vectors():
    source = one_track(np.repeat(generator(0).standard_normal((5, 3)), 100, axis=0))
    learned = learn_dictionary(source, FactorSettings(words=20))
    assert len(learned.dictionary) == 5
    assert "5 different vectors among the 500 drawn" in learned.notes[0]
    assert learned.unused == 0


@pytest.mark.parametrize("vectors", [np.ones((50, 3)), np.empty((0, 3)), np.empty((5, 0))])
def test_nothing_to_tell_apart_is_refused(vectors):
    with pytest.raises(UsageError):
        learn_dictionary(one_track(vectors), FactorSettings())


def test_the_same_seed_gives_the_same_words_whatever_the_threads():
    from threadpoolctl import threadpool_limits

    source = vector_source(tracks=60, width=7)
    found = []
    for threads, seed in [(1, 0), (2, 0), (1, 1)]:
        with threadpool_limits(threads):
            found.append(learn_dictionary(source, FactorSettings(words=40, seed=seed)).dictionary)
    np.testing.assert_array_equal(found[0].centres, found[1].centres)
    assert not np.array_equal(found[0].centres, found[2].centres)


def test_vectors_are_drawn_evenly_over_tracks_and_capped():
    tracks = [np.full((n, 2), number, np.float32) for number, n in enumerate([500, 500, 3, 0])]
    source = ArraySource(["all"], [0] * 4, tracks)
    drawn = draw_vectors(source, FactorSettings(vectors=40))
    assert np.bincount(drawn[:, 0].astype(int)).tolist() == [10, 10, 3]
    many = ArraySource(["all"], [0] * 100, [np.full((2, 1), n) for n in range(100)])
    assert len(np.unique(draw_vectors(many, FactorSettings(vectors=40)))) == 40


def test_the_sample_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("segue.targets.words.SAMPLE_BYTES", 4000)
    source = ArraySource(["all"], [0, 0], [np.ones((500, 10)), np.ones((500, 10))])
    assert draw_vectors(source, FactorSettings()).shape == (100, 10)


def test_standard_units_and_ranks_are_those_of_numpy_and_scikit_learn():
    vectors = generator(0).gamma(1.0, 3.0, (500, 4)).astype(np.float32)
    vectors[:, 2] = 7.0
    standard = learn_dictionary(
        one_track(vectors), FactorSettings(words=4, normalise="standard")
    ).dictionary
    plain = vectors.astype(np.float64)
    deviation = np.where(plain.std(0) > 0, plain.std(0), 1)
    expected = (plain - plain.mean(0)) / deviation
    np.testing.assert_allclose(standard.normalised(vectors), expected, atol=1e-5)
    vectors, plain = np.delete(vectors, 2, axis=1), np.delete(plain, 2, axis=1)
    ranked = learn_dictionary(
        one_track(vectors), FactorSettings(words=4, normalise="quantile")
    ).dictionary
    expected = QuantileTransformer(n_quantiles=500, output_distribution="normal").fit_transform(
        plain
    )
    most = norm.ppf(1 - 1 / 1000)  # of 500 vectors
    found = ranked.normalised(vectors)
    np.testing.assert_allclose(found, expected.clip(-most, most), atol=1e-3)
    assert (np.abs(found).max(axis=0) > most - 1e-3).all()
    assert np.abs(ranked.normalised(1e9 * vectors)).max() < most + 1e-3


def test_values_tied_at_the_least_do_not_decide_distances_and_constant_ones_are_0():
    vectors = generator(0).gamma(1.0, 3.0, (500, 4)).astype(np.float32)
    vectors[::5, 1] = 0.0
    vectors[:, 2] = 7.0
    ranked = learn_dictionary(one_track(vectors), FactorSettings(words=4, normalise="quantile"))
    other = vectors.copy()
    other[:9, 2] = [6.0, np.nextafter(np.float32(7), np.float32(8)), *range(7)]
    for some in (vectors, other):
        found = ranked.dictionary.normalised(some)
        assert (found[:, 2] == 0).all()
        assert np.abs(found).max() < 3.1
    far = np.square(found[:, 1])[::5].sum() / np.square(found[:, 1]).sum()
    assert far < 0.8  # of a fifth of the vectors; 0.9 where they are sent to -5.2


def test_distances_are_kept_when_nothing_is_normalised():
    vectors = generator(0).normal(500.0, 3.0, (100, 4)).astype(np.float32)
    dictionary = learn_dictionary(one_track(vectors), FactorSettings(words=4)).dictionary
    moved = dictionary.normalised(vectors)
    np.testing.assert_allclose(moved[0] - moved[1], vectors[0] - vectors[1], atol=1e-4)


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        (np.full((3, 5), np.nan), "15 numbers that are not"),
        (np.full((3, 5), np.inf), "15 numbers that are not"),
        (np.ones((3, 4)), r"shape \(3, 4\)"),
        (np.ones(5), r"shape \(5,\)"),
    ],
)
def test_vectors_that_cannot_be_used_name_their_track(tmp_path, bad, got):
    source = vector_source()
    source.arrays[7] = bad
    source.tracks = [f"track {n}" for n in range(40)]
    with pytest.raises(SegueError, match=f"track 7: .*{got}"):
        learn_dictionary(source, FactorSettings())
    with pytest.raises(SegueError, match=f"track 7: .*{got}"):
        count_vectors(random_dictionary(), source, tmp_path)


@pytest.mark.parametrize(
    ("names", "group_of", "got"),
    [
        ("abc", [0, 2, 1], "group 1 after group 2"),
        ("abc", [0, 1], "2 groups of 3 tracks"),
        ("abc", [0, 1, 3], "group 0 to 3 of 3"),
        ("abc", [-1, 1, 2], "group -1 to 2"),
        ("aba", [0, 1, 2], "two groups named 'a'"),
        (["a", "b", "c\x1b[2J"], [0, 1, 2], "control characters"),
        (["a", "b", 3], [0, 1, 2], "int"),
    ],
)
def test_sources_that_are_not_sorted_by_named_groups_are_refused(names, group_of, got):
    source = ArraySource(names, group_of, [np.ones((1, 2))] * 3, ["x", "y", "z"])
    with pytest.raises(UsageError, match=got):
        check_grouped(source)


@pytest.mark.parametrize(
    "bad", [{"words": 1}, {"topics": 2.0}, {"passes": 0}, {"normalise": "z"}, {"words": 10**6}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(UsageError):
        FactorSettings(**bad)
