"""What cameras do to a picture: colour of the light, exposure, blur, noise, compression. Drawn from a generator.

The writers of synthetic pictures and the augmentation `RandomCameraEffects` use it alike. Pictures are (H, W, 3),
uint8, BGR. Ranges are ours, chosen by looking at pictures: at strength 1 a hand can just be recognised in the worst.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from dfmamba.geometry import Array


@dataclass(frozen=True)
class CameraEffects:
    """What happens to one picture, in this order.

    Attributes:
        motion_px: (2,) way (x, y) of the camera during the exposure; zeros for none.
        focus_px: Standard deviation of a Gaussian blur; 0 for none.
        gains: (3,) factors on blue, green and red: exposure and the colour of the light.
        gamma: Exponent of the tone curve.
        contrast: Factor on the distance from the picture's mean.
        saturation: Factor on the distance from grey; 0 is a monochrome picture.
        shrink: The picture is made this much smaller and larger again, as that of a poor camera; 1 for none.
        noise: Standard deviation of the noise in black, in 8-bit steps; it grows with the light.
        sharpening: Strength of an unsharp mask.
        jpeg_quality: 1 to 100; None for no compression.
    """

    motion_px: Array
    focus_px: float
    gains: Array
    gamma: float
    contrast: float
    saturation: float
    shrink: float
    noise: float
    sharpening: float
    jpeg_quality: int | None


def sample_effects(size: tuple[int, int], rng: np.random.Generator, strength: float = 1.0) -> CameraEffects:
    """Draw effects for a picture of some height and width; 0 <= `strength` <= 1 scales how far they go.

    Raises:
        ValueError: The strength is out of range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength: expected 0 to 1, got {strength}")
    side, some = min(size), strength
    angle = rng.uniform(0, 2 * np.pi)
    way = rng.uniform(0, 0.06) * side * some if rng.random() < 0.2 else 0.0
    warmth = rng.normal(0, 0.13) * some  # of the light: red against blue
    tint = rng.normal(0, 0.04) * some
    exposure = np.exp(rng.normal(0, 0.22) * some)
    return CameraEffects(
        motion_px=way * np.array([np.cos(angle), np.sin(angle)]),
        focus_px=rng.uniform(0, 0.012) * side * some if rng.random() < 0.4 else 0.0,
        gains=exposure * np.exp([-warmth, tint, warmth]),
        gamma=float(np.exp(rng.normal(0, 0.18) * some)),
        contrast=float(np.exp(rng.normal(0, 0.15) * some)),
        saturation=0.0 if rng.random() < 0.06 * some else float(np.clip(1 + rng.normal(0, 0.25) * some, 0.2, 2)),
        shrink=1 + rng.uniform(0, 1.2) * some if rng.random() < 0.25 else 1.0,
        noise=rng.exponential(4.0) * some,
        sharpening=rng.uniform(0, 1.0) * some if rng.random() < 0.3 else 0.0,
        jpeg_quality=int(rng.integers(25, 96)) if rng.random() < 0.7 * some else None,
    )


def apply_effects(image: np.ndarray, effects: CameraEffects, rng: np.random.Generator) -> np.ndarray:
    """Return the picture (H, W, 3), uint8, BGR, as the camera would have stored it; `rng` draws the noise.

    Raises:
        ValueError: The image is of another kind.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    light: np.ndarray = image.astype(np.float32)
    length = float(np.hypot(*effects.motion_px))
    if length > 1:
        light = cv2.filter2D(light, -1, _motion_kernel(effects.motion_px), borderType=cv2.BORDER_REPLICATE)
    if effects.focus_px > 0.2:
        light = cv2.GaussianBlur(light, (0, 0), effects.focus_px)
    if effects.shrink > 1:
        small = (max(1, round(width / effects.shrink)), max(1, round(height / effects.shrink)))
        light = cv2.resize(cv2.resize(light, small, interpolation=cv2.INTER_AREA), (width, height))
    light = cv2.pow(np.maximum(light / 255, 0), effects.gamma) * (255 * effects.gains).astype(np.float32)
    mean = light.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    light = mean + effects.contrast * (light - mean)
    grey = (light @ np.array([0.114, 0.587, 0.299], dtype=np.float32))[..., None]  # ITU-R BT.601
    light = grey + effects.saturation * (light - grey)
    if effects.noise > 0:
        # Photons arrive by chance: the variance of their number is its mean.
        grain = rng.standard_normal(light.shape, dtype=np.float32)
        light += grain * effects.noise * np.sqrt(0.25 + np.maximum(light, 0) / 128)
    if effects.sharpening > 0:
        light += effects.sharpening * (light - cv2.GaussianBlur(light, (0, 0), 1.2))
    picture = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    if effects.jpeg_quality is not None:
        code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, effects.jpeg_quality])[1]
        picture = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(picture)


def _motion_kernel(way_px: Array) -> Array:
    """Return a normalised line of this length and direction through the middle of an odd square."""
    reach = int(np.ceil(np.abs(way_px).max() / 2))
    kernel: np.ndarray = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    end = reach + way_px / 2
    # Ends in sixteenths of a pixel, the unit of `shift`.
    points = [tuple(np.rint(16 * place).astype(int).tolist()) for place in (2 * reach - end, end)]
    cv2.line(kernel, points[0], points[1], 1.0, 1, cv2.LINE_8, shift=4)
    return kernel / kernel.sum()
