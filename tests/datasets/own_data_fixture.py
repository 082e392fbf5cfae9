"""Hands of one's own whose numbers can be worked out by hand, and the JSON file that holds them.

A hand is flat: each finger is a column, 20 mm beside the next one, its tip 80 mm above the wrist and its base 20 mm;
the thumb is 1 mm nearer to the camera than the index finger, and so on. Camera: focal (250, 300), principal point
(160, 150).
"""

import json
from pathlib import Path

import cv2
import numpy as np

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
NAMES = ["wrist", *(f"{finger}{number}" for finger in FINGERS for number in (1, 2, 3, 4))]  # MediaPipe's order
OURS = [*(f"{finger}{number}" for finger in FINGERS for number in (4, 3, 2, 1)), "wrist"]
FOCAL, PRINCIPAL_POINT = [250.0, 300.0], [160.0, 150.0]
CAMERA = {"focal": FOCAL, "principal_point": PRINCIPAL_POINT}


def joint_mm(name, wrist):
    """Return where a joint of a hand is."""
    if name == "wrist":
        return list(wrist)
    finger, number = FINGERS.index(name[:-1]), int(name[-1])
    return [wrist[0] + 20 * (finger - 2), wrist[1] - 20 * number, wrist[2] + finger]


def hand_mm(wrist=(0.0, 40.0, 500.0), names=NAMES):
    """Return the joints (21, 3) of a hand."""
    return np.array([joint_mm(name, wrist) for name in names])


def in_image(joints):
    """Return their places in the image."""
    return np.array([[250 * x / z + 160, 300 * y / z + 150] for x, y, z in joints])


def hand(side="right", wrist=(0.0, 40.0, 500.0), form="space", **entries):
    """Return the entry of a hand, in MediaPipe's order; form is 'space', 'depth' or 'image'."""
    joints = hand_mm(wrist)
    forms = {
        "space": {"keypoints_cam": joints.tolist()},
        "depth": {"keypoints_px": in_image(joints).tolist(), "depth": joints[:, 2].tolist()},
        "image": {"keypoints_px": in_image(joints).tolist()},
    }
    return {"side": side, **forms[form], **entries}


def image(name, *hands, camera=CAMERA, **entries):
    """Return the entry of an image."""
    known = {} if camera is None else {"camera": camera}
    return {"file": name, "width": 320, "height": 300, **known, "hands": list(hands), **entries}


def content(*images, **entries):
    """Return the content of a file."""
    head = {"format": "dfmamba hands", "version": 1, "joint_order": "mediapipe", "unit": "mm"}
    return {**head, **entries, "images": list(images)}


def write(folder: Path, whole, name="test.json"):
    """Write a file and its images; return the file."""
    for entry in whole["images"]:
        path = folder / entry["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((300, 320, 3), 90, np.uint8))
    path = folder / name
    path.write_text(json.dumps(whole))
    return path
