"""Points in the image of COCO-style annotations, which the adapters do not need: they confirm the rest."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from dfmamba.io.json_records import read_json_as


class _Annotation(msgspec.Struct):
    id: int
    keypoints: msgspec.Raw = msgspec.Raw(b"null")
    joint_img: msgspec.Raw = msgspec.Raw(b"null")


class _Coco(msgspec.Struct):
    annotations: list[_Annotation]


def read_coco_points(path: Path, ids: Iterable[int], keys: tuple[str, ...]) -> dict[int, NDArray[np.float64]]:
    """Return u, v in px, (n, 2), of some annotations by their ids; those that have none are left out.

    Args:
        path: A JSON file with `annotations`.
        ids: Of the annotations.
        keys: 'joint_img' or 'keypoints'; the first that an annotation has counts.

    Raises:
        ValueError: The file is damaged.
    """
    wanted, found = set(ids), {}
    for annotation in read_json_as(path, _Coco).annotations:
        if annotation.id in wanted:
            points = [_as_points(getattr(annotation, key)) for key in keys]
            if there := [one for one in points if one is not None]:
                found[annotation.id] = there[0]
    return found


def _as_points(text: msgspec.Raw) -> NDArray[np.float64] | None:
    """Return u, v of nested lists [[u, v, ...], ...] in JSON; None where there is no such thing."""
    try:
        points = np.asarray(msgspec.json.decode(text), dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return points[:, :2] if points.ndim == 2 and points.shape[1] >= 2 else None
