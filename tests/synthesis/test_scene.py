import numpy as np
import pytest

from dfmamba.skeleton import HAND_JOINTS, LEFT, NUM_HAND_JOINTS, RIGHT
from dfmamba.synthesis.objects import ObjectModel, PlacedObject, sample_object_look
from dfmamba.synthesis.render import vertex_normals
from dfmamba.synthesis.scene import (
    NONE,
    Camera,
    compose_scene,
    make_camera,
    make_scene,
    make_subject,
    pose_hand,
    render_buffers,
    render_rgb,
)
from dfmamba.synthesis.shading import ambient_occlusion, sample_lighting
from dfmamba.synthesis.surface import PARTS

THICKEST_FINGER_MM = 15.0  # radius, with a little for the pixels' grid


@pytest.fixture(scope="module")
def subject():
    return make_subject(np.random.default_rng(0))


def scene_of(subject, kind, seed=0):
    family, arrangement = ("relaxed", None) if kind != "two" else (None, "cross")
    return make_scene(subject, family, arrangement, LEFT if kind == "left" else RIGHT, np.random.default_rng(seed))


def joints_in_view(scene, camera):
    """Project by hand: X_cam = R (X - c), u = fx X / Z + cx."""
    local = np.array([camera.rotation @ (joint - camera.center_mm) for joint in scene.joints_mm])
    return camera.focal_px * local[:, :2] / local[:, 2:] + camera.principal_point_px, local[:, 2]


@pytest.mark.parametrize("kind", ["right", "left", "two"])
@pytest.mark.parametrize("seed", range(3))
def test_joints_agree_with_the_picture(subject, kind, seed):
    scene = scene_of(subject, kind, seed)
    rng = np.random.default_rng(seed)
    camera = make_camera("400000", rng.uniform(0, 360), seed % 2 == 0, False, rng)
    view = render_buffers(scene, camera)
    pixels, depth = joints_in_view(scene, camera)
    present = np.repeat(scene.present, NUM_HAND_JOINTS)
    inside = ((pixels >= 0) & (pixels <= np.array(camera.size[::-1]) - 1)).all(axis=1)
    checked = np.flatnonzero(present & inside)
    assert len(checked) > 0.8 * present.sum()
    rows, columns = np.nonzero(view.covered)
    z = view.depth_mm[rows, columns]
    skin = np.stack(
        [
            (columns - camera.principal_point_px[0]) * z / camera.focal_px[0],
            (rows - camera.principal_point_px[1]) * z / camera.focal_px[1],
            z,
        ],
        axis=1,
    )
    visible = 0
    for joint in checked:
        column, row = np.rint(pixels[joint]).astype(int)
        assert view.covered[row, column], joint
        assert view.depth_mm[row, column] < depth[joint] + 1  # the skin is in front of the joint
        name = HAND_JOINTS[joint % NUM_HAND_JOINTS]
        face = view.face[row, column]
        neighbours = {name, f"{name[:-1]}{int(name[-1]) - 1}"} if name[-1].isdigit() else set()
        if scene.face_hand[face] == joint // NUM_HAND_JOINTS and PARTS[scene.face_part[face]] in neighbours:
            visible += 1
            place = camera.rotation @ (scene.joints_mm[joint] - camera.center_mm)
            assert np.linalg.norm(skin - place, axis=1).min() < THICKEST_FINGER_MM
    assert visible >= 3


def test_left_is_the_mirror_of_right(subject):
    """Same random numbers, other side: every distance within the hand is equal, every handed volume opposite."""
    right, left = (scene_of(subject, kind).joints_mm for kind in ("right", "left"))
    right, left = right[:NUM_HAND_JOINTS], left[NUM_HAND_JOINTS:]
    distances = [np.linalg.norm(hand[:, None] - hand[None], axis=-1) for hand in (right, left)]
    np.testing.assert_allclose(distances[0], distances[1], atol=1e-9)
    corners = [HAND_JOINTS.index(name) for name in ("wrist", "index1", "pinky1", "thumb4")]
    volumes = [np.linalg.det(hand[corners[1:]] - hand[corners[0]]) for hand in (right, left)]
    assert volumes[0] == pytest.approx(-volumes[1])
    assert abs(volumes[0]) > 1e3


@pytest.mark.parametrize("kind", ["right", "left", "two"])
def test_normals_point_outwards(subject, kind):
    scene = scene_of(subject, kind)
    a, b, c = (scene.vertices_mm[scene.faces[:, k]] for k in range(3))
    assert (np.cross(a, b) * c).sum() > 0  # six times the enclosed volume
    np.testing.assert_allclose(scene.attributes[:, 3:6], vertex_normals(scene.vertices_mm, scene.faces), atol=1e-5)


def test_camera_looks_at_the_hands(subject):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        camera = make_camera("400000", rng.uniform(0, 360), True, False, rng)
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.rotation) == pytest.approx(1)
        local = camera.rotation @ (np.array([0.0, 0.0, 1000.0]) - camera.center_mm)
        assert 950 < local[2] < 1150
        assert (np.abs(local[:2]) < 40).all()
        assert camera.rotation[1] @ np.array([0.0, 1.0, 0.0]) > 0.6  # down stays down


def test_ambient_occlusion_of_a_plate_under_a_ball():
    """A unit ball whose center is 2 above the point: 1 - (1 / 2)^2; sideways or behind it hides nothing."""
    ball, radii = np.full((1, 2, 3), [0, 0, 2.0]), np.ones((1, 2))
    up = ambient_occlusion(np.zeros((2, 3)), np.array([[0, 0, 1.0], [0, 0, -1.0]]), ball, radii)
    np.testing.assert_allclose(up, [0.75, 1.0])


def test_picture_shows_the_hand_where_the_mask_is(subject):
    scene = scene_of(subject, "right")
    cameras = [make_camera("410000", 30, portrait, True, np.random.default_rng(1)) for portrait in (True, False)]
    for camera, size in zip(cameras, ((512, 334), (334, 512)), strict=True):
        pictures = [render_rgb(scene, camera, np.random.default_rng(seed)) for seed in range(2)]
        assert pictures[0].shape == (*size, 3)
        assert pictures[0].dtype == np.uint8
        assert (pictures[0] == pictures[0][..., :1]).all()  # monochrome
        mask = render_buffers(scene, camera).covered
        assert 0.03 < mask.mean() < 0.5
        again = render_rgb(scene, camera, np.random.default_rng(0))
        np.testing.assert_array_equal(pictures[0], again)


def test_an_object_in_front_hides_the_hand_and_one_behind_does_not(subject):
    """A plate of 2 mm across the line of sight, 300 mm nearer or farther than the hand that the camera sees."""
    rng = np.random.default_rng(0)
    hand = pose_hand(subject, RIGHT, np.zeros(23)).moved(np.eye(3), np.array([0.0, -80, 800]))
    plate, look = ObjectModel("plate", 1, "box", (400.0, 400.0, 2.0)), sample_object_look(rng)
    camera = Camera(
        "0", np.zeros(3), np.eye(3), np.array([300.0, 300]), np.array([80.0, 80]), (160, 160), False, np.ones(3)
    )
    empty, near, far = (
        render_buffers(compose_scene(subject, hands, sample_lighting(rng), objects), camera)
        for hands, objects in (
            ([hand], []),
            ([hand], [PlacedObject(plate, look, np.eye(3), np.array([0.0, 0, 500]))]),
            ([hand], [PlacedObject(plate, look, np.eye(3), np.array([0.0, 0, 1100]))]),
        )
    )
    scene = compose_scene(
        subject, [hand], sample_lighting(rng), [PlacedObject(plate, look, np.eye(3), np.array([0.0, 0, 1100]))]
    )
    assert (scene.face_hand[far.face[far.covered]] == NONE).any()
    np.testing.assert_array_equal(scene.face_hand[far.face[empty.covered]], RIGHT)
    np.testing.assert_allclose(near.depth_mm[40:120, 40:120], 499)
    assert (scene.face_object[near.face[near.covered & empty.covered]] == 0).mean() > 0.95  # the forearm reaches beyond
    assert render_rgb(scene, camera, rng).shape == (160, 160, 3)


def test_a_scene_may_have_no_hand(subject):
    rng = np.random.default_rng(0)
    obj = PlacedObject(
        ObjectModel("ball", 0, "ball", (40.0, 40.0, 40.0)), sample_object_look(rng), np.eye(3), np.array([0.0, 0, 1000])
    )
    scene = compose_scene(subject, [], sample_lighting(rng), [obj])
    assert not scene.present.any()
    assert not scene.joints_mm.any()
    view = render_buffers(scene, make_camera("400000", 0, True, False, rng))
    assert 0 < view.covered.sum() < 0.05 * view.covered.size
