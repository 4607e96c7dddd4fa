"""Descriptors of time: onsets, tempo, how regular the beat is, and how loudness moves.

An onset strength is the mean rise in dB, from one frame to the next, over a group of mel bands. The
tempo histogram is the autocorrelation of the onset strength at the beat periods of 40 to 240 beats
per minute. How strong a tempo is, and how regular its beat, is told of onsets spread over three
frames, and at the best of the periods up to a frame away: a regular beat whose period is no whole
number of frames falls now on one frame and now on the next.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from segue.encoders.descriptors.spectral import QUIET_DB, SPEC
from segue.encoders.descriptors.statistics import HIGH, LOW, Series, ordered, percentile, share

FRAME_RATE = SPEC.rate / SPEC.hop
SLOWEST, FASTEST = 40.0, 240.0  # beats per minute
TEMPI = 24
FINE = 10  # tempi tried within each of them
PREFERRED, OCTAVES = 120.0, 1.0  # where people tap (Ellis, 2007): log-normal, deviation in octaves
GROUPS = {"all": (0, 40), "low": (0, 6), "middle": (6, 24), "high": (24, 40)}  # mel bands
RATES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # hertz
FARTHEST = 3  # frames to both sides that an onset must exceed
RISE_FLOOR_DB = -70.0  # rises below this level are not heard

SPREAD = np.array([0.25, 0.5, 0.25])  # over frames, of onsets whose strength is told

_GRID = SLOWEST * (FASTEST / SLOWEST) ** ((np.arange(TEMPI * FINE) + 0.5) / (TEMPI * FINE))
TEMPO_NAMES = tuple(f"tempo.{bpm:.0f}" for bpm in _GRID.reshape(TEMPI, FINE)[:, FINE // 2])
NAMES = (
    *TEMPO_NAMES,
    *("tempo.first", "tempo.first_strength", "tempo.second", "tempo.second_strength"),
    *("beat.clarity", "beat.regularity", "onset.rate", "onset.interval", "onset.irregularity"),
    *(f"onset.{group}.{what}" for group in GROUPS for what in ("mean", "deviation", "peak")),
    *(f"modulation.{group}.{rate:g}" for group in GROUPS for rate in RATES[:-1]),
    *("loudness.complexity", "loudness.range", "loudness.quiet_share", "loudness.silent_share"),
)


def rhythm(mel_db: Series, level: Series) -> Series:
    """`NAMES` of mel bands (t, 40) and levels (t,), both in dB below the clip's level.

    Examples
    --------
    >>> rhythm(np.zeros((100, 40)), np.zeros(100)).shape == (len(NAMES),)
    True
    """
    heard = np.maximum(mel_db, RISE_FLOOR_DB)
    rises = np.maximum(np.diff(heard, axis=0, prepend=heard[:1]), 0.0)
    onsets = {name: rises[:, first:last].mean(axis=1) for name, (first, last) in GROUPS.items()}
    values: dict[str, float] = {**_beat(onsets["all"]), **_onsets(onsets["all"])}
    for name, (first, last) in GROUPS.items():
        ascending = np.sort(onsets[name])
        values[f"onset.{name}.mean"] = float(ascending.mean())
        values[f"onset.{name}.deviation"] = float(ascending.std())
        values[f"onset.{name}.peak"] = float(percentile(ascending, 0.95))
        modulation = _modulation(heard[:, first:last].mean(axis=1))
        values |= {
            f"modulation.{name}.{rate:g}": part
            for rate, part in zip(RATES[:-1], modulation, strict=True)
        }
    return ordered({**values, **_loudness(level)}, NAMES)


def _beat(onset: Series) -> dict[str, float]:
    """The tempo histogram and what is read off it."""
    fine = _at(_autocorrelation(onset), _GRID)
    spread = _autocorrelation(np.convolve(onset, SPREAD)[1:-1])
    near = np.lib.stride_tricks.sliding_window_view(np.pad(spread, 1, mode="edge"), 3).max(axis=1)
    histogram = fine.reshape(TEMPI, FINE).max(axis=1)
    preference = np.exp(-0.5 * (np.log2(_GRID / PREFERRED) / OCTAVES) ** 2)
    liked = fine.clip(min=0.0) * preference
    first = int(liked.argmax())
    # the second is another tempo, not the slope of the first
    apart = np.abs(np.log2(_GRID / _GRID[first])) > 0.2
    second = int(np.where(apart, liked, -1.0).argmax())
    strengths = _at(near, _GRID[[first, second]])
    beats = _at(near, _GRID[first] / np.arange(1, 5))
    return {
        **dict(zip(TEMPO_NAMES, histogram.tolist(), strict=True)),
        "tempo.first": float(_GRID[first]) if liked[first] > 0 else 0.0,
        "tempo.first_strength": float(strengths[0]),
        "tempo.second": float(_GRID[second]) if liked[second] > 0 else 0.0,
        "tempo.second_strength": float(strengths[1]),
        "beat.clarity": float(fine.max() - fine.min()),
        "beat.regularity": float(beats.mean()),
    }


def _at(correlation: Series, beats_per_minute: Series) -> Series:
    """An autocorrelation at the periods of some tempi; 0 where it is too short."""
    lag = 60.0 * FRAME_RATE / beats_per_minute
    return np.interp(lag, np.arange(len(correlation)), correlation, right=0.0)


def _autocorrelation(series: Series) -> Series:
    """Autocorrelation of a series by lag, 1 at 0; all 0 for one that does not move."""
    centred = series - series.mean()
    size = 2 * len(centred)
    found: Series = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[: len(centred)]
    # each lag over the frames it is made of; of fewer than a quarter of them, it would be chance
    weight = np.maximum(1.0 - np.arange(len(centred)) / len(centred), 0.25)
    return share(found / weight, found[0]) if found[0] > 1e-9 else np.zeros_like(found)


def _onsets(onset: Series) -> dict[str, float]:
    """How often there is an onset, the median seconds between two, and how unequal these are."""
    padded = np.pad(onset, FARTHEST, constant_values=-1.0)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * FARTHEST + 1).max(axis=1)
    strong = (onset >= around) & (onset > onset.mean() + 0.5 * onset.std()) & (onset > 1e-6)
    times = np.flatnonzero(strong) / FRAME_RATE
    between = np.diff(times)
    return {
        "onset.rate": len(times) / (len(onset) / FRAME_RATE),
        "onset.interval": float(np.median(between)) if len(between) else 0.0,
        "onset.irregularity": float(between.std() / between.mean()) if len(between) else 0.0,
    }


def _modulation(band: Series) -> list[float]:
    """Shares of a band's movement that lie within the octaves of `RATES`."""
    power = np.abs(np.fft.rfft(band - band.mean())) ** 2
    hertz = np.fft.rfftfreq(len(band), 1.0 / FRAME_RATE)
    whole = power.sum()
    if whole <= 1e-9:
        return [0.0] * (len(RATES) - 1)
    return [float(power[(hertz >= a) & (hertz < b)].sum() / whole) for a, b in pairwise(RATES)]


def _loudness(level: Series) -> dict[str, float]:
    """How the level moves: mean distance from its mean, range, and shares of quiet frames."""
    heard = np.maximum(level, QUIET_DB)
    ascending = np.sort(heard)
    return {
        "loudness.complexity": float(np.abs(heard - heard.mean()).mean()),
        "loudness.range": float(percentile(ascending, HIGH) - percentile(ascending, LOW)),
        "loudness.quiet_share": float((level < -6.0).mean()),
        "loudness.silent_share": float((level < QUIET_DB).mean()),
    }
