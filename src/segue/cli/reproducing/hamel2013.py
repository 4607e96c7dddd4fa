"""``segue reproduce hamel2013``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import command, end, parse_names
from segue.cli.progress import watching
from segue.cli.reproducing.papers import reproduce, show_reproduction
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.experiments.protocols import Asked


@reproduce.command(
    "hamel2013",
    epilog="Example: segue reproduce hamel2013 --genres 4q=4q/manifest.csv:genres:artist "
    "--genres gtzan=gtzan/manifest.csv:genre --tags moods=4q/manifest.csv:moods:artist -o hamel. "
    "Or, with the paper's data sets unpacked below one folder: --data music",
)
@command
def hamel2013(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of tables, plots, page.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with 1517-artists, gtzan-genre, homburg, unique and magnatagatune, each "
            "as distributed; or some of them."
        ),
    ] = None,
    genres: Annotated[
        list[str] | None,
        typer.Option(help="Instead: NAME=MANIFEST:COLUMN or NAME=MANIFEST:COLUMN:ARTIST; repeat."),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            help="With --genres: data sets whose tags teach; for each target the first that "
            "shares no file with it."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="paper, corrected (artists apart), or both side by side.")
    ] = "both",
    heads: Annotated[
        str, typer.Option(help="Classifiers besides the paper's; none for none.")
    ] = "svm,mlp",
    blocks: Annotated[
        bool, typer.Option("--blocks/--no-blocks", help="Block-level features as further rows.")
    ] = True,
    dimensions: Annotated[int, typer.Option(help="Of the embeddings.")] = 100,
    hidden: Annotated[int, typer.Option(help="Units of a hidden layer; 0: linear.")] = 0,
    norm_ball: Annotated[float | None, typer.Option(help="As in segue pretrain warp.")] = None,
    l2_labels: Annotated[float | None, typer.Option(help="As in segue pretrain warp.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of an embedding, the most.")] = None,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """Joint embeddings of all data sets: nearest classes, few and all labels, similarity.

    Stop it at any time: run again, it goes on where it was.
    """
    from dataclasses import replace

    from segue.experiments.hamel2013 import distributed_sets, named_sets
    from segue.experiments.hamel2013 import reproduce as run
    from segue.experiments.hamel2013.page import summary
    from segue.training.warp.settings import WarpSettings
    from segue.workflows.joint import SETTINGS

    if (data is None) == (not genres) or (data is not None and tags):
        raise UsageError(
            wanted="--data FOLDER, or --genres (and --tags) with manifests",
            got="neither" if data is None else "both",
            fix="Give one of the two",
        )
    sets = distributed_sets(data) if data else named_sets(genres or [], tags or [])
    settings = replace(SETTINGS, seed=seed)
    with watching(quiet=json) as watch:
        done = run(
            sets,
            out,
            protocol=cast("Asked", protocol),
            warp=WarpSettings(
                dimensions=dimensions, hidden=hidden, norm_ball=norm_ball, l2_labels=l2_labels
            ),
            settings=settings if epochs is None else replace(settings, epochs=epochs),
            heads=tuple(parse_names(heads)) if heads != "none" else (),
            blocks=blocks,
            jobs=workers,
            seed=seed,
            watch=watch,
        )
    show_reproduction(done, lambda: summary(done.targets), json=json)
    end(len(done.failures))
