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
import psutil
import pytest
import soundfile
from troubled import Troubled

from segue.audio import Audio, load, stream
from segue.datasets import Manifest, from_folder
from segue.encoders import encoder
from segue.errors import SegueError, UsageError
from segue.extraction import Limits, Recipe, extract, file_facts
from segue.extraction import worker as workers
from segue.store import FeatureTable, Row

RECIPE = Recipe("mfcc")


@pytest.fixture
def table(tmp_path: Path) -> FeatureTable:
    return FeatureTable.open_or_create(tmp_path / "store", encoder("mfcc").card)


def manifest_of(music: Path) -> Manifest:
    return from_folder(music, suffixes={".wav"})


def matrix(table: FeatureTable, manifest: Manifest) -> np.ndarray:
    """Features in manifest order; all must be there."""
    X, there = table.matrix([file_facts(track) for track in manifest.tracks()])
    assert there.all()
    return X


def features(table: FeatureTable, *paths: Path) -> np.ndarray:
    return matrix(table, Manifest.from_rows([{"path": str(path)} for path in paths]))


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
    monkeypatch.setattr(
        workers, "stream", lambda path, **k: heard.append(path) or stream(path, **k)
    )
    done = extract(manifest_of(music), table, RECIPE, workers=0)
    assert (done.computed, done.reused, done.total) == (0, 9, 9)
    assert heard == []
    X = features(table, *(music / name for name in ("wild/copy.wav", "wild/7.wav")))
    np.testing.assert_array_equal(X[0], X[1])
    moved = features(table, music / "calm/renamed.wav")[0]
    np.testing.assert_array_equal(
        moved, encoder("mfcc").features(load(music / "calm/renamed.wav", rate=12000))
    )


def test_changed_content_under_the_same_name_is_embedded_again(
    music: Path, table: FeatureTable
) -> None:
    extract(manifest_of(music), table, RECIPE, workers=1)
    before = features(table, music / "calm/0.wav")
    shutil.copy(music / "wild/7.wav", music / "calm/0.wav")
    os.utime(music / "calm/0.wav", ns=(1, 1))
    extract(manifest_of(music), table, RECIPE, workers=1)
    after = features(table, music / "calm/0.wav")
    assert not np.array_equal(before, after)


def test_start_and_duration_choose_the_stretch(music: Path, table: FeatureTable) -> None:
    path = str(music / "calm/0.wav")
    rows = [
        {"path": path, "id": "whole"},
        {"path": path, "id": "late", "start": "1.0"},
        {"path": path, "id": "short", "duration": "0.5"},
    ]
    extract(Manifest.from_rows(rows), table, RECIPE, workers=1)
    X = matrix(table, Manifest.from_rows(rows))
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


def quarantine(table: FeatureTable) -> str:
    """Everything that is noted of failures, and when."""
    return "".join(path.read_text() for path in sorted(table.folder.glob("failures/*.jsonl")))


def test_a_quarantined_file_is_not_tried_again_unless_asked_or_changed(
    music: Path, table: FeatureTable
) -> None:
    bad = music / "calm/bad.wav"
    bad.write_text("not audio")
    first = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (first.computed, first.quarantined) == (8, 1)
    assert first.by_stage() == {"open": 1}
    noted = quarantine(table)
    second = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (second.computed, second.quarantined) == (0, 1)
    assert quarantine(table) == noted
    third = extract(manifest_of(music), table, RECIPE, workers=1, retry_failed=True)
    assert third.quarantined == 1
    assert quarantine(table) != noted  # tried, and noted, again
    shutil.copy(music / "wild/7.wav", bad)
    fourth = extract(manifest_of(music), table, RECIPE, workers=1)
    assert (fourth.quarantined, fourth.reused) == (0, 9)
    assert not table.contents().failures


def test_files_that_were_away_for_a_run_are_known_again(music: Path, table: FeatureTable) -> None:
    """As when a share is not mounted: quarantined, and back with the files, unchanged."""
    manifest = manifest_of(music)
    extract(manifest, table, RECIPE, workers=1)
    before = matrix(table, manifest)
    music.rename(music.with_name("away"))
    away = extract(manifest, table, RECIPE, workers=1)
    assert (away.reused, away.quarantined) == (0, 8)
    assert not table.read()[0]
    music.with_name("away").rename(music)
    back = extract(manifest, table, RECIPE, workers=1)
    assert (back.computed, back.reused, back.quarantined) == (0, 8, 0)
    np.testing.assert_array_equal(matrix(table, manifest), before)


def test_the_working_directory_does_not_matter(
    music: Path, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(music.parent)
    extract(manifest_of(Path(music.name)), table, RECIPE, workers=1)
    monkeypatch.chdir(music)
    again = extract(manifest_of(Path()), table, RECIPE, workers=1)
    assert (again.computed, again.reused) == (0, 8)
    assert len(list((table.folder / "shards").iterdir())) == 1


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
    done = extract(manifest_of(music), table, RECIPE, encoder=subject, workers=0)
    assert (done.computed, done.quarantined) == (8, 1)
    assert done.failures[0].stage == "unexpected"
    assert "ZeroDivisionError: too loud for me" in done.failures[0].reason


@pytest.mark.parametrize("processes", [1, 2])
def test_a_decoder_that_kills_its_process_costs_one_file(
    music: Path, table: FeatureTable, processes: int
) -> None:
    shutil.copy(music / "wild/7.wav", music / "wild/killed.wav")
    done = extract(manifest_of(music), table, Troubled("mfcc"), workers=processes)
    assert (done.computed, done.quarantined) == (8, 1)
    assert done.failures[0].facts.id == "wild/killed.wav"
    assert done.failures[0].stage == "crash"


def test_a_decoder_that_hangs_costs_one_file(music: Path, table: FeatureTable) -> None:
    shutil.copy(music / "wild/7.wav", music / "wild/sleeps.wav")
    limits = Limits(seconds=1.5)
    done = extract(manifest_of(music), table, Troubled("mfcc"), workers=2, limits=limits)
    assert (done.computed, done.quarantined) == (8, 1)
    assert done.failures[0].facts.id == "wild/sleeps.wav"
    assert done.failures[0].stage == "timeout"


def test_a_worker_that_dies_while_nobody_waits_costs_one_file(
    music: Path, table: FeatureTable
) -> None:
    """It may die while the parent is busy writing, which finds out when it gives it more."""
    for number in range(57):
        shutil.copy(music / "wild/7.wav", music / f"wild/more{number:02}.wav")
    shutil.copy(music / "wild/7.wav", music / "calm/killed.wav")
    pauses = iter([0.3] * 5)
    done = extract(
        manifest_of(music),
        table,
        Troubled("mfcc"),
        workers=2,
        progress=lambda *_: time.sleep(next(pauses, 0.0)),
    )
    assert (done.computed, done.quarantined) == (65, 1)
    assert done.failures[0].facts.id == "calm/killed.wav"


def test_workers_that_cannot_start_blame_no_file(music: Path, table: FeatureTable) -> None:
    with pytest.raises(SegueError, match=r"worker processes.*an encoder among"):
        extract(manifest_of(music), table, Recipe("nonsense"), workers=2)
    assert not table.contents().failures


UNGUARDED = """
import sys
import segue
open(sys.argv[3], "a").write("ran\\n")
done = segue.embed(sys.argv[1], sys.argv[2], workers=2)
print(done.computed, done.quarantined)
"""


def test_a_script_without_a_main_guard_runs_once(music: Path, tmp_path: Path) -> None:
    script, ran = tmp_path / "script.py", tmp_path / "ran"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(script), str(music), str(tmp_path / "store"), str(ran)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "8 0\n", done.stderr
    assert ran.read_text() == "ran\n"


def test_workers_end_when_their_parent_is_killed(music: Path, tmp_path: Path) -> None:
    for number in range(200):
        shutil.copy(music / "wild/7.wav", music / f"wild/more{number:03}.wav")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "segue", "embed", str(music), "-o", str(tmp_path / "store")),
            *("--workers", "2", "--encoder", "random-convnet"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parent, family = psutil.Process(process.pid), []
    deadline = time.monotonic() + 30
    while len(family) < 3 and time.monotonic() < deadline:  # the server and two workers
        family = parent.children(recursive=True)
        time.sleep(0.05)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert len(family) >= 3
    assert not alive


def test_a_negative_number_of_workers_is_a_usage_error(music: Path, table: FeatureTable) -> None:
    with pytest.raises(UsageError, match="workers, 0 or more"):
        extract(manifest_of(music), table, RECIPE, workers=-1)


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
from pathlib import Path
from segue.datasets import from_folder
from segue.encoders import encoder
from segue.extraction import Recipe, extract, file_facts
from segue.store import FeatureTable, Row
subject = encoder("mfcc")
encode = subject.encode_chunks
def slowly(chunks):
    time.sleep(0.3)
    return encode(chunks)
subject.encode_chunks = slowly
table = FeatureTable.open_or_create(Path(sys.argv[2]), subject.card)
manifest = from_folder(sys.argv[1], suffixes={".wav"})
extract(manifest, table, Recipe("mfcc"), encoder=subject, workers=0,
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
    while not int(process.stdout.readline()):  # until the first batch is done
        pass
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
    found = manifest_of(music)
    np.testing.assert_array_equal(matrix(stopped, found), matrix(table, found))


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
report = embed(sys.argv[1], sys.argv[2], encoder="mfcc", chunks=None, workers=0)
assert report.computed == 1, report.failures
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(
    ("minutes", "more"),
    [(15, 35), pytest.param(60, 100, marks=pytest.mark.long)],  # MB: less than its samples take
)
def test_a_long_file_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, minutes: int, more: int
) -> None:
    """Heard whole, it takes less on top of half a minute than its samples alone would."""
    block = (np.random.default_rng(0).normal(size=60 * 8000) * 0.05).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 8000, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(block)
    soundfile.write(tmp_path / "short.wav", block[: 30 * 8000], 8000)
    peaks = {}
    for name in ("short", "long"):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path / f"{name}.wav"), str(tmp_path / name)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[name] = int(done.stdout)
    assert peaks["long"] - peaks["short"] < more, peaks


def test_a_row_says_what_decoded_its_file(music: Path, table: FeatureTable) -> None:
    extract(manifest_of(music), table, RECIPE, workers=0)
    rows = table.rows_of(table.contents().usable())
    assert {row.decoder for row in rows} == {f"libsndfile {soundfile.__libsndfile_version__}"}


def test_files_that_were_moved_are_kept_when_the_run_is_interrupted(
    music: Path, table: FeatureTable
) -> None:
    extract(manifest_of(music), table, RECIPE, workers=0)
    moved = music.rename(music.with_name("moved"))

    def interrupt(done: int, failed: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(manifest_of(moved), table, RECIPE, workers=0, progress=interrupt)
    places = {one.facts.path for one in table.contents().usable()}
    assert {str(path) for path in moved.rglob("*.wav")} <= places


def test_a_hash_holds_only_for_the_file_that_was_hashed(
    music: Path, tmp_path: Path, table: FeatureTable
) -> None:
    path = music / "calm" / "0.wav"
    before = path.read_bytes()
    track = next(iter(Manifest.from_rows([{"path": str(path)}]).tracks()))
    task = workers.Task(track, workers.content_hash(path), file_facts(track))
    shutil.copy(music / "wild" / "4.wav", path)  # between the hash and the worker
    (row,) = workers.process([task], encoder("mfcc"))
    assert isinstance(row, Row)
    assert row.key.startswith(workers.content_hash(path))
    table.append(row)
    table.flush()
    copy = tmp_path / "copy.wav"
    copy.write_bytes(before)  # has the bytes that were hashed first
    assert (
        extract(Manifest.from_rows([{"path": str(copy)}]), table, RECIPE, workers=0).computed == 1
    )


def test_a_file_that_changes_while_it_is_read_is_no_row(
    music: Path, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = music / "calm" / "0.wav"
    hashed = workers.content_hash

    def hash_then_change(one: Path) -> str:
        found = hashed(one)
        if one == path:
            shutil.copy(music / "wild" / "4.wav", path)
        return found

    monkeypatch.setattr(workers, "content_hash", hash_then_change)
    done = extract(manifest_of(music), table, RECIPE, workers=0)
    assert [failure.stage for failure in done.failures] == ["changed"]
    monkeypatch.undo()
    again = extract(manifest_of(music), table, RECIPE, workers=0)  # by itself, without being asked
    assert (again.reused, again.quarantined) == (8, 0)  # what it is now is stored as another's
