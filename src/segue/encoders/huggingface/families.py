"""The families of networks that segue knows, by the ``model_type`` of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from segue.encoders.huggingface.facts import Facts
from segue.encoders.huggingface.hearing import Hearing, RawSamples
from segue.encoders.huggingface.library import library
from segue.encoders.huggingface.spectra import Ast, Clap, Whisper
from segue.errors import UsageError

MAX_LAYERS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One family: which class of transformers it is, and how it hears.

    Attributes
    ----------
    title : str
    network, config : str
        Classes of transformers; the network's may lie in a module of its own.
    prefixes : tuple of str
        Before the names of its tensors in a file that holds more than the encoder.
    blocks : str
        The network's list of layers.
    extractor : str
        Class of its feature extractor.
    hear : callable
        Its :class:`Hearing` from the facts of the extractor and the network's configuration.
    part : str
        Where its configuration is a part of the file.
    """

    title: str
    network: str
    config: str
    prefixes: tuple[str, ...]
    blocks: str = "encoder.layers"
    extractor: str = "Wav2Vec2FeatureExtractor"
    hear: Callable[[Facts, Any], Hearing]
    part: str = ""

    def network_class(self) -> Any:
        """The class of its network."""
        module, _, name = self.network.rpartition(".")
        return getattr(library(f"transformers.{module}" if module else "transformers"), name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """A model as its files describe it, without weights.

    Attributes
    ----------
    model_type : str
    family : Family
    config : object
        Configuration of transformers, made of checked values.
    facts, extractor : Facts
        What it was made of, and what prepares samples.
    widths : tuple of int
        Of each layer.
    """

    model_type: str
    family: Family
    config: Any
    facts: Facts
    extractor: Facts
    widths: tuple[int, ...]

    def hearing(self) -> Hearing:
        """How it hears.

        Raises
        ------
        UsageError, WeightsError
            The extractor is none that is known, or does not fit the network.
        """
        kind = self.extractor.values.get("feature_extractor_type", self.family.extractor)
        if kind != self.family.extractor:
            raise UsageError(
                wanted=f"the feature extractor {self.family.extractor} for {self.model_type}",
                got=repr(kind)[:100],
                fix="segue does not know how this model hears",
                source=self.extractor.source,
            )
        try:
            return self.family.hear(self.extractor, self.config)
        except (ArithmeticError, LookupError, RuntimeError, TypeError) as error:
            raise self.facts.unusable("sizes that fit each other", str(error)) from error


def design(config: Facts, extractor: Facts) -> Design:
    """What a model is, from its two descriptions.

    Raises
    ------
    UsageError
        A family, or a variant of one, that segue does not know.
    WeightsError
        A value that its family cannot have.
    """
    model_type = config.values.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise UsageError(
            wanted=f"a model of one of the types {', '.join(FAMILIES)}",
            got=repr(model_type)[:100],
            fix="Use an audio encoder of one of these families",
            source=config.source,
        )
    _refuse_variants(config)
    part = config.values.get(family.part, {}) if family.part else config.values
    if not isinstance(part, dict):
        raise config.unusable(f"{family.part}: an object", type(part).__name__)
    built, used = _configured(family, Facts(part, config.source))
    return Design(
        model_type=str(model_type),
        family=family,
        config=built,
        facts=used,
        extractor=extractor,
        widths=_widths(built, used),
    )


def _refuse_variants(config: Facts) -> None:
    """What needs code of the repository, or a part that gives no layers of its own."""
    for name, what in (
        ("feature_extractor_cqt", "constant-Q frames beside the samples"),
        ("deepnorm", "residual connections of its own (deepnorm)"),
        ("add_adapter", "an adapter after its layers"),
    ):
        if config.values.get(name):
            raise UsageError(
                wanted="a network that transformers has without code of the repository",
                got=f"one with {what}",
                fix="Use another model of the family",
                source=config.source,
            )


def _configured(family: Family, facts: Facts) -> tuple[Any, Facts]:
    """A configuration of the family's own fields only, and which they were.

    What else a file says (which code to run, which kernels to fetch, how to quantise) never
    reaches the library.
    """
    kind = getattr(library("transformers"), family.config)
    general = {one.name for one in fields(library("transformers").PreTrainedConfig)}
    known = {one.name for one in fields(kind)} - general
    values = {name: value for name, value in facts.values.items() if name in known}
    wrong = library("huggingface_hub.errors").StrictDataclassError
    try:
        built = kind(**values)
    except (wrong, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise facts.unusable(f"a {family.config}", " ".join(str(error).split())) from error
    return built, Facts(values, facts.source)


def _widths(config: Any, facts: Facts) -> tuple[int, ...]:
    """Numbers that each layer gives."""
    if hasattr(config, "depths"):  # a stage halves its map, and doubles the width, but the last
        stages = len(config.depths)
        if not 1 <= stages <= MAX_LAYERS or sum(config.depths) > MAX_LAYERS:
            raise facts.unusable(f"up to {MAX_LAYERS} layers", str(stages))
        doubled = [min(stage + 1, stages - 1) for stage in range(stages)]
        first: int = config.patch_embeds_hidden_size
        return tuple(first << times for times in doubled)
    whisper = hasattr(config, "d_model")
    layers: int = config.encoder_layers if whisper else config.num_hidden_layers
    if not 1 <= layers <= MAX_LAYERS:
        raise facts.unusable(f"1 to {MAX_LAYERS} layers", str(layers))
    width: int = config.d_model if whisper else config.hidden_size
    return (width,) * layers


def _samples(extractor: Facts, config: Any) -> Hearing:
    kernels, strides = list(config.conv_kernel), list(config.conv_stride)
    if not kernels or len(kernels) != len(strides) or min(kernels + strides) < 1:
        raise extractor.unusable("convolutions of positive size", f"{kernels}, {strides}"[:80])
    return RawSamples(
        extractor,
        kernels=kernels,
        strides=strides,
        channels=config.conv_dim[-1],
        squeezed=getattr(config, "squeeze_factor", 1),
    )


def _whisper(extractor: Facts, config: Any) -> Hearing:
    bands, places = config.num_mel_bins, config.max_source_positions
    return Whisper(extractor, bands=bands, source_positions=places)


def _clap(extractor: Facts, config: Any) -> Hearing:
    frames = config.spec_size * (config.spec_size // config.num_mel_bins)
    fused = config.enable_fusion
    return Clap(extractor, bands=config.num_mel_bins, frames=frames, fused=fused)


def _ast(extractor: Facts, config: Any) -> Hearing:
    return Ast(
        extractor,
        bands=config.num_mel_bins,
        frames=config.max_length,
        patch=config.patch_size,
        across=config.frequency_stride,
        along=config.time_stride,
    )


def _of_samples(title: str, name: str, prefix: str, blocks: str = "encoder.layers") -> Family:
    return Family(
        title=title,
        network=f"{name}Model",
        config=f"{name}Config",
        prefixes=(prefix,),
        blocks=blocks,
        hear=_samples,
    )


def _clap_family(part: str) -> Family:
    return Family(
        title="CLAP's audio tower",
        network="ClapAudioModel",
        config="ClapAudioConfig",
        prefixes=("audio_model.",),
        blocks="audio_encoder.layers",
        extractor="ClapFeatureExtractor",
        hear=_clap,
        part=part,
    )


FAMILIES = {
    "wav2vec2": _of_samples("wav2vec 2.0", "Wav2Vec2", "wav2vec2."),
    "wav2vec2-conformer": _of_samples(
        "wav2vec 2.0 (conformer)", "Wav2Vec2Conformer", "wav2vec2_conformer."
    ),
    "hubert": _of_samples("HuBERT", "Hubert", "hubert."),
    # its published code is HuBERT's where the variants refused above are not used
    "mert_model": _of_samples("MERT", "Hubert", "mert_model."),
    "wavlm": _of_samples("WavLM", "WavLM", "wavlm."),
    "data2vec-audio": _of_samples("data2vec", "Data2VecAudio", "data2vec_audio."),
    "unispeech": _of_samples("UniSpeech", "UniSpeech", "unispeech."),
    "unispeech-sat": _of_samples("UniSpeech-SAT", "UniSpeechSat", "unispeech_sat."),
    "sew": _of_samples("SEW", "SEW", "sew."),
    "clap": _clap_family("audio_config"),
    "clap_audio_model": _clap_family(""),
    "audio-spectrogram-transformer": Family(
        title="AST",
        network="ASTModel",
        config="ASTConfig",
        prefixes=("audio_spectrogram_transformer.",),
        blocks="layers",
        extractor="ASTFeatureExtractor",
        hear=_ast,
    ),
    "whisper": Family(
        title="Whisper's encoder",
        network="models.whisper.modeling_whisper.WhisperEncoder",
        config="WhisperConfig",
        prefixes=("model.encoder.", "encoder."),
        blocks="layers",
        extractor="WhisperFeatureExtractor",
        hear=_whisper,
    ),
}
