"""The three feature spaces of the paper: log-mel frames as they are, and through two embeddings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segue.card import canonical_json
from segue.encoders.blocks import block_features
from segue.encoders.folders import EncoderFolder
from segue.encoders.joint import JointMap, JointSpec, joint_map
from segue.encoders.registry import is_registered
from segue.encoders.windows import window_features
from segue.evaluation.windows import Windows
from segue.experiments.hamel2013.published import BASE, GENRE, RANDOM, TAG
from segue.experiments.hamel2013.sets import GenreSet, Sets, shared_artists, shares_files
from segue.extraction.frames import frame_recipe
from segue.store import FrameTable
from segue.training.clips import Clips
from segue.training.loop import Settings, Watch
from segue.training.warp.network import memory, new_embedding
from segue.training.warp.rows import into_ball
from segue.training.warp.settings import WarpSettings
from segue.workflows.framing import frame
from segue.workflows.joint import SETTINGS, pretrain_warp
from segue.workflows.jointfolder import MEL
from segue.workflows.jointsets import Source

MOST = 60
"""Characters of a folder that is named after data sets."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Space:
    """Where frames are seen.

    Attributes
    ----------
    name : str
        "base", "genre embedding", "tag embedding" or "random embedding".
    learned_from : tuple of str
        Data sets; none for the base and the control.
    network : JointMap or None
        None for frames as they are.
    shared : tuple of str
        Artists of the target that the data sets it was learned from have, too.
    """

    name: str
    learned_from: tuple[str, ...] = ()
    network: JointMap | None = None
    shared: tuple[str, ...] = ()

    def mapped(self, frames: NDArray[np.float32]) -> torch.Tensor:
        """Frames (t, d) in this space."""
        values = torch.from_numpy(np.array(frames, dtype=np.float32))
        if self.network is None:
            return values
        with torch.inference_mode():
            mapped: torch.Tensor = self.network(values)
            return mapped


class Teacher:
    """Learns embeddings from sets of data sets, each once; frames are computed once for all.

    Parameters
    ----------
    out : path
        Embeddings are kept below it, so that a run goes on where it stopped.
    """

    def __init__(
        self,
        out: Path,
        *,
        warp: WarpSettings,
        settings: Settings = SETTINGS,
        workers: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.out = out
        self.frames = out / "frames"
        self.warp = warp
        self.settings = settings
        self.workers = workers
        self.watch = watch
        self.failures: dict[str, str] = {}

    def learn(self, sources: Sequence[Source]) -> EncoderFolder:
        """The embedding of these data sets jointly."""
        done = pretrain_warp(
            sources,
            self.out / "embeddings" / _folder([one.name for one in sources]),
            warp=self.warp,
            settings=self.settings,
            frames=self.frames,
            workers=self.workers,
            watch=self.watch,
        )
        self.failures |= {one["path"]: one["reason"] for one in done.failures}
        return done.encoder

    def clips(self, one: GenreSet) -> tuple[Clips, NDArray[np.int64]]:
        """Frames of the tracks that are classified, and which of them have some."""
        recipe = frame_recipe(MEL)
        maker = recipe.build()
        table = FrameTable.open_or_create(self.frames, maker.kind)
        framed = frame(
            one.manifest,
            table,
            recipe,
            maker=maker,
            name=one.name,
            workers=self.workers,
            watch=self.watch,
        )
        self.failures |= {failure.facts.path: failure.reason for failure in framed.failures}
        return Clips(table, framed.stored), framed.rows


def untrained_map(folder: EncoderFolder, teacher: Teacher) -> JointMap:
    """The map as that training began: the same shape and standardisation, random numbers."""
    spec, warp = JointSpec.of(folder.card), teacher.warp
    shift, scale = folder.tensors["shift"], folder.tensors["scale"]
    seed = teacher.settings.seed
    network = new_embedding(spec, [2], shift=shift, scale=scale, seed=seed)
    into_ball(memory(network.V).T, warp.norm_ball)
    return network.eval()


def _folder(names: Sequence[str]) -> str:
    """A folder's name, which is an encoder's too, for these data sets and no others.

    Examples
    --------
    >>> _folder(["gtzan", "4q moods"]), _folder(["GTZAN"])
    ('gtzan-and-4q-moods', 'gtzan-347b605c')
    """
    slug = "-and-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)
    plain = all(re.fullmatch(r"[a-z0-9]+( [a-z0-9]+)*", name) for name in names)
    split = any("and" in name.split() for name in names)
    if plain and not split and len(slug) <= MOST and not is_registered(slug):
        return slug
    digest = hashlib.sha256(canonical_json(list(names)).encode()).hexdigest()
    return f"{slug[:40].strip('-')}-{digest[:8]}".lstrip("-")


def spaces_for(target: GenreSet, sets: Sets, teacher: Teacher) -> list[Space]:
    """Base, genre embedding of the other genre sets, tag embedding of the first free tag set.

    A data set that shares a file with the target, wherever it lies, never teaches a space for it.
    Where there is an embedding, its untrained map is a control: as wide, nothing in it learned.
    """
    spaces = [Space(name=BASE)]
    others = [
        one.source
        for one in sets.genres
        if one is not target and not shares_files(one.source.manifest, target.manifest)
    ]
    tags = [one for one in sets.tags if not shares_files(one.manifest, target.manifest)][:1]
    for name, sources in ((GENRE, others), (TAG, tags)):
        if sources:
            folder = teacher.learn(sources)
            names = tuple(one.name for one in sources)
            shared = tuple(shared_artists(target, sources))
            network = joint_map(folder.card, folder.tensors)
            spaces.append(Space(name=name, learned_from=names, network=network, shared=shared))
            control = Space(name=RANDOM, network=untrained_map(folder, teacher))
    return [*spaces, control] if len(spaces) > 1 else spaces


def windows_of(space: Space, clips: Clips) -> Windows:
    """Window-level features of every clip in a space."""
    rows, clip_of = [], []
    for clip in range(len(clips)):
        windows = window_features(space.mapped(clips.frames(clip))).float().numpy()
        rows.append(windows)
        clip_of += [clip] * len(windows)
    return Windows(np.concatenate(rows), np.asarray(clip_of))


def blocks_of(space: Space, clips: Clips) -> Windows:
    """Block-level features of every clip in a space: one row a clip."""
    mel = space.network is None  # bands have an order and a loudness; an embedding's axes do not
    rows = []
    for clip in range(len(clips)):
        frames = space.mapped(clips.frames(clip))
        rows.append(block_features(frames, ordered=mel, remove_level=mel).float().numpy())
    return Windows(np.stack(rows), np.arange(len(rows)))
