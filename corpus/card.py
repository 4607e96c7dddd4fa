"""The card of the demo corpus: what is in it, where it comes from, what was checked."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from confounds import FOLDS, REPEATS, Finding, find_confounds, read_manifest, tempo_r2
from design import MELODIES, STYLES, TEMPO_RANGE, WITHOUT_BASS, WITHOUT_DRUMS, Clip
from synthesis import BIT_RATE, MELODY_DB, RATE, RMS_DB, RMS_TOLERANCE_DB, SOUND_FONT_FILES
from tunes import Tune

DEBIAN_PACKAGES = ("mma", "fluidsynth", *(package for _, package in SOUND_FONT_FILES.values()))
PYTHON_PACKAGES = ("music21", "mido", "av", "soundfile", "soxr", "numpy", "scikit-learn")

TITLE = """\
# Demo corpus

{clips} clips of 10 s of synthesised music ({megabytes:.1f} MB): {pieces} public-domain tunes, each
played in three of {styles} accompaniment styles by General MIDI instruments. Rendered by
`corpus/render.py` in segue's repository. It exists so that segue can show its whole pipeline
without a download; it says nothing about how well an encoder does on real music.

Licence: MIT, as segue itself; the notices of the sound fonts below go with it.

## Labels (`manifest.csv`)

| column | meaning |
|---|---|
| `path`, `id` | the clip, relative to the manifest; the id is a running number in random order |
| `style` | class, {styles} styles with {per_style} clips each |
| `instruments` | tags with `;` between: the General MIDI families that play two notes or more |
| `tempo` | beats per minute, for regression |
| `piece` | group: the tune; keep it on one side of every split |
| `groove`, `melody`, `key`, `sound_font`, `rms_db`, `source` | how the clip was made |
"""

DESIGN = """\
## Design

- Every piece is in exactly three different styles, so that the piece does not tell the style; the
  three clips start at different thirds of the tune and have keys drawn at random.
- Within each style the same packs are dealt out: five clips per sound font and per groove; fifteen
  log-equal steps of tempo from {low:.0f} to {high:.0f} beats per minute with one clip each, placed
  at random inside its step; {melodies} melody instruments with two clips each, one of them with
  one (another one in each style); {drums} clips without drums and {bass} without bass.
- Each chord track of the accompaniment keeps mma's voice or, one time in three, takes one
  from a list that is the same for all styles; the bass likewise.
- Meter: 4/4 and 3/4 tunes are stretched into the style's bar. For a waltz a bar of 4/4 becomes two
  bars (beats 1 and 3 last twice as long) and a pulse of 6/8 becomes a bar; for the other styles
  the first beat of a 3/4 bar lasts twice as long, and 6/8 runs as triplets, two bars in one.
- Swing delays the second half of each beat of the melody to 5/8.
- Melody and accompaniment are rendered apart and mixed with the melody {melody_db:+.0f} dB (RMS)
  against the rest; the mix is scaled until the *decoded* clip has {rms:.0f} dB RMS within
  {tolerance} dB. No reverb, no fade.
- Ogg Opus, mono, {rate} Hz, {bit_rate:.0f} kbit/s at constant rate: all files have the same size
  and decode to exactly 240000 samples.
"""

SOURCES = """\
## Sources and licences

Tunes. All are in the public domain; what decides is the licence of the encoding. {own} were
written down for segue in `corpus/tunes.abc`, in plain settings. {music21} come from the music21
corpus, from files that themselves say public domain or CC0. The other files there were left out:
the ABC collections (Ryan's Mammoth, O'Neill's 1850, Aird's Airs, Nottingham) and the Bach chorales
carry no grant to third parties beyond the encoders' permission to music21, the Essen folk songs
are non-commercial, and CC BY or CC BY-SA files (Corelli, Ciconia, Clara Schumann) would put a
condition on the clips made of them.

{tunes}
Sound fonts, all under the MIT licence (notices as in the Debian packages):

- FluidR3_GM: copyright 2000-2002, 2008 Frank Wen; made in part from public-domain samples and with
  the people its read-me names. Package fluid-soundfont-gm.
- FluidR3Mono_GM: the above; mono version copyright 2014-2017 Michael Cowgill; temple blocks
  copyright 2002 Ethan Winer; drumline cymbals copyright 2016 Michael Schorsch. Package
  fluidr3mono-gm-soundfont.
- MuseScore_General_Lite: the above; adaptation copyright 2018-2021 S. Christian Collins, with CC0
  and public-domain samples. Package musescore-general-soundfont-small.

Programs. mma and its groove library are GPL-2+ (copyright Bob van der Poel), fluidsynth is
LGPL-2.1+; neither is part of segue and no file of theirs is in the repository. mma's manual puts
the program, its documentation and its library under the GPL and claims nothing on the MIDI files
it writes; it describes their use on stage and in studios. What remains of a groove in a clip is a
rhythm figure with other chords, partly other voices and random timing, as sound.
"""

CONFOUNDS = """\
## What tells the style, and what does not

Accuracy of telling the style, {folds}-fold cross-validation with whole pieces held out, mean of
{repeats} shuffles of the folds. Chance is {chance:.3f} and its standard error on {clips} clips
{error:.3f}; the limit is chance plus two standard errors, {limit:.3f}. Sound font, melody
instrument and tempo come from the same pack in every style. What of a pack is in the four training
folds is missing in the fifth, so that a model guesses wrong more often than by chance; such figures
far below chance are the mark of an exact balance.

{table}
Rows marked "no" are not nuisances to be balanced away: how peaky or how bright a mix is belongs to
the style's sound. Peak level is listed because it is easily mistaken for loudness.

Log tempo from 16 lags of the autocorrelation of spectral flux, linear model, pieces held out:
R2 {tempo_r2:.2f}.
"""

RENDERING = """\
## Rendering it again

`python corpus/render.py`, see `corpus/README.md`; `--check` compares with the committed files. The
clips are byte for byte the same on one machine with one set of versions; other versions of
fluidsynth, libopus or soxr can change the last bits. Made with:

{versions}
"""


def write_card(folder: Path, clips: list[Clip], tunes: list[Tune], dropped: dict[str, int]) -> None:
    """Write ``CARD.md`` from the finished clips and manifest.

    Parameters
    ----------
    folder : pathlib.Path
        Holds ``manifest.csv`` and ``audio``.
    clips : list of Clip
    tunes : list of Tune
    dropped : dict
        Tags left out of the manifest, with their number of clips.
    """
    rows = read_manifest(folder)
    size = sum(path.stat().st_size for path in (folder / "audio").iterdir())
    low, high = TEMPO_RANGE
    own = sum(tune.encoder == "segue" for tune in tunes)
    text = [
        TITLE.format(
            clips=len(clips),
            megabytes=size / 1e6,
            pieces=len(tunes),
            styles=len(STYLES),
            per_style=len(clips) // len(STYLES),
        ),
        _counts(rows, dropped),
        DESIGN.format(
            low=low,
            high=high,
            melodies=len(MELODIES),
            drums=WITHOUT_DRUMS,
            bass=WITHOUT_BASS,
            melody_db=MELODY_DB,
            rms=RMS_DB,
            tolerance=RMS_TOLERANCE_DB,
            rate=RATE,
            bit_rate=BIT_RATE / 1000,
        ),
        SOURCES.format(own=own, music21=len(tunes) - own, tunes=_tune_table(tunes, rows)),
        _confounds(folder, len(clips)),
        RENDERING.format(versions=_versions()),
    ]
    (folder / "CARD.md").write_text("\n".join(text), encoding="utf-8")


def _counts(rows: list[dict[str, str]], dropped: dict[str, int]) -> str:
    styles = [style.name for style in STYLES]
    tags = Counter((tag, row["style"]) for row in rows for tag in row["instruments"].split(";"))
    names = sorted({tag for tag, _ in tags})
    table = _table(
        ["instrument", "clips", *styles],
        [
            [name, sum(tags[name, s] for s in styles), *(tags[name, s] for s in styles)]
            for name in names
        ],
    )
    left_out = ", ".join(f"{tag} ({count})" for tag, count in dropped.items()) or "none"
    tempos = [float(row["tempo"]) for row in rows]
    return (
        "Clips per instrument tag, in all and by style. Tags on fewer than 8 or more than 112 "
        f"clips are\nleft out: {left_out}.\n\n{table}\n"
        f"Tempo: {min(tempos)} to {max(tempos)} beats per minute, median {np.median(tempos):.0f}.\n"
    )


def _tune_table(tunes: list[Tune], rows: list[dict[str, str]]) -> str:
    styles: dict[str, list[str]] = {tune.name: [] for tune in tunes}
    for row in rows:
        styles[row["piece"]].append(row["style"])
    return _table(
        ["piece", "title", "origin", "encoding", "encoder", "licence of the encoding", "styles"],
        [
            [t.name, t.title, t.origin, t.source, t.encoder, t.licence, ", ".join(styles[t.name])]
            for t in tunes
        ],
    )


def _confounds(folder: Path, clips: int) -> str:
    findings = find_confounds(folder)
    first = findings[0]
    return CONFOUNDS.format(
        folds=FOLDS,
        repeats=REPEATS,
        chance=first.chance,
        error=first.standard_error,
        clips=clips,
        limit=first.limit,
        table=_table(
            ["told from", "logistic regression", "random forest", "must be at chance", "is"],
            [_finding_row(finding) for finding in findings],
        ),
        tempo_r2=tempo_r2(folder),
    )


def _finding_row(finding: Finding) -> list[str]:
    best = max(finding.accuracy.values())
    return [
        finding.feature,
        f"{finding.accuracy['logistic']:.3f}",
        f"{finding.accuracy['forest']:.3f}",
        "yes" if finding.required else "no",
        "above" if best > finding.limit else "at chance",
    ]


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _versions() -> str:
    lines = []
    for package in DEBIAN_PACKAGES:
        query = ["dpkg-query", "--show", "--showformat=${Version}", package]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        lines.append(f"- {package} {done.stdout.strip() or 'not from a Debian package'}")
    lines += [f"- {package} {version(package)}" for package in PYTHON_PACKAGES]
    return "\n".join(lines)
