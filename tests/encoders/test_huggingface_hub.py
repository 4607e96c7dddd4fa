"""Hugging Face models: licences, what is fetched from the hub, and the extra that it needs."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from huggingface_toys import README, edit
from segue.encoders import encoder, extras
from segue.encoders.huggingface import open_model, pull_model
from segue.encoders.huggingface.library import library
from segue.encoders.huggingface.readme import may_serve_business
from segue.errors import SegueError, UsageError, WeightsError
from segue.rights import commercial_only

pytest.importorskip("transformers", reason="the extra segue[hf] is not installed")

COMMIT, LATER = "0123456789" * 4, "f" * 40


def tone(rate: int) -> np.ndarray:
    return np.sin(np.arange(rate) / 7).astype(np.float32)


# the model card


@pytest.mark.parametrize(
    ("readme", "licence", "commercial", "data"),
    [
        (README, "mit (the folder's README.md)", True, "some-music"),
        ("", "unknown", False, "not stated"),
        ("# only words\nlicense: mit", "unknown", False, "not stated"),
        ("---\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0", False, "not stated"),
        ("---\r\nlicense: Apache-2.0\r\ndatasets: [a, b]\r\n---\r\n", "Apache-2.0", True, "a, b"),
        (
            "---\nlicense: other\nlicense_name: music-only\nlicense_link: LICENSE\n---\n",
            "other (music-only; LICENSE; ",
            False,
            "not stated",
        ),
        ("---\nlicense: openrail\n---\n", "openrail", False, "not stated"),
        ("---\nlicense:\n- mit\n- cc-by-nc-sa-4.0\n---\n", "mit and cc-by-nc-sa", False, "not"),
        ("---\nlicense: {a: b}\ndatasets: 3\n---\n", "unknown", False, "not stated"),
        ("---\n- a list\n---\n", "unknown", False, "not stated"),
        ('---\nlicense: "mit\\e[31m"\n---\n', "mit[31m", False, "not stated"),
    ],
)
def test_the_licence_is_what_the_front_matter_says(
    readme: str, licence: str, commercial: bool, data: str, copied: Callable[[str], Path]
) -> None:
    folder = copied("mert")
    (folder / "README.md").write_text(readme, newline="")
    card = open_model(str(folder)).card()
    assert card.licence.startswith(licence)
    assert card.commercial is commercial
    assert card.training_data.startswith(data)
    assert card.citation
    with commercial_only():
        if commercial:
            encoder(f"hf:{folder}")
        else:
            with pytest.raises(UsageError, match="used commercially"):
                encoder(f"hf:{folder}")


def test_without_a_readme_nothing_is_known(copied: Callable[[str], Path]) -> None:
    folder = copied("mert")
    (folder / "README.md").unlink()
    card = open_model(str(folder)).card()
    assert not card.commercial
    assert "unknown" in card.licence
    for damaged in (b"---\na: [\n---\n", b"---\na: !!python/object:os.system x\n---\n"):
        (folder / "README.md").write_bytes(damaged)
        with pytest.raises(WeightsError, match="malformed front matter"):
            open_model(str(folder))
    (folder / "README.md").write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(WeightsError, match=r"README\.md: wanted"):
        open_model(str(folder))


def test_nobody_may_sell_what_nobody_permitted() -> None:
    for no in ("cc-by-nc-4.0", "cc-by-nc-sa-3.0", "research-only", "other", "unknown", "", [], 1):
        assert not may_serve_business(no)
    for yes in ("mit", "MIT", " apache-2.0 ", "bsd-3-clause", "cc-by-4.0", "cc0-1.0", "isc"):
        assert may_serve_business(yes)


# the hub


@pytest.fixture
def hub(
    saved: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """A cache as the hub's client leaves it, and a home of segue without pins."""
    constants = library("huggingface_hub.constants")
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))

    def keep(name: str, toy: str, commit: str = COMMIT, main: bool = True) -> Path:
        root = cache / f"models--{name.replace('/', '--')}"
        folder = root / "snapshots" / commit
        shutil.copytree(saved(toy), folder)
        if main:
            (root / "refs").mkdir(exist_ok=True)
            (root / "refs" / "main").write_text(commit)
        return folder

    return keep


def test_a_name_that_was_never_pulled_says_how_to(hub: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match=r"`segue models pull hf:some/model`"):
        encoder("hf:some/model")
    for wrong in ("", "a/b/c", "a b", "a/..", "a--b/c", "org/", "-a/b"):
        with pytest.raises(UsageError, match="ORGANISATION/MODEL"):
            open_model(wrong)


def test_what_is_in_the_cache_is_opened_offline(
    hub: Callable[..., Path], saved: Callable[[str], Path]
) -> None:
    hub("some/model", "mert")
    built = encoder("hf:some/model@1,5")
    assert built.card.name == "hf:some/model"
    assert ("revision", COMMIT) in built.card.settings
    assert "https://huggingface.co/some/model" in built.card.licence
    samples = [tone(24_000)]
    folder = encoder(f"hf:{saved('mert')}@1,5")
    np.testing.assert_array_equal(built.encode_chunks(samples), folder.encode_chunks(samples))


class FakeHub:
    """In place of the hub's client: one repository, and what was fetched from it."""

    def __init__(self, folder: Path, commit: str = COMMIT) -> None:
        self.folder, self.commit = folder, commit
        self.fetched: list[str] = []

    def model_info(self, name: str) -> SimpleNamespace:
        files = [SimpleNamespace(rfilename=path.name) for path in self.folder.iterdir()]
        return SimpleNamespace(sha=self.commit, siblings=files)

    def snapshot_download(self, name: str, *, revision: str, allow_patterns: list[str]) -> str:
        assert revision == self.commit
        self.fetched += allow_patterns
        return str(self.folder)

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
        client = library("huggingface_hub")
        monkeypatch.setattr(client, "HfApi", lambda: self)
        monkeypatch.setattr(client, "snapshot_download", self.snapshot_download)
        return self


def test_pulling_pins_the_revision(
    hub: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub("some/model", "mert", main=False)  # as after a download of one commit
    fake = FakeHub(folder).put_in_place(monkeypatch)
    with pytest.raises(WeightsError, match="segue models pull"):
        open_model("some/model")
    assert pull_model("hf:some/model") == folder
    assert "model.safetensors" in fake.fetched
    assert not any("bin" in one or one.endswith(".py") for one in fake.fetched)
    first = encoder("hf:some/model").card
    # another program brings a newer revision: the pinned one stays, until it is pulled again
    newer = hub("some/model", "wav2vec2", commit=LATER)
    assert encoder("hf:some/model").card == first
    FakeHub(newer, LATER).put_in_place(monkeypatch)
    pull_model("some/model")
    assert encoder("hf:some/model").card.settings != first.settings
    shutil.rmtree(newer)
    with pytest.raises(WeightsError, match=f"without its {LATER}"):
        open_model("some/model")


def test_what_cannot_be_used_is_refused_before_its_weights_are_fetched(
    hub: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub("some/model", "mert", main=False)
    fake = FakeHub(folder).put_in_place(monkeypatch)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with commercial_only(), pytest.raises(UsageError, match="used commercially"):
        pull_model("some/model")
    edit(folder / "config.json", model_type="bert")
    with pytest.raises(UsageError, match="got 'bert'"):
        pull_model("some/model")
    assert "model.safetensors" not in fake.fetched
    fake.fetched.clear()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"only pytorch_model\.bin"):
        pull_model("some/model")
    assert not fake.fetched
    with pytest.raises(WeightsError, match="segue models pull"):
        open_model("some/model")


def test_a_hub_that_cannot_be_reached_is_said(
    hub: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real client, and nobody at the other end."""
    constants = library("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    client = library("huggingface_hub")
    monkeypatch.setattr(client, "HfApi", lambda: _impatient(client.hf_api.HfApi))
    with pytest.raises(WeightsError, match=r"huggingface\.co/some/model.*connection"):
        pull_model("some/model")


def _impatient(kind: Any) -> Any:
    return kind(endpoint="http://127.0.0.1:9")


def test_a_damaged_pin_is_said(hub: Callable[..., Path], tmp_path: Path) -> None:
    hub("some/model", "mert")
    pin = tmp_path / "home" / "huggingface" / "some--model.json"
    pin.parent.mkdir(parents=True)
    for content in ("", "{}", '{"revision": "../../x"}', '{"revision": 3}', "[" * 4000):
        pin.write_text(content)
        with pytest.raises(WeightsError, match="pull hf:some/model` again"):
            open_model("some/model")


def test_without_the_extra_it_says_what_to_install(
    saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved("mert")

    def import_module(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(extras.importlib, "import_module", import_module)
    for place in (f"hf:{folder}", "hf:some/model"):
        with pytest.raises(UsageError, match=r"pip install 'segue\[hf\]'"):
            encoder(place)
    with pytest.raises(UsageError, match=r"pip install 'segue\[hf\]'"):
        pull_model("some/model")


def test_every_error_can_cross_to_another_process(saved: Callable[[str], Path]) -> None:
    with pytest.raises(SegueError) as caught:
        open_model(str(saved("mert") / "config.json"))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301
