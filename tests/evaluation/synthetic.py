"""Small data sets with a known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Data = tuple[NDArray[np.float64], NDArray[Any], NDArray[np.int64]]


def blobs(n: int = 120, d: int = 6, classes: int = 3, gap: float = 2.0, seed: int = 0) -> Data:
    """Classes as Gaussian blobs ``gap`` deviations apart; four clips to a group of one class."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // 4
    label = groups % classes
    X = rng.normal(size=(n, d)) + gap * rng.normal(size=(classes, d))[label]
    return X, np.array([f"class {code}" for code in label]), groups


def tags(n: int = 120, d: int = 6, n_tags: int = 4, noise: float = 0.3, seed: int = 0) -> Data:
    """Tags as half-spaces; three clips to a group."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    logits = X @ rng.normal(size=(d, n_tags)) + noise * rng.normal(size=(n, n_tags))
    return X, (logits > 0.5).astype(np.int64), np.arange(n) // 3


def line(n: int = 120, d: int = 6, noise: float = 0.3, seed: int = 0) -> Data:
    """A number in [0.4, 0.6] that depends linearly on X; two clips to a group."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = X @ rng.normal(size=d) + noise * rng.normal(size=n)
    return X, 0.4 + 0.2 * (y - y.min()) / np.ptp(y), np.arange(n) // 2


MAKERS = {"classification": blobs, "tagging": tags, "regression": line}
