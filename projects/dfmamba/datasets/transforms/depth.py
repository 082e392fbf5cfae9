"""A2J's way from an NYU depth image to the network's input, for mmpose pipelines.

The order of a training pipeline (a test pipeline leaves out what is random):

    LoadNYUDepth, RandomDepthBoxJitter, RandomRotateScale3D, CropDepthCube, RandomDepthErasing, GenerateTarget,
    PackPoseInputs

Source: Xiong et al., A2J (ICCV 2019), numbers as in its public code, which A2J-Transformer keeps. That code draws a
depth noise, too, but never applies it; here there is none. It resizes the crop first and turns it afterwards; here one
warp does both, so a pixel is read once.

`RandomRotateScale3D` turns and scales x, y and z of `transformed_keypoints`, while `keypoints`, `keypoints_cam` and
mmpose's way back from crop to image (x / input_size * input_scale + input_center - input_scale / 2) know nothing of it:
samples that went through it are for training only. All the others keep the way back exact.
"""

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS
from numpy.typing import NDArray

from dfmamba.crops import clamp_box, clip_to_cube
from dfmamba.datasets.transforms.own_pictures import has_gt
from dfmamba.geometry import NYU_IMAGE_SIZE
from dfmamba.io.depth_images import read_depth, to_depth

A2J_MEAN_MM, A2J_STD_MM = -0.66877532422628, 28.329582076876047  # of the clipped cube, from A2J's nyu_{mean,std}.npy


@TRANSFORMS.register_module()
class LoadNYUDepth(BaseTransform):
    """Read an NYU depth image.

    Required key: img_path, or img: an image (H, W, 3) uint8 as OpenCV reads it from such a file, or depth in mm (H, W)
    or (H, W, 1) in another type. Added: img (H, W, 1) float32 in mm, img_shape and ori_shape (H, W).

    Args:
        image_size: (width, height) in px that the camera's intrinsics belong to.

    Raises:
        FileNotFoundError: There is no such file.
        ImageError: The file is no complete 8-bit image of that size with three channels, in a format that keeps its
            bytes (`check_lossless`).
        ValueError: `img` is none of these, or has another size.
    """

    def __init__(self, image_size: tuple[int, int] = NYU_IMAGE_SIZE) -> None:
        self.image_size = (int(image_size[0]), int(image_size[1]))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the image of a sample."""
        if "img" in results:
            depth = to_depth(results["img"], self.image_size)
        else:
            depth = read_depth(results["img_path"], self.image_size)
        results["img"] = depth
        results["img_shape"] = results["ori_shape"] = depth.shape[:2]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(image_size={self.image_size})"


@TRANSFORMS.register_module()
class RandomDepthBoxJitter(BaseTransform):
    """Move each side of the box by a whole number of pixels, uniform in -`pixels` .. `pixels` - 1.

    Changed: bbox (1, 4).

    Args:
        pixels: Largest move in px.

    Raises:
        ValueError: `pixels` is no positive integer.
    """

    def __init__(self, pixels: int = 5) -> None:
        if not isinstance(pixels, int) or pixels < 1:
            raise ValueError(f"pixels: expected a positive integer, got {pixels!r}")
        self.pixels = pixels

    @cache_randomness
    def _draw(self) -> NDArray[np.int64]:
        """Draw the moves (4,) in px."""
        return np.random.randint(-self.pixels, self.pixels, 4)  # noqa: NPY002, mmengine seeds the global generator

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the box."""
        results["bbox"] = (results["bbox"] + self._draw()).astype(np.float32)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(pixels={self.pixels})"


@TRANSFORMS.register_module()
class RandomRotateScale3D(BaseTransform):
    """Draw a turn about the optical axis and a scale of the cube, which `CropDepthCube` then applies.

    Turn: whole degrees, uniform in -`rotation_deg` .. `rotation_deg` - 1, counter-clockwise in the picture. Scale:
    uniform in `scale`, on x, y and the relative depth alike, so the hand itself gets larger or smaller.

    Added: cube_rotation in degrees, cube_scale.

    Args:
        rotation_deg: Largest turn.
        scale: Smallest and largest scale.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(self, rotation_deg: int = 180, scale: tuple[float, float] = (0.5, 1.5)) -> None:
        if rotation_deg < 1 or not 0 < scale[0] <= scale[1]:
            raise ValueError(
                "RandomRotateScale3D: expected rotation_deg >= 1 and scale with 0 < smallest <= largest, "
                f"got {rotation_deg} and {scale}"
            )
        self.rotation_deg, self.scale = rotation_deg, tuple(scale)

    @cache_randomness
    def _draw(self) -> tuple[float, float]:
        """Draw turn in degrees and scale."""
        random = np.random  # the global generator, which mmengine seeds in every worker
        rotation = random.randint(-self.rotation_deg, self.rotation_deg)
        return float(rotation), float(random.uniform(self.scale[0], self.scale[1]))

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Note the turn and the scale."""
        results["cube_rotation"], results["cube_scale"] = self._draw()
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rotation_deg={self.rotation_deg}, scale={self.scale})"


@TRANSFORMS.register_module()
class CropDepthCube(BaseTransform):
    """Cut out the box, clip the depth around the center and normalise it.

    The box is clamped to [0, W - 1] x [0, H - 1] and stretched to the crop. Pixels take the nearest reading: depths
    of hand and background must not be mixed. A2J truncates the box to whole pixels for the image but not for the
    joints, so the two are up to 2 px apart; here image and joints follow one affine map.

    The value of a pixel is ((d - center) scale - mean) / std, where d within the cube; outside, and beyond the image,
    it is that of the center's depth.

    Required keys: img (H, W, 1) in mm, bbox (1, 4), keypoints, root_depth (K,) in mm (the center's); a picture without
    ground truth has center_depth, a number, for the last two. Taken where they are there: cube_rotation, cube_scale.
    Changed: img (height, width, 1) float32. Added: transformed_keypoints (crop px, crop px, mm times the scale),
    input_size, input_center, input_scale.

    Args:
        input_size: (width, height) of the crop in px.
        half_depth_mm: Half the depth of the cube.
        mean: Mean of the clipped relative depth in mm.
        std: Standard deviation of it in mm.

    Raises:
        ValueError: `half_depth_mm` or `std` is not positive, a box does not meet the image, or a picture without ground
            truth does not say the depth of its center.
    """

    def __init__(
        self,
        input_size: tuple[int, int] = (176, 176),
        half_depth_mm: float = 150.0,
        mean: float = A2J_MEAN_MM,
        std: float = A2J_STD_MM,
    ) -> None:
        if half_depth_mm <= 0 or std <= 0:
            raise ValueError(f"CropDepthCube: expected half_depth_mm > 0 and std > 0, got {half_depth_mm} and {std}")
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.half_depth_mm, self.mean, self.std = half_depth_mm, mean, std

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make the crop."""
        height, width = results["img"].shape[:2]
        box = clamp_box(results["bbox"][0], width, height, results.get("img_path", "img"))
        scale = results.get("cube_scale", 1.0)
        warp = self._warp(box, results.get("cube_rotation", 0.0), scale)
        center_mm = self._center_depth(results)
        crop = cv2.warpAffine(
            results["img"][..., 0],
            warp,
            self.input_size,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=center_mm,
        )
        relative = clip_to_cube(crop, center_mm, self.half_depth_mm) * scale
        if has_gt(results):
            keypoints = results["keypoints"].copy()
            keypoints[..., :2] = keypoints[..., :2] @ warp[:, :2].T + warp[:, 2]
            keypoints[..., 2] *= scale
            results["transformed_keypoints"] = keypoints
        results["img"] = ((relative - self.mean) / self.std).astype(np.float32)[..., None]
        results["input_size"] = self.input_size
        results["input_center"] = ((box[:2] + box[2:]) / 2).astype(np.float32)
        results["input_scale"] = (box[2:] - box[:2]).astype(np.float32)
        return results

    @staticmethod
    def _center_depth(results: dict[str, Any]) -> float:
        """Return the depth of the cube's center in mm."""
        if has_gt(results):
            return float(results["root_depth"][0])
        depth = results.get("center_depth")
        if not isinstance(depth, int | float | np.number) or not 0 < depth < np.inf:
            raise ValueError(
                "center_depth: expected the depth of the hand's center in mm, around which the image is "
                f"cut, such as model.dataset_meta['center_depth'] = 700.0, got {depth!r}"
            )
        return float(depth)

    def _warp(self, box: NDArray[np.float64], rotation_deg: float, scale: float) -> NDArray[np.float64]:
        """Return the affine map (2, 3) from image px to crop px: stretch, then turn and scale about the middle."""
        size = np.array(self.input_size, dtype=np.float64)
        stretch = size / (box[2:] - box[:2])
        turn = cv2.getRotationMatrix2D((size / 2).tolist(), rotation_deg, scale)  # (2, 3), counter-clockwise
        linear = turn[:, :2] * stretch
        return np.column_stack([linear, turn[:, 2] - linear @ box[:2]])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_size={self.input_size}, half_depth_mm={self.half_depth_mm}, "
            f"mean={self.mean}, std={self.std})"
        )


@TRANSFORMS.register_module()
class RandomDepthErasing(BaseTransform):
    """Set a random rectangle of the crop to 0, the mean of the normalised depth (Zhong et al., Random Erasing, 2017).

    The rectangle's area is uniform in `area` as a part of the crop's, its height over its width uniform in `aspect` to
    1 / `aspect`; one that does not fit is drawn again, `TRIES` times at most.

    Args:
        prob: Probability of a rectangle.
        area: Smallest and largest area.
        aspect: Smallest ratio of the sides.

    Raises:
        ValueError: An argument is out of its range.
    """

    TRIES = 100

    def __init__(self, prob: float = 0.5, area: tuple[float, float] = (0.02, 0.4), aspect: float = 0.3) -> None:
        if not 0 <= prob <= 1 or not 0 < area[0] <= area[1] <= 1 or not 0 < aspect <= 1:
            raise ValueError(
                "RandomDepthErasing: expected 0 <= prob <= 1, 0 < smallest <= largest area <= 1 and "
                f"0 < aspect <= 1, got {prob}, {area} and {aspect}"
            )
        self.prob, self.area, self.aspect = prob, tuple(area), aspect

    @cache_randomness
    def _draw(self, height: int, width: int) -> tuple[slice, slice] | None:
        """Draw rows and columns of the rectangle; None for no rectangle."""
        random = np.random  # the global generator, which mmengine seeds in every worker
        if random.rand() >= self.prob:
            return None
        for _ in range(self.TRIES):
            area = random.uniform(self.area[0], self.area[1]) * height * width
            ratio = random.uniform(self.aspect, 1 / self.aspect)
            rows, columns = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if rows < height and columns < width:
                top, left = random.randint(0, height - rows + 1), random.randint(0, width - columns + 1)
                return slice(top, top + rows), slice(left, left + columns)
        return None

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Erase or not; `img` is replaced, not written to."""
        place = self._draw(*results["img"].shape[:2])
        if place is not None:
            results["img"] = results["img"].copy()
            results["img"][place] = 0
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, area={self.area}, aspect={self.aspect})"
