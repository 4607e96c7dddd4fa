"""``segue models``, ``segue doctor``, ``segue demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli import options
from segue.cli.analysing import show_result
from segue.cli.app import (
    app,
    command,
    end,
    licensed,
    parse_chunks,
    print_json,
    print_table,
    say,
    watching,
)
from segue.errors import SegueError, UsageError

COLUMNS = 5  # of near labels that a terminal has room for; classes.csv has all

models = typer.Typer(help="Encoders: what there is, where it comes from.", no_args_is_help=True)
app.add_typer(models, name="models")


@models.command("list", epilog="Example: segue models list")
@command
def list_models(json: options.Json = False) -> None:
    """All encoders: registered ones, whether their weights are here, and added ones."""
    from segue.encoders import ENCODERS
    from segue.encoders.folders import all_added
    from segue.encoders.weights import weights_folder

    rows = []
    for known in ENCODERS:
        here = (weights_folder() / f"{known.name}.safetensors").is_file()
        state = ("pulled" if here else "pull first") if known.weights else "built in"
        if known.extra:
            state = f"needs segue[{known.extra}]"
        layers = "".join(map(str, known.layers))
        rows.append(
            {
                "name": known.name,
                "layers": layers,
                "weights": state,
                "commercial": _yes_no(known.commercial),
                "summary": known.summary,
            }
        )
    rows += [_added_row(folder) for folder in all_added()]
    if json:
        print_json({"models": rows})
        return
    header = ["name", "layers", "weights", "commercial use", "what"]
    print_table(header, [list(row.values()) for row in rows])


def _yes_no(permitted: bool) -> str:
    return "yes" if permitted else "no"


def _added_row(folder: Path) -> dict[str, str]:
    """A damaged encoder is listed with its damage and hides no other."""
    from segue.encoders.folders import open_folder

    try:
        own = open_folder(folder)
    except SegueError as error:
        facts = {"name": folder.name, "layers": "", "weights": "damaged"}
        return {**facts, "commercial": "no", "summary": str(error)}
    layers, card = "".join(map(str, own.layers)), own.card
    facts = {"name": folder.name, "layers": layers, "weights": "added"}
    return {**facts, "commercial": _yes_no(card.commercial), "summary": card.description}


@models.command("show", epilog="Example: segue models show random-convnet@135")
@command
def show_model(
    name: Annotated[str, typer.Argument(help="Encoder, with layers if wanted.")],
    json: options.Json = False,
) -> None:
    """The card of an encoder: rate, excerpt, dimensions, weights, licence, source; its tags."""
    from segue.card import flatten
    from segue.encoders import encoder

    built = encoder(name)
    card = built.card
    facts: dict[str, object] = {"digest": card.digest}
    if built.widths:
        facts["widths"] = [built.widths[layer] for layer in card.layers]
    if built.tag_names:
        facts["tags"] = list(built.tag_names)
    if json:
        print_json({"card": card.to_json(), **facts})
        return
    facts = {
        **flatten(card.to_json()),
        **{key: ", ".join(map(str, v)) if isinstance(v, list) else v for key, v in facts.items()},
    }
    print_table(["field", "value"], [[key, value] for key, value in facts.items()])


@models.command("pull", epilog="Example: segue models pull choi2017-msd --from weights_theano.hdf5")
@command
@licensed
def pull_model(
    name: Annotated[str, typer.Argument(help="Model with weights to pull.")],
    from_file: Annotated[
        Path | None, typer.Option("--from", help="Local copy, for machines without internet.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Fetch published weights, check them, and keep them as safetensors.

    FILE is the file as published: an HDF5 file for choi2017-msd, best_model.pth for a won2020
    model, the wheel of musicnn 0.1.0 for musicnn and vgg models (without --from, pip fetches it).
    """
    from segue.encoders.registry import check_pull
    from segue.encoders.weights import pull, source

    check_pull(name)
    path = pull(name, from_file=from_file)
    where = source(name)
    if json:
        facts = {"model": name, "path": str(path), "sha256": where.digest}
        print_json({**facts, "licence": where.licence, "repository": where.repository})
        return
    say(f"{name}: {where.licence}, {where.repository}")
    say(f"{path}")


@models.command("add", epilog="Example: segue models add out/my-encoder")
@command
@licensed
def add_model(
    folder: Annotated[Path, typer.Argument(help="Encoder folder that `segue pretrain` wrote.")],
    json: options.Json = False,
) -> None:
    """Keep a copy of an encoder folder so that its name alone finds it, for `segue predict` too."""
    from segue.encoders.folders import is_packaged
    from segue.encoders.registry import add

    kept = add(folder)
    if json:
        print_json({"model": kept.card.name, "path": str(kept.path), "card": kept.card.digest})
        return
    say(f"{kept.card.name}: {kept.card.licence}; {kept.card.training_data}")
    where = " (comes with segue: nothing was added)" if is_packaged(kept.card.name) else ""
    say(f"{kept.path}{where}")


@app.command(epilog="Example: segue doctor")
@command
def doctor(json: options.Json = False) -> None:
    """Versions, codecs, devices and weights: what works on this machine."""
    from segue.workflows.doctor import examine

    facts = examine()
    if json:
        print_json(facts)
        return
    print_table(["what", "value"], [[key, value] for key, value in facts.items()])


@app.command(epilog="Example: segue demo -o segue-demo")
@command
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(
        "segue-demo"
    ),
    workers: options.Workers = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """The whole main job on an embedded corpus, offline, in about a minute."""
    from segue.demo import run

    with watching(quiet=json) as watch:
        done = run(out, workers=workers, seed=seed, watch=watch)
    if json:
        print_json({"rows": done.evaluation.rows(), "report": str(done.page), **done.findings})
        return
    for result in done.evaluation.results:
        show_result(result)
    for name, finding in done.findings.items():
        say(f"{name}: {finding}")
    say(f"report: {done.page}")


@app.command(epilog="Example: segue tags song.mp3 --encoder ./my-embedding -k 5")
@command
@licensed
def tags(
    paths: Annotated[list[str], typer.Argument(help="Audio files, folders, or a manifest.")],
    encoder: Annotated[
        str, typer.Option(help="One that says tags: its folder (./NAME) or its name.")
    ],
    k: Annotated[int, typer.Option("-k", help="Labels shown of each data set; 0 for all.")] = 5,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """The labels of clips, ranked within every data set that the encoder was taught with."""
    from segue.workflows.labels import tag_clips

    if k < 0:
        raise UsageError(wanted="-k 0 or more", got=str(k), fix="Use 0 for all labels")
    with watching(quiet=json) as watch:
        said = tag_clips(paths, encoder, chunks=parse_chunks(chunks), device=device, watch=watch)
    failed = [one for one in said if one.reason]
    shown = [
        (one.path, {name: pairs[: k or None] for name, pairs in one.labels.items()})
        for one in said
        if not one.reason
    ]
    if json:
        print_json(
            {
                "clips": [{"path": str(path), "labels": labels} for path, labels in shown],
                "quarantined": len(failed),
                "failures": [{"path": str(one.path), "reason": one.reason} for one in failed],
            }
        )
    else:
        for path, labels in shown:
            rows = [
                [rank, label, f"{score:.3f}", *([name] if name else [])]
                for name, pairs in labels.items()
                for rank, (label, score) in enumerate(pairs, 1)
            ]
            header = ["", "label", "score", *(["data set"] if any(labels) else [])]
            print_table(header, rows, path.name)
        for one in failed:
            say(f"  {one.reason}")
    end(len(failed))


@app.command(epilog="Example: segue classes ./my-embedding -o classes")
@command
@licensed
def classes(
    embedding: Annotated[
        str, typer.Argument(help="Folder that `segue pretrain warp` wrote, or an added name.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of map, table and page.")],
    k: Annotated[int, typer.Option("-k", help="Nearest labels listed.")] = 5,
    json: options.Json = False,
) -> None:
    """The map of all labels of all data sets, and the labels nearest to each (L1)."""
    from segue.workflows.labels import draw_classes

    done = draw_classes(embedding, out, k=k)
    if json:
        nearest = [
            {
                "set": row.set,
                "label": row.name,
                "nearest": [
                    {"set": near.set, "label": near.name, "distance": near.distance}
                    for near in row.nearest
                ],
            }
            for row in done.rows
        ]
        print_json({"classes": nearest, "stress": done.stress, "report": str(done.page)})
        return
    rows = [
        [
            f"{row.name} ({row.set})",
            *(f"{near.name} ({near.set})" for near in row.nearest[:COLUMNS]),
        ]
        for row in done.rows
    ]
    shown = max((len(row) for row in rows), default=1) - 1
    print_table(["label", *map(str, range(1, shown + 1))], rows, "nearest labels")
    say(f"report: {done.page}")
