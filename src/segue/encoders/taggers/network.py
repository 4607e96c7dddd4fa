"""What every published tagger's network offers: vectors of its layers, and scores of its tags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TAGS = 50  # every one of them was taught the 50 commonest tags of its data set
MUSICNN_LAYERS = (
    "layer 1 is the front end and 2-4 the convolutions after it, as means over time; "
    "5 their maxima, 6 the dense layer"
)


class TaggerNetwork(nn.Module, ABC):
    """Frames (batch, t, bins) to layer vectors and to the logits of 50 tags.

    Attributes
    ----------
    widths : tuple of int
        Numbers of layer 1, layer 2, ...
    meaning : str
        What the layers are, for cards.
    """

    widths: ClassVar[tuple[int, ...]]
    meaning: ClassVar[str]

    @abstractmethod
    def forward(self, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Vectors [(batch, width)] of all layers, and logits (batch, 50)."""

    def prepare(self) -> None:
        """Make it ready for use, once, after its weights are in: nothing is learned any more."""
        self.eval()
        self.requires_grad_(False)
        drop_subnormals(self)


class PooledConvNet(TaggerNetwork):
    """Convolution 3 x 3, batch normalisation, ReLU, max-pooling, some times over.

    Parameters
    ----------
    maps : tuple of int
        Feature maps of the blocks.
    pools : tuple of (int, int)
        Pooling of the blocks, (frequency, time).
    """

    def __init__(self, maps: tuple[int, ...], pools: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        inputs = (1, *maps[:-1])
        self.pools = pools
        self.input_norm = nn.BatchNorm2d(1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n, m, 3, padding=1) for n, m in zip(inputs, maps, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(m) for m in maps)

    def blocks(self, frames: Tensor) -> list[Tensor]:
        """Maps (batch, maps, frequency, time) that come out of each block."""
        maps = self.input_norm(frames.transpose(1, 2).unsqueeze(1))
        outputs = []
        for conv, norm, pool in zip(self.convolutions, self.norms, self.pools, strict=True):
            # ReLU never decreases: pooling first gives the same with less work
            maps = torch.relu(nn.functional.max_pool2d(norm(conv(maps)), pool))
            outputs.append(maps)
        return outputs

    def prepare(self) -> None:
        """Fold every batch normalisation into the convolution before it."""
        super().prepare()
        pairs = zip(self.convolutions, self.norms, strict=True)
        self.convolutions = nn.ModuleList(
            fuse_conv_bn_eval(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm))
            for conv, norm in pairs
        )
        self.norms = nn.ModuleList(nn.Identity() for _ in self.pools)
        # maps last in memory, where a CPU pools them many times as fast
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().prepare()


def drop_subnormals(network: nn.Module) -> None:
    """Weights too small for a normal float32 become 0.

    A tenth of some published weights are such numbers (decayed away in training), and processors
    take a hundred times as long for them: the FCN of the Million Song Dataset takes 1.4 s a clip
    with them and .09 s without. No sum of float32 changes by 1e-38.

    Examples
    --------
    >>> layer = nn.Linear(1, 1, bias=False).requires_grad_(False)
    >>> _ = layer.weight.fill_(1e-40)
    >>> drop_subnormals(layer)
    >>> layer.weight.item()
    0.0
    """
    for tensor in network.state_dict().values():
        if tensor.dtype == torch.float32:
            tensor[tensor.abs() < torch.finfo(torch.float32).tiny] = 0.0
