"""What is believed of an ONNX file: nothing before it was read within limits and looked through.

A file that segue wrote holds one graph of certain standard operators with all tensors inside, and
segue's card. Anything else is refused: a graph can name other files (external data) and operators
that somebody else's library would run, loop without end, or draw random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue.card import EncoderCard, canonical_json
from segue.encoders.folder_checks import WORDS, check_words
from segue.encoders.onnx.library import library
from segue.errors import ModelError, UsageError, WeightsError
from segue.files import read_bounded

FORMAT = 1
KEY = "segue"
INPUT, OUTPUT = "samples", "features"
MAX_BYTES = 512 * 2**20
MAX_FACTS = 2**20  # characters of the card and what else is said of the graph
MAX_SAMPLES = 2**24  # of an excerpt: six minutes at 44.1 kHz
MAX_DIM = 2**20
STANDARD = ("", "ai.onnx")
_OPERATORS = """
    Abs Add And AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div
    Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherND Gemm GlobalAveragePool Greater
    GreaterOrEqual Identity LSTM LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max
    MaxPool Min Mod Mul Neg Not Or Pad Pow Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceSum ReduceSumSquare Relu Reshape Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum
    Tanh Tile Transpose Unsqueeze Where
"""
# What encoders are exported to, and their like: each ends, and gives the same for the same input.
OPERATORS = frozenset(_OPERATORS.split())


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a checked file says of its graph.

    Attributes
    ----------
    card : EncoderCard
        Of the encoder that was exported.
    widths : dict of int to int
        Numbers of each of the card's layers, in order; empty without layers.
    fixed : int or None
        The only number of samples that the graph takes; None: any.
    """

    card: EncoderCard
    widths: dict[int, int]
    fixed: int | None

    def to_json(self) -> str:
        """As the file keeps it; ``fixed`` is the graph's own."""
        widths = [[layer, width] for layer, width in self.widths.items()]
        return canonical_json({"format": FORMAT, "card": self.card.to_json(), "widths": widths})


def read_model(path: Path) -> bytes:
    """The bytes of a file, never more than ``MAX_BYTES``.

    Raises
    ------
    WeightsError
    """
    try:
        return read_bounded(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise not_one(path, getattr(error, "strerror", None) or str(error)) from error


def checked(content: bytes, path: Path) -> Facts:
    """What an ONNX file says of itself, looked through before anything of it is run.

    Raises
    ------
    WeightsError
        Damaged, not segue's, with external data or operators of others.
    """
    onnx = library("onnx")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own kinds
        raise not_one(path, f"a damaged file ({error})") from error
    try:
        _check_contained(onnx, model)
        facts = _facts(model)
        fixed = _check_shapes(onnx, model, facts["card"])
        return Facts(card=facts["card"], widths=facts["widths"], fixed=fixed)
    except (LookupError, TypeError, ValueError, RecursionError, ModelError, UsageError) as error:
        raise not_one(path, str(error)) from error


def _check_contained(onnx: Any, model: Any) -> None:
    """Refuse what would reach outside of the file, and graphs within the graph."""
    if model.functions or model.training_info:
        raise ValueError("functions or training graphs, which segue does not write")
    foreign = {one.domain for one in model.opset_import} - set(STANDARD)
    foreign |= {node.domain for node in model.graph.node} - set(STANDARD)
    if foreign:
        raise ValueError(f"operators of {', '.join(sorted(foreign))!r:.80}, not of ONNX alone")
    unknown = {node.op_type for node in model.graph.node} - OPERATORS
    if unknown:
        raise ValueError(
            f"operators that no encoder of segue needs: {', '.join(sorted(unknown)):.80}"
        )
    # looked at wherever it is: a branch may have no nodes, only tensors
    if any(
        attribute.HasField("g") or attribute.graphs
        for node in model.graph.node
        for attribute in node.attribute
    ):
        raise ValueError("graphs within the graph")
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in _tensors(model.graph)):
        raise ValueError("tensors in other files")


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _facts(model: Any) -> dict[str, Any]:
    """Card and widths that the file keeps beside its graph."""
    kept = [one.value for one in model.metadata_props if one.key == KEY]
    if len(kept) != 1:
        raise ValueError("an ONNX file without segue's card")
    if len(kept[0]) > MAX_FACTS:
        raise ValueError(f"a card of more than {MAX_FACTS} characters")
    facts = json.loads(kept[0])
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError("a card of another version of segue")
    card = EncoderCard.from_json(facts["card"])
    for word in (*WORDS, "name"):
        check_words(getattr(card, word), word)
    if not isinstance(card.commercial, bool):
        raise ValueError(f"commercial {card.commercial!r:.80}, which is not true or false")
    for what, number, most in (
        ("dim", card.dim, MAX_DIM),
        ("rate", card.rate, 2**20),
        ("window", card.front_end.n_fft, 2**20),
    ):
        if type(number) is not int or not 1 <= number <= most:
            raise ValueError(f"{what} {number!r:.80}")
    for what, seconds in (
        ("seconds", card.excerpt.seconds),
        ("min_seconds", card.excerpt.min_seconds),
    ):
        if type(seconds) not in (int, float) or not 0 < seconds <= MAX_SAMPLES / card.rate:
            raise ValueError(f"{what} {seconds!r:.80}")
    if card.excerpt.short not in ("tile", "as-is"):
        raise ValueError(f"short {card.excerpt.short!r:.80}")
    return {"card": card, "widths": _widths(facts["widths"], card)}


def _widths(pairs: Any, card: EncoderCard) -> dict[int, int]:
    widths: dict[int, int] = dict(pairs)
    numbers = [*widths, *widths.values()]
    if any(type(one) is not int or one < 1 for one in numbers):
        raise ValueError("layers or widths that are no numbers")
    if tuple(widths) != card.layers or (widths and sum(widths.values()) != card.dim):
        raise ValueError("widths that are not those of the card's layers")
    return widths


def _check_shapes(onnx: Any, model: Any, card: EncoderCard) -> int | None:
    """The number of samples that the graph takes; None: any."""
    names = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in names]
    if [one.name for one in inputs] != [INPUT] or [o.name for o in model.graph.output] != [OUTPUT]:
        raise ValueError(f"a graph that is not of {INPUT} in, {OUTPUT} out")
    for one in (*inputs, *model.graph.output):
        if one.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise ValueError(f"{one.name} that are not float32")
    dims = inputs[0].type.tensor_type.shape.dim
    if len(dims) != 2 or dims[0].dim_value != 1:
        raise ValueError(f"{INPUT} of another shape than (1, n)")
    fixed = dims[1].dim_value or None
    size = round(card.excerpt.seconds * card.rate)
    if fixed != (size if card.excerpt.short == "tile" else None):
        raise ValueError(f"a graph of {fixed or 'any'} samples for excerpts of {size}")
    out = [one.dim_value for one in model.graph.output[0].type.tensor_type.shape.dim]
    if out != [1, card.dim]:
        raise ValueError(f"{OUTPUT} of shape {out} for {card.dim}")
    return fixed


def not_one(path: Path, got: str) -> WeightsError:
    """That a file is no encoder, and why; what the file made us say is shown escaped."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in got[:500])
    return WeightsError(
        wanted="an encoder as an ONNX file",
        got=shown,
        fix="Name a file that `segue models export` wrote",
        source=path,
    )
