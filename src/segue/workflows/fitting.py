"""From labelled features to a model file, and from a model file and audio to predictions."""

from __future__ import annotations

import csv
import hashlib
import io
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import __version__
from segue.datasets import Target, Task, Track, read_target
from segue.errors import UsageError
from segue.evaluation.heads import DEFAULT_HEADS
from segue.evaluation.protocols import fit_head
from segue.evaluation.targets import encode_target
from segue.extraction import EmbedReport, Progress, file_facts
from segue.files import write_atomically
from segue.seeds import generator
from segue.workflows.confidence import (
    UNKNOWN,
    check_request,
    learn_confidence,
    picture_path,
    write_confidence,
)
from segue.workflows.embedding import (
    Inputs,
    bound_encoder,
    embed,
    open_manifest,
    usable_target,
)
from segue.workflows.modelfile import Model, ModelFacts
from segue.workflows.tables import asked_table


def fit(
    inputs: Inputs,
    store: str | Path,
    target: str,
    *,
    encoder: str | None = None,
    group: str | None = None,
    head: str | None = None,
    task: Task | None = None,
    per_class: int | None = None,
    min_examples: int | None = None,
    scale: bool = True,
    inner: int = 5,
    seed: int = 0,
    calibrate: bool | None = None,
    unknown: float | str | None = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
) -> Model:
    """Fit a head on stored features of a manifest's labelled tracks.

    Classes and tags get calibrated probabilities (see evaluation.calibrating), unless there are too
    few clips, which the notes then say.

    Parameters
    ----------
    inputs : Manifest, path or paths
    store : path
        What `segue embed` wrote.
    target : str
        Label column.
    encoder : str, optional
        Which table, where the store has several; of an encoder named by its folder, the features
        must be its own.
    group : str, optional
        Inner folds, which choose the head's settings, never split a group.
    head : str, optional
        By default one suited to the task.
    per_class : int, optional
        Use only this many examples of each class, drawn with ``seed`` (classification only).
    calibrate : bool, optional
        False leaves the head's own scores; True fails where None would leave them with a note.
    unknown : float or "auto:SHARE", optional
        Confidence that an answer must have, else `predict` calls it unknown: of the most likely
        class; or of a tag, for which yes needs that probability and no its complement, so that it
        is 0.5 or more. "auto:0.9" takes the lowest confidence at which 90 % of the labels given are
        right, out of fold (classes only).
    out : path, optional
        Model file to write. A picture of the reliability stands beside it (NAME.reliability.png).
    report : path, optional
        Folder for a page with that picture and its numbers, instead.

    Raises
    ------
    UsageError, ManifestError, StoreError, WeightsError
    """
    manifest = open_manifest(inputs)
    labelled = read_target(manifest, target, task=task, min_examples=min_examples)
    check_request(labelled.task, asked=calibrate, unknown=unknown)
    table = asked_table(store, encoder)
    there = table.matrix([file_facts(track) for track in manifest.tracks()])
    chosen = usable_target(labelled, there[1], min_examples)
    if per_class is not None:
        chosen = _draw(chosen, per_class, seed)
    groups = None if group is None else _take(manifest.groups(group), chosen.rows)
    rare = {} if min_examples is None else {"min_positives": min_examples}
    encoded = encode_target(chosen.values, groups, chosen.task, **rare)
    name = head or DEFAULT_HEADS[chosen.task]
    X = there[0][chosen.rows]
    if unknown is not None and UNKNOWN in encoded.labels:
        raise UsageError(
            wanted=f"classes none of which is called {UNKNOWN!r}, for answers of that name",
            got=f"one in {target!r}",
            fix="Rename the class or drop --unknown",
        )
    fitted = fit_head(X, encoded.y, groups, chosen.task, name, inner=inner, scale=scale, seed=seed)
    confidence, said = learn_confidence(
        fitted.estimator, X, encoded.y, groups, chosen.task,
        asked=calibrate, unknown=unknown, inner=inner, seed=seed,
    )  # fmt: skip
    ids = sorted(_take(manifest.ids, chosen.rows))
    facts = ModelFacts(
        target=target,
        task=chosen.task,
        labels=encoded.labels,
        head=name,
        settings=dict(fitted.settings),
        scale=scale,
        examples=len(ids),
        licence=table.card.licence,
        commercial=table.card.commercial,
        training_ids_sha256=hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        notes=(*chosen.notes, *encoded.notes, *fitted.notes, *said),
    )
    model = Model(table.card, facts, fitted.estimator)
    if confidence is not None:
        known = replace(facts, **confidence.facts())
        model = Model(table.card, known, confidence.calibration.estimator)
    if out is not None:
        model.save(out)
    if confidence is not None and (picture := picture_path(out, report)) is not None:
        write_confidence(confidence, model.facts, picture, provenance=_provenance(model, group))
    return model


def _provenance(model: Model, group: str | None) -> dict[str, object]:
    facts = model.facts
    return {
        "encoder": model.card.label,
        "head": facts.head,
        "settings": dict(facts.settings),
        "tracks": facts.examples,
        "kept together": group or "nothing",
        "segue": __version__,
        "notes": list(facts.notes),
    }


def _take(cells: Sequence[str], rows: NDArray[np.int64]) -> list[str]:
    return [cells[row] for row in rows]


def _draw(target: Target, per_class: int, seed: int) -> Target:
    """That many examples of each class, drawn with the seed."""
    if target.task != "classification":
        raise UsageError(
            wanted="a classification target for a number of examples per class",
            got=f"a {target.task} target",
            fix="Drop --per-class",
        )
    if per_class < 2:
        raise UsageError(
            wanted="at least two examples per class", got=str(per_class), fix="Raise --per-class"
        )
    by_class: dict[str, list[int]] = defaultdict(list)
    for position, label in enumerate(target.values):
        by_class[label].append(position)
    drawn: list[int] = []
    for label, positions in sorted(by_class.items()):
        if len(positions) < per_class:
            raise UsageError(
                wanted=f"{per_class} examples per class",
                got=f"{len(positions)} of {label!r}",
                fix="Lower --per-class or leave rare classes out with --min-examples",
            )
        draws = generator(seed, "per class", label)
        drawn += draws.choice(positions, per_class, replace=False).tolist()
    drawn.sort()
    return replace(
        target, rows=target.rows[drawn], values=[target.values[position] for position in drawn]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says of tracks.

    Attributes
    ----------
    ids, paths : list of str
        Tracks that could be embedded, in manifest order.
    values : ndarray
        Class names (n,), 0/1 tags (n, tags) or numbers (n,). A class is "unknown", and a tag 0,
        where the model has a threshold and the confidence is below it.
    scores : (n, labels) array or None
        Probabilities if the model is calibrated.
    confidence : (n,) array or None
        Highest probability; of a calibrated model of classes only.
    undecided : (n, tags) boolean array or None
        Tags of which neither yes nor no is sure enough; of tags with a threshold only.
    embedding : EmbedReport
        With the quarantined files and their reasons.
    """

    ids: list[str]
    paths: list[str]
    values: NDArray[Any]
    scores: NDArray[np.float64] | None
    embedding: EmbedReport
    confidence: NDArray[np.float64] | None = None
    undecided: NDArray[np.bool_] | None = None


def predict(
    model: Model | str | Path,
    inputs: Inputs,
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Embed audio with the model's own encoder and predict.

    Parameters
    ----------
    model : Model or path
    inputs : Manifest, path or paths
    out : path, optional
        CSV with id, path, prediction and one score column per label; of a calibrated model of
        classes also ``confidence``, of tags with a threshold also ``unknown``.
    store : path, optional
        Keep features here, so that a long run resumes; by default they are not kept.

    Raises
    ------
    ModelError
        The file is damaged, or this version's encoder is not the one it was fitted with.
    UsageError, ManifestError, WeightsError, StoreError
    """
    model = model if isinstance(model, Model) else Model.load(model)
    manifest = open_manifest(inputs)
    bound_encoder(model.card, device=device, what="the model")
    if out is not None and Path(out).is_dir():
        raise UsageError(
            wanted="a file for the predictions", got="a folder", fix="Name a CSV", source=out
        )
    keep = nullcontext(store) if store is not None else tempfile.TemporaryDirectory()
    with keep as folder:
        report = embed(
            manifest,
            str(folder),
            encoder=model.card.label,
            chunks=model.card.excerpt.chunks,
            device=device,
            workers=workers,
            progress=progress,
        )
        X, there = report.table.matrix([file_facts(track) for track in manifest.tracks()])
    tracks = [track for track, known in zip(manifest.tracks(), there, strict=True) if known]
    prediction = _predicted(model, X[there], tracks, report)
    if out is not None:
        write_atomically(Path(out), _to_csv(model, prediction).encode())
    return prediction


def _predicted(
    model: Model, X: NDArray[np.float32], tracks: Sequence[Track], embedding: EmbedReport
) -> Prediction:
    facts = model.facts
    empty = np.empty((0, len(facts.labels)) if facts.task == "tagging" else (0,))
    values = model.estimator.predict(X) if len(X) else empty
    scores = model.scores(X) if len(X) else None
    confidence = undecided = None
    if facts.calibrated and scores is not None:
        if facts.task == "classification":
            confidence = scores.max(axis=1)
            if facts.unknown is not None:
                values = np.where(confidence < facts.unknown, UNKNOWN, values)
        elif facts.unknown is not None:
            values = (scores >= facts.unknown).astype(np.int64)
            undecided = np.maximum(scores, 1 - scores) < facts.unknown
    return Prediction(
        ids=[track.id for track in tracks],
        paths=[str(track.path) for track in tracks],
        values=values,
        scores=scores,
        embedding=embedding,
        confidence=confidence,
        undecided=undecided,
    )


def words(model: Model, value: Any) -> str:
    """One prediction as a cell: a class or "unknown", ``;``-separated tags, or a number.

    Tags are those whose score passes the tag's threshold, or whose probability passes the model's,
    if it has one; there may be none.
    """
    if model.facts.task == "tagging":
        return ";".join(tag for tag, yes in zip(model.facts.labels, value, strict=True) if yes)
    return f"{value:.6g}" if model.facts.task == "regression" else str(value)


def answers(model: Model, prediction: Prediction) -> list[dict[str, Any]]:
    """Predictions for machines: id, path, the answer under the target's name, and how sure it is.

    ``confidence`` and ``unknown`` (tags neither given nor denied) are there where the columns of
    the CSV are.
    """
    found: list[dict[str, Any]] = [
        {"id": name, "path": path, model.facts.target: words(model, value)}
        for name, path, value in zip(
            prediction.ids, prediction.paths, prediction.values, strict=True
        )
    ]
    if prediction.confidence is not None:
        for one, confidence in zip(found, prediction.confidence, strict=True):
            one["confidence"] = float(confidence)
    if prediction.undecided is not None:
        for one, tags in zip(found, prediction.undecided, strict=True):
            one[UNKNOWN] = words(model, tags)
    return found


def _to_csv(model: Model, prediction: Prediction) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [("id", prediction.ids), ("path", prediction.paths)]
    columns.append((model.facts.target, [words(model, value) for value in prediction.values]))
    if prediction.confidence is not None:
        columns.append(("confidence", _cells(prediction.confidence)))
    if prediction.undecided is not None:
        columns.append((UNKNOWN, [words(model, row) for row in prediction.undecided]))
    if prediction.scores is not None:
        columns += [
            (f"score:{label}", _cells(scores))
            for label, scores in zip(model.facts.labels, prediction.scores.T, strict=True)
        ]
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*(cells for _, cells in columns), strict=True))
    return text.getvalue()


def _cells(numbers: NDArray[np.float64]) -> list[str]:
    return [f"{number:.6g}" for number in numbers]
