"""A Hugging Face model that was found: what it is, and how to build its encoder."""

from __future__ import annotations

from dataclasses import dataclass

from segue.card import EncoderCard, ExcerptSpec
from segue.encoders.huggingface.encoder import HuggingFaceEncoder
from segue.encoders.huggingface.facts import read_config, read_extractor
from segue.encoders.huggingface.families import Design, design
from segue.encoders.huggingface.library import library
from segue.encoders.huggingface.network import Tower, load_network
from segue.encoders.huggingface.places import Place, located
from segue.encoders.huggingface.readme import Terms, terms_of

SHORTEST = 0.05  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model by its descriptions; its weights are read when it is built.

    Attributes
    ----------
    place : Place
    design : Design
    terms : Terms
    """

    place: Place
    design: Design
    terms: Terms

    @property
    def layers(self) -> tuple[int, ...]:
        """All layers, from 1."""
        return tuple(range(1, len(self.design.widths) + 1))

    @property
    def summary(self) -> str:
        """For a list of encoders."""
        widths = sorted(set(self.design.widths))
        return (
            f"{self.design.family.title}, {len(self.layers)} layers of "
            f"{' to '.join(map(str, widths[:1] + widths[1:][-1:]))} ({sum(self.design.widths)})"
        )

    def card(
        self,
        *,
        layers: tuple[int, ...] = (),
        chunks: int | None = 1,
        weights_sha256: str | None = None,
    ) -> EncoderCard:
        """The card of an encoder; without a digest as long as weights were not read."""
        layers = layers or self.layers
        hearing = self.design.hearing()
        shortest = max(SHORTEST, hearing.least / hearing.spec.rate)
        pinned = self.place.revision
        return EncoderCard(
            name=self.place.name,
            version=1,
            dim=sum(self.design.widths[layer - 1] for layer in layers),
            front_end=hearing.spec,
            excerpt=ExcerptSpec(seconds=hearing.seconds, chunks=chunks, min_seconds=shortest),
            layers=layers,
            settings=(
                ("model_type", self.design.model_type),
                *((("revision", pinned),) if pinned else ()),
                ("config", self.design.facts.digest),
                ("preprocessor", self.design.extractor.digest),
                *hearing.settings,
            ),
            weights_sha256=weights_sha256,
            description=self.summary,
            licence=self.terms.licence,
            commercial=self.terms.commercial,
            training_data=self.terms.training_data,
            citation=self.terms.citation,
        )

    def build(
        self, *, layers: tuple[int, ...] = (), chunks: int | None = 1, device: str = "cpu"
    ) -> HuggingFaceEncoder:
        """The encoder with its weights; all layers where none are named.

        Raises
        ------
        WeightsError
            Weights that are missing, damaged, or not the network's.
        """
        layers = tuple(layers) or self.layers
        network, digest = load_network(self.design, self.place.folder)
        return HuggingFaceEncoder(
            self.card(layers=layers, chunks=chunks, weights_sha256=digest),
            Tower(network, blocks=self.design.family.blocks, layers=layers),
            self.design.hearing(),
            widths={layer: self.design.widths[layer - 1] for layer in layers},
            device=device,
        )


def open_model(place: str) -> Model:
    """The model of a folder, or of a name on the hub that was pulled before.

    Nothing is fetched, no code of the model is run, no weights are read yet.

    Parameters
    ----------
    place : str
        ``"organisation/model"``; or a folder that ``save_pretrained`` wrote (``"./mine"``).

    Raises
    ------
    UsageError
        transformers is not installed; a model of a family that segue does not know.
    WeightsError
        No such folder, a name that was never pulled, or damaged descriptions.
    """
    library("transformers")
    return open_place(located(place))


def open_place(place: Place) -> Model:
    """The model of files that were found.

    Raises
    ------
    UsageError, WeightsError
    """
    config, extractor = read_config(place.folder), read_extractor(place.folder)
    found = design(config, extractor)
    found.hearing()  # what does not fit is said before any work begins
    return Model(place=place, design=found, terms=terms_of(place))
