"""``--commercial``: what must not be used commercially is refused wherever it is opened."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from joint_toys import random_joint
from segue.cli import app
from segue.encoders import ENCODERS, encoder
from segue.encoders.folders import FACTS, packaged_folder
from segue.encoders.registry import add
from segue.errors import UsageError, WeightsError
from segue.rights import VARIABLE, check_rights, commercial_only
from segue.seeds import generator
from segue.store import FeatureTable
from segue.workflows import build_index, embed, fit
from segue.workflows.jointfolder import open_embedding
from segue.workflows.modelfile import Model
from segue.workflows.similar import similar
from segue.workflows.tables import asked_table

RESEARCH = "choi2017-4q"  # taught with clips for research use; comes with segue
REFUSED = "may be used commercially"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of two classes, embedded with an encoder for research; a model and an index of them."""
    folder = tmp_path_factory.mktemp("rights")
    lines = ["path,kind"]
    for number in range(12):
        noise = generator(0, "rights", number).normal(0, 0.1, 12000 * 2)
        kind = "rough" if number % 2 else "smooth"
        samples = noise if kind == "rough" else np.convolve(noise, np.ones(40) / 40, "same")
        soundfile.write(folder / f"{number}.wav", samples, 12000)
        lines.append(f"{number}.wav,{kind}")
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    embed(folder / "m.csv", folder / "store", encoder=f"{RESEARCH}@5")
    fit(folder / "m.csv", folder / "store", target="kind", out=folder / "model.segue")
    build_index(folder / "store", out=folder / "index")
    return folder


def test_what_the_registry_says_is_what_the_card_says() -> None:
    asked = 0
    for known in ENCODERS:
        try:
            card = encoder(known.name).card
        except (WeightsError, UsageError):
            continue  # its weights or its extra are not here
        assert card.commercial == known.commercial, known.name
        asked += 1
    assert asked >= 5


def test_nothing_is_refused_unless_asked(made: Path) -> None:
    assert not encoder(RESEARCH).card.commercial
    assert asked_table(made / "store", None).card.name == RESEARCH
    assert Model.load(made / "model.segue").card.name == RESEARCH
    check_rights(encoder(RESEARCH).card)


def test_all_that_holds_it_is_refused(made: Path) -> None:
    query = str(made / "0.wav")
    with commercial_only():
        for use in (
            lambda: encoder(RESEARCH),
            lambda: asked_table(made / "store", None),
            lambda: Model.load(made / "model.segue"),
            lambda: similar(made / "index", query),
            lambda: similar(made / "index", "0.wav"),  # by id no encoder is built
            lambda: build_index(made / "store"),
        ):
            with pytest.raises(UsageError, match=REFUSED):
                use()
        assert encoder("mfcc").card.commercial
    assert encoder(RESEARCH).card.name == RESEARCH


def test_a_wish_is_not_undone_within() -> None:
    with commercial_only(), commercial_only(False), pytest.raises(UsageError, match=REFUSED):
        encoder(RESEARCH)


@pytest.mark.parametrize(("value", "refused"), [("1", True), ("true", True), ("0", False)])
def test_the_environment_asks_for_it_too(
    value: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    if refused:
        with pytest.raises(UsageError, match=REFUSED):
            encoder(RESEARCH)
    else:
        encoder(RESEARCH)


def test_every_command_that_opens_an_encoder_refuses_with_one_message(made: Path) -> None:
    store, model, index = (str(made / name) for name in ("store", "model.segue", "index"))
    manifest, clip, out = str(made / "m.csv"), str(made / "0.wav"), str(made / "out")
    for line in (
        ["embed", clip, "-o", out, "--encoder", RESEARCH],
        ["plan", clip, "--encoder", RESEARCH],
        ["fit", manifest, store, "--target", "kind", "-o", out],
        ["predict", model, clip, "-o", out],
        ["evaluate", manifest, "--target", "kind", "--encoders", RESEARCH, "-o", out],
        ["index", store, "-o", out],
        ["similar", index, "0.wav"],
        ["tags", clip, "--encoder", RESEARCH],
        ["models", "pull", "vgg-mtt"],
        ["models", "export", RESEARCH, "-o", out],
    ):
        done = CliRunner().invoke(app, [*line, "--commercial"])
        assert done.exit_code == 2, (line, done.output)
        assert REFUSED in " ".join(done.output.split()), line
        assert not Path(out).exists(), line


def test_what_is_said_of_an_encoder_now_is_what_its_table_says(tmp_path: Path) -> None:
    """The words of a card are no part of its digest: a table keeps those of the last run."""
    card = encoder("mfcc").card
    FeatureTable.open_or_create(tmp_path, card)
    closed = replace(card, commercial=False, licence="cc-by-nc-4.0")
    assert closed.digest == card.digest
    assert FeatureTable.open_or_create(tmp_path, closed).card == closed
    with commercial_only(), pytest.raises(UsageError, match=REFUSED):
        asked_table(tmp_path, None)
    FeatureTable.open_or_create(tmp_path, card)
    with commercial_only():
        assert asked_table(tmp_path, None).card.commercial


def test_a_folder_of_ones_own_is_refused_too(tmp_path: Path) -> None:
    folder = shutil.copytree(packaged_folder(RESEARCH), tmp_path / "own")
    with commercial_only(), pytest.raises(UsageError, match=REFUSED):
        add(folder)


def test_a_joint_embedding_is_refused_before_it_is_read_or_extended(tmp_path: Path) -> None:
    folder = random_joint(tmp_path / "joint", base=None).path
    facts = json.loads((folder / FACTS).read_text())
    facts["card"]["commercial"] = False
    (folder / FACTS).write_text(json.dumps(facts))
    with commercial_only(), pytest.raises(UsageError, match=REFUSED):
        open_embedding(folder)
    assert open_embedding(folder).folder.card.commercial is False
