"""What the base class does for all data sets, on a toy one."""

import os
import pickle
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from PIL import Image

from dfmamba.datasets import HandDataset
from dfmamba.datasets.annotation_index import AnnotationColumns
from dfmamba.datasets.record_error_policy import RecordErrorPolicy
from dfmamba.datasets.skipped_samples import IMAGE_DAMAGED, IMAGE_MISSING
from dfmamba.io.images import ImageError, ImageSizeError
from dfmamba.skeleton import ONE_HAND, mmpose_metainfo
from dfmamba.visualization.colors import joint_colors


class Toy(HandDataset):
    """One sample for each line of the annotation file, which names its image; a line with a question mark is faulty."""

    METAINFO = mmpose_metainfo(ONE_HAND, "toy", joint_colors(ONE_HAND))
    sizes = None  # those of the annotations
    EXPECTED_LAYOUT = "  names.txt"

    def load_annotations(self):
        path = self.require("ann_file", self.ann_file)
        index = self.index = self.open_index("toy-base", 1, [path], lambda: self.parse(path))
        return np.arange(len(index.columns["name"])), dict(index.skipped)

    def parse(self, path):
        faults, names = RecordErrorPolicy(self.faulty), []
        for number, name in enumerate(path.read_text().split()):
            if "?" in name:
                faults.add(ValueError(f"{path}: record {number}: expected a name, got {name}"))
            else:
                names.append(name.encode())
        return AnnotationColumns({"name": np.array(names, dtype=np.bytes_)}, faults.skipped)

    def make_sample(self, row):
        name = self.index.columns["name"][row].decode()
        sample = {"img_path": str(Path(self.data_prefix["img"]) / name), "id": 100 + row, "values": np.arange(3)}
        return sample if self.sizes is None else sample | {"image_size": np.array(self.sizes[row], dtype=np.int32)}


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
    return Toy(
        **{
            "data_root": str(root),
            "ann_file": "names.txt",
            "data_prefix": {"img": "images"},
            "pipeline": [load],
            **arguments,
        }
    )


def damage_inside(path):
    """Change bytes of the pixels; beginning and end stay as they are."""
    content = bytearray(path.read_bytes())
    content[60:100] = bytes(40)
    path.write_bytes(content)


def add_end_mark(path):
    """Half of a JPEG, with the mark of its end behind it."""
    content = cv2.imencode(".jpg", cv2.imread(str(path)))[1].tobytes()
    path.write_bytes(content[: 2 * len(content) // 3] + b"\xff\xd9")


BREAKS = {
    "half with an end mark": (add_end_mark, ValueError, "the image of record 101: .*data stop before its last block"),
    "one pixel": (
        lambda path: cv2.imwrite(str(path), np.zeros((1, 1, 3), np.uint8)),
        ValueError,
        "the image of record 101: .*at least 8 px each way, got 1 x 1",
    ),
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
    reason = IMAGE_MISSING if name == "missing" else IMAGE_DAMAGED
    assert dataset.count_skipped_samples() == {reason: 1}
    assert log.text.count("skipped a sample with a faulty image: ") == 1
    assert "record 101" in log.text
    assert [dataset[number]["id"] for number in (0, 2, 3)] == [100, 102, 103]


def test_all_images_broken(root):
    for name in NAMES:
        (root / "images" / name).write_bytes(b"")
    with pytest.raises(
        ValueError,
        match=r"expected a sample that can be used, got none in 51 tries: 4 of 4 samples "
        rf"left out: {IMAGE_DAMAGED} 4\. Look at the images",
    ):
        toy(root, faulty="skip", max_refetch=50)[0]


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


def test_fingerprint_changes_with_the_chosen_samples(root):
    """With their number alike, and however they were chosen."""

    def fingerprint(**kwargs):
        return toy(root, **kwargs).metainfo["data_source"]["fingerprint"]

    first = fingerprint(indices=[0, 1])
    assert first == fingerprint(indices=2)
    assert len({first, fingerprint(indices=-2), fingerprint(indices=[1, 0]), fingerprint(indices=[0, 2])}) == 4
    subsets = [toy(root).get_subset(chosen).metainfo["data_source"]["fingerprint"] for chosen in ([0, 1], [2, 3])]
    assert subsets[0] != subsets[1]


def test_fingerprint_is_logged_and_does_not_say_where_the_files_lie(root, tmp_path_factory, log):
    source = toy(root).metainfo["data_source"]
    assert f"Toy: data fingerprint {source['fingerprint']}" in log.text
    assert source["ann_file"] == str(root / "names.txt")
    copied = toy(shutil.copytree(root, tmp_path_factory.mktemp("elsewhere") / "copy")).metainfo["data_source"]
    assert copied["fingerprint"] == source["fingerprint"]
    assert copied["ann_file"] != source["ann_file"]


def test_no_samples_are_not_all_samples(root):
    with pytest.raises(ValueError, match=r"expected at least one sample, got none: .*indices=0"):
        toy(root, indices=0)


def test_damage_inside_an_image_is_found_where_it_is_looked_for(root):
    path = root / "images" / "1.png"
    damage_inside(path)
    dataset = toy(root)
    assert dataset.find_image_error(str(path), 101) is None
    assert isinstance(dataset.find_image_error(str(path), 101, decode=True), ImageError)
    assert dataset.find_image_error(str(root / "images" / "0.png"), 100, decode=True) is None


def test_copies_and_pickles_stay_small(root):
    dataset = toy(root)
    copy = pickle.loads(pickle.dumps(dataset.get_subset([2, 3])))
    assert [copy[number]["id"] for number in range(2)] == [102, 103]
    assert copy.index.folder == dataset.index.folder
    joined = ConcatDataset([dataset, copy], ignore_keys=["data_source"])
    assert [joined[number]["id"] for number in range(6)] == [100, 101, 102, 103, 102, 103]


# ---- sizes of images


def save_turned(path, orientation):
    """The image of (width 40, height 30) px as a JPEG that is to be turned when it is shown."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", exif=exif)


@pytest.mark.parametrize("size", [(30, 40), (0, 0)])
def test_image_of_the_annotated_or_unknown_size(root, monkeypatch, size):
    monkeypatch.setattr(Toy, "sizes", [size] * len(NAMES))
    assert toy(root)[1]["img"].shape == (40, 30, 3)
    save_turned(root / "images/1.png", 6)
    assert toy(root)[1]["img"].shape == (40, 30, 3)  # as it is loaded


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda path: cv2.imwrite(str(path), np.zeros((20, 15, 3), np.uint8)),
            "image of record 101: .*expected an image of 30 x 40 px, as annotated, got 15 x 20 px. Was it scaled",
        ),
        (
            lambda path: save_turned(path, 1),
            r"30 x 40 px, as annotated, got 40 x 30 px. Was it turned.*orientation \(1\)",
        ),
    ],
)
def test_image_of_another_size_than_annotated(root, monkeypatch, break_it, message):
    monkeypatch.setattr(Toy, "sizes", [(30, 40)] * len(NAMES))
    break_it(root / "images/1.png")
    with pytest.raises(ImageSizeError, match=message) as error:
        toy(root)[1]
    assert str(root / "images/1.png") in str(error.value)
    with pytest.raises(ImageSizeError, match=message):
        toy(root).check_images_present()
    assert toy(root, faulty="skip")[1]["id"] != 101
    assert toy(root)[0]["id"] == 100


def test_pipeline_that_gives_an_image_of_its_own_is_left_alone(root):
    """The grey that decoders put in place of missing parts is looked for in loaded images only."""
    grey = np.full((40, 30, 3), 128, dtype=np.uint8)
    dataset = toy(root, pipeline=[lambda sample: sample | {"img": grey}, lambda sample: sample])
    assert dataset[1]["img"] is grey
    assert dataset.get_data_info(1).keys() == toy(root).get_data_info(1).keys()


# ---- missing images


def remove_images(root, *numbers):
    for number in numbers:
        (root / "images" / NAMES[number]).unlink()


def test_missing_images_are_counted(root):
    remove_images(root, 1, 3)
    for look in (lambda dataset: dataset[1], lambda dataset: dataset.check_images_present()):
        with pytest.raises(
            FileNotFoundError,
            match=r"no such file or folder: .*images/1.png \(the image of record 101"
            "; 2 of 4 images are missing",
        ) as error:
            look(toy(root))
        assert "--cfg-options test_dataloader.dataset.missing_images=skip" in str(error.value)
    assert toy(root)[0]["id"] == 100


def test_samples_without_an_image_are_left_out_where_wanted(root, log):
    remove_images(root, 1, 3)
    dataset = toy(root, missing_images="skip")
    assert [dataset[number]["id"] for number in range(len(dataset))] == [100, 102]
    assert dataset.skipped == {"image missing": 2}
    assert dataset.num_records == 4
    assert "Toy: 2 used, 2 skipped: image missing 2" in log.text
    dataset.check_images_present()
    assert dataset.metainfo["data_source"]["missing_images"] == 2
    assert dataset.metainfo["data_source"]["fingerprint"] != toy(root).metainfo["data_source"]["fingerprint"]
    remove_images(root, 0)
    again = toy(root, missing_images="skip")
    assert again.metainfo["data_source"]["fingerprint"] != dataset.metainfo["data_source"]["fingerprint"]
    remove_images(root, 2)
    with pytest.raises(ValueError, match=r"expected at least one sample, got none: .*image missing 4"):
        toy(root, missing_images="skip")
    (root / "images").rename(root / "pictures")
    (root / "images").write_text("a file in place of the folder")
    with pytest.raises(ValueError, match="image missing 4"):
        toy(root, missing_images="skip")


def test_unknown_policy_for_missing_images(root):
    with pytest.raises(ValueError, match=r"missing_images: expected one of \('raise', 'skip'\), got 'ignore'"):
        toy(root, missing_images="ignore")


def test_some_headers_are_looked_at(root):
    (root / "images/3.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"the image of record 103: .*an empty file"):
        toy(root).check_images_present(2)
    toy(root).check_images_present(1)  # the first one only
    with pytest.raises(ImageError, match="record 103"):
        toy(root).check_images_present()


def test_many_images_are_found_quickly(root):
    rows = np.tile(np.arange(4), 50_000)

    class Many(Toy):
        def image_names(self, rows):
            return [NAMES[row] for row in rows.tolist()]

    remove_images(root, 1)
    start = time.perf_counter()
    present = Many(data_root=str(root), ann_file="names.txt", data_prefix={"img": "images"}).images_present(rows)
    assert time.perf_counter() - start < 2
    assert present.tolist() == [True, False, True, True] * 50_000


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipe_or_device_in_place_of_the_annotations(root, kind):
    (root / "names.txt").unlink()
    os.mkfifo(root / "names.txt") if kind == "pipe" else (root / "names.txt").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=f"names.txt: expected a file, got a {kind}"):
        toy(root)
