"""Topics and factors of groups, against topics that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import planted_groups, planted_topics, vector_source
from scipy.sparse import csr_matrix
from sklearn.decomposition import LatentDirichletAllocation

from segue.errors import SegueError, UsageError
from segue.seeds import generator
from segue.targets.counting import count_vectors
from segue.targets.factors import (
    FactorSettings,
    count_bags,
    group_shares,
    learn_counted,
    learn_factors,
    shares_of_bags,
)
from segue.targets.listing import top_groups, top_words
from segue.targets.source import ArraySource, LabelSource
from segue.targets.stability import (
    Stability,
    completion_perplexity,
    learnings,
    match_topics,
    topic_stability,
)
from segue.targets.topics import learn_topics, shares_of

SMALL = FactorSettings(words=20, topics=4, passes=3)


def labels_of(words, group_of, names=None):
    labels = [[f"label {word:03d}" for word in one] for one in words]
    groups = int(group_of[-1]) + 1
    names = names or [f"group {n}" for n in range(groups)]
    return LabelSource(names, group_of, [f"track {n}" for n in range(len(words))], labels)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    table = planted_topics()
    words, group_of, shares = planted_groups(table)
    source = labels_of(words, group_of)
    # twice as many topics as there are: which optimum is found then hardly depends on the seed
    settings = FactorSettings(topics=12, passes=10)
    model = learn_factors(source, settings, work=tmp_path_factory.mktemp("planted"))
    return table, shares, source, model


def cosines_of(first, second):
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (first, second)]
    return unit[0] @ unit[1].T


def check_planted(table, shares, model, found):
    cosines = cosines_of(table, model.topic_words())
    assert cosines.max(axis=1).min() > 0.98
    joined = found.shares @ (cosines.argmax(axis=0)[:, None] == np.arange(len(table)))
    assert np.abs(joined - shares).sum(axis=1).mean() < 0.15


def test_planted_topics_and_shares_are_found_again(planted, tmp_path):
    table, shares, source, model = planted
    assert model.vocabulary == tuple(f"label {word:03d}" for word in range(60))
    found = group_shares(model, source, work=tmp_path)
    check_planted(table, shares, model, found)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1.0, atol=1e-5)
    assert (found.words == 180).all()
    assert (found.tracks == 3).all()
    assert not model.notes


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_topics_are_found_with_other_seeds(planted, tmp_path, seed):
    table, shares, source, _ = planted
    model = learn_factors(source, FactorSettings(topics=12, seed=seed), work=tmp_path)
    check_planted(table, shares, model, group_shares(model, source, work=tmp_path))


def test_counts_as_large_as_those_of_frames_find_the_same_topics(tmp_path):
    table = planted_topics()
    words, group_of, shares = planted_groups(table, groups=120, per_track=1300)
    source = labels_of(words, group_of)
    model = learn_factors(source, FactorSettings(topics=12), work=tmp_path)
    check_planted(table, shares, model, group_shares(model, source, work=tmp_path))


def test_the_shares_of_a_group_never_heard_are_those_scikit_learn_infers(tmp_path):
    learned, other = vector_source(), vector_source(tracks=9, groups=3, seed=5)
    other.group_of = np.repeat(np.arange(3), 3)
    model = learn_factors(learned, SMALL, work=tmp_path)
    components = model.components.copy()
    found = group_shares(model, other, work=tmp_path)
    counts = count_vectors(model.dictionary, other, tmp_path / "own").rows([0, 1, 2])
    theirs = LatentDirichletAllocation(4, learning_method="online", random_state=3)
    theirs.partial_fit(csr_matrix(counts))
    theirs.components_ = components
    from sklearn.decomposition._lda import _dirichlet_expectation_2d

    theirs.exp_dirichlet_component_ = np.exp(_dirichlet_expectation_2d(components))
    np.testing.assert_allclose(found.shares, theirs.transform(csr_matrix(counts)), atol=1e-6)
    np.testing.assert_array_equal(model.components, components)
    np.testing.assert_array_equal(group_shares(model, other, work=tmp_path).shares, found.shares)


def test_a_groups_shares_depend_on_its_own_tracks_alone_in_any_order(tmp_path):
    source = vector_source()
    model = learn_factors(source, SMALL, work=tmp_path)
    together = group_shares(model, source, work=tmp_path)
    for group in (0, 5, 11):
        tracks = np.flatnonzero(source.group_of == group)[::-1]
        alone = ArraySource(
            ["it"], np.zeros(len(tracks), int), [source.arrays[n][::-1] for n in tracks]
        )
        found = group_shares(model, alone, work=tmp_path)
        np.testing.assert_array_equal(found.shares[0], together.shares[group])


def test_a_seed_gives_the_same_bits_and_another_gives_others(tmp_path):
    models = [
        learn_factors(
            vector_source(), FactorSettings(words=20, topics=4, passes=2, seed=s), work=tmp_path
        )
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(models[0].components, models[1].components)
    np.testing.assert_array_equal(models[0].dictionary.centres, models[1].dictionary.centres)
    assert not np.array_equal(models[0].components, models[2].components)


def test_groups_of_one_track_have_shares_and_groups_of_no_words_have_none(tmp_path, caplog):
    source = vector_source(tracks=12, groups=12)
    source.group_of = np.arange(12)
    source.arrays[4] = source.arrays[4][:0]
    source.names = [*source.names, "no tracks"]
    model = learn_factors(source, SMALL, work=tmp_path)
    found = group_shares(model, source, work=tmp_path)
    assert found.empty == ("artist 4", "no tracks")
    assert np.isnan(found.shares[[4, 12]]).all()
    assert np.isfinite(np.delete(found.shares, [4, 12], axis=0)).all()
    assert found.known.tolist() == [n not in (4, 12) for n in range(13)]
    assert found.tracks.tolist() == [1] * 12 + [0]
    assert model.facts["empty_groups"] == 2
    assert "2 of 13 groups have no words: no distribution." in model.notes
    assert "2 of 13 groups" in caplog.text


def test_more_topics_than_groups_or_words_are_told(tmp_path):
    source = LabelSource(["a", "b"], [0, 1], "xy", [("pop",), ("rock",)])
    model = learn_factors(source, FactorSettings(topics=40), work=tmp_path)
    assert any("40 topics for 2 groups" in note for note in model.notes)
    assert any("40 topics over 2 words" in note for note in model.notes)
    shares = group_shares(model, source, work=tmp_path).shares
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-5)


def test_labels_a_model_does_not_know_are_counted_and_left_out(planted, tmp_path):
    *_, model = planted
    source = LabelSource(["a", "b"], [0, 1], "xy", [("label 003", "polka"), ("polka",)])
    found = group_shares(model, source, work=tmp_path)
    assert (found.unknown, found.empty, found.words.tolist()) == (2, ("b",), [1, 0])


@pytest.mark.parametrize(
    ("names", "labels", "got"),
    [
        (["a", "b"], [("pop",), ("pop",)], "1"),
        (["a", "b"], [("pop", "rock"), ()], "1 of 2"),
        (["a", "b"], [("pop\n", "rock"), ()], "control"),
    ],
)
def test_too_little_to_learn_from_is_refused(tmp_path, names, labels, got):
    with pytest.raises(UsageError, match=got):
        learn_factors(LabelSource(names, [0, 1], "xy", labels), SMALL, work=tmp_path)


def test_vectors_of_another_width_or_labels_are_refused(planted, tmp_path):
    model = learn_factors(vector_source(), SMALL, work=tmp_path)
    with pytest.raises(SegueError, match=r"wanted vectors \(t, 5\)"):
        group_shares(model, vector_source(width=4), work=tmp_path)
    with pytest.raises(UsageError, match="wanted tracks with vectors"):
        group_shares(model, planted[2], work=tmp_path)
    with pytest.raises(UsageError, match="wanted tracks with labels"):
        group_shares(planted[3], vector_source(), work=tmp_path)


@pytest.mark.parametrize("when", ["words of tracks", "topics", "shares of groups"])
def test_an_interrupt_leaves_no_bags_and_the_next_run_is_right(tmp_path, when):
    source = vector_source()
    right = group_shares(learn_factors(source, SMALL, work=tmp_path), source, work=tmp_path)

    def stop(what, done, total):
        if what == when:
            raise KeyboardInterrupt

    def run(watch):
        model = learn_factors(source, SMALL, work=tmp_path, watch=watch)
        return group_shares(model, source, work=tmp_path, watch=watch)

    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / "bags").mkdir()
    (tmp_path / "bags" / "words.u16").write_bytes(b"what a killed run left")
    np.testing.assert_array_equal(run(None).shares, right.shares)


def test_every_stage_tells_how_far_it_is(tmp_path):
    told = {}

    def watch(what, done, total):
        assert told.get(what, (0, total))[0] < done <= total
        told[what] = done, total

    source = vector_source()
    group_shares(learn_factors(source, SMALL, work=tmp_path, watch=watch), source, work=tmp_path)
    assert list(told) == [
        "vectors for the dictionary",
        "words of the dictionary",
        "words of tracks",
        "topics",
    ]
    assert all(done == total for done, total in told.values())


def test_top_words_and_groups_are_the_largest(planted, tmp_path):
    _, _, source, model = planted
    found = group_shares(model, source, work=tmp_path)
    probable = model.topic_words()
    for topic, words in enumerate(top_words(model, k=5)):
        expected = np.sort(probable[topic])[::-1][:5]
        np.testing.assert_allclose([word.probability for word in words], expected)
        assert words[0].name == model.vocabulary[probable[topic].argmax()]
        overall = model.components.sum(axis=0) / model.components.sum()
        ratios = [word.probability / overall[int(word.name[-3:])] for word in words]
        np.testing.assert_allclose([word.ratio for word in words], ratios)
    for topic, groups in enumerate(top_groups(found, k=3)):
        expected = np.sort(found.shares[:, topic])[::-1][:3]
        np.testing.assert_allclose([group.share for group in groups], expected)
        assert groups[0].name == f"group {found.shares[:, topic].argmax()}"


def test_topics_are_matched_as_a_search_over_all_orders_would():
    from itertools import permutations

    first, second = generator(0).random((2, 5, 12))
    order, similarity = match_topics(first, second)
    cosines = cosines_of(first, second)
    best = max(sum(cosines[n, p[n]] for n in range(5)) for p in permutations(range(5)))
    assert similarity.sum() == pytest.approx(best)
    assert sorted(order.tolist()) == list(range(5))


def test_stability_tells_groups_that_are_there_from_tracks_dealt_out_anew(tmp_path):
    table = planted_topics(topics=5, words=50)
    words, group_of, _ = planted_groups(table, groups=150, tracks=6, per_track=5)
    source = labels_of(words, group_of)
    model = learn_factors(source, FactorSettings(topics=10, passes=5), work=tmp_path)
    few, right = topic_stability(model, source, topics=(2, 10), seeds=3, work=tmp_path)
    assert (right.topics, right.seeds, len(right.dealt_similarity)) == (10, 3, 5)
    assert (few.topics, few.seeds, len(few.dealt_similarity)) == (2, 2, 1)
    assert right.similarity > 0.8 > max(right.dealt_similarity) + 0.1
    assert right.shown
    assert not few.shown  # of one deal nothing is claimed
    assert right.chance_similarity < 0.4
    assert right.perplexity < few.perplexity < right.unigram_perplexity
    assert right.perplexity < min(right.dealt_perplexity)
    assert not list(tmp_path.iterdir())


def noise(seed, groups=60, words=100, each=40):
    """One track a group, of words that are drawn alike for all."""
    draws = generator(seed, "noise")
    chances = 1 / np.arange(1, words + 1)
    drawn = draws.choice(words, (groups, each), p=chances / chances.sum())
    return labels_of(drawn.tolist(), np.arange(groups))


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_shown_of_noise(tmp_path, seed):
    """Dealing tracks anew changes nothing here: groups as they are, are one more deal."""
    source = noise(seed)
    model = learn_factors(source, FactorSettings(topics=6, passes=3, seed=seed), work=tmp_path)
    (found,) = topic_stability(model, source, topics=(6,), work=tmp_path)
    assert len(found.dealt_similarity) == 5
    assert not found.shown
    # nor do topics foretell what frequencies alone do not
    assert found.perplexity > 0.9 * found.unigram_perplexity


def test_only_what_is_better_than_all_of_several_deals_in_both_ways_is_shown():
    line = Stability(topics=2, seeds=2, perplexity=9.0, dealt_perplexity=(10.0, 9.5),
                     unigram_perplexity=20.0, similarity=0.7, dealt_similarity=(0.4, 0.6),
                     chance_similarity=0.1)  # fmt: skip
    assert (line.above, line.shown) == (True, True)
    low = replace(line, similarity=0.6)
    assert (low.above, low.shown) == (False, False)
    for perplexity, dealt in ((9.7, (10.0, 9.5)), (None, ()), (9.0, (9.5,)), (9.5, (9.5, 9.5))):
        other = replace(line, perplexity=perplexity, dealt_perplexity=dealt)
        assert (other.above, other.shown) == (True, False)
    one = replace(line, dealt_similarity=(0.4,), dealt_perplexity=(9.5,))
    assert (one.above, one.shown) == (False, False)


def test_guessing_without_topics_supposes_as_many_words_as_topics_do(tmp_path):
    """With one word supposed in all, instead of 1 / topics of each, 97 of 1000 are foretold."""
    source = noise(0, groups=80, words=1000, each=20)
    model = learn_factors(source, FactorSettings(topics=2, passes=1), work=tmp_path)
    (found,) = topic_stability(model, source, topics=(2,), seeds=2, deals=1, work=tmp_path)
    bags, _ = count_bags(model, source, tmp_path / "own")
    order = generator(0, "stability", "held out").permutation(bags.filled)
    train, held = np.sort(order[16:]), np.sort(order[:16])
    counted = bags.rows(train).sum(axis=0)
    expected = completion_perplexity((counted + 1 / 2)[None], bags, held, 0)
    assert found.unigram_perplexity == pytest.approx(expected)
    # what one topic with the prior of these would say of a new word
    assert found.perplexity > 0.9 * found.unigram_perplexity


def test_groups_of_one_word_have_no_perplexity(tmp_path):
    labels = [[f"label {n % 5}"] for n in range(30)]
    names = [f"group {n}" for n in range(30)]
    source = LabelSource(names, np.arange(30), names, labels)
    model = learn_factors(source, SMALL, work=tmp_path)
    for line in topic_stability(model, source, topics=(2, 4), work=tmp_path):
        assert line.perplexity is line.unigram_perplexity is None
        assert line.dealt_perplexity == ()
        assert np.isfinite([line.similarity, *line.dealt_similarity]).all()


def test_vectors_are_made_words_of_once_for_all_deals(tmp_path):
    source = vector_source(tracks=200, groups=60)
    model = learn_factors(source, SMALL, work=tmp_path)
    told = []
    topic_stability(
        model, source, topics=(2, 4), work=tmp_path, watch=lambda *one: told.append(one)
    )
    assert [one for one in told if one[0] == "words of tracks"] == [("words of tracks", 200, 200)]
    learned = sum(done == total for what, done, total in told if what == "topics")
    assert learned == learnings(4, (2, 4), seeds=3) == 22


def test_what_no_folder_could_hold_is_refused_before_it_is_learned(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("segue.targets.settings.MOST_BYTES", 8 * 2**20 + 8 * 4 * 20)
    with pytest.raises(UsageError, match="4 topics over 20 words of 5 numbers: 1040 bytes"):
        learn_factors(vector_source(), SMALL, work=tmp_path, watch=lambda *one: told.append(one[0]))
    assert set(told) == {"vectors for the dictionary"}
    many = LabelSource(["a", "b"], [0, 1], "xy", [[f"l{n}" for n in range(21)], ["l0"]])
    with pytest.raises(UsageError, match="4 topics over 21 words: 672 bytes"):
        learn_factors(many, SMALL, work=tmp_path)
    monkeypatch.setattr("segue.targets.factors.MOST_TEXT", 10)
    with pytest.raises(UsageError, match="labels of 10 bytes together"):
        learn_factors(many, SMALL, work=tmp_path)
    assert not list(tmp_path.iterdir())


def test_shares_of_counted_bags_are_those_of_the_source(tmp_path):
    source = vector_source()
    model, bags = learn_counted(source, SMALL, folder=tmp_path / "kept")
    np.testing.assert_array_equal(
        model.components, learn_factors(source, SMALL, work=tmp_path).components
    )
    found = shares_of_bags(model, source, bags)
    expected = group_shares(model, source, work=tmp_path)
    np.testing.assert_array_equal(found.shares, expected.shares)
    np.testing.assert_array_equal(found.words, expected.words)
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


def test_stability_uses_no_more_groups_than_asked(tmp_path):
    source = vector_source(tracks=200, groups=60)
    model = learn_factors(source, SMALL, work=tmp_path)
    told = []
    topic_stability(
        model,
        source,
        topics=(2,),
        seeds=2,
        groups=20,
        work=tmp_path,
        watch=lambda what, done, total: told.append((what, total)),
    )
    tracks = {total for what, total in told if what == "words of tracks"}
    assert len(tracks) == 1
    assert tracks.pop() < 120
    with pytest.raises(UsageError):
        topic_stability(model, source, seeds=1, work=tmp_path)
    with pytest.raises(UsageError, match="at least ten groups"):
        topic_stability(model, vector_source(tracks=30, groups=6), work=tmp_path)


def test_perplexity_of_words_that_are_all_as_likely_is_their_number(tmp_path):
    source = vector_source()
    model = learn_factors(source, SMALL, work=tmp_path)
    bags = count_vectors(model.dictionary, source, tmp_path)
    flat = np.full((3, bags.vocabulary), 7.0)
    assert completion_perplexity(flat, bags, bags.filled, 0) == pytest.approx(bags.vocabulary)


def test_topics_are_learned_from_the_groups_asked_for(tmp_path):
    source = vector_source(tracks=60, groups=20)
    model = learn_factors(source, SMALL, work=tmp_path)
    bags = count_vectors(model.dictionary, source, tmp_path)
    some = learn_topics(bags, SMALL, groups=[3, 4, 9, 10])
    counts = bags.rows([3, 4, 9, 10])
    seen = counts.sum(axis=0) > 0
    overall = some.sum(axis=0) / some.sum()
    assert 0 < seen.sum() < len(seen)
    assert overall[~seen].sum() < 0.05
    assert shares_of(some, counts).shape == (4, 4)
