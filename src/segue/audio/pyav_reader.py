"""Decode with PyAV (FFmpeg): mp3, m4a, aac, wma, webm, video files and whatever else it knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from segue.audio.headers import declared_asf_seconds, declared_data, declared_mp3_seconds
from segue.audio.reader import DecodingStoppedError, NotRecognisedError
from segue.audio.samples import AudioInfo
from segue.errors import UnreadableAudioError

av.logging.set_level(None)  # FFmpeg's own lines on stderr; the exceptions say what matters

BLOCK_FRAMES = 32768
# A seek lands this much early: mp3 and AAC frames lean on those before them, Opus on 80 ms.
_PREROLL_SECONDS = 0.5
# Every frame of these decodes to equally many samples, so one can tell which frame a timestamp
# means even where the container rounds it (Matroska: to a millisecond).
_EQUAL_FRAMES = frozenset({"aac", "ac3", "eac3", "mp2", "mp3", "opus"})
# Containers whose header counts the samples; for others FFmpeg's length may be a guess.
_COUNTED = frozenset({"tta", "wv"})
_PCM_CONTAINERS = frozenset({"aiff", "au", "caf", "iff", "nistsphere", "voc", "w64", "wav"})
# Raw samples, which FFmpeg takes any content for if the name ends in .ul, .sw, .gsm and the like.
_RAW = """
    adp alaw aptx aptx_hd codec2raw dfpwm f32be f32le f64be f64le g722 g726 g726le gsm ilbc loas
    mulaw s16be s16le s24be s24le s32be s32le s8 sbc sln u16be u16le u24be u24le u32be u32le u8
    vidc
"""
_BY_NAME_ALONE = frozenset(_RAW.split())
_SCALE = {"uint8": 1 / 128, "int16": 1 / 32768, "int32": 1 / 2147483648}


class PyavReader:
    """One file open in FFmpeg (see `segue.audio.reader.Reader`)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.position = 0
        self._open()
        frames = self._decode()
        try:
            self._first = next(frames, None)
        except DecodingStoppedError as error:
            self.close()
            raise NotRecognisedError(error.reason) from error
        self._frames = frames
        context = self._stream.codec_context
        # the decoder may know the rate better than the header: HE-AAC doubles it
        rate = self._first.sample_rate if self._first else context.sample_rate
        if not rate:  # neither a header nor a frame told it
            self.close()
            raise NotRecognisedError("no frame decodes")
        channels = len(self._first.layout.channels) if self._first else context.channels
        seconds = self._declared_seconds()
        guess = self._container.duration
        self.info = AudioInfo(
            rate=rate,
            channels=channels,
            seconds=seconds,
            container=self._container.format.name,
            codec=context.codec.canonical_name,
            decoder="pyav",
            seconds_estimate=guess / 1e6 if seconds is None and guess else None,
        )

    def _open(self) -> None:
        try:
            # "file:" and the list keep FFmpeg from taking a name such as "http:a.mp3", or a
            # playlist's content, for something to fetch. Tags in Latin-1 are no reason to fail.
            self._container: InputContainer = av.open(
                f"file:{self._path}",
                metadata_errors="replace",
                options={"protocol_whitelist": "file"},
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise NotRecognisedError(_reason(error)) from error
        if self._container.format.name in _BY_NAME_ALONE:
            name = self._container.format.name
            self._container.close()
            raise NotRecognisedError(f"{name} by its name alone")
        if not self._container.streams.audio:
            kinds = ", ".join(s.type for s in self._container.streams) or "nothing"
            container = self._container.format.long_name
            self._container.close()
            raise UnreadableAudioError(
                wanted="an audio file",
                got=f"no audio stream in it ({container}: {kinds})",
                fix="Check that this is the right file, or remove it",
                source=self._path,
            )
        self._stream: AudioStream = self._container.streams.audio[0]
        if self._stream.codec_context is None:
            self._container.close()
            raise NotRecognisedError("no decoder for its audio stream")
        self._stream.codec_context.thread_count = 1  # callers run one process per core

    def blocks(self, first: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from number `first`, at most `count` of them, as arrays (n, channels)."""
        last = None if count is None else first + count
        frames = self._from(first)
        begin, batch = self.position, list[AudioFrame]()
        for frame in frames:
            if batch and (self.position - begin >= BLOCK_FRAMES or not _alike(batch[0], frame)):
                yield from _stretch(batch, begin, first, last)
                begin, batch = self.position, []
            batch.append(frame)
            self.position += frame.samples
            if self.position <= first:  # still before the stretch
                begin, batch = self.position, []
            if last is not None and self.position >= last:
                break
        if batch:
            yield from _stretch(batch, begin, first, last)

    def _from(self, first: int) -> Iterator[AudioFrame]:
        """Decoded frames, beginning at or before sample `first`; sets `position` to match."""
        if self._first is None:
            return iter(())
        preroll = round(_PREROLL_SECONDS * self.info.rate)
        clock = _Clock.of(self._first, self.info)
        if clock is None or first <= 2 * preroll:
            return chain([self._first], self._frames)
        frames = self._after_seek(clock, first - preroll, at_most=first)
        if frames is None:
            self.close()
            self._open()
            frames = self._decode()
        return frames

    def _after_seek(
        self, clock: _Clock, target: int, *, at_most: int
    ) -> Iterator[AudioFrame] | None:
        """Frames decoded after seeking to sample `target`; None when it led beyond `at_most`."""
        try:
            self._container.seek(clock.timestamp(target), stream=self._stream)
            frames = self._decode()
            # what the decoder makes of the frame it lands on lacks the one before it
            next(frames, None)
            frame = next(frames, None)
        except (av.error.FFmpegError, DecodingStoppedError):
            return None
        index = None if frame is None else clock.index(frame)
        if frame is None or index is None or index > at_most:
            return None
        self.position = index
        return chain([frame], frames)

    def _decode(self) -> Iterator[AudioFrame]:
        """Frames from where the container stands.

        A packet that does not decode is passed over before the first good one (a clip cut out
        of a longer mp3) and at the end (a file cut in the middle of a packet). Between good ones
        it means that a piece is missing, which must not go unnoticed.
        """
        decoded = 0
        failure: Exception | None = None
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    failure = error
                    continue
                for frame in frames:
                    if failure is not None and decoded and packet.size:
                        raise DecodingStoppedError(self.position, _reason(failure), damaged=True)
                    if decoded and frame.sample_rate != self.info.rate:
                        reason = f"the rate changes to {frame.sample_rate} Hz"
                        raise DecodingStoppedError(self.position, reason, damaged=True)
                    decoded += 1
                    yield frame
        except (av.error.FFmpegError, IndexError) as error:
            # IndexError: PyAV, at a stream that the beginning of the file did not announce
            raise DecodingStoppedError(self.position, _reason(error), damaged=True) from error
        if failure is not None and not decoded:
            raise DecodingStoppedError(0, f"{_reason(failure)}, no frame decodes", damaged=True)

    def _declared_seconds(self) -> float | None:
        """Length of the audio stream as the container states it; never one FFmpeg guessed."""
        name, stream = self._container.format.name, self._stream
        read_header = {"mp3": declared_mp3_seconds, "asf": declared_asf_seconds}.get(name)
        if read_header is not None:
            if name == "asf" and len(self._container.streams) > 1:
                return None  # it holds for the file, where the video may outlast the audio
            with Path(self._path).open("rb") as file:
                return read_header(file)
        if (
            ("mp4" in name or name in _COUNTED)
            and stream.duration is not None
            and stream.time_base is not None
        ):
            return float(stream.duration * stream.time_base)
        if "matroska" in name and "DURATION" in stream.metadata:
            return _clock_seconds(stream.metadata["DURATION"])
        if "matroska" in name and self._container.duration and len(self._container.streams) == 1:
            return self._container.duration / 1e6
        return self._seconds_before_cut() if name in _PCM_CONTAINERS else None

    def _seconds_before_cut(self) -> float | None:
        """Length of a file of libsndfile's formats that is cut: it then refuses some of them."""
        path, length = Path(self._path), self._container.duration
        with path.open("rb") as file:
            data = declared_data(file)
        there = 0 if data is None else path.stat().st_size - data[0]
        if data is None or not length or not 0 < there < data[1]:
            return None
        if self._stream.codec_context.name == "alac":  # a table counts its packets, all of them
            return length / 1e6
        return length / 1e6 * data[1] / there  # FFmpeg counted what the file holds

    def close(self) -> None:
        """Close the file."""
        self._container.close()


@dataclass(frozen=True, slots=True)
class _Clock:
    """Which sample a decoded frame begins with, told from its timestamp."""

    origin: int  # timestamp of the first sample
    tick: Fraction  # in samples
    first_frame: int  # its number of samples

    @classmethod
    def of(cls, first: AudioFrame, info: AudioInfo) -> _Clock | None:
        """The clock of a stream whose first decoded frame is given; None if it is not exact."""
        if first.pts is None or first.time_base is None or info.container == "ogg":
            return None  # in Ogg, streams may follow each other whose clocks start again
        tick = first.time_base * info.rate
        if tick > 1 and info.codec not in _EQUAL_FRAMES:
            return None
        return cls(first.pts, tick, first.samples)

    def timestamp(self, sample: int) -> int:
        return self.origin + int(sample / self.tick)

    def index(self, frame: AudioFrame) -> int | None:
        if frame.pts is None:
            return None
        exact = float((frame.pts - self.origin) * self.tick)
        if self.tick <= 1:
            return round(exact)
        # the first frame may have lost its beginning (encoder delay), so the grid starts after it
        later = round((exact - self.first_frame) / frame.samples)
        return self.first_frame + later * frame.samples


def _alike(one: AudioFrame, other: AudioFrame) -> bool:
    """Whether two frames agree in sample format and channels (an mp3 may change to mono)."""
    return one.format.name == other.format.name and one.layout.name == other.layout.name


def _stretch(
    batch: list[AudioFrame], begin: int, first: int, last: int | None
) -> Iterator[NDArray[np.float32]]:
    """Samples `first` to `last` of a batch that begins at sample `begin`, if it has any of them."""
    samples = _as_float(batch)[max(0, first - begin) : None if last is None else last - begin]
    if len(samples):
        yield samples


def _as_float(batch: list[AudioFrame]) -> NDArray[np.float32]:
    """Samples of decoded frames that are alike, shape (n, channels), full scale -1 to 1."""
    samples = np.concatenate([frame.to_ndarray() for frame in batch], axis=1)
    if batch[0].format.is_planar:
        samples = samples.T
    else:
        samples = samples.reshape(-1, len(batch[0].layout.channels))
    kind = samples.dtype.name
    floats: NDArray[np.float32] = samples.astype(np.float32, copy=False)
    if kind == "uint8":
        floats = floats - np.float32(128)
    scale = _SCALE.get(kind)
    return floats if scale is None else floats * np.float32(scale)


def _clock_seconds(text: str) -> float | None:
    """Seconds of a tag such as "00:01:30.250"; None when it is not of that form."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
