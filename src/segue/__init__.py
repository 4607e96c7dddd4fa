"""segue: transfer learning on music audio.

The public face is small and loads lazily: ``import segue`` costs milliseconds and pulls in
neither torch nor ray.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Audio": "segue.audio",
    "load": "segue.audio",
    "Manifest": "segue.datasets",
    "FeatureTable": "segue.store",
    "encoder": "segue.encoders",
    "curve": "segue.workflows",
    "embed": "segue.workflows",
    "audit": "segue.workflows",
    "evaluate": "segue.workflows",
    "fit": "segue.workflows",
    "predict": "segue.workflows",
    "build_index": "segue.workflows",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'segue' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
