"""From each data set through DetNet's pipeline, with a head that gives the true maps, back to its ground truth.

It goes through every step in which the pipeline and the way back must agree: choice of the hand, mirroring, crop,
codec, bone length, image px, two hands.
"""

from pathlib import Path

import assemblyhands_fixture
import dexycb_fixture
import interhand_fixture
import numpy as np
import nyu_fixture
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS
from rhp_fixture import write_rhp
from torch import nn

import dfmamba.register  # noqa: F401
from dfmamba.datasets import (
    AssemblyHandsDataset,
    DexYCBDataset,
    InterHand26MHandsDataset,
    NYUDataset,
    RHPDataset,
    RotateKeypoints3D,
)
from dfmamba.skeleton import NYU_14

CONFIG = Config.fromfile(Path(__file__).parents[2] / "configs" / "_base_" / "pipelines" / "detnet.py")


def interhand(root):
    interhand_fixture.write_annotations(root, interhand_fixture.contents())
    interhand_fixture.write_images(root, interhand_fixture.contents())
    return InterHand26MHandsDataset(split="test", data_root=str(root))


def rhp(root):
    write_rhp(root)
    return RHPDataset(split="test", data_root=str(root))


def dexycb(root):
    dexycb_fixture.write_dexycb(root)
    return DexYCBDataset(
        "s0",
        "train",
        data_root=str(root),
        subjects=dexycb_fixture.SUBJECTS,
        serials=dexycb_fixture.SERIALS,
        index_workers=1,
        sequences_per_subject=dexycb_fixture.SEQUENCES_PER_SUBJECT,
    )


def assemblyhands(root):
    assemblyhands_fixture.write_annotations(root, assemblyhands_fixture.contents())
    assemblyhands_fixture.write_images(root, assemblyhands_fixture.contents())
    return AssemblyHandsDataset(split="val", data_root=str(root))


@pytest.fixture
def perfect_model(monkeypatch):
    """Return a function that predicts a packed sample with an estimator whose head gives the codec's own targets."""
    init_default_scope("mmpose")

    def predict(sample, targets, codec=CONFIG.detnet_codec):
        num_joints = len(targets["heatmaps"])
        model = MODELS.build(
            {
                "type": "HandPoseEstimator",
                "backbone": {"type": nn.Identity},
                "head": {"type": "DetNetHead", "in_channels": [3], "num_joints": num_joints, "decoder": codec},
            }
        ).eval()
        heatmaps = torch.from_numpy(targets["heatmaps"])[None]
        maps = torch.from_numpy(targets["locations"]).reshape(1, -1, 1, 1).expand(-1, -1, *heatmaps.shape[2:])
        monkeypatch.setattr(model.head, "forward", lambda feats: (heatmaps, maps, maps))
        return model(torch.zeros(1, 3, 128, 128), [sample], mode="predict")[0]

    return predict


@pytest.mark.parametrize("along_line_of_sight", [False, True])
@pytest.mark.parametrize("make", [interhand, rhp, dexycb, assemblyhands])
def test_gt_in_gt_out(make, along_line_of_sight, tmp_path, perfect_model):
    dataset, codec = make(tmp_path), KEYPOINT_CODECS.build(CONFIG.detnet_codec)
    *steps, pack = CONFIG.detnet_test_pipeline
    crop, pack = Compose(steps + [{"type": "AddViewRotation"}] * along_line_of_sight), Compose([pack])
    checked = np.zeros(2, dtype=int)  # joints of right and left hands
    for number in range(len(dataset)):
        gt = dataset.get_data_info(number)
        results = crop(dataset.get_data_info(number))
        joints = RotateKeypoints3D()(dict(results))["keypoints_cam"]  # as in training; results keep the ground truth
        targets = codec.encode(results["transformed_keypoints"], results["keypoints_visible"], joints)
        if along_line_of_sight:
            assert np.abs(joints - results["keypoints_cam"]).max() > 1
        known = results["bone_length"][0] > 0
        sample = perfect_model(pack(results)["data_samples"], targets)
        if known:
            checked[gt["hand_type"][0].argmax()] += check(sample, gt, sum(targets["location_weights"][0]))
        else:
            assert not sample.gt_instances.keypoints_visible.any()
    assert checked.min() > 10, "the data set must have hands of both sides for this test"


def check(sample, gt, num_seen):
    """Compare a prediction with the sample of the data set where the codec could encode the joint; count these."""
    wrist = 21 * int(gt["hand_type"][0, 1]) + 20 if gt["keypoints"].shape[1] == 42 else 20
    seen = sample.pred_instances.keypoint_scores[0] > 0
    assert seen.sum() == num_seen
    joints = gt["keypoints_cam"][0] - gt["keypoints_cam"][0, wrist]
    np.testing.assert_allclose(sample.pred_instances.keypoints_cam[0, seen], joints[seen], atol=0.01)
    np.testing.assert_allclose(sample.pred_instances.keypoints[0, seen, 2], joints[seen, 2], atol=0.01)
    peak = sample.pred_instances.keypoint_scores[0] == 1  # the joint's cell is in the map, not only its surroundings
    half_cell_px = 2.01 * sample.input_scale[0] / 128
    distance = np.abs(sample.pred_instances.keypoints[0, peak, :2] - gt["keypoints"][0, peak, :2])
    assert (distance <= half_cell_px).all()
    np.testing.assert_allclose(sample.gt_instances.keypoints_cam, gt["keypoints_cam"], atol=0.01)
    np.testing.assert_allclose(sample.gt_instances.keypoints, gt["keypoints"], atol=0.01)
    for name in ("hand_type", "abs_depth", "root_depth", "principal_pt"):
        np.testing.assert_allclose(getattr(sample, name), gt[name], rtol=1e-6, err_msg=name)
    return peak.sum()


def test_nyu_up_to_place_and_size(tmp_path, perfect_model):
    nyu_fixture.write_annotations(tmp_path, nyu_fixture.contents())
    nyu_fixture.write_images(tmp_path)
    dataset, bone = NYUDataset(split="test", data_root=str(tmp_path)), ("palm", "pinky_tip")
    config = {
        "type": "DetNetCodec",
        "input_size": (176, 176),
        "map_size": (44, 44),
        "root": "palm",
        "bone": bone,
        "num_joints": 14,
    }
    codec, gt = KEYPOINT_CODECS.build(config), dataset.get_data_info(1)
    results = Compose(
        [{"type": "LoadNYUDepth"}, {"type": "AddBoneLength", "bone": bone, "num_joints": 14}, {"type": "CropDepthCube"}]
    )(dataset.get_data_info(1))
    targets = codec.encode(results["transformed_keypoints"], results["keypoints_visible"], results["keypoints_cam"])
    pack = Compose(
        [{"type": "PackPoseInputs", "meta_keys": ("bone_length", "input_size", "input_center", "input_scale")}]
    )
    prediction = perfect_model(pack(results)["data_samples"], targets, config).pred_instances
    palm = NYU_14.names.index("palm")
    np.testing.assert_allclose(
        prediction.keypoints_cam, gt["keypoints_cam"] - gt["keypoints_cam"][:, [palm]], atol=0.01
    )
    half_cell_px = 2.01 * results["input_scale"].max() / 176
    assert np.abs(prediction.keypoints[..., :2] - gt["keypoints"][..., :2]).max() <= half_cell_px
