"""Change of sampling rate with soxr's high-quality filter: all at once, or block by block."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import NDArray

from segue.errors import UsageError

_QUALITY = "HQ"  # 20-bit precision: its error is below that of 16-bit files


def checked_rate(rate: int, what: str = "rate") -> int:
    """`rate` as a plain int, or a UsageError unless it is a positive whole number of hertz."""
    try:
        hertz = operator.index(rate)
    except TypeError:
        hertz = 0
    if hertz <= 0:
        raise UsageError(
            wanted=f"{what} as a positive whole number of hertz",
            got=repr(rate),
            fix="Pass a sampling rate such as 12000",
        )
    return hertz


def resample(samples: NDArray[np.floating], rate_from: int, rate_to: int) -> NDArray[np.float32]:
    """Resample mono samples with soxr HQ.

    Parameters
    ----------
    samples : ndarray of float, shape (n,)
    rate_from, rate_to : int
        Sampling rates in hertz. When they are equal and `samples` is float32 already, `samples`
        itself comes back, not a copy.

    Returns
    -------
    ndarray of float32, shape (round(n * rate_to / rate_from),)

    Raises
    ------
    UsageError
        A rate is not a positive integer, or `samples` is not one-dimensional.

    Examples
    --------
    >>> resample(np.zeros(44100, np.float32), 44100, 12000).shape
    (12000,)
    """
    rate_from = checked_rate(rate_from, "rate_from")
    rate_to = checked_rate(rate_to, "rate_to")
    if samples.ndim != 1:
        raise UsageError(
            wanted="mono samples of shape (n,)",
            got=f"shape {samples.shape}",
            fix="Mix them with segue.audio.mono first",
        )
    samples = samples.astype(np.float32, copy=False)
    if rate_from == rate_to:
        return samples
    import soxr

    resampled: NDArray[np.float32] = soxr.resample(
        np.ascontiguousarray(samples), rate_from, rate_to, quality=_QUALITY
    )
    return resampled


class Resampler:
    """`resample` for samples that arrive in pieces: one filter state over the whole stretch.

    The pieces joined equal what `resample` makes of the joined input, wherever it was cut.
    """

    def __init__(self, rate_from: int, rate_to: int) -> None:
        self._stream = None
        if rate_from != rate_to:
            import soxr

            self._stream = soxr.ResampleStream(
                rate_from, rate_to, 1, dtype="float32", quality=_QUALITY
            )

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give samples in, take out those that are ready; shapes (n,) and (m,), m may be 0."""
        if self._stream is None:
            return samples
        ready: NDArray[np.float32] = self._stream.resample_chunk(samples)
        return ready

    def finish(self) -> NDArray[np.float32]:
        """Take out what the filter still holds, shape (m,), once the input has ended."""
        nothing = np.empty(0, np.float32)
        if self._stream is None:
            return nothing
        rest: NDArray[np.float32] = self._stream.resample_chunk(nothing, last=True)
        return rest
