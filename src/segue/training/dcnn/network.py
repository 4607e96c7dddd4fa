"""Networks before training, and how wide one must be to have as many parameters as several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.encoders.dcnn import FRONT_END, WIDTHS, Dcnn, DcnnSpec
from segue.errors import UsageError
from segue.seeds import generator
from segue.training.clips import Clips, moments

Floats = NDArray[np.float32]

LEAST_DEVIATION = 1.0
"""Decibels: a band that hardly ever changes is not blown up to the size of the others."""

WIDTH_STEP = 1 / 512
"""Between one and the next, no more than one size of layer gets another map or unit."""

NEAR_ENOUGH = 0.02
"""How far from what is asked for the number of parameters may be, as a share of it."""

OUTPUT_GAIN = 0.1
"""Variance of an output layer's logits at the start, of features of variance 1."""


def band_units(clips: Clips, rows: Sequence[int] | NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Shift and scale (bands,) that make the bands of some clips standard.

    Parameters
    ----------
    clips : Clips
    rows : sequence of int
        The training clips.

    Returns
    -------
    shift, scale : (bands,) float32 arrays
        A frame x is standard as (x - shift) * scale.

    Raises
    ------
    UsageError, SegueError
        As :func:`segue.training.clips.moments`.
    """
    mean, deviation = moments(clips, rows)
    scale = 1.0 / np.maximum(deviation, LEAST_DEVIATION)
    return mean.astype(np.float32), scale.astype(np.float32)


def new_dcnn(spec: DcnnSpec, *, shift: Floats, scale: Floats, seed: int) -> Dcnn:
    """Networks before training.

    Weights are drawn as He et al. 2015 do (normal, variance 2 / inputs), output layers with
    variance 0.1 / inputs, so that every network begins by giving all outputs about the same share;
    biases are 0. Every tensor is drawn by its own name.

    Parameters
    ----------
    spec : DcnnSpec
    shift, scale : (128,) float32 arrays
        See :func:`band_units`.
    seed : int

    Raises
    ------
    UsageError
        A standardisation that is none: of another width, or not finite, or a scale of 0.

    Examples
    --------
    >>> shift, scale = np.zeros(128, np.float32), np.ones(128, np.float32)
    >>> spec = DcnnSpec(tasks=(("g", 16),))
    >>> network = new_dcnn(spec, shift=shift, scale=scale, seed=0)
    >>> network(torch.zeros(2, 43, 128)).shape
    torch.Size([2, 16])
    """
    shapes = {shift.shape, scale.shape}
    if shapes != {(FRONT_END.bins,)} or not np.isfinite([shift, scale]).all() or not scale.all():
        raise UsageError(
            wanted=f"a finite mean and a finite scale, not 0, of each of {FRONT_END.bins} bands",
            got=f"shapes {shift.shape} and {scale.shape}, "
            f"{np.isfinite(shift).sum()} and {np.isfinite(scale).sum()} of them finite",
            fix="Pass what band_units gives",
        )
    network = Dcnn(spec)
    network.shift.copy_(torch.from_numpy(shift))
    network.scale.copy_(torch.from_numpy(scale))
    with torch.no_grad():
        for name, values in network.named_parameters():
            if values.ndim > 1:
                gain = OUTPUT_GAIN if name.startswith("outputs.") else 2.0
                draw_normal(values, gain, seed, "dcnn", name)
            elif name.endswith("bias"):
                values.zero_()
    # innermost maps: a quarter less time a step on a CPU, and what tensor cores want
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def draw_normal(values: Tensor, gain: float, seed: int, *names: str | int) -> None:
    """Fill weights (outputs, inputs, ...) with normal numbers of variance gain / inputs."""
    spread = math.sqrt(gain / values[0].numel())
    drawn = generator(seed, *names).standard_normal(tuple(values.shape), dtype=np.float32)
    values.copy_(torch.from_numpy(drawn * np.float32(spread)))


def widened(spec: DcnnSpec, *, task: int = 0) -> DcnnSpec:
    """One network of one task with as many parameters as those of several (the paper's wSTN).

    Parameters
    ----------
    spec : DcnnSpec
        The networks to be equalled.
    task : int
        Which of its tasks.

    Raises
    ------
    UsageError
        As :func:`width_for`.

    Examples
    --------
    >>> several = DcnnSpec(tasks=(("g", 16), ("m", 40), ("d", 40)), sharing="first")
    >>> wide = widened(several)
    >>> wide.tasks, abs(wide.parameters / several.parameters - 1) < 0.02
    ((('g', 16),), True)
    """
    one = replace(spec, tasks=(spec.tasks[task],), sharing="none")
    return replace(one, width=width_for(spec.parameters, one))


def width_for(parameters: int, spec: DcnnSpec) -> float:
    """The width at which networks have so many parameters, as nearly as there is one.

    Widths go in steps of 1/512: between one and the next, only layers of one size get another map
    or unit, so there is no step between.

    Raises
    ------
    UsageError
        No width from 1/16 to 16 comes within 2 %.
    """
    ends = [round(one / WIDTH_STEP) for one in WIDTHS]
    widths = np.arange(ends[0], ends[1] + 1) * WIDTH_STEP
    # the number of parameters only grows with the width
    low, high = 0, len(widths) - 1
    while low < high:
        middle = (low + high) // 2
        if replace(spec, width=float(widths[middle])).parameters < parameters:
            low = middle + 1
        else:
            high = middle
    near = [float(width) for width in widths[max(0, low - 1) : low + 2]]
    counts = {width: replace(spec, width=width).parameters for width in near}
    # two widths can be the same networks; the larger is the rounder number, 1 and not 511/512
    best = min(near, key=lambda width: (abs(counts[width] - parameters), -width))
    if abs(counts[best] - parameters) > NEAR_ENOUGH * parameters:
        raise UsageError(
            wanted=f"a width from {WIDTHS[0]} to {WIDTHS[1]:g} with {parameters} parameters, "
            f"within {100 * NEAR_ENOUGH:g} %",
            got=f"{counts[best]} at {best}",
            fix="Ask for fewer tasks, or another --width",
        )
    return best
