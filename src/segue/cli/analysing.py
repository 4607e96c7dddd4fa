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
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Turn scores into probabilities, learned out of fold. Default: for classes and "
            "tags, where there are clips enough.",
        ),
    ] = None,
    unknown: Annotated[
        str | None,
        typer.Option(
            help="Confidence below which an answer is 'unknown', such as 0.7; or auto:0.9, the "
            "lowest at which 90 % of the labels given are right, out of fold."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a page on reliability. Default: one picture beside the model."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Fit a head on stored features and write a model file (no pickle in it)."""
    from segue.workflows import fit as run
    from segue.workflows.confidence import facts_in_words, picture_path

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
        calibrate=calibrate,
        unknown=unknown,
        out=out,
        report=report,
    )
    facts = model.facts
    picture = picture_path(out, report) if facts.calibrated else None
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
                "calibrated": facts.calibrated,
                "ece_before": facts.ece_before,
                "ece": facts.ece,
                "ece_if_perfect": facts.ece_if_perfect,
                "unknown": facts.unknown,
                "coverage": facts.coverage,
                "accepted_accuracy": facts.accepted_accuracy,
                "reliability": None if picture is None else str(picture),
            }
        )
        return
    kind = f"{len(facts.labels)} labels" if facts.labels else "a number"
    say(f"{facts.head} on {model.card.label}: {facts.target} ({kind}) from {facts.examples} tracks")
    for note in facts.notes:
        say(f"note: {note}")
    for line in facts_in_words(facts):
        say(line)
    if picture is not None:
        say(f"{picture}")
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
    from segue.workflows.fitting import answers

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
                "predictions": answers(fitted, done),
                "failures": [{"path": f.facts.path, "reason": f.reason} for f in failures],
                "csv": str(out),
            }
        )
        end(len(failures))
    show_failures(failures)
    say(f"{len(done.ids)} predicted, {len(failures)} quarantined: {out}")
    if done.confidence is not None and fitted.facts.unknown is not None:
        unsure = int((done.confidence < fitted.facts.unknown).sum())
        say(f"{unsure} unknown: confidence below {fitted.facts.unknown:.3g}")
    end(len(failures))
