"""What one run of ``artist_groups`` was asked for, and what identifies it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.card import canonical_json
from segue.datasets import Manifest
from segue.errors import UsageError
from segue.targets.settings import FactorSettings
from segue.workflows.framing import files_digest
from segue.workflows.grouping import read_groups
from segue.workflows.groupkinds import Kind, kind_recipe, label_words

LEAST_SECONDS = 0.1  # of half as much, rounded to samples, every file is too short


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """The arguments of a run, checked."""

    manifest: Manifest
    group: str
    kind: Kind
    out: Path
    settings: FactorSettings
    seconds: float | None
    chunks: int | None
    seeds: int
    frames: Path
    device: str
    workers: int | None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(
                wanted="one seed at least", got=f"--seeds {self.seeds}", fix="Raise it"
            )
        if self.seconds is not None and not self.seconds >= LEAST_SECONDS:
            raise UsageError(
                wanted=f"at least {LEAST_SECONDS:g} seconds to hear",
                got=str(self.seconds),
                fix="Ask for more, or for all",
            )

    def arguments(self) -> dict[str, Any]:
        """All that fixes the factors but the audio; a run goes on only where they are the same."""
        return {
            "tracks and groups": self._digest(),
            "group": self.group,
            "from": self.kind.asked,
            "frames": self._frames(),
            "seeds": self.seeds,
            **{name.replace("_", "-"): value for name, value in self.settings.to_json().items()},
        }

    def _frames(self) -> str | None:
        """What is heard: says front end or encoder, seconds, chunks."""
        if self.kind.columns:
            return None
        return (
            kind_recipe(self.kind, seconds=self.seconds, chunks=self.chunks, device=self.device)
            .build()
            .kind.digest
        )

    def _digest(self) -> str:
        """SHA-256 over tracks, stretches, groups and labels, group by group."""
        groups, state = read_groups(self.manifest, self.group), hashlib.sha256()
        words = label_words(self.manifest, self.kind) if self.kind.columns else None
        tracks = list(self.manifest.tracks())
        for row, group in zip(groups.rows.tolist(), groups.group_of.tolist(), strict=True):
            track = tracks[row]
            place = [track.id, str(track.path.absolute()), track.start, track.duration]
            line = [*place, groups.names[group], *(words[row] if words else ())]
            state.update(f"{canonical_json(line)}\n".encode())
        return state.hexdigest()

    def files(self) -> tuple[str, bool]:
        """Digests of the files of tracks that have a group, and whether any of them is there."""
        if self.kind.columns:  # no audio is opened: nothing to compare with
            return "", False
        rows = read_groups(self.manifest, self.group).rows.tolist()
        return files_digest(self.manifest.subset(rows).tracks())
