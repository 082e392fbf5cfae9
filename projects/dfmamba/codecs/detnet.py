"""DetNet's targets: heatmaps in the plane, joints and bones in space with one bone of the hand as the unit."""

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from numpy.typing import NDArray

from dfmamba.codecs.a2j import A2JCodec, FloatArray
from dfmamba.skeleton import skeleton_with

TRUNCATION = 3  # where the Gaussians end, in sigmas


@KEYPOINT_CODECS.register_module()
class DetNetCodec(BaseKeypointCodec):
    """Turn one hand's joints (crop px, camera-space mm) into the maps of Zhou et al. 2020 and back.

    A cell of the map covers `input_size` / `map_size` crop pixels (4 x 4): cell c the pixels 4 c to 4 c + 3, with its
    center at 4 c + 1.5. Heatmaps have a Gaussian around the cell of the joint, with peak 1, cut off at 3 sigma. The
    location of a joint is (joint - root) / |bone|; the delta of a joint is the unit vector from its parent to it, and 0
    for the wrist. Published are maps that hold these vectors in every cell; here they are stored once, and the head's
    losses compare every cell with them. Source: Zhou et al., Monocular Real-time Hand Shape and Motion Capture using
    Multi-modal Data (CVPR 2020); sigma and cut-off from its public PyTorch port.

    Args:
        input_size: (width, height) of the crop in px.
        map_size: (width, height) of the maps in cells.
        sigma: Standard deviation of the Gaussians in cells.
        root: Joint at the origin of the locations.
        bone: The two joints whose distance is the unit of the locations.
        num_joints: K, 21, or 14 for NYU's joints (where root and bone must be set).

    Raises:
        ValueError: There is no hand with this number of joints, no joint of that name, or the bone has no length.
    """

    auxiliary_encode_keys = {"keypoints_cam", "space_known"}  # noqa: RUF012, mmpose's interface

    # These tables replace the tables of PackPoseInputs, so they must name everything that losses and metrics read.
    instance_mapping_table = A2JCodec.instance_mapping_table
    label_mapping_table = {  # noqa: RUF012, mmpose's interface
        name: name for name in ("keypoint_weights", "locations", "location_weights", "deltas", "delta_weights")
    }
    field_mapping_table = {"heatmaps": "heatmaps"}  # noqa: RUF012, mmpose's interface

    def __init__(
        self,
        input_size: tuple[int, int] = (128, 128),
        map_size: tuple[int, int] = (32, 32),
        sigma: float = 1.0,
        root: str = "middle1",
        bone: tuple[str, str] = ("wrist", "middle1"),
        num_joints: int = 21,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton_with(num_joints)
        names = self.skeleton.names
        if len(self.skeleton.roots) > 1:
            raise ValueError(f"num_joints: expected the joints of one hand, got {num_joints}, the joints of two")
        if {root, *bone} - set(names) or len(set(bone)) != 2:
            raise ValueError(
                f"root, bone: expected a joint and two different joints of {', '.join(names)}, "
                f"got {root!r} and {tuple(bone)}"
            )
        self.input_size, self.map_size, self.sigma = tuple(input_size), tuple(map_size), sigma
        self.root = names.index(root)
        self.bone = tuple(names.index(joint) for joint in bone)

    @property
    def num_joints(self) -> int:
        """K, the number of joints."""
        return self.skeleton.num_joints

    @property
    def origin(self) -> int:
        """The joint that predictions in mm are relative to: the hand's wrist; `root` for NYU, which has no wrist."""
        return self.skeleton.roots[0] if self.skeleton.roots else self.root

    @property
    def stride(self) -> NDArray[np.float64]:
        """Crop pixels (x, y) that a cell covers."""
        return np.divide(self.input_size, self.map_size)

    def bone_length(self, joints: FloatArray) -> FloatArray:
        """Return the length (...) of the reference bone in joints (..., K, 3), in their unit."""
        start, end = self.bone
        return np.linalg.norm(joints[..., end, :] - joints[..., start, :], axis=-1)

    def encode(
        self,
        keypoints: FloatArray,
        keypoints_visible: FloatArray | None = None,
        keypoints_cam: FloatArray | None = None,
        space_known: FloatArray | None = None,
    ) -> dict[str, FloatArray]:
        """Make the targets of one hand.

        Args:
            keypoints: (1, K, 2 or more): x, y in crop px; the rest is not read.
            keypoints_visible: (1, K), above 0 where a joint is annotated; None where all are.
            keypoints_cam: (1, K, 3) camera-space mm, turned as the crop is (`RotateKeypoints3D`).
            space_known: (2,), of the [right, left] hand, 0 where these are a stand-in; None where they are not.

        Returns:
            All in float32: `heatmaps` (K, H, W), 0 where the weight is 0; `keypoint_weights` (1, K): 1 for annotated
            joints whose Gaussian reaches into the map; `locations` and `deltas` (1, K, 3); `location_weights` and
            `delta_weights` (1, K): 1 for the joints among these for which root and bone, or the parent, are annotated,
            and 0 for all of a hand without a known place in space.

        Raises:
            ValueError: There are not K joints of one hand in the plane and in space.
        """
        hand = (1, self.num_joints)
        if keypoints.shape[:2] != hand or keypoints_cam is None or keypoints_cam.shape != (*hand, 3):
            shapes = keypoints.shape, None if keypoints_cam is None else keypoints_cam.shape
            raise ValueError(
                f"keypoints, keypoints_cam: expected shapes (1, {hand[1]}, 2 or 3) and (1, {hand[1]}, 3), "
                f"got {shapes[0]} and {shapes[1]} (see ToSingleHand)"
            )
        finite = np.all(np.isfinite(keypoints[..., :2]), -1) & np.all(np.isfinite(keypoints_cam), -1)
        annotated = finite if keypoints_visible is None else finite & (keypoints_visible > 0)
        heatmaps, in_view = self._heatmaps(np.where(annotated[..., None], keypoints[..., :2], 0)[0])
        counts = annotated & in_view
        cam = np.where(annotated[..., None], keypoints_cam, 0).astype(np.float64)
        locations, has_location = self._locations(cam, annotated)
        deltas, has_delta = self._deltas(cam, annotated)
        in_space = space_known is None or bool(np.max(space_known) > 0)
        targets = {
            "heatmaps": heatmaps * counts[0, :, None, None],
            "keypoint_weights": counts,
            "locations": locations,
            "location_weights": counts & has_location & in_space,
            "deltas": deltas,
            "delta_weights": counts & has_delta & in_space,
        }
        return {name: target.astype(np.float32) for name, target in targets.items()}

    def _heatmaps(self, points_px: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the Gaussians (K, H, W) around points (K, 2), and which of them (K,) reach into the map."""
        cells = np.floor((points_px + 0.5) / self.stride)
        radius = int(TRUNCATION * self.sigma)
        in_view = np.all((cells + radius >= 0) & (cells - radius < self.map_size), axis=-1)
        columns, rows = (
            self._gaussian(np.arange(size, dtype=float) - cells[:, axis, None], radius)
            for axis, size in enumerate(self.map_size)
        )
        return rows[:, :, None] * columns[:, None, :], in_view

    def _gaussian(self, distances: FloatArray, radius: int) -> FloatArray:
        """Return the values of the cut-off Gaussian at distances in cells."""
        return np.exp(-(distances**2) / (2 * self.sigma**2)) * (np.abs(distances) <= radius)

    def _locations(self, cam: FloatArray, annotated: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return (joint - root) / |bone| and which of them are known."""
        length = self.bone_length(cam)[:, None]  # (1, 1)
        known = annotated & annotated[:, [self.root, *self.bone]].all(-1, keepdims=True) & (length > 0)
        relative = cam - cam[:, self.root, None]
        return np.where(known[..., None], relative / np.where(length > 0, length, 1)[..., None], 0), known

    def _deltas(self, cam: FloatArray, annotated: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the unit vectors from the parents to the joints, and which of them are known."""
        parents = [joint if parent < 0 else parent for joint, parent in enumerate(self.skeleton.parents)]
        bones = cam - cam[:, parents]
        lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
        known = annotated & annotated[:, parents]
        return np.where(known[..., None], bones / np.where(lengths > 0, lengths, 1), 0), known

    def decode(self, heatmaps: FloatArray, location_maps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Read the joints out at the peaks of the heatmaps.

        Args:
            heatmaps: (K, H, W).
            location_maps: (3 K, H, W); channel 3 j + i is coordinate i of joint j.

        Returns:
            Points (1, K, 2), the centers of the peaks' cells in crop px; scores (1, K), the peaks' heights; and
            locations (1, K, 3) in units of the reference bone, relative to the root.

        Raises:
            ValueError: The maps do not have `map_size`.
        """
        width, height = self.map_size
        joints = self.num_joints
        if heatmaps.shape != (joints, height, width) or location_maps.shape != (3 * joints, height, width):
            raise ValueError(
                f"heatmaps, location_maps: expected shapes {(joints, height, width)} and "
                f"{(3 * joints, height, width)}, got {heatmaps.shape} and {location_maps.shape}"
            )
        flat = heatmaps.reshape(joints, -1)
        peaks = flat.argmax(-1)
        cells = np.stack([peaks % width, peaks // width], axis=-1)  # column, row
        points = ((cells + 0.5) * self.stride - 0.5).astype(np.float32)
        locations = location_maps.reshape(joints, 3, -1)[np.arange(joints), :, peaks]
        return points[None], flat.max(-1)[None], locations[None]
