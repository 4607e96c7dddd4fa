"""``segue curve``."""

from __future__ import annotations

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
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.workflows.curving import CurveRun


@app.command(
    epilog="Example: segue curve 4q/manifest.csv --target quadrant --group artist "
    "--encoders mfcc,choi2017-msd -o curve"
)
@command
@licensed
def curve(
    manifest: options.ManifestPath,
    target: Annotated[str, typer.Option(help="Label column.")],
    out: options.ReportFolder,
    encoders: options.Encoders = "mfcc,melstats,random-convnet",
    group: options.Group = None,
    store: options.FeatureStore = None,
    task: options.TaskName = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="svm, linear, logistic, ridge, knn or mlp. Default: svm for classes, logistic for "
            "tags, ridge for numbers."
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Labelled clips of each class (in all, for tags and numbers): 1,5,20,all. "
            "Default: 1 to 100 and all a class, 5 to 500 and all in all."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Draws of each size in each fold.")] = 10,
    folds: Annotated[int, typer.Option(help="Test folds.")] = 5,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose the head's settings on inner folds of the drawn clips, where they allow "
            "it. Default: the same settings at every size.",
        ),
    ] = False,
    scale: Annotated[
        bool, typer.Option("--scale/--no-scale", help="Standardise features by the drawn clips.")
    ] = True,
    min_examples: options.MinExamples = None,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """Show what encoders reach with few labels, and how many labels one needs to match another.

    All encoders are taught with the same draws. Interrupted, the same command goes on.
    """
    from segue.workflows import curve as run

    with watching(quiet=json) as watch:
        done = run(
            manifest,
            target,
            encoders=parse_encoders(encoders),
            group=group,
            out=out,
            store=store,
            task=parse_task(task),
            head=head,
            sizes=None if sizes is None else parse_sizes(sizes),
            repeats=repeats,
            folds=folds,
            tune=tune,
            scale=scale,
            min_examples=min_examples,
            chunks=parse_chunks(chunks),
            device=device,
            seed=seed,
            workers=workers,
            title=f"Label efficiency: {target} in {manifest}",
            watch=watch,
        )
    if json:
        print_json(
            {
                "rows": done.rows(),
                "differences": [one.as_dict() for one in done.differences],
                "equivalences": [one.as_dict() for one in done.equivalences],
                "classes": [gain.as_dict() for one in done.profits for gain in one.gains],
                "verdict": dict(done.verdict),
                "notes": list(done.curves.notes),
                "report": str(done.page),
                "quarantined": len(done.failures),
            }
        )
        end(len(done.failures))
    show_failures(done.failures)
    _show(done)
    say(f"report: {done.page}")
    end(len(done.failures))


def parse_sizes(text: str) -> list[int | None]:
    """``--sizes``: whole numbers and ``all``.

    Raises
    ------
    UsageError
        Something else among them.

    Examples
    --------
    >>> parse_sizes("1, 5,all")
    [1, 5, None]
    """
    found: list[int | None] = []
    for part in parse_names(text):
        if part != "all" and not part.isdecimal():
            raise UsageError(
                wanted="--sizes as whole numbers and all, such as 1,5,20,all",
                got=repr(part),
                fix="Use numbers, commas between them",
            )
        found.append(None if part == "all" else int(part))
    return found


def _show(done: CurveRun) -> None:
    """The curves as a table, the findings, and the notes."""
    curves = done.curves
    rows = [
        [name, *(f"{value:.3f}" for value in mean)]
        for name, mean in zip(curves.encoders, curves.main.mean, strict=True)
    ]
    heads = ["all" if size is None else str(size) for size in curves.sizes]
    title = f"{curves.target}: {curves.main.metric} by labelled {curves.unit()}"
    print_table(["encoder", *heads], rows, title)
    for sentence in done.verdict.values():
        say(sentence)
    for note in curves.notes:
        say(f"note: {note}")
