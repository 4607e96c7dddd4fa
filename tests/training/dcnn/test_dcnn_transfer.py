"""Features of segments, and the classifier over them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from dcnn_frames import LENGTHS, narrow, toy_clips, toy_network, toy_tasks

from dcnn_toys import random_dcnn, random_network
from segue import load
from segue.datasets import Manifest
from segue.encoders.dcnn import DcnnEncoder, begins
from segue.errors import SegueError, UsageError
from segue.extraction import extract_frames, file_facts, frame_recipe
from segue.seeds import generator
from segue.store import FrameTable
from segue.training.clips import Clips
from segue.training.dcnn import features as room
from segue.training.dcnn.features import segments_of
from segue.training.dcnn.transfer import SegmentMLP


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return toy_clips(tmp_path_factory.mktemp("frames"))


@pytest.mark.parametrize("count", [None, 1, 4])
def test_segments_in_any_batch_have_the_same_features(
    clips: Clips, count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = toy_network(clips, toy_tasks(), narrow(sharing="first")).eval()
    rows = [30, 0, 12, 39]  # the second is shorter than a segment
    found, track_of = segments_of(network, clips, rows, count)
    assert np.bincount(track_of).tolist() == [count or max(1, LENGTHS[n] // 43) for n in rows]
    expected = []
    for clip in rows:
        frames = torch.from_numpy(np.array(clips.frames(clip)))
        frames = frames if len(frames) >= 43 else frames.repeat(3, 1)[:43]
        for begin in begins(LENGTHS[clip], count).tolist():
            with torch.inference_mode():
                expected.append(network.features(frames[None, begin : begin + 43]))
    np.testing.assert_allclose(found, torch.cat(expected).numpy(), rtol=1e-4, atol=1e-5)
    seen: list[tuple[str, int, int]] = []
    monkeypatch.setattr(room, "AT_ONCE", 3)
    again, _ = segments_of(
        network.train(), clips, rows, count, watch=lambda *step: seen.append(step)
    )
    np.testing.assert_allclose(again, found, rtol=1e-4, atol=1e-5)
    assert seen[-1] == ("segments", len(found), len(found))
    with pytest.raises(UsageError, match="numbers of clips"):
        segments_of(network, clips, [])


@pytest.mark.parametrize("at_once", [64, 4])
def test_features_of_a_clip_depend_on_that_clip_alone(
    clips: Clips, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit: not on the clips beside it, nor on their order."""
    monkeypatch.setattr(room, "AT_ONCE", at_once)
    network = random_network(width=1.0)
    rows = [0, 8, 17, 30, 39, 12]  # one segment to eight
    together, track_of = segments_of(network, clips, rows)
    backwards, whose = segments_of(network, clips, rows[::-1])
    for place, clip in enumerate(rows):
        alone, _ = segments_of(network, clips, [clip])
        assert np.array_equal(alone, together[track_of == place])
        assert np.array_equal(alone, backwards[whose == len(rows) - 1 - place])


def test_segments_of_stored_frames_are_those_that_the_encoder_hears(
    tmp_path: Path, clip: Callable[..., np.ndarray]
) -> None:
    """From files, through the front end and the table, and from samples."""
    lengths = (0.5, 4.0, 33.0)
    rows = []
    for number, seconds in enumerate(lengths):
        soundfile.write(tmp_path / f"{number}.wav", clip(number, seconds), 22050, subtype="FLOAT")
        rows.append({"path": str(tmp_path / f"{number}.wav")})
    recipe = frame_recipe("kim2018")
    table = FrameTable.open_or_create(tmp_path / "frames", recipe.build().kind)
    manifest = Manifest.from_rows(rows)
    extract_frames(manifest, table, recipe, workers=1)
    stored = table.find([file_facts(track) for track in manifest.tracks()])
    clips = Clips(table, [one for one in stored if one is not None])
    heard = random_dcnn(tmp_path / "dcnn").build()
    assert isinstance(heard, DcnnEncoder)
    found, track_of = segments_of(random_network(), clips, range(3))
    for number in range(3):
        audio = load(tmp_path / f"{number}.wav", rate=22050)
        mine = found[track_of == number]
        np.testing.assert_allclose(heard.segments(audio), mine, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(heard.features(audio), mine.mean(0), rtol=1e-4, atol=1e-4)


def toy_segments(seed: int = 0, tracks: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments around a place for each of three classes; tracks have one to five, mixed up."""
    draws = generator(seed, "toy segments")
    labels = np.array(["x", "y", "z"])[np.arange(tracks) % 3]
    track_of = draws.permutation(np.repeat(np.arange(tracks), draws.integers(1, 6, tracks)))
    places = 1.5 * generator(0, "places").normal(size=(3, 8))
    noise = draws.normal(size=(len(track_of), 8))
    return (places[track_of % 3] + noise).astype(np.float32), track_of, labels


@pytest.mark.parametrize("odd", [{}, {"segments": "all"}, {"standardise": True}])
def test_classes_are_learned_and_averaged_over_a_track(odd: dict[str, Any]) -> None:
    X, track_of, labels = toy_segments()
    model = SegmentMLP(hidden=64, **odd).fit(X, track_of, labels)
    assert model.classes_.tolist() == ["x", "y", "z"]
    Z, of, due = toy_segments(1)
    likely = model.predict_proba(Z, of)
    assert likely.shape == (60, 3)
    np.testing.assert_allclose(likely.sum(axis=1), 1.0)
    assert (model.predict(Z, of) == due).mean() > 0.9
    units = (Z - model.mean_) * model.scale_ if odd.get("standardise") else Z
    standard = (X.mean(axis=0), 1 / X.std(axis=0)) if odd.get("standardise") else (0.0, 1.0)
    np.testing.assert_allclose(model.mean_, np.broadcast_to(standard[0], 8), atol=1e-6)
    np.testing.assert_allclose(model.scale_, np.broadcast_to(standard[1], 8), rtol=1e-5)
    with torch.inference_mode():
        each = model.network_.eval()(torch.from_numpy(units)).softmax(dim=1).numpy()
    by_hand = np.stack([each[of == n].mean(axis=0) for n in range(60)])
    np.testing.assert_allclose(likely, by_hand, atol=1e-6)


def test_a_seed_is_a_model() -> None:
    X, track_of, labels = toy_segments()
    likely = [
        SegmentMLP(hidden=32, epochs=3, seed=seed)
        .fit(X, track_of, labels)
        .predict_proba(X, track_of)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(likely[0], likely[1])
    assert not np.array_equal(likely[0], likely[2])


def test_standard_units_of_many_segments() -> None:
    """Over several blocks; what never changes is not blown up."""
    X = generator(0, "many").normal(3.0, 2.0, (10_000, 3)).astype(np.float32)
    X[:, 1] = 0.1
    model = SegmentMLP(hidden=2, epochs=1, batch=5000, standardise=True)
    model.fit(X, np.arange(10_000) % 4, ["a", "b"] * 2)
    np.testing.assert_allclose(model.mean_, X.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(model.scale_[::2], 1 / X[:, ::2].std(axis=0), rtol=1e-5)
    assert model.scale_[1] == 1.0


@pytest.mark.parametrize("standardise", [False, True])
def test_the_features_are_not_copied(standardise: bool) -> None:
    X = np.zeros((40_000, 256), np.float32)
    X[::2] = 1.0
    tracemalloc.start()
    try:
        model = SegmentMLP(hidden=2, epochs=1, batch=4096, standardise=standardise)
        model.fit(X, np.arange(len(X)), np.arange(len(X)) % 2)
        model.predict_proba(X, np.arange(len(X)))
        assert tracemalloc.get_traced_memory()[1] < X.nbytes
    finally:
        tracemalloc.stop()


def test_random_numbers_of_others_go_on_as_they_would() -> None:
    before = torch.random.get_rng_state()
    X, track_of, labels = toy_segments()
    SegmentMLP(hidden=4, epochs=2).fit(X, track_of, labels)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("epochs", "rate"), [(50, 1e20), (1, 1e20), (1, 1e30)], ids=["losses", "say", "weights"]
)
def test_weights_beyond_all_bounds_are_told(epochs: int, rate: float) -> None:
    """In any of three ways: a loss, or the last step's weights, or what they say."""
    X, track_of, labels = toy_segments()
    model = SegmentMLP(hidden=8, epochs=epochs, learning_rate=rate)
    with pytest.raises(SegueError, match="a lower learning rate"):
        model.fit(1e9 * X, track_of, labels).predict(X, track_of)


def test_an_epoch_hears_one_segment_of_every_track_or_all() -> None:
    _, track_of, _ = toy_segments()
    one, every = SegmentMLP(batch=16), SegmentMLP(batch=16, segments="all")
    heard = [np.concatenate(list(one._batches(track_of, epoch))) for epoch in (1, 2)]
    assert all(sorted(track_of[chosen]) == list(range(60)) for chosen in heard)
    assert not np.array_equal(heard[0], heard[1])
    assert sorted(np.concatenate(list(every._batches(track_of, 1)))) == list(range(len(track_of)))
    assert {len(batch) for batch in one._batches(track_of, 1)} == {16, 12}
    counts = np.zeros(len(track_of))
    for epoch in range(500):
        counts[np.concatenate(list(one._batches(track_of, epoch)))] += 1
    expected = 500 / np.bincount(track_of)[track_of]
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"X": np.zeros((0, 3), np.float32), "t": []}, "finite features"),
        ({"X": np.zeros(4, np.float32)}, "finite features"),
        ({"X": np.float32([[np.nan]] * 4)}, "4 numbers that are not finite"),
        ({"t": [0, 1, 2]}, "finite features"),
        ({"t": [0, 1, 2, -1]}, "finite features"),
        ({"t": [0.0, 0.5, 1.0, 1.5]}, "finite features"),
        ({"t": list("abcd")}, "finite features"),
        ({"t": [10**11] * 4}, "none of track 0"),
        ({"t": [0, 1, 3, 3], "y": ["a", "b", "a", "b"]}, "none of track 2"),
        ({"y": ["a", "b"]}, "a label for each of 4 tracks"),
        ({"y": ["a"] * 4}, "two classes"),
    ],
)
def test_what_cannot_be_learned_is_refused(change: dict[str, Any], wanted: str) -> None:
    given = {"X": np.ones((4, 2), np.float32), "t": [0, 1, 2, 3], "y": ["a", "b"] * 2, **change}
    with pytest.raises(UsageError, match=wanted):
        SegmentMLP(epochs=1).fit(given["X"], given["t"], given["y"])


@pytest.mark.parametrize(
    "odd",
    [{"hidden": 0}, {"dropout": 1.0}, {"epochs": 0}, {"batch": 0}, {"segments": "some"}],
)
def test_settings_that_make_no_sense_are_refused(odd: dict[str, Any]) -> None:
    X, track_of, labels = toy_segments()
    with pytest.raises(UsageError, match="Choose others"):
        SegmentMLP(**odd).fit(X, track_of, labels)


def test_other_features_are_refused() -> None:
    X, track_of, labels = toy_segments()
    model = SegmentMLP(hidden=4, epochs=1).fit(X, track_of, labels)
    with pytest.raises(UsageError, match="segments of 8 features"):
        model.predict_proba(X[:, 1:], track_of)


def test_a_missing_device_is_told(tmp_path: Path) -> None:
    X, track_of, labels = toy_segments()
    with pytest.raises(UsageError, match="a device that torch can use"):
        SegmentMLP(device="cuda:99").fit(X, track_of, labels)
