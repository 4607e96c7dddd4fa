"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[Path],
    typer.Argument(help="A manifest (.csv, .parquet, .txt), a folder, or audio files."),
]
ManifestPath = Annotated[
    Path, typer.Argument(help="A manifest (.csv, .parquet) or a folder with one folder per class.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Device = Annotated[str, typer.Option(help="cpu, or a torch device such as cuda.")]
Workers = Annotated[
    int | None, typer.Option(help="Processes. Default: one a processor. Never changes a result.")
]
Seed = Annotated[int, typer.Option(help="Fixes every random choice.")]
Group = Annotated[
    str | None,
    typer.Option(help="Column that never stands on both sides of a split (artist)."),
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", help="classification, tagging or regression. Default: inferred."),
]
Chunks = Annotated[
    str,
    typer.Option(
        help="Excerpts heard from the start of each clip, each as long as the encoder's own "
        "(29 or 30 s), or 'all'."
    ),
]
Scale = Annotated[
    bool, typer.Option("--scale/--no-scale", help="Standardise features inside training folds.")
]
MinExamples = Annotated[
    int | None,
    typer.Option(help="Leave out classes with fewer examples, and tags in fewer groups."),
]
EncoderOfStore = Annotated[
    str | None, typer.Option("--encoder", help="Which table, where the store has several.")
]
