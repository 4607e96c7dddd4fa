"""Encoder folders: opened when whole, refused in plain words when not, found by path or name."""

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
from typer.testing import CliRunner

from segue.audio import Audio
from segue.cli import app
from segue.encoders import encoder, folder_checks, folders, names
from segue.encoders.calibrated import choi2017_msd, random_convnet, random_network
from segue.encoders.folders import open_folder, write_folder
from segue.encoders.registry import add
from segue.errors import UsageError, WeightsError

TAGS = ("calm", "wild")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The random convnet with two tags, as a folder."""
    card = replace(random_convnet().card, name="mine", calibration_sha256=None)
    network = random_network()[0]
    body = {
        f"body.{name}": values.numpy()
        for name, values in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    tags = {"tags.weight": np.ones((2, 32), np.float32), "tags.bias": np.zeros(2, np.float32)}
    path = tmp_path / "out" / "a folder"
    write_folder(
        path, architecture="convnet", card=card, tags=TAGS, training={}, tensors={**body, **tags}
    )
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def change(path: Path, **facts: Any) -> None:
    """Write other facts into encoder.json."""
    there = json.loads((path / "encoder.json").read_text())
    (path / "encoder.json").write_text(json.dumps({**there, **facts}))


def change_card(path: Path, **fields: Any) -> None:
    card = json.loads((path / "encoder.json").read_text())["card"]
    change(path, card={**card, **fields})


def test_it_is_opened_with_all_layers_or_some(
    folder: Path, clip: Callable[..., np.ndarray]
) -> None:
    audio = Audio(clip(0, 3.0, 12000), 12000)
    whole, part = encoder(str(folder)), encoder(f"{folder}@135")
    assert (whole.card.label, part.card.label) == ("mine@12345", "mine@135")
    assert "folder" not in json.dumps(whole.card.to_json())
    X = whole.features(audio)
    wanted = np.concatenate([X[32 * (k - 1) : 32 * k] for k in (1, 3, 5)])
    np.testing.assert_allclose(part.features(audio), wanted, atol=1e-5)
    assert encoder(str(folder), layers=[2], chunks=None).card.excerpt.chunks is None
    with pytest.raises(UsageError, match="ascending layers among"):
        encoder(f"{folder}@9")


def test_a_name_never_means_a_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.chdir(folder.parent)
    shutil.copytree(folder, "mine")
    with pytest.raises(UsageError, match=r"got 'mine'.*segue models add"):
        encoder("mine")
    assert encoder("./mine").card.name == "mine"
    shutil.copytree(folder, "a@b/mine")
    assert encoder("a@b/mine@2").card.label == "mine@2"
    shutil.copytree(folder, "mine@2")
    assert encoder("./mine@2/").card.label == "mine@12345"
    for asked in ("./mine@2/", "a@b/mine@2", "./mine"):
        elsewhere = names.anywhere(asked)
        assert Path(elsewhere).is_absolute()
        assert encoder(elsewhere).card == encoder(asked).card
    with pytest.raises(WeightsError, match="no such file"):
        encoder("./nothing")


def test_an_added_encoder_is_found_by_its_name(folder: Path, home: Path) -> None:
    kept = add(folder)
    assert kept.path == home / "encoders" / "mine"
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["mine"]
    shutil.rmtree(folder)
    assert encoder("mine@13").card.dim == 64
    assert add(kept.path).card == kept.card  # again: nothing changes
    listed = CliRunner().invoke(app, ["models", "list", "--json"])
    rows = json.loads(listed.stdout)["models"]
    assert rows[-1] | {"summary": ""} == {
        "name": "mine",
        "layers": "12345",
        "weights": "added",
        "commercial": "yes",
        "summary": "",
    }
    (kept.path / "weights.safetensors").write_bytes(b"")
    rows = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)["models"]
    assert rows[-1]["weights"] == "damaged"


def test_an_encoder_added_again_has_the_words_it_was_corrected_to(folder: Path, home: Path) -> None:
    first = add(folder)
    change_card(folder, licence="CC BY-NC 4.0", commercial=False, training_data="4q")
    change(folder, tags=["quiet", "wild"], training={"seed": 3})
    (folder / "curve.csv").write_text("epoch\n1\n")
    kept = add(folder)
    assert (kept.card.licence, kept.card.commercial) == ("CC BY-NC 4.0", False)
    assert (kept.tags, kept.training) == (("quiet", "wild"), {"seed": 3})
    assert (kept.path, kept.card.digest) == (first.path, first.card.digest)
    assert (kept.path / "curve.csv").read_text() == "epoch\n1\n"
    assert encoder("mine").tag_names == ("quiet", "wild")


def test_a_curve_that_is_a_link_is_not_followed(folder: Path, home: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_text("SECRET")
    (folder / "curve.csv").symlink_to(secret)
    kept = add(folder).path
    assert sorted(path.name for path in kept.iterdir()) == ["encoder.json", "weights.safetensors"]
    change_card(folder, licence="other")
    assert add(folder).card.licence == "other"
    assert not (kept / "curve.csv").exists()


def test_a_copy_of_a_packaged_encoder_is_there_already(tmp_path: Path, home: Path) -> None:
    own = folders.packaged_folder("choi2017-4q")
    copy = shutil.copytree(own, tmp_path / "copy")
    assert add(copy).path == own
    done = CliRunner().invoke(app, ["models", "add", str(copy)])
    assert done.exit_code == 0, done.output
    assert "comes with segue" in done.stdout.replace("\n", " ")
    assert not home.exists()
    change_card(copy, commercial=True)
    with pytest.raises(UsageError, match="'choi2017-4q', which is one of segue's own and not"):
        add(copy)


def test_tags_of_a_folder_are_shown(folder: Path, home: Path) -> None:
    for asked, tags in ((f"{folder}@1", TAGS), ("choi2017-4q", encoder("choi2017-4q").tag_names)):
        shown = CliRunner().invoke(app, ["models", "show", asked, "--json"])
        assert tuple(json.loads(shown.stdout)["tags"]) == tags
    assert tags[0] == "moods: Angry"
    assert len(tags) == 87


def test_models_add_says_where_it_went(folder: Path, home: Path) -> None:
    done = CliRunner().invoke(app, ["models", "add", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["path"] == str(home / "encoders" / "mine")
    done = CliRunner().invoke(app, ["models", "add", str(folder.parent)])
    assert done.exit_code == 1
    assert "encoder folder" in done.stderr


def test_a_taken_name_is_refused(folder: Path, home: Path) -> None:
    add(folder)
    tensors = load_file(folder / "weights.safetensors")
    opened = open_folder(folder)
    tensors["tags.bias"] = tensors["tags.bias"] + 1
    write_folder(
        folder, architecture="convnet", card=opened.card, tags=TAGS, training={}, tensors=tensors
    )
    with pytest.raises(UsageError, match="mine, which is another encoder"):
        add(folder)
    for name in ("mfcc", "random-convnet", "choi2017-msd"):
        change_card(folder, name=name)
        for use in (add, encoder):
            with pytest.raises(UsageError, match=f"'{name}', which is one of segue's own"):
                use(str(folder))


def test_a_registered_name_that_was_added_by_hand_means_nothing(folder: Path, home: Path) -> None:
    shutil.copytree(folder, home / "encoders" / "mfcc")
    with pytest.raises(UsageError, match="a name that means one encoder"):
        encoder("mfcc")


@pytest.mark.parametrize("name", ["../up", "a/b", "A", "", "mine@1", ".hidden", "x" * 65, "a..b"])
def test_names_that_could_leave_a_folder_are_refused(folder: Path, home: Path, name: str) -> None:
    change_card(folder, name=name)
    with pytest.raises(WeightsError, match="lower-case letters"):
        add(folder)
    assert not (home / "encoders").exists()


def spoil_tensors(path: Path, spoil: Callable[[dict[str, np.ndarray]], Any]) -> None:
    tensors = load_file(path / "weights.safetensors")
    spoil(tensors)
    save_file(tensors, path / "weights.safetensors")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda t: t.pop("body.norms.2.running_var"), "no body.norms.2.running_var"),
        (lambda t: t.update(more=np.zeros(1, np.float32)), "an unknown 'more'"),
        (
            lambda t: t.update({"body.convolutions.0.bias": np.zeros(31, np.float32)}),
            r"body.convolutions.0.bias float32 \(31,\) for \(32,\)",
        ),
        (lambda t: t.update({"tags.bias": np.zeros(2, np.float64)}), "tags.bias float64"),
        (lambda t: t.update({"tags.bias": np.float32([0, np.nan])}), "tags.bias with NaN"),
        (lambda t: t["tags.bias"].__setitem__(0, 0.5), "tensors with SHA-256"),
        (
            lambda t: t["body.norms.0.running_var"].__setitem__(3, -1e-9),
            "body.norms.0.running_var with negative variances",
        ),
        (
            lambda t: t["body.norms.0.running_var"].__setitem__(3, np.inf),
            "body.norms.0.running_var with NaN or infinity",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    folder: Path, spoil: Callable[[dict[str, np.ndarray]], Any], words: str
) -> None:
    spoil_tensors(folder, spoil)
    with pytest.raises(WeightsError, match=words):
        encoder(str(folder))


def test_damage_is_told(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    content = weights.read_bytes()
    changed = bytearray(content)
    changed[-1] ^= 1
    for damaged in (bytes(changed), content[:-1], b"", b"\xff" * 100):
        weights.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"weights.safetensors: wanted"):
            open_folder(folder)
    weights.unlink()
    with pytest.raises(WeightsError, match="no such file"):
        open_folder(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"format": 1}', b"[" * 100_000, b'{"format": 2}']
)
def test_facts_that_are_none_are_refused(folder: Path, content: bytes) -> None:
    (folder / "encoder.json").write_bytes(content)
    with pytest.raises(WeightsError, match="an encoder folder"):
        open_folder(folder)


def test_unknown_architectures_and_cards_that_lie_are_refused(folder: Path) -> None:
    change(folder, architecture="transformer")
    with pytest.raises(WeightsError, match=r"architecture among convnet.*got 'transformer'"):
        open_folder(folder)
    change(folder, architecture="convnet", tags=["calm"])
    with pytest.raises(WeightsError, match=r"tags.bias float32 \(2,\) for \(1,\)"):
        open_folder(folder)
    change(folder, tags=list(TAGS))
    card = open_folder(folder).card
    front_end, excerpt = card.to_json()["front_end"], card.to_json()["excerpt"]
    wrong: list[dict[str, Any]] = [
        {"dim": 5},
        {"dim": 160.0},
        {"layers": [1]},
        {"front_end": {**card.to_json()["front_end"], "n_mels": 10**9}},
        {"front_end": {**card.to_json()["front_end"], "reference_db": "loud"}},
        {"excerpt": {**card.to_json()["excerpt"], "seconds": 1e9}},
        {"surprise": 1},
        *({"front_end": kind} for kind in (None, [], "x", {})),
        *({"excerpt": kind} for kind in (None, [1], {**excerpt, "short": "\x1b[31m"})),
        *(
            {"front_end": {**front_end, "reference_db": level}}
            for level in (10**400, -(10**400), 1e300, True, float("nan"), None)
        ),
        *({"version": version} for version in ("a", [1], 2, True, 1.0)),
        *({"settings": value} for value in ({"a": 1}, [["a", {"b": [1]}]], [["a", 1]], None)),
        *({"layers": value} for value in (None, 5, [1, 2, 3, 4, True])),
        *({"calibration_sha256": value} for value in ({}, "0" * 64)),
        *({"commercial": value} for value in ("no", 0, None)),
        *({"name": value} for value in (5, None, "a\0", "a\n")),
        *(
            {word: value}
            for word in ("description", "licence", "training_data", "citation")
            for value in ({}, None, "\ud800", "\x1b[31mred", "two\nlines", "\u202eabc", "x" * 5000)
        ),
    ]
    for fields in wrong:
        change(folder, card={**card.to_json(), **fields})
        with pytest.raises(WeightsError, match="encoder folder") as refused:
            open_folder(folder)
        assert str(refused.value).isprintable()
    for whole in ([], None, "x", 5):
        change(folder, card=whole)
        with pytest.raises(WeightsError, match="encoder folder"):
            open_folder(folder)


@pytest.mark.parametrize(
    "facts",
    [
        {"tags": "ab"},
        {"tags": ["a", "a"]},
        {"tags": ["a", 1]},
        {"tags": ["a", "\x1b[2J"]},
        {"tags": None},
        {"format": True},
        {"format": "1"},
        {"training": None},
        {"training": [["a", 1]]},
        {"architecture": ["convnet"]},
        {"architecture": "\x1b[31m"},
    ],
)
def test_facts_of_another_kind_are_refused(folder: Path, facts: dict[str, Any]) -> None:
    change(folder, **facts)
    with pytest.raises(WeightsError, match="encoder folder") as refused:
        open_folder(folder)
    assert str(refused.value).isprintable()


def test_one_bad_card_hides_no_other_in_the_list(folder: Path, home: Path) -> None:
    kept = add(folder).path
    shutil.copytree(kept, kept.with_name("other"))
    change_card(kept.with_name("other"), description="\ud800", licence="\x1b[31m")
    for options in ([], ["--json"]):
        listed = CliRunner().invoke(app, ["models", "list", *options])
        assert listed.exit_code == 0, listed.exception
        assert "damaged" in listed.stdout
        assert "random weights" in listed.stdout.replace("\n", " ")  # the good one's words
        assert "\x1b" not in listed.stdout


def test_the_home_of_nobody_is_no_folder() -> None:
    for use in (open_folder, encoder, names.anywhere):
        with pytest.raises(WeightsError, match="an encoder folder"):
            use("~nobody-of-this-name/x")


def test_files_that_are_too_large_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("encoder.json", "weights.safetensors"):
        monkeypatch.setattr(folder_checks, "MAX_BYTES", {**folder_checks.MAX_BYTES, name: 100})
        with pytest.raises(WeightsError, match=f"{name}.*more than 100 bytes"):
            open_folder(folder)
        monkeypatch.undo()


def test_a_copy_of_a_packaged_encoder_is_that_encoder(tmp_path: Path) -> None:
    """By path it is the same; with other weights its name means nothing."""
    path = shutil.copytree(folders.packaged_folder("choi2017-4q"), tmp_path / "copy")
    assert encoder(f"{path}@15").card == encoder("choi2017-4q@15").card
    assert open_folder(path).card.commercial is False
    opened = open_folder(path)
    other = {name: values + 1 for name, values in opened.tensors.items()}
    write_folder(
        path,
        architecture="convnet",
        card=opened.card,
        tags=opened.tags,
        training={},
        tensors=other,
    )
    with pytest.raises(UsageError, match="'choi2017-4q', which is one of segue's own"):
        encoder(str(path))


def test_a_folder_gives_the_features_of_its_network(
    pulled: Path, tmp_path: Path, clip: Callable[..., np.ndarray]
) -> None:
    """The published convnet, written as a folder, hears what it heard before."""
    from segue.encoders.calibrated import published_network, read_calibration

    network = published_network()[0]
    read_calibration("choi2017-msd").apply(network)
    built = choi2017_msd()
    tensors = {
        f"body.{name}": values.numpy()
        for name, values in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    tensors |= {"tags.weight": np.zeros((1, 32), np.float32), "tags.bias": np.zeros(1, np.float32)}
    card = replace(built.card, name="copy", calibration_sha256=None)
    write_folder(
        tmp_path, architecture="convnet", card=card, tags=["a"], training={}, tensors=tensors
    )
    audio = Audio(clip(2, 31.0, 12000), 12000)
    np.testing.assert_array_equal(encoder(str(tmp_path)).features(audio), built.features(audio))
