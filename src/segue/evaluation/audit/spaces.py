"""Features made comparable before rows are compared: ranks, residuals, whitening."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from sklearn.covariance import ledoit_wolf

from segue.evaluation.audit.material import AuditSet

Floats = NDArray[np.float64]

MOST_DIMENSIONS = 128
"""Principal components kept of wider features: more than that hold noise of a few rows."""

FEWEST_NEIGHBOURS = 0.3
"""Share of neighbouring rows of one class from which their differences measure the noise."""


def normal_scores(X: Floats) -> Floats:
    """Each column by the normal quantiles of its ranks: no tail outweighs the rest.

    Columns that never vary are left out.

    Examples
    --------
    >>> normal_scores(np.array([[1.0, 5], [2, 5], [900, 5]])).round(2).tolist()
    [[-0.97], [0.0], [0.97]]
    """
    varied = X[:, np.ptp(X, axis=0) > 0]
    scores: Floats = norm.ppf((rankdata(varied, axis=0) - 0.5) / len(X))
    return scores


def components(Z: Floats, most: int = MOST_DIMENSIONS) -> Floats:
    """Rows in the first principal components, unscaled, where there are more columns than that.

    Examples
    --------
    >>> components(np.eye(4), 2).shape
    (4, 2)
    """
    centred: Floats = Z - Z.mean(axis=0)
    if Z.shape[1] <= most:
        return centred
    if len(Z) < Z.shape[1]:
        U, s, _ = np.linalg.svd(centred, full_matrices=False)
        reduced: Floats = U[:, :most] * s[:most]
        return reduced
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :most]
    turned: Floats = centred @ axes
    return turned


def local_space(data: AuditSet) -> Floats:
    """What labels do not explain of the features, in units of how neighbours differ.

    The noise is measured by differences of rows that follow each other within a class, hardly any
    of which lie across a border of batches: a shift between batches is then large in this space,
    where whitening by the whole spread would hide it.
    """
    Z = components(data.unexplained(normal_scores(data.X)))
    steps = Z[1:] - Z[:-1]
    alike = data.codes[1:] == data.codes[:-1]
    if alike.mean() > FEWEST_NEIGHBOURS:
        steps = steps[alike]
    return _whitened(Z, ledoit_wolf(steps / np.sqrt(2), assume_centered=True)[0])


def _whitened(Z: Floats, covariance: Floats) -> Floats:
    spread, axes = np.linalg.eigh(covariance)
    floor = max(spread[-1] * 1e-9, 1e-300)
    whitened: Floats = Z @ (axes / np.sqrt(np.maximum(spread, floor)))
    return whitened
