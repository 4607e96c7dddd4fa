"""A run that is killed, meets a full disk or another run leaves the table of a whole run."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

DRIVER = Path(__file__).with_name("kill_driver.py")
TRACKS = 60
KILLED = -9
FULL = 3  # the driver's code for a disk that was said to be full

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are of POSIX")


def many_tracks(folder: Path) -> Path:
    """Short clips, of which no two are alike, and three that cannot be read."""
    folder.mkdir()
    for number in range(TRACKS):
        samples = np.random.default_rng(number).normal(0, 0.1, 4000)
        soundfile.write(folder / f"{number:02}.wav", samples, 8000)
    (folder / "empty.wav").touch()
    (folder / "words.wav").write_bytes(b"no music")
    (folder / "cut.flac").write_bytes(b"fLaC\0\0")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the driver tells of its runs."""
    folder = tmp_path_factory.mktemp("runs")
    music = many_tracks(folder / "music")
    done = subprocess.run(
        [sys.executable, DRIVER, music, folder / "stores"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(folder)
    assert found["whole"]["rows"] == TRACKS
    assert len(found["whole"]["failures"]) == 3
    return found


def as_whole(end: dict[str, Any], runs: dict[str, Any]) -> bool:
    """Whether a store ended as that of a run that nothing stopped, no row lost or doubled."""
    kept = ("fingerprint", "rows", "rows_in_shards", "failures", "partial")
    return end["rows_in_shards"] == TRACKS and all(end[n] == runs["whole"][n] for n in kept)


def test_fifty_kills_lose_and_double_nothing(runs: dict[str, Any]) -> None:
    killed = runs["killed"]
    assert sum(killed["how"].values()) == sum(end["kills"] for end in killed["ends"]) == 50
    assert set(killed["how"]) == {"step", "inside", "moment"}
    assert min(killed["how"].values()) >= 5
    merged = killed["merged"]
    assert merged["merged"] > 0
    assert merged["began"] - merged["merged"] - merged.get("left", 0) > 5  # killed while merging
    assert all(as_whole(end, runs) for end in killed["ends"])
    assert min(killed["kept"]) >= 0  # what was stored before a kill is there after it
    assert sum(more > 0 for more in killed["kept"]) >= 5  # and they did not all die at the start


def test_a_killed_run_with_worker_processes_loses_nothing(runs: dict[str, Any]) -> None:
    assert [end["code"] for end in runs["pool"]] == [KILLED] * 2
    assert all(as_whole(end, runs) for end in runs["pool"])


def test_a_full_disk_stops_a_run_that_can_be_resumed(runs: dict[str, Any]) -> None:
    codes = [end["code"] for end in runs["full"]]
    assert set(codes) <= {0, FULL}
    assert codes.count(FULL) >= 5
    assert all(end["partial_at_stop"] == 0 for end in runs["full"])
    assert all(as_whole(end, runs) for end in runs["full"])


def test_two_runs_on_one_store_make_one_table(runs: dict[str, Any]) -> None:
    assert runs["together"]["codes"] == [0, 0]
    assert as_whole(runs["together"], runs)


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    music = many_tracks(tmp_path / "music")
    store = tmp_path / "store"
    command = [sys.executable, "-m", "segue", "embed", music, "-o", store, "--encoder", "mfcc"]
    command += ["--workers", "0"]

    def files_of_4000_bytes_at_most() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))

    stopped = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=files_of_4000_bytes_at_most,
        check=False,
    )
    assert stopped.returncode == 1
    assert "Free space" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    resumed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert resumed.returncode == 3  # the three that cannot be read
    assert len(list(store.glob("mfcc-*/shards/*.parquet"))) == 1
