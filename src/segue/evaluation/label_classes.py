"""Which class would profit most from more labels: recall and F1 of each class along the curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segue.evaluation.folds import Folds
from segue.evaluation.label_draws import Size
from segue.evaluation.label_replicates import Resampling, draw_deviations, interval
from segue.evaluation.statistics import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ClassScores:
    """Recall and F1 of every class of one encoder.

    Counted over the clips of all folds and averaged over draws before anything is divided, so that
    a class that is absent from some folds has a score, too.

    Attributes
    ----------
    recall, recall_low, recall_high : (sizes, classes) arrays
        With 95 % intervals; NaN where there are none.
    f1, f1_low, f1_high : (sizes, classes) arrays
    f1_deviations : (replicates, sizes, classes) array
        As Curve.deviations.
    """

    recall: Floats
    recall_low: Floats
    recall_high: Floats
    f1: Floats
    f1_low: Floats
    f1_high: Floats
    f1_deviations: Floats


def class_scores(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    folds: Folds,
    resampling: Resampling,
    n_classes: int,
    *,
    intervals: bool,
) -> ClassScores:
    """Recall and F1 of each class.

    Parameters
    ----------
    truth : (n,) array of codes
    predicted : (sizes, repeats, n) array of codes
    folds : Folds
    resampling : Resampling
    n_classes : int
    intervals : bool
        Whether there are groups enough for any.

    Examples
    --------
    >>> truth, folds = np.array([0, 1] * 6), Folds(np.arange(12) // 6)
    >>> drawn = Resampling.of(np.arange(12), 2, 2, replicates=9, seed=0)
    >>> found = class_scores(truth, np.stack([[truth, 0 * truth]]), folds, drawn, 2, intervals=True)
    >>> found.recall, found.f1.round(2)
    (array([[1. , 0.5]]), array([[0.8 , 0.67]]))
    """
    codes = np.arange(n_classes)
    is_true = (truth[:, None] == codes).astype(np.float64)
    n_true = is_true.sum(axis=0)
    said = predicted[..., None] == codes
    hits = said & (is_true > 0)
    # means over draws (sizes, n, classes): these counts are linear, so draws can be averaged first
    mean_hits, mean_said = hits.mean(axis=1), said.mean(axis=1)
    recall, f1 = _scores(mean_hits.sum(axis=1), mean_said.sum(axis=1), n_true)
    weights, n_groups = resampling.weights, resampling.n_groups
    of_groups = _scores(
        np.einsum("bn,snc->bsc", weights, mean_hits, optimize=True),
        np.einsum("bn,snc->bsc", weights, mean_said, optimize=True),
        (weights @ is_true)[:, None],
    )
    of_draws = _scores(
        mean_hits.sum(axis=1) + _moved(hits, folds, resampling),
        mean_said.sum(axis=1) + _moved(said, folds, resampling),
        n_true,
    )
    recall_off, f1_off = (
        resampling.enlarged * (groups - np.mean(groups, axis=0)) + (drawn - whole)
        for groups, drawn, whole in zip(of_groups, of_draws, (recall, f1), strict=True)
    )
    recall_ends = interval(recall, recall_off, n_groups, low=0.0, high=1.0)
    f1_ends = interval(f1, f1_off, n_groups, low=0.0, high=1.0)
    if not intervals:
        recall_ends = f1_ends = (np.full(f1.shape, np.nan), np.full(f1.shape, np.nan))
    return ClassScores(recall, *recall_ends, f1, *f1_ends, f1_off)


def _moved(counted: NDArray[np.bool_], folds: Folds, resampling: Resampling) -> Floats:
    """Deviations (replicates, sizes, classes) of counts, by other draws."""
    tested = [folds.assignment == fold for fold in folds.names]
    # (folds, sizes, repeats, classes) -> (sizes, classes, folds, repeats)
    by_fold = np.array([counted[:, :, rows].sum(axis=2) for rows in tested], dtype=np.float64)
    return len(tested) * draw_deviations(by_fold.transpose(1, 3, 0, 2), resampling)


def _scores(hits: Floats, said: Floats, true: Floats) -> tuple[Floats, Floats]:
    """Recall and F1; 0 where a class neither is nor is said to be."""
    return hits / np.maximum(true, 1e-12), 2 * hits / np.maximum(said + true, 1e-12)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassGain:
    """What one class gained from more labels at the end of an encoder's curve.

    Attributes
    ----------
    encoder, label : str
    clips_before, clips_after : float
        Clips of the class that were drawn.
    before, after, gain : float
        F1 of the class, and the difference.
    low, high : float
        95 % interval of the gain; NaN where there is none.
    """

    encoder: str
    label: str
    clips_before: float
    clips_after: float
    before: float
    after: float
    gain: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """The gain for CSV and JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Profit:
    """Gains of all classes from the size before to the last, largest first.

    Attributes
    ----------
    encoder : str
    before, after : int or None
        Sizes.
    gains : tuple of ClassGain
    grew : bool
        Whether the largest gain is above 0.
    apart : tuple of str
        The class that would profit most, if it can be told from all others; else it and those that
        it cannot be told from.
    """

    encoder: str
    before: Size
    after: Size
    gains: tuple[ClassGain, ...]
    grew: bool
    apart: tuple[str, ...]


def class_profit(
    encoder: str,
    labels: Sequence[str],
    sizes: Sequence[Size],
    class_clips: Floats,
    scores: ClassScores,
    n_groups: int,
    *,
    intervals: bool,
) -> Profit | None:
    """Gain of each class from about half of the labels to all that were drawn at most.

    F1 and not recall: recall rises for a class that is merely said more often. The class with the
    largest gain was found by looking, so it is told from the others at a level divided by their
    number (Bonferroni), by intervals of the differences on the same groups and draws; and whether
    it gained at all, at a level divided by the number of classes.

    Returns
    -------
    Profit or None
        None where the curve has one size.
    """
    drawn = class_clips.sum(axis=1)
    if len(sizes) < 2:
        return None
    half = [at for at in range(len(sizes) - 1) if drawn[at] <= 0.5 * drawn[-1]]
    at = half[-1] if half else len(sizes) - 2
    gain = scores.f1[-1] - scores.f1[at]
    moved = scores.f1_deviations[:, -1] - scores.f1_deviations[:, at]
    low, high = interval(gain, moved, n_groups, low=-1.0, high=1.0)
    if not intervals:
        low = high = np.full(len(gain), np.nan)
    order = np.argsort(-gain, kind="stable")
    best, n = order[0], len(order)
    reach = stats.t.ppf(1 - 0.05 / 2 / max(1, n - 1), df=n_groups - 1)
    apart = gain[best] - gain - reach * np.std(moved[:, [best]] - moved, axis=0)
    tied = [labels[one] for one in order if one == best or not (intervals and apart[one] > 0)]
    least = stats.t.ppf(1 - 0.05 / 2 / n, df=n_groups - 1) * np.std(moved[:, best])
    return Profit(
        encoder=encoder,
        before=sizes[at],
        after=sizes[-1],
        gains=tuple(
            ClassGain(
                encoder=encoder,
                label=labels[one],
                clips_before=float(class_clips[at, one]),
                clips_after=float(class_clips[-1, one]),
                before=float(scores.f1[at, one]),
                after=float(scores.f1[-1, one]),
                gain=float(gain[one]),
                low=float(low[one]),
                high=float(high[one]),
            )
            for one in order
        ),
        grew=bool(intervals and gain[best] > least),
        apart=tuple(tied),
    )
