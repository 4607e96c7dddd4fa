"""Kinds of networks that an encoder folder can hold: what each hears, its tensors, its encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from segue.card import EncoderCard
from segue.encoders import convnet, dcnn, joint
from segue.encoders.convnet import LAYERS, MAPS, ConvNet, ConvNetEncoder
from segue.encoders.dcnn import DcnnSpec
from segue.encoders.joint import JointSpec
from segue.encoders.protocol import Encoder

Tensors = dict[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """What a kind of network needs to be opened.

    Attributes
    ----------
    layers : tuple of int
        Layers that can be asked for; empty where there is one output.
    dim : callable
        (card, layers) -> number of features.
    expected : callable
        A folder's card -> what it must be, with the architecture's own values in the place of
        all that decides a feature and is not a folder's own; ValueError where it makes no sense.
    shapes : callable
        (card, number of tags) -> the shape of every tensor.
    build : callable
        (card, tensors, tags, device) -> encoder.
    said : tuple of str
        Tensors that only say tags: no feature depends on them, so the card's digest leaves them
        out.
    """

    layers: tuple[int, ...]
    dim: Callable[[EncoderCard, tuple[int, ...]], int]
    expected: Callable[[EncoderCard], EncoderCard]
    shapes: Callable[[EncoderCard, int], Shapes]
    build: Callable[[EncoderCard, Tensors, tuple[str, ...], str], Encoder]
    said: tuple[str, ...] = ()

    def deciding(self, tensors: Tensors) -> Tensors:
        """The tensors that features depend on."""
        return {name: values for name, values in tensors.items() if name not in self.said}


def _convnet_dim(card: EncoderCard, layers: tuple[int, ...]) -> int:
    return MAPS * len(layers)


def _convnet_card(card: EncoderCard) -> EncoderCard:
    level = card.front_end.reference_db  # that of the music it was trained on
    return replace(
        card,
        layers=LAYERS,
        dim=_convnet_dim(card, LAYERS),
        settings=(),
        front_end=replace(convnet.FRONT_END, reference_db=level),
        excerpt=convnet.EXCERPT,
    )


def _convnet_shapes(card: EncoderCard, tags: int) -> Shapes:
    body = {
        f"body.{name}": tuple(values.shape)
        for name, values in ConvNet().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    return {**body, "tags.weight": (tags, MAPS), "tags.bias": (tags,)}


def _convnet(card: EncoderCard, tensors: Tensors, tags: tuple[str, ...], device: str) -> Encoder:
    network = ConvNet()
    body = {
        name.removeprefix("body."): torch.from_numpy(values)
        for name, values in tensors.items()
        if name.startswith("body.")
    }
    network.load_state_dict(body, strict=False)  # every name was checked against the shapes
    says = tensors["tags.weight"], tensors["tags.bias"]
    return ConvNetEncoder(card, network, tag_names=tags, says=says, device=device)


def _joint_dim(card: EncoderCard, layers: tuple[int, ...]) -> int:
    return JointSpec.of(card).width


def _joint_card(card: EncoderCard) -> EncoderCard:
    spec = JointSpec.of(card)
    own = replace(card, layers=(), dim=spec.width)
    # what another encoder's vectors hear is compared with that encoder when it is built
    return own if spec.base else replace(own, front_end=joint.FRONT_END, excerpt=joint.EXCERPT)


def _joint(card: EncoderCard, tensors: Tensors, tags: tuple[str, ...], device: str) -> Encoder:
    # these know this list of architectures, so they can only be asked from here when needed
    from segue.encoders.folders import check_base
    from segue.encoders.registry import encoder

    base = None
    if named := JointSpec.of(card).base:
        check_base(named)
        base = encoder(named, device=device)
    return joint.joint_encoder(card, tensors, tags, device, base)


def _dcnn_dim(card: EncoderCard, layers: tuple[int, ...]) -> int:
    return DcnnSpec.of(card).dim


def _dcnn_card(card: EncoderCard) -> EncoderCard:
    spec = DcnnSpec.of(card)
    return replace(
        card,
        layers=(),
        dim=spec.dim,
        settings=spec.settings(),
        front_end=dcnn.FRONT_END,
        excerpt=dcnn.EXCERPT,
    )


ARCHITECTURES: Mapping[str, Architecture] = {
    "convnet": Architecture(
        layers=LAYERS,
        dim=_convnet_dim,
        expected=_convnet_card,
        shapes=_convnet_shapes,
        build=_convnet,
    ),
    "warp": Architecture(
        layers=(),
        dim=_joint_dim,
        expected=_joint_card,
        shapes=joint.joint_shapes,
        build=_joint,
        said=(joint.LABELS,),
    ),
    "dcnn": Architecture(
        layers=(),
        dim=_dcnn_dim,
        expected=_dcnn_card,
        shapes=dcnn.dcnn_shapes,
        build=dcnn.dcnn_encoder,
        said=dcnn.SAID,
    ),
}
