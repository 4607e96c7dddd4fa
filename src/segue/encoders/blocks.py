"""Block-level features: what the frames of a clip do within blocks of a quarter to twelve seconds.

Six patterns of Seyerlehner, Widmer and Pohle, "Fusing block-level features for music similarity
estimation", DAFx 2010, which Hamel et al. (2013, section 7) propose to build from learned frames.
A pattern is computed on every block; a percentile (or the variance) of each of its numbers over
the blocks describes the clip.

=================== ====== ==== ========== =====================================================
pattern             frames hop  over blocks what a block gives
=================== ====== ==== ========== =====================================================
spectral                10    5 0.9        each band's values, sorted
delta spectral          25    5 0.9        rises over 3 frames (falls are 0), sorted, upper 14
variance delta          25    5 variance   the same
fluctuation            512  128 0.6        each band's modulation strength, 0.5 to 10 Hz, log scale
correlation            256  128 0.5        Pearson's r of every pair of bands
spectral contrast       40   20 0.1        maximum minus minimum within a sub-band, sorted
=================== ====== ==== ========== =====================================================

Published for 512 samples between frames at 22,050 Hz, which is the hop of Hamel's frames, too. The
publication's frames are 97 cent-scaled bands in dB. Ours, because frames may be anything (log-mel
bands, an embedding): neighbouring dimensions are averaged to at most `BANDS` first; modulation is
read off at `MODULATIONS` frequencies, weighted with Pampalk's (2002) fluctuation strength
1 / (f/4 + 4/f); a band that does not move correlates 0 with every other. Loudness is removed, where
asked, by subtracting each frame's mean over its dimensions before everything else.

The paper's text was not at hand: its sizes, hops and percentiles stand above as we know them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segue.errors import UsageError

BANDS = 50
CONTRASTS = 20
MODULATIONS = 24
SLOWEST, FASTEST = 0.5, 10.0  # hertz: 30 to 600 beats per minute
FRAME_RATE = 22050 / 512
DELAY = 3
RISES = 14  # of 25 sorted differences about half are falls, that is 0


@dataclass(frozen=True, slots=True)
class Blocks:
    """Frames per block, frames between blocks, and the percentile over blocks (0 to 1)."""

    size: int
    hop: int
    percentile: float


SPECTRAL = Blocks(10, 5, 0.9)
DELTA = Blocks(25, 5, 0.9)
FLUCTUATION = Blocks(512, 128, 0.6)
CORRELATION = Blocks(256, 128, 0.5)
CONTRAST = Blocks(40, 20, 0.1)


def block_features(
    frames: Tensor,
    *,
    bands: int = BANDS,
    frame_rate: float = FRAME_RATE,
    ordered: bool = True,
    remove_level: bool = False,
) -> Tensor:
    """All six patterns of one clip, one after another, in float64.

    Parameters
    ----------
    frames : (t, d) tensor
        At least one frame. A clip shorter than a block is repeated up to one block; frames left
        over after the last whole block are not used.
    bands : int
        Most bands that patterns are computed on; wider frames are averaged over neighbouring
        dimensions.
    frame_rate : float
        Frames per second, for the modulation frequencies.
    ordered : bool
        Whether neighbouring dimensions are neighbouring frequencies. If not (an embedding, whose
        axes are arbitrary), the fluctuation pattern is not blurred over bands; averaging and
        sub-bands then are what they always are, fixed groups of dimensions.
    remove_level : bool
        Subtract from each frame its mean over dimensions: for log spectra, its loudness.

    Returns
    -------
    (n,) tensor
        n as `block_dim` says; it depends on d, not on t.

    Raises
    ------
    UsageError
        No frames, or not two axes.

    Examples
    --------
    >>> block_features(torch.ones(1292, 200)).shape, block_dim(200)
    (torch.Size([5125]), 5125)
    """
    patterns = block_patterns(
        frames, bands=bands, frame_rate=frame_rate, ordered=ordered, remove_level=remove_level
    )
    return torch.cat(list(patterns.values()))


def block_patterns(
    frames: Tensor,
    *,
    bands: int = BANDS,
    frame_rate: float = FRAME_RATE,
    ordered: bool = True,
    remove_level: bool = False,
) -> dict[str, Tensor]:
    """The six patterns by name, each flat; parameters as in `block_features`.

    Examples
    --------
    >>> {name: len(one) for name, one in block_patterns(torch.rand(60, 4)).items()}
    {'spectral': 40, 'delta': 56, 'variance_delta': 56, 'fluctuation': 96, 'correlation': 6, \
'contrast': 80}
    """
    if frames.ndim != 2 or 0 in frames.shape or bands < 1:
        raise UsageError(
            wanted="frames (t, d) with t and d at least 1, and at least 1 band",
            got=f"shape {tuple(frames.shape)}, {bands} bands",
            fix="Give the frames of one clip",
        )
    whole = frames.double()
    if remove_level:
        whole = whole - whole.mean(dim=1, keepdim=True)
    pooled = pool_bands(whole, bands)
    rises = _sorted_blocks(_rises(pooled), DELTA)[..., -RISES:]
    contrast = _sorted_blocks(_contrast(whole, CONTRASTS), CONTRAST)
    fluctuation = _fluctuation(_blocks(pooled, FLUCTUATION), frame_rate, blur=ordered)
    return {
        "spectral": _over(_sorted_blocks(pooled, SPECTRAL), SPECTRAL),
        "delta": _over(rises, DELTA),
        "variance_delta": rises.var(dim=0, correction=0).flatten(),
        "fluctuation": _over(fluctuation, FLUCTUATION),
        "correlation": _over(_correlation(_blocks(pooled, CORRELATION)), CORRELATION),
        "contrast": _over(contrast, CONTRAST),
    }


def block_dim(d: int, *, bands: int = BANDS) -> int:
    """Numbers that `block_features` gives for frames of d dimensions.

    Examples
    --------
    >>> block_dim(4)
    334
    """
    wide = min(d, bands)
    values = SPECTRAL.size + 2 * RISES + MODULATIONS
    return wide * values + wide * (wide - 1) // 2 + min(d // 2, CONTRASTS) * CONTRAST.size


def pool_bands(frames: Tensor, bands: int) -> Tensor:
    """Averages (t, min(d, bands)) over neighbouring dimensions of frames (t, d).

    Examples
    --------
    >>> pool_bands(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), 2).tolist()
    [[2.0, 6.0]]
    """
    d = frames.shape[1]
    if d <= bands:
        return frames
    groups = [frames[:, begin:end].mean(dim=1) for begin, end in _groups(d, bands)]
    return torch.stack(groups, dim=1)


def _groups(d: int, count: int) -> list[tuple[int, int]]:
    """First and last + 1 of ``count`` nearly equal runs of d dimensions."""
    return [(i * d // count, (i + 1) * d // count) for i in range(count)]


def _blocks(frames: Tensor, blocks: Blocks) -> Tensor:
    """Blocks (n, d, size) of frames (t, d); a shorter clip is repeated up to one block."""
    if len(frames) < blocks.size:
        times = math.ceil(blocks.size / len(frames))
        frames = frames.repeat(times, 1)[: blocks.size]
    return frames.unfold(0, blocks.size, blocks.hop)


def _sorted_blocks(frames: Tensor, blocks: Blocks) -> Tensor:
    return _ascending(_blocks(frames, blocks), -1)


def _ascending(values: Tensor, dim: int) -> Tensor:
    """Sorted; on the CPU by NumPy, whose sort of many short rows is 20 times as fast."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.detach().numpy(), axis=dim))
    return values.sort(dim=dim).values


def _over(values: Tensor, blocks: Blocks) -> Tensor:
    """The percentile over blocks (n, ...) of every number, flat; between two blocks it is linear.

    Not torch.quantile, which refuses long clips (more than 16 million numbers).
    """
    ascending = _ascending(values.flatten(1), 0)
    place = blocks.percentile * (len(ascending) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ascending) - 1)
    return torch.lerp(ascending[below], ascending[above], place - below)


def _rises(frames: Tensor) -> Tensor:
    """How much each band rose over `DELAY` frames (onsets); one frame of 0 in shorter clips."""
    if len(frames) <= DELAY:
        return torch.zeros_like(frames[:1])
    return (frames[DELAY:] - frames[:-DELAY]).clamp(min=0)


def _contrast(frames: Tensor, count: int) -> Tensor:
    """Maximum minus minimum (t, count) within sub-bands of at least two dimensions."""
    d = frames.shape[1]
    parts = [frames[:, begin:end] for begin, end in _groups(d, min(d // 2, count))]
    spans = [part.amax(dim=1) - part.amin(dim=1) for part in parts]
    return torch.stack(spans, dim=1) if spans else frames.new_zeros(len(frames), 0)


def _fluctuation(blocks: Tensor, frame_rate: float, *, blur: bool) -> Tensor:
    """Modulation strength (n, d, `MODULATIONS`) of blocks (n, d, size)."""
    size = blocks.shape[-1]
    strength = torch.fft.rfft(blocks).abs() * (2 / size)
    ratio = torch.arange(MODULATIONS, dtype=blocks.dtype, device=blocks.device) / (MODULATIONS - 1)
    hertz = SLOWEST * (FASTEST / SLOWEST) ** ratio
    # a clip of fewer frames per second holds no modulation above half of them
    place = (hertz * size / frame_rate).clamp(max=strength.shape[-1] - 1)
    below = place.floor().long().clamp(max=strength.shape[-1] - 2)
    read = torch.lerp(strength[..., below], strength[..., below + 1], place - below)
    weighted = read / (hertz / 4 + 4 / hertz)
    return _blurred(weighted) if blur else weighted


def _blurred(pattern: Tensor) -> Tensor:
    """Each band (dim 1) mixed with its two neighbours, 1 : 2 : 1; the outermost mirrored."""
    padded = torch.cat([pattern[:, :1], pattern, pattern[:, -1:]], dim=1)
    return (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4


def _correlation(blocks: Tensor) -> Tensor:
    """Pearson's r (n, pairs) of every two bands within blocks (n, d, size)."""
    centred = blocks - blocks.mean(dim=-1, keepdim=True)
    power = centred.square().sum(dim=-1, keepdim=True)
    # what rounding leaves of a constant band must not be blown up to a correlation
    still = power <= 1e-12 * blocks.square().sum(dim=-1, keepdim=True)
    unit = torch.where(still, 0.0, centred * power.clamp(min=1e-300).rsqrt())
    full = unit @ unit.transpose(1, 2)
    first, second = torch.triu_indices(full.shape[1], full.shape[1], offset=1, device=full.device)
    return full[:, first, second].clamp(-1.0, 1.0)
