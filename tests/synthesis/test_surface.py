import numpy as np
import pytest

from dfmamba.skeleton import HAND_JOINTS
from dfmamba.synthesis.capsules import FINGER_RADII_MM
from dfmamba.synthesis.contact import sample_pose
from dfmamba.synthesis.hand import BONES, MEAN_SHAPE, articulate
from dfmamba.synthesis.meshing import surface_nets
from dfmamba.synthesis.surface import PARTS, make_surface, skin_distance


@pytest.fixture(scope="module")
def skin():
    return make_surface(MEAN_SHAPE)


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return (np.cross(a, b) * c).sum() / 6


def assert_closed(faces):
    """Every directed edge occurs as often as its opposite: there is no border."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward, back = (np.unique(e, axis=0, return_counts=True) for e in (edges, edges[:, ::-1]))
    np.testing.assert_array_equal(forward[0], back[0])
    np.testing.assert_array_equal(forward[1], back[1])


def test_surface_nets_finds_a_ball():
    axes = (np.linspace(-12, 12, 31), np.linspace(-13, 13, 27), np.linspace(-12, 12, 33))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    vertices, faces = surface_nets(np.linalg.norm(grid, axis=-1) - 10, axes)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 10, atol=0.1)
    assert volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)  # positive: seen from outside
    assert_closed(faces)


def test_surface_nets_refuses_an_open_surface():
    axes = (np.arange(4.0),) * 3
    with pytest.raises(ValueError, match="outer faces"):
        surface_nets(np.full((4, 4, 4), -1.0), axes)


def test_skin_of_two_equal_capsules_lies_on_them():
    ends = np.array([[[0.0, 0, 0], [0, 30, 0]]] * 2)
    radii = np.full((2, 2), 8.0)
    np.testing.assert_allclose(
        skin_distance(np.array([[8.0, 15, 0], [0, 38, 0], [20, 15, 0]]), ends, radii), [0, 0, 12], atol=1e-2
    )


def test_mesh_is_closed_and_of_a_hands_size(skin):
    assert_closed(skin.faces)
    hand = skin.vertices_mm[skin.parts != PARTS.index("forearm")]
    assert 160 < np.ptp(hand[:, 1]) < 230
    assert set(skin.parts) == set(range(len(PARTS)))


def test_weights_are_a_partition(skin):
    assert skin.weights.shape == (len(skin.vertices_mm), len(BONES))
    assert skin.weights.min() >= 0
    np.testing.assert_allclose(skin.weights.sum(axis=1), 1, atol=1e-9)


def test_rest_pose_gives_the_rest_mesh(skin):
    np.testing.assert_allclose(skin.posed(skin.rest), skin.vertices_mm, atol=1e-9)


@pytest.mark.parametrize("family", ["open", "fist", "pinch", "claw"])
def test_joints_lie_under_the_skin_at_finger_radius(skin, family):
    """The nearest skin to a finger's joint 2 or 3 is about as far as the finger is thick, also in a fist."""
    pose = articulate(MEAN_SHAPE, sample_pose(MEAN_SHAPE, family, np.random.default_rng(0)))
    vertices = skin.posed(pose)
    for finger, name in enumerate(("thumb", "index", "middle", "ring", "pinky")):
        for k in (2, 3):
            joint = pose.joints_mm[HAND_JOINTS.index(f"{name}{k}")]
            nearest = np.linalg.norm(vertices - joint, axis=1).min()
            assert 0.55 * FINGER_RADII_MM[finger, k - 1] < nearest < 1.2 * FINGER_RADII_MM[finger, k - 1]


@pytest.mark.parametrize("family", ["fist", "open", "grasp"])
def test_posed_mesh_has_no_spikes_and_keeps_its_volume(skin, family):
    vertices = skin.posed(articulate(MEAN_SHAPE, sample_pose(MEAN_SHAPE, family, np.random.default_rng(1))))
    edges = np.concatenate([skin.faces[:, [0, 1]], skin.faces[:, [1, 2]]])
    rest, posed = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (skin.vertices_mm, vertices))
    assert (posed - rest).max() < 12
    assert volume(vertices, skin.faces) == pytest.approx(volume(skin.vertices_mm, skin.faces), rel=0.06)
