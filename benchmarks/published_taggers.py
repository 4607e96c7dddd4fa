"""Published taggers as encoders: 4q quadrant, emotify genre, artist-disjoint; tags on gtzan100.

    SEGUE_DATA=../shared/data python benchmarks/published_taggers.py --out /tmp/published-taggers

Writes benchmarks/results/published_taggers.csv and .md. The weights of all models must have been
pulled (`segue models pull NAME`). About half an hour on one core; features are kept in --out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from setting import RESULTS, arguments, named_rows, where
from sklearn.metrics import roc_auc_score

from segue import __version__
from segue.audio import load
from segue.cli.progress import watching
from segue.datasets import Manifest
from segue.encoders import encoder
from segue.encoders.taggers import TAGGERS, TaggerEncoder
from segue.evaluation.rows import TargetResult
from segue.report import markdown_table, write_rows_csv
from segue.workflows import evaluate

JOBS = (("4q", "quadrant"), ("emotify", "genre"))
# the best known of each family, all taught by the same data set, beside what was there before
ENCODERS = ("mfcc", "choi2017-msd", "won2020-fcn-msd", "won2020-crnn-msd", "musicnn-msd")

# genres of gtzan100 and the tag, if any, that says the same in each data set
TAG_OF_GENRE = {
    "msd": {
        **{name: name for name in ("blues", "country", "jazz", "metal", "pop", "rock")},
        **{"disco": "dance", "hiphop": "Hip-Hop"},
    },
    "mtat": {name: name for name in ("classical", "country", "metal", "pop", "rock")},
    "jamendo": {
        name: f"genre---{name}"
        for name in ("classical", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
    },
}


def main() -> None:
    data, out, as_json = arguments(__doc__)
    began = time.time()
    named: list[tuple[str, TargetResult]] = []
    with watching() as watch:
        for folder, target in JOBS:
            done = evaluate(
                Manifest.read(data / folder / "manifest.csv"),
                (target,),
                encoders=ENCODERS,
                group="artist",
                out=out / folder,
                store=out / folder / "features",
                title=f"{folder}: published taggers",
                watch=watch,
            )
            named += [(folder, result) for result in done.results]
    areas = {tagger.name: genre_areas(tagger.name, data) for tagger in TAGGERS}
    write_results(named, areas, began)
    if as_json:
        accuracy = {
            f"{folder}/{row.encoder}": row.mean
            for folder, result in named
            for row in result.rows
            if row.metric == "accuracy"
        }
        mean_area = {name: float(np.mean(list(found.values()))) for name, found in areas.items()}
        facts = {"accuracy": accuracy, "genre_auc": mean_area}
        print(json.dumps({**facts, "seconds": round(time.time() - began), **where()}))


def genre_areas(name: str, data: Path) -> dict[str, float]:
    """Area under the ROC curve of each genre's tag: its own clips against the other genres'."""
    tagger = encoder(name)
    assert isinstance(tagger, TaggerEncoder)
    tags = TAG_OF_GENRE[{"mtt": "mtat"}.get(name.rsplit("-", 1)[1], name.rsplit("-", 1)[1])]
    manifest = Manifest.read(data / "gtzan100" / "manifest.csv")
    genres = np.array(manifest.column("genre"))
    scores = [
        dict(tagger.tags(load(track.path, rate=tagger.card.rate))) for track in manifest.tracks()
    ]
    return {
        genre: float(roc_auc_score(genres == genre, [one[tag] for one in scores]))
        for genre, tag in tags.items()
    }


def write_results(
    named: list[tuple[str, TargetResult]], areas: dict[str, dict[str, float]], began: float
) -> None:
    RESULTS.mkdir(exist_ok=True)
    write_rows_csv(named_rows(named), RESULTS / "published_taggers.csv")
    parts = [
        f"# Published taggers as encoders\n\nsegue {__version__}, {time.strftime('%Y-%m-%d')}, "
        "made by `python benchmarks/published_taggers.py --out DIR` in "
        f"{(time.time() - began) / 60:.0f} minutes (features already there are not made again). "
        "All layers, svm head, ten folds with no artist on both sides.\n"
    ]
    for folder, result in named:
        parts.append(f"## {folder}\n\n{markdown_table([result])}")
    parts.append(areas_table(areas))
    (RESULTS / "published_taggers.md").write_text("\n".join(parts), encoding="utf-8")


def areas_table(areas: dict[str, dict[str, float]]) -> str:
    """How well the tag of a genre tells its clips from the other genres', model by model."""
    lines = [
        f"| {name} | {np.mean(list(found.values())):.2f} | "
        + ", ".join(f"{genre} {area:.2f}" for genre, area in found.items())
        + " |"
        for name, found in areas.items()
    ]
    head = (
        "## gtzan100: the tag of a genre on its own clips against the other genres'\n\n"
        "Area under the ROC curve, 100 clips of 15 s (the FCNs and the CRNN hear them twice).\n\n"
        "| model | mean | per genre |\n| --- | ---: | --- |\n"
    )
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
