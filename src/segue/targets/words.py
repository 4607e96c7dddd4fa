"""A dictionary: vectors to the words of a bag, by the nearest of the centres that k-means found."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from sklearn.preprocessing import QuantileTransformer
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.seeds import derive, generator
from segue.targets.settings import FactorSettings, check_size
from segue.targets.source import Floats, Source, Watch, Whole, checked_vectors

SAMPLE_BYTES = 2**29  # of the vectors that a dictionary is learned from
SPREAD_NUMBERS = 2**24  # of the vectors that the first centres are spread over
QUANTILES = 1000
QUANTILE_ROWS = 10_000  # that quantiles are taken of
DECIDED_NUMBERS = 2**20  # of vectors in double precision at a time
BLOCK = 256  # vectors compared with all words at a time: their scores stay in a processor's cache
LEAST_BATCH, USUAL_BATCH = 256, 1024
TOLD = 256  # tracks between two calls of a watch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dictionary:
    """Words of vectors.

    Attributes
    ----------
    centres : (words, width) float32 array
        After normalisation.
    shift, scale : (width,) float32 arrays
        Of normalisation ``(x - shift) * scale``.
    quantiles : (q, width) float32 array or None
        Of the numbers: where given, each is sent to a normal distribution by its rank first. Ranks
        are told apart as far as there are quantiles: none is below 1 / (2 q) or above 1 - that. A
        number that had one value in all vectors learned from becomes 0 in every vector.
    """

    centres: Floats
    shift: Floats
    scale: Floats
    quantiles: Floats | None = None

    @property
    def width(self) -> int:
        """Numbers per vector."""
        return int(self.centres.shape[1])

    def __len__(self) -> int:
        return len(self.centres)

    def normalised(self, vectors: Floats) -> Floats:
        """Vectors (n, width) as distances are taken of them."""
        if self.quantiles is not None:
            vectors = _ranked(vectors, self.quantiles)
        moved: Floats = vectors - self.shift
        moved *= self.scale
        return moved

    def words(self, vectors: Floats) -> Whole:
        """The nearest word (n,) of each vector (n, width); of equally near ones the first.

        A vector's word depends on that vector alone. A float32 matrix product finds the words that
        may be nearest, but rounds otherwise from one row to the next; where its possible error
        leaves several of them, distances in double precision decide.
        """
        found = np.empty(len(vectors), np.int64)
        # the nearest centre has the largest x.c - |c|^2 / 2: a product with one more column
        squares = np.einsum("ij,ij->i", self.centres, self.centres, dtype=np.float64)
        table = np.column_stack([self.centres, -squares / 2]).astype(np.float32).T.copy()
        longest = math.sqrt(squares.max())
        ready = np.column_stack([self.normalised(vectors), np.ones(len(vectors), np.float32)])
        lengths = np.sqrt(np.einsum("ij,ij->i", ready, ready, dtype=np.float64))
        # of the sum of width + 1 products, twice; Higham, Accuracy and Stability, section 3.1
        errors = (self.width + 3) * 2.0**-23 * longest * (lengths + longest / 2)
        room = np.empty((BLOCK, len(self)), np.float32)
        for begin in range(0, len(vectors), BLOCK):
            block = ready[begin : begin + BLOCK]
            scores = np.dot(block, table, out=room[: len(block)])
            best, rows = scores.argmax(axis=1), np.arange(len(block))
            least = (scores[rows, best] - errors[begin : begin + BLOCK]).astype(np.float32)
            scores[rows, best] = -np.inf
            unsure = np.flatnonzero(scores.max(axis=1) >= least)
            if len(unsure):
                near = scores[unsure] >= least[unsure, None]
                near[np.arange(len(unsure)), best[unsure]] = True
                best[unsure] = self._decided(block[unsure, :-1], near)
            found[begin : begin + BLOCK] = best
        return found

    def _decided(self, vectors: Floats, near: NDArray[np.bool_]) -> Whole:
        """The nearest of some words for each vector, by distances in double precision."""
        row, word = np.nonzero(near)
        distances = np.empty(len(row))
        step = max(1, DECIDED_NUMBERS // self.width)
        for begin in range(0, len(row), step):
            part = slice(begin, begin + step)
            apart = vectors[row[part]].astype(np.float64) - self.centres[word[part]]
            distances[part] = np.square(apart, out=apart).sum(axis=1)
        order = np.lexsort((word, distances, row))
        first: Whole = word[order[np.searchsorted(row, np.arange(len(vectors)))]]
        return first


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Learned:
    """A dictionary and what is to be told of it.

    Attributes
    ----------
    dictionary : Dictionary
    drawn : int
        Vectors it was learned from.
    unused : int
        Words that none of those vectors is nearest to.
    notes : tuple of str
    """

    dictionary: Dictionary
    drawn: int
    unused: int
    notes: tuple[str, ...]


def learn_dictionary(
    source: Source, settings: FactorSettings, *, watch: Watch | None = None
) -> Learned:
    """Mini-batch k-means over vectors drawn evenly from the tracks.

    There are as many words as asked for, but only one for every ``vectors_per_word`` vectors drawn
    (never fewer than two), and no more than there are different vectors. Centres start spread by
    k-means++; those that stay almost empty are moved to other vectors, except in the last pass.
    The same seed and vectors give the same words, whatever the number of threads.

    Parameters
    ----------
    source : Source
        Checked already, see :func:`segue.targets.source.check_grouped`.
    settings : FactorSettings
    watch : callable, optional

    Raises
    ------
    UsageError
        Fewer than two different vectors; topics and words that no folder could hold.
    SegueError
        Vectors that are not finite, or of different width; names the track.

    References
    ----------
    Sculley, Web-scale k-means clustering, 2010; Arthur and Vassilvitskii, k-means++, 2007.

    Examples
    --------
    >>> from segue.targets.source import ArraySource
    >>> source = ArraySource(["abba"], [0], [np.repeat([[0.0], [9.0]], 20, axis=0)])
    >>> learned = learn_dictionary(source, FactorSettings(words=2))
    >>> words = learned.dictionary.words(np.array([[1.0], [8.0], [0.5]], np.float32))
    >>> bool(words[0] == words[2] != words[1])
    True
    """
    vectors = draw_vectors(source, settings, watch=watch)
    plain = _normalisation(vectors, settings)
    for begin in range(0, len(vectors), USUAL_BATCH):  # in place: a second copy may not fit
        part = slice(begin, begin + USUAL_BATCH)
        vectors[part] = plain.normalised(vectors[part])
    most = max(2, len(vectors) // settings.vectors_per_word)
    words = _different(vectors, min(settings.words, most))
    if words < 2:
        raise UsageError(
            wanted="at least two different vectors to make words of",
            got=f"{len(vectors)} vectors, all the same",
            fix="Give tracks that differ",
        )
    check_size(settings.topics, words, width=vectors.shape[1])
    notes = _notes(settings, words, len(vectors), most)
    centres = _centres(vectors, words, settings, watch)
    dictionary = Dictionary(
        centres=centres, shift=plain.shift, scale=plain.scale, quantiles=plain.quantiles
    )
    still = Dictionary(
        centres=centres, shift=np.zeros_like(plain.shift), scale=np.ones_like(plain.scale)
    )
    used = np.zeros(words, np.bool_)
    for begin in range(0, len(vectors), 64 * BLOCK):
        used[still.words(vectors[begin : begin + 64 * BLOCK])] = True
    for note in notes:
        logger.warning(note)
    return Learned(
        dictionary=dictionary, drawn=len(vectors), unused=int((~used).sum()), notes=notes
    )


def draw_vectors(source: Source, settings: FactorSettings, *, watch: Watch | None = None) -> Floats:
    """Vectors (n, width) drawn evenly over the tracks, as many of each as it has at most.

    Tracks are read in their order, and no more of them than vectors are wanted.

    Raises
    ------
    UsageError
        No vectors at all.
    SegueError
        Vectors that are not finite, or of different width; names the track.
    """
    tracks = len(source.tracks)
    width = checked_vectors(source, 0, None).shape[1]
    if not width:
        raise _no_vectors("vectors of no numbers")
    room = min(settings.vectors, max(2, SAMPLE_BYTES // (4 * width)))
    draws = generator(settings.seed, "dictionary", "vectors")
    chosen = (
        np.sort(draws.choice(tracks, room, replace=False, shuffle=False))
        if tracks > room
        else np.arange(tracks)
    )
    each = max(1, room // len(chosen))
    sample = np.empty((each * len(chosen), width), np.float32)
    filled = 0
    for done, track in enumerate(chosen.tolist(), start=1):
        vectors = checked_vectors(source, track, width)
        if len(vectors) > each:
            vectors = vectors[np.sort(draws.choice(len(vectors), each, replace=False))]
        sample[filled : filled + len(vectors)] = vectors
        filled += len(vectors)
        if watch is not None and (done % TOLD == 0 or done == len(chosen)):
            watch("vectors for the dictionary", done, len(chosen))
    if not filled:
        raise _no_vectors(f"none in {len(chosen)} tracks")
    return sample[:filled]


def _normalisation(vectors: Floats, settings: FactorSettings) -> Dictionary:
    """A dictionary of no words, that normalises as the settings say."""
    width = vectors.shape[1]
    shift, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
    quantiles = None
    if settings.normalise == "quantile":
        draws = generator(settings.seed, "dictionary", "quantiles")
        rows = draws.permutation(len(vectors))[:QUANTILE_ROWS]
        count = min(QUANTILES, len(rows))
        ranks = QuantileTransformer(n_quantiles=count, subsample=None).fit(vectors[rows])
        quantiles = np.asarray(ranks.quantiles_, np.float32)
    else:
        # taken off under "none" too: it leaves distances as they are, and products accurate
        shift = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    if settings.normalise == "standard":
        deviation = vectors.std(axis=0, dtype=np.float64)
        scale = (1.0 / np.where(deviation > 0.0, deviation, 1.0)).astype(np.float32)
    nothing = np.empty((0, width), np.float32)
    return Dictionary(centres=nothing, shift=shift, scale=scale, quantiles=quantiles)


def _ranked(vectors: Floats, quantiles: Floats) -> Floats:
    """Numbers of vectors (n, width) by their rank to a normal distribution.

    Without a bound, values tied at the least one (silence, say) would all go to -5.2, and a few
    such numbers decide every distance.
    """
    most = float(ndtri(1.0 - 0.5 / len(quantiles)))
    found: Floats = _ranks(quantiles).transform(vectors).clip(-most, most).astype(np.float32)
    found[:, quantiles[0] == quantiles[-1]] = 0.0
    return found


def _ranks(quantiles: Floats) -> QuantileTransformer:
    """The transformer that was fitted, from what is kept of it."""
    count, width = quantiles.shape
    ranks = QuantileTransformer(n_quantiles=count, output_distribution="normal", subsample=None)
    ranks.quantiles_ = quantiles.astype(np.float64)
    ranks.references_ = np.linspace(0.0, 1.0, count, endpoint=True)
    ranks.n_quantiles_, ranks.n_features_in_ = count, width
    return ranks


def _different(vectors: Floats, enough: int) -> int:
    """Different vectors, counted up to ``enough``."""
    seen: set[bytes] = set()
    for vector in vectors:
        seen.add((vector + np.float32(0.0)).tobytes())  # 0 and -0 are one
        if len(seen) >= enough:
            break
    return len(seen)


def _centres(vectors: Floats, words: int, settings: FactorSettings, watch: Watch | None) -> Floats:
    """Centres (words, width) of normalised vectors."""
    seed, count = settings.seed, len(vectors)
    draws = generator(seed, "dictionary", "order")
    spread = min(count, max(3 * words, min(10 * words, SPREAD_NUMBERS // vectors.shape[1])))
    with threadpool_limits(1, user_api="blas"):  # sums over more threads may round otherwise
        first, _ = kmeans_plusplus(
            # it would turn float32 to double precision again for every centre
            vectors[draws.permutation(count)[:spread]].astype(np.float64),
            words,
            random_state=derive(seed, "dictionary", "spread"),
        )
    batch = min(max(USUAL_BATCH, 2 * words), max(LEAST_BATCH, count // 10), count)
    learner = MiniBatchKMeans(
        words,
        init=first,
        n_init=1,
        batch_size=batch,
        compute_labels=False,
        random_state=derive(seed, "dictionary", "steps"),
    )
    steps = math.ceil(count / batch)
    for number in range(settings.dictionary_passes):
        if number == settings.dictionary_passes - 1:
            learner.reassignment_ratio = 0.0  # a word moved now would not be learned any more
        parts = np.array_split(draws.permutation(count), steps)
        for step, part in enumerate(parts, start=1):
            learner.partial_fit(vectors[part])
            if watch is not None:
                done = number * steps + step
                watch("words of the dictionary", done, settings.dictionary_passes * steps)
    return np.ascontiguousarray(learner.cluster_centers_, np.float32)


def _notes(settings: FactorSettings, words: int, drawn: int, most: int) -> tuple[str, ...]:
    if words == settings.words:
        return ()
    each = settings.vectors_per_word
    why = f"{drawn} vectors were drawn, and a word takes {each}"
    if words < most:
        why = f"there are {words} different vectors among the {drawn} drawn"
    return (f"{words} words instead of {settings.words}: {why}.",)


def _no_vectors(got: str) -> UsageError:
    return UsageError(
        wanted="vectors to learn a dictionary from",
        got=got,
        fix="Give tracks that have vectors",
    )
