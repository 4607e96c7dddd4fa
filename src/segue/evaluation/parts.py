"""One split of a search: what its heads and cells have in common is computed once.

The scaler and the inner products of every block serve all heads and all sets of blocks; one
singular value decomposition of a set serves every penalty of the linear heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, SVR

from segue.evaluation.heads import Head
from segue.evaluation.kernels import Kernel, Products, kernel_matrices
from segue.evaluation.linear_heads import CentredSVD, Floats, LinearOneHotClassifier, one_hot
from segue.evaluation.logistic import LogisticPath
from segue.evaluation.taggers import LinearTagger, LogisticTagger, SVMTagger

Predicted = Iterator[tuple[int, NDArray[Any]]]


class ScaledBlock:
    """One block of one split, scaled as the heads want it: learn from X, predict Z.

    Parameters
    ----------
    X, Z : (m, d), (k, d) arrays
        Training and test rows.
    scaler : estimator or "passthrough"
        Scaling acts on each feature alone, so that block by block is the same as all at once.
    """

    def __init__(self, X: NDArray[Any], Z: NDArray[Any], scaler: Any) -> None:
        if scaler != "passthrough":
            fitted = clone(scaler).fit(X)
            X, Z = fitted.transform(X), fitted.transform(Z)
        self.X, self.Z = X, Z

    @cached_property
    def products(self) -> Products:
        """Inner products of the rows; never to be overwritten."""
        return Products.of(self.X, self.Z)


class Part:
    """One split as a set of blocks sees it.

    Parameters
    ----------
    blocks : sequence of ScaledBlock
    y : (m,) or (m, tags) array
        Of the training rows.
    shared : bool
        Whether the blocks keep their inner products, for other sets of blocks.
    """

    def __init__(
        self, blocks: Sequence[ScaledBlock], y: NDArray[Any], *, shared: bool = False
    ) -> None:
        self.blocks, self.y, self.shared = blocks, y, shared

    @cached_property
    def train(self) -> NDArray[Any]:
        """Training rows (m, d)."""
        return np.hstack([block.X for block in self.blocks])

    @cached_property
    def test(self) -> NDArray[Any]:
        """Test rows (k, d)."""
        return np.hstack([block.Z for block in self.blocks])

    @cached_property
    def basis(self) -> CentredSVD:
        """Singular value decomposition of the training rows."""
        return CentredSVD.of(self.train.astype(np.float64))

    def products(self) -> Products:
        """Inner products of the set, in new arrays."""
        if self.shared:
            return Products.total([block.products for block in self.blocks])
        return Products.of(self.train, self.test)


def uses_kernel(head: Head) -> bool:
    """Whether a head sees its features through inner products alone.

    Examples
    --------
    >>> from segue.evaluation.heads import make_head
    >>> [uses_kernel(make_head(name, "regression", n_features=1)) for name in ("svm", "ridge")]
    [True, False]
    """
    model = head.estimator.named_steps["head"]
    return isinstance(getattr(model, "regressor", model), SVC | SVR | SVMTagger)


class Machine(NamedTuple):
    """A support vector machine that takes a ready kernel matrix, and the kernel it wants."""

    kernel: Kernel
    model: Any


def ready_models(head: Head, cells: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The head's last step with the settings of each cell, as predict_cells takes them.

    Made once for all splits: copying an estimator takes as long as fitting one on few clips.
    """
    models = [head.with_settings(cell).named_steps["head"] for cell in cells]
    return [_machine(model) for model in models] if uses_kernel(head) else models


def _machine(model: Any) -> Machine:
    inner = getattr(model, "regressor", model)
    kernel: Kernel = (inner.kernel, inner.gamma if inner.kernel == "rbf" else 0.0)
    if not isinstance(inner, SVMTagger):
        # the model as it stands, with its standardised target if it has one
        key = "kernel" if inner is model else "regressor__kernel"
        model = clone(model).set_params(**{key: "precomputed"})
    return Machine(kernel, model)


def predict_cells(models: Sequence[Any], part: Part, products: Products | None = None) -> Predicted:
    """Predictions of every cell of a head on one split, by the cheapest exact way.

    Parameters
    ----------
    models : sequence
        From ready_models.
    part : Part
    products : Products, optional
        Ready inner products for the svm, which are overwritten.

    Yields
    ------
    cell, predictions : int, array
    """
    first = models[0]
    if isinstance(first, Machine):
        return _svm_cells(models, part.products() if products is None else products, part.y)
    if isinstance(first, Ridge | LinearTagger | LinearOneHotClassifier):
        return _ridge_cells(models, part)
    if isinstance(first, LogisticTagger):
        return _logistic_cells(models, part)
    if isinstance(first, LogisticRegression) and part.train.shape[1] > len(part.train):
        # the penalty does not change under rotation, so in the span of the rows the problem is the
        # same one, with fewer unknowns
        basis = part.basis
        test = (part.test - basis.mean) @ basis.Vt.T
        return _plain_cells(models, basis.U * basis.s, part.y, test)
    return _plain_cells(models, part.train, part.y, part.test)


def _plain_cells(
    models: Sequence[Any], X: NDArray[Any], y: NDArray[Any], Z: NDArray[Any]
) -> Predicted:
    for cell, model in enumerate(models):
        model.fit(X, y)
        tagger = hasattr(model, "decision_function") and y.ndim == 2
        yield cell, model.decision_function(Z) if tagger else model.predict(Z)


def _svm_cells(machines: Sequence[Machine], products: Products, y: NDArray[Any]) -> Predicted:
    by_kernel: dict[Kernel, list[int]] = {}
    for cell, machine in enumerate(machines):
        by_kernel.setdefault(machine.kernel, []).append(cell)
    for kernel, K, K_test in kernel_matrices(products, list(by_kernel)):
        for cell in by_kernel[kernel]:
            yield cell, _svm_predict(machines[cell].model, K, y, K_test)


def _svm_predict(model: Any, K: Floats, y: NDArray[Any], K_test: Floats) -> NDArray[Any]:
    if isinstance(model, SVMTagger):
        dual, intercept = model.solve(K, y)
        return K_test @ dual.T + intercept
    # the features were checked, K is large, and the settings are the head's own
    with config_context(assume_finite=True, skip_parameter_validation=True):
        return np.asarray(model.fit(K, y).predict(K_test))


def _ridge_cells(models: Sequence[Any], part: Part) -> Predicted:
    classes: NDArray[Any] | None = None
    if isinstance(models[0], LinearOneHotClassifier):
        classes, codes = np.unique(part.y, return_inverse=True)
        Y = one_hot(codes, len(classes))
    else:
        Y = part.y.reshape(len(part.y), -1).astype(np.float64)
    for cell, model in enumerate(models):
        coef, intercept = part.basis.ridge(Y, model.alpha)
        values = part.test @ coef.T + intercept
        if classes is not None:
            yield cell, classes[values.argmax(axis=1)]
        else:
            yield cell, values if part.y.ndim == 2 else values[:, 0]


def _logistic_cells(models: Sequence[LogisticTagger], part: Part) -> Predicted:
    path = LogisticPath(part.basis, part.y.astype(np.float64), max_iter=models[0].max_iter)
    for cell, model in enumerate(models):
        coef, intercept = path.solve(model.C)
        yield cell, part.test @ coef.T + intercept
