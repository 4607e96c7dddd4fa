"""``segue embed`` and ``segue plan``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli import options
from segue.cli.amounts import bytes_in_words, parse_bytes, seconds_in_words
from segue.cli.app import (
    app,
    command,
    end,
    licensed,
    messages,
    parse_chunks,
    print_json,
    print_table,
    say,
    show_failures,
)
from segue.cli.progress import counting

if TYPE_CHECKING:
    from segue.datasets import Manifest
    from segue.extraction import EmbedReport
    from segue.workflows.planning import EmbeddingPlan


class Engine(StrEnum):
    """Where the work is done."""

    LOCAL = "local"
    RAY = "ray"


@app.command(epilog="Example: segue embed music/ -o features --encoder choi2017-msd --layers 1,2,3")
@command
@licensed
def embed(
    paths: options.Inputs,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="Feature store: a folder, or a URL such as s3://bucket/x."
        ),
    ],
    encoder: options.Encoder = "mfcc",
    layers: options.Layers = None,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    workers: options.Embedders = None,
    engine: Annotated[
        Engine, typer.Option(help="ray: on a Ray cluster; needs segue\\[ray].")
    ] = Engine.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster. Default: one is started here.")
    ] = None,
    memory_budget: options.MemoryBudget = None,
    time_limit: options.TimeLimit = 120.0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try quarantined files again.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Embed audio files into a feature store; run again, it goes on where it stopped.

    Files that cannot be used are quarantined with their reason and never stop the rest; the exit
    code is then 3.
    """
    from segue.extraction import prepare

    prepare()  # worker processes load torch while this one does
    from segue.encoders import parse_layers
    from segue.extraction import Limits
    from segue.workflows import embed as embed_inputs
    from segue.workflows import open_manifest

    manifest = open_manifest(paths)
    with counting("embedding", quiet=json) as progress:
        report = embed_inputs(
            manifest,
            out,
            encoder=encoder,
            layers=None if layers is None else parse_layers(layers),
            chunks=parse_chunks(chunks),
            device=device,
            workers=workers,
            engine=engine.value,
            address=address,
            limits=Limits(seconds=time_limit, memory=parse_bytes(memory_budget)),
            retry_failed=retry_failed,
            progress=progress,
            say=lambda text: messages.print(text, markup=False, soft_wrap=True),
        )
    if json:
        print_json(_facts(report, manifest))
    else:
        _show(report, manifest)
    end(report.quarantined)


def _facts(report: EmbedReport, manifest: Manifest) -> dict[str, object]:
    failures = [
        {
            "path": one.facts.path,
            "line": one.facts.line,
            "bytes": one.facts.bytes,
            "stage": one.stage,
            "reason": one.reason,
        }
        for one in report.failures
    ]
    return {
        "table": str(report.table.folder),
        "encoder": report.table.card.label,
        "card": report.table.card.digest,
        "dim": report.table.card.dim,
        "total": report.total,
        "computed": report.computed,
        "reused": report.reused,
        "quarantined": report.quarantined,
        "by_stage": report.by_stage(),
        "failures": failures,
        "ignored": dict(manifest.ignored),
        "seconds": round(report.seconds, 3),
    }


def _show(report: EmbedReport, manifest: Manifest) -> None:
    rate = report.computed / report.seconds if report.seconds > 0 else 0.0
    say(
        f"{report.computed} embedded ({rate:.1f} a second), {report.reused} already there, "
        f"{report.quarantined} quarantined; {report.table.card.dim} numbers a track"
    )
    say(f"{report.table.folder}")
    for reason, count in manifest.ignored.items():
        say(f"not audio: {count} x {reason}")
    if report.failures:
        rows = [[stage, n, report.first_of(stage).reason] for stage, n in report.by_stage().items()]
        print_table(["stage", "files", "the first one's reason"], rows, "quarantined")
        show_failures(report.failures)


@app.command(epilog="Example: segue plan music/ --encoder choi2017-msd --workers 2")
@command
@licensed
def plan(
    paths: options.Inputs,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Store to be written to: what it has is not counted."),
    ] = None,
    encoder: options.Encoder = "mfcc",
    layers: options.Layers = None,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    workers: options.Embedders = None,
    memory_budget: options.MemoryBudget = None,
    time_limit: options.TimeLimit = 120.0,
    sample: Annotated[int, typer.Option(help="Files that are tried.")] = 32,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """What `segue embed` with these arguments will take: time, bytes, memory.

    A random sample of the files is embedded as the run would do it; nothing of it is kept.
    """
    from segue.extraction import prepare

    prepare()
    from segue.encoders import parse_layers
    from segue.extraction import Limits
    from segue.workflows.planning import plan_embedding

    found = plan_embedding(
        paths,
        encoder=encoder,
        layers=None if layers is None else parse_layers(layers),
        chunks=parse_chunks(chunks),
        device=device,
        workers=workers,
        limits=Limits(seconds=time_limit, memory=parse_bytes(memory_budget)),
        store=out,
        sample=sample,
        seed=seed,
    )
    if json:
        print_json(found.facts())
        return
    _show_plan(found)


def _show_plan(found: EmbeddingPlan) -> None:
    done = f" ({found.done} of {found.tracks} are there)" if found.done else ""
    refused = f", {found.refused} of them refused" if found.refused else ""
    rows: list[list[object]] = [
        ["tracks", f"{found.left}{done}"],
        ["tried", f"{found.sampled}{refused}"],
        ["encoder", f"{found.encoder}, {found.dim} numbers a track"],
        ["workers", found.workers],
        ["rate", f"{found.tracks_per_second:.1f} tracks a second"],
        ["time", seconds_in_words(found.seconds)],
        ["store", bytes_in_words(found.output_bytes)],
        ["memory", bytes_in_words(found.memory_bytes)],
    ]
    print_table(["what", "expected"], rows)
    for stage, count in found.reasons.items():
        say(f"refused at {stage}: {count} of {found.sampled} tried")
