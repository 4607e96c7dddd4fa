"""Rows that are owed their L2: the same numbers as shrinking all of them at every step."""

from __future__ import annotations

import numpy as np
import pytest

from segue.training.warp.rows import LabelRows, into_ball


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("norm_ball", [None, 1.5])
def test_what_is_owed_is_paid_when_a_row_is_read(norm_ball: float | None, masked: bool) -> None:
    draws = np.random.default_rng(0)
    W = draws.standard_normal((30, 4)).astype(np.float32)
    learn = draws.random(30) < 0.5 if masked else None
    lazy, dense = W.copy(), W.astype(float)
    rows = LabelRows(lazy, learn=learn, shrink=0.9, norm_ball=norm_ball)
    moving = np.ones(30, bool) if learn is None else learn
    rows.project()
    into_ball(dense[moving], None)
    if norm_ball is not None:
        shorter = dense[moving]
        into_ball(shorter, norm_ball)
        dense[moving] = shorter
    for step in range(50):
        read = draws.integers(30, size=12)
        assert np.allclose(rows.take(read), dense[read], rtol=1e-4, atol=1e-6)
        moved = np.unique(draws.integers(30, size=6))
        by = draws.standard_normal((len(moved), 4)).astype(np.float32)
        rows.move(moved, by)
        dense[moving] *= 0.9
        for label, step_of in zip(moved, by, strict=True):
            if moving[label]:
                dense[label] -= step_of
                length = np.linalg.norm(dense[label])
                if norm_ball is not None and length > norm_ball:
                    dense[label] *= norm_ball / length
        if step % 20 == 19:
            rows.settle()
            assert np.allclose(lazy, dense, rtol=1e-4, atol=1e-6)
    if masked:
        assert (lazy[~moving] == W[~moving]).all()


def test_rows_that_are_not_named_are_not_touched() -> None:
    """Not a byte of them, without L2: a step costs what it moves."""
    W = np.full((1000, 2), np.nan, np.float32)
    W[[3, 500]] = 1.0
    rows = LabelRows(W, norm_ball=1.0)
    with np.errstate(invalid="raise"):
        rows.move(np.array([3, 500]), np.ones((2, 2), np.float32))
    assert (W[[3, 500]] == 0.0).all()
    assert np.isnan(np.delete(W, [3, 500], axis=0)).all()


def test_a_step_of_no_row_shrinks_all() -> None:
    W = np.ones((2, 1), np.float32)
    rows = LabelRows(W, shrink=0.5)
    rows.move(np.empty(0, np.int64), np.empty((0, 1), np.float32))
    rows.settle()
    assert W.tolist() == [[0.5], [0.5]]
