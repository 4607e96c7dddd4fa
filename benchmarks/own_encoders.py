"""The encoders that segue learns itself, small, for the comparison: WARP maps and networks of DCNN.

Each is taught one data set and judged on the others; what they were taught stands on their cards.
Used by benchmarks/comparison.py; alone it only trains:

    SEGUE_DATA=../shared/data python benchmarks/own_encoders.py --out /tmp/comparison
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agf_encoder import NETWORKS
from agf_encoder import SETTINGS as AGF_SETTINGS
from setting import arguments

from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.training.loop import Watch
from segue.workflows.dcnn import pretrain_dcnn
from segue.workflows.dcnntargets import Asked
from segue.workflows.joint import pretrain_warp
from segue.workflows.jointsets import Source
from segue.workflows.sourcetask import Origin

EPOCHS = 6  # a task; benchmarks/agf_encoder.py trains the same networks for up to 60
WARP = {
    "warp-4q": (("moods", "4q", "moods", "artist"), ("genres", "4q", "genres", "artist")),
    "warp-emotify": (("genre", "emotify", "genre", "artist"),),
}
DCNN = {"dcnn-4q": "4q", "dcnn-emotify": "emotify"}
TAUGHT_BY = {**{name: parts[0][1] for name, parts in WARP.items()}, **DCNN}


def own_encoders(
    data: Path,
    out: Path,
    *,
    names: Sequence[str],
    workers: int | None = None,
    watch: Watch | None = None,
) -> dict[str, Path]:
    """Folders of these encoders by name; what is finished is not trained again."""
    found = {}
    for name, parts in WARP.items():
        if name not in names:
            continue
        sources = [
            Source(
                name=one,
                manifest=Manifest.read(data / folder / "manifest.csv"),
                column=column,
                group=group,
            )
            for one, folder, column, group in parts
        ]
        found[name] = pretrain_warp(
            sources,
            out / name,
            origin=Origin(name=name, commercial=False, training_data=f"labels of {parts[0][1]}"),
            frames=out / "warp-frames",
            workers=workers,
            watch=watch,
        ).encoder.path
    for name, source in DCNN.items():
        if name not in names:
            continue
        found[name] = pretrain_dcnn(
            data / source / "manifest.csv",
            Asked(targets=("m", "d", "e"), group="artist"),
            out / name,
            dcnn=NETWORKS,
            settings=replace(AGF_SETTINGS, epochs=EPOCHS),
            origin=Origin(name=name, commercial=False, training_data=f"artists of {source}"),
            frames=out / "dcnn-frames",
            workers=workers,
            watch=watch,
        ).encoder.path
    return found


if __name__ == "__main__":
    DATA, OUT, _ = arguments(__doc__)
    with watching() as told:
        for label, path in own_encoders(DATA, OUT, names=list(TAUGHT_BY), watch=told).items():
            print(label, path)
