"""Where pictures may come from, and what is said of those that cannot be read."""

import cv2
import numpy as np
import pytest

from dfmamba.apis.pictures import count_pictures, read_pictures
from dfmamba.errors import message_for_user


def picture(value=0, height=24, width=32):
    return np.full((height, width, 3), value, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two images and something else."""
    for number in (2, 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def write_video(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for value in frames:
        writer.write(picture(value))
    writer.release()
    return path


def values(source):
    return [(one.name, int(one.read()[0, 0, 0])) for one in read_pictures(source)]


def test_files_folders_patterns_arrays_and_lists_of_them(folder):
    assert values(folder / "2.png") == [("2.png", 2)]
    assert values(str(folder)) == [("1.png", 1), ("2.png", 2)]
    assert values(f"{folder}/*.png") == [("1.png", 1), ("2.png", 2)]
    assert values(picture(7)) == [("array", 7)]
    assert values([picture(7), folder / "1.png"]) == [("array 0", 7), ("1.png", 1)]


def test_frames_of_a_video_follow_one_another(tmp_path):
    path = write_video(tmp_path / "hands.avi", [10, 120, 240])
    found = list(read_pictures(path))
    assert [(one.name, one.is_frame) for one in found] == [
        ("hands.avi#0", False),
        ("hands.avi#1", True),
        ("hands.avi#2", True),
    ]
    np.testing.assert_allclose([one.read().mean() for one in found], [10, 120, 240], atol=4)


def test_pictures_are_counted_before_they_are_read(folder, tmp_path):
    (tmp_path / "videos").mkdir()
    video = write_video(tmp_path / "videos" / "hands.avi", [1, 2, 3, 4])
    sources = [folder / "1.png", str(folder), f"{folder}/*.png", picture(), video, [picture(), str(folder), video]]
    assert [count_pictures(source) for source in sources] == [1, 2, 2, 1, 4, 7]
    for source in sources:
        assert count_pictures(source) == len(list(read_pictures(source)))
    assert [count_pictures(source) for source in (0, [picture(), 0], iter([picture()]))] == [None] * 3


def test_a_photograph_is_turned_as_it_says(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(picture()).save(tmp_path / "turned.jpg", exif=exif)
    assert next(read_pictures(tmp_path / "turned.jpg")).read().shape == (32, 24, 3)


def test_depth_in_16_bits_stays_as_it_is(tmp_path):
    depth = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32)
    cv2.imwrite(str(tmp_path / "depth.png"), depth)
    np.testing.assert_array_equal(next(read_pictures(tmp_path / "depth.png")).read(), depth)


def _file(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _empty_folder(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


BAD = {
    "no file": (lambda folder: folder / "missing.jpg", "no such file: .*missing.jpg"),
    "text named jpg": (_file("text.jpg", b"hello, I am no picture"), "text.jpg: expected an image"),
    "empty file": (_file("empty.png", b""), "empty.png: expected an image"),
    "cut short": (lambda folder: _file("cut.png", (folder / "1.png").read_bytes()[:-20])(folder), "cut.png: .*whole"),
    "empty folder": (_empty_folder, "empty: expected a folder with pictures"),
    "pattern of nothing": (lambda folder: f"{folder}/*.bmp", "expected a pattern that fits pictures"),
    "broken video": (_file("broken.mp4", b"\0" * 100), "broken.mp4: expected a video"),
    "no camera": (lambda folder: 77, "camera 77: expected a video or camera"),
    "array of nothing": (lambda folder: np.zeros((0, 5, 3), np.uint8), r"array: .*got shape \(0, 5, 3\)"),
    "array of five channels": (lambda folder: np.zeros((5, 5, 5), np.uint8), r"got shape \(5, 5, 5\)"),
    "array of fractions": (lambda folder: np.zeros((5, 5, 3)), "in uint8, 0 to 255, got float64"),
    "second of a list": (lambda folder: [folder / "1.png", folder / "missing.png"], "no such file: .*missing.png"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_picture_is_one_message(case, folder):
    make, message = BAD[case]
    with pytest.raises((ValueError, OSError), match=message) as error:
        values(make(folder))
    assert message_for_user(error.value) is not None
