"""Small labelled data sets whose classes anybody hears apart, for tests of joint embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 22050
BANDS = {"low": (90, 260), "mid": (700, 1400), "high": (3500, 7000)}
TRAITS = {"low": "dark;tonal", "mid": "tonal", "high": "bright;tonal", "noise": "bright;dark"}


def sound(kind: str, seed: int, *, seconds: float = 1.6, rate: int = RATE) -> np.ndarray:
    """Tones of a band with a beat, or noise; another seed, another clip of the same kind."""
    draws = np.random.default_rng([seed, *kind.encode()])
    time = np.arange(round(seconds * rate)) / rate
    noise = draws.normal(size=len(time))
    if kind == "noise":
        heard = 0.1 * noise
    else:
        tones = sum(np.sin(2 * np.pi * f * time) for f in draws.uniform(*BANDS[kind], size=4))
        heard = 0.05 * tones + 0.001 * noise
    beat = np.exp(-((time * draws.uniform(1, 3)) % 1.0))
    return (heard * beat * draws.uniform(0.5, 1.0)).astype(np.float32)


def data_set(
    folder: Path,
    kinds: Sequence[str],
    *,
    tracks: int = 8,
    names: Mapping[str, str] | None = None,
    per_artist: int = 2,
    prefix: str = "",
    rows: Sequence[str] = (),
) -> Path:
    """Clips of some kinds and their manifest: columns ``path``, ``id``, ``kind``, ``traits``,
    ``artist``.

    ``names`` are what kinds are called in the column ``kind``; ``rows`` are further lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,id,kind,traits,artist"]
    for kind in kinds:
        for number in range(tracks):
            name = f"{prefix}{kind}{number}"
            soundfile.write(folder / f"{name}.wav", sound(kind, number + 100 * len(prefix)), RATE)
            called = (names or {}).get(kind, kind)
            artist = f"{prefix}artist {kind} {number // per_artist}"
            lines.append(f"{name}.wav,{name},{called},{TRAITS[kind]},{artist}")
    (folder / "tracks.csv").write_text("\n".join([*lines, *rows]) + "\n", encoding="utf-8")
    return folder / "tracks.csv"
