"""Window-level features of frames (Hamel et al. 2013, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor

WINDOW_FRAMES = 64  # about 1.5 s
STATISTICS = 4  # mean, variance, maximum, minimum


def window_features(frames: Tensor, size: int = WINDOW_FRAMES) -> Tensor:
    """Window-level features (windows, 4 d) of frames (t, d): mean, variance, maximum, minimum.

    Examples
    --------
    >>> window_features(torch.ones(130, 3)).shape
    torch.Size([2, 12])
    """
    size = min(size, len(frames))
    whole = len(frames) // size
    windows = frames[: whole * size].double().reshape(whole, size, -1)
    return torch.cat(
        [
            windows.mean(dim=1),
            windows.var(dim=1, correction=0),
            windows.amax(dim=1),
            windows.amin(dim=1),
        ],
        dim=1,
    )
