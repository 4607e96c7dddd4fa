"""Similarity search over a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.card import EncoderCard
from segue.encoders import encoder as build_encoder
from segue.errors import ModelError, StoreError, UsageError
from segue.extraction.worker import features_of
from segue.similarity.distance import Metric
from segue.similarity.index import ExactIndex
from segue.store import choose_table


def build_index(
    store: str | Path,
    *,
    encoder: str | None = None,
    metric: Metric = "l1",
    scale: bool = True,
    out: str | Path | None = None,
) -> ExactIndex:
    """Index all tracks of a store.

    Parameters
    ----------
    store : path
    encoder : str, optional
        Which table, where the store has several.
    metric : {"l1", "l2", "cosine"}
        L1 is what Hamel et al. 2013 use.
    scale : bool
        Give every dimension the same spread before measuring distances.
    out : path, optional
        Folder to save the index in.

    Raises
    ------
    StoreError, UsageError
    """
    table = choose_table(store, encoder)
    ids, X = table.read()
    if not ids:
        raise StoreError(
            wanted="features to index",
            got="an empty table",
            fix="Run `segue embed` into this store",
            source=table.folder,
        )
    paths = {name: facts.path for name, (facts, _) in table.finished().items()}
    facts = {"card": table.card.to_json(), "paths": [paths[name] for name in ids]}
    index = ExactIndex.build(X, ids, metric=metric, scale=scale, facts=facts)
    if out is not None:
        index.save(out)
    return index


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
        The query is neither an id nor a file.
    AudioError
        The file cannot be used.
    """
    index = index if isinstance(index, ExactIndex) else ExactIndex.load(index)
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
    names, lengths = index.query(_embed_query(index, Path(query), device)[None], k)
    ids = [str(one) for one in names[0]]
    return Neighbours(name, ids, [paths[i] for i in ids], lengths[0].tolist())


def _embed_query(index: ExactIndex, path: Path, device: str) -> np.ndarray:
    try:
        card = EncoderCard.from_json(index.facts["card"])
    except (KeyError, TypeError) as error:
        raise ModelError(
            wanted="an index that knows its encoder",
            got="one without an encoder card",
            fix="Build it with `segue index`, or query it by id",
        ) from error
    encoder = build_encoder(card.label, chunks=card.excerpt.chunks, device=device)
    if encoder.card.digest != card.digest:
        raise ModelError(
            wanted=f"the encoder of the index ({card.digest[:12]})",
            got=f"another ({encoder.card.digest[:12]}): "
            f"{'; '.join(card.differences(encoder.card))}",
            fix="Embed and index again with this version",
        )
    return features_of(path, encoder)
