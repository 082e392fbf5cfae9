"""Whether a JPEG is whole: its end, its scans, and whether the last scan reaches the last block.

A JPEG is a row of segments (ISO/IEC 10918-1, annex B): a marker FF xx, a length, a content. Behind a start of scan come
entropy-coded bytes, in which FF is followed by 00 or by a restart marker, up to the next segment. Decoders forgive
almost everything: what is missing becomes grey, without an error. Needs no pixels but for `is_filled`.
"""

import io
import re
import struct
from collections import defaultdict

from PIL import Image

END = b"\xff\xd9"
SCAN = 0xDA
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
COEFFICIENTS = 64  # of a block
# A marker that ends entropy-coded bytes: not a stuffed FF (00), a restart (D0 to D7) or one more FF.
NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
FILLER = bytes(range(1, 255))  # decodes to something else than nothing, whatever the tables are


class BrokenImageError(ValueError):
    """Says what is wrong with an image file, as the end of 'got a PNG ...'."""


def find_end(content: bytes) -> int:
    """Return where the end marker of a JPEG begins; data may stand behind it (a phone's motion picture, padding).

    Raises:
        BrokenImageError: There is none, a segment leads out of the file, or a scan is missing without which a part of
            the picture is not there.
    """
    position, components = 2, 0
    missing: dict[int, list[int]] = defaultdict(lambda: [1] * COEFFICIENTS)  # 0 where known to the last bit
    while True:
        marker, position = _next_marker(content, position)
        if marker == END[1]:
            break
        segment = content[position + 2 : position + _length(content, position)]
        position += _length(content, position)
        if marker in FRAMES and len(segment) > 5:
            components = segment[5]
        elif marker == SCAN:
            _note_scan(segment, missing)
            found = NEXT_MARKER.search(content, position)
            if found is None:
                raise BrokenImageError("whose end is missing")
            position = found.start()
    if not components or len(missing) < components or any(map(any, missing.values())):
        raise BrokenImageError("whose last scans are missing")
    return position - 2


def _next_marker(content: bytes, position: int) -> tuple[int, int]:
    """Return the marker at a position, before which FF may be repeated, and the position behind it."""
    if content[position : position + 1] != b"\xff":
        raise BrokenImageError("whose end is missing" if position >= len(content) else "that is damaged inside")
    while content[position : position + 1] == b"\xff":
        position += 1
    if position >= len(content):
        raise BrokenImageError("whose end is missing")
    return content[position], position + 1


def _length(content: bytes, position: int) -> int:
    """Return the length of the segment whose length stands at a position."""
    if position + 2 > len(content):
        raise BrokenImageError("whose end is missing")
    length = struct.unpack_from(">H", content, position)[0]
    if length < 2 or position + length > len(content):
        raise BrokenImageError("whose end is missing")
    return length


def _note_scan(segment: bytes, missing: dict[int, list[int]]) -> None:
    """Note which coefficients of which components are there to the last bit after a scan."""
    count = segment[0] if segment else 0
    if len(segment) < 4 + 2 * count:
        raise BrokenImageError("that is damaged inside")
    first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
    for component in segment[1 : 1 + 2 * count : 2]:
        for coefficient in range(first, min(last, COEFFICIENTS - 1) + 1):
            missing[component][coefficient] = bits & 15  # the low bits that this scan leaves to later ones


def is_filled(content: bytes, end: int) -> bool:
    """Say whether the last scan stops before the last block, which decoders then fill with grey.

    If so, more bytes behind it change the picture. To see that, the picture is decoded twice. Not noticed: a cut within
    the last block.

    Args:
        content: The file.
        end: Where the end marker begins, see `find_end`.

    Raises:
        OSError: It cannot be decoded.
    """
    scans = content[:end].rstrip(b"\xff")  # which may stand before any marker
    return _decode(scans + END) != _decode(scans + FILLER + END)


def _decode(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        return image.tobytes()
