"""A network with its weights: all of them, from safetensors files, or none at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.encoders.huggingface.families import Design
from segue.encoders.huggingface.library import library, quiet
from segue.encoders.huggingface.places import INDEX, WHOLE, weight_files
from segue.encoders.weightfiles import tensor_digest
from segue.errors import WeightsError
from segue.files import read_bounded

MAX_WEIGHT_BYTES = 16 * 2**30  # of one file
MAX_INDEX_BYTES = 8 * 2**20
SHARD = re.compile(r"model-[0-9]{1,6}-of-[0-9]{1,6}\.safetensors")
# used in training only, or computed from the configuration: absent or left over, nothing is lost
HARMLESS = re.compile(
    r"masked_spec_embed|.*\.relative_position_index|.*\.position_ids|.*\.num_batches_tracked"
)
SPARE = 2**20  # numbers of a network that its file may lack without being called too small
State = dict[str, Tensor]


class Tower(nn.Module):
    """The layers asked for, each as its mean over the positions that count.

    Layer k is what the network's block k gives; the last one is what the network itself gives,
    after its final normalisation where it has one. Blocks above the highest asked are not
    computed.

    Parameters
    ----------
    network : module of transformers
    blocks : str
        Its list of layers.
    layers : tuple of int
        Ascending, from 1.
    """

    def __init__(self, network: nn.Module, *, blocks: str, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.blocks = cast(nn.ModuleList, attrgetter(blocks)(network))
        self.depth, self.layers = len(self.blocks), layers
        self.stages = hasattr(network, "audio_encoder")
        if not self.stages:  # the end of CLAP's tower fits its last stage only
            del self.blocks[max(layers) :]

    def forward(self, inputs: Tensor, counting: list[Tensor | None]) -> Tensor:
        """Vectors (batch, dim) in float64 of inputs (batch, ...).

        Parameters
        ----------
        inputs : tensor
        counting : list of mask (positions,) or None
            Which positions count, for each of the batch; None: all.
        """
        found: dict[int, Tensor] = {}
        watched = [layer for layer in self.layers if layer < self.depth]
        handles = [
            self.blocks[layer - 1].register_forward_hook(_keeper(found, layer, counting))
            for layer in watched
        ]
        try:
            # which of CLAP's sounds are longer than a chunk: none
            longer = {"is_longer": torch.zeros(len(inputs), 1)} if self.stages else {}
            last = self.network(inputs, **longer).last_hidden_state
        except (RuntimeError, ValueError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise WeightsError(
                wanted="a network whose parts fit each other",
                got=" ".join(str(error).split())[:300],
                fix="Copy the model's files again from where it was published",
            ) from error
        finally:
            for handle in handles:
                handle.remove()
        if self.depth in self.layers:
            states = last.flatten(2).transpose(1, 2) if last.dim() == 4 else last
            found[self.depth] = pooled(states, counting)
        return torch.cat([found[layer] for layer in self.layers], dim=1)


def _keeper(
    found: dict[int, Tensor], layer: int, counting: list[Tensor | None]
) -> Callable[..., None]:
    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output
        found[layer] = pooled(states, counting)

    return keep


def pooled(states: Tensor, counting: list[Tensor | None]) -> Tensor:
    """Means (batch, width) in float64 over the positions of states (batch, positions, width).

    Examples
    --------
    >>> pooled(torch.tensor([[[1.0], [3.0], [8.0]]]), [torch.tensor([True, True, False])]).tolist()
    [[2.0]]
    """
    means = [
        (one if heard is None else one[heard.to(one.device)]).double().mean(dim=0)
        for one, heard in zip(states, counting, strict=True)
    ]
    return torch.stack(means)


def load_network(design: Design, folder: Path) -> tuple[nn.Module, str]:
    """A network in use, in float32, and the digest of its tensors as the files name them.

    Raises
    ------
    WeightsError
        No safetensors files, damaged ones, a tensor missing, left over, of another shape or not
        finite.
    """
    tensors = read_state(folder, design.family.prefixes)
    digest = tensor_digest({name: _as_numpy(values) for name, values in tensors.items()})
    network = _filled(design, tensors, folder)
    return network.eval().requires_grad_(False), digest


def _as_numpy(values: Tensor) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], values.float().numpy())


def _filled(design: Design, tensors: State, folder: Path) -> nn.Module:
    kind, dtype = design.family.network_class(), torch.float32
    try:
        # the library draws weights before it overwrites them: not from the caller's generator
        with quiet(), torch.random.fork_rng(devices=[]):
            _check_size(kind, design, tensors, folder)
            network, report = kind.from_pretrained(
                None,
                config=design.config,
                state_dict=tensors,
                dtype=dtype,
                output_loading_info=True,
            )
    except (
        *(ArithmeticError, AssertionError, AttributeError, LookupError),
        *(RuntimeError, TypeError, ValueError),
    ) as error:
        raise _unfit(design, folder, " ".join(str(error).split())[:300]) from error
    problems = [f"no {name}" for name in sorted(report["missing_keys"])]
    problems += [f"an unknown {name}" for name in sorted(report["unexpected_keys"])]
    problems = [one for one in problems if not HARMLESS.fullmatch(one.split()[-1])]
    problems += [f"{one} of another shape" for one in sorted(map(str, report["mismatched_keys"]))]
    problems += [str(one) for one in report["error_msgs"]]
    if problems:
        raise _unfit(design, folder, "; ".join(problems[:5]) + "; ..." * (len(problems) > 5))
    return cast(nn.Module, network)


def _check_size(kind: Any, design: Design, tensors: State, folder: Path) -> None:
    """Refuse a network much larger than its file, before memory is taken for it."""
    with torch.device("meta"):
        wanted = sum(one.numel() for one in kind(design.config).state_dict().values())
    got = sum(one.numel() for one in tensors.values())
    if wanted > 2 * got + SPARE:
        raise _unfit(design, folder, f"{got} numbers for a network of {wanted}")


def _unfit(design: Design, folder: Path, got: str) -> WeightsError:
    return WeightsError(
        wanted=f"all tensors of {design.family.title} as {design.facts.source.name} describes it",
        got=got,
        fix="Copy the model's files again from where it was published",
        source=folder,
    )


def read_state(folder: Path, prefixes: tuple[str, ...]) -> State:
    """The tensors of an encoder, without the first prefix that any of them has.

    A file of more than the encoder (a classifier, a decoder, a tower of texts) names the encoder's
    tensors with a prefix; what does not have it is left in the file.

    Raises
    ------
    WeightsError
    """
    files = _files(folder)
    names = {name: file for file in files for name in _opened(file).keys()}  # noqa: SIM118
    prefix = next((one for one in prefixes if any(n.startswith(one) for n in names)), "")
    state: State = {}
    for file in files:
        source = _opened(file)
        for name in (one for one, where in names.items() if where == file):
            if name.startswith(prefix):
                state[name.removeprefix(prefix)] = _tensor(source, name, file)
    return state


def _tensor(source: Any, name: str, file: Path) -> Tensor:
    values = cast(Tensor, source.get_tensor(name))
    if values.is_floating_point() and not values.isfinite().all():
        raise _damaged(file, f"{name[:80]} with NaN or infinity")
    return values


def _files(folder: Path) -> list[Path]:
    names = [one.name for one in folder.iterdir() if one.is_file()]
    if weight_files(folder, names)[0] == WHOLE:
        return [folder / WHOLE]
    index = folder / INDEX
    try:
        parts = sorted(set(json.loads(read_bounded(index, MAX_INDEX_BYTES))["weight_map"].values()))
        strangers = [part for part in parts if not SHARD.fullmatch(part)]
        if strangers or not parts:
            raise ValueError(f"a part called {strangers[0]!r:.80}" if strangers else "no parts")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(index, f"a damaged index ({error})") from error
    return [folder / part for part in parts]


def _opened(file: Path) -> Any:
    safetensors = library("safetensors")
    try:
        if (size := file.stat().st_size) > MAX_WEIGHT_BYTES:
            raise _damaged(file, f"{size} bytes, more than {MAX_WEIGHT_BYTES}")
        return safetensors.safe_open(file, framework="pt")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _damaged(file, f"{type(error).__name__}: {error}"[:200]) from error


def _damaged(file: Path, got: str) -> WeightsError:
    return WeightsError(
        wanted="whole safetensors weights",
        got=got,
        fix="Copy or pull the model again",
        source=file,
    )
