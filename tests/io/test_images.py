"""Which image files are used, of which size, and which are refused; against OpenCV, which loads them, and Pillow."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dfmamba.io.images import (
    MAX_IMAGE_BYTES,
    ImageError,
    ImageHeader,
    ImageSizeError,
    check_decoded_image,
    check_image_content,
    check_image_file,
    check_image_size,
    read_image_header,
    read_image_size,
)
from dfmamba.io.jpeg import find_end, is_filled

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
END = b"\xff\xd9"


def pixels(width=97, height=61, channels=3, seed=0):
    """Smooth colours with noise, as photographs have: no part of it is plain grey."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    image = (image + random.integers(-10, 10, image.shape)).clip(0, 255).astype(np.uint8)
    return image if channels == 3 else image[..., 0]


def encode(image, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def write(folder, content, name="a"):
    path = folder / name
    path.write_bytes(content)
    return path


def refused(check, path, message):
    with pytest.raises(ImageError, match=message) as error:
        check(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# ---- formats and sizes


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_are_known_by_content(tmp_path, kind):
    path = write(tmp_path, encode(pixels(), kind), "a.gif")
    assert check_image_file(path) == (kind, 97, 61, 1, False)
    image = check_image_content(path)
    assert image.shape == (61, 97, 3)
    check_decoded_image(path, image)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_size_is_that_of_the_loaded_image(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path, encode(pixels(), kind, exif=exif))
    height, width = cv2.imread(str(path), cv2.IMREAD_COLOR).shape[:2]  # as mmcv and mmpose load it
    assert read_image_size(path) == (width, height)
    assert read_image_header(path).orientation == orientation
    assert check_image_content(path).shape[:2] == (61, 97)  # not turned


@pytest.mark.parametrize("value", [0, 9, 300])
def test_orientation_that_is_none(tmp_path, value):
    exif = Image.Exif()
    exif[0x0112] = value
    path = write(tmp_path, encode(pixels(), "JPEG", exif=exif))
    assert cv2.imread(str(path)).shape[:2] == (61, 97)
    assert read_image_header(path) == ("JPEG", 97, 61, 1, False)


@pytest.mark.parametrize("metadata", ["broken EXIF", "XMP"])
def test_orientation_that_opencv_does_not_know(tmp_path, metadata):
    """Pillow takes an orientation from XMP, too; OpenCV, which loads the images, does not."""
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    options = {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"} if metadata == "broken EXIF" else {"xmp": xmp}
    path = write(tmp_path, encode(pixels(), "JPEG", **options))
    if metadata == "XMP":
        assert Image.open(path).getexif()[0x0112] == 6
    assert cv2.imread(str(path)).shape[:2] == (61, 97)
    assert read_image_size(path) == (97, 61)


def header(width, height, orientation=1):
    return ImageHeader("PNG", width, height, orientation, False)


@pytest.mark.parametrize("expected", [(97, 61), (0, 0), (0, 61), np.array([97, 61], dtype=np.int32)])
def test_size_as_annotated_or_unknown(expected):
    check_image_size("a.png", header(97, 61), expected)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ((194, 122), "^a.png: expected an image of 194 x 122 px, as annotated, got 97 x 61 px. Was it scaled"),
        ((61, 97), r"expected an image of 61 x 97 px, .*got 97 x 61 px. Was it turned.*EXIF orientation \(6\)"),
        ((97, 60), "expected an image of 97 x 60 px"),
    ],
)
def test_another_size_than_annotated(expected, message):
    with pytest.raises(ImageSizeError, match=message):
        check_image_size("a.png", header(97, 61, 6), expected)


def png_header(width, height):
    """A PNG that says it has this size, without its pixels."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + data
        + struct.pack(">I", zlib.crc32(data))
        + struct.pack(">I", 1000)
        + b"IDAT"
    )


NO_IMAGES = {
    "more pixels than allowed": (png_header(10_000, 10_000), "at most 64000000 pixels, got"),
    "pixels beyond all memory": (png_header(2**31 - 1, 2**31 - 1), "at most 64000000 pixels"),
    "no width": (png_header(0, 50), "expected a|cannot be decoded"),
    "one pixel": (encode(pixels(1, 1), "PNG"), "at least 8 px each way, got 1 x 1"),
    "a stripe": (encode(pixels(97, 7), "JPEG"), "at least 8 px each way, got 97 x 7"),
    "header cut short": (png_header(50, 50)[:20], "a PNG that cannot be decoded: its header is damaged or cut short"),
    "three bytes": (b"\x89PN", "got only 3 bytes. Is the download cut short"),
    "empty": (b"", "got an empty file"),
    "GIF": (encode(pixels(), "GIF"), "got a GIF, an unknown format here"),
    "TIFF": (encode(pixels(), "TIFF"), "got a TIFF, an unknown format here"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(100), "of the type HEIC, an unknown format here"),
    "AVIF": (b"\0\0\0\x1cftypavif" + bytes(100), "of the type AVIF, an unknown format here"),
    "MP4": (b"\0\0\0\x18ftypmp42" + bytes(100), "of the type MP4, an unknown format here"),
    "sound in RIFF": (b"RIFF\x24\0\0\0WAVEfmt ", "an unknown format, which begins with b'RIFF"),
    "page of a server": (b"\n<!DOCTYPE html><html><body>404", r"got a web page \(HTML\), an unknown format here"),
    "error of a server": (b'{"error": "quota"}', "got a JSON text"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "got a pointer of Git LFS"),
    "text": (b"no picture", "an unknown format, which begins with b'no picture'"),
    "numpy array": (b"\x93NUMPY\x01\0", "got a numpy array"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_no_image(tmp_path, name):
    content, message = NO_IMAGES[name]
    path = write(tmp_path, content, "a.png")
    for check in (read_image_header, check_image_file, check_image_content):
        refused(check, path, message)
    assert "cut short" not in message or name in ("header cut short", "three bytes")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        check_image_file(tmp_path / "nowhere")
    refused(check_image_file, tmp_path, "expected a file, got a folder")
    os.mkfifo(tmp_path / "pipe")
    refused(check_image_file, tmp_path / "pipe", r"expected a file, got a pipe \(FIFO\)")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    refused(check_image_file, tmp_path / "large", f"at most {MAX_IMAGE_BYTES} bytes")


# ---- whole, or cut short

BEHIND = {
    "nothing": b"",
    "zeros": bytes(5000),
    "few bytes": b"\n\n",
    "another image": encode(pixels(), "JPEG")[:900],
    "motion picture": b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20,
    "text": b"ffmpeg says so",
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("kind", FORMATS)
def test_data_behind_the_end(tmp_path, kind, behind):
    path = write(tmp_path, encode(pixels(), kind) + BEHIND[behind])
    check_image_file(path)
    np.testing.assert_array_equal(check_image_content(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_end_mark_of_a_thumbnail_is_not_the_end(tmp_path):
    """Phones keep a small JPEG within the EXIF part of a large one."""
    content = encode(pixels(), "JPEG", exif=b"Exif\0\0" + encode(pixels(16, 16), "JPEG"))
    check_image_content(write(tmp_path, content))
    refused(check_image_file, write(tmp_path, content[:-30]), "a JPEG whose end is missing")
    assert find_end(content + END) == len(content) - 2


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_half_an_image(tmp_path, kind, part):
    content = encode(pixels(), kind)
    path = write(tmp_path, content[: int(part * len(content))])
    for check in (check_image_file, check_image_content):
        refused(check, path, f"a whole image, got a {kind} whose end is missing. Is the download cut short")
    refused(check_image_file, write(tmp_path, path.read_bytes() + bytes(3000)), f"a {kind} (whose end|that is damaged)")


@pytest.mark.parametrize("kind", ["BMP", "WEBP"])
def test_half_an_image_of_a_format_without_an_end_mark(tmp_path, kind):
    content = encode(pixels(), kind)
    path = write(tmp_path, content[: len(content) // 2])
    refused(check_image_content, path, f"a {kind} that")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_half_a_png_with_an_end(tmp_path):
    content = encode(pixels(), "PNG")
    data = content[content.index(b"IDAT") + 4 :]
    path = write(tmp_path, content[:33] + chunk(b"IDAT", data[: len(data) // 2]) + chunk(b"IEND", b""))
    check_image_file(path)  # looks whole from outside
    refused(check_image_content, path, "a PNG that is damaged inside or cut short")


JPEGS = {
    "baseline": {},
    "fine": {"quality": 98},
    "no subsampling": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.97])
def test_half_a_jpeg_with_an_end_mark(tmp_path, name, part, channels):
    """Pillow and OpenCV take it without a word, and fill the rest with grey."""
    content = encode(pixels(320, 240, channels), "JPEG", **JPEGS[name])
    assert find_end(content) == len(content) - 2
    assert not is_filled(content, len(content) - 2)
    path = write(tmp_path, content[: int(part * len(content))] + END)
    refused(check_image_content, path, "a JPEG whose (data stop before its last block|(last scans are|end is) missing)")
    if name == "progressive":  # what is missing is noticed without a look at the pixels, but for the last scan
        last_scan = content.rindex(b"\xff\xda")
        if int(part * len(content)) < last_scan:
            refused(check_image_file, path, "a JPEG whose (last scans are|end is) missing")
    else:
        Image.open(path).load()
        assert cv2.imread(str(path)).shape == (240, 320, 3)
        for flag in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED):
            refused(lambda path: check_decoded_image(path, cv2.imread(str(path), flag)), path, "data stop before")  # noqa: B023


@pytest.mark.parametrize("orientation", range(1, 9))
def test_half_a_jpeg_that_is_turned(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(pixels(320, 240), "JPEG", exif=exif)
    path = write(tmp_path, content[: len(content) // 2] + END)
    refused(lambda path: check_decoded_image(path, cv2.imread(str(path))), path, "data stop before")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_plain_images_are_whole(tmp_path, kind, value):
    """Grey of 128 is what decoders put where a JPEG says nothing; an image may be of that grey."""
    path = write(tmp_path, encode(np.full((64, 96, 3), value, dtype=np.uint8), kind))
    check_decoded_image(path, check_image_content(path))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_unusual_modes(tmp_path, mode):
    image = Image.fromarray(pixels(channels=1 if mode in ("1", "L", "I;16") else 3))
    image = Image.fromarray(pixels(channels=1).astype(np.uint16) * 250) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a", "JPEG" if mode == "CMYK" else "PNG")
    check_image_content(tmp_path / "a")
    check_decoded_image(tmp_path / "a", cv2.imread(str(tmp_path / "a")))


@pytest.mark.parametrize("kind", FORMATS)
def test_any_damage_ends_in_an_image_or_in_one_error(tmp_path, kind):
    content = encode(pixels(64, 48), kind)
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 3):
            damaged[place] = random.integers(256)
        path = write(tmp_path, bytes(damaged[: random.integers(len(content))] if random.random() < 0.3 else damaged))
        for check in (check_image_file, check_image_content):
            try:
                check(path)
            except ImageError as error:
                assert str(path) in str(error)  # noqa: PT017


def test_half_a_jpeg_whose_data_end_with_a_stuffed_byte(tmp_path):
    """FF may stand before any marker: one at the cut must not hide what is put behind it."""
    content = encode(pixels(320, 240), "JPEG")
    cut = content.index(b"\xff\x00", 2 * len(content) // 3) + 1
    path = write(tmp_path, content[:cut] + END)
    refused(check_image_content, path, "data stop before its last block")
