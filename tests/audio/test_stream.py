"""Blocks joined are the whole, and memory does not grow with the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import ALL_FORMATS, music, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.audio import load, stream

Songs = Callable[[str], Path]


@pytest.mark.parametrize("rate", [None, 12000])
@pytest.mark.parametrize("name", ALL_FORMATS)
def test_blocks_joined_are_the_whole(songs: Songs, name: str, rate: int | None) -> None:
    whole = load(songs(name), rate=rate)
    blocks = list(stream(songs(name), rate=rate, block_seconds=0.7))
    size = round(0.7 * whole.rate)
    assert [len(block.samples) for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert 0 < len(blocks[-1].samples) <= size
    joined = np.concatenate([block.samples for block in blocks])
    np.testing.assert_allclose(joined, whole.samples, atol=1e-6)
    assert {(b.rate, b.source, b.info) for b in blocks} == {(whole.rate, whole.source, whole.info)}


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(["pcm16.wav", "a.flac", "a.mp3"]),
    rate=st.sampled_from([None, 8000, 12000, 48000]),
    block_seconds=st.floats(0.003, 5.0),
    start=st.floats(0.0, 3.0),
    duration=st.none() | st.floats(0.001, 2.0),
)
def test_blocks_joined_are_the_excerpt(
    songs: Songs,
    name: str,
    rate: int | None,
    block_seconds: float,
    start: float,
    duration: float | None,
) -> None:
    path = songs(name)
    whole = load(path, rate=rate, start=start, duration=duration)
    blocks = stream(path, rate=rate, start=start, duration=duration, block_seconds=block_seconds)
    joined = np.concatenate([block.samples for block in blocks])
    np.testing.assert_allclose(joined, whole.samples, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 12000, 16000, 48000, 96000])
def test_streamed_resampling_equals_resampling_at_once(tmp_path: Path, rate: int) -> None:
    frames = music(44100, 5.0, 1)
    path = write(tmp_path / "a.wav", frames, 44100, "FLOAT")
    joined = np.concatenate([b.samples for b in stream(path, rate=rate, block_seconds=0.31)])
    at_once = soxr.resample(frames[:, 0], 44100, rate, quality="HQ")
    np.testing.assert_allclose(joined, at_once, atol=1e-6)


def test_blocks_do_not_share_memory(songs: Songs) -> None:
    first, second = list(stream(songs("pcm16.wav"), block_seconds=1.0))[:2]
    assert not np.shares_memory(first.samples, second.samples)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc to count open files in")
@pytest.mark.parametrize("name", ["pcm16.wav", "a.mp3"])
def test_leaving_early_closes_the_file(songs: Songs, name: str) -> None:
    blocks = stream(songs(name), block_seconds=0.1)
    next(blocks)
    before = len(list(Path("/proc/self/fd").iterdir()))
    blocks.close()  # type: ignore[attr-defined]
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1


PEAK = """
import resource, sys
from segue.audio import load, stream
short, path, task = sys.argv[1:]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for block in stream(short, rate=12000, block_seconds=30.0):
    pass
load(short, rate=12000, duration=29.0)
before = peak()
seconds = 0.0
if task == "stream":
    for block in stream(path, rate=12000, block_seconds=30.0):
        seconds += block.seconds
else:
    seconds = load(path, rate=12000, start=800.0, duration=29.0).seconds
print(seconds, peak() - before)
"""


@pytest.mark.parametrize(("suffix", "minutes"), [("wav", 60), ("flac", 60), ("mp3", 15)])
def test_an_hour_streams_in_the_memory_of_half_a_minute(
    tmp_path: Path, suffix: str, minutes: int
) -> None:
    pytest.importorskip("resource")
    short, long = tmp_path / f"short.{suffix}", tmp_path / f"long.{suffix}"
    minute = (0.3 * np.random.default_rng(0).standard_normal(8000 * 60)).astype(np.float32)
    write_as = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}[suffix]
    soundfile.write(short, minute[: 8000 * 30], 8000, subtype=write_as)
    with soundfile.SoundFile(long, "w", 8000, 1, subtype=write_as) as file:
        for _ in range(minutes):
            file.write(minute)
    for task, wanted in (("stream", 60.0 * minutes), ("load", 29.0)):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(short), str(long), task],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds, growth = done.stdout.split()
        assert float(seconds) == pytest.approx(wanted, abs=0.1)
        unit = 1 if sys.platform == "darwin" else 1024
        # fifteen minutes at 12 kHz are 43 MB of samples, an hour 173 MB
        assert int(growth) * unit < 20e6, f"{task}: {int(growth) * unit / 1e6:.0f} MB"
