"""Hamel et al. 2013: joint embeddings, few-label curves, similarity, as published and corrected."""

from segue.experiments.hamel2013.reproduce import Reproduction, reproduce
from segue.experiments.hamel2013.sets import Sets, distributed_sets, named_sets

__all__ = ["Reproduction", "Sets", "distributed_sets", "named_sets", "reproduce"]
