"""What records may say: units, cameras, boxes, sides and ids, checked in one place for all data sets.

Each check is a `Fact`: which of N records it holds for, and what to say about the others. A parser lists its facts in
the order in which they make sense (a joint is finite before it is in front of the camera), and `keep_sound` turns the
records that fail one into record_errors or counted skips. All values are judged as samples have them, in float32: 1e39
is infinite there, and 1e-46 is 0. The bounds are far outside of what hands and cameras are; they find mistakes, not
outliers.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.io.files import MAX_IMAGE_PIXELS, get_array, get_key
from dfmamba.io.record_errors import record_error
from dfmamba.skeleton import NUM_HAND_JOINTS, SIDES, TWO_HANDS, Skeleton, hand_slice

TYPICAL_REACH_MM = 180.0  # wrist to the tip of the middle finger
REACH_MM = (5.0, 5000.0)  # a hand's largest distance from the wrist; a mistake between m and mm leaves it far behind
MIN_DEPTH_MM = 1.0  # nearer joints have no projection to speak of
MAX_DISTANCE_MM = 100_000.0  # of a joint or a camera, each coordinate
FOCAL_PX = (1.0, 1e6)
MAX_PX = 1e6  # of principal points and boxes
ROTATION_TOLERANCE = 1e-3  # numbers may be printed with four digits
JOINTS_FOR_SIZE = 10  # hands with fewer valid joints say nothing about the size of hands
CHUNK = 20_000  # records whose joints are in memory at a time
ONE_HAND_HINT = (
    f"This layout holds {TWO_HANDS.num_joints} joints, the right hand's {NUM_HAND_JOINTS} first. Own data "
    "of one hand goes into the JSON file of docs/own_data.md"
)


class Skip(Exception):  # noqa: N818, it is no error
    """Says why a record is left out that is not faulty."""


@dataclass(frozen=True)
class Fact:
    """What should be true of N records.

    Attributes:
        path: The annotation file; or a function that gives the file of a row.
        expected: What should be true, for the message.
        holds: (N,).
        got: Describes what a row has instead.
        reason: Where it is given, records are left out and counted under this reason, and are not faulty.
    """

    path: Path | Callable[[int], Path]
    expected: str
    holds: NDArray[np.bool_]
    got: Callable[[int], object]
    reason: str = ""

    def of_rows(self, rows: NDArray[np.integer]) -> "Fact":
        """Return a fact about a side table as one about the records (N,) that refer to its rows."""
        path = self.path
        return replace(
            self,
            holds=self.holds[rows],
            got=lambda row: self.got(int(rows[row])),
            path=(lambda row: path(int(rows[row]))) if callable(path) else path,
        )

    def error(self, record: object, row: int) -> ValueError:
        """Return the error for a record that fails."""
        path = self.path(row) if callable(self.path) else self.path
        return record_error(path, record, self.expected, self.got(row))


def keep_sound(
    records: NDArray[Any] | Sequence[object],
    facts: Iterable[Fact],
    record_errors: RecordErrorPolicy,
    skipped: Counter[str],
) -> NDArray[np.bool_]:
    """Return which records pass all facts; the first fact that a record fails decides what becomes of it.

    Args:
        records: (N,), what messages call them.
        facts: In the order in which they are reported.
        record_errors: What happens to faulty records.
        skipped: Counts records that are left out, by reason.
    """
    facts = list(facts)
    good = np.logical_and.reduce([np.ones(len(records), dtype=np.bool_), *(fact.holds for fact in facts)])
    for row in np.flatnonzero(~good).tolist():
        fact = next(fact for fact in facts if not fact.holds[row])
        if fact.reason:
            skipped[fact.reason] += 1
        else:
            record_errors.add(fact.error(records[row], row))
    return good


def in_float32(values: ArrayLike) -> NDArray[np.float32]:
    """Return values as samples have them; too large ones become infinite, too small ones 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values).astype(np.float32)


# ---- joints


class Hands:
    """The joints of N records in camera space, measured in chunks.

    Args:
        joints_of: Gives the joints (n, K, 3) in mm of a slice of the records.
        valid: (N, K).
        skeleton: Of the joints.
        origins: The joint of each hand that its size is measured from, in the order of the hands: wrists, NYU's palm.

    Attributes:
        finite: (N,), whether all valid joints are.
        nearest_mm: (N,), the smallest z of a valid joint.
        farthest_mm: (N,), the largest absolute coordinate of a valid joint.
        reach_mm: (N, hands), the largest distance of a valid joint from the hand's origin; NaN for hands with fewer
            than two valid joints.
        valid_joints: (N, hands), their number.
    """

    def __init__(
        self,
        joints_of: Callable[[slice], NDArray[np.floating]],
        valid: NDArray[np.bool_],
        skeleton: Skeleton,
        origins: Sequence[int],
    ) -> None:
        self.joints_of, self.valid, self.skeleton, self.origins = joints_of, valid, skeleton, list(origins)
        count, hands = len(valid), len(self.origins)
        self._shape = hands, skeleton.num_joints // hands
        self.finite = np.ones(count, dtype=np.bool_)
        self.nearest_mm, self.farthest_mm = np.zeros((2, count), dtype=np.float32)
        self.reach_mm = np.full((count, hands), np.nan, dtype=np.float32)
        self.valid_joints = valid.reshape(count, *self._shape).sum(axis=2)
        for start in range(0, count, CHUNK):
            self._measure(slice(start, min(start + CHUNK, count)))

    @np.errstate(invalid="ignore", over="ignore")  # faulty joints, whose records are told apart by `finite`
    def _measure(self, rows: slice) -> None:
        valid = self.valid[rows]
        # Axis by axis: numpy's reductions over an axis of three numbers take ten times as long.
        axes = np.moveaxis(in_float32(self.joints_of(rows)), -1, 0)
        largest = np.maximum(np.maximum(np.abs(axes[0]), np.abs(axes[1])), np.abs(axes[2]))  # NaN stays NaN
        self.finite[rows] = np.all(np.isfinite(largest) | ~valid, axis=1)
        self.nearest_mm[rows] = np.where(valid, axes[2], np.inf).min(axis=1)
        self.farthest_mm[rows] = np.where(valid, largest, 0).max(axis=1)
        hands = axes.reshape(3, len(valid), *self._shape)
        x, y, z = hands - axes[:, :, self.origins, None]
        squares = np.where(valid.reshape(x.shape), x * x + y * y + z * z, 0).max(axis=2)
        self.reach_mm[rows] = np.where(self.valid_joints[rows] > 1, np.sqrt(squares), np.nan)

    def facts(self, path: Path | Callable[[int], Path], key: str, unit: str, behind: str = "") -> list[Fact]:
        """Return all that should be true of the joints.

        Args:
            path: The file that has them.
            key: Where they are in it.
            unit: The unit that the file should have.
            behind: The reason to leave records out that have a joint behind the camera; they are faulty by default.
        """
        low, high = REACH_MM
        return [
            Fact(
                path,
                f"finite numbers in {key!r} for the valid joints",
                self.finite,
                lambda row: self._describe_joint(row, ~np.all(np.isfinite(self._joints(row)), axis=1)),
            ),
            Fact(
                path,
                f"joints in {unit} in {key!r}, of a hand that reaches {low:g} to {high:g} mm from the "
                f"{self._origin_name}",
                np.all(self._is_sane_reach(self.reach_mm), axis=1),
                self._describe_size,
            ),
            Fact(
                path,
                f"valid joints in front of the camera, by {MIN_DEPTH_MM:g} mm or more, in {key!r}",
                self.nearest_mm >= MIN_DEPTH_MM,
                lambda row: self._describe_joint(row, ~(self._joints(row)[:, 2] >= MIN_DEPTH_MM)),
                behind,
            ),
            Fact(
                path,
                f"valid joints within {MAX_DISTANCE_MM:g} mm of the camera in {key!r}",
                self.farthest_mm <= MAX_DISTANCE_MM,
                lambda row: self._describe_joint(row, np.any(np.abs(self._joints(row)) > MAX_DISTANCE_MM, axis=1)),
            ),
        ]

    def typical_reach_mm(self, sound: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the reach (M,) of those hands of the sound records (N,) that have enough valid joints."""
        return self.reach_mm[(self.valid_joints >= JOINTS_FOR_SIZE) & sound[:, None]]

    @property
    def _origin_name(self) -> str:
        return self.skeleton.names[self.origins[0]].rpartition("_")[2]

    @np.errstate(invalid="ignore", over="ignore")
    def _joints(self, row: int) -> NDArray[np.float32]:
        return in_float32(self.joints_of(slice(row, row + 1))[0])

    def _describe_joint(self, row: int, bad: NDArray[np.bool_]) -> str:
        joint = int(np.argmax(bad & self.valid[row]))
        return f"{self.skeleton.names[joint]} at {self._joints(row)[joint].tolist()} mm in the camera's frame"

    @staticmethod
    def _is_sane_reach(reach_mm: NDArray[np.float32]) -> NDArray[np.bool_]:
        return np.isnan(reach_mm) | ((reach_mm > REACH_MM[0]) & (reach_mm < REACH_MM[1]))

    def _describe_size(self, row: int) -> str:
        reach = float(self.reach_mm[row][~self._is_sane_reach(self.reach_mm[row])][0])
        if reach < 1e-6:
            return "one whose valid joints are all in one point"
        return f"one that reaches {reach:.4g} mm, {describe_factor(reach, TYPICAL_REACH_MM)}"


def describe_factor(measured_mm: float, typical_mm: float) -> str:
    """Say by which power of ten a length is off, and what that may mean; an empty text for less than a factor of 3.

    >>> describe_factor(0.041, 40)
    'too small by 1000: metres where mm belong?'
    """
    power = round(math.log10(measured_mm / typical_mm)) if 0 < measured_mm < math.inf else 0
    meaning = {
        -3: ": metres where mm belong?",
        -2: "",
        -1: ": centimetres where mm belong?",
        3: ": mm taken for metres?",
        1: ": mm taken for centimetres?",
    }.get(power, "")
    return f"too {'small' if power < 0 else 'large'} by {10 ** abs(power)}{meaning}" if power else ""


def check_typical_reach(path: Path, reach_mm: NDArray[np.floating], unit: str) -> None:
    """Refuse a data set whose hands (M,) are in the median too small or too large by 3 or more.

    Single records may be odd; a whole set in centimetres is a mistake, whatever happens to faulty records.

    Raises:
        ValueError: They are.
    """
    typical = float(np.median(reach_mm)) if len(reach_mm) else TYPICAL_REACH_MM
    if factor := describe_factor(typical, TYPICAL_REACH_MM):
        raise ValueError(
            f"{path}: expected joints in {unit}, of hands that reach about {TYPICAL_REACH_MM:g} mm, got "
            f"{typical:.4g} mm in the median of {len(reach_mm)} hands, {factor}"
        )


# ---- cameras


def camera_facts(
    path: Path, focal_px: ArrayLike, principal_point_px: ArrayLike, name_of: Callable[[int], object] = lambda row: ""
) -> list[Fact]:
    """Return what should be true of the intrinsics of C cameras.

    Args:
        path: The file that has them.
        focal_px: (C, 2).
        principal_point_px: (C, 2).
        name_of: Names a camera, for messages.
    """
    focal, point = in_float32(focal_px), in_float32(principal_point_px)
    low, high = FOCAL_PX
    return [
        Fact(
            path,
            f"focal lengths from {low:g} to {high:g} px",
            np.all((focal >= low) & (focal <= high), axis=1),
            lambda row: f"{np.asarray(focal_px)[row].tolist()} {name_of(row)}".strip(),
        ),
        Fact(
            path,
            f"a principal point within {MAX_PX:g} px",
            np.all(np.abs(point) <= MAX_PX, axis=1),
            lambda row: f"{np.asarray(principal_point_px)[row].tolist()} {name_of(row)}".strip(),
        ),
    ]


def pose_facts(
    path: Path,
    rotation: NDArray[np.floating],
    place_mm: NDArray[np.floating],
    name_of: Callable[[int], object] = lambda row: "",
) -> list[Fact]:
    """Return what should be true of the poses of C cameras.

    Args:
        path: The file that has them.
        rotation: (C, 3, 3).
        place_mm: (C, 3), translations or centers.
        name_of: Names a camera, for messages.
    """
    return [
        Fact(
            path,
            "a rotation (an orthonormal matrix with the determinant 1)",
            are_rotations(rotation),
            lambda row: f"{describe_rotation(rotation[row])} {rotation[row].tolist()} {name_of(row)}".strip(),
        ),
        Fact(
            path,
            f"a camera within {MAX_DISTANCE_MM:g} mm of the world's origin",
            np.all(np.abs(in_float32(place_mm)) <= MAX_DISTANCE_MM, axis=1),
            lambda row: f"{place_mm[row].tolist()} {name_of(row)}".strip(),
        ),
    ]


@np.errstate(invalid="ignore", over="ignore")
def are_rotations(matrices: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Say which matrices (..., 3, 3) turn and do nothing else, to the precision of printed numbers."""
    gap = np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max(axis=(-2, -1))
    unit = gap <= ROTATION_TOLERANCE  # False for NaN
    return unit & (np.linalg.det(np.where(unit[..., None, None], matrices, 0)) > 0)


def describe_rotation(matrix: NDArray[np.floating]) -> str:
    """Say what is wrong with a matrix (3, 3) that is no rotation."""
    if not np.isfinite(matrix).all():
        return "a matrix that is not finite"
    determinant = float(np.linalg.det(matrix))
    if abs(determinant) < ROTATION_TOLERANCE:
        return "a singular matrix"
    if abs(abs(determinant) - 1) > 3 * ROTATION_TOLERANCE:
        return f"a matrix that scales (determinant {determinant:.4g})"
    return "a matrix that mirrors (determinant -1)" if determinant < 0 else "a matrix with skewed axes"


def pinhole_of_matrix(
    path: Path, record: object, matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return focal lengths (2,) and principal point (2,) in px of an intrinsic matrix (3, 3); see `camera_facts`.

    Raises:
        ValueError: The matrix is no pinhole camera's: not finite, skewed, or its last row is not 0 0 1.
    """
    focal, principal_point = matrix[[0, 1], [0, 1]], matrix[:2, 2]
    expected = np.array([[focal[0], 0, principal_point[0]], [0, focal[1], principal_point[1]], [0, 0, 1]])
    if not (np.isfinite(matrix).all() and np.allclose(matrix, expected, atol=1e-4)):
        raise record_error(path, record, "'K' [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]", matrix.tolist())
    return focal, principal_point


# ---- boxes, images, sides, ids


def box_fact(
    path: Path | Callable[[int], Path],
    boxes_xywh: NDArray[np.floating],
    expected: str = "a 'bbox' [x, y, w, h] in px with positive w and h",
) -> Fact:
    """Return whether boxes (N, 4) have an area and are of a sane size."""
    boxes = in_float32(boxes_xywh)
    holds = np.all(np.abs(boxes) <= MAX_PX, axis=1) & np.all(boxes[:, 2:] > 0, axis=1)
    return Fact(path, f"{expected}, within {MAX_PX:g} px", holds, lambda row: boxes_xywh[row].tolist())


def image_size_fact(path: Path, sizes: NDArray[np.integer], required: bool = False) -> Fact:
    """Return whether widths and heights (N, 2) in px are those of images; both 0 say that the file has none."""
    width, height = sizes.astype(np.float64).T
    holds = (width > 0) & (height > 0) & (width * height <= MAX_IMAGE_PIXELS)
    if not required:
        holds |= (width == 0) & (height == 0)
    return Fact(
        path,
        f"a 'width' and a 'height' in px of at most {MAX_IMAGE_PIXELS} pixels",
        holds,
        lambda row: sizes[row].tolist(),
    )


def side_fact(path: Path, hand_type: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Fact:
    """Return whether a hand that `hand_type` (N, 2) names has a valid joint, where any hand has one; `valid` (N, 42).

    A named hand without valid joints beside another named one is common: it is hidden.
    """
    there = np.stack([valid[:, hand_slice(side)].any(axis=1) for side in range(len(SIDES))], axis=1)

    def got(row: int) -> str:
        return (
            f"{' and '.join(SIDES[side] for side in np.flatnonzero(hand_type[row]))!r}, and valid joints of the "
            f"{' and the '.join(SIDES[side] for side in np.flatnonzero(there[row]))} hand only"
        )

    return Fact(path, "a 'hand_type' that names a hand with valid joints", np.any(there & hand_type, axis=1), got)


def first_of_each(path: Path, what: str, ids: NDArray[np.integer]) -> Fact:
    """Return which ids (N,) were not there before."""
    first = np.zeros(len(ids), dtype=np.bool_)
    first[np.unique(ids, return_index=True)[1]] = True
    return Fact(path, f"each {what} once", first, lambda row: f"{ids[row]} a second time")


def get_two_hands(path: Path, record: object, mapping: Mapping[str, Any], key: str, *shape: int) -> NDArray[np.float64]:
    """Return `mapping[key]`, numbers of shape (42, *shape).

    Raises:
        ValueError: There is no such key, or the shape is another one; for 21 joints the error says where these belong.
    """
    try:
        return get_array(path, record, mapping, key, (TWO_HANDS.num_joints, *shape))
    except ValueError as error:
        value = get_key(path, record, mapping, key)
        if isinstance(value, list | tuple | np.ndarray) and len(value) == NUM_HAND_JOINTS:
            raise ValueError(f"{error}. {ONE_HAND_HINT}") from error
        raise
