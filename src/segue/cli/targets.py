"""``segue targets``: what a network can be taught beside labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import (
    SHOWN,
    app,
    command,
    end,
    licensed,
    print_json,
    print_table,
    say,
)
from segue.cli.progress import watching
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.targets.settings import Normalise
    from segue.workflows.groups import ArtistGroups

ALL = "all"
NORMALISE = ("none", "standard", "quantile")

targets = typer.Typer(help="Make what a network is taught.", no_args_is_help=True)
app.add_typer(targets, name="targets")


@targets.callback()
def _several() -> None:
    """Keeps the name of a command necessary, while there is one."""


@targets.command(
    "artist-groups",
    epilog="Example: segue targets artist-groups 4q/manifest.csv --group artist --from mfcc "
    "-o factors. From labels: --from labels:moods,genres. By album: --group album",
)
@command
@licensed
def artist_groups(
    manifest: options.ManifestPath,
    group: Annotated[
        str,
        typer.Option(
            help="Column: artist, album, label, playlist; or 'folder', where a file lies."
        ),
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="mfcc, dmfcc, descriptors, labels:COLUMN (or labels:COLUMN,COLUMN), or an "
            "encoder by its name.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    words: Annotated[int, typer.Option(help="Of the dictionary; labels are words already.")] = 2048,
    topics: Annotated[int, typer.Option(help="Factors.")] = 40,
    passes: Annotated[int, typer.Option(help="Over the groups, learning factors.")] = 10,
    normalise: Annotated[
        str | None,
        typer.Option(
            help="none, standard or quantile, of vectors. Default: none for mfcc and dmfcc, "
            "else quantile."
        ),
    ] = None,
    seconds: Annotated[
        str, typer.Option(help="Heard from the start of a file for mfcc and dmfcc, or 'all'.")
    ] = "30",
    chunks: options.Chunks = "1",
    seeds: Annotated[
        int,
        typer.Option(
            help="Learnings compared, with the same words, to see which factors return; 1: none."
        ),
    ] = 3,
    frames: options.KeptFrames = None,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Learn what groups of tracks share, as a distribution over factors (Kim et al. 2018).

    Words of all tracks (by k-means, or labels) are counted in every group, and topics are learned
    from these bags (LDA): each group, and each of its tracks, gets one distribution. Run again
    with the same arguments, it keeps the frames that were made and learns words and factors anew;
    a finished run is read back.
    """
    from segue.cli.app import parse_chunks
    from segue.targets.settings import FactorSettings
    from segue.workflows.groupkinds import parse_kind
    from segue.workflows.groups import artist_groups as run

    kind = parse_kind(source)
    if not json:
        say(f"words from {source}: {kind.said}")
    with watching(quiet=json) as watch:
        done = run(
            manifest,
            group,
            kind,
            out,
            settings=FactorSettings(
                words=words,
                topics=topics,
                passes=passes,
                seed=seed,
                normalise=_normalise(normalise) if normalise else kind.normalise,
            ),
            seconds=_seconds(seconds),
            chunks=parse_chunks(chunks),
            seeds=seeds,
            frames=frames,
            device=device,
            workers=workers,
            watch=watch,
        )
    if json:
        print_json(
            {
                "folder": str(out),
                **done.facts,
                "quarantined": len(done.failures),
                "failures": list(done.failures),
            }
        )
    else:
        _show(done, out)
    end(len(done.failures))


def _show(done: ArtistGroups, out: Path) -> None:
    facts = done.facts
    busy = sorted(
        (one for one in facts["factors"] if not one["idle"]), key=lambda one: -one["size"]
    )
    named = any(one["words"] for one in busy)
    rows = [
        [
            one["number"],
            f"{100 * one['size']:.1f} %",
            "" if one["similarity"] is None else f"{one['similarity']:.2f}",
            *([", ".join(word["name"] for word in one["words"])] if named else []),
            " · ".join(holder["name"] for holder in one["groups"][:3]),
        ]
        for one in busy[:SHOWN]
    ]
    more = f", the {SHOWN} largest" if len(busy) > SHOWN else ""
    print_table(
        ["factor", "size", "returns", *(["words"] if named else []), f"{facts['group']}: most"],
        rows,
        f"{len(busy)} factors of {facts['groups'] - facts['empty_groups']} groups{more}",
    )
    for note in facts["notes"]:
        say(note)
    for name in facts["empty"][:SHOWN]:
        say(f"  no distribution: {name}")
    for one in done.failures[:SHOWN]:
        say(f"  line {one['line']}: {one['reason']}")
    page = out / "report.html"
    if page.is_file():
        say(f"{out}; report: {page}")
    else:
        say(f"{out}; its report is gone: remove {out / 'targets.json'} and run again to make it")


def _normalise(text: str) -> Normalise:
    if text not in NORMALISE:
        raise UsageError(
            wanted=f"--normalise {', '.join(NORMALISE)}", got=repr(text), fix="Use one of these"
        )
    return cast("Normalise", text)


def _seconds(text: str) -> float | None:
    """``--seconds``: a number, or ``all``.

    Examples
    --------
    >>> _seconds("all"), _seconds("2.5")
    (None, 2.5)
    """
    if text == ALL:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            wanted="--seconds N or all", got=repr(text), fix="Use a number or all"
        ) from None
