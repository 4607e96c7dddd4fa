"""``segue reproduce choi2017``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from segue.cli import options
from segue.cli.app import command, licensed, parse_names, print_json, print_table, say
from segue.cli.progress import watching
from segue.cli.reproducing.papers import check_source, reproduce

if TYPE_CHECKING:
    from segue.experiments.choi2017 import Reproduction
    from segue.experiments.protocols import Asked


@reproduce.command(
    "choi2017",
    epilog="Example: segue reproduce choi2017 --task gtzan_genre --data released -o choi2017",
)
@command
@licensed
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
    check_source(data, manifest, {"task": task}, of_manifest)
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
