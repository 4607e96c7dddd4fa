"""Tiny Hugging Face models with random weights, saved as their authors would save them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

LAYERS = 5
README = """---
license: mit
datasets:
- some-music
---
# A toy

```bibtex
@article{toy, title = {A toy}, year = {2024}}
```
"""
# seven convolutions as the published ones have them; narrow
SAMPLES = {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
}
CLAP = {
    "hidden_size": 64,
    "depths": [1, 1, 2, 1],
    "num_attention_heads": [1, 1, 2, 2],
    "patch_embeds_hidden_size": 8,
    "projection_dim": 8,
}
AST = {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 3,
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": LAYERS,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "vocab_size": 20,
    "pad_token_id": 0,
    "decoder_start_token_id": 1,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# name: class of the whole model, of its configuration, its values, its extractor and values
TOYS: dict[str, tuple[str, str, Mapping[str, Any], str, Mapping[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2ForCTC", "Wav2Vec2Config", SAMPLES, "Wav2Vec2", {}),
    "wav2vec2-layer": (
        "Wav2Vec2ForPreTraining",
        "Wav2Vec2Config",
        {**SAMPLES, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
        "Wav2Vec2",
        {"do_normalize": False},
    ),
    "wav2vec2-conformer": (
        "Wav2Vec2ConformerForCTC",
        "Wav2Vec2ConformerConfig",
        SAMPLES,
        "Wav2Vec2",
        {},
    ),
    "hubert": ("HubertForCTC", "HubertConfig", SAMPLES, "Wav2Vec2", {}),
    "mert": ("HubertModel", "HubertConfig", SAMPLES, "Wav2Vec2", {"sampling_rate": 24_000}),
    "wavlm": ("WavLMForXVector", "WavLMConfig", SAMPLES, "Wav2Vec2", {}),
    "data2vec-audio": (
        "Data2VecAudioForCTC",
        "Data2VecAudioConfig",
        {**SAMPLES, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5},
        "Wav2Vec2",
        {},
    ),
    "unispeech": ("UniSpeechForCTC", "UniSpeechConfig", SAMPLES, "Wav2Vec2", {}),
    "unispeech-sat": ("UniSpeechSatForCTC", "UniSpeechSatConfig", SAMPLES, "Wav2Vec2", {}),
    "sew": ("SEWForCTC", "SEWConfig", {**SAMPLES, "squeeze_factor": 2}, "Wav2Vec2", {}),
    "clap": (
        "ClapModel",
        "ClapConfig",
        {"audio_config": CLAP},
        "Clap",
        {"truncation": "rand_trunc", "frequency_min": 50},
    ),
    "clap-fused": (
        "ClapModel",
        "ClapConfig",
        {
            "audio_config": {
                **CLAP,
                "enable_fusion": True,
                "fusion_type": "aff_2d",
            }
        },
        "Clap",
        {"truncation": "fusion"},
    ),
    "ast": ("ASTForAudioClassification", "ASTConfig", AST, "AST", {}),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", WHISPER, "Whisper", {}),
}
TEXT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 8,
    "vocab_size": 12,
    "projection_dim": 8,
}


def whole_model(name: str) -> Any:
    """The model of transformers, with its head, from a fixed seed."""
    import transformers

    kind, config, values, _, _ = TOYS[name]
    if "audio_config" in values:
        values = {**values, "text_config": TEXT, "projection_dim": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, kind)(getattr(transformers, config)(**values)).eval()
        for parameter in model.parameters():
            # zeros and ones of a fresh network would let a lost tensor pass unseen
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def extractor(name: str) -> Any:
    """Its feature extractor of transformers."""
    import transformers

    _, _, _, kind, values = TOYS[name]
    with warnings.catch_warnings():  # of AST's 128 filters, the lowest have no bin
        warnings.simplefilter("ignore", UserWarning)
        return getattr(transformers, f"{kind}FeatureExtractor")(**values)


def save_toy(name: str, folder: Path, *, readme: str = README) -> Path:
    """The folder of a tiny model."""
    whole_model(name).save_pretrained(folder)
    extractor(name).save_pretrained(folder)
    (folder / "README.md").write_text(readme)
    if name == "mert":
        # what the published repository says: code of its own, and fields that only it knows
        edit(
            folder / "config.json",
            model_type="mert_model",
            architectures=["MERTModel"],
            auto_map={"AutoModel": "modeling_MERT.MERTModel"},
            feature_extractor_cqt=False,
            deepnorm=False,
            attention_relax=32.0,
        )
    return folder


def edit(path: Path, **values: object) -> None:
    """Change values of a JSON file; None removes one."""
    facts = {**json.loads(path.read_text()), **values}
    kept = {name: value for name, value in facts.items() if value is not None}
    path.write_text(json.dumps(kept))
