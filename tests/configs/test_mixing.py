"""DF-Mamba under other projects' heads: each example config builds, learns a batch, and predicts."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from dfmamba.engine.config import load_config
from dfmamba.models import DFMamba
from dfmamba.skeleton import TWO_HANDS

MIXING = Path(__file__).parents[2] / "configs" / "mixing"
POSE = sorted(path.name for path in MIXING.glob("*.py") if "retinanet" not in path.name)
STEPS = 4


@pytest.fixture(autouse=True)
def scope_as_before():
    """Leave the default scope as it was: other tests build from mmpose's."""
    yield
    init_default_scope("mmpose")


def sample(folder, number, num_joints):
    """Return one image of noise with joints on it, as mmpose's data sets give it to the pipeline."""
    rng = np.random.default_rng(number)
    path = folder / f"{number}.png"
    cv2.imwrite(str(path), rng.integers(0, 255, (256, 256, 3), dtype=np.uint8))
    dimensions = 3 if num_joints == 42 else 2
    return {
        "img_path": str(path),
        "img_id": number,
        "id": number,
        "keypoints": rng.uniform(60, 200, (1, num_joints, dimensions)).astype(np.float32),
        "keypoints_visible": np.ones((1, num_joints), np.float32),
        "keypoints_cam": rng.normal(size=(1, num_joints, 3)).astype(np.float32),
        "bbox": np.array([[30, 30, 230, 230]], np.float32),
        "bbox_score": np.ones(1, np.float32),
        "flip_indices": list(range(num_joints)) if num_joints == 21 else list(TWO_HANDS.flip),
        "flip_pairs": [],
        "upper_body_ids": [],
        "lower_body_ids": [],
        "dataset_keypoint_weights": np.ones(num_joints),
        "num_keypoints": num_joints,
        "hand_type": np.ones((1, 2), np.float32),
        "hand_type_valid": np.ones(1, np.float32),
        "rotation": 0,
        "rel_root_depth": np.zeros(1, np.float32),
        "rel_root_valid": np.ones(1, np.float32),
        "abs_depth": np.full(2, 1000.0),
        "focal": np.full(2, 1200.0),
        "principal_pt": np.full(2, 128.0),
    }


def falls(model, batch):
    """Train on one batch; return whether the loss of the last steps is below that of the first."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    totals = []
    for _ in range(STEPS):
        total, _ = model.parse_losses(model.train()(**batch, mode="loss"))
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        totals.append(total.item())
    assert np.isfinite(totals).all()
    return np.mean(totals[-2:]) < totals[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", POSE)
def test_pose_heads_learn_and_predict(name, tmp_path):
    from mmpose.registry import MODELS

    cfg = load_config(MIXING / name)
    init_default_scope("mmpose")
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    assert isinstance(model.backbone, DFMamba)
    num_joints = 42 if "internet" in name else 21

    def batch(dataloader):
        pipeline = cfg[dataloader].dataset.pipeline
        kept = [step for step in pipeline if not step["type"].startswith(("Random", "HandRandom", "Albu", "Photo"))]
        return pseudo_collate([Compose(kept)(sample(tmp_path, number, num_joints)) for number in range(2)])

    assert falls(model, model.data_preprocessor(batch("train_dataloader"), training=True))
    with torch.no_grad():
        predictions = model.eval().test_step(batch("test_dataloader"))
    for prediction in predictions:
        joints = prediction.pred_instances.keypoints
        assert joints.shape[:2] == (1, num_joints)
        assert np.isfinite(joints).all()


@pytest.mark.slow
def test_a_detector_learns_and_predicts():
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample

    cfg = load_config(MIXING / "dfmamba_retinanet_hands.py")
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    assert isinstance(model.backbone, DFMamba)
    gt = DetDataSample(
        metainfo={
            "img_shape": (128, 128),
            "ori_shape": (128, 128),
            "scale_factor": (1.0, 1.0),
            "pad_shape": (128, 128),
            "batch_input_shape": (128, 128),
        }
    )
    gt.gt_instances = InstanceData(bboxes=torch.tensor([[20.0, 20, 90, 100]]), labels=torch.tensor([0]))
    batch = {"inputs": torch.rand(1, 3, 128, 128), "data_samples": [gt]}
    assert falls(model, batch)
    with torch.no_grad():
        found = model.eval()(**batch, mode="predict")[0].pred_instances
    assert len(found.bboxes) == len(found.scores) > 0


@pytest.mark.parametrize("path", sorted(MIXING.glob("*.py")), ids=lambda path: path.name)
def test_the_configs_differ_from_their_base_by_little(path):
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.type == "DFMamba"
    assert len(path.read_text().splitlines()) <= 40
