"""Song-level descriptors: what each of their numbers is, and the encoder that computes them."""

from segue.encoders.descriptors.encoder import DescriptorEncoder, descriptor_names

__all__ = ["DescriptorEncoder", "descriptor_names"]
