"""A joint embedding learned from data sets whose classes are heard apart, and used."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from joint_runs import WARP, learn, named

from labelled_music import BANDS, RATE, data_set, sound
from segue.audio import load
from segue.audio.frontends import FrontEnd, preset
from segue.encoders import encoder
from segue.encoders.registry import add
from segue.errors import SegueError, UsageError
from segue.training.warp.settings import WarpSettings
from segue.workflows import build_index, embed, evaluate, fit, predict, similar
from segue.workflows.joint import Joint
from segue.workflows.jointfolder import open_embedding
from segue.workflows.labels import tag_clips
from segue.workflows.sourcetask import Origin


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("one"), list(BANDS))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    return data_set(folder, ["low", "noise"], tracks=6, prefix="t")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory, one: Path, two: Path) -> Joint:
    """From one label a track and from several, with a label name in both data sets."""
    out = tmp_path_factory.mktemp("learned") / "both"
    return learn([named("one", one), named("two", two), named("traits", two, "traits")], out)


def test_classes_of_other_spectra_are_learned(learned: Joint) -> None:
    best = max(point["valid_map"] for point in learned.curve)
    assert best > 0.95
    assert learned.encoder.training["scores"]["valid_map_one"] > 0.95
    assert learned.failures == ()
    assert [point["epoch"] for point in learned.curve] == [1, 2]
    assert learned.encoder.tags == (
        *("one: high", "one: low", "one: mid", "two: low", "two: noise"),
        *("traits: bright", "traits: dark", "traits: tonal"),
    )


def test_the_folder_and_its_page(learned: Joint) -> None:
    folder = learned.encoder.path
    for name in ("report.html", "plots/learning_curve.png", "curve.csv", "encoder.json"):
        assert (folder / name).stat().st_size > 0
    header, *points = (folder / "curve.csv").read_text().splitlines()
    assert header.startswith("epoch,train_loss,valid_map,valid_p1,valid_map_one")
    assert len(points) == 2
    page = (folder / "report.html").read_text()
    assert "12 tracks, 12 with several" in page
    assert "no artist on both sides" in page
    facts = json.loads((folder / "encoder.json").read_text())["training"]
    assert facts["data_sets"]["two"] == {
        **{"labels": 2, "tracks": 12, "unlabelled": 0, "rare": 0},
        "validation": 4,
    }
    assert not (folder / "run" / "frames").exists()
    assert not (folder / "run" / "checkpoint.safetensors").exists()


def test_held_out_tracks_are_held_out_of_all_their_data_sets(learned: Joint) -> None:
    facts = learned.encoder.training["data_sets"]
    assert facts["two"]["validation"] == facts["traits"]["validation"]


def test_an_unheard_clip_gets_its_labels_in_every_data_set(learned: Joint, tmp_path: Path) -> None:
    for kind in BANDS:
        soundfile.write(tmp_path / f"{kind}.wav", sound(kind, 999), RATE)
    (low,) = tag_clips([tmp_path / "low.wav"], str(learned.encoder.path))
    assert list(low.labels) == ["one", "two", "traits"]
    assert low.labels["one"][0][0] == "low"
    assert low.labels["two"][0][0] == "low"
    assert {label for label, _ in low.labels["traits"][:2]} == {"dark", "tonal"}
    for pairs in low.labels.values():
        scores = [score for _, score in pairs]
        assert scores == sorted(scores, reverse=True)
    (high,) = tag_clips([tmp_path / "high.wav"], str(learned.encoder.path))
    assert high.labels["one"][0][0] == "high"


def test_scores_are_affinities_of_the_frames(learned: Joint, one: Path) -> None:
    """W . mean of V x, by hand from the tensors."""
    clip = one.parent / "low0.wav"
    (said,) = tag_clips([clip], str(learned.encoder.path))
    tensors = learned.encoder.tensors
    audio = load(clip, rate=RATE).samples[None]
    frames = FrontEnd(preset("hamel2013"))(torch.from_numpy(np.ascontiguousarray(audio)))[0].numpy()
    places = ((frames - tensors["shift"]) * tensors["scale"]) @ tensors["V"].T
    wanted = places.astype(np.float64).mean(axis=0) @ tensors["labels"].T
    got = {f"{name}: {label}": score for name, all_ in said.labels.items() for label, score in all_}
    np.testing.assert_allclose([got[tag] for tag in learned.encoder.tags], wanted, atol=1e-4)


def test_the_main_job_with_the_folder(learned: Joint, one: Path, two: Path, tmp_path: Path) -> None:
    """Embed, evaluate, fit, predict, index: by its path, as with any encoder."""
    path, store = str(learned.encoder.path), tmp_path / "features"
    report = embed(two, store, encoder=path, workers=1)
    assert report.computed == 12
    done = evaluate(
        two, ["kind"], encoders=[path], store=store, heads=["linear"], folds=2, inner=2, workers=1
    )
    accuracy = [row for row in done.rows() if row["metric"] == "accuracy"]
    assert accuracy[0]["mean"] > 0.9
    model = fit(two, store, "kind", encoder=path, head="linear", out=tmp_path / "m.segue")
    assert set(model.facts.labels) == {"low", "noise"}
    kept = add(learned.encoder.path)  # a model finds its encoder by name
    try:
        predict(tmp_path / "m.segue", one, out=tmp_path / "said.csv", workers=1)
        build_index(store, encoder=path, manifest=two, out=tmp_path / "index")
        near = similar(tmp_path / "index", one.parent / "low0.wav", k=3)
    finally:
        shutil.rmtree(kept.path)
    with (tmp_path / "said.csv").open() as file:
        said = {row["id"]: row["kind"] for row in csv.DictReader(file)}
    assert {said[f"low{number}"] for number in range(8)} == {"low"}
    assert all(name.startswith("tlow") for name in near.ids)


def test_added_it_is_found_by_name(learned: Joint) -> None:
    kept = add(learned.encoder.path)
    try:
        assert encoder("both").card.digest == encoder(str(learned.encoder.path)).card.digest
        assert open_embedding("both").labels == open_embedding(learned.encoder.path).labels
    finally:
        shutil.rmtree(kept.path)


@pytest.mark.parametrize("base", ["mfcc", "random-convnet@13"])
def test_it_can_hear_another_encoder(base: str, one: Path, two: Path, tmp_path: Path) -> None:
    done = learn(
        [named("one", one), named("two", two)],
        tmp_path / "over",
        hears=base,
        warp=WarpSettings(dimensions=5, batch=4),
    )
    built = encoder(str(tmp_path / "over"))
    assert built.card.dim == 5
    assert built.card.front_end == encoder(base).card.front_end
    assert dict(built.card.settings)["base"] == encoder(base).card.label
    assert len(done.encoder.tags) == 5
    kept = add(tmp_path / "over")
    try:
        by_name = encoder("over")
        (said,) = tag_clips([one.parent / "high0.wav"], "over")
        assert set(said.labels) == {"one", "two"}
        audio = load(one.parent / "low0.wav", rate=built.card.rate)
        np.testing.assert_array_equal(by_name.features(audio), built.features(audio))
        wanted = encoder(base).features(audio)
        tensors = done.encoder.tensors
        places = ((wanted - tensors["shift"]) * tensors["scale"]) @ tensors["V"].T
        np.testing.assert_allclose(built.features(audio), places, rtol=1e-4, atol=1e-4)
    finally:
        shutil.rmtree(kept.path)


def test_a_path_cannot_be_heard_through(learned: Joint, one: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"an encoder by its name.*segue models add"):
        learn([named("one", one)], tmp_path / "out", hears=str(learned.encoder.path))
    assert not (tmp_path / "out").exists()
    with pytest.raises(SegueError, match="nothing-such"):
        learn([named("one", one)], tmp_path / "out", hears="nothing-such")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "warp",
    [
        WarpSettings(dimensions=6, batch=20, hidden=8),
        WarpSettings(dimensions=6, batch=20, rank="exact"),
        WarpSettings(dimensions=6, batch=20, norm_ball=1.0),
        WarpSettings(dimensions=6, batch=20, l2=1e-3, l2_labels=1e-2),
    ],
)
def test_every_option_learns_and_opens(warp: WarpSettings, one: Path, tmp_path: Path) -> None:
    done = learn([named("one", one)], tmp_path / "out", warp=warp)
    assert done.encoder.training["scores"]["valid_map"] > 0.9
    tensors = done.encoder.tensors
    if warp.hidden:
        assert tensors["hidden.weight"].shape == (8, 200)
        assert tensors["V"].shape == (6, 8)
    if warp.norm_ball:
        assert np.linalg.norm(tensors["labels"], axis=1).max() <= 1.0 + 1e-5
        assert np.linalg.norm(tensors["V"], axis=0).max() <= 1.0 + 1e-5
    assert encoder(str(tmp_path / "out")).card.dim == 24


def test_the_card_says_whose_it_is(one: Path, tmp_path: Path) -> None:
    origin = Origin(name="mine", licence="CC BY 4.0", commercial=False, training_data="tones")
    card = learn([named("one", one)], tmp_path / "out", origin=origin).encoder.card
    assert (card.name, card.licence, card.commercial) == ("mine", "CC BY 4.0", False)
    assert card.training_data == "tones"
    assert "3 labels of one" in card.description
    with pytest.raises(UsageError, match="one of segue's own"):
        learn([named("one", one)], tmp_path / "other", origin=Origin(name="mfcc"))
    with pytest.raises(UsageError, match="words for the card"):
        learn([named("one", one)], tmp_path / "other", origin=Origin(licence="a\nb"))
    assert not (tmp_path / "other").exists()


def test_more_batches_than_frames_are_refused(one: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="smaller --batch"):
        learn([named("one", one)], tmp_path / "out", warp=WarpSettings(batch=10**6))
    done = learn([named("one", one)], tmp_path / "out", warp=WARP)  # the folder is free again
    assert done.curve


@pytest.mark.parametrize("name", ["$a", "a$\\frac{$b", "音楽", "floss", "<b>"])
def test_names_that_a_picture_could_trip_over(name: str, one: Path, tmp_path: Path) -> None:
    done = learn([named(name, one), named("other", one, "traits")], tmp_path / "out")
    assert f"valid_map_{name}" in done.curve[0]
