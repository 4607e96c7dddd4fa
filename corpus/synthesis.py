"""MIDI stems to a loudness-normalised Ogg Opus clip of exactly ten seconds."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import mido
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from accompaniment import Stems
from av.codec.context import Flags

Samples = npt.NDArray[np.float32]

RATE = 24_000  # Hz, a rate Opus keeps as it is
SECONDS = 10
RENDER_RATE = 48_000  # rendering high and resampling avoids the synthesiser's aliases
BIT_RATE = 28_000  # bits per second, constant: a file's size must not tell its content
RMS_DB = -22.0  # of every clip, dB re full scale
RMS_TOLERANCE_DB = 0.02
GAIN_STEPS_DB = tuple(0.004 * step for step in range(-6, 7))
MELODY_DB = -3.0  # level of the melody against the accompaniment

SOUND_FONT_FILES = {
    "FluidR3_GM": ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "fluid-soundfont-gm"),
    "FluidR3Mono_GM": ("/usr/share/sounds/sf3/FluidR3Mono_GM.sf3", "fluidr3mono-gm-soundfont"),
    "MuseScore_General_Lite": (
        "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
        "musescore-general-soundfont-small",
    ),
}


def synthesise(stems: Stems, sound_font: str, folder: Path) -> Samples:
    """Render both stems and mix them at a fixed ratio of their RMS.

    Parameters
    ----------
    stems : Stems
    sound_font : str
        A key of ``SOUND_FONT_FILES``.
    folder : pathlib.Path
        A folder for intermediate files.

    Returns
    -------
    ndarray of shape (240000,)
        Mono at 24 kHz, not yet at its final level.

    Raises
    ------
    RuntimeError
        If fluidsynth or the sound font is missing, or a stem is silent.
    """
    accompaniment = _render(stems.accompaniment, sound_font, folder / "accompaniment")
    melody = _render(stems.melody, sound_font, folder / "melody")
    # The balance is set here and not by MIDI velocities, else a groove's habit of playing loud or
    # soft would move the melody's level and tell the style.
    gain = 10 ** (MELODY_DB / 20)
    return accompaniment / _rms(accompaniment) + gain * melody / _rms(melody)


def write_clip(samples: Samples, path: Path) -> float:
    """Encode samples so that the decoded clip has the corpus's RMS level.

    Returns
    -------
    float
        RMS level of the decoded clip, dB re full scale.

    Raises
    ------
    RuntimeError
        If the level cannot be reached without clipping or the decoded length is not right.
    """
    # The codec changes the level a little, more for some sounds than for others, so that what is
    # normalised is what comes out of the decoder. With the gain its decisions, and so the level,
    # jump by some 0.01 dB: neighbouring gains are tried, and the best one is kept.
    unit = samples / _rms(samples)
    offset_db = _decoded_level(unit, RMS_DB, path) - RMS_DB
    gains_db = [RMS_DB - offset_db + step for step in GAIN_STEPS_DB]
    errors_db = [abs(_decoded_level(unit, gain_db, path) - RMS_DB) for gain_db in gains_db]
    level = _decoded_level(unit, gains_db[int(np.argmin(errors_db))], path)
    if abs(level - RMS_DB) > RMS_TOLERANCE_DB:
        raise RuntimeError(
            f"wanted {path.name} within {RMS_TOLERANCE_DB} dB of {RMS_DB} dB RMS, got "
            f"{level:.4f}; raise RMS_TOLERANCE_DB"
        )
    return level


def _decoded_level(unit: Samples, gain_db: float, path: Path) -> float:
    """Write samples of unit RMS at a gain; RMS level of what is read back, in dB."""
    return 20 * float(np.log10(_rms(_encode_and_decode(unit * 10 ** (gain_db / 20), path))))


def _encode_and_decode(samples: Samples, path: Path) -> Samples:
    """Write a clip, read it back, and make sure that it is whole and does not clip."""
    _encode(samples, path)
    decoded, rate = soundfile.read(path, dtype="float32")
    if rate != RATE or decoded.shape != (SECONDS * RATE,):
        raise RuntimeError(
            f"wanted {SECONDS * RATE} samples at {RATE} Hz from {path.name}, got "
            f"{decoded.shape} at {rate}; check the versions of av and libsndfile"
        )
    if np.abs(decoded).max() >= 1:
        raise RuntimeError(
            f"wanted {path.name} below full scale at {RMS_DB} dB RMS, got peak "
            f"{np.abs(decoded).max():.3f}; lower RMS_DB"
        )
    return np.asarray(decoded)


def _render(midi: mido.MidiFile, sound_font: str, stem: Path) -> Samples:
    """Ten seconds of a MIDI file through fluidsynth, stereo mixed down, at ``RATE``."""
    font, package = SOUND_FONT_FILES[sound_font]
    if not Path(font).exists():
        raise RuntimeError(
            f"wanted the sound font {font}, got no such file; run: apt-get install {package}"
        )
    program = shutil.which("fluidsynth")
    if program is None:
        raise RuntimeError(
            "wanted the program fluidsynth, got none on PATH; run: apt-get install fluidsynth"
        )
    midi_path, wave_path = stem.with_suffix(".mid"), stem.with_suffix(".wav")
    midi.save(midi_path)
    # No reverb and no chorus: dry sound is the same on every run. A low gain keeps the
    # synthesiser's output, which is float here, from being limited.
    options = ["-ni", "-R", "0", "-C", "0", "-g", "0.3", "-r", str(RENDER_RATE)]
    # Load only the samples that are played: a compressed font takes seconds to unpack whole.
    options += ["-o", "synth.dynamic-sample-loading=1"]
    options += ["-O", "float", "-T", "wav", "-F", str(wave_path)]
    done = subprocess.run(
        [program, *options, font, str(midi_path)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not wave_path.exists():
        raise RuntimeError(
            f"wanted fluidsynth to render {midi_path.name}, got exit status {done.returncode}: "
            f"{done.stderr.strip()[-300:]}; check the installation of fluidsynth"
        )
    stereo, _ = soundfile.read(wave_path, dtype="float32", always_2d=True)
    mono = soxr.resample(stereo.mean(axis=1), RENDER_RATE, RATE)[: SECONDS * RATE]
    if len(mono) < SECONDS * RATE or not mono.any():
        raise RuntimeError(
            f"wanted {SECONDS} s of sound in {wave_path.name}, got {len(mono) / RATE:.2f} s, "
            f"peak {np.abs(mono).max():.3g}; check the MIDI file beside it"
        )
    return np.asarray(mono, dtype=np.float32)


def _encode(samples: Samples, path: Path) -> None:
    """Write Ogg Opus with a fixed stream serial, constant bit rate and no version strings."""
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(
            "libopus", rate=RATE, options={"vbr": "off", "application": "audio"}
        )
        stream.layout = "mono"
        stream.bit_rate = BIT_RATE
        stream.codec_context.format = "flt"
        stream.codec_context.flags |= Flags.bitexact
        frame = av.AudioFrame.from_ndarray(
            samples.astype(np.float32)[None], format="flt", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
