"""Cards: frozen descriptions of front ends and encoders, and the hash that binds features to them.

A card travels with the features and with every fitted model. Its hash covers each field that can
change a number (front end, excerpt, layers, weights, calibration, version) and none that cannot
(description, citation), so correcting a typo never invalidates a store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, Self, TypeVar

from segue.errors import ModelError

T = TypeVar("T")

# Fields of a front end that older stores and models do not know. Written only where they differ
# from their default, they leave the digest of every older card as it was.
LATER_FIELDS = ("pad", "gain")

DECODING = 1
"""Version of how `segue.audio` makes samples of a file: which decoder, mixing, resampling.

Raised whenever the same file would give other samples; every encoder's digest then changes.
"""
FIRST_DECODING = 1  # of cards that do not say

WORDS = ("description", "licence", "commercial", "training_data", "citation")
"""Fields of an encoder's card that cannot change a number."""

FOREIGN = ("hf:", "onnx:")
"""Prefixes of encoders that lie outside segue: ``hf:NAME_OR_FOLDER``, ``onnx:FILE``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontEndSpec:
    """Spectral front end: samples (n,) at ``rate`` -> frames (t, bins).

    Frames are centred: the signal is padded with ``n_fft // 2`` samples on both sides, so n samples
    give ``1 + n // hop`` frames, as in librosa with ``center=True``.

    Attributes
    ----------
    rate : int
        Sample rate in hertz.
    n_fft, hop : int
        Window and step in samples; the window is a periodic Hann.
    n_mels : int
        Triangular mel filters between ``f_min`` and ``f_max`` (hertz; None: half the rate).
    mel_norm : {"slaney", None}
        Area normalisation of the filters.
    mel_scale : {"slaney", "htk"}
    power : float
        Exponent of the magnitude spectrum: 1 magnitude, 2 power.
    log : {"db", "ln", "log10"}
        ``10 log10(max(x, amin))``, ``ln(max(x, amin))`` or ``log10(1 + gain x)``.
    amin : float
        Smallest value before the logarithm ("db" and "ln").
    reference_db : float
        Subtracted after the logarithm (dB only).
    floor_db : float or None
        Lowest value after subtraction. With ``floor_from="clip"`` it counts from the maximum of
        the clip, with ``"reference"`` from ``reference_db``.
    n_mfcc : int or None
        Keep this many coefficients of the orthonormal DCT-II over bins; None keeps mel bins.
    pad : {"zeros", "reflect"}
        What the padding holds: silence, or the signal mirrored about its first and last sample.
    gain : float
        Of the mel bands under ``log="log10"``.
    """

    rate: int
    n_fft: int
    hop: int
    n_mels: int
    power: float = 2.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney"] | None = "slaney"
    f_min: float = 0.0
    f_max: float | None = None
    log: Literal["db", "ln", "log10"] = "db"
    amin: float = 1e-10
    reference_db: float = 0.0
    floor_db: float | None = None
    floor_from: Literal["reference", "clip"] = "reference"
    n_mfcc: int | None = None
    pad: Literal["zeros", "reflect"] = "zeros"
    gain: float = 1.0

    @property
    def bins(self) -> int:
        """Numbers per frame."""
        return self.n_mels if self.n_mfcc is None else self.n_mfcc


@dataclass(frozen=True, kw_only=True, slots=True)
class ExcerptSpec:
    """Which stretch of a clip an encoder hears, and what it does with a shorter one.

    Attributes
    ----------
    seconds : float
        Length of one chunk.
    chunks : int or None
        How many consecutive chunks from the start are encoded and averaged; None: the whole clip.
        A last chunk shorter than half of ``seconds`` is left out unless it is the only one.
    short : {"tile", "as-is"}
        A shorter chunk is repeated up to the full length, or used at its own length.
    min_seconds : float
        Anything shorter is refused.
    """

    seconds: float
    chunks: int | None = 1
    short: Literal["tile", "as-is"] = "as-is"
    min_seconds: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderCard:
    """Everything that decides the features of an encoder, and where it comes from.

    Attributes
    ----------
    name : str
        Registry name.
    version : int
        Raised whenever the same inputs would give other numbers.
    dim : int
        Features per clip.
    layers : tuple of int
        Layers asked for, in order; empty where the encoder has none.
    settings : mapping
        Further numbers-changing facts (seed of a random network, window length).
    weights_sha256, calibration_sha256 : str or None
        Digests of the tensors in use.
    decoding : int
        How files became samples: ``DECODING`` of the version that made the card.
    commercial : bool
        False when licence or training data forbid commercial use.
    """

    name: str
    version: int
    dim: int
    front_end: FrontEndSpec
    excerpt: ExcerptSpec
    layers: tuple[int, ...] = ()
    settings: tuple[tuple[str, str | int | float], ...] = ()
    weights_sha256: str | None = None
    calibration_sha256: str | None = None
    decoding: int = DECODING
    description: str = ""
    licence: str = "MIT"
    commercial: bool = True
    training_data: str = "none"
    citation: str = ""

    @property
    def rate(self) -> int:
        """Sample rate the encoder hears, in hertz."""
        return self.front_end.rate

    @property
    def plain_name(self) -> str:
        """Name without the folder of an encoder that is called by its place (``onnx:FILE``).

        A file that was moved is the same encoder: its weights' digest says so.

        Examples
        --------
        >>> spec = FrontEndSpec(rate=8000, n_fft=256, hop=128, n_mels=20)
        >>> EncoderCard(name="onnx:/models/a.onnx", version=1, dim=20, front_end=spec,
        ...     excerpt=ExcerptSpec(seconds=1.0)).plain_name
        'onnx:a.onnx'
        """
        for prefix in FOREIGN:
            if self.name.startswith(f"{prefix}/"):
                return prefix + self.name.rstrip("/").rpartition("/")[2]
        return self.name

    @property
    def layer_code(self) -> str:
        """Layers in the paper's notation, ``"135"``; from 10 on with commas: ``"9,12"``."""
        return layer_code(self.layers)

    @property
    def label(self) -> str:
        """Name with layers, as typed on the command line: ``choi2017-msd@135``."""
        return f"{self.name}@{self.layer_code}" if self.layers else self.name

    @property
    def digest(self) -> str:
        """SHA-256 over the fields that can change a feature.

        Examples
        --------
        >>> from dataclasses import replace
        >>> spec = FrontEndSpec(rate=8000, n_fft=256, hop=128, n_mels=20)
        >>> card = EncoderCard(
        ...     name="x", version=1, dim=20, front_end=spec, excerpt=ExcerptSpec(seconds=1.0))
        >>> card.digest == replace(card, description="words").digest
        True
        >>> card.digest == replace(card, version=2).digest
        False
        """
        facts = self.to_json() | {"name": self.plain_name}
        for words in WORDS:
            del facts[words]
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values that survive JSON."""
        facts: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for field in fields(FrontEndSpec):
            if field.name in LATER_FIELDS and facts["front_end"][field.name] == field.default:
                del facts["front_end"][field.name]
        if facts["decoding"] == FIRST_DECODING:
            del facts["decoding"]
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`.

        Raises
        ------
        ModelError
            On an unknown or missing field: the card comes from another version of segue.
        """
        values = dict(checked_fields(cls, facts))
        values["front_end"] = FrontEndSpec(**checked_fields(FrontEndSpec, facts["front_end"]))
        values["excerpt"] = ExcerptSpec(**checked_fields(ExcerptSpec, facts["excerpt"]))
        values["layers"] = tuple(values.get("layers", ()))
        values.setdefault("decoding", FIRST_DECODING)
        values["settings"] = tuple((key, value) for key, value in values.get("settings", ()))
        return cls(**values)

    def differences(self, other: EncoderCard) -> list[str]:
        """Fields that would give other numbers, as ``"excerpt.seconds: 29.0 -> 30.0"``."""
        mine, theirs = (
            flatten(card.to_json() | {"decoding": card.decoding}) for card in (self, other)
        )
        return [
            f"{key}: {mine.get(key)} -> {theirs.get(key)}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key) and key not in WORDS
        ]


def layer_code(layers: tuple[int, ...]) -> str:
    """Layers as one word that `segue.encoders.parse_layers` reads.

    Examples
    --------
    >>> layer_code((1, 3, 5)), layer_code((9, 12)), layer_code((12,))
    ('135', '9,12', '12,')
    """
    if max(layers, default=0) < 10:
        return "".join(map(str, layers))
    return ",".join(map(str, layers)) + ("," if len(layers) == 1 else "")


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [2]})
    '{"a":[2],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def flatten(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping to dotted keys.

    Examples
    --------
    >>> flatten({"a": {"b": 1}})
    {'a.b': 1}
    """
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def checked_fields(kind: type[T], facts: Mapping[str, Any]) -> dict[str, Any]:
    """``facts`` if its keys are exactly fields of the dataclass ``kind``.

    Raises
    ------
    ModelError
        It is no mapping; or naming what is unknown or missing.
    """
    if not isinstance(facts, Mapping):
        raise ModelError(
            wanted=f"the fields of {kind.__name__} and their values",
            got=type(facts).__name__,
            fix="Read it with the version of segue that wrote it, or make it anew",
        )
    known = fields(kind)  # type: ignore[arg-type]
    names = {field.name for field in known}
    needed = {f.name for f in known if f.default is MISSING and f.default_factory is MISSING}
    unknown, missing = facts.keys() - names, needed - facts.keys()
    if unknown or missing:
        raise ModelError(
            wanted=f"a {kind.__name__} with the fields {', '.join(sorted(names))}",
            got=f"unknown {sorted(unknown)}, missing {sorted(missing)}",
            fix="Read it with the version of segue that wrote it, or make it anew",
        )
    return dict(facts)
