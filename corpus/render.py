"""Render the demo corpus: ``python corpus/render.py`` from the root of the repository.

``--check`` renders into a temporary folder instead and compares every file, byte by byte, with
the committed corpus.
"""

from __future__ import annotations

import argparse
import csv
import filecmp
import math
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from accompaniment import instruments, write_stems
from card import write_card
from design import Clip, plan_clips
from harmony import BAR_BEATS, ROOTS, arrange, section
from synthesis import SECONDS, synthesise, write_clip
from tunes import read_tunes

CORPUS = Path(__file__).parents[1] / "src" / "segue" / "demo" / "corpus"

# A tag on fewer clips cannot be learned, one on more says nothing.
TAG_RANGE = (8, 112)


@dataclass(frozen=True)
class Rendered:
    """What the manifest needs beside the plan: the tags that sound, and the decoded level."""

    clip: Clip
    tags: set[str]
    rms_db: float


def render_corpus(folder: Path, workers: int) -> None:
    """Render all clips, the manifest and the card into a folder.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder; gets ``audio``, ``manifest.csv`` and ``CARD.md``.
    workers : int
        Clips rendered at the same time; the result does not depend on it.
    """
    tunes = read_tunes()
    clips = plan_clips(tunes)
    audio = folder / "audio"
    audio.mkdir()
    rendered = []
    with ThreadPoolExecutor(workers) as pool:
        for done in pool.map(lambda clip: render_clip(clip, audio), clips):
            rendered.append(done)
            print(f"\r{len(rendered)} of {len(clips)} clips", end="", flush=True)
    print()
    dropped = write_manifest(rendered, folder / "manifest.csv")
    write_card(folder, clips, tunes, dropped)


def render_clip(clip: Clip, audio: Path) -> Rendered:
    """Render one clip to ``audio/<id>.opus``."""
    bar = BAR_BEATS[clip.style.meter]
    # One bar over, so that nothing fades before the cut.
    beats = bar * (math.ceil(clip.tempo * SECONDS / 60 / bar) + 1)
    arrangement = section(
        arrange(clip.tune, clip.style.meter, clip.transposition), clip.third, beats
    )
    with tempfile.TemporaryDirectory() as name:
        stems = write_stems(clip, arrangement, Path(name))
        samples = synthesise(stems, clip.sound_font, Path(name))
    level = write_clip(samples, audio / f"{clip.id}.opus")
    return Rendered(clip, instruments(stems, SECONDS), level)


def write_manifest(rendered: list[Rendered], path: Path) -> dict[str, int]:
    """Write ``manifest.csv``.

    Returns
    -------
    dict
        Tags left out of the column because of ``TAG_RANGE``, with their number of clips.
    """
    counts = Counter(tag for one in rendered for tag in one.tags)
    low, high = TAG_RANGE
    dropped = {tag: n for tag, n in sorted(counts.items()) if not low <= n <= high}
    rows = [_manifest_row(one, one.tags - dropped.keys()) for one in rendered]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return dropped


def replace_corpus(workers: int) -> None:
    """Render the corpus and put it in the place of the committed one, once it is complete."""
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "corpus"
        fresh.mkdir()
        render_corpus(fresh, workers)
        if CORPUS.exists():
            shutil.rmtree(CORPUS)
        shutil.copytree(fresh, CORPUS)


def check_corpus(workers: int) -> bool:
    """Render again and compare with the committed files; True if every byte is the same."""
    with tempfile.TemporaryDirectory() as name:
        again = Path(name)
        render_corpus(again, workers)
        files = {
            path.relative_to(root)
            for root in (again, CORPUS)
            for path in root.rglob("*")
            if path.is_file()
        }
        differ = [
            file
            for file in sorted(files)
            if not (CORPUS / file).exists()
            or not (again / file).exists()
            or not filecmp.cmp(CORPUS / file, again / file, shallow=False)
        ]
    print(f"{len(files) - len(differ)} of {len(files)} files are byte for byte the same")
    for file in differ:
        print(f"  differs: {file}")
    return not differ


def _manifest_row(one: Rendered, tags: set[str]) -> dict[str, str]:
    clip = one.clip
    tonic = ROOTS[(clip.tune.tonic + clip.transposition) % 12]
    return {
        "path": f"audio/{clip.id}.opus",
        "id": clip.id,
        "style": clip.style.name,
        "instruments": ";".join(sorted(tags)),
        "tempo": f"{clip.tempo:.1f}",
        "piece": clip.tune.name,
        "groove": clip.groove.split(":")[1],
        "melody": clip.melody.name,
        "key": f"{tonic} {clip.tune.mode}",
        "sound_font": clip.sound_font,
        "rms_db": f"{one.rms_db:.3f}",
        "source": clip.tune.source,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Render segue's demo corpus.")
    parser.add_argument("--check", action="store_true", help="render again and compare")
    parser.add_argument("--workers", type=int, default=2, help="clips at a time (default 2)")
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if check_corpus(arguments.workers) else 1
    replace_corpus(arguments.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
