"""Objects that hands hold: simple shapes in the sizes of the YCB objects, as triangle meshes and as distance fields.

An object's own frame is at its middle, in millimetres, x along its length; the axis of a cylinder is x. All shapes are
their own mirror images, so one model serves both hands. Sizes are rounded from the table of B. Calli et al.,
"Benchmarking in Manipulation Research", 2015; shapes are much simpler than the real ones, and colours are made up.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from dfmamba.geometry import Array

CELL_MM = 8.0  # side of a mesh cell: small enough for soft shadows at the vertices
ROUND_CELLS = 48  # around a cylinder or a ball
LIMB_CELL_MM, LIMB_ROUND_CELLS = 16.0, 32  # of capsules, which are parts of a body and far larger
LIES_BELOW_MM = 31.0  # objects thinner than this lie on a table, others stand
# From an object's own frame to a world with y down: its x up, or its z up.
STANDING = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
LYING = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class ObjectModel:
    """The shape of one object.

    Attributes:
        name: Name of the YCB object.
        ycb_id: Its number in DexYCB, 1 to 21; 0 for something that DexYCB does not have.
        form: `box`, `cylinder`, `ball` or `capsule`, a cylinder with a half ball at each end.
        size_mm: Extents along its own axes; of a box not increasing, of a round object length, diameter, diameter.
    """

    name: str
    ycb_id: int
    form: str
    size_mm: tuple[float, float, float]


# DexYCB leaves out number 20 of the 21 when it comes to grasping. The order is that of the numbers.
YCB_OBJECTS = (
    ObjectModel("002_master_chef_can", 1, "cylinder", (140, 102, 102)),
    ObjectModel("003_cracker_box", 2, "box", (210, 158, 60)),
    ObjectModel("004_sugar_box", 3, "box", (175, 89, 38)),
    ObjectModel("005_tomato_soup_can", 4, "cylinder", (101, 66, 66)),
    ObjectModel("006_mustard_bottle", 5, "box", (175, 85, 50)),
    ObjectModel("007_tuna_fish_can", 6, "cylinder", (33, 85, 85)),
    ObjectModel("008_pudding_box", 7, "box", (110, 89, 35)),
    ObjectModel("009_gelatin_box", 8, "box", (85, 73, 28)),
    ObjectModel("010_potted_meat_can", 9, "box", (97, 82, 50)),
    ObjectModel("011_banana", 10, "cylinder", (190, 36, 36)),
    ObjectModel("019_pitcher_base", 11, "cylinder", (235, 108, 108)),
    ObjectModel("021_bleach_cleanser", 12, "box", (250, 98, 65)),
    ObjectModel("024_bowl", 13, "cylinder", (53, 159, 159)),
    ObjectModel("025_mug", 14, "cylinder", (82, 80, 80)),
    ObjectModel("035_power_drill", 15, "box", (184, 57, 46)),
    ObjectModel("036_wood_block", 16, "box", (200, 85, 85)),
    ObjectModel("037_scissors", 17, "box", (200, 87, 14)),
    ObjectModel("040_large_marker", 18, "cylinder", (121, 18, 18)),
    ObjectModel("051_large_clamp", 19, "box", (165, 100, 36)),
    ObjectModel("061_foam_brick", 21, "box", (75, 50, 50)),
)
# Parts of toys, for hands that put objects together.
TOYS = (
    ObjectModel("toy_ball", 0, "ball", (64, 64, 64)),
    ObjectModel("toy_wheel", 0, "cylinder", (28, 62, 62)),
    ObjectModel("toy_axle", 0, "cylinder", (110, 16, 16)),
    ObjectModel("toy_cabin", 0, "box", (78, 56, 44)),
    ObjectModel("toy_chassis", 0, "box", (150, 62, 26)),
)


@dataclass(frozen=True)
class ObjectMesh:
    """The closed skin of an object; vertices on sharp edges are doubled, one for each side.

    Attributes:
        vertices_mm: (V, 3) in the object's own frame.
        normals: (V, 3) outward unit vectors.
        faces: (F, 3) counter-clockwise seen from outside.
    """

    vertices_mm: Array
    normals: Array
    faces: np.ndarray


def signed_distance(obj: ObjectModel, points: Array) -> Array:
    """Return the distance (...) in mm from points (..., 3) in the object's frame to its surface; negative inside."""
    half = np.array(obj.size_mm) / 2
    if obj.form == "ball":
        return np.linalg.norm(points, axis=-1) - half[0]
    if obj.form == "capsule":
        axis = np.clip(points[..., :1], half[1] - half[0], half[0] - half[1]) * np.eye(3)[0]
        return np.linalg.norm(points - axis, axis=-1) - half[1]
    if obj.form == "cylinder":
        across = np.hypot(points[..., 1], points[..., 2]) - half[1]
        beyond = np.stack([np.abs(points[..., 0]) - half[0], across], axis=-1)
    else:
        beyond = np.abs(points) - half
    outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
    return outside + np.minimum(beyond.max(axis=-1), 0)


@lru_cache(maxsize=64)
def make_mesh(obj: ObjectModel) -> ObjectMesh:
    """Mesh an object from grids of points, one for each smooth piece of its surface."""
    half = np.array(obj.size_mm) / 2
    sides = {"box": _box_sides, "cylinder": _cylinder_sides, "ball": _ball_sides, "capsule": _capsule_sides}
    pieces = sides[obj.form](half)
    vertices, normals, faces, count = [], [], [], 0
    for points, outward in pieces:
        rows, columns = points.shape[:2]
        number = count + np.arange(rows * columns).reshape(rows, columns)
        a, b, c, d = (part.ravel() for part in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
        quads = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
        vertices.append(points.reshape(-1, 3))
        normals.append(outward.reshape(-1, 3))
        corner = vertices[-1][quads - count]
        turn = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        faces.append(quads if (turn * normals[-1][quads[:, 0] - count]).sum() > 0 else quads[:, ::-1])
        count += rows * columns
    return ObjectMesh(np.concatenate(vertices), np.concatenate(normals), np.concatenate(faces))


def _box_sides(half: Array) -> list[tuple[Array, Array]]:
    sides: list[tuple[Array, Array]] = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        steps = [np.linspace(-half[a], half[a], 1 + int(np.ceil(2 * half[a] / CELL_MM))) for a in (u, v)]
        for sign in (-1.0, 1.0):
            points = np.zeros((len(steps[0]), len(steps[1]), 3))
            points[..., u], points[..., v] = np.meshgrid(*steps, indexing="ij")
            points[..., axis] = sign * half[axis]
            sides.append((points, np.broadcast_to(sign * np.eye(3)[axis], points.shape)))
    return sides


def _cylinder_sides(half: Array) -> list[tuple[Array, Array]]:
    angle = np.linspace(0, 2 * np.pi, ROUND_CELLS + 1)
    around = np.stack([np.zeros_like(angle), np.cos(angle), np.sin(angle)], axis=1)  # (A, 3)
    ends = np.linspace(-half[0], half[0], 1 + int(np.ceil(2 * half[0] / CELL_MM)))
    mantle = around * half[1] + ends[:, None, None] * np.eye(3)[0]  # (L, A, 3)
    sides: list[tuple[Array, Array]] = [(mantle, np.broadcast_to(around, mantle.shape))]
    radii = np.linspace(0, half[1], 1 + int(np.ceil(half[1] / CELL_MM)))
    for sign in (-1.0, 1.0):
        lid = around * radii[:, None, None] + sign * half[0] * np.eye(3)[0]
        sides.append((lid, np.broadcast_to(sign * np.eye(3)[0], lid.shape)))
    return sides


def _ball_sides(half: Array) -> list[tuple[Array, Array]]:
    around = np.linspace(0, 2 * np.pi, ROUND_CELLS + 1)
    down = np.linspace(0, np.pi, ROUND_CELLS // 2 + 1)[:, None]
    outward = np.stack(
        np.broadcast_arrays(np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)), axis=-1
    )
    return [(outward * half[0], outward)]


def _capsule_sides(half: Array) -> list[tuple[Array, Array]]:
    around = np.linspace(0, 2 * np.pi, LIMB_ROUND_CELLS + 1)
    cap = np.linspace(0, np.pi / 2, LIMB_ROUND_CELLS // 4 + 1)
    reach = half[0] - half[1]
    mantle = np.linspace(reach, -reach, 2 + int(np.ceil(2 * reach / LIMB_CELL_MM)))[1:-1]
    down = np.concatenate([cap, np.full(len(mantle), np.pi / 2), np.pi / 2 + cap])[:, None]
    middle = np.concatenate([np.full(len(cap), reach), mantle, np.full(len(cap), -reach)])
    outward = np.stack(
        np.broadcast_arrays(np.cos(down), np.sin(down) * np.cos(around), np.sin(down) * np.sin(around)), axis=-1
    )
    return [(outward * half[1] + middle[:, None, None] * np.eye(3)[0], outward)]


def shadow_capsule(obj: ObjectModel) -> tuple[Array, Array]:
    """Return a capsule of about the object's size: ends (2, 3) and radii (2,), in mm, in its own frame.

    It stands for the object where only its soft shadow matters (`shading.ambient_occlusion`).
    """
    length, *across = obj.size_mm
    radius = float(np.mean(across)) / 2
    reach = max(length / 2 - radius, 0.5)
    return np.array([[-reach, 0, 0], [reach, 0, 0]]), np.full(2, min(radius, length / 2))


@dataclass(frozen=True)
class ObjectLook:
    """The appearance of an object.

    Attributes:
        colours: (3, 3) linear RGB: ground, label, print on the label.
        label: Share of the length that the label takes.
        print_mm: Size of the printed patches.
        phases: (3,) which patches are printed.
        gloss: Strength of the highlights.
    """

    colours: Array
    label: float
    print_mm: float
    phases: Array
    gloss: float


def sample_object_look(rng: np.random.Generator) -> ObjectLook:
    """Draw the appearance of an object."""
    colours = rng.uniform(0.01, 0.75, (3, 3)) ** 1.5
    return ObjectLook(
        colours, rng.uniform(0.3, 1.0), rng.uniform(5, 14), rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.02, 0.2)
    )


def object_colour(obj: ObjectModel, look: ObjectLook, points: Array) -> tuple[Array, Array]:
    """Return the linear RGB (n, 3) and the gloss (n,) of places (n, 3) on an object, in its own frame, in mm."""
    cell = np.floor(points / look.print_mm)
    # The fraction of a large sine is as good as a random number for every cell.
    chance = 1e4 * np.sin(cell @ np.array([12.99, 78.23, 37.72]) + look.phases.sum())
    printed = (chance - np.floor(chance) < 0.3).astype(int)
    in_label = np.abs(points[:, 0]) < look.label * obj.size_mm[0] / 2
    colour = look.colours[np.where(in_label, 1 + printed, 0)]
    shade = 1 + 0.06 * np.sin(points @ np.array([0.07, 0.11, 0.09]) + look.phases[0])
    return (colour * shade[:, None]).astype(points.dtype), np.full(len(points), look.gloss, dtype=points.dtype)


@dataclass(frozen=True)
class PlacedObject:
    """An object with an appearance at a place in the world.

    Attributes:
        model: Its shape.
        look: Its appearance.
        rotation: (3, 3) from its own frame.
        translation_mm: (3,) where its middle is: a point X of its own frame is at R X + t.
    """

    model: ObjectModel
    look: ObjectLook
    rotation: Array
    translation_mm: Array

    def moved(self, rotation: Array, translation_mm: Array) -> "PlacedObject":
        """Return the object with every point X at R X + t."""
        return replace(
            self, rotation=rotation @ self.rotation, translation_mm=rotation @ self.translation_mm + translation_mm
        )

    def mirrored(self) -> "PlacedObject":
        """Return the object with its surface mirrored, x -> -x; it is its own mirror image, so it only moves."""
        flip = np.diag([-1.0, 1.0, 1.0])
        return replace(self, rotation=flip @ self.rotation @ flip, translation_mm=flip @ self.translation_mm)

    @property
    def vertices_mm(self) -> Array:
        """(V, 3) of its mesh, where it is."""
        return make_mesh(self.model).vertices_mm @ self.rotation.T + self.translation_mm


def objects_intersect(one: PlacedObject, two: PlacedObject) -> bool:
    """Whether a vertex of either of two objects is inside the other."""
    return any(bool((ball_gap(a, b.vertices_mm, np.zeros(1)) < 0).any()) for a, b in ((one, two), (two, one)))


def ball_gap(placed: PlacedObject, centers: Array, radii: Array) -> Array:
    """Return the gap (...) in mm between a placed object and balls (..., 3), (...); negative where they overlap."""
    local = (centers - placed.translation_mm) @ placed.rotation  # R^T (X - t)
    return signed_distance(placed.model, local) - radii


def resting(obj: ObjectModel, look: ObjectLook, place_mm: Array, heading_deg: float) -> PlacedObject:
    """Put an object on a table, whose up is -y as everywhere in these worlds; objects stand, thin ones lie.

    Args:
        obj: Its shape.
        look: Its appearance.
        place_mm: (3,) the point of the table under its middle.
        heading_deg: Its turn about the upright axis.
    """
    lies = min(obj.size_mm[1:]) < LIES_BELOW_MM
    turn = np.radians(heading_deg)
    heading = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    height = obj.size_mm[2 if lies else 0] / 2
    return PlacedObject(obj, look, heading @ (LYING if lies else STANDING), np.asarray(place_mm) - [0, height, 0])
