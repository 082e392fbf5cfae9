"""NYU's depth images: PNG files whose bytes are numbers."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dfmamba.io.images import ImageError, check_image_file, check_image_size, check_lossless


def read_depth(path: str | Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the depth (H, W, 1) in mm of a file.

    Args:
        path: Of an 8-bit image with three channels, see `decode_depth`.
        size: (width, height) that it must have, in px.

    Raises:
        FileNotFoundError: There is no such file.
        ImageError: The file is no complete image of this kind and size, in a format that keeps its bytes
            (`check_lossless`).
    """
    header = check_image_file(path)  # before its pixels: a wrong header could ask for any amount of memory
    check_lossless(path, header)
    check_image_size(path, header, size)
    image: NDArray[Any] | None = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ImageError(
            f"{path}: expected a complete {header.kind} file, got one that cannot be decoded. "
            "Is the download cut short?"
        )
    if image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise ImageError(
            f"{path}: expected 8 bits and three channels (depth = 256 green + blue), "
            f"got {image.dtype} and shape {image.shape}"
        )
    return decode_depth(image)[..., None]


def to_depth(image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the depth (H, W, 1) in mm of an array.

    Args:
        image: (H, W, 3) uint8, see `decode_depth`; or depth in mm (H, W) or (H, W, 1) in another type.
        size: (width, height) that it must have, in px.

    Raises:
        ValueError: It is none of these, or has another size.
    """
    is_coded = image.dtype == np.uint8 and image.shape[2:] == (3,)
    is_depth = image.dtype.kind in "fui" and image.dtype != np.uint8 and image.shape[2:] in ((), (1,))
    if image.shape[1::-1] != size or not (is_coded or is_depth):
        raise ValueError(
            f"img: expected a depth image of {size[0]} x {size[1]} px, uint8 with three channels "
            f"(depth = 256 green + blue) or another type with one, in mm, got {image.dtype} and shape {image.shape}"
        )
    return (decode_depth(image) if is_coded else image.astype(np.float32)).reshape(*image.shape[:2], 1)


def decode_depth(image_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn an NYU image (H, W, 3) uint8, as OpenCV reads it, into depth in mm (H, W); 0 means no reading.

    Green is the high byte, blue the low one and red is not used: d = 256 G + B.
    """
    blue, green = image_bgr[..., 0].astype(np.float32), image_bgr[..., 1].astype(np.float32)
    return 256 * green + blue
