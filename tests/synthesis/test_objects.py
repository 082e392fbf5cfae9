"""Distance fields and meshes of objects: worked out by hand, and each against the other."""

import numpy as np
import pytest

from dfmamba.synthesis.objects import (
    TOYS,
    YCB_OBJECTS,
    ObjectModel,
    PlacedObject,
    ball_gap,
    make_mesh,
    object_colour,
    resting,
    sample_object_look,
    shadow_capsule,
    signed_distance,
)

BOX = ObjectModel("box", 0, "box", (60.0, 40.0, 20.0))
CYLINDER = ObjectModel("cylinder", 0, "cylinder", (60.0, 40.0, 40.0))
BALL = ObjectModel("ball", 0, "ball", (40.0, 40.0, 40.0))
CAPSULE = ObjectModel("capsule", 0, "capsule", (100.0, 40.0, 40.0))
FORMS = pytest.mark.parametrize("obj", [BOX, CYLINDER, BALL, CAPSULE], ids=lambda obj: obj.form)
# Volumes in closed form; the round ones are met from inside by their flat faces.
VOLUME = {
    "box": 60 * 40 * 20,
    "cylinder": np.pi * 20**2 * 60,
    "ball": 4 / 3 * np.pi * 20**3,
    "capsule": np.pi * 20**2 * 60 + 4 / 3 * np.pi * 20**3,
}


@pytest.mark.parametrize(
    ("obj", "point", "distance"),
    [
        (BOX, (0, 0, 0), -10),
        (BOX, (33, 24, 0), 5),
        (BOX, (32, 21, 12), 3),
        (BOX, (29, 0, 0), -1),
        (CYLINDER, (0, 0, 0), -20),
        (CYLINDER, (0, 15, 20), 5),
        (CYLINDER, (33, 24, 0), 5),
        (CYLINDER, (28, 3, 4), -2),
        (BALL, (0, 15, 20), 5),
        (BALL, (0, 0, -19), -1),
        (CAPSULE, (49, 0, 0), -1),
        (CAPSULE, (42, 0, 16), 0),
        (CAPSULE, (10, 0, 25), 5),
        (CAPSULE, (-60, 0, 0), 10),
    ],
)
def test_distances_worked_out_by_hand(obj, point, distance):
    assert signed_distance(obj, np.array(point, dtype=float)) == pytest.approx(distance)


@FORMS
def test_mesh_is_the_closed_surface_of_the_distance_field(obj):
    mesh = make_mesh(obj)
    assert np.abs(signed_distance(obj, mesh.vertices_mm)).max() < 1e-6
    a, b, c = (mesh.vertices_mm[mesh.faces[:, k]] for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert 0.98 * VOLUME[obj.form] < volume <= VOLUME[obj.form] * (1 + 1e-9)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-9)
    outside = signed_distance(obj, mesh.vertices_mm + 0.5 * mesh.normals)
    np.testing.assert_allclose(outside, 0.5, atol=0.01)
    extent = np.ptp(mesh.vertices_mm, axis=0)
    np.testing.assert_allclose(extent, obj.size_mm, rtol=2e-3)


def test_numbers_and_sizes_of_the_ycb_objects():
    assert [obj.ycb_id for obj in YCB_OBJECTS] == [*range(1, 20), 21]
    for obj in (*YCB_OBJECTS, *TOYS):
        assert obj.size_mm[1] >= obj.size_mm[2], obj.name
        assert min(obj.size_mm) <= 110, obj.name


def test_gap_of_a_moved_object():
    """The box of 60 mm, turned to stand along y and moved by (0, 100, 0): its end is at y = 130."""
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    placed = PlacedObject(BOX, sample_object_look(np.random.default_rng(0)), turn, np.array([0.0, 100, 0]))
    assert ball_gap(placed, np.array([0.0, 140, 0]), np.array(4.0)) == pytest.approx(6)


@pytest.mark.parametrize("obj", YCB_OBJECTS, ids=lambda obj: obj.name)
def test_resting_objects_touch_the_table(obj):
    """y points down: the lowest vertex has the largest y."""
    place = np.array([10.0, 300.0, -20.0])
    placed = resting(obj, sample_object_look(np.random.default_rng(0)), place, 30.0)
    np.testing.assert_allclose(placed.rotation @ placed.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(placed.rotation) == pytest.approx(1)
    vertices = make_mesh(obj).vertices_mm @ placed.rotation.T + placed.translation_mm
    assert vertices[:, 1].max() == pytest.approx(300)
    np.testing.assert_allclose(
        (vertices[:, [0, 2]].min(axis=0) + vertices[:, [0, 2]].max(axis=0)) / 2, (10, -20), atol=1e-6
    )


@FORMS
def test_shadow_capsule_is_not_longer_than_the_object(obj):
    ends, radii = shadow_capsule(obj)
    assert np.ptp(ends[:, 0]) + 2 * radii[0] <= obj.size_mm[0] + 2
    assert (radii <= obj.size_mm[1] / 2).all()


def test_colours_are_of_the_object():
    rng = np.random.default_rng(0)
    look = sample_object_look(rng)
    colour, gloss = object_colour(BOX, look, rng.uniform(-30, 30, (500, 3)))
    ratio = colour[:, None] / look.colours  # each place has one of three colours, shaded by a few percent
    assert ((np.abs(ratio - 1) < 0.061).all(axis=2).any(axis=1)).all()
    assert (gloss == look.gloss).all()
