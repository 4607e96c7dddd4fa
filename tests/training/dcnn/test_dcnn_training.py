"""Whole runs: something is learned, a killed run goes on bit for bit, processes share the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dcnn_frames import (
    RUNS,
    TRAIN,
    VALID,
    narrow,
    teach,
    toy_clips,
    toy_network,
    toy_tasks,
    whole_state,
)
from safetensors.torch import load_file

from segue.encoders.dcnn import Dcnn
from segue.errors import UsageError
from segue.training import loop
from segue.training.clips import Clips
from segue.training.dcnn.lesson import DcnnLesson
from segue.training.gradient import GradientLearner
from segue.training.loop import Point, Settings

State = dict[str, torch.Tensor]
FIXED = Settings(epochs=4, stop_on="epoch", patience=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return toy_clips(tmp_path_factory.mktemp("frames"))


def curve_of(points: list[Point]) -> list[Point]:
    return [{key: value for key, value in one.items() if key != "seconds"} for one in points]


def same(a: Dcnn, b: Dcnn) -> bool:
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("sharing", ["none", "first", "all"])
def test_a_band_is_learned(clips: Clips, tmp_path: Path, sharing: str) -> None:
    settings = Settings(epochs=30, learning_rate=3e-3, stop_on="valid_loss", patience=30)
    done, network = teach(clips, tmp_path / "c", narrow(sharing=sharing), settings)
    best = done.curve[done.best_epoch - 1]
    assert best["valid_learned_g"] > 0.8
    assert best["valid_learned_m"] > 0.6
    assert best["valid_accuracy_g"] >= 0.9
    assert best["valid_loss"] == min(point["valid_loss"] for point in done.curve)
    one = DcnnLesson(clips, toy_tasks(), TRAIN, VALID, settings=narrow(), seed=0)
    assert one.validate(network.eval()) == pytest.approx(
        {name: value for name, value in best.items() if name.startswith("valid")}, abs=1e-6
    )


@pytest.mark.parametrize(
    ("sharing", "draw"), [("none", "batch"), ("first", "epoch"), ("all", "batch")]
)
@pytest.mark.parametrize("stop_at", [(0, 2), (2, 2), (3, 1)])
def test_a_stopped_run_goes_on_bit_for_bit(
    clips: Clips,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sharing: str,
    draw: str,
    stop_at: tuple[int, int],
) -> None:
    """Within an epoch (saved at every step): batch statistics, dropout, crops, Adam's memory."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    settings = narrow(sharing=sharing, draw=draw)
    expected, whole = teach(clips, tmp_path / "whole", settings, FIXED)
    with pytest.raises(KeyboardInterrupt):
        teach(clips, tmp_path / "parts", settings, FIXED, stop_at=stop_at)
    done, again = teach(clips, tmp_path / "parts", settings, FIXED)
    assert curve_of(done.curve) == curve_of(expected.curve)
    assert same(again, whole)


def test_without_validation_a_fixed_number_of_epochs_is_trained(
    clips: Clips, tmp_path: Path
) -> None:
    """The last epoch's weights are kept, and patience never runs out."""
    none = np.array([], np.int64)
    done, network = teach(clips, tmp_path / "c", narrow(), FIXED, valid=none)
    assert (len(done.curve), done.best_epoch) == (4, 4)
    assert list(done.curve[0]) == ["epoch", "train_loss", "seconds"]
    scored, other = teach(clips, tmp_path / "d", narrow(), FIXED)
    assert scored.best_epoch == 4
    assert same(network, other)


def test_validation_tracks_that_no_task_knows_are_told(clips: Clips, tmp_path: Path) -> None:
    settings = Settings(epochs=1, stop_on="valid_loss")
    unknown = np.array([31, 35])
    with pytest.raises(UsageError, match=r"wanted valid_loss, .* got only epoch, train_loss"):
        teach(clips, tmp_path / "c", narrow(), settings, tasks=toy_tasks()[1:], valid=unknown)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_much_the_same(clips: Clips, tmp_path: Path, precision: Any) -> None:
    settings = narrow(sharing="first")
    exact, _ = teach(clips, tmp_path / "exact", settings, FIXED)
    half = Settings(epochs=4, stop_on="epoch", precision=precision)
    done, network = teach(clips, tmp_path / "half", settings, half)
    losses = [[point["train_loss"] for point in one.curve] for one in (exact, done)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert all(values.dtype == torch.float32 for values in network.parameters())


def test_weights_are_penalised_and_nothing_else(clips: Clips) -> None:
    """The gradient of l2 times the squared norm is added for the weights that a step uses."""
    tasks, settings = toy_tasks(), narrow(l2=0.01)
    lesson = DcnnLesson(clips, tasks, TRAIN, VALID, settings=settings, seed=0)
    network = toy_network(clips, tasks, settings)
    learner = GradientLearner(network, lesson, FIXED, partly=True, l2=settings.l2)
    # one step of plain descent, in the place of Adam's, shows the gradient itself
    groups = learner.optimiser.param_groups
    rate = 1e-3
    learner.optimiser = torch.optim.SGD(  # type: ignore[assignment]
        [{"params": one["params"], "weight_decay": one["weight_decay"]} for one in groups], lr=rate
    )
    before = {name: values.detach().clone() for name, values in network.named_parameters()}
    batch = next(iter(lesson.batches(1, 0)))
    learner.step(batch, epoch=1, step=0)
    for name, values in network.named_parameters():
        if values.grad is None:
            assert torch.equal(values, before[name])
            continue
        penalty = 0.02 * before[name] if values.ndim > 1 else 0.0
        torch.testing.assert_close(values, before[name] - rate * (values.grad + penalty))


def processes(folder: Path, sharing: str) -> dict[str, list[tuple[list[Point], State]]]:
    """Curve and weights of both processes, of each run."""
    script = Path(__file__).parent / "dcnn_frames.py"
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(script), str(folder), sharing),
        ],
        check=True,
        capture_output=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, list[tuple[list[Point], State]]] = {}
    for name in RUNS:
        for rank in range(2):
            size, curve = json.loads((folder / f"{name}-{rank}.json").read_text())
            assert size == 2
            weights = load_file(folder / f"{name}-{rank}.safetensors")
            found.setdefault(name, []).append((curve, weights))
    return found


def distance(a: State, b: State) -> float:
    """Length of the difference of all weights."""
    return float(sum((a[name].double() - b[name]).square().sum() for name in a) ** 0.5)


@pytest.mark.long  # torch's gloo now and then aborts at exit, when all is done ("terminate called")
@pytest.mark.parametrize("sharing", ["none", "first", "all"])
def test_two_processes_train_one_network(tmp_path: Path, sharing: str) -> None:
    """Both have the same weights, and take the steps of one process where batches do not matter.

    Batch normalisation is by each process's own share of a batch, so in a usual run one process
    alone has other weights; there it is asked that something is learned.
    """
    clips, settings = toy_clips(tmp_path / "frames"), narrow(sharing=sharing)
    found = processes(tmp_path, sharing)
    for (_, mine), (_, theirs) in found.values():
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    curve, weights = found["still"][0]
    alone, network = teach(clips, tmp_path / "a", settings, RUNS["still"], still=True)
    for mine, theirs in zip(curve, alone.curve, strict=True):
        for name in ("train_loss", "valid_loss"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-5)
    begun = whole_state(toy_network(clips, toy_tasks(), settings))
    moved = distance(whole_state(network), begun)
    assert distance(weights, whole_state(network)) < 1e-4 * moved
    best = min(found["usual"][0][0], key=lambda point: point["valid_loss"])
    assert best["valid_learned_g"] > 0.5
    assert best["valid_learned_m"] > 0.5
