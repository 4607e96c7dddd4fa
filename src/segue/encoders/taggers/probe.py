"""The sanity probe: one made-up clip must still get the scores that were recorded for it.

It runs before a tagger is first used in a process, and finds what a digest cannot: a front end, a
network or a library that computes something else than when the port was verified.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from segue.audio.frontends import FrontEnd
from segue.encoders.taggers.hearing import Hearing
from segue.encoders.taggers.network import TaggerNetwork
from segue.errors import WeightsError

TOLERANCE = 5e-3
"""In logits. Decibels of nearly silent bands magnify the rounding of the Fourier transform, which
differs between processors: .0013 was seen. A wrong front end or network misses by far more."""
_LENGTH = {"whole": 20.6, "pieces": 3.0, "patches": 3.0}  # seconds; an FCN needs 1280 frames
_passed: set[tuple[str, str]] = set()


def clip(seconds: float, rate: int) -> NDArray[np.float32]:
    """Four chords of half a second over and over, each with a click at its begin.

    Examples
    --------
    >>> clip(2.5, 16000).shape
    (40000,)
    """
    time = np.arange(rate // 2) / rate
    roots = (220.0, 174.61, 261.63, 196.0)
    decay = np.exp(-3.0 * time)
    click = np.sin(0.37 * np.arange(len(time)) ** 1.5) * np.exp(-80.0 * time)
    chords = [
        0.1 * decay * sum(np.sin(2 * np.pi * root * k * time) for k in (1.0, 1.25, 1.5, 2.0))
        + 0.3 * click
        for root in roots
    ]
    return np.resize(np.concatenate(chords), round(seconds * rate)).astype(np.float32)


def logits(
    network: TaggerNetwork, front_end: FrontEnd, hearing: Hearing, names: tuple[str, ...]
) -> dict[str, float]:
    """Logits of the probe's clip by tag name, highest first."""
    samples = clip(_LENGTH[hearing.cut], front_end.spec.rate)
    with torch.inference_mode():
        frames = hearing.frames(samples, front_end, "cpu")
        _, found = network(frames)
    values = found[0].tolist()
    return {names[n]: values[n] for n in np.argsort(-np.array(values), kind="stable")}


def check(
    name: str,
    digest: str,
    network: TaggerNetwork,
    front_end: FrontEnd,
    *,
    hearing: Hearing,
    names: tuple[str, ...],
    recorded: Mapping[str, float],
) -> None:
    """Run the probe, once per process and set of weights.

    Parameters
    ----------
    name, digest : str
        The model, and the digest of its weights.
    network, front_end, hearing, names
        As the encoder has them, on the CPU.
    recorded : mapping of str to float
        The likeliest tags and their logits, highest first.

    Raises
    ------
    WeightsError
        When other tags come first, or a logit differs by more than TOLERANCE.
    """
    if (name, digest) in _passed:
        return
    found = logits(network, front_end, hearing, names)
    top = dict(list(found.items())[: len(recorded)])
    same = list(top) == list(recorded)
    if not same or max(abs(top[tag] - recorded[tag]) for tag in recorded) > TOLERANCE:
        raise WeightsError(
            wanted=f"the probe of {name} to give {_words(recorded)}",
            got=_words(top),
            fix=f"Run `segue models pull {name}` again; if that does not help, this version of "
            "torch computes something else: report it with the output of `segue doctor`",
        )
    _passed.add((name, digest))


def _words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{tag} {value:.3f}" for tag, value in scores.items())
