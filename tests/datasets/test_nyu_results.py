"""NYU's predictions as MATLAB files: by hand, and what is no such file."""

import numpy as np
import pytest
import scipy.io

from dfmamba.datasets.nyu.results import read_nyu, read_nyu_mat
from dfmamba.errors import DataError


def write(path, array, key="xyz_estimation"):
    scipy.io.savemat(path, {key: array})
    return path


def joints(frames=3):
    """x, y (up), z in mm: each joint somewhere else, in front of the camera."""
    return np.random.default_rng(0).uniform([-100, 20, 600], [100, 90, 800], (frames, 14, 3))


def test_y_is_up_where_depths_are_positive(tmp_path):
    """Hand PointNet and Point-to-Point: u = x f / z + 320, v = -y f / z + 240."""
    table = read_nyu_mat(write(tmp_path / "CVPR18_NYU_HandPointNet_ori.mat", joints()))
    assert list(table.ids) == [1, 2, 3]
    np.testing.assert_allclose(table.joints_mm, joints() * [1, -1, 1])
    assert table.valid.all()


def test_all_is_turned_where_depths_are_negative(tmp_path):
    """The 3D CNN: y and z change their signs before the same formula."""
    turned = joints() * [1, -1, -1]
    table = read_nyu(write(tmp_path / "CVPR17_NYU_3DCNN_ori.MAT", turned))
    np.testing.assert_allclose(table.joints_mm, joints() * [1, -1, 1])


@pytest.mark.parametrize(
    ("array", "key", "message"),
    [
        (joints(), "joint_est_wld_xyz", r"no variable .*xyz_estimation"),
        (joints()[:, :13], "xyz_estimation", r"of shape .frames, 14, 3., finite numbers, got shape \(3, 13, 3\)"),
        (joints().reshape(3, 42), "xyz_estimation", r"got shape \(3, 42\)"),
        (np.where(joints() > 790, np.nan, joints()), "xyz_estimation", r"got shape .3, 14, 3., \d+ finite numbers"),
        (joints() - [0, 0, 700], "xyz_estimation", r"depths that are all above, or all below 0 mm, got -\d+.* to \d+"),
        (joints() * [1, 1, 0], "xyz_estimation", r"depths that are all above, or all below 0 mm, got 0 to 0"),
    ],
)
def test_what_is_no_such_file(array, key, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_nyu_mat(write(tmp_path / "x.mat", array, key))


def test_arguments(tmp_path):
    path = write(tmp_path / "x.mat", joints())
    with pytest.raises(ValueError, match=r"coordinates: expected none for .*x.mat, whose depths tell, got 'uvd'"):
        read_nyu(path, coordinates="uvd")
    with pytest.raises(ValueError, match=r"coordinates: expected one of .'uvd', 'xyz', 'xyz-y-down'., got 'xy'"):
        read_nyu(path, coordinates="xy")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_nyu_mat(tmp_path / "none.mat")
