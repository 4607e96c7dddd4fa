"""The networks as modules: a second of frames in, features or one task's logits out."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from segue.encoders.dcnn.spec import FRONT_END, LAYERS, UNITS, DcnnSpec, Layer

DROPOUT = 0.5
EPSILON = 1e-4  # of batch normalisation, as in the library of the released code


def dropped(values: Tensor, share: float) -> Tensor:
    """Dropout; torch's own takes twice the time on a CPU, as it draws in double precision.

    Examples
    --------
    >>> sorted(dropped(torch.ones(100), 0.5).unique().tolist())
    [0.0, 2.0]
    """
    kept = torch.rand_like(values, dtype=torch.float32).ge_(share).div_(1.0 - share)
    return values * kept.to(values.dtype)


class Block(nn.Module):
    """Convolution, batch normalisation where the layer has one, max-pooling, ELU, dropout.

    ELU never decreases, so pooling first gives the same with less work.
    """

    def __init__(self, layer: Layer, inputs: int, maps: int) -> None:
        super().__init__()
        # a bias would be taken away again by the normalisation
        self.convolution = nn.Conv2d(
            inputs, maps, layer.kernel, padding=layer.kernel // 2, bias=not layer.norm
        )
        self.norm = nn.BatchNorm2d(maps, eps=EPSILON) if layer.norm else None
        self.pool = layer.pool
        self.dropout = layer.dropout

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, maps, frequency, time) of maps (b, inputs, frequency, time)."""
        maps = self.convolution(maps)
        if self.norm is not None:
            maps = self.norm(maps)
        if self.pool != (1, 1):
            maps = nn.functional.max_pool2d(maps, self.pool)
        maps = nn.functional.elu(maps)
        return dropped(maps, self.dropout) if self.training and self.dropout else maps


class Body(nn.Module):
    """All that follows the first block, down to the last hidden layer."""

    def __init__(self, spec: DcnnSpec) -> None:
        super().__init__()
        maps = [spec.scaled(layer.maps) for layer in LAYERS]
        self.blocks = nn.ModuleList(
            Block(layer, inputs, outputs)
            for layer, inputs, outputs in zip(LAYERS[1:], maps[:-1], maps[1:], strict=True)
        )
        self.pooled = nn.BatchNorm1d(maps[-1], eps=EPSILON)
        self.dense = nn.Linear(maps[-1], spec.scaled(UNITS), bias=False)
        self.norm = nn.BatchNorm1d(spec.scaled(UNITS), eps=EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        """Features (b, units) of the first block's maps (b, maps, frequency, time)."""
        for block in self.blocks:
            maps = block(maps)
        means = self.pooled(maps.mean(dim=(2, 3)))
        return nn.functional.elu(self.norm(self.dense(means)))


class Dcnn(nn.Module):
    """The networks of all tasks: a second of frames in, features or one task's logits out.

    Parameters
    ----------
    spec : DcnnSpec

    Attributes
    ----------
    shift, scale : (bands,) tensors
        Frames x are heard as (x - shift) * scale.
    stems : sequence of Block
        The first block: one, or one per task.
    bodies : sequence of Body
        What follows it: one, or one per task.
    outputs : sequence of Linear
        One per task.

    References
    ----------
    Kim et al. 2018, Table 2 (the depth of 1 after its first convolution is a slip: it is 16).

    Examples
    --------
    >>> network = Dcnn(DcnnSpec(tasks=(("g", 16), ("m", 40)))).eval()
    >>> frames = torch.zeros(2, 43, 128)
    >>> network(frames, task=1).shape, network.features(frames).shape
    (torch.Size([2, 40]), torch.Size([2, 512]))
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, spec: DcnnSpec) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("shift", torch.zeros(FRONT_END.bins))
        self.register_buffer("scale", torch.ones(FRONT_END.bins))
        stems = len(spec.tasks) if spec.sharing == "none" else 1
        self.stems = nn.ModuleList(
            Block(LAYERS[0], 1, spec.scaled(LAYERS[0].maps)) for _ in range(stems)
        )
        self.bodies = nn.ModuleList(Body(spec) for _ in range(spec.bodies))
        self.outputs = nn.ModuleList(
            nn.Linear(spec.scaled(UNITS), outputs) for _, outputs in spec.tasks
        )

    def forward(self, frames: Tensor, task: int = 0) -> Tensor:
        """Logits (b, outputs) of one task, of frames (b, t, bands)."""
        maps = _own(self.stems, task)(self._standard(frames))
        features = _own(self.bodies, task)(maps)
        if self.training:
            features = dropped(features, DROPOUT)
        logits: Tensor = self.outputs[task](features)
        return logits

    def features(self, frames: Tensor) -> Tensor:
        """Features (b, dim) of frames (b, t, bands): those of all bodies, in the tasks' order."""
        standard = self._standard(frames)
        maps = [stem(standard) for stem in self.stems]
        parts = [body(maps[min(n, len(maps) - 1)]) for n, body in enumerate(self.bodies)]
        return torch.cat(parts, dim=1)

    def said(self, features: Tensor) -> list[Tensor]:
        """Logits [(b, outputs)] of all tasks, of features (b, dim)."""
        parts = features.chunk(len(self.bodies), dim=1)
        return [
            output(parts[min(task, len(parts) - 1)]) for task, output in enumerate(self.outputs)
        ]

    def _standard(self, frames: Tensor) -> Tensor:
        """Maps (b, 1, bands, t)."""
        return ((frames - self.shift) * self.scale).transpose(1, 2).unsqueeze(1)


def _own(modules: nn.ModuleList, task: int) -> nn.Module:
    return modules[task if len(modules) > 1 else 0]


@lru_cache(maxsize=64)
def blank(spec: DcnnSpec) -> Dcnn:
    """Networks of shapes alone: their tensors take no memory."""
    with torch.device("meta"):
        return Dcnn(spec)


def in_use(network: Dcnn) -> Dcnn:
    """The network in evaluation mode, its kernels laid out as a processor wants them."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
