"""Every config of the tree: it loads, its names are known, its model is built and takes a step in both directions."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from dfmamba.engine.config import check_types, load_config
from dfmamba.models.cost import count_parameters
from dfmamba.skeleton import TWO_HANDS

CONFIGS = Path(__file__).parents[2] / "configs"
LEAVES = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)


def random_sample(folder, seed):
    """Return what an adapter gives to the pipeline, with a random picture."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (334, 512, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f"{seed}.png"), image)
    keypoints = np.concatenate([rng.uniform(100, 300, (1, 42, 2)), rng.uniform(-80, 80, (1, 42, 1))], -1)
    return {
        "img_path": str(folder / f"{seed}.png"), "img_id": seed, "id": seed,
        "keypoints": keypoints.astype(np.float32),
        "keypoints_cam": rng.normal(size=(1, 42, 3)).astype(np.float32),
        "keypoints_visible": np.ones((1, 42), np.float32),
        "bbox": np.array([[80, 80, 320, 320]], np.float32), "bbox_score": np.ones(1, np.float32),
        "hand_type": np.ones((1, 2), np.float32), "hand_type_valid": np.ones(1, np.float32),
        "rel_root_depth": np.zeros(1, np.float32), "rel_root_valid": np.ones(1, np.float32),
        "abs_depth": np.full(2, 1000.0), "focal": np.full(2, 1200.0), "principal_pt": np.full(2, 200.0),
        "flip_indices": list(TWO_HANDS.flip), "rotation": 0,
    }


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_config_builds_trains_and_predicts(path, tmp_path):
    cfg = load_config(path)
    check_types(cfg)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)

    def batch(dataloader):
        dataset = cfg[dataloader].dataset
        pipeline = Compose(dataset.get("dataset", dataset).pipeline)  # a repeated data set holds another
        return model.data_preprocessor(pseudo_collate([pipeline(random_sample(tmp_path, seed)) for seed in (0, 1)]))

    losses = model.train()(**batch("train_dataloader"), mode="loss")
    total = sum(value for name, value in losses.items() if "loss" in name)
    total.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert torch.isfinite(total)
    assert not without
    with torch.no_grad():
        prediction = model.eval()(**batch("test_dataloader"), mode="predict")[0].pred_instances.keypoints
    assert prediction.shape == (1, 42, 3)
    assert np.isfinite(prediction).all()


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_config_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= 70


def test_the_whole_interhand_model_has_the_papers_size():
    cfg = load_config(CONFIGS / "dfmamba_interhand.py")
    init_default_scope(cfg.default_scope)
    assert 41.5e6 <= count_parameters(MODELS.build(cfg.model)) <= 42.9e6
