"""What works on this machine."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil

from segue import __version__
from segue.audio.codecs import decoders
from segue.encoders import ENCODERS
from segue.encoders.weights import weights_folder
from segue.extraction import available_cpus

PACKAGES = ("torch", "numpy", "scikit-learn", "pyarrow", "faiss-cpu", "soundfile", "soxr", "av")


class Extra(NamedTuple):
    """An optional part of segue: the modules it needs, the package that tells its version."""

    name: str
    modules: tuple[str, ...]
    package: str
    gives: str


EXTRAS = (
    Extra("ray", ("ray", "ray.data"), "ray", "segue embed --engine ray: many machines"),
    Extra(
        "onnx",
        ("onnx", "onnxruntime", "onnxscript"),
        "onnxruntime",
        "segue models export, and encoders onnx:FILE",
    ),
    Extra("hf", ("transformers",), "transformers", "encoders hf:NAME_OR_FOLDER of Hugging Face"),
    Extra("essentia", ("essentia",), "essentia", "the encoder essentia (AGPL-3.0)"),
)


def examine() -> dict[str, str]:
    """Versions, codecs, devices, room, extras and weights, each as one line of text.

    Examples
    --------
    >>> examine()["segue"] == __version__
    True
    """
    needed = [known.name for known in ENCODERS if known.weights]
    present = {name: (weights_folder() / f"{name}.safetensors").is_file() for name in needed}
    return {
        "segue": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **decoders(),
        "devices": ", ".join(_devices()),
        "processors": str(available_cpus()),
        "memory": _memory(),
        "disk here": _free(Path.cwd()),
        "weights folder": f"{weights_folder()} ({_free(weights_folder())})",
        **{f"extra {extra.name}": _extra(extra) for extra in EXTRAS},
        **{
            f"weights of {name}": "pulled" if there else f"run `segue models pull {name}`"
            for name, there in present.items()
        },
    }


def _devices() -> list[str]:
    import torch

    names = ["cpu"]
    names += [
        f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())
    ]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def _memory() -> str:
    memory = psutil.virtual_memory()
    return f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB available"


def _free(place: Path) -> str:
    """Room on the disk that a place is on, or will be."""
    there = next((path for path in (place, *place.parents) if path.exists()), Path("/"))
    try:
        usage = shutil.disk_usage(there)
    except OSError as error:
        return f"not known: {error.strerror}"
    return f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free"


def _extra(extra: Extra) -> str:
    """Its version, or what it would give."""
    missing = [name for name in extra.modules if not _there(name)]
    if missing:
        lacks = f" (lacks {', '.join(missing)})" if len(missing) < len(extra.modules) else ""
        return f"not installed{lacks}: pip install 'segue[{extra.name}]' gives {extra.gives}"
    try:
        return f"{version(extra.package)}: {extra.gives}"
    except PackageNotFoundError:  # found on the path, installed by other means
        return f"version not known: {extra.gives}"


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False
