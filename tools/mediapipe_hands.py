"""Find hands with MediaPipe in the pictures of a list, for tools/compare_peers.py; needs no part of this project.

    python tools/mediapipe_hands.py pictures.json found.json

It runs in an environment of its own: the last wheel with the models inside is mediapipe 0.10.21, which wants NumPy 1
and Python 3.9 to 3.12 (`pip install mediapipe==0.10.21`). `pictures.json` is a list of paths. `found.json` gets
`program` and, for each picture, `seconds` and `hands`: side, presence, `keypoints_px` (21, 2) and `keypoints_mm`
(21, 3) in MediaPipe's order; x right, y down, z away from the camera, relative to the middle of the hand.
"""

import json
import sys
import time
from pathlib import Path

M_TO_MM = 1000


def find(paths: list[str]) -> dict:
    """Return what `found.json` holds."""
    import cv2
    import mediapipe
    import numpy as np

    cv2.setNumThreads(1)
    pictures = []
    options = {"static_image_mode": True, "max_num_hands": 2, "min_detection_confidence": 0.5}
    with mediapipe.solutions.hands.Hands(**options) as model:
        for number, path in enumerate(paths):
            pixels = cv2.imread(path)
            if pixels is None:
                raise SystemExit(f"mediapipe_hands.py: {path} is no picture")
            rgb = np.ascontiguousarray(pixels[..., ::-1])
            if number == 0:
                model.process(rgb)  # the first call loads the models
            start = time.perf_counter()
            found = model.process(rgb)
            seconds = time.perf_counter() - start
            height, width = pixels.shape[:2]
            hands = []
            parts = (found.multi_handedness, found.multi_hand_landmarks, found.multi_hand_world_landmarks)
            for side, points, space in zip(*(part or [] for part in parts), strict=True):
                best = side.classification[0]
                hands.append(
                    {
                        # MediaPipe takes pictures for those of a mirror.
                        "side": "left" if best.label == "Right" else "right",
                        "presence": best.score,
                        # A landmark is a part of the picture's width and height; our first pixel's center is 0, 0.
                        "keypoints_px": [[p.x * width - 0.5, p.y * height - 0.5] for p in points.landmark],
                        "keypoints_mm": [[M_TO_MM * p.x, M_TO_MM * p.y, M_TO_MM * p.z] for p in space.landmark],
                    }
                )
            pictures.append({"seconds": seconds, "hands": hands})
    return {"program": f"MediaPipe {mediapipe.__version__}, hands", "pictures": pictures}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    result = find(json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(result))
