"""Hidden joints, in scenes that can be judged by hand."""

import numpy as np
import pytest

from dfmamba.evaluation.occlusion import hidden_joints, hidden_share
from dfmamba.skeleton import ONE_HAND, TWO_HANDS


def flat_hands():
    """Return two flat hands side by side at 600 mm: every joint 40 mm or more from any other, none behind another."""
    joints = np.zeros((1, 42, 3))
    columns, rows = np.meshgrid(np.arange(6), np.arange(7))
    joints[0, :, 0], joints[0, :, 1] = 40 * columns.ravel() - 100, 40 * rows.ravel() - 120
    joints[..., 2] = 600
    return joints


def test_nothing_is_hidden_in_a_plane():
    assert not hidden_joints(flat_hands(), np.ones((1, 42)), TWO_HANDS).any()


@pytest.mark.parametrize(
    ("shift", "depth", "expected"),
    [
        ((0, 0), 500, True),
        ((8, 0), 500, True),
        ((10.5, 0), 500, False),  # beside the line of sight
        ((0, 0), 590, False),  # in front by less than a finger's thickness
        ((0, 0), 700, False),  # behind
        ((0, 0), -500, False),  # behind the camera
    ],
)
def test_a_bone_in_front_hides_a_joint(shift, depth, expected):
    joints = np.full((1, 21, 3), [0.0, 0, 10000])
    joints[0, :, 0] = 3000 + 500 * np.arange(21)  # all others far aside
    target, child, parent = 20, 5, 6
    joints[0, target] = [60, 30, 600]
    line = np.array([60, 30, 600]) * depth / 600
    joints[0, [child, parent]] = line + np.array([*shift, 0])  # a bone of length 0: one point
    valid = np.zeros((1, 21), dtype=bool)
    valid[0, [target, child, parent]] = True
    assert hidden_joints(joints, valid, ONE_HAND)[0].tolist() == [expected and j == target for j in range(21)]
    valid[0, child] = False
    assert not hidden_joints(joints, valid, ONE_HAND).any()


@pytest.mark.parametrize(("gap", "expected"), [(17.9, False), (18.0, False), (18.1, True)])
def test_a_bone_must_be_nearer_by_a_fingers_thickness(gap, expected):
    """Straight ahead, where distances are depths."""
    joints = np.full((1, 21, 3), [0.0, 0, 10000])
    joints[0, :, 0] = 3000 + 500 * np.arange(21)
    joints[0, 20], joints[0, [5, 6]] = [0, 0, 600], [0, 0, 600 - gap]
    valid = np.isin(np.arange(21), [20, 5, 6])[None]
    assert hidden_joints(joints, valid, ONE_HAND)[0, 20] == expected


def test_own_bones_do_not_hide_a_joint():
    joints = np.full((1, 21, 3), [0.0, 0, 10000])
    joints[0, :, 0] = 3000 + 500 * np.arange(21)
    joints[0, 4], joints[0, 5] = [0, 0, 600], [0, 0, 500]  # a finger pointing away from the camera
    valid = np.zeros((1, 21), dtype=bool)
    valid[0, [4, 5]] = True
    assert not hidden_joints(joints, valid, ONE_HAND).any()


def test_share():
    assert hidden_share(flat_hands(), np.ones((1, 42)), TWO_HANDS).tolist() == [0]
    assert np.isnan(hidden_share(flat_hands(), np.zeros((1, 42)), TWO_HANDS)).all()
    assert hidden_share(np.zeros((0, 42, 3)), np.zeros((0, 42)), TWO_HANDS).shape == (0,)


def plain_definition(joints, valid, skeleton):
    """Point by point along each bone: is it near the line of sight of a joint, and nearer to the camera?"""
    hidden = np.zeros(len(joints), dtype=bool)
    for joint in np.flatnonzero(valid):
        far = np.linalg.norm(joints[joint])
        sight = joints[joint] / far
        for child, parent in skeleton.bones:
            if joint in (child, parent) or not (valid[child] and valid[parent]):
                continue
            for part in (0, 0.25, 0.5, 0.75, 1):
                point = joints[child] + part * (joints[parent] - joints[child])
                along = point @ sight
                beside = np.sqrt(max(point @ point - along**2, 0))
                hidden[joint] |= 0 < along < far - 18 and beside < 9
    return hidden


@pytest.mark.parametrize("skeleton", [ONE_HAND, TWO_HANDS])
def test_is_the_definition(skeleton):
    """Crumpled hands, in which many joints are hidden; some are not valid; more samples than one block has."""
    rng = np.random.default_rng(0)
    joints = rng.normal(scale=35, size=(300, skeleton.num_joints, 3)) + np.array([20, -10, 500])
    valid = rng.random(joints.shape[:2]) < 0.8
    hidden = hidden_joints(joints, valid, skeleton)
    rows = [0, 1, 255, 256, 299]
    expected = np.array([plain_definition(joints[row], valid[row], skeleton) for row in rows])
    assert (hidden[rows] == expected).all()
    assert 0.1 < expected.mean() < 0.9
    share = hidden_share(joints, valid, skeleton)
    assert share[rows] == pytest.approx(expected.sum(axis=1) / valid[rows].sum(axis=1))
