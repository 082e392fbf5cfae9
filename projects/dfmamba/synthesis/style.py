"""Two ways a synthetic set can look: the studio of InterHand2.6M, and photographs of anybody, anywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from dfmamba.camera_effects import apply_effects, sample_effects
from dfmamba.synthesis.contact import fingers_fit
from dfmamba.synthesis.hand import sample_any_shape
from dfmamba.synthesis.look import sample_look, vertex_looks
from dfmamba.synthesis.objects import TOYS, YCB_OBJECTS, PlacedObject, ball_gap, sample_object_look
from dfmamba.synthesis.ornaments import sample_ornaments
from dfmamba.synthesis.scene import (
    HAND_CENTER_MM,
    Camera,
    PosedHand,
    Scene,
    Setting,
    Subject,
    aim,
    bare_setting,
    make_camera,
    make_subject,
    render_rgb,
)
from dfmamba.synthesis.scenery import sample_scenery
from dfmamba.synthesis.shading import Lighting
from dfmamba.synthesis.surface import make_surface

PHOTO_SIZES = ((256, 256), (256, 192), (192, 256))  # height, width
HAND_SPAN_MM = 200.0  # a hand with its wrist
PROP_GAP_MM = 3.0  # at least, between a hand and a thing beside it


@dataclass(frozen=True)
class Style:
    """How a set looks.

    Attributes:
        text: One line for the command's help.
        frames_per_capture: A capture is one subject with one set of cameras.
        most_captures: In one split.
        views_per_frame: Cameras that see each frame.
        make_subject: Draws a person.
        make_camera: Draws a camera from its name, its azimuth in degrees, whether it stands upright, and whether it is
            monochrome where cameras of this style can be.
        sample_setting: See `scene.make_scene`.
        holding: See `scene.make_scene`.
        take_picture: Renders a scene, (H, W, 3) uint8 BGR.
        jpeg_quality: Lowest and highest.
    """

    text: str
    frames_per_capture: int
    most_captures: int
    views_per_frame: int
    make_subject: Callable[[np.random.Generator], Subject]
    make_camera: Callable[[str, float, bool, bool, np.random.Generator], Camera]
    sample_setting: Setting
    holding: float
    take_picture: Callable[[Scene, Camera, np.random.Generator], np.ndarray]
    jpeg_quality: tuple[int, int]


def photo_subject(rng: np.random.Generator) -> Subject:
    """Draw anybody, child to old, with what they wear; takes about a second, so keep the result."""
    shape = sample_any_shape(rng)
    while not fingers_fit(shape):
        shape = sample_any_shape(rng)
    surface, look = make_surface(shape), sample_look(rng)
    cloth = rng.uniform(0.01, 0.8, 3) ** 1.3
    look = replace(
        look,
        gloss=rng.uniform(0.03, 0.3),
        sleeve_mm=rng.uniform(12, 90) if rng.random() < 0.5 else rng.uniform(90, 260),
        sleeve=np.stack([cloth, cloth * rng.uniform(0.4, 1.6)]) if rng.random() < 0.5 else np.stack([cloth, cloth]),
        ornaments=sample_ornaments(shape.size, rng),
    )
    return Subject(surface, look, vertex_looks(surface, look))


def photo_camera(name: str, azimuth_deg: float, upright: bool, grey: bool, rng: np.random.Generator) -> Camera:
    """Draw a camera at an arm's length or further, held at any height and tilt; `grey` does not count.

    The hands fill a fifth to the whole of the picture; with one camera of six they are partly outside of it.
    """
    size = PHOTO_SIZES[int(rng.integers(len(PHOTO_SIZES)))] if upright else PHOTO_SIZES[0]
    azimuth, elevation = np.radians(azimuth_deg), np.radians(rng.uniform(-35, 65))
    away = np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), -np.cos(azimuth) * np.cos(elevation)])
    distance = np.exp(rng.uniform(np.log(380), np.log(1200)))
    center = HAND_CENTER_MM + away * distance
    roll = Rotation.from_euler("z", rng.normal(0, 30), degrees=True).as_matrix()
    hand_px = min(size) * rng.uniform(0.3, 0.7)
    focal = np.clip(hand_px * distance / HAND_SPAN_MM, 0.75 * max(size), 6 * max(size))
    middle = np.array(size[::-1]) / 2 + rng.normal(0, 0.02, 2) * min(size)
    if rng.random() < 1 / 6:
        turn = rng.uniform(0, 2 * np.pi)
        middle += np.array([np.cos(turn), np.sin(turn)]) * rng.uniform(0.3, 0.55) * min(size)
    rotation = roll @ aim(center, HAND_CENTER_MM + rng.normal(0, 15, 3))
    return Camera(name, center, rotation, focal * rng.uniform(0.99, 1.01, 2), middle, size, False, np.ones(3))


def photo_setting(hands: Sequence[PosedHand], rng: np.random.Generator) -> tuple[Lighting, list[PlacedObject]]:
    """Draw one to four lamps of any strength, and up to three things beside, before or behind the hands."""
    count = int(rng.integers(1, 5))
    directions = rng.normal(size=(count, 3)) * np.array([1.0, 0.8, 1.0]) + np.array([0.0, -0.6, 0.0])
    strengths = rng.uniform(0.2, 1.0, count)
    lighting = Lighting(
        directions / np.linalg.norm(directions, axis=1, keepdims=True),
        strengths / strengths.sum() * rng.uniform(0.3, 1.5),
        rng.uniform(0.1, 0.8),
    )
    props: list[PlacedObject] = []
    if rng.random() < 0.4:
        for _ in range(int(rng.integers(1, 4))):
            prop = _beside(hands, rng)
            if prop is not None:
                props.append(prop)
    return lighting, props


def _beside(hands: Sequence[PosedHand], rng: np.random.Generator) -> PlacedObject | None:
    """Push a thing from somewhere outside towards a joint until it nearly meets a hand; None if it starts in one."""
    models = [model for model in (*YCB_OBJECTS, *TOYS) if max(model.size_mm) < 150]
    model = models[int(rng.integers(len(models)))]
    turn, way = Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3)
    way /= np.linalg.norm(way)
    skin = np.concatenate([hand.vertices_mm[::7] for hand in hands])
    target = hands[int(rng.integers(len(hands)))].joints_mm[int(rng.integers(21))]
    prop = PlacedObject(model, sample_object_look(rng), turn, target)
    stop = rng.uniform(PROP_GAP_MM, 60)
    for distance in np.arange(0.0, 320.0, 8.0):
        moved = replace(prop, translation_mm=target + distance * way)
        if ball_gap(moved, skin, np.zeros(1)).min() > stop:
            return moved
    return None


def photograph(scene: Scene, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Render a scene before some scenery as a camera of any quality stores it."""
    far = np.full(camera.size, np.inf)
    picture = render_rgb(scene, camera, rng, (sample_scenery(camera.size, rng), far))
    return apply_effects(picture, sample_effects(camera.size, rng), rng)


STYLES = {
    "studio": Style(
        "as InterHand2.6M: a dark stage, cameras a metre away, adults",
        25,
        16,
        2,
        make_subject,
        make_camera,
        bare_setting,
        0.0,
        render_rgb,
        (92, 92),
    ),
    "photo": Style(
        "as photographs: anybody anywhere, any light, camera and view, things beside the hands; 256 px",
        12,
        10_000,
        4,
        photo_subject,
        photo_camera,
        photo_setting,
        0.3,
        photograph,
        (60, 95),
    ),
}
