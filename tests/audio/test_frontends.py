"""Front ends against librosa on real music and on signals whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from segue.audio.frontends import PRESETS, FrontEnd, dct_matrix, mel_filters, mirror, preset, reach
from segue.card import FrontEndSpec
from segue.errors import UsageError

CLIPS = ("gtzan100/audio/blues.00000.flac", "gtzan100/audio/metal.00001.flac")


def frames(spec: FrontEndSpec, samples: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return FrontEnd(spec)(torch.from_numpy(samples)[None])[0].numpy()


def librosa_mel(spec: FrontEndSpec, samples: np.ndarray) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=samples,
        sr=spec.rate,
        n_fft=spec.n_fft,
        hop_length=spec.hop,
        n_mels=spec.n_mels,
        power=spec.power,
        fmin=spec.f_min,
        fmax=spec.f_max,
        htk=spec.mel_scale == "htk",
        norm=spec.mel_norm,
        pad_mode="reflect" if spec.pad == "reflect" else "constant",
    ).T


def librosa_frames(spec: FrontEndSpec, samples: np.ndarray) -> np.ndarray:
    mel = librosa_mel(spec, samples)
    if spec.log == "ln":
        return np.log(np.maximum(mel, spec.amin))
    if spec.log == "log10":
        return np.log10(1 + spec.gain * mel)
    top_db = -spec.floor_db if spec.floor_db and spec.floor_from == "clip" else None
    level = librosa.power_to_db(mel.T, amin=spec.amin, ref=1.0, top_db=top_db)
    if spec.n_mfcc:
        return librosa.feature.mfcc(S=level, n_mfcc=spec.n_mfcc).T
    level = level.T - spec.reference_db
    return np.maximum(level, spec.floor_db) if spec.floor_db is not None else level


@pytest.fixture(scope="module", params=CLIPS)
def music(request: pytest.FixtureRequest, segue_data: Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(segue_data / request.param, dtype="float32")
    return samples, rate


@pytest.mark.filterwarnings("ignore:Empty filters detected")  # librosa's word on hamel2013
@pytest.mark.parametrize("name", PRESETS)
def test_preset_agrees_with_librosa_on_real_music(name: str, music: tuple[np.ndarray, int]) -> None:
    spec = preset(name)
    samples = librosa.resample(music[0], orig_sr=music[1], target_sr=spec.rate)
    ours, theirs = frames(spec, samples), librosa_frames(spec, samples)
    assert ours.shape == theirs.shape
    per_frame = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    assert per_frame.max() <= 1e-4
    # Bin by bin wherever a single-precision transform can resolve the level: its own rounding lies
    # some 130 dB below the loudest bin of a frame, where a logarithm shows it (0.02 dB at most).
    mel = librosa_mel(spec, samples)
    resolved = mel > mel.max(axis=1, keepdims=True) * 10 ** (-90 * spec.power / 20)
    if spec.n_mfcc is None:
        worst = np.abs(ours - theirs)[resolved] / np.maximum(np.abs(theirs[resolved]), 1.0)
        assert worst.max() <= 1e-4
        assert resolved.mean() > 0.5


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", None])
def test_mel_filters_agree_with_librosa(scale: str, norm: str | None) -> None:
    spec = replace(preset("choi2017"), mel_scale=scale, mel_norm=norm, f_min=30.0, f_max=5000.0)
    expected = librosa.filters.mel(
        sr=12000, n_fft=512, n_mels=96, fmin=30.0, fmax=5000.0, htk=scale == "htk", norm=norm
    )
    np.testing.assert_allclose(mel_filters(spec), expected.T, rtol=1e-5, atol=1e-8)


def test_published_mel_matrix_and_frame_count(segue_data: Path) -> None:
    """The 257 x 96 matrix inside the authors' weights file is ours."""
    h5py = pytest.importorskip("h5py")
    path = segue_data / "choi2017/weights_transfer/weights_layer4_theano.hdf5"
    with h5py.File(path) as file:
        published = file["melgram/param_2"][:]
    np.testing.assert_allclose(mel_filters(preset("choi2017")), published, atol=1e-6)
    assert frames(preset("choi2017"), np.zeros(348000, np.float32)).shape == (1360, 96)


@pytest.mark.parametrize("model", ["msd/fcn", "msd/crnn", "mtat/musicnn", "jamendo/fcn"])
def test_matrix_and_window_inside_the_taggers_of_won2020(model: str, segue_data: Path) -> None:
    """Their files hold what torchaudio computed, in single precision, when they were trained."""
    path = segue_data / "won2020" / model / "best_model.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    spec = preset("won2020")
    np.testing.assert_allclose(mel_filters(spec), state["spec.mel_scale.fb"], atol=2e-5)
    torch.testing.assert_close(FrontEnd(spec).window, state["spec.spectrogram.window"])
    assert frames(spec, np.zeros(465600, np.float32)).shape == (1819, 96)
    heard = np.zeros((257, 96), bool)
    for bins, bands in reach(mel_filters(spec)):
        heard[bins, bands] = True
    assert not state["spec.mel_scale.fb"].numpy()[~heard].any()


@pytest.mark.parametrize("name", PRESETS)
def test_bands_hear_all_the_bins_of_their_filters(name: str) -> None:
    front_end = FrontEnd(preset(name))
    power = torch.rand(2, 50, preset(name).n_fft // 2 + 1)
    expected = power.pow(preset(name).power / 2) @ front_end.filters
    torch.testing.assert_close(front_end.mel(power), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 100])
def test_mirrored_padding_is_that_of_numpy(length: int) -> None:
    samples = np.random.default_rng(0).normal(size=(2, length)).astype(np.float32)
    expected = np.pad(samples, ((0, 0), (6, 6)), mode="reflect")
    np.testing.assert_array_equal(mirror(torch.from_numpy(samples), 6), expected)


def test_padding_only_changes_the_ends() -> None:
    samples = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    mirrored = frames(preset("won2020"), samples)
    zeros = frames(replace(preset("won2020"), pad="zeros"), samples)
    assert mirrored.shape == zeros.shape == (63, 96)
    # of 512 samples about each frame's centre, the first and last of 63 frames reach out
    np.testing.assert_allclose(mirrored[1:-1], zeros[1:-1], atol=1e-4)
    assert np.abs(mirrored[0] - zeros[0]).max() > 0.1


def test_level_of_a_full_scale_sine_is_known() -> None:
    """A sine of amplitude 1 has magnitude n_fft / 4 at its bin under a Hann window."""
    spec = FrontEndSpec(rate=8192, n_fft=1024, hop=512, n_mels=40, mel_norm=None, power=1.0)
    time = np.arange(8192, dtype=np.float32) / 8192
    sine = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    with torch.inference_mode():
        level = FrontEnd(spec)(torch.from_numpy(sine)[None])[0, 8]
    peak_row = mel_filters(spec)[125]  # 1000 Hz is bin 125
    main_lobe = 256 * peak_row + 128 * (mel_filters(spec)[124] + mel_filters(spec)[126])
    expected = 10 * np.log10(np.maximum(main_lobe, spec.amin))
    best = int(expected.argmax())
    assert level[best].item() == pytest.approx(expected[best], abs=0.01)


def test_a_loud_neighbour_in_the_batch_changes_nothing() -> None:
    quiet = torch.randn(1, 24000) * 1e-4
    loud = torch.randn(1, 24000)
    for name in PRESETS:
        front_end = FrontEnd(preset(name))
        alone = front_end(quiet)
        together = front_end(torch.cat([quiet, loud]))[:1]
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


def test_silence_and_one_frame_are_finite() -> None:
    for name in PRESETS:
        for length in (1, 600, 5000):
            assert torch.isfinite(FrontEnd(preset(name))(torch.zeros(2, length))).all()


def test_dct_agrees_with_scipy() -> None:
    from scipy.fft import dct

    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    expected = dct(x, type=2, norm="ortho")[:, :13]
    np.testing.assert_allclose(x @ dct_matrix(40, 13), expected, atol=1e-5)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"hamel2013.*got 'choi'"):
        preset("choi")
