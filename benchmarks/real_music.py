"""Encoders on real music: 4q, emotify and gtzan100, artist-disjoint where artists are known.

    SEGUE_DATA=../shared/data python benchmarks/real_music.py --out /tmp/real-music

Writes benchmarks/results/real_music.csv and .md, the table the README quotes. The weights of
choi2017-msd must have been pulled. About seven minutes on two cores; features are kept in --out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from setting import RESULTS, arguments, named_rows, where

from segue import __version__
from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.evaluation.rows import TargetResult
from segue.report import markdown_table, write_rows_csv
from segue.workflows import evaluate

ENCODERS = ("mfcc", "melstats", "melblocks", "random-convnet", "choi2017-4q", "choi2017-msd")
LEARNED_FROM = {"choi2017-4q": "4q"}  # no encoder is scored on clips that it was taught with
EMOTIONS = (
    *("amazement", "solemnity", "tenderness", "nostalgia", "calmness", "power"),
    *("joyful_activation", "tension", "sadness"),
)


# The emotions in our copy of emotify's manifest are joined to the wrong audio for three of its four
# genres: their ids count the genres in the order classical, rock, electronic, pop, the files in
# alphabetical order. As they are, no emotion can be predicted at all (R2 about 0, kept below);
# benchmarks/emotify_alignment.py shows which block fits which audio: the audio of the genre on the
# left has the labels of the rows on the right.
EMOTION_ROWS = {"classical": "classical", "rock": "electronic", "electronic": "pop", "pop": "rock"}


def as_distributed(manifest: Manifest) -> Manifest:
    return manifest


def realigned(manifest: Manifest) -> Manifest:
    """Emotify with the emotions joined to the audio they were given to."""
    rows = manifest.table.select(manifest.columns).to_pylist()
    by_file = {Path(row["path"]).stem: row for row in rows}
    mended = []
    for row in rows:
        genre, number = Path(row["path"]).stem.rsplit("_", 1)
        labels = by_file[f"{EMOTION_ROWS[genre]}_{number}"]
        mended.append({**row, **{name: labels[name] for name in EMOTIONS}})
    return Manifest.from_rows(mended, root=manifest.root)


@dataclass(frozen=True)
class Job:
    """One data set: its manifest below SEGUE_DATA, targets and group column."""

    name: str
    folder: str
    targets: tuple[str, ...]
    group: str | None
    prepare: Callable[[Manifest], Manifest] = as_distributed


JOBS = (
    Job("4q", "4q", ("quadrant",), "artist"),
    Job("emotify", "emotify", ("genre",), "artist"),
    Job("emotify-realigned", "emotify", EMOTIONS, "artist", realigned),
    Job("emotify-as-distributed", "emotify", EMOTIONS, "artist"),
    Job("gtzan100", "gtzan100", ("genre",), None),
)


def main() -> None:
    data, out, as_json = arguments(__doc__)
    began = time.time()
    named: list[tuple[str, TargetResult]] = []
    with watching() as watch:
        for job in JOBS:
            manifest = Manifest.read(data / job.folder / "manifest.csv")
            done = evaluate(
                job.prepare(manifest),
                job.targets,
                encoders=[name for name in ENCODERS if LEARNED_FROM.get(name) != job.folder],
                group=job.group,
                out=out / job.name,
                store=out / job.folder / "features",
                title=f"{job.name}: encoders compared",
                watch=watch,
            )
            named += [(job.name, result) for result in done.results]
    write_results(named, began)
    if as_json:
        seconds = round(time.time() - began)
        print(json.dumps({"targets": len(named), "seconds": seconds, **where()}))


def write_results(named: list[tuple[str, TargetResult]], began: float) -> None:
    RESULTS.mkdir(exist_ok=True)
    write_rows_csv(named_rows(named), RESULTS / "real_music.csv")
    parts = [
        f"# Encoders on real music\n\nsegue {__version__}, {time.strftime('%Y-%m-%d')}, made by "
        f"`python benchmarks/real_music.py --out DIR` in {(time.time() - began) / 60:.0f} minutes "
        "on two cores.\n"
    ]
    for name in dict.fromkeys(name for name, _ in named):
        results = [result for one, result in named if one == name]
        parts.append(f"## {name}\n\n{markdown_table(results)}")
        if len(results) > 1:
            parts.append(mean_table(results))
    (RESULTS / "real_music.md").write_text("\n".join(parts), encoding="utf-8")


def mean_table(results: list[TargetResult]) -> str:
    """Mean R2 over a data set's regression targets."""
    means: dict[str, list[float]] = {}
    for result in results:
        for row in result.rows:
            means.setdefault(row.encoder, []).append(row.mean)
    lines = [f"| {name} | {sum(all_) / len(all_):.3f} |" for name, all_ in means.items()]
    head = f"### mean over {len(results)} targets\n\n| encoder | R² |\n| --- | ---: |\n"
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
