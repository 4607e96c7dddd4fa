"""``segue doctor``, ``segue demo``, ``segue tags``, ``segue classes``."""

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
    print_table,
    say,
)
from segue.cli.evaluating import show_result
from segue.cli.progress import watching
from segue.errors import UsageError

COLUMNS = 5  # of near labels that a terminal has room for; classes.csv has all


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


@app.command(epilog="Example: segue tags song.mp3 --encoder ./my-embedding -k 5")
@command
@licensed
def tags(
    paths: Annotated[list[str], typer.Argument(help="Audio files, folders, or a manifest.")],
    encoder: Annotated[
        str, typer.Option(help="One that says tags: its folder (./NAME) or its name.")
    ],
    k: Annotated[int, typer.Option("-k", help="Labels shown of each data set; 0 for all.")] = 5,
    chunks: options.Chunks = "1",
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """The labels of clips, ranked within every data set that the encoder was taught with."""
    from segue.workflows.labels import tag_clips

    if k < 0:
        raise UsageError(wanted="-k 0 or more", got=str(k), fix="Use 0 for all labels")
    with watching(quiet=json) as watch:
        said = tag_clips(paths, encoder, chunks=parse_chunks(chunks), device=device, watch=watch)
    failed = [one for one in said if one.reason]
    shown = [
        (one.path, {name: pairs[: k or None] for name, pairs in one.labels.items()})
        for one in said
        if not one.reason
    ]
    if json:
        print_json(
            {
                "clips": [{"path": str(path), "labels": labels} for path, labels in shown],
                "quarantined": len(failed),
                "failures": [{"path": str(one.path), "reason": one.reason} for one in failed],
            }
        )
    else:
        for path, labels in shown:
            rows = [
                [rank, label, f"{score:.3f}", *([name] if name else [])]
                for name, pairs in labels.items()
                for rank, (label, score) in enumerate(pairs, 1)
            ]
            header = ["", "label", "score", *(["data set"] if any(labels) else [])]
            print_table(header, rows, path.name)
        for one in failed:
            say(f"  {one.reason}")
    end(len(failed))


@app.command(epilog="Example: segue classes ./my-embedding -o classes")
@command
@licensed
def classes(
    embedding: Annotated[
        str, typer.Argument(help="Folder that `segue pretrain warp` wrote, or an added name.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of map, table and page.")],
    k: Annotated[int, typer.Option("-k", help="Nearest labels listed.")] = 5,
    json: options.Json = False,
) -> None:
    """The map of all labels of all data sets, and the labels nearest to each (L1)."""
    from segue.workflows.labels import draw_classes

    done = draw_classes(embedding, out, k=k)
    if json:
        nearest = [
            {
                "set": row.set,
                "label": row.name,
                "nearest": [
                    {"set": near.set, "label": near.name, "distance": near.distance}
                    for near in row.nearest
                ],
            }
            for row in done.rows
        ]
        print_json({"classes": nearest, "stress": done.stress, "report": str(done.page)})
        return
    rows = [
        [
            f"{row.name} ({row.set})",
            *(f"{near.name} ({near.set})" for near in row.nearest[:COLUMNS]),
        ]
        for row in done.rows
    ]
    shown = max((len(row) for row in rows), default=1) - 1
    print_table(["label", *map(str, range(1, shown + 1))], rows, "nearest labels")
    say(f"report: {done.page}")
