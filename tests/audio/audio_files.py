"""Make audio files for the tests on the fly: nothing binary is committed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 44100
SECONDS = 4.0

# name -> (libsndfile format, subtype, rate)
SOUNDFILE_FORMATS = {
    "pcm16.wav": ("WAV", "PCM_16", RATE),
    "pcm24.wav": ("WAV", "PCM_24", RATE),
    "float.wav": ("WAV", "FLOAT", RATE),
    "u8.wav": ("WAV", "PCM_U8", RATE),
    "mulaw.wav": ("WAV", "ULAW", RATE),
    "extensible.wav": ("WAVEX", "PCM_16", RATE),
    "big.rf64": ("RF64", "PCM_16", RATE),
    "wave.w64": ("W64", "PCM_16", RATE),
    "a.aiff": ("AIFF", "PCM_16", RATE),
    "a.au": ("AU", "PCM_16", RATE),
    "a.caf": ("CAF", "PCM_16", RATE),
    "a.flac": ("FLAC", "PCM_16", RATE),
    "a.ogg": ("OGG", "VORBIS", RATE),
    "a.opus": ("OGG", "OPUS", 24000),
}
# name -> (codec, container format, rate, with video)
PYAV_FORMATS = {
    "a.mp3": ("libmp3lame", "mp3", RATE, False),
    "a.m4a": ("aac", "ipod", RATE, False),
    "a.aac": ("aac", "adts", RATE, False),
    "a.wma": ("wmav2", "asf", RATE, False),
    "a.webm": ("libopus", "webm", 48000, False),
    "aac.mkv": ("aac", "matroska", RATE, False),
    "mp3.mka": ("libmp3lame", "matroska", RATE, False),
    "video.mp4": ("aac", "mp4", RATE, True),
    "video.ts": ("aac", "mpegts", RATE, True),
    "video.avi": ("libmp3lame", "avi", RATE, True),
}
ALL_FORMATS = [*SOUNDFILE_FORMATS, *PYAV_FORMATS]


def music(rate: int = RATE, seconds: float = SECONDS, channels: int = 2) -> NDArray[np.float32]:
    """A steady tone under a rising one, unlike from moment to moment; (n, channels)."""
    t = np.arange(round(rate * seconds)) / rate
    wave = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * (200 + 150 * t) * t)
    gains = 1.0 / np.arange(1, channels + 1)
    return (wave[:, None] * gains).astype(np.float32)


def encode(
    path: Path,
    frames: NDArray[np.float32],
    rate: int,
    codec: str,
    container: str,
    *,
    video: bool = False,
    streams: int = 1,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write (n, 2) frames with FFmpeg; further audio streams are silent, video runs 2 s longer."""
    with av.open(str(path), "w", format=container, options=container_options or {}) as out:
        picture = out.add_stream("mpeg4", rate=10, width=32, height=32) if video else None
        sound = [out.add_stream(codec, rate=rate, layout="stereo") for _ in range(streams)]
        if picture is not None:
            picture.pix_fmt = "yuv420p"
        for number, stream in enumerate(sound):
            stream.bit_rate = 128_000
            for at in range(0, len(frames), 1024):
                part = np.ascontiguousarray(frames[at : at + 1024].T) * (number == 0)
                frame = av.AudioFrame.from_ndarray(part.astype(np.float32), "fltp", "stereo")
                frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        if picture is not None:
            for number in range(round(10 * (len(frames) / rate + 2))):
                image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
                image.pts, image.time_base = number, Fraction(1, 10)
                out.mux(picture.encode(image))
            out.mux(picture.encode(None))
    return path


def write(path: Path, frames: NDArray[np.float32], rate: int, subtype: str = "PCM_16") -> Path:
    """Write frames with libsndfile, the format by suffix."""
    soundfile.write(path, frames, rate, subtype=subtype)
    return path
