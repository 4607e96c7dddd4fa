"""Groups whose topics are known."""

from __future__ import annotations

import numpy as np

from segue.seeds import generator
from segue.targets.source import ArraySource


def planted_topics(topics=6, words=60, seed=0):
    """Distributions (topics, words), each over ten words of its own, nearly."""
    draws = generator(seed, "planted")
    table = np.full((topics, words), 0.01)
    for topic in range(topics):
        own = slice(topic * words // topics, (topic + 1) * words // topics)
        table[topic, own] += draws.gamma(2.0, 1.0, words // topics)
    return table / table.sum(axis=1, keepdims=True)


def planted_groups(table, groups=300, tracks=3, per_track=60, seed=0):
    """Words of tracks, groups of the tracks, and the shares (groups, topics) they came from."""
    draws = generator(seed, "groups")
    shares = draws.dirichlet(np.full(len(table), 0.15), groups)
    words = [
        draws.choice(table.shape[1], per_track, p=shares[group] @ table)
        for group in range(groups)
        for _ in range(tracks)
    ]
    return words, np.repeat(np.arange(groups), tracks), shares


def blobs(count=8, width=4, each=50, seed=0):
    """Vectors (count * each, width) around centres far from each other, and whose they are."""
    draws = generator(seed, "blobs")
    centres = 50.0 * draws.permutation(np.eye(count, width) + np.arange(count)[:, None])
    label = draws.permutation(np.repeat(np.arange(count), each))
    vectors = centres[label] + 0.1 * draws.standard_normal((len(label), width))
    return vectors.astype(np.float32), label


def vector_source(tracks=40, groups=12, width=5, seed=0, kinds=6):
    """Tracks of unequal length in groups that lean to some kinds of vectors."""
    draws = generator(seed, "source")
    centres = draws.normal(0.0, 10.0, (kinds, width))
    group_of = np.sort(draws.integers(0, groups, tracks))
    vectors = []
    for group in group_of:
        kind = draws.choice([group % kinds, (group + 1) % kinds], draws.integers(5, 40))
        vectors.append((centres[kind] + draws.standard_normal((len(kind), width))).astype("f4"))
    return ArraySource([f"artist {n}" for n in range(groups)], group_of, vectors)
