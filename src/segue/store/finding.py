"""Which stored row a track means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from segue.store.rows import Contents, FileFacts, Stored


def find_rows(contents: Contents, tracks: Sequence[FileFacts]) -> list[Stored | None]:
    """The stored row of each track, by its place; by its id where there is no file."""
    by_id: dict[str, list[Stored]] = defaultdict(list)
    for stored in contents.usable():
        by_id[stored.facts.id].append(stored)
    return [_choose(facts, contents, by_id) for facts in tracks]


def _choose(
    facts: FileFacts, contents: Contents, by_id: Mapping[str, Sequence[Stored]]
) -> Stored | None:
    if facts.place in contents.failures:
        return None
    stored = contents.rows.get(facts.place)
    if stored is not None:
        unchanged = not facts.exists or stored.facts.same_file(facts)
        return stored if unchanged else None
    named = by_id.get(facts.id, ())
    return named[0] if len(named) == 1 and not facts.exists else None
