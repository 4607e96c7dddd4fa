"""Networks of several tasks written down: the encoder folder and the page of how they learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.card import EncoderCard
from segue.encoders.architectures import Tensors
from segue.encoders.folders import EncoderFolder, write_folder
from segue.files import write_atomically
from segue.report import Section, Table, quarantine_section, write_page
from segue.report.learning import learning_plot, learning_section
from segue.training.dcnn.lesson import DcnnLesson
from segue.training.loop import Point, Trained
from segue.workflows.dcnntargets import GENRE, Target
from segue.workflows.sourcetask import PAGE, PLOT, came_from, versions


def write_dcnn(
    out: Path,
    *,
    card: EncoderCard,
    tags: Sequence[str],
    tensors: Tensors,
    trained: Trained,
    lesson: DcnnLesson,
    targets: Sequence[Target],
    left_out: int,
    settings: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
) -> EncoderFolder:
    """Write page, plot and, last of all, the encoder.

    Raises
    ------
    StoreError
    """
    best = trained.curve[trained.best_epoch - 1]
    notes = [words for one in targets for words in one.notes]
    if left_out:
        notes.append(f"{left_out} tracks have nothing that is taught: left out.")
    if failures:
        notes.append(f"{len(failures)} files could not be used: left out.")
    facts = {
        "scores": {name: best[name] for name in best if name.startswith("valid_")},
        "epochs": len(trained.curve),
        "best_epoch": trained.best_epoch,
        "tasks": task_facts(lesson, targets, best),
        "unusable_files": len(failures),
        "notes": notes,
        "settings": dict(settings),
        "seconds": round(sum(point["seconds"] for point in trained.curve), 1),
        "versions": versions(),
    }
    _write_page(out, card, facts, trained, failures)
    return write_folder(
        out, architecture="dcnn", card=card, tags=tags, training=facts, tensors=tensors
    )


def task_facts(
    lesson: DcnnLesson, targets: Sequence[Target], best: Point
) -> dict[str, dict[str, Any]]:
    """What each task is, and how far it was learned, beside what can be had without hearing."""
    found: dict[str, dict[str, Any]] = {}
    for one, train in zip(targets, lesson.train, strict=True):
        rule = lesson.yardsticks.get(one.name)
        found[one.name] = {
            "outputs": len(one.outputs),
            "tracks": len(train),
            "validation": rule.tracks if rule else 0,
            "loss": best.get(f"valid_loss_{one.name}"),
            "baseline": rule.baseline if rule else None,
            "lowest": rule.entropy if rule else None,
            "learned": best.get(f"valid_learned_{one.name}"),
            "accuracy": best.get(f"valid_accuracy_{one.name}"),
            "baseline_accuracy": rule.baseline_accuracy if rule else None,
        }
    return found


def _write_page(
    out: Path,
    card: EncoderCard,
    facts: Mapping[str, Any],
    trained: Trained,
    failures: Sequence[Mapping[str, Any]],
) -> None:
    # losses of tasks with other numbers of outputs cannot share an axis; what was learned can
    shown = [
        {
            name: value
            for name, value in point.items()
            if not name.startswith("valid_") or name.startswith(("valid_learned", "valid_accuracy"))
        }
        | {"valid_loss": point["valid_loss"]}
        for point in trained.curve
    ]
    figure = learning_plot(shown, best_epoch=trained.best_epoch, loss="cross entropy, all tasks")
    sections: list[Section] = [
        learning_section(figure, facts["notes"]),
        _tasks_section(facts["tasks"]),
        *([quarantine_section(failures)] if failures else []),
        came_from(card, facts),
    ]
    learned = [
        f"{name} {one['learned']:.0%}"
        for name, one in facts["tasks"].items()
        if one["learned"] is not None
    ]
    finding = (
        "of what hearing can tell of each task, the networks tell on validation tracks, which "
        f"chose the epoch: {', '.join(learned) or 'nothing that can be measured'}"
    )
    write_atomically(out / PLOT, figure.png)
    write_page(
        out / PAGE,
        title=f"Training of {card.name}",
        summary={"finding": finding},
        sections=sections,
    )


def _tasks_section(tasks: Mapping[str, Mapping[str, Any]]) -> Section:
    header = ["task", "outputs", "training tracks", "validation tracks", "loss"]
    header += ["without hearing", "lowest possible", "learned", "accuracy", "most frequent class"]
    rows = [
        [
            "g (genres)" if name == GENRE else f"{name} (factors)",
            *(str(one[key]) for key in ("outputs", "tracks", "validation")),
            *(number(one[key]) for key in ("loss", "baseline", "lowest")),
            *(percent(one[key]) for key in ("learned", "accuracy", "baseline_accuracy")),
        ]
        for name, one in tasks.items()
    ]
    words = (
        "Loss: cross entropy in nats, mean over segments of the validation tracks. Without "
        "hearing: every track gets the mean of the training tracks. Lowest possible: the entropy "
        "of the targets themselves. Learned: how far the loss has come from the one to the other."
    )
    return Section("What each task learned", [words, Table(header, rows, "", tuple(range(1, 10)))])


def number(value: float | None) -> str:
    """Three digits, or that there is none.

    Examples
    --------
    >>> number(0.25), number(None)
    ('0.250', 'n/a')
    """
    return "n/a" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A share in percent, or that there is none.

    Examples
    --------
    >>> percent(0.254), percent(None)
    ('25 %', 'n/a')
    """
    return "n/a" if value is None else f"{100 * value:.0f} %"
