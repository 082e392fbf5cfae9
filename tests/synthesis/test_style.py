"""The styles of synthetic sets: what a style may change, and that the joints stay where the picture shows them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dfmamba.geometry import project, world_to_camera
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, RIGHT
from dfmamba.synthesis.contact import fingers_fit, sample_pose
from dfmamba.synthesis.grasp import capsule_gaps
from dfmamba.synthesis.hand import MEAN_KNUCKLES_MM, sample_any_shape, sample_shape
from dfmamba.synthesis.interhand26m import write_interhand26m
from dfmamba.synthesis.look import skin_colour
from dfmamba.synthesis.ornaments import Ornaments, Ring, Watch
from dfmamba.synthesis.scene import NONE, make_scene, make_subject, render_buffers
from dfmamba.synthesis.scenery import fractal_noise, sample_scenery
from dfmamba.synthesis.style import STYLES

NOTHING = Ornaments((), None, np.zeros(3), 0.0, 0.0, np.zeros((3, 4)), 0.0, None, 1.0)
RED = np.array([0.9, 0.0, 0.0])


@pytest.fixture(scope="module", params=sorted(STYLES))
def style(request):
    return STYLES[request.param]


@pytest.fixture(scope="module")
def bare():
    """A subject with nothing on."""
    return make_subject(np.random.default_rng(0))


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_joints_lie_under_the_skin_that_the_camera_sees(style, side):
    rng = np.random.default_rng(side)
    subject = style.make_subject(rng)
    for number in range(4):
        scene = make_scene(subject, "open", None, side, rng, None, style.sample_setting)
        camera = style.make_camera("400000", 90.0 * number, True, False, rng)
        view = render_buffers(scene, camera)
        joints = world_to_camera(scene.joints_mm, camera.rotation, camera.center_mm)
        pixels = np.rint(project(joints, camera.focal_px, camera.principal_point_px)).astype(int)
        seen = 0
        for joint in range(side * NUM_HAND_JOINTS, (side + 1) * NUM_HAND_JOINTS):
            column, row = pixels[joint]
            if 0 <= column < camera.size[1] and 0 <= row < camera.size[0] and view.covered[row, column]:
                seen += 1
                # Skin or something beside the hand, but never behind the joint.
                assert view.depth_mm[row, column] < joints[joint, 2] + 1
        assert seen >= 8


def test_a_picture_is_as_large_as_its_camera_says_and_the_same_seed_gives_the_same(style):
    scene = make_scene(style.make_subject(np.random.default_rng(1)), "fist", None, RIGHT, np.random.default_rng(2))
    camera = style.make_camera("400000", 10.0, False, False, np.random.default_rng(3))
    pictures = [style.take_picture(scene, camera, np.random.default_rng(4)) for _ in range(2)]
    assert pictures[0].shape == (*camera.size, 3)
    assert pictures[0].dtype == np.uint8
    assert (pictures[0] == pictures[1]).all()


def test_photographs_hold_the_whole_hands_or_a_part_of_them():
    rng = np.random.default_rng(0)
    style, shares = STYLES["photo"], []
    subject = style.make_subject(rng)
    for _ in range(60):
        camera = style.make_camera("400000", rng.uniform(0, 360), True, False, rng)
        scene_rng = np.random.default_rng(rng.integers(1 << 30))
        joints = make_scene(subject, "open", None, RIGHT, scene_rng).joints_mm[:NUM_HAND_JOINTS]
        local = world_to_camera(joints, camera.rotation, camera.center_mm)
        assert (local[:, 2] > 100).all()
        pixels = project(local, camera.focal_px, camera.principal_point_px)
        inside = ((pixels >= 0) & (pixels < np.array(camera.size[::-1]))).all(axis=1)
        shares.append(inside.mean())
    assert np.mean(np.array(shares) == 1) > 0.5
    assert 0.05 < np.mean(np.array(shares) < 1) < 0.5
    assert min(shares) > 0.1


def test_hands_from_child_to_large_adult():
    rng = np.random.default_rng(0)
    mean = np.linalg.norm(MEAN_KNUCKLES_MM[2])
    anybody = [np.linalg.norm(sample_any_shape(rng).knuckles_mm[2]) / mean for _ in range(300)]
    adults = [np.linalg.norm(sample_shape(rng).knuckles_mm[2]) / mean for _ in range(300)]
    assert min(anybody) < 0.75 < 0.94 - 1e-9 <= min(adults)
    assert max(adults) <= 1.06 + 1e-9 < max(anybody)


def test_hands_of_any_size_can_be_posed():
    """A few drawn shapes are too thick for their width; those that fit take every pose, whatever wrist and palm do."""
    rng = np.random.default_rng(0)
    shapes = [sample_any_shape(rng) for _ in range(200)]
    fits = [fingers_fit(shape) for shape in shapes]
    assert 0.9 < np.mean(fits) < 1
    for shape in [shape for shape, fit in zip(shapes, fits, strict=True) if fit][::10]:
        for family in ("fist", "free"):
            sample_pose(shape, family, rng)
    thick = replace(shapes[0], girth=1.8)
    assert not fingers_fit(thick)
    with pytest.raises(ValueError, match="too thick for its width"):
        sample_pose(thick, "fist", rng)


def test_a_hand_holds_an_object_without_passing_through_it():
    rng = np.random.default_rng(5)
    style = STYLES["photo"]
    subject = style.make_subject(rng)
    for side in (RIGHT, LEFT):
        scene = make_scene(subject, "open", None, side, rng, holding=1.0)
        (held,) = scene.objects
        bones = ~subject.surface.capsules.is_pad
        gaps = capsule_gaps(held, scene.ends_mm[: bones.sum()], subject.surface.capsules.radii_mm[bones])
        assert gaps.min() > -2.5  # soft tissue
        assert gaps.min() < 3.0
    assert make_scene(subject, "open", None, RIGHT, rng).objects == ()


def test_things_beside_the_hands_do_not_pass_through_them():
    style, rng, things = STYLES["photo"], np.random.default_rng(6), 0
    subject = style.make_subject(rng)
    for _ in range(12):
        scene = make_scene(subject, "fist", None, RIGHT, rng, None, style.sample_setting)
        bones = ~subject.surface.capsules.is_pad
        for thing in scene.objects:
            things += 1
            gaps = capsule_gaps(thing, scene.ends_mm[: bones.sum()], subject.surface.capsules.radii_mm[bones])
            assert gaps.min() > 0
    assert things > 3


# ---- what is on the skin


def colours(subject, ornaments, points, part, palm_side):
    look = replace(subject.look, ornaments=ornaments)
    slow = np.stack([np.zeros(len(points)), palm_side], axis=1)
    return skin_colour(subject.surface, look, points, np.full(len(points), part), slow)[0]


def test_nothing_on_the_skin_is_the_bare_skin(bare):
    points = bare.surface.vertices_mm[::50]
    parts, slow = bare.surface.parts[::50], bare.vertex_looks[::50]
    plain = skin_colour(bare.surface, bare.look, points, parts, slow)
    with_nothing = skin_colour(bare.surface, replace(bare.look, ornaments=NOTHING), points, parts, slow)
    for one, other in zip(plain, with_nothing, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_ring_is_a_band_around_one_finger(bare):
    ring = Ring(2, 0.5, 6.0, RED)
    points, parts = bare.surface.vertices_mm, bare.surface.parts
    look = replace(bare.look, ornaments=replace(NOTHING, rings=(ring,)))
    tone = skin_colour(bare.surface, look, points, parts, bare.vertex_looks)[0]
    banded = (tone == RED).all(axis=1)
    assert banded.any()
    assert (parts[banded] == 2 + 3 * 2).all()  # the middle finger's first segment
    # The band is flat across the finger: along it, its points lie within the width, and all around it.
    center = points[banded].mean(axis=0)
    along = np.linalg.svd(points[banded] - center)[2][-1]
    assert np.ptp((points[banded] - center) @ along) < 6.5
    assert np.ptp(points[banded], axis=0)[[0, 2]].min() > 8


def test_a_watch_has_its_dial_on_the_back(bare):
    watch = Watch(35.0, 14.0, RED, np.array([0.0, 0.9, 0.0]), 15.0)
    x = np.array([0.0, 0.0, 0.0, 0.0])
    points = np.stack([x, [-35.0, -35.0, -35.0, -60.0], [-18.0, 18.0, 18.0, 18.0]], axis=1)
    tone = colours(bare, replace(NOTHING, watch=watch), points[:, :], 0, np.array([0.0, 1.0, 1.0, 1.0]))
    assert tone[0].tolist() == [0.0, 0.9, 0.0]
    assert tone[1].tolist() == RED.tolist()
    assert tone[3].tolist() != RED.tolist()  # 25 mm further up the arm


# ---- what is behind


def test_fractal_noise_has_the_mean_and_the_deviation_that_it_says():
    noise = fractal_noise((60, 80), np.random.default_rng(0), (3, 4), 0.7)
    assert noise.shape == (60, 80)
    assert noise.mean() == pytest.approx(0, abs=1e-5)
    assert noise.std() == pytest.approx(1, abs=1e-4)


def test_scenery_is_linear_light_of_the_size_asked_for_and_never_the_same():
    rng = np.random.default_rng(0)
    pictures = [sample_scenery((48, 64), rng) for _ in range(40)]
    for picture in pictures:
        assert picture.shape == (48, 64, 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
    means = np.array([picture.mean() for picture in pictures])
    assert np.ptp(means) > 0.2
    assert len(set(means.tolist())) == 40


# ---- the set


def test_a_set_of_photographs_says_so_and_its_bytes_depend_on_the_seed_alone(tmp_path):
    for folder, workers in (("one", 1), ("two", 2)):
        write_interhand26m(tmp_path / folder, {"train": 8}, 3, style="photo", workers=workers)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len([path for path in files if path.suffix == ".jpg"]) == 8
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert "--style photo" in (tmp_path / "one" / "SYNTHETIC.txt").read_text()
    sizes = {cv2.imread(str(tmp_path / "one" / path)).shape for path in files if path.suffix == ".jpg"}
    assert sizes <= {(256, 256, 3), (256, 192, 3), (192, 256, 3)}


def test_an_unknown_style_is_refused(tmp_path):
    with pytest.raises(ValueError, match="style: expected studio or photo in the layout interhand26m, got 'oil'"):
        write_interhand26m(tmp_path, {"train": 8}, 0, style="oil")
    assert not any(tmp_path.iterdir())


def test_objects_are_no_hands(style):
    subject = style.make_subject(np.random.default_rng(0))
    scene = make_scene(subject, "open", None, RIGHT, np.random.default_rng(8), holding=1.0)
    assert (scene.face_object != NONE).any()
    assert ((scene.face_hand == NONE) == (scene.face_object != NONE)).all()
