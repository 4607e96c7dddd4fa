"""A training run on disk: one safetensors file that holds all of it, written in one step.

Network, best network and the learner's memory are tensors; all else is JSON in the file's metadata,
with a digest over both. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from segue.errors import WeightsError
from segue.files import write_atomically

FORMAT = 2
Tensors = dict[str, Tensor]


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON facts as one file, whole or not at all.

    Raises
    ------
    StoreError
        Full disk; the checkpoint before stays.
    """
    from safetensors.torch import save as to_bytes

    plain = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
    words = json.dumps({"format": FORMAT, **facts})
    metadata = {"segue": words, "sha256": _digest(plain, words)}
    write_atomically(path, to_bytes(plain, metadata=metadata))


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and facts of a checkpoint.

    Raises
    ------
    WeightsError
        Not a checkpoint, of another format, or changed since it was written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "checkpoint.safetensors"
    >>> save(path, {"w": torch.ones(2)}, {"epoch": 3})
    >>> load(path)[1]["epoch"]
    3
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        words = metadata["segue"]
        facts: dict[str, Any] = json.loads(words)
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}")
        if metadata["sha256"] != _digest(tensors, words):
            raise ValueError("a digest that does not match")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            wanted="a whole checkpoint of this version",
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            fix="Remove this file to begin the training again; decoded samples are kept",
            source=path,
        ) from error
    return tensors, facts


def _digest(tensors: Mapping[str, Tensor], words: str) -> str:
    state = hashlib.sha256(words.encode())
    for name in sorted(tensors):
        values = tensors[name]
        state.update(f"{name}{values.dtype}{tuple(values.shape)}".encode())
        state.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Tensors under a prefix, as a checkpoint names them.

    Examples
    --------
    >>> list(prefixed("best", {"w": torch.ones(1)}))
    ['best.w']
    """
    return {f"{prefix}.{name}": values for name, values in tensors.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The inverse of :func:`prefixed`.

    Examples
    --------
    >>> list(below("best", {"best.w": torch.ones(1), "network.w": torch.ones(1)}))
    ['w']
    """
    start = f"{prefix}."
    return {
        name.removeprefix(start): values
        for name, values in tensors.items()
        if name.startswith(start)
    }


def optimiser_tensors(optimiser: optim.Optimizer) -> Tensors:
    """What an optimiser remembers of each parameter, named ``<number>.<what>``."""
    return {
        f"{number}.{what}": values
        for number, memory in optimiser.state_dict()["state"].items()
        for what, values in memory.items()
    }


def restore_optimiser(optimiser: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser its memory back, in the layout of the parameters.

    Another memory layout would take other vector instructions, and a resumed run would differ
    from an unbroken one in the last bit.
    """
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, values in tensors.items():
        number, what = name.split(".", 1)
        like = parameters[int(number)]
        if values.shape == like.shape:
            values = torch.empty_like(like, dtype=values.dtype).copy_(values)
        state.setdefault(int(number), {})[what] = values
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def restore_network(network: nn.Module, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Fill a network, every tensor of it.

    Raises
    ------
    WeightsError
        When the tensors are not exactly the network's.
    """
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise WeightsError(
            wanted="a checkpoint of this network",
            got=str(error).splitlines()[-1].strip(),
            fix="Remove this file to begin the training again; decoded samples are kept",
            source=source,
        ) from error
