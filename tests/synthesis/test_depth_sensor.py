from dataclasses import replace

import numpy as np
import pytest

from dfmamba.synthesis.depth_sensor import KINECT, REALSENSE_D415, DepthSensor, is_steep, sense_depth, shadow

FOCAL_PX = 588.0
EXACT = DepthSensor(
    noise_per_mm=0,
    step_per_mm=1e-9,
    jitter_px=0,
    baseline_mm=0,
    steepest_deg=89.9,
    steep_dropout=0,
    dropout=0,
    range_mm=(1, 60000),
)


def wall(depth_mm, size=(120, 160)):
    return np.full(size, float(depth_mm))


def rng():
    return np.random.default_rng(0)


def test_a_perfect_sensor_rounds_to_millimetres():
    depth = np.array([[500.2, 500.6, 501.0], [999.4, np.inf, 0.0]])
    reading = sense_depth(depth, FOCAL_PX, EXACT, rng())
    assert reading.dtype == np.uint16
    assert reading.tolist() == [[500, 501, 501], [999, 0, 0]]


@pytest.mark.parametrize("depth", [800, 1600, 3200])
def test_noise_grows_with_distance_squared(depth):
    sensor = replace(KINECT, dropout=0, step_per_mm=1e-9)
    reading = sense_depth(wall(depth), FOCAL_PX, sensor, rng()).astype(float)
    assert reading.mean() == pytest.approx(depth, rel=1e-4)
    expected = np.hypot(1.43e-6 * depth**2, 12**-0.5)  # and the rounding to millimetres
    assert reading.std() == pytest.approx(expected, rel=0.05)


def test_steps_grow_with_distance_squared():
    for depth, step in ((1000, 2.85), (2000, 11.4)):
        reading = np.unique(sense_depth(wall(depth), FOCAL_PX, replace(KINECT, dropout=0), rng()))
        assert np.median(np.diff(reading.astype(float))) == pytest.approx(step, abs=0.9)


def test_no_reading_out_of_range():
    depth = np.repeat([[300.0, 1000.0, 5000.0]], 9, axis=0)
    reading = sense_depth(
        np.repeat(depth, 9, axis=1),
        FOCAL_PX,
        replace(KINECT, baseline_mm=0, jitter_px=0, steep_dropout=0, dropout=0),
        rng(),
    )
    assert (reading[:, :9] == 0).all()
    assert (reading[:, 9:18] > 0).all()
    assert (reading[:, 18:] == 0).all()


def test_share_of_lost_pixels():
    lost = sense_depth(wall(800), FOCAL_PX, replace(KINECT, dropout=0.1), rng()) == 0
    assert lost.mean() == pytest.approx(0.1, abs=0.01)
    assert (sense_depth(wall(800), FOCAL_PX, replace(KINECT, dropout=0.0), rng()) > 0).all()


def test_shadow_of_a_near_board_falls_on_its_left():
    depth = wall(1200, (4, 200))
    depth[:, 100:140] = 700
    # By hand: the board's left edge throws f b (1/700 - 1/1200) = 588 * 75 * 5.952e-4 = 26.25 pixels, less half a one.
    dark = shadow(1 / depth, 588.0, 75.0)
    assert (dark == dark[0]).all()
    assert np.flatnonzero(dark[0]).tolist() == list(range(75, 100))
    assert not shadow(1 / depth, 588.0, 0.0).any()


@pytest.mark.parametrize(("tilt_deg", "steep"), [(0, False), (60, False), (79, False), (81, True)])
def test_a_tilted_plane_is_steep_beyond_the_limit(tilt_deg, steep):
    # The plane z = 800 + tan(tilt) x with x = u z / f, near the middle of the image.
    u = np.arange(-10, 11)
    depth = 800 / (1 - np.tan(np.radians(tilt_deg)) * u / FOCAL_PX)
    found = is_steep(1 / np.repeat(depth[None], 5, axis=0), FOCAL_PX, 80.0)
    assert found[:, 5:16].all() == steep
    assert found[:, 5:16].any() == steep


def test_edges_are_lost_more_often_than_the_rest():
    depth = wall(1500)
    depth[:, 80:] = 700
    sensor = replace(KINECT, baseline_mm=0, jitter_px=0)
    lost = sense_depth(depth, FOCAL_PX, sensor, rng()) == 0
    edge = np.zeros(160, dtype=bool)
    edge[79:81] = True
    assert 0.35 < lost[:, edge].mean() < 0.65
    assert lost[:, ~edge].mean() < 0.01


@pytest.mark.parametrize("sensor", [KINECT, REALSENSE_D415], ids=["kinect", "d415"])
def test_same_seed_same_readings(sensor):
    depth = wall(900)
    depth[30:60, 40:80] = 600
    one, two = (sense_depth(depth, FOCAL_PX, sensor, rng()) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    far = one[:, 120:][one[:, 120:] > 0]
    assert far.mean() == pytest.approx(900, abs=1)
    other = sense_depth(depth, FOCAL_PX, sensor, np.random.default_rng(1))
    assert (one != other).any()
