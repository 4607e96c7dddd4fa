"""The application and what all commands share: errors, exit codes, progress, JSON."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar, cast

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from segue import __version__
from segue.errors import SegueError, UsageError

if TYPE_CHECKING:
    from segue.datasets import Task
    from segue.store import Failure

P = ParamSpec("P")
R = TypeVar("R")

QUARANTINED = 3
INTERRUPTED = 130
SHOWN = 20

messages = Console(stderr=True, highlight=False)
answers = Console(highlight=False)

app = typer.Typer(
    name="segue",
    help="Transfer learning on music audio: embed, evaluate, classify, tag, regress, find similar.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(asked: bool) -> None:
    if asked:
        say(f"segue {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", help="Log resampling, channel mixing, quarantine, tables made."
    ),
) -> None:
    """Transfer learning on music audio."""
    handler = RichHandler(console=messages, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("segue").setLevel(logging.INFO if verbose else logging.WARNING)


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn errors into one message and the right exit code (2 usage, 1 failure)."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SegueError as error:
            messages.print("[bold red]error[/]", end=" ")
            messages.print(str(error), markup=False, soft_wrap=True)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            messages.print("[bold red]error[/]", end=" ")
            messages.print(f"{error}. Check the path and its rights.", markup=False, soft_wrap=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            messages.print("interrupted: what was finished is kept; run the same command to go on")
            raise typer.Exit(INTERRUPTED) from None

    return guarded


def licensed(function: Callable[P, R]) -> Callable[P, R]:
    """Give a command the option ``--commercial``, which holds for all that it opens.

    Stands below :func:`command`, which turns the refusal into a message.
    """
    option = inspect.Parameter(
        "commercial",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool,
            typer.Option(
                "--commercial",
                envvar="SEGUE_COMMERCIAL",
                help="Refuse encoders, models and features that must not be used commercially.",
            ),
        ],
    )

    @functools.wraps(function)
    def permitted(*args: Any, commercial: bool = False, **kwargs: Any) -> R:
        from segue.rights import commercial_only

        with commercial_only(commercial):
            return function(*args, **kwargs)

    given = inspect.signature(function, eval_str=True)  # its names mean nothing in this module
    permitted.__signature__ = given.replace(  # type: ignore[attr-defined]
        parameters=[*given.parameters.values(), option]
    )
    permitted.__annotations__ = {
        name: one.annotation for name, one in (*given.parameters.items(), ("commercial", option))
    }
    return cast("Callable[P, R]", permitted)


def print_json(value: Any) -> None:
    """One JSON object on standard output, for machines. NaN becomes null."""
    sys.stdout.write(json.dumps(_finite(value), ensure_ascii=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def say(text: str) -> None:
    """A line for people, its brackets taken literally."""
    answers.print(text, markup=False, soft_wrap=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """A table for people."""
    table = Table(title=Text(title) if title else None, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")  # never cut a name short
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # Text: brackets in names are not markup
    answers.print(table)


def show_failures(failures: Sequence[Failure]) -> None:
    """Quarantined files and reasons on standard error, the first twenty."""
    for failure in failures[:SHOWN]:
        line = f"  line {failure.facts.line}: {failure.reason}"
        messages.print(line, markup=False, soft_wrap=True)
    if len(failures) > SHOWN:
        messages.print(f"  and {len(failures) - SHOWN} more")


def parse_chunks(text: str) -> int | None:
    """``--chunks``: a number, or ``all``."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(wanted="--chunks N or all", got=repr(text), fix="Use a number or all")
    return int(text)


def parse_names(text: str) -> list[str]:
    """Comma-separated names."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_task(text: str | None) -> Task | None:
    """``--task``."""
    if text not in (None, "classification", "tagging", "regression"):
        raise UsageError(
            wanted="classification, tagging or regression", got=repr(text), fix="Use one of these"
        )
    return cast("Task | None", text)


def parse_encoders(text: str) -> list[str]:
    """Comma-separated encoders; numbers behind a layer go with it: ``mfcc,hf:./whisper@3,12``.

    Examples
    --------
    >>> parse_encoders("hf:./whisper@3,12, mfcc"), parse_encoders("hf:./whisper@12,")
    (['hf:./whisper@3,12', 'mfcc'], ['hf:./whisper@12,'])
    """
    found: list[str] = []
    for part in text.split(","):
        more = found and re.search(r"@[0-9][0-9, ]*$", found[-1])
        if more and part.strip().isdecimal():
            found[-1] += f",{part.strip()}"
        elif part.strip():
            found.append(part.strip())
    if text.rstrip().endswith(",") and found and re.search(r"@[0-9]+$", found[-1]):
        found[-1] += ","
    return found


def end(quarantined: int) -> NoReturn:
    """Leave with 0, or with 3 where some files were quarantined."""
    raise typer.Exit(QUARANTINED if quarantined else 0)


# the command modules register themselves on the application
from segue.cli import (  # noqa: E402
    analysing,  # noqa: F401
    auditing,  # noqa: F401
    curving,  # noqa: F401
    datasets,  # noqa: F401
    embedding,  # noqa: F401
    evaluating,  # noqa: F401
    inspecting,  # noqa: F401
    learning,  # noqa: F401
    models,  # noqa: F401
    networks,  # noqa: F401
    reproducing,  # noqa: F401
    searching,  # noqa: F401
    targets,  # noqa: F401
)
