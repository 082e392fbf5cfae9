"""Pictures of samples: joints and box lie where the pipeline moved the pixels to; the tool writes a sheet."""

from argparse import Namespace
from pathlib import Path

import assemblyhands_fixture
import cv2
import numpy as np
import nyu_fixture
import pytest
import rhp_fixture
from dexycb_fixture import open_dexycb, write_dexycb
from interhand_fixture import contents, write_annotations, write_images
from mmengine.registry import init_default_scope

from dfmamba.cli import browse_dataset
from dfmamba.data_tools.browse import draw_results, fit_tile, run_pipeline
from dfmamba.data_tools.check import build_dataset
from dfmamba.engine.config import load_config
from dfmamba.engine.errors import ConfigError
from dfmamba.visualization.overlay import to_rgb

ROOT = Path(__file__).parents[2]


def write_interhand(root):
    write_annotations(root, contents())
    write_images(root, contents())


def write_nyu(root):
    nyu_fixture.write_annotations(root, nyu_fixture.contents())
    nyu_fixture.write_images(root)


def write_assemblyhands(root):
    assemblyhands_fixture.write_annotations(root, assemblyhands_fixture.contents())
    assemblyhands_fixture.write_images(root, assemblyhands_fixture.contents())


WRITERS = {
    "interhand": (write_interhand, {"split": "test"}),
    "rhp": (rhp_fixture.write_rhp, {"split": "test"}),
    "nyu": (write_nyu, {"split": "test", "centers": "joints"}),
    "dexycb": (write_dexycb, {}),
    "assemblyhands": (write_assemblyhands, {"split": "val"}),
}


def training_set(name, root):
    """A data set of the tiny files with the training pipeline of a config."""
    write, arguments = WRITERS[name]
    write(root)
    config = load_config(ROOT / "configs" / f"dfmamba_{name}.py")
    init_default_scope("mmpose")
    pipeline = config.train_dataloader.dataset.pipeline
    if name == "dexycb":
        return open_dexycb(root, pipeline=pipeline)
    kind = config.train_dataloader.dataset.type
    return build_dataset({"type": kind, "data_root": str(root), "pipeline": pipeline, **arguments})


@pytest.mark.parametrize("name", WRITERS)
def test_pixels_and_drawn_joints_move_together(name, tmp_path):
    """A disc is painted around a joint before crop and augmentation; afterwards its middle is at the drawn joint."""
    dataset = training_set(name, tmp_path)
    paint = dataset.pipeline.transforms[0].transform
    value = {"nyu": lambda sample: sample["root_depth"][0] - 100}.get(name, lambda sample: 255)
    joint = 5

    def load_and_paint(results):
        results = paint(results)
        image = np.full_like(results["img"], 5000 if name == "nyu" else 0)
        valid = np.flatnonzero(results["keypoints_visible"][0])
        results["keypoints"][0, valid, :2] = np.random.default_rng(0).uniform(60, 120, (len(valid), 2))
        results["keypoints"][0, valid[joint], :2] = 90, 80
        cv2.circle(image, (90, 80), 3, (float(value(results)),) * image.shape[2], cv2.FILLED)
        results["bbox"] = np.array([[50, 50, 130, 130]], dtype=np.float32)
        return results | {"img": image.reshape(results["img"].shape), "painted": (90, 80)}

    dataset.pipeline.transforms[0].transform = load_and_paint
    erasing = "RandomDepthErasing"
    dataset.pipeline.transforms = [step for step in dataset.pipeline.transforms if type(step).__name__ != erasing]
    for seed in range(6):
        np.random.seed(seed)  # noqa: NPY002, the transforms draw from it
        results = run_pipeline(dataset, 0, raw=False)
        source = results["keypoints"][0, :, :2]
        width = results["ori_shape"][1]
        place = (source == (90, 80)).all(axis=1) | (source == (width - 91, 80)).all(axis=1)
        expected = results["transformed_keypoints"][0, np.argmax(place), :2]
        image = results["img"][..., 0].astype(float)
        rows, columns = np.nonzero(image < image.max() - 1 if name == "nyu" else image > image.max() / 2)
        assert place.sum() == 1
        np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=1.0)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("raw", [True, False])
def test_tiles(name, raw, tmp_path):
    tile, caption = draw_results(run_pipeline(training_set(name, tmp_path), 0, raw), 160, raw)
    assert (tile.shape, tile.dtype) == ((160, 160, 3), np.uint8)
    first, second = caption.splitlines()
    assert first.endswith((".png", ".jpg"))
    assert "joints" in second


def test_box_is_drawn_at_its_place():
    """Without augmentation and at the size of the tile: a box from 10, 20 to 60, 70."""
    joints = np.zeros((1, 21, 3))
    results = {
        "img": np.zeros((100, 100, 3), np.uint8),
        "keypoints": joints,
        "keypoints_visible": np.zeros((1, 21)),
        "bbox": np.array([[10, 20, 60, 70]]),
        "hand_type": np.array([[1, 0]]),
        "img_path": "a/b.png",
        "id": 7,
    }
    tile, caption = draw_results(results, 100, raw=True)
    rows, columns = np.nonzero(tile[..., 2] > 200)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (10, 20, 60, 70)
    assert caption == "a/b.png\n7: 0/21 joints"


def test_a_wide_image_is_centered():
    image = np.full((50, 100, 3), 200, np.uint8)
    tile, to_tile = fit_tile(image, 200)
    assert (tile[:48] == 40).all()
    assert (tile[52:148, 2:-2] == 200).all()
    assert (tile[152:] == 40).all()
    np.testing.assert_allclose(to_tile @ [0, 0, 1], [0.5, 50.5])  # the first pixel covers four


def test_depth_becomes_grey_and_holes_black():
    depth = np.array([[0.0, 600.0], [700.0, 800.0]], dtype=np.float32)[..., None]
    assert to_rgb(depth)[..., 0].tolist() == [[0, 0], [127, 255]]
    normalised = np.array([[-2.0, 0.0], [0.0, 2.0]], dtype=np.float32)[..., None]
    assert to_rgb(normalised)[..., 1].tolist() == [[0, 127], [127, 255]]
    colour = np.array([[[1, 2, 3]]], dtype=np.uint8)
    assert to_rgb(colour).tolist() == [[[3, 2, 1]]]


def test_a_pipeline_without_a_crop_is_refused(tmp_path):
    dataset = training_set("rhp", tmp_path)
    dataset.pipeline.transforms = dataset.pipeline.transforms[:1]
    with pytest.raises(ConfigError, match="transformed_keypoints"):
        run_pipeline(dataset, 0, raw=False)


@pytest.mark.parametrize("raw", [True, False])
def test_the_tool(raw, tmp_path):
    write_nyu(tmp_path)
    out = tmp_path / "out" / "sheet.png"
    arguments = {
        "config": str(ROOT / "configs" / "dfmamba_nyu.py"),
        "split": "test",
        "num": 2,
        "out": out,
        "raw": raw,
        "seed": 0,
        "cfg_options": [f"data_root={tmp_path}", "test_dataloader.dataset.centers=joints"],
    }
    browse_dataset.browse(Namespace(**arguments))
    assert cv2.imread(str(out)).shape[1] > 2 * 320
