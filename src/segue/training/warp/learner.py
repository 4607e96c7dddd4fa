"""Stochastic gradient descent on the WARP loss, gradients by hand.

For one example with positive j, violator k and weight L = L(r), the loss is L (1 - f_j + f_k), so

    d/dz = L (W_k - W_j),    d/dW_k = L z,    d/dW_j = -L z,    d/dV = (d/dz) h^T,

with h = x, or tanh(U x + b) behind a hidden layer. The mean over the batch makes one step, in
which examples without a violator count as zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor

from segue.errors import UsageError
from segue.seeds import generator
from segue.training.warp.network import JointEmbedding, memory
from segue.training.warp.rows import LabelRows, into_ball
from segue.training.warp.sampling import LabelSet, Picked, Sampler
from segue.training.warp.settings import WarpSettings

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


class Step(NamedTuple):
    """One SGD step's examples: standardised frames X (batch, d) of clips (batch,) of a data set."""

    source: int
    X: Floats
    clips: Whole


class _Side(NamedTuple):
    """What the learner keeps of one data set."""

    labels: LabelSet
    rows: LabelRows
    sampler: Sampler


class WarpLearner:
    """Takes the steps of :func:`segue.training.loop.train` on a joint embedding.

    Parameters
    ----------
    network : JointEmbedding
        On the CPU; its tensors are changed in place.
    labels : sequence of LabelSet or None
        Those of the training clips of each data set, in the order of ``network.labels``; None for
        a data set that takes no part.
    warp : WarpSettings
    learning_rate : float
        Constant, as in WSABIE.
    seed : int
    learn : sequence of boolean arrays or None, optional
        Of each data set the labels whose rows move; None for all. The others still take part, as
        positives and as negatives.
    frozen : bool
        Leave V and the hidden layer as they are: only rows of labels learn.

    Raises
    ------
    UsageError
        Label sets or masks that are not those of the network, or a rate too large for the L2.

    Notes
    -----
    One processor does the arithmetic, so the same stretch gives the same bits however many there
    are; matrices of this size are slower on two.
    """

    def __init__(
        self,
        network: JointEmbedding,
        labels: Sequence[LabelSet | None],
        warp: WarpSettings,
        *,
        learning_rate: float,
        seed: int,
        learn: Sequence[NDArray[np.bool_] | None] | None = None,
        frozen: bool = False,
    ) -> None:
        masks = [None] * len(labels) if learn is None else list(learn)
        _check(network, labels, masks)
        _check_settings(network, warp, learning_rate)
        self.network = network
        self.warp = warp
        self.rate = np.float32(learning_rate)
        self.seed = seed
        self.frozen = frozen
        self.V = memory(network.V)
        hidden = network.hidden
        self.hidden = None if hidden is None else (memory(hidden.weight), memory(hidden.bias))
        self._sides = {
            number: _Side(
                one,
                LabelRows(
                    memory(network.labels[number]),
                    learn=masks[number],
                    shrink=1.0 - learning_rate * warp.label_decay,
                    norm_ball=warp.norm_ball,
                ),
                Sampler(one.size, exact=warp.rank == "exact"),
            )
            for number, one in enumerate(labels)
            if one is not None
        }
        most = max(side.labels.size for side in self._sides.values())
        self._weights = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, most))])
        self._threads = ThreadpoolController()
        self._project()

    def step(self, batch: Sequence[Step], *, epoch: int, step: int) -> float:
        """Make the steps of one stretch; their mean loss before each.

        It is no finite number as soon as a score is none.
        """
        draws = generator(self.seed, "warp", epoch, step)
        losses = []
        # numbers that grow beyond float32 show in the loss, which the loop looks at
        with self._threads.limit(limits=1, user_api="blas"), np.errstate(all="ignore"):
            for one, picked in zip(batch, self._pick(batch, draws), strict=True):
                losses.append(self._descend(one, picked, draws))
            for side in self._sides.values():
                side.rows.settle()
        return float(np.mean(losses))

    @property
    def met(self) -> int:
        """Labels whose rows were read to be scored, in all steps so far: what sampling costs."""
        return sum(side.sampler.met for side in self._sides.values())

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the steps keep no memory."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Nothing: randomness comes from (seed, epoch, step) alone."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Nothing: the network's own tensors are all there is."""

    def _pick(self, batch: Sequence[Step], draws: np.random.Generator) -> list[Picked]:
        """Positives of every step, drawn for all steps of a data set at once."""
        picked: dict[int, Picked] = {}
        for source in sorted({one.source for one in batch}):
            places = [place for place, one in enumerate(batch) if one.source == source]
            clips = [batch[place].clips for place in places]
            drawn = self._sides[source].labels.pick(np.concatenate(clips), draws)
            parts = drawn.split([len(part) for part in clips])
            picked.update(zip(places, parts, strict=True))
        return [picked[place] for place in range(len(batch))]

    def _descend(self, step: Step, picked: Picked, draws: np.random.Generator) -> float:
        """One step; the mean loss before it."""
        _, rows, sampler = self._sides[step.source]
        X, batch = step.X, len(step.X)
        H = X if self.hidden is None else np.tanh(X @ self.hidden[0].T + self.hidden[1])
        Z = H @ self.V.T
        W_positive = rows.take(picked.positives)
        f_positive = np.einsum("bD,bD->b", Z, W_positive)
        found = sampler.find(rows.take, Z, f_positive - np.float32(1.0), picked, draws)
        hit = np.flatnonzero(found.negatives >= 0)
        weights = self._weights[found.ranks[hit]]
        loss = np.dot(weights, 1.0 - f_positive[hit] + found.scores[hit]) / batch
        pull = (self.rate / batch * weights).astype(np.float32)
        if len(hit) < batch:
            X, H, Z, W_positive = X[hit], H[hit], Z[hit], W_positive[hit]
        negatives = found.negatives[hit]
        dZ = rows.take(negatives)
        dZ -= W_positive
        dZ *= pull[:, None]
        moved, by = _label_steps(picked.positives[hit], negatives, pull, Z)
        if not self.frozen:
            self._move_map(X, H, dZ)
        rows.move(moved, by)
        # a score that is no number raises no violation where it is the positive's and infinite
        return float(loss + 0.0 * f_positive.sum())

    def _move_map(self, X: Floats, H: Floats, dZ: Floats) -> None:
        """Step of V and the hidden layer; ``dZ`` has the rate in it."""
        keep = np.float32(1.0 - self.rate * self.warp.l2)
        if self.hidden is not None:
            U, bias = self.hidden
            dA = dZ @ self.V
            dA *= 1.0 - H * H
            if self.warp.l2:
                U *= keep
            U -= dA.T @ X
            bias -= dA.sum(axis=0)
        if self.warp.l2:
            self.V *= keep
        self.V -= dZ.T @ H
        into_ball(self.V.T, self.warp.norm_ball)

    def _project(self) -> None:
        """Begin within the ball: rows that no step touches are to lie there, too."""
        if not self.frozen:
            into_ball(self.V.T, self.warp.norm_ball)
        for side in self._sides.values():
            side.rows.project()


def _label_steps(
    positives: Whole, negatives: Whole, pull: Floats, Z: Floats
) -> tuple[Whole, Floats]:
    """Labels that move, each once, and what is taken off their rows."""
    count = len(positives)
    moved, row = np.unique(np.concatenate([positives, negatives]), return_inverse=True)
    shares = np.zeros((len(moved), count), np.float32)
    columns = np.arange(count)
    shares[row[:count], columns] = -pull
    shares[row[count:], columns] = pull
    return moved, shares @ Z


def _check(
    network: JointEmbedding,
    labels: Sequence[LabelSet | None],
    masks: Sequence[NDArray[np.bool_] | None],
) -> None:
    has = network.sizes
    given = [None if one is None else one.size for one in labels]
    fits = len(given) == len(has) and all(g in (None, h) for g, h in zip(given, has, strict=True))
    if not fits or not any(given):
        raise UsageError(
            wanted=f"labels of data sets with {has}, or some of these",
            got=str(given),
            fix="Give the network's data sets, in its order",
        )
    shapes = [h if mask is None else len(mask) for mask, h in zip(masks, has, strict=False)]
    if shapes != has:
        raise UsageError(
            wanted=f"masks of {has} labels", got=str(shapes), fix="Give one value a label"
        )


def _check_settings(network: JointEmbedding, warp: WarpSettings, learning_rate: float) -> None:
    for name in ("dimensions", "hidden"):
        wanted, got = getattr(network.spec, name), getattr(warp, name)
        if wanted != got:
            raise UsageError(
                wanted=f"the network's {name}, {wanted}", got=str(got), fix="Give the same to both"
            )
    if not learning_rate * max(warp.l2, warp.label_decay) < 1.0:
        raise UsageError(
            wanted="a learning rate below 1 / --l2 and 1 / --l2-labels",
            got=f"{learning_rate:g} with {warp.l2:g} and {warp.label_decay:g}",
            fix="Lower one of them",
        )
