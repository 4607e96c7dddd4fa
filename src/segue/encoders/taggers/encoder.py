"""The encoder of every published tagger: features of the asked layers, and tags with scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from segue.audio import Audio
from segue.audio.frontends import FrontEnd, GraphFrontEnd
from segue.card import EncoderCard
from segue.encoders.allocation import keep_freed_memory
from segue.encoders.precision import full_float32
from segue.encoders.protocol import Encoder, Samples, Vectors
from segue.encoders.taggers.hearing import Hearing
from segue.encoders.taggers.network import TaggerNetwork
from segue.encoders.windows import longer, repeated


class TaggerEncoder(Encoder):
    """Features of a tagger's layers, concatenated in the order asked, and its tags.

    Parameters
    ----------
    card : EncoderCard
        ``card.layers`` says which layers.
    network : TaggerNetwork
        With its weights, prepared.
    front_end : FrontEnd
    hearing : Hearing
        How a chunk is cut for the network.
    tag_names : sequence of str
        In the order of the network's outputs.
    device : str
    """

    def __init__(
        self,
        card: EncoderCard,
        network: TaggerNetwork,
        front_end: FrontEnd,
        *,
        hearing: Hearing,
        tag_names: Sequence[str],
        device: str = "cpu",
    ) -> None:
        self.card = card
        self.network = network.to(device)
        self.front_end = front_end.to(device)
        self.hearing = hearing
        self.tag_names = tuple(tag_names)
        self.device = device
        # parts that the network hears at once: on a CPU more than one only costs cache
        self.batch = 1 if device == "cpu" else 64
        keep_freed_memory()

    @property
    def widths(self) -> dict[int, int]:
        """Numbers that each layer of this encoder gives, in order."""
        return {layer: self.network.widths[layer - 1] for layer in self.card.layers}

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        def chosen(frames: Tensor) -> Tensor:
            vectors, _ = self.network(frames)
            return torch.cat([vectors[layer - 1] for layer in self.card.layers], dim=1)

        rows, counts = self._heard(chunks, chosen)
        means = [some.mean(dim=0) for some in torch.split(rows, counts)]
        return torch.stack(means).float().cpu().numpy()

    def graph(self) -> nn.Module | None:
        # pieces with a spectrogram of their own would have to be counted and cut in the graph
        return None if self.hearing.cut == "pieces" else TaggerGraph(self)

    def tags(self, audio: Audio) -> list[tuple[str, float]]:
        """Tags of one clip with their probabilities, likeliest first.

        As the authors do, probabilities are averaged over everything heard: all pieces or patches
        of the card's excerpt, or of the whole clip where the encoder was built with
        ``chunks=None``. A last chunk with fewer of them counts for less, unlike in features.

        Raises
        ------
        UsageError
            When the audio is at another rate than the card's.
        """

        def probabilities(frames: Tensor) -> Tensor:
            _, logits = self.network(frames)
            return torch.sigmoid(logits.double())

        rows, _ = self._heard(self.chunks_of(audio), probabilities)
        scores = rows.mean(dim=0).tolist()
        return sorted(zip(self.tag_names, scores, strict=True), key=lambda pair: -pair[1])

    def _heard(
        self, chunks: Sequence[Samples], hear: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, list[int]]:
        """What ``hear`` makes of every part (parts, n), and how many parts each chunk has."""
        with torch.inference_mode(), full_float32():
            parts = [self.hearing.frames(one, self.front_end, self.device) for one in chunks]
            heard = [hear(some) for some in torch.split(torch.cat(parts), self.batch)]
            return torch.cat(heard).double(), [len(part) for part in parts]


class TaggerGraph(nn.Module):
    """Samples (1, n), whole or cut into patches, to the features (1, dim) of a tagger's layers."""

    def __init__(self, encoder: TaggerEncoder) -> None:
        super().__init__()
        self.front_end = GraphFrontEnd(encoder.front_end)
        self.network = encoder.network
        self.layers = encoder.card.layers
        self.length = encoder.hearing.length

    def forward(self, samples: Tensor) -> Tensor:
        """Features (1, dim)."""
        if self.length:
            least = self.length * self.front_end.spec.hop
            samples = repeated(samples[0], longer(least, samples.shape[1]))[None]
        frames = self.front_end(samples)
        if self.length:
            patches = frames.shape[1] // self.length
            frames = frames[0, : patches * self.length].reshape(patches, self.length, -1)
        vectors, _ = self.network(frames)
        chosen = torch.cat([vectors[layer - 1] for layer in self.layers], dim=1)
        return chosen.double().mean(dim=0, keepdim=True).float()
