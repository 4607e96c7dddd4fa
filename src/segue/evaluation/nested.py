"""Sets of layers and heads of several encoders on the same folds, every choice made inside them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.evaluation.blocks import Blocks, LayerSet, set_label
from segue.evaluation.folds import Folds, inner_folds
from segue.evaluation.heads import make_head, predictions, readable
from segue.evaluation.parts import Part, ScaledBlock, uses_kernel
from segue.evaluation.protocols import Progress
from segue.evaluation.rows import Task
from segue.evaluation.search import Search, Tally, counted_convergence
from segue.seeds import derive

PRODUCTS_BUDGET = 2**30
"""Bytes of inner products that one process may keep for its sets of layers; beyond it each set's
are computed anew."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is compared under one name: feature blocks and the sets of them to choose among."""

    blocks: Blocks
    sets: tuple[LayerSet, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the inner folds chose for one head in one outer fold, and what that predicted.

    Attributes
    ----------
    settings : mapping
        Begins with "layers" where there were several sets.
    inner_score : float
        The best of the inner scores: chosen by it, so never a result.
    predicted : array
        Of the fold's test rows: labels, scores (k, tags) or values.
    unconverged : int
        Solver runs that stopped at their cap.
    """

    head: str
    settings: Mapping[str, Any]
    inner_score: float
    predicted: NDArray[Any]
    unconverged: int


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """One outer fold of one candidate.

    Attributes
    ----------
    choices : tuple of Choice
        One a head.
    notes : tuple of str
    fits : int
        Estimators fitted, or solved for in closed form, the last ones included.
    seconds : float
        Of one processor.
    """

    choices: tuple[Choice, ...]
    notes: tuple[str, ...]
    fits: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which ``from_json`` makes the same outcome."""
        facts = asdict(self)
        for choice in facts["choices"]:
            choice["predicted"] = choice["predicted"].tolist()
            choice["settings"] = {k: _plain(v) for k, v in choice["settings"].items()}
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> FoldOutcome:
        """What ``to_json`` wrote.

        Examples
        --------
        >>> one = Choice("knn", {"n_neighbors": 3}, 0.5, np.array(["a", "b"]), 0)
        >>> outcome = FoldOutcome((one,), (), 5, 0.1)
        >>> FoldOutcome.from_json(outcome.to_json()).choices[0].predicted
        array(['a', 'b'], dtype='<U1')
        """
        choices = tuple(
            Choice(**{**one, "predicted": np.array(one["predicted"])}) for one in facts["choices"]
        )
        return cls(choices, tuple(facts["notes"]), facts["fits"], facts["seconds"])


class Kept(Protocol):
    """Outcomes that an earlier run finished, of one candidate and one set of inputs."""

    def get(self, key: str, /) -> dict[str, Any] | None:
        """What was kept under a key."""

    def put(self, key: str, outcome: Mapping[str, Any], /) -> None:
        """Keep an outcome."""


def nested_comparison(
    candidates: Mapping[str, Candidate],
    heads: Sequence[str],
    y: NDArray[Any],
    codes: NDArray[np.int64],
    task: Task,
    repeats: Sequence[Folds],
    *,
    inner: int = 5,
    scale: bool = True,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
    kept: Mapping[str, Kept] | None = None,
) -> dict[str, list[FoldOutcome]]:
    """Nested cross-validation of all candidates and heads on the same folds.

    For each head the result is that of ``protocols.nested_cv`` on the set of layers that the inner
    folds chose, but scalers, inner products and decompositions of a split are computed once for all
    sets and heads.

    Parameters
    ----------
    candidates : mapping of label -> Candidate
    heads : sequence of str
    y, codes, task
        As ``folds.check_target`` and ``folds.group_codes`` give them.
    repeats : sequence of Folds
        Outer folds, drawn as often as wanted.
    n_jobs : int
        Processes over candidates and outer folds, one thread each; no result depends on it.
    progress : callable, optional
        Called as ``progress(completed, total)``, in units of one set, head and outer fold.
    kept : mapping of label -> Kept, optional
        Outcomes found there are taken, and new ones kept.

    Returns
    -------
    mapping of label -> list of FoldOutcome
        In the order of repeats, then folds.

    Raises
    ------
    UsageError
        As nested_cv.

    Examples
    --------
    >>> from segue.evaluation.folds import given_folds, group_codes
    >>> x = np.arange(24.0)[:, None]
    >>> y, folds = np.where(x[:, 0] < 12, "low", "high"), given_folds(np.arange(24) % 3, None, 24)
    >>> both = Candidate(Blocks(("1", "2"), (x % 5, x)), (("1",), ("2",)))
    >>> found = nested_comparison({"x": both}, ["knn"], y, group_codes(None, 24), "classification",
    ...                           [folds], inner=2)
    >>> [one.choices[0].settings["layers"] for one in found["x"]]
    ['2', '2', '2']
    """
    places = [
        (repeat, number, *split)
        for repeat, folds in enumerate(repeats)
        for number, split in enumerate(folds.splits())
    ]
    done: dict[tuple[str, int, int], FoldOutcome] = {}
    for label, store in (kept or {}).items():
        for repeat, number, _, _ in places:
            if (found := store.get(_key(repeat, number))) is not None:
                done[label, repeat, number] = FoldOutcome.from_json(found)
    weight = {label: len(one.sets) * len(heads) for label, one in candidates.items()}
    total = sum(weight.values()) * len(places)
    completed = sum(weight[label] for label, _, _ in done)
    jobs = _jobs(candidates, heads, y, codes, task, places, inner, scale, seed, done)
    for at, outcome in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
        done[at] = outcome
        if kept is not None and at[0] in kept:
            kept[at[0]].put(_key(*at[1:]), outcome.to_json())
        completed += weight[at[0]]
        if progress is not None:
            progress(completed, total)
    return {
        label: [done[label, repeat, number] for repeat, number, _, _ in places]
        for label in candidates
    }


def _key(repeat: int, number: int) -> str:
    return f"repeat-{repeat}-fold-{number}"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _jobs(
    candidates: Mapping[str, Candidate],
    heads: Sequence[str],
    y: NDArray[Any],
    codes: NDArray[np.int64],
    task: Task,
    places: Sequence[tuple[int, int, NDArray[np.int64], NDArray[np.int64]]],
    inner: int,
    scale: bool,
    seed: int,
    done: Mapping[tuple[str, int, int], FoldOutcome],
) -> Iterator[Any]:
    """One job a candidate and outer fold; inner folds are made once for all candidates."""
    for repeat, number, train, test in places:
        waiting = [label for label in candidates if (label, repeat, number) not in done]
        if not waiting:
            continue
        if task == "classification" and len(np.unique(y[train])) < 2:
            raise UsageError(
                wanted="two classes or more in every training part",
                got=f"one, when fold {number} is tested",
                fix="Use other folds",
                source="outer folds",
            )
        own = derive(seed if repeat == 0 else derive(seed, "repeat", repeat), "fold", number)
        parts = inner_folds(y[train], codes[train], task, n_folds=inner, seed=own)
        for label in waiting:
            yield delayed(_one_job)(
                (label, repeat, number), candidates[label], heads, y, train, test, task, parts,
                scale, own,
            )  # fmt: skip


def _one_job(
    at: tuple[str, int, int],
    candidate: Candidate,
    heads: Sequence[str],
    y: NDArray[Any],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    task: Task,
    parts: Folds,
    scale: bool,
    seed: int,
) -> tuple[tuple[str, int, int], FoldOutcome]:
    began = time.process_time()
    # one thread in every process: sums then have one order, whatever n_jobs is
    with threadpool_limits(1):
        tallies = _tallies(candidate, heads, y[train], train, task, parts, scale, seed)
        choices = tuple(
            _choose(candidate, head, tallies, y, train, test, task, scale, seed) for head in heads
        )
    fits = sum(tally.fits for tally in tallies.values()) + len(heads)
    return at, FoldOutcome(choices, parts.notes, fits, time.process_time() - began)


def _tallies(
    candidate: Candidate,
    heads: Sequence[str],
    y: NDArray[Any],
    train: NDArray[np.int64],
    task: Task,
    parts: Folds,
    scale: bool,
    seed: int,
) -> dict[tuple[LayerSet, str], Tally]:
    """Inner scores of every set and head; split by split, so that one split is in memory."""
    blocks, splits = candidate.blocks, list(parts.splits())
    made = {
        (chosen, name): make_head(
            name, task, n_features=blocks.width(chosen), scale=scale, seed=seed
        )
        for chosen in candidate.sets
        for name in heads
    }
    tallies = {key: Tally(head, y, splits) for key, head in made.items()}
    kernel = any(uses_kernel(head) for head in made.values())
    for number, (learnt, tested) in enumerate(splits):
        size = 8 * len(blocks.arrays) * len(learnt) * (len(learnt) + len(tested))
        shared = kernel and len(candidate.sets) > 1 and size <= PRODUCTS_BUDGET
        scaler = next(iter(made.values())).estimator.named_steps["scale"]
        scaled = [
            ScaledBlock(array[train[learnt]], array[train[tested]], scaler)
            for array in blocks.arrays
        ]
        for chosen in candidate.sets:
            part = Part([scaled[k] for k in blocks.positions(chosen)], y[learnt], shared=shared)
            for name in heads:
                tallies[chosen, name].add(number, part)
    return tallies


def _choose(
    candidate: Candidate,
    head: str,
    tallies: Mapping[tuple[LayerSet, str], Tally],
    y: NDArray[Any],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    task: Task,
    scale: bool,
    seed: int,
) -> Choice:
    """The set of the best inner score, refitted on the whole training part."""
    blocks = candidate.blocks
    # stable: among equal scores fewer features first, then the order given
    ordered = sorted(candidate.sets, key=blocks.width)
    found: list[Search] = [tallies[chosen, head].result() for chosen in ordered]
    best = int(np.argmax([one.score for one in found]))
    won, search = ordered[best], found[best]
    X = blocks.matrix(won)
    made = make_head(head, task, n_features=X.shape[1], scale=scale, seed=seed)
    with counted_convergence() as capped:
        estimator = made.with_settings(search.settings).fit(X[train], y[train])
    layers = {"layers": set_label(won)} if len(candidate.sets) > 1 else {}
    unconverged = sum(tallies[chosen, head].unconverged for chosen in ordered) + len(capped)
    return Choice(
        head,
        {**layers, **readable(search.settings)},
        search.score,
        predictions(estimator, X[test], task),
        unconverged,
    )
