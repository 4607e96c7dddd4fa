"""Data sets with and without leaks, made of random numbers: to see what an audit says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.audit.material import AuditSet
from segue.seeds import generator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a data set is made. Without changes to the last six, it has no leak.

    Attributes
    ----------
    clips, dimensions, classes : int
    order : {"sorted", "artists", "shuffled"}
        Of the rows: by class and artist; artists together, classes mixed; none.
    balance : float
        Size of the smallest class over the largest.
    per_artist : int
        Clips of an artist, on average, or exactly where ``equal_lots``.
    tails : float
        Degrees of freedom of the noise (Student's t); 0: normal.
    class_spread, artist_spread : float
        Deviation of class and artist means, that of a clip being 1.
    known_artists : bool
        Whether the artist of each clip is told.
    split : {"", "artists", "clips"}
        Five given folds: none, disjoint by artist, or of single clips.
    batch_size, batch_shift, batch_level
        Leak: a random shift of each batch, with this deviation; and the share of its mean that
        each batch loses, as by normalisation with statistics of the batch.
    duplicates : float
        Leak: share of clips that are copies of another, with slight noise.
    format_shift : float
        Leak: share of clips whose file format is that of their class.
    noise_labels : float
        Leak: share of labels that are of another class.
    """

    clips: int = 400
    dimensions: int = 40
    classes: int = 5
    order: Literal["sorted", "artists", "shuffled"] = "sorted"
    balance: float = 1.0
    per_artist: int = 3
    equal_lots: bool = False
    tails: float = 0.0
    class_spread: float = 0.5
    artist_spread: float = 0.5
    known_artists: bool = True
    split: Literal["", "artists", "clips"] = ""
    batch_size: int = 0
    batch_shift: float = 0.0
    batch_level: float = 0.0
    duplicates: float = 0.0
    format_shift: float = 0.0
    noise_labels: float = 0.0


def simulate(recipe: Recipe, seed: int) -> AuditSet:
    """A data set by a recipe.

    Each artist is of one class, as in genre collections; where they are known, each has a level
    and a file format of its own.

    Examples
    --------
    >>> made = simulate(Recipe(clips=60, classes=3), 0)
    >>> made.X.shape, made.classes
    ((60, 40), ('a', 'b', 'c'))
    """
    rng = generator(seed, "simulated audit set")
    labels = _labels(recipe, rng)
    artists = _artists(recipe, labels, rng)
    order = _order(recipe, labels, artists, rng)
    labels, artists = labels[order], artists[order]
    X = _features(recipe, labels, artists, rng)
    X = _copied(recipe, labels, X, rng)
    X = _batched(recipe, X, rng)
    said = _mislabelled(recipe, labels, rng)
    names = [f"artist {artist}" for artist in artists]
    rates, loudness = _facts(recipe, labels, artists, rng)
    return AuditSet(
        X=X,
        y=[chr(ord("a") + label) for label in said],
        task="classification",
        groups={"artist": names} if recipe.known_artists else {},
        split=_split(recipe, artists, rng),
        content=[f"clip {row}" for row in range(len(X))],
        facts={"rate": rates},
        loudness={"rms": loudness},
    )


def clean_recipes(count: int, seed: int) -> list[Recipe]:
    """As many recipes without a leak, as unlike each other as data sets are.

    Artists that are known and in no given split are all alike, for random folds would profit from
    them.

    Examples
    --------
    >>> {recipe.order for recipe in clean_recipes(20, 0)} == {"sorted", "artists", "shuffled"}
    True
    """
    rng = generator(seed, "clean recipes")
    recipes = []
    for _ in range(count):
        known = bool(rng.random() < 0.6)
        split: Literal["", "artists"] = "artists" if known and rng.random() < 0.5 else ""
        recipes.append(
            Recipe(
                clips=int(np.exp(rng.uniform(np.log(100), np.log(4000)))),
                dimensions=int(np.exp(rng.uniform(np.log(12), np.log(300)))),
                classes=int(rng.integers(2, 11)),
                order=("sorted", "artists", "shuffled")[rng.integers(3)],
                balance=float(rng.choice([1.0, 0.3, 0.1])),
                per_artist=int(rng.integers(1, 11)),
                equal_lots=bool(rng.random() < 0.3),
                tails=float(rng.choice([0.0, 3.0])),
                class_spread=float(rng.uniform(0.0, 0.8)),
                artist_spread=float(rng.uniform(0.0, 1.0)) * (not known or bool(split)),
                known_artists=known,
                split=split,
            )
        )
    return recipes


def _labels(recipe: Recipe, rng: np.random.Generator) -> Integers:
    weights = np.linspace(1.0, recipe.balance, recipe.classes)
    counts = np.maximum(np.round(weights / weights.sum() * recipe.clips), 4).astype(int)
    counts[0] += recipe.clips - counts.sum()
    return np.repeat(np.arange(recipe.classes), counts)


def _artists(recipe: Recipe, labels: Integers, rng: np.random.Generator) -> Integers:
    """An artist for each clip, of one class each; clips of an artist are neighbours."""
    artists: list[int] = []
    number = 0
    for label in range(recipe.classes):
        left = int((labels == label).sum())
        while left:
            mean = recipe.per_artist
            size = mean if recipe.equal_lots else int(rng.geometric(1 / mean))
            artists += [number] * min(size, left)
            left -= min(size, left)
            number += 1
    return np.array(artists)


def _order(
    recipe: Recipe, labels: Integers, artists: Integers, rng: np.random.Generator
) -> Integers:
    if recipe.order == "sorted":
        return np.arange(recipe.clips)
    if recipe.order == "shuffled":
        return rng.permutation(recipe.clips)
    places = rng.permutation(int(artists.max()) + 1)
    return np.argsort(places[artists], kind="stable")


def _features(
    recipe: Recipe, labels: Integers, artists: Integers, rng: np.random.Generator
) -> Floats:
    """Class mean, artist mean and noise, the noise correlated between dimensions."""
    d = recipe.dimensions
    mixing = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    noise = rng.normal(size=(recipe.clips, d))
    if recipe.tails:
        noise = rng.standard_t(recipe.tails, (recipe.clips, d)) / np.sqrt(3.0)
    class_means = rng.normal(0, recipe.class_spread, (recipe.classes, d))
    artist_means = rng.normal(0, recipe.artist_spread, (int(artists.max()) + 1, d))
    return np.asarray((noise + class_means[labels] + artist_means[artists]) @ mixing)


def _copied(recipe: Recipe, labels: Integers, X: Floats, rng: np.random.Generator) -> Floats:
    """Some clips overwritten by another of their class, with slight noise."""
    order = rng.permutation(len(X))
    order = order[np.argsort(labels[order], kind="stable")]
    first, second = order[: len(X) // 2 * 2].reshape(-1, 2).T
    alike = np.flatnonzero(labels[first] == labels[second])
    chosen = rng.permutation(alike)[: int(recipe.duplicates * len(X))]
    X = X.copy()
    X[second[chosen]] = X[first[chosen]] + 0.02 * rng.normal(size=(len(chosen), X.shape[1]))
    return X


def _batched(recipe: Recipe, X: Floats, rng: np.random.Generator) -> Floats:
    if not recipe.batch_size:
        return X
    X = X.copy()
    scale = X.std(axis=0)
    for start in range(0, len(X), recipe.batch_size):
        batch = slice(start, start + recipe.batch_size)
        X[batch] -= recipe.batch_level * X[batch].mean(axis=0)
        X[batch] += scale * rng.normal(0, recipe.batch_shift, X.shape[1])
    return X


def _mislabelled(recipe: Recipe, labels: Integers, rng: np.random.Generator) -> Integers:
    wrong = rng.permutation(len(labels))[: int(recipe.noise_labels * len(labels))]
    said = labels.copy()
    said[wrong] = (said[wrong] + rng.integers(1, recipe.classes, len(wrong))) % recipe.classes
    return said


def _facts(
    recipe: Recipe, labels: Integers, artists: Integers, rng: np.random.Generator
) -> tuple[list[str], list[float]]:
    rates = np.array([22050, 44100, 48000])
    if not recipe.known_artists:  # a format that goes with artists would tell of classes, too
        artists = np.arange(len(artists))
    by_artist = rng.integers(0, 3, int(artists.max()) + 1)[artists]
    own = rng.random(len(labels)) < recipe.format_shift
    chosen = np.where(own, labels % 3, by_artist)
    level = rng.normal(-15, 3, int(artists.max()) + 1)[artists] + rng.normal(0, 2, len(labels))
    return [str(rate) for rate in rates[chosen]], [float(value) for value in level]


def _split(recipe: Recipe, artists: Integers, rng: np.random.Generator) -> Sequence[str] | None:
    if not recipe.split:
        return None
    if recipe.split == "clips":
        return [str(fold) for fold in rng.permutation(len(artists)) % 5]
    folds = rng.permutation(int(artists.max()) + 1) % 5
    return [str(fold) for fold in folds[artists]]


def with_leak(recipe: Recipe, **leak: float) -> Recipe:
    """The same data set with a leak.

    Examples
    --------
    >>> with_leak(Recipe(), duplicates=0.1).duplicates
    0.1
    """
    return replace(recipe, **leak)  # type: ignore[arg-type]
