"""Find the clips whose features lie nearest: exact search, and how good the neighbours are."""

from segue.similarity.index import INDEXES, ExactIndex, make_index
from segue.similarity.precision import PrecisionSummary, precision_at_k, summarise

__all__ = [
    "INDEXES",
    "ExactIndex",
    "PrecisionSummary",
    "make_index",
    "precision_at_k",
    "summarise",
]
