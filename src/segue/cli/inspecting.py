"""``segue models``, ``segue data``, ``segue doctor``, ``segue demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli import options
from segue.cli.analysing import parse_task, show_result
from segue.cli.app import app, command, messages, print_json, print_table, say, watching

models = typer.Typer(help="Encoders: what there is, where it comes from.", no_args_is_help=True)
data = typer.Typer(help="Manifests and data sets.", no_args_is_help=True)
app.add_typer(models, name="models")
app.add_typer(data, name="data")


@models.command("list", epilog="Example: segue models list")
@command
def list_models(json: options.Json = False) -> None:
    """All registered encoders, and whether their weights are here."""
    from segue.encoders import ENCODERS
    from segue.encoders.weights import weights_folder

    rows = []
    for known in ENCODERS:
        here = (weights_folder() / f"{known.name}.safetensors").is_file()
        state = ("pulled" if here else "pull first") if known.weights else "built in"
        layers = "".join(map(str, known.layers))
        rows.append(
            {"name": known.name, "layers": layers, "weights": state, "summary": known.summary}
        )
    if json:
        print_json({"models": rows})
        return
    print_table(["name", "layers", "weights", "what"], [list(row.values()) for row in rows])


@models.command("show", epilog="Example: segue models show random-convnet@135")
@command
def show_model(
    name: Annotated[str, typer.Argument(help="Encoder, with layers if wanted.")],
    json: options.Json = False,
) -> None:
    """The card of an encoder: rate, excerpt, dimensions, weights, licence, source."""
    from segue.card import flatten
    from segue.encoders import encoder

    card = encoder(name).card
    if json:
        print_json({"card": card.to_json(), "digest": card.digest})
        return
    facts = {**flatten(card.to_json()), "digest": card.digest}
    print_table(["field", "value"], [[key, value] for key, value in facts.items()])


@models.command("pull", epilog="Example: segue models pull choi2017-msd --from weights_theano.hdf5")
@command
def pull_model(
    name: Annotated[str, typer.Argument(help="Model with weights to pull.")],
    from_file: Annotated[
        Path | None, typer.Option("--from", help="Local copy, for machines without internet.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Fetch published weights, check them, and keep them as safetensors."""
    from segue.encoders.weights import pull, source

    path = pull(name, from_file=from_file)
    where = source(name)
    if json:
        facts = {"model": name, "path": str(path), "sha256": where.digest}
        print_json({**facts, "licence": where.licence, "repository": where.repository})
        return
    say(f"{name}: {where.licence}, {where.repository}")
    say(f"{path}")


@data.command(
    "validate", epilog="Example: segue data validate tracks.csv --target genre --group artist"
)
@command
def validate(
    manifest: options.ManifestPath,
    target: Annotated[str | None, typer.Option(help="Label column to check too.")] = None,
    group: options.Group = None,
    task: options.TaskName = None,
    min_examples: options.MinExamples = None,
    json: options.Json = False,
) -> None:
    """Check a manifest before working with it: files, ids, labels, groups, with line numbers."""
    from segue.datasets import read_target
    from segue.workflows import open_manifest

    opened = open_manifest(manifest)
    missing = opened.missing_files()
    facts: dict[str, object] = {"tracks": len(opened), "columns": opened.columns}
    if opened.ignored:
        facts["ignored"] = dict(opened.ignored)
    if target:
        read = read_target(opened, target, task=parse_task(task), min_examples=min_examples)
        facts |= {"target": target, "task": read.task, "labelled": len(read.rows)}
        facts["notes"] = list(read.notes)
    if group:
        cells = opened.column(group)
        facts |= {
            "group": group,
            "groups": len(set(opened.groups(group))),
            "without group": sum(not cell for cell in cells),
        }
    if json:
        problems = [{"line": one.line, "message": one.message} for one in missing]
        print_json({**facts, "missing": problems})
    else:
        print_table(["what", "value"], [[key, value] for key, value in facts.items()])
        for problem in missing[:20]:
            messages.print(str(problem), markup=False, soft_wrap=True)
        if len(missing) > 20:
            messages.print(f"and {len(missing) - 20} more missing files")
    if missing:
        raise typer.Exit(1)


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
