"""What the two decoders can read on this machine."""

from __future__ import annotations

from functools import cache

from segue.audio.samples import AudioInfo

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


def decoder_of(info: AudioInfo) -> str:
    """What decoded a file, with its version: another one may give other samples.

    Examples
    --------
    >>> info = AudioInfo(rate=8000, channels=1, seconds=1.0, container="WAV", codec="PCM_16",
    ...                  decoder="soundfile")
    >>> decoder_of(info).startswith("libsndfile ")
    True
    """
    return _versions()[info.decoder]


@cache
def _versions() -> dict[str, str]:
    import av
    import soundfile

    avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {
        "soundfile": f"libsndfile {soundfile.__libsndfile_version__}",
        "pyav": f"pyav {av.__version__}, libavcodec {avcodec}",
    }
