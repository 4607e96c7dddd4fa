"""Data sets take strict turns; a run that was killed goes on with the same frames, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sets import MemoryStream, music, network

from segue.encoders.joint import JointSpec
from segue.errors import SegueError, UsageError
from segue.store import FileFacts, FrameKind, FrameTable, Row
from segue.training import loop
from segue.training.clips import Clips, moments
from segue.training.loop import Settings, Trained, train
from segue.training.warp.learner import Step, WarpLearner
from segue.training.warp.lesson import Source, WarpLesson
from segue.training.warp.network import new_embedding
from segue.training.warp.settings import WarpSettings
from segue.training.warp.stream import Stream
from segue.training.warp.validation import Holdout

SIZES = (4, 7)
BATCH = 8
WARP = WarpSettings(dimensions=4, batch=BATCH)
SETTINGS = Settings(epochs=4, learning_rate=0.05, patience=4, stop_on="valid_map", seed=5)


class Killed(WarpLesson):
    """A lesson that stops at one stretch, as Ctrl-C would."""

    stop_at = (0, 0)

    def batches(self, epoch: int, skip: int) -> Iterator[list[Step]]:
        for step, stretch in enumerate(super().batches(epoch, skip), start=skip):
            if (epoch, step) == self.stop_at:
                raise KeyboardInterrupt
            yield stretch


def parts(seed: int = 0) -> tuple[list[MemoryStream], list[Source], list[Holdout], list[object]]:
    streams, sources, holdouts, labels = [], [], [], []
    for number, size in enumerate(SIZES):
        clips, carried = music(size, most=number + 1, clips=30 + 20 * number, seed=seed)
        streams.append(MemoryStream(clips, BATCH, seed=number))
        sources.append(Source(number, streams[-1], int(clips.counts.sum())))
        holdouts.append(Holdout(f"set {number}", *music(size, most=number + 1, seed=seed)))
        labels.append(carried)
    return streams, sources, holdouts, labels


def run(path: Path, *, stop_at: tuple[int, int] = (0, 0)) -> tuple[Trained, torch.nn.Module]:
    _, sources, holdouts, labels = parts()
    lesson = Killed(sources, holdouts, batch=BATCH, stretch=5)
    lesson.stop_at = stop_at
    net = network(6, SIZES)
    learner = WarpLearner(net, labels, WARP, learning_rate=0.05, seed=5)
    return train(learner, lesson, SETTINGS, path=path), net


def test_sets_take_turns_and_hear_their_batches_in_order() -> None:
    streams, sources, holdouts, _ = parts()
    lesson = WarpLesson(sources, holdouts, batch=BATCH, stretch=5)
    frames = sum(one.frames for one in sources)
    assert lesson.sgd_steps == frames // BATCH
    assert lesson.steps == -(-lesson.sgd_steps // 5)
    epochs = [list(lesson.batches(epoch, 0)) for epoch in (1, 2, 3)]
    assert all(len(stretches) == lesson.steps for stretches in epochs)
    steps = [one for stretches in epochs for stretch in stretches for one in stretch]
    assert len(steps) == 3 * lesson.sgd_steps
    assert [one.source for one in steps] == [t % 2 for t in range(len(steps))]
    for number, stream in enumerate(streams):
        heard = [one for one in steps if one.source == number]
        for one, (X, clips) in zip(heard, stream.from_batch(0), strict=False):
            assert (one.X == X).all()
            assert (one.clips == clips).all()


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("skip", [0, 1, 7])
def test_an_epoch_can_be_taken_up_anywhere(epoch: int, skip: int) -> None:
    streams, sources, holdouts, _ = parts()
    lesson = WarpLesson(sources, holdouts, batch=BATCH, stretch=5)
    whole, rest = list(lesson.batches(epoch, 0)), list(lesson.batches(epoch, skip))
    assert len(rest) == lesson.steps - skip
    for one, other in zip(whole[skip:], rest, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.source == b.source
            assert (a.X == b.X).all()
    assert [stream.open for stream in streams] == [0, 0]


def test_streams_are_closed_when_a_run_breaks_off() -> None:
    streams, sources, holdouts, _ = parts()
    stretches = WarpLesson(sources, holdouts, batch=BATCH, stretch=5).batches(1, 0)
    next(stretches)
    assert [stream.open for stream in streams] == [1, 1]
    stretches.close()  # type: ignore[attr-defined]
    assert [stream.open for stream in streams] == [0, 0]


@pytest.mark.parametrize("stop_at", [(1, 3), (2, 0), (3, 9), (4, 2)])
@pytest.mark.parametrize("save_seconds", [0.0, 1e9])
def test_a_killed_run_goes_on_bit_for_bit(
    tmp_path: Path, stop_at: tuple[int, int], save_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", save_seconds)
    expected, whole = run(tmp_path / "whole.safetensors")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts.safetensors", stop_at=stop_at)
    done, again = run(tmp_path / "parts.safetensors")
    curves = [
        [{key: value for key, value in point.items() if key != "seconds"} for point in one.curve]
        for one in (expected, done)
    ]
    assert curves[0] == curves[1]
    assert done.best_epoch == expected.best_epoch
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_it_learns_from_both_sets(tmp_path: Path) -> None:
    done, _ = run(tmp_path / "c.safetensors")
    names = ["epoch", "train_loss", "valid_map", "valid_p1"]
    sets = [f"valid_{one}_set {number}" for number in (0, 1) for one in ("map", "p1")]
    assert list(done.curve[0]) == [*names, *sets, "seconds"]
    best = done.curve[done.best_epoch - 1]
    assert best["valid_map"] == (best["valid_map_set 0"] + best["valid_map_set 1"]) / 2
    assert min(best["valid_map_set 0"], best["valid_map_set 1"]) > 0.7
    assert done.curve[-1]["train_loss"] < 0.5 * done.curve[0]["train_loss"]


def test_frames_that_are_no_numbers_stop_the_run(tmp_path: Path) -> None:
    streams, sources, holdouts, labels = parts()
    streams[1].X[17, 2] = np.nan
    learner = WarpLearner(network(6, SIZES), labels, WARP, learning_rate=0.05, seed=5)
    lesson = WarpLesson(sources, holdouts, batch=BATCH)
    with pytest.raises(SegueError, match="finite loss, got nan in epoch 1"):
        train(learner, lesson, SETTINGS, path=tmp_path / "c.safetensors")


def test_frames_stream_from_a_table_on_disk(tmp_path: Path) -> None:
    """The table, its clips and their stream, as a run has them; killed and taken up again."""
    memory, labels = music(4, clips=60)
    table = FrameTable.open_or_create(tmp_path, FrameKind("toy", 6, {}))
    for number, frames in enumerate(memory.all):
        facts = FileFacts(id=str(number), path=f"/{number}", line=1, bytes=1, mtime_ns=1)
        row = Row(
            facts=facts, key=f"{number}", source_rate=1, source_channels=1, seconds=1.0,
            features=frames,
        )  # fmt: skip
        table.append(row)
    table.flush()
    clips = Clips(table, table.contents().usable())
    train_rows, valid_rows = np.arange(45), np.arange(45, 60)
    mean, deviation = moments(clips, train_rows)
    shift, scale = mean.astype(np.float32), (1 / deviation).astype(np.float32)

    def once(path: Path, stop_at: tuple[int, int]) -> tuple[Trained, torch.nn.Module]:
        stream = Stream(
            clips, train_rows, batch=BATCH, seed=5, name="toy", shift=shift, scale=scale
        )
        source = Source(0, stream, stream.total)
        lesson = Killed(
            [source], [Holdout("toy", clips, labels, valid_rows)], batch=BATCH, stretch=5
        )
        lesson.stop_at = stop_at
        spec = JointSpec(inputs=6, dimensions=4)
        net = new_embedding(spec, [4], shift=shift, scale=scale, seed=0)
        learner = WarpLearner(net, [labels], WARP, learning_rate=0.05, seed=5)
        return train(learner, lesson, SETTINGS, path=path), net

    done, whole = once(tmp_path / "whole.safetensors", (0, 0))
    assert done.curve[done.best_epoch - 1]["valid_map"] > 0.8
    with pytest.raises(KeyboardInterrupt):
        once(tmp_path / "parts.safetensors", (3, 1))
    _, again = once(tmp_path / "parts.safetensors", (0, 0))
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_lessons_without_frames_or_judges_are_refused() -> None:
    _, sources, holdouts, _ = parts()
    for given in (([], holdouts), (sources, [None, None]), (sources, [])):
        with pytest.raises(UsageError, match="8 training frames, and validation clips"):
            WarpLesson(*given, batch=BATCH)
    with pytest.raises(UsageError, match="100000 training frames"):
        WarpLesson(sources, holdouts, batch=100_000)
    with pytest.raises(TypeError, match="a JointEmbedding is judged here"):
        WarpLesson(sources, holdouts, batch=BATCH).validate(torch.nn.Linear(1, 1))
