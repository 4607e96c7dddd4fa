"""Samples to vectors: one protocol, one explicit registry."""

from segue.encoders.protocol import Encoder
from segue.encoders.registry import ENCODERS, Entry, encoder, entry, parse_layers

__all__ = ["ENCODERS", "Encoder", "Entry", "encoder", "entry", "parse_layers"]
