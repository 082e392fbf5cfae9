"""Every config of the tree: its model is built, takes a step in both directions on synthetic data, and is scored."""

import numpy as np
import pytest
import torch
from config_cases import CONFIGS, LEAVES, ROOT, batch_of, list_configs, named
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from dfmamba.engine.config import check_types, load_config
from dfmamba.models.cost import count_parameters

BACKBONES = ("resnet50", "vit_s", "swin_t", "convnext_t", "vmamba_t", "spatial_mamba_t")
DATA_SETS = ("interhand", "rhp", "nyu", "dexycb", "assemblyhands")


def is_trained(path):
    """Each backbone on one data set: its other configs differ from DF-Mamba's in the backbone alone, see below."""
    name, _, data_set = path.stem.rpartition("_")
    return path.parent.name != "baselines" or DATA_SETS[BACKBONES.index(name) % len(DATA_SETS)] == data_set


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in LEAVES if is_trained(path)], ids=named)
def test_config_builds_trains_and_is_scored(path, synthetic_set):
    cfg = load_config(path)
    check_types(cfg)
    if path.parent != CONFIGS and cfg.model.head.type == "A2JHead":  # six layers are trained in the main configs
        cfg.merge_from_dict({"model.head.num_encoder_layers": 1, "model.head.num_decoder_layers": 1})
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    _, batch = batch_of(cfg, "train_dataloader", synthetic_set, model)

    losses = model.train()(**batch, mode="loss")
    total = sum(value for name, value in losses.items() if "loss" in name)
    total.backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert torch.isfinite(total)
    assert not without

    dataset, batch = batch_of(cfg, "test_dataloader", synthetic_set, model)
    with torch.no_grad():
        samples = model.eval()(**batch, mode="predict")
    for sample in samples:
        found = sample.pred_instances
        if cfg.model.type == "HandFinderEstimator":
            assert np.isfinite(found.bboxes).all()
            continue
        assert np.isfinite(found.keypoints).all()
        assert found.keypoints.shape == sample.gt_instances.keypoints_cam.shape
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    evaluator.process(samples)
    metrics = evaluator.evaluate(len(samples))
    assert np.isfinite(metrics[cfg.default_hooks.checkpoint.save_best or next(iter(metrics))])


@pytest.mark.parametrize("path", list_configs.leaves(), ids=named)
def test_config_is_short_and_says_what_it_is(path):
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= (60 if path.parent == CONFIGS else 70)


@pytest.mark.parametrize("path", list_configs.leaves(), ids=named)
def test_the_table_of_configs_has_this_one_with_its_size(path):
    rows = [line for line in (ROOT / "docs" / "configs.md").read_text().splitlines() if f"[{named(path)}]" in line]
    assert len(rows) == 1, "run tools/list_configs.py"
    cfg = load_config(path)
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    assert rows[0].split("|")[5].strip() == f"{count_parameters(model) / 1e6:.2f}", "run tools/list_configs.py"
    init_default_scope("mmpose")


@pytest.mark.parametrize("data_set", DATA_SETS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_baseline_differs_from_df_mamba_in_the_backbone_alone(backbone, data_set):
    ours = load_config(CONFIGS / f"dfmamba_{data_set}.py")
    theirs = load_config(CONFIGS / "baselines" / f"{backbone}_{data_set}.py")
    assert theirs.model.pop("backbone") != ours.model.pop("backbone")
    assert theirs.model == ours.model
    for key in (
        "train_dataloader",
        "test_dataloader",
        "optim_wrapper",
        "param_scheduler",
        "train_cfg",
        "test_evaluator",
        "default_hooks",
    ):
        assert theirs[key] == ours[key]


@pytest.fixture(scope="module")
def known_pipelines():
    """Those of the main configs and the demos, for which test_inferencers.py runs."""
    return [
        load_config(path).test_dataloader.dataset.pipeline
        for path in LEAVES
        if path.parent == CONFIGS or path.parent.name == "demo"
    ]


OTHERS = ("baselines", "ablations", "comparison", "study")


@pytest.mark.parametrize("path", [path for path in LEAVES if path.parent.name in OTHERS], ids=named)
def test_other_configs_see_pictures_as_these_do(path, known_pipelines):
    assert load_config(path).test_dataloader.dataset.pipeline in known_pipelines


# Whole InterHand2.6M models: what Table 1 of the paper prints, in M, and by how much ours may differ; docs/configs.md
# says what is known of the differences.
@pytest.mark.parametrize(
    ("name", "paper", "tolerance"),
    [
        ("dfmamba_interhand", 42, 0.5),
        ("baselines/resnet50_interhand", 42, 0.5),
        ("baselines/swin_t_interhand", 45, 2.5),
        ("baselines/vmamba_t_interhand", 46, 1.5),
        ("baselines/spatial_mamba_t_interhand", 43, 2.5),
        ("baselines/vit_s_interhand", 42, 6),
    ],
)
def test_the_sizes_of_whole_models_beside_the_papers(name, paper, tolerance):
    cfg = load_config(CONFIGS / f"{name}.py")
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    assert count_parameters(model) / 1e6 == pytest.approx(paper, abs=tolerance)
