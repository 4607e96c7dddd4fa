"""Whether two recordings are one: bits of how log band energies change, compared at all offsets.

A robust fingerprint survives recoding, filtering and a cut elsewhere; it does not know a song that
was played again, for that is another recording.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from segue.audio.samples import Audio
from segue.errors import InvalidSamplesError

Signs = NDArray[np.float32]

RATE = 5512
"""Hertz: what the bands need, at an eighth of the usual rate."""

FRAME, HOP = 2048, 256
BANDS, LOWEST, HIGHEST = 33, 300.0, 2000.0

LEAST_OVERLAP = 108
"""Frames, 5 seconds: in shorter stretches, other music comes near by chance."""

SAME = 0.35
"""Largest share of differing bits within one recording (Haitsma & Kalker 2002, section 4)."""


def fingerprint(audio: Audio) -> Signs:
    """Signs (frames, 32) of the change in time of the difference of neighbouring bands.

    Frames of 2048 samples, 256 apart (46 ms), at 5512 Hz; 33 bands of equal width on a logarithmic
    scale between 300 and 2000 Hz.

    Parameters
    ----------
    audio : Audio
        Mono, at ``RATE``: ``load(path, rate=RATE)``.

    Raises
    ------
    InvalidSamplesError
        Another rate, or less than 5 seconds.

    References
    ----------
    J. Haitsma, T. Kalker: A highly robust audio fingerprinting system. ISMIR 2002, equation 1.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=8 * RATE).astype(np.float32)
    >>> fingerprint(Audio(noise, RATE)).shape
    (164, 32)
    """
    frames = 1 + (len(audio.samples) - FRAME) // HOP
    if audio.rate != RATE or frames <= LEAST_OVERLAP:
        raise InvalidSamplesError(
            wanted=f"5 seconds or more at {RATE} Hz",
            got=f"{audio.seconds:.1f} s at {audio.rate} Hz",
            fix="Load the file at this rate",
            source=audio.source or None,
        )
    stretches = np.lib.stride_tricks.sliding_window_view(audio.samples, FRAME)[::HOP]
    power = np.abs(np.fft.rfft(stretches * np.hanning(FRAME), axis=1)) ** 2
    bands = np.log(power @ _bands() + 1e-10)
    across = bands[:, :-1] - bands[:, 1:]
    signs: Signs = np.sign(across[1:] - across[:-1]).astype(np.float32)
    return signs


@lru_cache(maxsize=1)
def _bands() -> NDArray[np.float64]:
    """Which bins belong to which band (bins, bands)."""
    edges = np.geomspace(LOWEST, HIGHEST, BANDS + 1)
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE)
    return ((hertz[:, None] >= edges[:-1]) & (hertz[:, None] < edges[1:])).astype(np.float64)


def bit_errors(first: Signs, second: Signs) -> tuple[float, int]:
    """Share of differing bits at the best offset, and that offset in frames.

    Every offset at which the two overlap by 5 seconds is tried.

    Parameters
    ----------
    first, second : (frames, 32) arrays
        From :func:`fingerprint`.

    Returns
    -------
    share : float
        About 0.5 for other music, and 0 for the same samples.
    offset : int
        Frames by which the second begins later in the recording than the first.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=12 * RATE).astype(np.float32)
    >>> whole, cut = (fingerprint(Audio(part, RATE)) for part in (noise, noise[10 * HOP:]))
    >>> bit_errors(whole, cut)
    (0.0, 10)
    """
    agree = np.zeros(len(first) + len(second) - 1)
    for band in range(first.shape[1]):
        agree += signal.correlate(first[:, band], second[:, band], method="fft")
    offset = np.arange(-len(second) + 1, len(first))
    overlap = np.minimum(len(first), len(second) + offset) - np.maximum(0, offset)
    shares = np.where(
        overlap >= LEAST_OVERLAP, 0.5 - agree / (2 * first.shape[1] * np.maximum(overlap, 1)), 1.0
    )
    best = int(shares.argmin())
    return max(0.0, round(float(shares[best]), 6)), int(offset[best])
