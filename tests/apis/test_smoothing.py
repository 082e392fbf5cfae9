"""The One-Euro filter beside its definition, one number at a time."""

import math

import numpy as np
import pytest

from dfmamba.apis.pictures import Picture
from dfmamba.apis.results import Detection, HandJoints, PictureHands
from dfmamba.apis.smoothing import HandSmoother, OneEuro, OneEuroFilter
from dfmamba.skeleton import ONE_HAND


def one_euro(values, rate_hz, min_cutoff, beta, d_cutoff):
    """Algorithm 1 of the paper."""

    def alpha(cutoff):
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * rate_hz)

    filtered, speed = [values[0]], 0.0
    for value in values[1:]:
        change = (value - filtered[-1]) * rate_hz
        speed = alpha(d_cutoff) * change + (1 - alpha(d_cutoff)) * speed
        a = alpha(min_cutoff + beta * abs(speed))
        filtered.append(a * value + (1 - a) * filtered[-1])
    return filtered


@pytest.mark.parametrize("settings", [(1.0, 0.0, 1.0), (0.5, 0.2, 2.0)])
def test_definition(settings):
    values = np.cumsum(np.random.default_rng(0).normal(size=(50, 2, 3)), axis=0)
    smooth = OneEuroFilter(OneEuro(*settings))
    found = np.array([smooth(one, number / 25) for number, one in enumerate(values)])
    for index in np.ndindex(2, 3):
        expected = one_euro(values[(slice(None), *index)].tolist(), 25, *settings)
        np.testing.assert_allclose(found[(slice(None), *index)], expected, rtol=1e-5, atol=1e-5)


def frame(number, hands, is_frame=True):
    """A frame whose hands have all joints at one place."""
    found = tuple(
        HandJoints(
            side,
            False,
            False,
            None,
            ONE_HAND,
            "wrist",
            np.full((21, 2), at, np.float32),
            np.zeros(21),
            np.ones(21),
            None,
            None,
        )
        for side, at in hands.items()
    )
    picture = Picture(f"v#{number}", pixels=np.zeros((9, 9, 3), np.uint8), is_frame=is_frame, time_s=number / 30)
    return PictureHands(picture, (9, 9), (Detection(np.zeros(4), 1.0, found),))


def places(found):
    return {hand.side: float(hand.keypoints_px[0, 0]) for hand in found.hands}


def test_each_side_is_smoothed_by_itself_and_starts_again_where_it_was_not():
    smooth = HandSmoother(OneEuro(beta=0.0))
    share = 1 / (1 + 30 / (2 * math.pi))
    assert places(smooth(frame(0, {"right": 0, "left": 100}, is_frame=False))) == {"right": 0, "left": 100}
    assert places(smooth(frame(1, {"right": 10, "left": 100}))) == pytest.approx({"right": 10 * share, "left": 100})
    assert places(smooth(frame(2, {"left": 100}))) == {"left": 100}
    assert places(smooth(frame(3, {"right": 50, "left": 100}))) == {"right": 50, "left": 100}
    assert places(smooth(frame(0, {"right": 7}, is_frame=False))) == {"right": 7}  # another video


def test_pictures_are_left_alone():
    found = frame(0, {"right": 3})
    picture = PictureHands(Picture("a.png", pixels=found.picture.pixels), found.size, found.detections)
    smooth = HandSmoother(OneEuro())
    assert smooth(picture) is picture
