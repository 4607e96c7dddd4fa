"""Filling the store: plan, worker, pool."""

from segue.extraction.pool import available_cpus
from segue.extraction.run import EmbedReport, Progress, extract, plan
from segue.extraction.worker import Recipe, features_of, file_facts

__all__ = [
    "EmbedReport",
    "Progress",
    "Recipe",
    "available_cpus",
    "extract",
    "features_of",
    "file_facts",
    "plan",
]
