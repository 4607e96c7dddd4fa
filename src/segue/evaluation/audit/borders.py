"""Whether features change at the borders of batches of a given size.

A network whose normalisation takes its statistics from each batch shifts all clips of a batch
together. In files sorted by class the batch then tells the class. Two traces of that are measured,
for each size, and held against the same at *placebo borders*: each border moved, on its own, to a
random place between its neighbours. Files that are sorted, and neighbours that sound alike, look
the same at placebo borders as at true ones; only a shift that is tied to the batches does not.

jump
    The distance of the mean of the rows before a border from the mean of the rows after it, within
    one class where files are sorted by class.
level
    How little the means of whole batches differ from each other: statistics of a batch pull its
    mean to where the means of all batches are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.spaces import components, local_space, normal_scores

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

WINDOWS = (16, 12, 8, 6, 4)
"""Rows on either side of a border that are compared: the most that fit."""

SMALLEST_LEVELLED = 32
"""Smaller batches are not tested for levelled means: their means are mostly noise."""

LEVEL_DIMENSIONS = 16

EVEN_CLASSES = 0.2
"""Where the classes themselves are as evenly spread over batches as in the most even fifth of
placebo batches, level means say nothing."""

DRAWS = 999
MORE_DRAWS = 9_999
WORTH_MORE = 0.03
"""Sets of placebo borders; more where the first show a p-value as small as this."""


FAR_FROM_GROUPS = 4
"""Rows from the next border between groups beyond which it does not matter how many."""

MIN_PLACES = 20
"""Fewer places where a window fits do not tell what is usual for it."""

MOST_OF_ROWS = 0.44
"""Largest batch, of all rows: it must have two borders, the last batch a quarter of a batch."""

FEW_PLACEBOS = 100_000
"""With fewer ways of placing placebo borders at multiples of a step, jumps are adjusted for the
usual jump at such multiples instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeResult:
    """What one batch size showed.

    Attributes
    ----------
    size : int
    borders : int
        Those where rows on both sides can be compared; all of them where only means can.
    ratio : float
        Squared jump at borders over that at placebo borders, geometric mean.
    low, high : float
        95 % interval of the ratio, from the spread of as many placebo borders.
    level : float
        Spread of batch means over that of placebo batches; NaN where not tested.
    p_value : float
        For this size alone.
    """

    size: int
    borders: int
    ratio: float
    low: float
    high: float
    level: float
    p_value: float


class BorderScan:
    """Jumps and levels of a data set, for any batch size.

    Parameters
    ----------
    data : AuditSet

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(256, 8)) + np.repeat(rng.normal(size=(8, 8)), 32, axis=0)
    >>> scan = BorderScan(AuditSet(X=X, y=["a"] * 128 + ["b"] * 128, task="classification"))
    >>> scan.test(32, rng).p_value < 0.001, scan.test(20, rng).p_value < 0.001
    (True, False)
    """

    def __init__(self, data: AuditSet) -> None:
        self.data = data

    @cached_property
    def local(self) -> Floats:
        """Features without labels, in units of how neighbours differ."""
        return local_space(self.data)

    @cached_property
    def runs(self) -> Integers:
        """Where runs of one class begin, and the number of rows behind them."""
        codes = self.data.codes
        return np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1, [len(codes)]])

    @cached_property
    def usual_run(self) -> float:
        """Length of the run in which a row taken at random lies, on average."""
        lengths = np.diff(self.runs).astype(np.float64)
        return float((lengths**2).sum() / lengths.sum())

    @cached_property
    def level_space(self) -> Floats:
        """Sums of leading components up to each row (n + 1, k), for means of any stretch.

        What labels explain is kept where files are sorted by class, for there it is what batch
        statistics level; and taken out where classes are mixed.
        """
        scores = normal_scores(self.data.X)
        if self.usual_run < SMALLEST_LEVELLED:
            scores = self.data.unexplained(scores)
        return sums(components(scores, LEVEL_DIMENSIONS))

    @cached_property
    def room(self) -> Integers:
        """Rows on either side of each place that a window may take (n + 1,).

        Where files are sorted by class, a window stays within a run of one class.
        """
        n, place = len(self.data), np.arange(len(self.data) + 1)
        edges = self.runs if self.usual_run >= 4 * WINDOWS[-1] else np.array([0, n])
        after = np.searchsorted(edges, place, side="right")
        before = edges[np.clip(after - 1, 0, len(edges) - 1)]
        behind = edges[np.clip(np.searchsorted(edges, place, side="left"), 0, len(edges) - 1)]
        free: Integers = np.minimum(place - before, behind - place)
        return free

    def jumps(self, size: int) -> Floats:
        """How far features jump at each place (n + 1,); NaN where no window fits.

        The logarithm of the squared distance of the means on both sides, less what is usual for a
        window of that length.
        """
        found, n = np.full(len(self.data) + 1, np.nan), len(self.data)
        total = sums(self.local)
        for window in sorted({min(window, size // 2) for window in WINDOWS}):
            at = np.flatnonzero(self.room >= window)
            at = at[(at >= window) & (at <= n - window)]
            if len(at) < MIN_PLACES:
                continue
            gap = total[at + window] - 2 * total[at] + total[at - window]
            logs = np.log(np.maximum((gap**2).sum(axis=1), 1e-300))
            found[at] = logs - logs.mean()
        return self._without_groups(found)

    def _without_groups(self, jumps: Floats) -> Floats:
        """Jumps less what is usual as far from a border between groups, as far as these are known.

        Where each batch is the work of one artist, or the pieces of one recording, that border is
        explained.
        """
        known = [np.asarray(names, dtype=object) for names in self.data.groups.values()]
        if not known:
            return jumps
        changes = np.any([names[1:] != names[:-1] for names in known], axis=0)
        edges = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(self.data)]])
        place = np.arange(len(jumps))
        after = np.clip(np.searchsorted(edges, place), 0, len(edges) - 1)
        gap = np.minimum(edges[after] - place, place - edges[np.maximum(after - 1, 0)])
        distance = np.minimum(np.abs(gap), FAR_FROM_GROUPS)
        adjusted = jumps.copy()
        for here in np.unique(distance):
            rows = (distance == here) & ~np.isnan(jumps)
            if rows.any():
                adjusted[rows] -= jumps[rows].mean()
        return adjusted

    def test(self, size: int, rng: np.random.Generator) -> SizeResult | None:
        """Whether batches of a size show; None where no two borders can be looked at.

        The p-value is that of jump and level together (Fisher's sum of logarithms), ranked among
        placebo borders. Clips often come in equal lots, such as four pieces of a recording: were
        the size a multiple of the lot, each border would be one between lots, and a placebo mostly
        not. So the test is made once more for each divisor of the size, as if it were the lot, and
        the largest p-value counts.
        """
        borders = np.arange(size, len(self.data) - size // 4, size)
        jumps = self.jumps(size)
        comparable = borders[~np.isnan(jumps[borders])]
        levelled = size >= SMALLEST_LEVELLED and len(borders) > 1
        levelled = levelled and not self._even_classes(size, borders, rng)
        if len(comparable) < 2 and not levelled:
            return None
        found: list[tuple[float, Floats, Floats]] = []
        for lot in [step for step in range(1, size // 2 + 1) if size % step == 0]:
            trial = _Trial.of(size, lot, borders, jumps)
            if trial is not None:
                found.append(self._ranked(trial, levelled, rng))
                if found[-1][0] > WORTH_MORE:  # clear, whatever other lots would show
                    break
        _, placebo, levels = found[0]
        jump, reach = float(np.mean(jumps[comparable])) if len(comparable) > 1 else np.nan, 0.0
        if len(comparable) > 1:
            jump, reach = jump - float(placebo[1:].mean()), 1.96 * float(placebo[1:].std())
        return SizeResult(
            size=size,
            borders=len(comparable) if len(comparable) > 1 else len(borders),
            ratio=float(np.exp(jump)),
            low=float(np.exp(jump - reach)),
            high=float(np.exp(jump + reach)),
            level=float(levels[0] / np.median(levels[1:])) if levelled else float("nan"),
            p_value=max(p for p, _, _ in found),
        )

    def _ranked(
        self, trial: _Trial, levelled: bool, rng: np.random.Generator
    ) -> tuple[float, Floats, Floats]:
        """Rank of the true borders among placebos; mean jumps and levels, true borders first."""
        p, jumps, levels = 1.0, np.empty(0), np.empty(0)
        for draws in (DRAWS, MORE_DRAWS):
            moved = trial.draw(draws, rng)
            surprise = np.zeros(draws + 1)
            if len(trial.comparable) > 1:
                jumps = trial.mean_jumps(moved, rng)
                surprise -= np.log(_upper_share(jumps))
            if levelled:
                levels = spreads(self.level_space, trial.edges(moved))
                surprise -= np.log(_upper_share(-levels))
            p = float(np.mean(surprise >= surprise[0] - 1e-12))
            if p > WORTH_MORE:
                break
        return p, jumps, levels

    def _even_classes(self, size: int, borders: Integers, rng: np.random.Generator) -> bool:
        """Whether the labels alone make the means of such batches as level as they are."""
        trial = _Trial(size, 1, borders, borders[:0], np.empty(len(self.data) + 1))
        edges = trial.edges(trial.draw(DRAWS, rng))
        labels = self.data.label_matrix - self.data.label_matrix.mean(axis=0)
        spread = spreads(sums(labels), edges)
        return bool(np.mean(spread <= spread[0]) <= EVEN_CLASSES)


@dataclass(frozen=True, slots=True)
class _Trial:
    """Borders of one size, and their placebos ``step`` rows apart.

    ``comparable`` are borders where jumps can be measured, ``jumps`` those of every place.
    """

    size: int
    step: int
    borders: Integers
    comparable: Integers
    jumps: Floats

    @classmethod
    def of(cls, size: int, lot: int, borders: Integers, jumps: Floats) -> _Trial | None:
        """For clips that come in lots of that many; None where nothing can be said of such lots."""
        comparable = borders[~np.isnan(jumps[borders])]
        ways = max(len(comparable), 1) * np.log(size // lot)
        if lot == 1 or ways >= np.log(FEW_PLACEBOS):
            return cls(size, lot, borders, comparable, jumps)
        places = np.arange(lot, len(jumps), lot)
        places = places[(places % size > 0) & ~np.isnan(jumps[places])]
        if len(places) < max(5 * len(comparable), 1):
            return None
        adjusted = jumps.copy()
        adjusted[::lot] -= max(0.0, float(jumps[places].mean() - np.nanmean(jumps)))
        return cls(size, 1, borders, comparable, adjusted)

    def draw(self, draws: int, rng: np.random.Generator) -> Integers:
        """Offsets (draws + 1, borders), the first all zero: the true borders."""
        moved: Integers = rng.choice(self._choices(), (draws + 1, len(self.borders)))
        moved[0] = 0
        return moved

    def _choices(self) -> Integers:
        most = (self.size - 1) // 2 // self.step
        return np.arange(-(self.size // 2 // self.step), most + 1) * self.step

    def edges(self, moved: Integers) -> Integers:
        """Edges of batches (draws + 1, batches + 1)."""
        n = len(self.jumps) - 1
        ends = np.zeros((len(moved), 1), dtype=np.int64)
        return np.hstack([ends, np.clip(self.borders + moved, 1, n - 1), ends + n])

    def mean_jumps(self, moved: Integers, rng: np.random.Generator) -> Floats:
        """Mean jump of each draw over the comparable borders.

        A placebo that falls where nothing can be compared gives way to another of its border.
        """
        total, last = np.zeros(len(moved)), len(self.jumps) - 1
        for border in self.comparable:
            offsets = moved[:, np.searchsorted(self.borders, border)]
            values = self.jumps[np.clip(border + offsets, 0, last)]
            lost = np.isnan(values)
            known = self.jumps[np.clip(border + self._choices(), 0, last)]
            values[lost] = rng.choice(known[~np.isnan(known)], int(lost.sum()))
            total += values
        return total / len(self.comparable)


def sums(Z: Floats) -> Floats:
    """Running sums with a zero row before the first: means of any stretch by one subtraction."""
    return np.vstack([np.zeros(Z.shape[1]), np.cumsum(Z, axis=0)])


def spreads(total: Floats, edges: Integers) -> Floats:
    """Spread of the means of stretches between edges (draws, k + 1), one number per draw.

    Parameters
    ----------
    total : (n + 1, d) array
        Running sums of centred rows.

    Examples
    --------
    >>> total = sums(np.array([[1.0], [1.0], [-1.0], [-1.0]]))
    >>> spreads(total, np.array([[0, 2, 4], [0, 1, 4]])).round(2).tolist()
    [4.0, 1.33]
    """
    spread = np.zeros(len(edges))
    for start, stop in zip(edges[:, :-1].T, edges[:, 1:].T, strict=True):
        gap = total[stop] - total[start]
        spread += (gap**2).sum(axis=1) / np.maximum(stop - start, 1)
    return spread


def batch_sizes(n: int, given: Sequence[int] = ()) -> dict[int, float]:
    """Sizes to be tested for n rows, and the share of the error that each may spend.

    Powers of two, which nearly all batches are, share four fifths of it; round numbers the rest.
    Sizes that were given are tested alone.

    Examples
    --------
    >>> batch_sizes(70)
    {8: 0.4, 16: 0.4, 10: 0.1, 20: 0.1}
    """
    if given:
        return {size: 1 / len(given) for size in given}
    binary = [2**power for power in range(3, 13) if 2**power <= MOST_OF_ROWS * n]
    rounds = [size for size in (10, 20, 50, 100, 200, 500, 1000) if size <= MOST_OF_ROWS * n]
    shares = {size: (0.8 if rounds else 1.0) / len(binary) for size in binary}
    return shares | {size: 0.2 / len(rounds) for size in rounds}


def _upper_share(values: Floats) -> Floats:
    """Share of values at least as large as each."""
    return np.asarray((len(values) + 1 - rankdata(values, method="min")) / len(values))
