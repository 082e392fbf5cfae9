"""What people wear on their hands and what grows there: rings, a watch, tattoos, hair, varnish, age."""

from dataclasses import dataclass

import numpy as np

from dfmamba.geometry import Array
from dfmamba.skeleton import FINGERS

METALS = np.array([[0.85, 0.62, 0.22], [0.72, 0.72, 0.74], [0.75, 0.45, 0.33], [0.05, 0.05, 0.055]])  # linear RGB
INKS = np.array([[0.015, 0.02, 0.035], [0.02, 0.05, 0.045], [0.25, 0.02, 0.02], [0.01, 0.01, 0.01]])


@dataclass(frozen=True)
class Ring:
    """A band around the first segment of a finger.

    Attributes:
        finger: Index into `FINGERS`, not the thumb.
        place: Along the segment, 0 to 1.
        width_mm: Of the band.
        colour: (3,) linear RGB.
    """

    finger: int
    place: float
    width_mm: float
    colour: Array


@dataclass(frozen=True)
class Watch:
    """A band around the wrist with a dial on its back.

    Attributes:
        place_mm: Its middle, from the wrist down the forearm.
        width_mm: Of the band.
        band: (3,) linear RGB.
        dial: (3,) linear RGB.
        dial_mm: Radius of the dial; 0 for a bracelet.
    """

    place_mm: float
    width_mm: float
    band: Array
    dial: Array
    dial_mm: float


@dataclass(frozen=True)
class Ornaments:
    """Of one subject.

    Attributes:
        rings: Any number.
        watch: Or a bracelet; None for none.
        ink: (3,) linear RGB of tattoos.
        tattoo: About the share of skin that is inked where tattoos are, 0 to 0.5; 0 for none.
        tattoo_to_mm: Tattoos cover the forearm and the back of the hand up to here, from the wrist to the fingers.
        tattoo_waves: (3, 4) directions and phases of the inked pattern.
        hair: Strength of dark hair on the backs of forearm and hand, 0 to 1.
        varnish: (3,) linear RGB of painted nails; None for none.
        creases: Factor on folds and wrinkles: 0.4 of a child, 2 of an old person.
    """

    rings: tuple[Ring, ...]
    watch: Watch | None
    ink: Array
    tattoo: float
    tattoo_to_mm: float
    tattoo_waves: Array
    hair: float
    varnish: Array | None
    creases: float


def sample_ornaments(size: float, rng: np.random.Generator) -> Ornaments:
    """Draw what somebody with a hand of some size (1 is average) wears."""
    child = size < 0.85
    rings = tuple(
        Ring(int(finger), rng.uniform(0.35, 0.75), rng.uniform(1.8, 6), METALS[rng.integers(len(METALS))])
        for finger in range(1, len(FINGERS))
        if rng.random() < (0.02 if child else 0.12)
    )
    watch = None
    if rng.random() < 0.3:
        dial = 0.0 if rng.random() < 0.35 else rng.uniform(12, 20)
        watch = Watch(
            rng.uniform(22, 42), rng.uniform(5, 22), rng.uniform(0, 0.6, 3) ** 1.6, rng.uniform(0, 0.8, 3), dial
        )
    return Ornaments(
        rings,
        watch,
        INKS[rng.integers(len(INKS))],
        rng.uniform(0.15, 0.5) if rng.random() < (0.0 if child else 0.15) else 0.0,
        rng.uniform(-60, 110),
        np.concatenate([rng.normal(0, 0.12, (3, 3)), rng.uniform(0, 2 * np.pi, (3, 1))], axis=1),
        0.0 if child else rng.uniform(0, 1) * float(rng.random() < 0.45),
        rng.uniform(0, 0.8, 3) ** 1.5 if rng.random() < 0.15 else None,
        rng.uniform(0.4, 0.8) if child else float(np.exp(rng.normal(0, 0.4))),
    )


def with_ornaments(
    ornaments: Ornaments,
    tone: Array,
    gloss: Array,
    points: Array,
    palm_side: Array,
    on_fingers: list[tuple],
) -> tuple[Array, Array]:
    """Return the linear RGB (n, 3) and the gloss (n,) of the skin with what is on it.

    Args:
        ornaments: Of the subject.
        tone: (n, 3) linear RGB of the bare skin.
        gloss: (n,) of the bare skin.
        points: (n, 3) places on the hand at rest, mm.
        palm_side: (n,) 1 on the palm side, 0 behind.
        on_fingers: For each finger's first segment: which of the n places are on it, and how far up they are, 0 to 1,
            and the segment's length in mm.
    """
    tone, gloss = tone.copy(), gloss.copy()
    x, y = points[:, 0], points[:, 1]
    back = 1 - palm_side
    if ornaments.hair:
        strand = np.sin(2.3 * x + 1.7 * np.sin(0.21 * y)) * np.sin(0.35 * y + 0.9 * x)
        where = back * np.clip((60 - y) / 60, 0, 1) * np.clip(strand - 0.2, 0, 1)
        tone *= (1 - 0.75 * ornaments.hair * where)[:, None]
    if ornaments.tattoo:
        waves = np.sin(points @ ornaments.tattoo_waves[:, :3].T + ornaments.tattoo_waves[:, 3])
        pattern = waves.sum(axis=1) + 0.8 * np.sin(4 * waves[:, 0] + 3 * waves[:, 1])
        inked = (pattern > 3 - 6 * ornaments.tattoo) & (y < ornaments.tattoo_to_mm) & (back > 0.3)
        tone[inked] += 0.75 * (ornaments.ink - tone[inked])
    for ring in ornaments.rings:
        own, along, length = on_fingers[ring.finger]
        band = own[np.abs(along - ring.place) * length < ring.width_mm / 2]
        tone[band], gloss[band] = ring.colour, 0.6
    if ornaments.watch is not None:
        watch = ornaments.watch
        along = y + watch.place_mm
        band = np.abs(along) < watch.width_mm / 2
        tone[band], gloss[band] = watch.band, 0.15
        dial = (x * x + along * along < watch.dial_mm**2) & (back > 0.5)
        tone[dial], gloss[dial] = watch.dial, 0.5
        rim = dial & (x * x + along * along > (0.85 * watch.dial_mm) ** 2)
        tone[rim] = METALS[1]
    return tone, gloss
