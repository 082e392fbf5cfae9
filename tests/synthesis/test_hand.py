import numpy as np
import pytest

from dfmamba.skeleton import FINGERS, HAND_JOINTS, ONE_HAND, WRIST
from dfmamba.synthesis.hand import ANGLES, BONE, LIMITS_DEG, MEAN_SHAPE, NUM_ANGLES, articulate, mirror, sample_shape
from dfmamba.synthesis.poses import FAMILIES, sample_angles


def joint(points, name):
    return points[..., HAND_JOINTS.index(name), :]


def pose(**degrees):
    angles = np.zeros(NUM_ANGLES)
    for name, value in degrees.items():
        angles[ANGLES.index(name)] = value
    return articulate(MEAN_SHAPE, angles).joints_mm


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_angles_keep_the_limits(family):
    angles = sample_angles(family, np.random.default_rng(0), 300)
    assert angles.shape == (300, NUM_ANGLES)
    assert (angles >= LIMITS_DEG[:, 0]).all()
    assert (angles <= LIMITS_DEG[:, 1]).all()
    assert angles.std(axis=0).max() > 1


def test_unknown_family_names_the_known_ones():
    with pytest.raises(ValueError, match=r"expected one of open.*got 'salute'"):
        sample_angles("salute", np.random.default_rng(0), 1)


def test_wrong_number_of_angles():
    with pytest.raises(ValueError, match=r"last axis of 23.*\(4, 22\)"):
        articulate(MEAN_SHAPE, np.zeros((4, 22)))


@pytest.mark.parametrize("seed", range(3))
def test_bones_keep_their_lengths(seed):
    rng = np.random.default_rng(seed)
    shape = sample_shape(rng)
    joints = articulate(shape, rng.uniform(LIMITS_DEG[:, 0], LIMITS_DEG[:, 1], (50, NUM_ANGLES))).joints_mm
    for child, parent in ONE_HAND.bones:
        length = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
        np.testing.assert_allclose(length, length[0], rtol=1e-12)
    for finger, name in enumerate(FINGERS):
        for k in (1, 2, 3):
            length = np.linalg.norm(joint(joints[0], f"{name}{k + 1}") - joint(joints[0], f"{name}{k}"))
            assert length == pytest.approx(shape.segments_mm[finger, k - 1])


def test_palm_is_80_to_90_mm_long():
    palms = []
    for seed in range(200):
        shape = sample_shape(np.random.default_rng(seed))
        joints = articulate(shape, np.zeros(NUM_ANGLES)).joints_mm
        palms.append(np.linalg.norm(joint(joints, "middle1") - joints[WRIST]))
    assert min(palms) >= 79
    assert max(palms) <= 91
    assert np.std(palms) > 1


def test_rotations_are_rotations():
    rng = np.random.default_rng(0)
    posed = articulate(MEAN_SHAPE, rng.uniform(LIMITS_DEG[:, 0], LIMITS_DEG[:, 1], (20, NUM_ANGLES)))
    product = posed.rotations @ posed.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(posed.rotations), 1)


def test_right_angles_worked_out_by_hand():
    """The middle finger bends by 90 degrees at joint 2: the rest points out of the palm (+z), but for the twist."""
    straight, bent = pose(), pose(middle_flexion2=90)
    np.testing.assert_allclose(joint(straight, "middle1"), [0, 85, 0])
    np.testing.assert_allclose(joint(straight, "middle4"), [0, 85 + 43.5 + 29 + 22.5, 0], atol=1e-9)
    np.testing.assert_allclose(joint(bent, "middle2"), [0, 128.5, 0], atol=1e-9)
    twist = np.radians(5)
    np.testing.assert_allclose(joint(bent, "middle4"), [51.5 * np.sin(twist), 128.5, 51.5 * np.cos(twist)], atol=1e-9)


@pytest.mark.parametrize(("finger", "sign"), [("index", 1), ("ring", -1), ("pinky", -1)])
def test_spreading_moves_away_from_the_middle_finger(finger, sign):
    moved = joint(pose(**{f"{finger}_spread": 10.0}), f"{finger}4") - joint(pose(), f"{finger}4")
    assert sign * moved[0] > 10


def test_right_hand_has_a_right_hands_thumb_and_palm():
    """As in the real right hand of InterHand2.6M's `0007_thumbup_normal`: see the signs of these triple products.

    With the fingers up and the palm towards the viewer, a right hand's thumb is on the viewer's right.
    """
    joints = pose(middle_flexion=60, middle_flexion2=60)
    up = joint(joints, "middle1")
    across = joint(joints, "index1") - joint(joints, "pinky1")
    out_of_palm = joint(joints, "middle4") - up
    assert np.cross(across, up) @ out_of_palm > 0
    assert across @ joint(joints, "thumb4") > 0
    left = mirror(joints)
    assert (
        np.cross(joint(left, "index1") - joint(left, "pinky1"), joint(left, "middle1"))
        @ (joint(left, "middle4") - joint(left, "middle1"))
        < 0
    )


def test_wrist_bends_the_forearm_only():
    straight = articulate(MEAN_SHAPE, np.zeros(NUM_ANGLES))
    angles = np.zeros(NUM_ANGLES)
    angles[ANGLES.index("wrist_flexion")] = 30
    bent = articulate(MEAN_SHAPE, angles)
    np.testing.assert_array_equal(bent.joints_mm, straight.joints_mm)
    # The hand flexes towards its palm (+z): the forearm, along -y of its bone, then comes from +z.
    elbow = -bent.rotations[BONE["forearm"]][:, 1]
    np.testing.assert_allclose(elbow, [0, -np.cos(np.radians(30)), np.sin(np.radians(30))], atol=1e-12)
