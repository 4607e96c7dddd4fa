"""What one run of ``pretrain_warp`` was asked for: labels, shape, card, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segue.card import EncoderCard, canonical_json
from segue.encoders.joint import CITATION, EXCERPT, FRONT_END, JointSpec, tags_of
from segue.extraction.frames import FrameMaker, FrameRecipe
from segue.training.loop import Settings
from segue.training.warp.settings import WarpSettings
from segue.workflows.framing import files_digest
from segue.workflows.jointfolder import Embedding
from segue.workflows.jointsets import Taught, listed
from segue.workflows.sourcetask import Origin

UNSTATED = ("", "not stated", "none")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """The arguments of a run, checked."""

    taught: list[Taught]
    out: Path
    hears: str
    maker: FrameMaker
    recipe: FrameRecipe
    base: EncoderCard | None
    before: Embedding | None
    warp: WarpSettings
    settings: Settings
    share: float
    min_tracks: int
    origin: Origin
    frames: Path
    workers: int | None

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Labels of every data set, those of the extended embedding first."""
        old = dict(self.before.labels) if self.before else {}
        return {**old, **{one.source.name: one.labels for one in self.taught}}

    @property
    def tags(self) -> list[str]:
        """All labels, as the encoder names them."""
        return tags_of(self.labels)

    def spec(self) -> JointSpec:
        """Shape of the embedding."""
        if self.before:
            return self.before.spec
        return JointSpec(
            inputs=self.maker.kind.width,
            dimensions=self.warp.dimensions,
            hidden=self.warp.hidden,
            base=self.base.label if self.base else "",
            base_digest=self.base.digest if self.base else "",
        )

    def card(self) -> EncoderCard:
        """The card, but for the digest of its weights.

        Whatever the map was learned from, or hears, binds what is made of it: its licence and
        terms go on the new card too.
        """
        spec, base = self.spec(), self.base
        names = list(self.labels)
        what = f"vectors of {spec.base}" if base else "200 log-mel bands"
        shape = f"{spec.hidden} hidden units, " if spec.hidden else ""
        below = [one for one in (self.before and self.before.folder.card, base) if one]
        return EncoderCard(
            name=self.origin.name or "",
            version=1,
            dim=spec.width,
            front_end=base.front_end if base else FRONT_END,
            excerpt=base.excerpt if base else EXCERPT,
            settings=spec.settings(),
            description=f"Joint embedding (WARP) of {what}, {shape}{spec.dimensions} dimensions, "
            f"learned with {len(self.tags)} labels of {listed(names)}",
            licence=joined(self.origin.licence, [one.licence for one in below]),
            commercial=self.origin.commercial and all(one.commercial for one in below),
            training_data=joined(self._learned_from(), [one.training_data for one in below]),
            citation=CITATION,
        )

    def _learned_from(self) -> str:
        if self.origin.training_data:
            return self.origin.training_data
        tracks = sum(len(one.carried) for one in self.taught)
        names = listed([one.source.name for one in self.taught])
        return f"{tracks} tracks of {names}; source not stated"

    def arguments(self) -> dict[str, Any]:
        """All that fixes the curve but the audio; a run goes on only where they are the same."""
        settings = asdict(self.settings) | asdict(self.warp) | asdict(self.origin)
        return {
            "tracks and labels": self.digest(),
            "source": [f"{one.source.name}:{one.source.column}" for one in self.taught],
            "group": [one.source.group for one in self.taught],
            "hears": self.hears,
            "frames": self.maker.kind.digest,
            "share": self.share,
            "min-tracks": self.min_tracks,
            "extend": self.before.folder.card.digest if self.before else None,
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }

    def files(self) -> tuple[str, bool]:
        """What all files are now, and whether any of them is there."""
        return files_digest(track for one in self.taught for track in one.manifest.tracks())

    def digest(self) -> str:
        """SHA-256 over tracks, stretches, labels and groups, row by row."""
        state = hashlib.sha256()
        for one in self.taught:
            rows = zip(one.manifest.tracks(), one.carried, one.groups, strict=True)
            for track, codes, group in rows:
                place = [track.id, str(track.path.absolute()), track.start, track.duration]
                words = [one.labels[code] for code in codes]
                state.update(f"{canonical_json([*place, words, group])}\n".encode())
        return state.hexdigest()


def joined(own: str, below: Sequence[str]) -> str:
    """What is said here and of everything it is built on, each once.

    Examples
    --------
    >>> joined("not stated", ["CC BY-NC 4.0"]), joined("MIT", ["MIT"]), joined("MIT", ["ISC"])
    ('CC BY-NC 4.0', 'MIT', 'MIT; built on: ISC')
    """
    others = [one for one in dict.fromkeys(below) if one not in (*UNSTATED, own)]
    if not others:
        return own
    return "; ".join(others) if own in UNSTATED else f"{own}; built on: {'; '.join(others)}"
