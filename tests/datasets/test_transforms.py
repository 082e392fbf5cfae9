import copy

import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from mmpose.datasets.transforms import GetBBoxCenterScale, HandRandomFlip, TopdownAffine

from dfmamba.datasets import (
    InterHand26MDataset,
    MaskBlankImage,
    RandomColorScale,
    RandomHandBBoxTransform,
    RandomHandFlip,
)
from dfmamba.datasets.sample import mirror
from dfmamba.geometry import project
from dfmamba.skeleton import LEFT, RIGHT, hand_slice

# Width of the fixture's portrait images is 334, so u becomes 333 - u.


@pytest.fixture
def samples(interhand_root):
    """The fixture's four samples with their images: right, left, interacting, interacting without a right root."""
    dataset = InterHand26MDataset(split="test", data_root=str(interhand_root), pipeline=[{"type": "mmpose.LoadImage"}])
    return [dataset[i] for i in range(4)]


# ---- the flip


def test_flip_against_numbers_worked_out_by_hand(samples):
    flipped = RandomHandFlip(prob=1.0)(samples[0])  # the right hand of test_sample_against_numbers_worked_out_by_hand
    thumb, index, wrist = 21 + 0, 21 + 4, 21 + 20
    np.testing.assert_allclose(
        flipped["keypoints_cam"][0, [thumb, index, wrist]], [[0, 50, 1000], [-100, 0, 1050], [0, 0, 1000]]
    )
    np.testing.assert_allclose(
        flipped["keypoints"][0, [thumb, index, wrist]],
        [[233, 260, 0], [233 - 1000 * 100 / 1050, 200, 50], [233, 200, 0]],
        rtol=1e-6,
    )
    assert flipped["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21
    assert flipped["hand_type"].tolist() == [[0, 1]]
    assert flipped["abs_depth"].tolist() == [0, 1000]
    assert flipped["principal_pt"].tolist() == [233, 200]
    assert flipped["focal"].tolist() == [1000, 1200]
    assert flipped["bbox"].tolist() == [[333 - 110, 20, 333 - 10, 80]]
    assert flipped["flip"] is True
    assert flipped["flip_direction"] == "horizontal"
    assert np.argwhere(flipped["img"][..., 0] == 255).tolist() == [[20, 323]]  # the white pixel was in column 10


def test_flip_of_two_hands(samples):
    flipped = RandomHandFlip(prob=1.0)(samples[2])
    assert flipped["abs_depth"].tolist() == [900, 1000]
    assert flipped["rel_root_depth"].tolist() == [100]
    assert flipped["hand_type"].tolist() == [[1, 1]]
    assert np.flatnonzero(flipped["keypoints_visible"][0] == 0).tolist() == [1, 21]  # were 22 and 0


@pytest.mark.parametrize("number", range(4))
def test_flip_keeps_image_and_space_consistent(samples, number):
    flipped = RandomHandFlip(prob=1.0)(samples[number])
    valid = flipped["keypoints_visible"] > 0
    assert valid.any()
    points = project(flipped["keypoints_cam"], flipped["focal"], flipped["principal_pt"])
    np.testing.assert_allclose(points[valid], flipped["keypoints"][valid][:, :2], atol=1e-3)
    for side in (RIGHT, LEFT):
        wrist = 21 * side + 20
        if valid[0, wrist]:
            depth = flipped["keypoints_cam"][0, hand_slice(side), 2]
            relative = (depth - flipped["abs_depth"][side])[valid[0, hand_slice(side)]]
            np.testing.assert_allclose(
                flipped["keypoints"][0, hand_slice(side), 2][valid[0, hand_slice(side)]], relative, atol=1e-3
            )
    assert flipped["hand_type"][0, RIGHT] >= valid[0, hand_slice(RIGHT)].any()
    assert flipped["hand_type"][0, LEFT] >= valid[0, hand_slice(LEFT)].any()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("with_box", [False, True])
def test_flip_twice_is_the_identity(samples, number, with_box):
    flip, sample = RandomHandFlip(prob=1.0), samples[number]
    if with_box:
        sample = RandomHandBBoxTransform()(GetBBoxCenterScale()(sample))
    before = copy.deepcopy(sample)
    once = copy.deepcopy(flip(sample))
    assert not np.array_equal(once["keypoints"], before["keypoints"])
    twice = flip(once)
    for key, value in before.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(twice[key], value, atol=1e-4, err_msg=key)
        else:
            assert twice[key] == value, key


@pytest.mark.parametrize("number", range(4))
def test_crop_of_a_flipped_sample_is_the_mirror_image_of_its_crop(samples, number):
    """Also where the box is turned already: its turn changes its sense."""
    jitter = RandomHandBBoxTransform()
    jitter._draw = lambda: (np.array([0.1, -0.05]), 1.1, 40.0)
    sample, crop = jitter(GetBBoxCenterScale()(samples[number])), TopdownAffine(input_size=(256, 256))
    before = crop(copy.deepcopy(sample))["transformed_keypoints"][:, sample["flip_indices"]]
    after = crop(RandomHandFlip(prob=1.0)(sample))["transformed_keypoints"]
    np.testing.assert_allclose(after, np.stack([256 - before[..., 0], before[..., 1], before[..., 2]], -1), atol=1e-2)


def test_flip_agrees_with_mmpose_where_mmpose_is_right(samples):
    sample = samples[2]
    ours, theirs = RandomHandFlip(prob=1.0)(copy.deepcopy(sample)), HandRandomFlip(prob=1.0)(copy.deepcopy(sample))
    for key in ("img", "keypoints", "keypoints_visible", "bbox", "hand_type", "rel_root_depth", "flip"):
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    assert np.array_equal(theirs["keypoints_cam"], sample["keypoints_cam"])  # what mmpose forgets


def test_flip_does_not_write_to_its_input(samples):
    sample = samples[0]
    arrays = {key: value for key, value in sample.items() if isinstance(value, np.ndarray)}
    copies = copy.deepcopy(arrays)
    RandomHandFlip(prob=1.0)(sample)
    for key, value in arrays.items():
        np.testing.assert_array_equal(value, copies[key], err_msg=key)


def test_flip_probability(samples):
    np.random.seed(0)  # noqa: NPY002, the transforms draw from the global generator
    flip = RandomHandFlip(prob=0.3)
    flips = [flip({"img": np.zeros((2, 2, 3)), "flip_indices": [0]})["flip"] for _ in range(2000)]
    assert abs(np.mean(flips) - 0.3) < 0.04
    same = RandomHandFlip(prob=0.0)(copy.deepcopy(samples[0]))
    assert same["flip"] is False
    np.testing.assert_array_equal(same["keypoints"], samples[0]["keypoints"])


def test_flip_refuses_the_wrong_place_and_probability(samples):
    cropped = TopdownAffine(input_size=(256, 256))(GetBBoxCenterScale()(samples[0]))
    with pytest.raises(ValueError, match="before TopdownAffine"):
        RandomHandFlip()(cropped)
    with pytest.raises(ValueError, match="prob: expected a number from 0 to 1, got 2"):
        RandomHandFlip(prob=2)


# ---- the crop


def internet_affine(box_xywh, scale, rotation_deg, size):
    """InterNet's crop written out: square box, times 1.25, and an affine map from three points."""
    x, y, w, h = box_xywh
    center, side = np.array([x + w / 2, y + h / 2]), max(w, h) * 1.25 * scale
    angle = np.deg2rad(rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = np.array([center, center + turn @ [0, side / 2], center + turn @ [side / 2, 0]])
    target = np.array([[size / 2, size / 2], [size / 2, size], [size, size / 2]])
    return np.linalg.solve(np.column_stack([source, np.ones(3)]), target).T  # (2, 3)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("shift", "factor", "rotation"), [((0, 0), 1, 0), ((0.1, -0.15), 1.2, 0), ((0, 0.1), 0.8, 73)])
def test_crop_is_internets(samples, number, shift, factor, rotation):
    sample = samples[number]
    jitter = RandomHandBBoxTransform()
    jitter._draw = lambda: (np.array(shift), factor, rotation)
    crop = TopdownAffine(input_size=(256, 256))(jitter(GetBBoxCenterScale(padding=1.25)(copy.deepcopy(sample))))

    x0, y0, x1, y1 = sample["bbox"][0]
    side = max(x1 - x0, y1 - y0) * 1.25  # InterNet shifts the enlarged square by a part of its side
    box = np.array([x0 + shift[0] * side, y0 + shift[1] * side, x1 - x0, y1 - y0])
    affine = internet_affine(box, factor, rotation, 256)
    expected = sample["keypoints"][0, :, :2] @ affine[:, :2].T + affine[:, 2]
    np.testing.assert_allclose(crop["transformed_keypoints"][0, :, :2], expected, atol=2e-3)
    np.testing.assert_array_equal(crop["transformed_keypoints"][..., 2], sample["keypoints"][..., 2])
    np.testing.assert_array_equal(crop["keypoints_cam"], sample["keypoints_cam"])


def test_crop_moves_the_pixels_with_the_joints(samples):
    sample = samples[0]
    sample["img"] = np.zeros_like(sample["img"])
    sample["img"][58:63, 68:73] = 255  # a spot around (70, 60), inside the crop
    sample["keypoints"][0, 0, :2] = 70, 60
    crop = TopdownAffine(input_size=(256, 256))(RandomHandBBoxTransform()(GetBBoxCenterScale(padding=1.25)(sample)))
    weight = crop["img"][..., 0].astype(float)
    rows, columns = np.indices(weight.shape)
    spot = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
    np.testing.assert_allclose(spot, crop["transformed_keypoints"][0, 0, :2], atol=0.5)


@pytest.mark.parametrize("number", range(4))
def test_way_back_to_the_image(samples, number):
    """mmpose's estimator maps crop px to image px with these three numbers; a test pipeline has no rotation."""
    crop = TopdownAffine(input_size=(256, 256))(GetBBoxCenterScale(padding=1.25)(samples[number]))
    in_crop = crop["transformed_keypoints"][..., :2]
    back = in_crop / crop["input_size"] * crop["input_scale"] + crop["input_center"] - 0.5 * crop["input_scale"]
    np.testing.assert_allclose(back, crop["keypoints"][..., :2], atol=1e-3)


# ---- the rest


def test_jitter_distribution():
    np.random.seed(0)  # noqa: NPY002, the transforms draw from the global generator
    jitter, draws = RandomHandBBoxTransform(), 4000
    boxes = [jitter({"bbox_center": np.float32([[0, 0]]), "bbox_scale": np.float32([[100, 50]])}) for _ in range(draws)]
    center = np.array([box["bbox_center"][0] for box in boxes])
    scale = np.array([box["bbox_scale"][0] for box in boxes])
    rotation = np.array([box["bbox_rotation"][0] for box in boxes])
    assert np.abs(center).max() <= 15 + 1e-4
    np.testing.assert_allclose(center.std(axis=0), 30 / np.sqrt(12), rtol=0.05)  # uniform, of the longer side
    np.testing.assert_allclose(scale[:, 0], 2 * scale[:, 1])
    assert scale[:, 0].min() == pytest.approx(75)
    assert scale[:, 0].max() == pytest.approx(125)
    assert np.mean(scale[:, 0] > 124.99) == pytest.approx(0.1587, abs=0.02)  # a normal variable above 1
    assert np.mean(rotation != 0) == pytest.approx(0.6, abs=0.03)
    assert np.abs(rotation).max() == pytest.approx(90)
    assert np.mean(np.abs(rotation) > 45) == pytest.approx(0.6 * 0.3173, abs=0.03)


def test_random_choices_can_be_cached(samples):
    transforms = [RandomHandFlip(), RandomHandBBoxTransform(), RandomColorScale()]
    sample = GetBBoxCenterScale()(samples[0])
    with cache_random_params(transforms):
        results = []
        for _ in range(2):
            result = copy.deepcopy(sample)
            for transform in transforms:
                result = transform(result)
            results.append(result)
    for key in ("img", "bbox_center", "bbox_scale", "bbox_rotation", "flip"):
        np.testing.assert_array_equal(results[0][key], results[1][key], err_msg=key)


def test_channel_gain():
    gain = RandomColorScale()
    gain._draw = lambda channels: np.array([0.8, 1.0, 1.2])
    img = np.array([[[100, 7, 100], [1, 255, 250]]], dtype=np.uint8)
    result = gain({"img": img})["img"]
    assert result.dtype == np.uint8
    assert result.tolist() == [[[80, 7, 120], [1, 255, 255]]]
    assert img[0, 0, 0] == 100
    assert gain({"img": img.astype(np.float32)})["img"].dtype == np.float32
    gain = RandomColorScale()
    draws = np.array([gain._draw(3) for _ in range(500)])
    assert 0.8 <= draws.min() < 0.81
    assert 1.19 < draws.max() <= 1.2
    assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.2  # each channel has its own


def test_channel_gain_of_every_value_is_the_rounded_product():
    """Bytes are looked up in a table; the table must be the definition."""
    gain, gains = RandomColorScale(), np.array([0.8123, 1.0001, 1.1987])
    gain._draw = lambda channels: gains
    img = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    expected = [[[min(255, round(value * factor)) for factor in gains]] for value in range(256)]
    assert gain({"img": img})["img"].tolist() == expected
    assert gain({"img": img.astype(np.int32)})["img"].tolist() == expected


@pytest.mark.parametrize("shape", [(5, 4, 1), (5, 4, 3), (5, 4, 6)])
def test_images_keep_their_shape(shape):
    img = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert RandomColorScale()({"img": img})["img"].shape == shape
    sample = {"img": img, "flip_indices": []}
    mirror(sample)
    np.testing.assert_array_equal(sample["img"], img[:, ::-1])


def test_blank_image_has_no_valid_joints():
    visible = np.ones((1, 42), dtype=np.float32)
    img = np.zeros((4, 4, 3), dtype=np.uint8)
    assert not MaskBlankImage()({"img": img, "keypoints_visible": visible})["keypoints_visible"].any()
    assert visible.all()
    faint = np.full((4, 4, 3), 255e-4 / 47)  # the sum over 48 values decides, not the largest
    for image, valid in ((faint, True), (faint * 0.9, False)):
        result = MaskBlankImage()({"img": image, "keypoints_visible": visible})
        assert result["keypoints_visible"].any() == valid
    img[0, 0, 0] = 1
    assert MaskBlankImage()({"img": img, "keypoints_visible": visible})["keypoints_visible"].all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHandBBoxTransform(shift=-0.1), "expected shift >= 0"),
        (lambda: RandomHandBBoxTransform(scale=1.0), "0 <= scale < 1"),
        (lambda: RandomHandBBoxTransform(rotation_prob=1.5), "rotation_prob <= 1"),
        (lambda: RandomColorScale(low=1.2, high=0.8), "expected 0 <= low <= high, got 1.2 and 0.8"),
    ],
)
def test_unusable_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_ends_of_the_ranges_are_usable():
    still = RandomHandBBoxTransform(shift=0, scale=0, rotation_deg=0, rotation_prob=1)
    box = still({"bbox_center": np.float32([[7, 9]]), "bbox_scale": np.float32([[100, 50]])})
    assert [box[key].tolist() for key in ("bbox_center", "bbox_scale")] == [[[7, 9]], [[100, 50]]]
    assert box["bbox_rotation"].tolist() == [0]
    img = np.full((2, 2, 3), 77, np.uint8)
    np.testing.assert_array_equal(RandomColorScale(low=1, high=1)({"img": img})["img"], img)
    assert not RandomColorScale(low=0, high=0)({"img": img})["img"].any()
    assert [RandomHandFlip(prob).prob for prob in (0, 1)] == [0, 1]


@pytest.mark.parametrize("transform", [RandomHandFlip, RandomHandBBoxTransform, RandomColorScale, MaskBlankImage])
def test_repr_is_the_call(transform):
    assert vars(eval(repr(transform()))) == vars(transform())
