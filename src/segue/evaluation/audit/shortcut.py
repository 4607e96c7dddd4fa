"""Whether the labels can be told from facts of the files alone, without any music."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.verdicts import SUSPECT, LeakTest, NotRun, Verdict
from segue.seeds import generator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FORMAT = "file format"
LOUDNESS = "loudness and size"
FOLDS = 5
DRAWS = (199, 999, 4999)
WORTH_MORE = 0.03
"""Shuffles; more of them where the first show a p-value as small as this."""

BINS = 6
RIDGE = 1.0

MATERIAL = 0.02
FAR = 0.05
"""Score above the control, or share of the labels' variance explained, below which there is no
finding, and below which it is no leak."""

ORDINARY = 0.4
"""The same for level and size: of ordinary music they tell nearly as much (0.18 to 0.31 of accuracy
above chance in a set of moods and two of genres), which is a property of the music."""

FAR_ALONE = 0.3
"""The same where no groups are known: a few artists, each with a format, may be all there is."""

FEWEST_UNITS = 20


def shortcut_tests(data: AuditSet, *, seed: int = 0) -> list[LeakTest | NotRun]:
    """Labels predicted from the format of the files, and from their level and size.

    How loud music is, and how many bytes a codec needs for it, are properties of the music as
    well: what they tell is suspect where it is more than is ordinary, and never a leak. Rate,
    channels, codec and length heard are not.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> said = shortcut_tests(simulate(Recipe(format_shift=0.8), 0))
    >>> [(test.name, test.p_value < 0.01) for test in said]
    [('file format', True), ('loudness and size', False)]
    """
    hard = _test(data, FORMAT, data.facts, "leak", seed)
    return [hard, _test(data, LOUDNESS, data.loudness, "suspect", seed)]


def _test(
    data: AuditSet, name: str, facts: Mapping[str, Sequence[Any]], limit: Verdict, seed: int
) -> LeakTest | NotRun:
    if not facts:
        return NotRun(name, "nothing is known of the files: no store, and no audio at the paths")
    columns = {
        key: _columns([column[row] for row in data.labelled]) for key, column in facts.items()
    }
    varied = {key: block for key, block in columns.items() if block.shape[1]}
    if not varied:
        return NotRun(name, f"the same for all files: {', '.join(columns)}")
    units = _units(data)
    if len(units.weights) < FEWEST_UNITS:
        return NotRun(name, f"{len(units.weights)} groups are too few")
    found = _predicted(data, units, np.hstack(list(varied.values())), seed, DRAWS)
    alone = dict.fromkeys(varied, found)
    if len(varied) > 1:
        alone = {
            key: _predicted(data, units, block, seed, DRAWS[:2]) for key, block in varied.items()
        }
    best = max(alone, key=lambda key: alone[key].score)
    extra = max(found.score - found.control, found.explained)
    far = FAR if data.groups else FAR_ALONE
    least = MATERIAL if limit == "leak" else ORDINARY
    worst: Verdict = "clear" if extra < least else "suspect" if extra < far else limit
    score = "accuracy" if data.task == "classification" else "variance explained"
    words = (
        f"From {', '.join(varied)} alone the labels are predicted with {score} {found.score:.3f}, "
        f"where shuffled labels give {found.control:.3f}."
    )
    if found.p_value <= SUSPECT and extra >= MATERIAL:
        words += f" It is mostly {best} ({alone[best].score:.3f} alone)."
        if limit == "suspect":
            words += " That may be the music itself: louder, denser music has louder, larger files."
            words += "" if extra >= ORDINARY else " It is no more than is ordinary."
    return LeakTest(
        name=name,
        question=(
            "Can the label be told from the files without hearing them? Then a model may have "
            "learned how each class was recorded, coded or cut."
        ),
        meaning=f"{score} of labels predicted from facts of the files",
        statistic=found.score,
        low=found.low,
        high=found.high,
        control=found.control,
        p_value=found.p_value,
        limit=worst,
        words=words,
        rows=[
            {"fact": key, "score alone": one.score, "shuffled": one.control, "p": one.p_value}
            for key, one in alone.items()
        ],
        curves={"facts": list(alone), "scores": [one.score for one in alone.values()]},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """What is shuffled: groups where they are known, else clips."""

    codes: Integers
    weights: Floats
    labels: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Predicted:
    score: float
    low: float
    high: float
    control: float
    explained: float
    p_value: float


def _units(data: AuditSet) -> _Units:
    """Clips of one label and one group, by the coarsest column; those of no group each alone."""
    rows = data.labelled
    codes = np.arange(len(rows))
    for names in data.groups.values():
        own = np.array([names[row] or f"(row {row})" for row in rows])
        found = np.unique(own, return_inverse=True)[1]
        if found.max() < codes.max():
            codes = found
    if data.task == "classification":  # what tells the works of one artist apart counts, too
        codes = np.unique(codes * len(data.classes) + data.codes[rows], return_inverse=True)[1]
    weights = np.bincount(codes).astype(np.float64)
    labels = data.label_matrix[rows]
    if data.task == "regression":
        labels = labels[:, :1]
    return _Units(codes, weights, _averaged(labels, codes, weights))


def _averaged(values: Floats, codes: Integers, weights: Floats) -> Floats:
    total = np.zeros((len(weights), values.shape[1]))
    np.add.at(total, codes, values)
    averaged: Floats = total / weights[:, None]
    return averaged


def _columns(cells: Sequence[Any]) -> Floats:
    """A fact as columns: one per text or whole number of few kinds, else one per sixth of values.

    Unknown is a kind of its own; a fact that is the same for all has no columns.
    """
    known = [cell for cell in cells if cell is not None]
    texts = any(isinstance(cell, str) for cell in known)
    if texts or len(set(known)) <= BINS:
        names = np.array([str(cell) for cell in cells])
    else:
        values = np.array([np.nan if cell is None else float(cell) for cell in cells])
        edges = np.nanquantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
        names = np.where(np.isnan(values), -1, np.searchsorted(edges, values)).astype(str)
    kinds, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    codes = np.where(counts[codes] < 3, -1, codes)
    kept = [code for code in range(len(kinds)) if counts[code] >= 3]
    columns: Floats = (codes[:, None] == kept).astype(np.float64)
    return columns if len(kept) > 1 or (kept and (codes == -1).any()) else columns[:, :0]


def _predicted(
    data: AuditSet, units: _Units, facts: Floats, seed: int, most: Sequence[int]
) -> _Predicted:
    """Out-of-fold score of a linear model, and the same of shuffled labels.

    The p-value ranks the share of the labels' variance that is explained, which sees more than
    the accuracy that is reported.
    """
    rng = generator(seed, "shortcut")
    model = _Linear.of(units, _averaged(facts, units.codes, units.weights), rng)
    own = model.predict(units.labels)
    shuffled: list[tuple[float, float]] = []
    explained, p_value = float(model.explained(own, units.labels).sum()), 1.0
    for draws in most:
        while len(shuffled) < draws:
            labels = units.labels[rng.permutation(len(units.labels))]
            predicted = model.predict(labels)
            score = float(model.scores(predicted, labels, data.task).sum())
            shuffled.append((score, float(model.explained(predicted, labels).sum())))
        p_value = (1 + sum(other >= explained for _, other in shuffled)) / (draws + 1)
        if p_value > WORTH_MORE:
            break
    scores = model.scores(own, units.labels, data.task)
    reach = 1.96 * float(np.sqrt(len(scores)) * scores.std())
    return _Predicted(
        score=float(scores.sum()),
        low=float(scores.sum()) - reach,
        high=float(scores.sum()) + reach,
        control=float(np.mean([score for score, _ in shuffled])),
        explained=explained - float(np.mean([other for _, other in shuffled])),
        p_value=p_value,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    """Ridge regression of labels on facts, fold by fold; what does not depend on labels is kept.

    ``solvers`` turn the labels of a training part into weights, by one product.
    """

    A: Floats
    folds: Integers
    shares: Floats
    solvers: Sequence[Floats]

    @classmethod
    def of(cls, units: _Units, X: Floats, rng: np.random.Generator) -> _Linear:
        """For units with their weights; folds are drawn."""
        A = np.column_stack([np.ones(len(X)), X])
        folds, solvers = rng.permutation(len(X)) % FOLDS, []
        for fold in range(FOLDS):
            weighted = A * np.where(folds == fold, 0.0, units.weights)[:, None]
            gram = weighted.T @ A + RIDGE * np.eye(A.shape[1])
            solvers.append(np.linalg.solve(gram, weighted.T))
        return cls(A, folds, units.weights / units.weights.sum(), solvers)

    def predict(self, labels: Floats) -> Floats:
        """Out-of-fold predictions (units, k)."""
        predicted = np.empty_like(labels)
        for fold, solver in enumerate(self.solvers):
            tested = self.folds == fold
            predicted[tested] = self.A[tested] @ (solver @ labels)
        return predicted

    def explained(self, predicted: Floats, labels: Floats) -> Floats:
        """Share of the variance of the labels that each unit adds, explained."""
        centre = (self.shares[:, None] * labels).sum(axis=0)
        total = float((self.shares * ((labels - centre) ** 2).sum(axis=1)).sum())
        errors = ((labels - predicted) ** 2).sum(axis=1)
        share: Floats = self.shares * (1.0 - errors / max(total, 1e-12))
        return share

    def scores(self, predicted: Floats, labels: Floats, task: str) -> Floats:
        """What each unit adds to the score that is reported."""
        if task != "classification":
            return self.explained(predicted, labels)
        share: Floats = self.shares * (predicted.argmax(axis=1) == labels.argmax(axis=1))
        return share
