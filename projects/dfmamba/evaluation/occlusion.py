"""How much of a hand is hidden: an estimate from the joints alone, so that it can be had for every data set."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.skeleton import Skeleton

BONE_RADIUS_MM = 9.0  # half the thickness of a finger
POINTS_ON_BONE = 5
_CHUNK = 256  # samples at a time, to bound the memory


def hidden_joints(joints_mm: ArrayLike, valid: ArrayLike, skeleton: Skeleton) -> NDArray[np.bool_]:
    """Tell which joints lie behind a bone, of either hand, as the camera sees them.

    A bone hides a joint if a point on it is within `BONE_RADIUS_MM` of the line from the camera to the joint, and
    nearer to the camera by more than a finger's thickness. The joint's own bones do not count. Only bones with two
    valid ends hide, and only valid joints are hidden. Palms are as wide as their five bones, and objects are not seen
    at all, so that the estimate is low; it orders samples by how hard they are.

    Args:
        joints_mm: Joints in camera space, (N, J, 3) in mm.
        valid: Which of them are annotated, (N, J).
        skeleton: Of these J joints.

    Returns:
        (N, J).
    """
    joints, valid = np.asarray(joints_mm, dtype=np.float64), np.asarray(valid, dtype=bool)
    chunks = [
        _hidden(joints[start : start + _CHUNK], valid[start : start + _CHUNK], skeleton)
        for start in range(0, len(joints), _CHUNK)
    ]
    return np.concatenate(chunks) if chunks else np.zeros_like(valid)


def hidden_share(joints_mm: ArrayLike, valid: ArrayLike, skeleton: Skeleton) -> NDArray[np.floating]:
    """Return the share of the valid joints that are hidden, (N,); NaN where none is valid. See `hidden_joints`."""
    hidden, valid = hidden_joints(joints_mm, valid, skeleton), np.asarray(valid, dtype=bool)
    counts = valid.sum(axis=1)
    share: NDArray[np.floating] = np.full(len(valid), np.nan)
    np.divide(hidden.sum(axis=1), counts, out=share, where=counts > 0)
    return share


def _hidden(joints: NDArray[np.floating], valid: NDArray[np.bool_], skeleton: Skeleton) -> NDArray[np.bool_]:
    """Return `hidden_joints` of some samples."""
    distance = np.linalg.norm(joints, axis=-1)
    ray = joints / np.maximum(distance, 1e-9)[..., None]
    hidden: NDArray[np.bool_] = np.zeros_like(valid)
    for child, parent in skeleton.bones:
        can_hide = valid[:, child] & valid[:, parent]
        others = np.delete(np.arange(joints.shape[1]), [child, parent])
        for along in np.linspace(0, 1, POINTS_ON_BONE):
            point = (1 - along) * joints[:, child] + along * joints[:, parent]
            depth = np.einsum("nc,njc->nj", point, ray[:, others])  # of the point along each joint's ray
            off_ray = np.linalg.norm(point[:, None] - depth[..., None] * ray[:, others], axis=-1)
            in_front = depth < distance[:, others] - 2 * BONE_RADIUS_MM
            hidden[:, others] |= can_hide[:, None] & (depth > 0) & in_front & (off_ray < BONE_RADIUS_MM)
    hidden &= valid
    return hidden
