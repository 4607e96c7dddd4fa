"""Filling the store: plan, worker, pool."""

from segue.extraction.frames import (
    FrameMaker,
    FrameRecipe,
    extract_frames,
    frame_recipe,
    frames_of,
)
from segue.extraction.pool import available_cpus
from segue.extraction.run import EmbedReport, FillReport, Progress, extract, plan
from segue.extraction.worker import Recipe, features_of, file_facts

__all__ = [
    "EmbedReport",
    "FillReport",
    "FrameMaker",
    "FrameRecipe",
    "Progress",
    "Recipe",
    "available_cpus",
    "extract",
    "extract_frames",
    "features_of",
    "file_facts",
    "frame_recipe",
    "frames_of",
    "plan",
]
