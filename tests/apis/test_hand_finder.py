"""The finder without torch: boxes in px of the picture, hands that touch together, and files of something else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmpose.apis import init_model

from dfmamba.apis import HandFinder, HandPoseInferencer
from dfmamba.apis.hand_finder import hands_together
from dfmamba.apis.packed_model import IN_THE_BOX
from dfmamba.engine.config import load_config
from dfmamba.errors import DataError, UserError
from dfmamba.export.finder_graph import FinderGraph, graph_of
from dfmamba.export.onnx_file import MAX_RELATIVE_ERROR, write_onnx
from dfmamba.hand_boxes import FoundBoxes

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "box" / "finder.py"
RIGHT, LEFT = 0, 1


def found(*hands):
    """Return boxes of (side, score, corners), which are in order of the score."""
    sides, scores, corners = zip(*hands, strict=True)
    return FoundBoxes(np.array(corners, dtype=float), np.array(scores), np.array(sides))


def test_hands_that_touch_are_looked_at_together():
    groups = hands_together(
        found(
            (LEFT, 0.9, (0, 0, 10, 10)),
            (RIGHT, 0.8, (100, 0, 120, 20)),
            (LEFT, 0.7, (8, 0, 18, 10)),  # a fifth of it in the first one
            (LEFT, 0.6, (119.5, 0, 140, 20)),  # hardly touches the second one
            (RIGHT, 0.5, (5, 0, 6, 1)),  # in the first one, which shares most with it
        )
    )
    boxes = [(0, 0, 10, 10, 0.9), (100, 0, 120, 20, 0.8), (8, 0, 18, 10, 0.7), (119.5, 0, 140, 20, 0.6)]
    np.testing.assert_allclose([group.box for group in groups], boxes)
    assert [group.num_hands for group in groups] == [2, 1, 1, 1]
    assert [group.presence for group in groups] == [0.5, 0.8, 0.7, 0.6]


def test_nothing_found_is_nothing_to_look_at():
    assert hands_together(FoundBoxes(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int))) == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A finder with random weights: its config, model, and ONNX file."""
    torch.manual_seed(0)
    config = load_config(CONFIG)
    model = init_model(config, None, device="cpu").eval()
    with torch.no_grad():  # so that peaks differ from each other
        for branch in (model.head.heatmap, model.head.distances):
            branch[-1].weight.normal_(0, 0.5)
    graph = graph_of(model, config.test_dataloader.dataset.pipeline).eval()
    assert isinstance(graph, FinderGraph)
    path = tmp_path_factory.mktemp("finder") / "finder.onnx"
    errors = write_onnx(graph, path, {"name": "random"})
    assert max(errors.values()) <= MAX_RELATIVE_ERROR
    return config, model, path


@pytest.mark.slow
def test_it_finds_what_the_model_finds_in_the_pipeline(exported):
    from mmengine.dataset import Compose, pseudo_collate

    config, model, path = exported
    picture = np.random.default_rng(0).integers(0, 255, (240, 400, 3), dtype=np.uint8)
    steps = [step for step in config.test_dataloader.dataset.pipeline if step.type != "LoadImage"]
    sample = {"img": picture, "bbox": np.array([[10, 20, 30, 40]], np.float32), "bbox_score": np.ones(1, np.float32)}
    sample |= {"ori_shape": picture.shape[:2], "img_shape": picture.shape[:2]}
    steps[-1] = {**steps[-1], "meta_keys": ("ori_shape", "input_size", "input_center", "input_scale")}
    model.head.decoder.min_score = 1e-4
    with torch.no_grad():
        expected = model.test_step(pseudo_collate([Compose(steps)(sample)]))[0].pred_instances
    finder = HandFinder(path, min_score=1e-4)
    hands = finder.find(picture)
    assert finder.card == {"name": "random"}
    assert len(hands.scores) > 2
    inside = (expected.bboxes[:, 2:] - expected.bboxes[:, :2] >= 1).all(axis=1)
    np.testing.assert_allclose(hands.corners, expected.bboxes[inside], atol=1e-2)
    np.testing.assert_allclose(hands.scores, expected.bbox_scores[inside], atol=1e-4)
    np.testing.assert_array_equal(hands.sides, expected.labels[inside])
    assert finder(picture).shape[1] == 5
    assert HandFinder(path, min_score=1)(picture).shape == (0, 5)


@pytest.mark.slow
def test_files_of_something_else_are_refused(exported):
    path = exported[2]
    with pytest.raises(DataError, match="got one without 'dfmamba' among its metadata"):
        HandPoseInferencer(path)
    with pytest.raises(DataError, match="got one without 'dfmamba_finder' among its metadata"):
        HandFinder(IN_THE_BOX)
    with pytest.raises(UserError, match=r"picture: expected \(H, W, 3\) uint8, got \(10, 10\) float64"):
        HandFinder(path).find(np.zeros((10, 10)))
    config = load_config(CONFIG)
    with pytest.raises(UserError, match="the third with padding=1"):
        graph_of(
            exported[1], [step for step in config.test_dataloader.dataset.pipeline if step.type != "WholeImageBox"]
        )
