"""Which table of a store a request means."""

from __future__ import annotations

from pathlib import Path

from segue.card import FOREIGN
from segue.encoders import encoder as build_encoder
from segue.encoders.folders import added
from segue.encoders.names import is_path, split_layers
from segue.rights import check_rights
from segue.store import FeatureTable, choose_table


def asked_table(store: str | Path, encoder: str | None) -> FeatureTable:
    """The table of a store that holds the features of an encoder.

    Two trainings may bear one name. So an encoder that is named by its folder, or was added, is
    built, and only a table of that very encoder will do; without layers, of any of its layers.

    Parameters
    ----------
    store : path
    encoder : str or None
        Name, with layers if wanted, or the path of an encoder folder; None where the store has
        one table.

    Raises
    ------
    StoreError
        There is none of that encoder.
    UsageError
        Several fit, or there is no such encoder or layer; it must not be used commercially where
        that was asked for.
    WeightsError
        The encoder folder is none.

    Examples
    --------
    >>> import tempfile
    >>> store = tempfile.mkdtemp()
    >>> made = FeatureTable.open_or_create(store, build_encoder("mfcc").card)
    >>> asked_table(store, "mfcc").card.dim
    120
    """
    table = _asked(store, encoder)
    check_rights(table.card, table.folder)
    return table


def _asked(store: str | Path, encoder: str | None) -> FeatureTable:
    if encoder is None:
        return choose_table(store)
    base, code = split_layers(encoder)
    if not is_path(base) and not base.startswith(FOREIGN) and added(base) is None:
        return choose_table(store, encoder)
    card = build_encoder(encoder).card
    return choose_table(store, card.label if code else card.name, card=card)
