"""Every format, every sample layout: right samples, right rate, silent."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from audio_files import ALL_FORMATS, PYAV_FORMATS, RATE, SOUNDFILE_FORMATS, encode, music, write
from numpy.typing import NDArray

import segue.audio
from segue.audio import AUDIO_SUFFIXES, Audio, AudioInfo, load, mono, probe, resample
from segue.errors import UsageError

Songs = Callable[[str], Path]

# mu-law and 8 bits are coarse; the perceptual codecs keep these tones, not the waveform
TOLERANCE = {"u8.wav": 0.01, "mulaw.wav": 0.02}
LOSSY = {"a.ogg", "a.opus", *PYAV_FORMATS}


def _lag_and_error(
    got: NDArray[np.float32], wanted: NDArray[np.float32], most: int = 2500
) -> tuple[int, float]:
    """The delay of `got` (encoder padding) by cross-correlation, and the error once aligned."""
    size = 1 << 17
    piece = wanted[20000:60000]
    product = np.fft.irfft(np.fft.rfft(got[: 60000 + most], size) * np.fft.rfft(piece, size).conj())
    lag = int(np.argmax(product[20000 - most : 20000 + most])) - most
    aligned = got[20000 + lag : 60000 + lag]
    return lag, float(np.sqrt(np.mean((aligned - piece) ** 2) / np.mean(piece**2)))


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_every_format_gives_the_mean_of_its_channels(songs: Songs, name: str) -> None:
    audio = load(songs(name))
    assert audio.samples.dtype == np.float32
    assert audio.samples.flags.c_contiguous
    assert audio.info is not None
    assert audio.info.channels == 2
    wanted = music(audio.rate).mean(axis=1)
    assert abs(len(audio.samples) - len(wanted)) < 0.11 * audio.rate
    if name not in LOSSY:
        np.testing.assert_allclose(audio.samples, wanted, atol=TOLERANCE.get(name, 1e-4))
        return
    lag, error = _lag_and_error(audio.samples, wanted)
    assert error < 0.06
    assert abs(lag) <= 2112  # the delay some encoders declare nowhere
    assert np.abs(audio.samples).max() <= 1.0


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_probe_states_the_files_facts(songs: Songs, name: str) -> None:
    info = probe(songs(name))
    table = SOUNDFILE_FORMATS.get(name) or PYAV_FORMATS[name]
    assert info.rate == table[2]
    assert info.channels == 2
    # MPEG audio is PyAV's, for the reasons given in segue.audio.headers.soundfile_knows
    assert info.decoder == ("soundfile" if name in SOUNDFILE_FORMATS else "pyav")
    if name in ("a.aac", "video.ts", "video.avi"):
        assert info.seconds is None
        assert info.seconds_estimate == pytest.approx(5.0, rel=0.3)
    else:
        assert info.seconds == pytest.approx(4.0, abs=0.1)
        assert info.seconds_estimate is None
    assert load(songs(name)).info == info


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_an_excerpt_is_the_slice_of_the_whole(songs: Songs, name: str) -> None:
    path = songs(name)
    whole = load(path)
    length = round(0.5 * whole.rate)
    for start in (0.0, 0.0101, 0.9, 1.7003, 2.5, 3.4):
        excerpt = load(path, start=start, duration=0.5)
        first = round(start * whole.rate)
        assert len(excerpt.samples) == length
        # perceptual decoders may draw noise of their own, so not to the last bit
        atol = 2e-3 if name in LOSSY else 0.0
        np.testing.assert_allclose(
            excerpt.samples, whole.samples[first : first + length], atol=atol, err_msg=f"{start} s"
        )


@pytest.mark.parametrize("name", ["pcm16.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.m4a"])
def test_a_resampled_excerpt_has_the_length_asked_for(songs: Songs, name: str) -> None:
    path = songs(name)
    whole = load(path, rate=12000)
    for start, duration in ((0.0, 1.0), (1.0, 1.5), (2.0, 0.33333), (0.5, 0.00125)):
        excerpt = load(path, rate=12000, start=start, duration=duration)
        assert excerpt.rate == 12000
        assert len(excerpt.samples) == round(duration * 12000)
        if duration >= 1.0:  # the filter rings where the excerpt was cut
            first = round(start * 12000) + 600
            inner = excerpt.samples[600:-600]
            np.testing.assert_allclose(
                inner, whole.samples[first : first + len(inner)], atol=1e-3, err_msg=f"{start} s"
            )


def test_an_excerpt_resampled_upwards_has_the_length_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", music(8000, 1.0, 1), 8000)
    for duration in (0.33333, 0.10001, 0.5):
        assert len(load(path, rate=48000, duration=duration).samples) == round(48000 * duration)


def test_seeking_in_vorbis_is_exact_anywhere(tmp_path: Path) -> None:
    # libsndfile alone is wrong in about one seek of ten
    path = tmp_path / "a.ogg"
    soundfile.write(path, music(seconds=8.0), RATE)
    whole = load(path).samples
    for first in np.random.default_rng(0).integers(0, len(whole) - 10, 150).tolist():
        excerpt = load(path, start=first / RATE, duration=0.02).samples
        np.testing.assert_allclose(excerpt, whole[first : first + 882], atol=1e-6)


def test_an_excerpt_past_the_end_is_what_there_is(songs: Songs) -> None:
    assert load(songs("pcm16.wav"), start=3.5, duration=10.0).seconds == 0.5
    assert load(songs("a.mp3"), start=3.5, duration=10.0).seconds == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("rate", [8000, 192000])
@pytest.mark.parametrize("channels", [1, 8])
def test_extreme_rates_and_channel_counts(tmp_path: Path, rate: int, channels: int) -> None:
    frames = music(rate, 1.0, channels)
    path = write(tmp_path / "a.wav", frames, rate, "FLOAT")
    audio = load(path)
    assert audio.rate == rate
    np.testing.assert_allclose(audio.samples, frames.mean(axis=1), atol=1e-6)
    assert len(load(path, rate=12000).samples) == 12000


def test_one_sample_is_one_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "one.wav", np.full((1, 1), 0.5, np.float32), RATE)
    assert load(path).samples.tolist() == [0.5]


def test_content_decides_not_the_suffix(tmp_path: Path, songs: Songs) -> None:
    for name, suffix in (
        ("pcm16.wav", "mp3"),
        ("a.mp3", "wav"),
        ("a.m4a", "flac"),
        ("a.au", "raw"),
    ):
        path = tmp_path / f"{Path(name).stem}.{suffix}"
        path.write_bytes(songs(name).read_bytes())
        np.testing.assert_array_equal(load(path).samples, load(songs(name)).samples)


@pytest.mark.parametrize("name", ["pcm16.wav", "a.mp3", "a.m4a"])
def test_any_name_of_a_file_and_any_kind_of_path(tmp_path: Path, songs: Songs, name: str) -> None:
    content = songs(name).read_bytes()
    wanted = load(songs(name)).samples
    for stem in ("with space", "日本 Ж", "http:", "a%03d", "-x", os.fsdecode(b"latin\xe9")):
        path = tmp_path / f"{stem}{Path(name).suffix}"
        try:
            path.write_bytes(content)
        except OSError:  # a file system that takes no such name
            continue
        np.testing.assert_array_equal(load(path).samples, wanted)
        assert load(str(path)).source == str(path)


def test_the_first_audio_stream_is_taken(tmp_path: Path) -> None:
    path = encode(tmp_path / "two.mp4", music(), RATE, "aac", "mp4", video=True, streams=2)
    assert np.abs(load(path).samples).max() > 0.3  # the second stream is silent


def test_tags_and_cover_art_are_no_obstacle(tmp_path: Path, songs: Songs) -> None:
    # ID3v2.3 with a title in Latin-1 and a 300 kB picture, ID3v1 at the end
    picture = b"\x00image/jpeg\x00\x03\x00" + b"\xff\xd8\xff\xe0" + b"\xff\xfb\x90\x64" * 75_000
    tags = b""
    for name, body in ((b"TIT2", b"\x00caf\xe9"), (b"APIC", picture)):
        tags += name + len(body).to_bytes(4, "big") + b"\x00\x00" + body
    size = bytes(len(tags) >> shift & 127 for shift in (21, 14, 7, 0))
    path = tmp_path / "tagged.mp3"
    tail = b"TAG" + b"\xe9" * 125
    path.write_bytes(b"ID3\x03\x00\x00" + size + tags + songs("a.mp3").read_bytes() + tail)
    assert probe(path) == probe(songs("a.mp3"))
    np.testing.assert_array_equal(load(path).samples, load(songs("a.mp3")).samples)


def test_streams_after_one_another_in_one_ogg_file_are_all_decoded(tmp_path: Path) -> None:
    one, two, both = (tmp_path / name for name in ("1.ogg", "2.ogg", "both.ogg"))
    for path in (one, two):
        soundfile.write(path, music(seconds=1.0), RATE)
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert load(both).seconds == pytest.approx(2.0, abs=0.01)


def test_flac_that_declares_no_length_is_decoded_to_its_end(tmp_path: Path, songs: Songs) -> None:
    content = bytearray(songs("a.flac").read_bytes())
    content[21] &= 0xF0  # STREAMINFO's 36-bit count of samples
    content[22:26] = bytes(4)
    path = tmp_path / "piped.flac"
    path.write_bytes(content)
    np.testing.assert_allclose(load(path).samples, load(songs("a.flac")).samples, atol=1e-6)


def test_mp3_of_variable_bit_rate_without_a_length_is_decoded_to_its_end(tmp_path: Path) -> None:
    silence_then_noise = np.zeros((RATE * 6, 1), np.float32)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE * 3, 1))
    silence_then_noise[-len(noise) :] = noise
    path = tmp_path / "vbr.mp3"
    soundfile.write(path, silence_then_noise, RATE, bitrate_mode="VARIABLE", compression_level=0.5)
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\xff\xfb", 4) :])  # without the frame of the header
    assert probe(path).seconds is None
    assert load(path).seconds == pytest.approx(6.0, abs=0.1)


def test_mono_is_the_mean() -> None:
    frames = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    for channels in (1, 2, 6, 8):
        part = frames[:, :channels]
        np.testing.assert_allclose(mono(part), part.mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(mono(part.T.copy().T), part.mean(axis=1), atol=1e-6)
    assert mono(frames.astype(np.float64)).dtype == np.float32
    single = frames[:, :1].copy()
    assert np.shares_memory(mono(single), single)
    with pytest.raises(UsageError, match=r"wanted samples of shape \(n, channels\)"):
        mono(frames[0])
    with pytest.raises(UsageError, match="shape"):
        mono(frames[:, :0])


@pytest.mark.parametrize(("rate_from", "rate_to"), [(44100, 12000), (8000, 12000), (48000, 16000)])
def test_resampling_keeps_a_tone_and_equals_librosas(rate_from: int, rate_to: int) -> None:
    t = np.arange(2 * rate_from) / rate_from
    tone = (0.5 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)
    got = resample(tone, rate_from, rate_to)
    wanted = librosa.resample(tone, orig_sr=rate_from, target_sr=rate_to, res_type="soxr_hq")
    assert len(got) == 2 * rate_to  # librosa rounds lengths up
    np.testing.assert_allclose(got, wanted[: len(got)], atol=1e-6)
    ideal = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate_to) / rate_to)
    np.testing.assert_allclose(got[500:-500], ideal[500:-500], atol=1e-4)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    t = np.arange(44100) / 44100
    above = np.sin(2 * np.pi * 9000 * t).astype(np.float32)
    assert np.abs(resample(above, 44100, 12000)[500:-500]).max() < 1e-4


def test_resampling_to_the_same_rate_is_no_copy() -> None:
    samples = np.zeros(10, np.float32)
    assert resample(samples, 8000, 8000) is samples


@pytest.mark.parametrize("rate", [0, -1, 12000.5, "12000"])
def test_a_senseless_rate_is_refused(rate: object, songs: Songs) -> None:
    with pytest.raises(UsageError, match="positive whole number of hertz"):
        load(songs("pcm16.wav"), rate=rate)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="positive whole number of hertz"):
        resample(np.zeros(4, np.float32), 8000, rate)  # type: ignore[arg-type]


def test_changes_are_logged_as_information(songs: Songs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "segue.audio")
    path = songs("pcm16.wav")
    load(path, rate=12000)
    assert caplog.messages == [
        f"{path}: 2 channels mixed to mono",
        f"{path}: resampled 44100 Hz -> 12000 Hz",
    ]
    caplog.clear()
    load(path, rate=48000)
    assert caplog.messages[1].endswith("44100 Hz -> 48000 Hz; the band above 22050 Hz is empty")
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_audio_knows_its_length() -> None:
    assert Audio(np.zeros(30, np.float32), 120).seconds == 0.25


def test_suffixes_cover_music_and_video() -> None:
    assert {".wav", ".mp3", ".flac", ".m4a", ".opus", ".webm", ".mp4"} <= AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)
    assert not {".txt", ".jpg", ".csv", ".raw"} & AUDIO_SUFFIXES


def test_importing_the_room_loads_no_decoder() -> None:
    code = (
        "import sys, segue.audio; "
        "print({'soundfile', 'soxr', 'av', 'torch'} & set(sys.modules) or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "none"


def test_real_mp3_files_load_without_a_word(segue_data: Path) -> None:
    """Sixteen to 44.1 kHz, mono and stereo: no warning, nothing on stderr, no log above INFO."""
    paths = sorted((segue_data / "mp3_originals").glob("*.mp3"))
    code = (
        "import logging, sys, warnings; warnings.simplefilter('error');"
        "logging.basicConfig(level=logging.WARNING);"
        "from segue.audio import load;"
        "[print(a.info.rate, a.info.channels, round(a.seconds, 2), abs(a.samples).max() > 0.01)"
        " for a in (load(p, rate=12000) for p in sys.argv[1:])]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == len(paths) > 0
    assert {int(row[0]) for row in rows} == {16000, 22050, 32000, 44100}
    assert {row[1] for row in rows} == {"1", "2"}
    assert all(9 < float(row[2]) < 31 and row[3] == "True" for row in rows)


def test_info_is_of_the_original_file(songs: Songs) -> None:
    audio = load(songs("a.opus"), rate=12000)
    assert audio.rate == 12000
    assert audio.info == AudioInfo(
        rate=24000, channels=2, seconds=4.0, container="OGG", codec="OPUS", decoder="soundfile"
    )
    assert segue.audio.Audio is Audio
