"""Tunes of the demo corpus, read from scores into a plain note list.

Two sources: ``tunes.abc`` beside this file (our own transcriptions of public-domain tunes), and
those scores of the music21 corpus whose own file says public domain or CC0. Most of the music21
corpus carries no grant of rights, or a non-commercial one, and is not used; ``README.md`` lists
what was looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from music21 import converter, corpus, meter, note, stream

ABC_FILE = Path(__file__).with_name("tunes.abc")

# Quarter notes in one pulse (the beat that is counted): a dotted quarter in 6/8.
PULSE = {"4/4": Fraction(1), "2/2": Fraction(1), "3/4": Fraction(1), "6/8": Fraction(3, 2)}


@dataclass(frozen=True)
class Note:
    """One note: onset and duration in pulses from the start of the tune, and a MIDI pitch."""

    onset: Fraction
    duration: Fraction
    pitch: int


@dataclass(frozen=True)
class Tune:
    """A monophonic tune with what the card must say about it.

    Attributes
    ----------
    name : str
        Identifier made of the title, the ``piece`` of the manifest.
    meter : str
        One of "4/4", "3/4", "6/8".
    pulses : int
        Length of the tune in pulses (whole bars).
    tonic : int
        Pitch class of the tonic, 0 for C.
    mode : str
        "major", "minor" or "dorian".
    """

    name: str
    title: str
    origin: str
    source: str
    encoder: str
    licence: str
    meter: str
    pulses: int
    tonic: int
    mode: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class FreeScore:
    """A score of the music21 corpus whose file states that it is free of conditions."""

    path: str
    part: int
    first_bar: int
    last_bar: int
    title: str
    origin: str
    encoder: str
    licence: str
    tonic: int


MUSIC21_SCORES = (
    FreeScore(
        "liliuokalani/aloha_oe.mxl", 0, 13, 20, "Aloha Oe", "Queen Liliuokalani, 1884",
        "Michael Scott Asato Cuthbert", "CC0 (stated in the file)", 7,
    ),
    FreeScore(
        "johnson_j_r/lift_every_voice.mxl", 0, 1, 16, "Lift Every Voice and Sing",
        "J. Rosamond Johnson, 1900", "Michael Scott Asato Cuthbert", "CC0 (stated in the file)", 8,
    ),
    FreeScore(
        "leadSheet/fosterBrownHair.mxl", 0, 2, 13, "Jeanie with the Light Brown Hair",
        "Stephen Foster, 1854", "not named", "public domain (stated in the file)", 5,
    ),
    # The clarinet in B flat is written a tone higher, so the theme stands in F on paper.
    FreeScore(
        "weber/concertino_clarinet.mxl", 0, 38, 53, "Concertino for Clarinet, theme",
        "Carl Maria von Weber, 1811", "Oliver Seely", "public domain (stated in the file)", 5,
    ),
    FreeScore(
        "lusitano/allor_che_ignuda.mxl", 0, 1, 11, "Allor che ignuda",
        "Vicente Lusitano, 1562", "Michael Scott Asato Cuthbert", "CC0 (stated in the file)", 0,
    ),
)  # fmt: skip


def read_tunes() -> list[Tune]:
    """Read every tune of the corpus, in a fixed order.

    Returns
    -------
    list of Tune

    Raises
    ------
    ValueError
        If two tunes have the same name or a bar holds more than its meter allows.
    """
    own = converter.parse(ABC_FILE, format="abc")
    if not isinstance(own, stream.Opus):
        raise ValueError(f"wanted several tunes in {ABC_FILE}, got one; give each an X: line")
    tunes = [_from_abc(score) for score in own.scores]
    tunes += [_from_music21(free) for free in MUSIC21_SCORES]
    names = [tune.name for tune in tunes]
    if len(set(names)) != len(names):
        raise ValueError(f"wanted one tune per name, got {sorted(names)}; give them other titles")
    return tunes


def _from_abc(score: stream.Score) -> Tune:
    bars = list(score.parts[0].getElementsByClass(stream.Measure))
    signature, notes, pulses = _notes_of_bars(bars, score.metadata.title)
    key = next(iter(score.recurse().getElementsByClass("Key")))
    return Tune(
        name=_slug(score.metadata.title),
        title=score.metadata.title,
        origin=score.metadata.composer,
        source=f"corpus/tunes.abc, X:{score.metadata.number}",
        encoder="segue",
        licence="MIT (own transcription)",
        meter=signature,
        pulses=pulses,
        tonic=key.tonic.pitchClass,
        mode=key.mode,
        notes=notes,
    )


def _from_music21(free: FreeScore) -> Tune:
    part = corpus.parse(free.path).parts[free.part]
    # A repeat sign splits a bar into two measures with one number; we want the halves both.
    bars = [
        bar
        for bar in part.getElementsByClass(stream.Measure)
        if free.first_bar <= bar.number <= free.last_bar
    ]
    signature, notes, pulses = _notes_of_bars(bars, free.title)
    return Tune(
        name=_slug(free.title),
        title=free.title,
        origin=free.origin,
        source=f"music21 corpus, {free.path}, bars {free.first_bar}-{free.last_bar}",
        encoder=free.encoder,
        licence=free.licence,
        meter=signature,
        pulses=pulses,
        tonic=free.tonic,
        mode="major",
        notes=notes,
    )


def _notes_of_bars(bars: list[stream.Measure], title: str) -> tuple[str, tuple[Note, ...], int]:
    """Notes of consecutive bars, onsets in pulses from the first bar; ties are joined."""
    signature = bars[0].timeSignature or bars[0].getContextByClass(meter.TimeSignature)
    if signature is None:
        raise ValueError(f"wanted a time signature for {title!r}, got none; correct the score")
    pulse = PULSE[signature.ratioString]
    bar_pulses = Fraction(signature.barDuration.quarterLength) / pulse
    notes: list[Note] = []
    for number, bar in enumerate(bars):
        for element in bar.recurse().getElementsByClass(note.Note):
            duration = Fraction(element.quarterLength).limit_denominator(48) / pulse
            if not duration:  # grace note
                continue
            offset = Fraction(element.getOffsetInHierarchy(bar)).limit_denominator(48)
            onset = number * bar_pulses + offset / pulse
            if element.tie is not None and element.tie.type in ("stop", "continue"):
                duration += notes[-1].duration
                onset = notes.pop().onset
            notes.append(Note(onset, duration, int(element.pitch.midi)))
        last_end = notes[-1].onset + notes[-1].duration
        if last_end > (number + 1) * bar_pulses:
            raise ValueError(
                f"wanted {bar_pulses} pulses in bar {number + 1} of {title!r}, got notes up to "
                f"pulse {last_end}; correct the score"
            )
    # Half notes are not what a listener would count at these tempos.
    name = "4/4" if signature.ratioString == "2/2" else signature.ratioString
    return name, tuple(notes), int(len(bars) * bar_pulses)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower().replace("'", "")).strip("_")
