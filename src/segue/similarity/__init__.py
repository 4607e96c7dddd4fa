"""Find the clips whose features lie nearest: exact search, and how good the neighbours are."""

from segue.similarity.index import INDEXES, ExactIndex, make_index
from segue.similarity.labels import (
    LabelMap,
    LabelNeighbours,
    NearLabel,
    label_distances,
    label_map,
    label_order,
    nearest_labels,
)
from segue.similarity.precision import PrecisionSummary, precision_at_k, summarise

__all__ = [
    "INDEXES",
    "ExactIndex",
    "LabelMap",
    "LabelNeighbours",
    "NearLabel",
    "PrecisionSummary",
    "label_distances",
    "label_map",
    "label_order",
    "make_index",
    "nearest_labels",
    "precision_at_k",
    "summarise",
]
