"""Ways to run the front end and the network of a convnet on one core, beside the one in use.

Called by `python benchmarks/embed.py --engines`. Times are the least of many turns, each way after
the other, on the same real clips; between two turns other memory is read, as decoding would.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.audio import load
from segue.encoders import encoder
from segue.encoders.convnet import ConvNetEncoder
from segue.errors import UsageError

TURNS = 15
PLAIN = "torch, one transform, maps first"
Line = dict[str, Any]
Run = Callable[[Tensor], Tensor]


def every_engine(name: str, files: Sequence[Path]) -> list[Line]:
    """Milliseconds a clip of each way, and how far its features are from the plain network's."""
    built = encoder(name)
    assert isinstance(built, ConvNetEncoder)
    card = built.card
    clips = [
        torch.from_numpy(np.stack(built.chunks_of(load(path, rate=card.rate, duration=29.0))))
        for path in files
    ]
    torch.set_num_threads(1)
    ways: dict[str, Run] = {
        PLAIN: plain(built),
        "torch, in use (blocks of frames, maps last)": lambda clip: used(built, clip),
        "torch, in use, bfloat16": halved(built),
        **compiled(built),
        **exported(built),
    }
    with torch.inference_mode():
        expected = torch.cat([ways[PLAIN](clip) for clip in clips])
        other = torch.empty(4_000_000)
        times: dict[str, list[float]] = {way: [] for way in ways}
        found = {way: torch.cat([run(clip) for clip in clips]) for way, run in ways.items()}
        for _ in range(TURNS):
            for way, run in ways.items():
                other.add_(1.0)
                began = time.perf_counter()
                for clip in clips:
                    run(clip)
                times[way].append((time.perf_counter() - began) / len(clips))
    scale = float(expected.abs().max())
    return [
        {
            "way": f"engine: {way}",
            "ms_per_track": round(1000 * min(times[way]), 2),
            "largest_difference": f"{float((found[way] - expected).abs().max()) / scale:.1e}",
        }
        for way in ways
    ]


def used(built: ConvNetEncoder, clip: Tensor) -> Tensor:
    return torch.from_numpy(built.encode_chunks([clip[0].numpy()]))


def spectra(built: ConvNetEncoder, clip: Tensor) -> Tensor:
    """Frames by one transform of the whole clip, as a front end without blocks makes them."""
    spec, front_end = built.card.front_end, built.front_end
    spectrum = torch.stft(
        clip,
        spec.n_fft,
        spec.hop,
        window=front_end.window,
        pad_mode="constant",
        return_complex=True,
    )
    power = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
    return front_end.compress(power @ front_end.filters)


def plain(built: ConvNetEncoder) -> Run:
    """The fused network in torch's own layout."""
    network = copy.deepcopy(built.network)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def run(clip: Tensor) -> Tensor:
        return torch.cat(network(spectra(built, clip)), dim=1)

    return run


def halved(built: ConvNetEncoder) -> Run:
    """Convolutions of numbers rounded to 8 bits: other features, so only to compare with."""

    def run(clip: Tensor) -> Tensor:
        frames = built.front_end(clip)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.cat(built.network(frames), dim=1).float()

    return run


def compiled(built: ConvNetEncoder) -> dict[str, Run]:
    """torch.compile, which needs a C++ compiler where it runs."""
    if not shutil.which("g++"):
        return {}
    network = torch.compile(built.network)

    def run(clip: Tensor) -> Tensor:
        return torch.cat(network(built.front_end(clip)), dim=1)

    return {"torch.compile": run}


def exported(built: ConvNetEncoder) -> dict[str, Run]:
    """ONNX Runtime on the graph that `segue models export` writes, front end and all."""
    from segue.encoders.onnx import export_encoder

    try:
        path = export_encoder(built, Path(tempfile.mkdtemp()) / "graph.onnx")
    except UsageError:
        return {}
    graph = encoder(f"onnx:{path}")

    def run(clip: Tensor) -> Tensor:
        vectors: NDArray[np.float32] = graph.encode_chunks([clip[0].numpy()])
        return torch.from_numpy(vectors)

    return {"ONNX Runtime": run}
