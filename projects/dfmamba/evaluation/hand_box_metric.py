"""How well a finder finds hands: COCO's average precision of boxes, by the library that defines it."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpose.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dfmamba.hand_boxes import TrueBoxes, boxes_of_hands
from dfmamba.skeleton import SIDES


@METRICS.register_module()
class HandBoxAP(BaseMetric):
    """Average precision of hand boxes, 0 to 1.

    `AP50` is that at an overlap of 0.5, `AP` the mean over 0.5 to 0.95, `AR` the recall in the mean over these, all
    three over both sides; `AP50_right` and `AP50_left` are of one side. `AP50_any_side` takes a left hand for a right
    one, too; a second box of the same hand counts as wrong there. True boxes are made of joints (`dfmamba.hand_boxes`).
    Hands that none has to find, because little of them is in the picture, count neither as found nor as missed;
    pictures with a hand of which nobody knows where it is are left out, and `pictures` is the number of the others.

    Reads from each data sample: `pred_instances.bboxes` (N, 4), `bbox_scores` and `labels` (N,);
    `gt_instances.keypoints` (1, 42, 3) in px of the picture and `keypoints_visible` (1, 42); and the meta keys
    `hand_type` and `ori_shape`.

    Args:
        collect_device: 'cpu' or 'gpu', where several processes exchange their results.
        collect_dir: Folder for that exchange on the CPU.
        prefix: Prefix of the names of the metrics.
    """

    default_prefix = "hand_boxes"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Store the boxes of each sample."""
        for sample in data_samples:
            found, there = sample["pred_instances"], sample["gt_instances"]
            height, width = sample["ori_shape"]
            true = boxes_of_hands(
                np.asarray(there["keypoints"])[0],
                np.asarray(there["keypoints_visible"])[0],
                sample["hand_type"],
                (width, height),
            )
            names = ("bboxes", "bbox_scores", "labels")
            self.results.append({"true": true, "found": [np.asarray(found[name]) for name in names]})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Score all samples together."""
        pictures = [(TrueBoxes(*one["true"]), one["found"]) for one in results]  # mmengine makes plain tuples of both
        known = [(true, found) for true, found in pictures if not (true.is_open & ~true.corners.any(axis=1)).any()]
        there = [
            {**_annotation(number, side, box, 1.0), "iscrowd": int(true.is_open[side])}
            for number, (true, _) in enumerate(known)
            for side, box in enumerate(true.corners)
            if true.is_there[side] or true.is_open[side]
        ]
        found = [
            _annotation(number, int(side), box, float(score))
            for number, (_, found) in enumerate(known)
            for box, score, side in zip(*found, strict=True)
        ]
        scores = {"pictures": float(len(known))}
        if not any(not one["iscrowd"] for one in there):
            return scores
        of_sides, of_all = (_evaluate(len(known), there, found, sides) for sides in (True, False))
        precision = of_sides.eval["precision"][0, :, :, 0, -1]  # at 0.5: (recalls, sides), all areas, all boxes
        values = {"AP50": of_sides.stats[1], "AP": of_sides.stats[0], "AR": of_sides.stats[8]}
        values |= {f"AP50_{side}": _mean(precision[:, number]) for number, side in enumerate(SIDES)}
        values["AP50_any_side"] = of_all.stats[1]
        return scores | {name: float(value) for name, value in values.items()}


def _annotation(picture: int, side: int, corners: Any, score: float) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in corners)
    box = [x0, y0, x1 - x0, y1 - y0]
    return {"image_id": picture + 1, "category_id": side + 1, "bbox": box, "area": box[2] * box[3], "score": score}


def _mean(precision: Any) -> float:
    """Return the average precision over recalls; COCO writes -1 where no hand of a side is there."""
    return float(precision.mean()) if (precision > -1).all() else float("nan")


def _evaluate(pictures: int, there: list[dict[str, Any]], found: list[dict[str, Any]], sides: bool) -> Any:
    """Return COCO's evaluation of boxes, of both sides or of hands of any side."""
    images = [{"id": number + 1} for number in range(pictures)]
    categories = [{"id": number + 1, "name": side} for number, side in enumerate(SIDES)]
    tables = []
    for annotations in (there, found):
        table = COCO()
        numbered = [{"iscrowd": 0, **one, "id": number + 1} for number, one in enumerate(annotations)]
        table.dataset = {"images": images, "categories": categories, "annotations": numbered}
        tables.append(table)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress and a table
        for table in tables:
            table.createIndex()
        evaluation = COCOeval(*tables, iouType="bbox")
        evaluation.params.useCats = int(sides)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
