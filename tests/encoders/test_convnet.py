"""The convnet as it is computed on a CPU, against the plain network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.audio import Audio, load
from segue.audio.frontends import FrontEnd, power_spectrum
from segue.card import EncoderCard
from segue.datasets import Manifest
from segue.encoders import Encoder, encoder
from segue.encoders.calibrated import published_network, random_network, read_calibration
from segue.encoders.convnet import FRONT_END, ConvNet, ConvNetEncoder
from segue.encoders.protocol import split

TOLERANCE = 1e-5  # of a layer's largest number
Clip = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def network() -> ConvNet:
    return random_network()[0].eval()


@pytest.fixture(scope="module")
def music(clip: Clip) -> list[Audio]:
    return [Audio(clip(n, seconds, 12000), 12000) for n, seconds in enumerate((29.0, 3.0, 31.0))]


def frames_of(audio: Audio, card: EncoderCard) -> torch.Tensor:
    """As the plain way would hear it: one transform of all, one product with all filters."""
    spec = card.front_end
    front_end = FrontEnd(spec)
    chunk = torch.from_numpy(split(audio.samples, audio.rate, card.excerpt)[0].copy())
    spectrum = torch.stft(
        chunk,
        spec.n_fft,
        spec.hop,
        window=front_end.window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return front_end.compress(spectrum.abs().square().T @ front_end.filters)[None]


def close(ours: np.ndarray, plain: np.ndarray) -> None:
    for layer, expected in zip(ours.reshape(5, 32), plain.reshape(5, 32), strict=True):
        assert np.abs(layer - expected).max() <= TOLERANCE * np.abs(expected).max()


def plain_features(own: Encoder, plain: ConvNet, audio: Audio) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat(plain(frames_of(audio, own.card)), dim=1)[0].numpy()


def test_features_are_those_of_the_plain_network(network: ConvNet, music: list[Audio]) -> None:
    own = encoder("random-convnet")
    read_calibration("random-convnet").apply(network)
    for audio in music:
        close(own.features(audio), plain_features(own, network, audio))


def test_features_of_real_music_are_those_of_the_plain_network(
    segue_data: Path, pull_model: Callable[[str], Path]
) -> None:
    pull_model("choi2017-msd")
    own, (plain, _) = encoder("choi2017-msd"), published_network()
    read_calibration("choi2017-msd").apply(plain.eval())
    tracks = Manifest.read(segue_data / "4q/manifest.csv").tracks()
    for track in list(tracks)[::90]:
        audio = load(track.path, rate=12000, duration=29.0)
        close(own.features(audio), plain_features(own, plain, audio))


def test_a_clip_in_a_batch_has_its_own_features_bit_for_bit(music: list[Audio]) -> None:
    own = encoder("random-convnet")
    assert isinstance(own, ConvNetEncoder)
    chunks = [own.chunks_of(audio)[0] for audio in music]
    alone = np.concatenate([own.encode_chunks([chunk]) for chunk in chunks])
    np.testing.assert_array_equal(own.encode_chunks(chunks), alone)
    own.batch = 3  # as on a GPU: to rounding
    np.testing.assert_allclose(own.encode_chunks(chunks), alone, atol=1e-5)


def test_blocks_of_frames_give_the_transform_of_the_whole(clip: Clip) -> None:
    samples = torch.from_numpy(np.stack([clip(n, 29.0, 12000) for n in range(3)]))
    window = FrontEnd(FRONT_END).window
    whole = torch.stft(
        samples, 512, 256, window=window, center=True, pad_mode="constant", return_complex=True
    )
    expected = (whole.real.square() + whole.imag.square()).transpose(1, 2)
    together = power_spectrum(samples, window, 256)
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-5)
    alone = torch.cat([power_spectrum(one[None], window, 256) for one in samples])
    assert torch.equal(together, alone)
