"""Labels that features contradict: candidates for a second look, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from segue.errors import UsageError
from segue.evaluation.audit.duplicates import Pair, shown
from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.spaces import components, normal_scores
from segue.evaluation.audit.verdicts import LeakTest, NotRun
from segue.evaluation.folds import group_codes, outer_folds

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NAME = "label noise"
QUESTION = (
    "Are there labels that the features contradict, more than confusable classes explain? Wrong "
    "labels in the test part cost score, and hide what a model can do."
)
USUAL = 0.02
"""Share of wrong labels that is no finding."""

SKILL = 0.5
"""How far from chance (0) to perfect (1) a classifier must come to doubt labels."""

FEWEST, FEWEST_OF_CLASS = 200, 20
"""Clips that a share can be told of, in classes of so many: rare ones are mistaken for others."""

FOLDS = 5
CONFIDENT = 0.9
LISTED = 50
FARTHEST = 60.0
OFFSET_PENALTY = 0.1
"""Scores below the best are cut there; offsets of classes are kept small."""


def noise_test(data: AuditSet, pairs: Sequence[Pair] = (), *, seed: int = 0) -> LeakTest | NotRun:
    """Share of labels that no confusion between classes explains, and the clips themselves.

    A linear classifier predicts each clip from folds without its group. Its scores become
    probabilities by one temperature and one offset for each class; a share of labels is let come
    from nowhere. That share is compared with 2 % by the ratio of likelihoods, each group counting
    as one clip. Copies of a recording with two labels are certain, whatever the share.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang: Confident learning. J. Artificial Intelligence Research 70,
    2021.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> test = noise_test(simulate(Recipe(noise_labels=0.1, class_spread=1.0), 0))
    >>> bool(0.06 < test.statistic < 0.14), test.p_value < 0.01
    (True, True)
    """
    if data.task != "classification":
        return NotRun(NAME, f"it needs classes, and the target is one of {data.task}")
    try:
        scores, truth, groups = _out_of_fold(data, seed)
    except UsageError as error:
        return NotRun(NAME, f"wanted {error.wanted}, got {error.got}")
    right = float((scores.argmax(axis=1) == truth).mean())
    chance = float(np.bincount(truth).max() / len(truth))
    skill = (right - chance) / (1 - chance)
    torn = [pair for pair in pairs if pair.certain and data.y[pair.first] != data.y[pair.second]]
    torn = [pair for pair in torn if None not in (data.y[pair.first], data.y[pair.second])]
    if skill < SKILL and not torn:
        return NotRun(NAME, f"labels are predicted too badly to doubt them ({right:.0%} right)")
    common = np.flatnonzero(np.bincount(truth)[truth] >= FEWEST_OF_CLASS)
    if len(common) < FEWEST and not torn:
        return NotRun(
            NAME, f"{len(common)} clips of classes of {FEWEST_OF_CLASS} or more are too few"
        )
    found = _share(scores, truth, groups, common)
    candidates = _candidates(data, found.probabilities, truth)
    words = (
        f"{found.share:.1%} of the labels seem to come from nowhere; up to {USUAL:.0%} is usual. "
        f"{len(candidates)} clips are predicted as another class with a probability of "
        f"{CONFIDENT:.0%} or more."
    )
    if torn:
        words += f" {len(torn)} recordings stand in the data with two labels."
    return LeakTest(
        name=NAME,
        question=QUESTION,
        meaning="share of labels that features contradict",
        statistic=found.share,
        low=found.low,
        high=found.high,
        control=USUAL,
        p_value=found.p_value if skill >= SKILL and len(common) >= FEWEST else float("nan"),
        limit="suspect",
        least="suspect" if torn else "clear",
        words=words,
        rows=[*_torn(data, torn), *candidates[:LISTED]],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Share:
    share: float
    low: float
    high: float
    p_value: float
    probabilities: Floats


def _out_of_fold(data: AuditSet, seed: int) -> tuple[Floats, Integers, Integers]:
    """Scores of each class, true class and group of labelled rows; folds split no group."""
    rows = data.labelled
    Z, truth = components(normal_scores(data.X))[rows], data.codes[rows]
    groups = np.arange(len(rows))
    for names in data.groups.values():
        own = group_codes([names[row] or f"(row {row})" for row in rows], len(rows))
        groups = own if own.max() < groups.max() else groups
    labels = np.array(data.classes)[truth]
    folds = outer_folds(labels, groups, "classification", n_folds=FOLDS, seed=seed)
    scores = np.full((len(rows), len(data.classes)), -FARTHEST)
    for train, test in folds.splits():
        counts = np.bincount(truth[train], minlength=len(data.classes))
        train = train[counts[truth[train]] > 1]
        head = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        head.fit(Z[train], truth[train])
        said = head.decision_function(Z[test])
        if len(head.classes_) == 2:
            said = np.column_stack([np.zeros(len(test)), said])
        scores[np.ix_(test, head.classes_)] = said - said.max(axis=1, keepdims=True)
    return np.maximum(scores, -FARTHEST), truth, groups


def _share(scores: Floats, truth: Integers, groups: Integers, common: Integers) -> _Share:
    """Share of labels from nowhere among common classes, by maximum likelihood."""
    every, scores, truth, groups = scores, scores[common], truth[common], groups[common]
    free = _fit(scores, truth, None)
    usual = _fit(scores, truth, USUAL)
    gain = _likelihood(free, scores, truth) - _likelihood(usual, scores, truth)
    sizes = np.bincount(groups)
    units = np.bincount(groups, weights=gain) / np.maximum(sizes, 1)
    ratio = max(0.0, 2 * float(units.sum()))
    share = float(free[-1])
    p_value = float(stats.chi2.sf(ratio, 1) / 2) if share > USUAL else 1.0
    # the interval that goes with the ratio of likelihoods, as if it were a parabola
    reach = 1.96 * abs(share - USUAL) / max(np.sqrt(ratio), 1e-6)
    reach = min(reach, 1.96 * float(np.sqrt(0.25 / int((sizes > 0).sum()))))
    return _Share(
        share=share,
        low=max(0.0, share - reach),
        high=min(1.0, share + reach),
        p_value=p_value,
        probabilities=np.exp(log_softmax(_logits(free, every), axis=1)),
    )


def _logits(parameters: Floats, scores: Floats) -> Floats:
    """Scores times a temperature, plus an offset for each class."""
    offsets = np.concatenate([[0.0], parameters[1:-1]])
    logits: Floats = np.exp(parameters[0]) * scores + offsets
    return logits


def _likelihood(parameters: Floats, scores: Floats, truth: Integers) -> Floats:
    """Log likelihood of each label; the last parameter is the share from nowhere."""
    rows = np.arange(len(truth))
    own = np.exp(log_softmax(_logits(parameters, scores), axis=1)[rows, truth])
    share, others = parameters[-1], scores.shape[1] - 1
    logs: Floats = np.log(np.maximum((1 - share) * own + share * (1 - own) / others, 1e-12))
    return logs


def _fit(scores: Floats, truth: Integers, share: float | None) -> Floats:
    """Log temperature, offsets and share (fixed where given) of greatest likelihood."""
    n, k = scores.shape
    rows, own_class = np.arange(n), np.eye(k)[truth]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        e = float(expit(parameters[-1])) if share is None else share
        P = np.exp(log_softmax(_logits(parameters, scores), axis=1))
        own = P[rows, truth]
        q = np.maximum((1 - e) * own + e * (1 - own) / (k - 1), 1e-12)
        slope = ((1 - e - e / (k - 1)) * own / q)[:, None] * (own_class - P)
        gradient = np.concatenate(
            [
                [-(slope * scores).sum() * np.exp(parameters[0])],
                -slope[:, 1:].sum(axis=0) + OFFSET_PENALTY * parameters[1:-1],
                [-(((1 - own) / (k - 1) - own) / q).sum() * e * (1 - e) if share is None else 0.0],
            ]
        )
        penalty = OFFSET_PENALTY / 2 * float((parameters[1:-1] ** 2).sum())
        return -float(np.log(q).sum()) + penalty, gradient

    bounds = [(-4.0, 4.0), *[(-5.0, 5.0)] * (k - 1), (-7.0, 0.0)]
    starts = [np.array([start, *[0.0] * (k - 1), -2.5]) for start in (0.0, -1.0)]
    tried = [minimize(loss, x, jac=True, method="L-BFGS-B", bounds=bounds) for x in starts]
    best: Floats = min(tried, key=lambda one: one.fun).x.copy()
    best[-1] = expit(best[-1]) if share is None else share
    return best


def _candidates(data: AuditSet, P: Floats, truth: Integers) -> list[dict[str, object]]:
    """Clips predicted as another class with confidence, the most confident first."""
    other = P.argmax(axis=1)
    sure = P.max(axis=1)
    chosen = np.flatnonzero((other != truth) & (sure >= CONFIDENT))
    return [
        {
            "clip": data.ids[int(data.labelled[row])],
            "label": data.classes[int(truth[row])],
            "predicted": data.classes[int(other[row])],
            "probability": float(sure[row]),
            "of its label": float(P[row, truth[row]]),
        }
        for row in chosen[np.argsort(-sure[chosen], kind="stable")]
    ]


def _torn(data: AuditSet, pairs: Sequence[Pair]) -> list[dict[str, object]]:
    return [
        {
            "clip": f"{data.ids[pair.first]} = {data.ids[pair.second]}",
            "label": shown(data.y[pair.first]),
            "predicted": shown(data.y[pair.second]),
            "probability": 1.0,
            "of its label": None,
        }
        for pair in pairs
    ]
