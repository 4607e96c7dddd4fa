"""The only room that opens audio: files to mono samples at a known rate.

soundfile, soxr and PyAV are imported when the first file is decoded, not before.
"""

from segue.audio.decode import AUDIO_SUFFIXES, check_samples, load, probe, stream
from segue.audio.resample import resample
from segue.audio.samples import Audio, AudioInfo, mono

__all__ = [
    "AUDIO_SUFFIXES",
    "Audio",
    "AudioInfo",
    "check_samples",
    "load",
    "mono",
    "probe",
    "resample",
    "stream",
]
