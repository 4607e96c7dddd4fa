"""A Hugging Face model as an encoder of clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segue.card import EncoderCard
from segue.encoders.huggingface.hearing import Hearing
from segue.encoders.huggingface.network import Tower
from segue.encoders.precision import full_float32
from segue.encoders.protocol import Encoder, Samples, Vectors


class HuggingFaceEncoder(Encoder):
    """Means over time of the asked layers' hidden states, one layer after the other.

    Parameters
    ----------
    card : EncoderCard
        ``card.layers`` says which layers.
    tower : Tower
        The network, which gives those layers.
    hearing : Hearing
        How it hears a chunk.
    widths : mapping of int to int
        Numbers of each asked layer.
    device : str
    """

    def __init__(
        self,
        card: EncoderCard,
        tower: Tower,
        hearing: Hearing,
        *,
        widths: dict[int, int],
        device: str = "cpu",
    ) -> None:
        self.card = card
        self.tower = tower.to(device).eval()
        self.hearing = hearing.to(device).eval()
        self.device = device
        self._widths = widths
        # chunks that the network hears at once: on a CPU more than one only costs memory
        self.batch = 1 if device == "cpu" else 8

    @property
    def widths(self) -> dict[int, int]:
        """Numbers that each layer of this encoder gives, in order."""
        return self._widths

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        # only inputs of one shape share a batch: nothing is padded to its neighbours
        alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        with torch.inference_mode(), full_float32():
            chunks = [self._long_enough(chunk) for chunk in chunks]
            inputs = [self.hearing(self._samples(chunk)) for chunk in chunks]
            for number, one in enumerate(inputs):
                alike[tuple(one.shape)].append(number)
            vectors = np.empty((len(chunks), self.card.dim), np.float32)
            for numbers in alike.values():
                for begin in range(0, len(numbers), self.batch):
                    some = numbers[begin : begin + self.batch]
                    counting = [self.hearing.counting(len(chunks[number])) for number in some]
                    heard = self.tower(torch.stack([inputs[number] for number in some]), counting)
                    vectors[some] = heard.float().cpu().numpy()
        return vectors

    def _long_enough(self, chunk: Samples) -> Samples:
        return np.resize(chunk, max(len(chunk), self.hearing.least))

    def _samples(self, chunk: Samples) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(chunk)).to(self.device)
