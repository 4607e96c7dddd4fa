"""The lesson: tasks and walks from the seed and the step, crops, shares of processes, scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from dcnn_frames import LENGTHS, TRACKS, TRAIN, VALID, narrow, toy_clips, toy_network, toy_tasks

from segue.errors import SegueError, UsageError
from segue.training.clips import Clips
from segue.training.dcnn.features import segments_of
from segue.training.dcnn.lesson import Batch, DcnnLesson, Task
from segue.training.parallel import World


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return toy_clips(tmp_path_factory.mktemp("frames"))


def lesson(
    clips: Clips,
    *,
    tasks: list[Task] | None = None,
    valid: np.ndarray = VALID,
    world: World | None = None,
    seed: int = 3,
    **changes: object,
) -> DcnnLesson:
    tasks = tasks or toy_tasks(len(clips))
    return DcnnLesson(
        clips, tasks, TRAIN, valid, settings=narrow(**changes), seed=seed, world=world
    )


def tracks_of(batch: Batch) -> list[int]:
    """The first number of every toy frame is that of its clip."""
    return [int(number) for number in batch.frames[:, 0, 0].tolist()]


@pytest.mark.parametrize("draw", ["batch", "epoch"])
def test_epochs_repeat_themselves_and_differ_from_each_other(clips: Clips, draw: str) -> None:
    epochs = {n: list(lesson(clips, draw=draw).batches(n, 0)) for n in (1, 2, 7)}
    for number, batches in epochs.items():
        assert len(batches) == 3
        again = lesson(clips, draw=draw)
        for mine, theirs in zip(batches, again.batches(number, 0), strict=True):
            assert mine.task == theirs.task
            assert torch.equal(mine.frames, theirs.frames)
            assert torch.equal(mine.shares, theirs.shares)
        rest = list(again.batches(number, 2))
        assert len(rest) == 1
        assert torch.equal(rest[0].frames, batches[2].frames)
        if draw == "epoch":
            assert len({batch.task for batch in batches}) == 1
    assert not torch.equal(epochs[1][0].frames, epochs[2][0].frames)
    other = list(lesson(clips, draw=draw, seed=4).batches(1, 0))
    assert not torch.equal(other[0].frames, epochs[1][0].frames)


@pytest.mark.parametrize("draw", ["batch", "epoch"])
def test_tasks_are_equally_likely(clips: Clips, draw: str) -> None:
    one = lesson(clips, draw=draw)
    turns = np.concatenate([one.turns(epoch) for epoch in range(1, 3001)])
    # five standard errors of 3,000 draws
    assert float((turns == 0).mean()) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(3000))
    per_epoch = turns.reshape(3000, 3)
    assert bool((per_epoch == per_epoch[:, :1]).all()) == (draw == "epoch")


def test_every_task_walks_through_all_its_tracks_again_and_again(clips: Clips) -> None:
    """A walk goes on where the task's last batch ended, over the ends of epochs."""
    tasks = toy_tasks()
    one = lesson(clips)
    walks: list[list[int]] = [[], []]
    for epoch in range(1, 41):
        for batch in one.batches(epoch, 0):
            found = tracks_of(batch)
            walks[batch.task] += found
            torch.testing.assert_close(
                batch.shares, torch.from_numpy(tasks[batch.task].shares[found])
            )
    for task, walk in zip(tasks, walks, strict=True):
        known = sorted(TRAIN[task.known[TRAIN]].tolist())
        laps = [walk[n : n + len(known)] for n in range(0, len(walk), len(known))]
        assert len(laps) > 5
        assert all(sorted(lap) == known for lap in laps[:-1])
        assert laps[0] != laps[1]


def test_a_task_of_fewer_tracks_than_a_batch_repeats_them(clips: Clips) -> None:
    few = Task("few", toy_tasks()[0].shares, np.isin(np.arange(TRACKS), [2, 9, 11]))
    one = lesson(clips, tasks=[few])
    assert one.steps == 1
    batch = next(one.batches(1, 0))
    laps = [tracks_of(batch)[begin : begin + 3] for begin in (0, 3)]
    assert all(sorted(lap) == [2, 9, 11] for lap in laps)
    assert len(batch.frames) == 8


def test_crops_are_43_frames_from_any_place(clips: Clips) -> None:
    begins: dict[int, set[int]] = {}
    one = lesson(clips)
    for epoch in range(1, 200):
        for batch in one.batches(epoch, 0):
            assert batch.frames.shape == (8, 43, 128)
            for number, frames in zip(tracks_of(batch), batch.frames, strict=True):
                length = LENGTHS[number]
                begin = int(frames[0, 1])
                expected = (
                    np.resize(clips.frames(number), (43, 128))
                    if length < 43
                    else (clips.frames(number)[begin : begin + 43])
                )
                assert np.array_equal(frames, expected)
                begins.setdefault(number, set()).add(begin)
    assert sorted(begins) == TRAIN.tolist()
    assert begins[0] == begins[2] == {0}  # 20 and 38 frames
    assert begins[3] == set(range(47 - 43 + 1))
    assert len(begins[27]) > 60
    assert max(begins[27]) <= LENGTHS[27] - 43


def test_processes_share_every_batch(clips: Clips) -> None:
    whole = list(lesson(clips).batches(2, 0))
    halves = [
        list(lesson(clips, world=World(rank=rank, size=2)).batches(2, 0)) for rank in range(2)
    ]
    for both, left, right in zip(whole, *halves, strict=True):
        assert both.task == left.task == right.task
        assert torch.equal(both.frames[0::2], left.frames)
        assert torch.equal(both.frames[1::2], right.frames)
        assert torch.equal(both.shares[1::2], right.shares)
    with pytest.raises(UsageError, match="3 processes can share"):
        lesson(clips, world=World(rank=0, size=3))
    # of one segment, batch normalisation leaves nothing, and torch refuses it in the first step
    with pytest.raises(UsageError, match="two segments at least for each process, got 8 for 8"):
        lesson(clips, world=World(rank=0, size=8))
    assert len(next(lesson(clips, world=World(rank=0, size=4)).batches(1, 0)).frames) == 2


def test_the_loss_is_the_cross_entropy_of_soft_targets(clips: Clips) -> None:
    one = lesson(clips)
    network = toy_network(clips, toy_tasks(), narrow()).eval()
    batch = next(iter(one.batches(1, 0)))
    with torch.no_grad():
        likely = network(batch.frames, batch.task).double().softmax(dim=1)
        expected = -(batch.shares * likely.log()).sum(dim=1).mean()
        torch.testing.assert_close(one.loss(network, batch).double(), expected)


@pytest.mark.parametrize("sharing", ["none", "first", "all"])
def test_only_the_drawn_task_and_what_is_shared_learns(clips: Clips, sharing: str) -> None:
    settings = narrow(sharing=sharing)
    one = lesson(clips, sharing=sharing)
    network = toy_network(clips, toy_tasks(), settings).train()
    for batch in one.batches(1, 0):
        network.zero_grad(set_to_none=True)
        one.loss(network, batch).backward()
        for name, values in network.named_parameters():
            kind, number = name.split(".")[:2]
            modules = {"stems": network.stems, "bodies": network.bodies, "outputs": network.outputs}
            own = len(modules[kind]) == 1 or int(number) == batch.task
            learns = values.grad is not None and bool(values.grad.abs().sum() > 0)
            assert (values.grad is not None) == own, name
            assert learns == own, name


def test_validation_by_hand(clips: Clips) -> None:
    """Mean over segments and tracks; what is best, and what needs no hearing, beside it."""
    one, tasks = lesson(clips), toy_tasks()
    network = toy_network(clips, tasks, narrow()).eval()
    scores = one.validate(network)
    losses = []
    for number, task in enumerate(tasks):
        held = VALID[task.known[VALID]]
        features, track_of = segments_of(network, clips, held, 2)
        with torch.inference_mode():
            likely = network.said(torch.from_numpy(features))[number].double().softmax(1).numpy()
        due = task.shares[held].astype(np.float64)
        loss = -(due[track_of] * np.log(likely)).sum(axis=1).mean()
        losses.append(loss)
        assert scores[f"valid_loss_{task.name}"] == pytest.approx(loss, abs=1e-5)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.nansum(-due * np.log(due), axis=1).mean()
        mean = task.shares[TRAIN[task.known[TRAIN]]].mean(axis=0)
        rule = one.yardsticks[task.name]
        assert rule.tracks == len(held)
        assert rule.entropy == pytest.approx(entropy, abs=1e-9)
        assert rule.baseline == pytest.approx(-(due @ np.log(mean)).mean(), abs=1e-3)
        learned = (rule.baseline - loss) / (rule.baseline - rule.entropy)
        assert scores[f"valid_learned_{task.name}"] == pytest.approx(learned, abs=1e-4)
    means = likely_means(network, clips)
    right = means.argmax(1) == VALID % 3
    assert scores["valid_accuracy_g"] == pytest.approx(right.mean())
    assert "valid_accuracy_m" not in scores
    assert one.yardsticks["m"].baseline_accuracy is None
    assert one.yardsticks["g"].baseline_accuracy == pytest.approx((VALID % 3 == 0).mean())
    assert scores["valid_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert one.validate(network) == scores


def likely_means(network: torch.nn.Module, clips: Clips) -> np.ndarray:
    features, track_of = segments_of(network, clips, VALID, 2)  # type: ignore[arg-type]
    with torch.inference_mode():
        likely = network.said(torch.from_numpy(features))[0].softmax(1).numpy()  # type: ignore
    return np.stack([likely[track_of == n].mean(0) for n in range(len(VALID))])


def test_without_validation_tracks_there_are_no_scores(clips: Clips) -> None:
    network = toy_network(clips, toy_tasks(), narrow()).eval()
    assert lesson(clips, valid=np.array([], np.int64)).validate(network) == {}
    only_g = lesson(clips, valid=np.array([31, 35]))  # m knows neither
    assert set(only_g.validate(network)) == {
        *("valid_loss", "valid_loss_g", "valid_learned_g", "valid_accuracy_g")
    }
    assert list(only_g.yardsticks) == ["g"]


def test_nothing_to_learn_is_not_scored(clips: Clips) -> None:
    same = Task("same", np.full((TRACKS, 2), 0.5, np.float32), np.ones(TRACKS, bool))
    one = lesson(clips, tasks=[same])
    network = toy_network(clips, [same], narrow()).eval()
    assert set(one.validate(network)) == {"valid_loss", "valid_loss_same"}


def test_weights_beyond_all_bounds_are_told(clips: Clips) -> None:
    network = toy_network(clips, toy_tasks(), narrow()).eval()
    torch.nn.init.constant_(network.outputs[0].bias, torch.nan)
    with pytest.raises(SegueError, match="lower --learning-rate"):
        lesson(clips).validate(network)


def test_waiting_is_counted(clips: Clips) -> None:
    one = lesson(clips)
    assert one.waited == 0.0
    list(one.batches(1, 0))
    first = one.waited
    list(one.batches(2, 0))
    assert one.waited > first > 0.0


@pytest.mark.parametrize(
    ("shares", "known"),
    [
        (np.full((3, 2), 0.4), [True] * 3),
        (np.float32([[1.5, -0.5]] * 3), [True] * 3),
        (np.float32([[np.nan, 1.0]] * 3), [True, False, False]),
        (np.eye(3), [True] * 2),
        (np.ones(3), [True] * 3),
    ],
)
def test_shares_that_are_none_are_refused(shares: np.ndarray, known: list[bool]) -> None:
    with pytest.raises(UsageError, match="odd: wanted shares"):
        Task("odd", shares.astype(np.float32), np.array(known))


def test_rows_of_tracks_without_a_target_are_not_read() -> None:
    shares = np.float32([[np.nan, np.nan], [0.5, 0.5]])
    assert not Task("m", shares, np.array([False, True])).one_hot


def test_tasks_that_cannot_be_taught_are_refused(clips: Clips) -> None:
    with pytest.raises(UsageError, match="a row for each of 40 clips"):
        lesson(clips, tasks=[toy_tasks(12)[0]])
    with pytest.raises(UsageError, match="no tasks"):
        DcnnLesson(clips, [], TRAIN, VALID, settings=narrow(), seed=0)
    unknown = Task("u", toy_tasks()[0].shares, np.arange(TRACKS) >= 30)
    with pytest.raises(UsageError, match="u: wanted training tracks"):
        lesson(clips, tasks=[unknown])
    with pytest.raises(UsageError, match="numbers of clips"):
        DcnnLesson(clips, toy_tasks(), np.array([40]), VALID, settings=narrow(), seed=0)
