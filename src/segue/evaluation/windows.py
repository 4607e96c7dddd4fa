"""Linear regression on windows of clips: the genre classifier of Hamel et al. (2013).

Every window is a training example with its clip's label; the outputs of a clip's windows are
averaged and the highest names the class. Training parts overlap, so each is merged of triangular
factors that were computed once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.folds import check_target, group_codes
from segue.evaluation.linear_heads import Floats, one_hot
from segue.evaluation.protocols import Progress
from segue.evaluation.triangles import Factor
from segue.evaluation.window_penalty import Penalty, check_alpha, weights
from segue.evaluation.window_sets import Indices, Windows, factor_of
from segue.seeds import derive

__all__ = [
    "Split",
    "WindowRegression",
    "WindowScores",
    "Windows",
    "check_splits",
    "clip_labels",
    "cross_validate_windows",
]
Split = tuple[Indices, Indices]


class WindowRegression:
    """Least squares from windows to one-hot labels; a clip's label is that of its mean output.

    Parameters
    ----------
    alpha : float, default 0.0
        Ridge penalty; 0 is the paper's plain least squares, of least norm where windows are fewer
        than dimensions.

    Attributes
    ----------
    classes_ : (classes,) array of str
    coef_ : (classes, d) array
    intercept_ : (classes,) array

    References
    ----------
    P. Hamel, M. E. P. Davies, K. Yoshii, M. Goto: Transfer learning in MIR: sharing learned latent
    representations for music audio classification and similarity. ISMIR 2013, section 6.2.

    Examples
    --------
    >>> windows = Windows(np.array([[-2.0], [-1.0], [1.0], [2.5]]), np.array([0, 0, 1, 1]))
    >>> WindowRegression().fit(windows, ["sad", "glad"]).predict(windows)
    array(['sad', 'glad'], dtype='<U4')
    """

    def __init__(self, *, alpha: float = 0.0) -> None:
        self.alpha = alpha

    def fit(self, windows: Windows, labels: ArrayLike) -> WindowRegression:
        """Learn from all windows and one label a clip.

        Raises
        ------
        UsageError
            Not one label for each clip, a missing label, a single class, or alpha below 0.
        """
        check_alpha(self.alpha)
        names = clip_labels(labels, len(windows))
        self.classes_, codes = np.unique(names, return_inverse=True)
        targets = one_hot(codes[windows.clip_of_window], len(self.classes_))
        with threadpool_limits(1):
            self.coef_, self.intercept_ = Factor.of(windows.table, targets).ridge(self.alpha)
        return self

    def clip_scores(self, windows: Windows) -> Floats:
        """Mean output (clips, classes) over each clip's windows.

        Raises
        ------
        UsageError
            Not fitted yet, or windows of another width.
        """
        width = self.coef_.shape[1] if hasattr(self, "coef_") else None
        if width != windows.means.shape[1]:
            raise UsageError(
                wanted="a fitted model" if width is None else f"windows of {width} numbers",
                got="none" if width is None else f"{windows.means.shape[1]}",
                fix="Fit it first" if width is None else "Use the features it was fitted on",
                source="window regression",
            )
        scores: Floats = windows.means @ self.coef_.T + self.intercept_
        return scores

    def predict(self, windows: Windows) -> NDArray[np.str_]:
        """Label (clips,) of the highest mean output."""
        best = self.clip_scores(windows).argmax(axis=1)
        labels: NDArray[np.str_] = self.classes_[best]
        return labels


@dataclass(frozen=True, slots=True)
class WindowScores:
    """Cross-validated predictions.

    Attributes
    ----------
    predictions : (clips,) array of str
        Empty for a clip that no fold tests.
    fold_accuracy : (folds,) array
        ``statistics.mean_and_error`` gives the mean and the standard error of the paper's tables.
    """

    predictions: NDArray[np.str_]
    fold_accuracy: Floats


def cross_validate_windows(
    windows: ArrayLike,
    clip_of_window: ArrayLike,
    labels: ArrayLike,
    folds: Iterable[Split],
    *,
    alpha: Penalty = 0.0,
    groups: ArrayLike | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> WindowScores:
    """Predict every clip from the windows of the clips it is not tested with.

    Windows that always train together (in k folds, those of one fold) are decomposed once; a
    training part is merged of these. The results are those of WindowRegression on each part.

    Parameters
    ----------
    windows : (n, d) array
    clip_of_window : (n,) integer array
        See Windows.
    labels : (clips,) sequence of str
    folds : iterable of (train, test)
        Clip numbers; ``folds.outer_folds(...).splits()`` gives them. A clip is tested once at most.
    alpha : float or "chosen", default 0.0
        See WindowRegression; "chosen" takes the best of window_penalty.SHARES by inner folds.
    groups : (clips,) or None
        Inner folds do not split a group.
    seed : int
        Of the inner folds.
    progress : callable, optional
        Called as ``progress(completed, total)`` after each fold.

    Raises
    ------
    UsageError
        As Windows and WindowRegression; or a fold trains on a clip it tests, tests nothing, tests
        a clip again, names a clip that is not there, trains on a single class, or tests a class it
        does not train on.

    Examples
    --------
    >>> from segue.evaluation.folds import outer_folds
    >>> labels = ["low", "high"] * 4
    >>> windows = np.repeat(np.arange(8) % 2, 2)[:, None] + np.array([[0.0], [0.1]] * 8)
    >>> folds = outer_folds(labels, None, "classification", n_folds=2)
    >>> done = cross_validate_windows(windows, np.repeat(np.arange(8), 2), labels, folds.splits())
    >>> done.fold_accuracy
    array([1., 1.])
    """
    check_alpha(alpha)
    cut = Windows(np.asarray(windows), np.asarray(clip_of_window))
    names = clip_labels(labels, len(cut))
    splits = check_splits(folds, names)
    tied = group_codes(groups, len(cut))
    classes, codes = np.unique(names, return_inverse=True)
    trains = np.zeros((len(splits), len(cut)), dtype=bool)
    for number, (train, _) in enumerate(splits):
        trains[number, train] = True
    patterns, part_of = np.unique(trains, axis=1, return_inverse=True)
    predictions = np.full(len(cut), "", dtype=names.dtype)
    accuracy = np.empty(len(splits))
    with threadpool_limits(1):
        parts = [
            factor_of(cut, np.flatnonzero(part_of.ravel() == part), codes, len(classes))
            for part in range(patterns.shape[1])
        ]
        for number, (train, test) in enumerate(splits):
            inside = [part for part, used in zip(parts, patterns[number], strict=True) if used]
            own = derive(seed, "window penalty", number)
            whole = Factor.merged(inside)
            coef, intercept = weights(whole, alpha, cut, train, codes, tied, seed=own)
            best = (cut.means[test] @ coef.T + intercept).argmax(axis=1)
            predictions[test] = classes[best]
            accuracy[number] = np.mean(best == codes[test])
            if progress is not None:
                progress(number + 1, len(splits))
    return WindowScores(predictions, accuracy)


def clip_labels(labels: ArrayLike, n_clips: int) -> NDArray[np.str_]:
    """One label a clip, as text.

    Raises
    ------
    UsageError
        Another number of labels, a missing one, or a single class.

    Examples
    --------
    >>> clip_labels(["rock", "jazz"], 2)
    array(['rock', 'jazz'], dtype='<U4')
    """
    names = check_target(labels, "classification").astype(str)
    if len(names) != n_clips:
        raise UsageError(
            wanted=f"a label for each of {n_clips} clips",
            got=f"{len(names)} labels",
            fix="Give labels in the order of the clips' numbers",
            source="windows",
        )
    return names


def check_splits(folds: Iterable[Split], names: NDArray[np.str_]) -> list[Split]:
    """Training and test clips of each fold, checked against the labels.

    Raises
    ------
    UsageError
        See cross_validate_windows.

    Examples
    --------
    >>> check_splits([([0, 1], [2]), ([2], [0])], np.array(["a", "b", "a"]))
    Traceback (most recent call last):
    segue.errors.UsageError: folds: wanted two classes or more to train on, got one in fold 1. ...
    """
    splits = [_clips(train, test, len(names), fold) for fold, (train, test) in enumerate(folds)]
    if not splits:
        raise _wrong("one fold or more", "none", "Give training and test clips of each fold")
    times = np.bincount(np.concatenate([test for _, test in splits]), minlength=len(names))
    if (times > 1).any():
        clip = int(times.argmax())
        raise _wrong("each clip tested once at most", f"clip {clip} {times[clip]} times", _REMAKE)
    for fold, (train, test) in enumerate(splits):
        known = np.unique(names[train])
        if len(known) < 2:
            raise _wrong("two classes or more to train on", f"one in fold {fold}", _REMAKE)
        if len(unseen := np.setdiff1d(names[test], known)):
            shown = ", ".join(repr(str(name)) for name in unseen[:5])
            raise _wrong(
                "every tested class among the training clips",
                f"{shown} in fold {fold} only to test",
                "Drop classes of too few clips or groups, or use fewer folds",
            )
    return splits


_REMAKE = "Make the folds again, for example with segue.evaluation.folds.outer_folds"


def _clips(train: ArrayLike, test: ArrayLike, n: int, fold: int) -> Split:
    pair = np.asarray(train), np.asarray(test)
    for part, what in zip(pair, ("training", "test"), strict=True):
        good = part.ndim == 1 and part.size and part.dtype.kind in "iu"
        if not good or part.min() < 0 or part.max() >= n or len(np.unique(part)) < len(part):
            wanted = f"{what} clips of fold {fold}: different whole numbers below {n}"
            got = f"shape {part.shape} of {part.dtype}" if not good else f"{part[:5]} ..."
            raise _wrong(wanted, got, _REMAKE)
    if len(both := np.intersect1d(*pair)):
        raise _wrong("no clip in training and test", f"clip {both[0]} in fold {fold}", _REMAKE)
    return pair[0].astype(np.int64), pair[1].astype(np.int64)


def _wrong(wanted: str, got: str, fix: str) -> UsageError:
    return UsageError(wanted=wanted, got=got, fix=fix, source="folds")
