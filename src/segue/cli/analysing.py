"""``segue fit``, ``segue predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli import options
from segue.cli.app import (
    app,
    command,
    end,
    licensed,
    parse_task,
    print_json,
    say,
    show_failures,
)
from segue.cli.progress import watching


@app.command(
    epilog="Example: segue fit tracks.csv features --target genre --group artist -o genre.segue"
)
@command
@licensed
def fit(
    manifest: options.ManifestPath,
    store: Annotated[Path, typer.Argument(help="Feature store that `segue embed` wrote.")],
    target: Annotated[str, typer.Option(help="Label column.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file to write.")],
    group: options.Group = None,
    head: Annotated[
        str | None, typer.Option(help="svm, linear, logistic, ridge, knn or mlp. Default: by task.")
    ] = None,
    encoder: options.EncoderOfStore = None,
    task: options.TaskName = None,
    per_class: Annotated[
        int | None, typer.Option(help="Use only this many examples of each class.")
    ] = None,
    min_examples: options.MinExamples = None,
    scale: options.Scale = True,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Fit a head on stored features and write a model file (no pickle in it)."""
    from segue.workflows import fit as run

    model = run(
        manifest,
        store,
        target,
        encoder=encoder,
        group=group,
        head=head,
        task=parse_task(task),
        per_class=per_class,
        min_examples=min_examples,
        scale=scale,
        seed=seed,
        out=out,
    )
    facts = model.facts
    if json:
        print_json(
            {
                "model": str(out),
                "encoder": model.card.label,
                "target": facts.target,
                "task": facts.task,
                "labels": list(facts.labels),
                "head": facts.head,
                "settings": dict(facts.settings),
                "examples": facts.examples,
                "licence": facts.licence,
                "notes": list(facts.notes),
            }
        )
        return
    kind = f"{len(facts.labels)} labels" if facts.labels else "a number"
    say(f"{facts.head} on {model.card.label}: {facts.target} ({kind}) from {facts.examples} tracks")
    for note in facts.notes:
        say(f"note: {note}")
    say(f"{out}")


@app.command(epilog="Example: segue predict genre.segue new_music/ -o predictions.csv")
@command
@licensed
def predict(
    model: Annotated[Path, typer.Argument(help="Model file that `segue fit` wrote.")],
    paths: options.Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV of predictions to write.")],
    store: Annotated[
        Path | None, typer.Option(help="Keep the features here, so that a long run resumes.")
    ] = None,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """Embed audio with the model's own encoder and write predictions."""
    from segue.workflows import Model
    from segue.workflows import predict as run
    from segue.workflows.fitting import words

    fitted = Model.load(model)
    with watching(quiet=json) as watch:
        done = run(
            fitted,
            paths,
            out=out,
            store=store,
            device=device,
            workers=workers,
            progress=lambda good, bad, total: watch("embedding", good + bad, total),
        )
    failures = done.embedding.failures
    if json:
        print_json(
            {
                "predictions": [
                    {"id": name, "path": path, fitted.facts.target: words(fitted, value)}
                    for name, path, value in zip(done.ids, done.paths, done.values, strict=True)
                ],
                "failures": [{"path": f.facts.path, "reason": f.reason} for f in failures],
                "csv": str(out),
            }
        )
        end(len(failures))
    show_failures(failures)
    say(f"{len(done.ids)} predicted, {len(failures)} quarantined: {out}")
    end(len(failures))
