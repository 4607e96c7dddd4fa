"""Decode with libsndfile: WAV and its kin, AIFF, AU, CAF, FLAC, Ogg Vorbis and Opus."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile
from numpy.typing import NDArray

from segue.audio.headers import OggEnd, declared_data, ogg_end
from segue.audio.reader import DecodingStoppedError, NotRecognisedError
from segue.audio.samples import AudioInfo

LOG = logging.getLogger("segue.audio")

BLOCK_FRAMES = 65536
# After a seek in Ogg Vorbis the first block or two that libsndfile decodes can be wrong; and where
# the place is in the last page, all that follows is, shifted by some hundred samples.
_VORBIS_PREROLL_SECONDS = 0.5


# Where the content is not what its first bytes say, libsndfile goes by the name: anything in .au or
# .gsm is then raw samples to it.
_TOLD_BY_CONTENT = frozenset(
    {"AIFF", "AU", "CAF", "FLAC", "NIST", "OGG", "RF64", "SVX", "VOC", "W64", "WAV", "WAVEX"}
)


class SoundfileReader:
    """One file open in libsndfile (see `segue.audio.reader.Reader`)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open(path)
        self._frames: int = self._file.frames
        declared = self._frames / self._file.samplerate
        self._ogg: OggEnd | None = None
        with Path(path).open("rb") as file:
            data = declared_data(file)
            size = file.seek(0, os.SEEK_END)
            if self._file.format == "OGG":
                self._ogg = ogg_end(file)
        if self._file.format not in _TOLD_BY_CONTENT:
            self._give_up(f"{self._file.format} by its name alone")
        if self._ogg is not None and self._ogg.chained:
            self._give_up("several Ogg streams in one file")
        if self._frames > 1 << 60:  # written to a pipe; libsndfile then loses the last block
            self._give_up("FLAC without a declared length")
        if data is not None and 0 < size - data[0] < data[1]:
            declared *= data[1] / (size - data[0])  # libsndfile counted what the file holds
        self.position = 0
        self.info = AudioInfo(
            rate=self._file.samplerate,
            channels=self._file.channels,
            seconds=declared,
            container=self._file.format,
            codec=self._file.subtype,
            decoder="soundfile",
        )

    def _give_up(self, reason: str) -> NoReturn:
        self._file.close()
        raise NotRecognisedError(reason)

    def blocks(self, first: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from number `first`, at most `count` of them, as arrays (n, channels)."""
        last = self._frames if count is None else min(first + count, self._frames)
        if first >= last:
            self.position = self._frames
            return
        buffer = self._buffer()
        self._seek(first, buffer)
        while self.position < last:
            wanted = min(len(buffer), last - self.position)
            block = self._read(buffer[:wanted])
            if len(block):
                yield block
            if len(block) < wanted:
                break  # the end; or damage, after which libsndfile would go on as if nothing lacked
            buffer = self._buffer() if self.info.channels == 1 else buffer
        if self._ogg and not self._ogg.complete and self.position == self._frames:
            LOG.warning(
                "%s: no end-of-stream page after %.2f s; the file may have been cut short",
                self._path,
                self.position / self.info.rate,
            )

    def _buffer(self) -> NDArray[np.float32]:
        # several channels are mixed into a new array, so their buffer can be used again; a single
        # channel is handed on as it is and needs its own
        return np.empty((BLOCK_FRAMES, self.info.channels), np.float32)

    def _read(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            block: NDArray[np.float32] = self._file.read(out=out)
        except soundfile.LibsndfileError as error:
            # libsndfile's own reason is that of its last internal step, and misleads
            reason = f"in the {len(out) / self.info.rate:.2f} s that follow"
            raise DecodingStoppedError(self.position, reason, damaged=False) from error
        self.position += len(block)
        return block

    def _seek(self, first: int, buffer: NDArray[np.float32]) -> None:
        """Be at frame `first`, decoding up to it where seeking is not to be trusted."""
        if first == 0:
            return
        self.position = first
        if self._ogg is not None and self._file.subtype == "VORBIS":
            preroll = round(_VORBIS_PREROLL_SECONDS * self.info.rate)
            self.position = max(0, min(first, self._ogg.last_page_begins) - preroll)
        try:
            self._file.seek(self.position)
        except soundfile.LibsndfileError:
            # FLAC looks for the place by halving the file, which fails in a truncated one
            self._file.close()
            self._file = _open(self._path)
            self.position = 0
        while self.position < first and len(self._read(buffer[: first - self.position])):
            pass

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _open(path: str) -> soundfile.SoundFile:
    try:
        # as bytes, since soundfile cannot encode a name that is not valid UTF-8 itself
        return soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name in .raw
        raise NotRecognisedError(_reason(error)) from error


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or "unknown error"
    return str(text).rstrip(".")
