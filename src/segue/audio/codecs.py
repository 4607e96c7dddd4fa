"""What the two decoders can read on this machine."""

from __future__ import annotations

# what music is kept in; FFmpeg decodes some hundred more
CODECS = (
    *("aac", "ac3", "alac", "amrnb", "ape", "atrac3", "cook", "dca", "eac3", "flac", "mp2", "mp3"),
    *("mpc8", "opus", "speex", "tta", "vorbis", "wavpack", "wmalossless", "wmapro", "wmav2"),
)


def decoders() -> dict[str, str]:
    """Versions of libsndfile and FFmpeg, the formats of one and the music codecs of the other.

    Examples
    --------
    >>> sorted(decoders())
    ['ffmpeg', 'libsndfile']
    """
    import av
    import soundfile

    formats = ", ".join(sorted(soundfile.available_formats()))
    avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    codecs = ", ".join(name for name in CODECS if name in av.codecs_available)
    return {
        "libsndfile": f"{soundfile.__libsndfile_version__}: {formats}",
        "ffmpeg": f"libavcodec {avcodec}: {codecs}",
    }
