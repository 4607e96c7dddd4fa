"""``segue index`` and ``segue similar``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import app, command, licensed, print_json, print_table, say


@app.command(epilog="Example: segue index features -o index --metric l1")
@command
@licensed
def index(
    store: Annotated[Path, typer.Argument(help="Feature store that `segue embed` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the index.")],
    encoder: options.EncoderOfStore = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Index only the tracks of this manifest or folder.")
    ] = None,
    metric: Annotated[str, typer.Option(help="l1 (Hamel et al. 2013), l2 or cosine.")] = "l1",
    scale: Annotated[
        bool, typer.Option("--scale/--no-scale", help="Give every dimension the same spread.")
    ] = True,
    json: options.Json = False,
) -> None:
    """Build an exact similarity index over all tracks of a store."""
    from segue.similarity.distance import Metric
    from segue.workflows import build_index

    built = build_index(
        store,
        encoder=encoder,
        manifest=manifest,
        metric=cast("Metric", metric),
        scale=scale,
        out=out,
    )
    if json:
        print_json({"index": str(out), "tracks": len(built), "dim": built.dim, "metric": metric})
        return
    say(f"{len(built)} tracks, {built.dim} numbers, {metric}: {out}")


@app.command(epilog="Example: segue similar index song.mp3 -k 5")
@command
@licensed
def similar(
    index: Annotated[Path, typer.Argument(help="Folder that `segue index` wrote.")],
    query: Annotated[str, typer.Argument(help="Id of an indexed track, or an audio file.")],
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """The tracks nearest to a track, nearest first."""
    from segue.workflows import similar as run

    found = run(index, query, k=k, device=device)
    rows = list(zip(found.ids, found.paths, found.distances, strict=True))
    if json:
        hits = [{"id": name, "path": path, "distance": far} for name, path, far in rows]
        print_json({"query": found.query, "neighbours": hits})
        return
    print_table(
        ["", "id", "distance", "path"],
        [[rank, name, f"{far:.4g}", path] for rank, (name, path, far) in enumerate(rows, 1)],
    )
