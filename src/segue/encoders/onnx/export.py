"""Encoders to ONNX files."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segue.encoders.onnx.checks import INPUT, KEY, MAX_BYTES, OUTPUT, Facts
from segue.encoders.onnx.library import library, session
from segue.encoders.protocol import Encoder, Samples, fit_length
from segue.errors import ModelError, UsageError
from segue.files import write_atomically
from segue.seeds import generator

OPSET = 18
TOLERANCE = 1e-4  # of the largest feature, or of 1


def export_encoder(encoder: Encoder, path: str | Path) -> Path:
    """Write front end and network as one graph: samples (1, n) in, features (1, dim) out.

    n is any length where the encoder takes clips as they are, and the excerpt's where it repeats
    shorter ones. Samples are float32, mono, at the card's rate; the card stands in the file's
    metadata as JSON. The graph is run before it is written: it must give the encoder's features.

    Parameters
    ----------
    encoder : Encoder
    path : path

    Returns
    -------
    Path
        That of the file.

    Raises
    ------
    UsageError
        There is no graph of this encoder, or the extra is not installed.
    ModelError
        The graph gives other features than the encoder.
    StoreError
        It cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from segue.encoders import encoder
    >>> path = export_encoder(encoder("random-convnet@1"), Path(tempfile.mkdtemp()) / "net.onnx")
    >>> encoder(f"onnx:{path}").card.dim
    32
    """
    onnx = library("onnx")
    for name in ("onnxscript", "onnxruntime"):
        library(name)
    module = encoder.graph()
    if module is None:
        raise UsageError(
            wanted="an encoder whose whole way is a graph: a convnet, mfcc, melstats, a folder of "
            "`segue pretrain`, or a tagger that hears whole excerpts or patches of frames",
            got=encoder.card.label,
            fix="Export one of these",
        )
    clips = _clips(encoder)
    model = _traced(copy.deepcopy(module).cpu().eval(), clips[0], encoder)
    shape = [1, encoder.card.dim]  # the exporter does not always find it out
    given = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(given)
    facts = Facts(card=encoder.card, widths=encoder.widths, fixed=None)
    onnx.helper.set_model_props(model, {KEY: facts.to_json()})
    content: bytes = model.SerializeToString()
    if len(content) > MAX_BYTES:
        raise UsageError(
            wanted=f"a graph of {MAX_BYTES} bytes at most",
            got=f"{len(content)} bytes",
            fix="Export a smaller encoder",
        )
    _check_agreement(content, clips, encoder)
    return Path(str(write_atomically(Path(path), content)))


def _clips(encoder: Encoder) -> list[Samples]:
    """Noise of the lengths that the encoder hears: a full chunk, and short ones."""
    excerpt, rate = encoder.card.excerpt, encoder.card.rate
    size = round(excerpt.seconds * rate)
    noise = generator(0, "onnx export").normal(0.0, 0.1, size).astype(np.float32)
    if excerpt.short == "tile":
        return [noise, fit_length(noise[: size // 3], size, excerpt)]
    return [noise, noise[: size // 7], noise[: max(1, round(excerpt.min_seconds * rate))]]


def _traced(module: torch.nn.Module, clip: Samples, encoder: Encoder) -> Any:
    excerpt = encoder.card.excerpt
    shapes = None
    if excerpt.short == "as-is":
        least = max(2, round(excerpt.min_seconds * encoder.card.rate))
        shapes = ({1: torch.export.Dim("n", min=least, max=len(clip))},)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (torch.from_numpy(clip)[None],),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's words on its own insides; what matters is checked with the graph."""
    root = logging.getLogger("torch.onnx")
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)


def _check_agreement(content: bytes, clips: list[Samples], encoder: Encoder) -> None:
    run = session(content)
    for clip in clips:
        ours = encoder.encode_chunks([clip])
        (theirs,) = run.run([OUTPUT], {INPUT: clip[None]})
        worst = np.abs(ours - theirs).max() / max(1.0, float(np.abs(ours).max()))
        if theirs.shape != ours.shape or not worst <= TOLERANCE:
            raise ModelError(
                wanted=f"a graph that gives the features of {encoder.card.label}",
                got=f"others, by {worst:.2g}, of {len(clip)} samples",
                fix="Report this, with the versions that `segue doctor` prints",
            )
