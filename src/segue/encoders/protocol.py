"""The one protocol of encoders: chunks of samples in, one vector per chunk out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segue.audio import Audio
from segue.card import EncoderCard, ExcerptSpec
from segue.errors import UsageError

if TYPE_CHECKING:
    import torch

Samples = NDArray[np.float32]
Vectors = NDArray[np.float32]


class Encoder(ABC):
    """Samples to features, bound to a card.

    A subclass sets ``card`` and defines :meth:`encode_chunks`; the features of a chunk must depend
    on that chunk alone (``tests/contracts/test_encoders.py`` holds every registered encoder to it).

    Examples
    --------
    >>> from segue.encoders import encoder
    >>> tone = np.sin(np.arange(24000) / 5).astype(np.float32)
    >>> encoder("mfcc").features(Audio(tone, 12000)).shape
    (120,)
    """

    card: EncoderCard
    # what it was taught to say, where that is known by name
    tag_names: tuple[str, ...] = ()

    @property
    def widths(self) -> dict[int, int]:
        """Numbers that each of the card's layers gives, in order; empty without layers."""
        return {}

    @abstractmethod
    def encode_chunks(self, chunks: Sequence[Samples]) -> Vectors:
        """Vectors (len(chunks), dim) of mono samples at the card's rate.

        Every chunk has at most the card's excerpt length, and exactly that length where the card
        says that shorter ones are tiled.
        """

    def features(self, audio: Audio) -> NDArray[np.float32]:
        """Features (dim,) of one clip: the mean of its chunks' vectors.

        Parameters
        ----------
        audio : Audio
            Mono samples at the rate of the card.

        Raises
        ------
        UsageError
            When the audio is at another rate; ``segue.load(path, rate=...)`` resamples.
        """
        return mean_vector(self.encode_chunks(self.chunks_of(audio)))

    def graph(self) -> torch.nn.Module | None:
        """The whole way of a chunk, samples (1, n) to vector (1, dim), as one module.

        For export: it must consist of what torch can trace, with any n that a chunk may have. None
        where there is no such module.
        """
        return None

    def tags(self, audio: Audio) -> list[tuple[str, float]]:
        """What it says of one clip: tags with scores, highest first.

        Raises
        ------
        UsageError
            It was not taught to say any.
        """
        raise UsageError(
            wanted="an encoder that says tags",
            got=f"{self.card.label}, which has none",
            fix="Use one whose `segue models show` lists tags",
        )

    def chunks_of(self, audio: Audio) -> list[Samples]:
        """What the encoder hears of one clip, as :meth:`encode_chunks` takes it.

        Raises
        ------
        UsageError
            When the audio is at another rate than the card's.
        """
        if audio.rate != self.card.rate:
            raise UsageError(
                wanted=f"audio at {self.card.rate} Hz for {self.card.label}",
                got=f"{audio.rate} Hz",
                fix=f"Load it with segue.load(path, rate={self.card.rate})",
                source=audio.source,
            )
        return split(audio.samples, audio.rate, self.card.excerpt)


def mean_vector(vectors: Vectors) -> NDArray[np.float32]:
    """Features (dim,) of a clip from its chunks' vectors (chunks, dim).

    Summed in double precision, so that the result does not depend on how chunks were grouped.
    """
    mean: NDArray[np.float64] = vectors.mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def split(samples: Samples, rate: int, excerpt: ExcerptSpec) -> list[Samples]:
    """The chunks that an excerpt specification takes from a clip.

    Examples
    --------
    >>> spec = ExcerptSpec(seconds=1.0, chunks=None)
    >>> [len(chunk) for chunk in split(np.zeros(260, np.float32), 100, spec)]
    [100, 100, 60]
    >>> [len(chunk) for chunk in split(np.zeros(230, np.float32), 100, spec)]
    [100, 100]
    """
    size = round(excerpt.seconds * rate)
    limit = len(samples) if excerpt.chunks is None else min(len(samples), size * excerpt.chunks)
    chunks = [samples[begin : begin + size] for begin in range(0, limit, size)]
    if len(chunks) > 1 and not counts(len(chunks[-1]), size):
        chunks.pop()
    return [fit_length(chunk, size, excerpt) for chunk in chunks]


def counts(length: int, size: int) -> bool:
    """Whether a chunk of ``length`` samples is long enough to stand beside full ones of ``size``.

    Examples
    --------
    >>> counts(50, 100), counts(49, 100)
    (True, False)
    """
    return 2 * length >= size


def fit_length(chunk: Samples, size: int, excerpt: ExcerptSpec) -> Samples:
    """Repeat a short chunk up to ``size`` samples where the excerpt says so (Choi et al. 2017).

    Examples
    --------
    >>> fit_length(np.float32([1, 2]), 5, ExcerptSpec(seconds=1, short="tile")).tolist()
    [1.0, 2.0, 1.0, 2.0, 1.0]
    """
    if excerpt.short == "as-is" or len(chunk) >= size:
        return chunk
    return np.resize(chunk, size)


def checked_device(device: str) -> torch.device:
    """A device on which torch can compute here.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> checked_device("cpu").type
    'cpu'
    """
    import torch

    try:
        float(torch.ones(1, device=device).sum())  # "meta" has shapes, but no numbers
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            wanted="a device that torch can use here",
            got=f"{device!r} ({str(error).splitlines()[0]})",
            fix="Use --device cpu",
        ) from error
    return torch.device(device)
