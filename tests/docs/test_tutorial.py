"""The tutorial runs from start to end, and what its text claims holds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from filelock import FileLock
from nbclient import NotebookClient

NOTEBOOK = (
    Path(__file__).parents[2] / "docs" / "tutorial" / "from-a-folder-to-a-defended-result.ipynb"
)
CELLS = 20


@pytest.fixture(scope="module")
def written() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory, written: Any, worker_id: str) -> Any:
    """The notebook after a run; a cell that fails fails here.

    Of several test processes one runs it, and the others wait for what it wrote.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own if worker_id == "master" else own.parent) / "tutorial-executed.ipynb"
    with FileLock(f"{shared}.lock"):
        if not shared.is_file():
            nbformat.write(run(written, tmp_path_factory.mktemp("tutorial")), shared)
    return nbformat.read(shared, as_version=4)


def run(written: Any, folder: Path) -> Any:
    """The notebook run in a folder of its own."""
    notebook = nbformat.from_dict(written)
    client = NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"})
    return notebook


def said(executed: Any, word: str) -> str:
    """All text that the code cell with this word in it put out."""
    cell = next(c for c in executed.cells if c.cell_type == "code" and word in c.source)
    texts = []
    for output in cell.outputs:
        data = output.get("data", {})
        texts.append(output.get("text") or data.get("text/markdown") or data.get("text/plain", ""))
    return "\n".join(texts)


def test_it_has_twenty_cells_and_carries_no_results(written: Any) -> None:
    """What a cell puts out is made anew, so it can never be of another version."""
    assert len(written.cells) == CELLS
    nbformat.validate(written)
    for cell in written.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_every_name_of_a_file_in_the_text_is_there(written: Any) -> None:
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in written.cells))
    for link in links:
        assert (NOTEBOOK.parent / link.split("#")[0]).exists(), link


def test_the_corpus_is_as_the_text_says(executed: Any) -> None:
    counted = said(executed, "Counter(manifest.column")
    assert counted.startswith("120 clips, 0 files missing;")
    assert counted.count(": 15") == 8
    assert "40 groups of [3] clips" in counted
    assert said(executed, "segue.embed(").count("0 clips failed") == 3


def test_the_audit_ran_and_names_what_it_could_not_test(executed: Any) -> None:
    words = said(executed, "segue.audit(")
    assert "duplicates: clear" in words
    assert "not tested" in words


def test_what_was_chosen_inside_the_folds_beats_what_hears_nothing(executed: Any) -> None:
    table = said(executed, "segue.evaluate(")
    rows = {
        (cells[0], cells[1]): cells[2:]
        for cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in table.splitlines()
            if line.startswith("| ")
        )
    }
    assert {name for name, _ in rows} >= {"auto", "chance", "majority", "mfcc", "melstats"}
    low = float(rows["auto", "auto"][1].split(" to ")[0])
    assert low > max(float(rows[name][0]) for name in rows if name[0] in ("chance", "majority"))


def test_curves_and_pictures_are_shown(executed: Any) -> None:
    assert "With 1 clip a class" in said(executed, "segue.curve(")
    pictures = [
        output
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3


def test_the_model_is_calibrated_and_knows_new_pieces_better_than_a_guess(executed: Any) -> None:
    before, after = re.findall(r"0\.\d+", said(executed, "segue.fit("))[:2]
    assert float(after) < float(before)
    right, of = map(int, re.findall(r"(\d+) of (\d+) clips", said(executed, "segue.predict("))[0])
    assert of == 12
    assert right / of > 1 / 8


def test_the_last_cell_writes_a_sentence_that_the_numbers_bear(executed: Any) -> None:
    sentence = said(executed, "best.low > baseline")
    assert "The style of 120 clips is predicted with an accuracy of 0." in sentence
    assert "that is above the 0.1" in sentence
    assert re.search(
        r"Split [0-9a-f]{12}; audit of the features of choi2017-4q\S*: (clear|suspect|leak)\.",
        sentence,
    )
