"""The two MIDI stems of a clip: mma's accompaniment, and the melody."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import mido
from design import Clip
from harmony import BAR_BEATS, CHORD_BEATS, Arrangement, swing

DRUM_CHANNEL = 9
MELODY_CHANNEL = 0

# What an accompaniment track may be recast to, the same for every style: without this the timbre
# of the chords alone would give the style away.
CHORD_PROGRAMS = (0, 4, 11, 16, 21, 24, 26, 48)
BASS_PROGRAMS = (32, 33, 35, 58)
RECAST_PROBABILITY = 1 / 3

# First program of each General MIDI family, and the tag it is given.
FAMILIES = (
    (0, "piano"), (8, "mallets"), (16, "organ"), (21, "accordion"), (24, "guitar"), (32, "bass"),
    (40, "strings"), (52, "voice"), (56, "brass"), (64, "reed"), (72, "flute"), (80, "synth"),
    (112, "mallets"), (115, "drums"), (120, "effects"),
)  # fmt: skip


@dataclass(frozen=True)
class Stems:
    """Two MIDI files with the same tempo track, to be rendered apart and mixed."""

    accompaniment: mido.MidiFile
    melody: mido.MidiFile


def write_stems(clip: Clip, arrangement: Arrangement, folder: Path) -> Stems:
    """Have mma write the accompaniment, recast its voices, and write the melody beside it.

    Parameters
    ----------
    clip : Clip
    arrangement : Arrangement
        The section to be played, from its first beat.
    folder : pathlib.Path
        A folder for mma's files.

    Raises
    ------
    RuntimeError
        If mma is missing or does not accept its input.
    """
    source = folder / "clip.mma"
    source.write_text(_mma_text(clip, arrangement))
    target = folder / "clip.mid"
    _run_mma(source, target)
    accompaniment = mido.MidiFile(target)
    rng = random.Random(clip.seed)  # noqa: S311 - nothing secret
    # One draw for all bass tracks: mma splits a bass line into alternating tracks.
    bass_program = _draw(BASS_PROGRAMS, rng)
    for track in accompaniment.tracks:
        _recast(track, clip, bass_program, rng)
    melody = mido.MidiFile(ticks_per_beat=accompaniment.ticks_per_beat)
    conductor = mido.MidiTrack(m for m in accompaniment.tracks[0] if m.is_meta)
    melody.tracks += [conductor, _melody_track(clip, arrangement, melody.ticks_per_beat)]
    return Stems(accompaniment, melody)


def instruments(stems: Stems, seconds: float) -> set[str]:
    """Tags of the instruments with at least two notes that start within ``seconds``."""
    counts: dict[str, int] = {}
    for stem in (stems.accompaniment, stems.melody):
        programs: dict[int, int] = {}
        clock = 0.0
        for message in stem:  # merged, times in seconds
            clock += message.time
            if clock >= seconds:
                break
            if message.type == "program_change":
                programs[message.channel] = message.program
            elif message.type == "note_on" and message.velocity > 0:
                tag = _family(message.channel, programs.get(message.channel, 0))
                counts[tag] = counts.get(tag, 0) + 1
    return {tag for tag, count in counts.items() if count >= 2}


def _mma_text(clip: Clip, arrangement: Arrangement) -> str:
    """The score for mma: seed, tempo, groove and one line of chords per bar."""
    bar_beats = BAR_BEATS[arrangement.meter]
    per_bar = bar_beats // CHORD_BEATS[arrangement.meter]
    lines = [
        f"RndSeed {clip.seed}",
        f"Time {bar_beats}",
        f"Tempo {clip.tempo}",
        f"Groove stdlib/{clip.groove}",
    ]
    for first in range(0, len(arrangement.chords), per_bar):
        bar = arrangement.chords[first : first + per_bar]
        # mma wants one entry a beat; a slash holds the chord.
        lines.append(" / ".join(bar) + (" /" if per_bar == 2 else ""))
    return "\n".join(lines) + "\n"


def _run_mma(source: Path, target: Path) -> None:
    program = shutil.which("mma")
    if program is None:
        raise RuntimeError("wanted the program mma, got none on PATH; run: apt-get install mma")
    # A fixed hash seed and an empty home keep the run apart from this machine's settings.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "HOME": str(source.parent)}
    done = subprocess.run(
        [program, "-f", str(target), str(source)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=source.parent,
        check=False,
    )
    if done.returncode != 0 or not target.exists():
        raise RuntimeError(
            f"wanted mma to write {target.name}, got exit status {done.returncode}: "
            f"{done.stdout.strip()[-300:]}; check the groove and the chords in {source}"
        )


def _draw(programs: tuple[int, ...], rng: random.Random) -> int | None:
    """A program for a track, or None where mma's own voice stays."""
    return rng.choice(programs) if rng.random() < RECAST_PROBABILITY else None


def _recast(
    track: mido.MidiTrack, clip: Clip, bass_program: int | None, rng: random.Random
) -> None:
    """Drop a track the clip does without, or give it another voice of the same role."""
    notes = [m for m in track if m.type == "note_on" and m.velocity > 0]
    if not notes:
        return
    program = None
    if notes[0].channel == DRUM_CHANNEL:
        keep = clip.drums
    elif _is_bass(track.name, notes):
        keep = clip.bass
        program = bass_program
    else:
        keep = True
        program = _draw(CHORD_PROGRAMS, rng)
    if not keep:
        track[:] = [m for m in track if m.type not in ("note_on", "note_off")]
    elif program is not None:
        track[:] = [m.copy(program=program) if m.type == "program_change" else m for m in track]


def _is_bass(name: str, notes: list[mido.Message]) -> bool:
    # mma calls some high figures "Bass-..." for how they are generated; pitch decides.
    return name.startswith(("Bass", "Walk")) and sum(m.note for m in notes) < 48 * len(notes)


def _melody_track(clip: Clip, arrangement: Arrangement, ticks_per_beat: int) -> mido.MidiTrack:
    """Melody notes as MIDI events, in the octave that suits the instrument."""
    pitches = [n.pitch for n in arrangement.notes]
    octave = 12 * round((clip.melody.middle - sum(pitches) / len(pitches)) / 12)
    events: list[tuple[int, int, mido.Message]] = []
    for n in arrangement.notes:
        onset = swing(n.onset, clip.style.swing)
        end = swing(n.onset + n.duration, clip.style.swing)
        velocity = 104 if n.onset % 1 == 0 else 92
        pitch = n.pitch + octave
        # A small gap between notes keeps repeated pitches apart.
        stop = onset + (end - onset) * Fraction(92, 100)
        for time, order, kind in ((onset, 1, "note_on"), (stop, 0, "note_off")):
            message = mido.Message(kind, channel=MELODY_CHANNEL, note=pitch, velocity=velocity)
            events.append((round(time * ticks_per_beat), order, message))
    track = mido.MidiTrack()
    track.append(mido.MetaMessage("track_name", name="Melody"))
    program = clip.melody.program
    track.append(mido.Message("program_change", channel=MELODY_CHANNEL, program=program))
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


def _family(channel: int, program: int) -> str:
    if channel == DRUM_CHANNEL:
        return "drums"
    return [tag for first, tag in FAMILIES if first <= program][-1]
