"""A joint embedding written down: the encoder folder and the page of how it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.card import EncoderCard
from segue.encoders.architectures import Tensors
from segue.encoders.folders import EncoderFolder, write_folder
from segue.files import write_atomically
from segue.report import Section, quarantine_section, write_page
from segue.report.learning import learning_plot, learning_section
from segue.training.loop import Trained
from segue.workflows.jointsets import Taught
from segue.workflows.sourcetask import PAGE, PLOT, came_from, versions


def write_joint(
    out: Path,
    *,
    card: EncoderCard,
    tags: Sequence[str],
    tensors: Tensors,
    trained: Trained,
    taught: Sequence[Taught],
    settings: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
    extended: str | None,
) -> EncoderFolder:
    """Write page, plot and, last of all, the encoder.

    Raises
    ------
    StoreError
    """
    best = trained.curve[trained.best_epoch - 1]
    notes = [words for one in taught for words in one.notes()]
    if extended:
        notes.insert(0, f"The map of {extended} stayed as it was: only labels were added to it.")
    if failures:
        notes.append(f"{len(failures)} files could not be used: left out.")
    facts = {
        "scores": {name: best[name] for name in best if name.startswith("valid_")},
        "epochs": len(trained.curve),
        "best_epoch": trained.best_epoch,
        "data_sets": {
            one.source.name: {
                "labels": len(one.labels),
                "tracks": len(one.carried),
                "validation": int(one.valid.sum()),
                "unlabelled": one.unlabelled,
                "rare": len(one.rare),
            }
            for one in taught
        },
        "unusable_files": len(failures),
        "notes": notes,
        "settings": dict(settings),
        "seconds": round(sum(point["seconds"] for point in trained.curve), 1),
        "versions": versions(),
    }
    _write_page(out, card, facts, trained, failures)
    return write_folder(
        out, architecture="warp", card=card, tags=tags, training=facts, tensors=tensors
    )


def _write_page(
    out: Path,
    card: EncoderCard,
    facts: Mapping[str, Any],
    trained: Trained,
    failures: Sequence[Mapping[str, Any]],
) -> None:
    shown = [
        {
            name: value
            for name, value in point.items()
            if not name.startswith("valid_") or name.startswith("valid_map")
        }
        for point in trained.curve
    ]
    figure = learning_plot(shown, best_epoch=trained.best_epoch, loss="WARP loss")
    best = trained.curve[trained.best_epoch - 1]
    sections: list[Section] = [
        learning_section(figure, facts["notes"]),
        *([quarantine_section(failures)] if failures else []),
        came_from(card, facts),
    ]
    finding = (
        f"on validation tracks, which chose the epoch: mean average precision of the label "
        f"ranking {best['valid_map']:.3f}, a right label ranked first for {best['valid_p1']:.1%}"
        + " (means over data sets)"
        * (len(facts["data_sets"]) > 1)
    )
    write_atomically(out / PLOT, figure.png)
    write_page(
        out / PAGE,
        title=f"Training of {card.name}",
        summary={"finding": finding},
        sections=sections,
    )
