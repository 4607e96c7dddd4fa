"""Filling the store: plan, worker, pool. Loaded piece by piece: most of it needs torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segue.extraction.frames import (
        FrameMaker,
        FrameRecipe,
        extract_frames,
        frame_recipe,
        frames_of,
    )
    from segue.extraction.limits import Limits
    from segue.extraction.processes import available_cpus, prepare
    from segue.extraction.run import EmbedReport, FillReport, Progress, extract
    from segue.extraction.worker import Recipe, features_of, file_facts

_PLACES = {
    "frames": ("FrameMaker", "FrameRecipe", "extract_frames", "frame_recipe", "frames_of"),
    "processes": ("available_cpus", "prepare"),
    "run": ("EmbedReport", "FillReport", "Progress", "extract"),
    "limits": ("Limits",),
    "worker": ("Recipe", "features_of", "file_facts"),
}
_PLACE = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "EmbedReport",
    "FillReport",
    "FrameMaker",
    "FrameRecipe",
    "Limits",
    "Progress",
    "Recipe",
    "available_cpus",
    "extract",
    "extract_frames",
    "features_of",
    "file_facts",
    "frame_recipe",
    "frames_of",
    "prepare",
]


def __getattr__(name: str) -> Any:
    if name in _PLACE:
        return getattr(importlib.import_module(f"{__name__}.{_PLACE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
