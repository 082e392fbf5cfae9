"""Result files: what is written comes back, real lines are understood, broken ones are refused by line or record."""

import json
from dataclasses import replace

import numpy as np
import pytest

import dfmamba.datasets.interhand26m.results as interhand26m_results
from dfmamba.datasets.dexycb.results import read_dexycb_text
from dfmamba.datasets.nyu.results import read_nyu_text
from dfmamba.errors import DataError
from dfmamba.evaluation import PROTOCOLS
from dfmamba.evaluation.joints_json import is_joints_json
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import read_result_file, write_result_file
from dfmamba.skeleton import HAND_JOINTS, NYU_14


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make_table(name, rng, count=5):
    """Predictions of a data set, as its metric has them."""
    joints = rng.normal(scale=50, size=(count, PROTOCOLS[name].skeleton.num_joints, 3)) + np.array([0, 0, 700])
    valid = np.ones(joints.shape[:2], dtype=bool)
    if name == "rhp":
        hands = np.eye(2, dtype=bool)[np.arange(count) % 2]
        valid = np.repeat(hands, 21, axis=1)
        return JointTable(range(10, 10 + count), np.where(valid[..., None], joints, 0), valid, {"hand_type": hands})
    if name == "interhand26m":
        fields = {"handedness": rng.random((count, 2)), "roots_mm": joints[:, [20, 41]]}
        return JointTable(range(10, 10 + count), joints, valid, fields)
    if name == "assemblyhands":
        valid[1, :21] = False
        ids = [f"nusar-2021_action/{2 * number:06d}" for number in range(count)]
        return JointTable(ids, np.where(valid[..., None], joints, 0), valid)
    return JointTable(range(1, 1 + count), joints, valid)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_is_written_comes_back(name, rng, tmp_path):
    table, path = make_table(name, rng), tmp_path / "new" / "file"
    write_result_file(name, path, table)
    back = read_result_file(name, path)
    assert list(back.ids) == list(table.ids)
    np.testing.assert_allclose(back.joints_mm, table.joints_mm, atol=2e-4)  # four digits, NYU's in px and mm
    assert (back.valid == table.valid).all()
    assert set(back.fields) == set(table.fields)
    for field, values in table.fields.items():
        np.testing.assert_allclose(back.fields[field], values, atol=1e-4)
    again = tmp_path / "again"
    write_result_file(name, again, back)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_nan_is_not_written(name, rng, tmp_path):
    table = make_table(name, rng)
    table.joints_mm[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"file: expected finite joints, got 1 samples with NaN or infinity, such as"):
        write_result_file(name, tmp_path / "file", table)
    assert not (tmp_path / "file").exists()


# ---- text


def nyu_line(frame, name="", count=14):
    return name + " ".join(f"{320 + joint + frame}.5 {240 - joint} {700 + joint}" for joint in range(count))


def test_nyu_by_hand(tmp_path):
    """At the principal point x and y are 0; y is down, as v: NYU's own xyz would have -10 here."""
    path = tmp_path / "nyu.txt"
    uvd = np.tile([320.0, 240.0, 600.0], (14, 1))
    uvd[2] = 320 + 588.03 / 10, 240, 500  # a tenth of the depth to the right
    uvd[3] = 320, 240 + 587.07 / 50, 500  # a fiftieth downwards
    path.write_text(" ".join(map(str, uvd.reshape(-1))) + "\n")
    joints = read_nyu_text(path).joints_mm[0]
    np.testing.assert_allclose(joints[[0, 2, 3]], [[0, 0, 600], [50, 0, 500], [0, 10, 500]], atol=1e-9)
    assert NYU_14.names[2:4] == ("ring_tip", "ring_mid")


def test_nyu_depths_are_above_0(tmp_path):
    path = tmp_path / "nyu.txt"
    path.write_text(nyu_line(0).replace("700", "0.5") + "\n")
    assert read_nyu_text(path).joints_mm[0, 0, 2] == 0.5
    path.write_text(nyu_line(0).replace("700", "-0.5") + "\n")
    with pytest.raises(DataError, match=r"line 1: expected u v d with depths above 0 mm, got -0.5"):
        read_nyu_text(path)
    with pytest.raises(DataError, match="line 1: expected x y z with depths above 0 mm"):
        read_nyu_text(path, "xyz-y-down")


@pytest.mark.parametrize("name", ["nyu", "dexycb"])
def test_tables_are_written_whole(name, rng, tmp_path):
    table = make_table(name, rng)
    with pytest.raises((ValueError, IndexError)):
        write_result_file(name, tmp_path / "file", replace(table, joints_mm=table.joints_mm[:3]))


def test_nyu_frames_by_line_or_by_name(tmp_path):
    path = tmp_path / "nyu.txt"
    path.write_text(f"{nyu_line(0)}\n{nyu_line(1)}\n\n")
    assert read_nyu_text(path).ids == [1, 2]
    path.write_text(f"{nyu_line(0, 'depth_1_0000007.png ')}\n{nyu_line(1, 'test/depth_1_0002440.png ')}\n")
    assert read_nyu_text(path).ids == [7, 2440]


def test_nyu_frame_numbers_in_front(tmp_path):
    """From 1, in any order; from 0 only where they number the lines; a first u is none, for it has decimals."""
    path = tmp_path / "nyu.txt"
    path.write_text(f"{nyu_line(0, '7 ')}\n{nyu_line(1, '0000002440, ')}\n")
    table = read_nyu_text(path)
    assert table.ids == [7, 2440]
    plain = tmp_path / "plain.txt"
    plain.write_text(f"{nyu_line(0)}\n{nyu_line(1)}\n")
    np.testing.assert_array_equal(table.joints_mm, read_nyu_text(plain).joints_mm)
    path.write_text(f"{nyu_line(0, '0 ')}\n{nyu_line(1, '1 ')}\n")
    assert read_nyu_text(path).ids == [1, 2]
    path.write_text(f"{nyu_line(0, '1 ')}\n{nyu_line(1, '0 ')}\n")
    with pytest.raises(DataError, match=r"nyu.txt: line 2: expected frame numbers from 1, or 0, 1, 2, ... in order, "):
        read_nyu_text(path)
    path.write_text(f"{nyu_line(0, '1 ')}\n{nyu_line(1)}\n")
    with pytest.raises(DataError, match="line 2: expected an image name, or the number of a frame, in front in all"):
        read_nyu_text(path)
    path.write_text(f"{nyu_line(0, '4 ')}\n{nyu_line(1, '4 ')}\n")
    with pytest.raises(DataError, match="line 2: expected each id once, and 4 is in line 1"):
        read_nyu_text(path)


@pytest.mark.parametrize(
    ("coordinates", "expected"),
    [("xyz", [[-50, -10, 500], [30, 20, 600]]), ("xyz-y-down", [[-50, 10, 500], [30, -20, 600]])],
)
def test_nyu_in_space_by_hand(coordinates, expected, tmp_path):
    path = tmp_path / "nyu.txt"
    path.write_text("depth_1_0000001.png\t-50.0\t10.0\t500.0" + "\t30.0\t-20.0\t600.0" * 13 + "\n")
    table = read_nyu_text(path, coordinates)
    assert table.joints_mm[0, :2].tolist() == expected
    assert table.fields["coordinates"].tolist() == [coordinates]
    write_result_file("nyu", tmp_path / "uvd.txt", table)  # in everybody's way
    np.testing.assert_allclose(read_nyu_text(tmp_path / "uvd.txt").joints_mm, table.joints_mm, atol=2e-4)


def test_nyu_names_are_written_where_frames_are_missing(rng, tmp_path):
    table = make_table("nyu", rng).rows([3, 1])
    write_result_file("nyu", tmp_path / "file", table)
    assert (tmp_path / "file").read_text().startswith("depth_1_0000002.png ")
    back = read_nyu_text(tmp_path / "file")
    assert back.ids == [2, 4]
    np.testing.assert_allclose(back.joints_mm, table.joints_mm[::-1], atol=2e-4)
    with pytest.raises(ValueError, match="expected each frame once, got frame 4 again"):
        write_result_file("nyu", tmp_path / "file", table.rows([0, 0]))
    for depth in (-5.0, 0.0):
        table.joints_mm[0, 0, 2] = depth
        with pytest.raises(ValueError, match=f"joints in front of the camera, got a depth of {depth} mm"):
            write_result_file("nyu", tmp_path / "file", table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (nyu_line(0) + "\n" + nyu_line(1)[:-40], r"nyu.txt: line 2: expected 42 numbers, got .*cut short"),
        (nyu_line(0) + " 5", r"line 1: expected 42 numbers, got 43$"),
        (
            nyu_line(0).replace("321.5", "nan"),
            r"line 1: expected 42 finite numbers in plain digits, got 'nan' as number 4",
        ),
        (nyu_line(0).replace("321.5", "x"), r"line 1: expected 42 finite numbers in plain digits, got 'x' as number 4"),
        (nyu_line(0).replace("700", "0"), r"line 1: expected u v d with depths above 0 mm, got 0"),
        (nyu_line(0) + "\n" + nyu_line(0, "a_2.png "), r"line 2: expected an image name, or the number of a frame, in"),
        (
            nyu_line(0, "a_2.png ") + "\n" + nyu_line(0, "b_2.png "),
            r"line 2: expected each id once, and 2 is in line 1",
        ),
        (nyu_line(0, "depth.png "), r"line 1: expected an image name with a frame number"),
        (nyu_line(0) + "\n\n" + nyu_line(0), r"line 2: expected numbers, got an empty line"),
        ("", r"line 1: expected numbers, got an empty file"),
        ("\n\n", r"line 1: expected numbers, got an empty file"),
        (nyu_line(0, count=21), r"line 1: expected 42 numbers, got 63"),
        (nyu_line(0).encode() + b"\n\xff\xfe\xff", r"expected a text file, got bytes that are no text"),
    ],
)
def test_broken_nyu_files(text, message, tmp_path):
    path = tmp_path / "nyu.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        read_nyu_text(path)


def dexycb_line(image_id, values=None):
    return ",".join(map(str, [image_id, *(range(63) if values is None else values)]))


def test_dexycb_by_hand(tmp_path):
    """The wrist first, then the thumb from its base to its tip: canonical order has it the other way round."""
    path = tmp_path / "dexycb.txt"
    path.write_text(f"{dexycb_line(12)}\n{dexycb_line(3, [-1] * 63)}\n{dexycb_line(7)}\n")
    table = read_dexycb_text(path)
    assert table.ids == [12, 7]  # -1 everywhere: no hand
    assert table.joints_mm[0, HAND_JOINTS.index("wrist")].tolist() == [0, 1, 2]
    assert table.joints_mm[0, HAND_JOINTS.index("thumb1")].tolist() == [3, 4, 5]
    assert table.joints_mm[0, HAND_JOINTS.index("thumb4")].tolist() == [12, 13, 14]
    assert table.joints_mm[0, HAND_JOINTS.index("pinky4")].tolist() == [60, 61, 62]


def test_dexycb_with_blanks(tmp_path):
    """The toolkit splits at commas and lets Python's int and float see to the rest: blanks around do not matter."""
    plain, blank = tmp_path / "plain.txt", tmp_path / "blank.txt"
    plain.write_text(f"{dexycb_line(3)}\n")
    blank.write_text(f"{dexycb_line(3).replace(',', ', ')} \n")
    tables = [read_dexycb_text(path) for path in (plain, blank)]
    assert tables[0].ids == tables[1].ids
    np.testing.assert_array_equal(tables[0].joints_mm, tables[1].joints_mm)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            dexycb_line(1) + "\n" + dexycb_line(2)[:-9],
            r"dexycb.txt: line 2: expected 64 numbers, got 6\d\. Is the file",
        ),
        (dexycb_line(1) + ",7", r"line 1: expected 64 numbers, got 65$"),
        (dexycb_line(1).replace(",", " "), r"line 1: expected 64 numbers, got 1\. "),
        (dexycb_line(1, ["inf"] * 63), r"line 1: expected 64 finite numbers in plain digits, got 'inf' as number 2"),
        (dexycb_line(1, [""] * 63), r"line 1: expected 64 finite numbers in plain digits, got '' as number 2"),
        (dexycb_line("a"), r"line 1: expected 64 finite numbers in plain digits, got 'a' as number 1"),
        (dexycb_line(1.5), r"line 1: expected a whole number, 0 or more, as image id, got 1\.5"),
        (dexycb_line(-3), r"expected a whole number, 0 or more"),
        (dexycb_line(4) + "\n" + dexycb_line(4), r"line 2: expected each id once, and 4 is in line 1, got 4 again"),
        ("", r"got an empty file"),
    ],
)
def test_broken_dexycb_files(text, message, tmp_path):
    path = tmp_path / "dexycb.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dexycb_text(path)


# ---- our JSON


def test_the_gt_of_interhand26m_comes_back(rng, tmp_path):
    table = make_table("interhand26m", rng, count=4)
    hand_type = np.array([[1, 0], [0, 1], [1, 1], [1, 1]], dtype=bool)
    gt = JointTable(
        table.ids,
        table.joints_mm,
        rng.random((4, 42)) < 0.8,
        {"hand_type": hand_type, "hand_type_valid": np.array([1, 1, 0, 1], dtype=bool)},
    )
    interhand26m_results.JOINTS_JSON.write(tmp_path / "gt.json", gt, gt=True)
    back = read_result_file("interhand26m", tmp_path / "gt.json")
    assert (back.valid == gt.valid).all()
    assert (back.fields["hand_type"] == hand_type).all()
    assert back.fields["hand_type_valid"].tolist() == [True, True, False, True]
    assert is_joints_json(tmp_path / "gt.json")
    assert not is_joints_json(tmp_path)


def test_rhp_keeps_only_the_hand_that_it_names(rng, tmp_path):
    write_result_file("rhp", tmp_path / "x.json", make_table("rhp", rng, count=2))
    content = json.loads((tmp_path / "x.json").read_text())
    assert [sample["hand"] for sample in content["samples"]] == ["right", "left"]
    assert np.shape(content["samples"][1]["joints"]) == (21, 3)
    assert content["joints"] == list(HAND_JOINTS)
    table = read_result_file("rhp", tmp_path / "x.json")
    assert table.valid.sum(axis=1).tolist() == [21, 21]
    assert table.valid[1, 21:].all()


def test_optional_entries_may_be_there_for_some(rng, tmp_path):
    path = tmp_path / "x.json"
    write_result_file("interhand26m", path, make_table("interhand26m", rng, count=3))
    content = json.loads(path.read_text())
    del content["samples"][1]["roots"]
    path.write_text(json.dumps(content))
    roots = read_result_file("interhand26m", path).fields["roots_mm"]
    assert np.isnan(roots[1]).all()
    assert np.isfinite(roots[[0, 2]]).all()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("format",), "coco", "-: expected 'format' 'dfmamba joints', got 'coco'"),
        (("version",), 2, "expected 'version' 1, got 2"),
        (("unit",), "m", "expected 'unit' 'mm', got 'm'"),
        (("protocol",), "interhand26m", "expected 'protocol' 'rhp', got 'interhand26m'"),
        (("joints",), list(HAND_JOINTS)[::-1], r"expected 'joints' \['thumb4', "),
        (("joints",), [1, 2], r"expected 'joints' \['thumb4', "),
        (("samples",), [], "expected a list 'samples' that is not empty"),
        (("samples", 1), 5, "sample number 1: expected a dictionary with an 'id'"),
        (("samples", 1, "id"), None, "sample number 1: expected a dictionary with an 'id'"),
        (
            ("samples", 1, "id"),
            10,
            "sample number 1: expected each id once, and 10 is in sample number 0, got 10 again",
        ),
        (("samples", 1, "hand"), "both", r"sample 11: expected a 'hand' among \('right', 'left'\), got 'both'"),
        (("samples", 1, "joints"), None, "sample 11: expected finite numbers of shape"),
        (
            ("samples", 1, "joints"),
            [[0, 0, 0]] * 20,
            r"sample 11: .* of shape \(21, 3\) for 'joints', got shape \(20, 3\)",
        ),
        (("samples", 1, "joints", 4), [0, 0], r"sample 11: expected finite numbers of shape \(21, 3\) for 'joints'"),
        (("samples", 1, "joints", 4), [0, 0, float("nan")], "sample 11: .* for 'joints', got 1 that are not, "),
        (
            ("samples", 1, "valid"),
            [1] * 42,
            r"sample 11: expected 0 and 1 of shape \(21,\) for 'valid', got shape \(42,\)",
        ),
    ],
)
def test_broken_files_of_ours(place, value, message, rng, tmp_path):
    path = tmp_path / "x.json"
    write_result_file("rhp", path, make_table("rhp", rng, count=3))
    content = json.loads(path.read_text())
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_result_file("rhp", path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("handedness", [0.5], r"sample 10: expected finite numbers of shape \(2,\) for 'handedness'"),
        ("roots", [1, 2, 3], r"sample 10: expected finite numbers of shape \(2, 3\) for 'roots'"),
        (
            "hand_type",
            "both",
            r"sample 10: expected a 'hand_type' among \['right', 'left', 'interacting'\], got 'both'",
        ),
    ],
)
def test_broken_entries_of_interhand26m(key, value, message, rng, tmp_path):
    path = tmp_path / "x.json"
    write_result_file("interhand26m", path, make_table("interhand26m", rng, count=2))
    content = json.loads(path.read_text())
    content["samples"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_result_file("interhand26m", path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("handedness", [7, -3], r"sample 10: expected 'handedness' .* from 0 to 1, got \[7, -3\]"),
        (
            "handedness",
            [True, False],
            "sample 10: expected finite numbers .* for 'handedness', got 'True', true or false",
        ),
        (
            "joints",
            [[True, 1, 1]] * 42,
            "sample 10: expected finite numbers .* for 'joints', got 'True', true or false",
        ),
        ("joints", [["1", 1, 1]] * 42, "sample 10: .* got '1', a text"),
        ("joints", [[1e308, 1, 1]] * 42, r"sample 10: .* got 42 that are not, such as 1e\+308"),
        ("joints", [[10**400, 1, 1]] * 42, "sample 10: .* got a number of more than 300 digits"),
        ("joints", [[[1, 1, 1]]] * 42, r"sample 10: .* got shape \(42, 1, 3\)"),
        ("valid", [2] * 42, "sample 10: expected 0 and 1 for 'valid', got 2"),
        ("valid", [0.5] * 42, "sample 10: expected 0 and 1 for 'valid', got 0.5"),
        ("id", True, "sample number 0: expected a dictionary with an 'id'"),
        ("id", 10.0, "sample number 0: expected a dictionary with an 'id'"),
        ("hand_type", ["right"], "sample 10: expected a 'hand_type' among"),
    ],
)
def test_values_of_another_kind_are_refused(key, value, message, rng, tmp_path):
    path = tmp_path / "x.json"
    write_result_file("interhand26m", path, make_table("interhand26m", rng, count=2))
    content = json.loads(path.read_text())
    content["samples"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_result_file("interhand26m", path)


def test_a_mask_may_be_of_gt_values(rng, tmp_path):
    path = tmp_path / "x.json"
    write_result_file("interhand26m", path, make_table("interhand26m", rng, count=1))
    content = json.loads(path.read_text())
    content["samples"][0]["valid"] = [True] * 40 + [False] * 2
    path.write_text(json.dumps(content))
    assert read_result_file("interhand26m", path).valid.sum() == 40


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("change", [lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b"\n", b"\r\n")])
def test_marks_and_line_ends_of_windows_are_read(name, change, rng, tmp_path):
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    write_result_file(name, plain, make_table(name, rng, count=3))
    odd.write_bytes(change(plain.read_bytes()))
    assert odd.read_bytes() != plain.read_bytes()
    tables = [read_result_file(name, path) for path in (plain, odd)]
    assert tables[0].ids == tables[1].ids
    np.testing.assert_array_equal(tables[0].joints_mm, tables[1].joints_mm)


@pytest.mark.parametrize("name", ["nyu", "dexycb"])
@pytest.mark.parametrize("odd", ["1_000", "\u0661", "\uff11", "1e308", "1+2j", "0x10"])
def test_odd_numbers_in_texts_are_refused(name, odd, rng, tmp_path):
    path = tmp_path / "x.txt"
    write_result_file(name, path, make_table(name, rng, count=2))
    lines = path.read_text().splitlines()
    separator = "," if name == "dexycb" else " "
    words = lines[1].split(separator)
    words[-1] = odd
    path.write_text("\n".join([lines[0], separator.join(words)]) + "\n")
    with pytest.raises(DataError, match=rf"x.txt: line 2: expected \d+ finite numbers .* as number {len(words)}"):
        read_result_file(name, path)


def test_a_file_that_is_cut_short(rng, tmp_path):
    path = tmp_path / "x.json"
    write_result_file("rhp", path, make_table("rhp", rng))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=r"x\.json: expected a complete JSON file, got an error: .*Is the file cut short"
    ):
        read_result_file("rhp", path)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_missing_file(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_result_file(name, tmp_path / "none")
