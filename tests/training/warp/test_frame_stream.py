"""Streams of frames: every frame once a pass, any batch at once, bounded memory, no thread left."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from segue.datasets import Manifest
from segue.errors import SegueError, StoreError, UsageError
from segue.extraction import extract_frames, frame_recipe
from segue.store import FileFacts, FrameKind, FrameTable, Row
from segue.store import frames as store_frames
from segue.training.clips import Clips, moments
from segue.training.warp.stream import Stream

WIDTH = 5
LENGTHS = [130, 1, 64, 65, 300, 7, 63, 128, 200]  # 958 frames; some shorter than a passage


def row(number: int, frames: np.ndarray) -> Row:
    facts = FileFacts(
        id=f"t{number}", path=f"/m/{number}.wav", line=number, bytes=number, mtime_ns=1
    )
    return Row(
        facts=facts,
        key=f"k{number}",
        source_rate=44100,
        source_channels=2,
        seconds=1.0,
        features=frames.astype(np.float32),
    )


Make = Callable[..., Clips]


@pytest.fixture
def clips_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Maker of clips: ``clips_of(lengths)``; feature 0 numbers the frames, feature 1 the clips."""
    monkeypatch.setattr(store_frames, "SHARD_TRACKS", 4)
    monkeypatch.setattr(store_frames, "OPEN_SHARDS", 2)

    def make(lengths: list[int] = LENGTHS) -> Clips:
        table = FrameTable.open_or_create(tmp_path / "store", FrameKind("toy", WIDTH, {}))
        first = 0
        for number, length in enumerate(lengths):
            frames = np.random.default_rng(number).normal(size=(length, WIDTH))
            frames[:, 0], frames[:, 1] = np.arange(first, first + length), number
            table.append(row(number, frames))
            first += length
        table.flush()
        return Clips(table, table.contents().usable())

    return make


def stream_of(clips: Clips, rows: list[int] | None = None, **options: object) -> Stream:
    chosen = list(range(len(clips))) if rows is None else rows
    settings: dict[str, object] = {"batch": 10, "seed": 0, "name": "toy", "pool_batches": 7}
    settings |= {"shift": np.zeros(WIDTH), "scale": np.ones(WIDTH)}
    return Stream(clips, chosen, **(settings | options))  # type: ignore[arg-type]


def taken(stream: Stream, begin: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = stream.from_batch(begin)
    found = list(islice(batches, count))
    batches.close()
    return found


def numbers(batches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.concatenate([X[:, 0] for X, _ in batches]).astype(int)


def test_clips_are_what_was_stored(clips_of: Make) -> None:
    clips = clips_of()
    assert clips.counts.tolist() == LENGTHS
    assert (len(clips), clips.width) == (9, WIDTH)
    ends = np.cumsum(LENGTHS)
    for clip, (end, length) in enumerate(zip(ends, LENGTHS, strict=True)):
        assert clips.frames(clip)[:, 0].tolist() == list(range(end - length, end))


def test_every_frame_is_delivered_once_a_pass_but_for_what_is_left_over(clips_of: Make) -> None:
    stream = stream_of(clips_of())
    assert (stream.total, stream.per_pass) == (958, 95)
    missing = []
    for lap in range(5):
        batches = taken(stream, lap * 95, 95)
        assert all(X.shape == (10, WIDTH) and X.dtype == np.float32 for X, _ in batches)
        assert all(X.flags.c_contiguous and X.flags.owndata for X, _ in batches)
        heard = numbers(batches)
        assert len(np.unique(heard)) == 950
        missing.append(set(range(958)) - set(heard.tolist()))
        for X, clip in batches:
            assert clip.dtype == np.int64
            np.testing.assert_array_equal(clip, X[:, 1])
    assert len({frozenset(one) for one in missing}) > 1  # not always the same are left over


def test_frames_arrive_whole_and_in_standard_units(clips_of: Make) -> None:
    clips = clips_of()
    shift, scale = np.arange(WIDTH) + 0.5, 1.0 / (np.arange(WIDTH) + 2.0)
    everything = np.concatenate([clips.frames(clip) for clip in range(len(clips))])
    plain = taken(stream_of(clips), 0, 95)
    scaled = taken(stream_of(clips, shift=shift, scale=scale), 0, 95)
    for (X, _), (S, _) in zip(plain, scaled, strict=True):
        np.testing.assert_array_equal(X, everything[X[:, 0].astype(int)])
        np.testing.assert_allclose(S, (X - shift) * scale, rtol=1e-5, atol=1e-6)


def test_some_clips_are_streamed_under_their_own_numbers(clips_of: Make) -> None:
    stream = stream_of(clips_of(), [8, 2, 5])
    batches = taken(stream, 0, stream.per_pass)
    assert stream.total == 271
    assert set(np.concatenate([clip for _, clip in batches]).tolist()) == {2, 5, 8}
    assert len(np.unique(numbers(batches))) == 270


def test_order_follows_from_seed_name_and_pass(clips_of: Make) -> None:
    clips = clips_of()
    first = numbers(taken(stream_of(clips), 0, 95))
    np.testing.assert_array_equal(first, numbers(taken(stream_of(clips), 0, 95)))
    for other in (
        taken(stream_of(clips), 95, 95),
        taken(stream_of(clips, seed=1), 0, 95),
        taken(stream_of(clips, name="other"), 0, 95),
    ):
        assert (numbers(other) == first).mean() < 0.05


def test_a_batch_mixes_clips(clips_of: Make) -> None:
    batches = taken(stream_of(clips_of([640] * 12), pool_batches=64), 0, 700)
    assert np.mean([len(np.unique(clip)) for _, clip in batches]) > 4


@pytest.mark.parametrize("begin", [0, 1, 6, 7, 50, 94, 95, 96, 190, 333])
def test_any_batch_at_once_is_the_batch_that_running_through_gives(
    clips_of: Make, begin: int
) -> None:
    clips = clips_of()
    through = taken(stream_of(clips), 0, begin + 30)[begin:]
    for (X, clip), (again, whose) in zip(through, taken(stream_of(clips), begin, 30), strict=True):
        np.testing.assert_array_equal(X, again)
        np.testing.assert_array_equal(clip, whose)


@pytest.mark.parametrize("lengths", [[3], [1, 1, 2], [9], [10], [19], [64], [1] * 30])
def test_tiny_sets_are_repeated_up_to_a_batch(clips_of: Make, lengths: list[int]) -> None:
    stream = stream_of(clips_of(lengths))
    total = sum(lengths)
    assert stream.per_pass == max(1, total // 10)
    for X, _ in taken(stream, 0, 12):
        assert X.shape == (10, WIDTH)
        times = np.bincount(X[:, 0].astype(int), minlength=total)
        assert times.max() <= -(-10 // total)
        if total <= 10:
            assert times.min() >= 10 // total


def test_pools_and_batches_of_any_size_deliver_every_frame(clips_of: Make) -> None:
    clips = clips_of()
    for batch, pool in ((1, 1), (1, 958), (33, 1), (100, 2), (958, 1), (7, None), (64, 3)):
        stream = stream_of(clips, batch=batch, pool_batches=pool)
        heard = numbers(taken(stream, 0, stream.per_pass))
        assert len(np.unique(heard)) == len(heard) == 958 // batch * batch


def streaming() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("frames of")]


def test_no_thread_is_left(clips_of: Make) -> None:
    stream = stream_of(clips_of())
    batches = stream.from_batch(0)
    assert not streaming()  # nothing is read before the first batch is asked for
    next(batches)
    assert len(streaming()) == 1
    batches.close()
    assert not streaming()
    forgotten = stream.from_batch(3)
    next(forgotten)
    del forgotten
    gc.collect()
    assert not streaming()
    stopped = stream.from_batch(0)
    next(stopped)
    with pytest.raises(KeyboardInterrupt):
        stopped.throw(KeyboardInterrupt)
    assert not streaming()


def test_a_damaged_shard_is_told_and_ends_the_thread(clips_of: Make) -> None:
    clips = clips_of()
    path = clips.rows[-1].shard
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(StoreError, match="wanted a whole shard of frames"):
        taken(stream_of(clips), 0, 200)
    assert not streaming()


def test_requests_that_make_no_sense_are_refused(clips_of: Make) -> None:
    clips = clips_of()
    for rows in ([], [9], [-1]):
        with pytest.raises(UsageError, match="numbers of clips"):
            stream_of(clips, rows)
    with pytest.raises(UsageError, match="at least one frame"):
        stream_of(clips, batch=0)
    with pytest.raises(UsageError, match="5 finite numbers"):
        stream_of(clips, shift=np.zeros(4))
    with pytest.raises(UsageError, match="5 finite numbers"):
        stream_of(clips, scale=np.full(WIDTH, np.nan))
    with pytest.raises(UsageError, match="a batch from 0 on"):
        stream_of(clips).from_batch(-1)


def test_moments_are_those_of_all_frames(clips_of: Make) -> None:
    clips = clips_of()
    everything = np.concatenate([clips.frames(clip) for clip in range(9)]).astype(np.float64)
    mean, deviation = moments(clips)
    np.testing.assert_allclose(mean, everything.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(deviation, everything.std(axis=0), rtol=1e-12)
    part = np.concatenate([clips.frames(clip) for clip in (1, 4)]).astype(np.float64)
    mean, deviation = moments(clips, [1, 4])
    np.testing.assert_allclose(mean, part.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, part.std(axis=0), rtol=1e-12)


def test_moments_of_small_changes_about_a_large_value(tmp_path: Path) -> None:
    """And of none at all: log of nothing, as the emptiest mel bands have it."""
    table = FrameTable.open_or_create(tmp_path, FrameKind("toy", 3, {}))
    draws = np.random.default_rng(0)
    for number in range(6):
        frames = np.empty((1000, 3), np.float32)
        frames[:, 0] = 1e6 + draws.integers(-2, 3, 1000)
        frames[:, 1] = np.log(np.float32(1e-5))
        frames[:, 2] = 0.0
        table.append(row(number, frames))
    table.flush()
    clips = Clips(table, table.contents().usable())
    mean, deviation = moments(clips)
    column = np.concatenate([clips.frames(clip)[:, 0] for clip in range(6)]).astype(np.float64)
    assert deviation[0] == pytest.approx(column.std(), rel=1e-9)
    assert deviation[1:].tolist() == [1.0, 1.0]
    assert mean[1:].tolist() == [float(np.log(np.float32(1e-5))), 0.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_moments_name_the_clip_whose_frames_are_not_finite(clips_of: Make, value: float) -> None:
    clips = clips_of()
    shard = clips.rows[6].shard
    changed = np.load(shard)
    changed[int(clips.begins[6]) + 3, 2] = value
    np.save(shard, changed)
    fresh = Clips(FrameTable.open(clips.table.folder), clips.rows)
    with pytest.raises(SegueError, match=r"wanted finite frames, got 1 .*of /m/6\.wav"):
        moments(fresh)
    moments(fresh, [0, 1, 2])  # the others are well


BOUNDED = """
import sys
from pathlib import Path
import numpy as np
from segue.store import FrameTable
from segue.training.clips import Clips, moments
from segue.training.warp.stream import Stream

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))

table = FrameTable.open(sys.argv[1])
clips = Clips(table, table.contents().usable())
before = peak = anonymous()
shift, deviation = moments(clips)
stream = Stream(clips, range(len(clips)), batch=100, seed=0, name="large", shift=shift,
                scale=1 / deviation, pool_batches=50)
batches = stream.from_batch(0)
sums = np.zeros(clips.width)
for number in range(stream.per_pass):
    X, clip = next(batches)
    sums += X.sum(axis=0, dtype=np.float64)
    if number % 20 == 0:
        peak = max(peak, anonymous())
assert np.abs(sums / (100 * stream.per_pass)).max() < 0.02
print(sum(path.stat().st_size for path in clips.shards) / 2**20, peak - before)
"""


def test_a_set_larger_than_the_memory_it_may_take_is_streamed(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here to read the memory of a process from")
    table = FrameTable.open_or_create(tmp_path, FrameKind("toy", 200, {}))
    draws = np.random.default_rng(0)
    for number in range(150):
        table.append(row(number, draws.standard_normal((1290, 200), np.float32)))
    table.flush()
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(table.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size, grown = map(float, done.stdout.split())
    assert size > 140
    assert grown < 24  # two pools of 4 MB, and what NumPy needs beside


def test_real_music_streams_at_speed(segue_data: Path, tmp_path: Path) -> None:
    """Frames of real clips; far under what was measured, so that a busy machine passes."""
    found = list(Manifest.read(segue_data / "4q/manifest.csv").tracks())[:900:75]
    manifest = Manifest.from_rows([{"path": str(track.path), "id": track.id} for track in found])
    recipe = frame_recipe("hamel2013")
    table = FrameTable.open_or_create(tmp_path / "store", recipe.build().kind)
    assert extract_frames(manifest, table, recipe, workers=1).computed == 12
    clips = Clips(table, table.contents().usable())
    mean, deviation = moments(clips)
    stream = Stream(
        clips, range(12), batch=100, seed=0, name="4q", shift=mean, scale=1.0 / deviation
    )
    began = time.perf_counter()
    batches = taken(stream, 0, 20 * stream.per_pass)
    rate = 100 * len(batches) / (time.perf_counter() - began)
    X = np.concatenate([X for X, _ in batches[: stream.per_pass]])
    constant = mean == np.log(np.float32(1e-5))
    assert np.abs(X.mean(axis=0)).max() < 0.05
    np.testing.assert_allclose(X.std(axis=0)[~constant], 1.0, atol=0.05)
    assert not X[:, constant].any()
    assert rate > 50_000, rate
