"""DetNet's base configs on synthetic and miniature data: from files over training to numbers of the protocols."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, METRICS, MODELS

import dfmamba.register  # noqa: F401
from dfmamba.engine.config import check_types, load_config
from dfmamba.geometry import project
from dfmamba.models.cost import count_parameters
from dfmamba.synthesis.interhand26m import write_interhand26m

ROOT = Path(__file__).parents[2]
BASE = ROOT / "configs" / "_base_"
LEAF = """
_base_ = [{bases}]
model = dict(
    backbone=dict(arch='nano'), neck=dict(out_channels=32),
    head=dict(hidden_channels=32, decoder={{{{_base_.detnet_codec}}}}))
train_dataloader = dict(batch_size=8, dataset=dict(
    type='{dataset}', data_root='{root}', split='{train}', pipeline={{{{_base_.detnet_train_pipeline}}}}))
val_dataloader = dict(dataset=dict(
    type='{dataset}', data_root='{root}', split='test', pipeline={{{{_base_.detnet_test_pipeline}}}}))
test_dataloader = val_dataloader
val_evaluator = [dict(type='DetNetMPJPE'), dict(type='InterHandMPJPE', prefix='interhand_true_bone')]
"""


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are fastest with one thread, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_leaf(folder, base, dataset, root, train="train"):
    """Write a config over the base configs, as a user would, and read it."""
    names = (
        "default_runtime",
        f"datasets/{base}",
        "pipelines/detnet",
        "models/dfmamba_detnet",
        "schedules/detnet_100e",
    )
    path = folder / "leaf.py"
    bases = ", ".join(repr(str(BASE / f"{name}.py")) for name in names)
    path.write_text(LEAF.format(bases=bases, dataset=dataset, root=root, train=train))
    cfg = load_config(path)
    check_types(cfg)
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.fixture(scope="module")
def synthetic_interhand(tmp_path_factory):
    """A small SYNTHETIC InterHand2.6M."""
    root = tmp_path_factory.mktemp("data")
    write_interhand26m(root, {"train": 8, "test": 5}, seed=0, view_spread_deg=30)
    return root


@pytest.mark.slow
def test_training_on_synthetic_hands_learns_and_predicts(synthetic_interhand, tmp_path):
    cfg = write_leaf(tmp_path, "interhand26m", "InterHand26MHandsDataset", synthetic_interhand)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, the transforms draw from the global generator
    model = MODELS.build(cfg.model)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.optim_wrapper.optimizer.lr)
    batch = model.data_preprocessor(pseudo_collate([train[i] for i in range(8)]), training=True)
    history = []
    for _ in range(40):
        losses = model(**batch, mode="loss")
        total = losses["loss_heatmap"] + losses["loss_delta"] + losses["loss_location"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    first, last = (
        {name: np.mean([entry[name] for entry in part]) for name in history[0]} for part in (history[:4], history[-4:])
    )
    assert last["loss_heatmap"] < 0.97 * first["loss_heatmap"]  # slow at first: most cells are cold
    assert last["error_cells"] < 0.75 * first["error_cells"]
    assert last["loss_delta"] < 0.3 * first["loss_delta"]
    assert last["loss_location"] < 0.1 * first["loss_location"]

    test = DATASETS.build(cfg.test_dataloader.dataset)
    with torch.no_grad():
        batch = model.data_preprocessor(pseudo_collate([test[i] for i in range(len(test))]))
        predictions = model.eval()(**batch, mode="predict")
    metrics = [METRICS.build(metric) for metric in cfg.val_evaluator]
    for number, sample in enumerate(predictions):
        check_prediction(sample, test.get_data_info(number))
        for metric in metrics:
            metric.process(None, [sample.to_dict()])
    free, in_mm = (metric.evaluate(len(test)) for metric in metrics)
    assert free["detnet/hands"] == in_mm["interhand_true_bone/samples_all"] == len(test)
    assert 0 < free["detnet/MPJPE_middle1_scalefree_macro_bones"] < 2
    # both measure from the wrist, with the ground truth's bone; the one for 21 joints, the other for 42
    assert free["detnet/MPJPE_rr_bonescaled_macro_mm"] == pytest.approx(
        in_mm["interhand_true_bone/MPJPE_rr_micro_all_mm"], rel=0.01
    )


def check_prediction(sample, gt):
    """Check a prediction against the contract, and that the ground truth is that of the data set again."""
    valid = gt["keypoints_visible"][0] > 0
    keypoints, joints = sample.pred_instances.keypoints[0], sample.pred_instances.keypoints_cam[0]
    assert sample.pred_instances.keypoints.shape == sample.gt_instances.keypoints_cam.shape
    assert not keypoints[~np.repeat(gt["hand_type"][0] > 0, 21)].any()
    # in px of the image: inside the crop, which is 1.75 times the box's longer side
    x0, y0, x1, y1 = gt["bbox"][0]
    reach = 1.75 * max(x1 - x0, y1 - y0) / 2 + 1
    assert (np.abs(keypoints[valid, :2] - [(x0 + x1) / 2, (y0 + y1) / 2]) <= reach).all()
    # in mm relative to the wrist, the bone from there to middle1 as long as the ground truth's
    wrist, middle1 = (21 * int(gt["hand_type"][0, 1]) + joint for joint in (20, 11))
    np.testing.assert_array_equal(keypoints[:, 2], joints[:, 2])
    assert not joints[wrist].any()
    expected = np.linalg.norm(gt["keypoints_cam"][0, middle1] - gt["keypoints_cam"][0, wrist])
    assert np.linalg.norm(joints[middle1]) == pytest.approx(expected, rel=1e-3)
    # the ground truth is of the image on disk, whether it was mirrored or not
    np.testing.assert_allclose(sample.gt_instances.keypoints_cam, gt["keypoints_cam"], atol=1e-2)
    np.testing.assert_array_equal(sample.gt_instances.keypoints_visible, gt["keypoints_visible"])
    np.testing.assert_allclose(sample.hand_type, gt["hand_type"])
    np.testing.assert_allclose(sample.root_depth, gt["root_depth"], rtol=1e-6)
    points = project(sample.gt_instances.keypoints_cam, sample.focal, sample.principal_pt)
    np.testing.assert_allclose(points[0, valid], gt["keypoints"][0, valid, :2], atol=0.05)


def test_size_of_the_whole_model():
    init_default_scope("mmpose")
    model = MODELS.build(Config.fromfile(BASE / "models" / "dfmamba_detnet.py").model)
    assert count_parameters(model.head) == 2_064_531
    assert count_parameters(model) == count_parameters(model.backbone) + count_parameters(model.neck) + 2_064_531
    assert 28e6 < count_parameters(model) < 31e6


def test_the_configs_in_the_docs_load_and_build(tmp_path):
    leaf, other_backbone = re.findall(
        r"^```python config\n(.*?)^```$", (ROOT / "docs" / "detnet.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    (tmp_path / "leaf.py").write_text(leaf.replace("'_base_/", f"'{BASE}/"))
    (tmp_path / "resnet.py").write_text(other_backbone.replace("./dfmamba_dexycb.py", "leaf.py"))
    cfg = load_config(tmp_path / "resnet.py")
    check_types(cfg)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert [conv.in_channels for conv in model.neck.projections] == [256, 512, 1024, 2048]
    assert model.head.in_channels == (256,)
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline][:4] == [
        "LoadImage",
        "ToSingleHand",
        "MirrorLeftHand",
        "AddBoneLength",
    ]
    assert [METRICS.build(metric).prefix for metric in cfg.test_evaluator] == ["detnet", "assemblyhands_true_bone"]
