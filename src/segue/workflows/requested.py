"""What an evaluation is asked for, checked before hours of embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segue.datasets import Manifest, Target, Task, read_target
from segue.encoders import Encoder
from segue.encoders import encoder as build_encoder
from segue.errors import UsageError
from segue.evaluation.heads import make_head
from segue.evaluation.rows import AUTO
from segue.evaluation.splits import deal
from segue.evaluation.targets import encode_target
from segue.extraction import Recipe
from segue.workflows.embedding import Features
from segue.workflows.splitting import GivenSplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """How tracks are dealt to outer and inner folds."""

    folds: int
    repeats: int
    inner: int
    seed: int
    given: GivenSplit | None
    shared_groups: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One encoder as asked for.

    ``blocks`` are the widths of its layers where the inner folds shall choose among them.
    """

    encoder: str
    label: str
    blocks: tuple[tuple[str, int], ...] = ()

    def recipe(self, chunks: int | None, device: str) -> Recipe:
        """How its features are made."""
        return Recipe(self.encoder, None, chunks, device)


def ask(name: str, layers: str | None, device: str) -> Asked:
    """What is meant by an encoder's name and the layers asked for all encoders."""
    base, auto = name.removesuffix(f"@{AUTO}"), name.endswith(f"@{AUTO}")
    built = build_encoder(base, device=device)
    if auto and not built.card.layers:
        raise UsageError(
            wanted="an encoder with layers to choose among",
            got=f"{base!r}, which has none",
            fix=f"Ask for {base}",
        )
    if layers is not None and not auto and built.card.layers and "@" not in Path(base).name:
        auto = layers == AUTO
        if not auto:
            base = f"{base}@{layers}"
            built = build_encoder(base, device=device)
    if not auto:
        return Asked(encoder=base, label=built.card.label)
    return Asked(encoder=base, label=f"{built.card.name}@{AUTO}", blocks=_blocks(built))


def _blocks(built: Encoder) -> tuple[tuple[str, int], ...]:
    """Names and widths of an encoder's layers, as they stand side by side in its features."""
    blocks = tuple((str(layer), width) for layer, width in built.widths.items())
    if sum(width for _, width in blocks) != built.card.dim:
        raise UsageError(
            wanted=f"widths of the layers of {built.card.name} that add up to {built.card.dim}",
            got=str(dict(blocks)),
            fix="Define `widths` in the encoder, or name the layers to use",
        )
    return blocks


def with_blocks(features: Features, asked: Sequence[Asked]) -> Features:
    """The same features; sets whose layers are to be chosen know where each layer stands."""
    sets = tuple(
        replace(one, layers=AUTO, blocks=what.blocks) if what.blocks else one
        for one, what in zip(features.sets, asked, strict=True)
    )
    return replace(features, sets=sets, notes=tuple(dict.fromkeys(features.notes)))


def checked_targets(
    manifest: Manifest,
    targets: Sequence[str],
    encoders: Sequence[str],
    groups: Sequence[str] | None,
    task: Task | None,
    heads: Sequence[str] | None,
    dealt: Dealt,
    min_examples: int | None,
) -> list[Target]:
    """The targets; all that can be known to be wrong is said before hours of embedding."""
    if not targets or not encoders:
        raise UsageError(
            wanted="at least one target and one encoder",
            got=f"targets {list(targets)}, encoders {list(encoders)}",
            fix="Name both",
        )
    if min(dealt.folds, dealt.inner) < 2:
        got = f"{dealt.folds} outer, {dealt.inner} inner"
        raise UsageError(wanted="two folds or more", got=got, fix="Use more folds")
    labelled = [
        read_target(manifest, name, task=task, min_examples=min_examples) for name in targets
    ]
    for target in labelled:
        for head in heads or ():
            make_head(head, target.task, n_features=1)
        own = None if groups is None else [groups[row] for row in target.rows]
        rare = {} if min_examples is None else {"min_positives": min_examples}
        encoded = encode_target(target.values, own, target.task, **rare)
        deal(
            encoded.y,
            own,
            target.task,
            group_name="",
            ids=manifest.subset(target.rows.tolist()).ids,
            n_folds=dealt.folds,
            repeats=dealt.repeats,
            given=None if dealt.given is None else dealt.given.folds[:, target.rows],
            shared_groups=dealt.shared_groups,
        )
    return labelled
