"""Pulling published weights: the right file becomes safetensors, any other is named and refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from segue.encoders import encoder, weights
from segue.encoders.taggers import TAGGERS, probe, published
from segue.encoders.weightfiles import (
    read_musicnn_wheel,
    read_theano_convnet,
    read_won2020,
    tensor_digest,
)
from segue.encoders.weights import pull, source
from segue.errors import WeightsError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("name", [tagger.name for tagger in TAGGERS])
def test_without_weights_an_encoder_says_what_to_run(name: str, home: Path) -> None:
    with pytest.raises(WeightsError, match=rf"no file .*{name}.*Run `segue models pull {name}`"):
        encoder(name)


def test_the_file_of_another_model_is_named(segue_data: Path, home: Path) -> None:
    other = segue_data / "won2020/mtat/fcn/best_model.pth"
    with pytest.raises(WeightsError, match=r"best_model\.pth: .*\(the file of won2020-fcn-mtat\)"):
        pull("won2020-fcn-msd", from_file=other)
    assert not list(home.rglob("*.safetensors"))


def test_truncated_changed_and_foreign_files_are_refused(
    segue_data: Path, tmp_path: Path, home: Path
) -> None:
    whole = (segue_data / "won2020/msd/crnn/best_model.pth").read_bytes()
    bad = tmp_path / "best_model.pth"
    for content in (whole[:-1], whole[:9000], b"", b"text", whole[:-9] + b"x" + whole[-8:]):
        bad.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{bad}: .*published for won2020-crnn-msd.*SHA"):
            pull("won2020-crnn-msd", from_file=bad)
        with pytest.raises(WeightsError, match=f"{len(content)} bytes with SHA-256"):
            pull("musicnn-msd", from_file=bad)
    for missing in (tmp_path / "absent", tmp_path):
        with pytest.raises(WeightsError, match="nothing there"):
            pull("vgg-msd", from_file=missing)
    assert not home.exists()


def test_a_file_too_large_is_not_read(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MAX_DOWNLOAD_BYTES", 10)
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(WeightsError, match="at most 10 bytes, got a larger file"):
        pull("musicnn-msd", from_file=tmp_path / "large")


def test_hdf5_with_other_shapes_names_file_and_expectation(tmp_path: Path, home: Path) -> None:
    import h5py

    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        for n in range(1, 6):
            file[f"convolution2d_{n}_W"] = np.zeros((32, 32 if n > 1 else 1, 3, 3), np.float32)
            file[f"convolution2d_{n}_b"] = np.zeros(32, np.float32)
            file[f"batchnormalization_{n}_gamma"] = np.zeros(32, np.float32)
            file[f"batchnormalization_{n}_beta"] = np.zeros(64 if n == 3 else 32, np.float32)
        file["dense_1_W"] = np.zeros((32, 50), np.float32)
        file["dense_1_b"] = np.zeros(50, np.float32)
    expected = r"other\.hdf5: wanted norms\.2\.bias of shape \(32,\) .*got shape \(64,\)"
    with pytest.raises(WeightsError, match=expected):
        pull("choi2017-msd", from_file=path)
    with h5py.File(path, "r+") as file:
        del file["batchnormalization_3_beta"]
        file["batchnormalization_3_beta"] = np.zeros(32, np.float32)
    assert len(read_theano_convnet(path)) == 22
    with pytest.raises(WeightsError, match=r"other\.hdf5: wanted the tensors of choi2017-msd with"):
        pull("choi2017-msd", from_file=path)
    with h5py.File(path, "w") as file:
        file["dense_1_W"] = ["words"]
    with pytest.raises(WeightsError, match="cannot be read as one"):
        pull("choi2017-msd", from_file=path)


def test_hdf5_that_would_not_fit_in_memory_is_not_read(tmp_path: Path) -> None:
    """2 KB that declare, or whose one chunk unpacks to, gigabytes; and data of other files."""
    import h5py

    path, name = tmp_path / "bomb.hdf5", "convolution2d_1_W"
    (tmp_path / "outside").write_bytes(bytes(4 * 288))
    makers: list[dict[str, object]] = [
        {"shape": (10**12,), "dtype": "f4", "chunks": (1024,)},
        {"shape": (32,), "dtype": "f4", "chunks": (2**29,), "maxshape": (None,)},
        {"shape": (1,), "dtype": "S1000000000", "chunks": (1,)},
        {"shape": (288,), "dtype": "f4", "external": [(str(tmp_path / "outside"), 0, 4 * 288)]},
    ]
    for facts in makers:
        with h5py.File(path, "w") as file:
            file.create_dataset(f"a/{name}", **facts)
        with pytest.raises(WeightsError, match=f"cannot be read as one .*{name}"):
            read_theano_convnet(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("a/another", shape=(10**12,), dtype="f4", chunks=(1024,))
    with pytest.raises(WeightsError, match="got 0 of them"):  # and was not read
        read_theano_convnet(path)


def test_pulled_weights_of_a_kind_numpy_has_not_are_refused(home: Path) -> None:
    path = weights.weights_folder() / "choi2017-msd.safetensors"
    path.parent.mkdir(parents=True)
    save_torch({"tags.bias": torch.zeros(4, dtype=torch.bfloat16)}, path)
    # with ml_dtypes, which onnx brings, numpy has it: then the digest is another
    with pytest.raises(WeightsError, match=r"one that cannot be read|with SHA-256"):
        encoder("choi2017-msd")


class Trap:
    """A pickle that would run a command when loaded without care."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.sign,)


def test_torch_reader_takes_tensors_of_these_networks_only(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"spec_bn.weight": torch.ones(1), "layer1.conv.bias": torch.ones(2)}, path)
    assert list(read_won2020(path)) == ["input_norm.weight", "convolutions.0.bias"]
    torch.save({"layer9.fc.weight": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"model\.pth: .*the tensor layer9\.fc\.weight, which"):
        read_won2020(path)
    for content in ([torch.ones(1)], {"dense.bias": "words"}, {"dense.bias": Trap(tmp_path / "x")}):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="cannot be read as one"):
            read_won2020(path)
    assert not (tmp_path / "x").exists()
    for content in (b"", b"PK\x03\x04", b"\x80\x02}q\x00", b"no" * 4000):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="a PyTorch state dictionary"):
            read_won2020(path)


def test_wheel_reader_refuses_what_is_no_such_wheel(tmp_path: Path) -> None:
    path = tmp_path / "some.whl"
    path.write_bytes(b"no zip")
    with pytest.raises(WeightsError, match=r"some\.whl: wanted the wheel of musicnn 0\.1\.0"):
        read_musicnn_wheel(path, "MSD_vgg")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("musicnn/MSD_vgg/.index", b"no table")
    with pytest.raises(WeightsError, match=r"data-00000-of-00001"):
        read_musicnn_wheel(path, "MSD_vgg")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("musicnn/MSD_vgg/.data-00000-of-00001", b"")
    with pytest.raises(WeightsError, match=r"some\.whl:musicnn/MSD_vgg: wanted a TensorFlow"):
        read_musicnn_wheel(path, "MSD_vgg")


def test_a_truncated_wheel_is_refused(musicnn_wheel: Path, tmp_path: Path, home: Path) -> None:
    cut = tmp_path / "musicnn-0.1.0-py3-none-any.whl"
    cut.write_bytes(musicnn_wheel.read_bytes()[:-100_000])
    with pytest.raises(WeightsError, match=r"published for vgg-msd, the package musicnn==0\.1\.0"):
        pull("vgg-msd", from_file=cut)
    with pytest.raises(WeightsError, match="cannot be read as one"):
        read_musicnn_wheel(cut, "MSD_vgg")


def test_pip_brings_the_wheel_and_one_wheel_serves_several_models(
    musicnn_wheel: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(order: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(order)
        shutil.copy(musicnn_wheel, Path(order[order.index("--dest") + 1]) / "musicnn.whl")
        return subprocess.CompletedProcess(order, 0, "", "a notice of pip's")

    monkeypatch.setattr(weights.subprocess, "run", run)
    for name in ("musicnn-mtt", "vgg-msd"):
        tensors = load_file(pull(name))
        assert tensor_digest(tensors) == source(name).digest
    for order in asked:
        assert order[1:3] == ["-m", "pip"]
        assert {"--no-deps", "--only-binary", "musicnn==0.1.0"} <= set(order)


def test_without_pip_or_an_index_the_way_out_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(order: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(order, 1, "", "Looking\nERROR: No matching distribution")

    def hangs(order: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(order, 600)

    def brings_nothing(order: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(order, 0, "", "")

    cases = ((refuses, "ERROR: No matching"), (hangs, "timed out"), (brings_nothing, "no file"))
    for run, message in cases:
        monkeypatch.setattr(weights.subprocess, "run", run)
        with pytest.raises(WeightsError, match=f"{message}.*pass the wheel with --from FILE"):
            pull("musicnn-msd")


def test_a_changed_tensor_is_noticed(
    pull_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_file(pull_model("won2020-fcn-msd"))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path))
    kept = weights.weights_folder() / "won2020-fcn-msd.safetensors"
    kept.parent.mkdir()
    tensors["tags.bias"][7] += 1e-6
    save_file(tensors, kept)
    with pytest.raises(WeightsError, match=r"wanted the tensors of won2020-fcn-msd with SHA-256"):
        encoder("won2020-fcn-msd")
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="cannot be read"):
        encoder("won2020-fcn-msd")


def tagger(name: str) -> published.Published:
    return next(one for one in TAGGERS if one.name == name)


def test_tensors_that_do_not_fit_the_network_are_named(
    pull_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest that is pinned wrongly together with other tensors still loads nothing."""
    tensors = load_file(pull_model("won2020-crnn-msd"))
    monkeypatch.setattr(published, "load", lambda name: dict(held))
    for change, message in (
        ({"tags.bias": np.zeros(51, np.float32)}, r"tags\.bias of shape \(50,\).*shape \(51,\)"),
        ({"memory.weight_ih_l9": np.zeros(1, np.float32)}, r"only the .* tensors.*weight_ih_l9"),
        ({"filters": np.zeros((257, 128), np.float32)}, r"filters of shape \(257, 96\)"),
    ):
        held = {**tensors, **change}
        with pytest.raises(WeightsError, match=rf"won2020-crnn-msd\.safetensors: .*{message}"):
            tagger("won2020-crnn-msd").build()
    held = {name: values for name, values in tensors.items() if name != "norms.3.bias"}
    with pytest.raises(WeightsError, match=r"the tensor norms\.3\.bias \(128,\).*without it"):
        tagger("won2020-crnn-msd").build()


def test_probe_notices_another_front_end_and_other_weights(
    pull_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_model("won2020-crnn-msd")
    monkeypatch.setattr(probe, "_passed", set())
    ours = tagger("won2020-crnn-msd")
    first = next(iter(ours.probe))
    shifted = {**ours.probe, first: ours.probe[first] + 2 * probe.TOLERANCE}
    for changed in (
        replace(ours, front_end="musicnn"),
        replace(ours, probe=shifted),
        replace(ours, probe={"jazz": 1.0}),
    ):
        with pytest.raises(WeightsError, match=r"the probe of won2020-crnn-msd to give"):
            changed.build()
    ours.build()


def test_probe_runs_once_a_process_and_set_of_weights(
    pull_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_model("won2020-fcn-msd")
    monkeypatch.setattr(probe, "_passed", set())
    runs = []
    kept = probe.logits
    monkeypatch.setattr(probe, "logits", lambda *a: runs.append(1) or kept(*a))
    encoder("won2020-fcn-msd")
    encoder("won2020-fcn-msd@13")
    assert len(runs) == 1


def test_commands_pull_and_show_a_tagger(segue_data: Path, home: Path) -> None:
    from typer.testing import CliRunner

    from segue.cli import app

    name, file = "won2020-crnn-msd", segue_data / "won2020/msd/crnn/best_model.pth"
    done = CliRunner().invoke(app, ["models", "pull", name, "--from", str(file), "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["path"] == str(home / "weights" / f"{name}.safetensors")
    assert (facts["licence"], facts["sha256"]) == ("MIT", source(name).digest)
    shown = json.loads(CliRunner().invoke(app, ["models", "show", f"{name}@15", "--json"]).stdout)
    assert shown["widths"] == [64, 32]
    assert shown["tags"][:3] == ["rock", "pop", "alternative"]
    table = CliRunner().invoke(app, ["models", "show", name]).stdout
    assert "heavy metal" in " ".join(table.split())
    wrong = CliRunner().invoke(app, ["models", "pull", "vgg-msd", "--from", str(file)])
    assert wrong.exit_code == 1
    assert "published for vgg-msd" in " ".join(wrong.stderr.split())
