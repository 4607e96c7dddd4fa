"""One plain classifier for all that asks what a clip in the training part is worth."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from segue.evaluation.audit.material import AuditSet
from segue.evaluation.audit.spaces import components, normal_scores

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_ROWS = 2000
"""Rows that one kernel holds; of larger sets a part is drawn."""

RIDGE = 0.1


class Probe:
    """Kernel ridge regression of labels, scored clip by clip.

    A Gaussian kernel as wide as the median distance between clips: near enough to the support
    vector machines that features are used with, and solved at once for any training part.

    Parameters
    ----------
    data : AuditSet
    rows : (m,) integer array
        Labelled rows that take part; all indices below count within these.

    Examples
    --------
    >>> from segue.evaluation.audit.simulated import Recipe, simulate
    >>> data = simulate(Recipe(class_spread=2.0, order="shuffled"), 0)
    >>> probe = Probe(data, data.labelled)
    >>> bool(probe.scores(np.arange(200), np.arange(200, 400)).mean() > 0.9)
    True
    """

    def __init__(self, data: AuditSet, rows: Integers) -> None:
        self.data = data
        self.rows = rows

    @cached_property
    def kernel(self) -> Floats:
        """Likeness of all clips (m, m)."""
        Z = components(normal_scores(self.data.X))[self.rows]
        squares = (Z**2).sum(axis=1)
        gaps = np.maximum(squares[:, None] + squares - 2 * (Z @ Z.T), 0.0)
        kernel: Floats = np.exp(-gaps / np.median(gaps[np.triu_indices(len(gaps), 1)]))
        return kernel

    @cached_property
    def labels(self) -> Floats:
        """What is predicted (m, k): a column per class or tag, or the value."""
        columns = self.data.label_matrix[self.rows]
        return columns[:, :1] if self.data.task == "regression" else columns

    def predict(self, train: Integers, test: Integers) -> Floats:
        """Predictions (len(test), k) learned from other clips."""
        mean = self.labels[train].mean(axis=0)
        gram = self.kernel[np.ix_(train, train)] + RIDGE * np.eye(len(train))
        weights = cho_solve(cho_factor(gram, lower=True), self.labels[train] - mean)
        predicted: Floats = self.kernel[np.ix_(test, train)] @ weights + mean
        return predicted

    def scores(self, train: Integers, test: Integers) -> Floats:
        """Score of each tested clip, so that their mean is the score of all.

        1 or 0 for a class that is right or wrong; for numbers and tags the share of the variance
        that is explained.
        """
        predicted, truth = self.predict(train, test), self.labels[test]
        if self.data.task == "classification":
            right: Floats = (predicted.argmax(axis=1) == truth.argmax(axis=1)).astype(np.float64)
            return right
        spread = self.labels.var(axis=0)
        errors = ((truth - predicted) ** 2)[:, spread > 0] / spread[spread > 0]
        explained: Floats = 1.0 - errors.mean(axis=1)
        return explained

    @property
    def score_name(self) -> str:
        """What a mean score is."""
        return "accuracy" if self.data.task == "classification" else "variance explained"
