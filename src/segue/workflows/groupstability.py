"""Whether factors return with other seeds, and what other numbers of them would give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.seeds import derive
from segue.targets.bags import remove_bags
from segue.targets.factors import FactorModel, GroupShares, count_bags
from segue.targets.settings import MOST_TOPICS
from segue.targets.source import LabelSource, Source
from segue.targets.stability import Stability, alike, topic_stability
from segue.targets.topics import LEARNING, learn_topics
from segue.workflows.evaluating import Watch

LEAST_GROUPS = 10
BAGS = "compared-bags"


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
            f"Factors learned with other seeds are alike by {mean:.2f} (cosine of what they add to "
            "the words of all groups, mean by their share of words); on a part of the groups by "
            f"{own.similarity:.2f}, and by {own.dealt_similarity:.2f} where tracks are dealt out "
            "anew to the groups: then what returns comes from single tracks, not from groups.",
            f"Words of held-out groups are foretold as if guessed among {own.perplexity:.0f} "
            f"(tracks dealt out anew: {own.dealt_perplexity:.0f}; without factors: "
            f"{own.unigram_perplexity:.0f}).",
        ]

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "seeds": len(self.similarity) + 1,
            "similarity": [float(one) for one in self.similarity.mean(axis=0)],
            "numbers": [asdict(line) for line in self.numbers],
        }


def compare(
    model: FactorModel,
    source: Source | LabelSource,
    shares: GroupShares,
    *,
    seeds: int,
    work: Path,
    watch: Watch | None = None,
) -> Compared | None:
    """Learn factors again with other seeds, and in other numbers.

    All have the words of the model. None for a single seed, or fewer than ten groups with words.

    Raises
    ------
    SegueError, StoreError
    """
    if seeds < 2 or shares.known.sum() < LEAST_GROUPS:
        return None
    numbers = tried(model.topics)
    learnings = seeds - 1 + 2 * seeds * len(numbers)  # twice: tracks as they are, and dealt anew
    told = None if watch is None else _Told(watch, learnings)
    try:
        bags, _ = count_bags(model, source, work / BAGS, watch=told)
        similarity = []
        for number in range(1, seeds):
            other = replace(model.settings, seed=derive(model.settings.seed, "compared", number))
            similarity.append(alike(model.components, learn_topics(bags, other, watch=told)))
    finally:
        remove_bags(work / BAGS)
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
        self.counted = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what == LEARNING:
            self.learned += done == total
            self.watch("factors learned again", self.learned, self.learnings)
            return
        self.watch(f"{what}, again ({self.counted + 1})", done, total)
        self.counted += done == total
