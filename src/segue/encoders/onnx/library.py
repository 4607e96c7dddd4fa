"""The libraries of ONNX: imported when they are needed; sessions that run a graph."""

from __future__ import annotations

from functools import partial
from typing import Any

from segue.encoders import extras
from segue.errors import UsageError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


library = partial(extras.library, extra="onnx", purpose="ONNX files need")


def session(model: bytes, device: str = "cpu") -> Any:
    """What runs a graph on a device, with one thread: workers are processes.

    Raises
    ------
    UsageError
        ONNX Runtime has nothing for this device here.
    Exception
        Of ONNX Runtime, which has no common ancestor: the graph cannot be run.
    """
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return runtime.InferenceSession(model, options, providers=_providers(runtime, device))


def _providers(runtime: Any, device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return [CPU]
    there = runtime.get_available_providers()
    if kind != "cuda" or CUDA not in there:
        raise UsageError(
            wanted=f"an ONNX Runtime that can use {device}",
            got=f"one for {', '.join(there)}",
            fix="Use --device cpu, or install onnxruntime-gpu in the place of onnxruntime",
        )
    # full single precision, as everywhere
    return [(CUDA, {"device_id": number or "0", "use_tf32": "0"}), CPU]
