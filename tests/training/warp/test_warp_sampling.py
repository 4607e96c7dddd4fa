"""The walk through negatives: the paper's, whatever the vocabulary, in distribution and in cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import literal
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from segue.errors import UsageError
from segue.training.warp import sampling
from segue.training.warp.sampling import Found, LabelSet, Picked, Sampler

BATCH = 50


def walk(
    scores: Sequence[float],
    positive: int,
    carried: Sequence[int],
    draws: np.random.Generator,
    sampler: Sampler,
) -> Found:
    """One batch of examples that all have these scores and labels."""
    W = np.asarray(scores, np.float32)[:, None]
    own = Picked(
        np.full(BATCH, positive),
        np.repeat(np.arange(BATCH), len(carried)),
        np.tile(np.asarray(carried, dtype=np.int64), BATCH),
    )
    bar = np.full(BATCH, scores[positive] - 1.0, np.float32)
    return sampler.find(W.__getitem__, np.ones((BATCH, 1), np.float32), bar, own, draws)


def vocabulary(size: int, violators: int, carried: int) -> tuple[list[float], list[int], list[int]]:
    """Scores of which so many violate the margin of the first label; carried ones score high."""
    labels = np.random.default_rng(size + violators).permutation(size).tolist()
    own, bad = labels[:carried], labels[carried : carried + violators]
    scores = [1.0 if i in own else 0.5 if i in bad else -0.5 for i in range(size)]
    return scores, own, bad


def tries_law(negatives: int, violators: int) -> NDArray[np.float64]:
    """P(N = 1), P(N = 2), ... of the place of the first violator in a random order."""
    ways = math.comb(negatives, violators)
    places = range(1, negatives - violators + 2)
    return np.array([math.comb(negatives - n, violators - 1) / ways for n in places])


def pooled(seen: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """p value of a chi-square test, cells pooled until ten are expected in each."""
    cells, sums = [], np.zeros(2)
    for pair in zip(seen, expected, strict=True):
        sums += pair
        if sums[1] >= 10:
            cells.append(sums)
            sums = np.zeros(2)
    cells[-1] = cells[-1] + sums
    table = np.array(cells)
    if len(table) == 1:
        return float(np.isclose(*table[0]))
    return float(stats.chisquare(table[:, 0], table[:, 1]).pvalue)


CASES = [
    *((12, v, 1) for v in (1, 2, 5, 11)),
    *((12, v, 4) for v in (1, 3, 8)),
    *((60, v, 1) for v in (1, 3, 20)),
    *((60, v, 9) for v in (2, 30)),
]


@pytest.mark.parametrize("whole", [True, False], ids=["one block", "blocks spilling over"])
@pytest.mark.parametrize(("size", "violators", "carried"), CASES)
def test_the_number_of_tries_has_the_law_of_the_walk(
    size: int, violators: int, carried: int, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so have the ranks, which are a function of it; every violator is as likely."""
    if not whole:
        monkeypatch.setattr(sampling, "WHOLE", 4)
        monkeypatch.setattr(sampling, "FIRST", 5)
        monkeypatch.setattr(sampling, "GROWTH", 2)
    scores, own, bad = vocabulary(size, violators, carried)
    draws, sampler = np.random.default_rng(7), Sampler(size)
    found = [walk(scores, own[0], own, draws, sampler) for _ in range(600)]
    # one example of each batch: those of one batch share the block they walk through
    for example in (0, BATCH // 2, BATCH - 1):
        tries = np.array([one.tries[example] for one in found])
        law = tries_law(size - carried, violators)
        assert pooled(np.bincount(tries, minlength=len(law) + 1)[1:], 600 * law) > 1e-3
        chosen = np.array([one.negatives[example] for one in found])
        assert set(chosen.tolist()) <= set(bad)
        counts = np.bincount(chosen, minlength=size)[bad]
        assert pooled(counts, np.full(violators, 600 / violators)) > 1e-3
    every = np.concatenate([one.tries for one in found])
    assert all(((size - 1) // one.tries == one.ranks).all() for one in found)
    mean = (size - carried + 1) / (violators + 1)
    per_batch = np.array([one.tries.mean() for one in found])
    assert abs(every.mean() - mean) <= 4 * per_batch.std() / math.sqrt(600) + 1e-9


@pytest.mark.parametrize(("size", "violators", "carried"), [(12, 3, 1), (12, 3, 4), (60, 5, 9)])
def test_the_literal_procedure_has_the_same_tries_and_ranks(
    size: int, violators: int, carried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "WHOLE", 4)
    monkeypatch.setattr(sampling, "FIRST", 5)
    scores, own, _ = vocabulary(size, violators, carried)
    model = literal.Model(V=[[1.0]], W=[[score] for score in scores])
    random = np.random.default_rng(5)
    slow = [literal.draw(model, [1.0], own, random) for _ in range(3000)]
    draws, sampler = np.random.default_rng(8), Sampler(size)
    fast = [walk(scores, own[0], own, draws, sampler) for _ in range(3000)]
    ranks = np.array([one.ranks[11] for one in fast]), np.array([one.rank for one in slow])
    table = np.array([np.bincount(one, minlength=size) for one in ranks])
    table = table[:, table.sum(axis=0) >= 20]
    assert stats.chi2_contingency(table).pvalue > 1e-3
    tries = [one.tries[11] for one in fast], [one.tries for one in slow]
    assert stats.ks_2samp(*tries).pvalue > 1e-3


def test_examples_of_one_batch_with_their_own_scores_and_labels() -> None:
    """Many labels, over several blocks: each walk finds only what it may, and counts right."""
    size, draws = 3000, np.random.default_rng(0)
    carried = [draws.choice(size, draws.integers(1, 400), replace=False) for _ in range(BATCH)]
    labels = LabelSet.of([one.tolist() for one in carried], size=size)
    picked = labels.pick(np.arange(BATCH), draws)
    W = draws.standard_normal((size, 5)).astype(np.float32)
    Z = draws.standard_normal((BATCH, 5)).astype(np.float32)
    scores, bars = Z @ W.T, np.zeros(BATCH, np.float32)
    for example, one in enumerate(carried):
        # few violators each, so that walks are long, and in some none at all
        others = np.sort(np.delete(scores[example], one))[::-1]
        few = example % 5
        bars[example] = others[few - 1 : few + 1].mean() if few else others[0] + 0.1
    sampler, tries = Sampler(size), []
    for _ in range(40):
        found = sampler.find(W.__getitem__, Z, bars, picked, draws)
        exact = Sampler(size, exact=True).find(W.__getitem__, Z, bars, picked, draws)
        for example, one in enumerate(carried):
            negative, truth = int(found.negatives[example]), Z[example] @ W.T
            bad = np.setdiff1d(np.flatnonzero(truth > bars[example]), one)
            assert len(bad) == example % 5 == exact.ranks[example]
            assert negative in bad if len(bad) else negative == -1
            assert 1 <= found.tries[example] <= size - len(one)
            if negative < 0:
                assert found.ranks[example] == 0
                assert found.tries[example] == size - len(one)
            else:
                assert found.scores[example] == pytest.approx(truth[negative], abs=1e-4)
        tries.append(found.tries[4])
    assert (sampler._place == -1).all()
    assert np.mean(tries) == pytest.approx((size - len(carried[4]) + 1) / 5, rel=0.5)


@pytest.mark.parametrize(("size", "carried"), [(12, 1), (40, 1), (40, 6)])
def test_the_exact_rank_is_what_the_sampled_walk_tells_on_average(size: int, carried: int) -> None:
    """mean(N) = (n + 1) / (v + 1), so that the exact rank v is (n + 1) / mean(N) - 1; and the
    mean of the sampled weight L(r) is that of the law of N, which lies a little above L(v)."""
    for violators in (1, 2, 5, size - carried):
        scores, own, _ = vocabulary(size, violators, carried)
        draws, negatives = np.random.default_rng(violators), size - carried
        exact = walk(scores, own[0], own, draws, Sampler(size, exact=True))
        assert (exact.ranks == violators).all()
        sampler = Sampler(size)
        found = [walk(scores, own[0], own, draws, sampler) for _ in range(2000)]
        mean = float(np.mean([one.tries for one in found]))
        assert (negatives + 1) / mean - 1 == pytest.approx(violators, rel=0.05, abs=0.05)
        law = tries_law(negatives, violators)
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, size))])
        weights = harmonic[(size - 1) // np.arange(1, len(law) + 1)]
        sampled = np.array([harmonic[one.ranks].mean() for one in found])
        assert abs(sampled.mean() - law @ weights) <= 4 * sampled.std() / math.sqrt(2000) + 1e-9
        if carried == 1:
            assert (
                0.0 <= law @ weights - harmonic[violators] < 0.65 * (violators < negatives) + 1e-12
            )


def test_what_the_sampled_rank_overrates() -> None:
    """The numbers of the module's words, from the law of N that the walk was shown to have."""
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, 160))])
    for violators, rank, excess in ((1, 5.2, 0.62), (10, 29, 0.47), (40, 74, 0.31), (159, 159, 0)):
        law = tries_law(159, violators)
        ranks = 159 // np.arange(1, len(law) + 1)
        assert law @ ranks == pytest.approx(rank, rel=0.02)
        assert law @ harmonic[ranks] - harmonic[violators] == pytest.approx(excess, abs=0.005)


def test_exact_violators_are_drawn_evenly() -> None:
    scores, own, bad = vocabulary(12, 4, 2)
    draws, sampler = np.random.default_rng(2), Sampler(12, exact=True)
    chosen = [walk(scores, own[0], own, draws, sampler).negatives[3] for _ in range(2000)]
    assert pooled(np.bincount(chosen, minlength=12)[bad], np.full(4, 500.0)) > 1e-3


@pytest.mark.parametrize("size", [3, 400])
@pytest.mark.parametrize("exact", [True, False])
def test_a_clip_that_carries_every_label_meets_none(size: int, exact: bool) -> None:
    every = list(range(size))
    found = walk([0.0] * size, 1, every, np.random.default_rng(0), Sampler(size, exact=exact))
    assert (found.negatives == -1).all()
    assert not found.tries.any()
    assert not found.ranks.any()


@pytest.mark.parametrize("exact", [True, False])
def test_a_score_that_is_no_number_is_a_violation(exact: bool) -> None:
    scores = [0.0, -9.0, -9.0, -9.0, math.nan, -9.0]
    with np.errstate(all="ignore"):
        found = walk(scores, 0, [0], np.random.default_rng(0), Sampler(6, exact=exact))
    assert (found.negatives == 4).all()
    assert np.isnan(found.scores).all()


def test_labels_met_do_not_grow_with_the_vocabulary() -> None:
    """A tenth of the negatives violate: a first block is enough, whatever there is beyond it."""
    met, drawn = [], []

    class Counting(np.random.Generator):
        def permutation(self, *given: object, **more: object) -> NDArray[np.int64]:  # type: ignore[override]
            drawn.append(given[0])
            return super().permutation(*given, **more)  # type: ignore[call-overload, no-any-return]

    for size in (500, 5_000, 50_000, 500_000):
        scores = np.where(np.arange(size) % 10 == 1, 1.0, -1.0)
        sampler = Sampler(size)
        for seed in range(5):
            walk(scores.tolist(), 0, [0], Counting(np.random.PCG64(seed)), sampler)
        met.append(sampler.met / 5)
    assert max(met) <= 2 * sampling.FIRST
    assert drawn == []


def test_blocks_grow_and_hold_each_label_once() -> None:
    sampler, draws, blocks, begin = Sampler(20_000), np.random.default_rng(0), [], 0
    while begin < 20_000:
        block = sampler._block(begin, draws)
        sampler._place[block] = 0
        blocks.append(block)
        begin += len(block)
    assert len(np.unique(np.concatenate(blocks))) == 20_000
    assert [len(block) for block in blocks[:3]] == [128, 384, 1536]


class TestLabelSet:
    def test_picks_are_even_over_what_a_clip_carries(self) -> None:
        labels = LabelSet.of([[3], [0, 2, 5], [1, 4]], size=6)
        clips = np.tile([1, 0, 2, 1], 3000)
        picked = labels.pick(clips, np.random.default_rng(0))
        counts = np.bincount(picked.positives[clips == 1], minlength=6)
        assert stats.chisquare(counts[[0, 2, 5]]).pvalue > 1e-3
        assert counts.sum() == counts[[0, 2, 5]].sum()
        assert (picked.positives[clips == 0] == 3).all()

    @pytest.mark.parametrize("most", [1, 4])
    def test_what_each_example_carries_survives_the_split(self, most: int) -> None:
        draws = np.random.default_rng(1)
        lists = [
            draws.choice(9, draws.integers(1, most + 1), replace=False).tolist() for _ in range(20)
        ]
        labels = LabelSet.of(lists, size=9)
        clips, begin = draws.integers(20, size=70), 0
        parts = labels.pick(clips, draws).split([30, 1, 39])
        for part, length in zip(parts, (30, 1, 39), strict=True):
            for row, clip in enumerate(clips[begin : begin + length].tolist()):
                assert part.codes[part.rows == row].tolist() == lists[clip]
                assert part.positives[row] in lists[clip]
            begin += length

    def test_clips_that_carry_everything_are_known(self) -> None:
        labels = LabelSet.of([[0, 1], [1], [1, 0]], size=2)
        assert labels.full.tolist() == [0, 2]
        assert (len(labels), labels.carried(1).tolist()) == (3, [1])

    @pytest.mark.parametrize(
        ("carried", "size", "words"),
        [
            ([[0]], 1, "two labels or more"),
            ([[0], []], 3, r"clip 1: .*got none"),
            ([[0, 3]], 3, "from 0 to 2, got 0, 3"),
            ([[-1]], 3, "from 0 to 2"),
            ([[1, 1]], 3, "different labels"),
            ([], 3, "wanted clips"),
        ],
    )
    def test_labels_that_cannot_be_ranked_are_refused(
        self, carried: list[list[int]], size: int, words: str
    ) -> None:
        with pytest.raises(UsageError, match=words):
            LabelSet.of(carried, size=size)
