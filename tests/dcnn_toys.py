"""Convnets of Kim et al. 2018 with random numbers, for tests of what is done with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segue.card import EncoderCard
from segue.encoders.dcnn import (
    CITATION,
    EXCERPT,
    FRONT_END,
    Dcnn,
    DcnnSpec,
    Sharing,
    dcnn_tensors,
)
from segue.encoders.folders import EncoderFolder, write_folder
from segue.seeds import generator
from segue.training.dcnn.network import new_dcnn

TASKS = (("g", 3), ("m", 4))
TAGS = ("g: calm", "g: loud", "g: odd", "m: 1", "m: 2", "m: 3", "m: 4")


def random_network(
    *, sharing: Sharing = "none", tasks: tuple[tuple[str, int], ...] = TASKS, width: float = 0.125
) -> Dcnn:
    """A narrow network that hears the usual levels of music as standard."""
    shift, scale = np.full(128, -35.0, np.float32), np.full(128, 1 / 15, np.float32)
    spec = DcnnSpec(tasks=tasks, sharing=sharing, width=width)
    network = new_dcnn(spec, shift=shift, scale=scale, seed=0)
    draws = generator(0, "dcnn toy")
    for name, values in network.named_buffers():  # as if it had been trained
        if name.endswith(("running_mean", "running_var")):
            drawn = draws.uniform(0.1, 1.0, tuple(values.shape))
            values.copy_(values.new_tensor(drawn))
    return network.eval()


def card_of(spec: DcnnSpec, *, name: str = "dcnn") -> EncoderCard:
    """The card of such networks."""
    return EncoderCard(
        name=name,
        version=1,
        dim=spec.dim,
        front_end=FRONT_END,
        excerpt=EXCERPT,
        settings=spec.settings(),
        description="convnets of random numbers",
        citation=CITATION,
    )


def random_dcnn(path: Path, *, name: str = "dcnn", sharing: Sharing = "none") -> EncoderFolder:
    """Write the folder of such networks."""
    network = random_network(sharing=sharing)
    return write_folder(
        path,
        architecture="dcnn",
        card=card_of(network.spec, name=name),
        tags=TAGS,
        training={},
        tensors=dcnn_tensors(network),
    )
