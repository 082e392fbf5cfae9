"""Turn a sampled scalar field into a closed triangle mesh: naive surface nets.

Method: S. Gibson, "Constrained elastic surface nets", MICCAI 1998, without the relaxation: one vertex in every grid
cell that the surface crosses, at the mean of the crossings on the cell's edges; one quad around every crossed edge.
"""

import numpy as np

from dfmamba.geometry import Array

_CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
_EDGES = np.array([(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1])


def surface_nets(field: Array, grid: tuple[Array, Array, Array]) -> tuple[Array, np.ndarray]:
    """Mesh the surface field = 0; inside the field is negative.

    Args:
        field: (X, Y, Z) values on a rectilinear grid; positive all over its outer faces.
        grid: The three increasing coordinate arrays (X,), (Y,), (Z,).

    Returns:
        Vertices (V, 3) in the grid's unit and triangles (F, 3), counter-clockwise seen from outside. The mesh has no
        border; where two sheets pass through one cell they share its vertex.

    Raises:
        ValueError: The surface leaves the grid, so the mesh would not be closed.
    """
    inside = field < 0
    faces_of_box = (inside[0], inside[-1], inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1])
    if any(face.any() for face in faces_of_box):
        raise ValueError("field: expected only positive values on the outer faces of the grid, got a negative one")

    corner_values = np.stack(
        [
            field[i : field.shape[0] - 1 + i, j : field.shape[1] - 1 + j, k : field.shape[2] - 1 + k]
            for i, j, k in _CORNERS
        ]
    )
    below = (corner_values < 0).sum(axis=0)
    cells = np.argwhere((below > 0) & (below < 8))
    cell_number = np.full(below.shape, -1)
    cell_number[tuple(cells.T)] = np.arange(len(cells))

    values = corner_values[:, cells[:, 0], cells[:, 1], cells[:, 2]].T  # (cells, 8)
    start, end = values[:, _EDGES[:, 0]], values[:, _EDGES[:, 1]]
    crossed = (start < 0) != (end < 0)
    share = np.where(crossed, start / np.where(crossed, start - end, 1.0), 0.0)[..., None]
    points = _CORNERS[_EDGES[:, 0]] * (1 - share) + _CORNERS[_EDGES[:, 1]] * share
    offset = (points * crossed[..., None]).sum(axis=1) / crossed.sum(axis=1, keepdims=True)
    position = cells + offset
    vertices = np.stack([np.interp(position[:, a], np.arange(len(grid[a])), grid[a]) for a in range(3)], axis=1)

    quads = [_quads_across(inside, cell_number, axis) for axis in range(3)]
    quad = np.concatenate(quads)
    return vertices, np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]])


def _quads_across(inside: np.ndarray, cell_number: np.ndarray, axis: int) -> np.ndarray:
    """Return the quads (n, 4) of vertex numbers around the crossed grid edges along one axis."""
    before, after = np.moveaxis(inside, axis, 0)[:-1], np.moveaxis(inside, axis, 0)[1:]
    edge = np.moveaxis(before != after, 0, axis)
    leaves = np.moveaxis(before & ~after, 0, axis)
    at = np.argwhere(edge)
    u, v = np.eye(3, dtype=int)[(axis + 1) % 3], np.eye(3, dtype=int)[(axis + 2) % 3]
    ring = [at - u - v, at - v, at, at - u]  # counter-clockwise seen from the end of the axis
    quads = np.stack([cell_number[tuple(cell.T)] for cell in ring], axis=1)
    forward = leaves[tuple(at.T)]
    return np.where(forward[:, None], quads, quads[:, ::-1])
