"""Commands as a user types them: help, answers for people and for machines, wrong arguments."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.main import get_command
from typer.testing import CliRunner, Result

from segue import __version__
from segue.cli import app

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
GROUPS = {
    "models": ("list", "show", "pull", "add"),
    "data": ("list", "show", "validate", "build"),
    "pretrain": ("convnet", "warp", "dcnn"),
    "reproduce": ("choi2017", "hamel2013", "kim2018"),
    "targets": ("artist-groups",),
}


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


def test_the_stable_commands_are_there() -> None:
    wanted = {"demo", "embed", "fit", "predict", "evaluate", "index", "similar", "doctor"}
    assert wanted | set(GROUPS) <= set(COMMANDS)


@pytest.mark.parametrize("name", [c for c in COMMANDS if c not in GROUPS])
def test_help_has_an_example_and_json(name: str) -> None:
    text = " ".join(run(name, "--help").stdout.split())
    assert f"Example: segue {name}" in text
    assert "--json" in text


@pytest.mark.parametrize(
    "name", [f"{group} {name}" for group, names in GROUPS.items() for name in names]
)
def test_help_of_sub_commands(name: str) -> None:
    text = " ".join(run(*name.split(), "--help").stdout.split())
    assert f"Example: segue {name}" in text
    assert "--json" in text


def test_version_and_start_without_torch() -> None:
    assert run("--version").stdout.strip() == f"segue {__version__}"
    code = "import sys, segue.cli; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_main_job_by_hand(music: Path, tmp_path: Path) -> None:
    """Embed, validate, fit, predict, index, similar: each answers in JSON and in words."""
    manifest, store = music / "tracks.csv", tmp_path / "store"
    done = json.loads(run("embed", manifest, "-o", store, "--json").stdout)
    assert done["computed"] == 8
    assert "8 already there" in run("embed", manifest, "-o", store).stdout
    facts = json.loads(
        run("data", "validate", manifest, "--target", "style", "--group", "artist", "--json").stdout
    )
    assert (facts["tracks"], facts["groups"], facts["task"]) == (8, 4, "classification")
    model = tmp_path / "m.segue"
    fitted = json.loads(
        run("fit", manifest, store, "--target", "style", "-o", model, "--json").stdout
    )
    assert fitted["labels"] == ["calm", "wild"]
    out = tmp_path / "p.csv"
    found = json.loads(run("predict", model, music, "-o", out, "--json").stdout)
    assert len(found["predictions"]) == 8
    assert len(out.read_text().splitlines()) == 9
    assert "8 predicted" in run("predict", model, music, "-o", out).stdout
    index = tmp_path / "index"
    assert json.loads(run("index", store, "-o", index, "--json").stdout)["tracks"] == 8
    near = json.loads(run("similar", index, "3", "-k", "2", "--json").stdout)
    assert len(near["neighbours"]) == 2
    assert near["neighbours"][0]["distance"] <= near["neighbours"][1]["distance"]
    assert near["neighbours"][0]["id"] in run("similar", index, "3", "-k", "2").stdout


def test_evaluate_json_has_the_stable_rows(music: Path, tmp_path: Path) -> None:
    answer = json.loads(
        run(
            "evaluate", music / "tracks.csv", "--target", "style", "--encoders", "mfcc",
            "-o", tmp_path / "r", "--folds", 2, "--inner", 2, "--workers", 1, "--json",
        ).stdout
    )  # fmt: skip
    keys = ["encoder", "layers", "head", "target", "metric", "mean", "se", "low", "high", "n"]
    assert all(list(row) == keys for row in answer["rows"])
    header = (tmp_path / "r/results.csv").read_text().splitlines()[0]
    assert header == ",".join(keys)
    assert Path(answer["report"]).is_file()


def test_models(pulled: Path) -> None:
    listed = json.loads(run("models", "list", "--json").stdout)["models"]
    weights = {model["name"]: model["weights"] for model in listed}
    assert weights["choi2017-msd"] == "pulled"
    assert weights["mfcc"] == "built in"
    card = json.loads(run("models", "show", "choi2017-msd@13", "--json").stdout)["card"]
    assert (card["dim"], card["layers"]) == (64, [1, 3])
    assert "MIT" in card["licence"]


def test_doctor() -> None:
    facts = json.loads(run("doctor", "--json").stdout)
    assert facts["segue"] == __version__
    assert "WAV" in facts["libsndfile"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("embed", "x.wav", "-o", "s", "--encoder", "vggish"), "an encoder among mfcc"),
        (("embed", "x.wav", "-o", "s", "--layers", "1"), "no layers for mfcc"),
        (("embed", "x.wav", "-o", "s", "--chunks", "some"), "--chunks N or all"),
        (("embed", "x.wav", "-o", "s", "--workers", "-1"), "workers, 0 or more"),
        (("embed", "x.csv", "-o", "s"), "no such file"),
        (("evaluate", "x.csv", "--target", "y", "-o", "s", "--task", "sing"), "classification"),
        (("models", "pull", "mfcc"), "weights are pulled"),
        (("models", "show", "nothing"), "an encoder among"),
        (("embed",), "Missing argument"),
        (("sing",), "No such command"),
    ],
)
def test_wrong_arguments_exit_2_with_a_sentence(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("x.wav", np.ones(22050) * 0.1, 22050)
    result = run(*arguments, code=2)
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_failures_exit_1_with_a_sentence(tmp_path: Path) -> None:
    for arguments in (
        ("index", tmp_path, "-o", tmp_path / "i"),
        ("similar", tmp_path, "x"),
        ("predict", tmp_path / "m.segue", tmp_path, "-o", tmp_path / "p.csv"),
        ("models", "pull", "choi2017-msd", "--from", tmp_path / "absent"),
    ):
        result = run(*arguments, code=1)
        assert "wanted" in result.stderr


def test_brackets_in_names_are_shown(music: Path, tmp_path: Path) -> None:
    """Terminal markup is written in brackets too, and so are live versions and remixes."""
    (music / "calm/0.wav").rename(music / "calm/song [live].wav")
    (music / "calm/1.wav").write_text("[remix]")
    (music / "calm/1.wav").rename(music / "calm/[bold] x.wav")
    shown = run("embed", music, "-o", tmp_path / "store", code=3)
    assert "[bold] x.wav" in shown.stderr
    run("index", tmp_path / "store", "-o", tmp_path / "index")
    near = run("similar", tmp_path / "index", "calm/2.wav", "-k", "7")
    assert "song [live].wav" in near.stdout


def test_unreadable_places_end_in_a_sentence(music: Path, tmp_path: Path) -> None:
    result = run("embed", music, "-o", "/dev/null/store", code=1)
    assert "wanted a folder to write features to" in result.stderr
    assert "Traceback" not in result.stderr


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a night's log says how far it was; --json stays silent."""
    shared = importlib.import_module("segue.cli.progress")
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(shared.time, "monotonic", lambda: float(next(clock)))
    lines: list[str] = []
    monkeypatch.setattr(shared.messages, "print", lambda text, **_: lines.append(text))
    for quiet in (False, True):
        with shared.watching(quiet=quiet) as watch:
            for done in range(0, 50, 10):
                watch("training", done, 100)
        with shared.counting("embedding", quiet=quiet) as count:
            for done in range(0, 50, 10):
                count(done, done // 20, 100)
    assert lines == [
        "training: 20 of 100, 1 min 20 s left",
        "training: 40 of 100, 1 min 0 s left",
        "embedding: 21 of 100, 1.1 a second, 1 min 15 s left, 1 quarantined",
        "embedding: 42 of 100, 1.1 a second, 55 s left, 2 quarantined",
    ]
