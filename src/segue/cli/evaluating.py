"""``segue evaluate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import numpy as np
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
    from segue.evaluation.rows import Row, TargetResult


@app.command(
    epilog="Example: segue evaluate 4q/manifest.csv --target quadrant --group artist "
    "--encoders mfcc,choi2017-msd -o report"
)
@command
@licensed
def evaluate(
    manifest: options.ManifestPath,
    target: Annotated[str, typer.Option(help="Label column, or several: genre,mood.")],
    out: options.ReportFolder,
    encoders: options.Encoders = "mfcc,melstats,random-convnet",
    layers: Annotated[
        str | None,
        typer.Option(
            help="For encoders with layers that name none themselves: 135, or auto, which lets the "
            "inner folds choose among all sets of layers. For one encoder: NAME@auto."
        ),
    ] = None,
    group: options.Group = None,
    store: options.FeatureStore = None,
    task: options.TaskName = None,
    heads: Annotated[
        str | None,
        typer.Option(
            help="svm, linear, logistic, ridge, knn, mlp. Default: by task. Of several, the inner "
            "folds also choose."
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Outer folds, which give the number. Default: 10.")
    ] = None,
    inner: Annotated[int, typer.Option(help="Inner folds, which choose everything.")] = 5,
    repeats: Annotated[
        int | None, typer.Option(help="How often tracks are dealt to outer folds. Default: 1.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Predefined folds: a column (numbers, names, or train and test), or a file of "
            "OUT/splits. Default: a column fold or split, if there is one; none makes new folds."
        ),
    ] = None,
    shared_groups: Annotated[
        bool,
        typer.Option(
            "--shared-groups", help="Let a group stand on both sides of predefined folds."
        ),
    ] = False,
    neighbours: Annotated[
        int,
        typer.Option(
            help="Report how many of each track's k nearest are like it, and MAP; 0: do not ask."
        ),
    ] = 10,
    scale: options.Scale = True,
    min_examples: options.MinExamples = None,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """Compare encoders by nested cross-validation and write a report with plots.

    Settings, heads and layers are chosen on inner folds only; groups never stand on both sides of
    a split. Stopped, the same command goes on.
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
            repeats=repeats,
            split=split,
            shared_groups=shared_groups,
            neighbours=neighbours or None,
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
                "splits": {
                    result.target: [
                        {"name": one.name, "digest": one.digest, "folds": one.folds}
                        for one in result.splits
                    ]
                    for result in done.results
                },
                "search": {
                    result.target: {label: asdict(cost) for label, cost in result.costs.items()}
                    for result in done.results
                },
                "encoders": {
                    label: asdict(facts)
                    for result in done.results[:1]
                    for label, facts in result.facts.items()
                },
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
    """A line for every encoder and head, splits, the cost of the search, and notes."""
    by_entry: dict[tuple[str, str], list[Row]] = {}
    for row in result.rows:
        label = f"{row.encoder}@{row.layers}" if row.layers else row.encoder
        by_entry.setdefault((label, row.head), []).append(row)
    bias = selection_bias(result)
    lines = []
    for (label, head), (main, *others) in by_entry.items():
        facts = result.facts.get(label)
        lines.append(
            [
                label,
                head,
                f"{main.mean:.3f} ± {main.se:.3f}",
                f"{main.low:.3f} to {main.high:.3f}",
                *(f"{row.mean:.3f}" for row in others),
                f"{bias[label, head]:+.3f}" if (label, head) in bias else "",
                f"{facts.ms:.0f}" if facts else "",
            ]
        )
    grouped = f", {result.n_groups} groups of {result.group}" if result.group else ", no groups"
    title = f"{result.target}: {result.task} of {result.n} clips{grouped}"
    metrics = list(dict.fromkeys(row.metric for row in result.rows))
    lead = ["encoder", "head", *metrics[:1], "95 % interval", *metrics[1:]]
    header = [*lead, "inner - outer", "ms a track"]
    print_table(header, lines, title)
    for row in result.retrieval:
        label = f"{row.encoder}@{row.layers}" if row.layers else row.encoder
        say(f"{row.head}, {row.metric}: {label} {row.mean:.3f} ({row.low:.3f} to {row.high:.3f})")
    for split in result.splits:
        say(f"split: {split.name} ({split.digest[:12]})")
    fits = sum(cost.fits for cost in result.costs.values())
    seconds = sum(cost.seconds for cost in result.costs.values())
    if fits:
        each = 1000 * seconds / fits
        say(f"search: {fits} fits, {seconds:.0f} s of one processor, {each:.1f} ms a fit")
    for note in result.notes:
        say(f"note: {note}")


def selection_bias(result: TargetResult) -> dict[tuple[str, str], float]:
    """Best inner minus outer score of each encoder and head: what the inner would flatter by."""
    metric = result.rows[0].metric if result.rows else ""
    return {
        (one.label, one.head): float(np.nanmean(one.inner_scores))
        - float(np.nanmean(one.fold_scores[metric]))
        for one in result.encoders
        if len(one.inner_scores)
    }
