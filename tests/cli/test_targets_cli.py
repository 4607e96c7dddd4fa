"""`segue targets artist-groups` as a user types it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from labelled_music import RATE, data_set
from segue.cli import app

QUICK = ("--words", 24, "--topics", 3, "--passes", 3, "--seeds", 1, "--workers", 1)


def run(*arguments: object, code: int = 0) -> Result:
    typed = ["targets", "artist-groups", *map(str, arguments)]
    result = CliRunner().invoke(app, typed)
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def answer(*arguments: object, code: int = 0) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run(*arguments, "--json", code=code).stdout)
    return said


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("music"), ["low", "high", "noise"], tracks=8)


def test_factors_for_people(music: Path, tmp_path: Path) -> None:
    more = ("--group", "artist", "--from", "mfcc", "-o", tmp_path / "out")
    text = flat(run(music, *more, *QUICK, "--seeds", 2).stdout)
    assert "words from mfcc: Frames of 25 MFCC." in text
    assert "3 factors of 12 groups" in text
    assert "artist: most" in text
    assert "Groups by column 'artist': 12 of 24 tracks." in text
    assert "24 words" in text
    assert "Factors learned with other seeds and the same words are alike by" in text
    assert str(tmp_path / "out" / "report.html") in text.replace(" ", "")


def test_factors_for_machines_and_read_back(music: Path, tmp_path: Path) -> None:
    more = ("--group", "artist", "--from", "labels:traits", "-o", tmp_path / "out", *QUICK)
    said = answer(music, *more)
    assert (said["groups"], said["tracks"], said["words"], said["topics"]) == (12, 24, 3, 3)
    assert said["empty"] == said["failures"] == []
    assert said["quarantined"] == 0
    assert len(said["factors"]) == 3
    assert {word["name"] for one in said["factors"] for word in one["words"]} <= {
        *("dark", "tonal", "bright")
    }
    assert answer(music, *more) == said


def test_fewer_words_than_asked_is_said_loudly(music: Path, tmp_path: Path) -> None:
    more = ("--group", "artist", "--from", "encoder:mfcc", "-o", tmp_path / "out", "--topics", 3)
    result = run(music, *more, "--seeds", 1, "--workers", 1)
    assert "2048" in flat(result.stdout)
    assert "Vectors of the encoder mfcc" in flat(result.stdout)


def test_a_bad_file_ends_with_3_and_is_named(tmp_path: Path) -> None:
    rows = ["silent.wav,silent,low,dark,artist low 0"]
    music = data_set(tmp_path, ["low", "high"], tracks=4, rows=rows)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    more = ("--group", "artist", "--from", "dmfcc", "-o", tmp_path / "out", *QUICK)
    text = run(music, *more, code=3).stdout
    assert "line 10: " in text
    assert "silence" in text
    said = answer(music, *more, code=3)
    assert said["quarantined"] == 1
    assert said["failures"][0]["line"] == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--group", "album", "--from", "mfcc"), "a column among path, id, kind"),
        (("--group", "artist", "--from", "chroma"), "an encoder among mfcc"),
        (("--group", "artist", "--from", "labels:nothing"), "a column among"),
        (("--group", "artist", "--from", "mfcc", "--words", "1"), "words: a whole number"),
        (("--group", "artist", "--from", "mfcc", "--normalise", "max"), "none, standard, quantile"),
        (("--group", "artist", "--from", "mfcc", "--seconds", "long"), "--seconds N or all"),
        (("--group", "artist", "--from", "mfcc", "--seconds", "nan"), "seconds to hear"),
        (("--group", "artist", "--from", "mfcc", "--seconds", "0.05"), "at least 0.1 seconds"),
        (("--group", "artist", "--from", "mfcc", "--seeds", "0"), "one seed at least"),
        (("--group", "artist", "--from", "kim2018-mfcc"), "a front end"),
        (("--group", "artist", "--from", "encoder:kim2018-mfcc"), "a front end"),
        (("--group", "artist", "--from", "hamel2013"), "an encoder among mfcc"),
    ],
)
def test_bad_arguments_are_told_and_leave_no_folder(
    music: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = run(music, *options, "-o", tmp_path / "out", code=2)
    assert said in flat(result.stderr)
    assert not (tmp_path / "out").exists()


def test_groups_of_a_single_word_say_what_could_not_be_measured(tmp_path: Path) -> None:
    lines = [f"{n}.wav,artist {n},mood {n % 3}" for n in range(12)]
    (tmp_path / "m.csv").write_text("path,artist,mood\n" + "\n".join(lines))
    more = (tmp_path / "m.csv", "--group", "artist", "--from", "labels:mood", *QUICK, "--seeds", 2)
    text = flat(run(*more, "-o", tmp_path / "out").stdout)
    assert "could not be measured: none of these groups has two words" in text
    said = answer(*more, "-o", tmp_path / "out")
    assert [line["perplexity"] for line in said["stability"]["numbers"]] == [None, None, None]
    assert [line["shown"] for line in said["stability"]["numbers"]] == [False, False, False]


def edit(path: Path, change: Any) -> None:
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("targets.json", lambda held: held.update(facts={}), 1),
        ("targets.json", lambda held: held["facts"].update(factors=[1]), 1),
        ("targets.json", lambda held: held["facts"]["factors"][0].pop("size"), 1),
        ("targets.json", lambda held: held["facts"]["factors"][0].update(words=[{"name": 1}]), 1),
        ("targets.json", lambda held: held["facts"].update(notes=5), 1),
        ("targets.json", lambda held: held["facts"].update(notes=["\x1b[31m"]), 1),
        ("targets.json", lambda held: held["facts"].update(empty=["\u202e"]), 1),
        ("targets.json", lambda held: held["facts"].update(groups="12"), 1),
        ("run/run.json", lambda held: held.update(failures=[1]), 2),
        ("run/run.json", lambda held: held.update(failures={"a": 1}), 2),
        ("run/run.json", lambda held: held.update(failures=[{"path": "a", "line": "1"}]), 2),
        ("run/run.json", lambda held: held.update(arguments=[["a", 1]]), 2),
        ("run/run.json", lambda held: held.update(files=7), 2),
    ],
)
def test_a_folder_that_was_tampered_with_is_refused_in_words(
    tmp_path: Path, name: str, change: Any, code: int
) -> None:
    lines = [f"{n}.wav,artist {n // 2},mood {n % 3}" for n in range(8)]
    (tmp_path / "m.csv").write_text("path,artist,mood\n" + "\n".join(lines))
    more = (tmp_path / "m.csv", "--group", "artist", "--from", "labels:mood", *QUICK)
    run(*more, "-o", tmp_path / "out")
    edit(tmp_path / "out" / name, change)
    said = run(*more, "-o", tmp_path / "out", code=code).stderr
    assert name.removeprefix("run/") in said
    assert "\x1b" not in said


def test_a_page_that_is_gone_is_not_named_as_if_it_were_there(tmp_path: Path) -> None:
    lines = [f"{n}.wav,artist {n // 2},mood {n % 3}" for n in range(8)]
    (tmp_path / "m.csv").write_text("path,artist,mood\n" + "\n".join(lines))
    more = (tmp_path / "m.csv", "--group", "artist", "--from", "labels:mood", *QUICK)
    run(*more, "-o", tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    assert "its report is gone: remove" in flat(run(*more, "-o", tmp_path / "out").stdout)
    (tmp_path / "out" / "targets.json").unlink()
    run(*more, "-o", tmp_path / "out")
    assert (tmp_path / "out" / "report.html").is_file()


def test_another_runs_folder_is_refused(music: Path, tmp_path: Path) -> None:
    more = (music, "--group", "artist", "--from", "labels:kind", "-o", tmp_path / "out")
    run(*more, *QUICK)
    result = run(*more, *QUICK, "--seed", 1, code=2)
    assert "seed: 0 -> 1" in flat(result.stderr)


def test_a_folder_of_something_else_is_refused(music: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    result = run(music, "--group", "kind", "--from", "labels:kind", "-o", tmp_path, code=2)
    assert "a new folder" in flat(result.stderr)
    assert (tmp_path / "mine.txt").read_text() == "keep me"


def test_the_example_of_the_help_runs(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line as printed, on another data set in the place it names, quickly."""
    shown = flat(CliRunner().invoke(app, ["targets", "artist-groups", "--help"]).stdout)
    line = shown.split("Example: segue targets artist-groups ")[1].split(". From labels")[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "4q").symlink_to(music.parent)
    (music.parent / "manifest.csv").write_text(music.read_text())
    run(*shlex.split(line.replace("│", " ")), *QUICK)
    assert (tmp_path / "factors" / "report.html").is_file()


def test_groups_of_folders(tmp_path: Path) -> None:
    for kind in ("low", "high"):
        data_set(tmp_path / "all" / kind, [kind], tracks=3)
    (tmp_path / "all" / "tracks.csv").write_text(
        "path,mood\n"
        + "".join(f"{kind}/{kind}{n}.wav,m{n}\n" for kind in ("low", "high") for n in range(3))
    )
    more = ("--group", "folder", "--from", "labels:mood", "-o", tmp_path / "out", *QUICK)
    said = answer(tmp_path / "all" / "tracks.csv", *more)
    assert said["taken"] == "the folder that a file lies in"
    assert said["groups"] == 2
