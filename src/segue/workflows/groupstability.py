"""Whether factors return with other seeds, and what other numbers of them would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.seeds import derive
from segue.targets.bags import Bags
from segue.targets.factors import FactorModel
from segue.targets.settings import MOST_TOPICS
from segue.targets.source import LabelSource, Source
from segue.targets.stability import Stability, alike, learnings, topic_stability
from segue.targets.topics import LEARNING, learn_topics
from segue.workflows.evaluating import Watch

LEAST_GROUPS = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Compared:
    """Factors beside those of other seeds and of other numbers.

    Attributes
    ----------
    similarity : (seeds - 1, factors) array
        Of each factor of the model with the one matched to it: cosine of what they add to the
        words of all groups.
    weights : (factors,) array
        Share of each factor in all words.
    numbers : tuple of Stability
        One for each number of factors that was tried, that of the model among them.
    """

    similarity: NDArray[np.float64]
    weights: NDArray[np.float64]
    numbers: tuple[Stability, ...]

    def of(self, topics: int) -> Stability:
        """The line of a number of factors."""
        return next(line for line in self.numbers if line.topics == topics)

    def words(self, topics: int) -> list[str]:
        """What was found, in words."""
        own = self.of(topics)
        mean = np.average(self.similarity.mean(axis=0), weights=self.weights)
        return [
            f"Factors learned with other seeds and the same words are alike by {mean:.2f} "
            "(cosine of what they add to the words of all groups, mean by their share of words).",
            f"On a part of the groups they are alike by {own.similarity:.2f}; where tracks are "
            f"dealt out anew to the groups, by {_span(own.dealt_similarity, '.2f')}: "
            f"{verdict(own)}.",
            _foretold(own),
        ]

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "seeds": len(self.similarity) + 1,
            "similarity": [float(one) for one in self.similarity.mean(axis=0)],
            "numbers": [asdict(line) | {"shown": line.shown} for line in self.numbers],
        }


def verdict(own: Stability) -> str:
    """Whether groups, and not single tracks or chance, make factors return."""
    deals = len(own.dealt_similarity)
    not_shown = "not shown that factors return because of the groups"
    if not own.above:
        return f"no more than dealing gives ({deals} deals), {not_shown}"
    if not own.shown:
        return (
            f"above each of {deals} deals, but not shown to foretell words of held-out groups "
            f"better than each, so it is {not_shown}"
        )
    return (
        f"above each of {deals} deals, and words of held-out groups are foretold better than in "
        "each, so that factors return comes from the groups"
    )


def _foretold(own: Stability) -> str:
    if own.perplexity is None or own.unigram_perplexity is None:
        return (
            "How well words of held-out groups are foretold could not be measured: none of these "
            "groups has two words that could be divided."
        )
    dealt = _span(own.dealt_perplexity, ".0f") if own.dealt_perplexity else "not measured"
    return (
        f"Words of held-out groups are foretold as if guessed among {own.perplexity:.0f} "
        f"(tracks dealt out anew: {dealt}; without factors: {own.unigram_perplexity:.0f})."
    )


def _span(values: Sequence[float], form: str) -> str:
    """The least and the most of some values."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def compare(
    model: FactorModel,
    source: Source | LabelSource,
    bags: Bags,
    *,
    seeds: int,
    work: Path,
    watch: Watch | None = None,
) -> Compared | None:
    """Learn factors again with other seeds, and in other numbers.

    All have the words of the model: the dictionary is not learned again. None for a single seed, or
    fewer than ten groups with words.

    Parameters
    ----------
    model : FactorModel
    source : Source or LabelSource
    bags : Bags
        Of all groups of the source, in the words of the model.
    seeds : int
    work : Path
        Folder for bags of a part of the groups.
    watch : callable, optional

    Raises
    ------
    SegueError, StoreError
    """
    if seeds < 2 or len(bags.filled) < LEAST_GROUPS:
        return None
    numbers = tried(model.topics)
    again = seeds - 1 + learnings(model.topics, numbers, seeds=seeds)
    told = None if watch is None else _Told(watch, again)
    similarity = []
    for number in range(1, seeds):
        other = replace(model.settings, seed=derive(model.settings.seed, "compared", number))
        similarity.append(alike(model.components, learn_topics(bags, other, watch=told)))
    lines = topic_stability(model, source, topics=numbers, seeds=seeds, work=work, watch=told)
    weights = model.components.sum(axis=1) / model.components.sum()
    return Compared(similarity=np.stack(similarity), weights=weights, numbers=lines)


def tried(topics: int) -> list[int]:
    """Numbers of factors that are compared: a quarter, half, all and twice as many.

    Examples
    --------
    >>> tried(40), tried(2)
    ([10, 20, 40, 80], [2, 4])
    """
    return sorted({max(2, topics // 4), max(2, topics // 2), topics, min(2 * topics, MOST_TOPICS)})


def compared_facts(compared: Compared | None) -> Mapping[str, Any] | None:
    """As :meth:`Compared.facts`; None where nothing was compared."""
    return None if compared is None else compared.facts()


class _Told:
    """Progress in learnings, of which there are many: each tells of its own steps from 0 on."""

    def __init__(self, watch: Watch, learnings: int) -> None:
        self.watch = watch
        self.learnings = learnings
        self.learned = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what == LEARNING:
            self.learned += done == total
            self.watch("factors learned again", self.learned, self.learnings)
        else:
            self.watch(f"{what}, again", done, total)
