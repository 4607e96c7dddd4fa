"""``segue reproduce kim2018``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import command, end, parse_names
from segue.cli.progress import watching
from segue.cli.reproducing.papers import check_source, reproduce, show_reproduction
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.experiments.kim2018 import Music, Scale
    from segue.experiments.kim2018.splits import Kind


@reproduce.command(
    "kim2018",
    epilog="Example: segue reproduce kim2018 --manifest tracks.csv --target genre --group artist "
    "--album album --labels moods -o kim2018. Or, with FMA as distributed: --data FMA",
)
@command
def kim2018(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of tables, plots, page.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with FMA as distributed: fma_metadata and fma_medium."),
    ] = None,
    manifest: Annotated[
        str | None, typer.Option(help="Instead: any manifest, for the same experiment on it.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="With --manifest: genre column; of several, the most frequent counts."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="With --manifest: artist column, whose groups are taught.")
    ] = None,
    album: Annotated[
        str | None, typer.Option(help="With --manifest: album column, for an album-disjoint split.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="With --manifest: columns of sub-genre labels (s). Default: no s."),
    ] = None,
    min_artists: Annotated[
        int | None,
        typer.Option(help="With --manifest: of a class that is classified. Default: 10."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="full: as in the paper, for a GPU; small: for two processors.")
    ] = "small",
    epochs: Annotated[
        int | None, typer.Option(help="Of a network of one task, instead of the scale's.")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Share of the paper's channels, instead of the scale's.")
    ] = None,
    splits: Annotated[
        str | None, typer.Option(help="random, album, artist. Default: all that are possible.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="How many splits of each kind, each learned from anew.")
    ] = 3,
    heads: Annotated[
        str, typer.Option(help="Classifiers besides the paper's, as svm,logistic; none for none.")
    ] = "none",
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """All combinations of genre and artist groups: apart, shared, and against wide networks.

    Stop it at any time: run again, it goes on where it was.
    """
    from segue.experiments.kim2018 import reproduce as run
    from segue.experiments.kim2018.page import summary

    of_manifest: dict[str, object] = {"target": target, "group": group, "album": album}
    of_manifest |= {"labels": labels, "min-artists": min_artists}
    check_source(data, manifest, {}, of_manifest)
    if manifest is not None and group is None:
        raise UsageError(
            wanted="--group COLUMN with --manifest", got="none", fix="Name the artist column"
        )
    if seeds < 1:
        raise UsageError(wanted="one seed at least", got=f"--seeds {seeds}", fix="Raise it")
    sizes = _scale(scale, epochs, width)
    kinds = None if splits is None else cast("list[Kind]", parse_names(splits))
    with watching(quiet=json) as watch:
        done = run(
            _music(data, manifest, of_manifest),
            out,
            scale=sizes,
            splits=kinds,
            seeds=tuple(range(seed, seed + seeds)),
            heads=parse_names(heads) if heads != "none" else (),
            device=device,
            jobs=workers,
            watch=watch,
        )
    show_reproduction(done, lambda: summary(done.results), json=json)
    end(len(done.failures))


def _music(data: Path | None, manifest: str | None, given: Mapping[str, object]) -> Music:
    from segue.experiments.kim2018 import distributed_music, named_music
    from segue.workflows import open_manifest

    if data is not None:
        return distributed_music(data)
    album = given["album"]
    fewest = given["min-artists"]
    return named_music(
        open_manifest(cast("str", manifest)),
        target=str(given["target"]),
        group=str(given["group"]),
        album=None if album is None else str(album),
        labels=parse_names(str(given["labels"] or "")),
        fewest=None if fewest is None else cast("int", fewest),
    )


def _scale(name: str, epochs: int | None, width: float | None) -> Scale:
    from dataclasses import replace

    from segue.experiments.kim2018.scale import scale_of

    scale = scale_of(name)
    scale = scale if epochs is None else replace(scale, epochs=epochs)
    return scale if width is None else replace(scale, width=width)
