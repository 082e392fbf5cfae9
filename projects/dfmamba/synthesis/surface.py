"""The skin of one subject: a closed mesh around the capsules at rest, bound to the bones.

The `Capsules` are blended to one smooth field, which is meshed once per subject in a rest pose with spread,
slightly bent fingers. Posing is linear-blend skinning; the half bones of `hand` keep bent joints round.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS
from dfmamba.synthesis.capsules import FINGER_RADII_MM, Capsules, hand_capsules
from dfmamba.synthesis.hand import (
    ANGLES,
    BONE,
    BONES,
    FINGER_JOINTS,
    NUM_ANGLES,
    SEGMENTS,
    Articulation,
    HandShape,
    articulate,
)
from dfmamba.synthesis.meshing import surface_nets

BLEND_MM = 2.2  # how far neighbouring capsules melt into each other
CELL_MM, FOREARM_CELL_MM = 2.3, 9.0
WEIGHT_SMOOTHING_STEPS, PALM_SMOOTHING_STEPS = 8, 12
PARTS = ("forearm", "palm", *(f"{finger}{k}" for finger in FINGERS for k in range(1, SEGMENTS + 1)))
COARSE = 3  # grid cells of the first look at the field
_CHUNK = 20000  # points at once, bounds the memory


def _rest_angles() -> Array:
    """Return the pose in which the skin is made, in degrees: fingers apart, so that they do not melt together."""
    named = {"thumb_spread": 5.0, "thumb_flexion": -5.0, "thumb_flexion2": 12.0, "thumb_flexion3": 10.0}
    for finger, spread in (("index", 12.0), ("middle", 0.0), ("ring", 9.0), ("pinky", 16.0)):
        named |= {
            f"{finger}_spread": spread,
            f"{finger}_flexion": 12.0,
            f"{finger}_flexion2": 22.0,
            f"{finger}_flexion3": 12.0,
        }
    angles = np.zeros(NUM_ANGLES)
    for name, value in named.items():
        angles[ANGLES.index(name)] = value
    return angles


REST_ANGLES_DEG = _rest_angles()


@dataclass(frozen=True)
class HandSurface:
    """The skin of one subject's right hand.

    Attributes:
        shape: The subject's sizes.
        capsules: The capsules under the skin.
        rest: The pose in which the skin was made.
        vertices_mm: (V, 3) at rest, in the hand frame.
        faces: (F, 3) counter-clockwise seen from outside.
        weights: (V, bones) skinning weights; each row sums to one.
        parts: (V,) index into `PARTS`.
    """

    shape: HandShape
    capsules: Capsules
    rest: Articulation
    vertices_mm: Array
    faces: np.ndarray
    weights: Array
    parts: np.ndarray

    def posed(self, pose: Articulation) -> Array:
        """Return the vertices (V, 3) in mm, in the hand frame, of a posed hand (no leading axes)."""
        turn = pose.rotations @ self.rest.rotations.swapaxes(-1, -2)
        shift = pose.origins_mm - (turn @ self.rest.origins_mm[..., None])[..., 0]
        blended = self.weights @ np.concatenate([turn.reshape(-1, 9), shift], axis=1)  # (V, 12)
        return np.einsum("vij,vj->vi", blended[:, :9].reshape(-1, 3, 3), self.vertices_mm) + blended[:, 9:]


def make_surface(shape: HandShape) -> HandSurface:
    """Make one subject's skin; takes about a second, so keep the result."""
    rest = articulate(shape, REST_ANGLES_DEG)
    capsules = hand_capsules(shape)
    ends = capsules.posed_ends(rest)
    reach = capsules.radii_mm[..., None] + 2 * CELL_MM
    low, high = (ends - reach).min(axis=(0, 1)), (ends + reach).max(axis=(0, 1))
    grid = tuple(np.arange(low[a], high[a] + CELL_MM, CELL_MM) for a in (0, 2))
    along = np.concatenate(
        [np.arange(low[1] - 2 * FOREARM_CELL_MM, -30, FOREARM_CELL_MM), np.arange(-30, high[1], CELL_MM)]
    )
    axes = (grid[0], along, grid[1])
    vertices, faces = surface_nets(_field_near_skin(axes, ends, capsules.radii_mm), axes)
    vertices = _settled(vertices, ends, capsules.radii_mm)
    nearest = capsule_distances(vertices, ends, capsules.radii_mm).argmin(axis=1)
    finger, segment = capsules.finger[nearest], capsules.segment[nearest]
    is_palm = (finger < 0) & (capsules.bone[nearest] != BONE["forearm"])
    parts = np.where(finger >= 0, 2 + SEGMENTS * finger + segment - 1, is_palm.astype(int))
    average = _neighbour_average(faces, len(vertices))
    weights = _bone_weights(vertices, finger, rest, shape)
    for _ in range(WEIGHT_SMOOTHING_STEPS):
        weights = average @ weights
    # Seams between the palm's capsules vanish; fingers and forearm keep their form.
    soft = (is_palm | ((finger == FINGERS.index("thumb")) & (segment == 1))).astype(float)
    for _ in range(2):
        soft = average @ soft
    for _ in range(PALM_SMOOTHING_STEPS):
        vertices = vertices + soft[:, None] * (average @ vertices - vertices)
    return HandSurface(shape, capsules, rest, vertices, faces, weights, parts)


def capsule_distances(points: Array, ends: Array, radii: Array) -> Array:
    """Return the signed distances (N, P) in mm from points (N, 3) to tapered capsules (P, 2, 3), radii (P, 2).

    Measured from the nearest point of the axis, hence a little too large beside a strongly tapered capsule.
    """
    points, ends, radii = (np.asarray(values, dtype=np.float32) for values in (points, ends, radii))
    axis = ends[:, 1] - ends[:, 0]
    axis_square = (axis * axis).sum(axis=1)
    projected = points @ axis.T - (ends[:, 0] * axis).sum(axis=1)
    along = np.clip(projected / axis_square, 0, 1)  # (N, P)
    # |p - a - t (b - a)|^2 without an (N, P, 3) array
    square = (points * points).sum(axis=1)[:, None] - 2 * points @ ends[:, 0].T + (ends[:, 0] ** 2).sum(axis=1)
    square += along * (along * axis_square - 2 * projected)
    return np.sqrt(np.maximum(square, 0)) - (radii[:, 0] + along * (radii[:, 1] - radii[:, 0]))


def skin_distance(points: Array, ends: Array, radii: Array) -> Array:
    """Return the smooth minimum (N,) of the distances to all capsules: -k log(sum exp(-d / k) / 2) with k = BLEND_MM.

    The 2 puts the skin where two equal capsules have theirs, as along every finger (bone and pad).
    """
    result = np.empty(len(points))
    for first in range(0, len(points), _CHUNK):
        distance = capsule_distances(points[first : first + _CHUNK], ends, radii)
        least = distance.min(axis=1, keepdims=True)
        total = np.exp((least - distance) / BLEND_MM).sum(axis=1)
        result[first : first + _CHUNK] = least[:, 0] - BLEND_MM * np.log(total / 2)
    return result


def _field_near_skin(axes: tuple[Array, Array, Array], ends: Array, radii: Array) -> Array:
    """Return the skin distance (X, Y, Z) on a grid: exact near the skin, that of a coarse neighbour elsewhere."""
    coarse_nodes = [np.arange(len(axis)) // COARSE * COARSE for axis in axes]
    coarse_axes = [axis[::COARSE] for axis in axes]
    points = np.stack(np.meshgrid(*coarse_axes, indexing="ij"), axis=-1)
    coarse = skin_distance(points.reshape(-1, 3), ends, radii).reshape(points.shape[:3])
    field = coarse[np.ix_(*(nodes // COARSE for nodes in coarse_nodes))]
    # The distance changes by no more than the way to the coarse neighbour; one more cell for the surface's corners.
    way = np.sqrt(
        sum(
            np.square(axis - axis[nodes]).reshape([-1 if a == b else 1 for b in range(3)])
            for a, (axis, nodes) in enumerate(zip(axes, coarse_nodes, strict=True))
        )
    )
    near = np.nonzero(np.abs(field) < way + 2 * CELL_MM)
    field[near] = skin_distance(np.stack([axis[n] for axis, n in zip(axes, near, strict=True)], axis=1), ends, radii)
    return field


def _settled(vertices: Array, ends: Array, radii: Array) -> Array:
    """Move vertices onto the zero level by one Newton step along the numerical gradient."""
    value, step = skin_distance(vertices, ends, radii), 0.2
    gradient = (
        np.stack([skin_distance(vertices + step * axis, ends, radii) - value for axis in np.eye(3)], axis=1) / step
    )
    square = np.maximum((gradient * gradient).sum(axis=1), 0.1)
    return vertices - (value / square)[:, None] * gradient


def _bone_weights(vertices: Array, finger: np.ndarray, rest: Articulation, shape: HandShape) -> Array:
    """Return skinning weights (V, bones) before smoothing: how far a vertex lies beyond each joint of its chain."""
    weights = np.zeros((len(vertices), len(BONES)))
    # Palm: by the place across the knuckles, then forearm below the wrist.
    x = vertices[:, 0]
    names = ("pinky_metacarpal", "ring_metacarpal", "palm")
    places = [shape.knuckles_mm[FINGERS.index(name), 0] for name in ("pinky", "ring", "middle")]
    for k, name in enumerate(names):
        weights[:, BONE[name]] = np.interp(x, places, np.eye(3)[k])
    beyond = _beyond(-vertices[:, 1], 14.0)
    weights *= ((1 - beyond) ** 2)[:, None]
    weights[:, BONE["half_wrist"]] = 2 * beyond * (1 - beyond)
    weights[:, BONE["forearm"]] = beyond**2

    for index, name in enumerate(FINGERS):
        own = np.flatnonzero(finger == index)
        joints = rest.joints_mm[FINGER_JOINTS[index]]
        directions = np.diff(joints, axis=0)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        for segment in range(SEGMENTS):
            normal = directions[segment] + directions[max(segment - 1, 0)]
            past = (vertices[own] - joints[segment]) @ (normal / np.linalg.norm(normal))
            width = 10.0 if segment == 0 else 0.35 * FINGER_RADII_MM[index, segment]
            beyond = _beyond(past, width)
            weights[own] *= ((1 - beyond) ** 2)[:, None]
            weights[own, BONE[f"half_{name}{segment + 1}"]] = 2 * beyond * (1 - beyond)
            weights[own, BONE[f"{name}{segment + 1}"]] = beyond**2
    return weights


def _beyond(distance: Array, width: float) -> Array:
    """Return 0 before a joint, 1 after it and a straight line between, over twice the width."""
    return np.clip((distance + width) / (2 * width), 0, 1)


def _neighbour_average(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """Return the matrix (count, count) that replaces each vertex' value by the mean over itself and its neighbours."""
    start, end = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    near = sparse.coo_matrix((np.ones(len(start)), (start, end)), shape=(count, count)).tocsr()
    near = sparse.identity(count) + (near + near.T) / 2
    return sparse.csr_matrix(sparse.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near)
