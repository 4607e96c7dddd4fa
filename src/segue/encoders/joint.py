"""The joint embedding of Hamel et al. 2013: frames, and the labels of several sets, in one space.

Affinity of a label i and a frame x: f_i(x) = W_i . V x, with one V for all data sets and rows W_i
for the labels of each. Features are those of V alone; what the labels say is an output beside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.audio import Audio
from segue.audio.frontends import FrontEnd, preset
from segue.card import EncoderCard, ExcerptSpec
from segue.encoders.melstats import WindowGraph
from segue.encoders.names import LABEL
from segue.encoders.protocol import Encoder, Samples, Vectors
from segue.encoders.windows import STATISTICS, WINDOW_FRAMES, window_features
from segue.errors import WeightsError

CITATION = (
    "Hamel et al., Transfer learning in MIR: sharing learned latent representations for music "
    "audio classification and similarity, ISMIR 2013"
)
FRONT_END = preset("hamel2013")
EXCERPT = ExcerptSpec(seconds=30.0)
LABELS = "labels"
MAX_UNITS = 2**20
SHA256 = re.compile(r"[0-9a-f]{64}")
MARK = ": "
"""Between the name of a data set and that of a label."""

Settings = tuple[tuple[str, str | int | float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class JointSpec:
    """Shape of an embedding and what it hears; in a card, its ``settings``.

    Attributes
    ----------
    inputs : int
        d, numbers of a frame.
    dimensions : int
        D, of the space.
    hidden : int
        Units of the hidden layer; 0 for the paper's linear map.
    base : str
        The encoder whose vectors take the place of frames, by its name; empty for log-mel frames.
    base_digest : str
        Digest of its card, of one chunk.
    """

    inputs: int = FRONT_END.bins
    dimensions: int = 100
    hidden: int = 0
    base: str = ""
    base_digest: str = ""

    @property
    def windowed(self) -> bool:
        """Whether features are statistics of windows of frames, as the paper's."""
        return not self.base

    @property
    def width(self) -> int:
        """Features of a clip."""
        return self.dimensions * (STATISTICS if self.windowed else 1)

    def settings(self) -> Settings:
        """As a card has them.

        Examples
        --------
        >>> JointSpec(dimensions=50).settings()
        (('inputs', 200), ('dimensions', 50), ('hidden', 0), ('window_frames', 64))
        """
        numbers = (("inputs", self.inputs), ("dimensions", self.dimensions))
        shape: Settings = (*numbers, ("hidden", self.hidden))
        if self.windowed:
            return (*shape, ("window_frames", WINDOW_FRAMES))
        return (*shape, ("base", self.base), ("base_digest", self.base_digest))

    @classmethod
    def of(cls, card: EncoderCard) -> JointSpec:
        """The inverse of :meth:`settings`, of a card that is not trusted.

        Raises
        ------
        ValueError
            Settings that are not an embedding's.
        """
        facts = dict(card.settings)
        known = {field.name: facts[field.name] for field in fields(cls) if field.name in facts}
        for name, least in (("inputs", 1), ("dimensions", 1), ("hidden", 0)):
            units = known.get(name)
            if type(units) is not int or not least <= units <= MAX_UNITS:
                raise ValueError(f"{name} {units!r:.80}, which is no number of units")
        # a name alone: by a path, an embedding could embed its own vectors
        for name, form in (("base", LABEL), ("base_digest", SHA256)):
            value = known.get(name, "")
            if name in known and not (isinstance(value, str) and form.fullmatch(value)):
                raise ValueError(f"{name} {value!r:.80}, which is no encoder's")
        spec = cls(**known)  # type: ignore[arg-type]
        if card.settings != spec.settings():
            raise ValueError(f"settings {dict(card.settings)!r:.200}")
        return spec


class JointMap(nn.Module):
    """Standardised frames (t, d) into the space (t, D): V x, or V tanh(U x + b).

    Examples
    --------
    >>> JointMap(JointSpec(inputs=3, dimensions=2))(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, spec: JointSpec) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(spec.inputs))
        self.register_buffer("scale", torch.ones(spec.inputs))
        self.hidden = nn.Linear(spec.inputs, spec.hidden) if spec.hidden else None
        self.V = nn.Parameter(torch.zeros(spec.dimensions, spec.hidden or spec.inputs))

    def forward(self, frames: Tensor) -> Tensor:
        """Places (t, D) of frames (t, d)."""
        standard = (frames - self.shift) * self.scale
        if self.hidden is not None:
            standard = torch.tanh(self.hidden(standard))
        return standard @ self.V.T


def tags_of(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """Labels by data set as an embedding's tags; the inverse of :func:`label_names`.

    Examples
    --------
    >>> tags_of({"4q": ["Jazz", "Rap"], "gtzan": ["jazz"]})
    ['4q: Jazz', '4q: Rap', 'gtzan: jazz']
    """
    return [f"{name}{MARK}{label}" for name, of_set in labels.items() for label in of_set]


def label_names(tags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Data sets and labels of an embedding's tags, "SET: label".

    Examples
    --------
    >>> label_names(["4q: Jazz", "gtzan: jazz: swing"])
    (['4q', 'gtzan'], ['Jazz', 'jazz: swing'])
    """
    pairs = [tag.split(MARK, 1) for tag in tags]
    return [pair[0] for pair in pairs], [pair[-1] for pair in pairs]


class JointEncoder(Encoder):
    """Window-level features of embedded frames; affinities of all labels.

    Per window of 64 frames (about 1.5 s): mean, variance, maximum and minimum of each dimension,
    averaged over the windows of a chunk. Over another encoder's vectors: the embedded vectors.

    Parameters
    ----------
    card : EncoderCard
        Its settings are those of a :class:`JointSpec`.
    network : JointMap
    labels : (Y, D) array
        W, a row per tag.
    tag_names : sequence of str
        "SET: label".
    base : Encoder, optional
        Whose vectors are embedded; by default log-mel frames.
    device : str

    Raises
    ------
    WeightsError
        The base is another than the embedding was learned on.
    """

    def __init__(
        self,
        card: EncoderCard,
        network: JointMap,
        labels: Vectors,
        *,
        tag_names: Sequence[str],
        base: Encoder | None = None,
        device: str = "cpu",
    ) -> None:
        self.card = card
        self.spec = JointSpec.of(card)
        self.tag_names = tuple(tag_names)
        self.labels = labels
        self.device = device
        self.network = network.to(device).eval()
        self.base = base
        self.front_end = None if base else FrontEnd(card.front_end).to(device).eval()
        if base is not None:
            _check_base(self.spec, card, base.card)

    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        if self.base is not None:
            return self._embedded(torch.from_numpy(self.base.encode_chunks(chunks)))
        means = []
        with torch.inference_mode():
            for chunk in chunks:
                windows = window_features(self.network(self._frames(chunk)))
                means.append(windows.mean(dim=0).float().cpu().numpy())
        return np.stack(means)

    def graph(self) -> nn.Module | None:
        if self.front_end is not None:
            return WindowGraph(self.front_end, self.network)
        heard = self.base.graph() if self.base else None
        return None if heard is None else nn.Sequential(heard, self.network)

    def tags(self, audio: Audio) -> list[tuple[str, float]]:
        """Labels of all data sets with their mean affinity to the clip's frames, highest first.

        Affinities of one data set's labels compare with each other, not with another's.

        Raises
        ------
        UsageError
            When the audio is at another rate than the card's.
        """
        chunks = self.chunks_of(audio)
        if self.base is not None:
            places = self._embedded(torch.from_numpy(self.base.encode_chunks(chunks)))
        else:
            with torch.inference_mode():
                heard = [self.network(self._frames(chunk)) for chunk in chunks]
                places = torch.cat(heard).float().cpu().numpy()
        scores: NDArray[np.float64] = places.mean(axis=0, dtype=np.float64) @ self.labels.T
        return sorted(zip(self.tag_names, scores.tolist(), strict=True), key=lambda one: -one[1])

    def _frames(self, chunk: Samples) -> Tensor:
        if self.front_end is None:
            raise RuntimeError("vectors of a base encoder have no frames")
        samples = torch.from_numpy(np.ascontiguousarray(chunk))[None].to(self.device)
        frames: Tensor = self.front_end(samples)[0]
        return frames

    def _embedded(self, vectors: Tensor) -> Vectors:
        with torch.inference_mode():
            places: Vectors = self.network(vectors.to(self.device)).float().cpu().numpy()
        return places


def _check_base(spec: JointSpec, card: EncoderCard, base: EncoderCard) -> None:
    if base.digest != spec.base_digest or base.dim != spec.inputs:
        raise WeightsError(
            wanted=f"the encoder {spec.base!r} that this embedding was learned on "
            f"({spec.base_digest[:12]})",
            got=f"another ({base.digest[:12]})",
            fix="Use the version of segue, and the weights, that it was learned with",
            source=card.name,
        )
    excerpt = replace(card.excerpt, chunks=base.excerpt.chunks)
    if (base.front_end, base.excerpt) != (card.front_end, excerpt):
        raise WeightsError(
            wanted=f"a card that hears what {spec.base} hears",
            got="another front end or excerpt",
            fix="The card was changed by hand: copy the folder again from where it was made",
            source=card.name,
        )


def joint_shapes(card: EncoderCard, tags: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of an embedding's folder."""
    spec = JointSpec.of(card)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("shift", "scale"), (spec.inputs,))
    if spec.hidden:
        shapes |= {"hidden.weight": (spec.hidden, spec.inputs), "hidden.bias": (spec.hidden,)}
    shapes["V"] = (spec.dimensions, spec.hidden or spec.inputs)
    return {**shapes, LABELS: (tags, spec.dimensions)}


def joint_map(card: EncoderCard, tensors: Mapping[str, Vectors]) -> JointMap:
    """The map of a checked folder."""
    network = JointMap(JointSpec.of(card))
    network.load_state_dict(
        {name: torch.from_numpy(values) for name, values in tensors.items() if name != LABELS}
    )
    return network.eval()


def joint_encoder(
    card: EncoderCard,
    tensors: Mapping[str, Vectors],
    tags: Sequence[str],
    device: str,
    base: Encoder | None,
) -> JointEncoder:
    """The encoder of a checked folder."""
    network, labels = joint_map(card, tensors), tensors[LABELS]
    return JointEncoder(card, network, labels, tag_names=tags, base=base, device=device)
