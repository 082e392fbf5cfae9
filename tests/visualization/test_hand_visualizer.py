"""The visualizer of the configs, as mmpose's inferencers call it, with known joints as the prediction."""

import cv2
import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample

from dfmamba.skeleton import NYU_14, ONE_HAND, TWO_HANDS, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors
from dfmamba.visualization.hand_visualizer import HandVisualizer

GREY = np.full((200, 300, 3), 90, np.uint8)
# the arguments of mmpose 1.3.2's Hand3DInferencer.visualize
IN_SPACE = {
    "draw_gt": False,
    "draw_bbox": False,
    "show": False,
    "wait_time": 0,
    "convert_keypoint": False,
    "axis_azimuth": -115,
    "axis_limit": 200,
    "axis_elev": 15,
    "num_instances": 1,
}


def make_sample(points, scores, **fields):
    sample = PoseDataSample()
    sample.pred_instances = InstanceData(
        keypoints=points[None],
        keypoint_scores=scores[None],
        keypoints_visible=scores[None],
        bboxes=np.array([[20.0, 20, 280, 180]]),
        **fields,
    )
    return sample


@pytest.fixture(params=[ONE_HAND, TWO_HANDS, NYU_14], ids=["21", "42", "14"])
def case(request):
    """Skeleton, visualizer with its metainfo, and joints on a grid, of which the first one has no score."""
    skeleton = request.param
    visualizer = VISUALIZERS.build({"type": "HandVisualizer", "name": f"test of {skeleton.num_joints}", "radius": 4})
    assert type(visualizer) is HandVisualizer
    visualizer.set_dataset_meta(parse_pose_metainfo(mmpose_metainfo(skeleton, "hand", joint_colors(skeleton))))
    numbers = np.arange(skeleton.num_joints)
    points = np.stack([30 + 35 * (numbers % 7), 30 + 25 * (numbers // 7), 10.0 * (numbers % 3)], axis=-1)
    return skeleton, visualizer, points, (numbers > 0).astype(np.float64)


def test_joints_are_drawn_in_their_colours_at_their_pixels(case):
    skeleton, visualizer, points, scores = case
    drawing = visualizer.add_datasample("hand", GREY, make_sample(points, scores), draw_gt=False)
    assert drawing.shape == GREY.shape
    for joint in range(1, skeleton.num_joints):
        x, y = points[joint, :2].astype(int)
        assert tuple(drawing[y, x]) == joint_colors(skeleton)[joint], skeleton.names[joint]
    assert tuple(drawing[30, 30]) == (90, 90, 90)  # no score
    assert (GREY == 90).all()


def in_space(points):
    """Joints (x, y, z) as mmpose's Hand3DInferencer turns them."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=-1)


@pytest.mark.slow
def test_the_hand_in_space_is_below_the_image(case, tmp_path):
    _, visualizer, points, scores = case
    flat, space = make_sample(points, scores), make_sample(in_space(points), scores)
    file = str(tmp_path / "drawing.png")
    drawing = visualizer.add_datasample("hand", GREY, space, det_data_sample=flat, out_file=file, **IN_SPACE)
    np.testing.assert_array_equal(cv2.imread(file)[..., ::-1], drawing)
    left = (drawing.shape[1] - GREY.shape[1]) // 2
    expected = visualizer.add_datasample("hand", GREY, flat, draw_gt=False)
    np.testing.assert_array_equal(drawing[:200, left : left + 300], expected)
    assert (drawing[:200, :left] == 255).all()
    assert len(np.unique(drawing[200:].reshape(-1, 3), axis=0)) > 20  # colours of fingers

    nothing = visualizer.add_datasample("hand", GREY, space, det_data_sample=flat, **IN_SPACE | {"kpt_thr": 2})
    assert (nothing == 90).all()
    assert nothing.shape == GREY.shape
    none = visualizer.add_datasample("hand", GREY, space, det_data_sample=flat, **IN_SPACE | {"num_instances": 0})
    np.testing.assert_array_equal(none, expected)


def test_what_is_drawn_in_space(case, monkeypatch):
    """Joints in mm where there are some, else image points with depth."""
    skeleton, visualizer, points, scores = case
    drawn = []
    monkeypatch.setattr(
        "dfmamba.visualization.hand_visualizer.render_views",
        lambda *args, **kwargs: drawn.append((*args, kwargs)) or np.zeros((5, 5, 3), np.uint8),
    )
    in_mm = points * 2 + 7
    for fields in ({}, {"keypoints_cam": in_mm[None]}):
        arguments = IN_SPACE | {"num_instances": -1, "kpt_thr": 1}
        visualizer.add_datasample(
            "hand",
            GREY,
            make_sample(in_space(points), scores, **fields),
            det_data_sample=make_sample(points, scores),
            **arguments,
        )
    (image, shown, joints, px), (space, _, _, mm) = drawn
    np.testing.assert_allclose(image, points)
    np.testing.assert_allclose(space, in_mm)
    np.testing.assert_array_equal(shown, scores > 0)
    assert joints is skeleton
    assert (px["unit_xy"], mm["unit_xy"]) == ("px", "mm")
    assert "x and y in px of the image, z in mm" in px["title"]
