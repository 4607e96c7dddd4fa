"""What the two decoders can read on this machine."""

from __future__ import annotations


def decoders() -> dict[str, str]:
    """Version and formats of libsndfile, version of FFmpeg's codecs.

    Examples
    --------
    >>> sorted(decoders())
    ['ffmpeg', 'libsndfile']
    """
    import av
    import soundfile

    formats = ", ".join(sorted(soundfile.available_formats()))
    avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "libsndfile": f"{soundfile.__libsndfile_version__}: {formats}",
        "ffmpeg": f"libavcodec {avcodec}",
    }
