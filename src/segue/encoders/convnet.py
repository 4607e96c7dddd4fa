"""The five-layer convnet of Choi et al. 2017 and the features of all its layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segue.audio import Audio
from segue.audio.frontends import FrontEnd, GraphFrontEnd, preset
from segue.card import EncoderCard, ExcerptSpec
from segue.encoders.allocation import keep_freed_memory
from segue.encoders.precision import full_float32
from segue.encoders.protocol import Encoder, Samples, Vectors

MAPS = 32
LAYERS = (1, 2, 3, 4, 5)
# (frequency, time): the released code's; the paper's figure has sizes that do not fit 96 bands
POOLS = ((2, 4), (3, 4), (2, 5), (2, 4), (4, 4))
FRONT_END = preset("choi2017")
EXCERPT = ExcerptSpec(seconds=29.0, short="tile")


class ConvNet(nn.Module):
    """Five times convolution 3 x 3, batch normalisation, ELU, max-pooling; 32 maps each.

    Frames (batch, 1360, 96) go in; the output of layer k, averaged over time and frequency after
    its pooling, comes out as (batch, 32), for every k.

    Examples
    --------
    >>> [tuple(layer.shape) for layer in ConvNet()(torch.zeros(2, 1360, 96))]
    [(2, 32), (2, 32), (2, 32), (2, 32), (2, 32)]
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (1, MAPS, MAPS, MAPS, MAPS)
        self.convolutions = nn.ModuleList(nn.Conv2d(n, MAPS, 3, padding=1) for n in inputs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(MAPS, eps=1e-3) for _ in inputs)

    def forward(self, frames: Tensor, depth: int = len(POOLS)) -> list[Tensor]:
        """Layer outputs [(batch, 32)] of frames (batch, t, bins), down to layer ``depth``."""
        maps = frames.transpose(1, 2).unsqueeze(1)
        outputs = []
        for layer in range(depth):
            maps = self.block(maps, layer)
            outputs.append(maps.mean(dim=(2, 3)))
        return outputs

    def top(self, frames: Tensor) -> Tensor:
        """Output (batch, 32) of the last layer alone, as training needs it."""
        maps = frames.transpose(1, 2).unsqueeze(1)
        for layer in range(len(POOLS)):
            maps = self.block(maps, layer)
        return maps.mean(dim=(2, 3))

    def block(self, maps: Tensor, layer: int) -> Tensor:
        """One layer. ELU never decreases, so pooling first gives the same at an eighth the work."""
        maps = self.norms[layer](self.convolutions[layer](maps))
        return nn.functional.elu(nn.functional.max_pool2d(maps, POOLS[layer]))

    def fused(self) -> ConvNet:
        """Copy for use: every batch normalisation is folded into its convolution.

        Its maps lie last in memory, where convolution and pooling need neither copies nor jumps:
        on a CPU that is four times as fast as torch's own layout.
        """
        self.eval()
        copy = ConvNet()
        copy.convolutions = nn.ModuleList(
            fuse_conv_bn_eval(cast(nn.Conv2d, conv), norm)
            for conv, norm in zip(self.convolutions, self.batch_norms(), strict=True)
        )
        copy.norms = nn.ModuleList(nn.Identity() for _ in POOLS)
        copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return copy.eval()

    def batch_norms(self) -> list[nn.BatchNorm2d]:
        """The batch normalisations, layer by layer."""
        return [cast(nn.BatchNorm2d, norm) for norm in self.norms]


def calibrate(network: ConvNet, clips: Iterable[Tensor]) -> None:
    """Set the batch-normalisation statistics of a network to those of a reference set.

    The published network was always run with the statistics of its batch (its stored means are 0
    and variances 1), so one clip alone had no defined features. This computes, layer by layer,
    what one single batch of the whole reference set would give, and freezes it.

    Parameters
    ----------
    network : ConvNet
        Changed in place: running means and (biased) variances of all layers.
    clips : iterable of Tensor
        Frames (1, 1360, 96) of the reference clips. Memory: 2 MB a clip, the pooled maps of one
        layer; every convolution is run twice rather than its 16 MB output kept.
    """
    network.eval()
    with torch.inference_mode():
        maps = [frames.transpose(1, 2).unsqueeze(1) for frames in clips]
        for layer, norm in enumerate(network.batch_norms()):
            outputs = (network.convolutions[layer](one) for one in maps)
            variance, mean = (
                torch.stack(
                    [
                        torch.stack(torch.var_mean(one[0], dim=(1, 2), correction=0))
                        for one in outputs
                    ]
                )
                .double()
                .unbind(dim=1)
            )
            # clips have equal length: the variance of all is the mean variance within clips plus
            # the variance of their means
            norm.load_state_dict(
                {
                    "running_mean": mean.mean(dim=0).float(),
                    "running_var": (variance.mean(dim=0) + mean.var(dim=0, correction=0)).float(),
                },
                strict=False,
            )
            maps = [network.block(one, layer) for one in maps]


class ConvNetEncoder(Encoder):
    """Features of the asked layers of a convnet, concatenated in the order asked.

    Parameters
    ----------
    card : EncoderCard
        ``card.layers`` says which layers, its front end and excerpt what they hear.
    network : ConvNet
        With frozen statistics; only the layers needed are computed.
    tag_names : sequence of str
        What it was taught to say, where that is known.
    says : pair of arrays, optional
        Weights (tags, 32) and biases (tags,) of the output that says them, over the last layer.
    device : str
    """

    def __init__(
        self,
        card: EncoderCard,
        network: ConvNet,
        *,
        tag_names: Sequence[str] = (),
        says: tuple[Vectors, Vectors] | None = None,
        device: str = "cpu",
    ) -> None:
        self.card = card
        self.tag_names = tuple(tag_names)
        self.says = says
        self.device = device
        self.front_end = FrontEnd(card.front_end).to(device).eval()
        self.network = network.fused().to(device)
        # a layer's maps are 16 MB per clip: on a CPU more than one clip at once only costs cache
        self.batch = 1 if device == "cpu" else 32
        keep_freed_memory()

    @property
    def widths(self) -> dict[int, int]:
        """Numbers that each layer of this encoder gives, in order."""
        return dict.fromkeys(self.card.layers, MAPS)

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        parts = [
            self._encode(chunks[begin : begin + self.batch])
            for begin in range(0, len(chunks), self.batch)
        ]
        return np.concatenate(parts)

    def _encode(self, chunks: Sequence[Samples]) -> Vectors:
        with torch.inference_mode(), full_float32():
            samples = torch.from_numpy(np.stack(chunks)).to(self.device)
            outputs = self.network(self.front_end(samples), depth=max(self.card.layers))
            chosen = [outputs[layer - 1] for layer in self.card.layers]
            return torch.cat(chosen, dim=1).float().cpu().numpy()

    def graph(self) -> nn.Module:
        return ConvNetGraph(self)

    def tags(self, audio: Audio) -> list[tuple[str, float]]:
        """Tags of one clip with their probabilities, averaged over its chunks, likeliest first.

        Raises
        ------
        UsageError
            When the audio is at another rate than the card's, or the network has no tags.
        """
        if self.says is None:
            return super().tags(audio)
        weights, biases = (values.astype(np.float64) for values in self.says)
        with torch.inference_mode(), full_float32():
            tops = [
                self.network.top(
                    self.front_end(torch.from_numpy(np.stack([chunk])).to(self.device))
                )
                for chunk in self.chunks_of(audio)
            ]
            logits = torch.cat(tops).double().cpu().numpy() @ weights.T + biases
        scores = (1.0 / (1.0 + np.exp(-logits))).mean(axis=0).tolist()
        return sorted(zip(self.tag_names, scores, strict=True), key=lambda one: -one[1])


class ConvNetGraph(nn.Module):
    """Samples (1, n) to the features (1, dim) of an encoder's layers."""

    def __init__(self, encoder: ConvNetEncoder) -> None:
        super().__init__()
        self.layers = encoder.card.layers
        self.front_end = GraphFrontEnd(encoder.front_end)
        self.network = encoder.network

    def forward(self, samples: Tensor) -> Tensor:
        """Features (1, dim)."""
        outputs = self.network(self.front_end(samples), depth=max(self.layers))
        return torch.cat([outputs[layer - 1] for layer in self.layers], dim=1)
