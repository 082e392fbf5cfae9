import numpy as np
import pytest

from dfmamba.synthesis.render import NO_FACE, rasterize, vertex_normals

# A right triangle that faces the camera: in the image (y down) its corners run the other way round.
CORNERS_PX = np.array([[1.0, 1.0], [1.0, 5.0], [5.0, 1.0]])
FACE = np.array([[0, 1, 2]])


def test_coverage_of_one_triangle_worked_out_by_hand():
    fragments = rasterize(CORNERS_PX, np.full(3, 700.0), FACE, (8, 9))
    expected = np.zeros((8, 9), dtype=bool)
    for row in range(8):
        for column in range(9):
            expected[row, column] = row >= 1 and column >= 1 and row + column <= 6
    np.testing.assert_array_equal(fragments.covered, expected)
    np.testing.assert_allclose(fragments.depth_mm[expected], 700)
    assert np.isinf(fragments.depth_mm[~expected]).all()
    assert (fragments.face[~expected] == NO_FACE).all()


def test_what_is_behind_another_surface_is_dropped():
    """Triangle at 700; the other surface is behind it on even columns and in front of it on odd ones."""
    fragments = rasterize(CORNERS_PX, np.full(3, 700.0), FACE, (8, 9))
    other = np.broadcast_to(np.where(np.arange(9) % 2 == 0, 800.0, 600.0), (8, 9))
    left = fragments.in_front_of(other)
    np.testing.assert_array_equal(left.covered, fragments.covered & (other == 800))
    assert len(left.barycentric) == left.covered.sum()
    columns = np.nonzero(left.covered)[1]
    np.testing.assert_allclose(left.interpolate(CORNERS_PX[:, :1], FACE)[:, 0], columns, atol=1e-9)


def test_depth_is_that_of_the_plane_under_perspective():
    """The plane z = 500 + 0.5 x, seen with f = 100 and the principal point at (0, 0): z = 500 / (1 - 0.5 u / 100)."""
    points = np.array([[0.0, 0.0], [0.0, 200.0], [250.0, 0.0]])
    z = 500 + 0.5 * points[:, 0]
    pixels = 100 * points / z[:, None]
    fragments = rasterize(pixels, z, FACE, (50, 50))
    rows, columns = np.nonzero(fragments.covered)
    assert len(rows) > 300
    np.testing.assert_allclose(fragments.depth_mm[rows, columns], 500 / (1 - 0.5 * columns / 100))
    # Interpolated space coordinates are those of the pixel's ray.
    x = fragments.interpolate(points[:, :1], FACE)[:, 0]
    np.testing.assert_allclose(x, fragments.depth_mm[rows, columns] * columns / 100, atol=1e-9)


def test_nearer_triangle_hides_the_other_whatever_the_order():
    for near in (0, 1):
        pixels = np.concatenate([CORNERS_PX, CORNERS_PX])
        z = np.where(np.repeat([0, 1], 3) == near, 400.0, 900.0)
        fragments = rasterize(pixels, z, np.array([[0, 1, 2], [3, 4, 5]]), (8, 8))
        assert set(fragments.face[fragments.covered]) == {near}


def test_triangles_that_look_away_or_lie_behind_are_left_out():
    assert not rasterize(CORNERS_PX, np.full(3, 700.0), FACE[:, ::-1], (8, 8)).covered.any()
    assert not rasterize(CORNERS_PX, np.array([700.0, 700.0, -1.0]), FACE, (8, 8)).covered.any()


def test_triangles_across_the_border_are_cut():
    fragments = rasterize(CORNERS_PX * 10 - 30, np.full(3, 700.0), FACE, (6, 7))
    rows, columns = np.mgrid[:6, :7]
    np.testing.assert_array_equal(fragments.covered, rows + columns <= 0)


@pytest.mark.parametrize("seed", range(3))
def test_against_a_ray_caster(seed):
    """Random triangles: every pixel's ray against every triangle's plane, one by one."""
    rng = np.random.default_rng(seed)
    focal, size = 30.0, (24, 20)
    points = np.concatenate([rng.uniform(0, 200, (30, 2)), rng.uniform(250, 400, (30, 1))], axis=1)
    faces = np.arange(30).reshape(10, 3)
    fragments = rasterize(focal * points[:, :2] / points[:, 2:], points[:, 2], faces, size)
    for row in range(size[0]):
        for column in range(size[1]):
            ray, nearest = np.array([column / focal, row / focal, 1.0]), (np.inf, NO_FACE)
            for number, (a, b, c) in enumerate(points[faces]):
                normal = np.cross(b - a, c - a)
                if normal @ a >= 0:  # looks away
                    continue
                hit = ray * (normal @ a) / (normal @ ray)
                inside = all(np.cross(q - p, hit - p) @ normal >= 0 for p, q in ((a, b), (b, c), (c, a)))
                if inside and 0 < hit[2] < nearest[0]:
                    nearest = hit[2], number
            assert fragments.face[row, column] == nearest[1]
            if nearest[1] != NO_FACE:
                assert fragments.depth_mm[row, column] == pytest.approx(nearest[0])


def test_normals_of_a_corner():
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2]])  # three walls seen from outside (negative coordinates)
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3))
    np.testing.assert_allclose(normals[1], [0, -1, -1] / np.sqrt(2))
