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
Embedders = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes. Default: one a processor, fewer for few files. 0: in the command's own "
        "process, which a file that crashes a decoder then ends. Never changes a result.",
    ),
]
TimeLimit = Annotated[
    float,
    typer.Option(
        help="Seconds without a sign of life after which the file in hand is given up and "
        "quarantined."
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        help="Most memory for all processes together, such as 4GB: fewer workers are started "
        "where it does not suffice, and a file that takes more is quarantined."
    ),
]
Layers = Annotated[
    str | None, typer.Option(help="Of an encoder that has them, such as 1,3,5. Default: all.")
]
Encoder = Annotated[str, typer.Option(help="See `segue models list`.")]
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
LearningRate = Annotated[float, typer.Option(help="Of Adam.")]
Precision = Annotated[
    str, typer.Option(help="float32, bfloat16 or float16, of the training's arithmetic.")
]
EncoderName = Annotated[
    str | None, typer.Option("--name", help="Of the encoder. Default: that of the folder.")
]
Licence = Annotated[str, typer.Option(help="Of the weights, for the card.")]
NonCommercial = Annotated[bool, typer.Option("--non-commercial", help="Say so on the card.")]
TrainingData = Annotated[str, typer.Option(help="In words, for the card.")]
KeptFrames = Annotated[
    Path | None, typer.Option("--frames", help="Keep frames in this store, for several runs.")
]
Encoders = Annotated[str, typer.Option(help="Names, with layers if wanted: mfcc,choi2017-msd@135.")]
ReportFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")]
FeatureStore = Annotated[
    Path | None, typer.Option("--store", help="Feature store. Default: OUT/features.")
]
