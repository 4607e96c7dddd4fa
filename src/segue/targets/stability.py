"""Are factors a fact of the groups, or of the seed? Topics matched over seeds, beside controls.

Words that are frequent everywhere make any two topics alike, so what is compared is how topics
differ from the words of all groups together. Even then a similarity says nothing alone: one topic
that takes nearly all words is alike in all seeds. So the same is computed for groups whose tracks
were dealt out anew, several times, where there are no groups to find; and for topics whose words
were shuffled. The dictionary is one and the same throughout: only topics are learned again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segue.errors import UsageError
from segue.seeds import derive, generator
from segue.targets.bags import Bags, regrouped, remove_bags
from segue.targets.factors import FactorModel, count_bags
from segue.targets.settings import FactorSettings
from segue.targets.source import Floats, Labelled, Source, Watch, Whole, check_grouped
from segue.targets.topics import Components, learn_topics, shares_of, topic_words

Numbers = NDArray[np.float64]

HELD_OUT = 0.2  # of the groups, for the perplexity
AT_ONCE = 64
DEALS = 5  # of tracks to groups, for the model's own number of topics
FEWER = (2, 1)  # seeds and deals for other numbers
GROUPS = 800
FOLDER = "stability-bags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How good and how stable topics are, for one number of them.

    Attributes
    ----------
    topics : int
    seeds : int
        That topics were learned with, in each deal as well.
    perplexity : float or None
        Of words of groups that the topics were not learned from, by the shares that other words of
        the same groups got: as if one had to guess among that many words. Mean over the seeds.
        None where no such group has two words to divide.
    dealt_perplexity : tuple of float
        The same where tracks were dealt out anew to the groups, for each deal that has such groups.
    unigram_perplexity : float or None
        Where every group were like all, by as many words seen beforehand as topics suppose.
    similarity : float
        Cosine of matched topics, of what each adds to or takes from the words of all groups; mean
        over topics, each counted by its share of all words, and over all pairs of seeds. Nothing
        can be read off it alone: of pure noise it is anything from 0.3 to 0.99, since one topic
        may take nearly all words and so decide the mean.
    dealt_similarity : tuple of float
        The same where tracks were dealt out anew, for each deal: what tracks alone, without
        groups, give.
    chance_similarity : float
        Where the words of each topic were shuffled before it was matched.
    """

    topics: int
    seeds: int
    perplexity: float | None
    dealt_perplexity: tuple[float, ...]
    unigram_perplexity: float | None
    similarity: float
    dealt_similarity: tuple[float, ...]
    chance_similarity: float

    @property
    def above(self) -> bool:
        """Whether topics are more alike than in each of several deals."""
        return len(self.dealt_similarity) > 1 and self.similarity > max(self.dealt_similarity)

    @property
    def shown(self) -> bool:
        """Whether groups make topics return: more alike, and foretelling more, than in each deal.

        Where groups mean nothing they are one more deal: of six the highest in one way once in six
        times, and in both about once in thirty.
        """
        own, dealt = self.perplexity, self.dealt_perplexity
        if own is None or len(dealt) < len(self.dealt_similarity):
            return False
        return self.above and own < min(dealt)


def match_topics(first: Numbers, second: Numbers) -> tuple[Whole, Numbers]:
    """Topics of one set matched one to one with those of another, as alike as can be in sum.

    Parameters
    ----------
    first, second : (topics, words) arrays
        Distributions of words, or what they differ by.

    Returns
    -------
    order : (topics,) int64 array
        Which topic of ``second`` each of ``first`` is matched with.
    similarity : (topics,) array
        Their cosine.

    Raises
    ------
    UsageError
        Other shapes.

    References
    ----------
    Kuhn, The Hungarian method for the assignment problem, 1955.

    Examples
    --------
    >>> order, similarity = match_topics(np.eye(3), np.eye(3)[[2, 0, 1]])
    >>> order.tolist(), similarity.tolist()
    ([1, 2, 0], [1.0, 1.0, 1.0])
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise UsageError(
            wanted="two sets of as many topics over the same words",
            got=f"shapes {first.shape} and {second.shape}",
            fix="Compare topics of one number, learned with one dictionary",
        )
    cosines = _unit(first) @ _unit(second).T
    rows, order = linear_sum_assignment(-cosines)
    return order.astype(np.int64), cosines[rows, order]


def topic_stability(
    model: FactorModel,
    source: Source | Labelled,
    *,
    topics: Sequence[int] = (10, 20, 40, 80),
    seeds: int = 3,
    deals: int = DEALS,
    groups: int = GROUPS,
    work: Path,
    watch: Watch | None = None,
) -> tuple[Stability, ...]:
    """Topics of several seeds and numbers, compared on a sample of groups.

    Words are those of the model, so that the topics of all seeds are over the same words. A fifth
    of the groups is held out for the perplexity. Its words are divided in two halves at random:
    frames of one track stand in both, so the perplexity of frames is lower than of new tracks.

    Parameters
    ----------
    model : FactorModel
        Its words, its settings but for the number of topics, and its seed are used.
    source : Source or Labelled
    topics : sequence of int
        Numbers of topics to compare. Those that are not the model's get two seeds and one deal:
        enough for a picture, too few for a claim.
    seeds : int
        That topics are learned with, two at least.
    deals : int
        Times that tracks are dealt out anew to the groups, one at least.
    groups : int
        The most that are used, drawn at random; this bounds time and memory.
    work : Path
        Folder for bags.
    watch : callable, optional

    Raises
    ------
    UsageError
        Fewer than ten groups with words, fewer than two seeds, no deal.
    SegueError, StoreError
        As :func:`segue.targets.factors.group_shares`.
    """
    check_grouped(source)
    if seeds < 2 or deals < 1 or groups < 10:
        raise UsageError(
            wanted="two seeds, a deal and ten groups at least",
            got=f"{seeds} seeds, {deals} deals, {groups} groups",
            fix="Ask for more: a similarity is one between two",
        )
    effort = {number: _effort(number, model.topics, seeds, deals) for number in topics}
    folders = [work / f"{FOLDER}-{number}" for number in range(deals + 2)]
    try:
        bags, *dealt = _dealt(model, source, groups, folders, watch)
        filled = min(len(one.filled) for one in (bags, *dealt))
        if filled < 10:
            raise UsageError(
                wanted="at least ten groups with words",
                got=str(filled),
                fix="Give more groups: topics of fewer are not worth comparing",
            )
        return tuple(
            _line(bags, dealt[:times], replace(model.settings, topics=number), seeds, watch)
            for number, (seeds, times) in effort.items()
        )
    finally:
        for folder in folders:
            remove_bags(folder)


def learnings(own: int, topics: Sequence[int], *, seeds: int, deals: int = DEALS) -> int:
    """How often :func:`topic_stability` learns topics, for a model of ``own`` topics.

    Examples
    --------
    >>> learnings(40, (20, 40), seeds=3)
    22
    """
    effort = [_effort(number, own, seeds, deals) for number in topics]
    return sum(seeds * (1 + times) for seeds, times in effort)


def _effort(number: int, own: int, seeds: int, deals: int) -> tuple[int, int]:
    """Seeds and deals for a number of topics."""
    return (seeds, deals) if number == own else (min(seeds, FEWER[0]), min(deals, FEWER[1]))


def _dealt(
    model: FactorModel,
    source: Source | Labelled,
    groups: int,
    folders: Sequence[Path],
    watch: Watch | None,
) -> list[Bags]:
    """Bags of some groups as they are, and where their tracks were dealt out, as many to each."""
    draws = generator(model.settings.seed, "stability")
    chosen = np.sort(draws.permutation(len(source.names))[:groups])
    kept = np.flatnonzero(np.isin(source.group_of, chosen))
    if not len(kept):
        raise UsageError(
            wanted="groups with tracks", got=f"none in {groups}", fix="Give tracks of all groups"
        )
    _, group_of = np.unique(source.group_of[kept], return_inverse=True)
    alone = (_Labels if isinstance(source, Labelled) else _Vectors)(source, kept)
    tracks, _ = count_bags(model, alone, folders[-1], watch=watch)
    orders = [np.arange(len(kept)), *(draws.permutation(len(kept)) for _ in folders[2:])]
    return [
        regrouped(tracks, group_of, order, folder)
        for order, folder in zip(orders, folders[:-1], strict=True)
    ]


def _line(
    bags: Bags,
    dealt: Sequence[Bags],
    settings: FactorSettings,
    seeds: int,
    watch: Watch | None,
) -> Stability:
    found = _Compared(bags, settings, seeds, watch)
    controls = [_Compared(one, settings, seeds, watch) for one in dealt]
    draws = generator(settings.seed, "stability", "chance", settings.topics)
    first = found.sets[0]
    chance = [_similarity(first, draws.permuted(one, axis=1)) for one in found.sets[1:]]
    perplexities = [control.perplexity for control in controls]
    return Stability(
        topics=settings.topics,
        seeds=seeds,
        perplexity=found.perplexity,
        dealt_perplexity=tuple(one for one in perplexities if one is not None),
        unigram_perplexity=found.unigram,
        similarity=found.similarity,
        dealt_similarity=tuple(control.similarity for control in controls),
        chance_similarity=float(np.mean(chance)),
    )


class _Compared:
    """Topics of several seeds from some bags, and what they are worth."""

    def __init__(
        self, bags: Bags, settings: FactorSettings, seeds: int, watch: Watch | None
    ) -> None:
        order = generator(settings.seed, "stability", "held out").permutation(bags.filled)
        count = max(1, round(HELD_OUT * len(order)))
        train, held = np.sort(order[count:]), np.sort(order[:count])
        self.sets = [
            learn_topics(bags, replace(settings, seed=seed), groups=train, watch=watch)
            for seed in [settings.seed, *_other_seeds(settings.seed, seeds - 1)]
        ]
        pairs = combinations(self.sets, 2)
        self.similarity = float(np.mean([_similarity(first, second) for first, second in pairs]))
        found = [completion_perplexity(one, bags, held, settings.seed) for one in self.sets]
        known = [one for one in found if one is not None]  # all or none: halves are the same
        self.perplexity = float(np.mean(known)) if known else None
        # as many of each word beforehand as every topic has: else topics look better than none
        overall = np.full((1, bags.vocabulary), 1.0 / settings.topics)
        for begin in range(0, len(train), AT_ONCE):
            overall += bags.rows(train[begin : begin + AT_ONCE]).sum(axis=0)
        self.unigram = completion_perplexity(overall, bags, held, settings.seed)


def completion_perplexity(
    components: Components, bags: Bags, groups: Sequence[int] | Whole, seed: int
) -> float | None:
    """Perplexity of half of the words of some groups, by the shares that the other half got.

    Parameters
    ----------
    components : (topics, words) array
    bags : Bags
    groups : sequence of int
        That the topics were not learned from. A group that has all words in one half, as one of a
        single word has, is left out.
    seed : int
        Of the halves.

    Returns
    -------
    float or None
        ``exp(-mean log p)`` over the words; None when there are none.
    """
    draws = generator(seed, "stability", "halves")
    words = topic_words(components)
    numbers = np.asarray(groups, np.int64)
    likelihood, count = 0.0, 0.0
    for begin in range(0, len(numbers), AT_ONCE):
        rows = bags.rows(numbers[begin : begin + AT_ONCE])
        shown = rows.copy()
        shown.data = draws.binomial(rows.data.astype(np.int64), 0.5).astype(np.float64)
        asked = (rows - shown).tocsr()
        usable = (shown.sum(axis=1) > 0) & (asked.sum(axis=1) > 0)
        if not usable.any():
            continue
        shown, asked = shown[usable], asked[usable].tocoo()
        shares = shares_of(components, shown)
        probable = (shares @ words)[asked.row, asked.col]
        likelihood += float(asked.data @ np.log(probable))
        count += float(asked.data.sum())
    return float(np.exp(-likelihood / count)) if count else None


def _other_seeds(seed: int, count: int) -> list[int]:
    return [derive(seed, "stability", number) for number in range(count)]


def alike(first: Components, second: Components) -> Numbers:
    """Cosine (topics,) of what each topic, and that matched to it, adds to the overall words.

    Topics that nothing is in are all like another: weight the cosines by their share of words.

    Examples
    --------
    >>> topics = np.array([[9.0, 1.0, 1.0], [1.0, 9.0, 1.0]])
    >>> alike(topics, topics[::-1]).round(6).tolist()
    [1.0, 1.0]
    """
    differences = [topic_words(one) - one.sum(axis=0) / one.sum() for one in (first, second)]
    return match_topics(differences[0], differences[1])[1]


def _similarity(first: Components, second: Components) -> float:
    """Mean of :func:`alike`, by share of words."""
    return float(np.average(alike(first, second), weights=first.sum(axis=1)))


def _unit(topics: Numbers) -> Numbers:
    lengths = np.linalg.norm(topics, axis=1, keepdims=True)
    unit: Numbers = topics / np.where(lengths > 0.0, lengths, 1.0)
    return unit


class _Alone:
    """Some tracks of a source, each a group of its own."""

    def __init__(self, source: Any, kept: Whole) -> None:
        self.source = source
        self.kept = kept
        self.group_of = np.arange(len(kept))
        self.names = self.tracks = [source.tracks[track] for track in kept.tolist()]


class _Vectors(_Alone):
    def vectors(self, track: int) -> Floats:
        vectors: Floats = self.source.vectors(int(self.kept[track]))
        return vectors


class _Labels(_Alone):
    @property
    def vocabulary(self) -> Sequence[str]:
        vocabulary: Sequence[str] = self.source.vocabulary
        return vocabulary

    def words(self, track: int) -> Whole:
        words: Whole = self.source.words(int(self.kept[track]))
        return words
