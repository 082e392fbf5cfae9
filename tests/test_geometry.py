"""Cameras and boxes against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dfmamba.geometry import (
    back_project,
    fit_affine,
    invert_rigid,
    look_at,
    metres_to_mm,
    mirror_box,
    mirror_points,
    move_rigidly,
    project,
    rotation_to_optical_axis,
    tight_box,
    turn_about_optical_axis,
    world_to_camera,
    xywh_to_xyxy,
    xyxy_to_xywh,
)

FOCAL, CENTER = (100.0, 200.0), (10.0, 20.0)
QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # x to y, y to -x


def test_projection_by_hand():
    # u = 100 * 2 / 4 + 10, v = 200 * -1 / 4 + 20
    assert project([[2.0, -1.0, 4.0]], FOCAL, CENTER).tolist() == [[60.0, -30.0]]
    assert back_project([[60.0, -30.0]], [4.0], FOCAL, CENTER).tolist() == [[2.0, -1.0, 4.0]]


def test_metres_to_mm():
    assert metres_to_mm(np.float32([[0.5, -0.25, 1.0]])).tolist() == [[500.0, -250.0, 1000.0]]


def test_a_point_on_the_camera_plane_is_not_finite():
    assert not np.isfinite(project([1.0, 0.0, 0.0], FOCAL, CENTER)).any()


def test_world_to_camera_subtracts_the_center_before_it_turns():
    # R (X - c): (3, 2, 1) - (1, 2, 0) = (2, 0, 1), turned to (0, 2, 1); R X + t would give (-1, 5, 1)
    moved = world_to_camera([3.0, 2.0, 1.0], QUARTER_TURN, [1.0, 2.0, 0.0])
    assert moved.tolist() == [0.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("target", "roll_deg", "point", "seen"),
    [
        ((0, 0, 5), 0, (1, 2, 5), (1, 2, 5)),
        ((5, 0, 0), 0, (5, 2, -1), (1, 2, 5)),  # who looks along x has -z on the right
        ((0, 0, -5), 0, (-1, 2, -5), (1, 2, 5)),
        ((0, 0, 5), 90, (1, 0, 5), (0, -1, 5)),  # anticlockwise: from the right to the top
        ((0, 3, 4), 0, (0, 3, 4), (0, 0, 5)),
    ],
)
def test_look_at(target, roll_deg, point, seen):
    center = np.array([10.0, 20.0, 30.0])
    rotation = look_at(center, center + target, roll_deg)
    np.testing.assert_allclose(world_to_camera(center + point, rotation, center), seen, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_rigid_motion_turns_before_it_shifts():
    # R X + t: (3, 2, 1) turns to (-2, 3, 1), plus (1, 2, 0)
    moved = move_rigidly([3.0, 2.0, 1.0], QUARTER_TURN, [1.0, 2.0, 0.0])
    assert moved.tolist() == [-1.0, 5.0, 1.0]
    assert move_rigidly(moved, *invert_rigid(QUARTER_TURN, [1.0, 2.0, 0.0])).tolist() == [3.0, 2.0, 1.0]


def test_boxes_by_hand():
    assert xywh_to_xyxy([[1.0, 2.0, 3.0, 4.0]]).tolist() == [[1.0, 2.0, 4.0, 6.0]]
    assert xyxy_to_xywh([[1.0, 2.0, 4.0, 6.0]]).tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_tight_box_counts_valid_points_only():
    points = [[0.0, 0.0], [10.0, 20.0], [999.0, 999.0]]
    assert tight_box(points, [1, 1, 0], enlarge=1.2).tolist() == pytest.approx([-1.0, -2.0, 12.0, 24.0])
    with pytest.raises(ValueError, match="at least one valid point"):
        tight_box(points, [0, 0, 0])


def test_turn_about_the_optical_axis_by_hand():
    # a quarter turn takes x (right) to y (down): clockwise in the image; depths stay
    turned = turn_about_optical_axis([[3.0, 1.0, 7.0], [0.0, 2.0, 5.0]], 90)
    np.testing.assert_allclose(turned, [[-1.0, 3.0, 7.0], [-2.0, 0.0, 5.0]], atol=1e-12)
    there_and_back = turn_about_optical_axis(turn_about_optical_axis([3.0, 1.0, 7.0], 33.0), -33.0)
    np.testing.assert_allclose(there_and_back, [3.0, 1.0, 7.0])


def test_turned_points_project_to_turned_image_points():
    points = np.array([[30.0, -20.0, 500.0], [-80.0, 10.0, 700.0]])
    before, after = (
        project(joints, (400.0, 400.0), CENTER) - CENTER for joints in (points, turn_about_optical_axis(points, 90))
    )
    np.testing.assert_allclose(after, before[:, ::-1] * (-1, 1))  # (u, v) to (-v, u), about the principal point


@pytest.mark.parametrize("direction", [(0, 0, 2), (3, 0, 4), (0, -3, 4), (1, -2, 2), (-9, 5, 0.5)])
def test_rotation_to_the_optical_axis_is_the_smallest(direction):
    """Its rotation vector is perpendicular to both directions, and as long as the angle between them."""
    rotation = rotation_to_optical_axis(direction)
    np.testing.assert_allclose(rotation @ direction, [0, 0, np.linalg.norm(direction)], atol=1e-12)
    axis = np.cross(direction, [0, 0, 1])
    angle = np.arctan2(np.linalg.norm(axis), direction[2])
    vector = axis / (np.linalg.norm(axis) or 1) * angle
    np.testing.assert_allclose(rotation, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


def test_mirror_images_by_hand():
    points = np.array([[0.0, 5.0, 100.0], [9.0, 6.0, -3.0]])
    assert mirror_points(points, width=10).tolist() == [[9.0, 5.0, 100.0], [0.0, 6.0, -3.0]]
    assert points[0, 0] == 0  # the argument stays
    assert mirror_box([[1.0, 2.0, 4.0, 6.0]], width=10).tolist() == [[5.0, 2.0, 8.0, 6.0]]


def test_affine_map_of_three_points():
    # u = 2 x + 100, v = -3 x + y + 5
    source, target = [[0, 0], [1, 0], [0, 1]], [[100, 5], [102, 2], [100, 6]]
    np.testing.assert_allclose(fit_affine(source, target), [[2, 0, 100], [-3, 1, 5]], atol=1e-12)
