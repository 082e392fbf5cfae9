"""Finds right and left hands in whole pictures, with a model that `dfmamba pack` has exported: no torch, no mmpose."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dfmamba.apis.exported_model import FORMAT, open_session, read_metadata
from dfmamba.apis.hand_model import Array
from dfmamba.apis.packed_model import FINDER_IN_THE_BOX, open_packed_model
from dfmamba.crops import crop_color
from dfmamba.errors import UserError
from dfmamba.hand_boxes import SURE, FoundBoxes, area, boxes_at_peaks

TOUCHING = 0.1  # of the smaller box inside the other one, from which on two hands are looked at together


@dataclass(frozen=True)
class FinderFacts:
    """What the metadata of an exported finder say.

    Attributes:
        crop_size: (width, height) in px of what the network sees: the whole picture, with black where it is too narrow
            or too low.
        outputs: What the tensors hold, with shapes and units.
        preprocessing: What the graph itself does with the crop.
        card: Name, data and errors of the model.
        format: Version of these metadata.
    """

    crop_size: tuple[int, int]
    outputs: Mapping[str, str]
    preprocessing: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    key: ClassVar[str] = "dfmamba_finder"  # of the metadata

    def to_json(self) -> str:
        """Return the text for the metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FinderFacts":
        """Read the text of the metadata.

        Raises:
            ValueError, TypeError, KeyError: It is of another version, or lacks something.
        """
        content = json.loads(text)
        if content.get("format") != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, got {content.get('format')}")
        content["crop_size"] = tuple(content["crop_size"])
        return cls(**content)


class HandsBox(NamedTuple):
    """A box to look at, with one hand or with two that touch.

    Attributes:
        box: (5,), x0, y0, x1, y1 in px, and a score, that of the surer hand.
        num_hands: How many hands a finder has found in it, 1 or 2; None of a box that does not come from a finder.
        presence: How sure the finder is of these, of two of the less sure one, 0 to 1.
    """

    box: Array
    num_hands: int | None = None
    presence: float | None = None


class HandFinder:
    """Finds hands: `HandFinder().find(picture)`; and as the `boxes` of a `HandPoseInferencer`.

    Args:
        model: A folder that `dfmamba pack` has written, or an ONNX file of `dfmamba export`; None takes the finder in
            the box.
        min_score: Less sure ones are left out; None takes 0.4.
        device: 'cpu' or 'cuda'; None is the CPU.
        threads: Of onnxruntime; None takes all cores.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is damaged, or something else.
        UserError: There is no such device, or the folder has no ONNX file.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        min_score: float | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        path = FINDER_IN_THE_BOX if model is None else Path(model)
        if path.is_dir():
            exported = open_packed_model(path).exported
            if exported is None:
                raise UserError(f"{path}: expected a finder with an ONNX file, got a folder without")
            path = exported
        self.session = open_session(path, device, threads)
        self.facts: FinderFacts = read_metadata(path, self.session, FinderFacts)
        self.card = self.facts.card or None
        self.min_score = SURE if min_score is None else min_score

    def find(self, pixels: NDArray[Any]) -> FoundBoxes:
        """Return the boxes of hands in a picture (H, W, 3) uint8, blue, green, red; the surest first.

        Raises:
            UserError: It is no such picture.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise UserError(f"picture: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        height, width = pixels.shape[:2]
        crop = crop_color(np.ascontiguousarray(pixels), [0, 0, width, height], 1.0, self.facts.crop_size)
        heatmaps, boxes = self.session.run(["heatmaps", "boxes"], {"crops": crop.pixels[None]})
        found = boxes_at_peaks(heatmaps[0], boxes[0], self.min_score)
        corners = crop.to_picture(found.corners.reshape(-1, 2, 2)).clip(0, [width, height]).reshape(-1, 4)
        inside = (corners[:, 2:] - corners[:, :2] >= 1).all(axis=1)
        return FoundBoxes(corners[inside], found.scores[inside], found.sides[inside])

    def __call__(self, pixels: NDArray[Any]) -> Array:
        """Return boxes (N, 5) to look at, x0, y0, x1, y1 in px and a score: one for hands that touch."""
        return np.array([hands.box for hands in hands_together(self.find(pixels))], dtype=np.float32).reshape(-1, 5)


def hands_together(found: FoundBoxes) -> list[HandsBox]:
    """Return the boxes to look at: two hands that touch are in one, other hands are alone.

    Each hand is put together with at most one other: that with which it shares most.
    """
    shared = np.array([[_shared(a, b) for b in found.corners] for a in found.corners]).reshape(2 * [len(found.scores)])
    np.fill_diagonal(shared, 0)
    groups, left = [], set(range(len(found.scores)))
    while len(left) > 1 and shared.max() > TOUCHING:
        pair = [int(number) for number in np.unravel_index(np.argmax(shared), shared.shape)]
        shared[pair], shared[:, pair] = 0, 0
        left -= set(pair)
        groups.append(pair)
    groups += [[number] for number in left]
    groups.sort(key=min)  # the surest first
    return [_box_around(found, group) for group in groups]


def _box_around(found: FoundBoxes, group: list[int]) -> HandsBox:
    corners, scores = found.corners[group], found.scores[group]
    box = [*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0), scores.max()]
    return HandsBox(np.array(box, dtype=np.float32), len(group), float(scores.min()))


def _shared(box: Array, other: Array) -> float:
    """Return the part of the smaller box that lies in the other one."""
    common = np.concatenate([np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])])
    return float(area(common) / np.minimum(area(box), area(other)).clip(1e-6))
