"""Melody into a bar of the style, and chords that fit it.

A tune is stretched pulse by pulse so that it fills the style's bar (3/4 or 4/4), then a small
Viterbi search picks one chord per half bar (4/4) or bar (3/4): chord tones in the melody speak for
a chord, other tones against it, and changes cost a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from tunes import Note, Tune

# Beats of the target bar that each pulse of a source bar becomes. A bar of 4/4 turns into two
# bars of waltz (long-short, long-short), a bar of 3/4 into one of 4/4 with a long first beat;
# 6/8 keeps its triplets, one pulse a beat in 4/4 and one pulse a whole bar in 3/4.
STRETCH: dict[tuple[str, str], tuple[int, ...]] = {
    ("4/4", "4/4"): (1, 1, 1, 1),
    ("4/4", "3/4"): (2, 1, 2, 1),
    ("3/4", "3/4"): (1, 1, 1),
    ("3/4", "4/4"): (2, 1, 1),
    ("6/8", "4/4"): (1, 1),
    ("6/8", "3/4"): (3, 3),
}
BAR_BEATS = {"4/4": 4, "3/4": 3}
CHORD_BEATS = {"4/4": 2, "3/4": 3}

# Chords on offer: semitones above the tonic, quality as mma writes it, liking.
CHORDS: dict[str, tuple[tuple[int, str, float], ...]] = {
    "major": ((0, "", 0.25), (2, "m", 0.0), (4, "m", -0.25), (5, "", 0.1), (7, "7", 0.15),
              (9, "m", 0.0)),
    "minor": ((0, "m", 0.25), (3, "", 0.0), (5, "m", 0.1), (7, "7", 0.15), (8, "", 0.0),
              (10, "", 0.05)),
    "dorian": ((0, "m", 0.25), (3, "", 0.0), (5, "", 0.05), (7, "m", 0.0), (10, "", 0.15)),
}  # fmt: skip
INTERVALS = {"": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10)}
ROOTS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

STAY = 0.15  # liking for no change of chord
CADENCE = 0.2  # liking for dominant to tonic
FRAME = 0.6  # liking for the tonic at both ends of the tune


@dataclass(frozen=True)
class Arrangement:
    """A tune in the style's meter: notes in beats, and one chord name per chord slot."""

    meter: str
    beats: int
    notes: tuple[Note, ...]
    chords: tuple[str, ...]


def arrange(tune: Tune, meter: str, transposition: int) -> Arrangement:
    """Fit a tune to a meter, transpose it and harmonise it.

    Parameters
    ----------
    tune : Tune
    meter : {"4/4", "3/4"}
    transposition : int
        Semitones added to every pitch.

    Returns
    -------
    Arrangement
        The length is a whole number of bars; a tune that does not fill the last bar rests.
    """
    factors = STRETCH[tune.meter, meter]
    notes = []
    for source in tune.notes:
        onset = _beat_of_pulse(source.onset, factors)
        end = _beat_of_pulse(source.onset + source.duration, factors)
        notes.append(Note(onset, end - onset, source.pitch + transposition))
    bar = BAR_BEATS[meter]
    beats = -(-int(_beat_of_pulse(Fraction(tune.pulses), factors)) // bar) * bar
    tonic = (tune.tonic + transposition) % 12
    chords = harmonise(tuple(notes), beats, CHORD_BEATS[meter], tonic, tune.mode)
    return Arrangement(meter, beats, tuple(notes), chords)


def section(arrangement: Arrangement, third: int, beats: int) -> Arrangement:
    """Cut a section out of an arrangement, going round to its start where it ends.

    Parameters
    ----------
    arrangement : Arrangement
    third : {0, 1, 2}
        Start near this third of the tune, at a bar whose first beat has a new note (so that the
        melody sounds at once).
    beats : int
        Length of the section, a whole number of bars.
    """
    bar = BAR_BEATS[arrangement.meter]
    downbeats = [int(n.onset) for n in arrangement.notes if n.onset % bar == 0]
    start = min(downbeats, key=lambda beat: (abs(beat - third * arrangement.beats / 3), beat))
    rounds = range(0, start + beats, arrangement.beats)
    notes = [
        Note(n.onset + lap - start, n.duration, n.pitch)
        for lap in rounds
        for n in arrangement.notes
        if start <= n.onset + lap < start + beats
    ]
    slot = CHORD_BEATS[arrangement.meter]
    chords = [
        arrangement.chords[((start + beat) // slot) % len(arrangement.chords)]
        for beat in range(0, beats, slot)
    ]
    return Arrangement(arrangement.meter, beats, tuple(notes), tuple(chords))


def swing(beat: Fraction, ratio: Fraction) -> Fraction:
    """Move the middle of each beat to ``ratio`` of it (1/2 leaves the beat as it is)."""
    whole, part = divmod(beat, 1)
    half = Fraction(1, 2)
    if part < half:
        return whole + part * ratio / half
    return whole + ratio + (part - half) * (1 - ratio) / half


def harmonise(
    notes: tuple[Note, ...], beats: int, slot_beats: int, tonic: int, mode: str
) -> tuple[str, ...]:
    """Best chord sequence for a melody, by Viterbi search.

    Returns
    -------
    tuple of str
        One chord name per slot of ``slot_beats`` beats.
    """
    on_offer = CHORDS[mode]
    slots = beats // slot_beats
    best: list[float] = []
    back: list[list[int]] = []
    for slot in range(slots):
        weights = _pitch_class_weights(notes, slot * slot_beats, slot_beats)
        fits = [_fit(weights, tonic, chord) for chord in on_offer]
        if slot in (0, slots - 1):
            fits[0] += FRAME
        if slot == 0:
            best = fits
            continue
        choices = []
        reached = []
        for b, fit in enumerate(fits):
            scores = [best[a] + _step(on_offer, a, b) for a in range(len(on_offer))]
            choices.append(int(np.argmax(scores)))
            reached.append(max(scores) + fit)
        best = reached
        back.append(choices)
    path = [int(np.argmax(best))]
    for choices in reversed(back):
        path.append(choices[path[-1]])
    return tuple(ROOTS[(tonic + on_offer[i][0]) % 12] + on_offer[i][1] for i in reversed(path))


def _beat_of_pulse(pulse: Fraction, factors: tuple[int, ...]) -> Fraction:
    """Position of a source pulse on the stretched beat line (piecewise linear)."""
    bars, rest = divmod(pulse, len(factors))
    whole = int(rest)
    beat = int(bars) * sum(factors) + sum(factors[:whole])
    return beat + (rest - whole) * factors[whole]


def _pitch_class_weights(notes: tuple[Note, ...], start: int, length: int) -> dict[int, float]:
    """Share of a slot that each pitch class sounds; a note on the slot's first beat counts more."""
    weights: dict[int, float] = {}
    for n in notes:
        end = min(n.onset + n.duration, Fraction(start + length))
        overlap = end - max(n.onset, Fraction(start))
        if overlap > 0:
            accent = 1.5 if n.onset == start else 1.0
            pitch_class = n.pitch % 12
            weights[pitch_class] = weights.get(pitch_class, 0.0) + accent * float(overlap) / length
    return weights


def _fit(weights: dict[int, float], tonic: int, chord: tuple[int, str, float]) -> float:
    root, quality, liking = chord
    tones = {(tonic + root + interval) % 12 for interval in INTERVALS[quality]}
    return liking + sum(w if pc in tones else -0.8 * w for pc, w in weights.items())


def _step(on_offer: tuple[tuple[int, str, float], ...], a: int, b: int) -> float:
    if a == b:
        return STAY
    to_tonic = on_offer[b][0] == 0
    return CADENCE if to_tonic and on_offer[a][0] in (7, 10) else 0.0
