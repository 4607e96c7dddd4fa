"""One recording is known again after recoding, filtering and cutting; another is not."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from segue.audio import Audio, load
from segue.audio.fingerprint import HOP, RATE, SAME, bit_errors, fingerprint
from segue.errors import InvalidSamplesError


@pytest.fixture(scope="module")
def clips(segue_data: Path) -> list[np.ndarray]:
    """Eight real recordings of several genres, 15 seconds."""
    files = sorted((segue_data / "gtzan100" / "audio").glob("*.flac"))[::13][:8]
    return [load(file, rate=RATE).samples for file in files]


def of(samples: np.ndarray) -> np.ndarray:
    return fingerprint(Audio(samples.astype(np.float32), RATE))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[700:],
        lambda x: x[len(x) // 2 :],
        lambda x: 0.1 * x,
        lambda x: np.clip(4 * x, -0.5, 0.5),
        lambda x: signal.lfilter([0.3, 0.4, 0.3], [1], x),
        lambda x: x + np.random.default_rng(0).normal(0, 0.1 * x.std(), len(x)),
    ],
    ids=["cut", "second half", "quiet", "clipped", "filtered", "noisy"],
)
def test_a_recording_is_known_again(clips: list[np.ndarray], change: object) -> None:
    shares = [bit_errors(of(clip), of(change(clip)))[0] for clip in clips]  # type: ignore[operator]
    assert max(shares) < SAME
    assert np.median(shares) < 0.25


def test_other_recordings_are_not(clips: list[np.ndarray]) -> None:
    fingers = [of(clip) for clip in clips]
    assert min(bit_errors(a, b)[0] for a, b in combinations(fingers, 2)) > 0.4


def test_the_offset_is_found(clips: list[np.ndarray]) -> None:
    first, second = of(clips[0]), of(clips[0][40 * HOP :])
    share, offset = bit_errors(first, second)
    assert offset == 40
    assert share < 1e-3
    assert bit_errors(second, first)[1] == -40


def test_silence_is_like_nothing_else() -> None:
    rng = np.random.default_rng(0)
    silent, noise = of(np.zeros(10 * RATE)), of(rng.normal(size=10 * RATE))
    assert bit_errors(silent, noise)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(("seconds", "rate"), [(4.0, RATE), (10.0, 8000), (0.0, RATE)])
def test_what_cannot_be_fingerprinted_is_said(seconds: float, rate: int) -> None:
    with pytest.raises(InvalidSamplesError, match="5 seconds or more at 5512 Hz"):
        fingerprint(Audio(np.ones(int(seconds * rate), np.float32), rate))
