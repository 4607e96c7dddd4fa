"""One self-contained HTML page: no script, no request to anywhere, safe with untrusted labels."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segue.evaluation.rows import TargetResult
from segue.files import write_atomically
from segue.report.content import Audio, Block, Cell, Figure, Folded, Section, Table, plain
from segue.report.extras import provenance_section
from segue.report.rank_plots import overall_section
from segue.report.sections import evaluation_sections, looks_of, slug
from segue.report.style import DPI
from segue.report.tables import markdown_table, write_rows_csv
from segue.report.words import introduction, verdict

_TEMPLATES = Path(__file__).parent / "templates"
_CSS_PIXELS = 96  # per inch


def write_report(
    directory: str | Path,
    results: Sequence[TargetResult],
    *,
    title: str,
    extra_sections: Sequence[Section] = (),
    provenance: Mapping[str, object] | None = None,
) -> Path:
    """Write results.csv, results.md, plots/*.png and report.html into a folder.

    Parameters
    ----------
    directory : path
        Made if need be; files of the same names are replaced, each in one step.
    results : sequence of TargetResult
    title : str
    extra_sections : sequence of Section
        Stand between the results and how they were made; see `segue.report.extras`.
    provenance : mapping, optional
        As `provenance_section` takes it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    SegueError
        The folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_report(folder, [], title="Nothing yet").name
    'report.html'
    """
    folder = Path(directory)
    sections = [
        Section("What this is", introduction(results)),
        *evaluation_sections(results),
        *([overall] if (overall := overall_section(results, looks_of(results))) else []),
        *extra_sections,
        *([provenance_section(provenance)] if provenance else []),
    ]
    rows = (row for result in results for row in (*result.rows, *result.retrieval))
    write_rows_csv(rows, folder / "results.csv")
    write_atomically(folder / "results.md", _encode(_markdown(title, results)))
    write_plots(folder / "plots", sections)
    summary = {result.target: " ".join(verdict(result)) for result in results}
    return write_page(folder / "report.html", title=title, summary=summary, sections=sections)


def write_page(
    path: str | Path, *, title: str, summary: Mapping[str, object], sections: Sequence[Section]
) -> Path:
    """Write sections as one HTML file that needs nothing else.

    Parameters
    ----------
    path : path
    title : str
    summary : mapping of str to a sentence or number
        The findings, at the very top.
    sections : sequence of Section
        Every text in them is untrusted and escaped.

    Raises
    ------
    SegueError
        The file cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"kind": _kind, "uri": _uri, "width": _css_width, "cell": _cell}
    page = environment.get_template("report.html.j2").render(
        title=title,
        summary={key: plain(value) for key, value in summary.items()},
        sections=[(f"s{i}-{slug(s.title)}", s) for i, s in enumerate(sections, start=1)],
    )
    return write_atomically(Path(path), _encode(page))


def write_plots(folder: str | Path, sections: Sequence[Section]) -> list[Path]:
    """Write every named picture of the sections as ``NAME.png``.

    Raises
    ------
    SegueError
        The folder cannot be written.

    Examples
    --------
    >>> write_plots("nowhere", [Section("words only", ["words"])])
    []
    """
    named = [figure for figure in _figures(sections) if figure.name]
    if len({slug(figure.name) for figure in named}) < len(named):
        raise ValueError(f"pictures of one name: {sorted(figure.name for figure in named)}")
    return [
        write_atomically(Path(folder) / f"{slug(figure.name)}.png", figure.png) for figure in named
    ]


def _markdown(title: str, results: Sequence[TargetResult]) -> str:
    heading = " ".join(title.split()).replace("<", "&lt;")
    return f"# {heading}\n\n" + (markdown_table(results) if results else "No results.\n")


def _encode(text: str) -> bytes:
    # a path that is no valid Unicode reaches Python as lone surrogates, which UTF-8 cannot hold
    return text.encode("utf-8", "backslashreplace")


def _figures(sections: Sequence[Section]) -> list[Figure]:
    """All figures of the sections, folded ones too, in reading order."""
    found: list[Figure] = []

    def visit(blocks: Sequence[Block]) -> None:
        for block in blocks:
            if isinstance(block, Figure):
                found.append(block)
            elif isinstance(block, Folded):
                visit(block.blocks)

    for section in sections:
        visit(section.blocks)
        found += _figures(section.sections)
    return found


def _kind(block: Block) -> str:
    return type(block).__name__.lower()


def _uri(block: Figure | Audio) -> str:
    mime, data = ("image/png", block.png) if isinstance(block, Figure) else (block.mime, block.data)
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _css_width(figure: Figure) -> int:
    """Width at which 9 points in the picture are 9 points on the page."""
    return round(figure.size[0] * _CSS_PIXELS / DPI)


def _cell(value: str | Cell, column: int, table: Table) -> dict[str, Any]:
    cell = Cell(value) if isinstance(value, str) else value
    return {"cell": cell, "numeric": column in table.numeric}
