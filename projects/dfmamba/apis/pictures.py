"""Pictures from wherever a user has them: files, folders, patterns, videos, cameras, arrays."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfmamba.errors import DataError
from dfmamba.io.images import check_image_content, check_image_file

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v")
PATTERN_SIGNS = "*?["
USUAL_RATE_HZ = 30.0  # of cameras that do not say
Source = str | Path | int | NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """A picture and where it comes from.

    Attributes:
        name: Of the file, or `video.mp4#12`, `camera 0#12`, `array 3`: for messages and for names of files.
        path: Of an image file; None for arrays and frames.
        pixels: (H, W, 3) uint8 BGR, or depth (H, W) in mm; None for a file, which the model's pipeline reads itself.
        is_frame: It follows the picture before it in a video.
        time_s: Of a frame, from the beginning of the video; None for other pictures.
    """

    name: str
    path: Path | None = None
    pixels: NDArray[Any] | None = None
    is_frame: bool = False
    time_s: float | None = None

    def read(self) -> NDArray[Any]:
        """Return the pixels: BGR, turned as the file says, or depth.

        Raises:
            ImageError: The file is no image, or damaged.
        """
        if self.pixels is not None:
            return self.pixels
        pixels = check_image_content(str(self.path))
        return pixels if pixels.dtype != np.uint8 else np.asarray(cv2.imread(str(self.path)))


def read_pictures(source: Source | Iterable[Source]) -> Iterator[Picture]:
    """Yield the pictures of a source, one after the other; a video or camera is read while its frames are used.

    Args:
        source: The path of an image or a video, a folder (its images and videos, by name), a pattern such as
            `hands/*.jpg`, the number of a camera, an array (H, W, 3) uint8 BGR or a depth image, or several of these.

    Raises:
        FileNotFoundError: There is no such file, the folder has no picture, or nothing fits the pattern.
        DataError: A file is no picture; an array has another shape; a video or camera gives no frame.
    """
    if isinstance(source, np.ndarray):
        yield _of_array(source, "array")
    elif isinstance(source, str | Path):
        yield from _of_path(str(source))
    elif isinstance(source, int | np.integer):
        yield from _frames(int(source), f"camera {source}")
    else:
        for number, one in enumerate(source):
            if isinstance(one, np.ndarray):
                yield _of_array(one, f"array {number}")
            else:
                yield from read_pictures(one)


def count_pictures(source: Source | Iterable[Source]) -> int | None:
    """Return how many pictures a source has, as `read_pictures` takes it; None where nobody knows before its end.

    That is so for cameras, videos that do not say, and what can be gone through only once. Images are not opened.
    """
    if isinstance(source, np.ndarray):
        return 1
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            video = cv2.VideoCapture(str(path))
            frames = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
            video.release()
            return frames if frames > 0 else None
        if path.is_dir():
            return _total(count_pictures(file) for file in _pictures_among(path.iterdir()))
        if not path.exists() and any(sign in str(source) for sign in PATTERN_SIGNS):
            return _total(count_pictures(file) for file in _pictures_among(_fitting(str(source))))
        return 1
    if isinstance(source, int | np.integer) or not isinstance(source, Sequence):
        return None
    return _total(count_pictures(one) for one in source)


def _total(counts: Iterable[int | None]) -> int | None:
    """Return the sum, or None if one of them is not known."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _pictures_among(files: Iterable[Path]) -> list[Path]:
    return [file for file in files if file.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)]


def _fitting(pattern: str) -> list[Path]:
    return [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207, takes absolute ones too


def _of_array(pixels: NDArray[Any], name: str) -> Picture:
    if pixels.size == 0 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))):
        raise DataError(f"{name}: expected a picture (H, W, 3) in BGR, or depth (H, W), got shape {pixels.shape}")
    if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype != np.uint8:
        raise DataError(f"{name}: expected a picture in uint8, 0 to 255, got {pixels.dtype}")
    return Picture(name, pixels=pixels)


def _of_path(text: str) -> Iterator[Picture]:
    path = Path(text)
    if path.is_dir():
        yield from _of_files(sorted(path.iterdir()), f"{text}: expected a folder with pictures, got none in it")
    elif not path.exists() and any(sign in text for sign in PATTERN_SIGNS):
        yield from _of_files(_fitting(text), f"{text}: expected a pattern that fits pictures, it fits none")
    elif not path.exists():
        raise FileNotFoundError(f"no such file: {text}")
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _frames(str(path), path.name)
    else:
        check_image_file(path)
        yield Picture(path.name, path=path)


def _of_files(files: Sequence[Path], where_none: str) -> Iterator[Picture]:
    wanted = _pictures_among(files)
    if not wanted:
        raise FileNotFoundError(where_none)
    for file in wanted:
        yield from _of_path(str(file))


def _frames(source: str | int, name: str) -> Iterator[Picture]:
    video = cv2.VideoCapture(source)
    try:
        number, rate_hz = 0, video.get(cv2.CAP_PROP_FPS) or USUAL_RATE_HZ
        while True:
            is_there, pixels = video.read()
            if not is_there:
                break
            yield Picture(f"{name}#{number}", pixels=np.asarray(pixels), is_frame=number > 0, time_s=number / rate_hz)
            number += 1
    finally:
        video.release()
    if number == 0:
        raise DataError(f"{name}: expected a video or camera with at least one frame that OpenCV can read, got none")
