"""The paper's training procedure, word for word and one number at a time: slow, and nothing else.

Hamel et al. 2013, section 5. Written from the paper, without a look at ``segue.training.warp``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Vector = list[float]
Matrix = list[Vector]


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@dataclass
class Model:
    """V (D x d), W (a row per label); behind a hidden layer U (h x d) and b (h) where given."""

    V: Matrix
    W: Matrix
    U: Matrix | None = None
    b: Vector | None = None

    def inner(self, x: Vector) -> Vector:
        if self.U is None or self.b is None:
            return x
        return [math.tanh(dot(u, x) + c) for u, c in zip(self.U, self.b, strict=True)]

    def embedded(self, x: Vector) -> Vector:
        inner = self.inner(x)
        return [dot(row, inner) for row in self.V]

    def affinities(self, x: Vector) -> Vector:
        """f_i(x) = W_i . V x of every label i."""
        z = self.embedded(x)
        return [dot(row, z) for row in self.W]


@dataclass
class Drawn:
    """What came of one example; no negative and no rank where none violates."""

    j: int
    tries: int
    negative: int | None = None
    rank: int | None = None
    loss: float = 0.0


def weight(r: int) -> float:
    return sum(1.0 / k for k in range(1, r + 1))


def draw(model: Model, x: Vector, positives: Sequence[int], random: np.random.Generator) -> Drawn:
    """Pick a positive; iterate randomly through the negatives until one violates the margin."""
    labels = len(model.W)
    f = model.affinities(x)
    j = int(random.choice(list(positives)))
    negatives = [i for i in range(labels) if i not in positives]
    tries = 0
    for negative in random.permutation(negatives).tolist():
        tries += 1
        if f[negative] > f[j] - 1:
            rank = math.floor((labels - 1) / tries)
            return Drawn(j, tries, negative, rank, weight(rank) * abs(1 - f[j] + f[negative]))
    return Drawn(j, tries)


@dataclass
class Gradient:
    """Of the loss, by each number of the model."""

    V: Matrix
    W: Matrix
    U: Matrix
    b: Vector

    @classmethod
    def zeros(cls, model: Model) -> Gradient:
        def like(matrix: Matrix) -> Matrix:
            return [[0.0] * len(row) for row in matrix]

        return cls(like(model.V), like(model.W), like(model.U or []), [0.0] * len(model.b or []))


def add_gradient(total: Gradient, model: Model, x: Vector, drawn: Drawn, share: float) -> None:
    """Add ``share`` of the gradient of L(r) |1 - f_j + f_j'| for the labels and the rank drawn."""
    if drawn.negative is None or drawn.rank is None:
        return
    pull = share * weight(drawn.rank)
    inner, z = model.inner(x), model.embedded(x)
    for k in range(len(z)):
        total.W[drawn.negative][k] += pull * z[k]
        total.W[drawn.j][k] -= pull * z[k]
    dz = [pull * (model.W[drawn.negative][k] - model.W[drawn.j][k]) for k in range(len(model.V))]
    for k in range(len(model.V)):
        for m in range(len(inner)):
            total.V[k][m] += dz[k] * inner[m]
    if model.U is None:
        return
    for m in range(len(inner)):
        back = sum(dz[k] * model.V[k][m] for k in range(len(dz))) * (1 - inner[m] ** 2)
        total.b[m] += back
        for n in range(len(x)):
            total.U[m][n] += back * x[n]


def train_batch(
    model: Model,
    examples: Sequence[tuple[Vector, Sequence[int]]],
    rate: float,
    random: np.random.Generator,
) -> float:
    """One step: the gradient averaged over the batch; the mean loss before it."""
    total, losses = Gradient.zeros(model), []
    for x, positives in examples:
        drawn = draw(model, x, positives, random)
        add_gradient(total, model, x, drawn, 1 / len(examples))
        losses.append(drawn.loss)
    pairs = [(model.V, total.V), (model.W, total.W)]
    if model.U is not None:
        pairs.append((model.U, total.U))
    for values, gradients in pairs:
        for row, by in zip(values, gradients, strict=True):
            for k in range(len(row)):
                row[k] -= rate * by[k]
    if model.b is not None:
        for k in range(len(model.b)):
            model.b[k] -= rate * total.b[k]
    return sum(losses) / len(examples)
