"""What the commands of all papers share: their place on the command line, one source of music."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from segue.cli.app import app, print_json, say
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.experiments.hamel2013 import Reproduction as Hamel
    from segue.experiments.kim2018 import Reproduction as Kim

    Reproduced = Hamel | Kim

SHOWN = 20

reproduce = typer.Typer(
    help="The tables and figures of a paper, beside what a corrected protocol gives.",
    no_args_is_help=True,
)
app.add_typer(reproduce, name="reproduce")


def check_source(
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


def show_reproduction(
    done: Reproduced, summary: Callable[[], Mapping[str, str]], *, json: bool
) -> None:
    """Rows and failures for machines; for people what came out, and where the page is."""
    if json:
        rows = [row.as_dict() for row in done.rows]
        print_json({"rows": rows, "failures": done.failures, "report": str(done.page)})
        return
    for name, words in summary().items():
        say(f"{name}: {words}")
    for path, reason in list(done.failures.items())[:SHOWN]:
        say(f"  {path}: {reason}")
    say(f"report: {done.page}")
