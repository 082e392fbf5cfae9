from dataclasses import replace

import numpy as np
import pytest

from dfmamba.synthesis.capsules import hand_capsules
from dfmamba.synthesis.contact import (
    SELF_OVERLAP_MM,
    TOUCH_GAP_MM,
    capsule_gap,
    sample_pose,
    segment_distance,
    slide_to_touch,
)
from dfmamba.synthesis.hand import LIMITS_DEG, MEAN_SHAPE, articulate, mirror, sample_shape
from dfmamba.synthesis.pairs import ARRANGEMENTS, sample_pair
from dfmamba.synthesis.poses import FAMILIES
from dfmamba.synthesis.surface import make_surface

SAMPLES = 25  # points along a capsule's axis, for the brute-force check
SAMPLING_SLACK_MM = 0.5  # balls between closest axis points of tapered capsules may reach a little further


def balls(ends, radii):
    """Fill capsules (P, 2, 3) with balls: centers (P, SAMPLES, 3), radii (P, SAMPLES)."""
    t = np.linspace(0, 1, SAMPLES)[:, None]
    centers = ends[:, None, 0] * (1 - t) + ends[:, None, 1] * t
    return centers, radii[:, :1] * (1 - t[:, 0]) + radii[:, 1:] * t[:, 0]


def deepest_overlap(a, b):
    """Return the largest overlap of any ball of capsule set a with any of set b."""
    distance = np.linalg.norm(a[0].reshape(-1, 1, 3) - b[0].reshape(1, -1, 3), axis=-1)
    return (a[1].reshape(-1, 1) + b[1].reshape(1, -1) - distance).max()


def test_segment_distance_worked_out_by_hand():
    crossing = segment_distance(np.array([[-1.0, 0, 0], [1, 0, 0]]), np.array([[0.0, -1, 3], [0, 1, 3]]))
    np.testing.assert_allclose(crossing, (3, 0.5, 0.5))
    beyond = segment_distance(np.array([[0.0, 0, 0], [1, 0, 0]]), np.array([[4.0, 4, 0], [4, 9, 0]]))
    np.testing.assert_allclose(beyond, (5, 1, 0))
    parallel = segment_distance(np.array([[0.0, 0, 0], [2, 0, 0]]), np.array([[1.0, 2, 0], [5, 2, 0]]))
    assert parallel[0] == pytest.approx(2)


def test_segment_distance_against_brute_force():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 5, (2, 200, 2, 3))
    t = np.linspace(0, 1, 101)[:, None]
    points_a, points_b = (e[:, None, 0] * (1 - t) + e[:, None, 1] * t for e in (a, b))
    brute = np.linalg.norm(points_a[:, :, None] - points_b[:, None], axis=-1).min(axis=(1, 2))
    found = segment_distance(a, b)[0]
    assert (found <= brute + 1e-9).all()
    np.testing.assert_allclose(found, brute, atol=0.25)


def test_capsule_gap_takes_radii_off():
    a, b = np.array([[-1.0, 0, 0], [1, 0, 0]]), np.array([[0.0, -1, 5], [0, 1, 5]])
    assert capsule_gap(a, np.array([1.0, 1]), b, np.array([1.0, 2])) == pytest.approx(5 - 1 - 1.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_finger_passes_through_another(family):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        shape = sample_shape(rng)
        capsules = hand_capsules(shape)
        angles = sample_pose(shape, family, rng)
        assert (angles >= LIMITS_DEG[:, 0] - 1e-9).all()
        assert (angles <= LIMITS_DEG[:, 1] + 1e-9).all()
        ends = capsules.posed_ends(articulate(shape, angles))
        for finger in range(5):
            for other in range(finger):
                mine = (capsules.finger == finger) & (capsules.segment >= 2)
                theirs = (capsules.finger == other) & (capsules.segment >= 1)
                overlap = deepest_overlap(
                    balls(ends[mine], capsules.radii_mm[mine]), balls(ends[theirs], capsules.radii_mm[theirs])
                )
                assert overlap <= SELF_OVERLAP_MM + SAMPLING_SLACK_MM
            outer, palm = (capsules.finger == finger) & (capsules.segment >= 2), capsules.segment == 0
            assert (
                deepest_overlap(
                    balls(ends[outer], capsules.radii_mm[outer]), balls(ends[palm], capsules.radii_mm[palm])
                )
                <= SELF_OVERLAP_MM + SAMPLING_SLACK_MM
            )


def test_a_hand_too_thick_for_itself_is_refused():
    with pytest.raises(ValueError, match="too thick"):
        sample_pose(replace(MEAN_SHAPE, girth=1.6), "open", np.random.default_rng(0))


def test_a_fist_is_closed():
    rng = np.random.default_rng(0)
    shape = sample_shape(rng)
    for _ in range(5):
        joints = articulate(shape, sample_pose(shape, "fist", rng)).joints_mm
        assert np.linalg.norm(joints, axis=1).max() < 135  # everything within a fist's reach of the wrist


def test_slide_to_touch_worked_out_by_hand():
    """Two unit balls 10 apart: 8 of way is free."""
    ball, radii = np.zeros((1, 2, 3)), np.ones((1, 2))
    start = ball + np.array([10.0, 0, 0])
    way = slide_to_touch(ball, radii, start, radii, np.array([-1.0, 0, 0]), 20)
    assert 8 - TOUCH_GAP_MM <= -way[0] <= 8
    assert slide_to_touch(ball, radii, start + np.array([0, 5.0, 0]), radii, np.array([-1.0, 0, 0]), 20) is None


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_two_hands_do_not_overlap(name):
    for seed in range(2):
        rng = np.random.default_rng(seed)
        shape = sample_shape(rng)
        capsules = hand_capsules(shape)
        pair = sample_pair(shape, name, rng)
        right, left = (capsules.posed_ends(articulate(shape, angles)) for angles in pair.angles_deg)
        left = mirror(left) @ pair.turn.T + pair.shift_mm
        overlap = deepest_overlap(balls(right, capsules.radii_mm), balls(left, capsules.radii_mm))
        assert overlap <= SAMPLING_SLACK_MM
        if ARRANGEMENTS[name].touches:
            assert overlap >= -TOUCH_GAP_MM - 2 * SAMPLING_SLACK_MM


@pytest.mark.slow
def test_the_skins_of_two_hands_stay_out_of_each_other():
    """Vertices of one skin against the capsules of the other hand: at most soft tissue deep."""
    rng = np.random.default_rng(0)
    shape = sample_shape(rng)
    skin, capsules = make_surface(shape), hand_capsules(shape)
    for name in ARRANGEMENTS:
        pair = sample_pair(shape, name, rng)
        poses = [articulate(shape, angles) for angles in pair.angles_deg]
        vertices = mirror(skin.posed(poses[1])) @ pair.turn.T + pair.shift_mm
        centers, radii = balls(capsules.posed_ends(poses[0]), capsules.radii_mm)
        depth = max(
            (r - np.linalg.norm(vertices - c, axis=1)).max()
            for c, r in zip(centers.reshape(-1, 3), radii.ravel(), strict=True)
        )
        assert depth <= SELF_OVERLAP_MM, name


def test_unknown_arrangement_names_the_known_ones():
    with pytest.raises(ValueError, match=r"expected one of pray.*got 'highfive'"):
        sample_pair(sample_shape(np.random.default_rng(0)), "highfive", np.random.default_rng(0))
