"""`HandPoseInferencer`, beside mmpose's `inference_topdown` and cases worked out by hand."""

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmpose.apis import inference_topdown, init_model
from pycocotools.coco import COCO

import tool_process
from dfmamba.apis import Camera, HandPoseInferencer
from dfmamba.apis.packed_model import FINDER_IN_THE_BOX
from dfmamba.engine.config import load_config
from dfmamba.errors import message_for_user
from dfmamba.hand_boxes import FoundBoxes

ROOT = Path(__file__).resolve().parents[2]
DEMOS = ROOT / "configs" / "demo"
BOX = [60, 40, 260, 200]
SAID = {"dexycb": {"hand_side": "left", "bone_length_mm": 90.0}, "nyu": {"center_depth_mm": 700.0}}


def picture(seed=0, height=240, width=320):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint_of(tmp_path_factory):
    """Return a function that gives a checkpoint with random weights for a demo's config."""
    folder = tmp_path_factory.mktemp("weights")

    def write(name):
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.manual_seed(0)
            model = init_model(str(DEMOS / f"dfmamba_{name}_demo.py"), device="cpu")
            torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": model.dataset_meta}}, path)
        return path

    return write


@pytest.fixture
def load(checkpoint_of):
    return lambda name, **options: HandPoseInferencer(
        DEMOS / f"dfmamba_{name}_demo.py", checkpoint_of(name), device="cpu", **{**SAID.get(name, {}), **options}
    )


@pytest.mark.parametrize("name", ["interhand", "rhp", "nyu", "dexycb", "assemblyhands"])
def test_joints_are_those_of_mmposes_interface(name, load, checkpoint_of):
    image = picture(0, 480, 640) if name == "nyu" else picture()
    found = load(name)(image, [BOX])[0]
    model = init_model(str(DEMOS / f"dfmamba_{name}_demo.py"), str(checkpoint_of(name)), device="cpu")
    said = {"hand_side": "left", "bone_length": 90.0} if name == "dexycb" else {}
    model.dataset_meta = {**model.dataset_meta, **said, **({"center_depth": 700.0} if name == "nyu" else {})}
    theirs = inference_topdown(model, image, [BOX])[0].pred_instances
    hands = found.hands
    kept = theirs.keypoints[0]
    if len(kept) == 42:
        kept = np.concatenate([kept[21 * n : 21 * n + 21] for n in (0, 1) if theirs.hand_type[0, n] > 0])
    joints = np.concatenate([np.column_stack([hand.keypoints_px, hand.depth_mm]) for hand in hands])
    np.testing.assert_allclose(joints, kept, rtol=1e-3, atol=1e-2)
    sides = {"interhand": ["right", "left"], "rhp": ["right", "left"], "nyu": [None], "dexycb": ["left"]}
    assert [hand.side for hand in hands] == sides.get(name, ["right"])
    assert [hand.side_is_assumed for hand in hands] == [name in ("dexycb", "assemblyhands")] * len(hands)
    assert {hand.root for hand in hands} == {"center" if name == "nyu" else "wrist"}
    assert [hand.keypoints_mm is not None for hand in hands] == [name != "nyu"] * len(hands)
    # Of dexycb the length of a bone has been said.
    assert [hand.size_is_assumed for hand in hands] == [name in ("interhand", "rhp", "assemblyhands")] * len(hands)


def joints(load, name, **options):
    """Return x and y in px and the depth in mm of all joints in the picture."""
    hands = load(name, **options)(picture(0, 480, 640) if name == "nyu" else picture(), [BOX])[0].hands
    return np.concatenate([np.column_stack([hand.keypoints_px, hand.depth_mm]) for hand in hands])


@pytest.mark.parametrize("name", ["interhand", "rhp", "nyu", "dexycb", "assemblyhands"])
def test_bfloat16_gives_nearly_the_joints_of_float32(name, load):
    difference = joints(load, name, precision="bfloat16") - joints(load, name)
    assert difference.any()
    # In a box of 200 px; the peaks of DetNet's heatmaps go from cell to cell.
    assert np.median(np.linalg.norm(difference[:, :2], axis=-1)) < 8


@pytest.mark.slow
@pytest.mark.no_cover  # tracing torch's compiler takes a third of the time
@pytest.mark.parametrize("name", ["interhand", "dexycb"])
def test_compiled_gives_the_same_joints(name, load):
    torch._dynamo.reset()
    np.testing.assert_allclose(joints(load, name, compiled=True), joints(load, name), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("depths", [(800.0, 900.0), 700.0])
def test_a_camera_takes_joints_into_space(depths, load):
    camera = Camera((500.0, 400.0), (160.0, 120.0), depths)
    right, left = load("interhand")(picture(), [BOX], camera=camera)[0].hands
    for hand, root_mm in zip((right, left), np.broadcast_to(depths, 2), strict=True):
        z = root_mm + hand.depth_mm
        x, y = (hand.keypoints_px[:, 0] - 160) * z / 500, (hand.keypoints_px[:, 1] - 120) * z / 400
        np.testing.assert_allclose(hand.keypoints_cam_mm, np.column_stack([x, y, z]), rtol=1e-4)
        np.testing.assert_allclose(hand.keypoints_mm, hand.keypoints_cam_mm - hand.keypoints_cam_mm[20], atol=1e-3)


def test_hands_that_are_not_there_are_left_out(tmp_path):
    """The last layer's bias alone says: a right hand with a probability of 0.9, a left one with 0.1."""
    config = DEMOS / "dfmamba_interhand_demo.py"
    option = ["model.head.presence_loss_weight=1.0", "model.test_cfg.flip_test=False"]
    state = init_model(load_config(config, option), device="cpu").state_dict()
    weight, bias = [name for name in state if "hand_presence" in name][-2:]
    state[weight], state[bias] = torch.zeros_like(state[weight]), torch.tensor([np.log(9), -np.log(9)]).float()
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "weights.pth")

    def hands(**options):
        run = HandPoseInferencer(config, tmp_path / "weights.pth", device="cpu", cfg_options=option, **options)
        return [(hand.side, round(hand.presence, 4)) for hand in run(picture(), [BOX])[0].hands]

    assert hands() == [("right", 0.9)]
    assert hands(min_presence=0.05) == [("right", 0.9), ("left", 0.1)]
    assert hands(min_presence=0.95) == []


class FixedFinder:
    """Finds the same hands in every picture: (side, score, box)."""

    def __init__(self, *hands):
        sides, scores, corners = zip(*hands, strict=True) if hands else ((), (), ())
        self.hands = FoundBoxes(np.array(corners).reshape(-1, 4), np.array(scores), np.array(sides, dtype=int))

    def find(self, pixels):
        assert pixels.shape == (240, 320, 3)
        return self.hands


def test_a_finder_says_where_to_look_and_which_hands_are_there(load):
    finder = FixedFinder((1, 0.9, (20, 20, 120, 120)), (0, 0.8, (200, 50, 300, 150)), (0, 0.4, (100, 20, 160, 110)))
    inferencer = load("interhand", finder=finder, min_presence=0.7)  # which the finder has looked at
    both, alone = inferencer(picture())[0].detections
    np.testing.assert_allclose(both.box, (20, 20, 160, 120))
    np.testing.assert_allclose(alone.box, (200, 50, 300, 150))
    expected = load("interhand")(picture(), [both.box, alone.box])[0].detections
    assert [(hand.side, hand.presence) for hand in both.hands] == [("right", 0.4), ("left", 0.4)]
    np.testing.assert_array_equal(both.hands[1].keypoints_px, expected[0].hands[1].keypoints_px)
    surer = max(expected[1].hands, key=lambda hand: hand.scores.mean())
    assert [(hand.side, hand.presence) for hand in alone.hands] == [(surer.side, 0.8)]
    np.testing.assert_array_equal(alone.hands[0].keypoints_px, surer.keypoints_px)
    given = inferencer(picture(), [BOX])[0].hands  # a box of the user's: the finder has no say
    assert [hand.presence for hand in given] == [None, None]


def test_a_finder_that_finds_nothing(load):
    nothing, hands = load("interhand", finder=FixedFinder())([picture(), picture()])
    assert nothing.detections == hands.detections == ()


def box_of(hands):
    """Return the box of all joints, 1.2 times as large, at least 48 px, inside the picture."""
    points = np.concatenate([hand.keypoints_px for hand in hands])
    middle, half = (points.min(0) + points.max(0)) / 2, np.maximum(np.ptp(points, axis=0) * 0.6, 24)
    return [*np.maximum(middle - half, 0), *np.minimum(middle + half, (320, 240))]


def test_without_a_box_the_second_look_is_at_the_joints_of_the_first(load):
    inferencer = load("interhand")
    first = inferencer(picture(), [[0, 0, 320, 240]])[0]
    again = inferencer(picture())[0]
    np.testing.assert_allclose(again.detections[0].box, box_of(first.hands), atol=0.1)


def test_frames_of_a_video_begin_at_the_joints_of_the_frame_before(load, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
    for seed in range(3):
        writer.write(picture(seed))
    writer.release()
    frames = load("interhand")(tmp_path / "v.avi")
    assert [one.picture.name for one in frames] == ["v.avi#0", "v.avi#1", "v.avi#2"]
    for before, after in pairwise(frames):
        np.testing.assert_allclose(after.detections[0].box, box_of(before.hands), atol=0.1)


def test_batches_and_boxes_of_each_picture_change_nothing(load, capsys):
    inferencer = load("interhand")
    boxes = [[BOX], np.zeros((0, 4)), [[*BOX, 0.5], [0, 0, 100, 100, 0.25]]]
    pictures = [picture(seed) for seed in range(3)]
    together = inferencer(pictures, boxes, progress=True)
    assert f"\r1 of {len(pictures)} pictures" in capsys.readouterr().err
    alone = [inferencer(one, box, batch_size=1)[0] for one, box in zip(pictures, boxes, strict=True)]
    assert [len(one.detections) for one in together] == [1, 0, 2]
    assert [one.score for one in together[2].detections] == [0.5, 0.25]
    for a, b in zip(together, alone, strict=True):
        for hand, other in zip(a.hands, b.hands, strict=True):
            np.testing.assert_allclose(hand.keypoints_px, other.keypoints_px, rtol=1e-3, atol=1e-2)
    found = inferencer(pictures, lambda pixels: [[0, 0, pixels.shape[1] / 2, 240]])
    np.testing.assert_allclose([one.detections[0].box for one in found], [[0, 0, 160, 240]] * 3)


def test_results_are_written_with_names_and_units(load, tmp_path):
    found = load("interhand")(picture(), [BOX])[0]
    content = json.loads(json.dumps(found.to_json()))
    hand = content["detections"][0]["hands"][1]
    assert (hand["side"], hand["joint_names"][20], hand["keypoints_mm"][20]) == ("left", "wrist", [0, 0, 0])
    assert hand["size_is_assumed"] is True
    assert content["units"]["depth_mm"].startswith("mm behind the root joint")
    np.testing.assert_allclose(hand["keypoints_px"], found.hands[1].keypoints_px)

    coco = found.to_coco(image_id=7, first_id=5)
    names = list(found.hands[0].joint_names)
    categories = [{"id": 1, "name": "hand", "keypoints": names, "skeleton": []}]
    (tmp_path / "coco.json").write_text(json.dumps({**coco, "categories": categories}))
    read = COCO(str(tmp_path / "coco.json"))
    assert read.getAnnIds(imgIds=[7]) == [5, 6]
    points = np.reshape(read.loadAnns(6)[0]["keypoints"], (21, 3))
    np.testing.assert_allclose(points[:, :2], found.hands[1].keypoints_px)

    path = found.save(tmp_path / "new" / "drawing.png")
    height, width = cv2.imread(str(path)).shape[:2]
    assert height > 2 * 240
    assert width > 3 * 320


WRONG = {
    "box without area": (lambda run: run(picture(), [[5, 5, 5, 50]]), "box x0, y0, x1, y1 of at least one pixel"),
    "box beside the picture": (lambda run: run(picture(), [[400, 0, 500, 50]]), "in a picture of 320x240 px"),
    "box of NaN": (lambda run: run(picture(), [[0, 0, np.nan, 50]]), "finite x0, y0, x1, y1"),
    "box of three": (lambda run: run(picture(), [[0, 0, 5]]), r"got shape \(1, 3\)"),
    "boxes of one picture for two": (lambda run: run([picture()] * 2, [BOX]), "a list with one array for each picture"),
    "boxes for three": (lambda run: run([picture()] * 2, [[BOX], [BOX, BOX], [BOX]]), "each of 2 pictures, got 3"),
    "batch of none": (lambda run: run(picture(), batch_size=0), "batch_size: expected 1 or more, got 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_in_a_call_is_one_message(case, load):
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message) as error:
        call(load("interhand"))
    assert message_for_user(error.value) is not None


def test_a_mistake_at_the_start_is_one_message(checkpoint_of, tmp_path):
    config = DEMOS / "dfmamba_interhand_demo.py"
    text = tmp_path / "text.pth"
    text.write_text("no checkpoint")
    cases = [
        ({"model": tmp_path / "none.py"}, "no such file|none.py"),
        ({"checkpoint": tmp_path / "none.pth"}, "no checkpoint"),
        ({"checkpoint": text}, "text.pth: not a whole checkpoint"),
        ({"checkpoint": checkpoint_of("rhp"), "model": DEMOS / "dfmamba_dexycb_demo.py"}, "does not fit the model"),
        ({"precision": "float8"}, "precision: expected one of float32, bfloat16, float16"),
        ({"hand_side": "both"}, "hand_side: expected right or left"),
    ]
    for arguments, message in cases:
        arguments = {"model": config, "checkpoint": checkpoint_of("interhand"), **arguments}
        with pytest.raises((ValueError, OSError), match=message) as error:
            HandPoseInferencer(arguments.pop("model"), arguments.pop("checkpoint"), **arguments)
        assert message_for_user(error.value) is not None, message


def test_the_tool_takes_a_finder_or_none(tmp_path):
    """A grey picture: only without a finder hands are found in it."""
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((240, 320, 3), 128, dtype=np.uint8))

    def call(*arguments):
        command = [ROOT / "tools" / "predict.py", tmp_path / "grey.png", "--out", tmp_path / "out", "--no-drawings"]
        return tool_process.run(*command, *arguments)

    assert "grey.png: 0 hands" in call().stdout
    assert "grey.png: 0 hands" in call("--finder", FINDER_IN_THE_BOX, "--min-presence", 0.9).stdout
    assert "grey.png: 2 hands" in call("--finder", "none").stdout
    wrong = call("--finder", "box", "--box", *BOX)
    assert wrong.returncode == 2
    assert "--box, --detector, --finder: expected one of them" in wrong.stderr


@pytest.mark.slow
def test_the_tool_writes_a_drawing_and_joints_for_each_picture(checkpoint_of, tmp_path):
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), picture(seed))
    (tmp_path / "text.jpg").write_text("no picture")
    out = tmp_path / "out"
    model = ["--config", DEMOS / "dfmamba_interhand_demo.py", "--checkpoint", checkpoint_of("interhand")]
    done = tool_process.run(ROOT / "tools" / "predict.py", tmp_path, *model, "--out", out, "--box", *BOX)
    assert done.returncode == 2, done.stderr  # the third is no picture; what came before it is kept
    assert "tools/predict.py: " in done.stderr
    assert "text.jpg: expected an image" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "00001_0.png.json",
        "00001_0.png.png",
        "00002_1.png.json",
        "00002_1.png.png",
    ]
    content = json.loads((out / "00002_1.png.json").read_text())
    assert content["picture"] == "1.png"
    assert len(content["detections"][0]["hands"]) == 2
