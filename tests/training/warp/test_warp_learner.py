"""Steps on the WARP loss: the paper's gradient, whatever the options, and what stays untouched."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import literal
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sets import network
from threadpoolctl import threadpool_limits

from segue.errors import UsageError
from segue.training.warp import sampling
from segue.training.warp.learner import Step, WarpLearner
from segue.training.warp.network import JointEmbedding
from segue.training.warp.sampling import Found, LabelSet, Sampler
from segue.training.warp.settings import Rank, WarpSettings

INPUTS, DIMENSIONS, LABELS = 4, 3, 7
SMALL = WarpSettings(dimensions=DIMENSIONS)
CARRIED = [[0], [1, 2], [3], [2, 4, 5], [6], list(range(LABELS)), [5], [0, 6]]


def examples(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    draws = np.random.default_rng(seed)
    X = 2.0 * draws.standard_normal((len(CARRIED), INPUTS))
    return X.astype(np.float32), np.arange(len(CARRIED))


def learner(
    net: JointEmbedding, labels: Sequence[LabelSet | None], warp: WarpSettings, **more: Any
) -> WarpLearner:
    return WarpLearner(net, labels, warp, **{"learning_rate": 1.0, "seed": 0, **more})


def grown_network(hidden: int = 0, sizes: Sequence[int] = (LABELS,)) -> JointEmbedding:
    """With weights large enough that some margins hold and others do not."""
    net = network(INPUTS, sizes, dimensions=DIMENSIONS, hidden=hidden)
    for name, values in net.state_dict().items():
        if name not in ("shift", "scale"):
            values *= 1.6
    return net


def state(net: JointEmbedding) -> dict[str, NDArray[np.float64]]:
    return {name: values.numpy().astype(float) for name, values in net.state_dict().items()}


def change(one: WarpLearner, batch: list[Step], step: int) -> dict[str, NDArray[np.float64]]:
    """What a stretch takes off the parameters; they are then put back."""
    before = copy.deepcopy(one.network.state_dict())
    one.step(batch, epoch=1, step=step)
    after = state(one.network)
    one.network.load_state_dict(before)
    return {name: values.numpy() - after[name] for name, values in before.items()}


def slow_model(net: JointEmbedding) -> literal.Model:
    values = {name: array.tolist() for name, array in state(net).items()}
    hidden = (values.get("hidden.weight"), values.get("hidden.bias"))
    return literal.Model(values["V"], values["labels.0"], *hidden)


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("blocks", ["whole", "spilling"])
def test_the_mean_gradient_is_that_of_the_literal_procedure(
    hidden: int, blocks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over many draws, for every number of V, W, U and b, within five standard errors."""
    if blocks == "spilling":
        monkeypatch.setattr(sampling, "WHOLE", 2)
        monkeypatch.setattr(sampling, "FIRST", 2)
        monkeypatch.setattr(sampling, "GROWTH", 2)
    net = grown_network(hidden)
    X, clips = examples()
    one = learner(net, [LabelSet.of(CARRIED, size=LABELS)], replace(SMALL, hidden=hidden))
    fast = [change(one, [Step(0, X, clips)], step) for step in range(2500)]
    model, random = slow_model(net), np.random.default_rng(1)
    slow = []
    for _ in range(2500):
        total = literal.Gradient.zeros(model)
        for x, carried in zip(X.tolist(), CARRIED, strict=True):
            drawn = literal.draw(model, x, carried, random)
            literal.add_gradient(total, model, x, drawn, 1 / len(X))
        slow.append(total)
    pairs = {"V": "V", "W": "labels.0"} | (
        {"U": "hidden.weight", "b": "hidden.bias"} if hidden else {}
    )
    for theirs, ours in pairs.items():
        a = np.array([getattr(total, theirs) for total in slow])
        b = np.array([found[ours] for found in fast])
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / 2500)
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 5 * error + 1e-6).all(), theirs
        assert np.abs(a.mean(axis=0)).max() > 0.05


def test_the_mean_loss_is_that_of_the_literal_procedure() -> None:
    net = grown_network()
    X, clips = examples()
    one = learner(net, [LabelSet.of(CARRIED, size=LABELS)], SMALL, learning_rate=1e-12)
    fast = [one.step([Step(0, X, clips)], epoch=1, step=step) for step in range(2000)]
    random, slow = np.random.default_rng(2), []
    for _ in range(2000):
        batch = list(zip(X.tolist(), CARRIED, strict=True))
        slow.append(literal.train_batch(slow_model(net), batch, 0.0, random))
    error = math.sqrt((np.var(fast) + np.var(slow)) / 2000)
    assert abs(np.mean(fast) - np.mean(slow)) <= 5 * error


@pytest.mark.parametrize("rank", ["sampled", "exact"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_a_step_is_the_gradient_of_the_loss_by_finite_differences(
    hidden: int, rank: Rank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the labels and weights that were drawn, in double precision."""
    kept: list[Found] = []
    find = Sampler.find

    def keeping(self: Sampler, *given: Any) -> Found:
        kept.append(find(self, *given))
        return kept[-1]

    monkeypatch.setattr(Sampler, "find", keeping)
    net = grown_network(hidden)
    single = [[code] for code in (0, 3, 2, 6, 5, 1)]
    X, clips = examples()[0][:6], np.arange(6)
    one = learner(net, [LabelSet.of(single, size=LABELS)], replace(SMALL, hidden=hidden, rank=rank))
    found = change(one, [Step(0, X, clips)], 0)
    walk, values = kept[0], state(net)
    weight = np.array([sum(1 / k for k in range(1, r + 1)) for r in walk.ranks])
    assert (walk.negatives >= 0).any()

    def loss() -> float:
        inner = X.astype(float)
        if hidden:
            inner = np.tanh(inner @ values["hidden.weight"].T + values["hidden.bias"])
        scores = inner @ values["V"].T @ values["labels.0"].T
        gaps = [
            1 - scores[b, single[b][0]] + scores[b, walk.negatives[b]] for b in range(len(clips))
        ]
        return float(weight @ np.abs(gaps)) / len(clips)

    checked = [name for name in values if name not in ("shift", "scale")]
    assert len(checked) == (4 if hidden else 2)
    for name in checked:
        flat, gradient = values[name].reshape(-1), np.zeros(values[name].size)
        for k in range(flat.size):
            center = flat[k]
            sides = []
            for shifted in (center + 1e-6, center - 1e-6):
                flat[k] = shifted
                sides.append(loss())
            flat[k] = center
            gradient[k] = (sides[0] - sides[1]) / 2e-6
        assert np.allclose(found[name].reshape(-1), gradient, atol=2e-5), name


def test_a_batch_without_negatives_moves_nothing() -> None:
    net = grown_network()
    before = state(net)
    full = LabelSet.of([list(range(LABELS))] * 8, size=LABELS)
    assert learner(net, [full], SMALL).step([Step(0, *examples())], epoch=1, step=0) == 0.0
    assert all((before[name] == values).all() for name, values in state(net).items())


def test_only_the_step_s_own_data_set_is_ranked_and_moved() -> None:
    """Negatives are of the clip's data set and not carried: other rows and tables stay."""
    net = grown_network(sizes=(LABELS, 300))
    before = state(net)
    both = [LabelSet.of(CARRIED, size=LABELS), LabelSet.of([[0]] * 8, size=300)]
    one = learner(net, both, SMALL, learning_rate=0.1)
    one.step([Step(0, *examples())], epoch=1, step=0)
    after = state(net)
    assert (after["labels.1"] == before["labels.1"]).all()
    assert (after["labels.0"] != before["labels.0"]).any()
    assert (after["V"] != before["V"]).any()
    # of two clips that carry all labels but one, only that one can be a negative
    but_two = [[k for k in range(LABELS) if k != 2]] * 8
    alone = learner(grown_network(), [LabelSet.of(but_two, size=LABELS)], SMALL)
    moved = change(alone, [Step(0, *examples())], 0)["labels.0"]
    pushed = [
        step
        for step in range(20)
        if change(alone, [Step(0, *examples())], step)["labels.0"][2].any()
    ]
    assert pushed
    assert moved.shape == (LABELS, DIMENSIONS)


@pytest.mark.parametrize("rank", ["sampled", "exact"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_the_same_stretch_gives_the_same_bits(hidden: int, rank: Rank) -> None:
    nets = [grown_network(hidden) for _ in range(3)]
    labels = [LabelSet.of(CARRIED, size=LABELS)]
    stretch = [Step(0, *examples(seed)) for seed in range(20)]
    warp = replace(SMALL, hidden=hidden, rank=rank, norm_ball=2.0, l2=1e-3)
    steps = [(1, 0), (1, 0), (1, 1)]
    losses = [
        learner(net, labels, warp, learning_rate=0.1).step(stretch, epoch=epoch, step=step)
        for net, (epoch, step) in zip(nets, steps, strict=True)
    ]
    states = [state(net) for net in nets]
    assert losses[0] == losses[1] != losses[2]
    assert all((states[0][name] == values).all() for name, values in states[1].items())
    assert (states[0]["V"] != states[2]["V"]).any()


def test_the_number_of_processors_changes_no_bit() -> None:
    """Matrices of the paper's size, which BLAS would else share out."""
    draws = np.random.default_rng(0)
    X = draws.standard_normal((400, 200)).astype(np.float32)
    carried = [draws.choice(160, 3, replace=False).tolist() for _ in range(400)]
    labels, kept = LabelSet.of(carried, size=160), []
    for threads in (1, 2):
        net = network(200, [160], dimensions=100)
        with threadpool_limits(threads):
            one = learner(net, [labels], WarpSettings(), learning_rate=0.01)
            one.step([Step(0, X, np.arange(400))] * 5, epoch=1, step=0)
        kept.append(state(net))
    assert all((kept[0][name] == values).all() for name, values in kept[1].items())


def test_the_norm_ball_holds_from_the_start() -> None:
    net = grown_network()
    one = learner(net, [LabelSet.of(CARRIED, size=LABELS)], replace(SMALL, norm_ball=0.7))
    for step in range(10):
        V, W = net.V.numpy(), net.labels[0].numpy()
        assert np.linalg.norm(V, axis=0).max() <= 0.7 + 1e-6
        assert np.linalg.norm(W, axis=1).max() <= 0.7 + 1e-6
        one.step([Step(0, *examples(step))], epoch=1, step=step)
    assert np.linalg.norm(V, axis=0).min() < 0.69
    free = grown_network()
    learner(free, [LabelSet.of(CARRIED, size=LABELS)], SMALL)
    assert np.linalg.norm(free.labels[0].numpy(), axis=1).max() > 0.7


def test_l2_shrinks_every_number_at_every_step() -> None:
    """By clips that teach nothing: V, U and all rows shrink alike, whether read or not."""
    net = grown_network(hidden=5, sizes=(LABELS, 3))
    before = state(net)
    full = [list(range(LABELS))] * 8
    warp = WarpSettings(dimensions=DIMENSIONS, hidden=5, l2=0.1, l2_labels=0.3)
    labels = [LabelSet.of(full, size=LABELS), LabelSet.of([[0]] * 8, size=3)]
    one = learner(net, labels, warp, learning_rate=0.5)
    for step in range(3):
        one.step([Step(0, *examples(k)) for k in range(7)], epoch=1, step=step)
    after = state(net)
    for name, factor in (
        ("V", 0.95),
        ("hidden.weight", 0.95),
        ("hidden.bias", 1.0),
        ("labels.0", 0.85),
        ("labels.1", 1.0),
    ):
        assert np.allclose(after[name], before[name] * factor**21, rtol=1e-5, atol=1e-9), name


def test_a_frozen_map_stays_and_only_the_chosen_rows_learn() -> None:
    """A data set gets two new labels; those it had are ranked, and never move."""
    net = grown_network(hidden=5, sizes=(3, LABELS))
    before = state(net)
    new = np.arange(LABELS) >= 5
    warp = WarpSettings(dimensions=DIMENSIONS, hidden=5, l2=0.01, norm_ball=0.6)
    one = learner(
        net,
        [None, LabelSet.of(CARRIED, size=LABELS)],
        warp,
        learning_rate=0.1,
        learn=[None, new],
        frozen=True,
    )
    for step in range(20):
        one.step([Step(1, *examples(step)), Step(1, *examples(step + 50))], epoch=1, step=step)
    after = state(net)
    for name in ("V", "hidden.weight", "hidden.bias", "labels.0"):
        assert (after[name] == before[name]).all(), name
    assert (after["labels.1"][~new] == before["labels.1"][~new]).all()
    assert (after["labels.1"][new] != before["labels.1"][new]).all()


@pytest.mark.parametrize("where", ["frame", "V", "label", "carried label", "huge"])
def test_what_is_no_number_shows_in_the_loss(where: str) -> None:
    net = grown_network()
    X, clips = examples()
    if where == "frame":
        X[3, 1] = np.nan
    elif where == "V":
        net.V[0, 0] = torch.nan
    elif where == "label":
        net.labels[0][3] = torch.nan
    elif where == "carried label":
        net.labels[0][0] = torch.inf
    else:
        net.V *= 1e38
        net.labels[0].mul_(1e38)
    one = learner(net, [LabelSet.of(CARRIED, size=LABELS)], SMALL)
    assert not math.isfinite(one.step([Step(0, X, clips)], epoch=1, step=0))


def test_a_positive_beyond_all_numbers_shows_though_nothing_violates_its_margin() -> None:
    net, (X, clips) = grown_network(), examples()
    first = float(net(torch.from_numpy(X[:1]))[0, 0])
    net.labels[0][0, 0] = math.copysign(math.inf, first)
    one = learner(net, [LabelSet.of(CARRIED, size=LABELS)], SMALL)
    assert not math.isfinite(one.step([Step(0, X[:1], clips[:1])], epoch=1, step=0))


def test_it_learns() -> None:
    net = network(INPUTS, [LABELS], dimensions=DIMENSIONS)
    draws = np.random.default_rng(0)
    places = 3.0 * draws.standard_normal((LABELS, INPUTS))
    of = draws.integers(LABELS, size=4000)
    X = (places[of] + draws.standard_normal((4000, INPUTS))).astype(np.float32)
    labels = LabelSet.of([[label] for label in range(LABELS)], size=LABELS)
    one = learner(net, [labels], SMALL, learning_rate=0.05)
    losses = [
        one.step([Step(0, X[k : k + 50], of[k : k + 50])], epoch=1, step=k)
        for _ in range(3)
        for k in range(0, 4000, 50)
    ]
    scores = net(torch.from_numpy(X)) @ net.labels[0].T
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:5])
    assert (scores.argmax(dim=1).numpy() == of).mean() > 0.8


@pytest.mark.parametrize(
    ("change_of", "words"),
    [
        ({"labels": [LabelSet.of([[0]], size=LABELS + 1)]}, r"\[7\], or some.*got \[8\]"),
        ({"labels": [LabelSet.of([[0]], size=LABELS)] * 2}, r"got \[7, 7\]"),
        ({"labels": [None]}, r"got \[None\]"),
        ({"learn": [np.ones(3, bool)]}, "one value a label"),
        ({"warp": WarpSettings(dimensions=DIMENSIONS, l2_labels=2.0)}, "below 1 / --l2"),
        ({"warp": WarpSettings(dimensions=50)}, "dimensions"),
        ({"warp": WarpSettings(dimensions=DIMENSIONS, hidden=2)}, "hidden"),
    ],
)
def test_what_does_not_fit_is_refused(change_of: dict[str, Any], words: str) -> None:
    given = {"labels": [LabelSet.of(CARRIED, size=LABELS)], "warp": SMALL, **change_of}
    with pytest.raises(UsageError, match=words):
        learner(grown_network(), given.pop("labels"), given.pop("warp"), **given)


@pytest.mark.parametrize(
    "odd",
    [
        *({name: value} for name in ("dimensions", "batch") for value in (0, -1)),
        *({"norm_ball": value} for value in (0.0, -1.0, math.inf, math.nan)),
        *({name: value} for name in ("l2", "l2_labels") for value in (-1.0, math.inf, math.nan)),
        {"hidden": -1},
        {"rank": "guessed"},
    ],
)
def test_settings_of_warp_that_make_no_sense_are_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(odd)).replace('_', '-')}"):
        WarpSettings(**odd)
