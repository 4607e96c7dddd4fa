"""`segue pretrain warp`, `segue tags`, `segue classes` as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from labelled_music import RATE, data_set, sound
from segue.cli import app


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def answer(*arguments: object, code: int = 0) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run(*arguments, "--json", code=code).stdout)
    return said


def flat(text: str) -> str:
    return " ".join(text.split())


SMALL = ("--dimensions", 6, "--batch", 20, "--epochs", 2, "--learning-rate", 0.05)
QUICK = (*SMALL, "--valid-share", 0.25, "--workers", 1)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("one"), ["low", "high"], tracks=4)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("two"), ["low", "noise"], tracks=4, prefix="t")


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory, one: Path, two: Path) -> Path:
    out = tmp_path_factory.mktemp("learned") / "mine"
    sources = ("--source", f"one={one}:kind:artist", "--source", f"two={two}:traits")
    run("pretrain", "warp", *sources, "-o", out, *QUICK)
    return out


def test_pretrain_for_people(one: Path, two: Path, tmp_path: Path) -> None:
    sources = ("--source", f"one={one}:kind:artist", "--source", f"two={two}:traits")
    text = flat(run("pretrain", "warp", *sources, "-o", tmp_path / "out", *QUICK).stdout)
    assert "out: validation tracks, which chose the epoch" in text
    assert "mean average precision" in text
    assert "one: 2 labels of column 'kind', 8 tracks" in text
    assert f"use it: --encoder {tmp_path / 'out'}" in text
    shown = run("models", "show", tmp_path / "out").stdout
    assert "Joint embedding (WARP)" in flat(shown)


def test_pretrain_for_machines(one: Path, tmp_path: Path) -> None:
    source = ("--source", f"one={one}:kind:artist")
    more = ("--licence", "CC BY 4.0", "--non-commercial", "--training-data", "tones", "--seed", 2)
    said = answer("pretrain", "warp", *source, "-o", tmp_path / "out", *QUICK, *more)
    assert said["encoder"] == "out"
    assert said["tags"] == ["one: high", "one: low"]
    assert said["scores"]["valid_map"] > 0.9
    assert [point["epoch"] for point in said["curve"]] == [1, 2]
    assert said["data_sets"]["one"]["tracks"] == 8
    assert (said["quarantined"], said["failures"]) == (0, [])
    card = answer("models", "show", tmp_path / "out")["card"]
    assert (card["licence"], card["commercial"]) == ("CC BY 4.0", False)


def test_one_bad_file_ends_with_3_and_is_named(tmp_path: Path) -> None:
    one = data_set(tmp_path / "one", ["low", "high"], tracks=4)
    soundfile.write(one.parent / "low2.wav", np.zeros(RATE), RATE)
    source = ("--source", f"one={one}:kind")
    text = run("pretrain", "warp", *source, "-o", tmp_path / "out", *QUICK, code=3).stdout
    assert "one, line 4" in flat(text)
    assert "low2.wav" in text.replace("\n", "")


def test_extend(embedding: Path, one: Path, tmp_path: Path) -> None:
    source = ("--source", f"three={one}:traits")
    short = ("--batch", 20, "--epochs", 2, "--valid-share", 0.25, "--workers", 1)
    extend = ("--extend", embedding)
    said = answer("pretrain", "warp", *extend, *source, "-o", tmp_path / "out", *short)
    assert said["tags"][:2] == ["one: high", "one: low"]
    assert said["tags"][-1] == "three: tonal"
    for option in (("--hears", "mfcc"), ("--dimensions", 5), ("--hidden", 3)):
        out = ("-o", tmp_path / "other")
        refused = run("pretrain", "warp", *extend, *source, *out, *short, *option, code=2)
        assert "--extend without --hears, --dimensions and --hidden" in flat(refused.stderr)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--rank", "wrong"), "--rank: wanted one of sampled, exact, got wrong"),
        (("--valid-share", "0"), "above 0 and below 1"),
        (("--valid-share", "1"), "above 0 and below 1"),
        (("--min-tracks", "0"), "--min-tracks 0"),
        (("--min-tracks", "9"), "two labels or more"),
        (("--dimensions", "0"), "--dimensions"),
        (("--hidden", "-1"), "--hidden"),
        (("--batch", "0"), "--batch"),
        (("--norm-ball", "0"), "--norm-ball"),
        (("--norm-ball", "nan"), "--norm-ball"),
        (("--l2", "-1"), "--l2"),
        (("--l2-labels", "inf"), "--l2-labels"),
        (("--l2", "1e6"), "l2"),
        (("--epochs", "0"), "--epochs 0"),
        (("--learning-rate", "nan"), "--learning-rate"),
        (("--learning-rate", "-1"), "--learning-rate"),
        (("--stop-on", "auc"), "map or p1"),
        (("--hears", "./somewhere"), "an encoder by its name"),
        (("--hears", "no-such"), "no-such"),
        (("--name", "Not A Name"), "--name"),
        (("--name", "mfcc"), "one of segue's own"),
        (("--extend", "nowhere"), "nowhere"),
        (("--device", "toaster"), "toaster"),
        (("--workers", "-1"), "worker"),
    ],
)
def test_wrong_arguments_end_with_a_sentence(
    more: tuple[str, str], told: str, one: Path, tmp_path: Path
) -> None:
    named = dict(zip(QUICK[::2], QUICK[1::2], strict=True)) | {more[0]: more[1]}
    if more[0] == "--extend":
        del named["--dimensions"]
    options = [part for pair in named.items() for part in pair]
    arguments = ["pretrain", "warp", "--source", f"one={one}:kind", "-o", tmp_path / "out"]
    done = CliRunner().invoke(app, [str(each) for each in (*arguments, *options)])
    assert done.exit_code in (1, 2), (done.output, done.exception)
    assert isinstance(done.exception, SystemExit)
    assert told in flat(done.stderr), done.stderr
    assert not (tmp_path / "out" / "encoder.json").exists()
    # whatever was refused, the folder is free for the right arguments
    run(*arguments, *QUICK)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("one", "NAME=MANIFEST:COLUMN"),
        ("one={one}", "NAME=MANIFEST:COLUMN"),
        ("={one}:kind", "NAME=MANIFEST:COLUMN"),
        ("a:b={one}:kind", "without ':'"),
        ("a,b={one}:kind", "without ':'"),
        ("one=missing.csv:kind", "missing.csv"),
        ("one={one}:colour", "colour"),
        ("one={one}:kind:colour", "colour"),
        ("one={one}:id", "id"),
    ],
)
def test_wrong_sources_end_with_a_sentence(
    source: str, told: str, one: Path, tmp_path: Path
) -> None:
    text = source.replace("{one}", str(one))
    done = CliRunner().invoke(
        app, ["pretrain", "warp", "--source", text, "-o", str(tmp_path / "out")]
    )
    if source.endswith(":id"):  # every track its own label: odd, but that can be learned
        assert done.exit_code == 0
        return
    assert done.exit_code in (1, 2), (done.output, done.exception)
    assert told in flat(done.stderr)
    assert not (tmp_path / "out").exists()


def test_no_source_and_a_name_twice(one: Path, tmp_path: Path) -> None:
    run("pretrain", "warp", "-o", tmp_path / "out", code=2)
    twice = ("--source", f"one={one}:kind", "--source", f"one={one}:traits")
    done = run("pretrain", "warp", *twice, "-o", tmp_path / "out", code=2)
    assert "each with a name of its own" in flat(done.stderr)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for kind in ("low", "high"):
        soundfile.write(folder / f"{kind}.wav", sound(kind, 99), RATE)
    return folder


def test_tags_of_an_embedding(embedding: Path, clips: Path) -> None:
    said = answer("tags", clips / "low.wav", "--encoder", embedding)
    assert said == {
        "clips": [{"path": str(clips / "low.wav"), "labels": said["clips"][0]["labels"]}],
        "quarantined": 0,
        "failures": [],
    }
    labels = said["clips"][0]["labels"]
    assert list(labels) == ["one", "two"]
    assert labels["one"][0][0] == "low"
    assert all(isinstance(score, float) for pairs in labels.values() for _, score in pairs)
    one_each = answer("tags", clips, "--encoder", embedding, "-k", 1)["clips"]
    assert [[len(pairs) for pairs in one["labels"].values()] for one in one_each] == [[1, 1]] * 2
    every = answer("tags", clips / "low.wav", "--encoder", embedding, "-k", 0)["clips"][0]
    assert {name: len(pairs) for name, pairs in every["labels"].items()} == {"one": 2, "two": 3}
    text = flat(run("tags", clips / "low.wav", "--encoder", embedding).stdout)
    assert "low.wav" in text
    assert "data set" in text


def test_tags_by_name(embedding: Path, clips: Path) -> None:
    kept = Path(answer("models", "add", embedding)["path"])
    try:
        by_name = answer("tags", clips, "--encoder", "mine")
        assert by_name == answer("tags", clips, "--encoder", embedding)
    finally:
        shutil.rmtree(kept)


def test_tags_of_a_tagger(clips: Path) -> None:
    said = answer("tags", clips / "low.wav", "--encoder", "choi2017-4q", "-k", 3)
    (pairs,) = said["clips"][0]["labels"].values()
    assert len(pairs) == 3
    assert list(said["clips"][0]["labels"]) == [""]
    assert "data set" not in run("tags", clips / "low.wav", "--encoder", "choi2017-4q").stdout


def test_tags_that_cannot_be(embedding: Path, clips: Path) -> None:
    for encoder, told in (("mfcc", "says tags"), ("./nowhere", "nowhere"), ("none", "none")):
        done = CliRunner().invoke(app, ["tags", str(clips), "--encoder", encoder])
        assert done.exit_code in (1, 2)
        assert told in flat(done.stderr)
    done = run("tags", clips, "--encoder", embedding, "-k", -1, code=2)
    assert "-k 0 or more" in flat(done.stderr)
    done = run("tags", clips, "--encoder", embedding, "--chunks", "some", code=2)
    assert "--chunks" in flat(done.stderr)
    for missing in ("nothing.wav", "nothing.csv"):
        done = CliRunner().invoke(app, ["tags", missing, "--encoder", str(embedding)])
        assert done.exit_code in (1, 2)
        assert missing in flat(done.stderr)


def test_tags_of_bad_files_end_with_3(embedding: Path, clips: Path) -> None:
    (clips / "empty.wav").write_bytes(b"")
    huge = np.full(RATE, 3e38, np.float32) * sound("noise", 1)[:RATE]
    soundfile.write(clips / "huge.wav", huge, RATE, subtype="FLOAT")
    said = answer("tags", clips, "--encoder", embedding, code=3)
    assert said["quarantined"] == 2
    assert {Path(one["path"]).name for one in said["failures"]} == {"empty.wav", "huge.wav"}
    assert all(one["reason"] for one in said["failures"])
    assert len(said["clips"]) == 2
    text = flat(run("tags", clips, "--encoder", embedding, code=3).stdout)
    assert "empty.wav" in text
    assert "low.wav" in text


def test_classes(embedding: Path, tmp_path: Path) -> None:
    said = answer("classes", embedding, "-o", tmp_path / "map", "-k", 2)
    assert [(one["set"], one["label"]) for one in said["classes"]] == [
        *(("one", "high"), ("one", "low")),
        *(("two", "bright"), ("two", "dark"), ("two", "tonal")),
    ]
    assert all(len(one["nearest"]) == 2 for one in said["classes"])
    assert set(said["classes"][0]["nearest"][0]) == {"set", "label", "distance"}
    assert Path(said["report"]).is_file()
    assert (tmp_path / "map" / "classes.csv").is_file()
    text = flat(run("classes", embedding, "-o", tmp_path / "again").stdout)
    assert "nearest labels" in text
    assert "high (one)" in text


def test_classes_that_cannot_be(tmp_path: Path, embedding: Path) -> None:
    for what, told in (("nowhere", "nowhere"), (tmp_path, "encoder.json"), ("mfcc", "mfcc")):
        done = CliRunner().invoke(app, ["classes", str(what), "-o", str(tmp_path / "map")])
        assert done.exit_code in (1, 2), done.output
        assert told in flat(done.stderr)
    done = run("classes", embedding, "-o", tmp_path / "map", "-k", 0, code=2)
    assert "k" in flat(done.stderr)
    assert not (tmp_path / "map").exists()


@pytest.mark.parametrize("name", ["pretrain warp", "tags", "classes", "reproduce hamel2013"])
def test_help_has_an_example_and_json(name: str) -> None:
    text = flat(run(*name.split(), "--help").stdout)
    assert f"Example: segue {name}" in text
    assert "--json" in text
