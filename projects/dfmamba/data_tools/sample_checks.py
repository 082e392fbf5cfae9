"""Checks of sampled records against what hands, cameras and images can be: units, projection, depth, boxes, validity.

A finding is WRONG where training would learn nonsense, a WARNING where somebody should look. Real sets have a few bad
records, so that for checks joint by joint a small share may fail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfmamba.data_tools.bone_checks import (
    MIN_VOTES,
    WRONG_VOTES,
    count_wrong_bends,
    describe_unlikely_bones,
    find_other_order,
    measure_bones,
)
from dfmamba.datasets.base import HandDataset
from dfmamba.datasets.validation import describe_factor
from dfmamba.geometry import project
from dfmamba.io.images import ImageError, check_image_content, read_image_size
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, ONE_HAND, SIDES, Skeleton, skeleton_with, spread_over_joints

OK, WARNING, WRONG = "ok", "warning", "wrong"

TYPICAL_BONE_MM = 40.0  # between a finger bone and one of the palm
BONE_MM = (3.0, 200.0)
TYPICAL_DEPTH_MM = 700.0
DEPTH_MM = (100.0, 3000.0)  # of the median; headsets see hands from 0.2 m, InterHand2.6M's cameras from about 1 m
CONTRACT_PX = 0.5  # `keypoints` against the projection of `keypoints_cam`: float32 and nothing else
FILE_PX = 2.0  # against the points in the file; RHD's differ by 0.1 px
BOX_PX = 2.0
SHARE_OF_OUTLIERS = 0.01
SHARE_IN_BOX = 0.8
ONLY_IN_IMAGE = "the files have no place in space for any joint, only places in the image"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: Of the check.
        level: `OK`, `WARNING` or `WRONG`.
        text: Figures, and where something is wrong a record to look at.
    """

    name: str
    level: str
    text: str


class Samples:
    """The sampled records as arrays.

    Args:
        samples: As in the table of `dfmamba.datasets.base`.
        joint_orders: Orders that the joints may be in instead, see `HandDataset.joint_orders`.

    Attributes:
        keypoints, keypoints_cam: (n, K, 3), float64.
        valid: (n, K).
        in_space: (n, K), the valid joints whose place in space is known.
        focal, principal_pt: (n, 1, 2) px.
        bbox: (n, 4) px, x0, y0, x1, y1.
        hand_type: (n, 2).
        image_sizes: (n, 2) px, width and height that the files or the format say; 0 where they do not.
    """

    def __init__(
        self, samples: Sequence[Mapping[str, Any]], joint_orders: Mapping[str, tuple[int, ...]] | None = None
    ) -> None:
        def stack(key: str) -> NDArray[np.float64]:
            return np.stack([sample[key] for sample in samples]).astype(np.float64)

        self.samples, self.joint_orders = samples, joint_orders
        self.keypoints, self.keypoints_cam = stack("keypoints")[:, 0], stack("keypoints_cam")[:, 0]
        self.valid = stack("keypoints_visible")[:, 0] > 0
        self.focal, self.principal_pt = stack("focal")[:, None], stack("principal_pt")[:, None]
        self.bbox, self.hand_type = stack("bbox")[:, 0], stack("hand_type")[:, 0] > 0
        self.image_sizes = np.stack([sample["image_size"] for sample in samples]).astype(np.int64)
        self.skeleton: Skeleton = skeleton_with(self.valid.shape[1])
        known = [spread_over_joints(sample.get("space_known", (1, 1)), self.valid.shape[1]) for sample in samples]
        self.in_space = self.valid & (np.array(known) > 0)

    def name(self, number: int) -> str:
        """Return what finds a record again."""
        return f"record {self.samples[number]['id']} ({self.samples[number]['img_path']})"


def check_samples(samples: Samples, points_px: NDArray[np.float64], image_sizes: NDArray[np.int64]) -> list[Finding]:
    """Run all checks that need no pixels.

    Args:
        samples: The sampled records.
        points_px: (n, K, 2), the joints in the image that the files have beside those in space; NaN without any.
        image_sizes: (n, 2), those of the image files, 0 where unknown.
    """
    finite = check_numbers(samples)
    if finite.level == WRONG:
        return [finite]
    return [
        check_bones(samples),
        check_order(samples),
        check_depth(samples),
        check_contract(samples),
        check_projection(samples, points_px),
        check_boxes_in_images(samples, image_sizes),
        check_joints_in_boxes(samples),
        check_validity(samples),
    ]


def check_numbers(samples: Samples) -> Finding:
    """Joints, cameras and boxes are finite, and focal lengths positive."""
    arrays = (samples.keypoints, samples.keypoints_cam, samples.focal, samples.principal_pt, samples.bbox)
    good = np.logical_and.reduce([np.isfinite(values).reshape(len(values), -1).all(axis=1) for values in arrays])
    good &= (samples.focal > 0).all(axis=(1, 2))
    if good.all():
        return Finding("numbers", OK, "all finite")
    return Finding(
        "numbers",
        WRONG,
        f"{(~good).sum()} of {len(good)} records have joints, cameras or boxes that are "
        f"not finite, or focal lengths that are not positive: {samples.name(int(np.argmin(good)))}",
    )


def check_bones(samples: Samples) -> Finding:
    """Bones are as long as those of hands; a wrong unit is named."""
    child, parent = np.array(samples.skeleton.bones).T
    if samples.valid.any() and not samples.in_space.any():
        return Finding("bone lengths", OK, ONLY_IN_IMAGE)
    known = samples.in_space[:, child] & samples.in_space[:, parent]  # (n, bones)
    lengths = np.linalg.norm(samples.keypoints_cam[:, child] - samples.keypoints_cam[:, parent], axis=-1)
    if not known.any():
        return Finding("bone lengths", WARNING, "no bone has two valid ends")
    median = float(np.median(lengths[known]))
    text = f"median {median:.3g} mm"
    if factor := describe_factor(median, TYPICAL_BONE_MM):
        return Finding("bone lengths", WRONG, f"{text}, expected about {TYPICAL_BONE_MM:g} mm: {factor}")
    bad = known & ((lengths < BONE_MM[0]) | (lengths > BONE_MM[1]))
    if not bad.any():
        shortest, longest = lengths[known].min(), lengths[known].max()
        return Finding("bone lengths", OK, f"{text}, all from {shortest:.1f} to {longest:.1f} mm")
    number, bone = np.argwhere(bad)[0]
    return Finding(
        "bone lengths",
        _level(bad.sum() / known.sum()),
        f"{text}; {bad.sum()} of {known.sum()} are not from {BONE_MM[0]:g} to {BONE_MM[1]:g} mm, such as "
        f"{samples.skeleton.names[child[bone]]} with {lengths[number, bone]:.3g} mm in "
        f"{samples.name(number)}",
    )


def check_order(samples: Samples) -> Finding:
    """Joints are in the order that they should be in, and hands of the side that they are said to be."""
    name, skeleton = "order of joints", samples.skeleton
    if not skeleton.roots:  # NYU: of its points, not even the wrist has a fixed place in a hand
        unlikely = describe_unlikely_bones(measure_bones(samples.keypoints_cam, samples.valid, skeleton))
        return Finding(name, WRONG, f"unlikely bones: {unlikely}") if unlikely else Finding(name, OK, "as in hands")
    joints = samples.keypoints_cam.reshape(-1, NUM_HAND_JOINTS, 3)
    # A hand that is known in the image only has the lengths of its bones there: in the median they tell the order, too.
    known = samples.in_space if samples.in_space.any() else samples.valid
    valid = known.reshape(-1, NUM_HAND_JOINTS)
    bones = measure_bones(joints, valid)
    if other := find_other_order(joints, valid, samples.joint_orders):
        examples = describe_unlikely_bones(bones) or "of many fingers"
        return Finding(
            name,
            WRONG,
            f"the bones are not those of hands ({examples}), but they would be in another "
            f"order of the joints. Is it {other}?",
        )
    if unlikely := describe_unlikely_bones(bones):
        return Finding(name, WRONG, f"unlikely bones: {unlikely}. Are joints mixed up?")
    sides = np.arange(len(SIDES)) == LEFT
    is_left = samples.hand_type[:, LEFT] if skeleton is ONE_HAND else np.tile(sides, len(samples.valid))
    wrong, votes = count_wrong_bends(joints, valid, is_left)
    text = f"{votes - wrong} of {votes} bent hands bend towards their palm"
    if votes >= MIN_VOTES and wrong >= WRONG_VOTES * votes:
        return Finding(
            name,
            WRONG,
            f"{text}, the others backwards. Are right and left hands swapped, or is an axis "
            "mirrored, such as y up taken for y down?",
        )
    return Finding(name, OK, f"as in hands; {text}")


def check_depth(samples: Samples) -> Finding:
    """Joints lie in front of the camera, about as far away as hands do."""
    depth = samples.keypoints_cam[..., 2]
    if not samples.valid.any():
        return Finding("depth", WARNING, "no valid joint")
    if not samples.in_space.any():
        return Finding("depth", OK, ONLY_IN_IMAGE)
    behind = samples.in_space & (depth <= 0)
    if behind.any():
        return Finding(
            "depth",
            WRONG,
            f"{behind.sum()} of {samples.in_space.sum()} joints lie behind the camera: "
            f"{samples.name(int(np.argmax(behind.any(axis=1))))}. Is its rotation or position another's?",
        )
    values = depth[samples.in_space]
    text = f"median {np.median(values):.4g} mm, all from {values.min():.4g} to {values.max():.4g} mm"
    if DEPTH_MM[0] <= np.median(values) <= DEPTH_MM[1]:
        return Finding("depth", OK, text)
    factor = describe_factor(float(np.median(values)), TYPICAL_DEPTH_MM)
    return Finding(
        "depth",
        WRONG,
        f"{text}; expected a median from {DEPTH_MM[0]:g} to {DEPTH_MM[1]:g} mm" + (f": {factor}" if factor else ""),
    )


def check_contract(samples: Samples) -> Finding:
    """`keypoints` are the projection of `keypoints_cam`, as the sample contract says."""
    gap = np.linalg.norm(_projected(samples) - samples.keypoints[..., :2], axis=-1)
    return _gap_finding("projection", "keypoints and the projection of keypoints_cam", samples, gap, CONTRACT_PX, 0.0)


def check_projection(samples: Samples, points_px: NDArray[np.float64]) -> Finding:
    """The projection of `keypoints_cam` meets the points in the image that the files themselves have."""
    gap = np.linalg.norm(_projected(samples) - points_px, axis=-1)
    name = "projection against the file"
    if not (samples.valid & np.isfinite(gap)).any():
        return Finding(name, OK, "the files have no points in the image; the boxes are the only witness")
    return _gap_finding(
        name, "the file's points in the image and the projection", samples, gap, FILE_PX, SHARE_OF_OUTLIERS
    )


def _projected(samples: Samples) -> NDArray[np.floating]:
    """Return the projections (n, K, 2) of the joints; NaN for those that are not valid."""
    points = np.where(samples.valid[..., None], samples.keypoints_cam, np.nan)
    return project(points, samples.focal, samples.principal_pt)


def _gap_finding(
    name: str, what: str, samples: Samples, gap_px: NDArray[np.float64], limit_px: float, allowed: float
) -> Finding:
    """Judge distances (n, K) between points that should coincide; NaN where there is nothing to compare."""
    known = samples.valid & np.isfinite(gap_px)
    if not known.any():
        return Finding(name, WARNING, "no valid joint")
    text = f"{what} are {np.median(gap_px[known]):.2g} px apart in the median, {gap_px[known].max():.2g} px at most"
    far = known & (gap_px > limit_px)
    share = far.sum() / known.sum()
    if not far.any():
        return Finding(name, OK, text)
    worst = int(np.argmax(np.where(known, gap_px, -1).max(axis=1)))
    return Finding(
        name,
        WRONG if share > allowed else WARNING,
        f"{text}; {share:.1%} of the joints are more than {limit_px:g} px off, worst: "
        f"{samples.name(worst)}. Is it the camera of this image, and the right order of joints?",
    )


def check_boxes_in_images(samples: Samples, image_sizes: NDArray[np.int64]) -> Finding:
    """Boxes have an area and meet their images."""
    known = (image_sizes > 0).all(axis=1)
    low, high = np.maximum(samples.bbox[:, :2], 0), np.minimum(samples.bbox[:, 2:], image_sizes)
    inside = np.maximum(high - low, 0).prod(axis=1)
    area = np.maximum(samples.bbox[:, 2:] - samples.bbox[:, :2], 0).prod(axis=1)
    bad = (area <= 0) | (known & (inside <= 0))
    if bad.any():
        return Finding(
            "boxes",
            WRONG,
            f"{bad.sum()} of {len(bad)} boxes have no area or lie beside their image: "
            f"{samples.name(int(np.argmax(bad)))}. Is it x, y, w, h in place of x0, y0, x1, y1?",
        )
    if not known.any():
        return Finding("boxes", WARNING, "no image size to compare with")
    cut = known & (inside < 0.5 * area)
    sides = (samples.bbox[:, 2:] - samples.bbox[:, :2]).max(axis=1)
    return Finding(
        "boxes",
        OK,
        f"all meet their image; {cut.sum()} of {len(cut)} lie outside of it by half or more; "
        f"longer side {np.median(sides):.0f} px in the median",
    )


def check_joints_in_boxes(samples: Samples) -> Finding:
    """Most joints lie in the box of their record: where it does not come from the joints, it is a second witness."""
    points, low, high = samples.keypoints[..., :2], samples.bbox[:, None, :2], samples.bbox[:, None, 2:]
    inside: NDArray[np.bool_] = np.all((points >= low - BOX_PX) & (points <= high + BOX_PX), axis=-1)
    if not samples.valid.any():
        return Finding("joints in boxes", WARNING, "no valid joint")
    share = float(inside[samples.valid].mean())
    text = f"{share:.1%} of the joints lie in their box"
    if share >= SHARE_IN_BOX:
        return Finding("joints in boxes", OK, text)
    outside = (samples.valid & ~inside).sum(axis=1)
    return Finding(
        "joints in boxes",
        WRONG,
        f"{text}, expected {SHARE_IN_BOX:.0%} or more; worst: "
        f"{samples.name(int(np.argmax(outside)))}. Is it the camera of this image?",
    )


def check_validity(samples: Samples) -> Finding:
    """Some joints of the hands that are there are annotated; how many hands of which side there are."""
    there = np.ones_like(samples.valid)
    if samples.skeleton.num_joints == 2 * NUM_HAND_JOINTS:
        there = np.repeat(samples.hand_type, NUM_HAND_JOINTS, axis=1)
    invalid = 1 - samples.valid[there].mean() if there.any() else 1.0
    sides = samples.hand_type
    counts = [(sides[:, 0] & ~sides[:, 1]).sum(), (sides[:, 1] & ~sides[:, 0]).sum(), sides.all(axis=1).sum()]
    text = f"{invalid:.1%} of the joints of hands that are there are not annotated; " + ", ".join(
        f"{count} {name}" for count, name in zip(counts, ("right", "left", "both"), strict=True)
    )
    if strangers := int((samples.valid & ~there).any(axis=1).sum()):
        return Finding(
            "validity",
            WARNING,
            f"{text}; {strangers} records have valid joints of a hand that 'hand_type' does not name",
        )
    return Finding("validity", WRONG if invalid == 1 else OK, text)


def check_images(
    dataset: HandDataset,
    samples: Samples,
    expected_sizes: NDArray[np.int64],
    on_image: Callable[[int], None] = lambda _: None,
) -> tuple[list[Finding], NDArray[np.int64]]:
    """Decode the images, and compare their sizes with those that the files or the format say.

    Args:
        dataset: Whose samples they are.
        samples: The sampled records.
        expected_sizes: (n, 2) width and height in px, 0 where unknown.
        on_image: Called with 1 after each.

    Returns:
        The findings, and the sizes (n, 2) of the image files, 0 for those that cannot be read.
    """
    sizes = np.zeros((len(samples.samples), 2), dtype=np.int64)
    unreadable: list[str] = []
    blank = 0
    for number, sample in enumerate(samples.samples):
        path = sample["img_path"]
        image_error = dataset.find_image_error(path, sample["id"])
        try:
            if image_error is None:
                blank += not check_image_content(path).any()
                sizes[number] = read_image_size(path)
        except ImageError as error:
            image_error = error
        if image_error is not None:
            unreadable.append(str(image_error).splitlines()[0])
        on_image(1)
    return [_unreadable_finding(unreadable, len(sizes), blank), _size_finding(samples, sizes, expected_sizes)], sizes


def _unreadable_finding(unreadable: Sequence[str], total: int, blank: int) -> Finding:
    if unreadable:
        return Finding("images", WRONG, f"{len(unreadable)} of {total} cannot be read; the first: {unreadable[0]}")
    return Finding(
        "images",
        WARNING if blank > SHARE_OF_OUTLIERS * total else OK,
        f"all {total} can be read" + (f"; {blank} are black" if blank else ""),
    )


def _size_finding(samples: Samples, sizes: NDArray[np.int64], expected: NDArray[np.int64]) -> Finding:
    known = (sizes > 0).all(axis=1) & (expected > 0).all(axis=1)
    wrong = known & (sizes != expected).any(axis=1)
    if wrong.any():
        number = int(np.argmax(wrong))
        return Finding(
            "image sizes",
            WRONG,
            f"{wrong.sum()} of {known.sum()} differ from the annotation: expected "
            f"{expected[number].tolist()}, got {sizes[number].tolist()} for {samples.name(number)}",
        )
    different = {"x".join(map(str, size)) for size in sizes[known].tolist()}
    return Finding(
        "image sizes",
        OK if known.any() else WARNING,
        f"as annotated: {', '.join(sorted(different))}" if known.any() else "none to compare",
    )


def _level(share_of_outliers: float) -> str:
    return WRONG if share_of_outliers > SHARE_OF_OUTLIERS else WARNING
