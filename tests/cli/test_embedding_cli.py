"""``segue embed`` as its user meets it: limits, engines, stores elsewhere, failures summed up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segue.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def sentence(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory-budget", "lots"], "an amount of memory such as 4GB or 500MB"),
        (["--memory-budget", "50MB", "--workers", "1"], "Raise --memory-budget"),
        (["--memory-budget", "8GB", "--workers", "0"], "whose memory can be limited"),
        (["--time-limit", "0"], "more than 0 seconds"),
        (["--workers", "-1"], "workers, 0 or more"),
        (["--address", "auto"], "Use --engine ray with --address"),
        (["--engine", "spark"], "'spark' is not one of"),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], said: str, music: Path, tmp_path: Path
) -> None:
    done = run("embed", str(music / "tracks.csv"), "-o", str(tmp_path / "store"), *options)
    assert done.exit_code == 2, done.output
    assert said in sentence(done)


def test_a_budget_and_a_limit_that_suffice_change_nothing(music: Path, tmp_path: Path) -> None:
    inputs, plain, limited = str(music / "tracks.csv"), tmp_path / "a", tmp_path / "b"
    first = json.loads(run("embed", inputs, "-o", str(plain), "--json").stdout)
    options = ["--memory-budget", "8GB", "--time-limit", "60", "--workers", "1"]
    second = json.loads(run("embed", inputs, "-o", str(limited), *options, "--json").stdout)
    assert first["computed"] == second["computed"] == 8
    again = run("embed", inputs, "-o", str(limited), "--json")
    assert json.loads(again.stdout)["reused"] == 8


def test_failures_are_summed_up_by_stage_and_listed(music: Path, tmp_path: Path) -> None:
    for number in range(3):
        (music / "calm" / f"{number}.wav").write_bytes(b"not a sound")
    whole = music / "calm" / "3.wav"
    whole.write_bytes(whole.read_bytes()[:5000])
    line = ["embed", str(music / "tracks.csv"), "-o", str(tmp_path / "store")]
    done = run(*line, "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert found["by_stage"] == {"open": 3, "decode": 1}
    assert (found["computed"], found["quarantined"], len(found["failures"])) == (4, 4, 4)
    assert all(one["bytes"] > 0 and one["reason"] for one in found["failures"])
    again = run(*line)
    assert again.exit_code == 3
    assert "4 already there, 4 quarantined" in sentence(again)
    assert "stage" in again.stdout
    assert "no decoder recognises its content" in sentence(again)


def test_mended_files_are_tried_again_by_themselves_others_when_asked(
    music: Path, tmp_path: Path
) -> None:
    good = (music / "wild" / "4.wav").read_bytes()
    bad = music / "calm" / "0.wav"
    bad.write_bytes(b"not a sound")
    line = ["embed", str(music / "tracks.csv"), "-o", str(tmp_path / "store"), "--json"]
    assert run(*line).exit_code == 3
    assert json.loads(run(*line, "--retry-failed").stdout)["quarantined"] == 1
    bad.write_bytes(good)
    done = run(*line)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["quarantined"] == 0


def test_moved_files_are_not_computed_again(music: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert json.loads(run("embed", str(music), "-o", store, "--json").stdout)["computed"] == 8
    shutil.move(music, tmp_path / "elsewhere")
    moved = json.loads(run("embed", str(tmp_path / "elsewhere"), "-o", store, "--json").stdout)
    assert (moved["computed"], moved["reused"]) == (0, 8)


def test_other_settings_make_another_table_and_say_what_differs(
    music: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = ["embed", str(music / "tracks.csv"), "-o", str(tmp_path / "store"), "--json"]
    first = json.loads(run(*line).stdout)
    with caplog.at_level("INFO", logger="segue"):
        second = json.loads(run(*line, "--chunks", "2").stdout)
    assert (second["computed"], second["reused"]) == (8, 0)
    assert first["table"] != second["table"]
    assert "excerpt.chunks: 1 -> 2" in caplog.text


def test_a_store_on_a_url(music: Path, tmp_path: Path) -> None:
    store = f"memory://{tmp_path.name}/store"  # of the process: what other tests wrote is in it too
    line = ["embed", str(music / "tracks.csv"), "-o", store, "--json"]
    assert json.loads(run(*line).stdout)["computed"] == 8
    assert json.loads(run(*line).stdout)["reused"] == 8
    strange = run("embed", str(music / "tracks.csv"), "-o", "nowhere://bucket/store")
    assert strange.exit_code in (1, 2)
    assert "nowhere" in sentence(strange)
