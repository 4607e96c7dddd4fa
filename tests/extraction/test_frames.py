"""Frames of tracks: the front end's own, resumed, quarantined, whatever the pool."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from troubled import TroubledFrames

from segue.audio import load, stream
from segue.audio.frontends import FrontEnd, preset
from segue.datasets import Manifest, from_folder
from segue.encoders import encoder
from segue.errors import AudioError, UsageError
from segue.extraction import extract_frames, file_facts, frame_recipe, frames_of
from segue.extraction import worker as workers
from segue.store import FrameTable

RECIPE = frame_recipe("hamel2013")


@pytest.fixture
def table(tmp_path: Path) -> FrameTable:
    return FrameTable.open_or_create(tmp_path / "store", RECIPE.build().kind)


def manifest_of(music: Path) -> Manifest:
    return from_folder(music, suffixes={".wav"})


def all_frames(table: FrameTable, manifest: Manifest) -> list[np.ndarray]:
    """Frames in manifest order; all must be there."""
    found = table.find([file_facts(track) for track in manifest.tracks()])
    assert None not in found
    return [np.array(table.frames(stored)) for stored in found if stored is not None]


def front_end_alone(path: Path, seconds: float | None = 30.0) -> np.ndarray:
    samples = load(path, rate=22050, duration=seconds).samples
    return FrontEnd(preset("hamel2013"))(torch.from_numpy(samples)[None])[0].numpy()


@pytest.mark.parametrize("processes", [1, 2])
def test_frames_are_those_of_the_front_end_on_the_clip_alone(
    music: Path, table: FrameTable, processes: int
) -> None:
    done = extract_frames(manifest_of(music), table, RECIPE, workers=processes)
    assert (done.computed, done.reused, done.quarantined, done.total) == (8, 0, 0, 8)
    for track, frames in zip(
        manifest_of(music).tracks(), all_frames(table, manifest_of(music)), strict=True
    ):
        np.testing.assert_array_equal(frames, front_end_alone(track.path))
        np.testing.assert_array_equal(frames, frames_of(track.path, RECIPE.build()))
    again = extract_frames(manifest_of(music), table, RECIPE, workers=processes)
    assert (again.computed, again.reused) == (0, 8)


def test_frames_of_real_music(segue_data: Path, tmp_path: Path) -> None:
    """The paper hears 30 s: 1292 frames of half-overlapping 46 ms."""
    rows = [
        {"path": str(track.path), "id": track.id}
        for track in list(Manifest.read(segue_data / "4q/manifest.csv").tracks())[:900:300]
    ]
    manifest = Manifest.from_rows(rows)
    table = FrameTable.open_or_create(tmp_path / "store", RECIPE.build().kind)
    assert extract_frames(manifest, table, RECIPE, workers=1).computed == 3
    for one, frames in zip(rows, all_frames(table, manifest), strict=True):
        np.testing.assert_array_equal(frames, front_end_alone(Path(one["path"])))
        assert frames.shape[1] == 200
        assert 1200 < len(frames) <= 1 + 30 * 22050 // 512


def test_seconds_bound_what_is_heard_and_belong_to_the_kind(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 40 * 8000)
    soundfile.write(tmp_path / "long.wav", samples, 8000)
    manifest = manifest_of(tmp_path)
    lengths = {}
    for seconds in (30.0, 2.0, None):
        recipe = frame_recipe("hamel2013", seconds=seconds)
        table = FrameTable.open_or_create(tmp_path / "store", recipe.build().kind)
        extract_frames(manifest, table, recipe, workers=1)
        (frames,) = all_frames(table, manifest)
        np.testing.assert_array_equal(frames, front_end_alone(tmp_path / "long.wav", seconds))
        lengths[seconds] = len(frames)
    assert lengths == {30.0: 1292, 2.0: 87, None: 1723}
    with pytest.raises(UsageError, match=r"at least 0\.05 seconds"):
        frame_recipe("hamel2013", seconds=0.0)


def test_start_and_duration_choose_the_stretch(music: Path, table: FrameTable) -> None:
    path = str(music / "calm/0.wav")
    rows = [
        {"path": path, "id": "whole"},
        {"path": path, "id": "part", "start": "1.0", "duration": "0.5"},
    ]
    manifest = Manifest.from_rows(rows)
    extract_frames(manifest, table, RECIPE, workers=1)
    whole, part = all_frames(table, manifest)
    assert (len(whole), len(part)) == (87, 22)


def test_vectors_of_any_encoder_serve_as_frames(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 70 * 12000)
    soundfile.write(tmp_path / "long.wav", samples, 12000, subtype="FLOAT")
    recipe = frame_recipe("random-convnet@13")
    table = FrameTable.open_or_create(tmp_path / "store", recipe.build().kind)
    manifest = manifest_of(tmp_path)
    extract_frames(manifest, table, recipe, workers=1)
    whole = encoder("random-convnet@13", chunks=None)
    (frames,) = all_frames(table, manifest)
    expected = whole.encode_chunks(whole.chunks_of(load(tmp_path / "long.wav", rate=12000)))
    np.testing.assert_allclose(frames, expected, rtol=1e-4, atol=1e-5)
    assert frames.shape == (2, 64)
    assert table.kind.facts["card"] == whole.card.digest
    first = frame_recipe("random-convnet@13", chunks=1).build().kind
    assert first.digest != table.kind.digest


def test_a_recipe_fills_its_own_table_only(music: Path, table: FrameTable) -> None:
    with pytest.raises(UsageError, match="wanted the table of frames-mfcc"):
        extract_frames(manifest_of(music), table, frame_recipe("mfcc"), workers=1)
    assert not table.contents().rows
    with pytest.raises(UsageError, match="no layers for the front end"):
        frame_recipe("hamel2013", layers=[1])
    with pytest.raises(UsageError, match="an encoder among"):
        frame_recipe("nonsense").build()


def test_files_that_cannot_be_used_are_quarantined(music: Path, table: FrameTable) -> None:
    (music / "calm/bad.wav").write_text("not audio")
    soundfile.write(music / "calm/silent.wav", np.zeros(22050), 22050)
    soundfile.write(music / "calm/short.wav", np.ones(30), 22050)
    done = extract_frames(manifest_of(music), table, RECIPE, workers=1)
    assert (done.computed, done.quarantined) == (8, 3)
    assert done.by_stage() == {"samples": 2, "open": 1}
    again = extract_frames(manifest_of(music), table, RECIPE, workers=1)
    assert (again.computed, again.reused, again.quarantined) == (0, 8, 3)
    shutil.copy(music / "wild/7.wav", music / "calm/bad.wav")
    third = extract_frames(manifest_of(music), table, RECIPE, workers=1)
    assert (third.reused, third.quarantined) == (9, 2)  # its content was known
    with pytest.raises(AudioError, match="digital silence"):
        frames_of(music / "calm/silent.wav", RECIPE.build())


def test_frames_that_are_not_finite_are_quarantined(music: Path, table: FrameTable) -> None:
    """Samples so far beyond full scale that their spectrum overflows."""
    huge = 3e38 * np.sign(np.sin(np.arange(22050) / 9))
    soundfile.write(music / "wild/huge.wav", huge, 22050, subtype="FLOAT")
    done = extract_frames(manifest_of(music), table, RECIPE, workers=1)
    assert (done.computed, done.quarantined) == (8, 1)
    assert done.failures[0].stage == "features"
    assert "not finite" in done.failures[0].reason
    with pytest.raises(AudioError, match="wanted finite frames"):
        frames_of(music / "wild/huge.wav", RECIPE.build())


def test_changed_files_are_made_anew_and_moved_ones_known(
    music: Path, table: FrameTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract_frames(manifest_of(music), table, RECIPE, workers=1)
    louder = soundfile.read(music / "calm/0.wav")[0] * 0.5
    soundfile.write(music / "calm/0.wav", louder, 22050)
    done = extract_frames(manifest_of(music), table, RECIPE, workers=1)
    assert (done.computed, done.reused) == (1, 7)
    (music / "calm/1.wav").rename(music / "calm/renamed.wav")
    heard: list[Path] = []
    monkeypatch.setattr(
        workers, "stream", lambda path, **k: heard.append(path) or stream(path, **k)
    )
    done = extract_frames(manifest_of(music), table, RECIPE, workers=0)
    assert (done.computed, done.reused, heard) == (0, 8, [])
    for track, frames in zip(
        manifest_of(music).tracks(), all_frames(table, manifest_of(music)), strict=True
    ):
        np.testing.assert_array_equal(frames, front_end_alone(track.path))


def test_a_decoder_that_kills_its_process_costs_one_file(music: Path, table: FrameTable) -> None:
    shutil.copy(music / "wild/7.wav", music / "wild/killed.wav")
    recipe = TroubledFrames(name="hamel2013")
    done = extract_frames(manifest_of(music), table, recipe, workers=2)
    assert (done.computed, done.quarantined) == (8, 1)
    assert (done.failures[0].facts.id, done.failures[0].stage) == ("wild/killed.wav", "crash")


STOPPED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
from segue.datasets import from_folder
from segue.extraction import extract_frames, frame_recipe
from segue.store import FrameTable, frames
frames.SHARD_TRACKS = 4
def tell(done, failed, total):
    print(done, flush=True)
    time.sleep(0.3)
if __name__ == "__main__":
    recipe = frame_recipe("hamel2013")
    table = FrameTable.open_or_create(sys.argv[2], recipe.build().kind)
    manifest = from_folder(sys.argv[1], suffixes={".wav"})
    extract_frames(manifest, table, recipe, workers=1, progress=tell)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_stopped_resumes_to_the_same_table(
    music: Path, tmp_path: Path, table: FrameTable, how: signal.Signals
) -> None:
    draws = np.random.default_rng(0)
    for number in range(22):
        samples = draws.normal(0, 0.1, 8000 + 100 * number)
        soundfile.write(music / f"calm/more{number:02}.wav", samples, 22050)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(music), str(tmp_path / "stopped")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while int(process.stdout.readline()) < 4:  # until a shard is written
        pass
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    stopped = FrameTable.open_or_create(tmp_path / "stopped", table.kind)
    kept = len(stopped.contents().rows)
    assert 4 <= kept < 30
    resumed = extract_frames(manifest_of(music), stopped, RECIPE, workers=1)
    assert (resumed.computed, resumed.reused) == (30 - kept, kept)
    extract_frames(manifest_of(music), table, RECIPE, workers=1)
    found = manifest_of(music)
    for one, other in zip(all_frames(stopped, found), all_frames(table, found), strict=True):
        np.testing.assert_array_equal(one, other)
