"""Write synthetic hands as somebody's own data: pictures, and the JSON files of docs/own_data.md.

The pictures are those of the synthetic InterHand2.6M; the form of the files is written here afresh, so that the reader
of `dfmamba.datasets.own_data` is checked against it. Joints are in MediaPipe's order, in space in metres and in the
image.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfmamba.geometry import project, world_to_camera
from dfmamba.skeleton import FROM_DEXYCB, SIDES, hand_slice, inverse
from dfmamba.synthesis.interhand26m import FrameRecord, draw_frame, plan_split, view_of
from dfmamba.synthesis.output import SPLITS, STAGE, STUDIO, Layout, begin_set, finish_set, work
from dfmamba.synthesis.style import STYLES

LAYOUT = Layout(
    "own_data",
    "own data, version 1",
    SPLITS,
    ("images", *(f"{split}.json" for split in SPLITS)),
    generation=1,
    styles=tuple(STYLES),
)
TO_MEDIAPIPE = list(inverse(FROM_DEXYCB))


def write_own_data(
    folder: Path,
    num_images: dict[str, int],
    seed: int,
    *,
    view_spread_deg: float | None = None,
    style: str = STUDIO,
    workers: int = 1,
    overwrite: bool = False,
    on_images: Callable[[int], None] = lambda count: None,
) -> Counter[tuple[str, str]] | None:
    """Write a synthetic set; arguments, result and errors are those of `write_interhand26m`."""
    folder = Path(folder)
    begun = begin_set(folder, LAYOUT, num_images, seed, view_spread_deg, overwrite, style)
    if begun is None:
        return None
    (counts, note), stage = begun, folder / STAGE
    frames = [
        frame
        for split, count in counts.items()
        for frame in plan_split(stage, seed, split, count, view_spread_deg, style)
    ]
    records = work(draw_frame, frames, workers, lambda record: on_images(len(record.images)))
    for split in counts:
        _write_split(stage, split, [record for record in records if record.frame.split == split])
    finish_set(folder, LAYOUT, note)
    return Counter((record.frame.split, record.frame.hand_type) for record in records for _ in record.images)


def _write_split(folder: Path, split: str, records: Sequence[FrameRecord]) -> None:
    """Write the JSON file of a split, and give its pictures short names."""
    drawn = folder / "images" / split
    images: list[dict[str, Any]] = []
    for record in records:
        for number, image in enumerate(record.images):
            name = f"images/{split}_{len(images):04d}.jpg"
            (drawn / image["file_name"]).rename(folder / name)
            images.append({"file": name, **_entry(record, number)})
    shutil.rmtree(drawn)
    content = {
        "format": "dfmamba hands",
        "version": 1,
        "comment": "SYNTHETIC",
        "joint_order": "mediapipe",
        "unit": "m",
        "images": images,
    }
    (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _entry(record: FrameRecord, number: int) -> dict[str, Any]:
    """Return what the file says about one view of a frame, but its name."""
    camera, image = view_of(record.frame, number), record.images[number]
    joints_mm = world_to_camera(np.array(record.world_coord), camera.rotation, camera.center_mm)
    points_px = project(joints_mm, camera.focal_px, camera.principal_point_px)
    valid = np.array(record.joint_valid)[:, 0]
    hands = []
    for side, name in enumerate(SIDES):
        part = hand_slice(side)
        if valid[part].any():
            hand: dict[str, Any] = {
                "side": name,
                "keypoints_cam": (joints_mm[part][TO_MEDIAPIPE] / 1000).round(6).tolist(),
                "keypoints_px": points_px[part][TO_MEDIAPIPE].round(3).tolist(),
            }
            if not valid[part].all():
                hand["valid"] = valid[part][TO_MEDIAPIPE].tolist()
            hands.append(hand)
    return {
        "width": image["width"],
        "height": image["height"],
        "camera": {"focal": camera.focal_px.tolist(), "principal_point": camera.principal_point_px.tolist()},
        "hands": hands,
    }
