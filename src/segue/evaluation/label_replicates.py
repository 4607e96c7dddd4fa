"""How a label curve would have come out with other test groups, other draws, another collection.

Two independent deviations are added, so their variances add up:

- Test groups: the score, averaged over repeats, of as many groups as a fold has, drawn from all (as
  bootstrap_interval does, and for its reason), over the root of the number of folds; enlarged by
  G / (G - 1) for G groups in all, and by COLLECTION.
- Draws: the mean over folds of as many repeats as there are, drawn within each fold; enlarged by
  R / (R - 1) for R repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segue.evaluation.folds import Folds
from segue.evaluation.resampled import resampled_scores
from segue.evaluation.statistics import Floats, group_weights
from segue.evaluation.window_sets import Indices
from segue.seeds import generator

LEVEL = 0.95

COLLECTION = 1.5
"""Another collection would have taught other things, too, which neither test groups nor draws from
the same collection show. The groups that teach are those that test, in turn, so both variances fall
as the number of groups grows. Simulated with three classes in 30 and 60 groups of one to eight
clips and in 150 groups of one, the variance beyond test groups and draws is 0 or less with one and
two clips a class, .2 to .7 of that of test groups from ten on, and .3 to .5 with all. Without it,
intervals cover 83 to 89 % of expected scores instead of 95 where ten clips or more are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """Other groups and other draws, the same for every encoder, size and metric.

    Attributes
    ----------
    fold_weights : (replicates, n) array
        How often each clip counts where as many groups are drawn as a fold has on average.
    weights : (replicates, n) array
        The same with as many groups as there are.
    draws : (replicates, folds, repeats) array
        How often each draw of training clips counts where as many are drawn as there are.
    n_groups : int
    """

    fold_weights: Floats
    weights: Floats
    draws: Floats
    n_groups: int

    @classmethod
    def of(
        cls, groups: Indices, n_folds: int, repeats: int, *, replicates: int, seed: int
    ) -> Resampling:
        """Draw them.

        Examples
        --------
        >>> drawn = Resampling.of(np.arange(8), 2, 3, replicates=50, seed=0)
        >>> drawn.fold_weights.sum(axis=1).max().item(), drawn.weights.shape, drawn.draws.shape
        (4.0, (50, 8), (50, 2, 3))
        """
        n_groups = len(np.unique(groups))
        rng = generator(seed, "label curve", "groups")
        in_fold = group_weights(groups, replicates, rng, size=max(1, round(n_groups / n_folds)))
        everywhere = group_weights(groups, replicates, rng)
        times = generator(seed, "label curve", "draws").multinomial(
            repeats, np.full(repeats, 1 / repeats), size=(replicates, n_folds)
        )
        return cls(in_fold, everywhere, times.astype(np.float64), n_groups)

    @property
    def enlarged(self) -> float:
        """Factor of deviations of scores of as many groups as there are."""
        return float(np.sqrt(COLLECTION * self.n_groups / (self.n_groups - 1)))


def fold_score_replicates(
    metric: str,
    truth: NDArray[Any],
    predicted: NDArray[Any],
    fold_scores: Floats,
    folds: Folds,
    resampling: Resampling,
) -> Floats:
    """Deviations (replicates, sizes) of one encoder's curve from itself.

    Parameters
    ----------
    metric : str
        A name of metrics.METRICS.
    truth : (n,) or (n, tags) array
    predicted : (sizes, repeats, n) or (sizes, repeats, n, tags) array
        Scores of tags on a scale that folds share.
    fold_scores : (sizes, folds, repeats) array
    folds : Folds
    resampling : Resampling

    Examples
    --------
    >>> truth, folds = np.array([0, 1] * 6), Folds(np.arange(12) // 6)
    >>> predicted = np.stack([[truth, truth]])
    >>> drawn = Resampling.of(np.arange(12), 2, 2, replicates=9, seed=0)
    >>> fold_score_replicates("accuracy", truth, predicted, np.ones((1, 2, 2)), folds, drawn).any()
    np.False_
    """
    tested = np.empty((len(resampling.fold_weights), len(predicted)))
    for size, per_repeat in enumerate(predicted):
        scores = [
            resampled_scores(metric, truth, one, resampling.fold_weights)
            for one in different(per_repeat)
        ]
        tested[:, size] = np.mean(scores, axis=0)
    spread = resampling.enlarged / np.sqrt(len(folds.names))
    deviations: Floats = spread * _deviations(tested) + draw_deviations(fold_scores, resampling)
    return deviations


def draw_deviations(fold_values: Floats, resampling: Resampling) -> Floats:
    """Deviations (replicates, ...) of means over folds, by other draws of training clips.

    Parameters
    ----------
    fold_values : (..., folds, repeats) array
        NaN where undefined, in all repeats of a fold.
    resampling : Resampling

    Examples
    --------
    >>> drawn = Resampling.of(np.arange(4), 1, 2, replicates=1000, seed=0)
    >>> float(draw_deviations(np.array([[0.0, 1.0]]), drawn).std().round(1))
    0.5
    """
    n_repeats = resampling.draws.shape[2]
    if n_repeats == 1:
        return np.zeros((len(resampling.draws), *fold_values.shape[:-2]))
    known = ~np.isnan(fold_values)
    values = np.where(known, fold_values, 0.0)
    values -= values.mean(axis=-1, keepdims=True)
    drawn = np.einsum("bfr,...fr->b...", resampling.draws, values)
    drawn /= np.maximum(known.sum(axis=(-2, -1)), 1)
    enlarged: Floats = np.sqrt(n_repeats / (n_repeats - 1)) * drawn
    return enlarged


def different(per_repeat: NDArray[Any]) -> NDArray[Any]:
    """Predictions of the repeats, once where all repeats are the same."""
    same = all(np.array_equal(one, per_repeat[0]) for one in per_repeat[1:])
    return per_repeat[:1] if same else per_repeat


def interval(
    mean: Floats, deviations: Floats, n_groups: int, *, low: float, high: float
) -> tuple[Floats, Floats]:
    """Student's t interval of means whose deviations stand along the first axis, cut at bounds.

    Examples
    --------
    >>> deviations = np.array([-0.1, 0.1])
    >>> [float(end.round(2)) for end in interval(np.array(0.5), deviations, 40, low=0.0, high=1.0)]
    [0.3, 0.7]
    """
    reach = stats.t.ppf((1 + LEVEL) / 2, df=n_groups - 1) * np.std(deviations, axis=0)
    return np.clip(mean - reach, low, high), np.clip(mean + reach, low, high)


def _deviations(drawn: Floats) -> Floats:
    deviations: Floats = drawn - np.nanmean(drawn, axis=0)
    return np.where(np.isnan(deviations), 0.0, deviations)
