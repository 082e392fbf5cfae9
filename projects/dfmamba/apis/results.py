"""What comes out of a picture: the joints of its hands, with their names, frames and units."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.apis.pictures import Picture
from dfmamba.io.outputs import check_output_file
from dfmamba.skeleton import Skeleton

Array = NDArray[np.float32]
DRAWN_PX = 768  # a picture is drawn at least half as large
UNITS = {
    "box": "x0, y0, x1, y1 in px of the picture",
    "keypoints_px": "x, y in px of the picture; the center of its first pixel is 0, 0",
    "depth_mm": "mm behind the root joint, along the optical axis",
    "keypoints_mm": "x right, y down, z away from the camera, in mm, relative to the root joint",
    "keypoints_cam_mm": "x right, y down, z away from the camera, in mm, from the camera's center",
    "scores": "0 to 1, higher is surer; no probability",
}


@dataclass(frozen=True)
class HandJoints:
    """The J joints of one hand.

    Attributes:
        side: 'right' or 'left'; None where the model does not tell hands apart (NYU).
        side_is_assumed: The model sees one hand and takes it for one of this side.
        size_is_assumed: `keypoints_mm` are those of a hand of usual size (`dfmamba.natural_size`): nobody knows more.
        presence: Probability that this hand is there; None where the model does not say.
        skeleton: Names and bones of the joints.
        root: What z is relative to: the name of a joint, or 'center' (NYU: the depth of the crop's center).
        keypoints_px: (J, 2).
        depth_mm: (J,).
        scores: (J,).
        keypoints_mm: (J, 3), from the model, from the camera, or else for a hand of usual size; None of NYU's joints.
        keypoints_cam_mm: (J, 3); None where camera or root depth are not known.

    Frames and units are `UNITS`.
    """

    side: str | None
    side_is_assumed: bool
    size_is_assumed: bool
    presence: float | None
    skeleton: Skeleton = field(repr=False)
    root: str
    keypoints_px: Array = field(repr=False)
    depth_mm: Array = field(repr=False)
    scores: Array = field(repr=False)
    keypoints_mm: Array | None = field(repr=False)
    keypoints_cam_mm: Array | None = field(repr=False)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Name of every joint."""
        return self.skeleton.names

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers; what is not known is None."""
        arrays = ("keypoints_px", "depth_mm", "scores", "keypoints_mm", "keypoints_cam_mm")
        return {
            "side": self.side,
            "side_is_assumed": self.side_is_assumed,
            "size_is_assumed": self.size_is_assumed,
            "presence": self.presence,
            "root": self.root,
            "joint_names": list(self.joint_names),
            **{name: None if (value := getattr(self, name)) is None else value.tolist() for name in arrays},
        }


@dataclass(frozen=True)
class Detection:
    """One box and the hands in it: two of a model for pairs of hands, else one.

    Attributes:
        box: (4,), x0, y0, x1, y1 in px, as the model has seen it.
        score: Of the box, as the detector says; 1 where the box was given or is the whole picture.
        hands: The right one first.
    """

    box: Array
    score: float
    hands: tuple[HandJoints, ...]


@dataclass(frozen=True)
class PictureHands:
    """All hands of a picture.

    Attributes:
        picture: Where it comes from.
        size: Width and height in px.
        detections: One for each box.
    """

    picture: Picture
    size: tuple[int, int]
    detections: tuple[Detection, ...]

    @property
    def hands(self) -> tuple[HandJoints, ...]:
        """All hands of all boxes."""
        return tuple(hand for detection in self.detections for hand in detection.hands)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers with their units, for `json.dumps`."""
        return {
            "picture": self.picture.name,
            "width": self.size[0],
            "height": self.size[1],
            "units": UNITS,
            "detections": [
                {"box": one.box.tolist(), "score": one.score, "hands": [hand.to_json() for hand in one.hands]}
                for one in self.detections
            ],
        }

    def to_coco(self, image_id: int, first_id: int = 1) -> dict[str, list[dict[str, Any]]]:
        """Return `images` and `annotations` of COCO's keypoint format: one annotation a hand, all joints visible (2).

        Args:
            image_id: Of this picture.
            first_id: Of the first annotation; the others count on.
        """
        annotations = []
        for number, hand in enumerate(self.hands, first_id):
            low, high = hand.keypoints_px.min(axis=0), hand.keypoints_px.max(axis=0)
            x, y, width, height = (float(value) for value in (*low, *(high - low)))
            points = np.column_stack([hand.keypoints_px, np.full(len(hand.keypoints_px), 2)])
            annotations.append(
                {
                    "id": number,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "keypoints": points.astype(float).ravel().tolist(),
                    "num_keypoints": len(points),
                    "score": float(hand.scores.mean()),
                    "side": hand.side,
                }
            )
        image = {"id": image_id, "file_name": self.picture.name, "width": self.size[0], "height": self.size[1]}
        return {"images": [image], "annotations": annotations}

    def draw(self) -> NDArray[np.uint8]:
        """Return the joints on the picture, and beside it each hand in space from three sides, (H, W, 3) RGB.

        Small pictures are enlarged, a whole number of times, so that the joints can be told apart.
        """
        from dfmamba.visualization.overlay import draw_skeleton, stack_images, to_rgb

        pixels = self.picture.read()
        drawing = to_rgb(pixels if pixels.ndim == 3 else pixels[..., None])
        times = max(1, DRAWN_PX // max(drawing.shape[:2]))
        drawing = drawing.repeat(times, axis=0).repeat(times, axis=1)
        for hand in self.hands:
            points = (hand.keypoints_px + 0.5) * times - 0.5  # the center of the first pixel is 0, 0
            drawing = draw_skeleton(drawing, points, np.ones(len(hand.scores), dtype=bool), hand.skeleton)
        if not self.hands:
            return drawing
        in_space = stack_images([_in_space(hand) for hand in self.hands])
        beside = stack_images([one.swapaxes(0, 1) for one in (drawing, in_space)])
        return np.ascontiguousarray(beside.swapaxes(0, 1))

    def save(self, path: str | Path) -> Path:
        """Write `draw()` as an image.

        Raises:
            UserError: The file cannot be written there.
        """
        from dfmamba.visualization.contact_sheet import save_image

        path = check_output_file("path", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(path, self.draw())
        return path


def _in_space(hand: HandJoints) -> NDArray[np.uint8]:
    """Draw a hand from three sides: in mm where these are known, else x and y in px."""
    from dfmamba.visualization.view3d import render_views

    name = "hand" if hand.side is None else f"{hand.side} hand{' (assumed)' if hand.side_is_assumed else ''}"
    unit = "mm, for a hand of usual size" if hand.size_is_assumed else "mm"
    valid = np.ones(len(hand.scores), dtype=bool)
    if hand.keypoints_mm is not None:
        return render_views(hand.keypoints_mm, valid, hand.skeleton, title=f"{name}, {unit}")
    joints = np.column_stack([hand.keypoints_px, hand.depth_mm])
    return render_views(joints, valid, hand.skeleton, title=f"{name}, x and y in px, z in mm", unit_xy="px")
