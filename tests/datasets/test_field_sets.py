"""Small odd data sets as people have them, in InterHand2.6M's layout: written here, or beside the clone."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from interhand_fixture import contents, write_annotations, write_images

from dfmamba.datasets import InterHand26MDataset, InterHand26MHandsDataset

FIELD = Path(__file__).parents[3] / "shared" / "field"
IDS = [11, 12, 13, 14]  # of the fixture's samples


def open_set(root, **arguments):
    return InterHand26MDataset(
        **{
            "split": "test",
            "data_root": str(root),
            "test_mode": True,
            "pipeline": [{"type": "mmpose.LoadImage"}],
            **arguments,
        }
    )


def annotation_files(root):
    return sorted((root / "annotations/test").glob("*.json"))


def image_files(root):
    return sorted(path for path in (root / "images").rglob("image*") if path.is_file())


def same_samples(first, second, but=()):
    """Compare all that two data sets give, but for paths."""
    assert len(first) == len(second)
    for number in range(len(first)):
        samples = first[number], second[number]
        assert samples[0].keys() == samples[1].keys()
        for key, value in samples[0].items():
            if key not in ("img_path", *but):
                np.testing.assert_equal(samples[1][key], value, err_msg=key)


@pytest.fixture
def plain(tmp_path):
    """The set without anything odd, as a data set, and a folder with a copy to change."""
    for name in ("plain", "odd"):
        write_annotations(tmp_path / name, contents())
        write_images(tmp_path / name, contents())
    dataset = open_set(tmp_path / "plain")
    assert [sample["id"] for sample in dataset] == IDS
    return dataset, tmp_path / "odd"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark(plain, encoding):
    dataset, root = plain
    for path in annotation_files(root):
        path.write_text(path.read_text(), encoding=encoding)
    same_samples(dataset, open_set(root))


def change_names(root, change):
    files = contents()
    for image in files["data"]["images"]:
        image["file_name"] = change(image["file_name"])
    write_annotations(root, files)


def test_separators_of_windows(plain):
    dataset, root = plain
    change_names(root, lambda name: name.replace("/", "\\"))
    same_samples(dataset, open_set(root))
    change_names(root, lambda name: "..\\" + name.replace("/", "\\"))
    with pytest.raises(ValueError, match=r"record 1011 of the images: .*stays in the folder of the data, got '\.\.\\"):
        open_set(root)


def test_webp(plain):
    dataset, root = plain
    for path in image_files(root):
        pixels = cv2.imread(str(path))
        cv2.imwrite(str(path.with_suffix(".webp")), pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])  # without loss
        path.unlink()
    change_names(root, lambda name: name.replace(".png", ".webp"))
    same_samples(dataset, open_set(root))
    path = Path(open_set(root).get_data_info(0)["img_path"])
    path.write_bytes(b"GIF89a" + bytes(100))
    with pytest.raises(ValueError, match=r"the image of record 11: .*got a GIF, an unknown format here") as error:
        open_set(root)[0]
    assert "cut short" not in str(error.value)


def test_partial_download(plain, log):
    dataset, root = plain
    kept = [open_set(root).get_data_info(number)["img_path"] for number in (0, 2)]
    for path in image_files(root):
        if str(path) not in kept:
            path.unlink()
    with pytest.raises(FileNotFoundError, match="the image of record 12; 2 of 4 images are missing") as error:
        open_set(root)[1]
    assert "missing_images='skip'" in str(error.value)
    partial = open_set(root, missing_images="skip")
    assert [sample["id"] for sample in partial] == [11, 13]
    assert partial.skipped["image missing"] == 2
    assert "2 used, 4 skipped: image missing 2" in log.text
    assert partial.metainfo["data_source"]["fingerprint"] != dataset.metainfo["data_source"]["fingerprint"]
    hands = InterHand26MHandsDataset(split="test", data_root=str(root), missing_images="skip")
    assert [Path(hands.get_data_info(number)["img_path"]).name for number in range(len(hands))] == [
        "image3.png",
        "image9.png",
        "image9.png",
    ]
    hands = InterHand26MHandsDataset(split="test", data_root=str(root))
    with pytest.raises(FileNotFoundError, match="2 of 4 images are missing"):  # of which some have two hands
        hands.check_images_present()


def knows_sizes(dataset):
    """Whether the adapter passes on the sizes that its file has."""
    return "image_size" in dataset.get_data_info(0)


def test_images_scaled_after_annotation(plain):
    dataset, root = plain
    if not knows_sizes(dataset):
        pytest.skip("InterHand26MDataset does not give the sizes of its file yet")
    for path in image_files(root):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), None, fx=0.5, fy=0.5))
    with pytest.raises(ValueError, match=r"record 11: .* image of 334 x 512 px, as annotated, got 167 x 256"):
        open_set(root)[0]
    with pytest.raises(ValueError, match="as annotated, got 167 x 256"):
        open_set(root).check_images_present()


# ---- the folder beside the clone


@pytest.fixture
def field():
    if not FIELD.is_dir():
        pytest.skip(f"no odd data sets at {FIELD}")
    return FIELD


def field_set(field, name, **arguments):
    return open_set(field / name, **arguments)


@pytest.mark.parametrize("name", ["bom", "backslash", "webp"])
def test_field_set_that_is_read(field, name):
    control, odd = field_set(field, "plain"), field_set(field, name)
    assert len(control) == 8
    same_samples(control, odd, but=("img",) if name == "webp" else ())  # WebP loses a little
    odd.check_images_present()


def test_field_set_of_a_partial_download(field):
    with pytest.raises(FileNotFoundError, match="5 of 8 images are missing"):
        list(field_set(field, "subset3"))
    partial = field_set(field, "subset3", missing_images="skip")
    assert len(list(partial)) == 3
    assert partial.skipped["image missing"] == 5
    fingerprints = {
        dataset.metainfo["data_source"]["fingerprint"]
        for dataset in (partial, field_set(field, "subset3"), field_set(field, "plain"))
    }
    assert len(fingerprints) == 2  # without 'skip', the annotations are the same


def test_field_set_of_scaled_images(field):
    dataset = field_set(field, "resized_half")
    if not knows_sizes(dataset):
        pytest.skip("InterHand26MDataset does not give the sizes of its file yet")
    with pytest.raises(ValueError, match="expected an image of 334 x 512 px, as annotated, got 167 x 256 px"):
        dataset[0]


def test_control_is_of_the_annotated_size(field):
    data = json.loads((field / "plain/annotations/test/InterHand2.6M_test_data.json").read_text())
    assert [sample["img"].shape[:2] for sample in field_set(field, "plain")] == [
        (image["height"], image["width"]) for image in data["images"]
    ]
