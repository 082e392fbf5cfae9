"""One list of odd inputs for all five data sets: each ends in a clear error, a counted skip, or documented acceptance.

An odd input is a function that changes a small set (see `odd_sets`). It applies to the sets that have what it needs
(`SmallSet.has`), and says how it ends:

    faulty      the record is faulty: an error that names file and record or, with faulty='skip', a counted skip
    refused     the file is of no use: the same error with both policies
    skipped     the record is left out and counted under a reason, as the official loader does or because there is
                nothing to learn from it
    accepted    all samples are there, and finite

`test_odd_inputs` runs them.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from odd_sets import SmallSet
from PIL import Image

NAN, INF = float("nan"), float("inf")


class End(NamedTuple):
    """How an odd input ends.

    Attributes:
        how: 'faulty', 'refused', 'skipped' or 'accepted'.
        text: A pattern in the error, or the reason of the skip.
        file: The kind of file that the error names, see `SmallSet.path`; none where it is empty.
        record: Whether the error names the record.
        error: Its type.
    """

    how: str
    text: str = ""
    file: str = "joints"
    record: bool = True
    error: type[Exception] = ValueError


def faulty(text: str, file: str = "joints", **more) -> End:
    return End("faulty", text, file, **more)


def refused(text: str, file: str = "joints", **more) -> End:
    return End("refused", text, file, **{"record": False} | more)


def skipped(reason: str) -> End:
    return End("skipped", reason)


ACCEPTED = End("accepted")


class Odd(NamedTuple):
    """An odd input."""

    change: Callable[[SmallSet], None]
    end: End
    needs: frozenset[str]
    but: dict[str, End]  # sets that end in another way


ODD: dict[str, Odd] = {}


def odd(name: str, end: End, *needs: str, **but: End):
    """Put a change on the list."""

    def add(change):
        assert name not in ODD
        ODD[name] = Odd(change, end, frozenset(needs), but)
        return change

    return add


def joint(change, place=5):
    """A change of one joint, which is no wrist in any order."""

    def apply(joints):
        joints = joints.copy()
        joints[place] = change
        return joints

    return apply


# ---- joints

REACH = "of a hand that reaches 5 to 5000 mm from the (wrist|palm), got one that reaches .* mm, "


@odd("metres for mm", faulty(REACH + "too small by 1000: metres where mm belong"))
def _(small):
    small.scale(0.001)


@odd("mm for metres", faulty(REACH + "too large by 1000: mm taken for metres"))
def _(small):
    small.scale(1000)


@odd(
    "a whole set in centimetres",
    refused("in the median of .* hands, too small by 10: centimetres where mm belong", file=""),
)
def _(small):
    small.scale(0.1, every=True)


@odd("a whole set ten times too large", refused("in the median of .* hands, too large by 10", file=""))
def _(small):
    small.scale(10, every=True)


@odd("all joints in one point", faulty("got one whose valid joints are all in one point"))
def _(small):
    small.change_joints(lambda joints: np.tile(joints[7], (len(joints), 1)))


BEHIND = "valid joints in front of the camera, by 1 mm or more.* got .* at .* mm in the camera's frame"


@odd(
    "hand behind the camera",
    faulty(BEHIND),
    rhp=skipped("joint behind the camera"),
    rhp_json=skipped("joint behind the camera"),
    assemblyhands=skipped("joint behind the camera"),
)
def _(small):
    small.change_joints(lambda joints: joints * (1, 1, -1))


@odd(
    "one joint behind the camera",
    faulty(BEHIND),
    rhp=skipped("joint behind the camera"),
    rhp_json=skipped("joint behind the camera"),
    assemblyhands=skipped("joint behind the camera"),
)
def _(small):
    def reach_behind(joints):
        joints[5, 2] *= -0.2
        return joints

    small.change_joints(reach_behind)


@odd("NaN joint", faulty("finite numbers in .* for the valid joints, got .* at "))
def _(small):
    small.change_joints(joint([NAN, 0, 0]))


@odd("infinite joint", faulty("finite numbers in .* for the valid joints, got .* at "))
def _(small):
    small.change_joints(joint([0, -INF, 1]))


@odd("joint that is infinite in float32", faulty("finite numbers in .* for the valid joints, got .* at "))
def _(small):
    small.change_joints(joint([1e39, 0, 1e39]))


@odd("hand 4 km away", faulty("valid joints within 100000 mm of the camera"))
def _(small):
    small.move_away(4e6)


@odd("text for joints", faulty("numbers|array.*got"), nyu=refused("real numbers in 'joint_uvd'"))
def _(small):
    for entry, key in small.entries(every=False):
        entry[key] = np.array(["joints"]) if small.has & {"npz", "pickle"} else "joints"


@odd("one text among the joints", faulty("numbers of shape .* got"), "JSON")
def _(small):
    for entry, key in small.entries(every=False):
        entry[key][3][1] = "far"


@odd("two numbers a joint", faulty(r"shape \(.*, 3\).* got shape"), nyu=refused("of shape .*got shape"))
def _(small):
    for entry, key in small.entries(every=False):
        entry[key] = np.asarray(entry[key])[..., :2]
        entry[key] = entry[key].tolist() if "JSON" in small.has else entry[key]


@odd("a joint too few", faulty(r"shape \(.*3\).* got shape"), nyu=refused("of shape .*got shape"))
def _(small):
    for entry, key in small.entries(every=False):
        array = np.asarray(entry[key])
        entry[key] = array[..., :-1, :].tolist() if "JSON" in small.has else array[..., :-1, :]


@odd("no joints", faulty("the key '.*', got"), nyu=refused("no variable .*'joint_uvd'"))
def _(small):
    for entry, key in small.entries(every=False):
        del entry[key]


@odd("null for joints", faulty("numbers of shape .* got"), "JSON")
def _(small):
    for entry, key in small.entries(every=False):
        entry[key] = None


@odd("complex joints", faulty("real numbers", record=False), "npz")
@odd("complex joints of a pickle", refused("real numbers"), "pickle")
@odd("complex joints of a MATLAB file", refused("real numbers"), "MATLAB")
def _(small):
    for entry, key in small.entries(every=False):
        entry[key] = entry[key].astype(np.complex128) + 1j


@odd(
    "one hand of 21 joints",
    faulty(
        "42.*This layout holds 42 joints, the right hand's 21 first. Own data of one hand "
        "goes into the JSON file of docs/own_data.md",
        file="data",
    ),
    "two hands",
)
def _(small):
    small.keep_one_hand()


@odd("coordinates of 21 joints", faulty("42.*goes into the JSON file of docs/own_data.md"), "two hands")
def _(small):
    for entry, key in small.entries(every=False):
        entry[key] = entry[key][:21]


# ---- cameras

FOCAL = "focal lengths from 1 to 1e\\+06 px"


def odd_camera(name: str, text: str):
    """Put a faulty camera on the list; DexYCB's calibration is of no use then, for it is that of all records."""
    return odd(name, faulty(text, file="camera"), "camera", dexycb=refused(text, file="camera"))


for _name, _focal in {
    "focal length 0": [0, 250],
    "negative focal length": [300, -250],
    "focal length of 1e-46": [1e-46, 250],
    "focal length of 1e39": [300, 1e39],
}.items():
    odd_camera(_name, FOCAL)(lambda small, focal=_focal: small.set_focal(focal))
for _name, _focal in {"NaN focal length": [NAN, 250], "infinite focal length": [300, INF]}.items():
    odd_camera(_name, f"{FOCAL}|'K'|finite")(lambda small, focal=_focal: small.set_focal(focal))


@odd_camera("principal point of 1e39", r"a principal point within 1e\+06 px")
def _(small):
    small.set_principal_point([1e39, 100])


@odd_camera("infinite principal point", r"a principal point within 1e\+06 px|'K'|finite")
def _(small):
    small.set_principal_point([160, INF])


@odd("one focal length", faulty(r"numbers of shape \(2,\).* got", file="camera"), "camera lists")
def _(small):
    small.set_focal([250])


ROTATION = "a rotation .an orthonormal matrix with the determinant 1., got "


@odd("singular rotation", faulty(ROTATION + "a singular matrix .* for the camera", file="pose"), "pose")
def _(small):
    small.change_rotation(lambda rotation: rotation * [[1], [1], [0]])


@odd("doubled rotation", faulty(ROTATION + r"a matrix that scales \(determinant 8\)", file="pose"), "pose")
def _(small):
    small.change_rotation(lambda rotation: 2 * rotation)


@odd("mirrored rotation", faulty(ROTATION + r"a matrix that mirrors", file="pose"), "pose")
def _(small):
    small.change_rotation(lambda rotation: rotation * [[-1], [1], [1]])


@odd("skewed rotation", faulty(ROTATION + "a matrix with skewed axes", file="pose"), "pose")
def _(small):
    small.change_rotation(lambda rotation: np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1]]) @ rotation)


@odd("NaN rotation", faulty(ROTATION + "a matrix that is not finite", file="pose"), "pose")
def _(small):
    small.change_rotation(lambda rotation: rotation * NAN)


@odd("camera 1000 km away", faulty("a camera within 100000 mm of the world's origin", file="pose"), "pose")
def _(small):
    small.set_place([0, 1e9, 0])


@odd("NaN place of a camera", faulty("a camera within 100000 mm of the world's origin", file="pose"), "pose")
def _(small):
    small.set_place([0, NAN, 0])


# ---- boxes, sizes

BOX = "box.* in px with .*, within 1e\\+06 px, got"


for _name, _box in {
    "flat box": [10, 20, 10, 60],
    "box upside down": [10, 60, 100, 20],
    "box of 1e39 px": [10, 20, 1e39, 60],
    "box of 10^8 px": [10, 20, 1e8, 60],
    "empty box": [0, 0, 0, 0],
}.items():
    odd(_name, faulty(BOX, file="box"), "box")(lambda small, box=_box: small.set_box(*box))


@odd("NaN box", faulty(BOX + "|null", file="box"), "box")
def _(small):
    small.set_box(10, NAN, 100, 60)


@odd("box beside the image", skipped("box beside the image"), "box", interhand26m=ACCEPTED, rhp_json=ACCEPTED)
def _(small):
    small.set_box(2000, 20, 2100, 60)


@odd("image of 10^9 px", faulty("a 'width' and a 'height' in px of at most", file="data"), "image size")
def _(small):
    small.set_image_size(10**6, 10**3)


@odd("image of no height", faulty("a 'width' and a 'height' in px of at most", file="data"), "image size")
def _(small):
    small.set_image_size(320, 0)


# ---- ids, sides


@odd("image id twice", faulty("each image.id once", file="data", record=False), "image ids")
def _(small):
    small.repeat_image_id()


@odd("annotation id twice", faulty("each annotation.id once", file="data"), "image ids")
def _(small):
    small.repeat_annotation_id()


@odd("frame number twice", faulty("each number once"), "pickle")
def _(small):
    small.content["0"] = small.content.pop(1)


@odd("camera twice", refused("serials: expected each once", file=""), "camera files")
def _(small):
    small.arguments["serials"] = [small.arguments["serials"][0]] * 2


@odd(
    "unknown hand side",
    faulty("hand_type|'right'.*got", file="data"),
    "side",
    dexycb=refused("mano_sides", file="side"),
)
def _(small):
    small.set_side("middle")


@odd(
    "side of the other hand",
    faulty("names a hand with valid joints, got 'left', and valid joints of the right hand only", file="data"),
    "side and validity",
)
def _(small):
    small.set_side("left")


@odd("mask without a hand", faulty(r"pixels of a hand \(classes 2 to 33\).* got none", file="mask"), "masks")
def _(small):
    small.damage(lambda _: cv2.imencode(".png", np.ones((320, 320), dtype=np.uint8))[1].tobytes(), "mask")


# ---- names


for _name, _text, _words in (
    ("absolute file name", "/etc/passwd", "stays in the folder"),
    ("file name that leads out", "a/../../secret.png", "stays in the folder"),
    ("file name that leads out by backslashes", "a\\..\\..\\secret.png", "stays in the folder"),
    ("file name with NUL", "a\0.png", "stays in the folder|characters|matching regex"),
    ("file name of 4 MB", "a" * 4_000_000, "stays in the folder|characters|length"),
    ("empty file name", "", "stays in the folder|characters|length"),
):
    odd(_name, faulty(_words, file="data", record=False), "names")(
        lambda small, text=_text: small.image().update(file_name=text)
    )
for _key in ("seq_name", "camera"):
    for _name, _text in (
        ("of 4 MB", "a" * 4_000_000),
        ("with NUL", "a\0b"),
        ("with half a character", "a\ud800"),
        ("that is empty", ""),
        ("that is a list", ["a"]),
    ):
        odd(
            f"{_key} {_name}",
            faulty("characters|length|matching regex|surrogate|array", file="data", record=False),
            "sequences",
            **({"interhand26m": refused("complete JSON", file="data")} if _text == "a\ud800" else {}),
        )(lambda small, key=_key, text=_text: small.image().update({key: text}))


# ---- annotation files as a whole

WHOLE = "a complete|official layout"


@odd("annotation file cut short", refused(WHOLE), dexycb=faulty(WHOLE, record=False))
def _(small):
    small.damage(lambda content: content[: len(content) // 2])


@odd("empty annotation file", refused(WHOLE), dexycb=faulty(WHOLE, record=False))
def _(small):
    small.damage(lambda content: b"")


@odd("a web page for an annotation file", refused(WHOLE), dexycb=faulty(WHOLE, record=False))
def _(small):
    small.damage(lambda content: b"<!DOCTYPE html><html>404 Not Found</html>")


for _name, _make, _what in (
    ("folder", Path.mkdir, "a folder"),
    ("pipe", os.mkfifo, "a pipe"),
    ("device", lambda path: path.symlink_to("/dev/null"), "a device"),
):
    odd(
        f"{_name} for an annotation file",
        refused(f"expected a file, got {_what}"),
        dexycb=faulty(f"expected a file, got {_what}", record=False),
    )(lambda small, make=_make: small.replace(make))


@odd(
    "no annotation file",
    refused("no such file", error=FileNotFoundError),
    dexycb=faulty("no such file", record=False, error=FileNotFoundError),
)
def _(small):
    small.damages.append(lambda root: small.path(root, "joints").unlink())


@odd("byte order mark", ACCEPTED, "JSON")
def _(small):
    small.damage(lambda content: b"\xef\xbb\xbf" + content)


@odd("byte order mark of a YAML file", ACCEPTED, "YAML")
def _(small):
    small.damage(lambda content: b"\xef\xbb\xbf" + content, "camera")


@odd("key twice", refused("twice|duplicate|more than once"), "JSON")
def _(small):
    small.damage(lambda content: b'{"annotations": 1, "0": {}, ' + content.lstrip()[1:])


@odd(
    "key of a record twice",
    faulty("twice|duplicate|more than once", record=False),
    "JSON",
    assemblyhands=refused("twice|duplicate|more than once"),
    rhp_json=refused("twice|duplicate|more than once"),
)
def _(small):
    small.damage(lambda content: re.sub(rb'("world_coord|"joint_cam)": ', rb'\1": [], \1": ', content, count=1))


@odd("key of a YAML file twice", refused("twice|duplicate|more than once", file="camera"), "YAML")
def _(small):
    small.damage(lambda content: b"color: 1\n" + content, "camera")


@odd("lists 100,000 deep", refused(WHOLE), "JSON")
def _(small):
    small.damage(lambda content: b"[" * 100_000)


@odd("YAML lists 100,000 deep", refused("a YAML file of plain data|deep", file="camera"), "YAML")
def _(small):
    small.damage(lambda content: b"[" * 100_000, "camera")


@odd("tuples 60 deep that name each other", refused("plain data|deep|items"), "pickle")
def _(small):
    nested = b"\x80\x02N" + b"2\x86" * 60 + b"."  # 60 times: make a pair of the last thing and itself
    small.damage(lambda content: nested)


@odd("YAML aliases that name each other", refused("plain data|far more|items", file="camera"), "YAML")
def _(small):
    lists = ["- &a0 [1]", *(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 11))]
    small.damage(
        lambda content: "\n".join(["lists:", *lists, "color: {fx: *a10, fy: 1, ppx: 1, ppy: 1}"]).encode(), "camera"
    )


# ---- images


def image_bytes(suffix: str, width: int = 64, height: int = 64) -> bytes:
    """An image of another size."""
    return cv2.imencode(suffix, np.full((height, width, 3), 40, dtype=np.uint8))[1].tobytes()


def gif(path: Path) -> None:
    Image.new("P", (64, 64)).save(path, format="GIF")


@odd("no image", faulty("no such file", file="image", error=FileNotFoundError), "image")
def _(small):
    small.damages.append(lambda root: small.path(root, "image").unlink())


for _name, _change, _words in (
    ("image cut short", lambda content: content[: len(content) // 2], "cut short|whole image|damaged|decoded"),
    ("empty image", lambda content: b"", "empty|decoded"),
    ("web page for an image", lambda content: b"<!DOCTYPE html><html>404</html>", "format|decoded|HTML"),
    ("image of 1 px", lambda content: image_bytes(".png", 1, 1), "1 x 1|size|px"),
    ("image of another size", lambda content: image_bytes(".png"), "64 x 64|64.*64"),
):
    odd(_name, faulty(_words, file="image"), "image")(lambda small, change=_change: small.damage(change, "image"))


@odd("image of 81 million pixels in 10 kB", faulty("at most 64000000 pixels", file="image"), "image")
def _(small):
    small.replace(lambda path: Image.new("1", (9000, 9000)).save(path, format="PNG"), "image")


@odd("image of an unknown format", faulty("format|GIF", file="image"), "image")
def _(small):
    small.replace(gif, "image")


# ---- the folder


for _name, _folder in (
    ("comma in data_root", "hands, left and right"),
    ("space in data_root", "my hands"),
    ("data_root in other letters", "手 Hände"),
    ("quotes in data_root", 'it\'s "mine" [1] {2} %'),
):
    odd(_name, ACCEPTED)(lambda small, folder=_folder: small.arguments.update(folder=folder))
