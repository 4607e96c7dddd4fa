"""The tables of a store."""

from __future__ import annotations

from pathlib import Path

from segue.errors import StoreError, UsageError
from segue.store.table import CARD, FeatureTable


def tables(store: str | Path) -> list[FeatureTable]:
    """All tables of a store (or the one table, when its own folder is named), sorted by name."""
    store = Path(store)
    if (store / CARD).is_file():
        return [FeatureTable.open(store)]
    if not store.is_dir():
        return []
    return [FeatureTable.open(card.parent) for card in sorted(store.glob(f"*/{CARD}"))]


def choose_table(store: str | Path, encoder: str | None = None) -> FeatureTable:
    """The one table of a store that a request means.

    Parameters
    ----------
    store : str or Path
    encoder : str, optional
        Name or label ("choi2017-msd@12345"); needed when the store has several tables.

    Raises
    ------
    StoreError
        When there is none.
    UsageError
        When several fit.
    """
    there = tables(store)
    fitting = [t for t in there if encoder is None or encoder in (t.card.name, t.card.label)]
    names = ", ".join(table.folder.name for table in there) or "no tables"
    if not fitting:
        raise StoreError(
            wanted=f"features of {encoder}" if encoder else "a feature store",
            got=names,
            fix="Run `segue embed` into this folder first",
            source=store,
        )
    if len(fitting) > 1:
        raise UsageError(
            wanted="one table",
            got=names,
            fix="Choose with --encoder, or name the table's own folder",
            source=store,
        )
    return fitting[0]
