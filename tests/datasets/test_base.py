"""What the base class does for all data sets, on a toy one."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

from dfmamba.datasets import HandDataset
from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.files import Faults
from dfmamba.skeleton import ONE_HAND, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors


class Toy(HandDataset):
    """One sample for each line of the annotation file, which names its image; a line with a question mark is faulty."""

    METAINFO = mmpose_metainfo(ONE_HAND, "toy", joint_colors(ONE_HAND))
    TREE = "  names.txt"

    def load_annotations(self):
        path = self.require("ann_file", self.ann_file)
        index = self.index = self.open_index("toy-base", 1, [path], lambda: self.parse(path))
        return np.arange(len(index.columns["name"])), dict(index.skipped)

    def parse(self, path):
        faults, names = Faults(self.faulty), []
        for number, name in enumerate(path.read_text().split()):
            if "?" in name:
                faults.add(ValueError(f"{path}: record {number}: expected a name, got {name}"))
            else:
                names.append(name.encode())
        return AnnotationColumns({"name": np.array(names, dtype=np.bytes_)}, faults.skipped)

    def make_sample(self, row):
        name = self.index.columns["name"][row].decode()
        return {"img_path": str(Path(self.data_prefix["img"]) / name), "id": 100 + row, "values": np.arange(3)}


def load(sample):
    """As mmpose's LoadImage: an error that says nothing of the record."""
    image = cv2.imread(sample["img_path"])
    assert image is not None
    return sample | {"img": image}


NAMES = ("0.png", "1.png", "2.jpg", "3.png")


@pytest.fixture
def root(tmp_path):
    """Four images that are whole, all different."""
    (tmp_path / "images").mkdir()
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 30, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / name), pixels)
    return tmp_path


def toy(root, **arguments):
    return Toy(**{"data_root": str(root), "ann_file": "names.txt", "data_prefix": {"img": "images"},
                  "pipeline": [load], **arguments})


def damage_inside(path):
    """Change bytes of the pixels; beginning and end stay as they are."""
    content = bytearray(path.read_bytes())
    content[60:100] = bytes(40)
    path.write_bytes(content)


BREAKS = {
    "missing": (lambda path: path.unlink(), FileNotFoundError, "no such file or folder: .*the image of record 101"),
    "empty": (lambda path: path.write_bytes(b""), ValueError, "the image of record 101: .*got an empty file"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-200]), ValueError, "record 101: .*end is missing"),
    "a text": (lambda path: path.write_text("<html>"), ValueError, "the image of record 101: .*got a web page"),
    "damaged inside": (damage_inside, ValueError, "the image of record 101: .*damaged inside"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_broken_image(root, name):
    break_it, kind, message = BREAKS[name]
    path = root / "images/1.png"
    break_it(path)
    for arguments in ({}, {"test_mode": True}, {"test_mode": True, "faulty": "skip"}):
        with pytest.raises(kind, match=message) as error:
            toy(root, **arguments)[1]
        assert str(path) in str(error.value)


@pytest.mark.parametrize("name", BREAKS)
def test_another_sample_is_taken_for_a_broken_image_where_wanted(root, log, name):
    BREAKS[name][0](root / "images/1.png")
    dataset = toy(root, faulty="skip")
    for _ in range(5):
        assert dataset[1]["id"] in (100, 102, 103)
    assert dataset.image_faults.count >= 5
    assert "skipped a sample with a faulty image: " in log.text
    assert "record 101" in log.text
    assert [dataset[number]["id"] for number in (0, 2, 3)] == [100, 102, 103]


def test_all_images_broken(root):
    for name in NAMES:
        (root / "images" / name).write_bytes(b"")
    with pytest.raises(Exception, match="Cannot find valid image after 5"):
        toy(root, faulty="skip", max_refetch=5)[0]


@pytest.mark.parametrize("faulty", ["raise", "skip"])
def test_errors_of_the_pipeline_are_not_taken_for_broken_images(root, faulty):
    def fail(sample):
        raise ValueError("a fault of the transform")
    with pytest.raises(ValueError, match=r"^a fault of the transform$"):
        toy(root, pipeline=[load, fail], faulty=faulty)[1]


def test_faulty_record(root, log):
    (root / "names.txt").write_text("0.png ?.png 2.jpg")
    with pytest.raises(ValueError, match="record 1: expected a name"):
        toy(root)
    dataset = toy(root, faulty="skip")
    assert [dataset.get_data_info(number)["img_path"][-5:] for number in range(2)] == ["0.png", "2.jpg"]
    assert "Toy: 2 used, 1 skipped: faulty record 1" in log.text
    log.clear()
    toy(root, faulty="skip")  # from the index this time, which remembers the count
    assert "Toy: 2 used, 1 skipped: faulty record 1" in log.text
    with pytest.raises(ValueError, match="record 1: expected a name"):
        toy(root)  # a tolerant index does not serve a strict reader


def test_unknown_policy(root):
    with pytest.raises(ValueError, match=r"faulty: expected one of \('raise', 'skip'\), got 'ignore'"):
        toy(root, faulty="ignore")


def test_cache_dir(root, tmp_path):
    dataset = toy(root, cache_dir=str(tmp_path / "here"))
    assert dataset.index.folder.is_relative_to(tmp_path / "here")
    assert toy(root).index.folder.is_relative_to(tmp_path) is False  # that of the variable, see the root's conftest


def test_fingerprint_changes_with_the_annotations(root):
    first = toy(root).metainfo["data_source"]
    assert first == toy(root).metainfo["data_source"]
    (root / "names.txt").write_text("3.png 2.jpg 1.png 0.png")
    second = toy(root).metainfo["data_source"]
    assert first["digest"] != second["digest"]
    assert len(first["digest"]) == 16


def test_copies_and_pickles_stay_small(root):
    dataset = toy(root)
    copy = pickle.loads(pickle.dumps(dataset.get_subset([2, 3])))
    assert [copy[number]["id"] for number in range(2)] == [102, 103]
    assert copy.index.folder == dataset.index.folder
    joined = ConcatDataset([dataset, copy], ignore_keys=["data_source"])
    assert [joined[number]["id"] for number in range(6)] == [100, 101, 102, 103, 102, 103]
