"""What works on this machine."""

from __future__ import annotations

import platform
from importlib.metadata import version

from segue import __version__
from segue.audio.codecs import decoders
from segue.encoders import ENCODERS
from segue.encoders.weights import weights_folder
from segue.extraction import available_cpus

PACKAGES = ("torch", "numpy", "scikit-learn", "pyarrow", "faiss-cpu", "soundfile", "soxr", "av")


def examine() -> dict[str, str]:
    """Versions, codecs, devices and weights, each as one line of text.

    Examples
    --------
    >>> examine()["segue"] == __version__
    True
    """
    import torch

    devices = ["cpu"]
    devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    needed = [known.name for known in ENCODERS if known.weights]
    present = {name: (weights_folder() / f"{name}.safetensors").is_file() for name in needed}
    return {
        "segue": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **decoders(),
        "devices": ", ".join(devices),
        "processors": str(available_cpus()),
        "weights folder": str(weights_folder()),
        **{
            f"weights of {name}": "pulled" if there else f"run `segue models pull {name}`"
            for name, there in present.items()
        },
    }
