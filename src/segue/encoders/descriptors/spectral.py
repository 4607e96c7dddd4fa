"""Descriptors of single frames: the shape of the spectrum, its bands and its cepstrum.

Frames are power spectra of a clip brought to a root mean square of 1, so that no number here
depends on its gain. Bins are floored 100 dB below white noise of that level, which hides what
rounding leaves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.audio.frontends import FrontEnd, dct_matrix, power_spectrum
from segue.card import FrontEndSpec
from segue.encoders.descriptors.statistics import Series

SPEC = FrontEndSpec(rate=22050, n_fft=2048, hop=512, n_mels=40)
FLOOR = 1e-10
QUIET_DB = -60.0  # frames further below the clip's level are left out of all statistics

SHAPE = (
    *("centroid", "spread", "skewness", "kurtosis", "rolloff_85", "rolloff_95", "flatness"),
    *("entropy", "crest", "flux", "low_share", "middle_share", "high_share", "zero_crossings"),
    "level",
)
LOW_HERTZ, HIGH_HERTZ = 250.0, 4000.0
BARK = (
    *(0, 100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150),
    *(3700, 4400, 5300, 6400, 7700, 9500, 11025),  # Zwicker; the last up to half the rate
)
OCTAVES = (0, 200, 400, 800, 1600, 3200, 6400, 11025)
EXTREME = 0.2  # of an octave's bins are its peaks, and as many its valleys
N_MFCC = 20

BARK_NAMES = tuple(f"bark.{band:02d}" for band in range(len(BARK) - 1))
CONTRAST_NAMES = tuple(f"contrast.{octave}" for octave in range(len(OCTAVES) - 1))
MFCC_NAMES = tuple(f"mfcc.{number:02d}" for number in range(N_MFCC))
SHAPE_NAMES = tuple(f"spectrum.{name}" for name in SHAPE)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Power spectra of one clip, and what is measured on each of them.

    Attributes
    ----------
    samples : (n,) tensor
        Without offset, root mean square 1 (or all 0).
    power : (t, bins) tensor
        1 for white noise at the clip's level.
    mel_db : (t, 40) tensor
        Mean power of mel bands in dB.
    level : (t,) tensor
        Mean power of each frame in dB; 0 is that of the clip.

    Examples
    --------
    >>> Frames.of(torch.ones(4096), FrontEnd(SPEC)).shape().shape
    torch.Size([9, 15])
    """

    samples: Tensor
    power: Tensor
    mel_db: Tensor
    level: Tensor

    @classmethod
    def of(cls, samples: Tensor, front_end: FrontEnd) -> Self:
        """Frames of samples (n,); a front end of `SPEC` gives the window and the mel filters."""
        spectrum = power_spectrum(samples[None], front_end.window, SPEC.hop)[0].contiguous()
        unit = float(front_end.window.square().sum())  # of one bin of white noise
        power = spectrum.div_(unit).clamp_(min=FLOOR)
        # the filters have an area of 1 in hertz; bins are what is averaged here
        mel = power @ front_end.filters * (SPEC.rate / SPEC.n_fft)
        level = 10.0 * (power.sum(dim=1) / (power.shape[1] - 1)).log10()
        return cls(samples, power, 10.0 * mel.clamp(min=FLOOR).log10(), level)

    @property
    def hertz(self) -> Tensor:
        """Frequency (bins,) of each bin."""
        return torch.arange(self.power.shape[1], device=self.power.device) * (
            SPEC.rate / SPEC.n_fft
        )

    def bins_between(self, first: float, last: float) -> slice:
        """The bins from one frequency up to another."""
        width = SPEC.rate / SPEC.n_fft
        end = self.power.shape[1] if last >= SPEC.rate / 2 else math.ceil(last / width)
        return slice(math.ceil(first / width), end)

    def shape(self) -> Tensor:
        """`SHAPE` (t, 15)."""
        power = self.power
        parts = power / power.sum(dim=1, keepdim=True)
        crest = power.amax(dim=1) / power.mean(dim=1)
        log_mean = power.log().mean(dim=1) * (10.0 / np.log(10.0))
        flatness = log_mean - 10.0 * power.mean(dim=1).log10()
        entropy = -(parts * parts.log()).sum(dim=1) / np.log(power.shape[1])
        edges = (0.0, LOW_HERTZ, HIGH_HERTZ, SPEC.rate / 2)
        shares = [parts[:, self.bins_between(*ends)].sum(dim=1) for ends in pairwise(edges)]
        columns = [
            *self._moments(parts),
            *self._rolloffs(parts, (0.85, 0.95)),
            *(flatness, entropy, 10.0 * crest.log10(), _flux(parts), *shares),
            *(zero_crossings(self.samples, len(power)), self.level),
        ]
        return torch.stack([column.to(power.dtype) for column in columns], dim=1)

    def _moments(self, parts: Tensor) -> list[Tensor]:
        """Centroid and spread in hertz, skewness, and kurtosis on a log scale: that of a pure tone
        is thousands of times that of noise."""
        powers = torch.stack([self.hertz**k for k in range(1, 5)], dim=1).double()
        first, second, third, fourth = (parts.double() @ powers).unbind(dim=1)
        variance = (second - first**2).clamp(min=1.0)  # a hertz: no spread is less than a bin's
        skew = third - 3 * first * second + 2 * first**3
        tail = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4
        spread = variance.sqrt()
        kurtosis = (tail / variance**2).clamp(min=1.0).log10()
        return [first, spread, skew / (variance * spread), kurtosis]

    def _rolloffs(self, parts: Tensor, levels: tuple[float, ...]) -> list[Tensor]:
        """Frequencies below which these shares of the power lie; linear within a bin."""
        below = parts.double().cumsum(dim=1)
        width = SPEC.rate / SPEC.n_fft
        found = []
        for level in levels:
            bins = (below < level).sum(dim=1, keepdim=True).clamp(max=parts.shape[1] - 1)
            reached = below.gather(1, bins)
            inside = parts.gather(1, bins).double()
            found.append((width * (bins + 0.5 - (reached - level) / inside))[:, 0])
        return found

    def bark(self) -> Tensor:
        """Mean power of each band of `BARK` in dB (t, 23)."""
        bands = [self.power[:, self.bins_between(*ends)].mean(dim=1) for ends in pairwise(BARK)]
        return 10.0 * torch.stack(bands, dim=1).log10()

    def contrast(self) -> Tensor:
        """Peaks minus valleys of each octave in dB (t, 7) (Jiang et al., 2002)."""
        decibels = 10.0 * self.power.log10()
        spans = []
        for ends in pairwise(OCTAVES):
            ascending = np.sort(decibels[:, self.bins_between(*ends)].cpu().numpy(), axis=1)
            count = max(1, round(EXTREME * ascending.shape[1]))
            peaks, valleys = ascending[:, -count:], ascending[:, :count]
            spans.append(peaks.mean(axis=1, dtype=np.float64) - valleys.mean(axis=1))
        return torch.from_numpy(np.stack(spans, axis=1))

    def mfcc(self) -> Tensor:
        """Cepstral coefficients of the 40 mel bands in dB (t, 20)."""
        return self.mel_db @ torch.from_numpy(dct_matrix(SPEC.n_mels, N_MFCC)).to(self.mel_db)


def _flux(parts: Tensor) -> Tensor:
    """Distance of each frame's unit-length magnitude spectrum from that before; first: 0."""
    unit = parts.sqrt()
    distance = (unit[1:] - unit[:-1]).square().sum(dim=1).sqrt()
    return torch.cat([distance.new_zeros(1), distance])


def zero_crossings(samples: Tensor, count: int) -> Tensor:
    """Share of the samples (count,) around each frame at which the sign changes."""
    negative = samples < 0
    crossed = torch.cat([negative.new_zeros(2), negative[1:] != negative[:-1]]).cumsum(dim=0)
    centre = torch.arange(count, device=samples.device) * SPEC.hop
    begin = (centre - SPEC.n_fft // 2).clamp(min=0)
    end = (centre + SPEC.n_fft // 2).clamp(max=len(samples))
    return (crossed[end] - crossed[begin]) / (end - begin).clamp(min=1)


def sounding(level: Series) -> NDArray[np.bool_]:
    """Which frames are not silence: less than 60 dB below the clip; all, if none is.

    Examples
    --------
    >>> sounding(np.array([0.0, -90.0])).tolist()
    [True, False]
    """
    loud = level > QUIET_DB
    return loud if loud.any() else np.ones_like(loud)
