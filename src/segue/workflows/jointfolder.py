"""A joint embedding's folder, opened: its map and its labels by data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segue.encoders.folders import EncoderFolder, added, open_folder
from segue.encoders.joint import LABELS, MARK, JointSpec, label_names, tags_of
from segue.encoders.names import is_path
from segue.errors import UsageError, WeightsError
from segue.rights import check_rights
from segue.training.warp.network import JointEmbedding

MEL = "hamel2013"
"""The front end whose log-mel frames the paper embeds."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Embedding:
    """An opened folder of an embedding, its labels by data set."""

    folder: EncoderFolder
    spec: JointSpec
    labels: Mapping[str, tuple[str, ...]]

    @property
    def hears(self) -> str:
        """As :func:`pretrain_warp` takes it."""
        return self.spec.base or MEL

    def network(self) -> JointEmbedding:
        """As it was when its training ended."""
        network = JointEmbedding(self.spec, [len(labels) for labels in self.labels.values()])
        tensors = {
            name: torch.from_numpy(values)
            for name, values in self.folder.tensors.items()
            if name != LABELS
        }
        ends = np.cumsum(network.sizes)
        parts = np.split(self.folder.tensors[LABELS], ends[:-1])
        tables = {f"{LABELS}.{n}": torch.from_numpy(part) for n, part in enumerate(parts)}
        network.load_state_dict({**tensors, **tables})
        return network


def open_embedding(path: str | Path) -> Embedding:
    """The folder of a joint embedding, or one that was added, by its name.

    Raises
    ------
    WeightsError
        No encoder folder; or tags without a data set, or with those of one set apart.
    UsageError
        One of another architecture; one that must not be used commercially where that was asked.
    """
    kept = None if is_path(str(path)) or Path(path).is_dir() else added(str(path))
    folder = open_folder(kept or path)
    check_rights(folder.card, path)
    if folder.architecture != "warp":
        raise UsageError(
            wanted="a joint embedding, as `segue pretrain warp` writes it",
            got=f"an encoder folder of architecture {folder.architecture!r}",
            fix="Name another folder",
            source=path,
        )
    labels: dict[str, list[str]] = {}
    for name, label in zip(*label_names(folder.tags), strict=True):
        labels.setdefault(name, []).append(label)
    # rows of W are in the order of the tags, and cut by data set
    by_set = tags_of(labels)
    if by_set != list(folder.tags):
        first = next(tag for tag, other in zip(folder.tags, by_set, strict=True) if tag != other)
        raise WeightsError(
            wanted=f"tags as 'SET{MARK}label', those of a data set together",
            got=f"{first!r:.80} out of its place",
            fix="Write them in the order of the rows of W, data set by data set",
            source=folder.path,
        )
    return Embedding(
        folder=folder,
        spec=JointSpec.of(folder.card),
        labels={name: tuple(of_set) for name, of_set in labels.items()},
    )
