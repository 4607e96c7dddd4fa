"""The paper's tables and its figure as sections of a page, every split beside the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from segue.experiments.kim2018.claims import HOLDS, Finding, numbers_of
from segue.experiments.kim2018.combinations import combinations_of
from segue.experiments.kim2018.music import Music
from segue.experiments.kim2018.networks import target_notes
from segue.experiments.kim2018.part import Part
from segue.experiments.kim2018.pictures import Known, combinations_figure, sizes_figure
from segue.experiments.kim2018.published import (
    LOG_LOSS,
    METRICS,
    MTN,
    STN,
    TABLE5,
    TASKS,
    WSTN,
    Sharing,
)
from segue.experiments.kim2018.results import (
    PRIOR,
    UNTRAINED,
    UNTRAINED_WIDE,
    Estimate,
    Results,
    estimate,
    has_genre,
)
from segue.experiments.kim2018.scale import SMALL
from segue.experiments.kim2018.splits import SHARE, Kind
from segue.experiments.kim2018.table import (
    PAPER,
    SHARINGS,
    averages,
    in_table3,
    published,
    table5,
)
from segue.report import Cell, Section, Table
from segue.report.content import Block, Folded

WORDS: Final[Mapping[Kind, str]] = {
    "random": "tracks divided at random, as in the paper: artists and albums on both sides",
    "album": "no album on both sides; artists may be",
    "artist": "no artist on both sides",
}

MINUS = "\N{MINUS SIGN}"


def summary(results: Results) -> dict[str, str]:
    """One sentence per split, for the top of the page."""
    return {f"{results.task}, {kind}": _sentence(results, kind) for kind in results.kinds}


def _sentence(results: Results, kind: Kind) -> str:
    every = f"STN {combinations_of(results.tasks)[-1]}"
    rows = [PRIOR, UNTRAINED, "STN g", every, every.replace(STN, MTN)]
    parts = []
    for row in rows:
        loss, f1 = (results.mean(kind, row, metric) for metric in PAPER)
        if loss is not None and f1 is not None:
            parts.append(f"{row} {loss.mean:.3f} and {f1.mean:.3f}")
    return f"Log loss and macro F1: {'; '.join(parts)}."


def sections(
    music: Music,
    parts: Sequence[Part],
    results: Results,
    claims: Sequence[Finding],
    failures: Mapping[str, str],
) -> list[Section]:
    """Findings, how it was made, Tables 3, 4 and 5, Figure 3, and what the controls reach."""
    known = published() if music.paper else {}  # the paper split at random
    return [
        _findings(results, claims),
        _made(music, parts, results, failures),
        *(
            part(results, kind, known if kind == "random" else {})
            for part in (_table3, _table4, _table5, _figure3)
            for kind in results.kinds
        ),
        _controls(results),
    ]


def _findings(results: Results, claims: Sequence[Finding]) -> Section:
    counts = Counter(one.verdict for one in claims)
    words = (
        "Every claim of the paper and some controls, by log loss (less is better) and macro F1. "
        f"Differences are means over {len(results.seeds)} seeds, each with a split, artist groups, "
        "networks and classifiers of its own; both sides of a difference saw the same splits. In "
        "brackets Student's 95 % interval, its variance enlarged for training parts that overlap "
        "(Nadeau and Bengio 2003). A claim holds, or does not, where the interval leaves out 0. Of "
        f"{len(claims)} differences about {0.05 * len(claims):.0f} would do so by chance alone. "
        + ", ".join(f"{verdict}: {n}" for verdict, n in counts.most_common())
        + "."
    )
    rows: list[list[str | Cell]] = [
        [
            one.claim,
            one.protocol,
            one.metric,
            Cell(one.verdict, strong=one.verdict == HOLDS),
            one.numbers,
        ]
        for one in claims
    ]
    header = ["claim", "split", "metric", "here", "difference"]
    return Section("What of the paper holds here", [words, Table(header, rows, "")])


def _made(
    music: Music, parts: Sequence[Part], results: Results, failures: Mapping[str, str]
) -> Section:
    scale = parts[0].scale
    reduced = scale.reductions()
    blocks: list[Block] = [*music.notes]
    if not music.labels:
        blocks.append(
            "No column of sub-genre labels was named: no task s, and of 31 combinations the 15 "
            "without it."
        )
    missing = [kind for kind in WORDS if kind not in results.kinds]
    if missing:
        blocks.append(
            f"No {' and no '.join(missing)}-disjoint split here: not asked for, or no column says "
            "which tracks belong together."
        )
    blocks.append(
        f"Scale {scale.name}: "
        + ("; ".join(reduced) if reduced else "as in the paper")
        + ". A network of N tasks has N times the epochs of one (the paper: 200, and 1,000 for a "
        "shared network), so that every task gets about as many updates; the genre gets more than "
        "alone where tracks without a class teach the others."
    )
    if scale.name == SMALL.name:
        blocks.append(
            "The sizes of this scale were chosen by time and by test scores on emotify, split by "
            "artist with the seeds 0 and 1; other seeds draw other test tracks of the same 400."
        )
    blocks.append(
        "Words, topics and the standardisation of bands are learned from the training part alone; "
        "an artist on both sides has the groups of its training tracks. No track is held out to "
        "stop on: a fixed number of epochs, the last weights, as in the paper. The released code's "
        "classifier, which trains on the tracks that it is scored on, is not copied."
    )
    if failures:
        blocks.append(f"{len(failures)} tracks could not be used.")
    blocks += [_tasks(music), _splits(music, parts), _groups(parts)]
    return Section("How it was made", blocks)


def _tasks(music: Music) -> Table:
    rows = [[letter, TASKS[letter]] for letter in music.tasks]
    if music.labels:
        rows[-1][1] += f": {' and '.join(music.labels)}"
    return Table(["task", "what is taught"], rows, "Letters of the combinations.")


def _splits(music: Music, parts: Sequence[Part]) -> Table:
    rows = []
    for part in parts:
        split, artists = part.split, music.artists
        shares = split.shares(music)
        both = np.isin(artists[split.test], artists[split.train]).mean()
        row = [
            split.kind,
            str(split.seed),
            str(len(part.taught)),
            str(len(split.test)),
            f"{shares.min():.2f} to {shares.max():.2f}",
            f"{both:.2f}",
        ]
        if music.albums is not None:
            albums = np.isin(music.albums[split.test], music.albums[split.train]).mean()
            row.append(f"{albums:.2f}")
        rows.append([*row, str(split.barred)])
    header = [
        *("split", "seed", "taught", "tested", "share tested, by class"),
        "tested tracks whose artist teaches",
        *(["whose album teaches"] if music.albums is not None else []),
        "tracks barred from teaching",
    ]
    note = f"Splits: {SHARE:.0%} of the classified tracks are tested, of every class."
    return Table(header, rows, note, tuple(range(1, len(header))))


def _groups(parts: Sequence[Part]) -> Folded:
    """What artist groups were made of; the first part stands for all."""
    part = parts[0]
    notes = [
        note for letter in part.music.tasks if letter != "g" for note in target_notes(part, letter)
    ]
    return Folded(f"Artist groups of the first split ({part.name})", list(dict.fromkeys(notes)))


def _cell(found: Estimate | None, theirs: float | None = None, *, strong: bool = False) -> Cell:
    if found is None:
        return Cell("")
    detail = "" if theirs is None else f"paper {theirs:.4f}"
    if found.seeds < 2:
        return Cell(f"{found.mean:.3f}", detail=detail, strong=strong)
    return Cell(f"{found.mean:.3f} ± {found.se:.3f}", detail=detail, strong=strong)


def _split_words(kind: Kind) -> str:
    return f"Split {kind}: {WORDS[kind]}."


def _table3(results: Results, kind: Kind, known: Known) -> Section:
    rows: list[list[str | Cell]] = []
    for genre in (False, True):
        words = "with g" if genre else "without g"
        row: list[str | Cell] = [words]
        for metric in PAPER:
            for sharing in SHARINGS:
                name = f"{sharing} {words}, mean"
                found = _mean_of(results, kind, name, metric)
                row.append(_cell(found, known.get((name, metric))))
        rows.append(row)
    difference: list[str | Cell] = ["with minus without"]
    for metric in PAPER:
        for sharing in SHARINGS:
            every = in_table3(results, sharing)
            found = results.difference(
                kind,
                [one for one in every if has_genre(one)],
                [one for one in every if not has_genre(one)],
                metric,
            )
            difference.append("" if found is None else numbers_of(found))
    header = ["", *(f"{metric}, {sharing}" for metric in PAPER for sharing in SHARINGS)]
    words = (
        f"{_split_words(kind)} Means over combinations, ± standard error over seeds; MTN have two "
        "tasks or more. Combinations with the genre have more tasks on average: the findings have "
        "the same with the other tasks held equal."
    )
    table = Table(header, [*rows, difference], "", tuple(range(1, 5)))
    return Section(f"Table 3: with and without the genre ({kind})", [words, table])


def _mean_of(results: Results, kind: Kind, name: str, metric: str) -> Estimate | None:
    numbers = results.averaged(kind, averages(results)[name], metric)
    return None if numbers is None else estimate(numbers)


def _table4(results: Results, kind: Kind, known: Known) -> Section:
    rows: list[list[str | Cell]] = []
    every = combinations_of(results.tasks)
    best = {
        (sharing, metric): _best(results, kind, sharing, metric)
        for sharing in SHARINGS
        for metric in METRICS
    }
    for tasks in every:
        row: list[str | Cell] = [tasks]
        for sharing in SHARINGS:
            name = f"{sharing} {tasks}"
            for metric in METRICS:
                found = results.mean(kind, name, metric)
                strong = best[sharing, metric] == name
                row.append(_cell(found, known.get((name, metric)), strong=strong))
            found = results.difference(kind, [name], [f"{STN} g"], LOG_LOSS)
            row.append("" if found is None or name == f"{STN} g" else numbers_of(found))
        rows.append(row)
    header = ["tasks"]
    for sharing in SHARINGS:
        header += [f"{sharing} {metric}" for metric in METRICS]
        header.append(f"{sharing} log loss {MINUS} that of g")
    words = (
        f"{_split_words(kind)} Mean ± standard error over seeds; strong: the best of its column; "
        "in brackets the 95 % interval of the difference to the genre's network alone (below 0 is "
        "better). F1, accuracy and MTN less STN by the combination are in differences.csv."
    )
    blocks: list[Block] = [words, combinations_figure(results, kind, known)]
    blocks.append(Table(header, rows, "", tuple(range(1, len(header)))))
    return Section(f"Table 4: every combination ({kind})", blocks)


def _best(results: Results, kind: Kind, sharing: Sharing, metric: str) -> str:
    sign = -1 if metric == LOG_LOSS else 1
    rows = in_table3(results, sharing)
    means = {row: one.mean for row in rows if (one := results.mean(kind, row, metric))}
    return max(means, key=lambda row: sign * means[row], default="")


def _table5(results: Results, kind: Kind, known: Known) -> Section:
    rows: list[list[str | Cell]] = []
    for n in range(2, len(results.tasks) + 1):
        for place, metric in enumerate(PAPER):
            name = f"{WSTN} {n}"
            row: list[str | Cell] = [str(n), metric]
            row.append(_cell(results.mean(kind, name, metric), known.get((name, metric))))
            for sharing in SHARINGS:
                best = table5(results, kind, sharing, n, metric)
                if best is None:
                    row += ["", "", ""]
                    continue
                theirs = TABLE5[sharing, n][place] if known else None
                tasks = best.features.split()[1]
                row.append(Cell(f"{best.best.mean:.3f}", detail=_beside(tasks, theirs)))
                row.append(_cell(best.average))
                row.append(_cell(best.with_genre))
            rows.append(row)
    header = ["N", "metric", "wSTN"]
    for sharing in SHARINGS:
        header += [
            f"{sharing}: best of N tasks",
            f"{sharing}: mean of all",
            f"{sharing}: mean with g",
        ]
    words = (
        f"{_split_words(kind)} The paper compares the best combination of N tasks, chosen on the "
        "very tracks it is scored on, with one network of the genre that has as many parameters. "
        "Beside it what was not chosen: the mean over all combinations of N tasks, and over those "
        "with the genre."
    )
    return Section(
        f"Table 5: against networks as wide ({kind})",
        [words, Table(header, rows, "", tuple(range(2, len(header))))],
    )


def _beside(tasks: str, theirs: float | None) -> str:
    return tasks if theirs is None else f"{tasks}, paper {theirs:.4f}"


def _figure3(results: Results, kind: Kind, known: Known) -> Section:
    words = (
        f"{_split_words(kind)} Means over all combinations of so many tasks, and the network of "
        "the genre alone that is as wide."
    )
    figure = sizes_figure(results, kind, known)
    return Section(f"Figure 3: number of tasks ({kind})", [words, figure])


def _controls(results: Results) -> Section:
    """Baselines, and every further row that is no combination of Table 4."""
    table4 = {f"{way} {one}" for way in SHARINGS for one in combinations_of(results.tasks)}
    others = [row for row in results.features if row not in table4]
    rows: list[list[str | Cell]] = []
    for kind in results.kinds:
        for name in (f"{STN} g", *others):
            found = [results.mean(kind, name, metric) for metric in METRICS]
            if any(one is not None for one in found):
                rows.append([kind, name, *(_cell(one) for one in found)])
    words = (
        f"{PRIOR}: how frequent each class is among the training tracks. {UNTRAINED}: the genre's "
        "network as it begins, but for its batch statistics, through the same classifier; "
        f"{UNTRAINED_WIDE}: five such networks side by side. MFCC and an untrained convnet with an "
        "SVM, whose settings are chosen on inner folds, have no probabilities, and so no log loss."
    )
    header = ["split", "features", *METRICS]
    return Section(
        "Baselines, controls, wide networks", [words, Table(header, rows, "", (2, 3, 4))]
    )
