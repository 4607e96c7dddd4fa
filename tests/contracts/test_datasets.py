"""Every registered data set, read from a faithful miniature of its folder, passes one suite."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

sys.path.append(str(Path(__file__).parents[1] / "datasets"))  # the miniatures mirror that room

from miniatures import MINIATURES, Miniature

from segue.datasets.known import DATASETS, LayoutError, dataset, layout, validate
from segue.errors import ManifestError, UsageError

every_dataset = pytest.mark.parametrize("known", DATASETS, ids=lambda known: known.name)
every_miniature = pytest.mark.parametrize("mini", MINIATURES, ids=lambda mini: mini.name)
every_listed = pytest.mark.parametrize(
    "mini", [mini for mini in MINIATURES if mini.listed], ids=lambda mini: mini.name
)
every_unlisted = pytest.mark.parametrize(
    "mini", [mini for mini in MINIATURES if not mini.listed], ids=lambda mini: mini.name
)


@pytest.fixture
def root(mini: Miniature, tmp_path: Path) -> Path:
    folder = tmp_path / "as distributed"
    folder.mkdir()
    mini.build(folder)
    return folder


def test_every_data_set_has_a_miniature_and_a_name_of_its_own() -> None:
    names = [known.name for known in DATASETS]
    assert names == [mini.name for mini in MINIATURES]
    assert len(set(names)) == len(names)
    with pytest.raises(UsageError, match="urbansound8k"):
        dataset("urbansound9k")


@every_dataset
def test_facts_are_complete_and_agree(known) -> None:
    for fact in (known.title, known.citation, known.page, known.licence, known.terms):
        assert fact
        assert "http" not in fact  # where to find it, not something to fetch
    assert known.layout
    assert known.suffixes
    assert known.columns[:2] == ("path", "id")
    assert {*known.targets, known.group, known.folds} <= {*known.columns, None}
    assert known.corrected_split in (*known.columns, None)
    assert set(known.scales) <= set(known.targets)
    assert known.counts.source
    for column, counts in known.counts.by.items():
        assert column in known.columns
        assert sum(counts.values()) == known.counts.total
    target = next(iter(known.targets))
    if known.classes and target in known.counts.by:
        assert tuple(known.counts.by[target]) == known.classes
    assert bool(known.classes) == (known.targets[target] == "classification")
    assert known.faults
    assert all(fault.id and fault.what and fault.action for fault in known.faults)


@every_miniature
def test_read_gives_the_columns_promised(mini: Miniature, root: Path) -> None:
    known = mini.known
    manifest = known.read(root)
    assert manifest.columns == list(known.columns)
    assert len(manifest) == mini.counts.total
    assert len(set(manifest.ids)) == len(manifest)
    assert not manifest.missing_files()
    for column, task in known.targets.items():
        cells = manifest.column(column)
        if task == "classification":
            assert set(cells) - {""} <= set(known.classes)  # "": not known of this row
        if task == "regression":
            assert all(0 < float(cell) <= known.scales[column] for cell in cells)
        if task == "tagging":
            assert any(";" in cell for cell in cells)
    for column, counts in mini.counts.by.items():
        assert Counter(manifest.column(column)) == counts
    if known.group:
        assert any(manifest.column(known.group))


@every_miniature
def test_order_and_ids_do_not_depend_on_the_disk(
    mini: Miniature, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that lists everything the other way round, and another place, read the same."""
    first = mini.known.read(root)
    copy = shutil.copytree(root, root.parent / "elsewhere")

    def backwards(folder: Path) -> list[os.DirEntry[str]]:
        return sorted(scandir(folder), key=lambda entry: entry.name, reverse=True)

    scandir = os.scandir
    monkeypatch.setattr(layout.os, "scandir", backwards)
    assert first.table.equals(mini.known.read(str(copy)).table)


@every_miniature
def test_a_complete_copy_has_no_difference(mini: Miniature, root: Path) -> None:
    findings = validate(mini.known, root)
    assert [finding for finding in findings if finding.differs] == []
    general = [fault.id for fault in mini.known.faults if not fault.paths]
    told = [finding.what.partition(":")[0] for finding in findings if finding.kind == "fault"]
    assert set(general) <= set(told)


def audio_of(mini: Miniature, root: Path) -> list[str]:
    paths = mini.known.read(root).table["path"].to_pylist()
    return [path for path in dict.fromkeys(paths) if (root / path).stat().st_size or "au" in path]


@every_listed
def test_validate_names_what_was_removed(mini: Miniature, root: Path) -> None:
    removed = audio_of(mini, root)[-1]
    (root / removed).unlink()
    differing = [finding for finding in validate(mini.known, root) if finding.differs]
    assert {finding.kind for finding in differing} <= {"missing", "count"}
    [missing] = [finding for finding in differing if finding.kind == "missing"]
    assert [PurePosixPath(path).stem for path in missing.paths] == [PurePosixPath(removed).stem]


@every_listed
def test_validate_names_what_was_added(mini: Miniature, root: Path) -> None:
    there = PurePosixPath(audio_of(mini, root)[0])
    added = str(there.with_name(f"stranger{there.suffix}"))
    (root / added).touch()
    (root / there.with_name("notes.txt")).touch()  # not audio: no concern of anyone
    [extra] = [one for one in validate(mini.known, root) if one.kind == "extra"]
    assert extra.paths == (added,)
    assert len(mini.known.read(root)) == mini.counts.total


@every_listed
def test_validate_names_what_was_renamed(mini: Miniature, root: Path) -> None:
    old = audio_of(mini, root)[0]
    new = str(PurePosixPath(old).with_name(f"renamed{PurePosixPath(old).suffix}"))
    (root / old).rename(root / new)
    found = {finding.kind: finding for finding in validate(mini.known, root)}
    assert PurePosixPath(old).stem in [PurePosixPath(path).stem for path in found["missing"].paths]
    assert found["extra"].paths == (new,)


@every_unlisted
@pytest.mark.parametrize("change", [-1, 1])
def test_without_a_list_the_counts_tell(mini: Miniature, root: Path, change: int) -> None:
    assert "no-file-list" in [fault.id for fault in mini.known.faults]
    there = root / audio_of(mini, root)[0]
    if change < 0:
        there.unlink()
    else:
        there.with_name(f"Stranger - One More{there.suffix}").touch()
    differing = [finding for finding in validate(mini.known, root) if finding.differs]
    assert {finding.kind for finding in differing} == {"count"}
    [rows] = [one for one in differing if one.what == "rows"]
    assert (rows.wanted, rows.got) == (mini.counts.total, mini.counts.total + change)
    assert len(differing) == 2  # the rows, and the genre concerned


@every_miniature
def test_validate_counts_rows_against_those_published(mini: Miniature, root: Path) -> None:
    """With the real numbers a miniature differs in its counts alone."""
    findings = validate(replace(mini.known, counts=dataset(mini.name).counts), root)
    kinds = {finding.kind for finding in findings if finding.differs}
    whole = dataset(mini.name).counts.total == mini.counts.total
    assert kinds == (set() if whole else {"count"})
    if not whole:
        [rows] = [one for one in findings if one.kind == "count" and one.what == "rows"]
        assert (rows.wanted, rows.got) == (dataset(mini.name).counts.total, mini.counts.total)


@every_dataset
def test_a_folder_that_is_something_else(known, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LayoutError, match=folder.name):
            known.read(folder)
        [finding] = validate(known, folder)
        assert finding.kind == "layout"
        assert known.layout[0] in finding.what


MALFORMED = [
    (mini, name, content)
    for mini in MINIATURES
    for name in mini.metadata
    for content in (b"\x81\x8d\xff\xfe", b"", b"no such table\n1,2,3\n")
    if content or not name.endswith((".txt", ".lab"))  # an empty list is short, not malformed
]


@pytest.mark.parametrize(("mini", "name", "content"), MALFORMED)
def test_malformed_metadata_is_refused_with_its_name(
    mini: Miniature, name: str, content: bytes, root: Path
) -> None:
    (root / name).write_bytes(content)
    with pytest.raises(ManifestError, match=PurePosixPath(name).name) as caught:
        mini.known.read(root)
    assert not isinstance(caught.value, LayoutError)
    if not name.endswith(".npy"):
        assert "line 1" in str(caught.value)


@pytest.mark.parametrize(
    "mini", [mini for mini in MINIATURES if mini.hostile], ids=lambda mini: mini.name
)
@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a\\..\\..\\b", "c:/x.mp3"])
def test_paths_that_leave_the_folder_are_refused(mini: Miniature, path: str, root: Path) -> None:
    assert mini.hostile
    name, text = mini.hostile
    content = (root / name).read_text(encoding="utf-8")
    assert text in content
    (root / name).write_text(content.replace(text, path, 1), encoding="utf-8")
    with pytest.raises(ManifestError, match=rf"{PurePosixPath(name).name}.*line \d"):
        mini.known.read(root)
