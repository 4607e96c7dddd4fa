"""Which clips the demo corpus has: the crossed design of styles, pieces and nuisances.

Whatever must not tell a style (tempo, sound font, melody instrument, missing drums or bass, key)
is dealt out within each style from one and the same pack, so that every style has the same set.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tunes import Tune

SEED = 20130801


@dataclass(frozen=True)
class Style:
    """A groove family of mma; ``swing`` is where the middle of a beat falls in the melody."""

    name: str
    meter: str
    grooves: tuple[str, ...]
    swing: Fraction = Fraction(1, 2)


@dataclass(frozen=True)
class Melody:
    """A melody instrument: General MIDI program (0-127) and a comfortable middle pitch."""

    name: str
    program: int
    middle: int


@dataclass(frozen=True)
class Clip:
    """Everything that is decided about one clip before a note is written."""

    id: str
    tune: Tune
    style: Style
    groove: str
    third: int
    tempo: float
    transposition: int
    melody: Melody
    sound_font: str
    drums: bool
    bass: bool
    seed: int


STYLES = (
    Style("bossa_nova", "4/4", ("bossanova:BossaNova", "bossanova:BossaNova1Sus",
                                "bossanova:BossaNovaPlus")),
    Style("polka", "4/4", ("polka:Polka", "polka:Polka1", "polka:PolkaArp")),
    Style("rock", "4/4", ("8beat:8Beat", "60srock:60sRock", "basicrock:BasicRock4")),
    Style("salsa", "4/4", ("salsa:Salsa", "salsa:SalsaPlus", "mambo:Mambo")),
    Style("ska", "4/4", ("ska:Ska", "ska:SkaSus", "ska:SkaClap")),
    Style("swing", "4/4", ("swing:Swing", "swing:SwingWalk", "easyswing:EasySwingWalk"),
          Fraction(5, 8)),
    Style("tango", "4/4", ("tango:Tango", "tango:Tango1", "lighttango:LightTango")),
    Style("waltz", "3/4", ("waltz:Waltz", "vienesewaltz:VieneseWaltz",
                           "countrywaltz:CountryWaltz")),
)  # fmt: skip

MELODIES = (
    Melody("piano", 0, 74),
    Melody("vibraphone", 11, 74),
    Melody("accordion", 21, 74),
    Melody("violin", 40, 75),
    Melody("trumpet", 56, 70),
    Melody("alto_sax", 65, 68),
    Melody("clarinet", 71, 70),
    Melody("flute", 73, 79),
)

SOUND_FONTS = ("FluidR3_GM", "FluidR3Mono_GM", "MuseScore_General_Lite")

CLIPS_PER_STYLE = 15
TEMPO_RANGE = (80.0, 160.0)  # beats per minute
WITHOUT_DRUMS = 2  # clips of each style
WITHOUT_BASS = 2

# Styles of a piece, as steps round the circle of styles; one triple for each eight pieces. Taken
# round the circle each triple gives every style three clips, and together the five triples let
# every pair of styles share four or five pieces.
TRIPLES = ((0, 1, 3), (0, 1, 3), (0, 1, 4), (0, 2, 4), (0, 1, 3))


def plan_clips(tunes: list[Tune], seed: int = SEED) -> list[Clip]:
    """Plan the corpus: every piece in three different styles, every style with the same pack.

    Parameters
    ----------
    tunes : list of Tune
        Exactly eight for each triple of styles.
    seed : int

    Returns
    -------
    list of Clip
        In random order, so that a file's place tells nothing.
    """
    wanted = len(TRIPLES) * len(STYLES)
    if len(tunes) != wanted:
        raise ValueError(f"wanted {wanted} tunes, got {len(tunes)}; change TRIPLES or tunes.abc")
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    packs = {style.name: _deal(style, number, rng) for number, style in enumerate(STYLES)}
    clips = []
    for tune, triple in _pieces(tunes, rng):
        thirds = rng.sample(range(3), 3)
        for third, place in zip(thirds, triple, strict=True):
            style = STYLES[place]
            clips.append((tune, style, third, packs[style.name].pop()))
    rng.shuffle(clips)
    return [
        Clip(
            id=f"{number:04d}",
            tune=tune,
            style=style,
            third=third,
            transposition=rng.randint(-5, 6),
            seed=rng.randrange(1, 2**31),
            **dealt,
        )
        for number, (tune, style, third, dealt) in enumerate(clips, start=1)
    ]


def _pieces(tunes: list[Tune], rng: random.Random) -> list[tuple[Tune, tuple[int, ...]]]:
    """Pair each tune with its three styles; tunes of one meter go round the styles together."""
    shuffled = rng.sample(tunes, len(tunes))
    # Sorting by meter keeps jigs, say, from piling up in one style.
    shuffled.sort(key=lambda tune: tune.meter)
    styles = len(STYLES)
    return [
        (tune, tuple((number + step) % styles for step in TRIPLES[number // styles]))
        for number, tune in enumerate(shuffled)
    ]


def _deal(style: Style, number: int, rng: random.Random) -> list[dict[str, Any]]:
    """Nuisances of one style's clips, each drawn from a pack that all styles have in common."""
    count = CLIPS_PER_STYLE
    grooves = [style.grooves[i % len(style.grooves)] for i in range(count)]
    fonts = [SOUND_FONTS[i % len(SOUND_FONTS)] for i in range(count)]
    # Two clips for each melody instrument but one, another one in each style.
    melodies = [MELODIES[(number + i) % len(MELODIES)] for i in range(count)]
    low, high = TEMPO_RANGE
    tempos = [round(low * (high / low) ** ((i + rng.random()) / count), 1) for i in range(count)]
    missing = ["drums"] * WITHOUT_DRUMS + ["bass"] * WITHOUT_BASS
    missing += ["nothing"] * (count - len(missing))
    for pack in (grooves, fonts, melodies, tempos, missing):
        rng.shuffle(pack)
    return [
        {
            "groove": groove,
            "sound_font": font,
            "melody": melody,
            "tempo": tempo,
            "drums": gone != "drums",
            "bass": gone != "bass",
        }
        for groove, font, melody, tempo, gone in zip(
            grooves, fonts, melodies, tempos, missing, strict=True
        )
    ]
