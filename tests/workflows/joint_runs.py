"""Joint embeddings learned from small data sets of tones, for tests of workflows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segue.datasets import Manifest
from segue.training.loop import Settings
from segue.training.warp.settings import WarpSettings
from segue.workflows.joint import Joint, pretrain_warp
from segue.workflows.jointsets import Source

SETTINGS = Settings(epochs=2, learning_rate=0.05, patience=5, stop_on="valid_map")
WARP = WarpSettings(dimensions=6, batch=20)


def learn(sources: Sequence[Source], out: Path, **more: Any) -> Joint:
    options: dict[str, Any] = {"warp": WARP, "settings": SETTINGS, "share": 0.25, "workers": 1}
    return pretrain_warp(sources, out, **{**options, **more})


def named(name: str, path: Path, column: str = "kind", group: str | None = "artist") -> Source:
    return Source(name=name, manifest=Manifest.read(path), column=column, group=group)
