"""What single encoders compute, against independent computations and published features."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from segue.audio import load
from segue.audio.frontends import FrontEnd, preset
from segue.card import ExcerptSpec
from segue.datasets import Manifest
from segue.encoders import encoder, parse_layers
from segue.encoders.calibrated import published_network, random_network, read_calibration
from segue.encoders.convnet import POOLS, ConvNet, calibrate
from segue.encoders.protocol import split
from segue.encoders.windows import window_features
from segue.errors import UsageError, WeightsError


def test_mfcc_is_that_of_librosa(clip: Callable[..., np.ndarray]) -> None:
    samples = clip(3, 4.0, 12000)
    frames = librosa.feature.mfcc(y=samples, sr=12000, n_mfcc=20).T
    parts = [frames, np.diff(frames, axis=0), np.diff(frames, n=2, axis=0)]
    expected = np.concatenate([row for p in parts for row in (p.mean(axis=0), p.std(axis=0))])
    ours = encoder("mfcc").encode_chunks([samples])[0]
    assert np.abs(ours - expected).max() < 1e-4 * np.abs(expected).max()


def test_mfcc_agrees_with_the_released_features(segue_data: Path) -> None:
    """Ours of 15 s against the authors' of the whole 30 s: the same numbers, other excerpt."""
    released = np.load(segue_data / "choi2017/data_feats/gtzan_genre_mfcc.npy")
    rows = released_rows(segue_data)
    manifest = Manifest.read(segue_data / "gtzan100/manifest.csv")
    subject = encoder("mfcc")
    ours = np.stack([subject.features(load(t.path, rate=12000)) for t in manifest.tracks()])
    theirs = released[[rows[name] for name in manifest.ids]]
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)]
    # means of differences are near 0 and hardly correlate between excerpts
    for block in (0, 1, 3, 5):
        assert np.median(correlations[20 * block : 20 * block + 20]) > 0.9, block


def released_rows(segue_data: Path) -> dict[str, int]:
    with (segue_data / "choi2017/data_csv/gtzan_genre.csv").open() as file:
        return {Path(row["filepath"]).stem: n for n, row in enumerate(csv.DictReader(file))}


def test_mfcc_of_one_frame_has_differences_zero() -> None:
    features = encoder("mfcc").encode_chunks([np.full(300, 0.1, np.float32)])[0]
    assert np.isfinite(features).all()
    assert features[:20].any()
    assert not features[20:].any()


def test_window_features_by_hand() -> None:
    frames = torch.arange(10.0)[:, None]
    first, second = window_features(frames, size=4).tolist()
    assert first == [1.5, 1.25, 3.0, 0.0]
    assert second == [5.5, 1.25, 7.0, 4.0]  # frames 8 and 9 are left over


def test_convnet_by_the_book(clip: Callable[..., np.ndarray]) -> None:
    """Our order of operations (fused, pooled before ELU) against the paper's, step by step."""
    subject = encoder("random-convnet")
    network, _ = random_network()
    read_calibration("random-convnet").apply(network)
    samples = torch.from_numpy(np.resize(clip(1, 3.0, 12000), 348000))[None]
    with torch.inference_mode():
        maps = FrontEnd(subject.card.front_end)(samples).transpose(1, 2)[:, None]
        expected = []
        for layer, pool in enumerate(POOLS):
            conv, norm = network.convolutions[layer], network.batch_norms()[layer]
            maps = torch.nn.functional.elu(norm.eval()(conv(maps)))
            maps = torch.nn.functional.max_pool2d(maps, pool)
            expected.append(maps.mean(dim=(2, 3)))
    assert maps.shape[2:] == (1, 1)
    ours = subject.encode_chunks([samples[0].numpy()])[0]
    np.testing.assert_allclose(ours, torch.cat(expected, dim=1)[0].numpy(), atol=2e-5)


def test_calibration_is_the_statistics_of_one_batch() -> None:
    """Streaming layer by layer gives what batch normalisation in training mode sees."""
    draws = torch.Generator().manual_seed(0)
    frames = torch.randn(3, 1360, 96, generator=draws) * 20 - 40
    network, _ = random_network()
    calibrate(network, (clip[None] for clip in frames))
    reference, _ = random_network()
    reference.train()
    with torch.inference_mode():
        expected = reference(frames)
        ours = network.eval()(frames)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_released_gtzan_features_with_the_statistics_of_one_batch(
    segue_data: Path, pulled: Path
) -> None:
    """Median per-dimension correlation with the authors' features at least .85 in every layer."""
    manifest = Manifest.read(segue_data / "gtzan100/manifest.csv")
    excerpt = ExcerptSpec(seconds=29.0, short="tile")
    front_end = FrontEnd(replace(preset("choi2017"), floor_db=None))
    frames = []
    for track in manifest.tracks():
        audio = load(track.path, rate=12000, duration=29.0)
        chunk = np.ascontiguousarray(split(audio.samples, 12000, excerpt)[0])
        with torch.inference_mode():
            frames.append(front_end(torch.from_numpy(chunk)[None]))
    loudest = max(float(clip.max()) for clip in frames)
    frames = [(clip - loudest).clamp(min=-80.0) for clip in frames]
    network, _ = published_network()
    calibrate(network, frames)
    fused = network.fused()
    with torch.inference_mode():
        layers = [torch.cat(parts).numpy() for parts in zip(*map(fused, frames), strict=True)]
    rows = released_rows(segue_data)
    order = [rows[name] for name in manifest.ids]
    for number, ours in enumerate(layers):
        released = np.load(segue_data / f"choi2017/data_feats/gtzan_genre_layer_{number}.npy")
        pairs = zip(ours.T, released[order].T, strict=True)
        assert np.median([np.corrcoef(a, b)[0, 1] for a, b in pairs]) >= 0.85, number + 1


def test_weights_never_pulled_is_an_error_not_a_random_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"segue models pull choi2017-msd"):
        encoder("choi2017-msd")


def test_changed_weights_are_refused(
    tmp_path: Path, pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file, save_file

    monkeypatch.setenv("SEGUE_HOME", str(tmp_path))
    folder = tmp_path / "weights"
    folder.mkdir()
    tensors = load_file(pulled)
    tensors["convolutions.0.bias"][0] += 1e-3
    save_file(tensors, folder / "choi2017-msd.safetensors")
    with pytest.raises(WeightsError, match="SHA-256"):
        encoder("choi2017-msd")
    (folder / "choi2017-msd.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        encoder("choi2017-msd")


def test_pull_refuses_other_files(tmp_path: Path) -> None:
    import h5py

    from segue.encoders.weights import pull

    with pytest.raises(WeightsError, match="nothing there"):
        pull("choi2017-msd", from_file=tmp_path / "absent.hdf5")
    (tmp_path / "text.hdf5").write_text("no")
    with pytest.raises(WeightsError, match="an HDF5 weights file"):
        pull("choi2017-msd", from_file=tmp_path / "text.hdf5")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["convolution2d_1_W"] = np.zeros((32, 1, 3, 3), np.float32)
    with pytest.raises(WeightsError, match="got 1 of them"):
        pull("choi2017-msd", from_file=tmp_path / "other.hdf5")
    with pytest.raises(UsageError, match="weights are pulled"):
        pull("mfcc", from_file=tmp_path / "other.hdf5")


class Answer:
    """What urlopen returns, from bytes."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, limit: int) -> bytes:
        return self.body[:limit]


def test_pull_downloads_checks_and_converts(
    segue_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segue.encoders import weights

    monkeypatch.setenv("SEGUE_HOME", str(tmp_path))
    body = (segue_data / "choi2017/weights_transfer/weights_layer4_theano.hdf5").read_bytes()
    asked = []

    def urlopen(url: str, timeout: float) -> Answer:
        asked.append(url)
        return Answer(body)

    monkeypatch.setattr(weights.urllib.request, "urlopen", urlopen)
    path = weights.pull("choi2017-msd")
    assert asked == [weights.source("choi2017-msd").url]
    assert path.suffix == ".safetensors"
    assert encoder("choi2017-msd").card.weights_sha256 == weights.source("choi2017-msd").digest


def test_pull_without_internet_or_with_a_file_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segue.encoders import weights

    monkeypatch.setenv("SEGUE_HOME", str(tmp_path))

    def offline(url: str, timeout: float) -> Answer:
        raise OSError("Name or service not known")

    monkeypatch.setattr(weights.urllib.request, "urlopen", offline)
    with pytest.raises(WeightsError, match="pass it with --from FILE"):
        weights.pull("choi2017-msd")
    monkeypatch.setattr(weights, "MAX_DOWNLOAD_BYTES", 10)
    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda url, timeout: Answer(b"x" * 20))
    with pytest.raises(WeightsError, match="at most 10 bytes, got a larger file"):
        weights.pull("choi2017-msd")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_random_network_is_fixed_by_its_seed() -> None:
    assert random_network(0)[1] == random_network(0)[1] != random_network(1)[1]


def test_unknown_names_layers_devices() -> None:
    with pytest.raises(
        UsageError, match=r"melstats, melblocks, descriptors, random-convnet, .*got 'x'"
    ):
        encoder("x")
    with pytest.raises(UsageError, match="layers given once"):
        encoder("random-convnet@1", layers=[2])
    with pytest.raises(UsageError, match="at least one chunk"):
        encoder("mfcc", chunks=0)
    with pytest.raises(UsageError, match="a device that torch can use"):
        encoder("mfcc", device="nonsense")
    with pytest.raises(UsageError, match="layers such as 1,3,5"):
        parse_layers("one")


def test_shapes_through_the_network() -> None:
    outputs = ConvNet().eval()(torch.zeros(1, 1360, 96), depth=3)
    assert [tuple(layer.shape) for layer in outputs] == [(1, 32)] * 3


EXPECTED = {  # issue and REPRODUCTION.md: accuracy over ten artist-disjoint folds, nested rbf SVM
    ("4q", "quadrant", "mfcc"): 0.63,
    ("4q", "quadrant", "random-convnet"): 0.63,
    ("4q", "quadrant", "choi2017-msd"): 0.72,
    ("emotify", "genre", "mfcc"): 0.57,
    ("emotify", "genre", "random-convnet"): 0.53,
    ("emotify", "genre", "choi2017-msd"): 0.66,
}


@pytest.mark.long
@pytest.mark.parametrize(("folder", "target"), [("4q", "quadrant"), ("emotify", "genre")])
def test_accuracy_on_real_music_is_what_is_known(
    folder: str, target: str, segue_data: Path, pulled: Path, tmp_path: Path
) -> None:
    from segue.workflows import evaluate

    done = evaluate(
        segue_data / folder / "manifest.csv",
        [target],
        encoders=["mfcc", "random-convnet", "choi2017-msd"],
        group="artist",
        out=tmp_path,
    )
    for row in done.results[0].rows:
        if row.metric == "accuracy" and row.encoder != "chance":
            known = EXPECTED[folder, target, row.encoder]
            assert row.mean == pytest.approx(known, abs=0.035), row
