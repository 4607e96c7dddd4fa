"""Files that cannot become samples: each refused with what was wanted, what was got, what to do."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import ALL_FORMATS, RATE, encode, music, write

from segue.audio import Audio, check_samples, load, probe, stream
from segue.errors import (
    AudioError,
    InvalidSamplesError,
    TruncatedAudioError,
    UnreadableAudioError,
    UsageError,
)

Songs = Callable[[str], Path]


def _refused(path: Path, kind: type[AudioError], words: str, **request: float) -> None:
    with pytest.raises(kind, match=words) as caught:
        load(path, **request)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert caught.value.source == str(path)
    assert str(caught.value).startswith(f"{path}: wanted ")


def _cut(source: Path, target: Path, share: float) -> Path:
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


# What is no readable file


def test_missing_file(tmp_path: Path) -> None:
    _refused(tmp_path / "none.wav", UnreadableAudioError, "no such file. Check the path")
    (tmp_path / "file").touch()
    _refused(tmp_path / "file" / "a.wav", UnreadableAudioError, "no such file")
    with pytest.raises(UnreadableAudioError, match="no such file"):
        probe(tmp_path / "none.wav")


def test_name_no_file_can_have(tmp_path: Path) -> None:
    _refused(tmp_path / "a\0.wav", UnreadableAudioError, "an error of the file system")
    _refused(tmp_path / ("x" * 300), UnreadableAudioError, "an error of the file system")


def test_directory(tmp_path: Path) -> None:
    _refused(tmp_path, UnreadableAudioError, "a directory. Name the files in it")


def test_links(tmp_path: Path) -> None:
    loop, broken = tmp_path / "loop.wav", tmp_path / "broken.wav"
    loop.symlink_to(loop)
    broken.symlink_to(tmp_path / "gone.wav")
    _refused(loop, UnreadableAudioError, "a symbolic link that leads back to itself")
    _refused(broken, UnreadableAudioError, "a broken symbolic link")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", music(), RATE)
    path.chmod(0)
    _refused(path, UnreadableAudioError, "without permission to read it")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    os.mkfifo(path)
    worker = threading.Thread(
        target=_refused, args=(path, UnreadableAudioError, "not a regular file"), daemon=True
    )
    worker.start()
    worker.join(timeout=5)
    assert not worker.is_alive()
    with pytest.raises(UnreadableAudioError, match="not a regular file"):
        load("/dev/null")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").touch()
    _refused(tmp_path / "a.mp3", UnreadableAudioError, r"an empty file \(0 bytes\). Replace")


# What no decoder knows


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "m4a", "au", "vox", "snd", "ogg"])
def test_text_under_an_audio_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("Not Found: the file you asked for is not here.\n" * 300)
    _refused(path, UnreadableAudioError, "no decoder recognises its content .soundfile: .*PyAV: ")


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a"])
def test_random_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(3).bytes(200_000))
    _refused(path, UnreadableAudioError, "no decoder recognises its content")


def test_playlist_fetches_nothing(tmp_path: Path) -> None:
    (tmp_path / "real.ts").write_bytes(b"G" * 188)
    path = tmp_path / "a.mp3"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n")
    _refused(path, UnreadableAudioError, "no decoder recognises its content")


def test_picture_and_silent_film(tmp_path: Path) -> None:
    film = encode(
        tmp_path / "film.mp4", music(seconds=1), RATE, "aac", "mp4", video=True, streams=0
    )
    _refused(film, UnreadableAudioError, r"no audio stream in it \(QuickTime / MOV: video\)")


@pytest.mark.parametrize("rate", [0, 7, 2_000_000_000])
def test_a_rate_no_audio_has(tmp_path: Path, songs: Songs, rate: int) -> None:
    content = bytearray(songs("pcm16.wav").read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    _refused(path, UnreadableAudioError, f"sampling rate of {rate} Hz|no decoder recognises")


# What ends too early

# Each container that declares a length, and by how much of the file it is cut.
DECLARES = [
    "pcm16.wav", "pcm24.wav", "float.wav", "u8.wav", "mulaw.wav", "extensible.wav", "big.rf64",
    "wave.w64", "a.aiff", "a.au", "a.caf", "a.flac", "a.mp3", "a.wma", "a.webm", "aac.mkv",
    "mp3.mka",
]  # fmt: skip
DECLARES_NOT = ["a.aac", "video.ts", "video.avi"]


@pytest.mark.parametrize("name", DECLARES)
def test_truncation_is_noticed_where_a_length_is_declared(
    tmp_path: Path, songs: Songs, name: str
) -> None:
    path = _cut(songs(name), tmp_path / name, 0.7)
    _refused(
        path, TruncatedAudioError, r"wanted (4\.0\d|3\.9\d) s as its header declares, got [12]\."
    )
    _refused(path, TruncatedAudioError, "header declares", start=1.0, duration=2.9)
    # what comes before the cut is not affected by it
    wanted = load(songs(name), start=0.5, duration=1.0).samples
    np.testing.assert_allclose(load(path, start=0.5, duration=1.0).samples, wanted, atol=2e-3)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("CAF", "ALAC_16"), ("SVX", "PCM_S8"), ("SVX", "PCM_16"), ("VOC", "PCM_16"),
     ("VOC", "PCM_U8"), ("NIST", "PCM_16"), ("NIST", "PCM_24")],
)  # fmt: skip
def test_truncation_of_rare_formats_is_noticed(tmp_path: Path, kind: str, subtype: str) -> None:
    """libsndfile takes what is left of them for the whole, or leaves them to FFmpeg, which does."""
    whole = tmp_path / "whole"
    soundfile.write(whole, music(channels=1), RATE, format=kind, subtype=subtype)
    seconds = load(whole).seconds
    assert 3.8 < seconds < 4.1  # VOC rounds rates
    cut = _cut(whole, tmp_path / "cut", 0.7)
    _refused(cut, TruncatedAudioError, f"wanted {seconds:.2f} s as its header declares, got")


@pytest.mark.parametrize(("codec", "container"), [("tta", "tta"), ("wavpack", "wv")])
def test_truncation_of_counted_samples_is_noticed(
    tmp_path: Path, codec: str, container: str
) -> None:
    whole = encode(tmp_path / "whole", music(), RATE, codec, container)
    assert load(whole).seconds == pytest.approx(4.0, abs=0.01)
    cut = _cut(whole, tmp_path / "cut", 0.7)
    with pytest.raises(AudioError, match=r"wanted 4\.00 s as its header declares|damage at 2\.5"):
        load(cut)


def test_truncated_wav_with_an_odd_chunk_before_its_data(tmp_path: Path, songs: Songs) -> None:
    content = songs("pcm16.wav").read_bytes()
    at = content.index(b"data")
    path = tmp_path / "a.wav"
    path.write_bytes(content[:at] + b"note\x03\x00\x00\x00abc\x00" + content[at:-200_000])
    _refused(path, TruncatedAudioError, "wanted 4.00 s as its header declares, got 2.87 s")


def test_truncated_mp4(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}
    whole = encode(tmp_path / "a.m4a", music(), RATE, "aac", "ipod", container_options=options)
    cut = _cut(whole, tmp_path / "cut.m4a", 0.7)
    _refused(cut, TruncatedAudioError, "wanted 4.00 s as its header declares, got 2")
    # without the option the index is at the end of the file: nothing to decode by
    whole = encode(tmp_path / "b.m4a", music(), RATE, "aac", "ipod")
    cut = _cut(whole, tmp_path / "cut-b.m4a", 0.7)
    _refused(cut, UnreadableAudioError, "no decoder recognises its content")


@pytest.mark.parametrize("name", DECLARES_NOT)
def test_truncation_cannot_be_told_where_no_length_is_declared(
    tmp_path: Path, songs: Songs, name: str
) -> None:
    path = _cut(songs(name), tmp_path / name, 0.7)
    assert 1.5 < load(path).seconds < 3.5


def test_mp3_without_a_length_cut_in_a_frame_gives_what_is_there(
    tmp_path: Path, songs: Songs
) -> None:
    content = songs("a.mp3").read_bytes()
    second_frame = content.index(b"\xff\xfb", content.index(b"\xff\xfb") + 4)
    path = tmp_path / "a.mp3"
    path.write_bytes(content[second_frame : len(content) // 2 + 77])
    assert probe(path).seconds is None
    assert load(path).seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_ogg_without_its_last_page_is_a_warning(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    # ten seconds, since libsndfile writes pages of seconds
    whole = tmp_path / f"whole-{name}"
    subtype = "OPUS" if name == "a.opus" else "VORBIS"
    soundfile.write(whole, music(24000, 10.0), 24000, format="OGG", subtype=subtype)
    path = _cut(whole, tmp_path / name, 0.7)
    load(whole)
    load(path, duration=0.5)
    assert not caplog.records
    assert 3.0 < load(path).seconds < 8.0
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("segue.audio", "WARNING")
    assert "no end-of-stream page" in record.message


def test_a_few_missing_samples_are_within_the_tolerance(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.wav", music(seconds=20.0), RATE)
    assert load(_cut(whole, tmp_path / "1.wav", 0.995)).seconds < 20.0  # 0.1 s
    _refused(_cut(whole, tmp_path / "2.wav", 0.98), TruncatedAudioError, "got 19.6")


def test_length_left_open_by_a_pipe_is_not_truncation(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.wav", music(), RATE).read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path = tmp_path / "piped.wav"
    path.write_bytes(content)
    assert load(path).seconds == 4.0


# What is damaged inside


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_damage_in_the_middle(tmp_path: Path, songs: Songs, name: str) -> None:
    content = bytearray(songs(name).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"decoding fails|damage at [12]\.\d\d s"):
        load(path)
    assert load(path, duration=1.0).seconds == 1.0


@pytest.mark.parametrize("suffix", [".au", ".snd", ".vox", ".gsm", ".g722", ".ul", ".sw"])
def test_a_damaged_header_is_not_taken_for_raw_samples(
    tmp_path: Path, songs: Songs, suffix: str
) -> None:
    """Where the content is none that they know, libsndfile and FFmpeg go by the name."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(songs("a.caf").read_bytes()[:5] + songs("a.au").read_bytes()[100:50_000])
    _refused(path, UnreadableAudioError, "no decoder recognises its content")


def test_a_packet_that_libsndfile_leaves_out_is_noticed(tmp_path: Path) -> None:
    """It reads fewer samples than were asked for, and then goes on with the next packet."""
    path = tmp_path / "a.caf"
    soundfile.write(path, music(channels=1), RATE, subtype="ALAC_16")
    content = bytearray(path.read_bytes())
    content[content.index(b"pakt") + 40] = 0xFF  # the size of a packet
    path.write_bytes(content)
    _refused(path, TruncatedAudioError, r"wanted 3\.99 s as its header declares, got 3\.53 s")


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_any_damage_is_an_audio_error_or_audio(tmp_path: Path, songs: Songs, name: str) -> None:
    draw = random.Random(name)  # noqa: S311
    content = songs(name).read_bytes()
    path = tmp_path / name
    for _ in range(12):
        damaged = bytearray(content[: draw.randrange(1, len(content) + 1)])
        for _ in range(draw.randrange(0, 20)):
            at = int(len(damaged) * draw.random() ** 4)  # headers first
            damaged[at] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            audio = load(
                path,
                rate=draw.choice([None, 12000]),
                start=draw.choice([0.0, 1.5]),
                duration=draw.choice([None, 1.0]),
            )
        except AudioError:
            continue
        assert np.isfinite(audio.samples).all()


def test_damage_writes_nothing_on_stderr(tmp_path: Path, songs: Songs) -> None:
    content = songs("a.mp3").read_bytes()
    middle = len(content) // 2
    (tmp_path / "1.mp3").write_bytes(content[:middle])
    (tmp_path / "2.mp3").write_bytes(content[:middle] + bytes(3000) + content[middle + 3000 :])
    (tmp_path / "3.mp3").write_bytes(content + np.random.default_rng(0).bytes(9000))
    (tmp_path / "4.mp3").write_text("no music\n" * 500)
    (tmp_path / "5.m4a").write_bytes(songs("a.m4a").read_bytes()[:9000])
    (tmp_path / "6.flac").write_bytes(songs("a.flac").read_bytes()[:-9000])
    code = (
        "import sys\nfrom segue.audio import load\nfrom segue.errors import AudioError\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        load(path)\n"
        "    except AudioError as error:\n        print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert len(done.stdout.split()) == 5  # all but 3.mp3, whose junk follows a whole song


# What decodes to unusable samples


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.aiff"])
def test_no_samples(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, np.zeros((0, 1)), RATE)
    _refused(path, InvalidSamplesError, "wanted samples, got 0 samples")


def test_nan_and_infinity(tmp_path: Path) -> None:
    frames = music(8000, 0.125, 1)
    frames[[3, 500, 999]] = [[np.nan], [np.inf], [-np.inf]]
    path = write(tmp_path / "a.wav", frames, 8000, "FLOAT")
    _refused(path, InvalidSamplesError, "got 3 of 1000 samples are NaN or infinite")
    _refused(path, InvalidSamplesError, "got 1 of 400 samples are NaN", duration=0.05)
    assert len(load(path, start=0.01, duration=0.05).samples) == 400
    with pytest.raises(InvalidSamplesError, match="3 of 1000"):
        list(stream(path, block_seconds=0.01))


def test_nan_in_one_channel_is_found(tmp_path: Path) -> None:
    frames = music(8000, 0.125, 2)
    frames[7, 1] = np.nan
    _refused(write(tmp_path / "a.wav", frames, 8000, "FLOAT"), InvalidSamplesError, "1 of 1000")


@pytest.mark.parametrize("name", ["pcm16.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "a.webm"])
def test_start_beyond_the_end(songs: Songs, name: str) -> None:
    words = r"got start 60 s, beyond its end at (4\.0\d|3\.9\d) s. Choose an earlier start"
    _refused(songs(name), InvalidSamplesError, words, start=60.0)
    _refused(songs(name), InvalidSamplesError, words, start=60.0, duration=1.0)


def test_stretch_shorter_than_a_sample(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.ones((1, 1), np.float32), RATE)
    with pytest.raises(InvalidSamplesError, match="samples at 12000 Hz, got too short"):
        load(path, rate=12000)


def test_silence_and_brevity() -> None:
    one = Audio(np.ones(1, np.float32), 44100, "a.wav")
    with pytest.raises(
        InvalidSamplesError,
        match=r"a.wav: .*the encoder needs 0.05 s.*too short: 1 sample \(0.00002 s\)",
    ):
        check_samples(one, min_seconds=0.05)
    with pytest.raises(InvalidSamplesError, match=r"too short: 0 samples \(0 s\)"):
        check_samples(Audio(np.zeros(0, np.float32), 44100), min_seconds=0.05)
    silent = Audio(np.zeros(44100, np.float32), 44100, "b.wav")
    with pytest.raises(InvalidSamplesError, match=r"b.wav: .*digital silence: every sample is 0"):
        check_samples(silent, min_seconds=0.05)
    quiet = silent.samples.copy()
    quiet[-1] = 1e-5
    check_samples(Audio(quiet, 44100), min_seconds=1.0)


# What cannot be asked


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"start": -0.1}, "start in seconds, 0 or greater, got -0.1"),
        ({"start": float("nan")}, "start in seconds, 0 or greater, got nan"),
        ({"start": float("inf")}, "start in seconds"),
        ({"duration": 0.0}, "duration in seconds, greater than 0, got 0.0"),
        ({"duration": -1.0}, "duration in seconds"),
        ({"duration": float("nan")}, "duration in seconds"),
    ],
)
def test_senseless_requests(songs: Songs, request_: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(songs("pcm16.wav"), **request_)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=words):
        stream(songs("pcm16.wav"), **request_)  # type: ignore[arg-type]


@pytest.mark.parametrize("block_seconds", [0.0, -1.0, float("nan")])
def test_senseless_blocks(songs: Songs, block_seconds: float) -> None:
    with pytest.raises(UsageError, match="block_seconds in seconds, greater than 0"):
        stream(songs("pcm16.wav"), block_seconds=block_seconds)
