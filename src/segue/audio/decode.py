"""Files to mono samples: whole, an excerpt, or in blocks."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.audio.reader import DecodingStoppedError, Reader, open_reader
from segue.audio.resample import Resampler, checked_rate
from segue.audio.samples import Audio, AudioInfo, mono
from segue.errors import (
    InvalidSamplesError,
    TruncatedAudioError,
    UnreadableAudioError,
    UsageError,
)

LOG = logging.getLogger("segue.audio")

_SUFFIXES = """
    .3gp .aac .ac3 .aif .aifc .aiff .amr .ape .asf .au .avi .caf .dts .eac3 .flac .flv .m2ts .m4a
    .m4b .m4v .mka .mkv .mov .mp2 .mp3 .mp4 .mpc .mpeg .mpg .mts .oga .ogg .ogv .opus .ra .rf64 .rm
    .snd .spx .ts .tta .voc .w64 .wav .wave .webm .wma .wmv .wv
"""
AUDIO_SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes, in lower case, that a walk over folders takes as audio, video containers included.

A named file is decoded by its content, whatever its suffix.
"""

# A container's length may count what the encoder padded and the decoder trims, so a file is only
# called truncated when more than both of these are missing.
_SLACK_SECONDS = 0.1
_SLACK_SHARE = 0.01


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Facts of an audio file from its header.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    AudioInfo

    Raises
    ------
    UnreadableAudioError
        No such file, not a regular file, empty, or nothing a decoder recognises.

    Examples
    --------
    >>> import soundfile, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", np.zeros((8000, 2)), 8000)
    ...     info = probe(f"{folder}/a.wav")
    >>> info.rate, info.channels, info.seconds, info.codec
    (8000, 2, 1.0, 'PCM_16')
    """
    with closing(open_reader(os.fsdecode(path))) as reader:
        return reader.info


def load(
    path: str | os.PathLike[str],
    *,
    rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> Audio:
    """Decode a file, or an excerpt of it, to mono samples.

    Only the excerpt is decoded: `start` is found by seeking, to the sample. An excerpt has
    ``round(duration * rate)`` samples, fewer where the file ends earlier.

    Parameters
    ----------
    path : str or path-like
        An audio file or a video with sound, recognised by content. Of several audio streams the
        first is taken.
    rate : int, optional
        Resample to this rate in hertz (soxr HQ); the file's own when omitted.
    start : float
        Where the excerpt begins, in seconds.
    duration : float, optional
        Length of the excerpt in seconds; to the end of the file when omitted.

    Returns
    -------
    Audio
        ``samples`` of shape (n,), with the file's original facts in ``info``.

    Raises
    ------
    UsageError
        `rate`, `start` or `duration` makes no sense.
    UnreadableAudioError
        No such file, not a regular file, empty, nothing a decoder recognises, or damaged in the
        middle.
    TruncatedAudioError
        The file ends within the excerpt, before the length its container declares. An mp3
        without a Xing or VBRI header, raw AAC and AC-3, AVI and MPEG transport streams declare
        none that can be relied on: cut short, they give what is there. So does Ogg, whose missing
        end page is logged as a warning. Matroska and ASF count only where they declare the audio
        stream's own length.
    InvalidSamplesError
        No samples, NaN or infinite ones, or `start` beyond the end.

    Examples
    --------
    >>> import soundfile, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", np.zeros((44100, 2)), 44100)
    ...     audio = load(f"{folder}/a.wav", rate=12000, start=0.25, duration=0.5)
    >>> audio.samples.shape, audio.rate, audio.info.rate
    ((6000,), 12000, 44100)
    """
    request = _Request.of(path, rate, start, duration)
    with closing(open_reader(request.path)) as reader:
        pieces = list(_samples(reader, request))
        return Audio(
            np.concatenate(pieces), request.rate or reader.info.rate, request.path, reader.info
        )


def stream(
    path: str | os.PathLike[str],
    *,
    rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    block_seconds: float = 30.0,
) -> Iterator[Audio]:
    """Decode a file, or an excerpt of it, in blocks; joined, they are what `load` returns.

    Memory is that of a block, however long the file. A file found to be truncated or invalid
    raises after the blocks before that point, none of which is to be used then.

    Parameters
    ----------
    path, rate, start, duration
        As for `load`.
    block_seconds : float
        Length of each block in seconds; the last may be shorter.

    Yields
    ------
    Audio
        ``samples`` of shape (round(block_seconds * rate),).

    Raises
    ------
    UsageError
        At once; the errors of `load` when their place in the file is reached.

    Examples
    --------
    >>> import soundfile, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/a.wav", np.zeros(20000), 8000)
    ...     [block.seconds for block in stream(f"{folder}/a.wav", block_seconds=1.0)]
    [1.0, 1.0, 0.5]
    """
    request = _Request.of(path, rate, start, duration)
    _check_seconds(block_seconds, "block_seconds", above_zero=True)
    return _stream(request, block_seconds)


def check_samples(audio: Audio, *, min_seconds: float) -> None:
    """Refuse audio no encoder can say anything about: digital silence, or too short.

    Parameters
    ----------
    audio : Audio
    min_seconds : float
        The least the encoder needs, in seconds.

    Raises
    ------
    InvalidSamplesError
        Every sample is 0, or `audio` is shorter than `min_seconds`.

    Examples
    --------
    >>> check_samples(Audio(np.ones(800, np.float32), 8000), min_seconds=0.05)
    """
    count = len(audio.samples)
    if count < min_seconds * audio.rate:
        length = f"{audio.seconds:.5f}".rstrip("0").rstrip(".")
        raise InvalidSamplesError(
            wanted=f"audio of some length (the encoder needs {min_seconds:g} s)",
            got=f"too short: {count} sample{'' if count == 1 else 's'} ({length} s)",
            fix="Replace the file with a longer one, or remove it",
            source=audio.source,
        )
    if not audio.samples.any():
        raise InvalidSamplesError(
            wanted="audible samples",
            got="digital silence: every sample is 0",
            fix="Replace or remove the file",
            source=audio.source,
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """Which stretch of which file, at which rate; checked."""

    path: str
    rate: int | None
    start: float
    duration: float | None

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        rate: int | None,
        start: float,
        duration: float | None,
    ) -> _Request:
        rate = None if rate is None else checked_rate(rate)
        _check_seconds(start, "start", above_zero=False)
        if duration is not None:
            _check_seconds(duration, "duration", above_zero=True)
        return cls(os.fsdecode(path), rate, start, duration)


def _check_seconds(value: float, name: str, *, above_zero: bool) -> None:
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        bound = "greater than 0" if above_zero else "0 or greater"
        raise UsageError(
            wanted=f"{name} in seconds, {bound}", got=repr(value), fix=f"Pass another {name}"
        )


def _stream(request: _Request, block_seconds: float) -> Iterator[Audio]:
    with closing(open_reader(request.path)) as reader:
        rate = request.rate or reader.info.rate
        size = max(1, round(block_seconds * rate))
        block = np.empty(size, np.float32)
        filled = 0
        for piece in _samples(reader, request):
            while len(piece):
                part = piece[: size - filled]
                block[filled : filled + len(part)] = part
                filled += len(part)
                piece = piece[len(part) :]
                if filled == size:
                    yield Audio(block, rate, request.path, reader.info)
                    block, filled = np.empty(size, np.float32), 0
        if filled:
            yield Audio(block[:filled], rate, request.path, reader.info)


def _samples(reader: Reader, request: _Request) -> Iterator[NDArray[np.float32]]:
    """Mono samples of the stretch asked for at the rate asked for, piece by piece."""
    info = reader.info
    rate = request.rate or info.rate
    _log_changes(request.path, info, rate)
    first = round(request.start * info.rate)
    count = left = None
    if request.duration is not None:
        # rounded up, so that what comes out of the resampler never falls a sample short
        count = max(1, math.ceil(round(request.duration * info.rate, 6)))
        left = max(1, round(request.duration * rate))
    resampler = Resampler(info.rate, rate)
    delivered = 0
    for piece in _finite_mono(reader, request, first, count):
        ready = resampler.push(piece)[:left]
        left = None if left is None else left - len(ready)
        delivered += len(ready)
        yield ready
    rest = resampler.finish()[:left]
    if delivered + len(rest) == 0:
        raise InvalidSamplesError(
            wanted=f"samples at {rate} Hz",
            got=f"too short a stretch: at {info.rate} Hz it has less than a sample's worth",
            fix="Replace the file with a longer one, or remove it",
            source=request.path,
        )
    yield rest


def _finite_mono(
    reader: Reader, request: _Request, first: int, count: int | None
) -> Iterator[NDArray[np.float32]]:
    """Mono samples at the file's own rate; raises at the end of a stretch that is not sound."""
    total = invalid = 0
    try:
        for block in reader.blocks(first, count):
            samples = mono(block)
            total += len(samples)
            invalid += len(samples) - int(np.count_nonzero(np.isfinite(samples)))
            if not invalid:  # after the first invalid sample: only count, to name their number
                yield samples
    except DecodingStoppedError as stop:
        raise _stopped(reader.info, stop, request) from stop
    if invalid:
        raise InvalidSamplesError(
            wanted="finite samples",
            got=f"{invalid} of {total} samples are NaN or infinite",
            fix="Render or convert the file again, or remove it",
            source=request.path,
        )
    _check_length(reader, request, total, count)


def _check_length(reader: Reader, request: _Request, total: int, count: int | None) -> None:
    """Raise when `total` frames are fewer than the container promised for the stretch."""
    if total == count:
        return
    info = reader.info
    end = reader.position / info.rate
    declared = info.seconds
    if declared is not None and declared > request.start:
        promised = declared if count is None else min(declared, request.start + count / info.rate)
        missing = promised - max(end, request.start)
        if missing > max(_SLACK_SECONDS, _SLACK_SHARE * (promised - request.start)):
            raise TruncatedAudioError(
                wanted=f"{declared:.2f} s as its header declares",
                got=f"{end:.2f} s",
                fix="Copy or download the file again",
                source=request.path,
            )
    if total == 0:
        beyond = f"start {request.start:g} s, beyond its end at {end:.2f} s"
        raise InvalidSamplesError(
            wanted="samples",
            got=beyond if request.start > 0 and end > 0 else "0 samples",
            fix="Choose an earlier start" if end > 0 else "Replace or remove the file",
            source=request.path,
        )


def _stopped(
    info: AudioInfo, stop: DecodingStoppedError, request: _Request
) -> TruncatedAudioError | UnreadableAudioError:
    """The error for a file whose decoding failed on the way."""
    seconds = stop.frame / info.rate
    if stop.damaged or info.seconds is None:
        return UnreadableAudioError(
            wanted="audio that decodes to its end",
            got=f"damage at {seconds:.2f} s ({stop.reason})",
            fix="Copy or download the file again",
            source=request.path,
        )
    return TruncatedAudioError(
        wanted=f"{info.seconds:.2f} s as its header declares",
        got=f"{seconds:.2f} s, after which decoding fails ({stop.reason})",
        fix="The file is cut short or damaged; copy or download it again",
        source=request.path,
    )


def _log_changes(path: str, info: AudioInfo, rate: int) -> None:
    if info.channels > 1:
        LOG.info("%s: %d channels mixed to mono", path, info.channels)
    if rate < info.rate:
        LOG.info("%s: resampled %d Hz -> %d Hz", path, info.rate, rate)
    elif rate > info.rate:
        LOG.info(
            "%s: resampled %d Hz -> %d Hz; the band above %d Hz is empty",
            path,
            info.rate,
            rate,
            info.rate // 2,
        )
