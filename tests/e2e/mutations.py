"""Files for the fuzz: short clips in every format that can be written here, and damage to them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from segue.seeds import generator

SECONDS = 1.2


@dataclass(frozen=True)
class Format:
    """How a clip is written: by libsndfile (no codec), or by FFmpeg."""

    name: str
    container: str
    subtype: str = ""
    codec: str = ""
    rate: int = 16000
    channels: int = 1
    options: tuple[tuple[str, str], ...] = ()
    video: bool = False
    declares: bool = True  # its length, so that a cut can be told

    def write(self, folder: Path) -> bytes:
        """The clip's bytes."""
        path = folder / self.name
        frames = sound(self.rate, self.channels)
        if not self.codec:
            soundfile.write(path, frames, self.rate, format=self.container, subtype=self.subtype)
        else:
            _encode(path, frames, self)
        return path.read_bytes()


def sound(rate: int, channels: int) -> np.ndarray:
    """A rising tone, a beat and some noise (n, channels): no two moments are alike."""
    time = np.arange(round(SECONDS * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (300 + 900 * time) * time) * np.exp(-3 * (time % 0.3))
    wave = wave + 0.02 * generator(0, "sound").normal(size=len(time))
    return np.stack([wave / (1 + n) for n in range(channels)], axis=1).astype(np.float32)


def _encode(path: Path, frames: np.ndarray, how: Format) -> None:
    layout = "stereo" if how.channels == 2 else "mono"
    with av.open(str(path), "w", format=how.container, options=dict(how.options)) as out:
        picture = out.add_stream("mpeg4", rate=10, width=32, height=32) if how.video else None
        if picture is not None:
            picture.pix_fmt = "yuv420p"
        stream = out.add_stream(how.codec, rate=how.rate, layout=layout)
        if how.codec not in ("flac", "alac", "tta", "wavpack", "g722", "amr_nb"):
            stream.bit_rate = 64_000
        wanted = stream.codec_context.codec.audio_formats[0].name
        resampler = av.AudioResampler(wanted, layout, how.rate)
        for at in range(0, len(frames), 1024):
            part = np.ascontiguousarray(frames[at : at + 1024].T)
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = how.rate, at, Fraction(1, how.rate)
            for ready in resampler.resample(frame):
                out.mux(stream.encode(ready))
        out.mux(stream.encode(None))
        if picture is not None:
            for number in range(round(10 * SECONDS)):
                image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
                image.pts, image.time_base = number, Fraction(1, 10)
                out.mux(picture.encode(image))
            out.mux(picture.encode(None))


FORMATS = (
    Format("pcm16.wav", "WAV", "PCM_16", channels=2),
    Format("pcm24.wav", "WAV", "PCM_24"),
    Format("u8.wav", "WAV", "PCM_U8", rate=12000),
    Format("float.wav", "WAV", "FLOAT"),
    Format("double.wav", "WAV", "DOUBLE", rate=8000),
    Format("mulaw.wav", "WAV", "ULAW"),
    Format("ima.wav", "WAV", "IMA_ADPCM"),
    Format("ms.wav", "WAV", "MS_ADPCM"),
    Format("gsm.wav", "WAV", "GSM610", rate=8000),
    Format("extensible.wav", "WAVEX", "PCM_16", channels=2),
    Format("a.rf64", "RF64", "PCM_16"),
    Format("a.w64", "W64", "PCM_16"),
    Format("a.aiff", "AIFF", "PCM_16"),
    Format("float.aifc", "AIFF", "FLOAT"),
    Format("a.au", "AU", "PCM_16"),
    Format("mulaw.au", "AU", "ULAW"),
    Format("a.caf", "CAF", "PCM_16"),
    Format("alac.caf", "CAF", "ALAC_16"),
    Format("a.voc", "VOC", "PCM_16"),
    Format("a.nist", "NIST", "PCM_16"),
    Format("a.svx", "SVX", "PCM_16"),
    Format("a.flac", "FLAC", "PCM_16", channels=2),
    Format("a.ogg", "OGG", "VORBIS", rate=22050, declares=False),
    Format("a.opus", "OGG", "OPUS", rate=24000, declares=False),
    Format("xing.mp3", "mp3", codec="libmp3lame", rate=22050, channels=2),
    Format("plain.mp3", "mp3", codec="libmp3lame", rate=44100, channels=2,
           options=(("write_xing", "0"), ("id3v2_version", "0")), declares=False),
    Format("a.mp2", "mp2", codec="mp2", rate=32000, declares=False),
    Format("a.m4a", "ipod", codec="aac", rate=22050),
    Format("alac.m4a", "ipod", codec="alac"),
    Format("a.aac", "adts", codec="aac", rate=22050, declares=False),
    Format("a.wma", "asf", codec="wmav2", rate=22050, channels=2),
    Format("a.webm", "webm", codec="libopus", rate=48000),
    Format("aac.mka", "matroska", codec="aac", rate=22050),
    Format("flac.mka", "matroska", codec="flac"),
    Format("video.mp4", "mp4", codec="aac", rate=22050, channels=2, video=True),
    Format("video.ts", "mpegts", codec="aac", rate=22050, channels=2, video=True, declares=False),
    Format("video.avi", "avi", codec="libmp3lame", rate=22050, channels=2, video=True,
           declares=False),
    Format("a.ac3", "ac3", codec="ac3", rate=32000, declares=False),
    Format("a.tta", "tta", codec="tta"),
    Format("a.wv", "wv", codec="wavpack"),
)  # fmt: skip


@dataclass(frozen=True)
class Damaged:
    """A file of the fuzz: its name, bytes, what was done to which format, and what is left."""

    name: str
    content: bytes
    format: Format
    damage: str
    kept: float = 1.0  # share of its bytes, when it was cut

    @property
    def must_fail(self) -> bool:
        """Whether it is cut well below the length that it declares."""
        return self.format.declares and self.kept < 0.8


def damaged(bases: dict[Format, bytes], count: int, *, seed: int) -> list[Damaged]:
    """So many damaged files, formats and kinds of damage in turn."""
    formats, kinds = list(bases), list(DAMAGES)
    found = []
    for number in range(count):
        form = formats[number % len(formats)]
        kind = kinds[number // len(formats) % len(kinds)]
        draws = generator(seed, "fuzz", number)
        other = bases[formats[int(draws.integers(len(formats)))]]
        content = DAMAGES[kind](bases[form], other, draws)
        kept = len(content) / len(bases[form]) if kind == "cut" else 1.0
        name = f"{number:05}-{kind}-{form.name}"
        found.append(Damaged(name, content, form, kind, kept))
    return found


def _cut(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    return base[: int(draws.integers(0, len(base)))]


def _flip(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    """A few bits anywhere."""
    content = np.frombuffer(base, np.uint8).copy()
    places = draws.integers(0, len(base), size=int(draws.integers(1, 20)))
    content[places] ^= np.uint8(1) << draws.integers(0, 8, size=len(places)).astype(np.uint8)
    return content.tobytes()


def _flip_header(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    """A few bytes of the beginning, where rates, channels and sizes are."""
    content = np.frombuffer(base, np.uint8).copy()
    places = draws.integers(0, min(200, len(base)), size=int(draws.integers(1, 5)))
    content[places] = draws.integers(0, 256, size=len(places))
    return content.tobytes()


def _stretch(base: bytes, draws: np.random.Generator) -> tuple[int, int]:
    begin = int(draws.integers(0, len(base)))
    return begin, min(len(base), begin + int(draws.integers(1, 1 + len(base) // 3)))


def _zero(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    begin, end = _stretch(base, draws)
    return base[:begin] + bytes(end - begin) + base[end:]


def _repeat(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    begin, end = _stretch(base, draws)
    return base[:end] + base[begin:end] + base[end:]


def _remove(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    begin, end = _stretch(base, draws)
    return base[:begin] + base[end:]


def _splice(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    """The beginning of another format on this one's body."""
    head, skip = int(draws.integers(4, 300)), int(draws.integers(0, 300))
    return other[:head] + base[skip:]


def _random(base: bytes, other: bytes, draws: np.random.Generator) -> bytes:
    """Random bytes behind a valid beginning."""
    return base[: int(draws.integers(4, 100))] + draws.bytes(int(draws.integers(0, 20000)))


DAMAGES = {
    "cut": _cut,
    "flip": _flip,
    "header": _flip_header,
    "zero": _zero,
    "repeat": _repeat,
    "remove": _remove,
    "splice": _splice,
    "random": _random,
}
