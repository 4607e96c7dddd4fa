"""What a file's first and last bytes say: who should decode it, and how long it claims to be.

libsndfile clamps its frame count to the bytes that are there, so a truncated WAV looks complete
to it, and FFmpeg does not tell a declared length from one it guessed from the bit rate.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

HEAD_BYTES = 64

_SOUNDFILE_MAGIC = (b"fLaC", b"OggS", b".snd", b"dns.", b"caff", b"Creative Voice", b"NIST_1A")
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
# Writers to a pipe leave a placeholder in the 32-bit size field, at or near its largest value.
_PLACEHOLDER = 0x7FFFF000
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def soundfile_knows(head: bytes) -> bool:
    """Whether the first bytes are the signature of a format libsndfile decodes well.

    The check comes before libsndfile sees the file. Left to itself it takes any content for raw
    samples when the name ends in .au, .snd, .vox or .gsm, and runs libmpg123 over anything whose
    name ends in .mp3. MPEG audio is left to PyAV on purpose: the libmpg123 inside libsndfile
    writes to stderr on damaged or cut files with no way to switch that off, short of redirecting
    the whole process's stderr, and where an mp3 of variable bit rate has no Xing header,
    libsndfile silently drops everything past a guessed length (half the music, in our test).
    """
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return head[8:12] == b"WAVE"
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV")
    return head.startswith(_SOUNDFILE_MAGIC) or head.startswith(_W64_RIFF)


def declared_data(file: BinaryIO) -> tuple[int, int] | None:
    """Where a PCM container's sample data begin, and how many bytes its header declares.

    Returns
    -------
    (int, int) or None
        Offset and size in bytes for WAV, RF64, Wave64, AIFF, SVX, AU, CAF, VOC and NIST; None for
        other formats, and where the header leaves the size open.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head[:4] in (b"RIFF", b"RIFX"):
        return _find_chunk(file, b"data", ">" if head[3:4] == b"X" else "<")
    if head[:4] in (b"RF64", b"BW64"):
        found = _find_chunk(file, b"data", "<", unlimited=True)
        # layout of the ds64 chunk, always the first: RIFF size, data size, sample count
        return (found[0], struct.unpack_from("<Q", head, 28)[0]) if found else None
    if head[:4] == b"FORM":
        return _find_chunk(file, b"SSND" if head[8:11] == b"AIF" else b"BODY", ">")
    if head[:4] == b".snd":
        offset, size = struct.unpack_from(">II", head, 4)
        return (offset, size) if size < _PLACEHOLDER else None
    if head.startswith(_W64_RIFF):
        return _find_w64_data(file)
    if head[:4] == b"caff":
        return _find_caf_data(file)
    if head.startswith(b"Creative Voice"):
        return _find_voc_data(file)
    if head.startswith(b"NIST_1A"):
        return _nist_data(file)
    return None


def _find_chunk(
    file: BinaryIO, name: bytes, order: str, *, unlimited: bool = False
) -> tuple[int, int] | None:
    end = file.seek(0, os.SEEK_END)
    position = 12
    while position + 8 <= end:
        file.seek(position)
        header = file.read(8)
        size = struct.unpack(f"{order}I", header[4:])[0]
        if header[:4] == name:
            return (position + 8, size) if unlimited or size < _PLACEHOLDER else None
        position += 8 + size + size % 2
    return None


def _find_w64_data(file: BinaryIO) -> tuple[int, int] | None:
    end = file.seek(0, os.SEEK_END)
    position = 40
    while position + 24 <= end:
        file.seek(position)
        header = file.read(24)
        size = struct.unpack("<Q", header[16:])[0]  # counts its own 24-byte header
        if header[:16] == _W64_DATA:
            return position + 24, size - 24
        position += max(24, size + -size % 8)
    return None


def _find_caf_data(file: BinaryIO) -> tuple[int, int] | None:
    end = file.seek(0, os.SEEK_END)
    position = 8
    while position + 12 <= end:
        file.seek(position)
        header = file.read(12)
        size = struct.unpack(">q", header[4:])[0]
        if header[:4] == b"data":
            return (position + 12, size) if size >= 0 else None  # -1: to the end of the file
        position += 12 + max(0, size)
    return None


def _find_voc_data(file: BinaryIO) -> tuple[int, int] | None:
    """From the first block of samples to the end of the last; text and repeats may lie between."""
    end = file.seek(0, os.SEEK_END)
    file.seek(20)
    begin = stop = None
    position = int.from_bytes(file.read(2), "little")
    while position + 4 <= end:
        file.seek(position)
        kind, *size = file.read(4)
        if kind == 0:
            break
        position += 4
        if kind in (1, 2, 9):  # samples, more of them, samples with a long header
            begin = position if begin is None else begin
            stop = position + int.from_bytes(bytes(size), "little")
        position += int.from_bytes(bytes(size), "little")
    return None if begin is None or stop is None else (begin, stop - begin)


def _nist_data(file: BinaryIO) -> tuple[int, int] | None:
    file.seek(0)
    lines = file.read(1024).decode("latin-1").split("\n")
    fields = {words[0]: words[2] for line in lines if len(words := line.split()) == 3}
    try:
        begin = int(lines[1])
        size = int(fields["sample_count"]) * int(fields["sample_n_bytes"])
        return begin, size * int(fields.get("channel_count", "1"))
    except (ValueError, KeyError, IndexError):
        return None


def declared_mp3_seconds(file: BinaryIO) -> float | None:
    """Length that an mp3's Xing, Info or VBRI header declares, in seconds; None without one."""
    file.seek(_id3_end(file))
    head = file.read(8192)
    start = _first_mpeg_header(head)
    if start is None:
        return None
    frame = head[start:]
    version, rate_index = frame[1] >> 3 & 3, frame[2] >> 2 & 3
    rate = (44100, 48000, 32000)[rate_index] >> (0, 1, 2)[(3, 2, 0).index(version)]
    per_frame = 1152 if version == 3 else 576
    is_mono = frame[3] >> 6 == 3
    # the header sits where the first frame's side information would end
    side = (17 if is_mono else 32) if version == 3 else (9 if is_mono else 17)
    xing, vbri = frame[4 + side :], frame[36:]
    frames = 0
    if xing[:4] in (b"Xing", b"Info") and len(xing) >= 12 and xing[7] & 1:
        frames = struct.unpack_from(">I", xing, 8)[0]
    elif vbri[:4] == b"VBRI" and len(vbri) >= 18:
        frames = struct.unpack_from(">I", vbri, 14)[0]
    return frames * per_frame / rate if frames else None


def declared_asf_seconds(file: BinaryIO) -> float | None:
    """Length that the header of a wma or wmv declares, in seconds; None for a live stream.

    FFmpeg's own number cannot be used: in a truncated file it is a guess from the size left.
    """
    file.seek(0)
    head = file.read(65536)
    start = head.find(_ASF_FILE_PROPERTIES)
    if start < 0 or len(head) < start + 92:
        return None
    play, _, preroll, flags = struct.unpack_from("<QQQI", head, start + 64)
    is_broadcast = flags & 1
    return None if is_broadcast else max(0.0, play / 1e7 - preroll / 1e3)


def _id3_end(file: BinaryIO) -> int:
    """Offset of the first byte after any ID3v2 tags."""
    position = 0
    while True:
        file.seek(position)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            return position
        size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]  # seven bits to a byte
        position += 10 + size + (10 if tag[5] & 0x10 else 0)


def _first_mpeg_header(head: bytes) -> int | None:
    """Offset of the first plausible layer III frame header in `head`."""
    for start in range(len(head) - 4):
        if head[start] != 0xFF:
            continue
        second, third = head[start + 1], head[start + 2]
        is_layer3 = second & 0xE6 == 0xE2 and second >> 3 & 3 != 1
        if is_layer3 and third >> 4 not in (0, 15) and third >> 2 & 3 != 3:
            return start
    return None


class OggEnd(NamedTuple):
    """How an Ogg file ends.

    Attributes
    ----------
    complete : bool
        The last page is all there and marked as the end of its stream.
    chained : bool
        The last page belongs to another stream than the first: several streams one after the
        other (or side by side), of which libsndfile would decode the first alone.
    last_page_begins : int
        Number of the sample with which the last page begins (for Vorbis); 0 if not known.
    """

    complete: bool
    chained: bool
    last_page_begins: int


def ogg_end(file: BinaryIO) -> OggEnd:
    """Read the last two pages of an Ogg file."""
    file.seek(0)
    first_serial = file.read(18)[14:18]
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 3 * 65536))  # a page is at most 65307 bytes
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    if start < 0 or len(page) < 27:
        return OggEnd(complete=False, chained=False, last_page_begins=0)
    lacing = page[27 : 27 + page[26]]
    whole = len(page) >= 27 + page[26] + sum(lacing)
    before = tail.rfind(b"OggS", 0, start)
    # each page states the number of the sample with which it ends, -1 if no packet ends in it
    begins = struct.unpack_from("<q", tail, before + 6)[0] if before >= 0 else 0
    return OggEnd(whole and bool(page[5] & 4), page[14:18] != first_serial, max(0, begins))
