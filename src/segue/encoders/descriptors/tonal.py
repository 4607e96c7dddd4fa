"""Descriptors of pitch: chroma tuned to the clip, key, harmony and how tonal the sound is.

Made from spectral peaks of long frames (372 ms, so that a semitone is resolved from about 130 Hz
up). Each peak is given to the two pitch classes it lies between, by its distance to them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.audio.frontends import power_spectrum
from segue.encoders.descriptors.spectral import FLOOR, SPEC
from segue.encoders.descriptors.statistics import Series, ordered, share

N_FFT, HOP = 8192, 2048
LOWEST, HIGHEST = 65.0, 5000.0  # hertz
AUDIBLE = slice(math.ceil(LOWEST * N_FFT / SPEC.rate), int(HIGHEST * N_FFT / SPEC.rate) + 1)
PROMINENT = 5.0  # times the mean power of the bins around: 1 in 150 bins of noise is
AROUND = 41
WEAKEST = 1e-6  # of the frame's strongest bin
PITCHES = ("C", "Cs", "D", "Ds", "E", "F", "Fs", "G", "Gs", "A", "As", "B")
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
CONCERT_A = 440.0

NAMES = (
    *(f"chroma.{pitch}.mean" for pitch in PITCHES),
    *(f"chroma.{pitch}.deviation" for pitch in PITCHES),
    *(f"key.degree.{step:02d}" for step in range(12)),
    *(f"harmony.interval.{step}" for step in range(7)),
    *(f"harmony.cycle.{turns}" for turns in range(1, 7)),
    *("key.strength", "key.clarity", "key.major", "key.minor", "key.mode"),
    *("chroma.entropy", "harmony.change.mean", "harmony.change.deviation"),
    *("tuning.offset", "tuning.strength"),
    *("tonality.mean", "tonality.deviation", "peaks.mean", "peaks.deviation"),
)


def tonal(samples: Tensor) -> Series:
    """`NAMES` of samples (n,) without offset, root mean square 1 (or all 0).

    Examples
    --------
    >>> time = torch.arange(44100) / 22050
    >>> a = tonal(torch.sin(2 * torch.pi * 440 * time) * 2**0.5)
    >>> PITCHES[int(a[:12].argmax())]
    'A'
    """
    window = torch.hann_window(N_FFT, periodic=True, device=samples.device)
    power = power_spectrum(samples[None], window, HOP)[0].contiguous()
    power = power / float(window.square().sum())
    power.clamp_(min=FLOOR)
    peak = _peaks(power)
    frame, bins = peak.nonzero(as_tuple=True)
    pitch, strength = _located(power, frame, bins)
    count = np.bincount(frame.cpu().numpy(), minlength=len(power)).astype(np.float64)
    values = {
        **_tuned(frame.cpu().numpy(), pitch, strength, len(power)),
        **_moments("tonality", _tonality(power, peak)),
        **_moments("peaks", count),
    }
    return ordered(values, NAMES)


def _moments(name: str, series: Series) -> dict[str, float]:
    return {f"{name}.mean": float(series.mean()), f"{name}.deviation": float(series.std())}


def _peaks(power: Tensor) -> Tensor:
    """Which bins (t, bins) are maxima that stand out from those around and can be heard."""
    audible = power[:, AUDIBLE]
    before, after = (power[:, AUDIBLE.start + k : AUDIBLE.stop + k] for k in (-1, 1))
    highest = (audible > before) & (audible >= after)
    loud = audible > (WEAKEST * power.amax(dim=1, keepdim=True)).clamp(min=10 * FLOOR)
    found = torch.zeros_like(power, dtype=torch.bool)
    found[:, AUDIBLE] = highest & loud & (audible > PROMINENT * _around(audible))
    return found


def _around(power: Tensor) -> Tensor:
    """Mean (t, bins) of the `AROUND` bins about each, fewer at the ends; by running sums."""
    sums = torch.nn.functional.pad(power.double().cumsum(dim=1), (1, 0))
    place = torch.arange(power.shape[1], device=power.device)
    begin = (place - AROUND // 2).clamp(min=0)
    end = (place + AROUND // 2 + 1).clamp(max=power.shape[1])
    return (sums[:, end] - sums[:, begin]) / (end - begin)


def _located(power: Tensor, frame: Tensor, bins: Tensor) -> tuple[Series, Series]:
    """Semitones above A4 of peaks, by a parabola through three bins' levels; their magnitudes."""
    left, middle, right = (power[frame, bins + k].double().log() for k in (-1, 0, 1))
    bend = (left - 2 * middle + right).clamp(max=-1e-9)
    offset = (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    hertz = (bins + offset) * (SPEC.rate / N_FFT)
    pitch = 12.0 * (hertz / CONCERT_A).log2()
    return pitch.cpu().numpy(), (0.5 * middle).exp().cpu().numpy()


def _tonality(power: Tensor, peak: Tensor) -> Series:
    """Share (t,) of the power that lies at the peaks: about 0 for noise, 1 for tones."""
    near = torch.zeros_like(peak[:, AUDIBLE])
    for k in range(-2, 3):  # the bins that a pure tone spreads to
        near |= peak[:, AUDIBLE.start + k : AUDIBLE.stop + k]
    audible = power[:, AUDIBLE].double()
    found: Series = ((audible * near).sum(dim=1) / audible.sum(dim=1)).cpu().numpy()
    return found


def _tuned(
    frame: NDArray[np.int64], pitch: Series, strength: Series, frames: int
) -> dict[str, float]:
    """Everything made from pitch classes."""
    turning = (strength * np.exp(2j * np.pi * pitch)).sum()
    tuning = float(np.angle(turning) / (2 * np.pi))
    chroma = _chroma(frame, pitch - tuning, strength, frames)
    pitched = chroma[chroma.sum(axis=1) > 0]
    if not len(pitched):
        pitched = np.zeros((1, 12))
    mean, deviation = pitched.mean(axis=0), pitched.std(axis=0)
    intervals = [(pitched * np.roll(pitched, -k, axis=1)).sum(axis=1).mean() for k in range(7)]
    cycles = np.abs(np.fft.fft(mean))[1:7]
    filled = mean[mean > 0]
    change = _harmonic_change(pitched)
    return {
        **{f"chroma.{name}.mean": mean[k] for k, name in enumerate(PITCHES)},
        **{f"chroma.{name}.deviation": deviation[k] for k, name in enumerate(PITCHES)},
        **{f"harmony.interval.{k}": value for k, value in enumerate(intervals)},
        **{f"harmony.cycle.{k}": value for k, value in enumerate(cycles, 1)},
        **_key(mean),
        **_moments("harmony.change", change),
        "chroma.entropy": float(-(filled * np.log(filled)).sum() / np.log(12)),
        "tuning.offset": tuning,
        "tuning.strength": float(share(abs(turning), strength.sum())),
    }


def _chroma(frame: NDArray[np.int64], pitch: Series, strength: Series, frames: int) -> Series:
    """Pitch classes (t, 12) from C up, each frame's sum 1 (0 without peaks)."""
    above_c = pitch + 9.0
    below = np.floor(above_c)
    upper = above_c - below
    total = np.zeros(frames * 12)
    for place, part in ((below, 1.0 - upper), (below + 1.0, upper)):
        cell = frame * 12 + place.astype(np.int64) % 12
        total += np.bincount(cell, weights=strength * part, minlength=frames * 12)
    chroma = total.reshape(frames, 12)
    return share(chroma, chroma.sum(axis=1, keepdims=True))


def _key(mean: Series) -> dict[str, float]:
    """Best correlation with Krumhansl's profiles, and the pitch classes from that key's tonic."""
    found = np.stack([_correlations(mean, profile) for profile in (MAJOR, MINOR)])
    best = int(found.argmax())
    tonic = best % 12
    degrees = np.roll(mean, -tonic)
    strongest = np.sort(found, axis=None)
    return {
        **{f"key.degree.{step:02d}": value for step, value in enumerate(degrees)},
        "key.strength": strongest[-1],
        "key.clarity": strongest[-1] - strongest[-2],
        "key.major": found[0].max(),
        "key.minor": found[1].max(),
        "key.mode": found[0].max() - found[1].max(),
    }


def _correlations(mean: Series, profile: tuple[float, ...]) -> Series:
    """Pearson's r (12,) of pitch classes with a profile on each tonic; 0 where all are equal."""
    centred, wanted = mean - mean.mean(), np.array(profile) - np.mean(profile)
    turned = np.stack([np.roll(wanted, tonic) for tonic in range(12)])
    size = float(np.linalg.norm(centred) * np.linalg.norm(wanted))
    return share(turned @ centred, size) if size > 1e-12 else np.zeros(12)


def _harmonic_change(chroma: Series) -> Series:
    """Distance of subsequent frames in the tonal space of Harte et al. (2006)."""
    step = np.arange(12)
    axes = [
        radius * turn(step * angle)
        for angle, radius in ((7 * np.pi / 6, 1.0), (3 * np.pi / 2, 1.0), (2 * np.pi / 3, 0.5))
        for turn in (np.sin, np.cos)
    ]
    place = chroma @ np.stack(axes, axis=1)
    if len(place) < 2:
        return np.zeros(1)
    distance: Series = np.linalg.norm(np.diff(place, axis=0), axis=1)
    return distance
