"""The joint embedding as an encoder: its features by hand, its labels, what its folder may hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from joint_toys import TAGS, random_joint
from segue.audio import Audio
from segue.audio.frontends import FrontEnd, preset
from segue.encoders import encoder, folders
from segue.encoders.folders import FACTS, WEIGHTS, keep, open_folder, write_folder
from segue.encoders.joint import JointSpec
from segue.errors import UsageError, WeightsError
from segue.workflows.jointfolder import open_embedding

Clip = Callable[..., np.ndarray]


def log_mel(samples: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        frames: np.ndarray = FrontEnd(preset("hamel2013"))(torch.from_numpy(samples)[None])[0]
        return np.asarray(frames, np.float64)


@pytest.mark.parametrize("hidden", [0, 5])
def test_features_and_affinities_by_hand(tmp_path: Path, clip: Clip, hidden: int) -> None:
    folder = random_joint(tmp_path / "joint", hidden=hidden, base=None)
    t = {name: values.astype(np.float64) for name, values in folder.tensors.items()}
    samples = clip(3, 4.0, 22050)
    x = (log_mel(samples) - t["shift"]) * t["scale"]
    if hidden:
        x = np.tanh(x @ t["hidden.weight"].T + t["hidden.bias"])
    z = x @ t["V"].T
    windows = [z[n * 64 : (n + 1) * 64] for n in range(len(z) // 64)]
    rows = [np.concatenate([w.mean(0), w.var(0), w.max(0), w.min(0)]) for w in windows]
    built = folder.build()
    audio = Audio(samples, 22050)
    np.testing.assert_allclose(built.features(audio), np.mean(rows, axis=0), rtol=2e-4, atol=2e-4)
    said = dict(built.tags(audio))
    expected = dict(zip(TAGS, (z.mean(0) @ t["labels"].T).tolist(), strict=True))
    assert said == pytest.approx(expected, abs=2e-4)
    assert list(said.values()) == sorted(said.values(), reverse=True)


def test_over_the_vectors_of_another_encoder(tmp_path: Path, clip: Clip) -> None:
    base = encoder("random-convnet@13")
    folder = random_joint(tmp_path / "joint", base=base)
    audio = Audio(clip(1, 3.0, 12000), 12000)
    t = folder.tensors
    expected = ((base.features(audio) - t["shift"]) * t["scale"]) @ t["V"].T
    built = encoder(str(tmp_path / "joint"))
    assert built.card.dim == 6
    np.testing.assert_allclose(built.features(audio), expected, rtol=1e-4, atol=1e-5)
    assert [name for name, _ in built.tags(audio)] != []


def test_another_base_is_refused(tmp_path: Path) -> None:
    base = encoder("random-convnet@13")
    base.card = replace(base.card, version=7)  # as another version of segue would have it
    random_joint(tmp_path / "joint", base=base)
    with pytest.raises(WeightsError, match=r"random-convnet@13.*learned on"):
        encoder(str(tmp_path / "joint"))


def _opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files of weights as they are read."""
    read: list[Path] = []
    reader = folders.read_tensors
    monkeypatch.setattr(folders, "read_tensors", lambda path: (read.append(path), reader(path))[1])
    return read


@pytest.mark.parametrize(
    "base",
    ["{path}/", "{path}", "./evil", "~/evil", "a/b", "Evil", "", "mfcc@", "mfcc\n", "\x1b[2J"],
)
def test_a_base_that_is_no_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    """By its own path an embedding would open itself, and hold its weights, again and again."""
    monkeypatch.chdir(tmp_path)
    path = random_joint(tmp_path / "evil", base=encoder("mfcc")).path
    facts = json.loads((path / FACTS).read_text())
    settings = {**dict(facts["card"]["settings"]), "base": base.format(path=path)}
    facts["card"]["settings"] = list(settings.items())
    (path / FACTS).write_text(json.dumps(facts))
    read = _opened(monkeypatch)
    with pytest.raises(WeightsError, match=r"settings|no encoder's") as refused:
        encoder("./evil")
    assert str(refused.value).isprintable()
    assert not read


@pytest.mark.parametrize("digest", ["0" * 63, "G" * 64, "\x1b[2J", ""])
def test_a_base_without_its_digest_is_refused(tmp_path: Path, digest: str) -> None:
    path = random_joint(tmp_path / "joint", base=encoder("mfcc")).path
    facts = json.loads((path / FACTS).read_text())
    settings = {**dict(facts["card"]["settings"]), "base_digest": digest}
    facts["card"]["settings"] = list(settings.items())
    (path / FACTS).write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match="base_digest"):
        open_folder(path)


def _kept(folder: Path, home: Path, name: str, base: str) -> None:
    """An added embedding with its name and its base changed by hand."""
    path = home / "encoders" / name
    shutil.copytree(folder, path)
    facts = json.loads((path / FACTS).read_text())
    settings = {**dict(facts["card"]["settings"]), "base": base}
    facts["card"] |= {"name": name, "settings": list(settings.items())}
    (path / FACTS).write_text(json.dumps(facts))


@pytest.mark.parametrize("chain", [["a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_an_embedding_never_leads_back_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: list[str]
) -> None:
    """Whatever its bases name, one file of weights is read: no more is held than that."""
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    path = random_joint(tmp_path / "joint", base=encoder("mfcc")).path
    for name, base in zip(chain, [*chain[1:], chain[0]], strict=True):
        _kept(path, tmp_path / "home", name, base)
    read = _opened(monkeypatch)
    with pytest.raises(WeightsError, match=r"embeds the vectors of .*another encoder"):
        encoder("a")
    assert len(read) == 1


def test_an_embedding_may_embed_one_of_frames_but_no_deeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Clip
) -> None:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    for name, base in (("one", None), ("two", "one"), ("three", "two")):
        made = random_joint(tmp_path / name, name=name, base=encoder(base) if base else None)
        keep(made.path)
    assert encoder("two").features(Audio(clip(3, 4.0, 22050), 22050)).shape == (6,)
    with pytest.raises(WeightsError, match="two, which itself embeds the vectors of one"):
        encoder("three")


def test_labels_may_change_and_features_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other labels it is the same encoder: stored features are still its."""
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    old = random_joint(tmp_path / "joint", base=None)
    keep(old.path)
    labels = np.concatenate([old.tensors["labels"], np.ones((1, 6), np.float32)])
    new = write_folder(
        tmp_path / "more",
        architecture="warp",
        card=old.card,
        tags=[*TAGS, "three: new"],
        training={},
        tensors={**old.tensors, "labels": labels},
    )
    assert new.card.digest == old.card.digest
    assert not new.same_as(old)
    assert keep(new.path).tags[-1] == "three: new"
    assert encoder("joint").tag_names[-1] == "three: new"


def test_changed_labels_are_noticed(tmp_path: Path) -> None:
    path = random_joint(tmp_path / "joint", base=None).path
    tensors = load_file(path / WEIGHTS)
    tensors["labels"][0, 0] += 1.0
    save_file(tensors, path / WEIGHTS)
    with pytest.raises(WeightsError, match="changed or damaged"):
        open_folder(path)


def test_tags_in_another_order_are_noticed(tmp_path: Path) -> None:
    """Each says a row of W: with two of them changed over, wrong labels would be said."""
    path = random_joint(tmp_path / "joint", base=None).path
    facts = json.loads((path / FACTS).read_text())
    for tags in ([*TAGS[1::-1], *TAGS[2:]], [*TAGS[:3], "two: wild"]):
        (path / FACTS).write_text(json.dumps({**facts, "tags": tags}))
        with pytest.raises(WeightsError, match=r"tensors and tags.*changed or damaged"):
            open_folder(path)
    (path / FACTS).write_text(json.dumps({**facts, "tags": TAGS}))
    assert open_folder(path).tags == TAGS


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (2, 0, 1, 3), (0, 1, 3)])
def test_rows_of_the_labels_are_those_of_the_file(tmp_path: Path, order: tuple[int, ...]) -> None:
    """W is cut by data set; with tags of a set apart, its parts would be of other labels."""
    tags = [TAGS[at] for at in order]
    folder = random_joint(tmp_path / "joint", base=None, tags=tags)
    if order == (0, 1, 3):
        labels = open_embedding(folder.path).network().labels
        rows = np.concatenate([part.detach().numpy() for part in labels])
        np.testing.assert_array_equal(rows, folder.tensors["labels"])
        return
    with pytest.raises(WeightsError, match="those of a data set together"):
        open_embedding(folder.path)


def test_tags_without_a_data_set_are_no_embeddings(tmp_path: Path) -> None:
    random_joint(tmp_path / "joint", base=None, tags=["jazz", "one: rock"])
    with pytest.raises(WeightsError, match="got 'jazz' out of its place"):
        open_embedding(tmp_path / "joint")


@pytest.mark.parametrize(
    "settings",
    [
        {"inputs": 2**40},
        {"dimensions": 0},
        {"hidden": -1},
        {"hidden": True},
        {"dimensions": 6.0},
        {"base": 3},
        {"window_frames": 32},
        {"more": 1},
        {"dimensions": 2**20, "inputs": 2**20},
    ],
)
def test_a_hostile_card_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = random_joint(tmp_path / "joint", base=None).path
    facts = json.loads((path / FACTS).read_text())
    facts["card"]["settings"] = list({**dict(facts["card"]["settings"]), **settings}.items())
    (path / FACTS).write_text(json.dumps(facts))
    with pytest.raises(WeightsError):
        open_folder(path)


def test_a_card_of_another_front_end_is_refused(tmp_path: Path) -> None:
    path = random_joint(tmp_path / "joint", base=None).path
    facts = json.loads((path / FACTS).read_text())
    facts["card"]["front_end"]["hop"] = 256
    (path / FACTS).write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match="hop"):
        open_folder(path)


def test_settings_and_back(tmp_path: Path) -> None:
    card = random_joint(tmp_path / "joint", base=encoder("mfcc"), hidden=3).card
    assert JointSpec.of(card).settings() == card.settings


def test_a_convnet_says_its_tags(clip: Clip) -> None:
    """The same probabilities as from the features of its fifth layer."""
    from segue.encoders.folders import packaged_folder

    whole = open_folder(packaged_folder("choi2017-4q"))
    audio = Audio(clip(2, 29.0, 12000), 12000)
    top = encoder("choi2017-4q@5").features(audio).astype(np.float64)
    weights, biases = whole.tensors["tags.weight"], whole.tensors["tags.bias"]
    expected = 1 / (1 + np.exp(-(weights @ top + biases)))
    said = dict(encoder("choi2017-4q@13").tags(audio))
    assert [said[tag] for tag in whole.tags] == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_encoder_without_tags_says_so(clip: Clip) -> None:
    with pytest.raises(UsageError, match="an encoder that says tags"):
        encoder("mfcc").tags(Audio(clip(2, 2.0, 12000), 12000))
