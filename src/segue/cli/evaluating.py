"""``segue evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli import options
from segue.cli.app import (
    app,
    command,
    end,
    licensed,
    parse_chunks,
    parse_encoders,
    parse_names,
    parse_task,
    print_json,
    print_table,
    say,
    show_failures,
)
from segue.cli.progress import watching

if TYPE_CHECKING:
    from segue.evaluation.rows import TargetResult


@app.command(
    epilog="Example: segue evaluate 4q/manifest.csv --target quadrant --group artist "
    "--encoders mfcc,choi2017-msd -o report"
)
@command
@licensed
def evaluate(
    manifest: options.ManifestPath,
    target: Annotated[str, typer.Option(help="Label column, or several: genre,mood.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")],
    encoders: Annotated[
        str, typer.Option(help="Names, with layers if wanted: mfcc,choi2017-msd@135.")
    ] = "mfcc,melstats,random-convnet",
    layers: Annotated[
        str | None,
        typer.Option(
            help="For encoders with layers that name none themselves: 135, or auto, which lets the "
            "inner folds choose among all sets of layers. For one encoder: NAME@auto."
        ),
    ] = None,
    group: options.Group = None,
    store: Annotated[
        Path | None, typer.Option(help="Feature store. Default: OUT/features.")
    ] = None,
    task: options.TaskName = None,
    heads: Annotated[
        str | None, typer.Option(help="svm, linear, logistic, ridge, knn, mlp. Default: by task.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Outer folds, which give the number.")] = 10,
    inner: Annotated[int, typer.Option(help="Inner folds, which choose settings.")] = 5,
    scale: options.Scale = True,
    min_examples: options.MinExamples = None,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """Compare encoders by nested cross-validation and write a report with plots.

    Settings are chosen on inner folds only; groups never stand on both sides of a split.
    """
    from segue.workflows import evaluate as run

    with watching(quiet=json) as watch:
        done = run(
            manifest,
            parse_names(target),
            encoders=parse_encoders(encoders),
            layers=layers,
            group=group,
            out=out,
            store=store,
            task=parse_task(task),
            heads=None if heads is None else parse_names(heads),
            folds=folds,
            inner=inner,
            scale=scale,
            min_examples=min_examples,
            chunks=parse_chunks(chunks),
            device=device,
            seed=seed,
            workers=workers,
            title=f"{target} in {manifest}",
            watch=watch,
        )
    if json:
        tests = [
            {name: getattr(test, name) for name in test.__dataclass_fields__}
            for result in done.results
            for test in result.tests
        ]
        notes = {result.target: list(result.notes) for result in done.results}
        print_json(
            {
                "rows": done.rows(),
                "tests": tests,
                "notes": notes,
                "report": str(done.page),
                "quarantined": len(done.failures),
            }
        )
        end(len(done.failures))
    show_failures(done.failures)
    for result in done.results:
        show_result(result)
    say(f"report: {done.page}")
    end(len(done.failures))


def show_result(result: TargetResult) -> None:
    """The rows of a target as a table, and its notes."""
    rows = [
        [
            f"{row.encoder}@{row.layers}" if row.layers else row.encoder,
            row.head,
            row.metric,
            f"{row.mean:.3f} ± {row.se:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
        ]
        for row in result.rows
    ]
    grouped = f", {result.n_groups} groups of {result.group}" if result.group else ", no groups"
    title = f"{result.target}: {result.task} of {result.n} clips{grouped}"
    print_table(["encoder", "head", "metric", "mean ± se", "95 % interval"], rows, title)
    for note in result.notes:
        say(f"note: {note}")
