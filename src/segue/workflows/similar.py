"""Similarity search over a store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.card import EncoderCard
from segue.errors import ModelError, StoreError, UsageError
from segue.extraction import features_of, file_facts
from segue.rights import check_rights, is_commercial_only
from segue.similarity.distance import Metric
from segue.similarity.index import ExactIndex
from segue.store import FeatureTable, Stored
from segue.workflows.embedding import Inputs, bound_encoder, open_manifest
from segue.workflows.tables import asked_table


def build_index(
    store: str | Path,
    *,
    encoder: str | None = None,
    manifest: Inputs | None = None,
    metric: Metric = "l1",
    scale: bool = True,
    out: str | Path | None = None,
) -> ExactIndex:
    """Index the tracks of a store.

    Parameters
    ----------
    store : path
    encoder : str, optional
        Which table, where the store has several; of an encoder named by its folder, the features
        must be its own.
    manifest : Manifest, path or paths, optional
        Index only its tracks; by default all that are stored. A file that was moved is indexed
        where it is now, not where it was.
    metric : {"l1", "l2", "cosine"}
        L1 is what Hamel et al. 2013 use.
    scale : bool
        Give every dimension the same spread before measuring distances.
    out : path, optional
        Folder to save the index in.

    Raises
    ------
    StoreError, UsageError, WeightsError
    """
    table = asked_table(store, encoder)
    chosen = _indexed(table, manifest)
    if not chosen:
        raise StoreError(
            wanted="features to index",
            got="none",
            fix="Run `segue embed` into this store",
            source=table.folder,
        )
    ids, paths = _names(chosen), [one.facts.path for one in chosen]
    facts = {"card": table.card.to_json(), "paths": paths}
    index = ExactIndex.build(table.features(chosen), ids, metric=metric, scale=scale, facts=facts)
    if out is not None:
        index.save(out)
    return index


def _indexed(table: FeatureTable, manifest: Inputs | None) -> list[Stored]:
    usable = table.contents().usable()
    if manifest is not None:
        wanted = {file_facts(track).place for track in open_manifest(manifest).tracks()}
        return [stored for stored in usable if stored.facts.place in wanted]
    by_key: dict[str, list[Stored]] = defaultdict(list)
    for stored in usable:
        by_key[stored.key].append(stored)
    copies = (_copies(found) for found in by_key.values())
    return [stored for found in copies for stored in found]


def _copies(found: list[Stored]) -> list[Stored]:
    """Places of one content: those still there; without any audio (another machine), all."""
    here = [stored for stored in found if Path(stored.facts.path).exists()] if found[1:] else found
    return here or found


def _names(chosen: Sequence[Stored]) -> list[str]:
    """Ids, made unmistakable by the place where two data sets use the same."""
    ids = Counter(stored.facts.id for stored in chosen)
    names = []
    for stored in chosen:
        path, start, duration = stored.facts.place
        stretch = f"@{start:g}" if start or duration else ""
        names.append(stored.facts.id if ids[stored.facts.id] == 1 else path + stretch)
    return names


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The answer to one query.

    Attributes
    ----------
    query : str
    ids, paths : list of str
        Nearest first.
    distances : list of float
    """

    query: str
    ids: list[str]
    paths: list[str]
    distances: list[float]


def similar(
    index: ExactIndex | str | Path, query: str | Path, *, k: int = 10, device: str = "cpu"
) -> Neighbours:
    """The tracks nearest to a query.

    Parameters
    ----------
    index : ExactIndex or path
    query : str or path
        The id of an indexed track, which is then left out of its own answer, or an audio file,
        which is embedded with the index's encoder.
    k : int

    Raises
    ------
    ModelError
        This version's encoder is not the one the index was built with.
    UsageError
        The query is neither an id nor a file; the encoder must not be used commercially where that
        was asked for.
    AudioError
        The file cannot be used.
    """
    index = index if isinstance(index, ExactIndex) else ExactIndex.load(index)
    card = _card(index)
    if card is not None:
        check_rights(card)
    elif is_commercial_only():
        raise UsageError(
            wanted="an index that knows its encoder, and so its licence",
            got="one without an encoder card",
            fix="Build it with `segue index`, or drop --commercial",
        )
    paths = dict(zip(index.ids, index.facts.get("paths", index.ids), strict=True))
    name = str(query)
    if name in paths:
        row = index.ids.index(name)
        found, distances = index.nearest(
            index.vectors[row : row + 1], k, skip=(np.array([row]), np.arange(len(index)))
        )
        ids = [index.ids[other] for other in found[0] if other >= 0]
        return Neighbours(name, ids, [paths[i] for i in ids], distances[0][: len(ids)].tolist())
    if not Path(query).exists():
        raise UsageError(
            wanted="an id in the index or an audio file",
            got=repr(name),
            fix=f"Ids look like {index.ids[0]!r}",
        )
    names, lengths = index.query(_embed_query(card, Path(query), device)[None], k)
    ids = [str(one) for one in names[0]]
    return Neighbours(name, ids, [paths[i] for i in ids], lengths[0].tolist())


def _card(index: ExactIndex) -> EncoderCard | None:
    """The card of the encoder that an index was built with; None where it holds none."""
    facts = index.facts.get("card")
    return None if facts is None else EncoderCard.from_json(facts)


def _embed_query(card: EncoderCard | None, path: Path, device: str) -> np.ndarray:
    if card is None:
        raise ModelError(
            wanted="an index that knows its encoder",
            got="one without an encoder card",
            fix="Build it with `segue index`, or query it by id",
        )
    return features_of(path, bound_encoder(card, device=device, what="the index"))
