"""The heads by name: each is a scikit-learn Pipeline and the grid its settings are chosen from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import ParameterGrid
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from segue.errors import UsageError
from segue.evaluation.linear_heads import LinearOneHotClassifier
from segue.evaluation.metrics import check_task
from segue.evaluation.mlp import MOST_EPOCHS, MLPTagger
from segue.evaluation.rows import Task
from segue.evaluation.taggers import KNNTagger, LinearTagger, LogisticTagger, SVMTagger
from segue.seeds import derive

HEADS = ("svm", "linear", "logistic", "ridge", "knn", "mlp")

DEFAULT_HEADS: dict[Task, str] = {
    "classification": "svm",
    "tagging": "logistic",
    "regression": "ridge",
}
"""Classes: the protocol of Choi et al. Tags: logistic ranks best of five (216 simulated tags on
900 clips: ROC-AUC .742, ridge .738, svm .680 in five times the time). Numbers: ridge beats SVR on
the released emoMusic features (nested R2 .705 and .538, SVR .691 and .531) in a fiftieth of the
time."""

TRUSTED_TYPES: tuple[str, ...] = (
    "segue.evaluation.calibrators.CalibratedClassifier",
    "segue.evaluation.calibrators.CalibratedTagger",
    "segue.evaluation.calibrators.ClassCalibrator",
    "segue.evaluation.calibrators.TagCalibrator",
    "segue.evaluation.linear_heads.LinearOneHotClassifier",
    "segue.evaluation.mlp.MLPTagger",
    "segue.evaluation.taggers.KNNTagger",
    "segue.evaluation.taggers.LinearTagger",
    "segue.evaluation.taggers.LogisticTagger",
    "segue.evaluation.taggers.SVMTagger",
    # part of every fitted perceptron, and not on skops' own list: numbers and arrays only
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
)
"""What ``skops.io.loads(..., trusted=)`` must admit, beyond its own list, to read a fitted head."""

SVM_STEPS = 50_000
"""Cap on libsvm's steps per machine. Scaled features need a few thousand; raw ones can run for
hours at C = 32. Reaching the cap raises a ConvergenceWarning; the protocols count and note them."""

CHOI_C = (0.1, 2.0, 8.0, 32.0)
_MLP_ALPHA = (0.1, 1.0, 3.0)
CHOI_GAMMA = tuple(2.0**-k for k in (3, 5, 7, 9, 11, 13))


@dataclass(frozen=True, slots=True)
class Head:
    """An unfitted estimator and the cells its settings are searched over.

    Attributes
    ----------
    estimator : Pipeline
        Steps ``scale`` (a StandardScaler, or "passthrough") and ``head``.
    grid : tuple of mapping
        As scikit-learn's ``param_grid``; ``({},)`` where there is nothing to choose.
    """

    name: str
    task: Task
    estimator: Pipeline
    grid: tuple[Mapping[str, Sequence[Any]], ...]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Every combination of settings, in scikit-learn's order."""
        return list(ParameterGrid([dict(part) for part in self.grid]))

    def with_settings(self, settings: Mapping[str, Any]) -> Pipeline:
        """A fresh estimator with the settings of one cell."""
        return clone(self.estimator).set_params(**settings)


def make_head(name: str, task: str, *, n_features: int, scale: bool = True, seed: int = 0) -> Head:
    """Head of that name for that task.

    Parameters
    ----------
    name : {"svm", "linear", "logistic", "ridge", "knn", "mlp"}
        ``svm``: SVC, SVR or one-vs-rest SVM over Choi's 32 cells (8 of them for tagging, where each
        cell is one machine per tag). ``linear``: least squares onto one-hot rows (Hamel et al.
        2013). ``logistic``: classification and tagging only. ``ridge``: the same with a penalty.
        ``knn``: k nearest neighbours. ``mlp``: a network with one hidden layer.
    task : {"classification", "tagging", "regression"}
    n_features : int
        d; one cell of Choi's grid is gamma = 1 / d.
    scale : bool, default True
        Standardise each feature with the training part's mean and deviation. Off means off.
    seed : int
        Random state of the estimators that have one. With their present solvers only ``mlp`` draws
        random numbers: first weights, and the order of clips.

    Raises
    ------
    UsageError
        Unknown head or task, no such head for the task, or ``n_features`` below 1.

    References
    ----------
    K. Choi, G. Fazekas, M. Sandler, K. Cho: Transfer learning for music classification and
    regression tasks. ISMIR 2017, section 3.3.

    Examples
    --------
    >>> head = make_head("svm", "classification", n_features=160)
    >>> len(head.cells), head.estimator.named_steps["scale"]
    (32, StandardScaler())
    """
    task = check_task(task)
    if name not in HEADS:
        raise UsageError(
            wanted=f"a head among {', '.join(HEADS)}", got=repr(name), fix="Choose one of these"
        )
    if name == "logistic" and task == "regression":
        others = ", ".join(head for head in HEADS if head != "logistic")
        raise UsageError(
            wanted=f"a head that predicts numbers ({others})",
            got="'logistic' for a regression target",
            fix="Choose one of these",
        )
    if n_features < 1:
        raise UsageError(
            wanted="one feature or more", got=str(n_features), fix="Give the width of X"
        )
    model, settings = _BUILDERS[name](task, n_features, derive(seed, "head", name))
    # y is standardised outside the regressor itself, so its settings lie one level deeper
    inner = "head__regressor__" if isinstance(model, TransformedTargetRegressor) else "head__"
    grid = tuple({inner + key: list(values) for key, values in part.items()} for part in settings)
    steps = [("scale", StandardScaler() if scale else "passthrough"), ("head", model)]
    return Head(name, task, Pipeline(steps), grid)


def predictions(estimator: Pipeline, X: NDArray[Any], task: str) -> NDArray[Any]:
    """What a task asks of a fitted head: labels (n,), scores (n, tags) or values (n,).

    Raises
    ------
    UsageError
        Unknown task.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-1.0], [1.0]])
    >>> head = make_head("linear", "tagging", n_features=1)
    >>> predictions(head.estimator.fit(X, [[0], [1]]), X, "tagging")
    array([[-0.5],
           [ 0.5]])
    """
    if check_task(task) == "tagging":
        return np.asarray(estimator.decision_function(X))
    return np.asarray(estimator.predict(X))


def readable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the Pipeline's prefixes.

    Examples
    --------
    >>> readable({"head__regressor__C": 2.0})
    {'C': 2.0}
    """
    return {key.rsplit("__", 1)[-1]: value for key, value in settings.items()}


_Built = tuple[Any, list[dict[str, Sequence[Any]]]]


def _svm(task: Task, n_features: int, seed: int) -> _Built:
    if task == "tagging":
        gammas = (2.0**-5, 2.0**-9, 2.0**-13, 1 / n_features)
        return SVMTagger(max_iter=SVM_STEPS), [
            {"kernel": ["rbf"], "C": (0.1, 2.0), "gamma": gammas}
        ]
    grid: list[dict[str, Sequence[Any]]] = [
        {"kernel": ["rbf"], "C": CHOI_C, "gamma": (*CHOI_GAMMA, 1 / n_features)},
        {"kernel": ["linear"], "C": CHOI_C},
    ]
    if task == "classification":
        # break_ties: the label is that of the highest score, as a reader of the scores expects;
        # libsvm's own vote between pairs of classes names another one for a few clips in a thousand
        return SVC(max_iter=SVM_STEPS, random_state=seed, break_ties=True), grid
    # SVR's epsilon (0.1) is in units of y: on standardised y it is a tenth of a deviation whatever
    # the label's unit. Without this, labels in [0, 1] sit inside the tube and nothing is learned.
    return TransformedTargetRegressor(SVR(max_iter=SVM_STEPS), transformer=StandardScaler()), grid


def _linear(task: Task, n_features: int, seed: int) -> _Built:
    if task == "classification":
        return LinearOneHotClassifier(), [{}]
    return (LinearTagger() if task == "tagging" else LinearRegression()), [{}]


def _logistic(task: Task, n_features: int, seed: int) -> _Built:
    if task == "tagging":
        # rare tags want a strong penalty: with five positives C = 10 only memorises them
        return LogisticTagger(), [{"C": (0.001, 0.01, 0.1, 1.0)}]
    return LogisticRegression(max_iter=1000, random_state=seed), [
        {"C": (0.001, 0.01, 0.1, 1.0, 10.0)}
    ]


def _ridge(task: Task, n_features: int, seed: int) -> _Built:
    grid: list[dict[str, Sequence[Any]]] = [{"alpha": tuple(10.0**k for k in range(-2, 5))}]
    if task == "classification":
        return LinearOneHotClassifier(alpha=1.0), grid
    # svd: as exact with more features than clips, and what the search shares between penalties
    return (LinearTagger(alpha=1.0) if task == "tagging" else Ridge(solver="svd")), grid


def _knn(task: Task, n_features: int, seed: int) -> _Built:
    weights = ("uniform", "distance")
    if task == "tagging":  # one neighbour gives two scores, 0 and 1: ranking wants more
        return KNNTagger(), [{"n_neighbors": (5, 9, 15, 25, 50), "weights": weights}]
    kind = KNeighborsClassifier if task == "classification" else KNeighborsRegressor
    return kind(algorithm="brute"), [{"n_neighbors": (1, 3, 5, 9, 15, 25), "weights": weights}]


def _mlp(task: Task, n_features: int, seed: int) -> _Built:
    if task == "tagging":
        return MLPTagger(max_iter=MOST_EPOCHS, random_state=seed), [
            {"hidden": (64, 256), "alpha": _MLP_ALPHA}
        ]
    # no early stopping: the clips it holds out could be of an artist that is trained on
    settings = {"max_iter": MOST_EPOCHS, "random_state": seed}
    grid: list[dict[str, Sequence[Any]]] = [
        {"hidden_layer_sizes": ((64,), (256,)), "alpha": _MLP_ALPHA}
    ]
    if task == "classification":
        return MLPClassifier(**settings), grid
    # as for SVR: steps and penalty are in units of y
    return TransformedTargetRegressor(MLPRegressor(**settings), transformer=StandardScaler()), grid


_BUILDERS = {
    "svm": _svm,
    "linear": _linear,
    "logistic": _logistic,
    "ridge": _ridge,
    "knn": _knn,
    "mlp": _mlp,
}
