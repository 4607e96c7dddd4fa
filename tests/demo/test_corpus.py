"""The demo corpus: what its manifest promises, and that nuisances do not tell the style.

The measurements are made here from the committed audio, apart from the code that rendered it.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CORPUS = Path(__file__).parents[2] / "src" / "segue" / "demo" / "corpus"
RATE = 24_000
CLIPS, STYLES, PIECES, SECONDS = 120, 8, 40, 10
TARGET_DB = -22.0

CLASSIFIERS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "forest": RandomForestClassifier(50, min_samples_leaf=3, random_state=1),
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (CORPUS / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def audio(rows):
    """Decoded samples of all clips, shape (120, 240000), in manifest order."""
    clips = []
    for row in rows:
        samples, rate = soundfile.read(CORPUS / row["path"], dtype="float64")
        assert rate == RATE, row["id"]
        assert samples.shape == (SECONDS * RATE,), row["id"]
        clips.append(samples)
    return np.array(clips)


@pytest.fixture(scope="module")
def styles(rows):
    return np.array([row["style"] for row in rows])


@pytest.fixture(scope="module")
def pieces(rows):
    return np.array([row["piece"] for row in rows])


def one_hot(values):
    return np.array([[float(v == level) for level in sorted(set(values))] for v in values])


def style_accuracy(x, styles, pieces, classifier):
    """Mean accuracy over five shuffles of five folds with whole pieces held out."""
    scores = []
    for shuffle in range(5):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=100 + shuffle)
        guess = cross_val_predict(CLASSIFIERS[classifier], x, styles, groups=pieces, cv=folds)
        scores.append(np.mean(guess == styles))
    return float(np.mean(scores))


def chance_limit():
    """Chance plus two standard errors on all clips."""
    chance = 1 / STYLES
    return chance + 2 * np.sqrt(chance * (1 - chance) / CLIPS)


def log_spectra(audio, hop):
    """Log power in 24 bands, shape (clips, frames, bands)."""
    edges = np.geomspace(2, 512, 25).astype(int)
    spectra = []
    for samples in audio:
        frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::hop]
        power = np.abs(np.fft.rfft(frames * np.hanning(1024), axis=1)) ** 2
        bands = [power[:, a : max(b, a + 1)].mean(1) for a, b in pairwise(edges)]
        spectra.append(np.log(np.array(bands).T + 1e-8))
    return np.array(spectra)


@pytest.fixture(scope="module")
def timbre(audio):
    """Mean and standard deviation of the log band powers, shape (clips, 48)."""
    spectra = log_spectra(audio, hop=512)
    return np.hstack([spectra.mean(axis=1), spectra.std(axis=1)])


# What the manifest says


def test_every_listed_file_is_there_and_no_other(rows):
    listed = {row["path"] for row in rows}
    found = {f"audio/{path.name}" for path in (CORPUS / "audio").iterdir()}
    assert listed == found
    assert len(rows) == CLIPS
    assert len({row["id"] for row in rows}) == CLIPS


def test_folder_holds_only_clips_manifest_and_card():
    assert {path.name for path in CORPUS.iterdir()} == {"audio", "manifest.csv", "CARD.md"}


def test_corpus_is_three_to_five_megabytes():
    size = sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file())
    assert 3e6 < size < 5e6


def test_styles_are_exactly_balanced(styles):
    assert set(Counter(styles).values()) == {CLIPS // STYLES}
    assert len(set(styles)) == STYLES


def test_rows_are_not_sorted_by_style(styles):
    neighbours = np.mean(styles[1:] == styles[:-1])
    assert neighbours < 0.3


def test_paths_do_not_name_labels(rows):
    for row in rows:
        assert row["style"] not in row["path"]
        assert row["piece"] not in row["path"]


def test_each_piece_is_in_three_different_styles(rows):
    styles_of = defaultdict(list)
    for row in rows:
        styles_of[row["piece"]].append(row["style"])
    assert len(styles_of) == PIECES
    assert all(len(s) == len(set(s)) == 3 for s in styles_of.values())


def test_group_folds_never_share_a_piece(styles, pieces):
    for train, test in StratifiedGroupKFold(5).split(styles, styles, pieces):
        assert not set(pieces[train]) & set(pieces[test])
        assert set(styles[test]) == set(styles)


def test_sound_fonts_are_dealt_equally_to_all_styles(rows):
    table = Counter((row["style"], row["sound_font"]) for row in rows)
    fonts = {row["sound_font"] for row in rows}
    assert len(fonts) >= 2
    assert len(table) == STYLES * len(fonts)
    assert len(set(table.values())) == 1


def test_melody_instruments_are_spread_over_all_styles(rows):
    table = Counter((row["style"], row["melody"]) for row in rows)
    assert len(table) == STYLES * len({row["melody"] for row in rows})
    assert max(table.values()) - min(table.values()) <= 1


def test_tempo_has_the_same_range_in_every_style(rows):
    tempos = defaultdict(list)
    for row in rows:
        tempos[row["style"]].append(float(row["tempo"]))
    everything = np.concatenate(list(tempos.values()))
    assert everything.min() >= 80
    assert everything.max() <= 160
    medians = [np.median(t) for t in tempos.values()]
    assert max(medians) - min(medians) < 8


def test_instrument_tags_are_usable(rows, styles):
    counts = Counter(tag for row in rows for tag in row["instruments"].split(";"))
    assert len(counts) >= 6
    assert all(8 <= count <= 112 for count in counts.values())
    # A tag that a style always or never has would be the style under another name.
    for tag in counts:
        has = np.array([tag in row["instruments"].split(";") for row in rows])
        shares = [has[styles == style].mean() for style in sorted(set(styles))]
        assert sum(0 < share < 1 for share in shares) >= STYLES / 2, tag


def test_every_source_is_on_the_card(rows):
    card = (CORPUS / "CARD.md").read_text(encoding="utf-8")
    for row in rows:
        assert row["piece"] in card
        assert row["source"] in card
        assert row["sound_font"] in card


# What is heard


def test_all_clips_have_the_same_level_and_do_not_clip(rows, audio):
    level = 20 * np.log10(np.sqrt(np.mean(audio**2, axis=1)))
    assert np.abs(level - TARGET_DB).max() < 0.05
    assert np.abs(level - [float(row["rms_db"]) for row in rows]).max() < 0.05
    assert np.abs(audio).max() < 1


def test_music_starts_at_once_and_does_not_fade(audio):
    level = 10 ** (TARGET_DB / 20)
    for part in (audio[:, : RATE // 4], audio[:, -RATE // 2 :]):
        assert np.sqrt(np.mean(part**2, axis=1)).min() > 0.1 * level


def test_no_clip_is_silent_in_part(audio):
    seconds = audio.reshape(CLIPS, SECONDS, RATE)
    assert np.sqrt(np.mean(seconds**2, axis=2)).min() > 0.15 * 10 ** (TARGET_DB / 20)


def test_no_two_clips_are_the_same(timbre):
    z = (timbre - timbre.mean(axis=0)) / timbre.std(axis=0)
    distance = np.linalg.norm(z[:, None] - z[None], axis=2)
    assert distance[~np.eye(CLIPS, dtype=bool)].min() > 0.5


# What tells the style


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize(
    "nuisance",
    ["loudness", "length", "size", "sound font", "loudness, length and sound font", "tempo"],
)
def test_nuisance_does_not_tell_style(rows, audio, styles, pieces, nuisance, classifier):
    loudness = 10 * np.log10(np.mean(audio**2, axis=1, keepdims=True))
    length = np.array([[soundfile.info(CORPUS / row["path"]).duration] for row in rows])
    size = np.array([[float((CORPUS / row["path"]).stat().st_size)] for row in rows])
    font = one_hot([row["sound_font"] for row in rows])
    x = {
        "loudness": loudness,
        "length": length,
        "size": size,
        "sound font": font,
        "loudness, length and sound font": np.hstack([loudness, length, size, font]),
        "tempo": np.array([[float(row["tempo"])] for row in rows]),
    }[nuisance]
    assert style_accuracy(x, styles, pieces, classifier) <= chance_limit()


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_check_would_find_a_leak(audio, styles, pieces, classifier):
    # The control: the same check on loudness that a style does move, by half a decibel and more.
    rng = np.random.default_rng(0)
    offsets = dict(zip(sorted(set(styles)), np.arange(STYLES) * 0.5, strict=True))
    loudness = 10 * np.log10(np.mean(audio**2, axis=1))
    leaky = loudness + [offsets[style] for style in styles] + rng.normal(0, 0.5, CLIPS)
    assert style_accuracy(leaky[:, None], styles, pieces, classifier) > chance_limit()


def test_timbre_tells_style_but_not_all_of_it(timbre, styles, pieces):
    accuracy = style_accuracy(timbre, styles, pieces, "logistic")
    assert chance_limit() + 0.1 < accuracy < 0.95


def test_style_needs_its_labels(timbre, styles, pieces):
    shuffled = np.random.default_rng(3).permutation(styles)
    assert style_accuracy(timbre, shuffled, pieces, "logistic") < chance_limit()


def test_onsets_tell_something_of_the_tempo(rows, audio, pieces):
    log_tempo = np.log([float(row["tempo"]) for row in rows])
    flux = np.clip(np.diff(log_spectra(audio, hop=240), axis=1), 0, None).sum(axis=2)
    flux -= flux.mean(axis=1, keepdims=True)
    lags = range(16, 80, 2)  # hundredths of a second
    x = np.array([[np.mean(f[lag:] * f[:-lag]) / np.mean(f**2) for lag in lags] for f in flux])
    guess = cross_val_predict(Ridge(1e-2), x, log_tempo, groups=pieces, cv=GroupKFold(5))
    assert np.corrcoef(guess, log_tempo)[0, 1] > 0.3
