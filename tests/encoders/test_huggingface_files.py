"""Hugging Face models: what is believed of their files, what is fetched, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from huggingface_toys import edit, save_toy, whole_model
from segue.encoders import encoder
from segue.encoders.huggingface import network as networks
from segue.encoders.huggingface import open_model
from segue.encoders.huggingface.readme import may_serve_business
from segue.errors import UsageError, WeightsError

pytest.importorskip("transformers", reason="the extra segue[hf] is not installed")


def tone(rate: int = 16_000) -> np.ndarray:
    return np.sin(np.arange(rate) / 7).astype(np.float32)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Change the weights of a folder."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


# the weights


WRONG_WEIGHTS: dict[str, tuple[str, Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "a layer's tensor is missing": (
        "wav2vec2",
        lambda t: t.pop("wav2vec2.encoder.layers.3.attention.k_proj.weight"),
        r"no encoder\.layers\.3\.attention\.k_proj\.weight",
    ),
    "all are missing": ("wav2vec2", lambda t: t.clear() or t.update(a=torch.ones(1)), "no encoder"),
    "one too many": (
        "ast",
        lambda t: t.update({"audio_spectrogram_transformer.layers.9.mlp.fc1.bias": torch.ones(1)}),
        r"an unknown layers\.9\.mlp",
    ),
    "another shape": (
        "whisper",
        lambda t: t.update({"model.encoder.conv1.weight": torch.ones(3, 3)}),
        "wanted all tensors of Whisper's encoder",
    ),
    "a network larger than its file": (
        "mert",
        lambda t: [t.pop(name) for name in list(t) if "layers" in name],
        r"\d+ numbers for a network of \d+",
    ),
    "not finite": (
        "clap",
        lambda t: t["audio_model.audio_encoder.norm.bias"].fill_(torch.nan),
        r"audio_encoder\.norm\.bias with NaN",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_WEIGHTS)
def test_wrong_weights_are_refused(
    wrong: str, copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change, message = WRONG_WEIGHTS[wrong]
    if wrong.startswith("a network larger"):
        monkeypatch.setattr(networks, "SPARE", 0)
    folder = copied(name)
    rewrite(folder, change)
    with pytest.raises(WeightsError, match=message):
        encoder(f"hf:{folder}")


def test_heads_and_what_training_leaves_do_not_matter(copied: Callable[[str], Path]) -> None:
    folder = copied("wav2vec2")
    before = encoder(f"hf:{folder}")

    def headless(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("lm_head.weight", "lm_head.bias", "wav2vec2.masked_spec_embed"):
            del tensors[name]

    rewrite(folder, headless)
    after = encoder(f"hf:{folder}")
    np.testing.assert_array_equal(after.encode_chunks([tone()]), before.encode_chunks([tone()]))


def test_names_of_any_version_are_understood(copied: Callable[[str], Path]) -> None:
    """As transformers saves them, as published files of 2021 have them, as the network does."""
    other_names = {
        "wav2vec2": {
            "parametrizations.weight.original0": "weight_g",
            "parametrizations.weight.original1": "weight_v",
        },
        # saved with the names of 2022; those of the network itself must do as well
        "ast": {
            "transformer.encoder.layer.": "transformer.layers.",
            "attention.attention.query": "attention.q_proj",
            "attention.attention.key": "attention.k_proj",
            "attention.attention.value": "attention.v_proj",
            "attention.output.dense": "attention.o_proj",
            "intermediate.dense": "mlp.fc1",
            "output.dense": "mlp.fc2",
        },
    }
    for name, names in other_names.items():
        folder = copied(name)
        before = encoder(f"hf:{folder}")
        tensors = load_file(folder / "model.safetensors")
        renamed = {}
        for key, values in tensors.items():
            for saved_name, other in names.items():
                key = key.replace(saved_name, other)
            renamed[key] = values
        assert renamed.keys() != tensors.keys()
        save_file(renamed, folder / "model.safetensors")
        after = encoder(f"hf:{folder}")
        np.testing.assert_array_equal(after.encode_chunks([tone()]), before.encode_chunks([tone()]))


def test_half_precision_is_computed_in_single(copied: Callable[[str], Path]) -> None:
    folder = copied("mert")
    rewrite(folder, lambda t: t.update({name: one.half() for name, one in t.items()}))
    edit(folder / "config.json", dtype="float16")
    built = encoder(f"hf:{folder}")
    (vector,) = built.encode_chunks([tone(24_000)])
    assert vector.dtype == np.float32
    assert {one.dtype for one in built.tower.parameters()} == {torch.float32}  # type: ignore[attr-defined]
    assert len(np.unique(vector.astype(np.float16))) < len(vector) or np.any(
        vector != vector.astype(np.float16)
    )


def test_weights_in_parts(copied: Callable[[str], Path]) -> None:
    folder = copied("hubert")
    whole = encoder(f"hf:{folder}")
    shutil.rmtree(folder)
    whole_model("hubert").save_pretrained(folder, max_shard_size="8KB")
    save_toy("hubert", folder.parent / "again")
    for name in ("preprocessor_config.json", "README.md"):
        shutil.copy(folder.parent / "again" / name, folder)
    assert not (folder / "model.safetensors").exists()
    parts = encoder(f"hf:{folder}")
    np.testing.assert_array_equal(parts.encode_chunks([tone()]), whole.encode_chunks([tone()]))
    assert parts.card.weights_sha256 == whole.card.weights_sha256

    index = folder / "model.safetensors.index.json"
    for strange in ("../model-00001-of-00002.safetensors", "/etc/passwd", 7):
        edit(index, weight_map={"a": strange})
        with pytest.raises(WeightsError, match="damaged index"):
            encoder(f"hf:{folder}")
    index.write_text("[")
    with pytest.raises(WeightsError, match="damaged index"):
        encoder(f"hf:{folder}")


def test_pickles_are_never_opened(copied: Callable[[str], Path]) -> None:
    folder = copied("mert")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")
    with pytest.raises(WeightsError, match=r"only pytorch_model\.bin, which may run code"):
        encoder(f"hf:{folder}")


def test_damaged_and_huge_weights_are_refused(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied("mert")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"\xff" * 8 + content[8:]):
        weights.write_bytes(damaged)
        with pytest.raises(WeightsError, match="whole safetensors weights"):
            encoder(f"hf:{folder}")
    weights.write_bytes(content)
    monkeypatch.setattr(networks, "MAX_WEIGHT_BYTES", 1000)
    with pytest.raises(WeightsError, match="more than 1000"):
        encoder(f"hf:{folder}")


def test_weights_are_part_of_the_card(copied: Callable[[str], Path]) -> None:
    folder = copied("mert")
    before = encoder(f"hf:{folder}").card
    rewrite(folder, lambda t: t["encoder.layers.0.final_layer_norm.bias"].add_(1e-3))
    after = encoder(f"hf:{folder}").card
    assert before.weights_sha256 != after.weights_sha256
    edit(folder / "preprocessor_config.json", do_normalize=False)
    other = encoder(f"hf:{folder}").card
    changed = [line.partition(":")[0] for line in after.differences(other)]
    assert changed == ["settings"]


# the descriptions


def test_code_of_a_repository_is_never_run(copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder, trap = copied("mert"), tmp_path / "it-ran"
    for name in ("modeling_MERT.py", "configuration_MERT.py"):
        (folder / name).write_text(f"open({str(trap)!r}, 'w')\n")
    edit(folder / "config.json", auto_map={"AutoConfig": "configuration_MERT.MERTConfig"})
    # what the library itself would follow, were it asked to open the folder
    edit(folder / "config.json", _attn_implementation="nobody/kernel", fusion_config={"a": True})
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "nobody/nothing"}')
    assert encoder(f"hf:{folder}").encode_chunks([tone(24_000)]).shape == (1, 80)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mert", {"feature_extractor_cqt": True}, "constant-Q"),
        ("mert", {"deepnorm": True}, "deepnorm"),
        ("wav2vec2", {"add_adapter": True}, "an adapter"),
        ("wav2vec2", {"model_type": "bert"}, "of the types wav2vec2, .*got 'bert'"),
        ("wav2vec2", {"model_type": ["wav2vec2"]}, "of the types wav2vec2"),
        ("wav2vec2", {"model_type": None}, "of the types wav2vec2"),
        ("wav2vec2", {"quantization_config": {"quant_method": "x"}}, "quantised"),
        ("wav2vec2", {"num_hidden_layers": 100_000}, "1 to 200 layers"),
        ("wav2vec2", {"num_hidden_layers": 0}, "1 to 200 layers"),
        ("wav2vec2", {"hidden_size": 10**9}, "whole numbers up to"),
        ("wav2vec2", {"hidden_size": "16"}, "a Wav2Vec2Config"),
        ("wav2vec2", {"conv_stride": [0] * 7}, "positive size"),
        ("wav2vec2", {"conv_kernel": []}, "Config"),
        ("wav2vec2", {"x": [[[[[[[1]]]]]]]}, "deeper structure"),
        ("clap", {"audio_config": 3}, "audio_config: an object"),
        ("ast", {"frequency_stride": 0}, "sizes that fit"),
        ("whisper", {"max_source_positions": 1499}, "1499 positions"),
    ],
)
def test_networks_that_are_not_known_are_refused(
    name: str, values: dict[str, object], message: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(name)
    edit(folder / "config.json", **values)
    with pytest.raises((UsageError, WeightsError), match=message):
        open_model(str(folder))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("wav2vec2", {"sampling_rate": None}, "sampling_rate: a whole number"),
        ("wav2vec2", {"sampling_rate": 10**12}, "sampling_rate: a whole number"),
        ("wav2vec2", {"sampling_rate": "16000"}, "sampling_rate: a whole number"),
        ("wav2vec2", {"do_normalize": "yes"}, "do_normalize: true or false"),
        ("wav2vec2", {"feature_size": 2}, "feature_size"),
        ("wav2vec2", {"feature_extractor_type": "ClapFeatureExtractor"}, "how this model hears"),
        ("clap", {"truncation": "fusion"}, "fusion False"),
        ("clap", {"max_length_s": 60}, "at most 1024 frames"),
        ("clap", {"padding": "mirror"}, "padding: one of"),
        ("clap", {"frequency_min": 14_000}, "frequency_min below"),
        ("ast", {"max_length": 512}, "max_length"),
        ("ast", {"sampling_rate": 44_100}, "sampling_rate"),
        ("ast", {"std": 0}, "other than 0"),
        ("ast", {"mean": float("inf")}, "mean: a finite number"),
        ("whisper", {"feature_size": 128}, "feature_size"),
        ("whisper", {"dither": 0.1}, "adds noise"),
    ],
)
def test_extractors_that_do_not_fit_are_refused(
    name: str, values: dict[str, object], message: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(name)
    edit(folder / "preprocessor_config.json", **values)
    with pytest.raises((UsageError, WeightsError), match=message):
        open_model(str(folder))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b" " * 9_000_000], ids=range(6)
)
@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_damaged_descriptions_are_refused(
    file: str, content: bytes, copied: Callable[[str], Path]
) -> None:
    folder = copied("mert")
    (folder / file).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{file}: wanted {file}"):
        open_model(str(folder))


def test_missing_files_are_named(copied: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        open_model(str(tmp_path / "nowhere"))
    folder = copied("mert")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json: wanted"):
        open_model(str(folder))


def test_a_processor_may_describe_the_extractor(copied: Callable[[str], Path]) -> None:
    """As transformers 5 saves it, for models with a tokenizer."""
    folder = copied("wav2vec2")
    before = open_model(str(folder)).card()
    own = folder / "preprocessor_config.json"
    nested = {"processor_class": "X", "feature_extractor": json.loads(own.read_text())}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    own.unlink()
    assert open_model(str(folder)).card() == before


@pytest.mark.parametrize(
    ("licence", "permitted"),
    [
        ("mit", True),
        (["mit", "apache-2.0"], True),
        ([], False),
        (["mit", {"name": "cc-by-nc-4.0"}], False),
        (["mit", ["cc-by-nc-4.0"]], False),
        (["mit", None], False),
        (["mit"] * 200 + ["cc-by-nc-4.0"], False),
    ],
)
def test_a_licence_that_is_not_understood_permits_nothing(licence: object, permitted: bool) -> None:
    assert may_serve_business(licence) is permitted


def test_a_front_matter_that_refers_to_itself_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("wav2vec2")
    bomb = ["a: &a {x: 1}"]
    bomb += [f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}" for a, b in pairwise("abcdefghij")]
    (folder / "README.md").write_text("---\n" + "\n".join(bomb) + "\n---\n")
    with pytest.raises(WeightsError, match="malformed front matter"):
        encoder(f"hf:{folder}")
