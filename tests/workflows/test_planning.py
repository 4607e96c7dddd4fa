"""``segue plan``: what a run will take, against the run that follows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segue.cli import app
from segue.datasets import Manifest, from_folder
from segue.errors import UsageError
from segue.store import Failure, FileFacts
from segue.workflows import embed
from segue.workflows.planning import Memory, _rate, plan_embedding

CLOSE = pytest.approx


def clips(segue_data: Path, count: int) -> Manifest:
    """Real clips of one data set, in its own order."""
    return Manifest.read(segue_data / "4q" / "manifest.csv").subset(range(count))


def shard_bytes(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*.parquet"))


def test_bytes_are_those_of_the_run_that_follows(segue_data: Path, tmp_path: Path) -> None:
    manifest = clips(segue_data, 60)
    expected = plan_embedding(manifest, encoder="melstats", workers=1, sample=12)
    done = embed(manifest, tmp_path / "store", encoder="melstats", workers=1)
    assert (expected.tracks, expected.left, done.computed) == (60, 60, 60)
    assert expected.output_bytes == CLOSE(shard_bytes(tmp_path / "store"), rel=0.25)


def test_memory_is_that_of_the_run_that_follows(segue_data: Path, tmp_path: Path) -> None:
    manifest = clips(segue_data, 60)
    expected = plan_embedding(manifest, encoder="random-convnet", workers=1, sample=12)
    with Memory() as memory:
        embed(manifest, tmp_path / "store", encoder="random-convnet", workers=1)
    assert expected.memory_bytes == CLOSE(memory.peak, rel=0.25)


@pytest.mark.long  # a time: true only on a machine that does nothing else
@pytest.mark.parametrize("encoder", ["mfcc", "random-convnet"])
@pytest.mark.parametrize("workers", [1, 2])
def test_time_is_that_of_the_run_that_follows(
    encoder: str, workers: int, segue_data: Path, tmp_path: Path
) -> None:
    if workers > len(os.sched_getaffinity(0)):
        pytest.skip(f"{workers} workers need as many processors")
    manifest = clips(segue_data, 900)
    expected = plan_embedding(manifest, encoder=encoder, workers=workers)
    done = embed(manifest, tmp_path / "store", encoder=encoder, workers=workers)
    assert expected.seconds == CLOSE(done.seconds, rel=0.25)


def test_what_is_there_is_not_planned_again(music: Path, tmp_path: Path) -> None:
    some = from_folder(music / "calm", suffixes={".wav"})
    embed(some, tmp_path / "store")
    found = plan_embedding(music / "tracks.csv", store=tmp_path / "store", workers=0, sample=3)
    assert (found.tracks, found.done, found.left, found.sampled) == (8, 4, 4, 4)
    embed(music / "tracks.csv", tmp_path / "store")
    found = plan_embedding(music / "tracks.csv", store=tmp_path / "store", workers=0)
    assert (found.left, found.seconds, found.output_bytes) == (0, 0.0, 0)
    other = plan_embedding(music / "tracks.csv", encoder="melstats", store=tmp_path / "store")
    assert other.done == 0  # another encoder's table is not its


def test_refused_files_are_counted_with_their_stage(music: Path) -> None:
    for name in ("0.wav", "1.wav"):
        (music / "calm" / name).write_bytes(b"no sound")
    found = plan_embedding(music / "tracks.csv", workers=0)
    assert (found.sampled, found.refused, found.reasons) == (8, 2, {"open": 2})
    everything = [music / "calm" / "0.wav", music / "calm" / "1.wav"]
    none = plan_embedding(everything, workers=0)
    assert (none.refused, none.output_bytes) == (2, 0)


def test_outcomes_that_come_together_are_counted_together() -> None:
    """In this process eight come at once: the last of them is no sign of a higher rate."""
    outcome = Failure(facts=FileFacts(id="a", path="/a", line=1, bytes=1, mtime_ns=1), stage="x",
                      reason="y")  # fmt: skip
    for sampled in (8, 16, 32):
        tried = [(4.0 * (number // 8 + 1), outcome) for number in range(sampled)]
        rate, start = _rate(tried, 1)
        assert (rate, start) == CLOSE((2.0, 0.0))
    pooled = [(3.0 + number / 4, outcome) for number in range(32)]  # two workers, 2.5 s to start
    rate, start = _rate(pooled, 2)
    assert (rate, start) == CLOSE((4.0, 2.75))


def test_a_sample_of_nothing_is_refused(music: Path) -> None:
    with pytest.raises(UsageError, match="a sample of 1 or more"):
        plan_embedding(music, sample=0)


def test_on_the_command_line(music: Path, tmp_path: Path) -> None:
    line = ["plan", str(music / "tracks.csv"), "--encoder", "melstats", "--workers", "1"]
    done = CliRunner().invoke(app, [*line, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["tracks"], found["left"], found["dim"], found["workers"]) == (8, 8, 800, 1)
    assert found["seconds"] > 0
    assert found["output_bytes"] > 8 * 800 * 4
    assert found["memory_bytes"] > 50e6
    shown = CliRunner().invoke(app, line)
    assert shown.exit_code == 0
    for word in ("tracks a second", "kB", "memory", "melstats, 800 numbers a track"):
        assert word in shown.stdout
    wrong = CliRunner().invoke(app, [*line, "--memory-budget", "much"])
    assert wrong.exit_code == 2
    assert "an amount of memory such as 4GB" in " ".join(wrong.output.split())
