"""``descriptors``: one vector of standard descriptors that says how 30 seconds sound.

It stands in for the music extractor of Essentia, which Kim et al. (2018, section 3.1.3) describe
songs with, where that is not installed. The descriptors are the field's usual ones, written here
from their definitions; they are not Essentia's, and not comparable to them number by number.

===================== ======= ====================================================================
block                 numbers what
===================== ======= ====================================================================
loudness.level             1  root mean square in dB below full scale: the only one a gain moves
loudness.crest             1  peak above it in dB
spectrum.*            15 * 7  per frame: centroid, spread (Hz), skewness, kurtosis (log10), 85 %
                              and 95 % rolloff (Hz), flatness (dB), entropy (0 to 1), crest (dB),
                              flux, shares of power below 250 Hz, to 4 kHz and above, zero
                              crossings a sample, level (dB below the clip's)
contrast.*             7 * 4  peaks minus valleys of each octave (dB), from below 200 Hz up
bark.*                23 * 4  level of each Bark band (dB)
mfcc.*                20 * 4  mel-frequency cepstral coefficients
chroma.*, key.*, ...      63  `segue.encoders.descriptors.tonal`: pitch classes tuned to the clip,
                              the same from the tonic, intervals, key strength, tuning, tonality
tempo.*, onset.*, ...     69  `segue.encoders.descriptors.rhythm`: tempo histogram, beat, onsets
                              and modulation of four groups of bands, dynamics
===================== ======= ====================================================================

Seven numbers of a series of frames are mean, deviation, 10th percentile, median, 90th percentile,
mean and deviation of the difference between subsequent frames; four are the mean and deviation of
both. Frames more than 60 dB below the clip's level are left out of them. A constant offset is
removed first. `descriptor_names` has the name of every number.

Sources: Peeters, "A large set of audio features for sound description", 2004 (spectral shape);
Jiang et al., ICME 2002 (contrast); Zwicker 1961 (Bark bands); Gómez, 2006 (chroma from peaks);
Krumhansl, 1990 (key profiles); Harte et al., 2006 (harmonic change); Ellis, 2007, and Tzanetakis
and Cook, 2002 (onset strength, tempo histogram).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segue.audio.frontends import FrontEnd
from segue.card import EncoderCard, ExcerptSpec
from segue.encoders.descriptors import rhythm, spectral, tonal
from segue.encoders.descriptors.spectral import SPEC, Frames, sounding
from segue.encoders.descriptors.statistics import FULL, SHORT, Series, names_of, summary
from segue.encoders.protocol import Encoder, Samples, Vectors

SILENT_DB = -120.0
LOUDNESS = ("loudness.level", "loudness.crest")
_NAMES = (
    *LOUDNESS,
    *names_of(spectral.SHAPE_NAMES, FULL),
    *names_of((*spectral.CONTRAST_NAMES, *spectral.BARK_NAMES, *spectral.MFCC_NAMES), SHORT),
    *tonal.NAMES,
    *rhythm.NAMES,
)


def descriptor_names() -> tuple[str, ...]:
    """The name of every number of ``descriptors``, in order.

    Examples
    --------
    >>> names = descriptor_names()
    >>> names[0], names[2], len(names) == len(set(names))
    ('loudness.level', 'spectrum.centroid.mean', True)
    """
    return _NAMES


class DescriptorEncoder(Encoder):
    """The descriptors of this module's table, of each 30-second chunk.

    Parameters
    ----------
    chunks : int or None
        Chunks heard from the start; None: the whole clip.
    device : str
        Where spectra are computed; statistics are made on the CPU.

    Examples
    --------
    >>> encoder = DescriptorEncoder()
    >>> vectors = encoder.encode_chunks([np.ones(22050, np.float32)])
    >>> vectors.shape == (1, len(descriptor_names())), float(vectors[0, 0])
    (True, -120.0)
    """

    def __init__(self, *, chunks: int | None = 1, device: str = "cpu") -> None:
        self.device = device
        self.front_end = FrontEnd(SPEC).to(device).eval()
        self.card = EncoderCard(
            name="descriptors",
            version=1,
            dim=len(_NAMES),
            front_end=SPEC,
            excerpt=ExcerptSpec(seconds=30.0, chunks=chunks),
            settings=(("pitch_window", tonal.N_FFT), ("pitch_hop", tonal.HOP)),
            description="Standard descriptors of spectrum, timbre, pitch, rhythm and loudness",
            citation="after Peeters, A large set of audio features for sound description, 2004; "
            "in the place of the extractor used by Kim et al., WWW Companion 2018",
        )

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        return np.stack([self._encode(chunk) for chunk in chunks])

    def _encode(self, chunk: Samples) -> Vectors:
        samples, loudness = level_of(chunk)
        with torch.inference_mode():
            unit = torch.from_numpy(samples).to(self.device)
            frames = Frames.of(unit, self.front_end)
            level = frames.level.double().cpu().numpy()
            heard = sounding(level)
            short = [frames.contrast(), frames.bark(), frames.mfcc()]
            parts = [
                loudness,
                summary(frames.shape().double().cpu().numpy()[heard], FULL),
                *(summary(one.double().cpu().numpy()[heard], SHORT) for one in short),
                tonal.tonal(unit),
                rhythm.rhythm(frames.mel_db.double().cpu().numpy(), level),
            ]
        return np.concatenate(parts).astype(np.float32)


def level_of(chunk: Samples) -> tuple[Samples, Series]:
    """Samples without offset at a root mean square of 1, and `LOUDNESS` of what they were.

    What rounding leaves of a constant is silence, and silence stays 0.

    Examples
    --------
    >>> samples, loudness = level_of(np.float32([0.5, -0.5, 0.5, -0.5]))
    >>> samples.tolist(), loudness.round(2).tolist()
    ([1.0, -1.0, 1.0, -1.0], [-6.02, 0.0])
    """
    wide = chunk.astype(np.float64)
    offset = wide.mean()
    moving = wide - offset
    rms = float(np.sqrt(np.square(moving).mean()))
    if rms <= max(1e-7 * abs(float(offset)), 1e-30):
        return np.zeros_like(chunk), np.array([SILENT_DB, 0.0])
    unit = moving / rms
    level = max(20.0 * float(np.log10(rms)), SILENT_DB)
    return unit.astype(np.float32), np.array([level, 20.0 * float(np.log10(np.abs(unit).max()))])
