"""Places in mm where nobody knows the camera: hands have about one size, which tells how large a pixel is.

Over the depth of one hand a camera at an arm's length or further shrinks things alike (weak perspective), so x and y in
mm are those in px times one number s. A bone that is d px long and whose ends differ by z mm in depth then has the
length L with L^2 = s^2 d^2 + z^2. Of a hand of usual size L is known, and s^2 is the least-squares solution over all
bones. A child's hand comes out too large, and a hand that only shows its thickness has little to measure.
"""

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import HAND_BONES_MM, HAND_JOINTS, ONE_HAND, WRIST

_CHILD, _PARENT = (np.array(ends) for ends in zip(*ONE_HAND.bones, strict=True))
# A finger's joint 1 ends its bone in the palm, 2 to 4 those that follow.
_LENGTH_MM = np.array([HAND_BONES_MM[HAND_JOINTS[child][:-1]][int(HAND_JOINTS[child][-1]) - 1] for child in _CHILD])


def mm_per_px(points_px: Array, depth_mm: Array) -> float:
    """Return s, the size of a pixel in mm at the hand, for a hand of usual size.

    Args:
        points_px: (21, 2) in canonical order.
        depth_mm: (21,), relative to any point.
    """
    across = ((points_px[_CHILD] - points_px[_PARENT]) ** 2).sum(axis=1)
    along = (depth_mm[_CHILD] - depth_mm[_PARENT]) ** 2
    square = (across * (_LENGTH_MM**2 - along)).sum() / max((across**2).sum(), 1e-12)
    if square <= 0:  # depths alone are longer than bones: they tell nothing
        square = (_LENGTH_MM**2).sum() / max(across.sum(), 1e-12)
    return float(np.sqrt(square))


def place_in_mm(points_px: Array, depth_mm: Array) -> Array:
    """Return joints (21, 3) in mm relative to the wrist: x right, y down, z away from the camera. See `mm_per_px`."""
    in_plane = mm_per_px(points_px, depth_mm) * (points_px - points_px[WRIST])
    return np.concatenate([in_plane, (depth_mm - depth_mm[WRIST])[:, None]], axis=1)
