"""The joint order against the one InterHand2.6M publishes."""

import pytest

from dfmamba.skeleton import (
    FROM_DEXYCB,
    FROM_RHD,
    FROM_RHD_HAND,
    NYU_14,
    NYU_14_OF_36,
    NYU_36_NAMES,
    ONE_HAND,
    TWO_HANDS,
    inverse,
    mmpose_metainfo,
    skeleton_with,
    spread_over_joints,
)


def test_parents_are_those_of_the_official_skeleton_file():
    right = [1, 2, 3, 20, 5, 6, 7, 20, 9, 10, 11, 20, 13, 14, 15, 20, 17, 18, 19, 20, -1]
    assert list(ONE_HAND.parents) == right
    assert list(TWO_HANDS.parents) == right + [-1 if parent < 0 else parent + 21 for parent in right]


def test_names_roots_and_swap():
    assert TWO_HANDS.names[0] == "right_thumb4"
    assert TWO_HANDS.names[7] == "right_index1"
    assert TWO_HANDS.names[41] == "left_wrist"
    assert TWO_HANDS.roots == (20, 41)
    assert [TWO_HANDS.names[i] for i in TWO_HANDS.flip[:2]] == ["left_thumb4", "left_thumb3"]
    assert [TWO_HANDS.flip[i] for i in TWO_HANDS.flip] == list(range(42))
    assert TWO_HANDS.root_of_joint == (20,) * 21 + (41,) * 21
    assert len(TWO_HANDS.bones) == 40
    assert (TWO_HANDS.finger_of(25), TWO_HANDS.finger_of(41)) == ("index", "wrist")


def test_unknown_number_of_joints():
    assert [skeleton_with(number) for number in (21, 42, 14)] == [ONE_HAND, TWO_HANDS, NYU_14]
    with pytest.raises(ValueError, match=r"expected 21 .* or 14 .*, got 17"):
        skeleton_with(17)


def test_orders_of_other_data_sets_by_name():
    """The names are written down here as each data set publishes them; none comes from a permutation."""
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    dexycb = ["wrist", *(f"{finger}{number}" for finger in fingers for number in (1, 2, 3, 4))]  # base to tip
    rhd = ["wrist", *(f"{finger}{number}" for finger in fingers for number in (4, 3, 2, 1))]  # tip to base
    assert [dexycb[i] for i in FROM_DEXYCB] == list(ONE_HAND.names)
    assert [rhd[i] for i in FROM_RHD_HAND] == list(ONE_HAND.names)
    left_first = [f"{side}_{name}" for side in ("left", "right") for name in rhd]
    assert [left_first[i] for i in FROM_RHD] == list(TWO_HANDS.names)


def test_values_of_hands_for_joints():
    assert spread_over_joints((0, 3), 42) == [0] * 21 + [3] * 21
    assert spread_over_joints((0, 3), 21) == [3] * 21


def test_inverse_orders_are_those_of_the_toolkits():
    assert inverse(FROM_DEXYCB) == (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16)
    assert inverse(FROM_RHD) == (41, *range(21, 41), 20, *range(20))


def test_nyu_names():
    # the pinky's and the thumb's tip and the palm's first three, as Tompson's script names them
    assert [NYU_36_NAMES[i] for i in (0, 24, 30, 31, 32)] == ["F1_KNU3_A", "TH_KNU3_A", "PALM_1", "PALM_2", "PALM_3"]
    named = dict(zip(NYU_14.names, (NYU_36_NAMES[i] for i in NYU_14_OF_36), strict=True))
    fingers = {"pinky": "F1", "ring": "F2", "middle": "F3", "index": "F4"}
    assert named == {f"{finger}_tip": f"{short}_KNU3_A" for finger, short in fingers.items()} | {
        f"{finger}_mid": f"{short}_KNU2_B" for finger, short in fingers.items()
    } | {
        "thumb_tip": "TH_KNU3_A",
        "thumb_mid": "TH_KNU3_B",
        "thumb_root": "TH_KNU2_B",
        "wrist_back": "PALM_1",
        "wrist": "PALM_2",
        "palm": "PALM_3",
    }
    assert NYU_14.finger_of(7) == "index"
    assert [NYU_14.finger_of(i) for i in (11, 12, 13)] == ["wrist", "wrist", "palm"]
    with pytest.raises(ValueError, match="root for each hand"):
        _ = NYU_14.root_of_joint


def test_nyus_bones_go_from_the_tips_to_the_palm():
    bones = {tuple(NYU_14.names[joint] for joint in bone) for bone in NYU_14.bones}
    fingers = {(f"{finger}_tip", f"{finger}_mid") for finger in ("pinky", "ring", "middle", "index", "thumb")}
    to_palm = {
        (part, "palm")
        for part in ("pinky_mid", "ring_mid", "middle_mid", "index_mid", "thumb_root", "wrist", "wrist_back")
    }
    assert bones == fingers | {("thumb_mid", "thumb_root")} | to_palm


@pytest.mark.parametrize("skeleton", [ONE_HAND, TWO_HANDS, NYU_14], ids=["21", "42", "14"])
def test_mmpose_reads_the_metainfo(skeleton):
    pytest.importorskip("mmpose")
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    colors = [(joint, 2 * joint, 3 * joint) for joint in range(skeleton.num_joints)]
    meta = parse_pose_metainfo(mmpose_metainfo(skeleton, "mine", colors))
    assert meta["dataset_name"] == "mine"
    assert meta["num_keypoints"] == skeleton.num_joints
    assert meta["keypoint_id2name"] == dict(enumerate(skeleton.names))
    assert tuple(meta["flip_indices"]) == skeleton.flip
    assert meta["keypoint_colors"].tolist() == [list(color) for color in colors]
    assert meta["skeleton_links"] == [(parent, child) for child, parent in skeleton.bones]
    assert meta["skeleton_link_colors"].tolist() == [list(colors[child]) for child, _ in skeleton.bones]
    assert meta["dataset_keypoint_weights"].tolist() == [1] * skeleton.num_joints
    assert meta["sigmas"].tolist() == [1] * skeleton.num_joints
