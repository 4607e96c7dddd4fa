"""``segue pretrain dcnn``: the networks of Kim et al. 2018."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import command, end, parse_names, print_json, print_table, say
from segue.cli.learning import chosen, pretrain, say_end
from segue.cli.progress import watching

if TYPE_CHECKING:
    from segue.encoders.dcnn import Sharing
    from segue.training.dcnn.settings import Draw
    from segue.training.loop import Precision
    from segue.workflows.dcnn import Networks


@pretrain.command(
    "dcnn",
    epilog="Example: segue pretrain dcnn 4q/manifest.csv --targets g,m,s --genre genres "
    "--labels moods,genres --group artist --sharing first -o my-networks. On several GPUs: "
    "torchrun --nproc-per-node 4 -m segue pretrain dcnn ... --device cuda --batch 256",
)
@command
def dcnn(
    manifest: options.ManifestPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new encoder.")],
    targets: Annotated[
        str,
        typer.Option(
            help="Of g (genre) and factors of groups from m (MFCC), d (their differences), "
            "e (descriptors), s (labels)."
        ),
    ] = "g,m,d,e,s",
    genre: Annotated[str | None, typer.Option(help="Column of g.")] = None,
    labels: Annotated[str | None, typer.Option(help="Column of s, or several.")] = None,
    group: options.Group = None,
    sharing: Annotated[
        str,
        typer.Option(
            help="none: a network per target; first: their first block is shared; all: all but "
            "the output layers."
        ),
    ] = "none",
    width: Annotated[float, typer.Option(help="Times the paper's maps and units.")] = 1.0,
    draw: Annotated[
        str, typer.Option(help="A target is drawn for every batch, or for a whole epoch.")
    ] = "batch",
    words: Annotated[int, typer.Option(help="Of a dictionary of vectors.")] = 2048,
    topics: Annotated[int, typer.Option(help="Factors of a target.")] = 40,
    epochs: Annotated[
        int, typer.Option(help="The most for each target: in all, times their number.")
    ] = 200,
    batch: Annotated[int, typer.Option(help="Tracks of a step, over all processes.")] = 64,
    learning_rate: options.LearningRate = 1e-3,
    l2: Annotated[float, typer.Option(help="Weight of the squared weights.")] = 1e-5,
    patience: Annotated[
        int,
        typer.Option(
            help="Epochs without a better validation loss before stopping, times the number of "
            "targets."
        ),
    ] = 20,
    valid_share: Annotated[
        float, typer.Option(help="Of the tracks, held out to choose the epoch.")
    ] = 0.1,
    precision: options.Precision = "float32",
    name: options.EncoderName = None,
    licence: options.Licence = "not stated",
    non_commercial: options.NonCommercial = False,
    training_data: options.TrainingData = "",
    frames: options.KeptFrames = None,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Teach convnets genres and factors of artists (Kim et al. 2018), as an encoder folder.

    Run again with the same arguments, it goes on where it stopped.
    """
    from segue.targets.factors import FactorSettings
    from segue.training.dcnn.settings import DcnnSettings
    from segue.training.loop import Settings
    from segue.workflows.dcnn import pretrain_dcnn
    from segue.workflows.dcnntargets import Asked
    from segue.workflows.sourcetask import Origin

    with watching(quiet=json) as watch:
        done = pretrain_dcnn(
            manifest,
            Asked(
                targets=tuple(parse_names(targets)),
                genre=genre,
                group=group,
                labels=tuple(parse_names(labels or "")),
                factors=FactorSettings(words=words, topics=topics, seed=seed),
            ),
            out,
            dcnn=DcnnSettings(
                sharing=cast("Sharing", sharing),
                width=width,
                batch=batch,
                draw=cast("Draw", draw),
                l2=l2,
            ),
            settings=Settings(
                epochs=epochs,
                learning_rate=learning_rate,
                patience=patience,
                stop_on="valid_loss",
                precision=cast("Precision", chosen(precision, ("float32", "bfloat16", "float16"))),
                seed=seed,
            ),
            share=valid_share,
            origin=Origin(
                name=name,
                licence=licence,
                commercial=not non_commercial,
                training_data=training_data,
            ),
            frames=frames,
            device=device,
            workers=workers,
            watch=watch,
        )
    if done.main:
        _show(done, out, json=json)
        end(len(done.failures))


def _show(done: Networks, out: Path, *, json: bool) -> None:
    encoder, facts = done.encoder, done.encoder.training
    if json:
        print_json(
            {
                "encoder": encoder.card.label,
                "folder": str(out),
                "card": encoder.card.digest,
                "tags": list(encoder.tags),
                **{key: facts[key] for key in ("scores", "tasks", "epochs", "best_epoch")},
                **{key: facts[key] for key in ("seconds", "notes")},
                "curve": done.curve,
                "quarantined": len(done.failures),
                "failures": list(done.failures),
            }
        )
        return
    from segue.workflows.dcnnpage import number, percent

    rows = [
        [
            task,
            one["outputs"],
            one["tracks"],
            *(number(one[key]) for key in ("loss", "baseline", "lowest")),
            percent(one["learned"]),
        ]
        for task, one in facts["tasks"].items()
    ]
    header = ["target", "outputs", "tracks", "loss", "without hearing", "lowest", "learned"]
    print_table(header, rows, f"{encoder.card.name}: validation tracks, which chose the epoch")
    for note in facts["notes"]:
        say(note)
    say_end(facts, [f"line {one['line']}: {one['reason']}" for one in done.failures], out)
