"""The tables of a store."""

from __future__ import annotations

from dataclasses import replace

from segue.card import EncoderCard
from segue.errors import StoreError, UsageError
from segue.files import Location, exists, folder
from segue.store.cards import CARD, table_folders
from segue.store.table import FeatureTable


def tables(store: str | Location) -> list[FeatureTable]:
    """All tables of a store (or the one table, when its own folder is named), sorted by name.

    Parameters
    ----------
    store : str, Path or UPath
        A folder, or an address such as ``"s3://bucket/store"``.
    """
    there = folder(store)
    if exists(there / CARD):
        return [FeatureTable.open(there)]
    return [FeatureTable.open(one) for one in table_folders(there)]


def choose_table(
    store: str | Location, encoder: str | None = None, *, card: EncoderCard | None = None
) -> FeatureTable:
    """The one table of a store that a request means.

    Parameters
    ----------
    store : str, Path or UPath
    encoder : str, optional
        Name or label ("choi2017-msd@12345"); needed when the store has several tables.
    card : EncoderCard, optional
        Of the encoder that the features must come from, whatever layers and number of chunks
        were heard: for an encoder whose name alone does not say which it is.

    Raises
    ------
    StoreError
        When there is none.
    UsageError
        When several fit.
    """
    there = tables(store)
    fitting = [t for t in there if encoder is None or _is_called(encoder, t.card)]
    asked = f"features of {encoder}" if encoder else "a feature store"
    if card is not None:
        asked += f" (digest {card.digest[:12]})"
        fitting = [t for t in fitting if _same_encoder(card, t.card)]
    names = ", ".join(table.folder.name for table in there) or "no tables"
    if not fitting:
        fix = "Run `segue embed` into this folder first"
        if card is not None and there:
            fix = "Run `segue embed` with this encoder into this folder: others may bear its name"
        raise StoreError(wanted=asked, got=names, fix=fix, source=str(store))
    if len(fitting) > 1:
        raise UsageError(
            wanted="one table",
            got=", ".join(table.folder.name for table in fitting),
            fix="Choose with --encoder, or name the table's own folder",
            source=str(store),
        )
    return fitting[0]


def _is_called(name: str, card: EncoderCard) -> bool:
    """Whether that is its name or label, wherever the file lies that it is called by."""
    asked, mark, code = name.rpartition("@")
    plain = replace(card, name=asked if mark else name).plain_name
    if mark and plain == card.plain_name and code == card.layer_code:
        return True
    return name in (card.name, card.label) or replace(card, name=name).plain_name == card.plain_name


def _same_encoder(asked: EncoderCard, there: EncoderCard) -> bool:
    """Whether features come from that encoder, whatever layers and number of chunks it heard."""
    excerpt = replace(asked.excerpt, chunks=there.excerpt.chunks)
    wanted = replace(asked, layers=there.layers, dim=there.dim, excerpt=excerpt)
    return wanted.digest == there.digest
