"""Factors as a folder: ``targets.json``, ``model.safetensors``, ``groups.parquet``. No pickle.

``targets.json`` holds the SHA-256 of the other two and is put in place last. Whoever reads a folder
does not trust it: sizes are bounded before anything is read, and what was read is checked.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segue.errors import UsageError
from segue.files import write_atomically
from segue.targets.factors import FactorModel, GroupShares
from segue.targets.folder_checks import (
    FACTS,
    FORMAT,
    GROUPS,
    MAX_BYTES,
    MODEL,
    Tensor,
    read_facts,
    read_groups,
    read_model,
    schema_of,
)
from segue.targets.texts import check_text

ROWS_AT_ONCE = 2**16


@dataclass(frozen=True, slots=True, eq=False)
class TargetFolder:
    """What a folder of factors holds.

    Attributes
    ----------
    model : FactorModel
    shares : GroupShares
    facts : mapping
        What the caller of :func:`write_targets` said of it.
    """

    model: FactorModel
    shares: GroupShares
    facts: Mapping[str, Any]


def write_targets(
    path: str | Path, model: FactorModel, shares: GroupShares, facts: Mapping[str, Any]
) -> Path:
    """Write a model and the distributions of groups; one that was there is replaced.

    Parameters
    ----------
    path : str or Path
        Of the folder, made when absent.
    model : FactorModel
    shares : GroupShares
        Inferred by the model.
    facts : mapping of str to JSON
        Whatever else should be known of them: where the tracks come from, say.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UsageError
        Shares of another number of topics than the model's, facts that are no JSON, names that
        could not be shown, or anything too large to be read again.
    StoreError
        The folder cannot be written; a folder that was there is then either whole or refused.

    Examples
    --------
    >>> import tempfile
    >>> from segue.targets.source import LabelSource
    >>> from segue.targets.factors import FactorSettings, group_shares, learn_factors
    >>> source = LabelSource(["abba", "bach"], [0, 0, 1], "abc", [["pop"], ["pop"], ["fugue"]])
    >>> folder = Path(tempfile.mkdtemp())
    >>> model = learn_factors(source, FactorSettings(topics=2), work=folder)
    >>> shares = group_shares(model, source, work=folder)
    >>> there = open_targets(write_targets(folder, model, shares, {"column": "genre"}))
    >>> there.shares.names, there.facts
    (('abba', 'bach'), {'column': 'genre'})
    """
    from safetensors.numpy import save

    path = Path(path)
    contents = {MODEL: save(_tensors(model)), GROUPS: _table(model, shares)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    head = {
        "format": FORMAT,
        "settings": model.settings.to_json(),
        "vocabulary": list(model.vocabulary),
        "learned_from": dict(model.facts),
        "notes": [check_text(note, "a note") for note in model.notes],
        "groups": len(shares.words),
        "topics": model.topics,
        "unknown": shares.unknown,
        "facts": facts,
        "sha256": digests,
    }
    try:
        text = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        contents[FACTS] = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            wanted="facts that JSON can hold", got=str(error), fix="Give texts and numbers"
        ) from error
    for name, content in contents.items():
        if len(content) > MAX_BYTES[name]:
            raise UsageError(
                wanted=f"a {name} within its limit of {MAX_BYTES[name]} bytes",
                got=f"{len(content)} bytes",
                fix="Ask for fewer words or topics, or divide the groups",
                source=path / name,
            )
    for name in (MODEL, GROUPS, FACTS):
        write_atomically(path / name, contents[name])
    return path


def open_targets(path: str | Path) -> TargetFolder:
    """Read what :func:`write_targets` wrote.

    Raises
    ------
    ModelError
        No such folder, one of another version, or a damaged one.
    """
    path = Path(path)
    head = read_facts(path / FACTS)
    model = read_model(path / MODEL, head)
    return TargetFolder(model, read_groups(path / GROUPS, head), head.facts)


def _tensors(model: FactorModel) -> dict[str, Tensor]:
    """What ``model.safetensors`` holds."""
    tensors: dict[str, Tensor] = {"components": np.ascontiguousarray(model.components)}
    if model.dictionary is not None:
        tensors |= {
            "centres": model.dictionary.centres,
            "shift": model.dictionary.shift,
            "scale": model.dictionary.scale,
        }
        if model.dictionary.quantiles is not None:
            tensors["quantiles"] = model.dictionary.quantiles
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _table(model: FactorModel, shares: GroupShares) -> bytes:
    """What ``groups.parquet`` holds: a row a group, no shares where there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if shares.shares.shape != (len(shares.names), model.topics):
        raise UsageError(
            wanted=f"shares ({len(shares.names)}, {model.topics}), a row a group",
            got=str(shares.shares.shape),
            fix="Give the shares that this model inferred",
        )
    schema = schema_of(model.topics)
    content = io.BytesIO()
    with pq.ParquetWriter(content, schema) as writer:
        for begin in range(0, len(shares.names), ROWS_AT_ONCE):
            part = slice(begin, begin + ROWS_AT_ONCE)
            values = pa.FixedSizeListArray.from_arrays(
                pa.array(shares.shares[part].ravel(), pa.float32()),
                model.topics,
                mask=pa.array(~shares.known[part]),
            )
            names = [check_text(name, "a group's name") for name in shares.names[part]]
            columns = [
                pa.array(names, pa.string()),
                shares.tracks[part],
                shares.words[part],
                values,
            ]
            writer.write_table(pa.table(columns, schema=schema))
    return content.getvalue()
