"""What fixes the factors of groups, beside their tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from segue.card import checked_fields
from segue.errors import UsageError

Normalise = Literal["none", "standard", "quantile"]
MOST_WORDS, MOST_TOPICS = 2**16, 2**12
MOST_BYTES = 2**29  # of topics and a dictionary in a folder
MOST_TEXT = 2**23  # bytes of labels that are words


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSettings:
    """How words, bags and topics are made.

    Attributes
    ----------
    words : int
        Of the dictionary that k-means learns; labels are words already. Fewer where there are
        fewer than ``vectors_per_word`` vectors for each.
    topics : int
        Numbers of a group's distribution.
    passes : int
        Over the groups, learning topics.
    seed : int
    normalise : {"none", "standard", "quantile"}
        What is done to vectors before distances are taken: nothing; standard units; or each number
        by its rank to a normal distribution, as the paper does with Essentia's descriptors.
    vectors : int
        The most that the dictionary learns from, drawn evenly over the tracks; fewer where they
        would fill more than 512 MiB.
    vectors_per_word : int
    dictionary_passes : int
        Over those vectors.
    batch : int
        Groups a step of learning topics; fewer where there are not ten such steps a pass.

    Raises
    ------
    UsageError
        A number out of its range.

    Notes
    -----
    Kim et al. 2018, sections 3.1 and 4: 2,048 words, 40 topics. The other numbers are not in the
    paper.

    Examples
    --------
    >>> FactorSettings(topics=20).words
    2048
    """

    words: int = 2048
    topics: int = 40
    passes: int = 10
    seed: int = 0
    normalise: Normalise = "none"
    vectors: int = 500_000
    vectors_per_word: int = 10
    dictionary_passes: int = 5
    batch: int = 256

    def __post_init__(self) -> None:
        self._between("words", 2, MOST_WORDS)
        self._between("topics", 2, MOST_TOPICS)
        self._between("passes", 1, 10_000)
        self._between("seed", -math.inf, math.inf)
        self._between("vectors", 2, 10**8)
        self._between("vectors_per_word", 1, 10**6)
        self._between("dictionary_passes", 1, 10_000)
        self._between("batch", 1, 2**16)
        if self.normalise not in get_args(Normalise):
            raise UsageError(
                wanted=f"normalise: one of {', '.join(get_args(Normalise))}",
                got=f"{self.normalise!r:.80}",
                fix="Choose one of them",
            )

    def _between(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if type(value) is not int or not least <= value <= most:
            bounds = f" from {least} to {most}" if math.isfinite(least) else ""
            raise UsageError(
                wanted=f"{name}: a whole number{bounds}",
                got=f"{value!r:.80}",
                fix="Choose another number",
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`.

        Raises
        ------
        ModelError, UsageError
            An unknown or missing field, or a value out of its range.
        """
        return cls(**checked_fields(cls, facts))


def check_size(topics: int, words: int, *, width: int = 0) -> None:
    """Refuse topics and words that no folder could hold, before they are learned.

    Parameters
    ----------
    topics, words : int
    width : int
        Of vectors; 0 where labels are the words.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_size(40, 2048, width=25)
    """
    size = 8 * topics * words + 4 * words * width
    room = MOST_BYTES - 8 * 2**20  # quantiles and names take some
    if size > room:
        vectors = f" of {width} numbers" if width else ""
        raise UsageError(
            wanted=f"topics over words that {room} bytes can hold",
            got=f"{topics} topics over {words} words{vectors}: {size} bytes",
            fix="Ask for fewer topics or words",
        )
