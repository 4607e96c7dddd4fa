"""Pictures of group factors: who belongs to which, how large they are, and whether they return."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from segue.errors import UsageError
from segue.report.content import Figure
from segue.report.style import FAINT, INK, PALETTE, QUIET, WIDTH, draw, drawable, undrawable
from segue.targets.stability import Stability

ROWS = 400
"""Groups that a heat map has room for; of more, every so many-th is drawn."""

NAMED_ROWS, NAMED_COLUMNS = 48, 48

Shares = NDArray[np.float64]


def factor_heatmap(
    shares: ArrayLike, names: Sequence[str], *, group: str = "", name: str = "factors"
) -> Figure:
    """Shares of all factors in all groups, groups sorted by their main factor; sizes above.

    Parameters
    ----------
    shares : (groups, factors) array
        Rows add up to 1; groups without a distribution are to be left out.
    names : sequence of str
        Of the groups.
    group : str
        What groups are by: "artist".
    name : str
        File name stem under ``plots/``.

    Raises
    ------
    UsageError
        Shapes that do not agree, or shares that are none.

    Examples
    --------
    >>> factor_heatmap([[0.9, 0.1], [0.2, 0.8]], ["Nina", "Bach"], group="artist").alt
    'Heat map of 2 groups (artist) and 2 factors. Largest factor: 1, with 55 % of all shares.'
    """
    table = _checked(shares, names)
    groups, factors = table.shape
    called = f"groups ({group})" if group else "groups"
    sizes = table.mean(axis=0)
    columns = np.argsort(-sizes, kind="stable")
    drawn = sorted_rows(table[:, columns])
    if groups > ROWS:
        drawn = drawn[np.linspace(0, groups - 1, ROWS).round().astype(np.int64)]
    shown = table[np.ix_(drawn, columns)]
    named = len(drawn) <= NAMED_ROWS

    def paint(canvas: Canvas) -> None:
        top, main = canvas.subplots(2, 1, height_ratios=(1, 4.5), sharex=True)
        _paint_sizes(top, sizes[columns])
        # the root lets small shares be seen beside 1
        image = main.imshow(np.sqrt(shown), cmap="cividis", vmin=0, vmax=1, aspect="auto",
                            interpolation="nearest")  # fmt: skip
        if named:
            texts = drawable(list(names), width=26, lines=1)
            main.set_yticks(range(len(drawn)), [texts[i] for i in drawn])
            main.tick_params(axis="y", length=0, labelsize=min(8.5, 300 / len(drawn)))
        else:
            main.set_yticks([])
        _factor_ticks(main, factors, columns)
        main.set_xlabel("factor, the largest first")
        if not named:
            main.set_ylabel(f"{called}, by their main factor")
        for edge in ("left", "bottom"):
            main.spines[edge].set_visible(False)
        ticks = np.array([0, 0.05, 0.25, 0.5, 1])
        bar = canvas.colorbar(image, ax=[top, main], shrink=0.5, pad=0.02, ticks=np.sqrt(ticks))
        bar.ax.set_yticklabels([f"{tick:g}" for tick in ticks])
        bar.set_label("share")
        bar.outline.set_visible(False)

    sampled = (
        f" {len(drawn)} of {groups} groups are drawn, evenly spaced in that order."
        if len(drawn) < groups
        else ""
    )
    largest = int(columns[0])
    return Figure(
        draw((WIDTH, 6.2 if len(drawn) > 12 else 4.2), paint),
        caption="Each row is a group and adds up to 1; rows are sorted by their main factor and "
        f"its share. Above: the mean of each factor's shares; dashed: of equal factors.{sampled}"
        + (undrawable(list(names)) if named else ""),
        alt=f"Heat map of {groups} {called} and {factors} factors. Largest factor: {largest + 1}, "
        f"with {100 * sizes[largest]:.0f} % of all shares.",
        name=name,
    )


def sorted_rows(shares: Shares) -> NDArray[np.int64]:
    """Rows by their main factor, and within it by its share, the largest first.

    Examples
    --------
    >>> sorted_rows(np.array([[0.4, 0.6], [0.7, 0.3], [0.1, 0.9], [1.0, 0.0]])).tolist()
    [3, 1, 2, 0]
    """
    return np.lexsort((-shares.max(axis=1), shares.argmax(axis=1)))


def stability_plot(
    similarity: ArrayLike,
    *,
    dealt: Sequence[float],
    chance: float,
    idle: ArrayLike | None = None,
    name: str = "stability",
) -> Figure:
    """How alike each factor's words are when it is learned again, beside two controls.

    Parameters
    ----------
    similarity : (runs, factors) array
        Cosine of each factor with the one matched to it, one run for each other seed.
    dealt : sequence of float
        Mean similarity where tracks were dealt out anew to the groups, of each deal.
    chance : float
        The same where the words of factors were shuffled.
    idle : (factors,) boolean array, optional
        Factors that are in no group: all alike, they are left out.
    name : str
        File name stem under ``plots/``.

    Raises
    ------
    UsageError
        No similarities, or some that are not finite.

    Examples
    --------
    >>> stability_plot([[0.9, 0.5], [0.8, 0.4]], dealt=[0.6, 0.5], chance=0.1).alt
    'Dot plot of 2 factors over 3 seeds: mean similarity 0.65; tracks dealt out anew 0.50 to 0.60 \
(2 deals), words shuffled 0.10.'
    """
    found = np.atleast_2d(np.asarray(similarity, np.float64))
    if not found.size or not dealt or not np.isfinite([*found.ravel(), *dealt, chance]).all():
        raise UsageError(
            wanted="finite similarities (runs, factors) and of two controls",
            got=f"shape {found.shape}, {dealt} and {chance}",
            fix="Compare two seeds at least",
        )
    numbers = np.arange(found.shape[1])
    if idle is not None and not np.all(idle):
        numbers = np.flatnonzero(~np.asarray(idle, dtype=bool))
        found = found[:, numbers]
    middle = found.mean(axis=0)
    order = np.argsort(-middle, kind="stable")

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        x = np.arange(len(order))
        ax.axhline(float(np.mean(dealt)), color=PALETTE[1], linewidth=1.3, linestyle=(0, (4, 3)),
                   label="tracks dealt out anew (mean and range)")  # fmt: skip
        ax.axhspan(min(dealt), max(dealt), color=PALETTE[1], alpha=0.2, linewidth=0)
        ax.axhline(chance, color=QUIET, linewidth=1.3, linestyle=(0, (1, 2)),
                   label="words shuffled (mean)")  # fmt: skip
        low, high = found.min(axis=0)[order], found.max(axis=0)[order]
        ax.vlines(x, low, high, color=PALETTE[0], linewidth=1.6, alpha=0.5, zorder=2)
        ax.plot(x, middle[order], "o", color=PALETTE[0], markersize=4.5, mec="white", mew=0.5,
                label="mean over seeds", zorder=3)  # fmt: skip
        _factor_ticks(ax, len(order), numbers[order])
        ax.set(xlabel="factor, the most stable first", ylabel="similarity (cosine)")
        ax.set_ylim(min(-0.02, found.min() - 0.04), 1.04)
        ax.set_xlim(-0.8, len(order) - 0.2)
        ax.grid(axis="y")
        canvas.legend(frameon=False, fontsize=8.5, loc="outside upper left", ncols=3)

    return Figure(
        draw((WIDTH, 3.4), paint),
        caption=f"Factors were learned again with other seeds ({len(found) + 1} in all), each "
        "matched with the one most like it in what it adds to the words of all groups; a factor "
        "that returns has a similarity near 1. Lines: "
        "least and most over seeds. The words are the same for all seeds. Controls, means by share "
        f"of words: tracks dealt out anew to the groups, so that groups mean nothing (band: least "
        f"and most of {len(dealt)} deals); words shuffled.",
        alt=f"Dot plot of {len(middle)} factors over {len(found) + 1} seeds: mean similarity "
        f"{middle.mean():.2f}; tracks dealt out anew {_deals(dealt, '.2f')}, words shuffled "
        f"{chance:.2f}.",
        name=name,
    )


def topics_plot(
    lines: Sequence[Stability], *, chosen: int, name: str = "number_of_factors"
) -> Figure:
    """Held-out perplexity and stability against the number of factors, beside their controls.

    Parameters
    ----------
    lines : sequence of Stability
    chosen : int
        Factors of this run.
    name : str
        File name stem under ``plots/``.

    Raises
    ------
    UsageError
        Nothing to draw.
    """
    if not lines:
        raise UsageError(wanted="a number of factors to draw", got="none", fix="Compare some")
    ranked = sorted(lines, key=lambda line: line.topics)
    x = [line.topics for line in ranked]

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2)
        for ax, key, control in (
            (left, "perplexity", "unigram_perplexity"),
            (right, "similarity", "chance_similarity"),
        ):
            none = "no factors at all" if ax is left else "words shuffled"
            for one, style, colour, label in (
                (key, "o-", PALETTE[0], "these groups"),
                (control, "D:", QUIET, none),
            ):
                y = np.array([getattr(line, one) for line in ranked], np.float64)  # None: NaN
                ax.plot(x, y, style, color=colour, markersize=4.5, mec="white", mew=0.5,
                        linewidth=1.4, label=label)  # fmt: skip
            _paint_deals(ax, x, [getattr(line, f"dealt_{key}") for line in ranked])
            ax.axvline(chosen, color=FAINT, linewidth=3.0, zorder=0)
            ax.set_xlabel("number of factors")
            ax.set_xticks(x)
            ax.grid(axis="y")
            ax.legend(frameon=False, fontsize=8)
        left.set(ylabel="perplexity of held-out groups", ylim=(0, None))
        right.set(ylabel="similarity over seeds", ylim=(0, 1.02))

    words = "; ".join(
        f"{line.topics} factors {_measured(line.perplexity)} and {line.similarity:.2f} (dealt "
        f"{_deals(line.dealt_perplexity, '.3g')} and {_deals(line.dealt_similarity, '.2f')})"
        for line in ranked
    )
    return Figure(
        draw((WIDTH, 3.2), paint),
        caption="Left: among how many words one would have to guess, by half of a group's words, "
        "the others of it, in groups that nothing was learned from: less is better. Right: "
        "similarity of matched factors over seeds, with the same words. Tracks that belong "
        "together stand on both sides once they are dealt out anew, which makes their words easier "
        f"to foretell. Broad line: the {chosen} factors of this run, which were learned with more "
        "seeds and deals than the others; bars: least and most of the deals.",
        alt=f"Perplexity of held-out groups and similarity over seeds: {words}.",
        name=name,
    )


def _paint_deals(ax: Axes, x: Sequence[int], deals: Sequence[Sequence[float]]) -> None:
    """Mean of some deals, and a bar from the least to the most."""
    known = [(place, some) for place, some in zip(x, deals, strict=True) if len(some)]
    places = [place for place, _ in known]
    ax.plot(places, [float(np.mean(some)) for _, some in known], "s--", color=PALETTE[1],
            markersize=4.5, mec="white", mew=0.5, linewidth=1.4,
            label="tracks dealt out anew")  # fmt: skip
    low, high = [min(some) for _, some in known], [max(some) for _, some in known]
    ax.vlines(places, low, high, color=PALETTE[1], linewidth=1.6, alpha=0.6)


def _measured(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3g}"


def _deals(values: Sequence[float], form: str) -> str:
    """The least and the most of some deals."""
    if not values:
        return "not measured"
    low, high = format(min(values), form), format(max(values), form)
    return low if len(values) == 1 else f"{low} to {high} ({len(values)} deals)"


def profile_plot(
    profiles: ArrayLike, names: Sequence[str], *, note: str = "", name: str = "profiles"
) -> Figure:
    """What a factor's words are like: the mean of each number of a vector, in standard units.

    Parameters
    ----------
    profiles : (factors, dimensions) array
        Mean of the factor's words less the mean of all, over the deviation of all.
    names : sequence of str
        Of the dimensions.
    note : str
        What is shown of them, for the caption.
    name : str
        File name stem under ``plots/``.

    Examples
    --------
    >>> profile_plot([[1.0, 0.0], [-1.0, 0.5]], ["c0", "c1"]).alt
    'Heat map of 2 factors and 2 numbers of a vector, from -1 to 1 standard units.'
    """
    table = np.asarray(profiles, np.float64)
    if table.ndim != 2 or table.shape[1] != len(names) or not np.isfinite(table).all():
        raise UsageError(
            wanted=f"profiles (factors, {len(names)}), all finite",
            got=f"shape {table.shape}",
            fix="Give one name per column",
        )
    most = float(max(np.abs(table).max(initial=0.0), 1e-9))
    texts = drawable(list(names), width=48, lines=1)

    def paint(canvas: Canvas) -> None:
        ax = canvas.add_subplot()
        image = ax.imshow(table.T, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto",
                          interpolation="nearest")  # fmt: skip
        ax.set_yticks(range(len(texts)), texts)
        ax.tick_params(axis="y", length=0, labelsize=8)
        _factor_ticks(ax, len(table))
        ax.set_xlabel("factor")
        for edge in ("left", "bottom"):
            ax.spines[edge].set_visible(False)
        bar = canvas.colorbar(image, ax=ax, shrink=0.6, pad=0.02)
        bar.set_label("standard units")
        bar.outline.set_visible(False)

    return Figure(
        draw((WIDTH, 1.1 + 0.17 * max(6, len(texts))), paint),
        caption="Mean of the words of each factor (column), against the mean of all words: red is "
        "above it, blue below." + (f" Shown: {note}." if note else "") + undrawable(list(names)),
        alt=f"Heat map of {len(table)} factors and {len(names)} numbers of a vector, from "
        f"{table.min(initial=0.0):.2g} to {table.max(initial=0.0):.2g} standard units.",
        name=name,
    )


def _checked(shares: ArrayLike, names: Sequence[str]) -> Shares:
    table = np.asarray(shares, np.float64)
    good = table.ndim == 2 and len(table) == len(names) and table.size
    if not good or not np.isfinite(table).all() or np.abs(table.sum(axis=1) - 1.0).max() > 1e-3:
        raise UsageError(
            wanted="shares (groups, factors) with rows that add up to 1, and a name a row",
            got=f"shape {table.shape} and {len(names)} names",
            fix="Leave out groups that have no distribution",
        )
    return table


def _paint_sizes(ax: Axes, sizes: Shares) -> None:
    ax.bar(range(len(sizes)), sizes, 0.8, color=PALETTE[0])
    ax.axhline(1 / len(sizes), color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)))
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.set_ylabel("size")
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.spines["bottom"].set_visible(False)


def _factor_ticks(ax: Axes, factors: int, order: NDArray[np.int64] | None = None) -> None:
    """Numbers of factors, from 1; where there are many, every other or so."""
    places = np.arange(factors) if order is None else order
    step = -(-factors // NAMED_COLUMNS)
    shown = -(-factors // step)
    ticks = range(0, factors, step)
    ax.set_xticks(ticks, [str(places[tick] + 1) for tick in ticks])
    ax.tick_params(axis="x", length=0, labelcolor=INK, labelsize=min(8.5, 8.5 * 36 / shown))
