"""Mean ranks of several encoders, and which of them cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from segue.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ranking:
    """Encoders by their mean rank, 1 being best.

    Attributes
    ----------
    names : tuple of str
        Best first.
    ranks : (m,) array
        In the order of names.
    places : int
        Folds or targets that were ranked over.
    cliques : tuple of (first, last)
        Runs of names, by position, within which no two are told apart; runs inside others are
        left out.
    """

    names: tuple[str, ...]
    ranks: NDArray[np.float64]
    places: int
    cliques: tuple[tuple[int, int], ...]


def mean_ranks(scores: ArrayLike, *, larger_is_better: bool = True) -> NDArray[np.float64]:
    """Mean over places of the rank in each; equal scores share their mean rank.

    Parameters
    ----------
    scores : (places, m) array
        A place where any score is undefined (NaN) is left out.

    Raises
    ------
    UsageError
        No place with all scores.

    Examples
    --------
    >>> mean_ranks([[0.9, 0.7, 0.7], [0.8, 0.6, 0.9]])
    array([1.5 , 2.75, 1.75])
    """
    table = np.asarray(scores, dtype=np.float64)
    table = table[~np.isnan(table).any(axis=1)]
    if not table.size:
        raise UsageError(
            wanted="a fold or target on which every encoder has a score",
            got="none",
            fix="Use fewer folds, or leave out what has no score",
            source="ranks",
        )
    ranks: NDArray[np.float64] = rankdata(-table if larger_is_better else table, axis=1)
    return np.asarray(ranks.mean(axis=0))


def ranked(
    names: Sequence[str],
    scores: ArrayLike,
    different: Mapping[tuple[str, str], bool],
    *,
    larger_is_better: bool = True,
) -> Ranking:
    """Names by mean rank, and runs of them in which no pair is known to differ.

    Parameters
    ----------
    names : sequence of m str
    scores : (places, m) array
    different : mapping of (name, name) -> bool
        Which pairs a test told apart, in either order; a pair that is not in it was not.

    Raises
    ------
    UsageError
        As mean_ranks.

    References
    ----------
    J. Demsar: Statistical comparisons of classifiers over multiple data sets. JMLR 7, 2006.

    Examples
    --------
    >>> found = ranked("abc", [[3, 2, 1], [3, 1, 2]], {("a", "c"): True, ("a", "b"): True})
    >>> found.names, found.ranks.tolist(), found.cliques
    (('a', 'b', 'c'), [1.0, 2.5, 2.5], ((1, 2),))
    """
    ranks = mean_ranks(scores, larger_is_better=larger_is_better)
    order = np.argsort(ranks, kind="stable")
    ordered = tuple(names[place] for place in order)
    told = {pair for pair, yes in different.items() if yes}
    told |= {(b, a) for a, b in told}

    def alike(first: int, last: int) -> bool:
        return not any(pair in told for pair in combinations(ordered[first : last + 1], 2))

    cliques: list[tuple[int, int]] = []
    for first in range(len(ordered)):
        last = max(end for end in range(first, len(ordered)) if alike(first, end))
        if last > first and (not cliques or last > cliques[-1][1]):
            cliques.append((first, last))
    table = np.asarray(scores, dtype=np.float64)
    places = int((~np.isnan(table).any(axis=1)).sum())
    return Ranking(ordered, ranks[order], places, tuple(cliques))


def friedman(scores: ArrayLike) -> float:
    """p-value of the hypothesis that all encoders are alike, over targets (places, m).

    NaN with fewer than three encoders or two places; 1 where all scores are equal.

    Examples
    --------
    >>> rows = [[0.9, 0.8, 0.7], [0.8, 0.7, 0.5], [0.9, 0.6, 0.4], [0.7, 0.5, 0.3]]
    >>> round(friedman(rows), 3)
    0.018
    """
    table = np.asarray(scores, dtype=np.float64)
    table = table[~np.isnan(table).any(axis=1)]
    if table.ndim != 2 or table.shape[1] < 3 or len(table) < 2:
        return float("nan")
    if not np.ptp(table, axis=1).any():
        return 1.0
    return float(friedmanchisquare(*table.T).pvalue)


def critical_difference(m: int, places: int, *, level: float = 0.05) -> float:
    """Nemenyi's: mean ranks over that many independent data sets that differ by less are alike.

    Parameters
    ----------
    m : int
        Encoders compared.
    places : int

    References
    ----------
    Demsar 2006, equation 3.2 (section on the Nemenyi test): q is the studentised range over the
    square root of two.

    Examples
    --------
    >>> round(critical_difference(4, 14), 2)  # Demsar's example 3.2.3: 1.25 from rounded tables
    1.25
    """
    q = float(studentized_range.ppf(1 - level, m, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(m * (m + 1) / (6 * places)))
