"""Encoders as ONNX graphs: the features of torch, and nothing that a file could smuggle in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from contract_checks import encoder_contract
from dcnn_toys import random_dcnn
from joint_toys import random_joint
from segue.audio import Audio, load
from segue.datasets import Manifest
from segue.encoders import Encoder, encoder, extras
from segue.encoders.onnx import Graph, OnnxEncoder, checks, export_encoder, open_graph
from segue.errors import InvalidSamplesError, UsageError, WeightsError

onnx = pytest.importorskip("onnx", reason="the extra segue[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra segue[onnx] is not installed")

TOLERANCE = 1e-4
Clip = Callable[..., np.ndarray]
Exported = Callable[[str], tuple[Encoder, Path]]


CONTRACT = encoder_contract()
clips = CONTRACT.clips
for _name in [name for name in vars(CONTRACT) if name.startswith("test_")]:
    globals()[_name] = getattr(CONTRACT, _name)


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory, pull_model: Callable[[str], Path]
) -> Exported:
    """An encoder and the file of its graph, each made once."""
    root = tmp_path_factory.mktemp("graphs")
    made: dict[str, tuple[Encoder, Path]] = {}

    def one(name: str) -> tuple[Encoder, Path]:
        if name not in made:
            base = name.partition("@")[0]
            own = encoder(toy(base, root)) if base in TOYS else encoder(name)
            made[name] = own, export_encoder(own, root / f"{name.replace('@', '-')}.onnx")
        return made[name]

    def with_weights(name: str) -> tuple[Encoder, Path]:
        if name.startswith(("choi2017-msd", "won2020", "musicnn", "vgg")):
            pull_model(name.partition("@")[0])
        return one(name)

    return with_weights


TOYS = ("dcnn", "joint-hidden", "joint-of-mfcc")


def toy(name: str, root: Path) -> str:
    """Folder of an encoder of random numbers."""
    if name.startswith("dcnn"):
        return str(random_dcnn(root / name, name=name, sharing="first").path)
    base = encoder("mfcc") if name.endswith("mfcc") else None
    hidden = 7 * name.endswith("hidden")
    return str(random_joint(root / name, name=name, hidden=hidden, base=base).path)


@pytest.fixture(scope="module", params=["random-convnet", "melstats"])
def subject(request: pytest.FixtureRequest, exported: Exported) -> Encoder:
    """For the contract: one that repeats short clips, one that takes them as they are."""
    return encoder(f"onnx:{exported(request.param)[1]}")


def agree(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(ours - theirs).max() <= TOLERANCE * max(1.0, float(np.abs(ours).max()))


@pytest.mark.parametrize("name", ["random-convnet@13", "mfcc", "melstats", *TOYS])
def test_a_graph_gives_the_features_of_torch(name: str, exported: Exported, clip: Clip) -> None:
    own, path = exported(name)
    graph = encoder(f"onnx:{path}")
    for number, seconds in enumerate((29.0, 31.0, 3.7, 0.9, 0.06)):
        audio = Audio(clip(number, seconds, own.card.rate), own.card.rate)
        agree(own.features(audio), graph.features(audio))


@pytest.mark.parametrize(
    "name",
    [
        "choi2017-msd",
        "mfcc",
        "won2020-fcn-msd",
        pytest.param("won2020-crnn-msd", marks=pytest.mark.long),
        pytest.param("musicnn-msd", marks=pytest.mark.long),
        pytest.param("vgg-mtt", marks=pytest.mark.long),
    ],
)
def test_a_graph_gives_the_features_of_torch_on_real_music(
    name: str, exported: Exported, segue_data: Path
) -> None:
    own, path = exported(name)
    graph = encoder(f"onnx:{path}")
    tracks = list(Manifest.read(segue_data / "4q/manifest.csv").tracks())
    for track in tracks[::225]:
        audio = load(track.path, rate=own.card.rate, duration=own.card.excerpt.seconds)
        agree(own.features(audio), graph.features(audio))


def test_the_card_is_that_of_the_encoder_bound_to_the_file(exported: Exported) -> None:
    import hashlib

    own, path = exported("random-convnet@13")
    graph = open_graph(path)
    assert isinstance(graph, Graph)
    assert graph.layers == (1, 3)
    card = graph.build(chunks=None).card
    assert card.name == f"onnx:{path}"
    assert card.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.excerpt == replace(own.card.excerpt, chunks=None)
    for word in ("front_end", "licence", "commercial", "training_data", "citation", "dim"):
        assert getattr(card, word) == getattr(own.card, word)
    part = graph.build(layers=(3,))
    assert part.card.dim == 32
    assert part.widths == {3: 32}
    with pytest.raises(UsageError, match=r"layers among 1, 3, got \[2\]"):
        graph.build(layers=(2,))


def test_a_moved_file_is_the_same_encoder(exported: Exported, tmp_path: Path) -> None:
    _, path = exported("mfcc")
    moved = tmp_path / path.name
    moved.write_bytes(path.read_bytes())
    assert encoder(f"onnx:{moved}").card.digest == encoder(f"onnx:{path}").card.digest


def test_an_encoder_without_a_graph_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a convnet, mfcc, melstats.*got melblocks"):
        export_encoder(encoder("melblocks"), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_a_graph_that_differs_from_its_encoder_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segue.errors import ModelError

    own = encoder("random-convnet@1")
    original = own.encode_chunks
    monkeypatch.setattr(own, "encode_chunks", lambda chunks: original(chunks) * 1.01)
    with pytest.raises(ModelError, match="others, by"):
        export_encoder(own, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def model(exported: Exported) -> onnx.ModelProto:
    """A small graph, to be spoilt."""
    return onnx.load_model_from_string(exported("random-convnet@13")[1].read_bytes())


def refused(model: onnx.ModelProto, folder: Path, words: str) -> None:
    path = folder / "spoilt.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=words):
        open_graph(path).build()


def test_a_file_of_others_or_a_damaged_one_is_refused(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    whole = model.SerializeToString()
    for number, content in enumerate((b"", b"PK\x03\x04", b"\x80\x04}.", whole[: len(whole) // 2])):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="an encoder as an ONNX file"):
            open_graph(path).build()
    with pytest.raises(WeightsError, match="no such file"):
        open_graph(tmp_path / "absent.onnx")
    with pytest.raises(WeightsError, match="no such file"):
        open_graph(tmp_path)
    del model.metadata_props[:]
    refused(model, tmp_path, "without segue's card")


def test_a_file_too_large_is_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_BYTES", 1000)
    with pytest.raises(WeightsError, match="more than 1000 bytes"):
        open_graph(exported("random-convnet@13")[1])


def test_tensors_in_other_files_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    refused(model, tmp_path, "tensors in other files")


@pytest.mark.parametrize("operator", ["If", "Loop", "Scan", "RandomNormal", "Dropout", "NonZero"])
def test_operators_that_branch_loop_or_draw_are_refused(
    operator: str, model: onnx.ModelProto, tmp_path: Path
) -> None:
    model.graph.node.append(onnx.helper.make_node(operator, ["c"], ["y"]))
    refused(model, tmp_path, f"operators that no encoder of segue needs: {operator}")


def test_graphs_within_the_graph_are_refused_whatever_they_hold(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    """One without nodes can still name a file, in a tensor that is its output."""
    hidden = onnx.TensorProto(name="x", data_type=1, dims=[1])
    hidden.data_location = onnx.TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="secret.bin")
    out = onnx.helper.make_tensor_value_info("x", 1, [1])
    branch = onnx.helper.make_graph([], "branch", [], [out], initializer=[hidden])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", branch))
    refused(model, tmp_path, "graphs within the graph")


def test_operators_of_others_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.node[0].domain = "com.example"
    refused(model, tmp_path, "operators of 'com.example'")


def test_functions_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.functions.add(name="f", domain="")
    refused(model, tmp_path, "functions or training graphs")


def respelt(model: onnx.ModelProto, change: Callable[[dict], None]) -> onnx.ModelProto:
    facts = json.loads(model.metadata_props[0].value)
    change(facts)
    model.metadata_props[0].value = json.dumps(facts)
    return model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda facts: facts.update(format=2), "another version of segue"),
        (lambda facts: facts["card"].update(dim=65), "layers"),
        (lambda facts: facts["card"].update(dim="64"), "dim '64'"),
        (lambda facts: facts["card"].update(commercial="yes"), "commercial 'yes'"),
        (lambda facts: facts["card"].update(licence="MIT\x1b[2J"), "control characters"),
        (lambda facts: facts["card"]["excerpt"].update(seconds=30.0), "samples for excerpts"),
        (lambda facts: facts["card"]["excerpt"].update(seconds=1e300), "seconds 1e"),
        (lambda facts: facts["card"]["excerpt"].update(seconds=float("nan")), "seconds nan"),
        (lambda facts: facts["card"]["front_end"].update(rate=0), "rate 0"),
        (lambda facts: facts["card"].update(unknown=1), "unknown"),
        (lambda facts: facts.update(widths=[[1, 32]]), "widths"),
        (lambda facts: facts.update(widths=[[1, 40], [3, 24], [5, 0]]), "no numbers"),
        (lambda facts: facts.pop("card"), "card"),
    ],
)
def test_a_card_that_is_not_the_graphs_is_refused(
    model: onnx.ModelProto, tmp_path: Path, change: Callable[[dict], None], words: str
) -> None:
    refused(respelt(model, change), tmp_path, words)


def test_a_graph_that_makes_no_numbers_is_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(np.inf)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    refused(model, tmp_path, "no numbers of noise")


def test_a_clip_that_the_graph_cannot_take_is_that_clips_error(exported: Exported) -> None:
    graph = encoder(f"onnx:{exported('random-convnet@13')[1]}")
    assert isinstance(graph, OnnxEncoder)
    with pytest.raises(InvalidSamplesError, match="samples that the graph"):
        graph.encode_chunks([np.zeros(1000, np.float32)])


def test_a_device_that_onnxruntime_cannot_use_is_an_error(exported: Exported) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use CUDA")
    with pytest.raises(UsageError, match=r"can use cuda.*onnxruntime-gpu"):
        open_graph(exported("mfcc")[1]).build(device="cuda")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(extras.importlib, "import_module", absent)
    with pytest.raises(UsageError, match=r"pip install 'segue\[onnx\]'"):
        open_graph("net.onnx")
    with pytest.raises(UsageError, match=r"pip install 'segue\[onnx\]'"):
        export_encoder(encoder("mfcc"), "net.onnx")
