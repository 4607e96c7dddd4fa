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
    size = shorter(size, frames.shape[0])
    whole = frames.shape[0] // size
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


def shorter(one: int, other: int) -> int:
    """The smaller of two lengths, also where a graph is traced and knows neither of them yet.

    Examples
    --------
    >>> shorter(3, 5)
    3
    """
    length: int = torch.sym_min(one, other)  # type: ignore[no-untyped-call]
    return length


def longer(one: int, other: int) -> int:
    """The larger of two lengths, as :func:`shorter`.

    Examples
    --------
    >>> longer(3, 5)
    5
    """
    length: int = torch.sym_max(one, other)  # type: ignore[no-untyped-call]
    return length


def repeated(values: Tensor, length: int) -> Tensor:
    """The first ``length`` of some values, which begin again where they end too early.

    For graphs, in which lengths are known only when they run.

    Examples
    --------
    >>> repeated(torch.tensor([1, 2, 3]), 5).tolist(), repeated(torch.tensor([1, 2, 3]), 2).tolist()
    ([1, 2, 3, 1, 2], [1, 2])
    """
    places = torch.arange(length, device=values.device)
    return values[places - places // values.shape[0] * values.shape[0]]
