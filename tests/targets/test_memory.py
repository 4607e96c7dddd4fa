"""Memory stays as it is when tracks become ten times as many."""

from __future__ import annotations

import tracemalloc

import numpy as np

from segue.seeds import generator
from segue.targets.factors import FactorSettings, group_shares, learn_factors


class Counted:
    """Tracks without end, in 500 groups; nothing of them is kept."""

    def __init__(self, tracks):
        self.tracks = range(tracks)
        self.names = [f"artist {n}" for n in range(500)]
        self.group_of = np.arange(tracks) * 500 // tracks
        self.table = generator(0).standard_normal((64, 1, 8)).astype(np.float32)

    def vectors(self, track):
        return self.table[(self.group_of[track] * 7 + track % 5) % 64]


def peak_of(tracks, work):
    source = Counted(tracks)
    settings = FactorSettings(words=50, topics=5, passes=1, vectors=2000)
    tracemalloc.start()
    try:
        group_shares(learn_factors(source, settings, work=work), source, work=work)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_tracks(tmp_path, monkeypatch):
    monkeypatch.setattr("segue.targets.counting.BLOCK_VECTORS", 2048)
    peak_of(1000, tmp_path)
    few, many = peak_of(5_000, tmp_path), peak_of(30_000, tmp_path)
    # two bytes a track while their order is checked, and a block of vectors, full in both
    assert many - few < 4 * 25_000
