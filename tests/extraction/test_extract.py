"""Filling a store: resume, moved files, crashes, interruption."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from segue.audio import Audio
from segue.datasets import Manifest, from_folder
from segue.encoders import encoder
from segue.errors import UsageError
from segue.extraction import Recipe, extract
from segue.extraction import pool as pools
from segue.extraction import worker as workers
from segue.store import FeatureTable

RECIPE = Recipe("mfcc")


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    return FeatureTable.open_or_create(tmp_path / "store", encoder("mfcc").card)


def manifest_of(music: Path) -> Manifest:
    return from_folder(music, suffixes={".wav"})


def test_a_second_run_computes_nothing(music: Path, table: FeatureTable) -> None:
    first = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (first.computed, first.reused, first.quarantined) == (8, 0, 0)
    before = table.read()
    second = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (second.computed, second.reused, second.quarantined) == (0, 8, 0)
    np.testing.assert_array_equal(table.read()[1], before[1])


def test_moved_and_copied_files_are_recognised_by_content(
    music: Path, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(manifest_of(music), table, RECIPE, workers=1)
    shutil.move(music / "calm/0.wav", music / "calm/renamed.wav")
    shutil.copy(music / "wild/7.wav", music / "wild/copy.wav")
    heard: list[str] = []
    load = workers.load
    monkeypatch.setattr(workers, "load", lambda path, **k: heard.append(path) or load(path, **k))
    done = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (done.computed, done.reused, done.total) == (0, 9, 9)
    assert heard == []
    X, _ = table.matrix(["calm/renamed.wav", "calm/0.wav", "wild/copy.wav", "wild/7.wav"])
    np.testing.assert_array_equal(X[0], X[1])
    np.testing.assert_array_equal(X[2], X[3])


def test_changed_content_under_the_same_name_is_embedded_again(
    music: Path, table: FeatureTable
) -> None:
    extract(manifest_of(music), table, RECIPE, workers=1)
    before, _ = table.matrix(["calm/0.wav"])
    shutil.copy(music / "wild/7.wav", music / "calm/0.wav")
    os.utime(music / "calm/0.wav", ns=(1, 1))
    extract(manifest_of(music), table, RECIPE, workers=1)
    after, _ = table.matrix(["calm/0.wav"])
    assert not np.array_equal(before, after)


def test_start_and_duration_choose_the_stretch(music: Path, table: FeatureTable) -> None:
    path = str(music / "calm/0.wav")
    rows = [
        {"path": path, "id": "whole"},
        {"path": path, "id": "late", "start": "1.0"},
        {"path": path, "id": "short", "duration": "0.5"},
    ]
    extract(Manifest.from_rows(rows), table, RECIPE, workers=1)
    X, there = table.matrix(["whole", "late", "short"])
    assert there.all()
    samples, rate = soundfile.read(path, dtype="float32")
    from segue.audio import resample

    late = encoder("mfcc").features(Audio(resample(samples[rate:], rate, 12000), 12000))
    assert np.abs(X[1] - late).max() < 0.05 * np.abs(late).max()
    assert len(np.unique(X, axis=0)) == 3


def test_whole_clips_are_streamed_chunk_by_chunk(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    samples = (draws.normal(size=70 * 12000) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", samples, 12000, subtype="FLOAT")
    whole = encoder("mfcc", chunks=None)
    table = FeatureTable.open_or_create(tmp_path / "store", whole.card)
    manifest = from_folder(tmp_path, suffixes={".wav"})
    extract(manifest, table, Recipe("mfcc", chunks=None), workers=1)
    # 29 + 29 + 12 s: the last is shorter than half a chunk and left out
    expected = whole.features(Audio(samples, 12000))
    np.testing.assert_allclose(table.read()[1][0], expected, rtol=1e-5, atol=1e-5)


def test_a_quarantined_file_is_not_tried_again_unless_asked_or_changed(
    music: Path, table: FeatureTable
) -> None:
    bad = music / "calm/bad.wav"
    bad.write_text("not audio")
    first = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (first.computed, first.quarantined) == (8, 1)
    assert first.by_stage() == {"open": 1}
    lines = (table.folder / "failures.jsonl").read_text().count("stage")
    second = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (second.computed, second.quarantined) == (0, 1)
    assert (table.folder / "failures.jsonl").read_text().count("stage") == lines
    third = extract(manifest_of(music), table, RECIPE, workers=1, retry_failed=True)
    assert third.quarantined == 1
    assert (table.folder / "failures.jsonl").read_text().count("stage") == lines + 1
    shutil.copy(music / "wild/7.wav", bad)
    fourth = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (fourth.quarantined, len(table.failures())) == (0, 0)


def test_an_unforeseen_error_costs_one_file(
    music: Path, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = encoder("mfcc")
    encode = subject.encode_chunks

    def sometimes(chunks: list[np.ndarray]) -> np.ndarray:
        if any(np.abs(chunk).max() > 2.0 for chunk in chunks):
            raise ZeroDivisionError("too loud for me")
        return encode(chunks)

    loud = 3.0 * np.sin(np.arange(22050) / 9)
    soundfile.write(music / "wild/loud.wav", loud, 22050, subtype="FLOAT")
    monkeypatch.setattr(subject, "encode_chunks", sometimes)
    done = extract(manifest_of(music), table, RECIPE, encoder=subject, workers=1)
    assert (done.computed, done.quarantined) == (8, 1)
    assert done.failures[0].stage == "unexpected"
    assert "ZeroDivisionError: too loud for me" in done.failures[0].reason


def test_a_decoder_that_kills_its_process_costs_one_file(
    music: Path, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(music / "wild/7.wav", music / "wild/killer.wav")
    monkeypatch.setattr(pools, "_work", _deadly)
    done = extract(manifest_of(music), table, RECIPE, workers=2)
    assert (done.computed, done.quarantined) == (8, 1)
    assert done.failures[0].facts.id == "wild/killer.wav"
    assert done.failures[0].stage == "crash"


def _deadly(tasks: list[workers.Task]) -> list[workers.Outcome]:
    """What a worker does, but for one name that ends the process as a decoder's crash would."""
    if any(task.track.path.name == "killer.wav" for task in tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    assert pools._encoder is not None
    return workers.process(tasks, pools._encoder)


def test_no_workers_is_a_usage_error(music: Path, table: FeatureTable) -> None:
    with pytest.raises(UsageError, match="at least one worker"):
        extract(manifest_of(music), table, RECIPE, workers=0)


SLOW = """
import sys, time
from pathlib import Path
from segue.datasets import from_folder
from segue.encoders import encoder
from segue.extraction import Recipe, extract
from segue.store import FeatureTable
subject = encoder("mfcc")
encode = subject.encode_chunks
def slowly(chunks):
    time.sleep(0.3)
    return encode(chunks)
subject.encode_chunks = slowly
table = FeatureTable.open_or_create(Path(sys.argv[2]), subject.card)
manifest = from_folder(sys.argv[1], suffixes={".wav"})
extract(manifest, table, Recipe("mfcc"), encoder=subject, workers=1,
        progress=lambda done, failed, total: print(done, flush=True))
"""


def test_ctrl_c_keeps_what_was_finished_and_resumes_to_the_same_table(
    music: Path, tmp_path: Path, table: FeatureTable
) -> None:
    for number in range(40):
        shutil.copy(music / "calm/1.wav", music / f"calm/more{number:02}.wav")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(music), str(tmp_path / "stopped")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first batch is done
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    stopped = FeatureTable.open_or_create(tmp_path / "stopped", table.card)
    kept = len(stopped.read()[0])
    assert 0 < kept < 48
    resumed = extract(manifest_of(music), stopped, RECIPE, workers=1)
    assert resumed.computed + resumed.reused == 48
    assert resumed.reused >= kept
    extract(manifest_of(music), table, RECIPE, workers=1)
    ids = manifest_of(music).ids
    np.testing.assert_array_equal(stopped.matrix(ids)[0], table.matrix(ids)[0])


def test_progress_counts_every_track(music: Path, table: FeatureTable) -> None:
    seen: list[tuple[int, int, int]] = []
    began = time.monotonic()
    report = extract(
        manifest_of(music), table, RECIPE, workers=1, progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (8, 0, 8)
    assert 0 < report.seconds <= time.monotonic() - began


PEAK = """
import resource, sys
from segue.workflows import embed
report = embed(sys.argv[1], sys.argv[2], encoder="mfcc", chunks=None, workers=1)
assert report.computed == 1, report.failures
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """An hour, heard whole, within 100 MB of half a minute (its samples alone are 170 MB)."""
    block = (np.random.default_rng(0).normal(size=60 * 8000) * 0.05).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 8000, 1, "PCM_16") as file:
        for _ in range(60):
            file.write(block)
    soundfile.write(tmp_path / "short.wav", block[: 30 * 8000], 8000)
    peaks = {}
    for name in ("short", "hour"):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path / f"{name}.wav"), str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[name] = int(done.stdout)
    assert peaks["hour"] - peaks["short"] < 100, peaks
