"""``melstats``: the base features of Hamel et al. 2013, section 4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segue.audio.frontends import FrontEnd, GraphFrontEnd, preset
from segue.card import EncoderCard, ExcerptSpec
from segue.encoders.protocol import Encoder, Samples, Vectors
from segue.encoders.windows import WINDOW_FRAMES, window_features


class MelStatsEncoder(Encoder):
    """Mean, variance, maximum and minimum of 200 log-mel bands over windows, averaged over windows.

    Windows are 64 frames (about 1.5 s) and do not overlap; frames left over at the end are not
    used, and a clip shorter than one window is one window. Averaging the window features here is
    the same, for a linear classifier, as the paper's averaging of its outputs over a song.

    Parameters
    ----------
    chunks : int or None
        30-second chunks heard from the start (the paper hears one); None: the whole clip.
    device : str

    Examples
    --------
    >>> MelStatsEncoder().encode_chunks([np.ones(22050, np.float32)]).shape
    (1, 800)
    """

    def __init__(self, *, chunks: int | None = 1, device: str = "cpu") -> None:
        spec = preset("hamel2013")
        self.device = device
        self.front_end = FrontEnd(spec).to(device).eval()
        self.card = EncoderCard(
            name="melstats",
            version=1,
            dim=4 * spec.bins,
            front_end=spec,
            excerpt=ExcerptSpec(seconds=30.0, chunks=chunks),
            settings=(("window_frames", WINDOW_FRAMES),),
            description="Mean, variance, maximum, minimum of 200 log-mel bands per 1.5 s window",
            citation="Hamel et al., Transfer learning in MIR: sharing learned latent "
            "representations for music audio classification and similarity, ISMIR 2013",
        )

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        return np.stack([self._encode(chunk) for chunk in chunks])

    def graph(self) -> nn.Module:
        return WindowGraph(self.front_end, nn.Identity())

    def _encode(self, chunk: Samples) -> Vectors:
        with torch.inference_mode():
            samples = torch.from_numpy(np.ascontiguousarray(chunk))[None].to(self.device)
            windows = window_features(self.front_end(samples)[0])
            return windows.mean(dim=0).float().cpu().numpy()


class WindowGraph(nn.Module):
    """Samples (1, n) to the mean window features (1, 4 d) of what a network makes of frames (t, d).

    Examples
    --------
    >>> WindowGraph(FrontEnd(preset("hamel2013")), nn.Identity())(torch.ones(1, 22050)).shape
    torch.Size([1, 800])
    """

    def __init__(self, front_end: FrontEnd, network: nn.Module) -> None:
        super().__init__()
        self.front_end = GraphFrontEnd(front_end)
        self.network = network

    def forward(self, samples: Tensor) -> Tensor:
        """Features (1, 4 d)."""
        frames = self.front_end(samples)[0]
        return window_features(self.network(frames)).mean(dim=0, keepdim=True).float()
