"""The rule of chunks: a long file is the mean of its pieces (docs/explanation/chunking.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.datasets import Manifest
from segue.encoders.protocol import mean_vector
from segue.extraction import Recipe
from segue.extraction.pool import run_here
from segue.extraction.worker import Task
from segue.store import Row

CHUNK = 29.0


def features(recipe: Recipe, rows: list[dict[str, str]]) -> np.ndarray:
    """Features of manifest rows, in their order."""
    tasks = [Task(track) for track in Manifest.from_rows(rows).tracks()]
    outcomes = [outcome for batch in run_here(tasks, recipe, recipe.build()) for outcome in batch]
    assert all(isinstance(outcome, Row) for outcome in outcomes), outcomes
    return np.stack([outcome.features for outcome in outcomes if isinstance(outcome, Row)])


def long_file(folder: Path, seconds: float, rate: int) -> str:
    """Noise whose loudness and colour change all the time."""
    draws = np.random.default_rng(0)
    samples = draws.normal(size=round(seconds * rate)) * 0.1
    samples = samples * (1.2 + np.sin(np.arange(len(samples)) / rate / 3))
    samples[1:] += samples[:-1] * np.linspace(0, 0.9, len(samples) - 1)
    soundfile.write(folder / "long.wav", samples / 4, rate, subtype="FLOAT")
    return str(folder / "long.wav")


@pytest.mark.parametrize("name", ["mfcc", "random-convnet"])
@pytest.mark.parametrize(
    ("rate", "tolerance"), [(12000, 0.0), (16000, 0.005), (44100, 0.005)], ids=str
)
@pytest.mark.parametrize("rest", [0.0, 14.0, 15.0], ids=["whole", "left out", "counts"])
def test_a_long_file_is_the_mean_of_its_pieces(
    tmp_path: Path, name: str, rate: int, tolerance: float, rest: float
) -> None:
    path = long_file(tmp_path, 4 * CHUNK + rest, rate)
    (whole,) = features(Recipe(name, chunks=None), [{"path": path}])
    rows = [
        {"path": path, "id": str(n), "start": str(n * CHUNK), "duration": str(CHUNK)}
        for n in range(4 + (2 * rest >= CHUNK))
    ]
    expected = mean_vector(features(Recipe(name, chunks=1), rows))
    assert np.abs(whole - expected).max() <= tolerance * np.abs(expected).max()
    # pieces of two chunks each, heard whole, are as good but for the last bit
    pairs = [dict(rows[n], duration=str(2 * CHUNK)) for n in (0, 2)]
    halves = mean_vector(features(Recipe(name, chunks=None), pairs))
    (four,) = features(Recipe(name, chunks=4), [{"path": path}])
    assert np.abs(four - halves).max() <= max(tolerance, 1e-6) * np.abs(halves).max()


def test_so_many_chunks_are_heard_as_asked(tmp_path: Path) -> None:
    path = long_file(tmp_path, 3 * CHUNK, 12000)
    first, two, three, whole = (
        features(Recipe("mfcc", chunks=chunks), [{"path": path}])[0] for chunks in (1, 2, 3, None)
    )
    assert not np.allclose(first, two)
    assert not np.allclose(two, three)
    np.testing.assert_array_equal(three, whole)
