from dataclasses import replace

import numpy as np
import pytest

from dfmamba.camera_effects import CameraEffects, apply_effects, sample_effects

NONE = CameraEffects(np.zeros(2), 0.0, np.ones(3), 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, None)


def noise_image(seed=0, size=(40, 50)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def flat(value, size=(40, 50)):
    return np.full((*size, 3), value, dtype=np.uint8)


def apply(image, **changes):
    return apply_effects(image, replace(NONE, **changes), np.random.default_rng(0))


def test_without_effects_the_picture_is_the_same():
    image = noise_image()
    np.testing.assert_array_equal(apply(image), image)


def test_strength_0_changes_nothing():
    image = noise_image()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        np.testing.assert_array_equal(apply_effects(image, sample_effects((40, 50), rng, 0.0), rng), image)


def test_gains_and_gamma_are_as_their_equation_says():
    """255 * gain * (100 / 255)^gamma, worked out by hand: gains 0.5, 1, 2 and gamma 1: 50, 100, 200."""
    assert apply(flat(100), gains=np.array([0.5, 1.0, 2.0]))[0, 0].tolist() == [50, 100, 200]
    assert apply(flat(100), gamma=2.0)[0, 0].tolist() == [39, 39, 39]  # 10000 / 255 = 39.2
    assert apply(flat(200), gains=np.full(3, 2.0))[0, 0].tolist() == [255, 255, 255]


def test_contrast_stretches_about_the_mean():
    image = flat(100)
    image[:, :25] = 60
    assert set(apply(image, contrast=1.5)[..., 0].ravel().tolist()) == {50, 110}  # mean 80


def test_saturation_0_is_grey():
    picture = apply(noise_image(), saturation=0.0)
    assert (picture == picture[..., :1]).all()
    image = np.broadcast_to(np.array([200, 100, 50], dtype=np.uint8), (4, 4, 3))
    assert apply(np.ascontiguousarray(image), saturation=0.0)[0, 0, 0] == 96  # 0.114 200 + 0.587 100 + 0.299 50


@pytest.mark.parametrize(("way", "axis"), [((6.0, 0.0), 1), ((0.0, 6.0), 0)])
def test_motion_smears_along_its_way_only(way, axis):
    image = flat(0, (21, 21))
    image[10, 10] = 210
    smeared = apply(image, motion_px=np.array(way))[..., 0]
    other = smeared.sum(axis=axis)
    assert np.flatnonzero(other).tolist() == [10]
    assert np.flatnonzero(smeared.sum(axis=1 - axis)).tolist() == list(range(7, 14))
    assert smeared.sum() == pytest.approx(210, abs=7)


def test_blur_and_shrinking_take_detail_away_and_keep_the_mean():
    image = noise_image()
    for changes in ({"focus_px": 2.0}, {"shrink": 2.0}):
        soft = apply(image, **changes)
        assert soft.std() < 0.6 * image.std()
        assert soft.mean() == pytest.approx(image.mean(), abs=2)


def test_noise_grows_with_the_light_and_has_mean_0():
    dark, bright = (apply(flat(value, (200, 200)), noise=4.0).astype(float) for value in (60, 188))
    assert dark.mean() == pytest.approx(60, abs=0.2)
    assert dark.std() == pytest.approx(4 * (0.25 + 60 / 128) ** 0.5, rel=0.03)
    assert bright.std() == pytest.approx(4 * (0.25 + 188 / 128) ** 0.5, rel=0.03)


def test_compression_loses_more_at_a_lower_quality():
    image = apply(noise_image(), focus_px=1.0)
    errors = [np.abs(apply(image, jpeg_quality=quality).astype(int) - image).mean() for quality in (95, 60, 20)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_drawn_effects_vary_and_follow_their_seed():
    image = noise_image()
    pictures = []
    for seed in (1, 1, 2):
        rng = np.random.default_rng(seed)
        pictures.append(apply_effects(image, sample_effects((40, 50), rng), rng))
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_another_image_is_refused(image):
    with pytest.raises(ValueError, match="image: expected uint8"):
        apply(image)


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match="strength: expected 0 to 1"):
        sample_effects((10, 10), np.random.default_rng(0), strength)
