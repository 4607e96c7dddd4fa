"""One exception tree. Every message says what was wanted, what was got, and what to do."""

from __future__ import annotations

from typing import Any


class SegueError(Exception):
    """Base of every error segue raises on purpose.

    Parameters
    ----------
    wanted : str
        What was needed ("an audio file").
    got : str
        What was there instead ("an empty file (0 bytes)").
    fix : str
        What the user can do about it, an imperative ("Replace or remove the file").
    source : str, path or URL, optional
        The file, column or option concerned; leads the message.

    Examples
    --------
    >>> str(SegueError(wanted="music", got="0 bytes", fix="Replace the file", source="a.mp3"))
    'a.mp3: wanted music, got 0 bytes. Replace the file.'
    """

    exit_code = 1

    def __init__(self, *, wanted: str, got: str, fix: str, source: object = None) -> None:
        self.wanted = wanted
        self.got = got
        self.fix = fix
        self.source = None if source is None else str(source)
        lead = f"{self.source}: " if self.source else ""
        super().__init__(f"{lead}wanted {wanted}, got {got}. {fix.rstrip('.')}.")

    def __reduce__(self) -> tuple[Any, ...]:
        # keyword-only constructors do not survive pickling between worker processes on their own
        return _rebuild, (type(self), self.wanted, self.got, self.fix, self.source)


def _rebuild(
    kind: type[SegueError], wanted: str, got: str, fix: str, source: str | None
) -> SegueError:
    return kind(wanted=wanted, got=got, fix=fix, source=source)


class UsageError(SegueError):
    """The request itself cannot be carried out (exit code 2)."""

    exit_code = 2


class ManifestError(UsageError):
    """A manifest is malformed, or does not have what the request needs; names line numbers."""


class AudioError(SegueError):
    """One file cannot become samples; it is quarantined and the work goes on."""

    stage = "decode"


class UnreadableAudioError(AudioError):
    """Missing, a directory, a symlink loop, empty, or no decoder knows its content."""

    stage = "open"


class TruncatedAudioError(AudioError):
    """The file ends before the length its own header declares."""


class ChangedAudioError(AudioError):
    """The file was written to while it was read: its content and its samples may not agree."""

    stage = "changed"


class InvalidSamplesError(AudioError):
    """Decoded, but unusable: NaN or infinity, digital silence, or too short."""

    stage = "samples"


class StoreError(SegueError):
    """A feature store cannot be read or written (full disk, damaged shard, other card)."""


class WeightsError(SegueError):
    """Weights are absent, differ from their pinned digest, or do not fit the network."""


class ModelError(SegueError):
    """A fitted model file is damaged, untrusted or made for another encoder."""
