r"""Measure the frozen statistics of the convnets on a reference set and write them to the package.

    python tools/calibrate.py src/segue/demo/corpus/manifest.csv \
        --name "segue's demo corpus (120 rendered clips)"

writes src/segue/encoders/calibration/{choi2017-msd,random-convnet}.json, as they are committed: the
0 dB level, and mean and variance of every map before its normalisation, as one batch of the whole
set would give them. The weights of choi2017-msd must have been pulled.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segue.audio import load
from segue.audio.frontends import FrontEnd, preset
from segue.card import ExcerptSpec
from segue.datasets import Manifest
from segue.encoders.calibrated import published_network, random_network
from segue.encoders.convnet import calibrate
from segue.encoders.protocol import split

OUT = Path(__file__).parent.parent / "src/segue/encoders/calibration"
NETWORKS = {"choi2017-msd": published_network, "random-convnet": random_network}


def decibels(manifest: Manifest) -> list[Tensor]:
    """Mel frames (1360, 96) in dB of every clip, neither referred to a level nor floored."""
    spec = preset("choi2017")
    front_end = FrontEnd(replace(spec, floor_db=None))
    excerpt = ExcerptSpec(seconds=29.0, short="tile")
    frames = []
    for track in manifest.tracks():
        audio = load(track.path, rate=spec.rate, start=track.start, duration=29.0)
        samples = np.ascontiguousarray(split(audio.samples, audio.rate, excerpt)[0])
        with torch.inference_mode():
            frames.append(front_end(torch.from_numpy(samples)[None])[0])
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--name", required=True, help="the reference set in words, for the cards")
    arguments = parser.parse_args()
    frames = decibels(Manifest.read(arguments.manifest))
    reference = max(float(clip.max()) for clip in frames)
    floor = preset("choi2017").floor_db

    clips = [(clip - reference).clamp(min=floor)[None] for clip in frames]
    for name, build in NETWORKS.items():
        network, _ = build()
        calibrate(network, clips)
        facts = {
            "reference_set": arguments.name,
            "clips": len(frames),
            "reference_db": reference,
            "means": [norm.state_dict()["running_mean"].tolist() for norm in network.batch_norms()],
            "variances": [
                norm.state_dict()["running_var"].tolist() for norm in network.batch_norms()
            ],
        }
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
