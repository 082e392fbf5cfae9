"""check_data on small SYNTHETIC sets in all five layouts: whole ones pass, and what is wrong is named."""

import json
import pickle
import shutil
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import yaml
from PIL import Image

from dfmamba.cli import check_data
from dfmamba.data_tools.check import Progress, build_dataset, check_split, datasets_of
from dfmamba.data_tools.sample_checks import OK, WARNING, WRONG
from dfmamba.datasets import InterHand26MDataset
from dfmamba.engine.config import load_config
from dfmamba.engine.errors import ConfigError
from dfmamba.synthesis.output import NOTE
from dfmamba.synthesis.rhp import write_rhp

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SETS = ("interhand", "rhp", "nyu", "dexycb", "assemblyhands")  # as the configs are named
every_set = pytest.mark.parametrize("name", SETS)


@pytest.fixture
def whole(synthetic_set):
    """Return a function that gives the folder of a small set, for reading only."""
    return lambda name: synthetic_set("interhand26m" if name == "interhand" else name)


@pytest.fixture
def copied(whole, tmp_path):
    """Return a function that gives a copy of a set, which a test may damage."""
    return lambda name: shutil.copytree(whole(name), tmp_path / name)


def dataset_of(name, root, **arguments):
    """The data set that the config tests on; of RHP that of the official pickles, unless `ann_file` is given."""
    if name == "rhp":
        arguments = {"ann_file": None} | arguments
    config = load_config(ROOT / "configs" / f"dfmamba_{name}.py", {"data_root": str(root)})
    return build_dataset(next(one for names, one in datasets_of(config) if "test" in names) | arguments)


def check(name, root, num_samples=0, **arguments):
    return check_split(["test"], dataset_of(name, root, **arguments), num_samples, Progress())


def finding(report, name):
    return next(finding for finding in report.findings if finding.name == name)


def wrong(report):
    return {finding.name: finding.text for finding in report.findings if finding.level == WRONG}


@every_set
def test_a_whole_set_passes(name, whole):
    report = check(name, whole(name))
    assert [finding for finding in report.findings if finding.level != OK] == []
    assert report.synthetic
    assert report.sampled == report.used > 0
    assert report.fingerprint == report.source["fingerprint"]
    assert finding(report, "image sizes").text.startswith("as annotated: ")
    witness = "only witness" if name == "interhand" else "px apart in the median"
    assert witness in finding(report, "projection against the file").text


def test_rhp_from_internets_json(whole):
    report = check("rhp", whole("rhp"), ann_file="RHD_evaluation.json")
    assert wrong(report) == {}
    assert "px apart in the median" in finding(report, "projection against the file").text


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_pickle(path, change):
    frames = pickle.loads(path.read_bytes())
    for frame in frames.values():
        change(frame)
    path.write_bytes(pickle.dumps(frames))


def change_mat(path, change):
    arrays = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    change(arrays)
    scipy.io.savemat(path, arrays)


def scaled(nested, factor):
    return (np.asarray(nested, dtype=np.float64) * factor).tolist()


def interhand_in_metres(root):
    def joints(content):
        for frames in content.values():
            for frame in frames.values():
                frame["world_coord"] = scaled(frame["world_coord"], 1e-3)

    def cameras(content):
        for capture in content.values():
            capture["campos"] = {name: scaled(center, 1e-3) for name, center in capture["campos"].items()}

    for part, change in (("joint_3d", joints), ("camera", cameras)):
        change_json(root / f"annotations/test/InterHand2.6M_test_{part}.json", change)


def rhp_in_mm(root):
    change_pickle(root / "evaluation/anno_evaluation.pickle", lambda frame: frame.update(xyz=1000 * frame["xyz"]))


def nyu_in_metres(root):
    def change(arrays):
        arrays["joint_uvd"][..., 2] /= 1000
        arrays["joint_xyz"] /= 1000

    change_mat(root / "test/joint_data.mat", change)


def dexycb_in_mm(root):
    for path in root.glob("2*/*/*/labels_*.npz"):
        arrays = dict(np.load(path))
        np.savez(path, **arrays | {"joint_3d": np.where(arrays["joint_3d"] == -1, -1, 1000 * arrays["joint_3d"])})


def assemblyhands_in_metres(root):
    def joints(content):
        for frames in content["annotations"].values():
            for frame in frames.values():
                frame["world_coord"] = scaled(frame["world_coord"], 1e-3)

    change_json(root / "annotations/val/assemblyhands_val_joint_3d_v1-1.json", joints)


@pytest.mark.parametrize(
    ("name", "damage", "meaning"),
    [
        ("interhand", interhand_in_metres, "too small by 1000: metres where mm belong"),
        ("rhp", rhp_in_mm, "too large by 1000: mm taken for metres"),
        ("nyu", nyu_in_metres, "too small by 1000: metres where mm belong"),
        ("dexycb", dexycb_in_mm, "too large by 1000: mm taken for metres"),
        ("assemblyhands", assemblyhands_in_metres, "too small by 1000: metres where mm belong"),
    ],
)
def test_another_unit_is_named(name, damage, meaning, copied):
    root = copied(name)
    damage(root)
    problems = wrong(check(name, root))
    assert any(meaning in text for text in problems.values()), problems


def test_centimetres_are_named(copied):
    root = copied("assemblyhands")

    def joints(content):
        for frames in content["annotations"].values():
            for frame in frames.values():
                frame["world_coord"] = scaled(frame["world_coord"], 0.1)

    change_json(root / "annotations/val/assemblyhands_val_joint_3d_v1-1.json", joints)
    assert "too small by 10: centimetres where mm belong" in wrong(check("assemblyhands", root))["annotations"]


ANNOTATIONS = {
    "interhand": "annotations/test/InterHand2.6M_test_camera.json",
    "rhp": "evaluation/mask",
    "nyu": "nyu_center_test.mat",
    "dexycb": "calibration/intrinsics/932122062010_640x480.yml",
    "assemblyhands": "annotations/val/assemblyhands_val_ego_calib_v1-1.json",
}


@every_set
def test_a_missing_file_is_named(name, copied):
    root = copied(name)
    (root / ANNOTATIONS[name]).rename(root / "elsewhere")
    report = check(name, root)
    assert ANNOTATIONS[name] in wrong(report)["files"]
    assert next(path for path, is_there in report.paths.items() if not is_there).endswith(ANNOTATIONS[name])
    assert report.used is report.fingerprint is None


def first_image(name, root):
    return Path(dataset_of(name, root).get_data_info(0)["img_path"])


@every_set
def test_damaged_and_missing_images_are_found(name, whole, copied):
    root = copied(name)
    path = first_image(name, root)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert str(path) in wrong(check(name, root))["images"]
    content = cv2.imencode(".jpg", cv2.imread(str(first_image(name, whole(name)))))[1].tobytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff\xd9")  # an end mark behind half of a JPEG
    fault = "got a JPEG" if name == "nyu" else "whose data stop before its last block"
    assert fault in wrong(check(name, root))["images"]
    path.unlink()
    assert f"no such file or folder: {path}" in wrong(check(name, root))["images"]


@every_set
def test_image_that_is_loaded_as_annotated_is_right(name, copied):
    """Data behind the end, and an EXIF orientation that turns the file's pixels to what was annotated."""
    root = copied(name)
    path = first_image(name, root)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = Image.fromarray(np.rot90(cv2.imread(str(path))))
    turned.save(path, "JPEG", exif=exif)
    path.write_bytes(path.read_bytes() + bytes(3000))
    found = wrong(check(name, root))
    if name == "nyu":  # depth is read as it lies in the file, and no JPEG keeps it
        assert "got a JPEG with the orientation 6" in found["images"]
    else:
        assert not {"images", "image sizes"} & set(found)


@every_set
def test_another_image_size_is_found(name, copied):
    root = copied(name)
    path = first_image(name, root)
    image = cv2.imread(str(path))
    cv2.imwrite(str(path), image[:-8])
    assert str(path) in wrong(check(name, root))["image sizes"]


def move_interhand_cameras(root):
    def change(content):
        for capture in content.values():
            capture["princpt"] = {name: [u + 150, v] for name, (u, v) in capture["princpt"].items()}

    change_json(root / "annotations/test/InterHand2.6M_test_camera.json", change)


def lengthen_rhp_focal(root):
    change_pickle(
        root / "evaluation/anno_evaluation.pickle",
        lambda frame: frame.update(K=frame["K"] * [[1.5, 1, 1], [1, 1.5, 1], [1, 1, 1]]),
    )


def forget_that_y_is_up(root):
    change_mat(root / "test/joint_data.mat", lambda arrays: arrays.update(joint_xyz=arrays["joint_xyz"] * [1, -1, 1]))


def move_dexycb_cameras(root):
    for path in (root / "calibration/intrinsics").glob("*.yml"):
        entry = yaml.safe_load(path.read_text())
        entry["color"]["ppx"] += 60
        path.write_text(yaml.safe_dump(entry))


def move_assemblyhands_cameras(root):
    def change(content):
        for sequence in content["calibration"].values():
            sequence["intrinsics"] = {
                name: np.add(matrix, [[0, 0, 60], [0, 0, 0], [0, 0, 0]]).tolist()
                for name, matrix in sequence["intrinsics"].items()
            }

    change_json(root / "annotations/val/assemblyhands_val_ego_calib_v1-1.json", change)


@pytest.mark.parametrize(
    ("name", "damage", "where"),
    [
        ("interhand", move_interhand_cameras, "joints in boxes"),
        ("rhp", lengthen_rhp_focal, "projection against the file"),
        ("nyu", forget_that_y_is_up, "projection against the file"),
        ("dexycb", move_dexycb_cameras, "projection against the file"),
        ("assemblyhands", move_assemblyhands_cameras, "projection against the file"),
    ],
)
def test_a_wrong_camera_is_found(name, damage, where, copied):
    root = copied(name)
    damage(root)
    problems = wrong(check(name, root))
    assert where in problems
    assert "camera of this image" in problems[where]


def base_to_tip(points):
    """RHD's order, wrist first and each finger from its tip, with the fingers turned round."""
    wrist, fingers = points[:1], np.array(points[1:]).reshape(5, 4, -1)
    return [*wrist, *fingers[:, ::-1].reshape(20, -1).tolist()]


def test_another_order_of_joints_is_found(copied):
    """As in own data in RHD's layout; the points in the image have the same order, so that the projection is right."""
    root = copied("rhp")

    def change(content):
        for annotation in content["annotations"]:
            annotation.update(
                joint_cam=base_to_tip(annotation["joint_cam"]),
                joint_img=base_to_tip(annotation["joint_img"]),
                joint_valid=[1] * 21,
            )

    change_json(root / "RHD_evaluation.json", change)
    problems = wrong(check("rhp", root, ann_file="RHD_evaluation.json"))
    assert list(problems) == ["order of joints"]
    assert "Is it fingers from base to tip" in problems["order of joints"]


def test_swapped_sides_are_found(tmp_path):
    root = tmp_path / "rhp"
    write_rhp(root, {"test": 10}, seed=0)
    own = {"ann_file": "RHD_evaluation.json", "validity": "annotated"}
    assert finding(check("rhp", root, **own), "order of joints").level == OK

    def change(content):
        for annotation in content["annotations"]:
            annotation["hand_type"] = {"right": "left", "left": "right"}[annotation["hand_type"]]

    change_json(root / "RHD_evaluation.json", change)
    assert "right and left hands swapped" in wrong(check("rhp", root, **own))["order of joints"]


def test_joints_of_a_hand_that_is_not_named(copied):
    root = copied("interhand")

    def change(content):
        both = [annotation for annotation in content["annotations"] if annotation["hand_type"] == "interacting"]
        assert len(both) == 1
        both[0]["hand_type"] = "right"

    change_json(root / "annotations/test/InterHand2.6M_test_data.json", change)
    validity = finding(check("interhand", root), "validity")
    assert validity.level == WARNING
    assert "1 records have valid joints of a hand that 'hand_type' does not name" in validity.text


def test_fingerprint_belongs_to_the_data_and_not_to_the_place(whole, copied):
    first = check("rhp", whole("rhp")).fingerprint
    assert first.startswith("rhp-")
    elsewhere = copied("rhp")
    assert check("rhp", elsewhere).fingerprint == first
    assert check("rhp", elsewhere, hand="most_visible").fingerprint != first
    assert check("rhp", elsewhere, indices=[1]).fingerprint != check("rhp", elsewhere, indices=[0]).fingerprint
    change_pickle(elsewhere / "evaluation/anno_evaluation.pickle", lambda frame: frame["xyz"].__imul__(1.001))
    assert check("rhp", elsewhere).fingerprint != first


def test_counts(copied):
    root = copied("rhp")
    assert "synthetic, so not the published number" in finding(check("rhp", root), "count").text
    (root / NOTE).unlink()
    count = finding(check("rhp", root), "count")
    assert (count.level, count.text[:30]) == (WARNING, "2 records, published: 2728. Is")


def test_published_counts():
    assert sum(InterHand26MDataset.PUBLISHED_RECORDS.values()) == 2_590_347
    whole_split = build_dataset({"type": "DexYCBDataset", "split": "train", "lazy_init": True})
    part = build_dataset({"type": "DexYCBDataset", "split": "train", "sequences": [0], "lazy_init": True})
    assert (whole_split.published_records(), part.published_records()) == (465_504, None)


def test_number_of_sampled_records(whole):
    report = check("dexycb", whole("dexycb"), num_samples=3)
    assert (report.sampled, report.used) == (3, 8)


def test_datasets_of_a_config():
    repeated = {"type": "RepeatDataset", "times": 3, "dataset": {"type": "RHPDataset", "pipeline": []}}
    same = {"type": "RHPDataset", "split": "test"}
    config = {
        "train_dataloader": {"dataset": repeated},
        "val_dataloader": {"dataset": same | {"test_mode": True}},
        "test_dataloader": {"dataset": same},
    }
    lazy = {"type": "RHPDataset", "lazy_init": True}
    assert datasets_of(config) == [(["train"], lazy), (["val", "test"], lazy | {"split": "test"})]
    with pytest.raises(ConfigError, match="no train_dataloader"):
        datasets_of({})
    with pytest.raises(ConfigError, match="one of this package's data sets"):
        build_dataset({"type": "FreiHandDataset", "lazy_init": True})


def test_the_tool(copied, tmp_path, capsys):
    root = copied("assemblyhands")
    shutil.rmtree(root / "annotations" / "train")
    arguments = {
        "config": str(ROOT / "configs" / "dfmamba_assemblyhands.py"),
        "samples": 0,
        "cfg_options": [f"data_root={root}"],
        "json": tmp_path / "out" / "check.json",
    }
    assert check_data.check(Namespace(**arguments)) == 1
    printed = capsys.readouterr().out
    assert "MISSING" in printed
    assert "Something is wrong with: train" in printed
    content = json.loads(arguments["json"].read_text())
    assert content["wrong"] == ["train"]
    assert content["splits"][1]["fingerprint"] in printed
    arguments["cfg_options"].append("train_dataloader.dataset.split=val")
    assert check_data.check(Namespace(**arguments)) == 0
    assert "train, val, test: AssemblyHandsDataset" in capsys.readouterr().out


# ---- the index


@every_set
def test_damaged_index_is_rebuilt_and_told(name, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("dfmamba.datasets.index_files.CHECKED_BYTES", 0)  # as if it were too large for a look
    cache = str(tmp_path / "cache")
    before = check(name, whole(name), cache_dir=cache)
    assert finding(before, "index").level == OK
    assert "checksums agree" in finding(before, "index").text
    column = max(Path(cache).rglob("*.npy"), key=lambda path: path.stat().st_size)
    content = bytearray(column.read_bytes())
    content[-1] ^= 1
    column.chmod(0o644)
    column.write_bytes(content)
    report = check(name, whole(name), cache_dir=cache)
    assert finding(report, "index").level == WARNING
    assert f"was damaged and has been rebuilt: {column}: expected the checksum" in finding(report, "index").text
    assert report.fingerprint == before.fingerprint
    assert finding(check(name, whole(name), cache_dir=cache), "index").level == OK


def test_index_that_cannot_be_stored_or_is_damaged_meanwhile(whole, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert finding(check("rhp", whole("rhp"), cache_dir=str(tmp_path / "file")), "index").level == WARNING

    def refuse(index):
        raise ValueError(f"{index.folder}/side.npy: expected another checksum")

    monkeypatch.setattr("dfmamba.data_tools.check.verify_index", refuse)
    report = check("rhp", whole("rhp"), cache_dir=str(tmp_path / "cache"))
    assert f"Delete {tmp_path}/cache" in wrong(report)["index"]
