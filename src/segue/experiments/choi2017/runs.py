"""The two ways to a number: as the authors' code makes it, and as it should be made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.blocks import Blocks, LayerSet
from segue.evaluation.folds import Folds, given_folds, outer_folds
from segue.evaluation.layer_sets import choose_sets, nested_layer_sets
from segue.evaluation.metrics import score
from segue.evaluation.paper_grid import MARGIN, SetGrid, paper_grid
from segue.evaluation.protocols import NestedResult
from segue.evaluation.statistics import bootstrap_interval, mean_and_error
from segue.experiments.choi2017.material import (
    Material,
    Splits,
    feature_sets,
    inputs_digest,
    paper_splits,
)
from segue.workflows.cells import Cells
from segue.workflows.evaluating import Watch

Labels = Mapping[LayerSet, str]

PAPER = "paper"
SHUFFLED = "corrected: shuffled"
GROUPED = "corrected: grouped"
OFFICIAL = "corrected: official folds"
ORDER = "step: shuffled folds"
NESTED = "step: settings from inner folds"

AUTO = "auto"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """One number and how it came about.

    Attributes
    ----------
    score : float
        Under the paper's protocol the search's own best; else the mean over outer folds.
    se, low, high : float
        Standard error over folds and 95 % interval; NaN under the paper's protocol, whose number
        is a maximum and has neither.
    inner : float
        Mean of the best inner scores; NaN under the paper's protocol.
    settings : tuple of mapping
        Of the whole search, or one per outer fold.
    predictions : (n,) array
        Of clips that were tested; others hold the first class or NaN.
    """

    score: float
    se: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    inner: float = float("nan")
    settings: tuple[Mapping[str, Any], ...]
    predictions: NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """All feature sets of one target under one protocol.

    Attributes
    ----------
    protocol : str
    scores : mapping of feature set -> Scored
    notes : tuple of str
    """

    protocol: str
    scores: Mapping[str, Scored]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """Computes tables of one target; finished cells are kept and never computed twice.

    Attributes
    ----------
    material : Material
    out : path
        Folder of finished cells.
    jobs : int
        Processes; results do not depend on it.
    seed : int
        Of the shuffled folds.
    watch : callable, optional
        Called with (what, done, total).
    """

    material: Material
    out: Path
    jobs: int = 1
    seed: int = 0
    watch: Watch | None = None

    def by_paper(
        self,
        *,
        rows: Sequence[str] | None = None,
        splits: Splits | None = None,
        protocol: str = PAPER,
    ) -> Run:
        """Grid search scored on the very folds it is tuned on, features unscaled, as released.

        Parameters
        ----------
        rows : sequence of str, optional
            Feature sets; all by default.
        splits : optional
            Other splits than the authors' (to see what their file order is worth).

        Raises
        ------
        UsageError
            A class has fewer clips than the paper has folds.
        """
        one = self.material
        splits = splits or one.splits or paper_splits(one.kind, one.y, one.name)
        found: dict[str, dict[str, Any]] = {}
        for blocks, sets in _by_blocks(self.material, rows):
            digest = inputs_digest(self.material, blocks, splits, {"protocol": "paper"})
            cells = Cells(self.out, digest, ("score", "settings", "predictions"))
            todo = _missing(cells, sets, found)

            def finished(
                one: LayerSet, grid: SetGrid, cells: Cells = cells, todo: Labels = todo
            ) -> None:
                label = todo[one]
                found[label] = {
                    "score": grid.score,
                    "settings": [dict(grid.settings)],
                    "predictions": grid.predictions.tolist(),
                }
                cells.put(label, found[label])

            if todo:
                paper_grid(
                    blocks,
                    list(todo),
                    self.material.y,
                    self.material.kind,
                    splits,
                    n_jobs=self.jobs,
                    progress=self._told(protocol),
                    finished=finished,
                )
        scores = {label: _scored(self.material, cell) for label, cell in found.items()}
        return Run(
            protocol=protocol,
            scores=_in_order(self.material, scores),
            notes=paper_notes(self.material, splits),
        )

    def corrected(
        self, *, protocol: str, rows: Sequence[str] | None = None, scale: bool = True
    ) -> Run:
        """Nested: settings from inner folds, the number from clips they never saw, and ``auto``.

        Parameters
        ----------
        protocol : str
            SHUFFLED, GROUPED or OFFICIAL, which decide the folds; or NESTED, a step between.
        scale : bool
            Standardise features with each training part's statistics.

        Returns
        -------
        Run
            With a row ``auto`` where all 31 layer sets were asked: the set is chosen per outer
            fold by its inner score.
        """
        groups = self.material.groups if protocol in (GROUPED, OFFICIAL) else None
        folds = folds_of(self.material, protocol, self.seed)
        settings = {"protocol": "nested", "scale": scale, "seed": self.seed}
        settings["grouped"] = _group_digest(groups)
        found: dict[str, dict[str, Any]] = {}
        for blocks, sets in _by_blocks(self.material, rows):
            digest = inputs_digest(self.material, blocks, folds.assignment, settings)
            cells = Cells(self.out, digest, ("predictions", "settings", "inner_scores", "notes"))
            todo = _missing(cells, sets, found)

            def finished(
                one: LayerSet, nested: NestedResult, cells: Cells = cells, todo: Labels = todo
            ) -> None:
                label = todo[one]
                found[label] = _to_json(nested)
                cells.put(label, found[label])

            if todo:
                nested_layer_sets(
                    blocks,
                    list(todo),
                    self.material.y,
                    groups,
                    self.material.kind,
                    head="svm",
                    folds=folds,
                    scale=scale,
                    seed=self.seed,
                    n_jobs=self.jobs,
                    progress=self._told(protocol),
                    finished=finished,
                )
        return self._measured(protocol, found, folds, groups, auto=rows is None)

    def _measured(
        self,
        protocol: str,
        found: Mapping[str, Mapping[str, Any]],
        folds: Folds,
        groups: NDArray[Any] | None,
        *,
        auto: bool,
    ) -> Run:
        # in the table's order, whatever was finished first: ties between layer sets go by it
        order = [label for label in feature_sets(self.material) if label in found]
        results = {label: _restored(self.material, found[label], folds) for label in order}
        if auto:
            layer_sets = {tuple(label): one for label, one in results.items() if label.isdigit()}
            results[AUTO] = choose_sets(layer_sets, self.material.convnet, folds)
        scores = {
            label: _measure(self.material, one, groups, self.seed) for label, one in results.items()
        }
        notes = [*folds.notes, *(note for one in results.values() for note in one.notes)]
        return Run(
            protocol=protocol,
            scores=_in_order(self.material, scores),
            notes=tuple(dict.fromkeys(notes)),
        )

    def _told(self, protocol: str) -> Callable[[int, int], None] | None:
        watch = self.watch
        if watch is None:
            return None
        return lambda done, total: watch(f"{self.material.name}, {protocol}", done, total)


def _missing(
    cells: Cells, sets: Mapping[str, LayerSet], found: dict[str, dict[str, Any]]
) -> dict[LayerSet, str]:
    """Feature sets that are still to be computed; finished ones go into ``found``."""
    todo = {}
    for label, one in sets.items():
        kept = cells.get(label)
        if kept is None:
            todo[one] = label
        else:
            found[label] = kept
    return todo


def _group_digest(groups: NDArray[Any] | None) -> str:
    """Groups decide the inner folds, so they belong to what a cell is kept under."""
    if groups is None:
        return ""
    names = "\x1f".join(str(name) for name in groups.tolist())
    return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()


def paper_notes(material: Material, splits: Splits) -> tuple[str, ...]:
    """What the paper's numbers leave out, or are not to the letter."""
    if material.kind == "classification":
        return ()
    constant = [test for _, test in splits if len(np.unique(material.y[test])) < 2]
    notes = [
        f"Linear SVR cells more than {MARGIN} below the best have the score of their exact "
        "optimum: libsvm, which takes minutes to hours for each of them, decides all others."
    ]
    if constant:
        clips = sum(len(test) for test in constant)
        notes.append(
            f"R2 is undefined in {len(constant)} of {len(splits)} folds: {clips} clips unscored."
        )
    return tuple(notes)


def folds_of(material: Material, protocol: str, seed: int) -> Folds:
    """Outer folds of a corrected protocol."""
    if protocol == OFFICIAL and material.official is not None:
        return given_folds(material.official, material.groups, len(material.y))
    groups = material.groups if protocol == GROUPED else None
    return outer_folds(material.y, groups, material.kind, seed=seed)


def corrected_protocols(material: Material) -> tuple[str, ...]:
    """Which corrected protocols a material allows: official folds replace made-up groups."""
    if material.official is not None:
        return (SHUFFLED, OFFICIAL)
    return (SHUFFLED, GROUPED) if material.groups is not None else (SHUFFLED,)


def _by_blocks(
    material: Material, rows: Sequence[str] | None
) -> list[tuple[Blocks, dict[str, LayerSet]]]:
    """Feature sets that share blocks, so that distances are computed once for all of them."""
    asked = feature_sets(material)
    if rows is not None:
        asked = {label: asked[label] for label in rows if label in asked}
    grouped: list[tuple[Blocks, dict[str, LayerSet]]] = []
    for label, (blocks, one) in asked.items():
        for known, sets in grouped:
            if known is blocks:
                sets[label] = one
                break
        else:
            grouped.append((blocks, {label: one}))
    return grouped


def _in_order(material: Material, scores: Mapping[str, Scored]) -> dict[str, Scored]:
    order = [*feature_sets(material), AUTO]
    return {label: scores[label] for label in order if label in scores}


def _scored(material: Material, cell: Mapping[str, Any]) -> Scored:
    return Scored(
        score=float(cell["score"]),
        settings=tuple(cell["settings"]),
        predictions=np.array(cell["predictions"], dtype=material.y.dtype),
    )


def _to_json(nested: NestedResult) -> dict[str, Any]:
    return {
        "predictions": nested.predictions.tolist(),
        "settings": [dict(chosen) for chosen in nested.settings],
        "inner_scores": nested.inner_scores.tolist(),
        "notes": list(nested.notes),
    }


def _restored(material: Material, cell: Mapping[str, Any], folds: Folds) -> NestedResult:
    return NestedResult(
        predictions=np.array(cell["predictions"], dtype=material.y.dtype),
        folds=folds,
        settings=tuple(cell["settings"]),
        inner_scores=np.array(cell["inner_scores"]),
        notes=tuple(cell["notes"]),
    )


def _measure(
    material: Material, nested: NestedResult, groups: NDArray[Any] | None, seed: int
) -> Scored:
    metric, y = material.metric, material.y
    by_fold = [
        score(metric, y[test], nested.predictions[test]) for _, test in nested.folds.splits()
    ]
    mean, error = mean_and_error(by_fold)
    clips = np.arange(len(y)) if groups is None else groups
    low, high = bootstrap_interval(
        metric, y, nested.predictions, clips, nested.folds.assignment, seed=seed
    )
    return Scored(
        score=mean,
        se=error,
        low=low,
        high=high,
        inner=float(np.mean(nested.inner_scores)),
        settings=nested.settings,
        predictions=nested.predictions,
    )
