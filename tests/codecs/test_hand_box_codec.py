"""Boxes of hands: true ones by hand, targets, and what is read out of maps."""

import numpy as np
import pytest

from dfmamba.codecs.hand_box import HandBoxCodec
from dfmamba.hand_boxes import boxes_at_peaks, boxes_of_hands, overlap

SIZE, CELLS = (64, 48), (8, 6)  # cells of 8 px


def joints(right=None, left=None):
    """Return the joints (42, 2) of hands that fill boxes x0, y0, x1, y1, and which of them are known."""
    points, valid = np.zeros((42, 2)), np.zeros(42)
    for start, box in ((0, right), (21, left)):
        if box is not None:
            points[start : start + 21] = np.linspace(box[:2], box[2:], 21)
            valid[start : start + 21] = 1
    return points, valid


def test_a_box_is_a_fifth_larger_than_the_joints_and_ends_at_the_picture():
    points, valid = joints(right=(10, 10, 30, 20), left=(50, 30, 70, 50))
    points[5], valid[5] = (1000, 1000), 0  # nobody annotated it
    boxes = boxes_of_hands(points, valid, [1, 1], SIZE)
    np.testing.assert_allclose(boxes.corners, [[8, 9, 32, 21], [48, 28, 64, 48]])
    assert boxes.is_there.tolist() == [True, True]
    assert not boxes.is_open.any()


@pytest.mark.parametrize(
    ("right", "hand_type", "there", "is_open"),
    [
        (None, [0, 0], False, False),  # no hand
        (None, [1, 0], False, True),  # a hand somewhere
        ((-9, 10, 1, 20), [1, 0], False, True),  # 2 of 12 px are in the picture
        ((-6, 10, 4, 20), [1, 0], True, False),  # 5 of 12
        ((-30, 10, -20, 20), [1, 0], False, False),  # beside the picture
    ],
)
def test_what_a_finder_has_to_find(right, hand_type, there, is_open):
    boxes = boxes_of_hands(*joints(right=right), hand_type, SIZE)
    assert (boxes.is_there[0], boxes.is_open[0]) == (there, is_open)
    assert boxes.corners[0].any() == (right is not None and right[2] > 0)


def test_targets_of_a_picture():
    codec = HandBoxCodec(SIZE, CELLS)
    points, valid = joints(left=(10, 10, 30, 20))
    targets = codec.encode(points[None], valid[None], np.array([[0.0, 1.0]]))
    assert targets["hand_box_weights"].tolist() == [[0, 1]]
    np.testing.assert_allclose(targets["hand_boxes"][0, 1], [8, 9, 32, 21])
    right, left = targets["heatmaps"]
    assert not right.any()
    assert left.max() == left[1, 2] == 1  # middle (20, 15)
    # Standard deviations: 0.09 of 3 cells, of which half a cell is left, in both directions.
    np.testing.assert_allclose(left[1, 3], np.exp(-2), rtol=1e-6)
    np.testing.assert_allclose(left[2, 3], np.exp(-4), rtol=1e-6)
    assert (targets["heatmap_weights"] == 1).all()
    wide = codec.encode(*(one[None] for one in joints(left=(2, 10, 62, 20))))["heatmaps"][1]
    sigma = 0.09 * 64 / 8  # the box ends at the picture
    np.testing.assert_allclose(wide[1, 6], np.exp(-((2 / sigma) ** 2) / 2), rtol=1e-6)


def test_hands_that_none_has_to_find_count_nowhere():
    codec = HandBoxCodec(SIZE, CELLS)
    points, valid = joints(right=(-9, 10, 1, 20))
    targets = codec.encode(points[None], valid[None], np.array([[1.0, 1.0]]))
    right, left = targets["heatmap_weights"]
    assert not left.any()  # anywhere
    assert np.argwhere(right == 0).tolist() == [[1, 0], [2, 0]]  # x 0 to 2, y 9 to 21
    assert not targets["hand_box_weights"].any()
    with pytest.raises(ValueError, match="joints of two hands"):
        codec.encode(points[None, :21], valid[None, :21])


def test_decode_is_the_inverse():
    codec = HandBoxCodec(SIZE, CELLS)
    points, valid = joints(right=(10, 10, 30, 20), left=(34, 25, 54, 45))
    targets = codec.encode(points[None], valid[None])
    boxes = np.broadcast_to(targets["hand_boxes"][0][..., None, None], (2, 4, *CELLS[::-1]))
    found = codec.decode(targets["heatmaps"], boxes)
    assert found.sides.tolist() == [0, 1]
    np.testing.assert_allclose(found.scores, [1, 1])
    np.testing.assert_allclose(found.corners, targets["hand_boxes"][0], rtol=1e-5)


def maps(*cells):
    """Return maps of 4x4 cells that are 0 but for (side, row, column, score, box)."""
    heatmaps, boxes = np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 4))
    for side, row, column, score, box in cells:
        heatmaps[side, row, column] = score
        boxes[side, :, row, column] = box
    return heatmaps, boxes


def test_of_boxes_on_each_other_the_surest_stays():
    heatmaps, boxes = maps(
        (0, 0, 0, 0.9, (0, 0, 10, 10)),
        (0, 0, 3, 0.8, (1, 0, 10, 10)),  # the same hand once more
        (1, 2, 2, 0.7, (0, 0, 10, 22)),  # another hand in front of it: overlap 0.45
        (0, 3, 3, 0.2, (20, 20, 30, 30)),  # beside a peak
        (0, 3, 0, 0.25, (20, 20, 30, 30)),  # not sure enough
    )
    found = boxes_at_peaks(heatmaps, boxes, 0.3)
    np.testing.assert_allclose(found.scores, [0.9, 0.7])
    assert found.sides.tolist() == [0, 1]
    np.testing.assert_allclose(found.corners[1], (0, 0, 10, 22))
    assert boxes_at_peaks(heatmaps, boxes, 1.0).corners.shape == (0, 4)


def test_a_hand_of_any_side():
    """Three parts of four a left hand: as sure as both together, and its box between those of both."""
    found = boxes_at_peaks(*maps((0, 1, 1, 0.15, (0, 0, 10, 10)), (1, 1, 1, 0.45, (4, 0, 18, 10))), 0.3)
    np.testing.assert_allclose(found.scores, [0.6])
    assert found.sides.tolist() == [1]
    np.testing.assert_allclose(found.corners, [(3, 0, 16, 10)])
    sure = boxes_at_peaks(*maps((0, 1, 1, 0.8, (0, 0, 10, 10)), (1, 1, 1, 0.7, (0, 0, 10, 10))), 0.3)
    np.testing.assert_allclose(sure.scores, [1])


def test_overlap_by_hand():
    others = [[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]]
    np.testing.assert_allclose(overlap([0, 0, 10, 10], others), [1, 1 / 3, 0, 0])
