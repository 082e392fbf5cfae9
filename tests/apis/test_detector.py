"""A detector of mmdet gives boxes of hands, beside mmdet's own interface."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector

from dfmamba.apis import HandPoseInferencer
from dfmamba.apis.detector import MmdetDetector
from dfmamba.errors import message_for_user

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mixing" / "dfmamba_retinanet_hands.py"


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return MmdetDetector(CONFIG, None, min_score=0)


@pytest.mark.slow
def test_boxes_are_those_of_mmdet_and_lead_to_joints(detector):
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    theirs = inference_detector(detector.model, picture).pred_instances.numpy()
    theirs = theirs[theirs.labels == 0]
    size = theirs.bboxes[:, 2:] - theirs.bboxes[:, :2]
    theirs = theirs[(size >= 1).all(axis=1)]
    order = np.argsort(-theirs.scores, kind="stable")
    boxes = detector(picture)
    np.testing.assert_allclose(boxes[:, :4], theirs.bboxes[order])
    np.testing.assert_allclose(boxes[:, 4], theirs.scores[order])
    detector.min_score = float(boxes[1, 4])
    detections = HandPoseInferencer()(picture, boxes=detector)[0].detections
    assert [one.score for one in detections] == pytest.approx(boxes[boxes[:, 4] >= boxes[1, 4], 4])
    np.testing.assert_allclose(detections[0].box, boxes[0, :4])
    detector.min_score = 2
    assert detector(picture).shape == (0, 5)
    assert HandPoseInferencer()(picture, boxes=detector)[0].hands == ()


def test_missing_files_are_one_message(tmp_path):
    for files in ((tmp_path / "none.py", None), (CONFIG, tmp_path / "none.pth")):
        with pytest.raises(OSError, match="none") as error:
            MmdetDetector(*files)
        assert message_for_user(error.value) is not None
