"""One split with one seed: what all its jobs share, and where they put what they finish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segue.experiments.kim2018.music import Music
from segue.experiments.kim2018.scale import Scale
from segue.experiments.kim2018.splits import Split
from segue.extraction.frames import SECONDS
from segue.store import FrameTable
from segue.store.rows import Stored
from segue.targets.factors import FactorSettings
from segue.training.clips import Clips
from segue.workflows.cells import Cells, arrays_digest
from segue.workflows.dcnntargets import AUDIO, Asked
from segue.workflows.groupkinds import kind_recipe, parse_kind

CODE = 1  # raised whenever the same inputs would give other numbers

Rows = NDArray[np.int64]
Side = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """A split of a data set, with all that its numbers depend on; jobs in other processes get it.

    Attributes
    ----------
    music : Music
        Tracks that have frames.
    split : Split
    scale : Scale
    stored : tuple of Stored
        Frames of each track.
    frames, root : Path
        The store of frames; the folder below which this part's own is.
    digest : str
        Of all that decides a number.
    device : str
    """

    music: Music
    split: Split
    scale: Scale
    stored: tuple[Stored, ...]
    frames: Path
    root: Path
    digest: str
    device: str = "cpu"

    @property
    def name(self) -> str:
        """ "artist-0"."""
        return f"{self.split.kind}-{self.split.seed}"

    @property
    def folder(self) -> Path:
        """Targets, networks and features; another where anything that decides them is other."""
        return self.root / "parts" / f"{self.name}-{self.digest[:12]}"

    def cells(self) -> Cells:
        """Finished scores."""
        return Cells(self.root / "cells" / self.name, self.digest, ("scores",))

    def clips(self) -> Clips:
        """Frames of every track, opened anew: maps cannot be handed to another process."""
        return Clips(FrameTable.open(self.stored[0].shard.parent.parent), self.stored)

    def target_path(self, letter: str) -> Path:
        """Artist group factors of a kind."""
        return self.folder / "targets" / f"{letter}.safetensors"

    def features_path(self, letter: str, side: Side) -> Path:
        """Features of a task's own network."""
        return self.folder / "features" / f"{letter}.{side}.npy"

    def has_target(self, letter: str) -> bool:
        """Whether they are learned."""
        return self.target_path(letter).is_file()

    def has_features(self, letter: str) -> bool:
        """Whether both sides are there."""
        return all(self.features_path(letter, side).is_file() for side in get_args(Side))

    @property
    def taught(self) -> Rows:
        """Training rows that are classified: what a classifier learns from."""
        return self.split.train[self.music.genre[self.split.train] >= 0]

    def asked(self) -> Asked:
        """The targets in the words of ``segue pretrain dcnn``."""
        return Asked(
            targets=tuple(self.music.tasks),
            genre=self.music.target,
            group=self.music.group,
            labels=self.music.labels,
            factors=FactorSettings(
                words=self.scale.words,
                topics=self.scale.topics,
                passes=self.scale.passes,
                seed=self.split.seed,
            ),
        )


def digest_of(
    music: Music,
    split: Split,
    scale: Scale,
    stored: Sequence[Stored],
    *,
    heard: Sequence[str],
    device: str,
) -> str:
    """SHA-256 over audio, labels, split and sizes: all that decides a part's numbers."""
    manifest = music.manifest
    facts: dict[str, Any] = {
        "code": CODE,
        "scale": scale.facts(),
        "seed": split.seed,
        "device": device.split(":")[0],
        "frames": stored[0].shard.parent.parent.name,
        "heard": list(heard),
        "audio": [one.key for one in stored],
        "ids": manifest.ids,
        "columns": [manifest.column(one) for one in (music.group, *music.labels)],
        "classes": list(music.classes),
    }
    return arrays_digest(facts, [music.genre, split.train, split.test])


def _frames_digest(kind: str) -> str:
    """What artist groups are described by: a front end, or the version of an encoder."""
    recipe = kind_recipe(parse_kind(kind), seconds=SECONDS, chunks=1, device="cpu")
    return recipe.build().kind.digest


def parts_of(
    music: Music,
    splits: Sequence[Split],
    scale: Scale,
    stored: Sequence[Stored],
    *,
    frames: Path,
    root: Path,
    device: str,
) -> list[Part]:
    """One part a split."""
    heard = [_frames_digest(one) for one in AUDIO.values()]
    return [
        Part(
            music=music,
            split=one,
            scale=scale,
            stored=tuple(stored),
            frames=frames,
            root=root,
            digest=digest_of(music, one, scale, stored, heard=heard, device=device),
            device=device,
        )
        for one in splits
    ]
