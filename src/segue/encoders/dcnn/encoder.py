"""The networks as an encoder of clips, and as the tensors of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.audio import Audio
from segue.audio.frontends import FrontEnd, GraphFrontEnd
from segue.card import EncoderCard
from segue.encoders.dcnn.network import Dcnn, blank, in_use
from segue.encoders.dcnn.segments import begins, whole
from segue.encoders.dcnn.spec import SEGMENT, DcnnSpec
from segue.encoders.precision import full_float32
from segue.encoders.protocol import Encoder, Samples, Vectors
from segue.encoders.windows import longer, repeated
from segue.errors import WeightsError

SAID = ("tags.weight", "tags.bias")


class DcnnEncoder(Encoder):
    """Mean of the features of a chunk's segments; of several chunks, the mean of their means.

    The 30 s of a chunk are cut into segments of 43 frames, one after the other; what is left over
    is not heard. A clip shorter than a segment is repeated up to one. A last chunk shorter than
    the others counts as much as they do, as with every encoder; :meth:`tags` averages over the
    segments of all chunks.

    Parameters
    ----------
    card : EncoderCard
        Its settings are those of a :class:`DcnnSpec`.
    network : Dcnn
    tag_names : sequence of str
        "TASK: output", of all tasks in order.
    device : str
    """

    def __init__(
        self, card: EncoderCard, network: Dcnn, *, tag_names: Sequence[str], device: str = "cpu"
    ) -> None:
        self.card = card
        self.tag_names = tuple(tag_names)
        self.device = device
        self.front_end = FrontEnd(card.front_end).to(device).eval()
        self.network = in_use(network).to(device)

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        means = [
            self._segments(chunk).double().mean(dim=0).float().cpu().numpy() for chunk in chunks
        ]
        return np.stack(means)

    def graph(self) -> nn.Module:
        return DcnnGraph(self)

    def segments(self, audio: Audio) -> Vectors:
        """Features (segments, dim) of every segment of a clip.

        Raises
        ------
        UsageError
            When the audio is at another rate than the card's.
        """
        found: Vectors = self._of(audio).cpu().numpy()
        return found

    def tags(self, audio: Audio) -> list[tuple[str, float]]:
        """Outputs of all tasks with their probability, averaged over segments, highest first.

        Probabilities of one task's outputs add up to 1.

        Raises
        ------
        UsageError
            When the audio is at another rate than the card's.
        """
        features = self._of(audio)
        with torch.inference_mode(), full_float32():
            logits = self.network.said(features)
            means = [one.double().softmax(dim=1).mean(dim=0) for one in logits]
        scores = torch.cat(means).tolist()
        return sorted(zip(self.tag_names, scores, strict=True), key=lambda one: -one[1])

    def _of(self, audio: Audio) -> Tensor:
        return torch.cat([self._segments(chunk) for chunk in self.chunks_of(audio)])

    def _segments(self, chunk: Samples) -> Tensor:
        with torch.inference_mode(), full_float32():
            samples = torch.from_numpy(np.ascontiguousarray(chunk))[None].to(self.device)
            frames = whole(cast(Tensor, self.front_end(samples)[0]))
            count = len(begins(len(frames)))
            segments = frames[: count * SEGMENT].reshape(count, SEGMENT, -1)
            return self.network.features(segments).float()


class DcnnGraph(nn.Module):
    """Samples (1, n) to the mean features (1, dim) of their segments."""

    def __init__(self, encoder: DcnnEncoder) -> None:
        super().__init__()
        self.front_end = GraphFrontEnd(encoder.front_end)
        self.network = encoder.network

    def forward(self, samples: Tensor) -> Tensor:
        """Features (1, dim)."""
        frames = self.front_end(samples)[0]
        count = longer(1, frames.shape[0] // SEGMENT)
        segments = repeated(frames, count * SEGMENT).reshape(count, SEGMENT, -1)
        return self.network.features(segments).double().mean(dim=0, keepdim=True).float()


def dcnn_shapes(card: EncoderCard, tags: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of such a folder.

    Raises
    ------
    WeightsError
        Tags that are not one for each output.
    """
    spec = DcnnSpec.of(card)
    if tags != spec.outputs:
        raise WeightsError(
            wanted=f"{spec.outputs} tags, one for each output of {', '.join(spec.names)}",
            got=str(tags),
            fix="The folder was changed by hand: copy it again from where it was made",
            source=card.name,
        )
    return {name: tuple(values.shape) for name, values in _folded(blank(spec)).items()}


def dcnn_tensors(network: Dcnn) -> dict[str, NDArray[np.float32]]:
    """A network's tensors as a folder has them: the output layers are one, ``tags``.

    Examples
    --------
    >>> network = Dcnn(DcnnSpec(tasks=(("g", 16), ("m", 40))))
    >>> dcnn_tensors(network)["tags.weight"].shape
    (56, 256)
    """
    return {
        name: np.ascontiguousarray(values.detach().float().cpu().numpy())
        for name, values in _folded(network).items()
    }


def _folded(network: Dcnn) -> dict[str, Tensor]:
    state = {
        name: values
        for name, values in network.state_dict().items()
        if not name.startswith("outputs.") and not name.endswith("num_batches_tracked")
    }
    layers = [cast(nn.Linear, output) for output in network.outputs]
    joined = (
        torch.cat([layer.weight for layer in layers]),
        torch.cat([layer.bias for layer in layers]),
    )
    return {**state, **dict(zip(SAID, joined, strict=True))}


def dcnn_network(card: EncoderCard, tensors: Mapping[str, NDArray[np.float32]]) -> Dcnn:
    """The network of a checked folder; the inverse of :func:`dcnn_tensors`."""
    network = Dcnn(DcnnSpec.of(card))
    state = {name: torch.from_numpy(values) for name, values in tensors.items()}
    weights, biases = (state.pop(name) for name in SAID)
    ends = np.cumsum([outputs for _, outputs in network.spec.tasks]).tolist()
    for task, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        state[f"outputs.{task}.weight"] = weights[begin:end]
        state[f"outputs.{task}.bias"] = biases[begin:end]
    # every name was checked against the shapes; a folder only lacks the counts of batches
    network.load_state_dict(state, strict=False)
    return in_use(network)


def dcnn_encoder(
    card: EncoderCard,
    tensors: Mapping[str, NDArray[np.float32]],
    tags: Sequence[str],
    device: str,
) -> DcnnEncoder:
    """The encoder of a checked folder."""
    return DcnnEncoder(card, dcnn_network(card, tensors), tag_names=tags, device=device)
