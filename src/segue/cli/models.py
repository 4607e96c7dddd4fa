"""``segue models``: encoders, their weights and their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.card import layer_code
from segue.cli import options
from segue.cli.app import app, command, licensed, print_json, print_table, say
from segue.errors import SegueError

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
        layers = layer_code(known.layers)
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
    layers, card = layer_code(own.layers), own.card
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
    hf:NAME fetches a model of the Hugging Face hub, safetensors only.
    """
    if name.startswith("hf:"):
        _pull_from_hub(name, json)
        return
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


def _pull_from_hub(name: str, json: bool) -> None:
    from segue.encoders import encoder
    from segue.encoders.huggingface import pull_model

    path = pull_model(name.removeprefix("hf:"))
    card = encoder(name).card
    if json:
        facts = {"model": name, "path": str(path), "sha256": card.weights_sha256}
        print_json({**facts, "licence": card.licence, "commercial": card.commercial})
        return
    say(f"{name}: {card.licence}; commercial use: {_yes_no(card.commercial)}")
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


@models.command("export", epilog="Example: segue models export choi2017-msd -o net.onnx")
@command
@licensed
def export_model(
    name: Annotated[str, typer.Argument(help="Encoder, with layers if wanted.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    json: options.Json = False,
) -> None:
    """Write front end and network as one ONNX graph that takes samples; needs segue\\[onnx].

    The file is an encoder, too: `--encoder onnx:FILE`.
    """
    from segue.encoders import encoder
    from segue.encoders.onnx import export_encoder

    built = encoder(name)
    path = export_encoder(built, out)
    card = built.card
    if json:
        facts = {"model": card.label, "path": str(path), "bytes": path.stat().st_size}
        print_json({**facts, "rate": card.rate, "dim": card.dim, "licence": card.licence})
        return
    say(f"{card.label}: samples at {card.rate} Hz to {card.dim} numbers; {card.licence}")
    say(f"{path}")
