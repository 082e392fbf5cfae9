"""A packed model gives the joints of its config and checkpoint, and a damaged one is refused."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import DATASETS

from dfmamba.apis import HandPoseInferencer
from dfmamba.apis.packed_model import CARD, WEIGHTS, describe_card, open_packed_model
from dfmamba.cli import pack_model
from dfmamba.engine.config import load_config
from dfmamba.synthesis.interhand26m import write_interhand26m

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "demo" / "dfmamba_interhand_demo.py"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Return the folder of a model with random weights, and the checkpoint that it was made of."""
    folder = tmp_path_factory.mktemp("packed")
    torch.manual_seed(0)
    model = init_model(str(CONFIG), device="cpu")
    checkpoint, result = folder / "epoch_1.pth", folder / "result.json"
    meta = {"dataset_meta": model.dataset_meta}
    torch.save({"state_dict": model.state_dict(), "meta": meta, "optimizer": {"state": [0.0] * 1000}}, checkpoint)
    result.write_text(json.dumps({"metrics": {"interhand/MPJPE_mm": 47.25, "interhand/AUC": 0.5}}))
    pack_model.pack(
        Namespace(
            config=str(CONFIG),
            checkpoint=str(checkpoint),
            result=result,
            name="nano",
            trained_on="nothing",
            errors=["interhand/AUC", "interhand/MPJPE_mm"],
            out=folder / "model",
            cfg_options=[],
        )
    )
    return folder / "model", checkpoint


def test_it_predicts_what_its_config_and_checkpoint_predict(packed):
    folder, checkpoint = packed
    picture = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    ours = HandPoseInferencer(folder, device="cpu")
    expected = HandPoseInferencer(CONFIG, checkpoint, device="cpu")(picture)[0].hands
    for hand, other in zip(ours(picture)[0].hands, expected, strict=True):  # by onnxruntime
        np.testing.assert_allclose(hand.keypoints_px, other.keypoints_px, atol=1e-3)
    of_torch = HandPoseInferencer(folder, engine="torch", device="cpu")
    for hand, other in zip(of_torch(picture)[0].hands, expected, strict=True):
        np.testing.assert_array_equal(hand.keypoints_px, other.keypoints_px)
    assert ours.card["errors"] == {"interhand/AUC": "0.5000", "interhand/MPJPE_mm": "47.2 mm"}


def test_the_card_says_what_it_is_and_weights_are_without_the_optimizer(packed):
    folder, _ = packed
    assert describe_card(open_packed_model(folder).card).startswith("nano: trained on nothing; interhand/AUC 0.5000, ")
    assert set(torch.load(folder / WEIGHTS)) == {"state_dict", "meta"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / CARD).unlink(), "no such file: .*card.json"),
        (lambda folder: (folder / CARD).write_text("{}"), "expected the card of a model, got none of date, errors"),
        (lambda folder: (folder / WEIGHTS).unlink(), "weights.pth: expected the file with SHA-256 .*, got no file"),
        (lambda folder: (folder / "config.json").write_text(""), "config.json: expected the file .* got e3b0c44298fc"),
    ],
)
def test_a_damaged_one_is_refused(packed, tmp_path, change, message):
    import shutil

    folder = shutil.copytree(packed[0], tmp_path / "model")
    change(folder)
    with pytest.raises((ValueError, OSError), match=message):
        HandPoseInferencer(folder, device="cpu")


def test_the_model_in_the_box_finds_hands_in_synthetic_photographs(tmp_path):
    """In true boxes, 85 % as far from the joints as the box's middle is, at the most; of 200 others it is 76 %."""
    write_interhand26m(tmp_path, {"test": 12}, 9, style="photo")
    config = load_config(CONFIG, {"data_root": str(tmp_path)})
    init_default_scope("mmpose")
    dataset = DATASETS.build({**config.test_dataloader.dataset, "pipeline": []})
    inferencer = HandPoseInferencer(device="cpu", min_presence=0.0)
    assert "SYNTHETIC" in inferencer.card["trained_on"]
    assert inferencer.card["errors"]["interhand/MPJPE_rr_macro_all_mm"].endswith(" mm")
    ours, middles = [], []
    for number in range(len(dataset)):
        sample = dataset.get_data_info(number)
        hands = inferencer(sample["img_path"], sample["bbox"])[0].hands
        points, valid = sample["keypoints"][0, :, :2], sample["keypoints_visible"][0] > 0
        found = np.concatenate([hand.keypoints_px for hand in hands])
        size = np.ptp(points[valid], axis=0).max()
        ours.append(np.linalg.norm(found - points, axis=1)[valid].mean() / size)
        middle = sample["bbox"].reshape(2, 2).mean(0)
        middles.append(np.linalg.norm(middle - points, axis=1)[valid].mean() / size)
    assert np.mean(ours) < 0.85 * np.mean(middles)


def test_a_checkpoint_wants_a_config(packed):
    with pytest.raises(ValueError, match="model: expected the config of the checkpoint"):
        HandPoseInferencer(None, packed[1])
