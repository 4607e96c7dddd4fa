"""One digest for what a table holds, whoever wrote it, when, and in which shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segue.card import canonical_json
from segue.store.layout import FACTS
from segue.store.rows import Failure, Place
from segue.store.shards import features_of

DIGEST_BYTES = 32
_MORE = ("key", "source_rate", "source_channels", "seconds", "decoder")


def row_digests(rows: pa.Table, dim: int) -> list[bytes]:
    """Digest of each row of a shard: everything but when it was written."""
    cells = rows.select([*FACTS, *_MORE]).to_pylist()
    features = np.ascontiguousarray(features_of(rows, dim), "<f4")
    return [
        hashlib.sha256(canonical_json(one).encode() + b"\n" + vector.tobytes()).digest()
        for one, vector in zip(cells, features, strict=True)
    ]


def failure_digests(failures: Mapping[Place, Failure]) -> list[bytes]:
    """Digest of each standing failure."""
    return [
        hashlib.sha256(
            canonical_json(
                {
                    **{name: getattr(failure.facts, name) for name in FACTS},
                    "stage": failure.stage,
                    "reason": failure.reason,
                }
            ).encode()
        ).digest()
        for failure in failures.values()
    ]


def together(card: str, rows: Iterable[list[bytes]], failures: list[bytes]) -> str:
    """One digest of a card's rows and failures, whatever order they come in."""
    state = hashlib.sha256(card.encode())
    for digests in (b"".join(b"".join(some) for some in rows), b"".join(failures)):
        ordered = _sorted(digests)
        state.update(b"\n%d\n" % len(ordered))
        state.update(ordered.tobytes())
    return state.hexdigest()


def _sorted(digests: bytes) -> NDArray[np.void]:
    return np.sort(np.frombuffer(digests, f"V{DIGEST_BYTES}"))
