"""Grasps: nothing passes through, thumb and fingers touch, checked with points of the skin and finer rows of balls."""

import numpy as np
import pytest

from dfmamba.skeleton import FINGERS
from dfmamba.synthesis.capsules import hand_capsules
from dfmamba.synthesis.grasp import PRESS_MM, TOUCH_MM, capsule_gaps, sample_grasp
from dfmamba.synthesis.hand import LIMITS_DEG, MEAN_SHAPE, articulate, sample_shape
from dfmamba.synthesis.objects import TOYS, YCB_OBJECTS, ObjectModel, PlacedObject, sample_object_look, signed_distance

CAN = next(obj for obj in YCB_OBJECTS if obj.name == "005_tomato_soup_can")
BALL = ObjectModel("ball", 0, "ball", (40.0, 40.0, 40.0))
SAMPLES = 41  # along a capsule's axis, for the brute-force check
SAMPLING_SLACK_MM = 1.0  # such rows of balls reach deeper than the few of `capsule_gaps`


def test_gap_of_a_capsule_worked_out_by_hand():
    """A ball of radius 20 at the origin; a capsule of radius 2 along x at y = 30 passes it at 30 - 20 - 2."""
    placed = PlacedObject(BALL, sample_object_look(np.random.default_rng(0)), np.eye(3), np.zeros(3))
    ends = np.array([[[-30.0, 30, 0], [30, 30, 0]], [[0, 10, 0], [0, 60, 0]]])
    np.testing.assert_allclose(capsule_gaps(placed, ends, np.full((2, 2), 2.0)), [8, -12])


@pytest.mark.parametrize("obj", [*YCB_OBJECTS[::3], *TOYS], ids=lambda obj: obj.name)
def test_held_objects_are_touched_and_not_passed_through(obj):
    rng = np.random.default_rng(len(obj.name))
    shape = sample_shape(rng)
    grasp = sample_grasp(shape, obj, sample_object_look(rng), rng)
    assert (grasp.angles_deg >= LIMITS_DEG[:, 0] - 1e-9).all()
    assert (grasp.angles_deg <= LIMITS_DEG[:, 1] + 1e-9).all()
    assert grasp.held is not None
    capsules = hand_capsules(shape)
    ends = capsules.posed_ends(articulate(shape, grasp.angles_deg))
    t = np.linspace(0, 1, SAMPLES)[:, None]
    centers = ends[:, None, 0] * (1 - t) + ends[:, None, 1] * t  # (P, SAMPLES, 3)
    radii = capsules.radii_mm[:, :1] * (1 - t[:, 0]) + capsules.radii_mm[:, 1:] * t[:, 0]
    local = (centers - grasp.held.translation_mm) @ grasp.held.rotation
    gaps = (signed_distance(obj, local) - radii).min(axis=1)
    assert gaps.min() > -PRESS_MM - SAMPLING_SLACK_MM
    touching = {finger for number, finger in enumerate(FINGERS) if gaps[capsules.finger == number].min() < TOUCH_MM}
    assert "thumb" in touching
    assert len(touching) >= 3


def test_an_object_too_wide_for_a_hand():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="chest"):
        sample_grasp(MEAN_SHAPE, ObjectModel("chest", 0, "box", (600, 400, 300)), sample_object_look(rng), rng)


def test_same_seed_same_grasp():
    one, two = (
        sample_grasp(MEAN_SHAPE, CAN, sample_object_look(np.random.default_rng(1)), np.random.default_rng(2))
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.angles_deg, two.angles_deg)
    np.testing.assert_array_equal(one.held.translation_mm, two.held.translation_mm)
