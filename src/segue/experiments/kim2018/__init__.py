"""Kim et al. 2018: all combinations of genre and artist group factors, apart, shared and wide."""

from segue.experiments.kim2018.music import Music, distributed_music, named_music
from segue.experiments.kim2018.reproduce import Reproduction, reproduce
from segue.experiments.kim2018.scale import FULL, SMALL, Scale

__all__ = [
    "FULL",
    "SMALL",
    "Music",
    "Reproduction",
    "Scale",
    "distributed_music",
    "named_music",
    "reproduce",
]
