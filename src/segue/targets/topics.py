"""Topics of bags of words: online latent Dirichlet allocation, and the shares of a bag."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix
from scipy.special import psi
from sklearn.decomposition import LatentDirichletAllocation
from threadpoolctl import threadpool_limits

from segue.seeds import derive, generator
from segue.targets.bags import Bags
from segue.targets.settings import FactorSettings
from segue.targets.source import Watch, Whole

LEAST_STEPS = 10  # of learning in a pass, as far as there are groups
TOUCHES = 100  # at most of one bag at a time, before its shares are taken as they are
LEARNING = "topics"

Components = NDArray[np.float64]


def learn_topics(
    bags: Bags,
    settings: FactorSettings,
    *,
    groups: Sequence[int] | Whole | None = None,
    watch: Watch | None = None,
) -> Components:
    """Parameters (topics, words) of the topics of some bags.

    Every pass goes over the bags in another order, in steps of equal size: at most
    ``settings.batch`` groups each, and at least ten steps where there are as many groups. Counts
    are used as they are, as in the paper.

    What is found is one of many optima, and depends on the seed. Where there are hardly more topics
    than the groups have, one may stand for two of them and another for none; with more topics than
    that every one is found. :func:`segue.targets.stability.topic_stability` measures it.

    Parameters
    ----------
    bags : Bags
    settings : FactorSettings
    groups : sequence of int, optional
        That are learned from; all by default. Those of no words are left out.
    watch : callable, optional

    References
    ----------
    Hoffman, Blei, Bach, Online learning for latent Dirichlet allocation, 2010.
    """
    wanted = bags.filled if groups is None else np.intersect1d(groups, bags.filled)
    size = min(settings.batch, max(1, len(wanted) // LEAST_STEPS))
    steps = math.ceil(len(wanted) / size)
    learner = LatentDirichletAllocation(
        settings.topics,
        learning_method="online",
        batch_size=size,
        total_samples=len(wanted),
        max_doc_update_iter=TOUCHES,
        random_state=derive(settings.seed, "topics"),
    )
    with threadpool_limits(1, user_api="blas"):  # sums over more threads may round otherwise
        for number in range(settings.passes):
            order = generator(settings.seed, "topics", number).permutation(wanted)
            for step, part in enumerate(np.array_split(order, steps), start=1):
                learner.partial_fit(csr_matrix(bags.rows(part)))
                if watch is not None:
                    watch(LEARNING, number * steps + step, settings.passes * steps)
    return np.asarray(learner.components_, np.float64)


def shares_of(components: Components, counts: csr_array) -> NDArray[np.float64]:
    """Distributions (n, topics) of bags (n, words), none of them without words.

    What a bag gets depends on that bag and the topics alone.
    """
    with threadpool_limits(1, user_api="blas"):
        shares: NDArray[np.float64] = _fitted(components).transform(csr_matrix(counts))
    return shares


def topic_words(components: Components) -> NDArray[np.float64]:
    """Distribution (topics, words) of the words in each topic."""
    words: NDArray[np.float64] = components / components.sum(axis=1, keepdims=True)
    return words


def _fitted(components: Components) -> LatentDirichletAllocation:
    """The estimator that learned these topics, from what is kept of it."""
    topics, words = components.shape
    fitted = LatentDirichletAllocation(topics, max_doc_update_iter=TOUCHES)
    fitted.components_ = components
    expected = psi(components) - psi(components.sum(axis=1, keepdims=True))
    fitted.exp_dirichlet_component_ = np.exp(expected)
    fitted.doc_topic_prior_ = fitted.topic_word_prior_ = 1.0 / topics
    fitted.n_features_in_ = words
    return fitted
