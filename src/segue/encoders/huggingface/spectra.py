"""Networks that hear log-mel spectra of a fixed length: Whisper, CLAP, AST.

Spectra are computed here, on the device of the network, as the feature extractors of transformers
do; tests hold them to it. Those extractors cannot be used as they are: CLAP's draws at random, and
AST's gives other numbers where torchaudio is installed.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue.audio.frontends import FrontEnd, hz_to_mel
from segue.card import FrontEndSpec
from segue.encoders.huggingface.facts import Facts
from segue.encoders.huggingface.hearing import RATES, Hearing, first, positions
from segue.errors import UsageError

TOP_HZ = 8000.0  # of Whisper's mel filters, whatever the rate


class Whisper(Hearing):
    """Log-mel frames of 30 s (as the extractor says), the rest of them silence.

    Two frames make a position; only positions within the chunk count.

    Radford et al., "Robust speech recognition via large-scale weak supervision", 2022.

    Parameters
    ----------
    extractor : Facts
    bands, source_positions : int
        Of the network.
    """

    def __init__(self, extractor: Facts, *, bands: int, source_positions: int) -> None:
        super().__init__()
        rate = extractor.whole("sampling_rate", *RATES)
        hop = extractor.whole("hop_length", 1, 10_000, default=160)
        window = extractor.whole("chunk_length", 1, 120, default=30)
        if extractor.number("dither", 0.0):
            raise UsageError(
                wanted="a feature extractor without chance",
                got="one that adds noise (dither)",
                fix="Set dither to 0 in a copy of the model's folder",
                source=extractor.source,
            )
        self.length, self.step, self.source_positions = window * rate, 2 * hop, source_positions
        extractor.whole("feature_size", bands, bands, default=80)
        if self.length != source_positions * self.step:
            raise extractor.unusable(
                f"chunk_length of {source_positions} positions of {self.step} samples",
                f"{self.length} samples",
            )
        self.seconds = float(window)
        self.spec = FrontEndSpec(
            rate=rate,
            n_fft=extractor.whole("n_fft", 16, 65_536, default=400),
            hop=hop,
            n_mels=bands,
            f_max=TOP_HZ,
            pad="reflect",
        )
        self.mel = FrontEnd(self.spec)

    def forward(self, samples: Tensor) -> Tensor:
        """Frames (bands, t): log10, at most 8 below the loudest, scaled."""
        whole = nn.functional.pad(samples, (0, self.length - len(samples)))
        level = cast(Tensor, self.mel(whole[None])[0, :-1]) / 10
        return (torch.maximum(level, level.amax() - 8) / 4 + 1).T

    def counting(self, length: int) -> Tensor:
        """Positions within the chunk."""
        return first(positions(length, self.step), self.source_positions)


class Clap(Hearing):
    """Log-mel frames of 10 s (as the extractor says); a shorter chunk is repeated, as published.

    No chunk is longer than that, so nothing is ever cropped at random. For the same reason the
    fused models' second path, for longer sounds, is not used: transformers opens it for one sound
    of a batch drawn at random.

    Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and
    keyword-to-caption augmentation", ICASSP 2023.

    Parameters
    ----------
    extractor : Facts
    bands, frames : int
        Of the network: at most so many frames.
    fused : bool
    """

    def __init__(self, extractor: Facts, *, bands: int, frames: int, fused: bool) -> None:
        super().__init__()
        rate = extractor.whole("sampling_rate", *RATES)
        hop = extractor.whole("hop_length", 1, 10_000, default=480)
        window = extractor.whole("max_length_s", 1, 120, default=10)
        filters = extractor.choice("truncation", ("fusion", "rand_trunc"), "fusion")
        self.padding = extractor.choice("padding", ("repeatpad", "repeat", "pad"), "repeatpad")
        if fused != (filters == "fusion"):
            raise extractor.unusable(f"truncation for a network with fusion {fused}", filters)
        self.length = window * rate
        extractor.whole("feature_size", bands, bands, default=64)
        if self.length // hop + 1 > frames:
            raise extractor.unusable(
                f"at most {frames} frames of {hop} samples", f"{self.length} samples"
            )
        low = extractor.number("frequency_min", 0.0)
        high = extractor.number("frequency_max", 14_000.0)
        if not 0 <= low < high:
            raise extractor.unusable("frequency_min below frequency_max", f"{low} and {high}")
        self.seconds = float(window)
        self.spec = FrontEndSpec(
            rate=rate,
            n_fft=extractor.whole("fft_window_size", 16, 65_536, default=1024),
            hop=hop,
            n_mels=bands,
            mel_scale="htk" if fused else "slaney",
            mel_norm=None if fused else "slaney",
            f_min=low,
            f_max=high,
            pad="reflect",
        )
        self.settings = (("padding", self.padding),)
        self.mel = FrontEnd(self.spec)

    def forward(self, samples: Tensor) -> Tensor:
        """Frames (1, t, bands) in dB."""
        if self.padding == "repeat":
            samples = samples.repeat(positions(self.length, len(samples)))[: self.length]
        elif self.padding == "repeatpad":
            samples = samples.repeat(self.length // len(samples))
        whole = nn.functional.pad(samples, (0, self.length - len(samples)))
        return cast(Tensor, self.mel(whole[None]))


class Ast(Hearing):
    """Kaldi's log-mel frames, as many as the network takes (10.24 s), scaled; the rest are zeros.

    Only patches count that begin within the chunk: neither those of the padding, nor the two
    tokens that stand for the class.

    Gong, Chung and Glass, "AST: Audio spectrogram transformer", Interspeech 2021.

    Parameters
    ----------
    extractor : Facts
    bands, frames, patch, across, along : int
        Of the network: mel bands, frames, size of a patch, its steps in bands and in frames.
    """

    window: Tensor
    filters: Tensor
    SIZE, HOP, N_FFT = 400, 160, 512  # samples: 25 and 10 ms at its 16 kHz
    FLOOR = 1.192092955078125e-07

    def __init__(
        self, extractor: Facts, *, bands: int, frames: int, patch: int, across: int, along: int
    ) -> None:
        super().__init__()
        rate = extractor.whole("sampling_rate", 16_000, 16_000)
        extractor.whole("num_mel_bins", bands, bands, default=128)
        extractor.whole("max_length", frames, frames, default=1024)
        self.frames, self.along = frames, along
        self.rows = (bands - patch) // across + 1
        self.columns = (frames - patch) // along + 1
        normalised = extractor.flag("do_normalize", default=True)
        self.mean = extractor.number("mean", -4.2677393) if normalised else 0.0
        self.scale = 2 * extractor.number("std", 4.5689974) if normalised else 1.0
        if self.scale == 0:
            raise extractor.unusable("a deviation (std) other than 0", "0")
        self.seconds, self.least = frames * self.HOP / rate, self.SIZE
        self.spec = FrontEndSpec(
            rate=rate,
            n_fft=self.N_FFT,
            hop=self.HOP,
            n_mels=bands,
            mel_scale="htk",
            mel_norm=None,
            f_min=20.0,
            log="ln",
            amin=self.FLOOR,
        )
        self.settings = (("frames", "kaldi"), ("normalised", int(normalised)))
        self.register_buffer(
            "filters", torch.from_numpy(kaldi_filters(self.spec)), persistent=False
        )
        window = torch.hann_window(self.SIZE, periodic=False)
        self.register_buffer("window", window, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Frames (t, bands)."""
        cut = samples.unfold(0, self.SIZE, self.HOP)[: self.frames].double()
        cut = cut - cut.mean(dim=1, keepdim=True)
        before = torch.cat([cut[:, :1], cut[:, :-1]], dim=1)
        power = torch.fft.rfft((cut - 0.97 * before) * self.window, self.N_FFT).abs().square()
        level = (power @ self.filters).clamp(min=self.FLOOR).log().float()
        whole = nn.functional.pad(level, (0, 0, 0, self.frames - len(level)))
        return (whole - self.mean) / self.scale

    def counting(self, length: int) -> Tensor:
        """Patches that begin within the chunk, of all bands."""
        frames = 1 + (max(length, self.SIZE) - self.SIZE) // self.HOP
        heard = first(positions(frames, self.along), self.columns)
        return torch.cat([first(0, 2), heard.repeat(self.rows)])


def kaldi_filters(spec: FrontEndSpec) -> NDArray[np.float64]:
    """Triangles in mel (n_fft // 2 + 1, n_mels), where others are triangles in hertz.

    Examples
    --------
    >>> spec = FrontEndSpec(rate=16000, n_fft=512, hop=160, n_mels=128, f_min=20.0)
    >>> kaldi_filters(spec).shape
    (257, 128)
    """
    bins = hz_to_mel(np.linspace(0.0, spec.rate / 2, spec.n_fft // 2 + 1), "htk")[:, None]
    ends = hz_to_mel(np.array([spec.f_min, spec.rate / 2]), "htk")
    edges = np.linspace(ends[0], ends[1], spec.n_mels + 2)
    step = edges[1] - edges[0]
    rising, falling = (bins - edges[:-2]) / step, (edges[2:] - bins) / step
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters
