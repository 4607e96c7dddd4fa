"""``mfcc``: the 120-number baseline of Choi et al. 2017, section 3.3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segue.audio.frontends import FrontEnd, GraphFrontEnd, preset
from segue.card import EncoderCard, ExcerptSpec
from segue.encoders.protocol import Encoder, Samples, Vectors


class MfccEncoder(Encoder):
    """Mean and standard deviation of 20 MFCCs and of their first and second differences.

    Mean and deviation of the coefficients come first, then those of the first, then those of the
    second differences; plain differences, not regression slopes: the order and the numbers of the
    authors' released features. A clip with fewer
    than three frames has no second difference; the statistics of nothing are 0.

    Parameters
    ----------
    chunks : int or None
        29-second chunks heard from the start; None: the whole clip.
    device : str

    Examples
    --------
    >>> MfccEncoder().encode_chunks([np.ones(12000, np.float32)]).shape
    (1, 120)
    """

    def __init__(self, *, chunks: int | None = 1, device: str = "cpu") -> None:
        spec = preset("mfcc")
        self.device = device
        self.front_end = FrontEnd(spec).to(device).eval()
        self.card = EncoderCard(
            name="mfcc",
            version=1,
            dim=6 * spec.bins,
            front_end=spec,
            excerpt=ExcerptSpec(seconds=29.0, chunks=chunks),
            description="20 MFCC, first and second differences: mean and standard deviation",
            citation="Choi et al., Transfer learning for music classification and regression "
            "tasks, ISMIR 2017",
        )

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        # one at a time: clips differ in length, and padding would change the statistics
        return np.stack([self._encode(chunk) for chunk in chunks])

    def graph(self) -> nn.Module:
        return MfccGraph(self.front_end)

    def _encode(self, chunk: Samples) -> Vectors:
        with torch.inference_mode():
            samples = torch.from_numpy(np.ascontiguousarray(chunk))[None].to(self.device)
            frames = self.front_end(samples)[0].double().cpu().numpy()
        parts = [np.diff(frames, n=order, axis=0) for order in range(3)]
        moments = [
            (part.mean(axis=0), part.std(axis=0)) if len(part) else np.zeros((2, part.shape[1]))
            for part in parts
        ]
        return np.concatenate([row for pair in moments for row in pair]).astype(np.float32)


class MfccGraph(nn.Module):
    """Samples (1, n) to the 120 numbers (1, 120).

    Examples
    --------
    >>> MfccGraph(FrontEnd(preset("mfcc")))(torch.ones(1, 600)).shape
    torch.Size([1, 120])
    """

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = GraphFrontEnd(front_end)

    def forward(self, samples: Tensor) -> Tensor:
        """Features (1, 120)."""
        frames = self.front_end(samples).double()
        rows = []
        for _ in range(3):
            # of no frames at all the sums are 0
            count = torch.ones_like(frames).sum(dim=1).clamp(min=1.0)
            mean = frames.sum(dim=1) / count
            variance = (frames - mean[:, None]).square().sum(dim=1) / count
            rows += [mean, variance.sqrt()]
            frames = frames[:, 1:] - frames[:, :-1]
        return torch.cat(rows, dim=1).float()
