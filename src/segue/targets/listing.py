"""What stands behind a factor: its most probable words, and the groups that have most of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.targets.factors import FactorModel, GroupShares


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a factor.

    Attributes
    ----------
    name : str
        The label, or ``"word 17"`` of a dictionary.
    probability : float
        In the factor.
    ratio : float
        To its probability over all factors: above 1 it is typical of this one.
    """

    name: str
    probability: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Holder:
    """A group that has much of a factor; each of its tracks is taught the same share."""

    name: str
    share: float
    tracks: int


def top_words(model: FactorModel, *, k: int = 10) -> list[tuple[Word, ...]]:
    """The ``k`` most probable words of each factor, most probable first.

    Examples
    --------
    >>> from segue.targets.settings import FactorSettings
    >>> model = FactorModel(settings=FactorSettings(topics=2), vocabulary=("pop", "fugue"),
    ...                     components=np.array([[3.0, 1.0], [1.0, 4.0]]))
    >>> [[word.name for word in words] for words in top_words(model, k=1)]
    [['pop'], ['fugue']]
    """
    probable = model.topic_words()
    overall = model.components.sum(axis=0) / model.components.sum()
    found = []
    for line in probable:
        chosen = np.argsort(-line, kind="stable")[:k].tolist()
        found.append(
            tuple(
                Word(word_name(model, number), float(line[number]), float(ratio))
                for number, ratio in zip(chosen, line[chosen] / overall[chosen], strict=True)
            )
        )
    return found


def word_name(model: FactorModel, number: int) -> str:
    """What a word is called: its label, or its number in the dictionary."""
    return model.vocabulary[number] if model.vocabulary else f"word {number}"


def top_groups(shares: GroupShares, *, k: int = 10) -> list[tuple[Holder, ...]]:
    """The ``k`` groups with the largest share of each factor, largest first."""
    known = np.flatnonzero(shares.known)
    found = []
    for column in shares.shares[known].T:
        chosen = np.argsort(-column, kind="stable")[:k]
        found.append(
            tuple(
                Holder(shares.names[group], float(share), int(shares.tracks[group]))
                for group, share in zip(known[chosen].tolist(), column[chosen], strict=True)
            )
        )
    return found
