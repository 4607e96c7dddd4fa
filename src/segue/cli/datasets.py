"""``segue data``: manifests and known data sets, checked, listed and built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli import options
from segue.cli.app import SHOWN, app, command, messages, parse_task, print_json, print_table, say
from segue.errors import UsageError

if TYPE_CHECKING:
    from segue.datasets.known import Finding, KnownDataset

data = typer.Typer(help="Manifests and data sets.", no_args_is_help=True)
app.add_typer(data, name="data")

Name = Annotated[str, typer.Argument(help="Name of a known data set: see segue data list.")]
Root = Annotated[Path, typer.Option(help="Folder the data set was unpacked to.")]


@data.command("list", epilog="Example: segue data list")
@command
def list_datasets(json: options.Json = False) -> None:
    """Published data sets that can be read from the folders they are distributed as."""
    from segue.datasets.known import DATASETS

    if json:
        print_json({"datasets": [_facts(known) for known in DATASETS]})
        return
    header = ["name", "rows", "task", "group", "split", "licence"]
    print_table(header, [_row(known) for known in DATASETS])
    say("segue data show NAME has the folder expected, the known faults and where it is found")


@data.command("show", epilog="Example: segue data show urbansound8k")
@command
def show_dataset(name: Name, json: options.Json = False) -> None:
    """What is known of a data set: source, terms, folder expected, counts, faults."""
    from segue.datasets.known import dataset

    facts = _facts(dataset(name))
    if json:
        print_json(facts)
        return
    rows = []
    for field, value in facts.items():
        parts = value if field in ("layout", "faults") else [value]
        if field == "faults":
            parts = [f"{fault['id']}: {fault['what']} {fault['action']}" for fault in value]
        rows += [[field if part is parts[0] else "", _words(part)] for part in parts]
    print_table(["field", "value"], rows)


@data.command("build", epilog="Example: segue data build urbansound8k --root US8K -o us8k.csv")
@command
def build(
    name: Name,
    root: Root,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV manifest to write.")],
    json: options.Json = False,
) -> None:
    """Write the manifest of a known data set, for every other command."""
    from segue.workflows.datasets import build_manifest

    manifest = build_manifest(name, root, out)
    if json:
        facts = {"manifest": str(out), "rows": len(manifest), "columns": manifest.columns}
        print_json({**facts, "ignored": dict(manifest.ignored)})
        return
    say(f"{out}: {len(manifest)} rows, columns {', '.join(manifest.columns)}")
    for why, count in manifest.ignored.items():
        say(f"left out: {count} x {why}")


@data.command(
    "validate",
    epilog="Example: segue data validate tracks.csv --target genre --group artist. Or: "
    "segue data validate urbansound8k --root UrbanSound8K",
)
@command
def validate(
    what: Annotated[
        str, typer.Argument(help="A manifest, a folder of classes, or a known data set's name.")
    ],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the known data set that is named.")
    ] = None,
    checksums: Annotated[
        bool, typer.Option("--checksums", help="Also compare published MD5 sums; reads all audio.")
    ] = False,
    target: Annotated[str | None, typer.Option(help="Label column to check too.")] = None,
    group: options.Group = None,
    task: options.TaskName = None,
    min_examples: options.MinExamples = None,
    json: options.Json = False,
) -> None:
    """Check a manifest, or a copy of a known data set, before working with it.

    Of a manifest: files, ids, labels, groups, with line numbers. Of a known data set: files
    missing or extra, counts that differ from those published, known faults. Exit code 1 when
    something is missing or differs.
    """
    from segue.datasets.known import DATASETS

    named = what in {known.name for known in DATASETS} and not Path(what).exists()
    if named or root is not None:
        if target or group or task or min_examples:
            raise UsageError(
                wanted=f"only --root and --checksums with the data set {what}",
                got="options for a manifest",
                fix="Write its manifest with 'segue data build' and validate that",
            )
        _validate_known(what, root, checksums, json)
        return
    if checksums:
        raise UsageError(
            wanted="--checksums with a known data set and --root", got=what, fix="Leave it out"
        )
    _validate_manifest(Path(what), target, group, task, min_examples, json)


def _validate_known(name: str, root: Path | None, checksums: bool, json: bool) -> None:
    from segue.datasets.known import dataset
    from segue.datasets.known import validate as compare

    known = dataset(name)
    if root is None:
        raise UsageError(
            wanted=f"--root, the folder of {name}",
            got="no --root",
            fix=f"Run segue data validate {name} --root FOLDER",
        )
    findings = compare(known, root, checksums=checksums)
    differ = any(finding.differs for finding in findings)
    if json:
        found = [finding.to_json() for finding in findings]
        print_json({"dataset": name, "root": str(root), "complete": not differ, "findings": found})
    else:
        for finding in findings:
            _show(finding)
        say(f"{name}: {'differs from what was published' if differ else 'complete'}")
    if differ:
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    line = f"{finding.kind}: {finding.what}"
    if finding.kind == "count":
        line += f": {finding.got} where {finding.wanted} were published"
    messages.print(line, markup=False, soft_wrap=True)
    for path in finding.paths[:SHOWN]:
        messages.print(f"  {path}", markup=False, soft_wrap=True)
    if len(finding.paths) > SHOWN:
        messages.print(f"  and {len(finding.paths) - SHOWN} more")


def _validate_manifest(
    manifest: Path,
    target: str | None,
    group: str | None,
    task: str | None,
    min_examples: int | None,
    json: bool,
) -> None:
    from segue.datasets import read_target
    from segue.workflows import open_manifest

    opened = open_manifest(manifest)
    missing = opened.missing_files()
    facts: dict[str, object] = {"tracks": len(opened), "columns": opened.columns}
    if opened.ignored:
        facts["ignored"] = dict(opened.ignored)
    if target:
        read = read_target(opened, target, task=parse_task(task), min_examples=min_examples)
        facts |= {"target": target, "task": read.task, "labelled": len(read.rows)}
        facts["notes"] = list(read.notes)
    if group:
        cells = opened.column(group)
        facts |= {
            "group": group,
            "groups": len(set(opened.groups(group))),
            "without group": sum(not cell for cell in cells),
        }
    if json:
        problems = [{"line": one.line, "message": one.message} for one in missing]
        print_json({**facts, "missing": problems})
    else:
        print_table(["what", "value"], [[key, value] for key, value in facts.items()])
        for problem in missing[:SHOWN]:
            messages.print(str(problem), markup=False, soft_wrap=True)
        if len(missing) > SHOWN:
            messages.print(f"and {len(missing) - SHOWN} more missing files")
    if missing:
        raise typer.Exit(1)


def _row(known: KnownDataset) -> list[object]:
    task = next(iter(known.targets.values()))
    folds, group = known.folds or "-", known.group or "-"
    return [known.name, known.counts.total, task, group, folds, known.licence]


def _facts(known: KnownDataset) -> dict[str, Any]:
    return {
        "name": known.name,
        "title": known.title,
        "citation": known.citation,
        "page": known.page,
        "licence": known.licence,
        "terms": known.terms,
        "rows": known.counts.total,
        "counts": {column: dict(counts) for column, counts in known.counts.by.items()},
        "counts from": known.counts.source,
        "targets": dict(known.targets),
        "classes": list(known.classes),
        "group": known.group,
        "official split": known.folds,
        "corrected split": known.corrected_split,
        "columns": list(known.columns),
        "layout": list(known.layout),
        "faults": [{"id": one.id, "what": one.what, "action": one.action} for one in known.faults],
        "choi2017": known.choi2017,
    }


def _words(value: object) -> object:
    """A value for people: mappings and lists as words, nothing as a dash."""
    if isinstance(value, dict):
        return "; ".join(f"{key or '(empty)'}: {_words(one)}" for key, one in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None or value in ("", []) else value
