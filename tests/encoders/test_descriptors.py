"""Our own descriptors: against librosa, on signals of which the answer is known, and extremes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from segue.audio import load
from segue.audio.frontends import FrontEnd
from segue.datasets import Manifest
from segue.encoders import encoder
from segue.encoders.descriptors import DescriptorEncoder, descriptor_names
from segue.encoders.descriptors.encoder import level_of
from segue.encoders.descriptors.rhythm import TEMPO_NAMES
from segue.encoders.descriptors.spectral import OCTAVES, QUIET_DB, SHAPE, SPEC, Frames
from segue.encoders.descriptors.statistics import FULL, SHORT, names_of, summary
from segue.encoders.descriptors.tonal import PITCHES
from segue.extraction.frames import frame_recipe
from segue.seeds import generator

RATE = SPEC.rate
SECOND = np.arange(RATE) / RATE


def described(samples: np.ndarray) -> dict[str, float]:
    vector = DescriptorEncoder().encode_chunks([samples.astype(np.float32)])[0]
    return dict(zip(descriptor_names(), vector.tolist(), strict=True))


def noise(seconds: float = 10.0, level: float = 0.1) -> np.ndarray:
    return level * generator(0, "noise").standard_normal(round(seconds * RATE))


def tones(*hertz: float, seconds: float = 6.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.1 * sum(np.sin(2 * np.pi * one * time) for one in hertz)


def midi(*pitches: float) -> list[float]:
    return [440.0 * 2 ** ((pitch - 69) / 12) for pitch in pitches]


def clicks(beats_per_minute: float, seconds: float = 20.0) -> np.ndarray:
    samples = 1e-3 * noise(seconds)
    burst = generator(1, "click").standard_normal(400) * np.exp(-np.arange(400) / 80)
    for beat in np.arange(0.1, seconds - 0.1, 60 / beats_per_minute):
        begin = round(beat * RATE)
        samples[begin : begin + 400] += 0.5 * burst
    return samples


def test_names_are_as_many_as_numbers_and_in_the_blocks_described() -> None:
    names = descriptor_names()
    assert DescriptorEncoder().card.dim == len(names) == len(set(names)) == 439
    by_block = [name.split(".")[0] for name in names]
    assert [by_block.count(one) for one in ("spectrum", "contrast", "bark", "mfcc")] == [
        *(15 * 7, 7 * 4, 23 * 4, 20 * 4),
    ]


def test_frame_recipe_gives_one_vector_a_chunk() -> None:
    maker = frame_recipe("descriptors").build()
    assert maker.kind.width == 439


def series(samples: np.ndarray) -> tuple[np.ndarray, Frames]:
    """Samples at root mean square 1 and their frames."""
    unit, _ = level_of(samples.astype(np.float32))
    return unit, Frames.of(torch.from_numpy(unit), FrontEnd(SPEC))


def column(frames: Frames, name: str) -> np.ndarray:
    return frames.shape().numpy()[:, SHAPE.index(name)].astype(np.float64)


def test_spectral_shape_is_that_of_librosa(clip: Callable[..., np.ndarray]) -> None:
    unit, frames = series(clip(2, 4.0, RATE))
    power = np.abs(librosa.stft(unit, n_fft=SPEC.n_fft, hop_length=SPEC.hop)) ** 2
    given = {"S": power, "sr": RATE}
    theirs = {
        "centroid": librosa.feature.spectral_centroid(**given),
        "spread": librosa.feature.spectral_bandwidth(**given),
        "rolloff_85": librosa.feature.spectral_rolloff(**given),
        "rolloff_95": librosa.feature.spectral_rolloff(**given, roll_percent=0.95),
    }
    for name, expected in theirs.items():
        # theirs rolls off at a bin; ours between two
        tolerance = 12.0 if name.startswith("rolloff") else 0.01 * expected[0].max()
        assert np.abs(column(frames, name) - expected[0]).max() < tolerance, name
    flatness = librosa.feature.spectral_flatness(S=np.sqrt(power), amin=1e-12)[0]
    assert np.abs(column(frames, "flatness") - 10 * np.log10(flatness)).max() < 0.2
    crossings = librosa.feature.zero_crossing_rate(unit, frame_length=SPEC.n_fft, hop_length=512)[0]
    inside = slice(2, -2)  # at the ends theirs counts what it padded
    assert np.abs(column(frames, "zero_crossings") - crossings)[inside].max() < 2e-3


def test_mfcc_are_those_of_librosa(clip: Callable[..., np.ndarray]) -> None:
    unit, frames = series(clip(3, 4.0, RATE))
    mel = librosa.feature.melspectrogram(y=unit, sr=RATE, n_fft=2048, hop_length=512, n_mels=40)
    scale = RATE / SPEC.n_fft / float(np.square(np.hanning(SPEC.n_fft + 1)[:-1]).sum())
    expected = librosa.feature.mfcc(S=10 * np.log10(np.maximum(mel * scale, 1e-10)), n_mfcc=20).T
    heard = frames.level.numpy() > QUIET_DB
    assert np.abs(frames.mfcc().numpy() - expected)[heard].max() < 0.05 * np.abs(expected).max()
    middle = np.abs(frames.mfcc().numpy() - expected)[heard].mean()
    assert middle < 0.05


def test_contrast_goes_with_that_of_librosa(clip: Callable[..., np.ndarray]) -> None:
    """Theirs averages magnitudes, ours levels: the same clips stand out in the same octaves."""
    ours, theirs = [], []
    for seed in range(12):
        unit, frames = series(clip(seed, 2.0, RATE))
        ours.append(frames.contrast().numpy().mean(axis=0))
        spectrum = np.abs(librosa.stft(unit, n_fft=SPEC.n_fft, hop_length=SPEC.hop))
        contrast = librosa.feature.spectral_contrast(S=spectrum, sr=RATE, quantile=0.2)
        theirs.append(contrast.mean(axis=1))
    each = [
        np.corrcoef(a, b)[0, 1] for a, b in zip(np.array(ours).T, np.array(theirs).T, strict=True)
    ]
    assert len(each) == len(OCTAVES) - 1
    assert np.median(each) > 0.9


def test_a_sine_has_its_frequency_as_centroid_and_nothing_around() -> None:
    found = described(tones(1000.0))
    assert found["spectrum.centroid.median"] == pytest.approx(1000, abs=2)
    assert found["spectrum.rolloff_85.median"] == pytest.approx(1000, abs=12)
    assert found["spectrum.spread.median"] < 20
    assert found["spectrum.zero_crossings.mean"] == pytest.approx(2000 / RATE, rel=0.02)
    assert found["spectrum.flatness.median"] < -60
    assert found["spectrum.middle_share.median"] == pytest.approx(1, abs=1e-4)
    assert found["tonality.mean"] > 0.99
    assert found["peaks.mean"] == pytest.approx(1, abs=0.1)


def test_white_noise_is_flat() -> None:
    """Its periodogram is exponential: flatness e^-gamma, that is -2.507 dB; a third below 4 kHz."""
    found = described(noise())
    assert found["spectrum.flatness.mean"] == pytest.approx(-2.507, abs=0.05)
    assert found["spectrum.centroid.mean"] == pytest.approx(RATE / 4, rel=0.01)
    assert found["spectrum.spread.mean"] == pytest.approx(RATE / 2 / np.sqrt(12), rel=0.01)
    assert found["spectrum.high_share.mean"] == pytest.approx(1 - 8000 / RATE, abs=0.01)
    assert found["spectrum.zero_crossings.mean"] == pytest.approx(0.5, abs=0.005)
    assert found["bark.10.mean"] == pytest.approx(0, abs=0.5)
    assert found["loudness.level"] == pytest.approx(-20, abs=0.1)
    assert found["tonality.mean"] < 0.15
    assert found["beat.clarity"] < 0.3


@pytest.mark.parametrize("detuned", [0.0, 0.35, -0.4])
def test_a_chord_has_its_pitch_classes_whatever_the_tuning(detuned: float) -> None:
    """C major, also 35 cents sharp and 40 flat."""
    found = described(tones(*midi(*(pitch + detuned for pitch in (60, 64, 67, 72)))))
    assert found["tuning.offset"] == pytest.approx(detuned, abs=0.02)
    assert found["tuning.strength"] > 0.98
    chroma = {pitch: found[f"chroma.{pitch}.mean"] for pitch in PITCHES}
    assert set(sorted(chroma, key=chroma.__getitem__)[-3:]) == {"C", "E", "G"}
    assert sum(chroma[pitch] for pitch in "CEG") > 0.97
    assert found["key.degree.00"] == pytest.approx(chroma["C"])
    assert found["key.mode"] > 0.1
    assert found["harmony.change.mean"] < 0.01


def test_chroma_agrees_with_librosa() -> None:
    samples = tones(*midi(57, 60, 64, 76))  # A minor
    found = described(samples)
    theirs = librosa.feature.chroma_stft(y=samples, sr=RATE, n_fft=8192, tuning=0.0).mean(axis=1)
    ours = np.array([found[f"chroma.{pitch}.mean"] for pitch in PITCHES])
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95
    assert found["key.mode"] < 0


def test_another_key_changes_only_what_names_pitches() -> None:
    """Two chords, and the same seven semitones up."""
    chords = ((60, 64, 67), (65, 69, 72))
    first, second = (
        described(np.concatenate([tones(*midi(*np.add(chord, up)), seconds=3) for chord in chords]))
        for up in (0, 7)
    )
    for name in first:
        if name.startswith(("key.", "harmony.interval", "harmony.cycle", "chroma.entropy")):
            assert first[name] == pytest.approx(second[name], abs=0.05), name
    for number, pitch in enumerate(PITCHES):
        there = PITCHES[(number + 7) % 12]
        assert first[f"chroma.{pitch}.mean"] == pytest.approx(
            second[f"chroma.{there}.mean"], abs=0.03
        )
    assert abs(first["chroma.C.mean"] - second["chroma.C.mean"]) > 0.1


@pytest.mark.parametrize("tempo", [75.0, 100.0, 128.0, 150.0])
def test_a_click_train_has_its_tempo(tempo: float) -> None:
    found = described(clicks(tempo))
    assert found["tempo.first"] == pytest.approx(tempo, rel=0.03)
    assert found["tempo.first_strength"] > 0.7
    assert found["onset.rate"] == pytest.approx(tempo / 60, rel=0.06)
    assert found["onset.interval"] == pytest.approx(60 / tempo, abs=0.03)
    assert found["onset.irregularity"] < 0.1
    highest = max(TEMPO_NAMES, key=lambda name: found[name])
    ratio = np.log2(float(highest.removeprefix("tempo.")) / tempo)
    assert abs(ratio - round(ratio)) < 0.12  # the tempo, or an octave from it


def test_irregular_clicks_are_less_regular() -> None:
    regular = clicks(120.0)
    irregular = 1e-3 * noise(20.0)
    for place in generator(0, "beats").uniform(0.1, 19.5, size=40):
        begin = round(place * RATE)
        irregular[begin : begin + 400] += regular[2205 : 2205 + 400]
    a, b = described(regular), described(irregular)
    for name in ("beat.clarity", "beat.regularity", "tempo.first_strength"):
        assert a[name] > b[name] + 0.2, name
    assert a["onset.irregularity"] < b["onset.irregularity"] - 0.2


def bursts(times: np.ndarray, seconds: float = 20.0) -> np.ndarray:
    """Decaying noise, another each time, as a drum is."""
    draws = generator(2, "bursts")
    samples = 1e-2 * noise(seconds + 0.1)
    decay = np.exp(-np.arange(2000) / 500)
    for time in times:
        begin = round(time * RATE)
        samples[begin : begin + 2000] += draws.standard_normal(2000) * decay
    return samples


def test_a_regular_beat_is_regular_whatever_its_period_in_frames() -> None:
    """At 123.05 a minute a beat is 21 frames exactly, at 120 between 21 and 22."""
    tempi = (60.0, 80.0, 100.0, 120.0, 123.05, 129.2, 140.0)
    found = [described(bursts(np.arange(0.0, 20.0, 60 / tempo))) for tempo in tempi]
    chance = described(bursts(np.sort(generator(3, "times").uniform(0, 20, 40))))
    for name in ("beat.regularity", "tempo.first_strength"):
        values = [one[name] for one in found]
        assert min(values) > 0.7, name
        assert max(values) - min(values) < 0.25, name
        assert chance[name] < min(values) - 0.4, name


@pytest.mark.parametrize("gain", [1e-4, 0.37, 50.0])
def test_a_gain_and_an_offset_change_the_level_alone(
    gain: float, clip: Callable[..., np.ndarray]
) -> None:
    samples = clip(5, 6.0, RATE)
    before, after = described(samples), described(gain * (samples + 0.25))
    for name, value in before.items():
        if name != "loudness.level":
            assert after[name] == pytest.approx(value, rel=2e-3, abs=2e-3), name
    shift = after["loudness.level"] - before["loudness.level"]
    assert shift == pytest.approx(20 * np.log10(gain), abs=1e-3)


SIGNALS = {
    "silence": np.zeros(RATE),
    "constant": np.full(RATE, 0.3),
    "one sample": np.ones(1),
    "two samples": np.array([1.0, -1.0]),
    "shorter than a window": noise(0.02),
    "one sample short of a hop": noise(1.0)[: 512 - 1],
    "a click": np.eye(1, RATE, 700)[0],
    "clipped": np.sign(tones(100.0)),
    "half silent": np.concatenate([np.zeros(5 * RATE), noise(5.0)]),
    "very loud": 1e30 * noise(1.0),
    "very quiet": 1e-34 * noise(1.0),
    "highest frequency": np.tile([1.0, -1.0], RATE // 2),
}


@pytest.mark.parametrize("signal", SIGNALS, ids=str)
def test_extremes_are_described_with_finite_numbers(signal: str) -> None:
    found = described(SIGNALS[signal])
    assert np.isfinite(list(found.values())).all()
    assert max(abs(value) for value in found.values()) <= RATE
    if signal in ("silence", "constant", "one sample"):
        assert found["loudness.level"] == -120
        assert found["tonality.mean"] == found["beat.clarity"] == found["key.strength"] == 0


def test_silence_around_the_music_does_not_change_its_timbre(
    clip: Callable[..., np.ndarray],
) -> None:
    samples = clip(6, 5.0, RATE)
    padded = np.concatenate([np.zeros(430 * SPEC.hop), samples])  # frames lie as before
    a, b = described(samples), described(padded)
    for name in ("spectrum.centroid.median", "spectrum.flatness.median", "bark.05.deviation"):
        assert a[name] == pytest.approx(b[name], rel=0.03), name
    assert b["loudness.silent_share"] == pytest.approx(2 / 3, abs=0.01)


def test_summary_by_hand() -> None:
    frames = np.array([[0.0, 5.0], [1.0, 5.0], [3.0, 5.0]])
    found = dict(zip(names_of("ab", FULL), summary(frames, FULL).tolist(), strict=True))
    assert found["a.mean"] == pytest.approx(4 / 3)
    assert found["a.low"] == pytest.approx(0.2)
    assert found["a.median"] == 1
    assert found["a.high"] == pytest.approx(2.6)
    assert found["a.change"] == 1.5
    assert found["a.change_deviation"] == 0.5
    assert [found[name] for name in names_of("b", FULL)] == [5, 0, 5, 5, 5, 0, 0]
    assert summary(frames[:1], SHORT).tolist() == [0, 0, 0, 0, 5, 0, 0, 0]


def test_real_music_of_two_kinds_differs_as_it_should(segue_data: Path) -> None:
    """Metal against classical: louder in the extremes, noisier, less tonal."""
    rows = Manifest.read(segue_data / "gtzan100/manifest.csv")
    subject = encoder("descriptors")
    middle: dict[str, dict[str, float]] = {}
    for genre in ("metal", "classical"):
        tracks = [
            track
            for track, label in zip(rows.tracks(), rows.column("genre"), strict=True)
            if label == genre
        ]
        X = np.stack([subject.features(load(track.path, rate=RATE)) for track in tracks])
        assert np.isfinite(X).all()
        middle[genre] = dict(zip(descriptor_names(), np.median(X, axis=0).tolist(), strict=True))
    metal, classical = middle["metal"], middle["classical"]
    for name in (
        "spectrum.centroid.mean",
        "spectrum.flatness.mean",
        "spectrum.zero_crossings.mean",
    ):
        assert metal[name] > classical[name], name
    for name in ("tonality.mean", "loudness.range", "loudness.complexity"):
        assert metal[name] < classical[name], name
