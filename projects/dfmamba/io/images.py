"""Image files as the data sets load them: which formats, of which size, whole or cut short.

Formats are known by content, whatever the name of a file is: PNG, JPEG, BMP and WebP, which OpenCV reads. Two depths of
looking, because a data set looks at millions of files:

`check_image_file` costs about 0.1 ms: it reads the header, and the end of a PNG or JPEG. It notices files of another
format, too large or too small ones, and those that lack their end: but not data that stand behind the end, as phones
and download tools leave them.

`check_image_content` costs two or three times the decoding. It also notices damage inside, and a half JPEG to which
somebody (a repair tool, a camera that lost power) has added an end mark: decoders fill the rest with grey and say
nothing. `check_decoded_image` notices this at loading from the picture, nearly for free; but not for a progressive JPEG
that ends in its last scan, nor for one in CMYK.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfmamba.errors import DataError
from dfmamba.io.jpeg import END, BrokenImageError, find_end, is_filled
from dfmamba.io.regular_files import open_regular, read_bytes

IMAGE_FORMATS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "BMP": b"BM", "WEBP": b"RIFF"}  # how they begin
LOSSLESS_FORMATS = ("PNG", "BMP")
MAX_IMAGE_PIXELS = 64_000_000  # 12 times the largest picture of the five data sets; 192 MB as 8-bit RGB
MIN_IMAGE_SIDE = 8  # px; less holds no hand
MAX_IMAGE_BYTES = 2**29  # of a file
ORIENTATION_TAG = 0x0112
TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations with rows in place of columns
FILLED = 128  # of all channels, where a JPEG says nothing
PNG_END = b"IEND\xaeB`\x82"  # with the checksum

# Other files that come in place of images, by how they begin; two of them by what stands at byte 4 or 8.
OTHER_FORMATS = {
    b"GIF8": "a GIF",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"8BPS": "a Photoshop file",
    b"version https://git-lfs": "a pointer of Git LFS, whose file was not fetched",
    b"<!doctype html": "a web page (HTML)",
    b"<html": "a web page (HTML)",
    b"<?xml": "an XML",
    b"<svg": "an SVG",
    b"{": "a JSON text",
    b"\x93NUMPY": "a numpy array",
    b"\x1aE\xdf\xa3": "a Matroska video",
    b"\x89HDF": "an HDF5 file",
}
BOXED_FORMATS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"avif": "AVIF"}  # in 'ftyp' boxes; else MP4


class ImageError(DataError):
    """Says why an image file cannot be used.

    Attributes:
        reason: Under which such files are counted where they are skipped.
    """

    reason = "image cut short, damaged or of an unknown format"


class ImageSizeError(ImageError):
    """Says that an image has another size than the annotations belong to."""

    reason = "image of another size"


class ImageHeader(NamedTuple):
    """What the header of an image file says.

    Attributes:
        kind: One of `IMAGE_FORMATS`.
        width, height: In px, as OpenCV and mmcv load colour images: turned as the EXIF orientation says.
        orientation: 1 to 8, the EXIF orientation; 1 means as it is.
        progressive: Whether it is a progressive JPEG.
    """

    kind: str
    width: int
    height: int
    orientation: int
    progressive: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.width, self.height


def read_image_header(path: str | Path) -> ImageHeader:
    """Read the header of a PNG, JPEG, BMP or WebP; nothing is decoded.

    Raises:
        OSError: There is no such file, or it may not be read.
        ImageError: It is no such picture, or its size is out of `MIN_IMAGE_SIDE` and `MAX_IMAGE_PIXELS`.
    """
    with _open(path) as file:
        return _read_header(path, file)


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height in px, see `read_image_header`."""
    return read_image_header(path).size


def check_image_file(path: str | Path) -> ImageHeader:
    """Read the header, and refuse a PNG or JPEG that was written or fetched by half; see the module's text.

    Raises:
        OSError: There is no such file, or it may not be read.
        ImageError: As `read_image_header`, or the end is not there.
    """
    with _open(path) as file:
        header = _read_header(path, file)
        if header.kind in ("PNG", "JPEG"):
            ending = PNG_END if header.kind == "PNG" else END
            file.seek(-len(ending), 2)
            if file.read() != ending or header.progressive:  # nearly every file ends so
                file.seek(0)
                _find_end(path, header.kind, file.read())
    return header


def check_image_size(path: str | Path, header: ImageHeader, expected: Sequence[int] | NDArray[np.integer]) -> None:
    """Refuse an image of another size than (width, height) in px, that of the annotations; 0 for unknown.

    Raises:
        ImageSizeError: It has another size.
    """
    expected = (int(expected[0]), int(expected[1]))
    if min(expected) <= 0 or header.size == expected:
        return
    hint = ". Was it scaled, cut or taken from another set? The joints in px belong to the annotated size"
    if header.size == expected[::-1]:
        hint = (
            f". Was it turned? It is loaded as its EXIF orientation ({header.orientation}) says; the joints belong "
            "to the other way up"
        )
    raise ImageSizeError(
        f"{path}: expected an image of {expected[0]} x {expected[1]} px, as annotated, got "
        f"{header.width} x {header.height} px{hint}"
    )


def check_lossless(path: str | Path, header: ImageHeader) -> None:
    """Refuse an image whose bytes are numbers, such as depths, in a format that changes them, or to be turned.

    A JPEG of a depth image looks the same, but 256 green + blue is off by metres. Such images are read as they lie in
    the file, without the turn that an EXIF orientation asks for.

    Raises:
        ImageError: It is one.
    """
    if header.kind not in LOSSLESS_FORMATS or header.orientation != 1:
        raise ImageError(
            f"{path}: expected a depth image as {' or '.join(LOSSLESS_FORMATS)}, which keep every byte, "
            f"with the EXIF orientation 1, got a {header.kind} with the orientation {header.orientation}"
        )


def check_image_content(path: str | Path) -> NDArray[Any]:
    """Return the decoded image as it lies in the file (not turned); refuse one that is damaged or cut short inside.

    Raises:
        OSError: There is no such file, or it may not be read.
        ImageError: As `check_image_file`, it cannot be decoded, or a part of it is missing.
    """
    header = check_image_file(path)
    content = read_bytes(path, MAX_IMAGE_BYTES)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(
            f"{path}: expected an image, got a {header.kind} that is damaged inside or cut short. Fetch the file again."
        )
    if header.kind == "JPEG":
        end = _find_end(path, header.kind, content)
        try:
            filled = is_filled(content, end)
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{path}: expected an image, got a JPEG that is damaged inside: {error}") from error
        if filled:
            raise _cut_short(path, "a JPEG whose data stop before its last block, though an end mark follows")
    return image


def check_decoded_image(path: str | Path, image: NDArray[Any]) -> None:
    """Refuse a JPEG of which a part is missing, once it has been decoded (H, W) or (H, W, C); see the module's text.

    Only a picture with the grey of missing parts in a corner is looked at again.

    Raises:
        ImageError: A part is missing.
    """
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].reshape(4, -1)
    if (corners == FILLED).all(axis=1).any() and read_image_header(path).kind == "JPEG":
        check_image_content(path)


def _open(path: str | Path) -> BinaryIO:
    try:
        return open_regular(path, MAX_IMAGE_BYTES)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _read_header(path: str | Path, file: BinaryIO) -> ImageHeader:
    head = file.read(64)
    kind = next((kind for kind, start in IMAGE_FORMATS.items() if head.startswith(start)), None)
    if kind is None or (kind == "WEBP" and head[8:12] != b"WEBP"):
        raise ImageError(f"{path}: expected an image file ({', '.join(IMAGE_FORMATS)}), got {describe_content(head)}")
    file.seek(0)
    try:
        with Image.open(file, formats=[kind]) as image:
            (width, height), orientation = image.size, _orientation(image)
            progressive = "progressive" in image.info
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{path}: expected an image of at most {MAX_IMAGE_PIXELS} pixels, got: {error}") from error
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        raise _cut_short(path, f"a {kind} that cannot be decoded: its header is damaged or cut short") from error
    if width * height > MAX_IMAGE_PIXELS:
        raise ImageError(f"{path}: expected an image of at most {MAX_IMAGE_PIXELS} pixels, got {width} x {height}")
    if min(width, height) < MIN_IMAGE_SIDE:
        raise ImageError(f"{path}: expected an image of at least {MIN_IMAGE_SIDE} px each way, got {width} x {height}")
    if orientation in TRANSPOSED:
        width, height = height, width
    return ImageHeader(kind, width, height, orientation, progressive)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 for none and for nonsense. Orientations in XMP do not count, as for OpenCV."""
    content = image.info.get("exif")
    if not content:
        return 1
    exif = Image.Exif()
    try:
        exif.load(content)
        value = exif.get(ORIENTATION_TAG)
    except (OSError, SyntaxError, ValueError, KeyError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def describe_content(head: bytes) -> str:
    """Name what is no image by its first bytes.

    >>> describe_content(b"GIF89a")
    'a GIF, an unknown format here'
    """
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp":
        return f"a file of the type {BOXED_FORMATS.get(head[8:12], 'MP4')}, an unknown format here"
    start = head.lstrip().lower() if head.lstrip()[:1] in (b"<", b"{") else head
    name = next((name for magic, name in OTHER_FORMATS.items() if start.startswith(magic)), None)
    if name is not None:
        return f"{name}, an unknown format here"
    if any(magic.startswith(head) for magic in IMAGE_FORMATS.values()):
        return f"only {len(head)} bytes. Is the download cut short?"
    return f"an unknown format, which begins with {head[:16]!r}"


def _find_end(path: str | Path, kind: str, content: bytes) -> int:
    """Return where the end of a PNG or JPEG begins.

    Raises:
        ImageError: It has none.
    """
    try:
        return find_end(content) if kind == "JPEG" else _find_png_end(content)
    except BrokenImageError as error:
        raise _cut_short(path, f"a {kind} {error}") from error


def _find_png_end(content: bytes) -> int:
    position = len(IMAGE_FORMATS["PNG"])
    while position + 8 <= len(content):
        if content[position + 4 : position + 12] == PNG_END:
            return position + 4
        position += 12 + int(struct.unpack_from(">I", content, position)[0])  # length, type, content, checksum
    raise BrokenImageError("whose end is missing")


def _cut_short(path: str | Path, got: str) -> ImageError:
    return ImageError(f"{path}: expected a whole image, got {got}. Is the download cut short? Fetch the file again.")
