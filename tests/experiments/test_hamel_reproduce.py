"""The whole reproduction of Hamel et al. 2013 on tiny data sets of tones, made once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from typer.testing import CliRunner

from labelled_music import RATE, data_set
from segue.cli import app
from segue.encoders.folders import open_folder
from segue.errors import UsageError
from segue.experiments.hamel2013 import Reproduction, Sets, named_sets, reproduce, scores
from segue.training.loop import Settings
from segue.training.warp.settings import WarpSettings

WARP = WarpSettings(dimensions=4, batch=20)
SETTINGS = Settings(epochs=1, learning_rate=0.05, patience=5, stop_on="valid_map")
QUICK: dict[str, Any] = {"warp": WARP, "settings": SETTINGS, "jobs": 1, "heads": ("knn",)}
COLUMNS = ["task", "features", "metric", "ours", "theirs", "difference", "protocol", "se"]


def asked(root: Path) -> tuple[list[str], list[str]]:
    """Two genre sets, one with artists; tag sets, the first of the same files as a genre set."""
    genres = [f"one={root}/one/tracks.csv:kind:artist", f"two={root}/two/tracks.csv:kind"]
    return genres, [f"own={root}/one/tracks.csv:traits", f"free={root}/free/tracks.csv:traits"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    data_set(root / "one", ["low", "mid"], tracks=11, per_artist=1)
    data_set(root / "two", ["low", "noise"], tracks=10, prefix="t")
    data_set(root / "free", ["noise", "low", "high"], tracks=4, prefix="fr")
    (root / "one" / "low10.wav").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def sets(root: Path) -> Sets:
    return named_sets(*asked(root))


@pytest.fixture(scope="module")
def done(
    sets: Sets, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Reproduction, Path]]:
    """Made with neighbours in the place of the blocks' SVM, whose grid takes minutes."""
    out, real = tmp_path_factory.mktemp("hamel") / "out", scores.few_label_curve

    def quicker(*arguments: Any, **options: Any) -> Any:
        head = "knn" if options["head"] == "svm" else options["head"]
        return real(*arguments, **{**options, "head": head})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "few_label_curve", quicker)
        yield reproduce(sets, out, **QUICK), out


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "hamel2013.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_is_written(done: tuple[Reproduction, Path]) -> None:
    made, out = done
    for name in ("hamel2013.csv", "findings.csv", "hamel2013.md", "report.html"):
        assert (out / name).stat().st_size > 0
    plots = {path.stem for path in (out / "plots").glob("*.png")}
    assert {"classes", "class-distances", "table5-paper", "table5-corrected"} <= plots
    assert {"figure3-paper", "figure3-corrected"} <= plots
    rows = rows_of(out)
    assert list(rows[0]) == COLUMNS
    assert len(rows) == len(made.rows)
    assert {row["theirs"] for row in rows} == {""}, "these are not the paper's data sets"


def test_every_cell_of_every_table_is_there(done: tuple[Reproduction, Path]) -> None:
    _, out = done
    rows = rows_of(out)
    keys = [(row["task"], row["protocol"], row["features"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys)
    spaces = ("base", "genre embedding", "tag embedding", "random embedding")
    for task, protocol in (("one", "paper"), ("one", "corrected"), ("two", "paper")):
        for space in spaces:
            for metric in ("accuracy", "accuracy at 1 a class", "accuracy at 5 a class"):
                assert (task, protocol, space, metric) in keys
                assert (task, protocol, f"{space}, RIDGE", metric) in keys
            for distance in ("l1", "l2", "cosine", "l1 standardised"):
                assert (task, protocol, space, f"precision at 10, {distance}") in keys
    for features in ("base, KNN", "genre embedding, KNN", "base, block-level, SVM"):
        assert ("one", "corrected", features, "accuracy") in keys
    # nobody knows the artists of the second
    assert {key[1] for key in keys if key[0] == "two"} == {"paper"}
    for row in rows:
        assert 0.0 <= float(row["ours"]) <= 1.0
        assert float(row["se"]) >= 0.0


def test_tones_and_noise_are_told_apart(done: tuple[Reproduction, Path]) -> None:
    """Chance is a half: the learned spaces and the base keep what is heard."""
    ours = {
        (row["task"], row["protocol"], row["features"], row["metric"]): float(row["ours"])
        for row in rows_of(done[1])
    }
    for space in ("base", "tag embedding"):
        assert ours["two", "paper", f"{space}, RIDGE", "accuracy"] > 0.9
        # of ten neighbours among nine of the class and ten others, nine at best
        assert ours["two", "paper", space, "precision at 10, l1"] > 0.8


def test_no_embedding_hears_its_target(done: tuple[Reproduction, Path]) -> None:
    made, out = done
    learned = {
        (one.name, space.name): space.learned_from
        for one in made.targets
        for space in one.material.spaces
        if space.learned_from
    }
    assert learned == {
        ("one", "genre embedding"): ("two",),
        ("two", "genre embedding"): ("one",),
        ("one", "tag embedding"): ("free",),
        ("two", "tag embedding"): ("own",),
    }
    folders = {path.name: open_folder(path) for path in (out / "embeddings").iterdir()}
    assert set(folders) == {"one", "two", "free", "own", "one-and-two"}
    for name, folder in folders.items():
        of_sets = {tag.split(": ")[0] for tag in folder.tags}
        assert of_sets == set(name.split("-and-"))
    page = (out / "hamel2013.md").read_text()
    assert "| one | tag embedding | free |" in page
    assert "| (Table 3) | genre embedding | one, two |" in page
    assert "no column names its artists" in page


def test_what_could_not_be_heard_is_told(done: tuple[Reproduction, Path]) -> None:
    made, out = done
    assert [Path(path).name for path in made.failures] == ["low10.wav"]
    assert "one: 1 tracks could not be used" in (out / "hamel2013.md").read_text()


def test_findings_name_every_claim_and_target(done: tuple[Reproduction, Path]) -> None:
    with (done[1] / "findings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    verdicts = {"holds", "does not hold", "not shown"}
    assert {row["verdict"] for row in rows} <= verdicts
    for claim in {row["claim"] for row in rows}:
        places = [(row["data set"], row["protocol"]) for row in rows if row["claim"] == claim]
        assert places == [("one", "paper"), ("one", "corrected"), ("two", "paper")]


def test_corrected_folds_and_neighbours_keep_artists_apart(
    done: tuple[Reproduction, Path],
) -> None:
    """Every track's twin by the same artist is its nearest: barred, precision falls to chance."""
    made, _ = done
    material = made.targets[0].material
    assert material.groups is not None
    folds = material.folds("corrected", 0)
    for group in set(material.groups):
        assert len(set(folds.assignment[material.groups == group])) == 1


def test_a_second_call_reads_all_numbers_back(
    done: tuple[Reproduction, Path], sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, out = done
    table = (out / "hamel2013.csv").read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("this number is there")

    monkeypatch.setattr(scores, "few_label_curve", never)
    monkeypatch.setattr("segue.workflows.joint.train", never)
    again = reproduce(sets, out, **QUICK)
    assert [row.as_dict() for row in again.rows] == [row.as_dict() for row in made.rows]
    assert (out / "hamel2013.csv").read_bytes() == table
    assert again.failures == made.failures


def test_other_settings_use_no_old_number(
    done: tuple[Reproduction, Path], sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AskedError(Exception):
        pass

    def never(*_: object, **__: object) -> None:
        raise AskedError

    monkeypatch.setattr(scores, "few_label_curve", never)
    with pytest.raises(AskedError):
        reproduce(sets, done[1], **QUICK, seed=1)
    with pytest.raises(UsageError, match="batch: 20 -> 10"):
        reproduce(sets, done[1], **{**QUICK, "warp": WarpSettings(dimensions=4, batch=10)})


def test_one_protocol_alone(done: tuple[Reproduction, Path], sets: Sets, tmp_path: Path) -> None:
    """The same numbers; a set without artists has none under the corrected one."""
    made, _ = done
    theirs = {
        (row.task, row.features, row.metric): row.ours
        for row in made.rows
        if row.protocol == "corrected"
    }
    options = {**QUICK, "heads": (), "blocks": False}
    alone = reproduce(sets, tmp_path / "out", protocol="corrected", **options)
    assert {row.protocol for row in alone.rows} == {"corrected"}
    assert {row.task for row in alone.rows} == {"one"}
    for row in alone.rows:
        assert row.ours == pytest.approx(theirs[row.task, row.features, row.metric], nan_ok=True)
    assert (tmp_path / "out" / "report.html").is_file()


def test_wrong_wishes_are_refused_before_anything_is_learned(sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="paper, corrected, both"):
        reproduce(sets, tmp_path / "out", protocol="mine")  # type: ignore[arg-type]
    for heads in (("forest",), ("windows",), ("knn", "none")):
        with pytest.raises(UsageError, match="head"):
            reproduce(sets, tmp_path / "out", **{**QUICK, "heads": heads})
    assert not (tmp_path / "out").exists()


def test_nothing_can_be_corrected_without_artists(root: Path, tmp_path: Path) -> None:
    genres = [f"one={root}/one/tracks.csv:kind", asked(root)[0][1]]
    with pytest.raises(UsageError, match=r"whose artists are known.*got one, two"):
        reproduce(named_sets(genres, []), tmp_path / "out", **QUICK, protocol="corrected")
    assert not (tmp_path / "out").exists()


def test_one_genre_and_no_tags_leave_only_the_base(root: Path, tmp_path: Path) -> None:
    """Two genre sets of the same files: nobody may teach either."""
    # names that pages and tables could trip over
    genres = [f"{name}={root}/two/tracks.csv:kind" for name in ("a|b *c*", "<b>two</b>")]
    made = reproduce(
        named_sets(genres, []), tmp_path / "out", **{**QUICK, "heads": ()}, blocks=False
    )
    assert {row.features for row in made.rows} == {"base", "base, RIDGE"}
    words = (tmp_path / "out" / "hamel2013.md").read_text()
    assert "no genre embedding and no tag embedding" in words
    assert "<b>two" not in (tmp_path / "out" / "report.html").read_text()


def command(root: Path, out: Path, *more: object) -> list[str]:
    genres, tags = asked(root)
    given = [part for one in genres for part in ("--genres", one)]
    given += [part for one in tags for part in ("--tags", one)]
    small = ("--dimensions", 4, "--epochs", 1, "--workers", 1, "--no-blocks", "--heads", "none")
    return ["reproduce", "hamel2013", *given, "-o", str(out), *map(str, (*small, *more))]


def run(arguments: Sequence[str], code: int) -> Any:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == code, (found.output, found.exception)
    return found


def test_from_the_command_line(root: Path, tmp_path: Path) -> None:
    said = json.loads(run([*command(root, tmp_path / "out"), "--json"], 3).stdout)
    assert set(said) == {"rows", "failures", "report"}
    assert list(said["rows"][0]) == COLUMNS
    assert len(said["failures"]) == 1
    text = " ".join(run(command(root, tmp_path / "out"), 3).stdout.split())
    assert "one: paper: accuracy base" in text
    assert "low10.wav" in text
    assert "report:" in text


def test_wrong_arguments_end_with_a_sentence(root: Path, tmp_path: Path) -> None:
    genres, _ = asked(root)
    for arguments, told in (
        ([], "--data FOLDER, or --genres"),
        (["--data", str(root), "--genres", genres[0]], "--data FOLDER, or --genres"),
        (["--data", str(root), "--tags", genres[0]], "--data FOLDER, or --genres"),
        (["--tags", genres[0]], "--data FOLDER, or --genres"),
        (["--data", str(root)], "1517-artists"),
        (["--data", str(root / "missing")], "missing"),
        (["--genres", genres[0]], "two genre sets or more"),
        (["--genres", genres[0], "--genres", genres[1], "--heads", "forest"], "forest"),
        (["--genres", genres[0], "--genres", genres[1], "--protocol", "mine"], "corrected"),
        (["--genres", genres[0], "--genres", genres[1], "--dimensions", "0"], "--dimensions"),
        (["--genres", genres[0], "--genres", genres[1], "--epochs", "0"], "--epochs"),
    ):
        done = CliRunner().invoke(
            app, ["reproduce", "hamel2013", "-o", str(tmp_path / "out"), *arguments]
        )
        assert done.exit_code in (1, 2), (arguments, done.output, done.exception)
        assert isinstance(done.exception, SystemExit)
        assert told in " ".join(done.stderr.split()), arguments
    assert not (tmp_path / "out").exists()


def test_a_genre_of_which_too_little_can_be_heard(root: Path, tmp_path: Path) -> None:
    """Ten tracks a class are asked for before any is opened; one of them is left."""
    deaf = data_set(tmp_path / "deaf", ["low", "mid"], tracks=10, prefix="d")
    for n in range(9):
        soundfile.write(deaf.parent / f"dlow{n}.wav", np.zeros(RATE), RATE)
    sets = named_sets([f"deaf={deaf}:kind", asked(root)[0][1]], [])
    with pytest.raises(UsageError, match=r"every class of deaf, got low \(1\)"):
        reproduce(sets, tmp_path / "out", **{**QUICK, "heads": ()}, blocks=False)


def test_few_artists(root: Path, tmp_path: Path) -> None:
    """Fewer artists than folds: a sentence, not a traceback."""
    few = data_set(tmp_path / "few", ["low", "mid"], tracks=12, prefix="f", per_artist=4)
    sets = named_sets([f"few={few}:kind:artist", asked(root)[0][1]], [])
    options = {**QUICK, "heads": (), "blocks": False}
    with pytest.raises(UsageError, match=r"10 artists or more of few.*got 6"):
        reproduce(sets, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    made = reproduce(sets, tmp_path / "out", protocol="paper", **options)
    assert {row.protocol for row in made.rows} == {"paper"}


def test_ctrl_c_says_so_and_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    """SIGINT while numbers are computed by two processes: exit code 130, then it goes on."""
    out = tmp_path / "out"
    arguments = [*command(root, out), "--workers", "2", "--heads", "mlp"]
    with subprocess.Popen(
        [sys.executable, "-m", "segue", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        text=True,
    ) as running:
        for _ in range(1200):
            if list(out.glob("cells/*/*.json")) or running.poll() is not None:
                break
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "interrupted: what was finished is kept" in " ".join(errors.split())
    # joblib's own processes may say, too, where the signal met them
    end = time.monotonic() + 10
    while time.monotonic() < end and (left := in_session(running.pid)):
        time.sleep(0.1)
    assert not left


def in_session(session: int) -> list[str]:
    """Processes of a session that are there."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found
