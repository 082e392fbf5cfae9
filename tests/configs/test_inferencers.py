"""mmpose's own inferencers on every config, unchanged: pictures without ground truth, as a user has them."""

import json

import cv2
import numpy as np
import pytest
import torch
from config_cases import CONFIGS, LEAVES, build_dataset, list_configs, named
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from mmpose.apis.inferencers import Hand3DInferencer

from dfmamba.engine.config import load_config
from dfmamba.io.images import ImageError
from dfmamba.skeleton import NYU_14, ONE_HAND, SIDES, TWO_HANDS
from dfmamba.visualization.colors import joint_colors

pytestmark = pytest.mark.slow

SKELETONS = {skeleton.num_joints: skeleton for skeleton in (ONE_HAND, TWO_HANDS, NYU_14)}
DEMOS = [path for path in LEAVES if path.parent.name == "demo"]
# Baselines and ablations have the pipelines, the head and the joints of the main configs: test_configs.py.
BY_INTERFACE = [path for path in LEAVES if path.parent == CONFIGS or path in DEMOS]
MIXED = [path for path in list_configs.leaves() if path.parent.name == "mixing" and "retinanet" not in path.name]


@pytest.fixture(autouse=True)
def few_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def samples_of(cfg, synthetic_set):
    """Return the test set and the numbers of two samples, of hands of both sides where the set has them."""
    dataset = build_dataset(cfg, "test_dataloader", synthetic_set)
    sides = [int(np.ravel(dataset.get_data_info(number)["hand_type"])[0]) for number in range(len(dataset))]
    return dataset, sorted({sides.index(side) for side in set(sides)} | {len(sides) - 1})[:2]


def said(info, packed):
    """Return what a user can say about a picture, for a sample with ground truth, in the form of `dataset_meta`."""
    side = SIDES[int(np.ravel(info["hand_type"])[0] == 0)]
    known = {
        "hand_side": side,
        "center_depth": float(info["root_depth"][0]),
        "focal": info["focal"],
        "principal_pt": info["principal_pt"],
    }
    length = packed["data_samples"].metainfo.get("bone_length")
    return known if length is None else {**known, "bone_length": float(length[0])}


def picture(info, meta, is_loaded):
    """Return what mmpose's inferencers give to a pipeline: a path or an image, a box and the metainfo."""
    image = {"img": cv2.imread(info["img_path"])} if is_loaded else {"img_path": info["img_path"]}
    return {**image, "bbox": info["bbox"].copy(), "bbox_score": np.ones(1, np.float32), **meta}


@pytest.mark.parametrize("is_loaded", [False, True], ids=["path", "array"])
@pytest.mark.parametrize("path", BY_INTERFACE, ids=named)
def test_a_picture_becomes_the_same_input_as_the_sample_with_gt(path, is_loaded, synthetic_set):
    cfg = load_config(path)
    init_default_scope("mmpose")
    dataset, numbers = samples_of(cfg, synthetic_set)
    for number in numbers:
        info, expected = dataset.get_data_info(number), dataset[number]
        meta = {**dataset.metainfo, **said(info, expected)}
        got = Compose(cfg.test_dataloader.dataset.pipeline)(picture(info, meta, is_loaded))
        assert torch.equal(got["inputs"], expected["inputs"])
        gt, sample = expected["data_samples"].metainfo, got["data_samples"].metainfo
        for key in ("input_center", "input_scale", "mirrored", "one_of_two_hands", "bone_length", "view_rotation"):
            assert (key in sample) == (key in gt)
            if key in gt:
                np.testing.assert_allclose(sample[key], gt[key], rtol=1e-6, err_msg=key)
        assert "keypoints" not in got["data_samples"].gt_instances


@pytest.mark.parametrize("path", BY_INTERFACE, ids=named)
def test_every_interface_predicts_what_the_model_predicts_with_the_gt_beside_it(path, synthetic_set, tmp_path):
    torch.manual_seed(0)
    model = init_model(str(path), device="cpu")
    checkpoint = str(tmp_path / "weights.pth")
    dataset, numbers = samples_of(model.cfg, synthetic_set)
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": dataset.metainfo}}, checkpoint)
    number = numbers[-1]
    info, packed = dataset.get_data_info(number), dataset[number]
    with torch.no_grad():
        gt = model.test_step(pseudo_collate([packed]))[0].pred_instances

    model.dataset_meta = {**dataset.metainfo, **said(info, packed)}
    sample = inference_topdown(model, info["img_path"], info["bbox"])[0]
    for name in ("keypoints", "keypoint_scores", "keypoints_cam"):
        assert (name in sample.pred_instances) == (name in gt)
        if name in gt:
            np.testing.assert_allclose(sample.pred_instances[name], gt[name], rtol=1e-3, atol=1e-3)

    height, width = cv2.imread(info["img_path"]).shape[:2]
    whole = inference_topdown(model, info["img_path"])[0].pred_instances
    flat = MMPoseInferencer(pose2d=str(path), pose2d_weights=checkpoint, device="cpu")
    flat.inferencer.model.dataset_meta |= said(info, packed)
    found = next(flat(info["img_path"], kpt_thr=0, out_dir=str(tmp_path)))["predictions"][0]
    np.testing.assert_allclose([found[0]["keypoints"]], whole.keypoints, rtol=1e-3, atol=1e-3)
    assert found[0]["bbox"] == ([0, 0, width, height],)
    name = info["img_path"].rpartition("/")[2]
    assert cv2.imread(str(tmp_path / "visualizations" / name)).shape == (height, width, 3)
    written = json.loads((tmp_path / "predictions" / name).with_suffix(".json").read_text())
    assert np.shape(written[0]["keypoints"]) == (dataset.metainfo["num_keypoints"], 3)

    space = MMPoseInferencer(pose3d=Config.fromfile(path), pose3d_weights=checkpoint, device="cpu")
    assert isinstance(space.inferencer, Hand3DInferencer)
    space.inferencer.model.dataset_meta |= said(info, packed)
    boxes = np.stack([[*info["bbox"][0], 0.9], [0, 0, width, height, 0.8]])
    result = next(
        space(
            [info["img_path"]],
            bboxes=[boxes],
            kpt_thr=0,
            return_vis=True,
            return_datasamples=True,
            disable_rebase_keypoint=True,
        )
    )
    hands = result["predictions"][0].pred_instances
    x, y, z = np.moveaxis(gt.keypoints[0], -1, 0)
    np.testing.assert_allclose(hands.keypoints[0], np.stack([x, z, -y], axis=-1), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(hands.bbox_scores, [0.9, 0.8])
    assert result["visualization"][0].shape[0] > height  # the hand in space is below the image


@pytest.mark.parametrize("path", [path for path in LEAVES if path.parent == CONFIGS or path in DEMOS], ids=named)
def test_the_model_knows_names_links_colours_and_mirror_images_of_its_joints(path):
    cfg = load_config(path)
    cfg.model.backbone = {
        "type": "DFMamba",
        "arch": "nano",
        "in_channels": cfg.model.backbone.get("in_channels", 3),
        **({"out_indices": (0, 1, 3, 5)} if "neck" in cfg.model else {}),
    }
    meta = init_model(cfg, device="cpu").dataset_meta
    skeleton = SKELETONS[meta["num_keypoints"]]
    assert tuple(meta["keypoint_id2name"].values()) == skeleton.names
    assert tuple(meta["flip_indices"]) == skeleton.flip
    assert {frozenset(link) for link in meta["skeleton_links"]} == {frozenset(bone) for bone in skeleton.bones}
    np.testing.assert_array_equal(meta["keypoint_colors"], joint_colors(skeleton))


@pytest.mark.parametrize("path", MIXED, ids=named)
def test_df_mamba_under_mmposes_heads_predicts_and_draws(path, tmp_path):
    image = str(tmp_path / "noise.png")
    cv2.imwrite(image, np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8))
    if "internet" in path.name:  # mmpose's own hand_type thresholds may say that no hand is there: draws nothing then
        inferencer, joints = Hand3DInferencer(str(path), device="cpu", det_model="whole_image"), 42
    else:
        inferencer, joints = MMPoseInferencer(pose2d=str(path), device="cpu", det_model="whole_image"), 21
    result = next(inferencer(image, kpt_thr=0, return_vis=True, vis_out_dir=str(tmp_path / "out")))
    assert np.shape(result["predictions"][0][0]["keypoints"])[0] == joints
    assert (tmp_path / "out" / "noise.png").is_file()


def test_a_depth_model_says_what_it_needs(tmp_path):
    model = init_model(str(CONFIGS / "demo" / "dfmamba_nyu_demo.py"), device="cpu")
    with pytest.raises(ValueError, match="center_depth: expected the depth of the hand's center in mm"):
        inference_topdown(model, np.zeros((480, 640), np.uint16))
    photograph = str(tmp_path / "hand.jpg")
    cv2.imwrite(photograph, np.zeros((480, 640, 3), np.uint8))
    with pytest.raises(ImageError, match="expected a depth image as PNG or BMP"):
        inference_topdown(model, photograph)
