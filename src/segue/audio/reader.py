"""Open a path as audio: refuse what is no readable file, and pick the decoder that knows it."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from segue.audio.headers import HEAD_BYTES, soundfile_knows
from segue.audio.samples import AudioInfo
from segue.errors import UnreadableAudioError

_WANTED = "an audio file"
# A damaged header can state any rate, and resampling from a few hertz would fill the memory.
_LEAST_RATE, _LARGEST_RATE = 1000, 1_000_000


class NotRecognisedError(Exception):
    """A decoder does not know this content; its message is the decoder's reason, brief."""


class DecodingStoppedError(Exception):
    """Decoding failed at `frame`; `damaged` when more data followed, so it was not the end."""

    def __init__(self, frame: int, reason: str, *, damaged: bool) -> None:
        super().__init__(reason)
        self.frame = frame
        self.reason = reason
        self.damaged = damaged


class Reader(Protocol):
    """One open audio file. `blocks` may be called once."""

    @property
    def info(self) -> AudioInfo: ...

    @property
    def position(self) -> int:
        """Frames from the file's beginning to the end of what was decoded so far."""

    def blocks(self, first: int, count: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from number `first`, at most `count` of them, as arrays (n, channels)."""

    def close(self) -> None: ...


def open_reader(path: str) -> Reader:
    """Open `path` with soundfile where its signature is known to it, with PyAV otherwise."""
    reader = _open_with_either(path)
    if _LEAST_RATE <= reader.info.rate <= _LARGEST_RATE:
        return reader
    reader.close()
    raise UnreadableAudioError(
        wanted=_WANTED,
        got=f"a sampling rate of {reader.info.rate} Hz in its header",
        fix="The file is damaged or no audio; replace or remove it",
        source=path,
    )


def _open_with_either(path: str) -> Reader:
    head = _first_bytes(path)
    soundfile_reason = "signature not known"
    if soundfile_knows(head):
        from segue.audio.soundfile_reader import SoundfileReader

        try:
            return SoundfileReader(path)
        except NotRecognisedError as error:
            soundfile_reason = str(error)
    from segue.audio.pyav_reader import PyavReader

    try:
        return PyavReader(path)
    except NotRecognisedError as error:
        reasons = f"soundfile: {soundfile_reason}; PyAV: {error}"
        raise UnreadableAudioError(
            wanted=_WANTED,
            got=f"a file, but no decoder recognises its content ({reasons})",
            fix="Check that the file is audio and was copied in full, or remove it",
            source=path,
        ) from error


def _first_bytes(path: str) -> bytes:
    """The first bytes of a regular, readable, non-empty file; anything else raises."""
    try:
        status = Path(path).stat()  # before opening: opening a FIFO would wait for a writer
    except (OSError, ValueError) as error:
        _refuse(path, error)
    if stat.S_ISDIR(status.st_mode):
        got, fix = "a directory", "Name the files in it"
    elif not stat.S_ISREG(status.st_mode):
        got, fix = "a pipe, socket or device, not a regular file", "Save the audio to a file"
    elif status.st_size == 0:
        got, fix = "an empty file (0 bytes)", "Replace or remove the file"
    else:
        try:
            with Path(path).open("rb") as file:
                return file.read(HEAD_BYTES)
        except OSError as error:
            _refuse(path, error)
    raise UnreadableAudioError(wanted=_WANTED, got=got, fix=fix, source=path)


def _refuse(path: str, error: OSError | ValueError) -> NoReturn:
    """Turn what the operating system said into one sentence."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ENOENT and Path(path).is_symlink():
        got, fix = "a broken symbolic link", "Restore the file it points to"
    elif code in (errno.ENOENT, errno.ENOTDIR):
        got, fix = "no such file", "Check the path"
    elif code == errno.ELOOP:
        got, fix = "a symbolic link that leads back to itself", "Remove the link"
    elif code == errno.EACCES:
        got, fix = "a file without permission to read it", "Change its permissions"
    else:
        got, fix = f"an error of the file system ({error})", "Check the path and the disk"
    raise UnreadableAudioError(wanted=_WANTED, got=got, fix=fix, source=path) from error
