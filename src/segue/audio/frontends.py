"""Front ends as torch modules: samples (batch, n) -> frames (batch, t, bins).

One definition serves CPU and GPU, training and use. Presets carry the numbers of the papers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.card import FrontEndSpec
from segue.errors import UsageError

PRESETS: Final[dict[str, FrontEndSpec]] = {
    # 46 ms frames, half overlap, magnitude, 200 mel filters, log (Hamel et al. 2013, section 4)
    "hamel2013": FrontEndSpec(
        rate=22050, n_fft=1024, hop=512, n_mels=200, power=1.0, log="ln", amin=1e-5
    ),
    # Choi et al. 2017: 96 mel bands at 12 kHz in dB, 80 dB deep. The reference level is that of
    # the calibration set; 0 dB here (REPRODUCTION.md: theirs was the maximum of each batch).
    "choi2017": FrontEndSpec(rate=12000, n_fft=512, hop=256, n_mels=96, floor_db=-80.0),
    # 128 mel bands, 46 ms frames, half overlap, dB (Kim et al. 2018, section 4)
    "kim2018": FrontEndSpec(rate=22050, n_fft=1024, hop=512, n_mels=128),
    # Of these bands, what Kim et al. 2018 build words from (Table 1: 25 numbers a frame)
    "kim2018-mfcc": FrontEndSpec(
        rate=22050,
        n_fft=1024,
        hop=512,
        n_mels=128,
        floor_db=-80.0,
        floor_from="clip",
        n_mfcc=25,
    ),
    # Choi's baseline: 20 MFCC with the defaults of librosa at 12 kHz
    "mfcc": FrontEndSpec(
        rate=12000, n_fft=2048, hop=512, n_mels=128, floor_db=-80.0, floor_from="clip", n_mfcc=20
    ),
    # Won et al. 2020, as their released code calls torchaudio: HTK scale, no norm, dB without floor
    "won2020": FrontEndSpec(
        rate=16000,
        n_fft=512,
        hop=256,
        n_mels=96,
        mel_scale="htk",
        mel_norm=None,
        f_max=8000.0,
        log="db",
        pad="reflect",
    ),
    # Pons and Serra 2019, as musicnn 0.1.0 calls librosa 0.7: log10(1 + 10000 x)
    "musicnn": FrontEndSpec(
        rate=16000, n_fft=512, hop=256, n_mels=96, log="log10", gain=10000.0, pad="reflect"
    ),
}

# numbers of the windowed frames of one block, half a megabyte: with what is made of them it fits
# the cache of one core
BLOCK = 2**17


def preset(name: str) -> FrontEndSpec:
    """The named front end of a paper.

    Raises
    ------
    UsageError
        For a name that is not in ``PRESETS``.

    Examples
    --------
    >>> preset("choi2017").n_mels
    96
    """
    if name not in PRESETS:
        raise UsageError(
            wanted=f"one of the front ends {', '.join(PRESETS)}",
            got=repr(name),
            fix="Choose one of these names",
        )
    return PRESETS[name]


def hz_to_mel(hertz: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Hertz to mel; Slaney's scale is linear below 1 kHz, logarithmic above.

    References
    ----------
    Slaney 1998, Auditory Toolbox; Young et al., The HTK Book (``2595 log10(1 + f / 700)``).

    Examples
    --------
    >>> hz_to_mel(np.array([1000.0]), "slaney").tolist()
    [15.0]
    """
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    linear = hertz * 3.0 / 200.0
    log_step = math.log(6.4) / 27.0
    bent = 15.0 + np.log(np.maximum(hertz, 1000.0) / 1000.0) / log_step
    return np.where(hertz >= 1000.0, bent, linear)


def mel_to_hz(mel: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Inverse of :func:`hz_to_mel`.

    Examples
    --------
    >>> mel_to_hz(hz_to_mel(np.array([4000.0]), "htk"), "htk").round(6).tolist()
    [4000.0]
    """
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    log_step = math.log(6.4) / 27.0
    return np.where(mel >= 15.0, 1000.0 * np.exp(log_step * (mel - 15.0)), mel * 200.0 / 3.0)


def mel_filters(spec: FrontEndSpec) -> NDArray[np.float32]:
    """Triangular filters (n_fft // 2 + 1, n_mels), peaks equally spaced in mel.

    Where filters are narrower than the resolution of the transform (the lowest of hamel2013's
    200), some have no bin at all; their output is constant, as in the paper.

    Examples
    --------
    >>> mel_filters(preset("choi2017")).shape
    (257, 96)
    """
    top = spec.rate / 2 if spec.f_max is None else spec.f_max
    ends = hz_to_mel(np.array([spec.f_min, top]), spec.mel_scale)
    edges = mel_to_hz(np.linspace(ends[0], ends[1], spec.n_mels + 2), spec.mel_scale)
    bins = np.linspace(0.0, spec.rate / 2, spec.n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if spec.mel_norm == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return filters.astype(np.float32)


def reach(filters: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    """Some mel bands after others, each with the spectral bins that they hear.

    Low bands hear few bins, high ones many, none all: a product of four such parts is a quarter
    of the whole. Two bins more on both sides leave room for filters of the same bands that were
    rounded elsewhere, as published ones were.

    Parameters
    ----------
    filters : (n_fft // 2 + 1, n_mels) array

    Returns
    -------
    list of (bins, bands)

    Examples
    --------
    >>> [(bins.stop - bins.start, bands.stop) for bins, bands in reach(
    ...     mel_filters(preset("choi2017")))]
    [(33, 24), (39, 48), (70, 72), (135, 96)]
    """
    parts = []
    for bands in np.array_split(np.arange(filters.shape[1]), 4):
        heard = np.flatnonzero(filters[:, bands].any(axis=1))
        if len(bands):
            first, last = (heard[0], heard[-1]) if len(heard) else (0, 0)
            bins = slice(max(0, int(first) - 2), min(len(filters), int(last) + 3))
            parts.append((bins, slice(int(bands[0]), int(bands[-1]) + 1)))
    return parts


def dct_matrix(n_in: int, n_out: int) -> NDArray[np.float32]:
    """First ``n_out`` rows of the orthonormal DCT-II, as a matrix (n_in, n_out).

    Examples
    --------
    >>> basis = dct_matrix(8, 8)
    >>> bool(np.allclose(basis.T @ basis, np.eye(8), atol=1e-6))
    True
    """
    position = np.arange(n_in) + 0.5
    basis = np.cos(np.pi / n_in * np.outer(position, np.arange(n_out))) * math.sqrt(2.0 / n_in)
    basis[:, 0] /= math.sqrt(2.0)
    return basis.astype(np.float32)


def mirror(samples: Tensor, margin: int) -> Tensor:
    """Samples (batch, n) with ``margin`` more on both sides, mirrored about the first and last.

    As ``numpy.pad(mode="reflect")``: signals shorter than the margin go back and forth.

    Examples
    --------
    >>> mirror(torch.tensor([[1, 2, 3]]), 4).tolist()
    [[1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3]]
    """
    length = samples.shape[1]
    period = max(2 * (length - 1), 1)
    place = torch.arange(-margin, length + margin, device=samples.device).remainder(period)
    return samples[:, torch.minimum(place, period - place)]


def power_blocks(
    samples: Tensor, window: Tensor, hop: int, *, mirrored: bool = False
) -> Iterator[Tensor]:
    """Power spectra as :func:`power_spectrum` gives them, some frames after others.

    What is computed on the way is several times as large as the samples. A block of it stays in
    the cache of a CPU: 29 s at 12 kHz take less than half the time. A GPU is given all at once.

    Examples
    --------
    >>> samples, window = torch.zeros(1, 200_000), torch.hann_window(1024)
    >>> [tuple(block.shape) for block in power_blocks(samples, window, 512)]
    [(1, 128, 513), (1, 128, 513), (1, 128, 513), (1, 7, 513)]
    """
    n_fft = len(window)
    margin = n_fft // 2
    padded = mirror(samples, margin) if mirrored else nn.functional.pad(samples, (margin, margin))
    frames = padded.unfold(1, n_fft, hop)
    count, length = frames.shape[:2]
    on_cpu = samples.device.type == "cpu"
    size = max(1, BLOCK // (n_fft * count)) if on_cpu else length
    for begin in range(0, length, size):
        spectrum = torch.fft.rfft(frames[:, begin : begin + size] * window)
        yield spectrum.real.square() + spectrum.imag.square()


def power_spectrum(samples: Tensor, window: Tensor, hop: int, *, mirrored: bool = False) -> Tensor:
    """Power spectra (batch, 1 + n // hop, n_fft // 2 + 1) of samples (batch, n).

    Frames are centred: ``n_fft // 2`` zeros, or the mirrored signal, stand before and after it.

    Parameters
    ----------
    samples : (batch, n) tensor
    window : (n_fft,) tensor
    hop : int
        Samples.
    mirrored : bool

    Examples
    --------
    >>> power_spectrum(torch.zeros(1, 1000), torch.hann_window(256), 128).shape
    torch.Size([1, 8, 129])
    """
    return torch.cat(list(power_blocks(samples, window, hop, mirrored=mirrored)), dim=1)


class FrontEnd(nn.Module):
    """Samples (batch, n) to frames (batch, 1 + n // hop, bins), as the spec says.

    Every clip of the batch is treated alone: nothing is normalised over the batch.

    Parameters
    ----------
    spec : FrontEndSpec

    Examples
    --------
    >>> FrontEnd(preset("choi2017"))(torch.zeros(1, 348000)).shape
    torch.Size([1, 1360, 96])
    """

    window: Tensor
    filters: Tensor
    dct: Tensor | None

    def __init__(self, spec: FrontEndSpec) -> None:
        super().__init__()
        self.spec = spec
        window = torch.hann_window(spec.n_fft, periodic=True)
        self.register_buffer("window", window, persistent=False)
        filters = mel_filters(spec)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.reach = reach(filters)
        dct = None if spec.n_mfcc is None else torch.from_numpy(dct_matrix(spec.n_mels, spec.bins))
        self.register_buffer("dct", dct, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Frames (batch, t, bins) of samples (batch, n)."""
        level = self.compress(self.bands(samples))
        return level if self.dct is None else level @ self.dct

    def bands(self, samples: Tensor) -> Tensor:
        """Mel bands (batch, t, n_mels) of samples (batch, n), before the logarithm."""
        mirrored = self.spec.pad == "reflect"
        blocks = power_blocks(samples, self.window, self.spec.hop, mirrored=mirrored)
        return torch.cat([self.mel(power) for power in blocks], dim=1)

    def mel(self, power: Tensor) -> Tensor:
        """Mel bands (batch, t, n_mels) of power spectra (batch, t, n_fft // 2 + 1)."""
        if self.spec.power != 2.0:
            power = power.pow(self.spec.power / 2.0)
        if power.device.type != "cpu":
            return power @ self.filters
        parts = [power[..., bins] @ self.filters[bins, bands] for bins, bands in self.reach]
        return torch.cat(parts, dim=-1)

    def compress(self, mel: Tensor) -> Tensor:
        """Logarithm, reference and floor."""
        spec = self.spec
        if spec.log == "log10":
            return (1.0 + spec.gain * mel).log10()
        if spec.log == "ln":
            return mel.clamp(min=spec.amin).log()
        level = 10.0 * mel.clamp(min=spec.amin).log10() - spec.reference_db
        if spec.floor_db is None:
            return level
        if spec.floor_from == "clip":
            # compared per clip, never per batch
            floor = level.amax(dim=(1, 2), keepdim=True) + spec.floor_db
            return torch.maximum(level, floor)
        return level.clamp(min=spec.floor_db)


class GraphFrontEnd(FrontEnd):
    """The same frames from operations that every engine has: the transform is a convolution.

    For graphs that leave torch. ONNX Runtime takes less than half the time for it that it takes
    for its own transform, and is as exact.

    Parameters
    ----------
    front_end : FrontEnd
        Whose filters are used. Mirrored clips must be longer than half a window.

    Examples
    --------
    >>> front_end, samples = FrontEnd(preset("choi2017")), torch.randn(1, 6000)
    >>> frames = GraphFrontEnd(front_end)(samples)
    >>> bool(torch.allclose(frames, front_end(samples), atol=1e-3))
    True
    """

    waves: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__(front_end.spec)
        self.filters.copy_(front_end.filters)
        size = self.spec.n_fft
        turns = np.outer(np.arange(size // 2 + 1), np.arange(size)) % size / size
        waves = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)])
        windowed = torch.from_numpy(waves) * torch.hann_window(size, dtype=torch.float64)
        self.register_buffer("waves", windowed.float()[:, None], persistent=False)

    def bands(self, samples: Tensor) -> Tensor:
        """Mel bands (1, t, n_mels) of samples (1, n), before the logarithm."""
        margin = self.spec.n_fft // 2
        mode = "reflect" if self.spec.pad == "reflect" else "constant"
        padded = nn.functional.pad(samples[:, None], (margin, margin), mode=mode)
        both = nn.functional.conv1d(padded, self.waves, stride=self.spec.hop)
        cosines, sines = both.chunk(2, dim=1)
        return self.mel((cosines.square() + sines.square()).transpose(1, 2))
