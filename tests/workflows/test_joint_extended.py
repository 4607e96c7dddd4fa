"""Labels and data sets added to an embedding whose map stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from joint_runs import SETTINGS, WARP, learn, named

from labelled_music import RATE, data_set, sound
from segue.audio import load
from segue.encoders import encoder
from segue.encoders.folders import packaged_folder
from segue.encoders.registry import add
from segue.errors import UsageError, WeightsError
from segue.training.warp.settings import WarpSettings
from segue.workflows import embed
from segue.workflows.joint import Joint
from segue.workflows.labels import tag_clips
from segue.workflows.sourcetask import Origin


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("one"), ["low", "high"])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"low": "bass", "mid": "middle", "noise": "hiss"}
    folder = tmp_path_factory.mktemp("two")
    return data_set(folder, list(names), names=names, tracks=6, prefix="t")


@pytest.fixture(scope="module", params=[0, 8], ids=["linear", "hidden"])
def before(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, one: Path, two: Path
) -> Joint:
    out = tmp_path_factory.mktemp("before") / "base"
    sources = [named("one", one), named("traits", two, "traits")]
    return learn(sources, out, warp=replace(WARP, hidden=request.param))


def extend(before: Joint, out: Path, *sources: object, **more: object) -> Joint:
    options = {"extend": before.encoder.path, "warp": WARP, "origin": Origin(name="base")}
    return learn(sources, out, **{**options, **more})  # type: ignore[arg-type]


def rows_of(done: Joint) -> dict[str, np.ndarray]:
    return dict(zip(done.encoder.tags, done.encoder.tensors["labels"], strict=True))


def test_the_map_and_the_old_labels_stay_bit_for_bit(
    before: Joint, one: Path, two: Path, tmp_path: Path
) -> None:
    # l2 and the norm ball would move what they may
    warp = replace(WARP, l2=1e-3, l2_labels=1e-2, norm_ball=0.05)
    after = extend(before, tmp_path / "wider", named("two", two), warp=warp)
    for name, values in before.encoder.tensors.items():
        if name != "labels":
            np.testing.assert_array_equal(after.encoder.tensors[name], values)
    old, new = rows_of(before), rows_of(after)
    assert list(new)[: len(old)] == list(old)
    assert list(new)[len(old) :] == ["two: bass", "two: hiss", "two: middle"]
    for tag, row in old.items():
        np.testing.assert_array_equal(new[tag], row)
    assert after.encoder.card.weights_sha256 == before.encoder.card.weights_sha256
    assert "only labels were added" in str(after.encoder.training["notes"])


def test_features_and_what_names_them_stay(before: Joint, two: Path, tmp_path: Path) -> None:
    after = extend(before, tmp_path / "wider", named("two", two))
    mine, theirs = encoder(str(before.encoder.path)), encoder(str(after.encoder.path))
    audio = load(two.parent / "tmid0.wav", rate=RATE)
    np.testing.assert_array_equal(mine.features(audio), theirs.features(audio))
    assert mine.card.digest == theirs.card.digest
    embed(two, tmp_path / "store", encoder=str(before.encoder.path), workers=1)
    again = embed(two, tmp_path / "store", encoder=str(after.encoder.path), workers=1)
    assert again.computed == 0, "the stored features are those of both"


def test_another_name_changes_no_feature(before: Joint, two: Path, tmp_path: Path) -> None:
    after = extend(before, tmp_path / "wider", named("two", two), origin=None)
    assert after.encoder.card.name == "wider"
    assert after.encoder.card.weights_sha256 == before.encoder.card.weights_sha256


def test_labels_of_the_new_data_set_are_ranked_well(
    before: Joint, two: Path, tmp_path: Path
) -> None:
    after = extend(before, tmp_path / "wider", named("two", two))
    assert after.encoder.training["scores"]["valid_map"] > 0.9
    soundfile.write(tmp_path / "low.wav", sound("low", 999), RATE)
    (said,) = tag_clips([tmp_path / "low.wav"], str(after.encoder.path))
    assert list(said.labels) == ["one", "traits", "two"]
    assert said.labels["two"][0][0] == "bass"
    assert said.labels["one"][0][0] == "low"


def test_a_new_label_in_an_old_data_set(before: Joint, one: Path, tmp_path: Path) -> None:
    wider = data_set(one.parent / "more", ["low", "high", "mid"], tracks=6, prefix="m")
    after = extend(before, tmp_path / "wider", named("one", wider))
    assert list(after.encoder.tags) == [
        *("one: high", "one: low", "one: mid"),
        *("traits: bright", "traits: dark", "traits: tonal"),
    ]
    old, new = rows_of(before), rows_of(after)
    for tag, row in old.items():
        np.testing.assert_array_equal(new[tag], row)
    soundfile.write(tmp_path / "mid.wav", sound("mid", 999), RATE)
    (said,) = tag_clips([tmp_path / "mid.wav"], str(after.encoder.path))
    assert said.labels["one"][0][0] == "mid"


def test_nothing_new_to_learn_is_refused(before: Joint, one: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a label that the embedding has not"):
        extend(before, tmp_path / "same", named("one", one))
    assert not (tmp_path / "same" / "encoder.json").exists()


def test_an_extended_one_can_be_extended(
    before: Joint, one: Path, two: Path, tmp_path: Path
) -> None:
    after = extend(before, tmp_path / "wider", named("two", two))
    third = learn([named("three", one, "traits")], tmp_path / "third", extend=after.encoder.path)
    assert third.encoder.tags[: len(after.encoder.tags)] == after.encoder.tags
    assert third.encoder.tags[-1] == "three: tonal"


def test_by_name_and_over_another_encoder(one: Path, two: Path, tmp_path: Path) -> None:
    warp = WarpSettings(dimensions=4, batch=4)
    base = learn([named("one", one)], tmp_path / "over-mfcc", hears="mfcc", warp=warp)
    kept = add(base.encoder.path)
    after = learn([named("two", two)], tmp_path / "wider", extend=kept.card.name, warp=warp)
    assert dict(after.encoder.card.settings)["base"] == "mfcc"
    np.testing.assert_array_equal(after.encoder.tensors["V"], base.encoder.tensors["V"])


def test_another_thing_to_hear_is_refused(before: Joint, two: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hears"):
        extend(before, tmp_path / "wider", named("two", two), hears="mfcc")
    assert not (tmp_path / "wider").exists()


def test_only_embeddings_can_be_extended(two: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="an encoder folder"):
        learn([named("two", two)], tmp_path / "out", extend=tmp_path / "empty")
    with pytest.raises(UsageError, match=r"a joint embedding.*architecture 'convnet'"):
        learn([named("two", two)], tmp_path / "out", extend=packaged_folder("choi2017-4q"))
    assert not (tmp_path / "out").exists()


def test_another_embedding_to_extend_is_another_run(
    before: Joint, one: Path, two: Path, tmp_path: Path
) -> None:
    extend(before, tmp_path / "wider", named("two", two))
    other = learn([named("one", one)], tmp_path / "other", settings=replace(SETTINGS, seed=1))
    with pytest.raises(UsageError, match=r"extend: .* -> "):
        extend(other, tmp_path / "wider", named("two", two))


def test_terms_of_the_map_bind_what_is_made_of_it(one: Path, two: Path, tmp_path: Path) -> None:
    origin = Origin(licence="CC BY-NC 4.0", commercial=False, training_data="somebody's music")
    learn([named("one", one)], tmp_path / "first", origin=origin)
    wider = learn([named("two", two)], tmp_path / "wider", extend=tmp_path / "first").encoder.card
    assert not wider.commercial
    assert wider.licence == "CC BY-NC 4.0"
    assert "somebody's music" in wider.training_data
    assert "of two" in wider.training_data
    own = Origin(licence="MIT")
    other = learn([named("two", two)], tmp_path / "own", extend=tmp_path / "first", origin=own)
    assert other.encoder.card.licence == "MIT; built on: CC BY-NC 4.0"
    assert not other.encoder.card.commercial
