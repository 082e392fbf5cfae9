"""The person at the table: nothing meets, checked with points of the skins; the table is where its plane is."""

import numpy as np
import pytest

from dfmamba.skeleton import LEFT, RIGHT, WRIST
from dfmamba.synthesis.grasp import PRESS_MM, Grasp, sample_grasp
from dfmamba.synthesis.hand import NUM_ANGLES
from dfmamba.synthesis.objects import (
    YCB_OBJECTS,
    ObjectModel,
    PlacedObject,
    objects_intersect,
    sample_object_look,
    signed_distance,
)
from dfmamba.synthesis.person import FREE_ARMS, forearm_frame, sample_clothes, sample_person
from dfmamba.synthesis.scene import NONE, Camera, aim, compose_scene, make_subject, render_rgb
from dfmamba.synthesis.shading import sample_lighting
from dfmamba.synthesis.table import draw_table, sample_table
from dfmamba.synthesis.workplace import TABLE_MM, Reach, sample_scene, scatter

PLACE = np.array([0.0, 270.0, -420.0])
REACH = Reach(FREE_ARMS, PLACE, 250.0)
SKIN_SLACK_MM = 2.5  # the skin is off the capsules by so much


@pytest.fixture(scope="module")
def subject():
    return make_subject(np.random.default_rng(0))


def inside(obj, points):
    """Return how deep points (n, 3) of the world are in an object."""
    return -signed_distance(obj.model, (points - obj.translation_mm) @ obj.rotation)


@pytest.mark.parametrize("sides", [(RIGHT,), (LEFT,), (RIGHT, LEFT)], ids=["right", "left", "both"])
def test_hands_hold_their_objects_and_meet_nothing_else(subject, sides):
    rng = np.random.default_rng(len(sides))
    shape = subject.surface.shape
    grasps = {
        side: sample_grasp(shape, obj, sample_object_look(rng), rng)
        for side, obj in zip(sides, (YCB_OBJECTS[3], YCB_OBJECTS[8]), strict=False)
    }
    lying = scatter(YCB_OBJECTS[4:7], PLACE, (0.0, 250.0), rng)
    scene = sample_scene(
        subject, lambda: grasps, REACH, lying, sample_clothes(subject.look, rng), sample_lighting(rng), rng
    )
    assert scene.present.tolist() == [RIGHT in sides, LEFT in sides]
    assert scene.objects[:3] == tuple(lying)
    held = dict(zip(sides, scene.objects[3:], strict=False))
    for side in sides:
        skin = scene.vertices_mm[np.unique(scene.faces[scene.face_hand == side])]
        assert skin[:, 1].max() < TABLE_MM + SKIN_SLACK_MM
        for obj in scene.objects:
            if obj.model.form != "capsule":  # the elbow is in the sleeve
                assert inside(obj, skin).max() < PRESS_MM + SKIN_SLACK_MM
        distance = -inside(held[side], skin)
        assert distance.min() < SKIN_SLACK_MM
        palm = scene.joints_mm[21 * side : 21 * side + 21].mean(axis=0)
        assert np.linalg.norm(palm - PLACE) < 250
        assert held[side].vertices_mm[:, 1].max() < TABLE_MM


def test_a_left_hand_holds_the_mirror_image(subject):
    """A left hand's points x and its object's, mirrored, are those of the right hand with the same pose."""
    rng = np.random.default_rng(3)
    grasp = sample_grasp(subject.surface.shape, YCB_OBJECTS[3], sample_object_look(rng), rng)
    distances = []
    for side in (RIGHT, LEFT):
        scene = sample_scene(
            subject,
            lambda side=side: {side: grasp},
            REACH,
            [],
            sample_clothes(subject.look, rng),
            sample_lighting(rng),
            rng,
        )
        middle = scene.objects[0].translation_mm
        joints = scene.joints_mm[21 * side : 21 * side + 21]
        distances.append(np.linalg.norm(joints - middle, axis=1))
    np.testing.assert_allclose(*distances, atol=1e-6)


def test_objects_on_the_table_are_apart():
    objects = scatter(YCB_OBJECTS[:6], PLACE, (100.0, 300.0), np.random.default_rng(0))
    for number, obj in enumerate(objects):
        assert obj.vertices_mm[:, 1].max() == pytest.approx(TABLE_MM)
        assert 100 <= np.hypot(*(obj.translation_mm - PLACE)[[0, 2]]) <= 300
        assert not any(objects_intersect(obj, other) for other in objects[:number])
    with pytest.raises(RuntimeError, match="no room"):
        scatter([ObjectModel("crate", 0, "box", (300, 300, 300))] * 3, PLACE, (0.0, 10.0), np.random.default_rng(0))


def test_a_hand_that_cannot_get_there(subject):
    far = Reach(FREE_ARMS, np.array([0.0, 0, -3000]), 100.0)
    rng = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="elsewhere"):
        sample_scene(
            subject,
            lambda: {RIGHT: Grasp(np.zeros(NUM_ANGLES), None)},
            far,
            [],
            sample_clothes(subject.look, rng),
            sample_lighting(rng),
            rng,
        )


def test_forearm_frame_by_hand():
    """Forearm straight ahead (-z), roll 0: the thumb is up (-y); the right palm looks left (+x), the left one right."""
    ahead = np.array([0.0, 0, -1])
    for side, thumb, palm in ((RIGHT, (0, -1, 0), (1, 0, 0)), (LEFT, (0, 1, 0), (-1, 0, 0))):
        frame = forearm_frame(side, ahead, 0.0)
        np.testing.assert_allclose(frame[:, 0], thumb, atol=1e-12)
        np.testing.assert_allclose(frame[:, 1], ahead, atol=1e-12)
        np.testing.assert_allclose(np.abs(frame[:, 2]), np.abs(palm), atol=1e-12)
        assert np.linalg.det(frame) == pytest.approx(1)


def test_free_arms_have_wrists_in_front_of_the_elbows(subject):
    person = sample_person(subject, (RIGHT, LEFT), FREE_ARMS, np.random.default_rng(1))
    assert [hand.side for hand in person.hands] == [RIGHT, LEFT]
    assert len(person.body) == len(person.body_ends_mm) == len(person.body_radii_mm)
    for hand, elbow in zip(person.hands, person.body_ends_mm[-2:, 1], strict=True):
        assert 250 < np.linalg.norm(hand.joints_mm[WRIST] - elbow) < 330


def test_depth_of_the_table_and_what_hides_behind_it(subject):
    """A camera 500 mm above a table that it looks down on at 45 degrees: the middle pixel is at 500 sqrt(2)."""
    rng = np.random.default_rng(0)
    table = sample_table(np.array([0.0, 500, 500]), (200.0, 200.0), rng)
    center = np.zeros(3)
    camera = Camera(
        "0",
        center,
        aim(center, np.array([0.0, 500, 500])),
        np.array([100.0, 100]),
        np.array([40.0, 30]),
        (61, 81),
        False,
        np.ones(3),
    )
    below = PlacedObject(
        ObjectModel("ball", 0, "ball", (100.0, 100, 100)), sample_object_look(rng), np.eye(3), np.array([0.0, 700, 700])
    )
    scene = compose_scene(subject, [], sample_lighting(rng), [below])
    colour, depth = draw_table(table, camera, scene)
    assert colour.shape == (61, 81, 3)
    assert depth[30, 40] == pytest.approx(500 * np.sqrt(2))
    # The floor is 750 mm below the table: its plane y = 1250 on the ray of the image's lower left corner.
    ray = camera.rotation.T @ np.array([-0.4, 0.3, 1.0])
    assert depth[60, 0] == pytest.approx(1250 / ray[1] if abs(500 * ray[0] / ray[1]) > 200 else 500 / ray[1])
    aside = compose_scene(subject, [], sample_lighting(rng), [below.moved(np.eye(3), np.array([50.0, 20, 0]))])
    one, other = (
        render_rgb(s, camera, np.random.default_rng(1), draw_table(table, camera, aside)) for s in (scene, aside)
    )
    np.testing.assert_array_equal(one, other)
    seen = render_rgb(
        compose_scene(subject, [], scene.lighting, [below.moved(np.eye(3), np.array([0.0, -400, -400]))]),
        camera,
        np.random.default_rng(1),
        draw_table(table, camera, aside),
    )
    assert (np.abs(seen.astype(int) - one)[28:33, 38:43].max(axis=-1) > 20).mean() > 0.9
    assert (scene.face_hand == NONE).all()
