"""Joint embeddings with random numbers, for tests of what is done with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segue.card import EncoderCard
from segue.encoders import Encoder
from segue.encoders.folders import EncoderFolder, write_folder
from segue.encoders.joint import CITATION, EXCERPT, FRONT_END, JointSpec, joint_shapes
from segue.seeds import generator

TAGS = ("one: jazz", "one: rock", "two: Jazz", "two: calm")


def random_joint(
    path: Path,
    *,
    name: str = "joint",
    hidden: int = 0,
    dimensions: int = 6,
    base: Encoder | None,
    tags: Sequence[str] = TAGS,
) -> EncoderFolder:
    """Write an embedding of log-mel frames, or of another encoder's vectors."""
    spec = JointSpec(
        inputs=base.card.dim if base else FRONT_END.bins,
        dimensions=dimensions,
        hidden=hidden,
        base=base.card.label if base else "",
        base_digest=base.card.digest if base else "",
    )
    card = EncoderCard(
        name=name,
        version=1,
        dim=spec.width,
        front_end=base.card.front_end if base else FRONT_END,
        excerpt=base.card.excerpt if base else EXCERPT,
        settings=spec.settings(),
        description="an embedding of random numbers",
        citation=CITATION,
    )
    draws = generator(0, "joint toy")
    tensors = {
        key: draws.normal(0.0, 0.1, shape).astype(np.float32)
        for key, shape in joint_shapes(card, len(tags)).items()
    }
    return write_folder(
        path, architecture="warp", card=card, tags=tags, training={}, tensors=tensors
    )
