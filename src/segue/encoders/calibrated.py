"""Frozen statistics of the convnets: measured once on a named reference set, kept as numbers.

Neither a published network whose batch statistics were never stored nor a random one has defined
features for a single clip. ``tools/calibrate.py`` runs the reference set through the network once;
the few hundred numbers it finds are committed beside this module and named in every card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray

from segue.audio.frontends import preset
from segue.card import EncoderCard, ExcerptSpec, canonical_json
from segue.encoders.convnet import LAYERS, MAPS, ConvNet, ConvNetEncoder
from segue.encoders.weights import load, source, tensor_digest
from segue.errors import WeightsError
from segue.seeds import generator

CITATION = (
    "Choi et al., Transfer learning for music classification and regression tasks, ISMIR 2017"
)
RANDOM_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What one batch of a whole reference set gives a convnet.

    Attributes
    ----------
    reference_set : str
        Which clips, in words.
    clips : int
    reference_db : float
        Loudest mel band of the set; the front end's 0 dB.
    means, variances : tuple of tuple of float
        Input statistics of the batch normalisation, 32 a layer.
    """

    reference_set: str
    clips: int
    reference_db: float
    means: tuple[tuple[float, ...], ...]
    variances: tuple[tuple[float, ...], ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers."""
        numbers = {"db": self.reference_db, "means": self.means, "variances": self.variances}
        return hashlib.sha256(canonical_json(numbers).encode()).hexdigest()

    def apply(self, network: ConvNet) -> None:
        """Freeze these statistics into a network, in place."""
        statistics = zip(network.batch_norms(), self.means, self.variances, strict=True)
        for norm, mean, variance in statistics:
            norm.load_state_dict(
                {"running_mean": torch.tensor(mean), "running_var": torch.tensor(variance)},
                strict=False,
            )


def read_calibration(name: str) -> Calibration:
    """The committed calibration of an encoder.

    Raises
    ------
    WeightsError
        When it is absent or not of the right shape.

    Examples
    --------
    >>> len(read_calibration("random-convnet").means)
    5
    """
    file = resources.files("segue.encoders").joinpath("calibration", f"{name}.json")
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        means, variances = np.array(facts["means"]), np.array(facts["variances"])
        shapes = {means.shape, variances.shape}
        if shapes != {(len(LAYERS), MAPS)}:
            raise ValueError(f"shapes {shapes}")
        return Calibration(
            reference_set=facts["reference_set"],
            clips=facts["clips"],
            reference_db=facts["reference_db"],
            means=tuple(map(tuple, facts["means"])),
            variances=tuple(map(tuple, facts["variances"])),
        )
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            wanted=f"the calibration of {name}",
            got=f"{type(error).__name__}: {error}",
            fix="Install segue again, or run tools/calibrate.py",
        ) from error


def published_network() -> tuple[ConvNet, str]:
    """The convnet of Choi et al. with its pulled weights, not yet calibrated, and their digest."""
    tensors = load("choi2017-msd")
    network = ConvNet()
    body = {name: torch.from_numpy(values) for name, values in tensors.items()}
    del body["tags.weight"], body["tags.bias"]  # the 50-tag output is not a feature
    _fill(network, body)
    return network, tensor_digest(tensors)


def random_network(seed: int = RANDOM_SEED) -> tuple[ConvNet, str]:
    """The same network with He's normal initialisation (ref. 21 of the paper), and its digest."""
    network = ConvNet()
    draws = generator(seed, "random-convnet")
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, values in network.state_dict().items():
        if name.startswith("convolutions") and name.endswith("weight"):
            spread = np.sqrt(2.0 / values[0].numel())
            tensors[name] = draws.normal(0.0, spread, tuple(values.shape)).astype(np.float32)
        elif name.startswith("convolutions"):
            tensors[name] = np.zeros(tuple(values.shape), np.float32)
    _fill(network, {name: torch.from_numpy(values) for name, values in tensors.items()})
    return network, tensor_digest(tensors)


def _fill(network: ConvNet, tensors: Mapping[str, torch.Tensor]) -> None:
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    # a network whose batch normalisation keeps its initial scale 1 and shift 0 is meant so
    lost = [name for name in missing if name.startswith("convolutions")]
    if lost or unexpected:
        raise WeightsError(
            wanted="tensors that fit the five-layer convnet",
            got=f"missing {lost}, unexpected {unexpected}",
            fix="Pull the weights again",
        )


def choi2017_msd(
    *, layers: tuple[int, ...] = LAYERS, chunks: int | None = 1, device: str = "cpu"
) -> ConvNetEncoder:
    """The published convnet (trained on MSD tags), with frozen statistics.

    Raises
    ------
    WeightsError
        When its weights were never pulled.
    """
    network, digest = published_network()
    where = source("choi2017-msd")
    return _calibrated(
        network,
        name="choi2017-msd",
        digest=digest,
        layers=layers,
        chunks=chunks,
        device=device,
        description="Five-layer convnet trained to tag the Million Song Dataset; mean of each "
        "layer's maps",
        training_data="201,680 preview clips of the Million Song Dataset, 50 last.fm tags",
        licence=f"{where.licence} ({where.repository})",
    )


def random_convnet(
    *, layers: tuple[int, ...] = LAYERS, chunks: int | None = 1, device: str = "cpu"
) -> ConvNetEncoder:
    """The same network untrained: what the structure alone is worth."""
    network, digest = random_network()
    return _calibrated(
        network,
        name="random-convnet",
        digest=digest,
        layers=layers,
        chunks=chunks,
        device=device,
        description="The convnet of Choi et al. 2017 with random weights (control)",
        training_data="none",
        licence="MIT",
    )


def _calibrated(
    network: ConvNet,
    *,
    name: str,
    digest: str,
    layers: tuple[int, ...],
    chunks: int | None,
    device: str,
    description: str,
    training_data: str,
    licence: str,
) -> ConvNetEncoder:
    calibration = read_calibration(name)
    calibration.apply(network)
    card = EncoderCard(
        name=name,
        version=1,
        dim=MAPS * len(layers),
        front_end=replace(preset("choi2017"), reference_db=calibration.reference_db),
        excerpt=ExcerptSpec(seconds=29.0, chunks=chunks, short="tile"),
        layers=layers,
        weights_sha256=digest,
        calibration_sha256=calibration.digest,
        description=description,
        licence=licence,
        training_data=f"{training_data}; statistics frozen from {calibration.reference_set}",
        citation=CITATION,
    )
    return ConvNetEncoder(card, network, device=device)
