"""Hugging Face models: the numbers of transformers, and of each chunk alone in any batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from contract_checks import encoder_contract
from huggingface_toys import LAYERS, TOYS, edit, extractor, save_toy, whole_model
from segue.audio import Audio
from segue.datasets import Manifest
from segue.encoders import Encoder, encoder
from segue.encoders.huggingface import open_model
from segue.encoders.huggingface.spectra import kaldi_filters
from segue.errors import UsageError
from segue.extraction import Recipe, extract, file_facts
from segue.store import FeatureTable

pytest.importorskip("transformers", reason="the extra segue[hf] is not installed")

# one for each way of hearing, and of normalising within the network
WAYS = ("wav2vec2", "wav2vec2-layer", "mert", "clap", "clap-fused", "ast", "whisper")


CONTRACT = encoder_contract()
clips = CONTRACT.clips


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a toy, made once."""
    root = tmp_path_factory.mktemp("toys")

    def folder(name: str) -> Path:
        return root / name if (root / name).is_dir() else save_toy(name, root / name)

    return folder


@pytest.fixture(scope="module", params=WAYS)
def subject(request: pytest.FixtureRequest, toy: Callable[[str], Path]) -> Encoder:
    return encoder(f"hf:{toy(request.param)}")


test_shape_dtype_and_finiteness = CONTRACT.test_shape_dtype_and_finiteness
test_building_it_again = CONTRACT.test_building_it_again_gives_the_same_card_and_features
test_only_the_excerpt_is_heard = CONTRACT.test_only_the_excerpt_is_heard
test_all_chunks_are_the_mean = CONTRACT.test_all_chunks_are_the_mean_of_the_pieces
test_card_is_complete_and_survives_json = CONTRACT.test_card_is_complete_and_survives_json


def test_a_worker_builds_it_from_its_label(
    clip: Callable[..., np.ndarray], toy: Callable[[str], Path], tmp_path: Path
) -> None:
    """Of one model: starting a worker is slow, and the same for all."""
    subject = encoder(f"hf:{toy('whisper')}@2,5")
    sounds = [clip(n, 1.0 + n, subject.card.rate) for n in range(2)]
    rows = []
    for number, samples in enumerate(sounds):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, samples, subject.card.rate, subtype="FLOAT")
        rows.append({"path": str(path), "id": str(number)})
    manifest = Manifest.from_rows(rows)
    table = FeatureTable.open_or_create(tmp_path / "store", subject.card)
    done = extract(manifest, table, Recipe(subject.card.label), workers=2)
    assert done.computed == len(sounds), done.failures
    X, _ = table.matrix([file_facts(track) for track in manifest.tracks()])
    CONTRACT.close(X, subject.encode_chunks(sounds))


def test_threads_of_the_process_do_not_matter(
    subject: Encoder, clip: Callable[..., np.ndarray]
) -> None:
    CONTRACT.test_threads_of_the_process_do_not_matter(
        subject, [Audio(clip(0, 2.0, subject.card.rate), subject.card.rate)]
    )


def test_another_rate_is_refused(subject: Encoder) -> None:
    rate = subject.card.rate
    with pytest.raises(UsageError, match=rf"audio at {rate} Hz.*got {rate + 1} Hz"):
        subject.features(Audio(np.zeros(rate, np.float32), rate + 1))


def test_layers_are_slices_of_the_whole(
    subject: Encoder, clip: Callable[..., np.ndarray], toy: Callable[[str], Path]
) -> None:
    samples = clip(0, 2.0, subject.card.rate)
    whole = subject.encode_chunks([samples])[0]
    ends = dict(zip(subject.widths, np.cumsum(list(subject.widths.values())), strict=True))
    assert ends[max(ends)] == subject.card.dim
    for layers in [(1,), (2, 3), (1, max(ends))]:
        part = encoder(subject.card.name, layers=layers)
        expected = [whole[ends[k] - subject.widths[k] : ends[k]] for k in layers]
        CONTRACT.close(part.encode_chunks([samples])[0], np.concatenate(expected))
        assert part.card.digest != subject.card.digest
        assert part.card.weights_sha256 == subject.card.weights_sha256
    for wrong in ([max(ends) + 1], [], [2, 1], [1, 1]):
        with pytest.raises(UsageError, match="ascending layers among"):
            encoder(subject.card.name, layers=wrong)


def expected_vector(name: str, samples: np.ndarray) -> np.ndarray:
    """Means of hidden states by transformers itself, with its own feature extractor."""
    model, prepare = whole_model(name), extractor(name)
    ready = prepare(samples, sampling_rate=prepare.sampling_rate, return_tensors="pt")
    inputs, counting, more = ready[prepare.model_input_names[0]].float(), None, {}
    if name.startswith("clap"):
        net, more = model.audio_model, {"is_longer": torch.zeros(1, 1, dtype=torch.bool)}
    elif name == "whisper":
        net = model.model.encoder
        counting = list(range(math.ceil(len(samples) / 320)))
    elif name == "ast":
        net = model.audio_spectrogram_transformer
        frames = 1 + (len(samples) - 400) // 160
        columns = (1024 - 16) // 10 + 1
        heard = [column for column in range(columns) if column * 10 < frames]
        counting = [2 + row * columns + column for row in range(12) for column in heard]
    else:
        net = getattr(model, model.base_model_prefix, model)
    with torch.inference_mode():
        out = net(inputs, **more, output_hidden_states=True)
    states = [*out.hidden_states[1:-1], out.last_hidden_state]
    if name.startswith("clap"):
        return np.concatenate([one.mean(dim=(2, 3))[0].numpy() for one in states])
    return np.concatenate(
        [(one[0] if counting is None else one[0, counting]).mean(dim=0).numpy() for one in states]
    )


@pytest.mark.parametrize("name", TOYS)
def test_features_are_those_of_transformers_whatever_stands_beside_them(
    name: str, clip: Callable[..., np.ndarray], toy: Callable[[str], Path]
) -> None:
    """Alone and in batches, beside shorter and longer chunks: never padded to a neighbour."""
    subject = encoder(f"hf:{toy(name)}")
    longest = subject.card.excerpt.seconds if name in WAYS else 6.0
    chunks = [
        clip(n, seconds, subject.card.rate)
        for n, seconds in enumerate((0.06, 1.3, 5.0, 1.3, longest))
    ]
    alone = np.concatenate([subject.encode_chunks([chunk]) for chunk in chunks])
    for got, chunk in zip(alone, chunks, strict=True):
        wanted = expected_vector(name, chunk)
        assert np.abs(got - wanted).max() < 1e-4 * max(1.0, np.abs(wanted).max())
    for batch in (1, 2, 5):
        subject.batch = batch  # type: ignore[attr-defined]
        for order in ([0, 1, 2, 3, 4], [4, 3, 1], [2, 0]):
            together = subject.encode_chunks([chunks[number] for number in order])
            CONTRACT.close(together, alone[order])


@pytest.mark.parametrize("name", WAYS)
def test_the_shortest_chunks_have_features(name: str, toy: Callable[[str], Path]) -> None:
    subject = encoder(f"hf:{toy(name)}")
    draws = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    for length in (1, 2, 17, 399, 400, 401, 1000):
        (vector,) = subject.encode_chunks([draws[:length]])
        assert np.isfinite(vector).all()
    assert np.isfinite(subject.encode_chunks([np.zeros(1000, np.float32)])).all()
    assert subject.card.excerpt.min_seconds * subject.card.rate >= 400 or "clap" in name


@pytest.mark.parametrize(
    ("name", "rate", "seconds"),
    [
        ("wav2vec2", 16_000, 30.0),
        ("mert", 24_000, 30.0),
        ("clap", 48_000, 10.0),
        ("ast", 16_000, 10.24),
        ("whisper", 16_000, 30.0),
    ],
)
def test_rate_and_length_are_the_models_own(
    name: str, rate: int, seconds: float, toy: Callable[[str], Path]
) -> None:
    model = open_model(str(toy(name)))
    card = model.card()
    assert (card.rate, card.excerpt.seconds) == (rate, seconds)
    assert model.layers == tuple(range(1, (4 if name == "clap" else LAYERS) + 1))
    assert card.commercial
    assert card.licence.startswith("mit")
    assert card.training_data == "some-music"
    assert "title = {A toy}" in card.citation
    assert f"({card.dim})" in model.summary


def test_settings_of_the_extractor_are_followed(
    clip: Callable[..., np.ndarray], toy: Callable[[str], Path], tmp_path: Path
) -> None:
    """CLAP's ways of filling its length; wav2vec's normalisation of the level."""
    samples = clip(0, 3.0, 48_000)
    seen = {}
    for padding in ("repeatpad", "repeat", "pad"):
        folder = save_toy("clap", tmp_path / padding)
        edit(folder / "preprocessor_config.json", padding=padding)
        subject = encoder(f"hf:{folder}")
        seen[padding] = subject.encode_chunks([samples])[0]
        assert ("padding", padding) in subject.card.settings
        hearing = open_model(str(folder)).design.hearing()
        prepare = extractor("clap")
        ready = prepare(samples, sampling_rate=48_000, padding=padding, return_tensors="np")
        heard = hearing(torch.from_numpy(samples)).numpy()
        assert np.abs(heard - ready["input_features"][0]).max() < 2e-2  # dB, of 10-bit silence
    assert not np.allclose(seen["pad"], seen["repeat"], atol=1e-3)
    for name, level_matters in (("wav2vec2", False), ("wav2vec2-layer", True)):
        subject = encoder(f"hf:{toy(name)}")
        loud, soft = subject.encode_chunks([samples, samples / 2])
        assert np.allclose(loud, soft, atol=1e-4) != level_matters


def test_kaldis_filters_are_those_of_transformers(toy: Callable[[str], Path]) -> None:
    spec = open_model(str(toy("ast"))).card().front_end
    wanted = extractor("ast").mel_filters
    assert np.abs(kaldi_filters(spec) - wanted).max() < 1e-6


def legacy_state() -> np.ndarray:
    return np.random.get_state()[1].copy()  # noqa: NPY002


def test_no_generator_of_the_caller_is_touched(toy: Callable[[str], Path]) -> None:
    before, legacy = torch.random.get_rng_state(), legacy_state()
    for name in ("wav2vec2", "clap-fused"):
        subject = encoder(f"hf:{toy(name)}")
        subject.encode_chunks([np.ones(48_000, np.float32)])
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(legacy_state(), legacy)


def test_nothing_is_printed(toy: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    folder = toy("ast")
    capfd.readouterr()
    encoder(f"hf:{folder}").encode_chunks([np.ones(16_000, np.float32)])
    assert capfd.readouterr() == ("", "")
