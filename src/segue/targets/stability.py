"""Are factors a fact of the groups, or of the seed? Topics matched over seeds, beside a control.

Words that are frequent everywhere make any two topics alike, so what is compared is how topics
differ from the words of all groups together. Even then a similarity says nothing alone: the same is
computed for groups whose tracks were dealt out anew, where there are no groups to find, and for
topics whose words were shuffled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segue.errors import UsageError
from segue.seeds import derive, generator
from segue.targets.bags import Bags, remove_bags
from segue.targets.factors import FactorModel, count_bags
from segue.targets.settings import FactorSettings
from segue.targets.source import Floats, Labelled, Source, Watch, Whole, check_grouped
from segue.targets.topics import Components, learn_topics, shares_of, topic_words

Numbers = NDArray[np.float64]

HELD_OUT = 0.2  # of the groups, for the perplexity
AT_ONCE = 64
FOLDERS = ("stability-bags", "stability-dealt-bags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How good and how stable topics are, for one number of them.

    Attributes
    ----------
    topics : int
    perplexity : float
        Of words of groups that the topics were not learned from, by the shares that other words of
        the same groups got: as if one had to guess among that many words. Mean over the seeds.
    dealt_perplexity : float
        The same where tracks were dealt out anew to the groups.
    unigram_perplexity : float
        Where every group were like all.
    similarity : float
        Cosine of matched topics, of what each adds to or takes from the words of all groups; mean
        over topics, each counted by its share of all words, and over the seeds, each with the
        first. Topics that differ from no others by more than chance are near 0.
    dealt_similarity : float
        The same where tracks were dealt out anew: what tracks alone, without groups, give.
    chance_similarity : float
        Where the words of each topic were shuffled before it was matched.
    """

    topics: int
    perplexity: float
    dealt_perplexity: float
    unigram_perplexity: float
    similarity: float
    dealt_similarity: float
    chance_similarity: float


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
    groups: int = 1000,
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
        Numbers of topics to compare.
    seeds : int
        That topics are learned with, two at least.
    groups : int
        The most that are used, drawn at random; this bounds time and memory.
    work : Path
        Folder for bags.
    watch : callable, optional

    Raises
    ------
    UsageError
        Fewer than ten groups with words, or fewer than two seeds.
    SegueError, StoreError
        As :func:`segue.targets.factors.group_shares`.
    """
    check_grouped(source)
    if seeds < 2 or groups < 10:
        raise UsageError(
            wanted="two seeds and ten groups at least",
            got=f"{seeds} seeds, {groups} groups",
            fix="Ask for more: a similarity is one between two",
        )
    draws = generator(model.settings.seed, "stability")
    names = np.sort(draws.permutation(len(source.names))[:groups])
    try:
        part = _part(source, names, deal=None)
        bags, _ = count_bags(model, part, work / FOLDERS[0], watch=watch)
        dealt, _ = count_bags(
            model, _part(source, names, deal=draws), work / FOLDERS[1], watch=watch
        )
        if len(bags.filled) < 10 or len(dealt.filled) < 10:
            raise UsageError(
                wanted="at least ten groups with words",
                got=str(len(bags.filled)),
                fix="Give more groups: topics of fewer are not worth comparing",
            )
        return tuple(
            _line(bags, dealt, replace(model.settings, topics=number), seeds, watch)
            for number in topics
        )
    finally:
        for name in FOLDERS:
            remove_bags(work / name)


def _line(
    bags: Bags, dealt: Bags, settings: FactorSettings, seeds: int, watch: Watch | None
) -> Stability:
    found = _Compared(bags, settings, seeds, watch)
    control = _Compared(dealt, settings, seeds, watch)
    draws = generator(settings.seed, "stability", "chance", settings.topics)
    first = found.sets[0]
    chance = [_similarity(first, draws.permuted(one, axis=1)) for one in found.sets[1:]]
    return Stability(
        topics=settings.topics,
        perplexity=found.perplexity,
        dealt_perplexity=control.perplexity,
        unigram_perplexity=found.unigram,
        similarity=found.similarity,
        dealt_similarity=control.similarity,
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
        self.similarity = float(np.mean([_similarity(self.sets[0], one) for one in self.sets[1:]]))
        self.perplexity = float(
            np.mean([completion_perplexity(one, bags, held, settings.seed) for one in self.sets])
        )
        overall = np.full((1, bags.vocabulary), 1.0 / bags.vocabulary)  # so that no word is none
        for begin in range(0, len(train), AT_ONCE):
            overall += bags.rows(train[begin : begin + AT_ONCE]).sum(axis=0)
        self.unigram = completion_perplexity(overall, bags, held, settings.seed)


def completion_perplexity(
    components: Components, bags: Bags, groups: Sequence[int] | Whole, seed: int
) -> float:
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
    float
        ``exp(-mean log p)`` over the words; NaN when there are none.
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
    return float(np.exp(-likelihood / count)) if count else float("nan")


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


def _part(
    source: Source | Labelled, groups: Whole, *, deal: np.random.Generator | None
) -> Source | Labelled:
    """Some groups of a source; with ``deal``, their tracks dealt out anew, as many to each."""
    kept = np.flatnonzero(np.isin(source.group_of, groups))
    group_of = np.searchsorted(groups, source.group_of[kept])
    kept = kept if deal is None else deal.permutation(kept)
    if isinstance(source, Labelled):
        return _LabelPart(source, groups, group_of, kept)
    return _VectorPart(source, groups, group_of, kept)


class _Part:
    """Some groups of a source, and which of its tracks they hold."""

    def __init__(
        self, source: Source | Labelled, groups: Whole, group_of: Whole, kept: Whole
    ) -> None:
        self.kept = kept
        self.group_of = group_of
        self.names = [source.names[group] for group in groups.tolist()]
        self.tracks = [source.tracks[track] for track in kept.tolist()]


class _VectorPart(_Part):
    def __init__(self, source: Source, groups: Whole, group_of: Whole, kept: Whole) -> None:
        super().__init__(source, groups, group_of, kept)
        self.source = source

    def vectors(self, track: int) -> Floats:
        return self.source.vectors(int(self.kept[track]))


class _LabelPart(_Part):
    def __init__(self, source: Labelled, groups: Whole, group_of: Whole, kept: Whole) -> None:
        super().__init__(source, groups, group_of, kept)
        self.source = source
        self.vocabulary = source.vocabulary

    def words(self, track: int) -> Whole:
        return self.source.words(int(self.kept[track]))
