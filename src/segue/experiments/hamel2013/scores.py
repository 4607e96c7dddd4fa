"""What is measured in each space: accuracy with many and few labels, other heads, neighbours."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.few_labels import (
    PAPER_SIZES,
    FewLabelPoint,
    FewLabelRow,
    few_label_curve,
    few_label_points,
)
from segue.evaluation.folds import Folds, group_codes, outer_folds
from segue.evaluation.window_penalty import Penalty
from segue.evaluation.windows import Windows
from segue.experiments.hamel2013.published import BASE, FOLDS, NEIGHBOURS, RANDOM
from segue.experiments.hamel2013.sets import GenreSet
from segue.experiments.hamel2013.spaces import Space
from segue.similarity import ExactIndex, precision_at_k
from segue.similarity.distance import Metric
from segue.training.loop import Watch
from segue.workflows.cells import Cells, arrays_digest, folder_name

log = logging.getLogger(__name__)

Protocol = Literal["paper", "corrected"]
CODE = 1  # raised whenever the same inputs would give other numbers
HEADS: Final = ("svm", "mlp")
BLOCKS: Final = "blocks"
DISTANCES: Final[Mapping[str, tuple[Metric, bool]]] = {
    "l1": ("l1", False),
    "l2": ("l2", False),
    "cosine": ("cosine", False),
    "l1 standardised": ("l1", True),
}
"""Name -> metric, and whether every dimension is first given the same spread; the paper's is l1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Material:
    """A target with the features of its tracks in every space.

    Attributes
    ----------
    target : GenreSet
    labels : (n,) array of str
        Of the tracks that have frames.
    groups : (n,) array of str or None
    spaces : tuple of Space
    windows, blocks : mapping of space name to Windows
    lost : int
        Tracks without frames.
    """

    target: GenreSet
    labels: NDArray[np.str_]
    groups: NDArray[np.str_] | None
    spaces: tuple[Space, ...]
    windows: Mapping[str, Windows]
    blocks: Mapping[str, Windows]
    lost: int = 0

    def folds(self, protocol: Protocol, seed: int) -> Folds:
        """Ten shuffled stratified folds; corrected, no artist in two of them."""
        groups = self.groups if protocol == "corrected" else None
        return outer_folds(self.labels, groups, "classification", n_folds=FOLDS, seed=seed)

    @property
    def sizes(self) -> list[int | None]:
        """Examples per class worth asking for: some class must have more in a training part."""
        most = np.unique(self.labels, return_counts=True)[1].max() * (FOLDS - 1) // FOLDS
        return [size for size in PAPER_SIZES if size is None or size < most]


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Precision at 10 in one space by one distance.

    ``se`` is over artists where they are known, else over tracks; ``difference`` is that to the
    base on the same queries, with its own error, ``above_control`` that to the untrained map (NaN
    where there is none).
    """

    features: str
    distance: str
    mean: float
    se: float
    difference: float
    difference_se: float
    above_control: float
    above_control_se: float
    queries: int
    undefined: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """All numbers of one target under one protocol.

    ``curve`` is the paper's classifier; ``ridge`` the same curve with a penalty chosen on inner
    folds: plain least squares fails where there are about as many windows as dimensions, which
    says little about the features. ``controlled`` is ``curve`` with the differences to the
    untrained map in the place of those to the base; empty where there is none.
    """

    protocol: Protocol
    curve: list[FewLabelPoint]
    ridge: list[FewLabelPoint]
    controlled: list[FewLabelPoint]
    heads: list[FewLabelPoint]
    precision: list[Precision]
    chance: float
    chance_precision: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """A target cut into folds; ``groups`` stand on one side of every split, where they count."""

    material: Material
    groups: NDArray[np.str_] | None
    folds: Folds


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorer:
    """Computes and keeps the numbers of a target.

    Attributes
    ----------
    out : Path
        Finished cells, so that a run goes on where it stopped.
    jobs : int
    seed : int
    heads : tuple of str
        Further classifiers, on each track's mean window.
    """

    out: Path
    jobs: int
    seed: int
    heads: tuple[str, ...] = HEADS
    watch: Watch | None = field(default=None, repr=False)

    def score(self, material: Material, protocol: Protocol, *, further: bool) -> Scored:
        """All of one protocol; ``further`` classifiers and block-level features where asked."""
        groups = material.groups if protocol == "corrected" else None
        cut = _Cut(material, groups, material.folds(protocol, self.seed))
        sizes, windows = material.sizes, material.windows
        curve = self._curve(cut, "windows", sizes, windows)
        ridge = self._curve(cut, "windows", sizes, windows, alpha="chosen")
        heads: list[FewLabelPoint] = []
        for head in self.heads if further else ():
            heads += _named(self._curve(cut, head, [None], windows), head.upper())
        if material.blocks and further:
            rows = self._curve(cut, "svm", [None], material.blocks, lead="blocks")
            heads += _named(rows, "block-level, SVM")
        counts = np.unique(material.labels, return_counts=True)[1]
        return Scored(
            protocol=protocol,
            curve=few_label_points(curve, base=BASE),
            ridge=few_label_points(ridge, base=BASE),
            controlled=few_label_points(curve, base=RANDOM) if RANDOM in windows else [],
            heads=heads,
            precision=precisions(material, groups),
            chance=float(counts.max() / counts.sum()),
            chance_precision=_chance_precision(material.labels, groups),
            notes=cut.folds.notes,
        )

    def _curve(
        self,
        cut: _Cut,
        head: str,
        sizes: Sequence[int | None],
        features: Mapping[str, Windows],
        *,
        lead: str = "windows",
        alpha: Penalty = 0.0,
    ) -> list[FewLabelRow]:
        """Rows of all spaces, those of a finished space read back."""
        labels = cut.material.labels
        target, found = cut.material.target.name, []
        for name, windows in features.items():
            facts = {"head": head, "sizes": list(sizes), "seed": self.seed}
            facts |= {"of": lead, "alpha": alpha, "code": CODE}
            words = labels.astype("U").view(np.uint8)
            inner = group_codes(cut.groups, len(labels))
            arrays = [windows.table, windows.clip_of_window, words, cut.folds.assignment, inner]
            cells = Cells(self.out / folder_name(target), arrays_digest(facts, arrays), ("rows",))
            fitted = {"windows": "ridge" if alpha else "least squares"}.get(head, head)
            label = f"{name} {lead} {fitted}"
            kept = cells.get(label)
            if kept is None:
                rows = few_label_curve(
                    {name: windows},
                    labels,
                    cut.folds.splits(),
                    sizes=sizes,
                    head=head,
                    alpha=alpha,
                    groups=cut.groups,
                    seed=self.seed,
                    n_jobs=self.jobs,
                    progress=self._progress(f"{target}, {label}"),
                )
                cells.put(label, {"rows": [asdict(row) for row in rows]})
            else:
                rows = [FewLabelRow(**row) for row in kept["rows"]]
            found += rows
        return found

    def _progress(self, what: str) -> Any:
        watch = self.watch
        return None if watch is None else (lambda done, total: watch(what, done, total))


def _named(rows: Sequence[FewLabelRow], head: str) -> list[FewLabelPoint]:
    """Points named by space and classifier."""
    points = few_label_points(rows, base=BASE)
    return [replace(point, features=f"{point.features}, {head}") for point in points]


def precisions(material: Material, groups: NDArray[np.str_] | None) -> list[Precision]:
    """Precision at 10 of every space by every distance."""
    # errors are taken over artists wherever they are known: a track's neighbours are its album's
    codes = group_codes(material.groups, len(material.labels))
    found = []
    for distance, (metric, scale) in DISTANCES.items():
        each = {
            name: _precision_of(windows, material.labels, groups, metric, scale)
            for name, windows in material.windows.items()
        }
        nothing = np.full(len(material.labels), np.nan)
        for name, values in each.items():
            mean, se = clustered(values, codes)
            difference, difference_se = clustered(values - each[BASE], codes)
            above, above_se = clustered(values - each.get(RANDOM, nothing), codes)
            found.append(
                Precision(
                    features=name,
                    distance=distance,
                    mean=mean,
                    se=se,
                    difference=difference,
                    difference_se=difference_se,
                    above_control=above,
                    above_control_se=above_se,
                    queries=int((~np.isnan(values)).sum()),
                    undefined=int(np.isnan(values).sum()),
                )
            )
    return found


def _precision_of(
    windows: Windows,
    labels: NDArray[np.str_],
    groups: NDArray[np.str_] | None,
    metric: Metric,
    scale: bool,
) -> NDArray[np.float64]:
    ids = [str(row) for row in range(len(windows))]
    table = windows.means.astype(np.float32)
    index = ExactIndex.build(table, ids, metric=metric, scale=scale)
    return precision_at_k(index, labels, k=NEIGHBOURS, groups=groups)


def clustered(values: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """Mean of the defined values, and its standard error over groups of them.

    Examples
    --------
    >>> clustered(np.array([0.0, 0.0, 1.0, np.nan]), np.array([0, 0, 1, 2]))[0].__round__(3)
    0.333
    """
    defined = ~np.isnan(values)
    if not defined.any():
        return float("nan"), float("nan")
    kept, codes = values[defined], np.unique(groups[defined], return_inverse=True)[1]
    mean, count = float(kept.mean()), int(codes.max()) + 1
    if count < 2:
        return mean, float("nan")
    off = np.bincount(codes, weights=kept - mean)
    return mean, float(np.sqrt(count / (count - 1) * np.square(off).sum()) / len(kept))


def _chance_precision(labels: NDArray[np.str_], groups: NDArray[np.str_] | None) -> float:
    """Precision of random neighbours that may be taken."""
    n = len(labels)
    barred = np.eye(n, dtype=bool) if groups is None else groups[:, None] == groups[None, :]
    same = labels[:, None] == labels[None, :]
    allowed = (~barred).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (same & ~barred).sum(axis=1) / allowed
    return float(np.nanmean(shares))
