"""A subject's posed hands and the objects around them in the world, cameras, and the pictures that the cameras take.

World: millimetres, y down. `make_scene` and `make_camera` put the hands near (0, 0, 1000) and one camera near the
origin, as in InterHand2.6M; the writers of other layouts place hands (`pose_hand`, `compose_scene`) and cameras
themselves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array, project, world_to_camera
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, RIGHT, WRIST, hand_slice
from dfmamba.synthesis.background import sample_background
from dfmamba.synthesis.contact import sample_pose
from dfmamba.synthesis.grasp import sample_grasp
from dfmamba.synthesis.hand import articulate, mirror, sample_shape
from dfmamba.synthesis.look import Look, sample_look, skin_colour, vertex_looks
from dfmamba.synthesis.objects import (
    TOYS,
    YCB_OBJECTS,
    PlacedObject,
    make_mesh,
    object_colour,
    sample_object_look,
    shadow_capsule,
)
from dfmamba.synthesis.pairs import sample_pair
from dfmamba.synthesis.render import Fragments, rasterize, vertex_normals
from dfmamba.synthesis.shading import (
    SUPERSAMPLING,
    Lighting,
    ambient_occlusion,
    apply_camera_response,
    compose,
    sample_lighting,
    shade,
)
from dfmamba.synthesis.surface import HandSurface, make_surface

HAND_CENTER_MM = np.array([0.0, 0.0, 1000.0])
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # fingers up, palm towards the camera at the origin
NONE = -1  # in `Scene.face_hand`, `face_part` and `face_object`


@dataclass(frozen=True)
class Subject:
    """A person.

    Attributes:
        surface: The skin of the right hand; the left one is its mirror image.
        look: The appearance.
        vertex_looks: (V, 2) see `look.vertex_looks`.
    """

    surface: HandSurface
    look: Look
    vertex_looks: Array


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        name: Its number, as a string.
        center_mm: (3,) in the world.
        rotation: (3, 3) from world to camera.
        focal_px: (2,).
        principal_point_px: (2,).
        size: Height and width of its images.
        grey: Whether it is monochrome.
        tint: (3,) its response to red, green and blue.
        nearest_mm: See `render.rasterize`.
    """

    name: str
    center_mm: Array
    rotation: Array
    focal_px: Array
    principal_point_px: Array
    size: tuple[int, int]
    grey: bool
    tint: Array
    nearest_mm: float = 0.0


@dataclass(frozen=True)
class PosedHand:
    """One hand in a frame that the user knows.

    Attributes:
        side: `RIGHT` or `LEFT`.
        joints_mm: (21, 3) in canonical order.
        vertices_mm: (V, 3) of the skin.
        ends_mm: (P, 2, 3) of the subject's `Capsules`.
    """

    side: int
    joints_mm: Array
    vertices_mm: Array
    ends_mm: Array

    def moved(self, rotation: Array, translation_mm: Array) -> "PosedHand":
        """Return the hand with every point X at R X + t."""
        joints, vertices, ends = (
            points @ rotation.T + translation_mm for points in (self.joints_mm, self.vertices_mm, self.ends_mm)
        )
        return PosedHand(self.side, joints, vertices, ends)


@dataclass(frozen=True)
class Scene:
    """One moment: posed hands, none to two, and objects in the world.

    Attributes:
        subject: Whose hands.
        lighting: The lamps.
        joints_mm: (42, 3) in canonical order; zeros for an absent hand.
        present: (2,) bool, right and left.
        vertices_mm: (V, 3) of all hands, then of all objects.
        faces: (F, 3).
        face_hand: (F,) `RIGHT` or `LEFT`; `NONE` on objects.
        face_part: (F,) index into `surface.PARTS`; `NONE` on objects.
        attributes: (V, 12) float32, what shading interpolates: the vertex, its normal, `ambient_occlusion`, its place
            on the right hand at rest, and `vertex_looks`. On an object: the place in its own frame, and zeros.
        ends_mm: (P, 2, 3) capsules that stand for all hands and objects where only soft shadows matter.
        radii_mm: (P, 2) of these capsules.
        objects: What lies around or is held.
        face_object: (F,) index into `objects`; `NONE` on hands.
    """

    subject: Subject
    lighting: Lighting
    joints_mm: Array
    present: np.ndarray
    vertices_mm: Array
    faces: np.ndarray
    face_hand: np.ndarray
    face_part: np.ndarray
    attributes: np.ndarray
    ends_mm: Array
    radii_mm: Array
    objects: tuple[PlacedObject, ...]
    face_object: np.ndarray


# Draws the lamps, and the objects around hands that are in their place.
Setting = Callable[[Sequence[PosedHand], np.random.Generator], tuple[Lighting, list[PlacedObject]]]


def make_subject(rng: np.random.Generator) -> Subject:
    """Draw a new person; takes about a second, so keep the result."""
    surface, look = make_surface(sample_shape(rng)), sample_look(rng)
    return Subject(surface, look, vertex_looks(surface, look))


def make_camera(name: str, azimuth_deg: float, portrait: bool, grey: bool, rng: np.random.Generator) -> Camera:
    """Draw a camera about a metre from the hands that looks at them.

    Args:
        name: Its number, as a string.
        azimuth_deg: Its place on the ring; 0 is near the world's origin.
        portrait: Image of 334x512 (width x height), else 512x334.
        grey: Whether it is monochrome.
        rng: Source of randomness.
    """
    azimuth, elevation = np.radians(azimuth_deg), np.radians(rng.uniform(-20, 40))
    away = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)])
    center = HAND_CENTER_MM + away * rng.uniform(980, 1090)
    upright = aim(center, HAND_CENTER_MM + rng.normal(0, 8, 3))
    roll = Rotation.from_euler("z", rng.normal(0, 4), degrees=True).as_matrix()
    size = (512, 334) if portrait else (334, 512)
    return Camera(
        name,
        center,
        roll @ upright,
        1268 + rng.normal(0, 5) + rng.normal(0, 0.2, 2),
        np.array(size[::-1]) / 2 + rng.normal(0, 12, 2),
        size,
        grey,
        rng.uniform([0.82, 0.85, 0.68], 1.0),
    )


def aim(center_mm: Array, target_mm: Array) -> Array:
    """Return the rotation (3, 3) from the world to an upright camera that looks at a place, not straight down or up."""
    forward = target_mm - center_mm
    forward /= np.linalg.norm(forward)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def make_scene(
    subject: Subject,
    family: str | None,
    arrangement: str | None,
    side: int,
    rng: np.random.Generator,
    view_spread_deg: float | None = None,
    sample_setting: Setting | None = None,
    holding: float = 0.0,
) -> Scene:
    """Pose one hand (of `side`, in a pose of a family) or two hands (in an arrangement), turned at random.

    Args:
        subject: Whose hands.
        family: Key into `poses.FAMILIES`, for one hand.
        arrangement: Key into `pairs.ARRANGEMENTS`, for two; `family` and `side` do not matter then.
        side: `RIGHT` or `LEFT`.
        rng: Source of randomness.
        view_spread_deg: None turns the hands evenly all around the upright axis. A number is the standard deviation of
            that turn away from a palm (or back) to the camera at azimuth 0; and there the right wrist of a pair stands
            on the left, as that of a person who faces the camera.
        sample_setting: Draws the lamps, and the objects around hands that are in their place; None: `bare_setting`.
        holding: Probability that one hand holds an object, whatever the family; two hands never do.
    """
    shape = subject.surface.shape
    turns, shifts = np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))
    held: list[PlacedObject] = []
    if arrangement is not None:
        pair = sample_pair(shape, arrangement, rng)
        turns[LEFT], shifts[LEFT] = pair.turn, pair.shift_mm
        angles = {RIGHT: pair.angles_deg[RIGHT], LEFT: pair.angles_deg[LEFT]}
    else:
        assert family is not None
        if holding and rng.random() < holding:
            models = (*YCB_OBJECTS, *TOYS)
            grasp = sample_grasp(shape, models[int(rng.integers(len(models)))], sample_object_look(rng), rng)
            angles = {side: grasp.angles_deg}
            if grasp.held is not None:
                held = [grasp.held.mirrored() if side == LEFT else grasp.held]
        else:
            angles = {side: sample_pose(shape, family, rng)}
    heading, facing = rng.uniform(0, 360, 2)
    if view_spread_deg is not None:
        facing = rng.normal(-heading, view_spread_deg)  # two turns about the same axis where there is no tilt
    tilt = min(abs(rng.normal(0, 40)), 110)
    world_turn = Rotation.from_euler("YZY", [heading, tilt, facing], degrees=True).as_matrix() @ UPRIGHT

    hands = [
        pose_hand(subject, hand, hand_angles).moved(turns[hand], shifts[hand]).moved(world_turn, np.zeros(3))
        for hand, hand_angles in angles.items()
    ]
    if (
        view_spread_deg is not None
        and len(hands) == 2
        and (hands[RIGHT].joints_mm[WRIST, 0] > hands[LEFT].joints_mm[WRIST, 0])
    ):
        half_turn = np.diag([-1.0, 1.0, -1.0])
        hands = [hand.moved(half_turn, np.zeros(3)) for hand in hands]
    middle = np.concatenate([hand.joints_mm for hand in hands])
    middle = (middle.min(axis=0) + middle.max(axis=0)) / 2
    shift = HAND_CENTER_MM + rng.normal(0, 14, 3) - middle
    hands = [hand.moved(np.eye(3), shift) for hand in hands]
    lighting, around = (sample_setting or bare_setting)(hands, rng)
    return compose_scene(subject, hands, lighting, [*(obj.moved(world_turn, shift) for obj in held), *around])


def bare_setting(hands: Sequence[PosedHand], rng: np.random.Generator) -> tuple[Lighting, list[PlacedObject]]:
    """Draw the lamps of a studio, without objects."""
    return sample_lighting(rng), []


def pose_hand(subject: Subject, side: int, angles_deg: Array) -> PosedHand:
    """Pose a hand in its own frame; a left one is the mirror image of the right one with these angles (23,)."""
    pose = articulate(subject.surface.shape, angles_deg)
    parts = [pose.joints_mm, subject.surface.posed(pose), subject.surface.capsules.posed_ends(pose)]
    return PosedHand(side, *(mirror(points) if side == LEFT else points for points in parts))


def compose_scene(
    subject: Subject, hands: Sequence[PosedHand], lighting: Lighting, objects: Sequence[PlacedObject] = ()
) -> Scene:
    """Join hands, none to two, and objects that are in the world already to one scene."""
    surface = subject.surface
    joints, present = np.zeros((2 * NUM_HAND_JOINTS, 3)), np.zeros(2, dtype=bool)
    # Of no hand, first: then there may be none.
    vertices: list[Array] = [np.zeros((0, 3))]
    normals: list[Array] = [np.zeros((0, 3))]
    faces: list[np.ndarray] = [np.zeros((0, 3), dtype=np.int64)]
    ends: list[Array] = [np.zeros((0, 2, 3))]
    bones = ~surface.capsules.is_pad
    for number, hand in enumerate(hands):
        joints[hand_slice(hand.side)], present[hand.side] = hand.joints_mm, True
        own_faces = surface.faces[:, ::-1] if hand.side == LEFT else surface.faces  # a mirror turns triangles over
        vertices.append(hand.vertices_mm)
        normals.append(vertex_normals(hand.vertices_mm, own_faces))
        faces.append(own_faces + number * len(hand.vertices_mm))
        ends.append(hand.ends_mm[bones])
    radii = np.tile(surface.capsules.radii_mm[bones], (len(hands), 1))
    all_vertices, all_normals, all_ends = np.concatenate(vertices), np.concatenate(normals), np.concatenate(ends)
    sky = ambient_occlusion(all_vertices, all_normals, all_ends, radii)
    on_skin = np.tile(np.concatenate([surface.vertices_mm, subject.vertex_looks], axis=1), (len(hands), 1))
    attributes = np.concatenate([all_vertices, all_normals, sky[:, None], on_skin], axis=1).astype(np.float32)
    sides = np.repeat(np.array([hand.side for hand in hands], dtype=np.int64), len(surface.faces))
    parts = np.tile(surface.parts[surface.faces[:, 0]], len(hands))
    scene = Scene(
        subject,
        lighting,
        joints,
        present,
        all_vertices,
        np.concatenate(faces),
        sides,
        parts,
        attributes,
        all_ends,
        radii,
        (),
        np.full(len(sides), NONE),
    )
    for obj in objects:
        scene = _with_object(scene, obj)
    return scene


def _with_object(scene: Scene, placed: PlacedObject) -> Scene:
    """Add an object to a scene; it and what is there shade each other."""
    mesh, (ends, radii) = make_mesh(placed.model), shadow_capsule(placed.model)
    vertices, ends = (points @ placed.rotation.T + placed.translation_mm for points in (mesh.vertices_mm, ends))
    normals = mesh.normals @ placed.rotation.T
    sky = ambient_occlusion(vertices, normals, scene.ends_mm, scene.radii_mm)
    rest = np.concatenate([mesh.vertices_mm, np.zeros((len(vertices), 2))], axis=1)
    attributes = np.concatenate([vertices, normals, sky[:, None], rest], axis=1).astype(np.float32)
    before = scene.attributes.copy()
    before[:, 6] *= ambient_occlusion(before[:, :3], before[:, 3:6], ends[None], radii[None])
    no_hand = np.full(len(mesh.faces), NONE)
    return replace(
        scene,
        vertices_mm=np.concatenate([scene.vertices_mm, vertices]),
        faces=np.concatenate([scene.faces, mesh.faces + len(scene.vertices_mm)]),
        face_hand=np.concatenate([scene.face_hand, no_hand]),
        face_part=np.concatenate([scene.face_part, no_hand]),
        attributes=np.concatenate([before, attributes]),
        ends_mm=np.concatenate([scene.ends_mm, ends[None]]),
        radii_mm=np.concatenate([scene.radii_mm, radii[None]]),
        objects=(*scene.objects, placed),
        face_object=np.concatenate([scene.face_object, np.full(len(mesh.faces), len(scene.objects))]),
    )


def render_buffers(scene: Scene, camera: Camera) -> Fragments:
    """Return the visible face, depth and barycentric weights of each pixel: the source of depth images and masks."""
    points = world_to_camera(scene.vertices_mm, camera.rotation, camera.center_mm)
    pixels = project(points, camera.focal_px, camera.principal_point_px)
    return rasterize(pixels, points[:, 2], scene.faces, camera.size, camera.nearest_mm)


def render_rgb(
    scene: Scene, camera: Camera, rng: np.random.Generator, room: tuple[Array, Array] | None = None
) -> np.ndarray:
    """Render the colour image (H, W, 3), uint8 in OpenCV's order BGR, with the exposure and noise of a camera.

    Args:
        scene: What is there.
        camera: Who looks.
        rng: Source of noise and exposure, and of a background if there is no room.
        room: What is there besides the scene: linear RGB (H, W, 3), drawn over in place, and camera z (H, W) in mm.
    """
    background = sample_background(camera.size, rng) if room is None else room[0]
    points = world_to_camera(scene.vertices_mm, camera.rotation, camera.center_mm)
    pixels = project(points, camera.focal_px, camera.principal_point_px)
    size = np.array(camera.size[::-1])
    low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, size - 1).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0)) + 2, low + 1, size).astype(int)
    # Pixel u of the window covers the fine samples 2 (u - low) and 2 (u - low) + 1, a quarter pixel to both sides.
    fine = SUPERSAMPLING * (pixels - low) + (SUPERSAMPLING - 1) / 2
    width, height = SUPERSAMPLING * (high - low)
    fragments = rasterize(fine, points[:, 2], scene.faces, (int(height), int(width)), camera.nearest_mm)
    if room is not None:
        window = room[1][low[1] : high[1], low[0] : high[0]]
        fragments = fragments.in_front_of(window.repeat(SUPERSAMPLING, axis=0).repeat(SUPERSAMPLING, axis=1))
    values = fragments.interpolate(scene.attributes, scene.faces)
    albedo, gloss = _surface_colour(scene, fragments.face[fragments.covered], values)
    colour = shade(values[:, :3], values[:, 3:6], values[:, 6], albedo, gloss, scene.lighting, camera.center_mm)
    image = compose(background, fragments, colour, (int(low[1]), int(low[0])))
    return apply_camera_response(image, rng.uniform(0.8, 1.5), camera.tint, camera.grey, rng.uniform(0.5, 2.0), rng)


def _surface_colour(scene: Scene, face: np.ndarray, values: Array) -> tuple[Array, Array]:
    """Return the linear RGB (n, 3) and the gloss (n,) of visible places, given their faces and `Scene.attributes`."""
    albedo, gloss = np.empty((len(face), 3), dtype=values.dtype), np.empty(len(face), dtype=values.dtype)
    on_hand = scene.face_hand[face] != NONE
    albedo[on_hand], gloss[on_hand] = skin_colour(
        scene.subject.surface,
        scene.subject.look,
        values[on_hand, 7:10],
        scene.face_part[face[on_hand]],
        values[on_hand, 10:12],
    )
    for number, placed in enumerate(scene.objects):
        on_object = scene.face_object[face] == number
        albedo[on_object], gloss[on_object] = object_colour(placed.model, placed.look, values[on_object, 7:10])
    return albedo, gloss
