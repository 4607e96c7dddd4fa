"""What encoders say of clips, and how near to each other the labels of an embedding are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segue.audio import check_samples, load
from segue.encoders import Encoder
from segue.encoders import encoder as build_encoder
from segue.encoders.joint import LABELS, JointEncoder, label_names
from segue.errors import AudioError, InvalidSamplesError, UsageError
from segue.files import write_atomically
from segue.report import Figure, Section, write_page, write_plots
from segue.report.label_plots import class_map, label_heatmap
from segue.report.transfer import nearest_section
from segue.similarity.labels import (
    MOST_ON_A_MAP,
    LabelNeighbours,
    label_distances,
    label_map,
    label_order,
    nearest_labels,
)
from segue.training.loop import Watch
from segue.workflows.embedding import open_manifest
from segue.workflows.jointfolder import open_embedding

ANGLES = (
    "The same by the angle between labels alone. How long their vectors are differs from data set "
    "to data set, and L1 takes that for a distance."
)

Ranked = Mapping[str, list[tuple[str, float]]]
"""Data set -> its labels with scores, best first; one nameless data set where there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What an encoder says of one clip, or why it could not be asked.

    Attributes
    ----------
    path : Path
    labels : mapping of data set to (label, score) pairs, best first
        Scores of one data set compare with each other; a joint embedding's are affinities, a
        tagger's probabilities.
    reason : str
        Why there are none; empty where there are.
    """

    path: Path
    labels: Ranked
    reason: str = ""


def tag_clips(
    paths: Sequence[str | Path],
    encoder: str,
    *,
    chunks: int | None = 1,
    device: str = "cpu",
    watch: Watch | None = None,
) -> list[Said]:
    """All labels of every clip, ranked within each data set.

    Parameters
    ----------
    paths : sequence of path
        Files, folders, manifests.
    encoder : str
        One that says tags: a joint embedding, a tagger.
    chunks : int or None
        How much is heard, in excerpts of the encoder; None: the whole clip.

    Raises
    ------
    UsageError
        It says no tags.
    ManifestError, WeightsError
    """
    built = build_encoder(encoder, chunks=chunks, device=device)
    if not built.tag_names:
        raise UsageError(
            wanted="an encoder that says tags",
            got=f"{built.card.label}, which has none",
            fix="Use one whose `segue models show` lists tags, such as a folder that "
            "`segue pretrain warp` wrote",
        )
    inputs: str | Path | Sequence[str | Path] = paths[0] if len(paths) == 1 else paths
    tracks = list(open_manifest(inputs).tracks())
    said = []
    for done, track in enumerate(tracks, 1):
        try:
            ranked = _ranked(built, track.path, track.start, track.duration)
            said.append(Said(path=track.path, labels=ranked))
        except AudioError as error:
            said.append(Said(path=track.path, labels={}, reason=str(error)))
        if watch:
            watch("tagging", done, len(tracks))
    return said


def _ranked(built: Encoder, path: Path, start: float, duration: float | None) -> Ranked:
    excerpt = built.card.excerpt
    limit = None if excerpt.chunks is None else excerpt.seconds * excerpt.chunks
    lengths = [length for length in (limit, duration) if length is not None]
    heard = min(lengths) if lengths else None
    audio = load(path, rate=built.card.rate, start=start, duration=heard)
    check_samples(audio, min_seconds=excerpt.min_seconds)
    pairs = built.tags(audio)
    if not np.isfinite([score for _, score in pairs]).all():
        raise InvalidSamplesError(
            wanted="finite scores of all labels",
            got="some that are not numbers",
            fix="Check the file: it may be far beyond full scale",
            source=path,
        )
    if not isinstance(built, JointEncoder):
        return {"": pairs}
    ranked: dict[str, list[tuple[str, float]]] = {
        name: [] for name in dict.fromkeys(label_names(built.tag_names)[0])
    }
    names, labels = label_names([tag for tag, _ in pairs])
    for name, label, (_, score) in zip(names, labels, pairs, strict=True):
        ranked[name].append((label, score))
    return ranked


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMap:
    """Where the page, the plots and ``classes.csv`` are, and the nearest labels of each label."""

    rows: list[LabelNeighbours]
    stress: float
    page: Path


def draw_classes(encoder: str | Path, out: str | Path, *, k: int = 5) -> ClassMap:
    """A map of all labels of all data sets of a joint embedding, and the nearest of each by L1.

    Parameters
    ----------
    encoder : path or str
        Folder of a joint embedding, or the name of an added one.
    out : path
        Folder for ``classes.csv``, plots and ``report.html``.
    k : int
        Nearest labels listed.

    Raises
    ------
    UsageError
        Not a joint embedding, or more labels than a map can have.
    WeightsError, StoreError
    """
    found = open_embedding(encoder)
    vectors, tags = found.folder.tensors[LABELS], found.folder.tags
    if len(tags) > MOST_ON_A_MAP:
        raise UsageError(
            wanted=f"at most {MOST_ON_A_MAP} labels on a map",
            got=str(len(tags)),
            fix="Learn an embedding with --min-tracks, to leave out rare labels",
        )
    section, rows, stress = class_section(vectors, tags, k=k)
    out = Path(out)
    name = found.folder.card.name
    write_atomically(out / "classes.csv", _to_csv(rows))
    write_plots(out / "plots", [section])
    counts = ", ".join(f"{of_set} {len(labels)}" for of_set, labels in found.labels.items())
    page = write_page(
        out / "report.html",
        title=f"Labels of {name}",
        summary={"labels": f"{len(tags)} in all: {counts}"},
        sections=[section],
    )
    return ClassMap(rows=rows, stress=stress, page=page)


def class_section(
    vectors: NDArray[np.float32], tags: Sequence[str], *, k: int = 5, title: str = "Nearest classes"
) -> tuple[Section, list[LabelNeighbours], float]:
    """Map, heat map and nearest labels by L1 (Hamel et al. 2013, Table 3); the map's stress.

    The nearest by cosine follow: vectors are of other lengths in other data sets, which L1 sees.
    """
    sets, names = label_names(tags)
    rows = nearest_labels(vectors, names, sets, k=k)
    placed = label_map(vectors)
    distances = label_distances(vectors)
    figures: list[Figure] = [
        class_map(names, sets, placed.positions, stress=placed.stress),
        label_heatmap(distances, names, sets, order=label_order(distances)),
    ]
    angles = nearest_section(
        nearest_labels(vectors, names, sets, k=k, metric="cosine"), distance="cosine"
    )
    section = nearest_section(rows, figures, title=title)
    return Section(title, [*section.blocks, ANGLES, *angles.blocks]), rows, placed.stress


def _to_csv(rows: Sequence[LabelNeighbours]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("data set", "label", "rank", "near data set", "near label", "distance"))
    for row in rows:
        for rank, near in enumerate(row.nearest, 1):
            writer.writerow((row.set, row.name, rank, near.set, near.name, f"{near.distance:.6g}"))
    return text.getvalue().encode()
