"""A z-buffer rasteriser in numpy: which triangle, where in it, and how far away, for every pixel.

No colours here (see `shading`): depth images, part masks and colour pictures all come from the same `Fragments`.
"""

from dataclasses import dataclass

import numpy as np

from dfmamba.geometry import Array

NO_FACE = -1


@dataclass(frozen=True)
class Fragments:
    """What a camera sees.

    Attributes:
        face: (H, W) index of the visible triangle, `NO_FACE` where there is none.
        depth_mm: (H, W) camera z of the visible surface, infinity where there is none.
        barycentric: (n, 3) perspective-correct weights of the triangle's corners at the n covered pixels, row by row.
    """

    face: np.ndarray
    depth_mm: Array
    barycentric: Array

    @property
    def covered(self) -> np.ndarray:
        """(H, W) bool: pixels that show a triangle."""
        return self.face != NO_FACE

    def interpolate(self, values: Array, faces: np.ndarray) -> Array:
        """Interpolate values (V, C) of the vertices at the covered pixels; return (n, C)."""
        corners = faces[self.face[self.covered]]  # (n, 3)
        weight = self.barycentric.astype(values.dtype)
        return (
            values[corners[:, 0]] * weight[:, :1]
            + values[corners[:, 1]] * weight[:, 1:2]
            + values[corners[:, 2]] * weight[:, 2:]
        )

    def in_front_of(self, depth_mm: Array) -> "Fragments":
        """Return the fragments that are nearer than another surface, given its camera z (H, W) in mm."""
        nearer = self.depth_mm < depth_mm
        return Fragments(
            np.where(nearer, self.face, NO_FACE),
            np.where(nearer, self.depth_mm, np.inf),
            self.barycentric[nearer[self.covered]],
        )


def rasterize(
    vertices_px: Array, depth_mm: Array, faces: np.ndarray, size: tuple[int, int], nearest_mm: float = 0.0
) -> Fragments:
    """Find the nearest triangle at every pixel center.

    A pixel's center has whole-number coordinates. Triangles that look away (clockwise in an image with y down seen as
    y up) are left out, so that a closed mesh is drawn once; so are triangles with a corner at or before `nearest_mm`.

    Args:
        vertices_px: (V, 2) projected corners.
        depth_mm: (V,) camera z of the corners.
        faces: (F, 3) corner numbers, counter-clockwise seen from outside.
        size: Height and width of the image.
        nearest_mm: Not negative. What is close before the camera is large, and slow.
    """
    height, width = size
    corner, z = vertices_px[faces], depth_mm[faces]  # (F, 3, 2), (F, 3)
    edge1, edge2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    with np.errstate(invalid="ignore"):
        area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
        # Over three columns; a reduction along so short an axis is slow.
        low = np.ceil(np.maximum(np.minimum(np.minimum(corner[:, 0], corner[:, 1]), corner[:, 2]), 0))
        high = np.floor(
            np.minimum(np.maximum(np.maximum(corner[:, 0], corner[:, 1]), corner[:, 2]), [width - 1, height - 1])
        )
        in_front = np.minimum(np.minimum(z[:, 0], z[:, 1]), z[:, 2]) > nearest_mm
        kept = np.flatnonzero((area < 0) & in_front & (low[:, 0] <= high[:, 0]) & (low[:, 1] <= high[:, 1]))
    corner, edge1, edge2, area = corner[kept], edge1[kept], edge2[kept], area[kept]
    low = low[kept].astype(np.int64)
    spans = high[kept].astype(np.int64) - low + 1

    # One row for every pixel in the box of every triangle.
    counts = spans[:, 0] * spans[:, 1]
    triangle = np.repeat(np.arange(len(kept)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(number, spans[triangle, 0])
    column, row = column + low[triangle, 0], row + low[triangle, 1]

    # Screen-space barycentric coordinates are affine in the pixel.
    px, py = column - corner[triangle, 0, 0], row - corner[triangle, 0, 1]
    scale = 1 / area
    w1 = px * (edge2[:, 1] * scale)[triangle] - py * (edge2[:, 0] * scale)[triangle]
    w2 = py * (edge1[:, 0] * scale)[triangle] - px * (edge1[:, 1] * scale)[triangle]
    w0 = 1 - w1 - w2
    inside = np.flatnonzero((w0 >= 0) & (w1 >= 0) & (w2 >= 0))
    triangle, pixel = triangle[inside], row[inside] * width + column[inside]
    inverse_z = 1 / z[kept]
    weight = np.stack([w0[inside], w1[inside], w2[inside]], axis=1) * inverse_z[triangle]
    depth = 1 / (weight[:, 0] + weight[:, 1] + weight[:, 2])
    return _nearest(depth, pixel, triangle, weight, kept, size)


def _nearest(
    depth: Array, pixel: np.ndarray, triangle: np.ndarray, weight: Array, kept: np.ndarray, size: tuple[int, int]
) -> Fragments:
    """Keep the nearest candidate of every pixel."""
    # The bits of a positive float32 grow with its value: depth in the high half, the candidate in the low half.
    key = (depth.astype(np.float32).view(np.uint32).astype(np.uint64) << np.uint64(32)) | np.arange(
        len(depth), dtype=np.uint64
    )
    nothing = np.iinfo(np.uint64).max
    buffer = np.full(size[0] * size[1], nothing, dtype=np.uint64)
    np.minimum.at(buffer, pixel, key)
    seen = buffer != nothing
    chosen = (buffer[seen] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    face = np.full(buffer.shape, NO_FACE)
    face[seen] = kept[triangle[chosen]]
    depth_image = np.full(buffer.shape, np.inf)
    depth_image[seen] = depth[chosen]
    return Fragments(face.reshape(size), depth_image.reshape(size), weight[chosen] * depth[chosen, None])


def vertex_normals(vertices: Array, faces: np.ndarray) -> Array:
    """Return unit normals (V, 3): the mean of the neighbouring triangles' normals by area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    total = np.stack([np.bincount(faces.T.ravel(), np.tile(normal[:, k], 3), len(vertices)) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
