"""Samples of a data set as pictures: before the pipeline, and as the model sees them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmpose.datasets.transforms import PackPoseInputs
from numpy.typing import NDArray

from dfmamba.datasets.base import HandDataset
from dfmamba.engine.errors import ConfigError
from dfmamba.geometry import Array, fit_affine
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, RIGHT, TWO_HANDS, WRIST, skeleton_with
from dfmamba.visualization.overlay import Image, draw_skeleton, to_rgb, transform_points

BOX_COLOR = (0, 255, 255)
OUTSIDE = (40, 40, 40)
MIN_POINTS = 3  # that an affine map needs


def run_pipeline(dataset: HandDataset, number: int, raw: bool) -> dict[str, Any]:
    """Return a sample before it is packed; raw: as soon as its image has been read.

    Raises:
        FileNotFoundError: The image does not exist.
        ValueError: It cannot be read.
        ConfigError: The pipeline reads no image, makes no crop, or drops the sample.
    """
    results: Any = dataset.get_data_info(number)
    if image_error := dataset.find_image_error(results["img_path"], results["id"]):
        raise image_error
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, PackPoseInputs) or (raw and "img" in results):
            break
        results = transform(results)
        if results is None:
            raise ConfigError(f"{type(transform).__name__}: returned nothing for the sample {number}")
    needed = ("img",) if raw else ("img", "transformed_keypoints")
    if missing := [key for key in needed if key not in results]:
        raise ConfigError(
            f"the pipeline of {type(dataset).__name__}: expected one that gives {needed}, it lacks {missing}"
        )
    return results


def draw_results(results: Mapping[str, Any], tile_px: int, raw: bool) -> tuple[Image, str]:
    """Draw joints, bones, sides and box of a sample on its image.

    Args:
        results: Of `run_pipeline`.
        tile_px: Side of the tile.
        raw: As given to `run_pipeline`.

    Returns:
        The tile (tile_px, tile_px, 3) RGB, and a caption of two lines.
    """
    joints = results["keypoints" if raw else "transformed_keypoints"][0, :, :2].astype(np.float64)
    source = results["keypoints"][0, :, :2].astype(np.float64)
    valid = np.reshape(results["keypoints_visible"], -1)[: len(joints)] > 0
    tile, to_tile = fit_tile(to_rgb(np.asarray(results["img"])), tile_px)
    corners = _box_corners(results["bbox"][0], None if raw else (source[valid], joints[valid]))
    if corners is not None:
        outline = np.round(transform_points(corners, to_tile) * 16).astype(np.int32)
        cv2.polylines(tile, [outline], True, BOX_COLOR, 1, cv2.LINE_AA, 4)
    points, skeleton = transform_points(joints, to_tile), skeleton_with(len(joints))
    tile = draw_skeleton(tile, points, valid, skeleton, thickness=1 if raw else 2, radius=2 if raw else 3)
    for wrist, letter in _wrists(results, len(joints)):
        if valid[wrist]:
            place = np.clip(points[wrist] + 6, 0, tile_px - 14).astype(int).tolist()
            cv2.putText(tile, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.putText(tile, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return tile, _caption(results, valid)


def fit_tile(image: Image, tile_px: int) -> tuple[Image, Array]:
    """Scale an image to fit into a square tile, with dark grey beside it.

    Returns:
        The tile, and the (2, 3) matrix that takes image px to tile px.
    """
    height, width = image.shape[:2]
    scale = tile_px / max(height, width)
    shift = (tile_px - scale * np.array([width, height])) / 2
    # Pixels have their centers at whole numbers: the corner -0.5, -0.5 of the image goes to that of its place.
    to_tile = np.column_stack([np.eye(2) * scale, shift + (scale - 1) / 2])
    tile = cv2.warpAffine(image, to_tile, (tile_px, tile_px), flags=cv2.INTER_LINEAR, borderValue=OUTSIDE)
    return np.asarray(tile, dtype=np.uint8), to_tile


def _box_corners(box_xyxy: Array, maps: tuple[Array, Array] | None) -> Array | None:
    """Return the corners (4, 2) of a box, moved as some points were moved; None where these are too few to tell."""
    corners: Array = box_xyxy[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2).astype(np.float64)
    if maps is None:
        return corners
    source, target = maps
    return transform_points(corners, fit_affine(source, target)) if len(source) >= MIN_POINTS else None


def _wrists(results: Mapping[str, Any], num_joints: int) -> list[tuple[int, str]]:
    """Return the wrists' joints and a letter for the side of each; none for joint sets without a wrist like ours."""
    if num_joints == TWO_HANDS.num_joints:
        return [(TWO_HANDS.roots[RIGHT], "R"), (TWO_HANDS.roots[LEFT], "L")]
    if num_joints != NUM_HAND_JOINTS:
        return []
    return [(WRIST, "RL"[int(np.argmax(np.reshape(results["hand_type"], -1)))])]


def _caption(results: Mapping[str, Any], valid: NDArray[np.bool_]) -> str:
    """Return file, id, number of valid joints and what the augmentation did, where the sample says so."""
    path = Path(str(results["img_path"]))
    done = [f"{results['id']}: {valid.sum()}/{len(valid)} joints"]
    if results.get("flip"):
        done.append("flipped")
    if results.get("mirrored"):
        done.append("left mirrored")
    turn = float(np.reshape(results.get("bbox_rotation", results.get("cube_rotation", 0.0)), -1)[0])
    if turn:
        done.append(f"turned {turn:.0f}°")  # the content, counter-clockwise
    if "cube_scale" in results:
        done.append(f"x{results['cube_scale']:.2f}")
    return f"{path.parent.name}/{path.name}\n{', '.join(done)}"
