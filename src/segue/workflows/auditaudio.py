"""What an audit asks of audio files: their format, their level, whether two are one recording."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from segue.audio import AudioInfo, load, probe
from segue.audio.fingerprint import RATE, Signs, bit_errors, fingerprint
from segue.datasets import Track
from segue.errors import AudioError
from segue.extraction import available_cpus
from segue.store import Row
from segue.workflows.evaluating import Watch

HEARD = 10.0
"""Seconds from the start whose level is measured."""

FINGERED = 30.0
MEASURING = "reading files"
QUIET = -120.0

Facts = dict[str, list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWords:
    """What is known of the files, apart from their music.

    Attributes
    ----------
    facts : mapping name -> list
        Rate, channels, container and codec, length heard.
    loudness : mapping name -> list
        Level, peak, bytes a second: of the music as much as of the file.
    notes : tuple of str
    """

    facts: Facts
    loudness: Facts
    notes: tuple[str, ...] = ()


def file_words(
    tracks: Sequence[Track],
    stored: Sequence[Row],
    *,
    listen: bool = True,
    workers: int | None = None,
    watch: Watch | None = None,
) -> FileWords:
    """Facts of files from a store, and from the files themselves where they are there.

    Parameters
    ----------
    tracks : sequence of Track
    stored : sequence of Row
        One per track, or none where there is no store.
    listen : bool
        Whether to open the files.
    workers : int, optional
        Threads; by default one a processor.
    watch : callable, optional
        Called with (what, done, total).
    """
    facts: Facts = {}
    if stored:
        facts = {
            "sampling rate": [row.source_rate for row in stored],
            "channels": [row.source_channels for row in stored],
            "seconds heard": [round(row.seconds, 2) for row in stored],
            "decoder": [row.decoder or None for row in stored],
        }
    if not listen or not is_audible(tracks):
        why = "no audio at the paths of the manifest" if listen else "files were not opened"
        return FileWords(
            facts=facts, loudness={}, notes=(f"{why}: level and codec of files are unknown",)
        )
    measured: list[_Measured] = []
    with ThreadPoolExecutor(workers or available_cpus()) as pool:
        for one in pool.map(_measure, tracks):
            measured.append(one)
            if watch:
                watch(MEASURING, len(measured), len(tracks))
    infos = [one.info for one in measured]
    facts["suffix"] = [track.path.suffix.lower() for track in tracks]
    facts["codec"] = [None if info is None else f"{info.container} {info.codec}" for info in infos]
    if not stored:
        facts["sampling rate"] = [None if info is None else info.rate for info in infos]
        facts["channels"] = [None if info is None else info.channels for info in infos]
        facts["seconds"] = [
            None if info is None or info.seconds is None else round(info.seconds, 2)
            for info in infos
        ]
    loudness: Facts = {
        "level (dB)": [one.level for one in measured],
        "peak (dB)": [one.peak for one in measured],
        "bytes a second": [one.bytes_a_second for one in measured],
    }
    unread = sum(one.level is None for one in measured)
    notes = (
        (f"{unread} of {len(tracks)} files could not be read for their level",) if unread else ()
    )
    return FileWords(facts=facts, loudness=loudness, notes=notes)


@dataclass(frozen=True, slots=True)
class _Measured:
    info: AudioInfo | None
    level: float | None = None
    peak: float | None = None
    bytes_a_second: float | None = None


def _measure(track: Track) -> _Measured:
    """Format and level of a file; None where it cannot be read, which is counted."""
    try:
        info = probe(track.path)
        size = track.path.stat().st_size
        rate = size / info.seconds if info.seconds else None
        seconds = HEARD if track.duration is None else min(HEARD, track.duration)
        samples = load(track.path, start=track.start, duration=seconds).samples
    except (AudioError, OSError):
        return _Measured(None)
    power = float(np.mean(samples.astype(np.float64) ** 2))
    peak = float(np.abs(samples).max())
    level = 10 * np.log10(power) if power > 0 else QUIET
    return _Measured(info, float(level), 20 * np.log10(peak) if peak > 0 else QUIET, rate)


class Ears:
    """Compares the audio of pairs of tracks by fingerprint.

    Parameters
    ----------
    tracks : sequence of Track
    watch : callable, optional
        Called with (what, done, total).
    """

    def __init__(self, tracks: Sequence[Track], watch: Watch | None = None) -> None:
        self.tracks = tracks
        self.watch = watch

    def __call__(self, pairs: Sequence[tuple[int, int]]) -> list[float | None]:
        """Share of differing bits of each pair; None where a file cannot be heard."""
        fingers = lru_cache(maxsize=64)(self._fingerprint)
        shares: list[float | None] = []
        for first, second in pairs:
            one, other = fingers(first), fingers(second)
            heard = one is not None and other is not None
            shares.append(bit_errors(one, other)[0] if heard else None)  # type: ignore[arg-type]
            if self.watch:
                self.watch("comparing recordings", len(shares), len(pairs))
        return shares

    def _fingerprint(self, row: int) -> Signs | None:
        track = self.tracks[row]
        seconds = FINGERED if track.duration is None else min(FINGERED, track.duration)
        try:
            return fingerprint(load(track.path, rate=RATE, start=track.start, duration=seconds))
        except (AudioError, OSError):
            return None


def is_audible(tracks: Sequence[Track]) -> bool:
    """Whether any file is there.

    Examples
    --------
    >>> from pathlib import Path
    >>> is_audible([Track("a", Path("nowhere.wav"), 0.0, None, 2)])
    False
    """
    return any(track.path.is_file() for track in tracks)
