"""Models as ONNX files: the same numbers as PyTorch's, a short graph, and the same joints of pictures."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from mmpose.apis import init_model
from mmpose.registry import TRANSFORMS

import dfmamba.register  # noqa: F401, its transforms
from dfmamba.apis import Camera, HandPoseInferencer
from dfmamba.apis.exported_model import KEY, ModelFacts, open_session, read_metadata
from dfmamba.crops import crop_color, crop_depth
from dfmamba.engine.config import load_config
from dfmamba.errors import DataError, UserError
from dfmamba.export.graph import JointGraph, largest_differences, random_crops
from dfmamba.export.onnx_file import MAX_RELATIVE_ERROR, compare, make_smaller, write_onnx
from dfmamba.export.torch_program import write_program
from dfmamba.models.layers.dssm import DSSM
from dfmamba.ops import onnx_form, selective_scan

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["interhand", "rhp", "nyu", "dexycb", "assemblyhands"]
DEMOS = {name: ROOT / "configs" / "demo" / f"dfmamba_{name}_demo.py" for name in NAMES}
FULL = {f"full, {name}": ROOT / "configs" / f"dfmamba_{name}.py" for name in ("interhand", "dexycb")}
# Its head has all that the demo's lacks, in fewer layers; its backbone is small, as that of dexycb is large.
SHORT = ["model.head.num_encoder_layers=1", "model.head.num_decoder_layers=2", "model.backbone.arch=nano"]
BOX = [60, 40, 260, 200]
SAID = {
    "dexycb": {"hand_side": "left", "bone_length_mm": 90.0},
    "assemblyhands": {"hand_side": "left"},
    "nyu": {"center_depth_mm": 700.0},
}
CAMERA = Camera((500.0, 500.0), (150.0, 130.0))


def spread(model):
    """Draw weights so that offsets, points and peaks differ from each other, as after a training."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, DSSM):
            module.offset_proj.weight.data.normal_(0, 0.1, generator=generator)
            module.weight_proj.weight.data.normal_(0, 0.1, generator=generator)
    for branch in ("heatmap", "location"):
        if hasattr(model.head, branch):
            getattr(model.head, branch)[-1].weight.data.normal_(0, 0.1, generator=generator)
    return model


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return a function that gives config, checkpoint, graph and ONNX file of a model with random weights."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def of(name):
        if name not in made:
            config = (DEMOS | FULL)[name]
            torch.manual_seed(0)
            options = SHORT if name == "full, interhand" else []
            model = spread(init_model(load_config(config, options), None, device="cpu"))
            checkpoint, path = folder / f"{name}.pth", folder / f"{name}.onnx"
            torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": model.dataset_meta}}, checkpoint)
            graph = JointGraph(model, load_config(config).test_dataloader.dataset.pipeline).eval()
            errors = write_onnx(graph, path, {"name": name})
            made[name] = config, checkpoint, graph, path, errors
        return made[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DEMOS, *FULL])
def test_the_numbers_are_pytorchs_and_nothing_is_unrolled(name, exported):
    _, _, graph, path, errors = exported(name)
    assert max(errors.values()) <= MAX_RELATIVE_ERROR
    session = open_session(path)
    crops = random_crops(graph, 3)
    with torch.no_grad():
        expected = graph(crops)
    for output, got in zip(session.get_outputs(), session.run(None, {"crops": crops.numpy()}), strict=True):
        wanted = expected[output.name].numpy()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    nodes = onnx.load(path).graph.node
    scans = sum(node.op_type == "SelectiveScan" for node in nodes)
    assert scans == sum(isinstance(module, DSSM) for module in graph.modules())
    assert len(nodes) < 1000


def draw(name):
    if name == "nyu":
        depth = np.full((480, 640), 900, dtype=np.uint16)
        depth[60:180, 80:240] = np.random.default_rng(0).integers(600, 800, (120, 160))
        return depth
    return np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEMOS)
def test_joints_in_pictures_are_those_of_the_config_and_checkpoint(name, exported):
    config, checkpoint, _, path, _ = exported(name)
    pictures = [draw(name)] * 2
    boxes = [[BOX, [100, 50, 250, 220]], [BOX]]
    said = SAID.get(name, {})
    expected = HandPoseInferencer(config, checkpoint, device="cpu", **said)
    ours = HandPoseInferencer(path, **said)
    for camera in (None, CAMERA):
        for a, b in zip(ours(pictures, boxes, camera=camera), expected(pictures, boxes, camera=camera), strict=True):
            for hand, other in zip(a.hands, b.hands, strict=True):
                assert (hand.side, hand.side_is_assumed) == (other.side, other.side_is_assumed)
                assert (hand.presence, hand.root) == (other.presence, other.root)
                np.testing.assert_allclose(hand.keypoints_px, other.keypoints_px, rtol=1e-3, atol=2e-2)
                np.testing.assert_allclose(hand.depth_mm, other.depth_mm, rtol=1e-3, atol=2e-2)
                assert (hand.keypoints_mm is None) == (other.keypoints_mm is None)
                if hand.keypoints_mm is not None:
                    np.testing.assert_allclose(hand.keypoints_mm, other.keypoints_mm, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("box", [BOX, [-40.5, 10, 100, 400], [10, 20, 30, 220]])
def test_a_crop_is_that_of_the_pipeline(box):
    image = draw("interhand")
    steps = [{"type": "GetBBoxCenterScale", "padding": 1.25}, {"type": "TopdownAffine", "input_size": (96, 80)}]
    sample = {"img": image, "bbox": np.array([box], dtype=np.float32)}
    for step in steps:
        sample = TRANSFORMS.build(step)(sample)
    crop = crop_color(image, box, 1.25, (96, 80))
    np.testing.assert_array_equal(crop.pixels, sample["img"])
    corners = [crop.center - crop.extent / 2, crop.center + crop.extent / 2]
    np.testing.assert_allclose(crop.to_picture([[0, 0], [96, 80]]), corners)
    np.testing.assert_allclose(crop.center, sample["input_center"])
    np.testing.assert_allclose(crop.extent, sample["input_scale"])


def test_a_crop_of_depth_is_that_of_the_pipeline():
    depth = draw("nyu").astype(np.float32)
    sample = {"img": depth[..., None], "bbox": np.array([BOX], dtype=np.float32), "center_depth": 700.0}
    cube = TRANSFORMS.build({"type": "CropDepthCube", "input_size": (64, 64)})
    sample = cube(sample)
    crop = crop_depth(depth, BOX, 700.0, cube.half_depth_mm, (64, 64))
    np.testing.assert_allclose((crop.pixels - cube.mean) / cube.std, sample["img"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(crop.center, sample["input_center"])


@pytest.mark.parametrize("shape", [(1, 1, 4, 3), (2, 5, 6, 8), (3, 17, 2, 1)])
def test_the_scan_as_onnx_has_it(shape, tmp_path):
    """The function alone, beside the operator's reference."""
    batch, length, channels, states = shape
    random = np.random.default_rng(0)
    u, d = random.normal(size=(2, batch, length, channels)).astype(np.float32)
    B, C = random.normal(size=(2, batch, length, states)).astype(np.float32)
    A = -random.uniform(0.1, 2, (channels, states)).astype(np.float32)
    feed = {"u": u, "d": np.abs(d), "A": A, "B": B, "C": C}
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape) for name, value in feed.items()
    ]
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, u.shape)
    node = onnx.helper.make_node("SelectiveScan", list(feed), ["y"], domain=onnx_form.DOMAIN)
    graph = onnx.helper.make_graph([node], "scan", inputs, [output])
    opset = onnx.helper.make_opsetid("", onnx_form.OPSET)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnx_form.add_functions(model)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "scan.onnx")
    (got,) = open_session(tmp_path / "scan.onnx").run(None, feed)
    tensors = (torch.from_numpy(feed[name]) for name in ("u", "d", "A", "B", "C"))
    expected = selective_scan(*tensors, delta_softplus=False, backend="reference")
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_smaller_forms_and_what_they_cost(exported, tmp_path):
    _, _, graph, path, _ = exported("interhand")
    sizes = {"float32": path.stat().st_size}
    for form, bound in (("float16", 5e-3), ("int8", 0.2)):
        smaller = tmp_path / f"{form}.onnx"
        smaller.write_bytes(path.read_bytes())
        errors = make_smaller(graph, smaller, form)
        assert 0 < max(errors.values()) < bound
        assert errors == compare(graph, smaller)
        assert read_metadata(smaller, open_session(smaller), ModelFacts).card == {"name": "interhand"}
        sizes[form] = smaller.stat().st_size
    assert sizes["float16"] < 0.65 * sizes["float32"]
    assert sizes["int8"] < 0.7 * sizes["float32"]


@pytest.mark.slow
def test_a_program_of_torch_is_read_with_its_facts(exported, tmp_path):
    graph, path = exported("interhand")[2], tmp_path / "model.pt2"
    assert max(write_program(graph, path).values()) < 1e-5
    files = {f"{KEY}.json": ""}
    program = torch.export.load(path, extra_files=files)
    assert ModelFacts.from_json(files[f"{KEY}.json"]) == graph.facts({})
    crops = random_crops(graph, 4)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(crops), graph(crops), rtol=1e-5, atol=1e-3)


def test_a_difference_is_seen():
    class Graph:
        steps = ()
        estimator = type("", (), {"head": type("", (), {"decoder": type("", (), {"input_size": (4, 4)})})})

        def __call__(self, crops):
            batch = len(crops)
            joints = torch.tensor([[2.0, -4.0], [8.0, 1.0]]).expand(batch, -1, -1)
            return {"keypoints": joints, "scores": torch.ones(batch, 2), "bones": joints}

    def run(place, score):
        def wrong(crops):
            outputs = {name: output.numpy().copy() for name, output in Graph()(crops).items()}
            outputs["keypoints"][0, 1, 0], outputs["scores"][0, 1] = place, score
            return outputs

        return largest_differences(Graph(), wrong)

    assert run(8.5, 1) == {"keypoints": pytest.approx(0.0625), "scores": 0, "bones": 0}
    assert run(4.0, 1) == {"keypoints": 0, "scores": 0, "bones": 0}  # two peaks of one height
    assert run(4.0, 0.75) == {"keypoints": pytest.approx(0.5), "scores": 0.25, "bones": 0}


@pytest.mark.slow
def test_metadata_tell_what_is_needed_around(exported):
    _, _, graph, path, _ = exported("nyu")
    facts = read_metadata(path, open_session(path), ModelFacts)
    assert facts == graph.facts({"name": "nyu"})
    assert (facts.input, facts.image_size, facts.half_depth_mm) == ("depth", (640, 480), 150.0)
    assert facts.joint_names[-1] == "palm"
    facts = read_metadata(exported("dexycb")[3], open_session(exported("dexycb")[3]), ModelFacts)
    assert facts.codec["bone"] == ["wrist", "middle1"]
    assert facts.preprocessing["mean"] == pytest.approx([127.5] * 3)
    assert list(facts.outputs) == ["keypoints", "scores", "bones"]


def damage(path, to, change):
    model = onnx.load(path)
    text = json.loads({prop.key: prop.value for prop in model.metadata_props}[KEY])
    change(text)
    onnx.helper.set_model_props(model, {KEY: json.dumps(text)})
    onnx.save(model, to)


@pytest.mark.slow
def test_files_of_something_else_are_refused(exported, tmp_path):
    path, other = exported("interhand")[3], tmp_path / "other.onnx"
    with pytest.raises(FileNotFoundError, match="no such file"):
        HandPoseInferencer(tmp_path / "none.onnx")
    other.write_text("no model")
    with pytest.raises(DataError, match=r"other.onnx: expected an ONNX file, got one that onnxruntime refuses"):
        HandPoseInferencer(other)
    other.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match="that onnxruntime refuses"):
        HandPoseInferencer(other)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, other)
    with pytest.raises(DataError, match="got one without 'dfmamba' among its metadata"):
        HandPoseInferencer(other)
    damage(path, other, lambda facts: facts.update(format=2))
    with pytest.raises(DataError, match="format: expected 1, got 2"):
        HandPoseInferencer(other)
    damage(path, other, lambda facts: facts.pop("padding"))
    with pytest.raises(DataError, match="padding"):
        HandPoseInferencer(other)
    with pytest.raises(UserError, match="has its own weights and runs without torch"):
        HandPoseInferencer(path, exported("interhand")[1])
    with pytest.raises(UserError, match="runs without torch"):
        HandPoseInferencer(path, engine="torch")
    for option in ({"precision": "float16"}, {"compiled": True}, {"cfg_options": ["model.test_cfg.flip_test=False"]}):
        with pytest.raises(UserError, match="expected none of checkpoint, precision"):
            HandPoseInferencer(path, **option)
        with pytest.raises(UserError, match="engine: expected 'torch' for a config"):
            HandPoseInferencer(engine="onnxruntime", **option)
    with pytest.raises(UserError, match="engine: expected 'torch' for a config"):
        HandPoseInferencer(exported("interhand")[0], exported("interhand")[1], engine="onnxruntime")
    with pytest.raises(UserError, match="device: expected one that this onnxruntime has"):
        HandPoseInferencer(path, device="tpu")
    with pytest.raises(UserError, match="expected a photograph"):
        HandPoseInferencer(path)(np.zeros((100, 100), dtype=np.uint16))
    with pytest.raises(UserError, match="center_depth_mm: expected the depth of the hand's center"):
        HandPoseInferencer(exported("nyu")[3])(draw("nyu"))


@pytest.mark.slow
def test_heads_of_others_are_refused():
    model = init_model(load_config(ROOT / "configs" / "mixing" / "dfmamba_rle_rhd2d.py"), None, device="cpu")
    with pytest.raises(
        UserError, match=r"model.head: expected one that can be exported, A2JHead, DetNetHead or HandFinderHead"
    ):
        JointGraph(model, [])


def test_the_import_needs_no_framework():
    """Neither torch nor any package of OpenMMLab is loaded by what finds hands in pictures, and their joints."""
    program = textwrap.dedent(
        """
        import sys
        import numpy as np
        from dfmamba.apis import HandPoseInferencer
        inferencer, picture = HandPoseInferencer(), np.zeros((64, 64, 3), dtype=np.uint8)
        inferencer(picture)
        found = inferencer(picture, boxes=[[0, 0, 64, 64]])[0]
        found.draw(), found.to_json(), found.to_coco(1)
        print(len(found.hands), sorted({name.split(".")[0] for name in sys.modules}
              & {"torch", "mmengine", "mmcv", "mmdet", "mmpose", "matplotlib", "scipy"}))
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1)[1].strip() == "[]"
    assert int(done.stdout[0]) == 2


def test_facts_survive_their_json():
    facts = ModelFacts("color", (96, 80), 1.25, ("wrist",), "wrist", True, False, None, None, {}, {}, {}, {})
    assert ModelFacts.from_json(facts.to_json()) == facts
