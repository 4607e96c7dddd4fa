"""The loop: learns, stops in time, goes on exactly where it was killed, fails in plain words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import ToyLesson, teach, toy_network

from segue.errors import SegueError, UsageError, WeightsError
from segue.training import checkpoint, loop
from segue.training.loop import Point, Settings
from segue.training.parallel import join

SETTINGS = Settings(epochs=6, learning_rate=0.01, patience=6, stop_on="valid_loss")


def curve_of(points: list[Point]) -> list[Point]:
    """A curve without its times."""
    return [{key: value for key, value in one.items() if key != "seconds"} for one in points]


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_it_learns_and_tells_its_curve(tmp_path: Path) -> None:
    told: list[int] = []
    seen: list[tuple[str, int, int]] = []
    done = teach(
        toy_network(),
        ToyLesson(),
        SETTINGS,
        path=tmp_path / "c.safetensors",
        watch=lambda *step: seen.append(step),
        tell=lambda curve: told.append(len(curve)),
    )
    assert told == [1, 2, 3, 4, 5, 6]
    assert len(seen) == 30
    assert seen[-1] == ("training", 30, 30)
    assert done.curve[-1]["train_loss"] < 0.8 * done.curve[0]["train_loss"]
    assert list(done.curve[0]) == ["epoch", "train_loss", "valid_loss", "valid_auc", "seconds"]


@pytest.mark.parametrize("stop_at", [(1, 3), (3, 0), (4, 4), (6, 2)])
@pytest.mark.parametrize("save_seconds", [0.0, 1e9])
def test_a_stopped_run_goes_on_bit_for_bit(
    tmp_path: Path, stop_at: tuple[int, int], save_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within an epoch (saved at every step) and from the last epoch's end, dropout and all."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", save_seconds)
    whole, parts = toy_network(dropout=0.5), toy_network(dropout=0.5)
    expected = teach(whole, ToyLesson(), SETTINGS, path=tmp_path / "whole.safetensors")
    path = tmp_path / "parts.safetensors"
    with pytest.raises(KeyboardInterrupt):
        teach(parts, ToyLesson(stop_at=stop_at), SETTINGS, path=path)
    again = toy_network(dropout=0.5)
    done = teach(again, ToyLesson(), SETTINGS, path=path)
    assert curve_of(done.curve) == curve_of(expected.curve)
    assert done.best_epoch == expected.best_epoch
    assert same(again, whole)


def test_a_finished_run_is_only_read_back(tmp_path: Path) -> None:
    network, again = toy_network(), toy_network()
    done = teach(network, ToyLesson(), SETTINGS, path=tmp_path / "c.safetensors")
    read = teach(again, ToyLesson(stop_at=(1, 0)), SETTINGS, path=tmp_path / "c.safetensors")
    assert read.curve == done.curve
    assert same(again, network)


def test_it_stops_when_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    class Worse(ToyLesson):
        kept: dict[str, torch.Tensor]

        def validate(self, network: torch.nn.Module) -> dict[str, float]:
            number = getattr(self, "number", 0)
            self.number = number + 1
            if number == 1:
                self.kept = {k: v.clone() for k, v in network.state_dict().items()}
            return {"valid_auc": [0.5, 0.7, 0.6, 0.7, 0.69, 0.9][number]}

    settings = Settings(epochs=6, patience=3, stop_on="valid_auc")
    network, lesson = toy_network(), Worse()
    done = teach(network, lesson, settings, path=tmp_path / "c.safetensors")
    assert (len(done.curve), done.best_epoch) == (5, 2)
    assert all(torch.equal(v, lesson.kept[k]) for k, v in network.state_dict().items())


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    path, lesson = tmp_path / "c.safetensors", ToyLesson()
    lesson.spoil_at = (3, 2)
    with pytest.raises(SegueError, match=r"finite loss, got nan in epoch 3, step 3 .*is kept"):
        teach(toy_network(), lesson, SETTINGS, path=path)
    tensors, facts = checkpoint.load(path)
    assert facts["position"]["epoch"] == 3
    assert all(torch.isfinite(values.float()).all() for values in tensors.values())
    done = teach(toy_network(), ToyLesson(), SETTINGS, path=path)
    assert len(done.curve) == 6


def test_spoilt_weights_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step can spoil the weights while its own loss, that of before, is still a number."""
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    path = tmp_path / "c.safetensors"
    settings = replace(SETTINGS)
    object.__setattr__(settings, "learning_rate", torch.inf)  # which Settings would refuse
    with pytest.raises(SegueError, match="nothing was saved yet"):
        teach(toy_network(), ToyLesson(), settings, path=path)
    assert not path.exists()


@pytest.mark.parametrize(
    "odd",
    [
        *({"epochs": 0}, {"epochs": -1}, {"patience": 0}, {"patience": -1}),
        *({"learning_rate": rate} for rate in (-1.0, 0.0, 1e38, torch.nan, torch.inf)),
        {"precision": "int8"},
    ],
)
def test_settings_that_make_no_sense_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(odd)).replace('_', '-')}"):
        replace(SETTINGS, **odd)


@pytest.mark.parametrize("device", ["meta", "no-such", "cuda:99"])
def test_devices_that_cannot_compute_are_refused(device: str) -> None:
    with pytest.raises(UsageError, match="a device that torch can use"), join(device):
        pass


def test_float32_is_not_rounded_to_tf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training and validation; the caller's own setting comes back after it."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen: list[bool] = []

    class Watching(ToyLesson):
        def loss(
            self, network: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
        ) -> torch.Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().loss(network, batch)

        def validate(self, network: torch.nn.Module) -> dict[str, float]:
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().validate(network)

    settings = replace(SETTINGS, epochs=1)
    teach(toy_network(), Watching(), settings, path=tmp_path / "c.safetensors")
    assert seen == [False] * 6
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_too_and_keeps_float32_weights(
    tmp_path: Path, precision: loop.Precision
) -> None:
    settings = Settings(epochs=6, learning_rate=0.01, stop_on="valid_loss", precision=precision)
    network, whole = toy_network(), toy_network()
    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        teach(network, ToyLesson(stop_at=(4, 0)), settings, path=path)
    done = teach(network, ToyLesson(), settings, path=path)
    expected = teach(whole, ToyLesson(), settings, path=tmp_path / "whole.safetensors")
    assert done.curve[-1]["train_loss"] < 0.8 * done.curve[0]["train_loss"]
    assert {values.dtype for values in network.state_dict().values()} == {torch.float32}
    assert curve_of(done.curve) == curve_of(expected.curve)


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    teach(toy_network(), ToyLesson(), SETTINGS, path=path)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-3] ^= 1
    words = content.replace(b"best_epoch", b"Best_epoch")
    for damaged in (bytes(flipped), words, content[:-100], b"", b"\xff" * 64):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"whole checkpoint.*Remove this file"):
            teach(toy_network(), ToyLesson(), SETTINGS, path=path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    teach(toy_network(), ToyLesson(), SETTINGS, path=path)
    with pytest.raises(WeightsError, match="checkpoint of this network"):
        teach(torch.nn.Sequential(torch.nn.Linear(6, 1)), ToyLesson(), SETTINGS, path=path)


SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toys import ToyLesson, teach, toy_network
from segue.training.loop import Settings
from segue.training.parallel import join

with join("cpu") as world:
    network = toy_network()
    settings = Settings(epochs=3, learning_rate=0.01, stop_on="valid_loss")
    done = teach(network, ToyLesson(world=world), settings, path=Path(sys.argv[2]), world=world)
    if world.main:
        weights = [values.tolist() for values in network.state_dict().values()]
        Path(sys.argv[3]).write_text(json.dumps([world.size, done.curve, weights]))
"""


@pytest.mark.long  # torch's gloo now and then aborts at exit, when all is done ("terminate called")
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Gradients are averaged and the batch is shared, so only rounding may differ."""
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = [Path(__file__).parent, tmp_path / "c.safetensors", tmp_path / "out.json"]
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(tmp_path / "script.py"), *map(str, arguments)),
        ],
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    size, curve, weights = json.loads((tmp_path / "out.json").read_text())
    alone = toy_network()
    settings = Settings(epochs=3, learning_rate=0.01, stop_on="valid_loss")
    expected = teach(alone, ToyLesson(), settings, path=tmp_path / "alone.safetensors")
    assert size == 2
    for mine, theirs in zip(curve, expected.curve, strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-6)
        assert mine["valid_loss"] == pytest.approx(theirs["valid_loss"], abs=1e-6)
    for values, theirs in zip(weights, alone.state_dict().values(), strict=True):
        torch.testing.assert_close(torch.tensor(values), theirs, atol=1e-5, rtol=1e-5)
