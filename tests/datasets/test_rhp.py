import numpy as np
import pytest
from rhp_fixture import write_rhp

from dfmamba.datasets.rhp import RHPDataset
from dfmamba.skeleton import LEFT, RIGHT, TWO_HANDS, hand_slice


@pytest.fixture
def rhp_root(tmp_path):
    """A folder in the official layout, with the split `test`."""
    write_rhp(tmp_path)
    return tmp_path


def dataset_at(root, **arguments):
    return RHPDataset(**{"split": "test", "data_root": str(root)} | arguments)


# ---- the samples


def test_sample_against_numbers_worked_out_by_hand(rhp_root):
    sample = dataset_at(rhp_root).get_data_info(0)  # the right hand of frame 0
    assert sample["keypoints"].shape == sample["keypoints_cam"].shape == (1, 42, 3)
    wrist, tip, base = (TWO_HANDS.names.index(f"right_{name}") for name in ("wrist", "index4", "pinky1"))
    np.testing.assert_allclose(sample["keypoints_cam"][0, [wrist, tip, base]],
                               [[100, 20, 800], [80, -60, 801], [140, 0, 804]], atol=1e-4)
    np.testing.assert_allclose(
        sample["keypoints"][0, [wrist, tip, base]],
        [[160 + 250 * 100 / 800, 150 + 300 * 20 / 800, 0], [160 + 250 * 80 / 801, 150 - 300 * 60 / 801, 1],
         [160 + 250 * 140 / 804, 150, 4]], atol=1e-4)
    assert not sample["keypoints_cam"][0, hand_slice(LEFT)].any()
    assert not sample["keypoints"][0, hand_slice(LEFT)].any()
    assert sample["keypoints_visible"][0].tolist() == [1] * 21 + [0] * 21
    assert sample["root_depth"].tolist() == [800] * 21 + [0] * 21
    assert sample["abs_depth"].tolist() == [800, 0]
    assert sample["hand_type"].tolist() == [[1, 0]]
    assert sample["hand_type_valid"].tolist() == [1]
    assert sample["rel_root_valid"].tolist() == sample["rel_root_depth"].tolist() == [0]
    assert sample["focal"].tolist() == [250, 300]
    assert sample["principal_pt"].tolist() == [160, 150]
    assert sample["img_path"] == str(rhp_root / "evaluation/color/00000.png")
    expected = {"id": 0, "img_id": 0, "seq_name": "evaluation", "camera": "", "capture": 0, "subject": 0,
                "frame_idx": 0, "rotation": 0, "dataset_name": "rhp", "sample_idx": 0}
    assert {key: sample[key] for key in expected} == expected


def test_left_hand_is_in_the_second_block(rhp_root):
    sample = dataset_at(rhp_root).get_data_info(1)
    wrist = TWO_HANDS.names.index("left_wrist")
    np.testing.assert_allclose(sample["keypoints_cam"][0, wrist], [-100, 0, 500], atol=1e-4)
    assert not sample["keypoints_cam"][0, hand_slice(RIGHT)].any()
    assert sample["keypoints_visible"][0].tolist() == [0] * 21 + [1] * 21
    assert sample["root_depth"].tolist() == [0] * 21 + [500] * 21
    assert sample["abs_depth"].tolist() == [0, 500]
    assert sample["hand_type"].tolist() == [[0, 1]]
