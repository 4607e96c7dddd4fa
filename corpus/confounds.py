"""Can a style be told by something that is not music? Group cross-validation on nuisances."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Matrix = npt.NDArray[np.float64]

FOLDS = 5
REPEATS = 10  # shuffles of the folds, averaged: a single one moves by several points

CLASSIFIERS: dict[str, ClassifierMixin] = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "forest": RandomForestClassifier(50, min_samples_leaf=3, random_state=0, n_jobs=1),
}


@dataclass(frozen=True)
class Finding:
    """Accuracy of telling the style from one feature set, by classifier; chance and its error."""

    feature: str
    required: bool
    accuracy: dict[str, float]
    chance: float
    standard_error: float

    @property
    def limit(self) -> float:
        """Two standard errors above chance."""
        return self.chance + 2 * self.standard_error


def find_confounds(folder: Path) -> list[Finding]:
    """Tell the style from nuisances, and from spectra for comparison.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``manifest.csv``.

    Returns
    -------
    list of Finding
        Those with ``required`` must not exceed their limit; the rest is reported.
    """
    rows = read_manifest(folder)
    audio = [soundfile.read(folder / row["path"]) for row in rows]
    styles = np.array([row["style"] for row in rows])
    pieces = np.array([row["piece"] for row in rows])
    rms = np.array([[20 * np.log10(np.sqrt(np.mean(x**2)))] for x, _ in audio])
    peak = np.array([[20 * np.log10(np.abs(x).max())] for x, _ in audio])
    seconds = np.array([[len(x) / rate] for x, rate in audio])
    size = np.array([[(folder / row["path"]).stat().st_size] for row in rows], dtype=float)
    font = _one_hot([row["sound_font"] for row in rows])
    features = [
        ("loudness (RMS)", True, rms),
        ("length in seconds", True, seconds),
        ("file size", True, size),
        ("sound font", True, font),
        ("loudness, length, file size and sound font", True, np.hstack([rms, seconds, size, font])),
        ("tempo", True, np.array([[float(row["tempo"])] for row in rows])),
        ("melody instrument", True, _one_hot([row["melody"] for row in rows])),
        ("key", True, _one_hot([row["key"] for row in rows])),
        ("peak level (crest factor)", False, peak),
        ("20 MFCC, mean and standard deviation", False, mfcc_statistics(audio)),
    ]
    return [_finding(name, required, x, styles, pieces) for name, required, x in features]


def tempo_r2(folder: Path) -> float:
    """R2 of a linear model of log tempo on an onset-rate spectrum, grouped by piece."""
    rows = read_manifest(folder)
    x = np.array([_flux_autocorrelation(soundfile.read(folder / row["path"])[0]) for row in rows])
    y = np.log([float(row["tempo"]) for row in rows])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    split = list(folds.split(x, [row["style"] for row in rows], [row["piece"] for row in rows]))
    return float(r2_score(y, cross_val_predict(LinearRegression(), x, y, cv=split)))


def read_manifest(folder: Path) -> list[dict[str, str]]:
    """Rows of the manifest, in its order."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mfcc_statistics(audio: list[tuple[Matrix, int]]) -> Matrix:
    """Mean and standard deviation over time of 20 MFCC of 40 mel bands, one row per clip."""
    rows = []
    for samples, rate in audio:
        power = _power_frames(samples)
        mel = np.log(power @ _mel_filters(rate, power.shape[1]).T + 1e-10)
        bands = np.arange(40)
        cosines = np.cos(np.pi / 40 * (bands + 0.5) * np.arange(20)[:, None])
        mfcc = mel @ cosines.T
        rows.append(np.concatenate([mfcc.mean(axis=0), mfcc.std(axis=0)]))
    return np.array(rows)


def _finding(name: str, required: bool, x: Matrix, styles: Matrix, pieces: Matrix) -> Finding:
    accuracy = {}
    for classifier_name, classifier in CLASSIFIERS.items():
        hits = []
        for repeat in range(REPEATS):
            folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=repeat)
            guess = cross_val_predict(clone(classifier), x, styles, groups=pieces, cv=folds)
            hits.append(np.mean(guess == styles))
        accuracy[classifier_name] = float(np.mean(hits))
    chance = 1 / len(set(styles))
    error = float(np.sqrt(chance * (1 - chance) / len(styles)))
    return Finding(name, required, accuracy, chance, error)


def _one_hot(values: list[str]) -> Matrix:
    return np.array([[float(v == level) for level in sorted(set(values))] for v in values])


def _power_frames(samples: Matrix, size: int = 1024, hop: int = 512) -> Matrix:
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2


def _mel_filters(rate: int, bins: int, bands: int = 40) -> Matrix:
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hertz = np.linspace(0, rate / 2, bins)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def _flux_autocorrelation(samples: Matrix, hop: int = 240) -> Matrix:
    """Autocorrelation of spectral flux at 16 lags, log-spaced over 0.18 to 0.75 seconds."""
    log_power = np.log(_power_frames(samples, 1024, hop) + 1e-6)
    flux = np.clip(np.diff(log_power, axis=0), 0, None).sum(axis=1)
    flux -= flux.mean()
    correlation: Matrix = np.correlate(flux, flux, "full")[len(flux) - 1 :]
    lags = np.geomspace(18, 75, 17).astype(int)
    windows = [correlation[a:b].max() for a, b in pairwise(lags)]
    return np.asarray(windows, dtype=np.float64) / float(correlation[0])
