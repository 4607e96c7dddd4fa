"""Which negative label an example meets, and how highly that ranks its positive one.

For an example with positive label j the paper walks through the negative labels at random until
one scores above f_j - 1; it took N labels. The rank of j is then taken to be
r = floor((Y - 1) / N), and the loss is L(r) |1 - f_j + f_j'|, L(r) = 1 + 1/2 + ... + 1/r.

What that estimates: among n negatives of which v violate the margin, N is negative hypergeometric
with mean (n + 1) / (v + 1), so that (n + 1) / mean(N) - 1 is v, the exact rank. But 1 / N is
convex, and the mean of (Y - 1) / N lies above v + 1, most of all where few labels violate: with
v = 1, where N is uniform, it is 1 + 1/2 + ... + 1/n. The floor takes a part of that off again. With
Y = 160 and one label a clip, the mean of r is 5.2 for v = 1, 29 for 10 and 74 for 40, and the mean
weight L(r) is 0.62, 0.47 and 0.31 above L(v); at v = n both are right. ``rank="exact"`` has r = v.

All examples of a batch walk through one random block of labels, each from a place of its own and
around its end: scores are then one product of matrices. A uniform random sequence read from
another place, around its end, is uniform too, so each example meets the negatives in an order
that is exactly uniform, without replacement; only between the examples of a batch are orders
related, which moves no mean. Examples that met no violator go on to another block of labels not
met yet, four times as large. Nothing is done once per label of the vocabulary, only once per
label met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]
Take = Callable[[Whole], Floats]

WHOLE = 256
"""A vocabulary of so many labels is met whole: a second block costs more than their scores."""

FIRST = 128
"""Labels of the first block of a larger vocabulary."""

GROWTH = 4
"""How many times as many labels are met with each further block."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelSet:
    """Which labels each clip of one data set carries.

    Attributes
    ----------
    size : int
        Labels of the data set.
    offsets : (clips + 1,) integer array
        Where each clip's labels begin in ``codes``.
    codes : (m,) integer array
        Labels, numbered from 0, clip after clip.

    Examples
    --------
    >>> labels = LabelSet.of([[0], [2, 1]], size=3)
    >>> labels.offsets, labels.codes
    (array([0, 1, 3]), array([0, 2, 1]))
    """

    size: int
    offsets: Whole
    codes: Whole

    @classmethod
    def of(cls, carried: Sequence[Sequence[int]], *, size: int) -> LabelSet:
        """The labels of clips, one sequence of label numbers a clip.

        Raises
        ------
        UsageError
            Fewer than two labels, no clip, a clip without a label, or one with a label twice or of
            no such number.
        """
        if size < 2:
            raise UsageError(
                wanted="a data set of two labels or more: WARP ranks one above another",
                got=str(size),
                fix="Name a column with more labels, or leave the data set out",
            )
        if not len(carried):
            raise UsageError(wanted="clips with labels", got="none", fix="Give some")
        for clip, codes in enumerate(carried):
            known = all(0 <= code < size for code in codes)
            if not len(codes) or len(set(codes)) < len(codes) or not known:
                raise UsageError(
                    wanted=f"one or more different labels from 0 to {size - 1}",
                    got=", ".join(map(str, codes)) or "none",
                    fix="Leave the clip out, or mend its labels",
                    source=f"clip {clip}",
                )
        counts = [len(codes) for codes in carried]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        flat = [code for codes in carried for code in codes]
        return cls(size, offsets, np.asarray(flat, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def carried(self, clip: int) -> Whole:
        """Labels of one clip."""
        return self.codes[self.offsets[clip] : self.offsets[clip + 1]]

    @property
    def full(self) -> Whole:
        """Clips that carry every label: they have no negative, and teach nothing."""
        return np.flatnonzero(np.diff(self.offsets) == self.size)

    def pick(self, clips: Whole, draws: np.random.Generator) -> Picked:
        """A random positive label of each clip, beside all that it carries.

        Examples
        --------
        >>> labels = LabelSet.of([[0], [2, 1]], size=3)
        >>> picked = labels.pick(np.array([1, 0]), np.random.default_rng(0))
        >>> picked.rows, picked.codes, picked.positives[1]
        (array([0, 0, 1]), array([2, 1, 0]), np.int64(0))
        """
        begins = self.offsets[clips]
        counts = self.offsets[clips + 1] - begins
        positives = self.codes[begins + (draws.random(len(clips)) * counts).astype(np.int64)]
        if len(self.codes) == len(self):
            return Picked(positives, np.arange(len(clips)), positives)
        rows = np.repeat(np.arange(len(clips)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return Picked(positives, rows, self.codes[begins[rows] + within])


class Picked(NamedTuple):
    """Labels of the examples of a batch.

    ``positives`` (batch,) are those to be raised; example ``rows[i]`` carries ``codes[i]``.
    """

    positives: Whole
    rows: Whole
    codes: Whole

    def split(self, batches: Sequence[int]) -> list[Picked]:
        """Those of consecutive batches of these sizes."""
        ends = np.cumsum(batches)
        cuts = np.searchsorted(self.rows, ends)
        parts, begin, cut = [], 0, 0
        for end, next_cut in zip(ends.tolist(), cuts.tolist(), strict=True):
            own = slice(cut, next_cut)
            parts.append(Picked(self.positives[begin:end], self.rows[own] - begin, self.codes[own]))
            begin, cut = end, next_cut
        return parts


class Found(NamedTuple):
    """What the walks of a batch came to.

    Attributes
    ----------
    negatives : (batch,) integer array
        The violator; -1 where no negative violates the margin.
    ranks : (batch,) integer array
        Estimated, or counted, rank of the positive; 0 where there is no violator.
    tries : (batch,) integer array
        Negatives met, the violator among them.
    scores : (batch,) float32 array
        Of the violator.
    """

    negatives: Whole
    ranks: Whole
    tries: Whole
    scores: Floats


class Sampler:
    """Walks of batches through one data set's labels.

    Parameters
    ----------
    size : int
        Labels of the data set.
    exact : bool
        Count the violators of each example, which takes the scores of all labels; the violator is
        then the first one of the same walk, so any one of them with equal chance.

    Attributes
    ----------
    met : int
        Labels whose rows were asked for, ever: what a batch costs.

    Examples
    --------
    Of four labels with scores 2, 1.5, 0.9 and 0, the first is positive: one violates its margin.

    >>> W = np.float32([[2.0], [1.5], [0.9], [0.0]])
    >>> own = Picked(*np.zeros((3, 1), dtype=np.int64))
    >>> walk = Sampler(4, exact=True).find(
    ...     W.__getitem__, np.ones((1, 1), np.float32), np.float32([1.0]), own,
    ...     np.random.default_rng(0))
    >>> walk.negatives, walk.ranks
    (array([1]), array([1]))
    """

    def __init__(self, size: int, *, exact: bool = False) -> None:
        self.size = size
        self.exact = exact
        self.met = 0
        # where each label stands in the sequence drawn so far; -1: not drawn. Kept between calls,
        # so that a call need not set up as many numbers as there are labels
        self._place = np.full(size, -1, dtype=np.int64)

    def find(
        self, take: Take, Z: Floats, bar: Floats, own: Picked, draws: np.random.Generator
    ) -> Found:
        """Walk until a label scores above the bar, for every example.

        Parameters
        ----------
        take : callable
            Gives rows (n, D) of W for label numbers (n,).
        Z : (batch, D) float32 array
            Embedded examples.
        bar : (batch,) float32 array
            Score of the positive, less 1.
        own : Picked
            What the examples carry: never met, and not counted.
        draws : Generator

        Notes
        -----
        A score that is no number counts as a violation, so that the loss becomes none either.
        """
        batch = len(Z)
        tries, ranks = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
        found = Found(np.full(batch, -1), ranks, tries, np.zeros(batch, np.float32))
        drawn: list[Whole] = []
        try:
            self._find(take, Z, bar, own, draws, found, drawn)
        finally:
            # an interruption, too, leaves no label marked as drawn
            for block in drawn:
                self._place[block] = -1
        self.met += sum(map(len, drawn))
        if not self.exact:
            np.floor_divide(self.size - 1, tries, out=ranks, where=found.negatives >= 0)
        return found

    def _find(
        self,
        take: Take,
        Z: Floats,
        bar: Floats,
        own: Picked,
        draws: np.random.Generator,
        found: Found,
        drawn: list[Whole],
    ) -> None:
        """Walk through block after block; they are added to ``drawn``."""
        waiting, rows, codes = np.arange(len(Z)), own.rows, own.codes
        begin = 0
        while len(waiting) and begin < self.size:
            block = self._block(begin, draws)
            drawn.append(block)
            self._place[block] = np.arange(begin, begin + len(block))
            place = self._place[codes]
            here = place >= begin
            own_here = rows[here], place[here] - begin
            still = self._walk(take(block), block, Z, bar, waiting, own_here, found)
            begin += len(block)
            if len(still) and begin < self.size:
                Z, bar = Z[still], bar[still]
                seat = np.full(len(waiting), -1)
                seat[still] = np.arange(len(still))
                on = seat[rows] >= 0
                rows, codes = seat[rows[on]], codes[on]
            waiting = waiting[still]

    def _block(self, begin: int, draws: np.random.Generator) -> Whole:
        """Labels not drawn yet, in random order; ``begin`` have been."""
        if self.exact or self.size <= WHOLE:
            return draws.permutation(self.size)
        # so that all met are GROWTH times as many; the last block is not to be a small one
        size = max(FIRST, (GROWTH - 1) * begin)
        if 2 * (begin + size) >= self.size:
            size, block = self.size, draws.permutation(self.size)
        else:
            block = draws.choice(self.size, begin + size, replace=False)
        # a uniform sequence of which some labels are taken out is uniform in the others
        return block[self._place[block] < 0][:size] if begin else block

    def _walk(
        self,
        W: Floats,
        block: Whole,
        Z: Floats,
        bar: Floats,
        waiting: Whole,
        own: tuple[Whole, Whole],
        found: Found,
    ) -> Whole:
        """Walk through one block; write what is found, give the rows that found nothing."""
        count, length = len(Z), len(block)
        scores = Z @ W.T
        hit = ~(scores <= bar[:, None])
        rows, places = own
        hit[rows, places] = False
        begins = np.arange(count) * length // count
        line = np.arange(0, count * length, length)
        # the first from the example's own place on; else, around the end, the first of all
        later = hit & (begins[:, None] <= np.arange(length))
        first = later.argmax(axis=1)
        first = np.where(later.ravel()[line + first], first, hit.argmax(axis=1))
        hits = hit.ravel()[line + first]
        steps = np.where(hits, (first - begins) % length, length)
        passed = (places - begins[rows]) % length < steps[rows]
        found.tries[waiting] += steps + hits - np.bincount(rows[passed], minlength=count)
        there = np.flatnonzero(hits)
        winners, met = waiting[there], first[there]
        found.negatives[winners] = block[met]
        found.scores[winners] = scores.ravel()[line[there] + met]
        if self.exact:
            found.ranks[waiting] = hit.sum(axis=1)
        return np.flatnonzero(~hits)
