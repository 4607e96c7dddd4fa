"""Positives per second of lightfm-next's WARP; run by warp.py, in any interpreter that has it.

    python benchmarks/warp_lightfm.py frames.npz --threads 2

Needs numpy, scipy and lightfm (PyPI: lightfm-next), nothing of segue. A frame is a user whose
features are its numbers, a label is an item; the loss, its sampling and AdaGrad are lightfm's own.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

FRAMES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="npz with X (n, d), rows and codes (m,), labels")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dimensions", type=int, default=100)
    parser.add_argument("--max-sampled", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=0.05, help="default: lightfm's own")
    given = parser.parse_args()
    from lightfm import LightFM  # type: ignore[import-not-found,unused-ignore]

    data = np.load(given.data)
    X, rows, codes, labels = data["X"], data["rows"], data["codes"], int(data["labels"])
    users = sparse.csr_matrix(X)
    items = sparse.identity(labels, format="csr", dtype=np.float32)
    ones = np.ones(len(rows), np.float32)
    carried = sparse.coo_matrix((ones, (rows, codes)), shape=(len(X), labels))
    model = LightFM(
        no_components=given.dimensions,
        loss="warp",
        learning_rate=given.learning_rate,
        max_sampled=given.max_sampled,
        random_state=0,
    )
    began = time.perf_counter()
    for _ in range(given.epochs):
        model.fit_partial(
            carried, user_features=users, item_features=items, num_threads=given.threads
        )
    seconds = time.perf_counter() - began
    assert np.isfinite(model.user_embeddings).all()
    found = {
        "positives_per_s": given.epochs * len(rows) / seconds,
        "violating": violating(model, X, rows, codes),
        "version": version("lightfm-next"),
    }
    print(json.dumps(found))


def violating(
    model: Any, X: NDArray[np.float32], rows: NDArray[np.int64], codes: NDArray[np.int64]
) -> float:
    """Share of the first frames' negatives that score above the positive's score less 1."""
    part = rows < FRAMES
    rows, codes = rows[part], codes[part]
    scores = X[:FRAMES] @ model.user_embeddings @ model.item_embeddings.T + model.item_biases
    above = scores[rows] > (scores[rows, codes] - 1.0)[:, None]
    carried = np.zeros(scores.shape, dtype=bool)
    carried[rows, codes] = True
    return float(above[~carried[rows]].mean())


if __name__ == "__main__":
    main()
