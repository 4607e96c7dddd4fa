"""The optional extractor: said to be missing where it is, else the same numbers each time."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from segue.encoders import encoder, essentia
from segue.encoders.essentia import POOLED, RHYTHM, EssentiaEncoder, _wav, essentia_names
from segue.encoders.registry import entry
from segue.errors import InvalidSamplesError, UsageError

RATE = 44100


@pytest.fixture
def subject() -> EssentiaEncoder:
    pytest.importorskip("essentia", reason="the extra segue[essentia] is not installed")
    return EssentiaEncoder()


@pytest.fixture
def without_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine where the extra is not installed, whether it is here or not."""

    def import_module(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    essentia._algorithms.cache_clear()
    monkeypatch.setattr(essentia.importlib, "import_module", import_module)
    yield
    essentia._algorithms.cache_clear()


def test_without_the_extra_it_says_what_to_install(without_it: None) -> None:
    with pytest.raises(UsageError, match=r"pip install 'segue\[essentia\]'.*AGPL"):
        encoder("essentia")
    assert entry("essentia").extra == "essentia"
    assert "segue[essentia]" in entry("essentia").summary


def test_the_list_of_numbers_is_fixed() -> None:
    names = essentia_names()
    assert len(names) == len(set(names)) == 4337
    assert sum(POOLED.values()) == 4035
    assert sum(RHYTHM.values()) == 302
    assert f"({len(names)})" in entry("essentia").summary


def test_the_file_it_reads_has_the_very_samples(clip: Callable[..., np.ndarray]) -> None:
    samples = 30 * clip(0, 0.5, RATE)  # beyond full scale: nothing is clipped
    back, rate = soundfile.read(io.BytesIO(_wav(samples, RATE)), dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(back, samples)


def test_silence_in_the_music_gives_the_same_numbers_each_time(
    subject: EssentiaEncoder, clip: Callable[..., np.ndarray]
) -> None:
    """Essentia's own default fills it with noise that differs from call to call."""
    music = clip(1, 4.0, RATE)
    chunk = np.concatenate([np.zeros_like(music), music])
    first, other, again = subject.encode_chunks([chunk, clip(2, 2.0, RATE), chunk])
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, other)


def test_a_click_train_has_its_tempo_and_a_sine_its_frequency(subject: EssentiaEncoder) -> None:
    time = np.arange(12 * RATE) / RATE
    sine = (0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    draws = np.random.default_rng(0).standard_normal(12 * RATE).astype(np.float32)
    clicks = draws * (np.exp(-(time % 0.5) * 100) + 1e-3).astype(np.float32)
    found = [
        dict(zip(essentia_names(), row, strict=True))
        for row in subject.encode_chunks([sine, clicks])
    ]
    assert found[0]["lowlevel.spectral_centroid.median"] == pytest.approx(1000, rel=0.01)
    assert found[1]["rhythm.bpm"] == pytest.approx(120, rel=0.02)
    assert found[1]["rhythm.beats_count"] == pytest.approx(24, abs=2)


@pytest.mark.parametrize("kind", ["silence", "constant", "one sample", "a click"])
def test_what_it_cannot_describe_is_an_error_of_that_clip(
    kind: str, subject: EssentiaEncoder
) -> None:
    chunk = {
        "silence": np.zeros(RATE),
        "constant": np.full(RATE, 0.3),
        "one sample": np.ones(1),
        "a click": np.eye(1, 10 * RATE, 5000)[0],
    }[kind]
    with pytest.raises(InvalidSamplesError, match="encoder 'descriptors'"):
        subject.encode_chunks([chunk.astype(np.float32)])


@pytest.mark.parametrize("seconds", [0.05, 0.2])
def test_short_and_quiet_clips_are_described(
    seconds: float, subject: EssentiaEncoder, clip: Callable[..., np.ndarray]
) -> None:
    samples = clip(3, seconds, RATE)
    loud, quiet = subject.encode_chunks([samples, samples * np.float32(2**-20)])
    np.testing.assert_array_equal(loud, quiet)


def test_numbers_that_are_missing_are_refused(
    subject: EssentiaEncoder, clip: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = essentia._pooled

    def incomplete(samples: np.ndarray) -> dict[str, Any]:
        return {**made(samples), "lowlevel.hfc.mean": np.float32("nan")}

    monkeypatch.setattr(essentia, "_pooled", incomplete)
    with pytest.raises(InvalidSamplesError, match=r"lowlevel\.hfc\.mean"):
        subject.encode_chunks([clip(0, 0.5, RATE)])


def test_no_file_is_left_behind_and_nothing_is_printed(
    subject: EssentiaEncoder,
    clip: Callable[..., np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(essentia.tempfile, "tempdir", str(tmp_path))
    subject.encode_chunks([clip(0, 0.5, RATE)])
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_torch_and_essentia_load_beside_each_other(subject: EssentiaEncoder) -> None:
    torch = importlib.import_module("torch")
    assert torch.ones(2).sum() == 2
    assert ("essentia", importlib.import_module("importlib.metadata").version("essentia")) in (
        subject.card.settings
    )
