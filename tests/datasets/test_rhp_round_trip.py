"""Writer -> adapter -> protocol: neither side imports the other, and the raw files are read here a third time."""

import json
import pickle

import cv2
import numpy as np
import pytest

from dfmamba.datasets.rhp.dataset import RHPDataset
from dfmamba.evaluation import score_rhp
from dfmamba.geometry import back_project
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, hand_slice
from dfmamba.synthesis import rhp

pytestmark = pytest.mark.slow

# RHD's order: the left wrist, the left thumb from the tip to the base, ..., then the right hand.
OFFICIAL = {
    f"{side}_{name}": start + place
    for side, start in (("left", 0), ("right", 21))
    for place, name in enumerate(
        ["wrist", *(f"{finger}{i}" for finger in ("thumb", "index", "middle", "ring", "pinky") for i in (4, 3, 2, 1))]
    )
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small synthetic set with an image in which no joint is visible, and the counts that the writer gives."""
    root = tmp_path_factory.mktemp("rhp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rhp, "MIN_IMAGES_FOR_ODD", 1)
        patch.setattr(rhp, "HIDDEN_PLACE", 3)
        return root, rhp.write_rhp(root, {"train": 1, "test": 7}, seed=0)


@pytest.fixture(scope="module")
def frames(written):
    return pickle.loads((written[0] / "evaluation/anno_evaluation.pickle").read_bytes())


def dataset_at(root, **arguments):
    return RHPDataset(**{"split": "test", "data_root": str(root)} | arguments)


def samples_of(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def side_of(sample):
    return LEFT if sample["hand_type"][0, LEFT] else RIGHT


def test_counts(written):
    root, counts = written
    dataset = dataset_at(root)
    sides = [side_of(sample) for sample in samples_of(dataset)]
    assert sides.count(RIGHT) == counts["test", "right"] > 0
    assert sides.count(LEFT) == counts["test", "left"] > 0
    assert dataset.index.skipped == {"no hand in the mask": counts["test", "hidden"]} == {"no hand in the mask": 1}
    assert dataset_at(root, hand="most_visible").index.skipped == {"no valid joint": 1}
    assert len(dataset_at(root, split="train")) == 1


def test_joints_flags_and_camera_are_those_of_the_file(written, frames):
    for sample in samples_of(dataset_at(written[0])):
        frame = frames[sample["id"]]
        side = ("right", "left")[side_of(sample)]
        wrist = f"{side}_wrist"
        for joint, name in enumerate(TWO_HANDS.names):
            place = OFFICIAL[name]
            expected = name.startswith(side) and (frame["uv_vis"][place, 2] == 1 or name == wrist)
            assert sample["keypoints_visible"][0, joint] == expected
            if sample["keypoints_visible"][0, joint]:
                np.testing.assert_allclose(sample["keypoints_cam"][0, joint], 1000 * frame["xyz"][place], rtol=1e-5)
                np.testing.assert_allclose(sample["keypoints"][0, joint, :2], frame["uv_vis"][place, :2], atol=0.1)
        np.testing.assert_allclose(
            sample["abs_depth"][side_of(sample)], 1000 * frame["xyz"][OFFICIAL[wrist], 2], rtol=1e-5
        )
        assert sample["focal"].tolist() == [frame["K"][0, 0], frame["K"][1, 1]]
        assert (
            60
            < np.linalg.norm(1000 * (frame["xyz"][OFFICIAL[f"{side}_middle1"]] - frame["xyz"][OFFICIAL[wrist]]))
            < 110
        )


def test_hand_is_the_one_that_covers_more(written):
    root, _ = written
    for sample in samples_of(dataset_at(root)):
        mask = cv2.imread(str(root / f"evaluation/mask/{sample['id']:05d}.png"), cv2.IMREAD_UNCHANGED)
        left, right = np.isin(mask, range(2, 18)).sum(), np.isin(mask, range(18, 34)).sum()
        assert side_of(sample) == (LEFT if left > right else RIGHT)


def test_hand_with_more_visible_joints(written, frames):
    for sample in samples_of(dataset_at(written[0], hand="most_visible")):
        flags = frames[sample["id"]]["uv_vis"][:, 2]
        assert side_of(sample) == (LEFT if flags[:21].sum() > flags[21:].sum() else RIGHT)


@pytest.mark.parametrize(
    "arguments",
    [
        {"ann_file": "RHD_evaluation.json"},
        {"ann_file": "annotations/rhd_test.json", "data_prefix": {"img": ""}},
    ],
    ids=["InterNet's JSON", "mmpose's JSON"],
)
def test_json_files_give_the_same_samples(written, arguments):
    pickled, other = (samples_of(dataset_at(written[0], **options)) for options in ({}, arguments))
    assert len(pickled) == len(other) == 6
    for a, b in zip(pickled, other, strict=True):
        for key in set(a):
            if isinstance(a[key], np.ndarray):
                np.testing.assert_allclose(a[key], b[key], atol=1e-2 if key == "bbox" else 1e-3, err_msg=key)
            else:
                assert a[key] == b[key], key


def test_boxes_are_those_of_the_json(written):
    root, _ = written
    records = {
        record["id"]: record["bbox"] for record in json.loads((root / "RHD_evaluation.json").read_text())["annotations"]
    }
    for sample in samples_of(dataset_at(root)):
        x, y, w, h = records[sample["id"]]
        np.testing.assert_allclose(sample["bbox"][0], [x, y, x + w, y + h], atol=1e-2)


def test_protocol(written):
    """A perfect prediction has no error; one joint of one hand off by 3-4-0 mm gives what the definition says."""
    samples = samples_of(dataset_at(written[0]))
    gt, valid = (np.array([sample[key][0] for sample in samples]) for key in ("keypoints_cam", "keypoints_visible"))
    pred = np.array(
        [
            back_project(
                s["keypoints"][0, :, :2], s["keypoints"][0, :, 2] + s["root_depth"], s["focal"], s["principal_pt"]
            )
            for s in samples
        ]
    )
    perfect = score_rhp(pred, gt, valid).metrics
    assert perfect["EPE_rr_macro_mm"] == pytest.approx(0, abs=1e-3)
    assert perfect["EPE_palm_bonescaled_mean_mm"] == pytest.approx(0, abs=1e-2)
    assert perfect["AUC_palm_bonescaled_0_50_mm"] == pytest.approx(1, abs=0.5 / 19)  # rounding misses the point 0 mm
    assert perfect["hands"] == len(samples)
    one_hand = np.array([flags[hand_slice(side_of(sample))] for flags, sample in zip(valid, samples, strict=True)])
    number, joint = np.argwhere(one_hand[:, :20] > 0)[7]
    pred[number, joint + hand_slice(side_of(samples[number])).start] += [3, 4, 0]
    moved = score_rhp(pred, gt, valid).metrics["EPE_rr_macro_mm"]
    assert moved == pytest.approx(5 / one_hand[:, joint].sum() / 21, abs=1e-3)
