"""An ONNX file as an encoder: ``onnx:FILE``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segue.card import DECODING, EncoderCard
from segue.encoders.onnx.checks import INPUT, OUTPUT, Facts, checked, not_one, read_model
from segue.encoders.onnx.library import library, session
from segue.encoders.protocol import Encoder, Samples, Vectors
from segue.errors import InvalidSamplesError, UsageError
from segue.seeds import generator

PREFIX = "onnx:"


class OnnxEncoder(Encoder):
    """Features that ONNX Runtime computes from a graph, a chunk at a time.

    Parameters
    ----------
    card : EncoderCard
        Its layers are some of those that the graph gives.
    run : onnxruntime.InferenceSession
    widths : dict of int to int
        Numbers of each layer that the graph gives, in order; empty without layers.
    device : str
    """

    def __init__(
        self, card: EncoderCard, run: Any, *, widths: dict[int, int], device: str = "cpu"
    ) -> None:
        self.card = card
        self.run = run
        self.given = widths
        self.device = device

    @property
    def widths(self) -> dict[int, int]:
        """Numbers that each layer of this encoder gives, in order."""
        return {layer: self.given[layer] for layer in self.card.layers}

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        # one at a time: a graph takes one, and its vector depends on it alone
        vectors = np.concatenate([self._encode(chunk) for chunk in chunks])
        if not self.card.layers or len(self.card.layers) == len(self.given):
            return vectors
        ends = dict(zip(self.given, np.cumsum(list(self.given.values())), strict=True))
        parts = [vectors[:, ends[k] - self.given[k] : ends[k]] for k in self.card.layers]
        return np.concatenate(parts, axis=1)

    def _encode(self, chunk: Samples) -> Vectors:
        samples = np.ascontiguousarray(chunk, dtype=np.float32)[None]
        try:
            (vector,) = self.run.run([OUTPUT], {INPUT: samples})
        except Exception as error:  # ONNX Runtime's kinds have no common ancestor
            raise InvalidSamplesError(
                wanted=f"samples that the graph of {self.card.name} can take",
                got=f"{len(chunk)}: {_shortened(error)}",
                fix="Remove the file, or export the encoder again",
            ) from error
        return np.asarray(vector, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """An ONNX file that was looked through; its graph is loaded when it is built.

    Attributes
    ----------
    path : Path
    content : bytes
    facts : Facts
    """

    path: Path
    content: bytes
    facts: Facts

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that can be asked for: those that were exported."""
        return self.facts.card.layers

    @property
    def summary(self) -> str:
        """For a list of encoders."""
        return f"{self.facts.card.description} ({self.facts.card.dim}), as an ONNX graph"

    def card(self, *, layers: tuple[int, ...] = (), chunks: int | None = 1) -> EncoderCard:
        """The card of the encoder: that of the exported one, bound to this file."""
        own, widths = self.facts.card, self.facts.widths
        layers = layers or own.layers
        return replace(
            own,
            name=f"{PREFIX}{self.path.absolute()}",
            dim=sum(widths[layer] for layer in layers) if layers else own.dim,
            layers=layers,
            excerpt=replace(own.excerpt, chunks=chunks),
            decoding=DECODING,
            weights_sha256=hashlib.sha256(self.content).hexdigest(),
        )

    def build(
        self, *, layers: tuple[int, ...] = (), chunks: int | None = 1, device: str = "cpu"
    ) -> OnnxEncoder:
        """The encoder, once its graph has made features of some noise.

        Raises
        ------
        UsageError
            ONNX Runtime cannot use the device, or layers that were not exported.
        WeightsError
            A graph that cannot be run, or gives something else than its card says.
        """
        if not set(layers) <= set(self.layers):
            raise UsageError(
                wanted=f"layers among {', '.join(map(str, self.layers)) or 'none'}",
                got=str(list(layers)),
                fix="Export the encoder with them",
                source=self.path,
            )
        card = self.card(layers=tuple(layers), chunks=chunks)
        try:
            run = session(self.content, device)
        except UsageError:
            raise
        except Exception as error:
            raise not_one(self.path, f"a graph that cannot be run: {_shortened(error)}") from error
        encoder = OnnxEncoder(card, run, widths=self.facts.widths, device=device)
        self._probe(encoder)
        return encoder

    def _probe(self, encoder: OnnxEncoder) -> None:
        card = encoder.card
        shortest = max(1, round(card.excerpt.min_seconds * card.rate))
        length = self.facts.fixed or max(shortest, card.front_end.n_fft)
        noise = generator(0, "onnx probe").normal(0.0, 0.1, length).astype(np.float32)
        try:
            vector = encoder.encode_chunks([noise])
        except InvalidSamplesError as error:
            raise not_one(self.path, str(error)) from error
        if vector.shape != (1, card.dim) or not np.isfinite(vector).all():
            raise not_one(self.path, f"a graph that made {vector.shape} or no numbers of noise")


def open_graph(place: str | Path) -> Graph:
    """The encoder of an ONNX file that ``segue models export`` wrote; nothing of it is run yet.

    Parameters
    ----------
    place : path

    Raises
    ------
    UsageError
        The extra is not installed.
    WeightsError
        No such file, or not such a file.
    """
    library("onnxruntime")
    path = Path(place)
    content = read_model(path)
    return Graph(path=path, content=content, facts=checked(content, path))


def _shortened(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
