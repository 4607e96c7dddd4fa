"""The encoder choi2017-4q: Choi's convnet taught the mood tags and genres of 4q, artists apart.

    SEGUE_DATA=../shared/data python benchmarks/pretrain_4q.py --out /tmp/choi2017-4q

Writes the encoder folder to --out (stopped, it goes on where it was), and pretrain_4q.csv, .md
and .png in benchmarks/results: ROC-AUC and average precision per tag on the test tracks beside the
tag-frequency baseline, and the learning curve. Half an hour to an hour on two cores. The packaged
encoder is encoder.json, weights.safetensors and curve.csv of this run, copied to
src/segue/encoders/pretrained/choi2017-4q.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from setting import RESULTS, arguments, where

from segue import __version__
from segue.cli.progress import watching
from segue.training.loop import Settings
from segue.workflows.pretraining import Pretrained, pretrain_convnet
from segue.workflows.sourcetask import Origin

# rates of .001 and .004 were compared on four epochs: alike, the second with jumps in its loss
SETTINGS = Settings(epochs=60, learning_rate=2e-3, patience=12, precision="bfloat16", seed=0)
ORIGIN = Origin(
    name="choi2017-4q",
    licence="MIT (weights); training clips for research use",
    commercial=False,
    training_data="900 clips of 4Q audio emotion dataset (Panda et al. 2018), 630 of them learned "
    "from; mood tags and genres; research use",
)


def main() -> None:
    data, out, as_json = arguments(__doc__)
    with watching() as watch:
        done = pretrain_convnet(
            data / "4q" / "manifest.csv",
            ("moods", "genres"),
            out,
            group="artist",
            settings=SETTINGS,
            origin=ORIGIN,
            remake=True,
            watch=watch,
        )
    write_results(done, out)
    if as_json:
        facts = done.encoder.training
        names = ("macro", "baseline", "undefined", "tracks", "epochs", "best_epoch", "seconds")
        print(json.dumps({**{name: facts[name] for name in names}, **where()}))


def write_results(done: Pretrained, out: Path) -> None:
    RESULTS.mkdir(exist_ok=True)
    shutil.copyfile(out / "scores.csv", RESULTS / "pretrain_4q.csv")
    shutil.copyfile(out / "plots" / "learning_curve.png", RESULTS / "pretrain_4q.png")
    facts = done.encoder.training
    macro, baseline, tracks = facts["macro"], facts["baseline"], facts["tracks"]
    lines = [
        "# Training of choi2017-4q",
        "",
        f"segue {__version__}, {time.strftime('%Y-%m-%d')}, made by `python "
        f"benchmarks/pretrain_4q.py --out DIR` in {facts['seconds'] / 60:.0f} minutes on "
        f"{facts['settings']['device']}. {len(done.encoder.tags)} mood tags and genres of 4q; "
        + ", ".join(f"{tracks[part]} {part}" for part in tracks)
        + f" tracks, no artist in two parts. Epoch {facts['best_epoch']} of {facts['epochs']} was "
        "kept, chosen on the validation tracks; the test tracks were used once, at the end.",
        "",
        "| mean over tags, test tracks | convnet | tag frequencies alone |",
        "| --- | ---: | ---: |",
        f"| ROC-AUC | **{macro['roc_auc']:.3f}** | {baseline['roc_auc']:.3f} |",
        f"| average precision | **{macro['average_precision']:.3f}** | "
        f"{baseline['average_precision']:.3f} |",
        "",
        f"Undefined on the test tracks: {', '.join(facts['undefined']) or 'none'}. "
        f"Not taught, too rare: {len(facts['left_out']['rare tags'])} tags.",
        "",
        "## Curve",
        "",
        "![Losses and validation scores by epoch](pretrain_4q.png)",
        "",
        "| epoch | training loss | validation loss | validation ROC-AUC | validation AP |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {point['epoch']} | {point['train_loss']:.4f} | {point['valid_loss']:.4f} | "
            f"{point['valid_auc']:.3f} | {point['valid_ap']:.3f} |"
            for point in done.curve
        ),
        "",
        "## Tags",
        "",
        "| tag | in training | in test | ROC-AUC | average precision | its baseline |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_tag_line(one) for one in sorted(facts["tags"], key=lambda one: -(one["roc_auc"] or 0))),
        "",
    ]
    (RESULTS / "pretrain_4q.md").write_text("\n".join(lines), encoding="utf-8")


def _tag_line(one: dict[str, Any]) -> str:
    names = ("roc_auc", "average_precision", "baseline_average_precision")
    cells = ["n/a" if one[name] is None else f"{one[name]:.3f}" for name in names]
    return f"| {one['tag']} | {one['train']} | {one['test']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
