"""Encoders as ONNX files: front end and network in one graph that takes samples.

``segue models export`` writes such a file, other programs can run it, and ``onnx:FILE`` is an
encoder. Needs ``pip install 'segue[onnx]'``, which is loaded only when a file is written or opened.
"""

from segue.encoders.onnx.encoder import Graph, OnnxEncoder, open_graph
from segue.encoders.onnx.export import export_encoder

__all__ = ["Graph", "OnnxEncoder", "export_encoder", "open_graph"]
