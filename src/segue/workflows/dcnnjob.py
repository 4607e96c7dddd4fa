"""What one run of ``pretrain_dcnn`` was asked for: tracks, card, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segue.card import EncoderCard, canonical_json
from segue.datasets import Manifest, Track
from segue.encoders.dcnn import CITATION, EXCERPT, FRONT_END, DcnnSpec, Sharing
from segue.extraction.frames import FrameMaker
from segue.targets.factors import FactorSettings
from segue.training.dcnn.settings import DcnnSettings
from segue.training.loop import Settings
from segue.training.parallel import World
from segue.workflows.dcnntargets import Asked, Parts, Target
from segue.workflows.framing import files_digest
from segue.workflows.jointjob import joined
from segue.workflows.sourcetask import Origin

SHARED: Mapping[Sharing, str] = {
    "none": "a network per task",
    "first": "networks that share their first block",
    "all": "a network with an output layer per task",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """The arguments of a run, checked."""

    manifest: Manifest
    asked: Asked
    parts: Parts
    out: Path
    dcnn: DcnnSettings
    settings: Settings
    share: float
    origin: Origin
    maker: FrameMaker
    frames: Path
    device: str
    workers: int | None

    def spec(self, targets: Sequence[Target]) -> DcnnSpec:
        """Shape of the networks."""
        return DcnnSpec(
            tasks=tuple((one.name, len(one.outputs)) for one in targets),
            sharing=self.dcnn.sharing,
            width=self.dcnn.width,
        )

    def card(self, targets: Sequence[Target], learned: int) -> EncoderCard:
        """The card, but for the digest of its weights; ``learned`` tracks taught it.

        What factors were made of binds what is taught by them: its terms go on the new card, too.
        """
        spec, names = self.spec(targets), ", ".join(self.asked.targets)
        below = [one.terms for one in targets if one.terms and one.terms.get("encoder")]
        return EncoderCard(
            name=self.origin.name or "",
            version=1,
            dim=spec.dim,
            front_end=FRONT_END,
            excerpt=EXCERPT,
            settings=spec.settings(),
            description=f"Convnet of Kim et al. 2018, {SHARED[self.dcnn.sharing]}, taught {names}; "
            "mean over 1-s segments of the last hidden layer of each network",
            licence=joined(self.origin.licence, [str(one["licence"]) for one in below]),
            commercial=self.origin.commercial and all(one["commercial"] for one in below),
            training_data=self.origin.training_data or f"{learned} tracks; source not stated",
            citation=CITATION,
        )

    def arguments(self, world: World) -> dict[str, Any]:
        """All that fixes the curve but the audio; a run goes on only where they are the same."""
        settings = asdict(self.settings) | asdict(self.dcnn) | asdict(self.origin)
        return {
            "tracks and labels": self.digest(),
            "targets": list(self.asked.targets),
            "genre": self.asked.genre,
            "group": self.asked.group,
            "labels": list(self.asked.labels),
            **_factors(self.asked.factors, bool(self.asked.of_groups)),
            "valid-share": self.share,
            "frames": self.maker.kind.digest,
            "device": world.device.type,
            "processes": world.size,
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }

    def cells(self) -> list[tuple[str, ...]]:
        """Of every track of the manifest: all labels that have a part in what is taught."""
        columns = [one for one in (self.asked.genre, self.asked.group, *self.asked.labels) if one]
        return list(zip(*(self.manifest.column(one) for one in columns), strict=True))

    def digest(self) -> str:
        """SHA-256 over tracks, stretches, labels and parts, row by row."""
        state, cells = hashlib.sha256(), self.cells()
        parts = zip(self.parts.rows.tolist(), self.parts.valid.tolist(), strict=True)
        tracks = list(self.manifest.tracks())
        for row, valid in parts:
            one = tracks[row]
            place = [one.id, str(one.path.absolute()), one.start, one.duration]
            state.update(f"{canonical_json([*place, list(cells[row]), valid])}\n".encode())
        return state.hexdigest()

    def files(self) -> tuple[str, bool]:
        """What all files are now, and whether any of them is there."""
        return files_digest(self.tracks())

    def tracks(self) -> Iterator[Track]:
        """Tracks that take part."""
        return self.manifest.subset(self.parts.rows.tolist()).tracks()


def _factors(settings: FactorSettings, used: bool) -> dict[str, Any]:
    return {f"factors-{name}": value for name, value in asdict(settings).items()} if used else {}
