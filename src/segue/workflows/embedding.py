"""Audio files to feature tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.audio import AUDIO_SUFFIXES
from segue.card import EncoderCard
from segue.datasets import Manifest, Target, from_paths
from segue.encoders import Encoder
from segue.encoders import encoder as build_encoder
from segue.encoders.names import anywhere
from segue.errors import ModelError, UsageError
from segue.evaluation.compare import FeatureSet
from segue.extraction import EmbedReport, Limits, Progress, Recipe, extract, file_facts
from segue.extraction.run import Say
from segue.store import Failure, FeatureTable

Inputs = Manifest | str | Path | Sequence[str | Path]


def open_manifest(inputs: Inputs) -> Manifest:
    """A manifest from whatever names tracks: a manifest, its file, a folder, files.

    Raises
    ------
    ManifestError
        When nothing audible is named, or the file is malformed.
    """
    if isinstance(inputs, Manifest):
        return inputs
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    return from_paths(paths, suffixes=AUDIO_SUFFIXES)


def embed(
    inputs: Inputs,
    store: str | Path,
    *,
    encoder: str = "mfcc",
    layers: Sequence[int] | None = None,
    chunks: int | None = 1,
    device: str = "cpu",
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    limits: Limits | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> EmbedReport:
    """Embed tracks into a store; run again, it goes on where it stopped.

    Parameters
    ----------
    inputs : Manifest, path, or sequence of paths
        A manifest (CSV, Parquet, TXT), a folder, or files.
    store : path or URL
        Folder of feature tables, made when absent; ``s3://...`` and the like through fsspec.
    encoder : str
        Name, with layers if wanted (``"choi2017-msd@135"``), or the path of an encoder folder.
    layers, chunks, device
        As in :func:`segue.encoders.encoder`.
    workers, limits, retry_failed, progress, say
        As in :func:`segue.extraction.extract`.
    engine : {"local", "ray"}
        This machine's processes, or the actors of a Ray cluster (``segue[ray]``); the features
        are the same.
    address : str, optional
        Of a running Ray cluster; one is started here otherwise.

    Returns
    -------
    EmbedReport
        Its ``quarantined`` counts tracks that could not be embedded; each has its reason.

    Raises
    ------
    UsageError, WeightsError, StoreError

    Examples
    --------
    >>> import tempfile, soundfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(0, 0.1, 22050), 22050)
    >>> embed(folder, folder / "store").computed
    1
    """
    manifest = open_manifest(inputs)
    asked = None if layers is None else tuple(layers)
    recipe = Recipe(anywhere(encoder), asked, chunks, device)
    built = build_encoder(encoder, layers=asked, chunks=chunks, device=device)
    table = FeatureTable.open_or_create(store, built.card)
    if engine == "ray":
        from segue.extraction.ray_backend import extract_with_ray

        return extract_with_ray(
            manifest,
            table,
            recipe,
            workers=workers,
            limits=limits,
            address=address,
            retry_failed=retry_failed,
            progress=progress,
            say=say,
        )
    if engine != "local" or address is not None:
        raise UsageError(
            wanted="the engine local or ray, and an address for ray alone",
            got=f"{engine!r}" + (f" and the address {address}" if address else ""),
            fix="Use --engine ray with --address",
        )
    return extract(
        manifest,
        table,
        recipe,
        encoder=built,
        workers=workers,
        limits=limits,
        retry_failed=retry_failed,
        progress=progress,
        say=say,
    )


def failures_once(embedding: Sequence[EmbedReport]) -> tuple[Failure, ...]:
    """Quarantined tracks of several encoders, each once."""
    found = {failure.facts.id: failure for done in embedding for failure in done.failures}
    return tuple(found.values())


def bound_encoder(card: EncoderCard, *, device: str, what: str) -> Encoder:
    """This version's encoder of a card that something was made with.

    Parameters
    ----------
    card : EncoderCard
    device : str
    what : str
        What was made with it, for the message: "the model".

    Raises
    ------
    ModelError
        When this version's encoder would give other features; names the fields that differ.
    UsageError, WeightsError
        As :func:`segue.encoders.encoder`.
    """
    here = build_encoder(card.label, chunks=card.excerpt.chunks, device=device)
    if here.card.digest != card.digest:
        raise ModelError(
            wanted=f"the encoder that {what} was made with ({card.digest[:12]})",
            got=f"another ({here.card.digest[:12]}): {'; '.join(card.differences(here.card))}",
            fix="Use the version of segue that made it, or make it again with this one",
        )
    return here


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of several encoders for the same tracks.

    Attributes
    ----------
    sets : tuple of FeatureSet
    cards : tuple of EncoderCard
    there : (tracks,) boolean array
        Which manifest rows every encoder could embed.
    notes : tuple of str
        How many tracks were left out because an encoder refused them.
    """

    sets: tuple[FeatureSet, ...]
    cards: tuple[EncoderCard, ...]
    there: NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The manifest row of each row of the sets."""
        return np.flatnonzero(self.there)


def aligned_features(manifest: Manifest, found: Sequence[FeatureTable]) -> Features:
    """Matrices of several tables in manifest order, over the tracks that all of them have."""
    tracks = [file_facts(track) for track in manifest.tracks()]
    matrices, everywhere, notes = [], np.ones(len(tracks), dtype=bool), []
    for table in found:
        X, there = table.matrix(tracks)
        matrices.append(X)
        everywhere &= there
        if not there.all():
            notes.append(f"{int((~there).sum())} tracks have no {table.card.label} features")
    left = len(tracks) - int(everywhere.sum())
    if left:
        notes.append(f"{left} of {len(tracks)} tracks left out for all encoders")
    sets = tuple(
        FeatureSet(table.card.name, table.card.layer_code, X[everywhere])
        for table, X in zip(found, matrices, strict=True)
    )
    return Features(sets, tuple(table.card for table in found), everywhere, tuple(notes))


def usable_target(target: Target, there: NDArray[np.bool_], min_examples: int | None) -> Target:
    """A target without the tracks that have no features.

    Parameters
    ----------
    target : Target
    there : (n,) boolean array
        Which manifest rows have features.
    min_examples : int or None
        Classes that fall below it (or below two) for want of features are left out with a note,
        so that one bad file does not end an evaluation.

    Raises
    ------
    UsageError
        When no labelled track has features, or fewer than two classes are left.
    """
    keep = np.flatnonzero(there[target.rows])
    lost = len(target.rows) - len(keep)
    notes = [f"{lost} labelled tracks have no features: left out"] if lost else []
    if target.task == "classification":
        counts = Counter(target.values[position] for position in keep.tolist())
        rare = sorted(label for label, n in counts.items() if n < max(2, min_examples or 2))
        if rare:
            keep = np.array([p for p in keep.tolist() if target.values[p] not in rare], dtype=int)
            notes.append(f"classes {rare} left out: too few of their tracks have features")
        counts = Counter(target.values[position] for position in keep.tolist())
    if not len(keep) or (target.task == "classification" and len(counts) < 2):
        raise UsageError(
            wanted=f"tracks with features and a label {target.name!r}, of two classes at least",
            got=f"{len(keep)} of {len(target.rows)} labelled tracks",
            fix="Embed this manifest first, and see there why files were quarantined",
        )
    return replace(
        target,
        rows=target.rows[keep],
        values=[target.values[position] for position in keep.tolist()],
        notes=(*target.notes, *notes),
    )
