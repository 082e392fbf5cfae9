"""Distance fields and meshes of things: worked out by hand, and each against the other."""

import numpy as np
import pytest

from dfmamba.synthesis.objects import (
    TOYS,
    YCB_THINGS,
    PlacedThing,
    Thing,
    ball_gap,
    make_mesh,
    resting,
    sample_thing_look,
    shadow_capsule,
    signed_distance,
    thing_colour,
)

BOX = Thing("box", 0, "box", (60.0, 40.0, 20.0))
CYLINDER = Thing("cylinder", 0, "cylinder", (60.0, 40.0, 40.0))
BALL = Thing("ball", 0, "ball", (40.0, 40.0, 40.0))
CAPSULE = Thing("capsule", 0, "capsule", (100.0, 40.0, 40.0))
FORMS = pytest.mark.parametrize("thing", [BOX, CYLINDER, BALL, CAPSULE], ids=lambda thing: thing.form)
# Volumes in closed form; the round ones are met from inside by their flat faces.
VOLUME = {
    "box": 60 * 40 * 20,
    "cylinder": np.pi * 20**2 * 60,
    "ball": 4 / 3 * np.pi * 20**3,
    "capsule": np.pi * 20**2 * 60 + 4 / 3 * np.pi * 20**3,
}


@pytest.mark.parametrize(
    ("thing", "point", "distance"),
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
def test_distances_worked_out_by_hand(thing, point, distance):
    assert signed_distance(thing, np.array(point, dtype=float)) == pytest.approx(distance)


@FORMS
def test_mesh_is_the_closed_surface_of_the_distance_field(thing):
    mesh = make_mesh(thing)
    assert np.abs(signed_distance(thing, mesh.vertices_mm)).max() < 1e-6
    a, b, c = (mesh.vertices_mm[mesh.faces[:, k]] for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert 0.98 * VOLUME[thing.form] < volume <= VOLUME[thing.form] * (1 + 1e-9)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-9)
    outside = signed_distance(thing, mesh.vertices_mm + 0.5 * mesh.normals)
    np.testing.assert_allclose(outside, 0.5, atol=0.01)
    extent = np.ptp(mesh.vertices_mm, axis=0)
    np.testing.assert_allclose(extent, thing.size_mm, rtol=2e-3)


def test_numbers_and_sizes_of_the_ycb_objects():
    assert [thing.ycb_id for thing in YCB_THINGS] == [*range(1, 20), 21]
    for thing in (*YCB_THINGS, *TOYS):
        assert thing.size_mm[1] >= thing.size_mm[2], thing.name
        assert min(thing.size_mm) <= 110, thing.name


def test_gap_of_a_moved_thing():
    """The box of 60 mm, turned to stand along y and moved by (0, 100, 0): its end is at y = 130."""
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    placed = PlacedThing(BOX, sample_thing_look(np.random.default_rng(0)), turn, np.array([0.0, 100, 0]))
    assert ball_gap(placed, np.array([0.0, 140, 0]), np.array(4.0)) == pytest.approx(6)


@pytest.mark.parametrize("thing", YCB_THINGS, ids=lambda thing: thing.name)
def test_resting_things_touch_the_table(thing):
    """y points down: the lowest vertex has the largest y."""
    place = np.array([10.0, 300.0, -20.0])
    placed = resting(thing, sample_thing_look(np.random.default_rng(0)), place, 30.0)
    np.testing.assert_allclose(placed.rotation @ placed.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(placed.rotation) == pytest.approx(1)
    vertices = make_mesh(thing).vertices_mm @ placed.rotation.T + placed.translation_mm
    assert vertices[:, 1].max() == pytest.approx(300)
    np.testing.assert_allclose(
        (vertices[:, [0, 2]].min(axis=0) + vertices[:, [0, 2]].max(axis=0)) / 2, (10, -20), atol=1e-6
    )


@FORMS
def test_shadow_capsule_is_not_longer_than_the_thing(thing):
    ends, radii = shadow_capsule(thing)
    assert np.ptp(ends[:, 0]) + 2 * radii[0] <= thing.size_mm[0] + 2
    assert (radii <= thing.size_mm[1] / 2).all()


def test_colours_are_of_the_thing():
    rng = np.random.default_rng(0)
    look = sample_thing_look(rng)
    colour, gloss = thing_colour(BOX, look, rng.uniform(-30, 30, (500, 3)))
    ratio = colour[:, None] / look.colours  # each place has one of three colours, shaded by a few percent
    assert ((np.abs(ratio - 1) < 0.061).all(axis=2).any(axis=1)).all()
    assert (gloss == look.gloss).all()
