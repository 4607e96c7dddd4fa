"""The JSON files of a model: read within limits, each value checked before it is used."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.card import canonical_json
from segue.encoders.huggingface.places import CONFIG, EXTRACTORS
from segue.errors import UsageError, WeightsError
from segue.files import read_bounded

# old descriptions of Whisper hold its mel filters, written out
MAX_JSON_BYTES = 8 * 2**20
LARGEST = 2**20  # of any whole number of a network's configuration
DEEPEST = 4  # lists and objects within each other


@dataclass(frozen=True, slots=True)
class Facts:
    """Named values of one file.

    Parameters
    ----------
    values : mapping
    source : Path
        For messages.
    """

    values: Mapping[str, Any]
    source: Path

    @property
    def digest(self) -> str:
        """SHA-256 over all values."""
        return hashlib.sha256(canonical_json(dict(self.values)).encode()).hexdigest()

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number between two others, both allowed.

        Raises
        ------
        WeightsError
            It is something else, or is missing and has no default.

        Examples
        --------
        >>> Facts({"hop_length": 160}, Path("a.json")).whole("hop_length", 1, 10_000)
        160
        """
        value = self._value(name, default)
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise self.unusable(f"{name}: a whole number from {low} to {high}", repr(value))
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number.

        Raises
        ------
        WeightsError
        """
        value = self._value(name, default)
        if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > 1e9:
            raise self.unusable(f"{name}: a finite number", repr(value))
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false.

        Raises
        ------
        WeightsError
        """
        value = self._value(name, default)
        if type(value) is not bool:
            raise self.unusable(f"{name}: true or false", repr(value))
        return value

    def choice(self, name: str, among: tuple[str, ...], default: str) -> str:
        """One of several words.

        Raises
        ------
        WeightsError
        """
        value = self._value(name, default)
        if value not in among:
            raise self.unusable(f"{name}: one of {', '.join(among)}", repr(value))
        return str(value)

    def _value(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def unusable(self, wanted: str, got: str) -> WeightsError:
        """That a value is not what it must be."""
        return WeightsError(
            wanted=wanted,
            got=got[:100],
            fix="Copy the model's files again from where it was published",
            source=self.source,
        )


def read_config(folder: Path) -> Facts:
    """The configuration of a model's network.

    Raises
    ------
    UsageError
        Its weights are quantised.
    WeightsError
        Missing, too large or malformed; a number beyond all reason.
    """
    facts = _read(folder / CONFIG)
    if facts.values.get("quantization_config") is not None:
        raise UsageError(
            wanted="a network with weights as they were trained",
            got="quantised weights",
            fix="Use the model that this one was made from",
            source=facts.source,
        )
    if too_large(dict(facts.values)):
        raise facts.unusable(
            f"whole numbers up to {LARGEST}", "a larger one, or a deeper structure"
        )
    return facts


def read_extractor(folder: Path) -> Facts:
    """What prepares samples for the network: a file of its own, or a part of the processor's.

    Raises
    ------
    WeightsError
        There is none, or it is malformed.
    """
    own, processor = (folder / name for name in EXTRACTORS)
    if processor.is_file():
        nested = _read(processor)
        values = nested.values.get("feature_extractor") or nested.values.get("audio_processor")
        if isinstance(values, dict):
            return Facts(values, processor)
    return _read(own)


def too_large(value: object, depth: int = 0) -> bool:
    """Whether whole numbers anywhere in it, or its depth, could exhaust the machine.

    Examples
    --------
    >>> too_large({"hidden_size": 768, "conv_dim": [512, 512]}), too_large([10**9])
    (False, True)
    """
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > DEEPEST or any(too_large(one, depth + 1) for one in inner)
    return type(value) is int and abs(value) > LARGEST


def _read(path: Path) -> Facts:
    try:
        values = json.loads(read_bounded(path, MAX_JSON_BYTES))
        if not isinstance(values, dict):
            raise ValueError(f"a {type(values).__name__} instead of an object")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            wanted=f"{path.name} of a Hugging Face model",
            got=getattr(error, "strerror", None) or str(error)[:200] or type(error).__name__,
            fix="Name a folder that save_pretrained wrote for the model and its feature extractor",
            source=path,
        ) from error
    return Facts(values, path)
