"""The card of a table, in its folder; a folder is a table when it has one."""

from __future__ import annotations

import json

from segue.card import EncoderCard
from segue.errors import ModelError, StoreError
from segue.files import Location, entries, exists, read_bounded, write_atomically

# Still 1 with hashes and decoders in shards and failures in files of their own: older versions
# read such shards, and at worst try quarantined files again.
FORMAT = 1
CARD = "card.json"
MOST_BYTES = 2**20
MOST_FEATURES = 2**24


def table_folders(store: Location) -> list[Location]:
    """The folders of a store that are tables, sorted by name."""
    return [there for there in entries(store) if exists(there / CARD)]


def write_card(folder: Location, card: EncoderCard) -> None:
    """Make a folder a table of a card."""
    facts = {"format": FORMAT, "card": card.to_json(), "digest": card.digest}
    write_atomically(folder / CARD, json.dumps(facts, indent=1).encode())


def read_card(folder: Location) -> EncoderCard:
    """The card of a table.

    Raises
    ------
    StoreError
        The folder is no table, or its card does not match its digest.
    """
    try:
        facts = json.loads(read_bounded(folder / CARD, MOST_BYTES))
        card = EncoderCard.from_json(facts["card"])
        version, digest, mine = facts["format"], facts["digest"], card.digest
        _check(card)
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(AttributeError, RecursionError, ModelError),
    ) as error:
        raise StoreError(
            wanted="a feature table (a folder with card.json)",
            got=f"{type(error).__name__}: {error}",
            fix="Name a folder that `segue embed -o` wrote",
            source=str(folder),
        ) from error
    if version != FORMAT or digest != mine:
        raise StoreError(
            wanted=f"format {FORMAT} and a card of digest {digest}",
            got=f"format {version} and a card of digest {mine}",
            fix="The card was changed by hand or by another version: embed into a new folder",
            source=str(folder),
        )
    return card


def _check(card: EncoderCard) -> None:
    """Refuse what the folder's name and the shards are made of, where it is of another type."""
    if not isinstance(card.name, str) or not all(type(layer) is int for layer in card.layers):
        raise TypeError(f"a name {card.name!r:.80} with layers {card.layers!r:.80}")
    if type(card.dim) is not int or not 0 < card.dim <= MOST_FEATURES:
        raise ValueError(f"dim is {card.dim!r:.80}")
