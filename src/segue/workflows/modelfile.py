"""Fitted models on disk: JSON facts and a skops head in one zip file; never a pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from segue import __version__
from segue.card import EncoderCard, checked_fields
from segue.errors import ModelError, UsageError
from segue.evaluation.calibrators import CalibratedClassifier, CalibratedTagger
from segue.evaluation.heads import TRUSTED_TYPES
from segue.evaluation.rows import Task
from segue.files import write_atomically
from segue.rights import check_rights

FORMAT = 2
READS = (1, 2)
"""Format 1 knew no calibration; its facts lack those fields, which then have their defaults."""

FACTS, HEAD = "model.json", "head.skops"
MAX_BYTES = {FACTS: 16 * 2**20, HEAD: 512 * 2**20}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What a reader can know of a model without loading its head.

    Attributes
    ----------
    target, task : str
    labels : tuple of str
        Classes or tags in score order; empty for regression.
    head : str
        Registry name of the head.
    settings : mapping
        What inner folds chose.
    scale : bool
    examples : int
        Tracks it was fitted on.
    licence : str
        Of the encoder's weights, which the model needs; the head itself is yours.
    commercial : bool
    training_ids_sha256 : str
        Digest of the ids it was fitted on, so that a test set can be shown to be another.
    notes : tuple of str
    calibrated : bool
        Whether scores are probabilities; else they are the head's own, higher is likelier.
    ece_before, ece : float or None
        Expected calibration error out of fold, before and after calibration.
    ece_if_perfect : float or None
        What exact probabilities would measure, as the error is biased upwards.
    unknown : float or None
        Confidence below which an answer is "unknown".
    coverage, accepted_accuracy : float or None
        Share of answers that pass it out of fold, and share of right ones among these.
    """

    target: str
    task: Task
    labels: tuple[str, ...]
    head: str
    settings: Mapping[str, Any]
    scale: bool
    examples: int
    licence: str
    commercial: bool
    training_ids_sha256: str
    notes: tuple[str, ...] = ()
    calibrated: bool = False
    ece_before: float | None = None
    ece: float | None = None
    ece_if_perfect: float | None = None
    unknown: float | None = None
    coverage: float | None = None
    accepted_accuracy: float | None = None


Estimator: TypeAlias = Pipeline | CalibratedClassifier | CalibratedTagger


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A fitted head, the card of the encoder it needs, and the facts of its making.

    Examples
    --------
    See :func:`segue.workflows.fit`.
    """

    card: EncoderCard
    facts: ModelFacts
    estimator: Estimator

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Scores (n, labels), higher is likelier; None for regression.

        Probabilities where the facts say ``calibrated``.
        """
        for method in ("predict_proba", "decision_function"):
            if self.facts.task != "regression" and hasattr(self.estimator, method):
                values = np.asarray(getattr(self.estimator, method)(X), dtype=np.float64)
                if values.ndim == 1:  # two classes: one margin, for the second
                    values = np.stack([-values, values], axis=1)
                return values
        return None

    def save(self, path: str | Path) -> Path:
        """Write the model file.

        Raises
        ------
        StoreError
            When it cannot be written.
        """
        from skops.io import dumps

        head = dumps(self.estimator)
        facts = {
            "format": FORMAT,
            "segue": __version__,
            "card": self.card.to_json(),
            "facts": asdict(self.facts),
            "head_sha256": hashlib.sha256(head).hexdigest(),
        }
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(FACTS, json.dumps(facts, indent=1, default=_plain))
            archive.writestr(HEAD, head)
        path = Path(path)
        if path.is_dir():
            raise UsageError(
                wanted="a file name for the model",
                got="a folder",
                fix="Name a file in it, such as genre.segue",
                source=path,
            )
        write_atomically(path, content.getvalue())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model file; nothing in it can run code.

        Raises
        ------
        ModelError
            Not a model file, damaged, too large, of another format, or holding types that a head
            of segue never has.
        UsageError
            It must not be used commercially where that was asked for.
        """
        path = Path(path)
        parts = _read_parts(path)
        try:
            facts = json.loads(parts[FACTS])
            version, card = facts["format"], EncoderCard.from_json(facts["card"])
            values = checked_fields(ModelFacts, facts["facts"])
            digest = facts["head_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise _not_a_model(path, f"{FACTS} with {type(error).__name__}: {error}") from error
        if version not in READS or digest != hashlib.sha256(parts[HEAD]).hexdigest():
            raise _not_a_model(path, f"format {version}, or a head that does not match its digest")
        values["labels"], values["notes"] = tuple(values["labels"]), tuple(values["notes"])
        check_rights(card, path)
        return cls(card, ModelFacts(**values), _load_head(path, parts[HEAD]))


def _plain(value: Any) -> Any:
    """NumPy numbers as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a model file")


def _not_a_model(path: Path, got: str) -> ModelError:
    return ModelError(
        wanted="a model file that `segue fit` wrote",
        got=got,
        fix="Check the path, or fit it again",
        source=path,
    )


def _read_parts(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {item.filename: item.file_size for item in archive.infolist()}
            if sorted(sizes) != sorted(MAX_BYTES):
                raise _not_a_model(path, f"a zip file with {sorted(sizes)[:5]}")
            for name, limit in MAX_BYTES.items():
                if sizes[name] > limit:
                    raise _not_a_model(path, f"{name} of {sizes[name]} bytes, over {limit}")
            return {name: archive.read(name) for name in MAX_BYTES}
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _not_a_model(path, f"{type(error).__name__}: {error}") from error


def _load_head(path: Path, content: bytes) -> Estimator:
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        head = loads(content, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ModelError(
            wanted="a head made of scikit-learn's and segue's own estimators",
            got=str(error).splitlines()[0],
            fix="Do not trust this file; fit the model again",
            source=path,
        ) from error
    except Exception as error:  # skops raises whatever a damaged archive provokes
        raise _not_a_model(path, f"a head that cannot be read ({type(error).__name__})") from error
    if not isinstance(head, Pipeline | CalibratedClassifier | CalibratedTagger):
        raise _not_a_model(path, f"a head that is a {type(head).__name__}")
    return head
