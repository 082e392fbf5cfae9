"""tools/score.py as a user calls it: tables, files, messages; and that it needs neither torch nor mmpose."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
import rhp_fixture
import scipy.io

import dfmamba.datasets.rhp.results as rhp_results
from dfmamba.cli import score
from dfmamba.datasets import data_set
from dfmamba.datasets.nyu.results import read_nyu_text
from dfmamba.datasets.rhp.ground_truth import read_rhp_gt
from dfmamba.evaluation import PROTOCOLS
from dfmamba.evaluation.protocol import JointTable
from dfmamba.evaluation.result_files import write_result_file
from dfmamba.geometry import NYU_COORDINATES
from dfmamba.synthesis.output import NOTE

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "score.py"


def write_files(name, folder, count=20):
    """The ground truth, and predictions with all joints but wrists and palms 3-4-0 mm off: returns their paths."""
    rng = np.random.default_rng(0)
    joints = PROTOCOLS[name].skeleton.num_joints
    steps = rng.normal(size=(count, joints, 3))
    gt = (25 * steps / np.linalg.norm(steps, axis=-1, keepdims=True)).cumsum(axis=1) + np.array([0, 0, 700])
    hands = np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)[np.arange(count) % (2 if name == "rhp" else 3)]
    valid = np.repeat(hands, 21, axis=1) if joints == 42 else np.ones((count, joints), dtype=bool)
    ids = [f"seq/{2 * n:06d}" for n in range(count)] if name == "assemblyhands" else list(range(1, count + 1))
    moved = gt.copy()
    moved[:, np.arange(joints) % 21 != 20] += [3, 4, 0]
    fields = {"hand_type": hands}
    paths = folder / f"{name}_gt", folder / f"{name}_pred"
    if name in ("interhand26m", "rhp"):
        resolve_name(f"dfmamba.datasets.{name}.results:JOINTS_JSON").write(
            paths[0], JointTable(ids, gt, valid, fields), gt=True
        )
    else:
        write_result_file(name, paths[0], JointTable(ids, gt, valid))
    write_result_file(name, paths[1], JointTable(ids, moved, valid, fields if name == "rhp" else {}))
    return paths


EXPECTED = {
    "interhand26m": {"MPJPE_rr_macro_all_mm": 5 * 40 / 42},
    "rhp": {"EPE_rr_macro_mm": 5 * 20 / 21},
    "nyu": {"mean_error_abs_mm": 5.0, "success_max_frame_10_mm": 1.0},
    "dexycb": {"MPJPE_rr_macro_mm": 5 * 20 / 21, "MPJPE_abs_macro_mm": 5 * 20 / 21},
    "assemblyhands": {"MPJPE_rr_macro_mm_per_frame": 5 * 40 / 42},
    "own_data": {"MPJPE_rr_macro_mm": 5 * 20 / 21},
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_scoring_two_files(name, tmp_path, capsys):
    gt, pred = write_files(name, tmp_path)
    score.main([name, "--pred", str(pred), "--gt", str(gt), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    protocol = PROTOCOLS[name].of_frames or PROTOCOLS[name]  # a file by frame
    assert protocol.title in printed
    assert ("official" in printed) == (name == "interhand26m" and "handedness" in printed)
    content = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert content["protocol"]["unit"].startswith("mm")
    result = content["results"][pred.name]
    for metric, value in EXPECTED[name].items():
        assert result["metrics"][metric] == pytest.approx(value, abs=1e-3)
    assert result["notes"] == []
    assert all(len(curve["thresholds_mm"]) == len(curve["fraction"]) for curve in result["curves"].values())
    assert (tmp_path / "out" / "curves.png").stat().st_size > 5000


@pytest.mark.parametrize("name", PROTOCOLS)
def test_needs_neither_torch_nor_mmpose(name, tmp_path):
    gt, pred = write_files(name, tmp_path)
    code = (
        "import runpy, sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'mmengine', 'mmcv', 'mmdet', 'mmpose', 'scipy', 'cv2']))\n"
        f"sys.argv = ['score.py', {name!r}, '--pred', {str(pred)!r}, '--gt', {str(gt)!r}, '--out', "
        f"{str(tmp_path / 'out')!r}]\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/projects{os.pathsep}{ROOT}/tools"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "curves.png").is_file()


def test_rhds_own_annotation_without_masks(tmp_path, capsys):
    """The message that asks for masks names the option that goes without them, and the tool has it."""
    frames = {number: rhp_fixture.frame(21, 4) for number in range(3)}
    path = rhp_fixture.write_rhp(tmp_path, frames)
    shutil.rmtree(path.parent / "mask")
    _, pred = write_files("rhp", tmp_path, count=3)
    assert "tools/score.py --hand most_visible" in run_with_error(capsys, "rhp", "--pred", pred, "--gt", path)
    gt = tmp_path / "gt.json"
    rhp_results.JOINTS_JSON.write(gt, read_rhp_gt(path, hand="most_visible"), gt=True)
    score.main(["rhp", "--pred", str(gt), "--gt", str(path), "--hand", "most_visible", "--out", str(tmp_path)])
    metrics = json.loads((tmp_path / "scores.json").read_text())["results"]["gt"]["metrics"]
    assert metrics["hands"] == metrics["hands_hand3d"] == 3
    assert metrics["EPE_hand3d_mean_mm"] == pytest.approx(0, abs=1e-3)


def test_nyu_in_other_coordinates(tmp_path, capsys):
    """x y z with y up: a doubt first, then with the option the same numbers as u v d; a .mat file needs no option."""
    gt, pred = write_files("nyu", tmp_path)
    joints = read_nyu_text(pred).joints_mm * [1, -1, 1]
    other = tmp_path / "space.txt"
    other.write_text("".join(" ".join(map(str, row)) + "\n" for row in joints.reshape(len(joints), -1)))
    scipy.io.savemat(tmp_path / "matlab.mat", {"xyz_estimation": joints})
    arguments = ["nyu", "--gt", str(gt), "--out", str(tmp_path / "out"), "--pred"]

    def mean_error(*more):
        score.main([*arguments, *map(str, more)])
        (result,) = json.loads((tmp_path / "out" / "scores.json").read_text())["results"].values()
        return result["metrics"]["mean_error_abs_mm"]

    assert mean_error(pred) == pytest.approx(5, abs=1e-3)
    assert mean_error(other) > 300
    assert "NOTE" in (printed := capsys.readouterr().out)
    assert "x, y, z in mm with y up 5.0 mm. For that, say --coordinates xyz" in printed
    assert mean_error(other, "--coordinates", "xyz") == pytest.approx(5, abs=1e-3)
    assert mean_error(tmp_path / "matlab.mat") == pytest.approx(5, abs=1e-3)
    assert "NOTE" not in capsys.readouterr().out
    assert "unrecognized arguments: --coordinates" in run_with_error(
        capsys, "dexycb", "--pred", pred, "--gt", gt, "--coordinates", "xyz"
    )


def test_several_results_come_into_one_picture(tmp_path, capsys):
    gt, pred = write_files("dexycb", tmp_path)
    score.main(["dexycb", "--root-relative", "--pred", str(pred), str(gt), "--gt", str(gt), "--out", str(tmp_path)])
    content = json.loads((tmp_path / "scores.json").read_text())
    assert list(content["results"]) == ["dexycb_pred", "dexycb_gt"]
    assert content["results"]["dexycb_gt"]["metrics"]["MPJPE_rr_macro_mm"] == pytest.approx(0, abs=1e-9)
    assert "MPJPE_abs_macro_mm" not in content["results"]["dexycb_pred"]["metrics"]


def test_synthetic_data_is_named(tmp_path, capsys):
    gt, pred = write_files("nyu", tmp_path)
    arguments = ["nyu", "--pred", str(pred), "--gt", str(gt), "--out", str(tmp_path / "out")]
    score.main(arguments)
    assert "SYNTHETIC" not in capsys.readouterr().out
    (tmp_path / NOTE).write_text("made up")
    score.main(arguments)
    assert capsys.readouterr().out.startswith("SYNTHETIC data: not comparable with published results\n")
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["synthetic"] is True


def run_with_error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        score.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_users_mistake_is_one_message(tmp_path, capsys):
    gt, pred = write_files("nyu", tmp_path)
    short = tmp_path / "short"
    short.write_text("".join(pred.read_text().splitlines(keepends=True)[:-3]))
    message = run_with_error(capsys, "nyu", "--pred", short, "--gt", gt)
    assert message == (
        f"tools/score.py: {short}: 3 of 20 samples of {gt} missing: 18, 19, 20. To score what both "
        "files have, say so (--partial)\n"
    )
    short.write_text(pred.read_text()[:-30])
    message = run_with_error(capsys, "nyu", "--pred", short, "--gt", gt)
    assert message.startswith(f"tools/score.py: {short}: line 20: expected 42 numbers, got 3")
    assert len(message.splitlines()) == 1
    assert "no such file or folder" in run_with_error(capsys, "nyu", "--pred", pred, "--gt", tmp_path / "none")
    assert "unrecognized arguments: --root-relative" in run_with_error(
        capsys, "nyu", "--pred", pred, "--gt", gt, "--root-relative"
    )
    assert "different names" in run_with_error(capsys, "nyu", "--pred", pred, pred, "--gt", gt)
    gt, pred = write_files("interhand26m", tmp_path)
    _, other = write_files("rhp", tmp_path)
    assert "expected 'protocol' 'interhand26m', got 'rhp'" in run_with_error(
        capsys, "interhand26m", "--pred", other, "--gt", gt
    )
    assert "_pred: expected a ground truth, with 'hand_type' for each sample, got a file without" in run_with_error(
        capsys, "interhand26m", "--pred", pred, "--gt", pred
    )


def test_partial_says_what_is_left_out(tmp_path, capsys):
    gt, pred = write_files("nyu", tmp_path)
    pred.write_text("".join(pred.read_text().splitlines(keepends=True)[:-3]))
    score.main(["nyu", "--pred", str(pred), "--gt", str(gt), "--out", str(tmp_path / "out"), "--partial"])
    assert f"NOTE: left out: {pred}: 3 of 20 samples" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "scores.json").read_text())["results"]["nyu_pred"]
    assert len(result["notes"]) == 1
    assert result["metrics"]["frames"] == 17


def test_coordinates_are_those_of_the_package():
    (option,) = data_set("nyu").pred_options
    assert option.choices == tuple(NYU_COORDINATES)
