"""Networks before training: how they are drawn, standard bands, equal numbers of parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dcnn_frames import TRAIN, toy_clips

from segue.encoders.dcnn import DcnnSpec, Sharing
from segue.errors import UsageError
from segue.store import FrameTable
from segue.training.clips import Clips
from segue.training.dcnn.network import band_units, new_dcnn, widened, width_for
from segue.training.dcnn.settings import DcnnSettings

TASKS = (("g", 16), ("m", 40), ("d", 40), ("e", 40), ("s", 40))
ZERO, ONE = np.zeros(128, np.float32), np.ones(128, np.float32)


@pytest.mark.parametrize("sharing", ["none", "first"])
@pytest.mark.parametrize("width", [1.0, 0.5, 0.25, 0.125, 0.0625])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_a_wide_network_has_as_many_parameters(sharing: Sharing, width: float, count: int) -> None:
    """Kim et al. 2018, section 4: wSTN has as many as the MTN or STN of several tasks."""
    several = DcnnSpec(tasks=TASKS[:count], sharing=sharing, width=width)
    for outputs in (4, 10, 21):
        others = replace(several, tasks=(("g", outputs), *TASKS[1:count]))
        assert widened(others).parameters == pytest.approx(others.parameters, rel=0.02)
    wide = widened(several)
    assert wide.tasks == TASKS[:1]
    assert wide.width > width
    assert wide.parameters == pytest.approx(several.parameters, rel=0.02)
    network = new_dcnn(wide, shift=ZERO, scale=ONE, seed=0)
    assert sum(one.numel() for one in network.parameters()) == wide.parameters
    assert network.features(torch.zeros(2, 43, 128)).shape == (2, wide.dim)


def test_no_width_has_any_number_of_parameters() -> None:
    one = DcnnSpec(tasks=TASKS[:1])
    assert width_for(one.parameters, one) == 1.0
    assert width_for(replace(one, width=0.3).parameters, one) == pytest.approx(0.3, abs=2 / 256)
    for impossible in (10, 10**12):
        with pytest.raises(UsageError, match="fewer tasks"):
            width_for(impossible, one)
    counts = {replace(one, width=n / 1024).parameters for n in range(64, 128)}
    fewest, next_one = sorted(counts)[:2]
    between = (fewest + next_one) // 2
    assert 0.02 < between / fewest - 1 < 0.1
    with pytest.raises(UsageError, match="within 2 %"):
        width_for(between, one)


def test_a_new_network_says_about_the_same_of_everything_and_is_repeatable() -> None:
    spec = DcnnSpec(tasks=TASKS[:2], sharing="first")
    network = new_dcnn(spec, shift=ZERO, scale=ONE, seed=0).train()
    frames = torch.randn(32, 43, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        likely = network(frames, 1).softmax(dim=1)
    assert 0.2 / 40 < float(likely.min()) <= float(likely.max()) < 5 / 40
    state, again = network.state_dict(), new_dcnn(spec, shift=ZERO, scale=ONE, seed=0).state_dict()
    other = new_dcnn(spec, shift=ZERO, scale=ONE, seed=1).state_dict()
    for name, values in again.items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(values, state[name])
        if values.ndim > 1:
            assert not torch.equal(values, other[name])
            gain = 0.1 if name.startswith("outputs") else 2.0
            spread = (gain / values[0].numel()) ** 0.5
            assert float(values.std()) == pytest.approx(spread, rel=0.15)
    kernels = [values for values in network.parameters() if values.ndim == 4]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in kernels)
    assert not torch.equal(state["bodies.0.dense.weight"], state["bodies.1.dense.weight"])


def test_bands_are_standard_and_a_constant_one_does_not_explode(tmp_path: Path) -> None:
    clips = toy_clips(tmp_path)
    table = clips.table
    shift, scale = band_units(clips, TRAIN)
    frames = np.concatenate([clips.frames(n) for n in TRAIN.tolist()]).astype(np.float64)
    standard = (frames - shift) * scale
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(standard.std(axis=0), 1.0, atol=1e-4)
    quiet = np.array(clips.frames(0))
    quiet[:, 5] = -100.0
    other = FrameTable.open_or_create(tmp_path / "quiet", table.kind)
    row = replace(table.rows_of(clips.rows[:1])[0], features=quiet)
    other.append(row)
    other.flush()
    shift, scale = band_units(Clips(other, other.contents().usable()), [0])
    assert (shift[5], scale[5]) == (-100.0, 1.0)


@pytest.mark.parametrize(
    ("shift", "scale"),
    [(ZERO[1:], ONE), (ZERO, ONE[1:]), (ZERO, ZERO), (ZERO * np.nan, ONE), (ZERO, ONE * np.inf)],
)
def test_a_standardisation_that_is_none_is_refused(shift: Any, scale: Any) -> None:
    with pytest.raises(UsageError, match="band_units"):
        new_dcnn(DcnnSpec(tasks=TASKS), shift=shift, scale=scale, seed=0)


@pytest.mark.parametrize(
    "odd",
    [
        *({"sharing": "some"}, {"draw": "step"}, {"batch": 1}, {"valid_segments": 0}),
        *({"width": 0.0}, {"width": 17.0}, {"l2": -1.0}, {"l2": np.nan}, {"l2": np.inf}),
    ],
)
def test_settings_that_make_no_sense_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(odd)).replace('_', '-')}"):
        DcnnSettings(**odd)
