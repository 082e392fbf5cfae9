"""A subject's posed hands in the world, cameras around them, and the pictures that the cameras take.

World: millimetres, y down, the hands near (0, 0, 1000), one camera near the origin; as in InterHand2.6M.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dfmamba.geometry import Array, project, world_to_camera
from dfmamba.skeleton import LEFT, NUM_HAND_JOINTS, RIGHT, WRIST, hand_slice
from dfmamba.synthesis.background import sample_background
from dfmamba.synthesis.contact import sample_pose
from dfmamba.synthesis.hand import articulate, mirror, sample_shape
from dfmamba.synthesis.look import Look, sample_look, skin_colour, vertex_looks
from dfmamba.synthesis.pairs import sample_pair
from dfmamba.synthesis.render import Fragments, rasterize, vertex_normals
from dfmamba.synthesis.shading import SUPERSAMPLING, Lighting, compose, develop, openness, sample_lighting, shade
from dfmamba.synthesis.surface import HandSurface, make_surface

HAND_CENTRE_MM = np.array([0.0, 0.0, 1000.0])
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # fingers up, palm towards the camera at the origin
SKY_REACH_MM = 60.0


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
        centre_mm: (3,) in the world.
        rotation: (3, 3) from world to camera.
        focal_px: (2,).
        principal_point_px: (2,).
        size: Height and width of its images.
        grey: Whether it is monochrome.
        tint: (3,) its response to red, green and blue.
    """

    name: str
    centre_mm: Array
    rotation: Array
    focal_px: Array
    principal_point_px: Array
    size: tuple[int, int]
    grey: bool
    tint: Array


@dataclass(frozen=True)
class Scene:
    """One moment: one or two posed hands in the world.

    Attributes:
        subject: Whose hands.
        lighting: The lamps.
        joints_mm: (42, 3) in canonical order; zeros for an absent hand.
        present: (2,) bool, right and left.
        vertices_mm: (V, 3) of all hands.
        faces: (F, 3).
        face_hand: (F,) `RIGHT` or `LEFT`.
        face_part: (F,) index into `surface.PARTS`.
        attributes: (V, 12) float32, what shading interpolates: the vertex, its normal, the openness of its sky, its
            place on the right hand at rest, and `vertex_looks`.
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
    centre = HAND_CENTRE_MM + away * rng.uniform(980, 1090)
    forward = HAND_CENTRE_MM + rng.normal(0, 8, 3) - centre
    forward /= np.linalg.norm(forward)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(forward, right), forward])
    roll = Rotation.from_euler("z", rng.normal(0, 4), degrees=True).as_matrix()
    size = (512, 334) if portrait else (334, 512)
    return Camera(name, centre, roll @ upright, 1268 + rng.normal(0, 5) + rng.normal(0, 0.2, 2),
                  np.array(size[::-1]) / 2 + rng.normal(0, 12, 2), size, grey,
                  rng.uniform([0.82, 0.85, 0.68], 1.0))


def make_scene(subject: Subject, family: str | None, arrangement: str | None, side: int,
               rng: np.random.Generator, view_spread_deg: float | None = None) -> Scene:
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
    """
    shape = subject.surface.shape
    turns, shifts = np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))
    if arrangement is not None:
        pair = sample_pair(shape, arrangement, rng)
        turns[LEFT], shifts[LEFT] = pair.turn, pair.shift_mm
        angles = {RIGHT: pair.angles_deg[RIGHT], LEFT: pair.angles_deg[LEFT]}
    else:
        assert family is not None
        angles = {side: sample_pose(shape, family, rng)}
    heading, facing = rng.uniform(0, 360, 2)
    if view_spread_deg is not None:
        facing = rng.normal(-heading, view_spread_deg)  # two turns about the same axis where there is no tilt
    tilt = min(abs(rng.normal(0, 40)), 110)
    world_turn = Rotation.from_euler("YZY", [heading, tilt, facing], degrees=True).as_matrix() @ UPRIGHT

    hands = []
    for hand, hand_angles in angles.items():
        pose = articulate(shape, hand_angles)
        local = [pose.joints_mm, subject.surface.posed(pose), subject.surface.flesh.posed_ends(pose)]
        if hand == LEFT:
            local = [mirror(points) for points in local]
        hands.append((hand, *((points @ turns[hand].T + shifts[hand]) @ world_turn.T for points in local)))
    if view_spread_deg is not None and len(hands) == 2 and hands[RIGHT][1][WRIST, 0] > hands[LEFT][1][WRIST, 0]:
        half_turn = np.diag([-1.0, 1.0, -1.0])
        hands = [(hand, *(points @ half_turn for points in parts)) for hand, *parts in hands]
    middle = np.concatenate([joints for _, joints, _, _ in hands])
    middle = (middle.min(axis=0) + middle.max(axis=0)) / 2
    return _assemble(subject, hands, HAND_CENTRE_MM + rng.normal(0, 14, 3) - middle, sample_lighting(rng))


def _assemble(subject: Subject, hands: list[tuple], shift: Array, lighting: Lighting) -> Scene:
    """Join the meshes of all hands (side, joints, vertices, capsule ends), moved by a shift."""
    surface = subject.surface
    joints, present = np.zeros((2 * NUM_HAND_JOINTS, 3)), np.zeros(2, dtype=bool)
    vertices, normals, faces = [], [], []
    for number, (hand, hand_joints, hand_vertices, _) in enumerate(hands):
        joints[hand_slice(hand)], present[hand] = hand_joints + shift, True
        own_faces = surface.faces[:, ::-1] if hand == LEFT else surface.faces  # a mirror turns triangles over
        vertices.append(hand_vertices + shift)
        normals.append(vertex_normals(hand_vertices, own_faces))
        faces.append(own_faces + number * len(hand_vertices))
    bones = ~surface.flesh.is_pad
    ends = np.concatenate([hand_ends[bones] + shift for _, _, _, hand_ends in hands])
    radii = np.tile(surface.flesh.radii_mm[bones], (len(hands), 1))
    all_vertices, all_normals = np.concatenate(vertices), np.concatenate(normals)
    sky = openness(all_vertices, all_normals, ends, radii)
    on_skin = np.tile(np.concatenate([surface.vertices_mm, subject.vertex_looks], axis=1), (len(hands), 1))
    attributes = np.concatenate([all_vertices, all_normals, sky[:, None], on_skin], axis=1).astype(np.float32)
    sides = np.repeat([hand for hand, *_ in hands], len(surface.faces))
    parts = np.tile(surface.parts[surface.faces[:, 0]], len(hands))
    return Scene(subject, lighting, joints, present, all_vertices, np.concatenate(faces), sides, parts, attributes)


def see(scene: Scene, camera: Camera) -> Fragments:
    """Return what a camera sees, one fragment for each pixel: the source of depth images and masks."""
    points = world_to_camera(scene.vertices_mm, camera.rotation, camera.centre_mm)
    pixels = project(points, camera.focal_px, camera.principal_point_px)
    return rasterize(pixels, points[:, 2], scene.faces, camera.size)


def photograph(scene: Scene, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Take a picture: (H, W, 3) uint8, BGR."""
    background = sample_background(camera.size, rng)
    points = world_to_camera(scene.vertices_mm, camera.rotation, camera.centre_mm)
    pixels = project(points, camera.focal_px, camera.principal_point_px)
    size = np.array(camera.size[::-1])
    low = np.clip(np.floor(pixels.min(axis=0)).astype(int) - 1, 0, size - 1)
    high = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + 2, low + 1, size)
    # Pixel u of the window covers the fine samples 2 (u - low) and 2 (u - low) + 1, a quarter pixel to both sides.
    fine = SUPERSAMPLING * (pixels - low) + (SUPERSAMPLING - 1) / 2
    width, height = SUPERSAMPLING * (high - low)
    fragments = rasterize(fine, points[:, 2], scene.faces, (int(height), int(width)))
    values = fragments.interpolate(scene.attributes, scene.faces)
    subject, part = scene.subject, scene.face_part[fragments.face[fragments.covered]]
    albedo, gloss = skin_colour(subject.surface, subject.look, values[:, 7:10], part, values[:, 10:12])
    colour = shade(values[:, :3], values[:, 3:6], values[:, 6], albedo, gloss, scene.lighting, camera.centre_mm)
    image = compose(background, fragments, colour, (int(low[1]), int(low[0])))
    return develop(image, rng.uniform(0.8, 1.5), camera.tint, camera.grey, rng.uniform(0.5, 2.0), rng)
