"""The contract of encoders: every registered one passes, whoever adds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from dcnn_toys import random_dcnn
from joint_toys import random_joint
from segue.audio import Audio
from segue.card import EncoderCard
from segue.datasets import Manifest
from segue.encoders import ENCODERS, Encoder, encoder
from segue.encoders.registry import add
from segue.errors import UsageError
from segue.extraction import Recipe, extract, file_facts
from segue.extraction import pool as pools
from segue.store import FeatureTable

TOLERANCE = 1e-5


# the same network and front end as another of the list, with other weights; and the slowest ones
OTHER_WEIGHTS = ("won2020-fcn-mtat", "won2020-fcn-jamendo", "musicnn-mtt", "vgg-mtt", "vgg-msd")
SLOW = (*OTHER_WEIGHTS, "essentia")


# added encoders: the architectures of folders that the list has none of, in each of their shapes
JOINT = ("joint", "joint-hidden", "joint-of-mfcc")
DCNN = {"dcnn-none": "none", "dcnn-first": "first", "dcnn-all": "all"}


def subjects() -> list[object]:
    return [
        *(
            pytest.param(known.name, marks=pytest.mark.long if known.name in SLOW else ())
            for known in ENCODERS
        ),
        *JOINT,
        *DCNN,
    ]


def add_joint(name: str, folder: Path) -> None:
    base = encoder("mfcc") if name.endswith("mfcc") else None
    hidden = 7 * name.endswith("hidden")
    add(random_joint(folder / name, name=name, hidden=hidden, base=base).path)


@pytest.fixture(scope="module", params=subjects())
def subject(
    request: pytest.FixtureRequest,
    pull_model: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Encoder:
    if request.param in JOINT:
        add_joint(request.param, tmp_path_factory.mktemp("joint"))
    elif request.param in DCNN:
        folder = tmp_path_factory.mktemp("dcnn") / request.param
        add(random_dcnn(folder, name=request.param, sharing=DCNN[request.param]).path)
    else:
        known = next(entry for entry in ENCODERS if entry.name == request.param)
        if known.extra:
            reason = f"the extra segue[{known.extra}] is not installed"
            pytest.importorskip(known.extra, reason=reason)
        if known.weights:
            pull_model(request.param)
    return encoder(request.param)


@pytest.fixture(scope="module")
def clips(subject: Encoder, clip: Callable[..., np.ndarray]) -> list[Audio]:
    """Of several lengths and loudnesses, one much louder than the others."""
    lengths = (2.0, 31.0, 0.7, 5.0)
    return [
        Audio(clip(n, seconds, subject.card.rate) * 10.0 ** (n - 2), subject.card.rate, f"clip {n}")
        for n, seconds in enumerate(lengths)
    ]


def close(a: np.ndarray, b: np.ndarray) -> None:
    scale = np.maximum(np.abs(b), 1.0)
    assert np.abs(a - b).max() <= TOLERANCE * scale.max(), np.abs(a - b).max()


def features(subject: Encoder, clips: list[Audio]) -> np.ndarray:
    return np.stack([subject.features(clip) for clip in clips])


def test_shape_dtype_and_finiteness(subject: Encoder, clips: list[Audio]) -> None:
    X = features(subject, clips)
    assert X.shape == (len(clips), subject.card.dim)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert len(np.unique(X, axis=0)) == len(clips)


def test_a_clip_in_any_batch_and_order_has_the_same_features(
    subject: Encoder, clips: list[Audio], tmp_path: Path
) -> None:
    """Alone, in one batch of all, in another order, and beside different neighbours."""
    alone = features(subject, clips)
    paths = []
    for number, clip in enumerate(clips):
        paths.append(tmp_path / f"{number}.wav")
        soundfile.write(paths[-1], clip.samples / 64, clip.rate, subtype="FLOAT")
    scaled = features(subject, [Audio(clip.samples / 64, clip.rate) for clip in clips])
    orders = [[0, 1, 2, 3], [3, 1, 0, 2], [2, 0]]
    for number, order in enumerate(orders):
        manifest = Manifest.from_rows([{"path": str(paths[n]), "id": str(n)} for n in order])
        table = FeatureTable.open_or_create(tmp_path / f"store{number}", subject.card)
        done = extract(manifest, table, Recipe(subject.card.label), encoder=subject, workers=0)
        assert done.computed == len(order), done.failures
        X, _ = table.matrix([file_facts(track) for track in manifest.tracks()])
        close(X, scaled[order])
    subject_batch = getattr(subject, "batch", None)
    if subject_batch is not None:  # a network's own batches, of every size
        chunks = [np.resize(clip.samples, round(29 * clip.rate)) for clip in clips]
        one_by_one = subject.encode_chunks(chunks)
        for size in (2, 3, 4):
            subject.batch = size
            close(subject.encode_chunks(chunks), one_by_one)
        subject.batch = subject_batch
    close(features(subject, clips), alone)


def test_any_number_of_workers_gives_the_same_features(
    subject: Encoder, clips: list[Audio], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "BATCH", 1)  # so that each worker gets some of four clips
    rows = []
    for number, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{number}.wav", clip.samples / 64, clip.rate, subtype="FLOAT")
        rows.append({"path": str(tmp_path / f"{number}.wav"), "id": str(number)})
    manifest, found = Manifest.from_rows(rows), []
    for workers in (1, 2):
        table = FeatureTable.open_or_create(tmp_path / f"store{workers}", subject.card)
        done = extract(manifest, table, Recipe(subject.card.label), workers=workers)
        assert done.computed == len(clips), done.failures
        found.append(table.matrix([file_facts(track) for track in manifest.tracks()])[0])
    close(found[1], found[0])


def test_threads_of_the_process_do_not_matter(subject: Encoder, clips: list[Audio]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = features(subject, clips)
        torch.set_num_threads(2)
        close(features(subject, clips), single)
    finally:
        torch.set_num_threads(before)


def test_building_it_again_gives_the_same_card_and_features(
    subject: Encoder, clips: list[Audio]
) -> None:
    again = encoder(subject.card.label)
    assert again.card.digest == subject.card.digest
    np.testing.assert_array_equal(again.features(clips[0]), subject.features(clips[0]))


def test_only_the_excerpt_is_heard(subject: Encoder, clips: list[Audio]) -> None:
    size = round(subject.card.excerpt.seconds * subject.card.rate)
    long = Audio(np.concatenate([clips[1].samples[:size], clips[0].samples]), subject.card.rate)
    cut = Audio(clips[1].samples[:size], subject.card.rate)
    np.testing.assert_array_equal(subject.features(long), subject.features(cut))


def test_all_chunks_are_the_mean_of_the_pieces(subject: Encoder, clips: list[Audio]) -> None:
    whole = encoder(subject.card.label, chunks=None)
    assert whole.card.digest != subject.card.digest
    size = round(subject.card.excerpt.seconds * subject.card.rate)
    pieces = [np.resize(clip.samples, size) for clip in clips[:2]]
    both = whole.features(Audio(np.concatenate(pieces), subject.card.rate))
    each = [subject.features(Audio(piece, subject.card.rate)) for piece in pieces]
    close(both, np.mean(each, axis=0))


def test_another_rate_is_refused(subject: Encoder) -> None:
    with pytest.raises(UsageError, match=rf"audio at {subject.card.rate} Hz.*got 48000 Hz"):
        subject.features(Audio(np.zeros(48000, np.float32), 48000))


def test_card_is_complete_and_survives_json(subject: Encoder) -> None:
    card = subject.card
    assert card.description
    assert card.licence
    assert card.training_data
    assert card.citation
    back = EncoderCard.from_json(json.loads(json.dumps(card.to_json())))
    assert back == card
    assert back.digest == card.digest


def test_layers_are_slices_of_the_whole(subject: Encoder, clips: list[Audio]) -> None:
    if not subject.card.layers:
        with pytest.raises(UsageError, match="no layers"):
            encoder(subject.card.name, layers=[1])
        return
    whole = subject.features(clips[0])
    assert sum(subject.widths.values()) == subject.card.dim
    part = encoder(f"{subject.card.name}@135")
    ends = dict(zip(subject.widths, np.cumsum(list(subject.widths.values())), strict=True))
    expected = np.concatenate([whole[ends[k] - subject.widths[k] : ends[k]] for k in (1, 3, 5)])
    close(part.features(clips[0]), expected)
    beyond = max(subject.card.layers) + 1
    for wrong in ([beyond], [], [2, 1], [1, 1]):
        with pytest.raises(UsageError, match="ascending layers among"):
            encoder(subject.card.name, layers=wrong)
