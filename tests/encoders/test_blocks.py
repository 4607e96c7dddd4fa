"""Block-level features against a literal NumPy computation, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from segue.encoders.blocks import (
    BANDS,
    CONTRAST,
    CORRELATION,
    DELTA,
    FLUCTUATION,
    FRAME_RATE,
    MODULATIONS,
    RISES,
    SPECTRAL,
    block_dim,
    block_features,
    block_patterns,
    pool_bands,
)
from segue.encoders.melblocks import MelBlocksEncoder
from segue.errors import UsageError
from segue.seeds import generator


def some_frames(t: int = 1292, d: int = 20, seed: int = 0) -> np.ndarray:
    steps = generator(seed, "frames").standard_normal((t, d))
    return np.cumsum(steps, axis=0) * 0.1 + generator(seed, "noise").standard_normal((t, d))


def patterns(frames: np.ndarray, **options: object) -> dict[str, np.ndarray]:
    found = block_patterns(torch.from_numpy(frames), **options)  # type: ignore[arg-type]
    return {name: values.numpy() for name, values in found.items()}


def starts(t: int, size: int, hop: int) -> range:
    return range(0, t - size + 1, hop)


def test_spectral_patterns_are_percentiles_of_sorted_blocks() -> None:
    frames = some_frames(200, 6)
    blocks = [np.sort(frames[s : s + 10].T, axis=1) for s in starts(200, 10, 5)]
    expected = np.percentile(blocks, 90, axis=0)
    np.testing.assert_allclose(patterns(frames)["spectral"], expected.ravel(), atol=1e-12)


def test_delta_patterns_are_of_rises_over_three_frames() -> None:
    frames = some_frames(200, 6)
    rises = np.maximum(0.0, frames[3:] - frames[:-3])
    blocks = np.array([np.sort(rises[s : s + 25].T, axis=1)[:, -14:] for s in starts(197, 25, 5)])
    found = patterns(frames)
    np.testing.assert_allclose(
        found["delta"], np.percentile(blocks, 90, axis=0).ravel(), atol=1e-12
    )
    np.testing.assert_allclose(found["variance_delta"], blocks.var(axis=0).ravel(), atol=1e-12)


def test_correlations_are_medians_of_pearsons_r() -> None:
    frames = some_frames(600, 5)
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    blocks = [
        [pearsonr(frames[s : s + 256, i], frames[s : s + 256, j]).statistic for i, j in pairs]
        for s in starts(600, 256, 128)
    ]
    np.testing.assert_allclose(
        patterns(frames)["correlation"], np.median(blocks, axis=0), atol=1e-10
    )


def test_contrast_is_the_span_of_sub_bands() -> None:
    frames = some_frames(130, 60)
    spans = np.stack([np.ptp(frames[:, 3 * k : 3 * k + 3], axis=1) for k in range(20)], axis=1)
    blocks = [np.sort(spans[s : s + 40].T, axis=1) for s in starts(130, 40, 20)]
    np.testing.assert_allclose(
        patterns(frames)["contrast"], np.percentile(blocks, 10, axis=0).ravel(), atol=1e-12
    )


@pytest.mark.parametrize("hertz", [1.0, 2.0, 4.0, 8.0])
def test_fluctuation_peaks_at_the_tempo_of_its_band(hertz: float) -> None:
    """One band pulses: its row, and no other, shows the pulse, at its frequency."""
    time = np.arange(1292) / FRAME_RATE
    frames = np.zeros((1292, 5))
    frames[:, 2] = np.sin(2 * np.pi * hertz * time)
    found = patterns(frames, ordered=False)["fluctuation"].reshape(5, MODULATIONS)
    assert np.allclose(np.delete(found, 2, axis=0), 0)
    scale = 0.5 * 20 ** (np.arange(MODULATIONS) / (MODULATIONS - 1))
    # undo the weight: 4 Hz is heard most (Pampalk)
    peak = scale[(found[2] * (scale / 4 + 4 / scale)).argmax()]
    assert abs(np.log2(peak / hertz)) < 0.15
    blurred = patterns(frames)["fluctuation"].reshape(5, MODULATIONS)
    np.testing.assert_allclose(blurred[2], found[2] / 2)
    np.testing.assert_allclose(blurred[1], found[2] / 4)
    np.testing.assert_allclose(blurred[4], 0)


def test_four_hertz_count_most() -> None:
    time = np.arange(1292) / FRAME_RATE
    strongest = [
        patterns(np.sin(2 * np.pi * hertz * time)[:, None])["fluctuation"].max()
        for hertz in (1.0, 4.0, 9.0)
    ]
    assert strongest[1] == max(strongest)


@pytest.mark.parametrize("d", [1, 2, 3, 49, 50, 51, 100, 200])
def test_dimension_depends_on_width_only(d: int) -> None:
    sizes = {len(block_features(torch.rand(t, d))) for t in (1, 3, 4, 300, 700)}
    assert sizes == {block_dim(d)}


@pytest.mark.parametrize("t", [1, 2, 3, 4, 9, 10, 11, 27, 28, 29, 255, 256, 511, 512])
def test_short_clips_have_finite_features_of_their_own(t: int) -> None:
    found = block_features(torch.from_numpy(some_frames(t, 8)))
    assert torch.isfinite(found).all()
    assert not torch.equal(found, block_features(torch.from_numpy(some_frames(t, 8, seed=1))))


def test_a_short_clip_is_repeated() -> None:
    frames = some_frames(7, 4)
    again = np.concatenate([frames, frames[:3]])
    np.testing.assert_array_equal(patterns(frames)["spectral"], patterns(again)["spectral"])


def test_silence_has_no_rises_no_fluctuation_and_no_correlation() -> None:
    found = patterns(np.full((1292, 30), -11.512925))
    for name in ("delta", "variance_delta", "correlation", "contrast"):
        assert (found[name] == 0).all(), name
    # rounding in the transform of a constant; the lowest frequencies are read beside it
    assert np.abs(found["fluctuation"]).max() < 1e-12
    assert (found["spectral"] == -11.512925).all()


def test_a_constant_band_correlates_with_nothing() -> None:
    frames = some_frames(600, 4)
    frames[:, 1] = 3.3
    found = patterns(frames)["correlation"]
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert [bool(r) for r in found] == [1 not in pair for pair in pairs]


def test_patterns_hear_what_they_are_for() -> None:
    """Steady sound and the same frames in any order share a spectral pattern, not the rest."""
    frames = some_frames(1280, 10)
    steady, shuffled = patterns(frames), patterns(frames[generator(1, "order").permutation(1280)])
    louder = patterns(frames + 1.0)
    np.testing.assert_allclose(louder["spectral"], steady["spectral"] + 1.0)
    for name in ("delta", "variance_delta", "correlation", "contrast", "fluctuation"):
        np.testing.assert_allclose(louder[name], steady[name], atol=1e-9)
    assert shuffled["delta"].mean() > 1.2 * steady["delta"].mean()


def test_without_level_a_louder_clip_is_the_same_and_a_fade_is_none() -> None:
    frames = some_frames(600, 10)
    flat = patterns(frames, remove_level=True)
    fade = np.linspace(-3, 0, 600)[:, None]
    for louder in (frames + 1.0, frames + fade):
        for name, values in patterns(louder, remove_level=True).items():
            np.testing.assert_allclose(values, flat[name], atol=1e-9)
    assert np.abs(patterns(frames + fade)["spectral"] - patterns(frames)["spectral"]).max() > 0.1


def test_wide_frames_are_averaged_over_neighbours() -> None:
    frames = torch.from_numpy(some_frames(20, 200))
    pooled = pool_bands(frames, BANDS)
    assert pooled.shape == (20, 50)
    torch.testing.assert_close(pooled[:, 7], frames[:, 28:32].mean(dim=1))
    uneven = pool_bands(frames[:, :101], 50)  # every dimension counts once
    widths = [len(range(i * 101 // 50, (i + 1) * 101 // 50)) for i in range(50)]
    assert sum(widths) == 101
    torch.testing.assert_close(
        (uneven * torch.tensor(widths)).sum(dim=1), frames[:, :101].sum(dim=1)
    )


def test_block_sizes_are_those_of_the_publication() -> None:
    sizes = [(b.size, b.hop, b.percentile) for b in (SPECTRAL, DELTA, FLUCTUATION, CORRELATION)]
    assert sizes == [(10, 5, 0.9), (25, 5, 0.9), (512, 128, 0.6), (256, 128, 0.5)]
    assert (CONTRAST.size, CONTRAST.hop, CONTRAST.percentile, RISES) == (40, 20, 0.1, 14)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5,), (1, 5, 5)])
def test_no_frames_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"frames \(t, d\)"):
        block_features(torch.zeros(shape))


def test_nan_frames_stay_nan() -> None:
    """Nothing is invented: extraction refuses features that are not finite."""
    frames = torch.from_numpy(some_frames(600, 4))
    frames[300, 2] = torch.nan
    assert torch.isnan(block_features(frames)).any()


def test_encoder_is_deterministic_and_says_its_size() -> None:
    encoder = MelBlocksEncoder()
    chunk = generator(0, "chunk").standard_normal(22050 * 3).astype(np.float32)
    first, again = encoder.encode_chunks([chunk, chunk])
    np.testing.assert_array_equal(first, again)
    assert first.shape == (encoder.card.dim,)
    assert first.dtype == np.float32
