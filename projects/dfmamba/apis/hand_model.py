"""What `HandPoseInferencer` asks of a model, whatever runs it: boxes of pictures in, joints out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dfmamba.apis.pictures import Picture

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """What is known of the camera; with the depths of the roots, joints come out in camera space.

    Attributes:
        focal_px: Focal lengths in x and y, px.
        principal_point_px: Principal point, px.
        root_depth_mm: Depth of the root: one number, or [right, left]; None where it is not known.
    """

    focal_px: tuple[float, float]
    principal_point_px: tuple[float, float]
    root_depth_mm: float | tuple[float, float] | None = None


@dataclass(frozen=True)
class KnownOfHand:
    """What no picture tells and the user may know.

    Attributes:
        side: 'right' or 'left', of the hand that a model of one hand sees.
        bone_length_mm: Length of the bone wrist-middle1, which scales DetNet's joints.
        center_depth_mm: Depth of the hand's center in an NYU depth image.
    """

    side: str | None = None
    bone_length_mm: float | None = None
    center_depth_mm: float | None = None


class LoadedPicture(NamedTuple):
    """A picture, its pixels, and the boxes (N, 5) to look at: x0, y0, x1, y1 in px, and a score."""

    picture: Picture
    pixels: NDArray[Any]
    boxes: Array


class Prediction(NamedTuple):
    """The joints in one box.

    Attributes:
        joints: (J, 3), x, y in px of the picture, z in mm relative to the root of the joint's hand. J = 42: a right
            and a left hand; 21: a hand of the side that the user names; 14: NYU's.
        scores: (J,).
        joints_mm: (J, 3) in mm relative to the root; None where the model does not tell.
        presence: (2,), probabilities of a right and a left hand; None where the model does not tell.
    """

    joints: NDArray[np.floating]
    scores: NDArray[np.floating]
    joints_mm: NDArray[np.floating] | None
    presence: NDArray[np.floating] | None


class HandModel(Protocol):
    """Something that finds joints in boxes.

    Attributes:
        card: Of a packed or exported model: name, data, errors; None where there is none.
    """

    card: Mapping[str, Any] | None

    def predict(self, pictures: Sequence[LoadedPicture], camera: Camera | None, batch_size: int) -> list[Prediction]:
        """Return what is in all boxes of all pictures, one after the other, at most `batch_size` at a time."""
        ...
