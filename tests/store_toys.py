"""Small feature tables: a card of three numbers, and rows of them."""

from __future__ import annotations

import numpy as np

from segue.card import EncoderCard, ExcerptSpec, FrontEndSpec
from segue.store import Failure, FileFacts, Row

SPEC = FrontEndSpec(rate=8000, n_fft=256, hop=128, n_mels=20)
CARD = EncoderCard(name="x", version=1, dim=3, front_end=SPEC, excerpt=ExcerptSpec(seconds=1.0))


def facts(number: int) -> FileFacts:
    return FileFacts(
        id=f"t{number}", path=f"/m/{number}.wav", line=number, bytes=number, mtime_ns=1
    )


def row(number: int, value: float = 0.0) -> Row:
    return Row(
        facts=facts(number),
        key=f"k{number}",
        source_rate=44100,
        source_channels=2,
        seconds=1.5,
        features=np.array([number, value, -1], np.float32),
    )


def failure(number: int, reason: str = "no") -> Failure:
    return Failure(facts=facts(number), stage="decode", reason=reason)
