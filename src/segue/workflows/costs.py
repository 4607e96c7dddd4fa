"""What an encoder costs: milliseconds a track on this machine, numbers a clip, its licence."""

from __future__ import annotations

import time
from statistics import median

from threadpoolctl import threadpool_limits

from segue.datasets import Manifest
from segue.evaluation.rows import EncoderFacts
from segue.extraction import Recipe
from segue.extraction.worker import Task
from segue.seeds import generator
from segue.store import Row

SAMPLE = 5


def encoder_facts(manifest: Manifest, recipe: Recipe, *, seed: int = 0) -> EncoderFacts:
    """Time a few tracks, drawn with the seed, from file to features on one thread.

    On the CPU it is the processor's time that counts, so that other work on the machine does not.

    Parameters
    ----------
    manifest : Manifest
    recipe : Recipe
        Its device is used; a GPU is timed with its transfers.

    Returns
    -------
    EncoderFacts
        ``ms`` is the median over the tracks that could be read; NaN where none could.

    Raises
    ------
    UsageError, WeightsError
        As :func:`segue.encoders.encoder`.
    """
    built = recipe.build()
    clock = time.process_time if recipe.device == "cpu" else time.perf_counter
    tracks = list(manifest.tracks())
    drawn = generator(seed, "costs").permutation(len(tracks))[:SAMPLE]
    with threadpool_limits(1):
        recipe.warm(built)
        took = []
        for place in drawn:
            began = clock()
            (outcome,) = recipe.process([Task(tracks[place])], built)
            if isinstance(outcome, Row):
                took.append(clock() - began)
    card = built.card
    return EncoderFacts(
        numbers=card.dim,
        ms=1000 * median(took) if took else float("nan"),
        licence=card.licence,
        commercial=card.commercial,
    )
