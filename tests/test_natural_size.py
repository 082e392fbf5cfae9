import numpy as np
import pytest

from dfmamba.geometry import project
from dfmamba.natural_size import mm_per_px, place_in_mm
from dfmamba.skeleton import FINGERS, HAND_BONES_MM, HAND_JOINTS, WRIST
from dfmamba.synthesis.hand import MEAN_SHAPE, articulate
from dfmamba.synthesis.poses import FAMILIES, sample_angles


def hand_of_usual_bones(rng, flat=False):
    """Grow every bone from the wrist in a direction of its own, with the length of the table."""
    joints = np.zeros((21, 3))
    for finger in FINGERS:
        place = joints[WRIST]
        for number, length in enumerate(HAND_BONES_MM[finger], 1):
            way = rng.normal(size=3) * (1, 1, 0 if flat else 1)
            place = place + length * way / np.linalg.norm(way)
            joints[HAND_JOINTS.index(f"{finger}{number}")] = place
    return joints


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_usual_bones_under_weak_perspective_are_found_exactly(seed, scale):
    rng = np.random.default_rng(seed)
    joints = hand_of_usual_bones(rng)
    points, depth = joints[:, :2] / scale + rng.uniform(0, 500, 2), joints[:, 2] + 400
    assert mm_per_px(points, depth) == pytest.approx(scale, rel=1e-9)
    np.testing.assert_allclose(place_in_mm(points, depth), joints - joints[WRIST], atol=1e-6)


def test_hands_before_a_camera_come_out_within_a_tenth():
    """The mean hand of the synthetic sets, other bones than those of the table, 500 mm before the camera."""
    rng = np.random.default_rng(0)
    factors = []
    for family in FAMILIES:
        joints = articulate(MEAN_SHAPE, sample_angles(family, rng, 1)[0]).joints_mm @ np.diag([1.0, -1.0, -1.0])
        points = project(joints + np.array([20, -30, 500]), np.array([600.0, 600.0]), np.array([320.0, 240.0]))
        found = place_in_mm(points, joints[:, 2])
        true = joints - joints[WRIST]
        factors.append(np.linalg.norm(found[:, :2]) / np.linalg.norm(true[:, :2]))
    assert 0.9 < np.mean(factors) < 1.1
    assert min(factors) > 0.75
    assert max(factors) < 1.25


def test_depths_that_cannot_be_count_as_flat():
    joints = hand_of_usual_bones(np.random.default_rng(1), flat=True)
    wild = 1000.0 * (np.arange(21) % 2)
    assert mm_per_px(joints[:, :2], wild) == pytest.approx(1, rel=1e-9)


def test_joints_in_one_point_stay_there():
    place = place_in_mm(np.full((21, 2), 7.0), np.zeros(21))
    assert np.isfinite(place).all()
    assert (place == 0).all()
