"""The jobs a user names, each joining rooms: embed, evaluate, fit, predict, index."""

from segue.extraction import EmbedReport
from segue.workflows.auditing import Audit, audit
from segue.workflows.curving import CurveRun, curve
from segue.workflows.embedding import aligned_features, embed, open_manifest
from segue.workflows.evaluating import Evaluation, evaluate, write_evaluation
from segue.workflows.fitting import Prediction, fit, predict
from segue.workflows.modelfile import Model
from segue.workflows.similar import Neighbours, build_index, similar

__all__ = [
    "Audit",
    "CurveRun",
    "EmbedReport",
    "Evaluation",
    "Model",
    "Neighbours",
    "Prediction",
    "aligned_features",
    "audit",
    "build_index",
    "curve",
    "embed",
    "evaluate",
    "fit",
    "open_manifest",
    "predict",
    "similar",
    "write_evaluation",
]
