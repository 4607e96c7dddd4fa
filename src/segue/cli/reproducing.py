"""``segue reproduce``: a paper's tables and figures, as published and as corrected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import app, command, end, parse_names, print_json, print_table, say, watching
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.experiments.choi2017 import Reproduction
    from segue.experiments.hamel2013 import Reproduction as Joint
    from segue.experiments.protocols import Asked

SHOWN = 20

reproduce = typer.Typer(
    help="The tables and figures of a paper, beside what a corrected protocol gives.",
    no_args_is_help=True,
)
app.add_typer(reproduce, name="reproduce")


@reproduce.command(
    "choi2017",
    epilog="Example: segue reproduce choi2017 --task gtzan_genre --data released -o choi2017",
)
@command
def choi2017(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of tables, plots, page.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="The authors' released files (data_csv, data_feats, result_transfer), or the "
            "folder of the data set as distributed."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="ballroom_extended, gtzan_genre, gtzan_speechmusic, emoMusic, jamendo_vd, "
            "urbansound; several with commas, or all. Default: all."
        ),
    ] = None,
    manifest: Annotated[
        str | None, typer.Option(help="Any manifest instead of a task: the same experiment on it.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="With --manifest: label column, or several.")
    ] = None,
    group: options.Group = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="With --manifest: the trained convnet, a name or an encoder folder. "
            "Default: choi2017-msd."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="paper, corrected, or both side by side with the reasons.")
    ] = "both",
    min_examples: options.MinExamples = None,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    json: options.Json = False,
) -> None:
    """All 31 layer sets, MFCC, MFCC + 12345 and the untrained network, on the paper's six tasks.

    Stop it at any time: run again, it goes on where it was.
    """
    from segue.experiments.choi2017 import reproduce as run_tasks
    from segue.experiments.choi2017 import reproduce_on

    chosen = cast("Asked", protocol)
    of_manifest: dict[str, object] = {"target": target, "group": group, "encoder": encoder}
    of_manifest["min-examples"] = min_examples
    _check_source(data, manifest, {"task": task}, of_manifest)
    with watching(quiet=json) as watch:
        if manifest is not None:
            from segue.workflows import open_manifest

            done = reproduce_on(
                open_manifest(manifest),
                parse_names(target or ""),
                group=group,
                trained=encoder or "choi2017-msd",
                out=out,
                protocol=chosen,
                min_examples=min_examples,
                device=device,
                jobs=workers,
                seed=seed,
                watch=watch,
            )
        else:
            done = run_tasks(
                parse_names(task or "all"),
                cast("Path", data),
                out=out,
                protocol=chosen,
                device=device,
                jobs=workers,
                seed=seed,
                watch=watch,
            )
    _show(done, json)


def _check_source(
    data: Path | None,
    manifest: str | None,
    of_data: Mapping[str, object],
    of_manifest: Mapping[str, object],
) -> None:
    """One source, and no option of the other: a --group that is ignored would be believed."""
    if (data is None) == (manifest is None):
        raise UsageError(
            wanted="--data FOLDER, or --manifest FILE with --target COLUMN",
            got="neither" if data is None else "both",
            fix="Give one of the two",
        )
    if manifest is not None and not of_manifest["target"]:
        raise UsageError(
            wanted="--target COLUMN with --manifest", got="none", fix="Name a label column"
        )
    source, foreign = ("--data", of_manifest) if manifest is None else ("--manifest", of_data)
    given = [f"--{name}" for name, value in foreign.items() if value is not None]
    if given:
        raise UsageError(
            wanted=f"options that go with {source}",
            got=", ".join(given),
            fix="Leave them out: they would change nothing",
        )


def _show(done: Reproduction, json: bool) -> None:
    if json:
        print_json(
            {
                "rows": [row.as_dict() for row in done.rows],
                "agreement": done.agreement(),
                "report": str(done.page),
            }
        )
        return
    from segue.experiments.choi2017.page import score_table, summary

    for one in done.targets:
        table = score_table(one)
        rows = [[getattr(cell, "text", cell) for cell in row] for row in table.rows]
        title = f"{one.material.title} ({one.material.name}): {one.material.metric}"
        print_table(table.header, rows, title)
    for name, words in summary(done.targets).items():
        say(f"{name}: {words}")
    say(f"report: {done.page}")


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
    _show_hamel(done, json)
    end(len(done.failures))


def _show_hamel(done: Joint, json: bool) -> None:
    if json:
        print_json(
            {
                "rows": [row.as_dict() for row in done.rows],
                "failures": done.failures,
                "report": str(done.page),
            }
        )
        return
    from segue.experiments.hamel2013.page import summary

    for name, words in summary(done.targets).items():
        say(f"{name}: {words}")
    for path, reason in list(done.failures.items())[:SHOWN]:
        say(f"  {path}: {reason}")
    say(f"report: {done.page}")
