"""Many penalised logistic regressions on one X at once: what makes 217 tags affordable."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from segue.evaluation.linear_heads import CentredSVD, Floats


class LogisticPath:
    """One-vs-rest logistic regressions of all tags, for any number of penalties.

    The objective of each tag is scikit-learn's: ``C * sum(log loss) + ||w||^2 / 2``, intercept not
    penalised. The problems are independent, so one L-BFGS run over their sum costs one matrix
    product per step for all of them. It is run in the singular directions of X, each divided by the
    square root of its curvature at the tag's base rate: then the sum is well conditioned and tens
    of steps suffice where the raw problem takes hundreds.

    Parameters
    ----------
    X : (n, d) array or CentredSVD
        The table, or its decomposition where that is there already.
    Y : (n, tags) array of 0/1
    max_iter : int
    tol : float
        Largest gradient entry, in the scaled directions, at which to stop.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> coef, intercept = LogisticPath(X, np.array([[0.0], [0.0], [1.0], [1.0]])).solve(1.0)
    >>> bool(coef[0, 0] > 0), abs(float(intercept[0].round(3)))
    (True, 0.0)
    """

    def __init__(
        self, X: Floats | CentredSVD, Y: Floats, *, max_iter: int = 500, tol: float = 1e-3
    ) -> None:
        self.max_iter = max_iter
        self.tol = tol
        self._basis = X if isinstance(X, CentredSVD) else CentredSVD.of(X)
        self._P = self._basis.U * self._basis.s
        counts = Y.sum(axis=0)
        # smoothed, so that a tag that everything or nothing carries still has finite odds
        self._rate = (counts + 0.5) / (len(Y) + 1)
        self._varies = (counts > 0) & (counts < len(Y))
        self._Y = Y[:, self._varies]

    def solve(self, C: float) -> tuple[Floats, Floats]:
        """Weights (tags, d) and intercepts (tags,) for one C; constant tags get their log odds.

        Warns
        -----
        ConvergenceWarning
            ``max_iter`` was reached.
        """
        P, Y = self._P, self._Y
        n, rank = P.shape
        n_tags = Y.shape[1]
        rate = self._rate[self._varies]
        curvature = rate * (1 - rate)
        scale = 1 / np.sqrt(self._basis.s[:, None] ** 2 * curvature + 1 / C)  # (rank, tags)
        bias_scale = 1 / np.sqrt(n * curvature)
        start_bias = np.log(rate / (1 - rate))

        def unpack(theta: Floats) -> tuple[Floats, Floats]:
            table = theta.reshape(rank + 1, n_tags)
            return table[:-1] * scale, start_bias + table[-1] * bias_scale

        def objective(theta: Floats) -> tuple[float, Floats]:
            weights, bias = unpack(theta)
            logits = P @ weights + bias
            loss = np.logaddexp(0, logits).sum() - np.vdot(Y, logits)
            error = expit(logits) - Y
            gradient = np.empty((rank + 1, n_tags))
            gradient[:-1] = (P.T @ error + weights / C) * scale
            gradient[-1] = error.sum(axis=0) * bias_scale
            return float(loss + np.vdot(weights, weights) / (2 * C)), gradient.ravel()

        coef = np.zeros((len(self._rate), len(self._basis.mean)))
        intercept = np.log(self._rate / (1 - self._rate))
        if n_tags:
            found = minimize(
                objective,
                np.zeros((rank + 1) * n_tags),
                jac=True,
                method="L-BFGS-B",
                # ftol 0: the sum over tags would call a small gain "converged" while one tag moves
                options={"maxiter": self.max_iter, "gtol": self.tol, "ftol": 0.0, "maxcor": 20},
            )
            if found.nit >= self.max_iter:
                warnings.warn(
                    f"logistic regressions stopped at max_iter={self.max_iter} with C={C}",
                    ConvergenceWarning,
                    stacklevel=2,
                )
            weights, bias = unpack(found.x)
            coef[self._varies] = weights.T @ self._basis.Vt
            intercept[self._varies] = bias - coef[self._varies] @ self._basis.mean
        return coef, intercept
