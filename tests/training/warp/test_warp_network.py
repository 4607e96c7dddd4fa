"""The network's tensors: how they begin, what more labels leave alone, whose memory they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sets import network

from segue.encoders.joint import JointSpec
from segue.errors import UsageError
from segue.training.warp.network import extended, memory, new_embedding


def test_it_begins_as_wsabie_does() -> None:
    net = network(400, [300, 200], dimensions=100, hidden=50)
    assert [tuple(values.shape) for values in net.parameters()] == [
        *((100, 50), (50, 400), (50,)),
        *((300, 100), (200, 100)),
    ]
    assert not any(values.requires_grad for values in net.parameters())
    assert net.hidden is not None
    spreads = [(net.V, 50), (net.hidden.weight, 400), *((one, 400) for one in net.labels)]
    for values, width in spreads:
        assert float(values.std()) == pytest.approx(1 / math.sqrt(width), rel=0.05)
        assert abs(float(values.mean())) < 0.05 / math.sqrt(width) + 1e-3
    assert not net.hidden.bias.any()
    assert not torch.equal(net.labels[0][:200], net.labels[1])


def test_seeds_decide_the_beginning() -> None:
    shift, scale = np.zeros(3, np.float32), np.ones(3, np.float32)
    nets = [
        new_embedding(JointSpec(inputs=3), [4], shift=shift, scale=scale, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(nets[0].V, nets[1].V)
    assert not torch.equal(nets[0].V, nets[2].V)


def test_frames_are_standardised() -> None:
    shift, scale = np.float32([1.0, 2.0]), np.float32([10.0, 0.5])
    net = new_embedding(JointSpec(inputs=2), [2], shift=shift, scale=scale, seed=0)
    x = torch.tensor([[3.0, 4.0]])
    assert torch.allclose(net(x), torch.tensor([[20.0, 1.0]]) @ net.V.T)


def test_memory_is_the_tensor_s_own_even_after_a_checkpoint_is_read_back() -> None:
    net, other = network(), network(sizes=[5])
    view = memory(net.V)
    net.load_state_dict({name: values + 1.0 for name, values in other.state_dict().items()})
    assert (view == net.V.numpy()).all()
    view[0, 0] = 42.0
    assert float(net.V[0, 0]) == 42.0


@pytest.mark.parametrize("hidden", [0, 3])
def test_more_labels_leave_the_old_ones_and_the_map_alone(hidden: int) -> None:
    old = network(6, [3, 2], hidden=hidden)
    old.shift += 0.5
    new = extended(old, [3, 4, 5], seed=9)
    assert new.sizes == [3, 4, 5]
    for name, values in old.state_dict().items():
        kept = new.state_dict()[name]
        assert torch.equal(kept[: len(values)], values), name
    assert new.labels[1][2:].any(dim=1).all()
    assert new.labels[2].any(dim=1).all()
    assert float(new.labels[2].std()) == pytest.approx(1 / math.sqrt(6), rel=0.4)
    assert not any(values.requires_grad for values in new.parameters())
    with torch.no_grad():
        new.V += 1.0
    assert not torch.equal(new.V, old.V)


@pytest.mark.parametrize("sizes", [[3], [3, 1], [2, 2, 4]])
def test_labels_are_never_taken_away(sizes: list[int]) -> None:
    with pytest.raises(UsageError, match=r"\[3, 2\] of each"):
        extended(network(6, [3, 2]), sizes, seed=0)


@pytest.mark.parametrize(
    "odd",
    [
        {"shift": np.float32([0.0, np.nan])},
        {"scale": np.float32([1.0, np.inf])},
        {"scale": np.float32([1.0, 0.0])},
        {"scale": np.ones(3, np.float32)},
    ],
)
def test_a_standardisation_that_is_none_is_refused(odd: dict[str, Any]) -> None:
    given = {"shift": np.zeros(2, np.float32), "scale": np.ones(2, np.float32), **odd}
    with pytest.raises(UsageError, match="finite scale"):
        new_embedding(JointSpec(inputs=2), [2], seed=0, **given)
