"""``essentia``: Essentia's music extractor, which describes the songs of Kim et al. (2018, 3.1.3).

Only where the extra is installed (``pip install "segue[essentia]"``); Essentia is under the AGPL 3.
Its `MusicExtractor` gives the statistics of the low-level and tonal descriptors, always the same
4,035 of them: no text, nothing whose length depends on the clip. Three things differ from calling
it on a file, all so that features are a matter of the clip alone:

- A clip is brought to a root mean square of -20 dB below full scale first: Essentia takes quieter
  ones for silence, and evens out most of the level anyway. Level is not described.
- Silent frames are dropped. By default Essentia fills them with noise that differs from run to run.
- The extractor's rhythm always does that, so the 302 numbers of rhythm are made by Essentia's
  single algorithms (`RhythmExtractor2013`, `BpmHistogramDescriptors`, `BeatsLoudness`,
  `Danceability`, `OnsetRate`) from samples with noise 60 dB below the clip, the same each time.

The extractor reads files only: it gets the samples as they are, 32-bit floats, in a private
temporary one. A clip for which it fails (it refuses chunks that are nearly all silence, of which
one is enough) is an error of that clip, never a vector of zeros. The paper has 4,374
numbers, of another version.

Bogdanov et al., "Essentia: an audio analysis library for music information retrieval", ISMIR 2013.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import struct
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.card import EncoderCard, ExcerptSpec, FrontEndSpec
from segue.encoders.descriptors.encoder import level_of
from segue.encoders.descriptors.statistics import FULL, summary
from segue.encoders.protocol import Encoder, Samples, Vectors
from segue.errors import InvalidSamplesError, UsageError
from segue.seeds import generator

EXTRA = "essentia"
LEVEL = 0.1  # root mean square of what Essentia hears
NOISE = 1e-4  # of the noise under what its rhythm algorithms hear
SLOWEST, FASTEST = 40, 208  # beats per minute; the extractor's own
SPEC = FrontEndSpec(rate=44100, n_fft=2048, hop=1024, n_mels=40)  # its low-level frames

STATISTICS = (
    *("dmean", "dmean2", "dvar", "dvar2", "max", "mean", "median", "min", "stdev", "var"),
)
SERIES = (  # of numbers
    *(
        f"lowlevel.{bands}_{moment}"
        for bands in ("barkbands", "erbbands", "melbands")
        for moment in ("crest", "flatness_db", "kurtosis", "skewness", "spread")
    ),
    *("lowlevel.dissonance", "lowlevel.hfc", "lowlevel.pitch_salience"),
    *("lowlevel.loudness_ebu128.momentary", "lowlevel.loudness_ebu128.short_term"),
    *(f"lowlevel.silence_rate_{level}dB" for level in (20, 30, 60)),
    *(
        f"lowlevel.spectral_{what}"
        for what in (
            "centroid",
            "complexity",
            "decrease",
            "energy",
            "energyband_high",
            "energyband_low",
            "energyband_middle_high",
            "energyband_middle_low",
            "entropy",
            "flux",
            "kurtosis",
            "rms",
            "rolloff",
            "skewness",
            "spread",
            "strongpeak",
        )
    ),
    *("lowlevel.zerocrossingrate", "tonal.chords_strength"),
    *("tonal.hpcp_crest", "tonal.hpcp_entropy"),
)
WIDE_SERIES = {
    "lowlevel.barkbands": 27,
    "lowlevel.erbbands": 40,
    "lowlevel.melbands": 40,
    "lowlevel.melbands128": 128,
    "lowlevel.spectral_contrast_coeffs": 6,
    "lowlevel.spectral_contrast_valleys": 6,
    "tonal.hpcp": 36,
}
SINGLE = {
    **dict.fromkeys(("lowlevel.average_loudness", "lowlevel.dynamic_complexity"), 1),
    **{f"lowlevel.loudness_ebu128.{what}": 1 for what in ("integrated", "loudness_range")},
    **{f"lowlevel.{name}.mean": 13 for name in ("gfcc", "mfcc")},
    **{f"lowlevel.{name}.{kind}": 169 for name in ("gfcc", "mfcc") for kind in ("cov", "icov")},
    **{f"tonal.key_{profile}.strength": 1 for profile in ("edma", "krumhansl", "temperley")},
    **{f"tonal.chords_{what}": 1 for what in ("changes_rate", "number_rate")},
    **{"tonal.chords_histogram": 24, "tonal.thpcp": 36},
    **{
        f"tonal.tuning_{what}": 1
        for what in (
            "diatonic_strength",
            "equal_tempered_deviation",
            "frequency",
            "nontempered_energy_ratio",
        )
    },
}
POOLED = {
    **{f"{name}.{statistic}": 1 for name in SERIES for statistic in STATISTICS},
    **{f"{name}.{stat}": size for name, size in WIDE_SERIES.items() for stat in STATISTICS},
    **SINGLE,
}
BANDS = 5  # of the loudness of beats
RHYTHM = {
    **dict.fromkeys(("rhythm.bpm", "rhythm.beats_count"), 1),
    **{"rhythm.bpm_histogram_peaks": 6, "rhythm.bpm_histogram": 250},
    **dict.fromkeys(("rhythm.danceability", "rhythm.onset_rate"), 1),
    "rhythm.beats_loudness": len(FULL),
    "rhythm.beats_loudness_band_ratio": BANDS * len(FULL),
}


def essentia_names() -> tuple[str, ...]:
    """The name of every number of ``essentia``, in order; those of an array are counted.

    Examples
    --------
    >>> names = essentia_names()
    >>> names[0], len(names)
    ('lowlevel.barkbands_crest.dmean', 4337)
    """
    sizes = {**POOLED, **RHYTHM}
    return tuple(name for stem, size in sizes.items() for name in _counted(stem, size))


def _counted(stem: str, size: int) -> Iterator[str]:
    yield from (f"{stem}.{n:03d}" for n in range(size)) if size > 1 else (stem,)


class EssentiaEncoder(Encoder):
    """The descriptors of this module, of each 30-second chunk.

    Parameters
    ----------
    chunks : int or None
        Chunks heard from the start; None: the whole clip.
    device : str
        Not used: Essentia computes on the CPU.

    Raises
    ------
    UsageError
        Essentia is not installed, or cannot be loaded.
    """

    def __init__(self, *, chunks: int | None = 1, device: str = "cpu") -> None:
        self.device = device
        _algorithms()
        self.card = EncoderCard(
            name="essentia",
            version=1,
            dim=len(essentia_names()),
            front_end=SPEC,
            excerpt=ExcerptSpec(seconds=30.0, chunks=chunks),
            settings=(
                ("essentia", importlib.metadata.version("essentia")),
                ("level", LEVEL),
                ("rhythm_noise", NOISE),
                ("silent_frames", "drop"),
            ),
            description="Low-level, tonal and rhythm descriptors of Essentia's music extractor",
            licence="Essentia: AGPL-3.0",
            citation="Bogdanov et al., Essentia: an audio analysis library for music information "
            "retrieval, ISMIR 2013; used by Kim et al., WWW Companion 2018",
        )

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        """Vectors (len(chunks), 4337).

        Raises
        ------
        InvalidSamplesError
            Essentia cannot describe one of them.
        """
        return np.stack([_described(chunk) for chunk in chunks])


@lru_cache
def _algorithms() -> Any:
    """Essentia's algorithms, without what it prints."""
    try:
        log = importlib.import_module("essentia").log
        log.infoActive = log.warningActive = False
        return importlib.import_module("essentia.standard")
    except ImportError as error:
        raise UsageError(
            wanted="Essentia, for the encoder 'essentia'",
            got=f"none that can be loaded ({error})",
            fix=f"Install it with pip install 'segue[{EXTRA}]' (its licence is AGPL-3.0), or use "
            "the encoder 'descriptors'",
        ) from error


def _described(chunk: Samples) -> NDArray[np.float32]:
    samples = level_of(chunk)[0] * np.float32(LEVEL)
    if not samples.any():
        raise _indescribable("silence")
    try:
        found = {**_pooled(samples), **_rhythm(samples)}
    except RuntimeError as error:  # all that Essentia raises
        raise _indescribable(str(error)) from error
    parts = []
    for name, size in {**POOLED, **RHYTHM}.items():
        part = np.ravel(found[name]) if name in found else np.empty(0)
        if part.size != size or not np.isfinite(part).all():
            raise _indescribable(f"{part.size} of {size} numbers, not all finite, for {name}")
        parts.append(part)
    return np.concatenate(parts).astype(np.float32)


def _indescribable(got: str) -> InvalidSamplesError:
    return InvalidSamplesError(
        wanted="a clip that Essentia's music extractor can describe",
        got=got,
        fix="Leave the clip out, or use the encoder 'descriptors'",
    )


def _pooled(samples: Samples) -> dict[str, Any]:
    """What `MusicExtractor` says of samples (n,)."""
    extractor = _algorithms().MusicExtractor(
        lowlevelSilentFrames="drop",
        tonalSilentFrames="drop",
        lowlevelStats=list(STATISTICS),
        tonalStats=list(STATISTICS),
        mfccStats=["mean", "cov", "icov"],
        gfccStats=["mean", "cov", "icov"],
    )
    with tempfile.TemporaryDirectory(prefix="segue-essentia-") as folder:
        path = Path(folder) / "clip.wav"
        path.write_bytes(_wav(samples, SPEC.rate))
        pool, _ = extractor(str(path))
    return {name: pool[name] for name in POOLED if pool.containsKey(name)}


def _wav(samples: Samples, rate: int) -> bytes:
    """A WAV file of mono 32-bit floats: nothing is rounded or clipped."""
    data = samples.astype("<f4").tobytes()
    form = struct.pack("<HHIIHHH", 3, 1, rate, 4 * rate, 4, 32, 0)
    chunks = ((b"fmt ", form), (b"fact", struct.pack("<I", len(samples))), (b"data", data))
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(one)) + one for name, one in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _rhythm(samples: Samples) -> dict[str, Any]:
    """Tempo, beats and how loud they are; all 0 where there is no beat."""
    algorithms = _algorithms()
    noise = generator(0, "essentia").standard_normal(len(samples), np.float32)
    heard = samples + np.float32(NOISE) * noise
    tempo = algorithms.RhythmExtractor2013(method="degara", minTempo=SLOWEST, maxTempo=FASTEST)
    bpm, beats, _, _, intervals = tempo(heard)
    *peaks, histogram = algorithms.BpmHistogramDescriptors()(intervals)
    loudness, ratios = np.zeros((1, 1)), np.zeros((1, BANDS))
    if len(beats):
        loudness, ratios = algorithms.BeatsLoudness(beats=beats)(heard)
    return {
        "rhythm.bpm": bpm,
        "rhythm.beats_count": len(beats),
        "rhythm.bpm_histogram_peaks": peaks,
        "rhythm.bpm_histogram": histogram,
        "rhythm.danceability": algorithms.Danceability()(heard)[0],
        "rhythm.onset_rate": algorithms.OnsetRate()(heard)[1],
        "rhythm.beats_loudness": summary(np.reshape(loudness, (-1, 1)).astype(float), FULL),
        "rhythm.beats_loudness_band_ratio": summary(
            np.reshape(ratios, (-1, BANDS)).astype(float), FULL
        ),
    }
