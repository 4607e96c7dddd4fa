"""A source task judged and written down: scores, baseline, the encoder folder and its page."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segue import __version__
from segue.card import EncoderCard, FrontEndSpec
from segue.encoders.calibrated import CITATION
from segue.encoders.convnet import EXCERPT, LAYERS, MAPS
from segue.encoders.folders import EncoderFolder, check_name, packaged_folder, write_folder
from segue.encoders.registry import is_registered
from segue.errors import UsageError, WeightsError
from segue.evaluation.metrics import average_precision_macro, roc_auc_macro
from segue.files import write_atomically
from segue.report import Section, provenance_section, quarantine_section, write_page
from segue.report.learning import learning_plot, learning_section, tags_section
from segue.training.loop import Point, Trained
from segue.training.split import PARTS, Split
from segue.training.tagging import Level, Tagger

SCORES, PAGE, PLOT = "scores.csv", "report.html", "plots/learning_curve.png"
PACKAGES = ("torch", "numpy", "soundfile", "soxr")
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SourceTask:
    """What is taught to which tracks.

    Attributes
    ----------
    tags : tuple of str
    table : (tracks, tags) float32 array of 0/1
    parts : mapping of part to rows of ``table``
    rare : mapping of tag to tracks
        Tags that are not taught, because too few training tracks carry (or lack) them.
    beyond : mapping of tag to tracks
        Tags that could be taught, but are not among the most frequent that were asked for.
    unlabelled, failed : int
        Tracks left out: without a label in one of the columns; not decodable.
    """

    tags: tuple[str, ...]
    table: NDArray[np.float32]
    parts: Split
    rare: Mapping[str, int]
    beyond: Mapping[str, int]
    unlabelled: int
    failed: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the training tracks that carry each tag: the baseline."""
        shares: NDArray[np.float64] = self.table[self.parts["train"]].mean(axis=0, dtype=np.float64)
        return shares

    def check_valid(self) -> None:
        """Refuse a validation part on which no tag can be scored.

        Raises
        ------
        UsageError
        """
        carried = self.table[self.parts["valid"]].sum(axis=0)
        if not ((carried > 0) & (carried < len(self.parts["valid"]))).any():
            raise UsageError(
                wanted="a tag that some validation tracks carry and some lack",
                got=f"none among {len(self.tags)} tags and {len(self.parts['valid'])} tracks",
                fix="Give more tracks, or another --split or --seed",
                source="validation",
            )

    def notes(self) -> list[str]:
        """What was left out, in words."""
        counts = ", ".join(f"{len(self.parts[part])} {part}" for part in PARTS)
        notes = [f"Tracks: {counts}. Tags: {len(self.tags)}."]
        if self.unlabelled:
            notes.append(f"{self.unlabelled} tracks lack a label in one of the columns: left out.")
        if self.failed:
            notes.append(f"{self.failed} files could not be used: left out.")
        reasons = {
            "too few training tracks or groups carry or lack them": self.rare,
            f"only the {len(self.tags)} most frequent were asked for": self.beyond,
        }
        for reason, tags in reasons.items():
            if tags:
                listed = ", ".join(f"{tag} ({n})" for tag, n in tags.items())
                notes.append(
                    f"{len(tags)} tags are not taught, since {reason} (tracks that carry them): "
                    f"{listed}."
                )
        return notes


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What the card says of an encoder beyond its numbers.

    Attributes
    ----------
    name : str, optional
        By default that of the output folder.
    licence : str
    commercial : bool
        False where licence or training data forbid commercial use.
    training_data : str
        In words; by default how many tracks and tags, and that the source was not stated.
    """

    name: str | None = None
    licence: str = "not stated"
    commercial: bool = True
    training_data: str = ""


def named_origin(origin: Origin | None, out: Path, *, remake: bool = False) -> Origin:
    """An origin with a name of its own, by default that of the output folder.

    Raises
    ------
    UsageError
        No usable name, or one of segue's own encoders (``remake`` allows that of a packaged one).
    """
    known = origin or Origin()
    name = check_name(known.name or out.resolve().name, source=out)
    if is_registered(name) and not (remake and packaged_folder(name).is_dir()):
        raise UsageError(
            wanted="a name of its own for the new encoder",
            got=f"{name!r}, one of segue's own",
            fix="Choose another with --name",
        )
    return replace(known, name=name)


def new_card(
    origin: Origin, targets: Sequence[str], task: SourceTask, front_end: FrontEndSpec
) -> EncoderCard:
    """The card of a network taught this task, but for the digest of its weights."""
    learned, kinds = len(task.parts["train"]), " and ".join(targets)
    return EncoderCard(
        name=origin.name or "",
        version=1,
        dim=MAPS * len(LAYERS),
        front_end=front_end,
        excerpt=EXCERPT,
        layers=LAYERS,
        description=f"Five-layer convnet of Choi et al. 2017 trained on {len(task.tags)} tags "
        f"({kinds}); mean of each layer's maps; batch statistics: training's running averages",
        licence=origin.licence,
        commercial=origin.commercial,
        training_data=origin.training_data
        or f"{learned} tracks with {len(task.tags)} tags ({kinds}); source not stated",
        citation=CITATION,
    )


def measure(truth: ArrayLike, scores: ArrayLike) -> dict[str, float]:
    """Macro scores of one look at held-out tracks, over the tags that are defined there."""
    return {
        "auc": roc_auc_macro(truth, scores).value,
        "ap": average_precision_macro(truth, scores).value,
    }


def judge(task: SourceTask, scores: Scores) -> dict[str, Any]:
    """Scores per tag and macro on the test part, and those of the tag-frequency baseline.

    Parameters
    ----------
    task : SourceTask
    scores : (test tracks, tags) array

    Returns
    -------
    dict
        ``tags`` (one mapping per tag, None where undefined), ``macro``, ``baseline``,
        ``undefined``.
    """
    truth = task.table[task.parts["test"]]
    constant = np.broadcast_to(task.shares, truth.shape)
    found = roc_auc_macro(truth, scores), average_precision_macro(truth, scores)
    chance = roc_auc_macro(truth, constant), average_precision_macro(truth, constant)
    carried = task.table[task.parts["train"]].sum(axis=0), truth.sum(axis=0)
    tags = [
        {
            "tag": tag,
            "train": int(carried[0][number]),
            "test": int(carried[1][number]),
            "roc_auc": _defined(found[0].per_tag[number]),
            "average_precision": _defined(found[1].per_tag[number]),
            "baseline_average_precision": _defined(chance[1].per_tag[number]),
        }
        for number, tag in enumerate(task.tags)
    ]
    names = ("roc_auc", "average_precision")
    return {
        "macro": {name: _defined(one.value) for name, one in zip(names, found, strict=True)},
        "baseline": {name: _defined(one.value) for name, one in zip(names, chance, strict=True)},
        "undefined": [task.tags[number] for number in found[0].undefined],
        "tags": tags,
    }


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def write_encoder(
    out: Path,
    *,
    network: Tagger,
    card: EncoderCard,
    task: SourceTask,
    scores: Scores,
    trained: Trained,
    level: Level,
    settings: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]],
) -> EncoderFolder:
    """Judge a trained network and write it down, the encoder itself last of all.

    Raises
    ------
    StoreError
    """
    judged = judge(task, scores)
    facts = {
        **judged,
        "epochs": len(trained.curve),
        "best_epoch": trained.best_epoch,
        "tracks": {part: len(task.parts[part]) for part in PARTS},
        "left_out": {
            "rare tags": dict(task.rare),
            "tags beyond --top": dict(task.beyond),
            "unlabelled tracks": task.unlabelled,
            "unusable files": task.failed,
        },
        # the loudest clip's path is for the page alone: folders are sent to others
        "level": {"reference_db": level.reference_db, "median_db": level.median_db},
        "settings": dict(settings),
        "seconds": round(sum(point["seconds"] for point in trained.curve), 1),
        "versions": versions(),
    }
    write_scores(out / SCORES, judged)
    _write_page(out, card, [*task.notes(), _heard(level)], task, facts, trained, failures)
    tensors = {
        name: values.detach().cpu().float().contiguous().numpy()
        for name, values in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return write_folder(
        out, architecture="convnet", card=card, tags=task.tags, training=facts, tensors=tensors
    )


def _heard(level: Level) -> str:
    return (
        f"The front end's 0 dB is the loudest mel band of the training clips, "
        f"{level.reference_db:.1f} dB in {level.path} (line {level.line}); in half of the clips it "
        f"is above {level.median_db:.1f} dB."
    )


def _write_page(
    out: Path,
    card: EncoderCard,
    notes: Sequence[str],
    task: SourceTask,
    facts: Mapping[str, Any],
    trained: Trained,
    failures: Sequence[Mapping[str, Any]],
) -> None:
    figure = learning_plot(
        trained.curve, best_epoch=trained.best_epoch, baseline=baseline_levels(task)
    )
    macro, baseline = facts["macro"], facts["baseline"]
    sections: list[Section] = [
        learning_section(figure, notes),
        tags_section(facts["tags"], macro, baseline),
        *([quarantine_section(failures)] if failures else []),
        came_from(card, facts),
    ]
    finding = (
        f"ROC-AUC {_number(macro['roc_auc'])} (baseline {_number(baseline['roc_auc'])}), average "
        f"precision {_number(macro['average_precision'])} (baseline "
        f"{_number(baseline['average_precision'])}): means over tags on "
        f"{facts['tracks']['test']} test tracks"
    )
    write_atomically(out / PLOT, figure.png)
    write_page(
        out / PAGE,
        title=f"Training of {card.name}",
        summary={"finding": finding},
        sections=sections,
    )


def came_from(card: EncoderCard, facts: Mapping[str, Any]) -> Section:
    """Where a trained encoder comes from: data, terms, settings, time, versions."""
    return provenance_section(
        {
            "training data": card.training_data,
            "licence": card.licence,
            **{name: facts[name] for name in ("settings", "seconds", "versions")},
        }
    )


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


def baseline_levels(task: SourceTask) -> dict[str, float]:
    """What the tag-frequency baseline gives on the validation part, by column of the curve."""
    truth = task.table[task.parts["valid"]].astype(np.float64)
    shares = np.broadcast_to(task.shares, truth.shape)
    entropy = -(truth * np.log(shares) + (1 - truth) * np.log(1 - shares))
    scores = {f"valid_{name}": value for name, value in measure(truth, shares).items()}
    return {"valid_loss": float(entropy.mean()), **scores}


def versions() -> dict[str, str]:
    """Versions of all that has a part in a training run's numbers."""
    return {
        "segue": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def write_curve(path: Path, curve: Sequence[Point]) -> None:
    """The curve as CSV: one line an epoch, all digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(curve[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_atomically(path, text.getvalue().encode())


def read_curve(path: Path) -> list[Point]:
    """The inverse of :func:`write_curve`.

    Raises
    ------
    WeightsError
        No curve, or a damaged one.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        curve = [{name: float(cell) for name, cell in line.items()} for line in lines]
        if not curve:
            raise ValueError("no epoch")
        return [{**point, "epoch": int(point["epoch"])} for point in curve]
    except (OSError, ValueError, OverflowError, KeyError, TypeError, csv.Error) as error:
        raise WeightsError(
            wanted="the learning curve of this encoder",
            got=f"{type(error).__name__}: {error}",
            fix="Copy this file again from where it was trained; the encoder works without it",
            source=path,
        ) from error


def write_scores(path: Path, judged: Mapping[str, Any]) -> None:
    """Scores per tag as CSV, the means in the first line; undefined ones are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(judged["tags"][0]), lineterminator="\n")
    writer.writeheader()
    baseline = judged["baseline"]["average_precision"]
    lead = {"tag": "(mean)", **judged["macro"], "baseline_average_precision": baseline}
    writer.writerows([lead, *judged["tags"]])
    write_atomically(path, text.getvalue().encode())
