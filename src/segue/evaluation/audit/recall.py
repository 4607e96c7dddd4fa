"""What borders of batches do to a classifier: recall within a batch against across a border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from segue.evaluation.audit.borders import BorderScan
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.order import NAME as ORDER
from segue.evaluation.audit.order import OrderFinding
from segue.evaluation.audit.spaces import components, normal_scores
from segue.evaluation.audit.verdicts import LeakTest, NotRun
from segue.seeds import generator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NAME = "recall across batches"
QUESTION = (
    "Is a class still recognised when it was learned from clips of another batch? What is lost "
    "there beyond what is lost between any two stretches of files was the batch, not the music."
)
MEANING = "recall lost across borders of batches, less that across other places"
FEWEST = 6
"""Clips on either side of a border."""

MOST = 48
MOST_BORDERS, MOST_PLACEBOS = 40, 60
DRAWS = 9999


def recall_test(data: AuditSet, order: OrderFinding, *, seed: int = 0) -> LeakTest | NotRun:
    """Recall of the clips beside each border, learned from their own batch or from the next.

    Both are learned from as many clips. The clips are of one class where files are sorted by
    class, told from all other classes; else they are of all classes, told from each other. The
    control is the same at places within batches, for windows of the same length.

    Examples
    --------
    >>> from segue.evaluation.audit.order import order_test
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> leaky = simulate(Recipe(batch_size=64, batch_shift=1.0), 0)
    >>> recall_test(leaky, order_test(leaky)).statistic > 0.2
    True
    """
    if data.task != "classification":
        return NotRun(NAME, f"it needs classes, and the target is one of {data.task}")
    if order.size is None:
        return NotRun(NAME, "no borders of batches are suspected")
    rng = generator(seed, NAME)
    scan = BorderScan(data)
    sides = _InRuns(data, scan) if scan.usual_run >= 2 * FEWEST else _Mixed(data)
    found = [
        (border, sides.recall(border, width), control)
        for border, width in sides.borders(order.size, rng)
        if len(control := sides.control(width, order.size, rng)) >= 10
    ]
    if not found:
        return NotRun(NAME, "no border has enough clips of one class on both sides, and placebos")
    lost = np.array([within - across for _, (within, across), _ in found])
    placebo = np.array([control.mean() for _, _, control in found])
    spread = np.sqrt(sum(control.var(ddof=1) for _, _, control in found)) / len(found)
    drawn = np.mean([rng.choice(control, DRAWS) for _, _, control in found], axis=0)
    extra = float((lost - placebo).mean())
    p_value = float((1 + (drawn >= lost.mean()).sum()) / (DRAWS + 1))
    within = float(np.mean([recall[0] for _, recall, _ in found]))
    across = float(np.mean([recall[1] for _, recall, _ in found]))
    return LeakTest(
        name=NAME,
        question=QUESTION,
        meaning=MEANING,
        statistic=extra,
        low=extra - 1.96 * spread,
        high=extra + 1.96 * spread,
        control=float(placebo.mean()),
        p_value=p_value,
        follows=ORDER,
        words=(
            f"Beside borders of batches of {order.size}, {within:.0%} of the clips are recognised "
            f"by what was learned within their batch and {across:.0%} by as many clips from across "
            f"the border: {lost.mean():.0%} lost, where elsewhere {placebo.mean():.0%} are."
        ),
        rows=[
            {
                "border before row": border,
                "label": sides.label(border),
                "recall within": recall[0],
                "recall across": recall[1],
                "lost elsewhere": float(control.mean()),
            }
            for border, recall, control in found
        ],
        curves={"within": [r[0] for _, r, _ in found], "across": [r[1] for _, r, _ in found]},
    )


class _InRuns:
    """Files sorted by class: a border cuts the run of one class, told from all the others.

    A clip counts as recognised when it is nearer to the mean of the clips learned from than to the
    mean of any other class, in the metric of the other classes' own spread.
    """

    def __init__(self, data: AuditSet, scan: BorderScan) -> None:
        self.data = data
        labelled = np.append(data.codes >= 0, False)
        self.room = np.where(labelled, scan.room, 0)
        self.Z = components(normal_scores(data.X))
        self.spaces: dict[int, tuple[Floats, Floats]] = {}

    def borders(self, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Places of borders with the clips compared on each side."""
        at = np.arange(size, len(self.data), size)
        at = at[self.room[at] >= FEWEST]
        at = np.sort(rng.permutation(at)[:MOST_BORDERS])
        return [(int(place), int(min(self.room[place], MOST, size))) for place in at]

    def control(self, width: int, size: int, rng: np.random.Generator) -> Floats:
        """Recall lost at places whose windows hold no border."""
        place = np.arange(len(self.room))
        free = (place % size >= width) & (-place % size >= width) & (self.room >= width)
        chosen = rng.permutation(np.flatnonzero(free))[:MOST_PLACEBOS]
        return np.array([float(np.subtract(*self.recall(int(at), width))) for at in chosen])

    def recall(self, place: int, width: int) -> tuple[float, float]:
        """Recall within and across, learned from every other clip of one side."""
        W, nearest = self._space(int(self.data.codes[place]))
        sides = np.arange(place - width, place), np.arange(place, place + width)
        within: list[float] = []
        across: list[float] = []
        for own, other in (sides, sides[::-1]):
            for half in (0, 1):
                mean = W[own[half::2]].mean(axis=0)
                for tested, kept in ((own[1 - half :: 2], within), (other, across)):
                    near = ((W[tested] - mean) ** 2).sum(axis=1) < nearest[tested]
                    kept.append(float(near.mean()))
        return float(np.mean(within)), float(np.mean(across))

    def label(self, place: int) -> str:
        """The class that a border cuts."""
        return self.data.classes[int(self.data.codes[place])]

    def _space(self, label: int) -> tuple[Floats, Floats]:
        """Rows whitened by the other classes, and their distance from the nearest of them."""
        if label not in self.spaces:
            others = [code for code in np.unique(self.data.codes) if code not in (label, -1)]
            means = {code: self.Z[self.data.codes == code].mean(axis=0) for code in others}
            around = [self.Z[self.data.codes == code] - means[code] for code in others]
            spread, axes = np.linalg.eigh(ledoit_wolf(np.vstack(around), assume_centered=True)[0])
            scale = axes / np.sqrt(np.maximum(spread, spread[-1] * 1e-6))
            W = self.Z @ scale
            gaps = [((W - means[code] @ scale) ** 2).sum(axis=1) for code in others]
            self.spaces[label] = W, np.min(gaps, axis=0)
        return self.spaces[label]


class _Mixed:
    """Classes mixed: all are told from each other, learned from part of one batch."""

    def __init__(self, data: AuditSet) -> None:
        self.data = data
        Z = components(normal_scores(data.X))
        noise = components(data.unexplained(Z))
        spread, axes = np.linalg.eigh(ledoit_wolf(noise)[0])
        self.W = Z @ (axes / np.sqrt(np.maximum(spread, spread[-1] * 1e-6)))

    def borders(self, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Places of borders; a third of a batch is compared on each side."""
        width = min(size // 3, 2 * MOST)
        at = np.arange(size, len(self.data) - width + 1, size)
        if width < 2 * FEWEST:
            return []
        return [(int(place), width) for place in np.sort(rng.permutation(at)[:MOST_BORDERS])]

    def control(self, width: int, size: int, rng: np.random.Generator) -> Floats:
        """Recall lost in the middle of batches, where windows hold no border."""
        places = np.arange(len(self.data) + 1)
        free = (places % size >= width) & (-places % size >= width)
        free &= (places >= width) & (places <= len(self.data) - width)
        chosen = rng.permutation(np.flatnonzero(free))[:MOST_PLACEBOS]
        return np.array([float(np.subtract(*self.recall(int(at), width))) for at in chosen])

    def recall(self, place: int, width: int) -> tuple[float, float]:
        """Recall within and across, learned from every other clip of one side."""
        sides = np.arange(place - width, place), np.arange(place, place + width)
        within: list[float] = []
        across: list[float] = []
        for own, other in (sides, sides[::-1]):
            for half in (0, 1):
                known = own[half::2]
                labels = np.unique(self.data.codes[known])
                labels = labels[labels >= 0]
                means = np.array(
                    [self.W[known[self.data.codes[known] == code]].mean(axis=0) for code in labels]
                )
                for tested, kept in ((own[1 - half :: 2], within), (other, across)):
                    rows = tested[np.isin(self.data.codes[tested], labels)]
                    if len(rows) and len(labels) > 1:
                        gaps = ((self.W[rows, None] - means) ** 2).sum(axis=2)
                        right = labels[gaps.argmin(axis=1)] == self.data.codes[rows]
                        kept.append(float(right.mean()))
        return float(np.mean(within or [0.0])), float(np.mean(across or [0.0]))

    def label(self, place: int) -> str:
        """Of no single class."""
        return "all"
