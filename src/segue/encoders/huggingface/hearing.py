"""How a family of networks hears a chunk: what it is given, and which positions count.

A chunk is prepared alone and never padded to the length of another one. Where the network itself
wants a fixed length (Whisper, AST), only positions that hear the chunk count in the mean.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from segue.card import FrontEndSpec
from segue.encoders.huggingface.facts import Facts

SECONDS = 30.0  # heard at once by a network that takes chunks of any length
RATES = (1000, 400_000)  # hertz
Settings = tuple[tuple[str, str | int | float], ...]


class Hearing(nn.Module):
    """What of a chunk a network is given.

    Attributes
    ----------
    spec : FrontEndSpec
        Its rate is that of the samples. Where a network makes its own frames, their length, step
        and number.
    seconds : float
        Of a chunk: never more than the network takes at once.
    least : int
        Samples that the network needs; a shorter chunk is repeated up to them.
    settings : tuple of pairs
        For the card: what decides features beside the files of the model.
    """

    spec: FrontEndSpec
    seconds: float
    least: int = 1
    settings: Settings = ()

    @abstractmethod
    def forward(self, samples: Tensor) -> Tensor:
        """The network's input, of one chunk (n,), without an axis for batches."""

    def counting(self, length: int) -> Tensor | None:
        """Which positions (positions,) hear a chunk of ``length`` samples; None: all."""
        return None


class RawSamples(Hearing):
    """Samples as they are, of zero mean and unit variance where the model wants that.

    Wav2Vec 2.0 and what came after it: HuBERT, WavLM, data2vec, UniSpeech, MERT. Chunks are 30 s;
    the networks have no positions of their own beyond a few frames, so that any length does. (MERT
    was taught crops of 5 s; it hears 30 s here, as much as other encoders.)

    Parameters
    ----------
    extractor, config : Facts
        Of the feature extractor and of the network.
    kernels, strides : sequences of int
        Of the network's convolutions.
    channels : int
        That the last of them gives.
    squeezed : int
        Frames that the network joins to one (SEW).
    """

    def __init__(
        self,
        extractor: Facts,
        *,
        kernels: list[int],
        strides: list[int],
        channels: int,
        squeezed: int = 1,
    ) -> None:
        super().__init__()
        rate = extractor.whole("sampling_rate", *RATES)
        extractor.whole("feature_size", 1, 1, default=1)
        self.normalised = extractor.flag("do_normalize", default=True)
        hop, field = 1, 1
        for kernel, stride in zip(kernels, strides, strict=True):
            field += (kernel - 1) * hop
            hop *= stride
        self.spec = FrontEndSpec(rate=rate, n_fft=field, hop=hop, n_mels=channels)
        self.seconds = SECONDS
        self.least = field + (squeezed - 1) * hop
        self.settings = (("normalised", int(self.normalised)),)

    def forward(self, samples: Tensor) -> Tensor:
        """Samples (n,)."""
        if not self.normalised:
            return samples
        exact = samples.double()
        level = (exact.var(correction=0) + 1e-7).sqrt()
        return ((exact - exact.mean()) / level).float()


def positions(length: int, step: int) -> int:
    """How many positions of ``step`` samples hear a chunk: at least one.

    Examples
    --------
    >>> positions(480_000, 320), positions(321, 320), positions(1, 320)
    (1500, 2, 1)
    """
    return max(1, math.ceil(length / step))


def first(count: int, of: int) -> Tensor:
    """A mask (of,) of the first ones.

    Examples
    --------
    >>> first(2, 3).tolist()
    [True, True, False]
    """
    return torch.arange(of) < count
