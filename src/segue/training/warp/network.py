"""The joint embedding: one map of frames shared by all data sets, one table of labels for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.encoders.joint import JointMap, JointSpec
from segue.errors import UsageError
from segue.seeds import generator

Floats = NDArray[np.float32]


class JointEmbedding(JointMap):
    """A map of frames (t, d) into a space (t, D), and all labels as points of that space.

    The score of label i of a data set for a frame x is W_i . V x, with x standardised; with a
    hidden layer it is W_i . V tanh(U x + b).

    Parameters
    ----------
    spec : JointSpec
    sizes : sequence of int
        Labels of each data set.

    Attributes
    ----------
    shift, scale, V, hidden
        See :class:`~segue.encoders.joint.JointMap`.
    labels : sequence of (labels, D) tensors
        ``labels.0`` and so on: the rows W_i of each data set.

    Notes
    -----
    Nothing here asks for gradients: :class:`~segue.training.warp.learner.WarpLearner` writes
    into the tensors' memory.

    Examples
    --------
    >>> network = JointEmbedding(JointSpec(inputs=4), [3, 2])
    >>> {name: tuple(values.shape) for name, values in network.state_dict().items()}
    {'V': (100, 4), 'shift': (4,), 'scale': (4,), 'labels.0': (3, 100), 'labels.1': (2, 100)}
    """

    def __init__(self, spec: JointSpec, sizes: Sequence[int]) -> None:
        super().__init__(spec)
        self.spec = spec
        self.labels = nn.ParameterList(
            nn.Parameter(torch.zeros(size, spec.dimensions)) for size in sizes
        )
        self.requires_grad_(False)

    @property
    def sizes(self) -> list[int]:
        """Labels of each data set."""
        return [len(rows) for rows in self.labels]


def new_embedding(
    spec: JointSpec, sizes: Sequence[int], *, shift: Floats, scale: Floats, seed: int
) -> JointEmbedding:
    """An embedding before training, drawn as in WSABIE (Weston et al. 2011): N(0, 1 / sqrt(d)).

    A hidden layer's matrix is drawn in the same way and its bias is 0; V then has the number of
    hidden units for d.

    Parameters
    ----------
    spec : JointSpec
    sizes : sequence of int
        Labels of each data set.
    shift, scale : (d,) float32 arrays
        What makes a training frame standard: ``(frame - shift) * scale``.
    seed : int

    Raises
    ------
    UsageError
        A standardisation that is none: of another width, or not finite, or a scale of 0.

    Examples
    --------
    >>> shift, scale = np.zeros(4, np.float32), np.ones(4, np.float32)
    >>> network = new_embedding(JointSpec(inputs=4), [3, 2], shift=shift, scale=scale, seed=0)
    >>> network.sizes, network(torch.zeros(7, 4)).shape
    ([3, 2], torch.Size([7, 100]))
    """
    shapes = {shift.shape, scale.shape}
    if shapes != {(spec.inputs,)} or not np.isfinite([shift, scale]).all() or not scale.all():
        raise UsageError(
            wanted=f"a finite mean and a finite scale, not 0, of {spec.inputs} numbers a frame",
            got=f"shapes {shift.shape} and {scale.shape}, "
            f"{np.isfinite(shift).sum()} and {np.isfinite(scale).sum()} of them finite",
            fix="Look for NaN, or numbers that never change, in the frames",
        )
    network = JointEmbedding(spec, sizes)
    network.shift.copy_(torch.from_numpy(shift))
    network.scale.copy_(torch.from_numpy(scale))
    if network.hidden is not None:
        _draw(network.hidden.weight, spec.inputs, seed, "hidden")
        network.hidden.bias.zero_()
    _draw(network.V, network.V.shape[1], seed, "V")
    for number, rows in enumerate(network.labels):
        _draw(rows, spec.inputs, seed, "labels", number)
    return network


def extended(network: JointEmbedding, sizes: Sequence[int], *, seed: int) -> JointEmbedding:
    """A copy with more labels: more rows in its data sets, after the old, or more data sets.

    Raises
    ------
    UsageError
        Fewer data sets or labels than there are.

    Examples
    --------
    >>> shift, scale = np.zeros(4, np.float32), np.ones(4, np.float32)
    >>> old = new_embedding(JointSpec(inputs=4), [3], shift=shift, scale=scale, seed=0)
    >>> new = extended(old, [5, 2], seed=0)
    >>> new.sizes, torch.equal(new.labels[0][:3], old.labels[0]), torch.equal(new.V, old.V)
    ([5, 2], True, True)
    """
    old = network.sizes
    if len(sizes) < len(old) or any(new < had for new, had in zip(sizes, old, strict=False)):
        raise UsageError(
            wanted=f"the labels that are there, {old} of each data set, or more",
            got=str(list(sizes)),
            fix="Give the old data sets and labels first",
        )
    wider = JointEmbedding(network.spec, sizes)
    state = network.state_dict()
    wider.load_state_dict({**wider.state_dict(), **{k: state[k] for k in _of_map(network)}})
    for number, rows in enumerate(wider.labels):
        had = old[number] if number < len(old) else 0
        if had:
            rows[:had].copy_(network.labels[number])
        _draw(rows[had:], network.spec.inputs, seed, "labels", number, had)
    return wider


def _of_map(network: JointEmbedding) -> list[str]:
    return [name for name in network.state_dict() if not name.startswith("labels.")]


def _draw(values: Tensor, inputs: int, seed: int, *names: str | int) -> None:
    draws = generator(seed, "joint", *names)
    drawn = draws.standard_normal(tuple(values.shape), dtype=np.float32)
    values.copy_(torch.from_numpy(drawn / np.float32(math.sqrt(inputs))))


def memory(values: Tensor) -> Floats:
    """The tensor's own memory as an array: what is written there is written into the tensor."""
    array: Floats = values.detach().numpy()
    return array
