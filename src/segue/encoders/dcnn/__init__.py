"""The convnets of Kim et al. 2018 (Table 2): a network per task, or one that tasks share.

A second of music goes in. What is kept as its features is the last hidden layer of every network,
one after the other; what a network says of its own task is an output beside.
"""

from segue.encoders.dcnn.encoder import (
    SAID,
    DcnnEncoder,
    dcnn_encoder,
    dcnn_network,
    dcnn_shapes,
    dcnn_tensors,
)
from segue.encoders.dcnn.network import Block, Dcnn, dropped, in_use
from segue.encoders.dcnn.segments import begins, whole
from segue.encoders.dcnn.spec import (
    CITATION,
    EXCERPT,
    FRONT_END,
    MARK,
    SEGMENT,
    WIDTHS,
    DcnnSpec,
    Sharing,
)

__all__ = [
    "CITATION",
    "EXCERPT",
    "FRONT_END",
    "MARK",
    "SAID",
    "SEGMENT",
    "WIDTHS",
    "Block",
    "Dcnn",
    "DcnnEncoder",
    "DcnnSpec",
    "Sharing",
    "begins",
    "dcnn_encoder",
    "dcnn_network",
    "dcnn_shapes",
    "dcnn_tensors",
    "dropped",
    "in_use",
    "whole",
]
