"""Average precision of hand boxes on pictures that can be scored by hand."""

import numpy as np
import pytest

from dfmamba.evaluation.hand_box_metric import HandBoxAP

RIGHT, LEFT = 0, 1


def picture(true, found, hand_type=None):
    """Return a sample of 200 x 100 px: by side the corners of the joints, and found hands as (side, box, score)."""
    points, valid = np.zeros((1, 42, 3)), np.zeros((1, 42))
    for side, box in true.items():
        part = slice(21 * side, 21 * side + 21)
        points[0, part, :2], valid[0, part] = np.linspace(box[:2], box[2:], 21), 1
    if hand_type is None:
        hand_type = [[float(side in true) for side in (RIGHT, LEFT)]]
    return {
        "pred_instances": {
            "bboxes": np.array([box for _, box, _ in found], dtype=float).reshape(-1, 4),
            "bbox_scores": np.array([score for *_, score in found], dtype=float),
            "labels": np.array([side for side, *_ in found], dtype=int),
        },
        "gt_instances": {"keypoints": points, "keypoints_visible": valid},
        "hand_type": np.array(hand_type),
        "ori_shape": (100, 200),
    }


def score(*pictures):
    metric = HandBoxAP()
    metric.process(None, pictures)
    return metric.evaluate(len(pictures))


HAND = (50, 20, 100, 70)  # its box: 45, 15, 105, 75
BOX = (45, 15, 105, 75)


def test_all_found():
    scores = score(picture({RIGHT: HAND}, [(RIGHT, BOX, 0.9)]), picture({LEFT: HAND}, [(LEFT, BOX, 0.5)]))
    assert scores == {
        "hand_boxes/pictures": 2,
        **{
            f"hand_boxes/{name}": pytest.approx(1)
            for name in ("AP50", "AP", "AR", "AP50_right", "AP50_left", "AP50_any_side")
        },
    }


def test_a_wrong_side_is_right_where_sides_do_not_count():
    scores = score(picture({RIGHT: HAND}, [(LEFT, BOX, 0.9)]))
    assert scores["hand_boxes/AP50_right"] == 0
    assert np.isnan(scores["hand_boxes/AP50_left"])
    assert scores["hand_boxes/AP50_any_side"] == pytest.approx(1)


def test_half_found_and_one_too_many():
    """Surest first: a wrong one, a right one, and one hand missed; precision 1/2 up to a recall of 1/2, then 0."""
    scores = score(
        picture({RIGHT: HAND}, [(RIGHT, (150, 50, 190, 90), 0.9), (RIGHT, BOX, 0.8)]), picture({RIGHT: HAND}, [])
    )
    assert scores["hand_boxes/AP50"] == pytest.approx(0.5 * 51 / 101)  # at 101 recalls, 51 of them to 1/2


def test_what_none_has_to_find_counts_nowhere():
    right = picture({RIGHT: HAND}, [(RIGHT, BOX, 0.9)])
    at_the_border = picture({LEFT: (-45, 20, 5, 70)}, [(LEFT, (0, 15, 10, 75), 0.95)])  # a sixth of it is seen
    unknown = picture({}, [(LEFT, BOX, 0.99)], hand_type=[[0.0, 1.0]])
    scores = score(right, at_the_border, unknown)
    assert scores["hand_boxes/pictures"] == 2
    assert scores["hand_boxes/AP50_any_side"] == pytest.approx(1)
    assert set(score(unknown)) == {"hand_boxes/pictures"}
