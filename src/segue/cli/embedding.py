"""``segue embed``."""

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
    parse_chunks,
    print_json,
    say,
    show_failures,
    watching,
)


@app.command(epilog="Example: segue embed music/ -o features --encoder choi2017-msd --layers 1,2,3")
@command
@licensed
def embed(
    paths: options.Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the feature store.")],
    encoder: Annotated[str, typer.Option(help="See `segue models list`.")] = "mfcc",
    layers: Annotated[
        str | None, typer.Option(help="Of a convnet, such as 1,3,5. Default: all.")
    ] = None,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    workers: options.Workers = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try quarantined files again.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Embed audio files into a feature store; run again, it goes on where it stopped.

    Files that cannot be used are quarantined with their reason and never stop the rest; the exit
    code is then 3.
    """
    from segue.encoders import parse_layers
    from segue.workflows import embed as embed_inputs
    from segue.workflows import open_manifest

    manifest = open_manifest(paths)
    with watching(quiet=json) as watch:
        report = embed_inputs(
            manifest,
            out,
            encoder=encoder,
            layers=None if layers is None else parse_layers(layers),
            chunks=parse_chunks(chunks),
            device=device,
            workers=workers,
            retry_failed=retry_failed,
            progress=lambda done, failed, total: watch("embedding", done + failed, total),
        )
    if json:
        failures = [
            {"path": f.facts.path, "line": f.facts.line, "stage": f.stage, "reason": f.reason}
            for f in report.failures
        ]
        print_json(
            {
                "table": str(report.table.folder),
                "encoder": report.table.card.label,
                "card": report.table.card.digest,
                "dim": report.table.card.dim,
                "total": report.total,
                "computed": report.computed,
                "reused": report.reused,
                "quarantined": report.quarantined,
                "failures": failures,
                "ignored": dict(manifest.ignored),
                "seconds": round(report.seconds, 3),
            }
        )
        end(report.quarantined)
    rate = report.computed / report.seconds if report.seconds > 0 else 0.0
    say(
        f"{report.computed} embedded ({rate:.1f} a second), {report.reused} already there, "
        f"{report.quarantined} quarantined; {report.table.card.dim} numbers a track"
    )
    say(f"{report.table.folder}")
    for reason, count in manifest.ignored.items():
        say(f"not audio: {count} x {reason}")
    show_failures(report.failures)
    end(report.quarantined)
