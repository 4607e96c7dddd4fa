"""The convnets of Kim et al. 2018: Table 2, what is shared, features by hand, hostile folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from dcnn_toys import TAGS, TASKS, card_of, random_dcnn, random_network
from segue.audio import Audio
from segue.audio.frontends import FrontEnd, preset
from segue.encoders import encoder
from segue.encoders.dcnn import (
    Block,
    Dcnn,
    DcnnEncoder,
    DcnnSpec,
    Sharing,
    begins,
    dcnn_network,
    dcnn_shapes,
    dcnn_tensors,
    dropped,
    whole,
)
from segue.encoders.folder_checks import MAX_BYTES, WEIGHTS, check_size
from segue.encoders.folders import FACTS, open_folder, write_folder
from segue.errors import UsageError, WeightsError

Clip = Callable[..., np.ndarray]
PAPER = DcnnSpec(tasks=(("g", 16), ("m", 40)))

# Table 2, maps first: every convolution, and what goes on to the next after pooling and dropout.
# The table gives the first convolution one map; it has 16, as the line below it says.
CONVOLUTIONS = [
    *((16, 128, 43), (32, 64, 43), (64, 32, 21), (64, 16, 10)),
    *((128, 8, 5), (256, 4, 2), (256, 4, 2)),
]
POOLED = [
    *((16, 64, 43), (32, 32, 21), (64, 16, 10), (64, 8, 5)),
    *((128, 4, 2), (256, 4, 2), (256, 4, 2)),
]
SIZES = [(5, 5), (3, 3), (3, 3), (3, 3), (3, 3), (3, 3), (1, 1)]


def blocks_of(network: Dcnn, task: int) -> list[Block]:
    stem = network.stems[min(task, len(network.stems) - 1)]
    body = network.bodies[min(task, len(network.bodies) - 1)]
    return [stem, *body.blocks]


@pytest.mark.parametrize("task", [0, 1])
def test_every_shape_of_table_2(task: int) -> None:
    network = Dcnn(PAPER).eval()
    seen: dict[str, list[tuple[int, ...]]] = {"convolution": [], "block": [], "rest": []}

    def watch(module: torch.nn.Module, kind: str) -> None:
        module.register_forward_hook(
            lambda _module, _inputs, output: seen[kind].append(tuple(output.shape[1:]))
        )

    blocks, body = blocks_of(network, task), network.bodies[task]
    for block in blocks:
        watch(block.convolution, "convolution")
        watch(block, "block")
    for module in (body.pooled, body.dense, body.norm, network.outputs[task]):
        watch(module, "rest")
    logits = network(torch.zeros(2, 43, 128), task)
    assert seen["convolution"] == CONVOLUTIONS
    assert seen["block"] == POOLED
    assert seen["rest"] == [(256,), (256,), (256,), ((16, 40)[task],)]
    assert logits.shape == (2, (16, 40)[task])
    assert [tuple(one.convolution.kernel_size) for one in blocks] == SIZES
    assert [one.norm is not None for one in blocks] == [
        False,
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert [one.dropout for one in blocks] == [0.0, 0.1, 0.0, 0.1, 0.0, 0.0, 0.0]


def test_the_number_of_parameters() -> None:
    """Weights and biases by hand; a layer that is normalised has a shift in the place of a bias."""
    inputs = [1, 16, 32, 64, 64, 128, 256]
    first = 25 * 16 + 16
    total = first
    for (rows, columns), n, (maps, _, _), norm in zip(
        SIZES[1:],
        inputs[1:],
        CONVOLUTIONS[1:],
        (True, False, True, False, False, True),
        strict=True,
    ):
        total += rows * columns * n * maps + (2 * maps if norm else maps)
    total += 2 * 256 + 256 * 256 + 2 * 256  # pooled, dense, normalised
    g, m = 257 * 16, 257 * 40
    both = (("g", 16), ("m", 40))
    assert DcnnSpec(tasks=both[:1]).parameters == total + g
    assert DcnnSpec(tasks=both).parameters == 2 * total + g + m
    assert DcnnSpec(tasks=both, sharing="first").parameters == 2 * total - first + g + m
    assert DcnnSpec(tasks=both, sharing="all").parameters == total + g + m
    assert sum(one.numel() for one in Dcnn(PAPER).parameters()) == PAPER.parameters


@pytest.mark.parametrize("sharing", ["none", "first", "all"])
def test_features_are_the_last_hidden_layers_and_the_output_is_said_of_them(
    sharing: Sharing,
) -> None:
    network = random_network(sharing=sharing)
    frames = torch.randn(3, 43, 128, generator=torch.Generator().manual_seed(0)) * 15 - 35
    with torch.inference_mode():
        features = network.features(frames)
        assert features.shape == (3, network.spec.dim) == (3, 32 if sharing == "all" else 64)
        said = network.said(features)
        for task, (_, outputs) in enumerate(TASKS):
            logits = network(frames, task)
            assert logits.shape == (3, outputs)
            torch.testing.assert_close(said[task], logits)
            # by hand: the table's order, ELU before pooling
            maps = ((frames - network.shift) * network.scale).transpose(1, 2)[:, None]
            for block in blocks_of(network, task):
                maps = block.convolution(maps)
                maps = maps if block.norm is None else block.norm(maps)
                maps = torch.nn.functional.max_pool2d(torch.nn.functional.elu(maps), block.pool)
            body = network.bodies[min(task, len(network.bodies) - 1)]
            hidden = torch.nn.functional.elu(body.norm(body.dense(body.pooled(maps.mean((2, 3))))))
            part = 0 if sharing == "all" else task
            torch.testing.assert_close(features[:, 32 * part :][:, :32], hidden)
            torch.testing.assert_close(logits, network.outputs[task](hidden))


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    for share in (0.1, 0.5):
        left = dropped(torch.ones(200_000), share)
        assert float((left == 0).float().mean()) == pytest.approx(share, abs=0.005)
        assert float(left.mean()) == pytest.approx(1.0, abs=0.01)
    network, frames = random_network(), torch.randn(8, 43, 128)
    with torch.no_grad():
        assert torch.equal(network(frames), network(frames))
        network.train()
        assert not torch.equal(network(frames), network(frames))


def test_segments_of_a_clip() -> None:
    assert begins(1292).tolist() == list(range(0, 1290, 43))
    assert begins(43).tolist() == begins(5).tolist() == [0]
    assert begins(1290, 1).tolist() == [623]
    assert begins(44, 3).tolist() == [0, 0, 0]
    frames = np.arange(30.0, dtype=np.float32).reshape(10, 3)
    assert np.array_equal(whole(frames), np.resize(frames, (43, 3)))
    assert torch.equal(whole(torch.from_numpy(frames)), torch.from_numpy(whole(frames)))
    assert whole(np.zeros((50, 3), np.float32)).shape == (50, 3)


@pytest.mark.parametrize("seconds", [3.5, 0.4, 31.0])
@pytest.mark.parametrize("sharing", ["none", "first", "all"])
def test_the_encoder_by_hand(tmp_path: Path, clip: Clip, seconds: float, sharing: Sharing) -> None:
    folder = random_dcnn(tmp_path / "dcnn", sharing=sharing)
    samples = clip(3, seconds, 22050)
    heard = encoder(str(tmp_path / "dcnn"))
    assert isinstance(heard, DcnnEncoder)
    network = dcnn_network(folder.card, folder.tensors)
    with torch.inference_mode():
        frames = FrontEnd(preset("kim2018"))(torch.from_numpy(samples[: 30 * 22050])[None])[0]
        if len(frames) < 43:
            frames = torch.from_numpy(np.resize(frames.numpy(), (43, 128)))
        pieces = [frames[b : b + 43] for b in range(0, len(frames) - 42, 43)]
        each = torch.cat([network.features(piece[None]) for piece in pieces])
        likely = [
            torch.cat([network(piece[None], task).softmax(1) for piece in pieces]).mean(0)
            for task in range(2)
        ]
    audio = Audio(samples, 22050)
    assert len(pieces) == {3.5: 3, 0.4: 1, 31.0: 30}[seconds]
    np.testing.assert_allclose(heard.segments(audio), each, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(heard.features(audio), each.mean(0), rtol=1e-4, atol=1e-5)
    said = dict(heard.tags(audio))
    assert said == pytest.approx(dict(zip(TAGS, torch.cat(likely).tolist(), strict=True)), abs=1e-5)
    assert sum(said[tag] for tag in TAGS[:3]) == pytest.approx(1.0)
    assert list(said.values()) == sorted(said.values(), reverse=True)


def test_all_chunks_have_segments(tmp_path: Path, clip: Clip) -> None:
    """Features are the mean over chunks of each one's mean, tags that over all segments."""
    folder = random_dcnn(tmp_path / "dcnn")
    audio = Audio(clip(1, 50.0, 22050), 22050)
    heard = encoder(str(tmp_path / "dcnn"), chunks=None)
    each = heard.segments(audio)
    assert each.shape == (30 + 20, 64)
    by_chunk = (each[:30].mean(axis=0) + each[30:].mean(axis=0)) / 2
    np.testing.assert_allclose(heard.features(audio), by_chunk, atol=1e-6)
    with torch.inference_mode():
        logits = dcnn_network(folder.card, folder.tensors).said(torch.from_numpy(each))
        likely = torch.cat([one.softmax(dim=1).mean(dim=0) for one in logits]).tolist()
    assert dict(heard.tags(audio)) == pytest.approx(dict(zip(TAGS, likely, strict=True)), abs=1e-5)


def test_gpus_may_not_round_what_is_heard(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are as exact in use as those that were learned from; others' setting is kept."""
    random_dcnn(tmp_path / "dcnn")
    heard = encoder(str(tmp_path / "dcnn"))
    assert isinstance(heard, DcnnEncoder)
    seen: list[bool] = []
    for module in (heard.front_end, heard.network.stems[0]):
        module.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    audio = Audio(clip(3, 2.0, 22050), 22050)
    for listen in (heard.features, heard.segments, heard.tags):
        listen(audio)
    assert seen == [False] * 6
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("sharing", ["none", "first", "all"])
def test_a_folder_gives_back_the_network(tmp_path: Path, sharing: Sharing) -> None:
    network = random_network(sharing=sharing)
    folder = random_dcnn(tmp_path / "dcnn", sharing=sharing)
    assert DcnnSpec.of(folder.card) == network.spec
    again = dcnn_network(folder.card, folder.tensors)
    assert network.state_dict().keys() == again.state_dict().keys()
    for name, values in network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(values, again.state_dict()[name]), name
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in kernels(again))


def kernels(network: Dcnn) -> list[torch.Tensor]:
    return [values for values in network.parameters() if values.ndim == 4]


def test_output_layers_do_not_decide_features(tmp_path: Path) -> None:
    folder = random_dcnn(tmp_path / "dcnn")
    facts: dict[str, Any] = {
        **{"architecture": "dcnn", "card": folder.card, "tags": TAGS, "training": {}}
    }
    other = {**folder.tensors, "tags.bias": folder.tensors["tags.bias"] + 1}
    same = write_folder(tmp_path / "said", **facts, tensors=other)
    assert same.card.digest == folder.card.digest
    for name in ("shift", "stems.1.convolution.weight", "bodies.0.norm.running_var"):
        changed = {**folder.tensors, name: folder.tensors[name] * np.float32(1.5)}
        differs = write_folder(tmp_path / "changed", **facts, tensors=changed)
        assert differs.card.digest != folder.card.digest, name


def rewritten(path: Path, **settings: object) -> Path:
    facts = json.loads((path / FACTS).read_text())
    facts["card"]["settings"] = list({**dict(facts["card"]["settings"]), **settings}.items())
    (path / FACTS).write_text(json.dumps(facts))
    return path


@pytest.mark.parametrize(
    "odd",
    [
        *({"width": value} for value in (1e9, -1.0, 0.0, 1, True, "1.0", 1e-9, 16.5)),
        *({"sharing": value} for value in ("some", "", 1, "\x1b[2J")),
        *(
            {"tasks": value}
            for value in (
                *("", "g", "g=", "g=0", "g=1", "g=016,m=4", "g=3,m=999999", "g=3,m=4,", 7),
                *("g=3,g=4", "g=3;m=4", "g =3,m=4", "\x1b[2J=3,m=4", "g=3,m=٤", "-=3,m=4"),
                ",".join(f"t{n}=2" for n in range(65)),
                "g=" + "9" * 100_000,
                ",".join("a=2" for _ in range(100_000)),
            )
        ),
        *({"segment_frames": value} for value in (42, 43.0, "43")),
        {"other": 1},
    ],
)
def test_settings_that_are_none_are_refused(tmp_path: Path, odd: dict[str, object]) -> None:
    path = rewritten(random_dcnn(tmp_path / "dcnn").path, **odd)
    with pytest.raises(WeightsError, match="an encoder folder") as refused:
        open_folder(path)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("odd", "got"),
    [
        ({"width": 16.0}, "does not fit the architecture"),
        ({"tasks": "g=3,m=5"}, "wanted 8 tags, one for each output of g, m, got 7"),
        ({"tasks": "g=4,m=3", "width": 0.25}, "does not fit the architecture: dim"),
        ({"sharing": "all"}, "does not fit the architecture: dim"),
        ({"sharing": "first"}, "the tensors of the architecture.*unknown 'stems.1"),
        ({"tasks": "g=65536,m=65536"}, "131072 tags"),
    ],
)
def test_a_card_of_other_networks_is_refused(
    tmp_path: Path, odd: dict[str, object], got: str
) -> None:
    path = rewritten(random_dcnn(tmp_path / "dcnn").path, **odd)
    with pytest.raises(WeightsError, match=got):
        open_folder(path)


def test_shapes_of_huge_networks_take_no_memory() -> None:
    """640 million parameters a body: 2.5 GB, times 64."""
    tasks = tuple((f"t{n}", 2**16) for n in range(64))
    spec = DcnnSpec(tasks=tasks, width=16.0)
    shapes = dcnn_shapes(card_of(spec), spec.outputs)
    assert shapes["bodies.63.dense.weight"] == (4096, 4096)
    assert shapes["tags.weight"] == (64 * 2**16, 4096)


@pytest.mark.parametrize("count", [5, 64])
def test_networks_that_just_miss_the_limit_are_told_before_training(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header of their file, too, is counted: a line a tensor."""
    tasks = tuple((f"t{n}", 2) for n in range(count))
    tensors = dcnn_tensors(Dcnn(DcnnSpec(tasks=tasks, width=1 / 16)))
    shapes = {name: values.shape for name, values in tensors.items()}
    size = len(safetensors.numpy.save(tensors))
    monkeypatch.setitem(MAX_BYTES, WEIGHTS, size - 1)
    with pytest.raises(UsageError, match="within its limit"):
        check_size(["t: 1"], shapes)
    monkeypatch.setitem(MAX_BYTES, WEIGHTS, size + 4096 + 250 * len(shapes))
    check_size(["t: 1"], shapes)


def test_shapes_are_those_of_the_tensors() -> None:
    for sharing in ("none", "first", "all"):
        network = random_network(sharing=sharing)
        tensors = dcnn_tensors(network)
        shapes = {name: values.shape for name, values in tensors.items()}
        assert dcnn_shapes(card_of(network.spec), 7) == shapes
        assert all(values.dtype == np.float32 for values in tensors.values())
        assert "outputs.0.weight" not in shapes


@pytest.mark.parametrize(
    ("odd", "fix"),
    [
        ({"tasks": ()}, "each task once"),
        ({"tasks": (("g", 3), ("g", 4))}, "each task once"),
        ({"tasks": (("g: x", 3),)}, "another name"),
        ({"tasks": (("g", 1),)}, "two classes"),
        ({"sharing": "some"}, "--sharing"),
        ({"width": 0.01}, "--width"),
        ({"width": float("nan")}, "--width"),
    ],
)
def test_networks_that_cannot_be_are_refused(odd: dict[str, Any], fix: str) -> None:
    with pytest.raises(UsageError, match=fix):
        replace(PAPER, **odd)
