"""``segue pretrain``: encoders of one's own."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from segue.cli import options
from segue.cli.app import (
    app,
    command,
    end,
    licensed,
    parse_names,
    print_json,
    print_table,
    say,
)
from segue.cli.progress import watching
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.training.loop import Precision
    from segue.training.warp.settings import Rank
    from segue.workflows.joint import Joint
    from segue.workflows.pretraining import Pretrained

SHOWN = 20
KEYS = ("map", "p1")

pretrain = typer.Typer(help="Learn an encoder from labelled music.", no_args_is_help=True)
app.add_typer(pretrain, name="pretrain")


@pretrain.command(
    "convnet",
    epilog="Example: segue pretrain convnet 4q/manifest.csv --target moods,genres "
    "--group artist -o my-encoder. On several GPUs: torchrun --nproc-per-node 4 -m segue "
    "pretrain convnet ... --device cuda --batch 64",
)
@command
def convnet(
    manifest: options.ManifestPath,
    target: Annotated[str, typer.Option(help="Label columns, their tags taught together.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new encoder.")],
    group: options.Group = None,
    split: Annotated[
        str | None,
        typer.Option(help="Column with train, valid, test. Default: parts are drawn."),
    ] = None,
    min_tracks: Annotated[
        int, typer.Option(help="Leave out tags of fewer training files (or groups).")
    ] = 20,
    top: Annotated[int | None, typer.Option(help="Teach only the N most frequent tags.")] = None,
    epochs: Annotated[int, typer.Option(help="The most there will be.")] = 60,
    batch: Annotated[int, typer.Option(help="Tracks of a step, over all processes.")] = 16,
    learning_rate: options.LearningRate = 1e-3,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation score before stopping.")
    ] = 12,
    stop_on: Annotated[
        str, typer.Option(help="Validation score that decides: auc, ap or loss.")
    ] = "auc",
    precision: options.Precision = "float32",
    name: options.EncoderName = None,
    licence: options.Licence = "not stated",
    non_commercial: options.NonCommercial = False,
    training_data: options.TrainingData = "",
    samples: Annotated[
        Path | None, typer.Option(help="Keep decoded samples here, for several runs.")
    ] = None,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Teach a convnet to tag music (Choi et al. 2017) and write it as an encoder folder.

    Run again with the same arguments, it goes on where it stopped. The test tracks judge it once,
    at the end, beside a baseline that only knows how frequent the tags are.
    """
    from segue.training.loop import Settings
    from segue.workflows.pretraining import pretrain_convnet
    from segue.workflows.sourcetask import Origin

    with watching(quiet=json) as watch:
        done = pretrain_convnet(
            manifest,
            parse_names(target),
            out,
            group=group,
            split=split,
            min_tracks=min_tracks,
            top=top,
            batch=batch,
            settings=Settings(
                epochs=epochs,
                learning_rate=learning_rate,
                patience=patience,
                stop_on=chosen(stop_on, ("auc", "ap", "loss"), "valid_"),
                precision=cast("Precision", chosen(precision, ("float32", "bfloat16", "float16"))),
                seed=seed,
            ),
            origin=Origin(
                name=name,
                licence=licence,
                commercial=not non_commercial,
                training_data=training_data,
            ),
            samples=samples,
            device=device,
            workers=workers,
            watch=watch,
        )
    if done.main:
        _show(done, out, json=json)
        end(len(done.failures))


@pretrain.command(
    "warp",
    epilog="Example: segue pretrain warp --source moods=4q/manifest.csv:moods:artist "
    "--source genres=gtzan/manifest.csv:genre -o my-embedding. More labels for it later: "
    "segue pretrain warp --extend my-embedding --source mine=mine.csv:label -o wider",
)
@command
@licensed
def warp(
    source: Annotated[
        list[str],
        typer.Option(
            help="NAME=MANIFEST:COLUMN, or NAME=MANIFEST:COLUMN:GROUP (artist); once a data set."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new encoder.")],
    hears: Annotated[
        str, typer.Option(help="hamel2013: log-mel frames; or an encoder, whose vectors it embeds.")
    ] = "hamel2013",
    extend: Annotated[
        Path | None, typer.Option(help="An embedding whose map stays: only labels are added.")
    ] = None,
    dimensions: Annotated[int, typer.Option(help="Of the common space.")] = 100,
    hidden: Annotated[
        int, typer.Option(help="Units of a hidden layer; 0: the paper's linear map.")
    ] = 0,
    batch: Annotated[int, typer.Option(help="Frames of a step.")] = 100,
    rank: Annotated[
        str, typer.Option(help="sampled, as in the paper, or exact: all labels are scored.")
    ] = "sampled",
    norm_ball: Annotated[
        float | None, typer.Option(help="Longest column of V and row of W (WSABIE's C).")
    ] = None,
    l2: Annotated[float, typer.Option(help="Penalty on V and W.")] = 0.0,
    l2_labels: Annotated[
        float | None, typer.Option(help="Another penalty on W alone. Default: that of --l2.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="The most there will be.")] = 30,
    learning_rate: Annotated[float, typer.Option(help="Of the steps, constant.")] = 0.003,
    patience: Annotated[
        int, typer.Option(help="Epochs without a better validation score before stopping.")
    ] = 5,
    stop_on: Annotated[str, typer.Option(help="Validation score that decides: map or p1.")] = "map",
    valid_share: Annotated[
        float, typer.Option(help="Of each data set's tracks, held out to choose the epoch.")
    ] = 0.1,
    min_tracks: Annotated[int, typer.Option(help="Leave out labels of fewer tracks.")] = 1,
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
    """Learn one embedding from several labelled data sets, with the WARP loss (Hamel et al. 2013).

    Each data set keeps its own labels. Run again with the same arguments, it goes on where it
    stopped. The encoder's tags are all labels of all data sets.
    """
    from segue.training.loop import Settings
    from segue.training.warp.settings import WarpSettings
    from segue.workflows.joint import pretrain_warp
    from segue.workflows.jointsets import parse_source
    from segue.workflows.sourcetask import Origin

    if extend is not None and (hears, dimensions, hidden) != ("hamel2013", 100, 0):
        raise UsageError(
            wanted="--extend without --hears, --dimensions and --hidden",
            got="one of them",
            fix="Leave them out: the embedding that is extended has them",
        )
    with watching(quiet=json) as watch:
        done = pretrain_warp(
            [parse_source(one) for one in source],
            out,
            hears=hears,
            warp=WarpSettings(
                dimensions=dimensions,
                hidden=hidden,
                batch=batch,
                rank=cast("Rank", rank),
                norm_ball=norm_ball,
                l2=l2,
                l2_labels=l2_labels,
            ),
            settings=Settings(
                epochs=epochs,
                learning_rate=learning_rate,
                patience=patience,
                stop_on=chosen(stop_on, ("map", "p1"), "valid_"),
                seed=seed,
            ),
            share=valid_share,
            min_tracks=min_tracks,
            origin=Origin(
                name=name,
                licence=licence,
                commercial=not non_commercial,
                training_data=training_data,
            ),
            frames=frames,
            extend=extend,
            device=device,
            workers=workers,
            watch=watch,
        )
    _show_joint(done, out, json=json)
    end(len(done.failures))


def _show_joint(done: Joint, out: Path, *, json: bool) -> None:
    encoder, facts = done.encoder, done.encoder.training
    if json:
        print_json(
            {
                "encoder": encoder.card.label,
                "folder": str(out),
                "card": encoder.card.digest,
                "tags": list(encoder.tags),
                **{key: facts[key] for key in ("scores", "epochs", "best_epoch", "data_sets")},
                "seconds": facts["seconds"],
                "curve": done.curve,
                "quarantined": len(done.failures),
                "failures": list(done.failures),
            }
        )
        return
    scores = facts["scores"]
    several = len(facts["data_sets"]) > 1
    rows = [
        [
            name,
            one["labels"],
            one["tracks"],
            *(
                _number(scores[f"valid_{key}_{name}" if several else f"valid_{key}"])
                for key in KEYS
            ),
        ]
        for name, one in facts["data_sets"].items()
    ]
    header = ["data set", "labels", "tracks", "mean average precision", "precision at 1"]
    print_table(header, rows, f"{encoder.card.name}: validation tracks, which chose the epoch")
    for note in facts["notes"]:
        say(note)
    reasons = [f"{one['source']}, line {one['line']}: {one['reason']}" for one in done.failures]
    say_end(facts, reasons, out)


def chosen(text: str, known: tuple[str, ...], lead: str = "") -> str:
    """One of some words, with what comes before it in a curve."""
    if text not in known:
        raise UsageError(wanted=" or ".join(known), got=repr(text), fix="Use one of these")
    return lead + text


def _show(done: Pretrained, out: Path, *, json: bool) -> None:
    encoder, facts = done.encoder, done.encoder.training
    if json:
        print_json(
            {
                "encoder": encoder.card.label,
                "folder": str(out),
                "card": encoder.card.digest,
                "tags": list(encoder.tags),
                **{name: facts[name] for name in ("macro", "baseline", "undefined", "tracks")},
                **{name: facts[name] for name in ("epochs", "best_epoch", "seconds", "left_out")},
                "curve": done.curve,
                "quarantined": len(done.failures),
                "failures": list(done.failures),
            }
        )
        return
    macro, baseline = facts["macro"], facts["baseline"]
    rows = [[name, _number(macro[name]), _number(baseline[name])] for name in macro]
    tracks, tags = facts["tracks"], len(encoder.tags)
    title = f"{encoder.card.name}: {tags} tags on {tracks['test']} test tracks"
    print_table(["mean over tags", "convnet", "tag frequencies alone"], rows, title)
    for what, there in facts["left_out"].items():
        count = len(there) if isinstance(there, dict) else there
        if count:
            say(f"left out: {count} {what}")
    if facts["undefined"]:
        say(f"undefined on the test tracks: {', '.join(facts['undefined'])}")
    say_end(facts, [f"line {one['line']}: {one['reason']}" for one in done.failures], out)


def say_end(facts: Mapping[str, Any], reasons: Sequence[str], out: Path) -> None:
    """Files that failed, the best epoch, where the page is, how the encoder is used."""
    for reason in reasons[:SHOWN]:
        say(f"  {reason}")
    say(f"best of {facts['epochs']} epochs: {facts['best_epoch']}; report: {out / 'report.html'}")
    say(f"use it: --encoder {_asked(out)}")


def _asked(out: Path) -> str:
    """A folder as ``--encoder`` and a shell take it.

    Examples
    --------
    >>> _asked(Path("mine")), _asked(Path("my@enc")), _asked(Path("/out/my net"))
    ('./mine', './my@enc/', "'/out/my net'")
    """
    text = str(out) if out.is_absolute() else f"./{out}"
    # the separator keeps an "@" from being read as layers
    return shlex.quote(f"{text}/" if "@" in text else text)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
