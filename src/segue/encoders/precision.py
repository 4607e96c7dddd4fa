"""Arithmetic as exact as float32 is, on any device: of networks in training and in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Convolutions and products of float32 in float32.

    Torch lets NVIDIA GPUs round the factors of a convolution to 10 bits (TF32) unless told
    otherwise.

    Examples
    --------
    >>> with full_float32():
    ...     torch.backends.cudnn.allow_tf32
    False
    """
    convolutions = torch.backends.cudnn.allow_tf32
    products = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products
