"""``segue audit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli import options
from segue.cli.app import (
    app,
    command,
    licensed,
    parse_names,
    parse_task,
    print_json,
    print_table,
    say,
)
from segue.cli.progress import watching
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.workflows.auditing import Audit

COLOURS = {"clear": "clear", "suspect": "SUSPECT", "leak": "LEAK"}


@app.command(epilog="Example: segue audit features manifest.csv --target genre -o audit")
@command
@licensed
def audit(
    features: Annotated[
        list[Path],
        typer.Argument(help="A store, or .npy matrices in manifest order, side by side."),
    ],
    manifest: Annotated[
        Path, typer.Argument(help="A manifest; for matrices, a CSV of labels in row order will do.")
    ],
    target: Annotated[str, typer.Option(help="Label column.")],
    encoder: options.EncoderOfStore = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Columns that should not stand on both sides of a split: artist,album. Default: "
            "those of the usual names."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Column of the given folds. Default: fold or split.")
    ] = None,
    task: options.TaskName = None,
    batch_size: Annotated[
        str | None,
        typer.Option(help="Batch sizes to look for: 256. Default: powers of two, round numbers."),
    ] = None,
    listen: Annotated[
        bool,
        typer.Option(
            "--listen/--no-listen",
            help="Open the audio, where it is there: for the level of files, and to confirm near "
            "duplicates.",
        ),
    ] = True,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the report.")] = None,
    json: options.Json = False,
) -> None:
    """Test features and labels for leaks: what a score may rest on beside the music.

    Each test has a control, and the verdict clear, suspect or leak.
    """
    from segue.workflows import audit as run

    with watching(quiet=json) as watch:
        done = run(
            features,
            manifest,
            target,
            encoder=encoder,
            groups=parse_names(group or ""),
            split=split,
            task=parse_task(task),
            batch_sizes=_sizes(batch_size),
            listen=listen,
            workers=workers,
            seed=seed,
            out=out,
            watch=watch,
        )
    if json:
        print_json({**done.as_dict(), "report": None if done.page is None else str(done.page)})
        return
    show(done)


def show(done: Audit) -> None:
    """Verdicts as a table, findings as sentences."""
    rows = [
        [
            test.name,
            COLOURS[test.verdict],
            f"{test.statistic:.3g}",
            f"{test.low:.3g} to {test.high:.3g}",
            f"{test.control:.3g}",
            f"{test.p_holm:.2g}",
        ]
        for test in done.result.tests
    ]
    title = f"{done.features}, {done.target}: {COLOURS[done.result.verdict]}"
    print_table(["test", "verdict", "measured", "95 % interval", "control", "p"], rows, title)
    for test in done.result.tests:
        say(f"{test.name}: {test.words}")
    for one in done.result.not_run:
        say(f"{one.name}: not run: {one.why}")
    for note in done.notes:
        say(f"note: {note}")
    if done.page is not None:
        say(f"report: {done.page}")


def _sizes(text: str | None) -> list[int]:
    names = parse_names(text or "")
    if not all(name.isdecimal() and int(name) > 1 for name in names):
        raise UsageError(
            wanted="--batch-size as whole numbers above 1",
            got=repr(text),
            fix="Write them as 64,256",
        )
    return [int(name) for name in names]
